package state_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"garrison"
	"garrison/internal/state"
	"garrison/internal/state/statetest"
)

func openAt(t testing.TB, cfg state.Config) (*state.DB, error) {
	t.Helper()
	db, err := state.New(cfg, state.Deps{})
	if err != nil {
		return nil, err
	}
	return db, db.Start(t.Context())
}

func sqliteAt(path string) state.Config { return state.Config{Engine: state.SQLite, Path: path} }

func stop(t *testing.T, db *state.DB) {
	t.Helper()
	if err := db.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestConfigRefusals(t *testing.T) {
	for name, cfg := range map[string]state.Config{
		"no engine":   {Path: "x"},
		"other":       {Engine: "mysql", Path: "x"},
		"no path":     {Engine: state.SQLite},
		"no dsn file": {Engine: state.Postgres},
	} {
		if _, err := state.New(cfg, state.Deps{}); garrison.CodeOf(err) != garrison.Invalid {
			t.Errorf("%s: %v, want invalid", name, err)
		}
	}
}

func TestSQLiteOpen(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct {
		name string
		cfg  state.Config
		code garrison.Code
		says string
	}{
		{"signs in the name", sqliteAt(filepath.Join(dir, "a?mode=memory&x=1#b %41 政.db")), "", ""},
		{"empty file", sqliteAt(file("empty.db", "")), "", ""},
		{"not a database", sqliteAt(file("text.db", strings.Repeat("hello ", 2000))), garrison.Damaged, "text.db"},
		{"short file", sqliteAt(file("short.db", "SQLite")), garrison.Damaged, "short.db"},
		{"no directory", sqliteAt(filepath.Join(dir, "none", "state.db")), garrison.NotFound, "none"},
		{"a directory", sqliteAt(dir), garrison.Unavailable, dir},
		{"read only, no file", state.Config{Engine: state.SQLite, Path: filepath.Join(dir, "missing.db"), ReadOnly: true}, garrison.NotFound, "missing.db"},
	} {
		db, err := openAt(t, c.cfg)
		if garrison.CodeOf(err) != c.code || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want code %q and %q in it", c.name, err, c.code, c.says)
		}
		if err == nil {
			stop(t, db)
			if _, err := os.Stat(c.cfg.Path); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "missing.db")); err == nil {
		t.Error("opening for reading made a file")
	}
}

func TestSQLiteFilesArePrivate(t *testing.T) {
	dir := t.TempDir()
	db, err := openAt(t, sqliteAt(filepath.Join(dir, "state.db")))
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, db)
	if _, err := statetest.NewThings(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 3 {
		t.Errorf("%d files, expected the database, its log and its index", len(files))
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", f.Name(), info.Mode())
		}
	}
}

