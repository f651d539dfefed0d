package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"garrison"
)

// Names of database/sql that owners of tables need; only this package imports it.
type (
	Rows        = sql.Rows
	Row         = sql.Row
	Result      = sql.Result
	Null[T any] = sql.Null[T]
)

// Querier reads. Both *Tx and the snapshot of Read are one.
type Querier interface {
	Query(ctx context.Context, query string, args ...any) (*Rows, error)
	QueryRow(ctx context.Context, query string, args ...any) *Row
}

// Scanner is one row, as [*Rows] and [*Row] have it.
type Scanner interface{ Scan(dest ...any) error }

// Each calls fn for every row of a query, and closes it.
func Each(ctx context.Context, q Querier, fn func(row Scanner) error, query string, args ...any) error {
	rows, err := q.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := fn(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Read gives fn one snapshot: all its queries see the same moment.
func (db *DB) Read(ctx context.Context, fn func(q Querier) error) error {
	level := sql.LevelDefault // SQLite: every transaction is a snapshot
	if db.cfg.Engine == Postgres {
		level = sql.LevelRepeatableRead
	}
	tx, err := db.reader.BeginTx(ctx, &sql.TxOptions{Isolation: level, ReadOnly: true})
	if err != nil {
		return db.coded(fmt.Errorf("begin reading: %w", err))
	}
	defer tx.Rollback() //nolint:errcheck // nothing was changed
	return db.coded(fn(snapshot{tx}))
}

type snapshot struct{ tx *sql.Tx }

func (s snapshot) Query(ctx context.Context, query string, args ...any) (*Rows, error) {
	return s.tx.QueryContext(ctx, query, args...)
}

func (s snapshot) QueryRow(ctx context.Context, query string, args ...any) *Row {
	return s.tx.QueryRowContext(ctx, query, args...)
}

// Tx is a writing transaction. It belongs to the function that Write gave it to and
// is not safe for concurrent use.
type Tx struct {
	snapshot
	db     *DB
	queued bool // the outbox got something
	after  []func()
}

// Exec changes something.
func (tx *Tx) Exec(ctx context.Context, query string, args ...any) (Result, error) {
	return tx.tx.ExecContext(ctx, query, args...)
}

// OnCommit runs fn once, after the transaction is durable.
func (tx *Tx) OnCommit(fn func()) { tx.after = append(tx.after, fn) }

const maxTries = 8

// Write gives fn the one writing transaction and commits when fn returns nil. On
// PostgreSQL fn may run again after a serialisation failure, so it must have no
// effect outside the transaction except through [Tx.OnCommit]. It must not call
// Write: it would wait for itself.
func (db *DB) Write(ctx context.Context, fn func(tx *Tx) error) error {
	if db.writer == nil {
		return garrison.Errorf(garrison.Unavailable, "the state database was opened for reading only")
	}
	for try := 1; ; try++ {
		err := db.writeOnce(ctx, fn)
		if err == nil || try == maxTries || !again(err) {
			return db.coded(err)
		}
		pause := time.NewTimer(time.Duration(1+rand.IntN(20*try)) * time.Millisecond) //nolint:gosec // jitter, no secret
		select {
		case <-ctx.Done():
			pause.Stop()
			return ctx.Err()
		case <-pause.C:
		}
	}
}

func (db *DB) writeOnce(ctx context.Context, fn func(tx *Tx) error) error {
	sqlTx, err := db.writer.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin writing: %w", err)
	}
	defer sqlTx.Rollback() //nolint:errcheck // after a commit it does nothing; else fn's error is the one that counts
	tx := &Tx{snapshot: snapshot{sqlTx}, db: db}
	if db.cfg.Engine == Postgres {
		// One writer at a time over all nodes, as SQLite has it: what fn reads stays
		// true, and the outbox is in the order of the commits. READ COMMITTED on
		// purpose: a stricter level would take its snapshot before the lock is ours.
		if _, err := tx.Exec(ctx, lockWriter, writerLock); err != nil {
			return fmt.Errorf("wait for the writer's lock: %w", err)
		}
	}
	if err := fn(tx); err != nil {
		return err
	}
	if err := sqlTx.Commit(); err != nil {
		if errors.Is(err, sql.ErrTxDone) && ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("commit: %w", err)
	}
	if tx.queued {
		db.signal()
	}
	for _, fn := range tx.after {
		fn()
	}
	return nil
}
