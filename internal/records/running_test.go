package records

import (
	"context"
	"sync"
	"testing"
	"time"

	"garrison"
	"garrison/internal/records/storetest"
)

// TestVerifyAndTraceOnARunningStore lets intake, cuts, merges, questions and
// verification run together: nothing may be reported, nothing may be missed.
func TestVerifyAndTraceOnARunningStore(t *testing.T) {
	w := newWorld(t)
	w.cfg.SegmentRows, w.cfg.SegmentEvery, w.cfg.Maintain, w.cfg.Shards = 2000, time.Second, 100*time.Millisecond, 2
	s := w.start()
	ctx, cancel := context.WithTimeout(context.Background(), 6*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	first := storetest.NewGenerator(20, storetest.DefaultScale()).Batch(100)
	if _, err := s.Append(ctx, fromDevice(first)); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		wg.Go(func() {
			g := storetest.NewGenerator(uint64(21+i), storetest.DefaultScale())
			for ctx.Err() == nil {
				b := fromDevice(g.Batch(100))
				b.Source.ID = []string{"a", "b"}[i]
				if err := s.Offer(b); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	wg.Go(func() {
		for ctx.Err() == nil {
			if err := s.Compact(ctx); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
	})
	asked := 0
	wg.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			n := &first[i%len(first)]
			a, err := s.Trace(context.Background(), garrison.Question{IP: n.OutsideIP, Port: n.OutsidePort, Proto: n.Proto, At: time.UnixMilli(n.End)})
			if err != nil {
				t.Error(err)
			} else if len(a.Candidates) == 0 || a.Candidates[0].Line != n.Line {
				t.Errorf("question %d: %+v", i, a.Candidates)
			}
			for _, g := range a.Coverage.Gaps {
				if g.Cause == causeDamaged {
					t.Errorf("question %d: %+v", i, g)
				}
			}
			asked++
		}
	})
	looks := 0
	for ctx.Err() == nil {
		sum, err := Verify(context.Background(), w.cfg, w.ledger, func(d Damage) { t.Errorf("running: %+v", d) })
		if err != nil {
			t.Fatal(err)
		}
		if sum.Records < 100 {
			t.Errorf("%+v", sum)
		}
		looks++
	}
	wg.Wait()
	if looks < 3 || asked < 10 {
		t.Errorf("only %d looks and %d questions", looks, asked)
	}
	w.stop(s)
	if sum, found := w.verify(); len(found) > 0 {
		t.Fatalf("%+v %+v", sum, found)
	}
}

func TestSealedWithinTwoSeconds(t *testing.T) {
	w := newWorld(t)
	s := w.start()
	g := storetest.NewGenerator(30, storetest.DefaultScale())
	for end := time.Now().Add(4 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if _, err := s.Append(context.Background(), fromDevice(g.Batch(50))); err != nil {
			t.Fatal(err)
		}
	}
	st, err := s.Stats(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("longest from the first record of a second to its place in the ledger: %v", st.SealDelayMax)
	if st.SealDelayMax == 0 || time.Since(st.SealedUntil) > 3*time.Second {
		t.Errorf("%+v", st)
	}
	w.stop(s)
}
