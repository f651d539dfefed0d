package ledger

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"
)

// BenchmarkAppendAndSeal measures what the package comment promises: how long a small
// append takes until it is durable, and until a checkpoint covers it.
func BenchmarkAppendAndSeal(b *testing.B) {
	cfg := DefaultConfig()
	root := b.TempDir()
	cfg.Dir, cfg.KeyDir, cfg.Origin = filepath.Join(root, "ledger"), filepath.Join(root, "keys"), "garrison.example/bench"
	l, err := New(cfg, Deps{Log: slog.New(slog.DiscardHandler), Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	if err := l.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	var durable, sealed, worstDurable, worstSealed time.Duration
	n := 0
	for b.Loop() {
		began := time.Now()
		if _, err := l.Append(b.Context(), testEntry(n), testEntry(n+1), testEntry(n+2)); err != nil {
			b.Fatal(err)
		}
		d := time.Since(began)
		if err := l.seal.await(b.Context(), l.reader.Size()); err != nil {
			b.Fatal(err)
		}
		s := time.Since(began)
		durable, sealed, n = durable+d, sealed+s, n+1
		worstDurable, worstSealed = max(worstDurable, d), max(worstSealed, s)
	}
	b.ReportMetric(float64(durable.Milliseconds())/float64(n), "ms-durable")
	b.ReportMetric(float64(worstDurable.Milliseconds()), "ms-durable-worst")
	b.ReportMetric(float64(sealed.Milliseconds())/float64(n), "ms-sealed")
	b.ReportMetric(float64(worstSealed.Milliseconds()), "ms-sealed-worst")
	if err := l.Stop(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkThroughput measures entries a second in groups of 200.
func BenchmarkThroughput(b *testing.B) {
	cfg := DefaultConfig()
	root := b.TempDir()
	cfg.Dir, cfg.KeyDir, cfg.Origin = filepath.Join(root, "ledger"), filepath.Join(root, "keys"), "garrison.example/bench"
	l, err := New(cfg, Deps{Log: slog.New(slog.DiscardHandler), Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	if err := l.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	var group [][]byte
	for i := range 200 {
		group = append(group, testEntry(i))
	}
	for b.Loop() {
		if _, err := l.Append(b.Context(), group...); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(200*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
	if err := l.Stop(b.Context()); err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	sum, err := Verify(b.Context(), cfg, func(d Damage) { b.Errorf("%+v", d) })
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(sum.Size)/time.Since(began).Seconds(), "entries/s-verified")
}
