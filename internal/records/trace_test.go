package records

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"garrison"
	"garrison/evidence"
	"garrison/internal/records/storetest"
)

var (
	pub  = netip.MustParseAddr("203.0.113.5")
	t0   = time.Date(2026, 9, 22, 10, 0, 0, 0, time.UTC)
	in1  = netip.MustParseAddr("10.0.0.1")
	in2  = netip.MustParseAddr("10.0.0.2")
	dst1 = netip.MustParseAddr("198.51.100.1")
	dst2 = netip.MustParseAddr("198.51.100.2")
)

func at(s float64) int64 { return t0.UnixMilli() + int64(s*1000) }

// nat returns a complete mapping of port 4000 by in1, changed by each function.
func nat(from, until float64, change ...func(*evidence.NAT)) evidence.NAT {
	n := evidence.NAT{Start: at(from), End: at(until), Proto: 6, InsideIP: in1, InsidePort: 1111, OutsideIP: pub, OutsidePort: 4000, OutsidePortLast: 4000, Line: "l1", Device: "d"}
	for _, f := range change {
		f(&n)
	}
	return n
}

func second(n *evidence.NAT) { n.InsideIP, n.InsidePort, n.Line = in2, 2222, "l2" }
func built(n *evidence.NAT)  { n.End, n.Event = 0, evidence.NATBuilt }
func torn(n *evidence.NAT)   { n.Event = evidence.NATTeardown }
func noStart(n *evidence.NAT) {
	n.Start, n.Event, n.Flags = n.End, evidence.NATTeardown, evidence.NATStartUnknown
}
func to1(n *evidence.NAT) { n.DstIP, n.DstPort = dst1, 443 }
func to2(n *evidence.NAT) { n.DstIP, n.DstPort = dst2, 443 }
func block(n *evidence.NAT) {
	n.OutsidePort, n.OutsidePortLast, n.InsidePort, n.Proto = 3584, 4095, 0, 0
}
func given(n *evidence.NAT) { block(n); n.End, n.Event = 0, evidence.NATBlockGiven }
func freed(n *evidence.NAT) { noStart(n); block(n); n.Event = evidence.NATBlockReleased }

