package state

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"garrison"
)

const (
	readers       = 8
	maxDSN        = 64 << 10
	oldestSQLite  = 3_051_003 // older ones have a fault in resetting the write-ahead log
	oldestPG      = 130_000
	sqliteMagic   = "SQLite format 3\x00"
	busyTimeoutMS = 5000
)

func (db *DB) open(ctx context.Context) error {
	if db.cfg.Engine == Postgres {
		return db.openPostgres(ctx)
	}
	return db.openSQLite(ctx)
}

func (db *DB) openSQLite(ctx context.Context) error {
	if err := db.prepareFile(); err != nil {
		return err
	}
	var err error
	if !db.cfg.ReadOnly {
		if db.writer, err = sql.Open("sqlite", sqliteDSN(db.cfg.Path, "rw", "immediate")); err != nil {
			return db.coded(err)
		}
		// One connection, so that writers queue here and never meet a locked file.
		db.writer.SetMaxOpenConns(1)
		if err := checkSQLite(ctx, db.writer); err != nil {
			return db.coded(err)
		}
	}
	mode := "rw"
	if db.cfg.ReadOnly {
		mode = "ro"
	}
	if db.reader, err = sql.Open("sqlite", sqliteDSN(db.cfg.Path, mode, "deferred")+"&_query_only=1"); err != nil {
		return db.coded(err)
	}
	db.reader.SetMaxOpenConns(readers)
	db.reader.SetMaxIdleConns(readers)
	return db.coded(checkSQLite(ctx, db.reader))
}

// prepareFile makes sure that the file is one of ours, or makes an empty one that
// only its owner can read: it holds password digests.
func (db *DB) prepareFile() error {
	path := db.cfg.Path
	flag := os.O_RDWR | os.O_CREATE
	if db.cfg.ReadOnly {
		flag = os.O_RDONLY
	}
	f, err := os.OpenFile(path, flag, 0o600)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return garrison.Errorf(garrison.NotFound, "open state database %q: no such file; is the data directory right?", path)
	case err != nil:
		return garrison.Errorf(garrison.Unavailable, "open state database: %w; the data directory must be writable by the account that runs Garrison", err)
	}
	defer f.Close()
	head := make([]byte, len(sqliteMagic))
	n, err := io.ReadFull(f, head)
	if n == 0 && errors.Is(err, io.EOF) {
		return nil // new, or emptied: then the audit misses everything the ledger knows
	}
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return garrison.Errorf(garrison.Unavailable, "read state database: %w", err)
	}
	if !bytes.Equal(head[:n], []byte(sqliteMagic)) {
		return garrison.Errorf(garrison.Damaged, "state database %q does not start like an SQLite file; restore it from a backup", path)
	}
	return nil
}

// sqliteDSN is a file URI, so that no character of the path is taken for an option.
func sqliteDSN(path, mode, lock string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		abs = path
	}
	q := url.Values{}
	q.Set("mode", mode)
	q.Set("_txlock", lock)
	q.Set("_defensive", "1")
	q.Set("_dqs", "0")
	q.Set("_error_rc", "1")
	q.Add("_pragma", "busy_timeout("+strconv.Itoa(busyTimeoutMS)+")")
	if mode != "ro" {
		q.Add("_pragma", "journal_mode(WAL)")
	}
	q.Add("_pragma", "synchronous(FULL)")
	q.Add("_pragma", "foreign_keys(1)")
	q.Add("_pragma", "trusted_schema(0)")
	q.Add("_pragma", "cell_size_check(1)")
	return (&url.URL{Scheme: "file", Path: abs, RawQuery: q.Encode()}).String()
}

