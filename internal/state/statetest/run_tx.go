package statetest

import (
	"context"
	"errors"
	"math"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"garrison"
	"garrison/internal/state"
)

func things(t *testing.T, db *state.DB) *Things {
	t.Helper()
	s, err := NewThings(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func testValues(t *testing.T, db *state.DB) {
	s := things(t, db)
	want := []Thing{
		{ID: "a", Name: "", Count: math.MinInt64},
		{ID: "b", Name: "大连市人民政府 — “门户” 🏯", Count: math.MaxInt64, Done: true, Note: `{"a":"\u0000"}`},
		{ID: "c", Name: "o'hara; DROP TABLE thing; -- $1 ?", Count: 0},
	}
	for _, x := range want {
		if err := s.Save(t.Context(), x); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(got, want); d != "" {
		t.Errorf("(-got +want)\n%s", d)
	}
	n := count(t, db, `SELECT count(*) FROM thing WHERE done = $1`, true)
	if n != 1 {
		t.Errorf("%d things are done, want 1", n)
	}
}

func testUnique(t *testing.T, db *state.DB) {
	s := things(t, db)
	ctx := t.Context()
	for _, x := range []Thing{{ID: "1", Name: "n"}, {ID: "1", Name: "n", Count: 2}, {ID: "2", Name: "n", Done: true}, {ID: "3", Name: "n", Done: true}} {
		if err := s.Save(ctx, x); err != nil {
			t.Fatalf("%+v: %v", x, err)
		}
	}
	err := s.Save(ctx, Thing{ID: "4", Name: "n"})
	if !state.IsUnique(err) {
		t.Errorf("second open thing of one name: %v, want a refusal that IsUnique knows", err)
	}
	if state.IsUnique(errOnPurpose) || state.IsUnique(nil) {
		t.Error("IsUnique holds for errors that have nothing to do with it")
	}
	if n := count(t, db, `SELECT count(*) FROM object_version WHERE id = '4'`); n != 0 {
		t.Errorf("the refused thing left %d versions", n)
	}
}

func testRollback(t *testing.T, db *state.DB) {
	s := things(t, db)
	ctx, cancel := context.WithCancel(t.Context())
	called := false
	save := func(tx *state.Tx) error {
		tx.OnCommit(func() { called = true })
		return s.save(t.Context(), tx, Thing{ID: "x"})
	}
	err := db.Write(t.Context(), func(tx *state.Tx) error { return errors.Join(save(tx), errOnPurpose) })
	if !errors.Is(err, errOnPurpose) {
		t.Errorf("Write returned %v, want the function's own error", err)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_ = db.Write(t.Context(), func(tx *state.Tx) error {
			if err := save(tx); err != nil {
				t.Error(err)
			}
			panic("on purpose")
		})
	}()
	err = db.Write(ctx, func(tx *state.Tx) error {
		defer cancel()
		return save(tx)
	})
	if err == nil {
		t.Error("a transaction whose context was cancelled committed")
	}
	if n := count(t, db, `SELECT (SELECT count(*) FROM thing) + (SELECT count(*) FROM object_version) + (SELECT count(*) FROM outbox)`); n != 0 {
		t.Errorf("%d rows are left of transactions that did not commit", n)
	}
	if called {
		t.Error("OnCommit ran without a commit")
	}
	if err := db.Write(t.Context(), save); err != nil {
		t.Fatal(err)
	}
	if !called {
		t.Error("OnCommit did not run")
	}
}

func testSnapshot(t *testing.T, db *state.DB) {
	s := things(t, db)
	ctx := t.Context()
	if err := s.Save(ctx, Thing{ID: "1", Count: 1}); err != nil {
		t.Fatal(err)
	}
	err := db.Read(ctx, func(q state.Querier) error {
		var before, after int64
		if err := q.QueryRow(ctx, `SELECT count FROM thing`).Scan(&before); err != nil {
			return err
		}
		if err := s.Save(ctx, Thing{ID: "1", Count: 2}); err != nil {
			return err
		}
		if err := q.QueryRow(ctx, `SELECT count FROM thing`).Scan(&after); err != nil {
			return err
		}
		if before != 1 || after != 1 {
			t.Errorf("one snapshot saw %d, then %d; want 1 both times", before, after)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Read(ctx, func(q state.Querier) error {
		return state.Each(ctx, q, func(state.Scanner) error { return nil }, `INSERT INTO thing (id, name, count, done, note) VALUES ('w', 'w', 0, FALSE, '')`)
	})
	if err == nil {
		t.Error("a reader could write")
	}
}

func testConcurrency(t *testing.T, db *state.DB) {
	const writers, each = 12, 25
	s := things(t, db)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	if err := s.Save(ctx, Thing{ID: "sum"}); err != nil {
		t.Fatal(err)
	}
	var w, r sync.WaitGroup
	for range 3 {
		r.Go(func() {
			for ctx.Err() == nil {
				if _, err := s.All(ctx); err != nil && ctx.Err() == nil {
					t.Errorf("read: %v", err)
					return
				}
			}
		})
	}
	for range writers {
		w.Go(func() {
			for range each {
				// Read, then write: an update lost between the two shows in the sum.
				err := db.Write(ctx, func(tx *state.Tx) error {
					x := Thing{ID: "sum"}
					if err := tx.QueryRow(ctx, `SELECT count FROM thing WHERE id = 'sum'`).Scan(&x.Count); err != nil {
						return err
					}
					x.Count++
					return s.save(ctx, tx, x)
				})
				if err != nil {
					t.Errorf("write: %v", err)
					return
				}
			}
		})
	}
	w.Wait()
	stop()
	r.Wait()
	if n := count(t, db, `SELECT count FROM thing WHERE id = 'sum'`); n != writers*each {
		t.Errorf("the sum is %d, want %d", n, writers*each)
	}
	if n := count(t, db, `SELECT n FROM object_version WHERE id = 'sum' ORDER BY n DESC LIMIT 1`); n != writers*each+1 {
		t.Errorf("the last version is %d, want %d", n, writers*each+1)
	}
}

func testMigrate(t *testing.T, db *state.DB) {
	ctx := t.Context()
	things(t, db)
	things(t, db) // again: nothing to do
	mustCode(t, db.Migrate(ctx, "Things; --", thingFiles()), garrison.Invalid)
	if err := db.Migrate(ctx, "other", fstest.MapFS{"00001_x.sql": {Data: []byte("-- +goose Up\nCREATE TABLE other (id TEXT PRIMARY KEY);\n")}}); err != nil {
		t.Errorf("a second owner: %v", err)
	}
	older := fstest.MapFS{"00001_things.sql": thingFiles().(fstest.MapFS)["00001_things.sql"]}
	mustCode(t, db.Migrate(ctx, "things", older), garrison.Unavailable)
	run(t, db, `UPDATE things_goose SET version_id = 3 WHERE version_id = 2`)
	mustCode(t, db.Migrate(ctx, "things", thingFiles()), garrison.Damaged)
	run(t, db, `UPDATE things_goose SET version_id = 2 WHERE version_id = 3`)
	things(t, db)
	broken := fstest.MapFS{"00001_x.sql": {Data: []byte("-- +goose Up\nCREATE TABLE half (id TEXT PRIMARY KEY);\nCREATE TABEL nonsense;\n")}}
	if err := db.Migrate(ctx, "broken", broken); err == nil {
		t.Error("a migration with a typing mistake passed")
	}
	broken["00001_x.sql"].Data = []byte("-- +goose Up\nCREATE TABLE half (id TEXT PRIMARY KEY);\n")
	if err := db.Migrate(ctx, "broken", broken); err != nil {
		t.Errorf("the repaired migration: %v; was half of it left?", err)
	}
	if err := db.Migrate(ctx, "none", fstest.MapFS{}); err == nil {
		t.Error("an owner without migration files passed")
	}
}
