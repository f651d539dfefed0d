package records

import (
	"context"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"garrison/internal/records/storetest"
)

func (w *world) verify() (Summary, []Damage) {
	w.t.Helper()
	var found []Damage
	sum, err := Verify(context.Background(), w.cfg, w.ledger, func(d Damage) { found = append(found, d) })
	if err != nil {
		w.t.Fatal(err)
	}
	return sum, found
}

// filled returns a stopped world with segments and, when crashed, rows in the
// write-ahead file that are sealed in the ledger.
func filled(t *testing.T) *world {
	w := newWorld(t)
	g := storetest.NewGenerator(2, storetest.DefaultScale())
	s := w.start()
	for range 4 {
		if _, err := s.Append(context.Background(), fromDevice(g.Batch(2000))); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Compact(context.Background()); err != nil {
		t.Fatal(err)
	}
	b := fromDevice(g.Batch(500))
	b.Key[0] = 9
	if _, err := s.Append(context.Background(), b); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(20 * time.Second)
	for { // sealed, still in the write-ahead file, and seconds have passed
		st, err := s.Stats(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if st.Unsealed == 0 && time.Since(st.Newest) > (unsealedSeconds+2)*time.Second {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("not sealed: %+v", st)
		}
		time.Sleep(20 * time.Millisecond)
	}
	crashed := w.crashed()
	w.stop(s)
	return crashed
}

func TestFlippedByteIsNamed(t *testing.T) {
	w := filled(t)
	if sum, found := w.verify(); len(found) > 0 || sum.Records != 8500 {
		t.Fatalf("before: %+v %+v", sum, found)
	}
	var files []string
	for _, top := range []string{w.cfg.Dir, w.cfg.KeyDir} {
		_ = filepath.WalkDir(top, func(path string, e fs.DirEntry, err error) error {
			if err == nil && !e.IsDir() && e.Name() != lockName {
				files = append(files, path)
			}
			return err
		})
	}
	if len(files) < 6 {
		t.Fatalf("only %d files: %v", len(files), files)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d, files %v", seed, files)
	r := rand.New(rand.NewPCG(seed, 1))
	flips := 25
	if testing.Short() {
		flips = 8
	}
	for _, path := range files {
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for k := range flips {
			bad := append([]byte(nil), good...)
			at := r.IntN(len(bad))
			if k < 3 {
				at = []int{0, len(bad) - 1, len(bad) / 2}[k]
			}
			bad[at] ^= 1 << r.IntN(8)
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			_, found := w.verify()
			named := false
			for _, d := range found {
				base := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
				named = named || strings.Contains(d.File, base)
			}
			if !named {
				t.Errorf("a flip at %d of %d in %s is not named: %+v", at, len(bad), path, found)
			}
		}
		if err := os.WriteFile(path, good, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, found := w.verify(); len(found) > 0 {
		t.Fatalf("after: %+v", found)
	}
}

func TestMissingFileIsNamed(t *testing.T) {
	w := filled(t)
	n := 0
	_ = filepath.WalkDir(w.cfg.Dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Name() == lockName || e.Name() == catalogName {
			return err
		}
		n++
		if err := os.Rename(path, path+".away"); err != nil {
			t.Fatal(err)
		}
		if _, found := w.verify(); len(found) == 0 {
			t.Errorf("without %s nothing is found", path)
		}
		return os.Rename(path+".away", path)
	})
	if n < 4 {
		t.Fatalf("only %d files", n)
	}
}
