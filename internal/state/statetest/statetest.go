package statetest

import (
	"path/filepath"
	"testing"

	"garrison/internal/state"
)

// Open gives a fresh, started database; the test closes it at its end.
type Open func(t *testing.T) *state.DB

// Each runs fn once on SQLite and once on PostgreSQL, as subtests "sqlite" and
// "postgres".
func Each(t *testing.T, fn func(t *testing.T, open Open)) {
	t.Helper()
	t.Run(state.SQLite, func(t *testing.T) { fn(t, OpenSQLite) })
	t.Run(state.Postgres, func(t *testing.T) { fn(t, OpenPostgres) })
}

// OpenSQLite returns a started SQLite database in a directory of the test.
func OpenSQLite(t *testing.T) *state.DB {
	t.Helper()
	cfg := state.DefaultConfig()
	cfg.Path = filepath.Join(t.TempDir(), "state.db")
	return Start(t, cfg, state.Deps{})
}

// Start builds and starts a database, and stops it at the end of the test.
func Start(t *testing.T, cfg state.Config, deps state.Deps) *state.DB {
	t.Helper()
	db, err := state.New(cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
	return db
}
