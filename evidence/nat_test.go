package evidence

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// variants returns one record and copies that differ from it in one field each.
func variants() []NAT {
	base := exampleNAT(1)[0]
	change := []func(r *NAT){
		func(*NAT) {},
		func(r *NAT) { r.Start++ }, func(r *NAT) { r.Start = -r.Start }, func(r *NAT) { r.End = 0 }, func(r *NAT) { r.End++ },
		func(r *NAT) { r.Proto = 17 }, func(r *NAT) { r.Event = NATBuilt }, func(r *NAT) { r.Flags = NATClockSuspect },
		func(r *NAT) { r.Flags = NATStartUnknown }, func(r *NAT) { r.Received++ }, func(r *NAT) { r.Shard++ },
		func(r *NAT) { r.OutsideIP = netip.MustParseAddr("203.0.113.6") }, func(r *NAT) { r.OutsideIP = netip.Addr{} },
		func(r *NAT) { r.OutsideIP = netip.MustParseAddr("2001:db8::5") }, func(r *NAT) { r.InsideIP = netip.MustParseAddr("::") },
		func(r *NAT) { r.InsideIP = netip.Addr{} }, func(r *NAT) { r.DstIP = netip.Addr{} }, func(r *NAT) { r.DstIP = netip.MustParseAddr("0.0.0.0") },
		func(r *NAT) { r.OutsidePort++ }, func(r *NAT) { r.OutsidePortLast += 511 }, func(r *NAT) { r.InsidePort++ }, func(r *NAT) { r.DstPort = 0 },
		func(r *NAT) { r.Line = "" }, func(r *NAT) { r.Line += "c" }, func(r *NAT) { r.Line, r.Device = r.Line+r.Device, "" },
		func(r *NAT) { r.Device, r.Line = r.Line+r.Device, "" }, func(r *NAT) { r.Source = "source-8" },
		func(r *NAT) { r.Line, r.Device, r.Source = "", "", "" }, func(r *NAT) { r.Source = strings.Repeat("s", MaxNATString) },
		func(r *NAT) { r.Start, r.End, r.Received = -1<<63, 1<<63-1, -1 },
	}
	all := make([]NAT, len(change))
	for i, c := range change {
		all[i] = base
		c(&all[i])
	}
	return append(all, NAT{})
}

func TestCanonicalBytesTellEveryRecordApart(t *testing.T) {
	all := variants()
	for i := range all {
		x := all[i].AppendCanonical([]byte("before"))[6:]
		back, err := ParseNAT(x)
		if err != nil || back != all[i] {
			t.Errorf("variant %d came back as %+v (%v), was %+v", i, back, err, all[i])
		}
		for j := range all {
			same := bytes.Equal(x, all[j].AppendCanonical(nil))
			if same != (i == j) || (CompareNAT(&all[i], &all[j]) == 0) != (i == j) {
				t.Errorf("variants %d and %d: same bytes %t, compare %d", i, j, same, CompareNAT(&all[i], &all[j]))
			}
		}
	}
}

func TestCompareNATIsAnOrder(t *testing.T) {
	all := variants()
	rng := rand.New(rand.NewPCG(1, 2))
	slices.SortFunc(all, func(a, b NAT) int { return CompareNAT(&a, &b) })
	want := slices.Clone(all)
	for range 20 {
		rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		slices.SortFunc(all, func(a, b NAT) int { return CompareNAT(&a, &b) })
		if !slices.Equal(all, want) {
			t.Fatal("sorting depends on the order before")
		}
	}
	for i := range want[1:] {
		a, b := &want[i], &want[i+1]
		if CompareNAT(a, b) != -1 || CompareNAT(b, a) != 1 {
			t.Errorf("%+v and %+v compare as %d and %d", a, b, CompareNAT(a, b), CompareNAT(b, a))
		}
	}
	first, second := NAT{OutsidePort: 9, End: 5}, NAT{OutsidePort: 9, Start: 7, End: 6}
	if CompareNAT(&first, &second) != -1 {
		t.Error("end does not come before start in the order")
	}
}

func TestCarelessAddressesMakeTheSameRecord(t *testing.T) {
	r := exampleNAT(1)[0]
	careless := r
	careless.OutsideIP = netip.AddrFrom16(r.OutsideIP.As16()) // ::ffff:203.0.113.5
	if !bytes.Equal(r.AppendCanonical(nil), careless.AppendCanonical(nil)) {
		t.Error("a mapped address makes another record")
	}
	if careless.Check() == nil {
		t.Error("a mapped address passes the check")
	}
	zoned := NAT{InsideIP: netip.MustParseAddr("fe80::1%eth0")}
	if zoned.Check() == nil {
		t.Error("an address with a zone passes the check")
	}
}

func TestParseNATRefusesSecondSpellings(t *testing.T) {
	r := exampleNAT(1)[0]
	good := r.AppendCanonical(nil)
	mapped := bytes.Replace(good, []byte{4, 203, 0, 113, 5}, append([]byte{16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 203, 0, 113, 5), 1)
	tests := map[string][]byte{
		"empty":                   nil,
		"other version":           append([]byte{2}, good[1:]...),
		"something follows":       append(bytes.Clone(good), 0),
		"mapped address":          mapped,
		"address of 5 bytes":      bytes.Replace(good, []byte{4, 203}, []byte{5, 203}, 1),
		"number longer than need": append([]byte{1, 0x80, 0x00}, (&NAT{}).AppendCanonical(nil)[2:]...),
		"text beyond the limit":   (&NAT{Line: strings.Repeat("x", MaxNATString+1)}).AppendCanonical(nil),
		"record beyond the limit": make([]byte, MaxNAT+1),
		"text of 2^63 bytes":      append((&NAT{}).AppendCanonical(nil)[:22], 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0, 0),
	}
	for name, b := range tests {
		if r, err := ParseNAT(b); err == nil {
			t.Errorf("%s: read as %+v", name, r)
		}
	}
	for i := range good {
		if r, err := ParseNAT(good[:i]); err == nil {
			t.Errorf("cut short after %d bytes: read as %+v", i, r)
		}
	}
}

func FuzzParseNAT(f *testing.F) {
	for _, r := range variants() {
		f.Add(r.AppendCanonical(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseNAT(b)
		if err != nil {
			return
		}
		if !bytes.Equal(r.AppendCanonical(nil), b) {
			t.Errorf("%x came back as %x", b, r.AppendCanonical(nil))
		}
		if r.Check() != nil || CompareNAT(&r, &r) != 0 {
			t.Errorf("%+v is not a record", r)
		}
	})
}

func BenchmarkAppendCanonical(b *testing.B) {
	r := exampleNAT(1)[0]
	var buf []byte
	for b.Loop() {
		buf = r.AppendCanonical(buf[:0])
	}
	b.ReportMetric(float64(len(buf)), "bytes/record")
}

func BenchmarkChunk(b *testing.B) {
	recs := exampleNAT(50_000)
	for b.Loop() {
		BuildChunkTree(NATLeaves(exampleKey(), recs)).Root()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(recs)), "ns/record")
}