// checkSQLite reads back what the connection string asked for: the driver ignores
// options it does not know.
func checkSQLite(ctx context.Context, pool *sql.DB) error {
	want := []struct{ pragma, value string }{
		{"journal_mode", "wal"},
		{"synchronous", "2"},
		{"foreign_keys", "1"},
		{"busy_timeout", strconv.Itoa(busyTimeoutMS)},
		{"trusted_schema", "0"},
		{"cell_size_check", "1"},
	}
	for _, w := range want {
		var got string
		if err := pool.QueryRowContext(ctx, "PRAGMA "+w.pragma).Scan(&got); err != nil {
			return fmt.Errorf("read pragma %s: %w", w.pragma, err)
		}
		if got != w.value {
			return garrison.Errorf(garrison.Unavailable, "state database: pragma %s is %q, must be %q; is the file on a file system without shared memory?", w.pragma, got, w.value)
		}
	}
	var version string
	if err := pool.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&version); err != nil {
		return fmt.Errorf("read the version of SQLite: %w", err)
	}
	if sqliteNumber(version) < oldestSQLite {
		return garrison.Errorf(garrison.Unavailable, "SQLite %q is older than 3.51.3 and not safe for this use", version)
	}
	return nil
}

// sqliteNumber turns "3.51.3" into 3051003; 0 for what is no version.
func sqliteNumber(version string) int {
	n := 0
	parts := strings.Split(version, ".")
	for i := range 3 {
		n *= 1000
		if i < len(parts) {
			v, err := strconv.Atoi(parts[i])
			if err != nil {
				return 0
			}
			n += v
		}
	}
	return n
}

func (db *DB) openPostgres(ctx context.Context) error {
	dsn, err := readDSN(db.cfg.DSNFile)
	if err != nil {
		return err
	}
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		// The cause is left out: it can repeat the password.
		return garrison.Errorf(garrison.Invalid, "dsn_file %q holds no connection string that PostgreSQL's driver understands", db.cfg.DSNFile)
	}
	cfg.RuntimeParams["application_name"] = "garrison"
	cfg.RuntimeParams["timezone"] = "UTC"
	cfg.RuntimeParams["synchronous_commit"] = "on" // acknowledged means on stable storage
	open := func(readOnly bool, conns int) *sql.DB {
		c := cfg.Copy()
		if readOnly {
			c.RuntimeParams["default_transaction_read_only"] = "on"
		}
		pool := stdlib.OpenDB(*c)
		pool.SetMaxOpenConns(conns)
		pool.SetMaxIdleConns(conns)
		return pool
	}
	if !db.cfg.ReadOnly {
		db.writer = open(false, 4)
	}
	db.reader = open(true, readers)
	return db.coded(db.checkPostgres(ctx))
}

func readDSN(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", garrison.Errorf(garrison.Unavailable, "open dsn_file: %w", err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxDSN))
	if err != nil {
		return "", garrison.Errorf(garrison.Unavailable, "read dsn_file %q: %w", path, err)
	}
	return strings.TrimSpace(string(raw)), nil
}

func (db *DB) checkPostgres(ctx context.Context) error {
	read := func(setting string) (string, error) {
		var v string
		err := db.reader.QueryRowContext(ctx, "SELECT current_setting($1)", setting).Scan(&v)
		if err != nil {
			return "", fmt.Errorf("ask PostgreSQL for %s: %w", setting, err)
		}
		return v, nil
	}
	for setting, want := range map[string]string{"server_encoding": "UTF8", "synchronous_commit": "on"} {
		got, err := read(setting)
		if err != nil {
			return err
		}
		if got != want {
			return garrison.Errorf(garrison.Unavailable, "PostgreSQL: %s is %q, must be %q", setting, got, want)
		}
	}
	v, err := read("server_version_num")
	if err != nil {
		return err
	}
	if n, err := strconv.Atoi(v); err != nil || n < oldestPG {
		return garrison.Errorf(garrison.Unavailable, "PostgreSQL %q is older than 13", v)
	}
	if v, err = read("fsync"); err != nil {
		return err
	}
	if v != "on" {
		db.log.WarnContext(ctx, "PostgreSQL runs with fsync off: what it acknowledges does not survive a power cut")
	}
	return nil
}
