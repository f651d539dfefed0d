package records

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"garrison/evidence"
	"garrison/internal/records/rows"
	"garrison/internal/records/storetest"
)

type world struct {
	t      testing.TB
	dir    string
	cfg    Config
	ledger *storetest.Ledger
	now    func() time.Time
}

func newWorld(t testing.TB) *world {
	t.Helper()
	dir := t.TempDir()
	cfg := DefaultConfig()
	cfg.Dir, cfg.KeyDir, cfg.MinFree = filepath.Join(dir, "records"), filepath.Join(dir, "keys"), 1<<20
	l, err := storetest.OpenLedger(filepath.Join(dir, "ledger"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return &world{t: t, dir: dir, cfg: cfg, ledger: l, now: time.Now}
}

func (w *world) start() *Store {
	w.t.Helper()
	s, err := New(w.cfg, Deps{Ledger: w.ledger, Entries: w.ledger, Now: w.now})
	if err != nil {
		w.t.Fatal(err)
	}
	if err := s.Start(context.Background()); err != nil {
		w.t.Fatal(err)
	}
	return s
}

func (w *world) stop(s *Store) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		w.t.Fatal(err)
	}
}

// all returns every record of the store, from segments and memory.
func (w *world) all(s *Store) []evidence.NAT {
	w.t.Helper()
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []evidence.NAT
	var n evidence.NAT
	for i := range s.cat.Segments {
		r := &s.cat.Segments[i]
		if err := scanSegment(context.Background(), r, r.dir(s.cfg.Dir), func(t *rows.Table, r *rows.Row) error {
			t.NAT(r, &n)
			out = append(out, n)
			return nil
		}); err != nil {
			w.t.Fatal(err)
		}
	}
	gens := append([]*generation(nil), s.frozen...)
	for _, c := range s.shards {
		gens = append(gens, c.gen)
	}
	for _, g := range gens {
		for _, c := range g.chunks {
			for i := range c.rows {
				g.table.NAT(&c.rows[i], &n)
				out = append(out, n)
			}
		}
	}
	return out
}

func fromDevice(rs []evidence.NAT) *Batch {
	return &Batch{Source: SourceRef{ID: "src-1", Name: "cgn", Kind: "syslog_tcp"}, NAT: rs}
}

func TestStoredRecordsSurviveRestart(t *testing.T) {
	w := newWorld(t)
	g := storetest.NewGenerator(1, storetest.DefaultScale())
	var sent []evidence.NAT
	for round := range 3 {
		s := w.start()
		if got := len(w.all(s)); got != len(sent) {
			t.Fatalf("round %d: %d records, want %d", round, got, len(sent))
		}
		for range 5 {
			b := g.Batch(1000)
			sent = append(sent, b...)
			ack, err := s.Append(context.Background(), fromDevice(b))
			if err != nil || ack.Stored != 1000 {
				t.Fatalf("Append = %+v, %v", ack, err)
			}
		}
		if round == 1 {
			if err := s.Compact(context.Background()); err != nil {
				t.Fatal(err)
			}
			if n := len(s.cat.Segments); n != 1 {
				t.Fatalf("%d segments after Compact, want 1", n)
			}
		}
		if got := len(w.all(s)); got != len(sent) {
			t.Fatalf("round %d: %d records, want %d", round, got, len(sent))
		}
		w.stop(s)
	}
}
