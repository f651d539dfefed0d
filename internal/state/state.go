package state

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"garrison"
)

//go:embed migrations/*.sql
var migrations embed.FS

// The two engines.
const (
	SQLite   = "sqlite"
	Postgres = "postgres"
)

// Config says where the database is.
type Config struct {
	Engine   string // SQLite or Postgres
	Path     string // SQLite: the file; its directory must exist
	DSNFile  string // Postgres: a file that holds the connection string, so that no secret stands in a flag
	ReadOnly bool   // open what is there, change nothing: for "garrison verify"
}

// DefaultConfig is SQLite; Path has no default.
func DefaultConfig() Config { return Config{Engine: SQLite} }

// Validate reports every fault of c at once.
func (c Config) Validate() error {
	switch {
	case c.Engine == SQLite && c.Path == "":
		return garrison.Errorf(garrison.Invalid, "state: engine %s needs path", SQLite)
	case c.Engine == Postgres && c.DSNFile == "":
		return garrison.Errorf(garrison.Invalid, "state: engine %s needs dsn_file, a file with the connection string", Postgres)
	case c.Engine != SQLite && c.Engine != Postgres:
		return garrison.Errorf(garrison.Invalid, "state: engine %q is neither %s nor %s", c.Engine, SQLite, Postgres)
	}
	return nil
}

// Deps is what the database needs from outside.
type Deps struct {
	Log *slog.Logger
	Now func() time.Time
}

// DB is the database. It is safe for concurrent use after Start.
type DB struct {
	cfg Config
	log *slog.Logger
	now func() time.Time

	// Set by Start.
	writer *sql.DB // nil when read-only; SQLite: one connection
	reader *sql.DB

	wake chan struct{} // holds a token when the outbox may have something

	relaying sync.Mutex // held while the outbox is carried: one carrier at a time in this process

	mu     sync.Mutex       // guards what the audit has to look at
	tables map[string]Table // by kind
	checks map[string]Check
}

// New checks cfg and builds; it opens nothing.
func New(cfg Config, deps Deps) (*DB, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	return &DB{
		cfg: cfg, log: deps.Log, now: deps.Now,
		wake:   make(chan struct{}, 1),
		tables: map[string]Table{},
		checks: map[string]Check{},
	}, nil
}

// Start opens the database, checks that the engine is set as it must be, and
// migrates the tables of this package.
func (db *DB) Start(ctx context.Context) error {
	if err := db.open(ctx); err != nil {
		return errors.Join(err, db.close())
	}
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return errors.Join(err, db.close())
	}
	if err := db.Migrate(ctx, "state", sub); err != nil {
		return errors.Join(err, db.close())
	}
	db.signal() // what an earlier run left in the outbox
	return nil
}

// Stop closes the database; transactions under way end first or fail.
func (db *DB) Stop(context.Context) error { return db.close() }

// Engine returns SQLite or Postgres.
func (db *DB) Engine() string { return db.cfg.Engine }

// ReadOnly says that the database was opened for looking only: no owner may write.
func (db *DB) ReadOnly() bool { return db.cfg.ReadOnly }

func (db *DB) close() error {
	var errs []error
	// Readers first: with the last connection SQLite folds its log into the file,
	// and only the writer may do that.
	for _, pool := range []*sql.DB{db.reader, db.writer} {
		if pool != nil {
			errs = append(errs, pool.Close())
		}
	}
	db.reader, db.writer = nil, nil
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close the state database: %w", err)
	}
	return nil
}

// signal tells the relay that the outbox may have something.
func (db *DB) signal() {
	select {
	case db.wake <- struct{}{}:
	default:
	}
}
