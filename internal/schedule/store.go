package schedule

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"garrison/internal/state"
)

//go:embed migrations/*.sql
var migrations embed.FS

const (
	columns = `kind, key, payload, run_at, every, attempts, given_up, put, lease, lease_until,
		last_start, last_end, last_error, runs, sum`
	selectOne = `SELECT ` + columns + ` FROM job WHERE kind = $1 AND key = $2`
	selectAll = `SELECT ` + columns + ` FROM job WHERE ($1 = '' OR kind = $1) ORDER BY run_at, kind, key`
	selectDue = `SELECT ` + columns + ` FROM job WHERE kind = $1 AND given_up = FALSE AND run_at <= $2 AND lease_until <= $2 ORDER BY run_at, key LIMIT 64`
	nextDue   = `SELECT coalesce(min(CASE WHEN lease_until > run_at THEN lease_until ELSE run_at END), -1) FROM job WHERE given_up = FALSE`
	upsert    = `INSERT INTO job (` + columns + `)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
		ON CONFLICT (kind, key) DO UPDATE SET payload = excluded.payload, run_at = excluded.run_at,
		every = excluded.every, attempts = excluded.attempts, given_up = excluded.given_up, put = excluded.put,
		lease = excluded.lease, lease_until = excluded.lease_until, last_start = excluded.last_start,
		last_end = excluded.last_end, last_error = excluded.last_error, runs = excluded.runs, sum = excluded.sum`
	remove = `DELETE FROM job WHERE kind = $1 AND key = $2`
)

// row is a job as it is stored.
type row struct {
	Job
	put        int64  // counts calls of Put, so that the end of a run sees whether the job was put again
	lease      string // who runs it; "" nobody
	leaseUntil int64
	sum        string
}

func (r *row) scan(s state.Scanner) error {
	var payload string
	var runAt, every, attempts, lastStart, lastEnd int64
	err := s.Scan(&r.Kind, &r.Key, &payload, &runAt, &every, &attempts, &r.GivenUp, &r.put, &r.lease, &r.leaseUntil,
		&lastStart, &lastEnd, &r.LastError, &r.Runs, &r.sum)
	if err != nil {
		return err
	}
	r.Payload = json.RawMessage(payload)
	r.RunAt, r.Every, r.Attempts = state.Time(runAt), time.Duration(every)*time.Microsecond, int(attempts)
	r.LastStart, r.LastEnd = state.Time(lastStart), state.Time(lastEnd)
	r.Running = r.lease != ""
	return nil
}

func (r *row) checksum() string {
	return state.Sum(r.Kind, r.Key, string(r.Payload), state.Micros(r.RunAt), r.Every.Microseconds(), r.Attempts, r.GivenUp,
		r.put, r.lease, r.leaseUntil, state.Micros(r.LastStart), state.Micros(r.LastEnd), r.LastError, r.Runs)
}

func (r *row) save(ctx context.Context, tx *state.Tx) error {
	_, err := tx.Exec(ctx, upsert, r.Kind, r.Key, string(r.Payload), state.Micros(r.RunAt), r.Every.Microseconds(), int64(r.Attempts),
		r.GivenUp, r.put, r.lease, r.leaseUntil, state.Micros(r.LastStart), state.Micros(r.LastEnd), r.LastError, r.Runs, r.checksum())
	if err != nil {
		return fmt.Errorf("save job %s %q: %w", r.Kind, r.Key, err)
	}
	return nil
}

// load reads one job; ok is false where there is none.
func load(ctx context.Context, q state.Querier, kind, key string) (r row, ok bool, err error) {
	err = r.scan(q.QueryRow(ctx, selectOne, kind, key))
	if errors.Is(err, state.ErrNoRows) {
		return row{}, false, nil
	}
	if err != nil {
		return row{}, false, fmt.Errorf("read job %s %q: %w", kind, key, err)
	}
	return r, true, nil
}

func list(ctx context.Context, q state.Querier, query string, args ...any) ([]row, error) {
	var all []row
	err := state.Each(ctx, q, func(s state.Scanner) error {
		var r row
		if err := r.scan(s); err != nil {
			return err
		}
		all = append(all, r)
		return nil
	}, query, args...)
	return all, err
}

// check is the audit's look at the jobs: they have no history, but a sum.
func check(ctx context.Context, q state.Querier, report func(state.Damage)) error {
	all, err := list(ctx, q, selectAll, "")
	if err != nil {
		return err
	}
	for _, r := range all {
		if r.checksum() != r.sum {
			report(state.Damage{Object: "job/" + r.Kind + "/" + r.Key, What: "the job is not as it was written"})
		}
	}
	return nil
}
