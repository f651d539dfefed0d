package state

import (
	"context"
	"database/sql"
	"encoding/json"
	"io/fs"
	"log/slog"
	"time"

	"garrison"
)

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

// Deps is what the database needs from outside.
type Deps struct {
	Log *slog.Logger
	Now func() time.Time
}

// DB is the database. It is safe for concurrent use after Start.
type DB struct{}

// New checks cfg and builds; it opens nothing.
func New(cfg Config, deps Deps) (*DB, error) { return &DB{}, nil }

// Start opens the database, checks that the engine is set as it must be, and
// migrates the tables of this package.
func (db *DB) Start(ctx context.Context) error { return errNotYet }

// Stop waits for what is running and closes the database.
func (db *DB) Stop(ctx context.Context) error { return errNotYet }

// Engine returns SQLite or Postgres.
func (db *DB) Engine() string { return "" }

// Migrate brings the tables of one owner up to date. fsys holds numbered files in
// goose format at its root; the version table is "<owner>_goose". A database newer
// than the program is refused.
func (db *DB) Migrate(ctx context.Context, owner string, fsys fs.FS) error { return errNotYet }

// Querier reads. Both *Tx and the snapshot of Read are one.
type Querier interface {
	Query(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRow(ctx context.Context, query string, args ...any) *sql.Row
}

// Read gives fn one snapshot: all its queries see the same moment.
func (db *DB) Read(ctx context.Context, fn func(q Querier) error) error { return errNotYet }

// Write gives fn the one writing transaction and commits when fn returns nil. On
// PostgreSQL fn may run again after a serialisation failure, so it must have no
// effect outside the transaction except through [Tx.OnCommit].
func (db *DB) Write(ctx context.Context, fn func(tx *Tx) error) error { return errNotYet }

// Tx is a writing transaction.
type Tx struct{}

// Query runs a query inside the transaction.
func (tx *Tx) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return nil, errNotYet
}

// QueryRow runs a query that gives at most one row.
func (tx *Tx) QueryRow(ctx context.Context, query string, args ...any) *sql.Row { return nil }

// Exec changes something.
func (tx *Tx) Exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return nil, errNotYet
}

// OnCommit runs fn once, after the transaction is durable.
func (tx *Tx) OnCommit(fn func()) {}

// Change is one change of one object.
type Change struct {
	Kind string // "subject", "case", … lower-case
	ID   string
	Doc  any // the object as it is now; nil: it is removed
	By   garrison.Actor
	What string // a fixed word of the product's ("created"), never what a person typed: it stands in the ledger in clear
}

// Record writes the next version of an object and its ledger entry. It returns the
// version's number, 1 for the first.
func (tx *Tx) Record(ctx context.Context, c Change) (version int, err error) { return 0, errNotYet }

// Version is one version of an object.
type Version struct {
	Kind, ID string
	N        int
	At       time.Time
	By       garrison.Actor
	What     string
	Doc      json.RawMessage      // canonical JSON; nil: removed
	Evidence garrison.EvidenceRef // zero: not sealed yet
}

// History returns all versions of an object, oldest first.
func (db *DB) History(ctx context.Context, kind, id string) ([]Version, error) {
	return nil, errNotYet
}

// AsOf returns the version that was true at a moment. NotFound: there was none yet.
func (db *DB) AsOf(ctx context.Context, kind, id string, at time.Time) (Version, error) {
	return Version{}, errNotYet
}

// Ref returns where the ledger holds the entry with this digest; zero: not sealed yet.
func (db *DB) Ref(ctx context.Context, digest string) (garrison.EvidenceRef, error) {
	return garrison.EvidenceRef{}, errNotYet
}

// Appender is the ledger as the relay needs it. Append returns when the entries are
// durable, with one reference for each.
type Appender interface {
	Append(ctx context.Context, entries ...[]byte) ([]garrison.EvidenceRef, error)
}

// Relay carries the outbox to the ledger until ctx ends.
func (db *DB) Relay(ctx context.Context, to Appender) error { return errNotYet }

// Drain carries what the outbox holds now to the ledger and returns how many
// entries that were.
func (db *DB) Drain(ctx context.Context, to Appender) (int, error) { return 0, errNotYet }

// Pending says how many entries wait for the ledger and since when the oldest does.
func (db *DB) Pending(ctx context.Context) (n int, oldest time.Time, err error) {
	return 0, time.Time{}, errNotYet
}

// Table tells how to read the rows of one kind back as the documents that were
// recorded for them.
type Table struct {
	Kind string
	Rows func(ctx context.Context, q Querier, yield func(id string, doc any) error) error
}

// RegisterTable makes a kind part of the audit.
func (db *DB) RegisterTable(t Table) {}

// Check looks for damage that only the owner of a table can see.
type Check func(ctx context.Context, q Querier, report func(Damage)) error

// RegisterCheck makes a check part of the audit.
func (db *DB) RegisterCheck(name string, c Check) {}

// Sum is the checksum of a row that has no history: the owner stores it with every
// write and compares it in its [Check]. fields are strings, integers, booleans and
// byte slices.
func Sum(fields ...any) string { return "" }

// Damage is one thing that is not as it was written.
type Damage struct {
	File   string // the file, where one is to blame
	Range  string // the page or rows in it
	Object string // "kind/id", or "kind/id/version"
	What   string
}

// EntryScan is the ledger as the audit needs it.
type EntryScan interface {
	Scan(ctx context.Context, from uint64, yield func(index uint64, entry []byte) error) error
}

// Audit reports everything that is not as it was written. It returns an error only
// when it could not finish looking.
func (db *DB) Audit(ctx context.Context, log EntryScan, report func(Damage)) error { return errNotYet }

// Backup writes a consistent copy of the SQLite database to a new file.
func (db *DB) Backup(ctx context.Context, path string) error { return errNotYet }

// Micros is a time as it is stored; zero for the zero time.
func Micros(t time.Time) int64 { return 0 }

// Time is the inverse of Micros.
func Time(us int64) time.Time { return time.Time{} }

var errNotYet = garrison.Errorf(garrison.Unavailable, "state: not built yet")
