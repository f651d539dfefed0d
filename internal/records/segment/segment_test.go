package segment

import (
	"errors"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"garrison/evidence"
	"garrison/internal/records/rows"
)

func someNAT(r *rand.Rand, ips int) evidence.NAT {
	ip := func(n int) netip.Addr {
		if n%7 == 0 {
			return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(n)})
		}
		return netip.AddrFrom4([4]byte{203, 0, byte(n >> 8), byte(n)})
	}
	n := evidence.NAT{
		Start: 1_790_000_000_000 + r.Int64N(3_600_000), Proto: 6, OutsideIP: ip(r.IntN(ips)), InsideIP: ip(r.IntN(1000)), DstIP: ip(r.IntN(5000)),
		InsidePort: uint16(r.IntN(65536)), OutsidePort: uint16(r.IntN(65536)), DstPort: 443,
		Line: "line-" + string(rune('a'+r.IntN(26))), Device: "cgn-1", Source: "s", Received: 1_790_000_100 + r.Int64N(100),
	}
	n.End, n.OutsidePortLast = n.Start+r.Int64N(600_000), n.OutsidePort
	switch r.IntN(10) {
	case 0:
		n.End, n.Event = 0, evidence.NATBuilt
	case 1:
		n.OutsidePort &^= 511
		n.OutsidePortLast, n.Event = n.OutsidePort+511, evidence.NATBlockGiven
	case 2:
		n.Event, n.Flags = evidence.NATTeardown, evidence.NATStartUnknown
	}
	return n
}

func build(t *testing.T, n, ips int, lag bool) (string, []Part, *rows.Table, []rows.Row) {
	t.Helper()
	r := rand.New(rand.NewPCG(uint64(n), uint64(ips)))
	tab := rows.NewTable()
	var rs []rows.Row
	for range n {
		rec := someNAT(r, ips)
		rs = append(rs, tab.Row(&rec))
	}
	tab.Sort(rs)
	dir := t.TempDir()
	b := NewBuilder(dir, "t", lag)
	for i := range rs {
		if err := b.Add(tab, &rs[i]); err != nil {
			t.Fatal(err)
		}
	}
	parts, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return dir, parts, tab, rs
}

func TestStreamReadsWhatWasWritten(t *testing.T) {
	for _, lag := range []bool{false, true} {
		n := 20_000
		if lag {
			n = 360_000 // more than one row group
		}
		dir, parts, tab, rs := build(t, n, 500, lag)
		if len(parts) != 3 {
			t.Fatalf("%d parts, want 3", len(parts))
		}
		got := 0
		for class, p := range parts {
			want := make([]rows.Row, 0, len(rs))
			for i := range rs {
				if rs[i].Class() == rows.Class(class) {
					want = append(want, rs[i])
				}
			}
			rd, err := Open(dir, p)
			if err != nil {
				t.Fatal(err)
			}
			s := rd.Stream()
			i := 0
			for {
				batch, bt, err := s.Next()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				for k := range batch {
					if rows.Compare(bt, &batch[k], tab, &want[i]) != 0 {
						t.Fatalf("lag %v, %s row %d is %+v, want %+v", lag, p.Class, i, batch[k], want[i])
					}
					i++
				}
			}
			if i != len(want) || int64(i) != p.Rows {
				t.Fatalf("%s: read %d rows, wrote %d, the part says %d", p.Class, i, len(want), p.Rows)
			}
			got += i
			s.Close()
			rd.Close()
		}
		if got != len(rs) {
			t.Fatalf("read %d rows of %d", got, len(rs))
		}
	}
}

func TestFindEqualsAScan(t *testing.T) {
	for ips, n := range map[int]int{1: 20_000, 3: 50_000, 400: 360_000} {
		dir, parts, tab, rs := build(t, n, ips, true)
		r := rand.New(rand.NewPCG(9, uint64(ips)))
		pool := NewPool(8 << 20)
		open := map[string]*Reader{}
		for q := range 40 {
			ref := rs[r.IntN(len(rs))]
			ip, port := tab.IP(ref.Out, ref.OutFam), ref.OutPort
			if q%3 == 0 {
				port = uint16(r.IntN(65536))
			}
			want := 0
			for i := range rs {
				if tab.IP(rs[i].Out, rs[i].OutFam) == ip && rs[i].OutPort <= port && port <= rs[i].OutLast {
					want++
				}
			}
			got := 0
			for _, p := range parts {
				rd := open[p.File]
				if rd == nil {
					var err error
					if rd, err = Open(dir, p); err != nil {
						t.Fatal(err)
					}
					open[p.File] = rd
				}
				if err := rd.Find(pool, ip, port, func(ft *rows.Table, row *rows.Row) error {
					if ft.IP(row.Out, row.OutFam) != ip || port < row.OutPort || port > row.OutLast {
						t.Fatalf("Find(%v, %d) yields %+v", ip, port, row)
					}
					got++
					return nil
				}); err != nil {
					t.Fatal(err)
				}
			}
			if got != want {
				t.Fatalf("%d addresses: Find(%v, %d) yields %d rows, a scan %d", ips, ip, port, got, want)
			}
		}
	}
}

// Every byte of a file is covered: by the check of the indexes, by the library's page
// sums, or at least by the sum of the whole file.
func TestFlippedByteIsSeen(t *testing.T) {
	dir, parts, _, _ := build(t, 20_000, 50, true)
	p := parts[0]
	path := filepath.Join(dir, p.File)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(7, 7))
	for range 100 {
		bad := append([]byte(nil), good...)
		at := r.IntN(len(bad))
		bad[at] ^= 1 << r.IntN(8)
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		rd, err := Open(dir, p)
		if err != nil {
			continue
		}
		sum, err := rd.Sum()
		if err != nil {
			t.Fatal(err)
		}
		if sum == p.SHA256 {
			t.Fatalf("a flip at %d of %d is not seen", at, len(bad))
		}
		rd.Close()
	}
}
