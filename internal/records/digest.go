package records

import (
	"crypto/sha256"
	"encoding/hex"
	"hash/maphash"

	"garrison/evidence"
	"garrison/internal/records/rows"
)

// digest sums up rows in any order, to compare what was written with what is read.
type digest struct {
	seed maphash.Seed
	sum  uint64
	n    int64
	nat  evidence.NAT
	buf  []byte
}

func newDigest() *digest { return &digest{seed: maphash.MakeSeed()} }

// newDigestLike returns a digest that can be compared with d.
func newDigestLike(d *digest) *digest { return &digest{seed: d.seed} }

func (d *digest) add(t *rows.Table, r *rows.Row) {
	t.NAT(r, &d.nat)
	d.buf = d.nat.AppendCanonical(d.buf[:0])
	d.sum += maphash.Bytes(d.seed, d.buf)
	d.n++
}

// entryDigest returns the RFC 6962 leaf hash of a ledger entry, in hex.
func entryDigest(entry []byte) string {
	h := sha256.New()
	h.Write([]byte{0})
	h.Write(entry)
	return hex.EncodeToString(h.Sum(nil))
}
