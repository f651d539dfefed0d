package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"garrison"
	"garrison/internal/state/atomicfile"
)

// Backup writes a consistent copy of the SQLite database to a new file while the
// database is in use. PostgreSQL has its own tools for that and is refused.
func (db *DB) Backup(ctx context.Context, path string) error {
	if db.cfg.Engine != SQLite {
		return garrison.Errorf(garrison.Invalid, "back up PostgreSQL with pg_dump or pg_basebackup")
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return garrison.Errorf(garrison.Conflict, "back up to %q: there is something by that name", path)
	}
	// An empty file is what VACUUM INTO accepts; making it first sets who may read it.
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return garrison.Errorf(garrison.Unavailable, "back up to %q: %w", path, err)
	}
	defer f.Close()
	defer os.Remove(f.Name()) //nolint:errcheck // gone by then when all went well
	if err := db.vacuumInto(ctx, f.Name()); err != nil {
		return fmt.Errorf("back up to %q: %w", path, db.coded(err))
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("back up to %q: %w", path, err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("back up to %q: %w", path, err)
	}
	return atomicfile.SyncDir(filepath.Dir(path))
}

// vacuumInto needs a connection of its own: those of the readers may write nothing,
// not even another file, and the writer's would keep everybody waiting.
func (db *DB) vacuumInto(ctx context.Context, path string) error {
	pool, err := sql.Open("sqlite", sqliteDSN(db.cfg.Path, "ro", "deferred"))
	if err != nil {
		return err
	}
	_, err = pool.ExecContext(ctx, `VACUUM INTO $1`, path)
	return errors.Join(err, pool.Close())
}
