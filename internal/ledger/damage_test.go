package ledger

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"garrison"
)

// filesOf lists the files under a directory.
func filesOf(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func rewrite(t *testing.T, path string, raw []byte) {
	t.Helper()
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// names says whether one of the damages names a file.
func names(damages []Damage, file string) bool {
	for _, d := range damages {
		if d.File == file {
			return true
		}
	}
	return false
}

func TestEveryFlippedByteIsNamed(t *testing.T) {
	cfg := testConfig(t)
	l := start(t, cfg, testDeps(t))
	fill(t, l, 520)
	sealAll(t, l)
	fill(t, l, 7)
	stop(t, l)
	if sum := mustBeClean(t, cfg); sum.Sealed != 529 || sum.Size != 529 {
		t.Fatalf("summary %+v, expected 529 entries, all sealed", sum)
	}
	seed := uint64(20261124)
	random := rand.New(rand.NewPCG(seed, 1))
	flips, files := 0, append(filesOf(t, cfg.Dir), filesOf(t, cfg.KeyDir)...)
	for _, path := range files {
		name, err := filepath.Rel(cfg.Dir, path)
		if err != nil || strings.HasPrefix(name, "..") {
			name = path
		}
		good := read(t, path)
		for range 12 {
			bad := bytes.Clone(good)
			at, bit := -1, random.IntN(8)
			if len(good) == 0 {
				bad = []byte{1} // an empty lock file: a byte added
			} else {
				at = random.IntN(len(good))
				bad[at] ^= 1 << bit
			}
			rewrite(t, path, bad)
			if damages, _ := damagesOf(t, cfg); !names(damages, name) {
				t.Errorf("seed %d: %s, bit %d of byte %d flipped: reported %+v", seed, name, bit, at, damages)
			}
			flips++
		}
		rewrite(t, path, good)
	}
	if len(files) < 20 || flips < 240 {
		t.Errorf("%d files and %d flips, expected at least 20 and 240", len(files), flips)
	}
	mustBeClean(t, cfg)
}

func TestDamageNamesTheEntriesAndStaysLocal(t *testing.T) {
	cfg := testConfig(t)
	l := start(t, cfg, testDeps(t))
	fill(t, l, 600)
	stop(t, l)
	path := filepath.Join(cfg.Dir, "tile/entries/001")
	good := read(t, path)
	bad := bytes.Clone(good)
	bad[2+len("garrison/")] ^= 1 // in the text of the bundle's first entry
	rewrite(t, path, bad)
	damages, _ := damagesOf(t, cfg)
	if len(damages) != 1 || damages[0].File != "tile/entries/001" || damages[0].Range != "entry 256" {
		t.Errorf("damages %+v, expected one, of entry 256 in tile/entries/001", damages)
	}
	rewrite(t, path, good)
	tile := filepath.Join(cfg.Dir, "tile/0/001")
	bad = read(t, tile)
	bad[33] ^= 1
	rewrite(t, tile, bad)
	damages, _ = damagesOf(t, cfg)
	if len(damages) != 1 || damages[0].File != "tile/0/001" || damages[0].Range != "entry 257" {
		t.Errorf("damages %+v, expected one, of entry 257 in tile/0/001", damages)
	}
}

func TestMissingTruncatedSwappedAndForeignFilesAreNamed(t *testing.T) {
	cfg := testConfig(t)
	l := start(t, cfg, testDeps(t))
	fill(t, l, 600)
	stop(t, l)
	a, b := filepath.Join(cfg.Dir, "tile/entries/000"), filepath.Join(cfg.Dir, "tile/entries/001")
	goodA, goodB := read(t, a), read(t, b)
	restore := func() { rewrite(t, a, goodA); rewrite(t, b, goodB) }
	foreign := filepath.Join(cfg.Dir, "tile/entries/readme")
	for name, c := range map[string]struct {
		do   func()
		file string
	}{
		"missing":   {func() { os.Remove(a) }, "tile/entries/000"},
		"truncated": {func() { rewrite(t, a, goodA[:len(goodA)-9]) }, "tile/entries/000"},
		"empty":     {func() { rewrite(t, b, nil) }, "tile/entries/001"},
		"swapped":   {func() { rewrite(t, a, goodB); rewrite(t, b, goodA) }, "tile/entries/001"},
		"foreign":   {func() { rewrite(t, foreign, []byte("hello")) }, "tile/entries/readme"},
		"beyond":    {func() { rewrite(t, filepath.Join(cfg.Dir, "tile/entries/099"), goodA) }, "tile/entries/099"},
	} {
		c.do()
		if damages, _ := damagesOf(t, cfg); !names(damages, c.file) {
			t.Errorf("%s: reported %+v, expected %s", name, damages, c.file)
		}
		restore()
		os.Remove(foreign)
		os.Remove(filepath.Join(cfg.Dir, "tile/entries/099"))
	}
	mustBeClean(t, cfg)
}

func TestRunningLedgerVerifiesClean(t *testing.T) {
	cfg := testConfig(t)
	l := start(t, cfg, testDeps(t))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ctx.Err() == nil; i++ {
			if _, err := l.Append(ctx, testEntry(i), testEntry(i+1), testEntry(i+2)); err != nil && ctx.Err() == nil {
				t.Error(err)
				return
			}
		}
	}()
	var sum Summary
	for sum.Size < 600 && !t.Failed() {
		sum = mustBeClean(t, cfg)
	}
	cancel()
	<-done
}

// corrupt flips a byte in the middle of the last bundle of entries on disk.
func corrupt(t *testing.T, l *Ledger) (path string, good []byte) {
	t.Helper()
	size := l.reader.Size()
	path = filepath.Join(l.cfg.Dir, bundleName((size-1)/bundleWidth, size))
	good = read(t, path)
	bad := bytes.Clone(good)
	bad[len(bad)/2] ^= 0x20
	rewrite(t, path, bad)
	return path, good
}

func TestFlippedByteBetweenAppendAndSealIsNeverSigned(t *testing.T) {
	cfg := testConfig(t)
	cfg.CheckpointInterval = 2 * time.Second // room to flip
	l := start(t, cfg, testDeps(t))
	sealAll(t, l)
	sealed, _, _ := l.seal.sealedSize()
	fill(t, l, 9)
	path, good := corrupt(t, l)
	await(t, "a refused signature", func() bool { _, refused, _ := l.seal.sealedSize(); return refused != nil })
	now, refused, _ := l.seal.sealedSize()
	if now != sealed || garrison.CodeOf(refused) != garrison.Damaged || !strings.Contains(refused.Error(), "tile/entries/") {
		t.Fatalf("sealed %d (before %d), refusal %v; expected a refusal that names the bundle", now, sealed, refused)
	}
	if _, err := l.Append(t.Context(), testEntry(1)); garrison.CodeOf(err) != garrison.Damaged {
		t.Errorf("append on a damaged ledger: %v, expected code damaged", err)
	}
	if s, err := l.Status(t.Context()); err != nil || !s.Damaged || s.Fault == "" {
		t.Errorf("status %+v, %v: expected a fault", s, err)
	}
	rewrite(t, path, good)
	sealAll(t, l)
	if _, err := l.Append(t.Context(), testEntry(1)); err != nil {
		t.Errorf("append after the file was put back: %v", err)
	}
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("waited in vain for %s", what)
}

func TestDamagedEntriesAreNotServed(t *testing.T) {
	l := start(t, testConfig(t), testDeps(t))
	refs := fill(t, l, 300)
	sealAll(t, l)
	path := filepath.Join(l.cfg.Dir, "tile/entries/000")
	bad := read(t, path)
	bad[len(bad)/2] ^= 1
	rewrite(t, path, bad)
	if e, err := l.Entry(t.Context(), refs[1].Index); garrison.CodeOf(err) != garrison.Damaged {
		t.Errorf("entry from a damaged bundle: %q, %v", e, err)
	}
	err := l.Scan(t.Context(), 0, func(uint64, []byte) error { return nil })
	if garrison.CodeOf(err) != garrison.Damaged {
		t.Errorf("scan over a damaged bundle: %v", err)
	}
	if _, err := l.Receipt(t.Context(), garrison.EvidenceRef{Log: l.cfg.Origin, Index: 5, Digest: refs[9].Digest}); garrison.CodeOf(err) != garrison.Damaged {
		t.Errorf("receipt for a false reference: %v", err)
	}
}

func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

func TestRolledBackDirectoryIsRefusedAndNamed(t *testing.T) {
	cfg := testConfig(t)
	l := start(t, cfg, testDeps(t))
	fill(t, l, 20)
	stop(t, l)
	old := filepath.Join(t.TempDir(), "old")
	copyDir(t, cfg.Dir, old)
	l = start(t, cfg, testDeps(t))
	fill(t, l, 20)
	stop(t, l)
	newer := filepath.Join(t.TempDir(), "newer")
	copyDir(t, cfg.Dir, newer)

	cases := map[string]func(){
		"wholeDirectory": func() { copyDir(t, old, cfg.Dir) },
		"emptied":        func() { copyDir(t, t.TempDir(), cfg.Dir) },
		"oldCheckpoint":  func() { rewrite(t, filepath.Join(cfg.Dir, "checkpoint"), read(t, filepath.Join(old, "checkpoint"))) },
		"oldTreeState":   func() { rewrite(t, filepath.Join(cfg.Dir, treeStateFile), read(t, filepath.Join(old, treeStateFile))) },
		"foreignCheckpoint": func() {
			rewrite(t, filepath.Join(cfg.Dir, "checkpoint"), bytes.Replace(read(t, filepath.Join(cfg.Dir, "checkpoint")), []byte("\n44\n"), []byte("\n45\n"), 1))
		},
	}
	for name, do := range cases {
		copyDir(t, newer, cfg.Dir)
		do()
		if damages, _ := damagesOf(t, cfg); len(damages) == 0 {
			t.Errorf("%s: verification found nothing", name)
		}
		before := filesOf(t, cfg.Dir)
		again, err := New(cfg, testDeps(t))
		if err != nil {
			t.Fatal(err)
		}
		err = again.Start(t.Context())
		if garrison.CodeOf(err) != garrison.Damaged {
			t.Errorf("%s: start: %v, expected code damaged", name, err)
		}
		if err == nil {
			stop(t, again)
		}
		if name != "emptied" && len(filesOf(t, cfg.Dir)) != len(before) {
			t.Errorf("%s: a refused start changed the directory", name)
		}
	}
	copyDir(t, newer, cfg.Dir)
	start(t, cfg, testDeps(t))
}

func TestForkedDirectoryIsRefused(t *testing.T) {
	cfg := testConfig(t)
	l := start(t, cfg, testDeps(t))
	fill(t, l, 5)
	stop(t, l)
	base := filepath.Join(t.TempDir(), "base")
	keys := filepath.Join(t.TempDir(), "keys")
	copyDir(t, cfg.Dir, base)
	copyDir(t, cfg.KeyDir, keys)
	l = start(t, cfg, testDeps(t))
	fill(t, l, 5)
	stop(t, l)
	// The same log grows differently elsewhere, with a stolen key.
	other := cfg
	other.Dir, other.KeyDir = base, keys
	l = start(t, other, testDeps(t))
	fill(t, l, 9)
	stop(t, l)
	copyDir(t, base, cfg.Dir)
	again, err := New(cfg, testDeps(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Start(t.Context()); garrison.CodeOf(err) != garrison.Damaged {
		t.Errorf("start on a fork: %v, expected code damaged", err)
	}
	if damages, _ := damagesOf(t, cfg); len(damages) == 0 {
		t.Error("verification accepts a fork")
	}
}

func TestLostKeyFilesAreRefused(t *testing.T) {
	for _, file := range []string{secretFile, publicFile, keptFile} {
		cfg := testConfig(t)
		l := start(t, cfg, testDeps(t))
		fill(t, l, 2)
		stop(t, l)
		if err := os.Remove(filepath.Join(cfg.KeyDir, file)); err != nil {
			t.Fatal(err)
		}
		again, err := New(cfg, testDeps(t))
		if err != nil {
			t.Fatal(err)
		}
		if err := again.Start(t.Context()); garrison.CodeOf(err) != garrison.Damaged {
			t.Errorf("start without %s: %v, expected code damaged", file, err)
		}
	}
}

func TestSignerNeverContradictsItself(t *testing.T) {
	l := start(t, testConfig(t), testDeps(t))
	fill(t, l, 3)
	sealAll(t, l)
	older := l.seal.last
	fill(t, l, 3)
	sealAll(t, l)
	latest := l.seal.last
	for name, change := range map[string]func(){
		"trueButOlder": func() { latest = older },
		"sameSizeOtherRoot": func() {
			latest = l.seal.last
			latest.Hash = bytes.Clone(latest.Hash)
			latest.Hash[0] ^= 1
		},
		"largerThanTheDisk": func() { latest = l.seal.last; latest.Size += 5 },
		"otherOrigin":       func() { latest = l.seal.last; latest.Origin = "somebody.else" },
	} {
		latest = l.seal.last
		change()
		if _, err := l.seal.Sign(latest.Marshal()); garrison.CodeOf(err) != garrison.Damaged {
			t.Errorf("%s: %v, expected a refusal", name, err)
		}
	}
}

func TestAlteredCheckpointOfARunningLedgerIsPutBack(t *testing.T) {
	l := start(t, testConfig(t), testDeps(t))
	fill(t, l, 3)
	awaitPublished(t, l)
	path := filepath.Join(l.cfg.Dir, "checkpoint")
	rewrite(t, path, []byte("nothing of the kind\n"))
	if altered, err := l.seal.republish(); err != nil || (!altered && !bytes.Equal(read(t, path), l.seal.latest())) {
		t.Fatalf("republish: %v, %v", altered, err)
	}
	fill(t, l, 3)
	awaitPublished(t, l)
}

func TestCheckpointFromTheFutureDoesNotStopSealing(t *testing.T) {
	l := start(t, testConfig(t), testDeps(t))
	awaitPublished(t, l)
	path := filepath.Join(l.cfg.Dir, "checkpoint")
	future := time.Now().Add(24 * time.Hour)
	if err := os.Chtimes(path, future, future); err != nil {
		t.Fatal(err)
	}
	fill(t, l, 3)
	sealAll(t, l)
}

func TestFailedWriteIsNotAcknowledgedAndTheLedgerResumesAlone(t *testing.T) {
	cfg := testConfig(t)
	l := start(t, cfg, testDeps(t))
	fill(t, l, 10)
	sealAll(t, l)
	// A file where the directory of bundles was: every write fails.
	entries, aside := filepath.Join(cfg.Dir, "tile/entries"), filepath.Join(t.TempDir(), "entries")
	if err := os.Rename(entries, aside); err != nil {
		t.Fatal(err)
	}
	rewrite(t, entries, nil)
	if _, err := l.Append(t.Context(), testEntry(10)); err == nil {
		t.Fatal("an append was acknowledged that could not be written")
	}
	if s, err := l.Status(t.Context()); err != nil || s.Fault == "" {
		t.Errorf("status %+v, %v: expected a fault", s, err)
	}
	if err := errors.Join(os.Remove(entries), os.Rename(aside, entries)); err != nil {
		t.Fatal(err)
	}
	await(t, "the ledger to resume", func() bool {
		_, err := l.Append(t.Context(), testEntry(11))
		return err == nil
	})
	if s, err := l.Status(t.Context()); err != nil || s.Fault != "" {
		t.Errorf("status %+v, %v: expected no fault", s, err)
	}
	stop(t, l)
	mustBeClean(t, cfg)
}

func TestInterruptedAppendLeavesNoFalseFiles(t *testing.T) {
	cfg := testConfig(t)
	l := start(t, cfg, testDeps(t))
	fill(t, l, 100)
	stop(t, l)
	old := t.TempDir()
	copyDir(t, filepath.Dir(cfg.Dir), old)
	l = start(t, cfg, testDeps(t))
	fill(t, l, 300)
	stop(t, l)
	// What a crash between tiles and tree state leaves: files ahead of the tree.
	ahead := 0
	for _, path := range filesOf(t, filepath.Join(cfg.Dir, "tile")) {
		name, err := filepath.Rel(filepath.Dir(cfg.Dir), path)
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(old, name)
		if _, err := os.Stat(to); err == nil {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		rewrite(t, to, read(t, path))
		ahead++
	}
	copyDir(t, old, filepath.Dir(cfg.Dir))
	if sum := mustBeClean(t, cfg); sum.Leftovers != ahead || ahead < 5 {
		t.Errorf("%d leftovers, expected %d, at least 5", sum.Leftovers, ahead)
	}
	l = start(t, cfg, testDeps(t))
	fill(t, l, 200) // fewer than before, so that what is not removed stays
	stop(t, l)
	if sum := mustBeClean(t, cfg); sum.Leftovers != 0 {
		t.Errorf("%d leftovers after the next start, expected none", sum.Leftovers)
	}
}
