package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"garrison"
	"garrison/evidence"

	"github.com/google/go-cmp/cmp"
)

// clock is a clock that a test moves.
type clock struct {
	mu     sync.Mutex
	offset time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.offset)
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset += d
}

func testConfig(t *testing.T) Config {
	t.Helper()
	cfg := DefaultConfig()
	root := t.TempDir()
	cfg.Dir, cfg.KeyDir = filepath.Join(root, "ledger"), filepath.Join(root, "keys")
	cfg.Origin = "garrison.example/test"
	cfg.CheckpointInterval = 200 * time.Millisecond
	cfg.Beat = time.Minute // tests that want beats say so
	return cfg
}

func testDeps(t *testing.T) Deps {
	return Deps{Log: slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn})), Now: time.Now}
}

// testWriter shows the log with a failing test.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	if w.t.Context().Err() == nil {
		w.t.Log(string(bytes.TrimSpace(p)))
	}
	return len(p), nil
}

func start(t *testing.T, cfg Config, deps Deps) *Ledger {
	t.Helper()
	l, err := New(cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, l) })
	return l
}

// stop stops a ledger whatever the test did to it.
func stop(t *testing.T, l *Ledger) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 5*time.Second)
	defer cancel()
	if err := l.Stop(ctx); err != nil {
		t.Logf("stop: %v", err)
	}
}

// crash ends a ledger as kill -9 would: no stop entry, no last checkpoint.
func crash(t *testing.T, l *Ledger) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running = false
	if err := l.close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func fill(t *testing.T, l *Ledger, n int) []garrison.EvidenceRef {
	t.Helper()
	var all []garrison.EvidenceRef
	for len(all) < n {
		var entries [][]byte
		for i := len(all); i < min(n, len(all)+300); i++ {
			entries = append(entries, testEntry(i))
		}
		refs, err := l.Append(t.Context(), entries...)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, refs...)
	}
	return all
}

func testEntry(i int) []byte {
	return evidence.NewEntry("config", "number", fmt.Sprint(i), "digest", fmt.Sprintf("%064x", i*i)).Marshal()
}

func sealAll(t *testing.T, l *Ledger) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := l.seal.await(ctx, l.reader.Size()); err != nil {
		t.Fatal(err)
	}
}

// awaitPublished waits until the checkpoint file is the kept one.
func awaitPublished(t *testing.T, l *Ledger) {
	t.Helper()
	sealAll(t, l)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := l.seal.awaitPublished(ctx); err != nil {
		t.Fatal(err)
	}
}

func damagesOf(t *testing.T, cfg Config) ([]Damage, Summary) {
	t.Helper()
	var all []Damage
	sum, err := Verify(t.Context(), cfg, func(d Damage) { all = append(all, d) })
	if err != nil {
		t.Fatalf("verify: %v", err)
	}
	return all, sum
}

func mustBeClean(t *testing.T, cfg Config) Summary {
	t.Helper()
	damages, sum := damagesOf(t, cfg)
	if len(damages) > 0 {
		t.Fatalf("verification found %d damages, first %+v", len(damages), damages[0])
	}
	return sum
}

func TestAppendedEntriesAreThereAndProvable(t *testing.T) {
	l := start(t, testConfig(t), testDeps(t))
	refs := fill(t, l, 700)
	keys, err := evidence.ParseKeys([]byte(l.PublicKey()))
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{0, 1, 254, 255, 256, 511, 699} {
		got, err := l.Entry(t.Context(), refs[i].Index)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(testEntry(i), got); diff != "" {
			t.Errorf("entry %d (-want +got):\n%s", i, diff)
		}
		r, err := l.Receipt(t.Context(), refs[i])
		if err != nil {
			t.Fatalf("receipt of entry %d: %v", i, err)
		}
		if err := evidence.Verify(got, r, keys); err != nil {
			t.Errorf("an outsider refuses the receipt of entry %d: %v", i, err)
		}
		if err := evidence.Verify(testEntry(i+1), r, keys); err == nil {
			t.Errorf("the receipt of entry %d proves another entry", i)
		}
	}
}

