package wal

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"garrison/evidence"
	"garrison/internal/records/rows"
)

func written(t *testing.T, frames int) (string, File, []int64) {
	t.Helper()
	dir := t.TempDir()
	w, err := Create(dir, 0, 7)
	if err != nil {
		t.Fatal(err)
	}
	ends := []int64{w.Size()}
	for i := range frames {
		b := Body{SourceID: "s", Lost: int64(i)}
		body := b.Append(nil, make([]evidence.NAT, i%4))
		if err := w.Write(w.Frame(nil, Header{Type: Batch, Rows: uint32(i % 4), Second: int64(i)}, body, 0), 1); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, w.Size())
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	list, err := List(dir)
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	return dir, list[0], ends
}

func scanAll(t *testing.T, dir string, f File, newest bool) (seqs []uint64, faults []Fault, res Result) {
	t.Helper()
	res, err := Scan(dir, f, newest, func(fr Frame) error { seqs = append(seqs, fr.Seq); return nil }, func(x Fault) { faults = append(faults, x) })
	if err != nil {
		t.Fatal(err)
	}
	return seqs, faults, res
}

func TestTornTailIsCutAtEveryLength(t *testing.T) {
	dir, f, ends := written(t, 5)
	path := filepath.Join(dir, f.Name)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for size := range len(good) {
		if err := os.WriteFile(path, good[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		whole := 0
		for _, e := range ends[1:] {
			if int64(size) >= e {
				whole++
			}
		}
		seqs, faults, res := scanAll(t, dir, f, true)
		if len(seqs) != whole {
			t.Fatalf("cut at %d: %d frames, want %d", size, len(seqs), whole)
		}
		clean := int64(size) == ends[whole]
		if clean != (len(faults) == 0) || !clean && !faults[0].Torn {
			t.Fatalf("cut at %d: %+v", size, faults)
		}
		if int64(size) >= FileHeaderSize && res.Good != ends[whole] {
			t.Fatalf("cut at %d: good up to %d, want %d", size, res.Good, ends[whole])
		}
	}
}

func TestZerosAtTheEndAreTorn(t *testing.T) {
	dir, f, _ := written(t, 3)
	path := filepath.Join(dir, f.Name)
	good, _ := os.ReadFile(path)
	if err := os.WriteFile(path, append(good, make([]byte, 5000)...), 0o600); err != nil {
		t.Fatal(err)
	}
	seqs, faults, _ := scanAll(t, dir, f, true)
	if len(seqs) != 3 || len(faults) != 1 || !faults[0].Torn {
		t.Fatalf("%v %+v", seqs, faults)
	}
	if _, faults, _ := scanAll(t, dir, f, false); len(faults) != 1 || faults[0].Torn {
		t.Fatalf("in a file that is not the newest: %+v", faults)
	}
}

func TestFlippedBitIsDamageAndTheRestIsRead(t *testing.T) {
	dir, f, _ := written(t, 40)
	path := filepath.Join(dir, f.Name)
	good, _ := os.ReadFile(path)
	r := rand.New(rand.NewPCG(1, 1))
	for range 500 {
		bad := append([]byte(nil), good...)
		at := FileHeaderSize + r.IntN(len(bad)-FileHeaderSize)
		bad[at] ^= 1 << r.IntN(8)
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		seqs, faults, _ := scanAll(t, dir, f, true)
		if len(seqs) != 39 || len(faults) == 0 || faults[0].Torn || faults[0].From > int64(at) || faults[0].Until <= int64(at) {
			t.Fatalf("a flip at %d: %d frames, %+v", at, len(seqs), faults)
		}
	}
}

func TestRemovedFrameIsNoticed(t *testing.T) {
	dir, f, ends := written(t, 6)
	path := filepath.Join(dir, f.Name)
	good, _ := os.ReadFile(path)
	if err := os.WriteFile(path, append(append([]byte(nil), good[:ends[2]]...), good[ends[3]:]...), 0o600); err != nil {
		t.Fatal(err)
	}
	seqs, faults, _ := scanAll(t, dir, f, true)
	if len(seqs) != 5 || len(faults) != 1 || faults[0].Torn {
		t.Fatalf("%v %+v", seqs, faults)
	}
}

func TestBatchKeepsItsRows(t *testing.T) {
	six := netip.MustParseAddr("2001:db8::7")
	want := []evidence.NAT{
		{Start: -5, End: 0, Proto: 6, OutsideIP: six, OutsidePort: 5, OutsidePortLast: 500, Line: "l", Device: "d", Event: 1, Flags: 3},
		{Start: 1 << 41, End: 1<<41 + 7, InsideIP: netip.MustParseAddr("10.0.0.1"), DstIP: six, InsidePort: 65535, DstPort: 1, Line: "d", Device: "l"},
		{},
	}
	b := Body{SourceID: "id", SourceName: "名", SourceKind: "import", Own: true, Refused: 9, Other: 5, Lost: 4, Samples: []Sample{{"line\x00", "why"}}}
	b.Key[31] = 1
	data := b.Append(nil, want)
	got, rest, err := ParseBody(data)
	if err != nil {
		t.Fatal(err)
	}
	b.Stored = 3
	if d := cmp.Diff(b, got); d != "" {
		t.Fatal(d)
	}
	tab := rows.NewSharing()
	rs, err := AppendRows(nil, rest, tab, "id", 77, 2)
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		want[i].Source, want[i].Received, want[i].Shard = "id", 77, 2
		var n evidence.NAT
		tab.NAT(&rs[i], &n)
		if d := cmp.Diff(want[i], n, cmpopts.EquateComparable(netip.Addr{})); d != "" {
			t.Error(d)
		}
	}
}

func FuzzBatch(f *testing.F) {
	b := Body{SourceID: "id", Samples: []Sample{{"x", "y"}}}
	f.Add(b.Append(nil, []evidence.NAT{{Line: "l", OutsideIP: netip.MustParseAddr("::1")}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, rest, err := ParseBody(data)
		if err != nil {
			return
		}
		if rs, err := AppendRows(nil, rest, rows.NewTable(), "s", 1, 0); err == nil && len(rs) > len(data) {
			t.Fatalf("%d rows from %d bytes", len(rs), len(data))
		}
	})
}

func TestBrokenWriterStaysBroken(t *testing.T) {
	w, err := Create(t.TempDir(), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	w.Break(errors.New("EIO"))
	if w.Write(nil, 0) == nil || w.Sync() == nil || w.Rotate() == nil {
		t.Fatal("a writer whose sync failed goes on")
	}
}
