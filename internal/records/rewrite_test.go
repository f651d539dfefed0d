package records

import (
	"context"
	"encoding/hex"
	"strings"
	"testing"

	"garrison/evidence"
	"garrison/internal/records/rows"
	"garrison/internal/records/storetest"
)

// rewrite does what somebody could who owns the machine and its keys: it replaces a
// segment by one with other rows, with trees, sums and catalog made to fit.
func rewrite(t *testing.T, s *Store, change func([]evidence.NAT) []evidence.NAT) {
	t.Helper()
	ctx := context.Background()
	old := s.cat.Segments[0]
	tree, err := s.open.tree(old.dir(s.cfg.Dir), &old)
	if err != nil {
		t.Fatal(err)
	}
	var recs []evidence.NAT
	if err := scanSegment(ctx, &old, old.dir(s.cfg.Dir), func(tab *rows.Table, r *rows.Row) error {
		recs = append(recs, evidence.NAT{})
		tab.NAT(r, &recs[len(recs)-1])
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	g := newGeneration(0, 0, s.now())
	for _, n := range change(recs) {
		c := g.current(n.Shard, n.Received, s.now())
		if len(g.chunks) > 1 {
			t.Fatal("the test is made for one chunk")
		}
		c.rows = append(c.rows, g.table.Row(&n))
		g.rows++
	}
	for _, c := range g.chunks {
		k, ok := tree.Find(c.shard, c.second)
		if !ok {
			t.Fatal("no such chunk")
		}
		c.closed = true
		c.ref.Log, c.ref.Index, c.ref.Digest = old.Log, k.Index, hex.EncodeToString(k.Digest[:])
	}
	ref, err := s.writeGeneration(ctx, g)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.commitCatalog(nil, func(c *catalog) { c.Segments = []segmentRef{ref} }, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.removeSegments([]segmentRef{old}); err != nil {
		t.Fatal(err)
	}
}

func TestRewrittenHistoryIsNamed(t *testing.T) {
	for name, change := range map[string]func([]evidence.NAT) []evidence.NAT{
		"altered": func(r []evidence.NAT) []evidence.NAT { r[3].Line = "somebody else"; return r },
		"removed": func(r []evidence.NAT) []evidence.NAT { return r[1:] },
		"added":   func(r []evidence.NAT) []evidence.NAT { return append(r, r[0]) },
		"nothing": func(r []evidence.NAT) []evidence.NAT { return r },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			s := w.start()
			if _, err := s.Append(context.Background(), fromDevice(storetest.NewGenerator(40, storetest.DefaultScale()).Batch(50))); err != nil {
				t.Fatal(err)
			}
			if err := s.Compact(context.Background()); err != nil {
				t.Fatal(err)
			}
			rewrite(t, s, change)
			w.stop(s)
			_, found := w.verify()
			if name == "nothing" {
				if len(found) > 0 {
					t.Fatalf("%+v", found)
				}
				return
			}
			if len(found) == 0 || found[0].Records < 49 || !strings.Contains(found[0].What, "sealed") || !strings.HasPrefix(found[0].File, segmentsDir) {
				t.Fatalf("%+v", found)
			}
		})
	}
}

func TestRemovedSegmentIsNamedByTheLedger(t *testing.T) {
	w := newWorld(t)
	s := w.start()
	if _, err := s.Append(context.Background(), fromDevice(storetest.NewGenerator(41, storetest.DefaultScale()).Batch(50))); err != nil {
		t.Fatal(err)
	}
	if err := s.Compact(context.Background()); err != nil {
		t.Fatal(err)
	}
	old := s.cat.Segments
	if err := s.commitCatalog(nil, func(c *catalog) { c.Segments = nil }, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.removeSegments(old); err != nil {
		t.Fatal(err)
	}
	w.stop(s)
	_, found := w.verify()
	if len(found) != 1 || found[0].File != "ledger" || found[0].Records != 50 {
		t.Fatalf("%+v", found)
	}
}

func TestUnequalEntriesAreDamned(t *testing.T) {
	w := newWorld(t)
	s := w.start()
	if _, err := s.Append(context.Background(), fromDevice(storetest.NewGenerator(42, storetest.DefaultScale()).Batch(50))); err != nil {
		t.Fatal(err)
	}
	w.stop(s)
	var chunk evidence.Chunk
	_ = w.ledger.Scan(context.Background(), 0, func(_ uint64, b []byte) error {
		if e, err := evidence.ParseEntry(b); err == nil && e.Type == evidence.TypeChunk {
			chunk, _ = evidence.ChunkOf(e)
		}
		return nil
	})
	again := func(want int) {
		t.Helper()
		if _, err := w.ledger.Append(context.Background(), chunk.Entry().Marshal()); err != nil {
			t.Fatal(err)
		}
		if _, found := w.verify(); len(found) != want {
			t.Fatalf("%d problems, want %d: %+v", len(found), want, found)
		}
	}
	again(0) // the same root twice is what a crash leaves
	chunk.Root[0] ^= 1
	again(1)
}