func TestScanYieldsEverythingInOrderFromAnywhere(t *testing.T) {
	l := start(t, testConfig(t), testDeps(t))
	refs := fill(t, l, 600)
	for _, from := range []int{0, 255, 256, 599} {
		next := from
		err := l.Scan(t.Context(), refs[from].Index, func(index uint64, entry []byte) error {
			if index != refs[next].Index || !bytes.Equal(entry, testEntry(next)) {
				return fmt.Errorf("index %d holds %q, expected %q", index, entry, testEntry(next))
			}
			next++
			return nil
		})
		if err != nil || next != 600 {
			t.Errorf("scan from %d: reached %d of 600, %v", from, next, err)
		}
	}
	stopAt := errors.New("enough")
	if err := l.Scan(t.Context(), 0, func(uint64, []byte) error { return stopAt }); !errors.Is(err, stopAt) {
		t.Errorf("scan ended with %v, expected the error of yield", err)
	}
}

func TestConcurrentAppendsGetDistinctPlaces(t *testing.T) {
	l := start(t, testConfig(t), testDeps(t))
	const workers, each = 16, 20
	got := make([][]garrison.EvidenceRef, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				refs, err := l.Append(t.Context(), testEntry(w*1000+2*i), testEntry(w*1000+2*i+1))
				if err != nil {
					t.Error(err)
					return
				}
				if refs[1].Index != refs[0].Index+1 {
					t.Errorf("entries of one append stand at %d and %d", refs[0].Index, refs[1].Index)
				}
				got[w] = append(got[w], refs...)
			}
		})
	}
	wg.Wait()
	seen := map[uint64]bool{}
	for w, refs := range got {
		for i, ref := range refs {
			if seen[ref.Index] {
				t.Fatalf("index %d was given twice", ref.Index)
			}
			seen[ref.Index] = true
			if e, err := l.Entry(t.Context(), ref.Index); err != nil || !bytes.Equal(e, testEntry(w*1000+i)) {
				t.Fatalf("entry %d: %q, %v", ref.Index, e, err)
			}
		}
	}
	if len(seen) != workers*each*2 {
		t.Errorf("%d entries, expected %d", len(seen), workers*each*2)
	}
}

func TestHostileEntriesAreRefused(t *testing.T) {
	l := start(t, testConfig(t), testDeps(t))
	size := l.reader.Size()
	for name, c := range map[string]struct {
		entries [][]byte
		code    garrison.Code
	}{
		"empty":    {[][]byte{{}}, garrison.Invalid},
		"tooLarge": {[][]byte{make([]byte, evidence.MaxEntry+1)}, garrison.TooLarge},
		"tooMany":  {make([][]byte, maxOnce+1), garrison.TooLarge},
		"second":   {[][]byte{testEntry(1), {}}, garrison.Invalid},
	} {
		if _, err := l.Append(t.Context(), c.entries...); garrison.CodeOf(err) != c.code {
			t.Errorf("%s: %v, expected code %s", name, err, c.code)
		}
	}
	if l.reader.Size() != size {
		t.Errorf("refused entries left %d entries behind", l.reader.Size()-size)
	}
}

func TestConfigurationFaultsAreReportedTogether(t *testing.T) {
	cfg := testConfig(t)
	cfg.KeyDir, cfg.Origin, cfg.Beat = filepath.Join(cfg.Dir, "keys"), "has spaces", time.Hour
	_, err := New(cfg, testDeps(t))
	if garrison.CodeOf(err) != garrison.Invalid {
		t.Fatalf("New: %v", err)
	}
	for _, word := range []string{"KeyDir", "origin", "beat"} {
		if !bytes.Contains([]byte(err.Error()), []byte(word)) {
			t.Errorf("%v does not mention %s", err, word)
		}
	}
}

func TestSecondLedgerOnOneDirectoryIsRefused(t *testing.T) {
	cfg := testConfig(t)
	start(t, cfg, testDeps(t))
	second, err := New(cfg, testDeps(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Start(t.Context()); garrison.CodeOf(err) != garrison.Conflict {
		t.Errorf("second start: %v, expected code conflict", err)
	}
}

func TestStatusTellsWhatIsSealed(t *testing.T) {
	l := start(t, testConfig(t), testDeps(t))
	fill(t, l, 3)
	sealAll(t, l)
	s, err := l.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s.Size != 4 || s.Sealed != 4 || s.Fault != "" || s.Root == "" || len(s.Checkpoints) == 0 || s.Checkpoints[0].Size != 4 || !s.SameDisk {
		t.Errorf("status %+v", s)
	}
}

func TestStoppedAndNotStartedLedgersRefuse(t *testing.T) {
	l, err := New(testConfig(t), testDeps(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"before", "after"} {
		if _, err := l.Append(t.Context(), testEntry(1)); garrison.CodeOf(err) != garrison.Unavailable {
			t.Errorf("append %s its life: %v, expected code unavailable", when, err)
		}
		if when == "before" {
			if err := l.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			stop(t, l)
		}
	}
}
