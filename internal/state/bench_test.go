package state_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"garrison/internal/state/statetest"
)

// BenchmarkRecord is one change of one object: row, version, outbox, commit, fsync.
func BenchmarkRecord(b *testing.B) {
	db, err := openBench(b)
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; b.Loop(); i++ {
		if err := db.Save(b.Context(), statetest.Thing{ID: fmt.Sprint(i), Name: fmt.Sprint(i)}); err != nil {
			b.Fatal(err)
		}
	}
}

func openBench(b *testing.B) (*statetest.Things, error) {
	b.Helper()
	db, err := openAt(b, sqliteAt(filepath.Join(b.TempDir(), "state.db")))
	if err != nil {
		return nil, err
	}
	b.Cleanup(func() {
		if err := db.Stop(b.Context()); err != nil {
			b.Error(err)
		}
	})
	return statetest.NewThings(b.Context(), db)
}