// filled is a stopped database with a few pages of sealed objects.
func filled(t *testing.T, path string, n int) *statetest.Ledger {
	t.Helper()
	ctx := t.Context()
	db, err := openAt(t, sqliteAt(path))
	if err != nil {
		t.Fatal(err)
	}
	s, err := statetest.NewThings(ctx, db)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		x := statetest.Thing{ID: fmt.Sprintf("thing-%03d", i), Name: fmt.Sprintf("单位 %d", i), Count: int64(i) << 20, Done: i%3 == 0, Note: strings.Repeat("n", i*7%200)}
		if err := s.Save(ctx, x); err != nil {
			t.Fatal(err)
		}
		if i%10 == 9 {
			if err := s.Remove(ctx, x.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	l := &statetest.Ledger{}
	if _, err := db.Drain(ctx, l); err != nil {
		t.Fatal(err)
	}
	stop(t, db)
	return l
}

func TestSQLiteReadOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	l := filled(t, path, 20)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	db, err := openAt(t, state.Config{Engine: state.SQLite, Path: path, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	s, err := statetest.NewThings(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	if all, err := s.All(t.Context()); err != nil || len(all) != 18 {
		t.Errorf("%d things, %v; want 18", len(all), err)
	}
	if err := s.Save(t.Context(), statetest.Thing{ID: "new"}); garrison.CodeOf(err) != garrison.Unavailable {
		t.Errorf("wrote to a database opened for reading: %v", err)
	}
	err = db.Audit(t.Context(), l, func(d state.Damage) { t.Errorf("named: %+v", d) })
	if err != nil {
		t.Error(err)
	}
	stop(t, db)
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("looking changed the file, %v", err)
	}
}

// A verifier looks at a database that a server has open, and at one that a server
// left behind without closing it.
func TestSQLiteReadOnlyBesideAWriter(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state.db")
	l := filled(t, path, 5)
	writer, err := openAt(t, sqliteAt(path))
	if err != nil {
		t.Fatal(err)
	}
	things, err := statetest.NewThings(t.Context(), writer)
	if err != nil {
		t.Fatal(err)
	}
	if err := things.Save(t.Context(), statetest.Thing{ID: "late", Name: "late"}); err != nil {
		t.Fatal(err)
	}
	if _, err := writer.Drain(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	crashed := filepath.Join(t.TempDir(), "state.db")
	for _, end := range []string{"", "-wal"} { // what a killed process leaves
		raw, err := os.ReadFile(path + end)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(crashed+end, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range []string{path, crashed} {
		db, err := openAt(t, state.Config{Engine: state.SQLite, Path: p, ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		s, err := statetest.NewThings(t.Context(), db)
		if err != nil {
			t.Fatal(err)
		}
		if all, err := s.All(t.Context()); err != nil || len(all) != 6 {
			t.Errorf("%d things, %v; want 6", len(all), err)
		}
		if err := db.Audit(t.Context(), l, func(d state.Damage) { t.Errorf("named: %+v", d) }); err != nil {
			t.Error(err)
		}
		stop(t, db)
	}
	stop(t, writer)
}

func TestSQLiteBackup(t *testing.T) {
	dir := t.TempDir()
	path, copied := filepath.Join(dir, "state.db"), filepath.Join(dir, "copy.db")
	l := filled(t, path, 30)
	db, err := openAt(t, sqliteAt(path))
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, db)
	things, err := statetest.NewThings(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	busy := make(chan struct{})
	go func() { // backing up does not stop the work
		defer close(busy)
		for i := 0; ctx.Err() == nil; i++ {
			if err := things.Save(ctx, statetest.Thing{ID: "busy", Name: "busy", Count: int64(i)}); err != nil && ctx.Err() == nil {
				t.Errorf("write during the backup: %v", err)
			}
		}
	}()
	err = db.Backup(t.Context(), copied)
	cancel()
	<-busy
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Backup(t.Context(), copied); garrison.CodeOf(err) != garrison.Conflict {
		t.Errorf("backed up over a backup: %v", err)
	}
	if err := db.Backup(t.Context(), filepath.Join(dir, "none", "copy.db")); garrison.CodeOf(err) != garrison.Unavailable {
		t.Errorf("backed up to nowhere: %v", err)
	}
	if _, err := db.Drain(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(copied)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	left, err := filepath.Glob(filepath.Join(dir, ".copy*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	restored, err := openAt(t, sqliteAt(copied))
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, restored)
	s, err := statetest.NewThings(t.Context(), restored)
	if err != nil {
		t.Fatal(err)
	}
	if all, err := s.All(t.Context()); err != nil || len(all) < 27 {
		t.Errorf("%d things restored, %v", len(all), err)
	}
	// What is in the copy is good; what came after it is named as missing and nothing else.
	err = restored.Audit(t.Context(), l, func(d state.Damage) {
		if !strings.HasPrefix(d.Object, "thing/busy/") {
			t.Errorf("named: %+v", d)
		}
	})
	if err != nil {
		t.Error(err)
	}
}

// answers is everything that can be read out of the filled database.
func answers(ctx context.Context, s *statetest.Things) (string, error) {
	all, err := s.All(ctx)
	if err != nil {
		return "", err
	}
	out, err := json.Marshal(all)
	if err != nil {
		return "", err
	}
	for i := range 60 {
		h, err := s.DB.History(ctx, "thing", fmt.Sprintf("thing-%03d", i))
		if err != nil {
			return "", err
		}
		raw, err := json.Marshal(h)
		if err != nil {
			return "", err
		}
		out = append(out, raw...)
	}
	return string(out), nil
}

// look starts a database, reads every answer and audits it. damage says that
// something was named, by whatever part noticed it.
func look(t *testing.T, path string, l *statetest.Ledger) (answer string, damage []state.Damage) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cfg := sqliteAt(path)
	cfg.ReadOnly = true
	named := func(err error) {
		if d, ok := state.AuditFile(cfg, err); ok {
			damage = append(damage, d)
			return
		}
		t.Errorf("an error that names no damage: %v", err)
	}
	db, err := openAt(t, cfg)
	if err != nil {
		named(err)
		return "", damage
	}
	defer stop(t, db)
	s, err := statetest.NewThings(ctx, db)
	if err != nil {
		named(err)
		return "", damage
	}
	answer, err = answers(ctx, s)
	if err != nil {
		answer = "error: " + err.Error()
	}
	if err := db.Audit(ctx, l, func(d state.Damage) { damage = append(damage, d) }); err != nil {
		named(err)
	}
	return answer, damage
}

func TestSQLiteFlippedByte(t *testing.T) {
	const flips = 200
	dir := t.TempDir()
	path := filepath.Join(dir, "state.db")
	l := filled(t, path, 60)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want, clean := look(t, path, l)
	if len(clean) != 0 || len(want) < 1000 {
		t.Fatalf("before any flip: %d bytes of answers, %+v", len(want), clean)
	}
	rnd := rand.New(rand.NewPCG(82, 13))
	named := 0
	for i := range flips {
		at, bit := rnd.IntN(len(good)), byte(1)<<rnd.IntN(8)
		if i < 100 {
			at = i // every byte of the file's header
		}
		bad := bytes.Clone(good)
		bad[at] ^= bit
		flipped := filepath.Join(dir, fmt.Sprintf("flip-%d.db", i))
		if err := os.WriteFile(flipped, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		answer, damage := look(t, flipped, l)
		switch {
		case len(damage) > 0:
			named++
			for _, d := range damage {
				if d.File != flipped || d.What == "" {
					t.Errorf("flip %d at %d: named without the file: %+v", i, at, d)
				}
			}
		case answer != want:
			t.Errorf("flip %d: bit %08b of byte %d changes an answer and nothing names it", i, bit, at)
		}
		for _, end := range []string{"", "-wal", "-shm"} {
			os.Remove(flipped + end)
		}
	}
	t.Logf("%d bytes; %d of %d flips named, the others change no answer", len(good), named, flips)
	if named < flips/4 {
		t.Errorf("only %d of %d flips were named", named, flips)
	}
}

// Two processes should not happen (the data directory is locked); if they do, they
// wait for one another.
func TestSQLiteTwoWriters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	const each = 40
	var wg sync.WaitGroup
	for range 2 {
		db, err := openAt(t, sqliteAt(path))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { stop(t, db) })
		s, err := statetest.NewThings(t.Context(), db)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			for range each {
				err := s.DB.Write(t.Context(), func(tx *state.Tx) error {
					var n int // a lock taken only after this would be refused at once
					if err := tx.QueryRow(t.Context(), `SELECT count(*) FROM thing`).Scan(&n); err != nil {
						return err
					}
					_, err := tx.Record(t.Context(), state.Change{Kind: "thing", ID: "x", Doc: n, By: garrison.System("test"), What: "saved"})
					return err
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	db, err := openAt(t, sqliteAt(path))
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, db)
	if h, err := db.History(t.Context(), "thing", "x"); err != nil || len(h) != 2*each {
		t.Errorf("%d versions, %v; want %d", len(h), err, 2*each)
	}
}

func TestClockSetBack(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	db := statetest.Start(t, sqliteAt(filepath.Join(t.TempDir(), "state.db")), state.Deps{Now: func() time.Time { return now }})
	s, err := statetest.NewThings(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	for i, back := range []time.Duration{0, time.Hour} {
		now = now.Add(-back)
		if err := s.Save(t.Context(), statetest.Thing{ID: "x", Count: int64(i)}); err != nil {
			t.Fatal(err)
		}
	}
	v, err := db.AsOf(t.Context(), "thing", "x", now.Add(90*time.Minute))
	if err != nil || v.N != 2 {
		t.Errorf("version %d, %v; the later change must win", v.N, err)
	}
	_, err = db.AsOf(t.Context(), "thing", "x", now)
	if garrison.CodeOf(err) != garrison.NotFound {
		t.Errorf("before the first version: %v", err)
	}
}

func TestAuditFile(t *testing.T) {
	if _, ok := state.AuditFile(state.Config{}, errors.New("x")); ok {
		t.Error("an error that says nothing about damage became damage")
	}
}