func TestTraceTellsAllCandidatesAndWhy(t *testing.T) {
	for _, tc := range []struct {
		name string
		nat  []evidence.NAT
		at   float64
		skew time.Duration
		want string // LINE from-until reasons; …
	}{
		{"inside_its_time", []evidence.NAT{nat(0, 10)}, 5, 0, "l1 0-10 inside_time"},
		{"at_its_ends", []evidence.NAT{nat(0, 5), nat(5, 9, second)}, 5, 0, "l2 5-9 inside_time; l1 0-5 inside_time"},
		{"before_and_after", []evidence.NAT{nat(0, 4), nat(6, 9)}, 5, 0, ""},
		{"within_skew_only", []evidence.NAT{nat(0, 4), nat(6, 9, second)}, 5, 2 * time.Second, "l2 6-9 within_skew; l1 0-4 within_skew"},
		{"inside_before_skew", []evidence.NAT{nat(0, 4.5), nat(4.6, 9, second)}, 5, 2 * time.Second, "l2 4.6-9 inside_time; l1 0-4.5 within_skew"},
		{"other_protocol", []evidence.NAT{nat(0, 10, func(n *evidence.NAT) { n.Proto = 17 })}, 5, 0, ""},
		{"other_port", []evidence.NAT{nat(0, 10, func(n *evidence.NAT) { n.OutsidePort, n.OutsidePortLast = 4001, 4001 })}, 5, 0, ""},
		{"open", []evidence.NAT{nat(0, 0, built)}, 50_000, 0, "l1 0-open open"},
		{"open_later", []evidence.NAT{nat(10, 0, built)}, 5, 0, ""},
		{"built_and_teardown_are_one", []evidence.NAT{nat(0, 0, built), nat(0.7, 10, torn)}, 5, 0, "l1 0-10 inside_time closed_by"},
		{"built_and_teardown_without_start", []evidence.NAT{nat(0, 0, built), nat(0, 10, noStart)}, 5, 0, "l1 0-10 inside_time closed_by"},
		{"closed_before", []evidence.NAT{nat(0, 0, built), nat(0, 3, noStart)}, 5, 0, ""},
		{"teardown_closes_one_of_two", []evidence.NAT{nat(0, 0, built), nat(4, 0, built), nat(0, 10, noStart)}, 5, 0, "l1 0-open open merged"},
		{"teardown_of_another_destination", []evidence.NAT{nat(0, 0, built, to1), nat(0, 3, noStart, to2)}, 5, 0, "l1 0-open open"},
		{"teardown_of_another_inside", []evidence.NAT{nat(0, 0, built), nat(1, 3, torn, second)}, 5, 0, "l1 0-open open superseded"},
		{"superseded", []evidence.NAT{nat(0, 0, built), nat(3, 0, built, second)}, 5, 0, "l2 3-open open; l1 0-open open superseded"},
		{"start_unknown", []evidence.NAT{nat(0, 10, noStart)}, 5, 0, "l1 ?-10 start_unknown"},
		{"start_unknown_port_used_between", []evidence.NAT{nat(0, 10, noStart), nat(6, 7, second)}, 5, 0, ""},
		{"block", []evidence.NAT{nat(0, 400, block)}, 5, 0, "l1 0-400 inside_time block"},
		{"block_given", []evidence.NAT{nat(0, 0, given)}, 5, 0, "l1 0-open open block"},
		{"block_given_and_released", []evidence.NAT{nat(0, 0, given), nat(0, 100, freed)}, 5, 0, "l1 0-100 inside_time closed_by block"},
		{"connections_of_one_mapping", []evidence.NAT{nat(0, 10, to1), nat(2, 20, to2)}, 5, 0, "l1 0-20 inside_time merged"},
		{"never_two_insides_as_one", []evidence.NAT{nat(0, 10, to1), nat(0, 10, to1, second)}, 5, 0, "l1 0-10 inside_time; l2 0-10 inside_time"},
		{"clock_suspect", []evidence.NAT{nat(0, 10, func(n *evidence.NAT) { n.Flags |= evidence.NATClockSuspect })}, 5, 0, "l1 0-10 inside_time clock_suspect"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			s := w.start()
			defer w.stop(s)
			ask := func(where string) {
				t.Helper()
				a, err := s.Trace(context.Background(), garrison.Question{IP: pub, Port: 4000, Proto: 6, At: time.UnixMilli(at(tc.at)), Skew: tc.skew})
				if err != nil {
					t.Fatal(err)
				}
				if got := tell(a); got != tc.want {
					t.Errorf("from %s: %q, want %q", where, got, tc.want)
				}
				if a.Coverage.Complete {
					t.Errorf("a window nobody watched is complete")
				}
			}
			// In two batches, so that rows that belong together lie apart.
			for i := range tc.nat {
				if _, err := s.Append(context.Background(), &Batch{Source: SourceRef{ID: "i", Kind: "import"}, NAT: tc.nat[i : i+1]}); err != nil {
					t.Fatal(err)
				}
				if i == 0 && len(tc.nat) > 1 {
					if err := s.Compact(context.Background()); err != nil {
						t.Fatal(err)
					}
				}
			}
			ask("memory and a segment")
			if err := s.Compact(context.Background()); err != nil {
				t.Fatal(err)
			}
			ask("segments")
		})
	}
}

func tell(a garrison.Answer) string {
	var out []string
	for _, c := range a.Candidates {
		f := []string{c.Line, span2(c)}
		for _, r := range c.Why {
			k := strings.TrimPrefix(r.Key, "trace.why.")
			if k != "not_sealed_yet" && k != "coverage_incomplete" {
				f = append(f, k)
			}
		}
		out = append(out, strings.Join(f, " "))
	}
	return strings.Join(out, "; ")
}

