package rows

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"garrison/evidence"
)

// anyNAT returns a record from a small value space, so that ties are common.
func anyNAT(r *rand.Rand) evidence.NAT {
	addrs := []netip.Addr{{}, netip.MustParseAddr("203.0.113.5"), netip.MustParseAddr("10.0.0.1"),
		netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2"), netip.MustParseAddr("::")}
	texts := []string{"", "a", "b", "line-17", "设备"}
	pick := func() netip.Addr { return addrs[r.IntN(len(addrs))] }
	text := func() string { return texts[r.IntN(len(texts))] }
	n := evidence.NAT{
		Start: int64(r.IntN(3)), End: int64(r.IntN(3)), Proto: uint8(r.IntN(2)),
		InsideIP: pick(), OutsideIP: pick(), DstIP: pick(),
		InsidePort: uint16(r.IntN(2)), OutsidePort: uint16(r.IntN(2)), DstPort: uint16(r.IntN(2)),
		Line: text(), Device: text(), Source: text(),
		Event: uint8(r.IntN(3)), Flags: uint8(r.IntN(2)), Received: int64(r.IntN(2)), Shard: uint8(r.IntN(2)),
	}
	n.OutsidePortLast = n.OutsidePort + uint16(r.IntN(2))
	return n
}

func TestCompareIsTheCanonicalOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	ta, tb := NewTable(), NewTable()
	for range 200_000 {
		a, b := anyNAT(r), anyNAT(r)
		if r.IntN(2) == 0 { // differ late
			keep := b
			b = a
			b.Shard, b.Received, b.Flags, b.Line, b.DstIP = keep.Shard, keep.Received, keep.Flags, keep.Line, keep.DstIP
		}
		ra, rb := ta.Row(&a), tb.Row(&b)
		if got, want := Compare(ta, &ra, tb, &rb), evidence.CompareNAT(&a, &b); got != want {
			t.Fatalf("Compare = %d, CompareNAT = %d\n%+v\n%+v", got, want, a, b)
		}
	}
}

func TestRowKeepsTheRecord(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	ta := NewTable()
	for range 10_000 {
		a := anyNAT(r)
		row := ta.Row(&a)
		var got evidence.NAT
		ta.View().NAT(&row, &got)
		if d := cmp.Diff(a, got, cmpopts.EquateComparable(netip.Addr{})); d != "" {
			t.Fatalf("record through a row (-want +got)\n%s", d)
		}
	}
}

func TestMergeEqualsSort(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	tab := NewSharing()
	for runs := range 9 {
		var parts [][]Row
		var all []Row
		for range runs {
			var part []Row
			for range r.IntN(50) {
				n := anyNAT(r)
				part = append(part, tab.Row(&n))
			}
			tab.Sort(part)
			all = append(all, part...)
			parts = append(parts, part)
		}
		tab.Sort(all)
		var sources []Source
		for _, p := range parts {
			sources = append(sources, &Run{Table: tab, Rows: p})
		}
		var got []Row
		if err := Merge(sources, func(_ *Table, r *Row) error { got = append(got, *r); return nil }); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, all) {
			t.Fatalf("merge of %d runs differs from a sort", runs)
		}
	}
}

// TestSortedIsCanonical compares the sort by short keys with one by whole records, ties
// in address, port and end among them.
func TestSortedIsCanonical(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	tab := NewTable()
	var rs []Row
	var want []evidence.NAT
	for i := range 5_000 {
		n := anyNAT(r)
		if i%3 != 0 {
			last := want[i-1]
			n.OutsideIP, n.OutsidePort = last.OutsideIP, last.OutsidePort
			if i%3 == 2 {
				n.End = last.End
			}
			n.OutsidePortLast = n.OutsidePort
		}
		rs, want = append(rs, tab.Row(&n)), append(want, n)
	}
	before := slices.Clone(rs)
	got := tab.Sorted(rs)
	if !slices.Equal(rs, before) {
		t.Fatal("Sorted changed what it was given")
	}
	slices.SortFunc(want, func(a, b evidence.NAT) int { return evidence.CompareNAT(&a, &b) })
	for i := range got {
		var n evidence.NAT
		if tab.NAT(&got[i], &n); n != want[i] {
			t.Fatalf("row %d (-want +got)\n%s", i, cmp.Diff(want[i], n, cmpopts.EquateComparable(netip.Addr{})))
		}
	}
}
