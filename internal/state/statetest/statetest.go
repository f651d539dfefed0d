package statetest

import (
	"testing"

	"garrison/internal/state"
)

// Run is the conformance suite; open gives a fresh, started database each time.
func Run(t *testing.T, open func(t *testing.T) *state.DB) {}

// Each runs fn once on SQLite and once on PostgreSQL, as subtests "sqlite" and
// "postgres"; open gives a fresh, started database each time it is called.
func Each(t *testing.T, fn func(t *testing.T, open func(t *testing.T) *state.DB)) {}

// OpenSQLite returns a started SQLite database in a directory of the test.
func OpenSQLite(t *testing.T) *state.DB { return nil }

// OpenPostgres returns a started database of its own on a PostgreSQL server that
// the test process starts once. Without server programs it skips; under CI it fails.
func OpenPostgres(t *testing.T) *state.DB { return nil }
