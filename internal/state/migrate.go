package state

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"regexp"
	"slices"
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
	files, err := fileVersions(fsys)
	if err != nil {
		return fmt.Errorf("migrate %s: %w", owner, err)
	}
	if db.cfg.ReadOnly {
		return db.compareVersions(ctx, owner, files)
	}
	// Before goose acts on what the version table says, that must make sense.
	if err := db.compareVersions(ctx, owner, files); err != nil && !errors.Is(err, errOlder) {
		return err
	}
	provider, err := db.provider(owner, fsys)
	if err != nil {
		return fmt.Errorf("migrate %s: %w", owner, err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate %s: %w", owner, db.coded(err))
	}
	return db.compareVersions(ctx, owner, files)
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

// fileVersions returns the numbers of the migration files, in order.
func fileVersions(fsys fs.FS) ([]int64, error) {
	names, err := fs.Glob(fsys, "*.sql")
	if err != nil {
		return nil, err
	}
	var all []int64
	for _, name := range names {
		number, _, _ := strings.Cut(name, "_")
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("migration file %q does not start with a number", name)
		}
		all = append(all, n)
	}
	if len(all) == 0 {
		return nil, errors.New("no migration files")
	}
	slices.Sort(all)
	return all, nil
}

// errOlder: the tables are older than the program, or not there yet.
var errOlder = errors.New("start the server once to bring them up to date")

func (db *DB) compareVersions(ctx context.Context, owner string, files []int64) error {
	var in []int64
	err := db.Read(ctx, func(q Querier) error {
		return Each(ctx, q, func(row Scanner) error {
			var v int64
			if err := row.Scan(&v); err != nil {
				return err
			}
			if v != 0 { // goose's own first row
				in = append(in, v)
			}
			return nil
			// owner is one of our own words, checked before.
		}, "SELECT version_id FROM "+owner+"_goose ORDER BY version_id")
	})
	switch {
	case err != nil && garrison.CodeOf(err) == "" && ctx.Err() == nil && noTable(err):
		return garrison.Errorf(garrison.Unavailable, "there are no %s tables yet: %w", owner, errOlder)
	case err != nil:
		return fmt.Errorf("read the version of the %s tables: %w", owner, err)
	case len(in) < len(files) && slices.Equal(in, files[:len(in)]):
		return garrison.Errorf(garrison.Unavailable, "the %s tables are of version %d, this program needs %d: %w", owner, last(in), last(files), errOlder)
	case len(in) > len(files) && slices.Equal(in[:len(files)], files):
		return garrison.Errorf(garrison.Unavailable, "the %s tables are of version %d, this program knows %d: start the newer program that made them", owner, last(in), last(files))
	case !slices.Equal(in, files):
		return garrison.Errorf(garrison.Damaged, "the version table of %s says %v, the program's versions are %v: it is not as it was written", owner, in, files)
	}
	return nil
}

func last(v []int64) int64 {
	if len(v) == 0 {
		return 0
	}
	return v[len(v)-1]
}
