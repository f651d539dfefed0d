package state

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"garrison"
)

// ErrNoRows is what Scan returns for a QueryRow without a row.
var ErrNoRows = sql.ErrNoRows

// coded gives an error of the engine the code that a caller can act on. Errors that
// have a code already, and those that mean nothing to a caller, pass as they are.
func (db *DB) coded(err error) error {
	if err == nil || garrison.CodeOf(err) != "" {
		return err
	}
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		switch lite.Code() & 0xff {
		case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
			return garrison.Errorf(garrison.Damaged, "state database %q is damaged: %w", db.cfg.Path, err)
		case sqlite3.SQLITE_FULL:
			return garrison.Errorf(garrison.Unavailable, "state database %q: the disk is full: %w", db.cfg.Path, err)
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY,
			sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
			return garrison.Errorf(garrison.Unavailable, "state database %q: %w", db.cfg.Path, err)
		}
		return err
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch class := pg.Code[:min(2, len(pg.Code))]; class {
		case "XX": // internal error, data or index corrupted
			return garrison.Errorf(garrison.Damaged, "PostgreSQL: %w", err)
		case "08", "28", "3D", "40", "53", "55", "57", "58", "25":
			return garrison.Errorf(garrison.Unavailable, "PostgreSQL: %w", err)
		}
		return err
	}
	var connect *pgconn.ConnectError
	var network net.Error
	if errors.As(err, &connect) || errors.Is(err, sql.ErrConnDone) ||
		(errors.As(err, &network) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)) {
		return garrison.Errorf(garrison.Unavailable, "state database: %w", err)
	}
	return err
}

// IsUnique says that a change was refused because a value that must be unique is taken.
func IsUnique(err error) bool {
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		return lite.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || lite.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY
	}
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "23505"
}

// noTable says that a table is not there.
func noTable(err error) bool {
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		return lite.Code()&0xff == sqlite3.SQLITE_ERROR && strings.Contains(lite.Error(), "no such table")
	}
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "42P01"
}

// again says that the same transaction can succeed when it is run once more.
func again(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "40001" || pg.Code == "40P01")
}
