package records

import (
	"crypto/sha256"
	"encoding/hex"
	"hash/maphash"
	"net/netip"

	"garrison/internal/records/rows"
)

// digest sums up rows in any order, to compare what was written with what is read.
type digest struct {
	seed maphash.Seed
	sum  uint64
	n    int64
}

// whole is all that a row says, whatever its table.
type whole struct {
	row                  rows.Row // numbers of its table apart
	outside, inside, dst netip.Addr
	line, device, source string
}

func newDigest() *digest { return &digest{seed: maphash.MakeSeed()} }

// newDigestLike returns a digest that can be compared with d.
func newDigestLike(d *digest) *digest { return &digest{seed: d.seed} }

func (d *digest) add(t *rows.Table, r *rows.Row) {
	w := whole{
		row:     *r,
		outside: t.IP(r.Out, r.OutFam), inside: t.IP(r.In, r.InFam), dst: t.IP(r.Dst, r.DstFam),
		line: t.Text(r.Line), device: t.Text(r.Device), source: t.Text(r.Source),
	}
	w.row.Out, w.row.In, w.row.Dst = 0, 0, 0
	w.row.Line, w.row.Device, w.row.Source = 0, 0, 0
	d.sum += maphash.Comparable(d.seed, w)
	d.n++
}

// entryDigest returns the RFC 6962 leaf hash of a ledger entry, in hex.
func entryDigest(entry []byte) string {
	h := sha256.New()
	h.Write([]byte{0})
	h.Write(entry)
	return hex.EncodeToString(h.Sum(nil))
}