func span2(c garrison.Candidate) string {
	from, until := "?", "open"
	if !c.Start.IsZero() {
		from = strconv.FormatFloat(c.Start.Sub(t0).Seconds(), 'f', -1, 64)
	}
	if !c.End.IsZero() {
		until = strconv.FormatFloat(c.End.Sub(t0).Seconds(), 'f', -1, 64)
	}
	return from + "-" + until
}

// TestTraceFindsWhatAScanFinds compares answers with a plain scan over all records,
// from memory, from segments and after merging.
func TestTraceFindsWhatAScanFinds(t *testing.T) {
	w := newWorld(t)
	w.cfg.SegmentRows = 4000
	s := w.start()
	defer w.stop(s)
	g := storetest.NewGenerator(3, storetest.Scale{Subscribers: 200, PublicIPs: 5, Destinations: 100, PerSecond: 50, From: t0.UnixMilli()})
	var all []evidence.NAT
	for range 10 {
		b := g.Batch(1000)
		all = append(all, b...)
		if _, err := s.Append(context.Background(), fromDevice(b)); err != nil {
			t.Fatal(err)
		}
	}
	r := rand.New(rand.NewPCG(4, 4))
	ask := func(where string) {
		t.Helper()
		for range 300 {
			ref := all[r.IntN(len(all))]
			q := garrison.Question{IP: ref.OutsideIP, Port: ref.OutsidePort, Proto: ref.Proto, At: time.UnixMilli(ref.Start + r.Int64N(ref.End-ref.Start+1)), Skew: time.Duration(r.IntN(3000)) * time.Millisecond}
			a, err := s.Trace(context.Background(), q)
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]bool{}
			for _, n := range all {
				if n.OutsideIP == q.IP && n.OutsidePort == q.Port && n.Proto == q.Proto && n.Start <= q.At.Add(q.Skew).UnixMilli() && n.End >= q.At.Add(-q.Skew).UnixMilli() {
					want[n.Line] = true
				}
			}
			got := map[string]bool{}
			for _, c := range a.Candidates {
				got[c.Line] = true
			}
			for l := range want {
				if !got[l] {
					t.Fatalf("%s: %+v misses %s", where, q, l)
				}
			}
			if len(got) != len(want) || a.Candidates[0].Line != ref.Line && q.Skew == 0 && len(want) == 1 {
				t.Fatalf("%s: %+v has %v, want %v", where, q, got, want)
			}
		}
	}
	ask("memory")
	if err := s.Compact(context.Background()); err != nil {
		t.Fatal(err)
	}
	ask("merged")
	if _, found := w.verify(); len(found) > 0 {
		t.Fatalf("%+v", found)
	}
	cand, err := s.Trace(context.Background(), garrison.Question{IP: all[5].OutsideIP, Port: all[5].OutsidePort, Proto: all[5].Proto, At: time.UnixMilli(all[5].Start)})
	if err != nil || len(cand.Candidates) == 0 {
		t.Fatal(cand, err)
	}
	p, err := s.Prove(context.Background(), cand.Candidates[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := evidence.VerifyChunkProof(p.Root, p.Size, p.Index, p.Leaf, p.Proof); err != nil {
		t.Fatal(err)
	}
	sample, err := s.Sample(context.Background(), garrison.Period{}, 5)
	if err != nil || len(sample) == 0 {
		t.Fatalf("Sample: %d, %v", len(sample), err)
	}
	for _, p := range sample {
		if err := evidence.VerifyChunkProof(p.Root, p.Size, p.Index, p.Leaf, p.Proof); err != nil {
			t.Error(err)
		}
		if p.Leaf != evidence.LeafHash(p.Salt, p.Record.AppendCanonical(nil)) || p.ChunkEntry.Zero() {
			t.Errorf("%+v does not show its own record", p)
		}
	}
}
