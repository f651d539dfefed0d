package state

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"regexp"
	"strconv"
	"strings"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
	"github.com/pressly/goose/v3/lock"

	"garrison"
)

var ownerName = regexp.MustCompile(`^[a-z][a-z0-9]{0,30}$`)

// Migrate brings the tables of one owner up to date. fsys holds numbered files in
// goose format at its root; the version table is "<owner>_goose". A database newer
// than the program is refused. On a read-only database it only compares.
func (db *DB) Migrate(ctx context.Context, owner string, fsys fs.FS) error {
	if !ownerName.MatchString(owner) {
		return garrison.Errorf(garrison.Invalid, "migrate: owner %q is no lower-case word", owner)
	}
	have, err := newestFile(fsys)
	if err != nil {
		return fmt.Errorf("migrate %s: %w", owner, err)
	}
	if db.cfg.ReadOnly {
		return db.compareVersion(ctx, owner, have)
	}
	provider, err := db.provider(owner, fsys)
	if err != nil {
		return fmt.Errorf("migrate %s: %w", owner, err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate %s: %w", owner, db.coded(err))
	}
	return db.compareVersion(ctx, owner, have)
}

func (db *DB) provider(owner string, fsys fs.FS) (*goose.Provider, error) {
	dialect := database.DialectSQLite3
	options := []goose.ProviderOption{goose.WithSlog(slog.New(slog.DiscardHandler))}
	if db.cfg.Engine == Postgres {
		dialect = database.DialectPostgres
		// Two nodes can start at once; one migrates, the other waits.
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 120))
		if err != nil {
			return nil, err
		}
		options = append(options, goose.WithSessionLocker(locker))
	}
	store, err := database.NewStore(dialect, owner+"_goose")
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectCustom, db.writer, fsys, append(options, goose.WithStore(store))...)
}

// newestFile returns the highest number among the migration files.
func newestFile(fsys fs.FS) (int64, error) {
	names, err := fs.Glob(fsys, "*.sql")
	if err != nil {
		return 0, err
	}
	var newest int64
	for _, name := range names {
		number, _, _ := strings.Cut(name, "_")
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("migration file %q does not start with a number", name)
		}
		newest = max(newest, n)
	}
	if newest == 0 {
		return 0, fmt.Errorf("no migration files")
	}
	return newest, nil
}

func (db *DB) compareVersion(ctx context.Context, owner string, have int64) error {
	var in int64
	// owner is one of our own words, checked above.
	err := db.reader.QueryRowContext(ctx, "SELECT coalesce(max(version_id), 0) FROM "+owner+"_goose").Scan(&in)
	switch {
	case err != nil:
		return fmt.Errorf("read the version of the %s tables: %w", owner, db.coded(err))
	case in > have:
		return garrison.Errorf(garrison.Unavailable, "the %s tables are of version %d, this program knows %d: start the newer program that made them", owner, in, have)
	case in < have:
		return garrison.Errorf(garrison.Unavailable, "the %s tables are of version %d, this program needs %d: start the server once", owner, in, have)
	}
	return nil
}
