package records

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"garrison"
	"garrison/evidence"
	"garrison/internal/records/storetest"
)

// mixed returns records of all files a segment can have, ties between them and equal
// ones.
func mixed(seed uint64, n int) []evidence.NAT {
	g := storetest.NewGenerator(seed, storetest.Scale{Subscribers: 50, PublicIPs: 3, Destinations: 20, PerSecond: 50, From: t0.UnixMilli()})
	list := g.Batch(n)
	for i := range list {
		r := &list[i]
		switch i % 7 {
		case 1:
			r.End, r.Event = 0, evidence.NATBuilt
		case 2:
			r.End = r.Start + 3_600_000
		case 3:
			r.OutsideIP = netip.MustParseAddr("2001:db8::7")
		case 4:
			*r = list[i-1]
		case 5: // as the one before, but its beginning is not known
			*r = list[i-3]
			r.Start, r.Event, r.Flags = r.End, evidence.NATTeardown, evidence.NATStartUnknown
		case 6:
			r.OutsidePortLast = r.OutsidePort | 0xff
		}
	}
	return list
}

// TestProofsAreThoseOfTheWholeChunk proves every record, in memory, from segments and
// merged, and compares with a tree that is built over all records of its chunk.
func TestProofsAreThoseOfTheWholeChunk(t *testing.T) {
	w := newWorld(t)
	w.cfg.Shards = 2
	s := w.start()
	defer func() { w.stop(s) }()
	ctx := context.Background()
	add := func(seed uint64) {
		for part := range slices.Chunk(mixed(seed, 700), 350) {
			b := fromDevice(part)
			b.Source.ID = "src-" + string(rune('a'+len(part)%2+int(seed)%2))
			if _, err := s.Append(ctx, b); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, 20*time.Second, "all is sealed", func() bool {
			st, err := s.Stats(ctx)
			return err == nil && st.Unsealed == 0
		})
	}
	check := func(where string) {
		t.Helper()
		chunks := map[garrison.ChunkID][]evidence.NAT{}
		for _, n := range w.all(s) {
			id := garrison.ChunkID{Kind: garrison.KindNAT, Shard: int(n.Shard), Second: n.Received}
			chunks[id] = append(chunks[id], n)
		}
		for id, recs := range chunks {
			w.proofs(s, where, id, recs)
		}
		sample, err := s.Sample(ctx, garrison.Period{}, 1000)
		if err != nil || len(sample) != len(chunks) {
			t.Fatalf("%s: %d samples of %d chunks, %v", where, len(sample), len(chunks), err)
		}
		for _, p := range sample {
			if err := evidence.VerifyChunkProof(p.Root, p.Size, p.Index, p.Leaf, p.Proof); err != nil || p.Index != 0 || int(p.Size) != len(chunks[p.Chunk]) {
				t.Errorf("%s: sample %+v: %v", where, p.Chunk, err)
			}
		}
	}
	add(1)
	add(2)
	check("in memory")
	w.stop(s)
	s = w.start()
	check("after a restart")
	if err := s.Compact(ctx); err != nil {
		t.Fatal(err)
	}
	add(3)
	check("in segments and in memory")
	if err := s.Compact(ctx); err != nil {
		t.Fatal(err)
	}
	check("merged")
}

// proofs proves each record of one chunk.
func (w *world) proofs(s *Store, where string, id garrison.ChunkID, recs []evidence.NAT) {
	w.t.Helper()
	slices.SortFunc(recs, func(a, b evidence.NAT) int { return evidence.CompareNAT(&a, &b) })
	key, err := s.keys.chunk(id, false)
	if err != nil {
		w.t.Fatal(err)
	}
	tree := evidence.BuildChunkTree(evidence.NATLeaves(key, recs))
	for i := range recs {
		r := &recs[i]
		p, err := s.Prove(context.Background(), garrison.Candidate{
			Line: r.Line, InsideIP: r.InsideIP, InsidePort: r.InsidePort, OutsideIP: r.OutsideIP, FirstPort: r.OutsidePort, LastPort: r.OutsidePortLast,
			Device: r.Device, Source: r.Source, Chunk: id,
		})
		if err != nil {
			w.t.Fatalf("%s: record %d of %d: %v", where, i, len(recs), err)
		}
		if p.Root != tree.Root() || int(p.Size) != len(recs) || p.Index > uint64(i) {
			w.t.Fatalf("%s: record %d of %d is proven as %d of %d, root %x", where, i, len(recs), p.Index, p.Size, p.Root)
		}
		if d := cmp.Diff(p.Record, recs[p.Index], cmpopts.EquateComparable(netip.Addr{})); d != "" {
			w.t.Fatalf("%s: record %d (-got +want): %s", where, i, d)
		}
		if err := evidence.VerifyChunkProof(p.Root, p.Size, p.Index, p.Leaf, p.Proof); err != nil {
			w.t.Fatalf("%s: record %d: %v", where, i, err)
		}
	}
}
