package schedule

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strings"
	"time"
	"unicode"

	"garrison"
	"garrison/internal/state"
)

// loop hands due jobs to workers until ctx ends, then waits for the workers.
func (s *Scheduler) loop(ctx context.Context) {
	free := make(chan struct{}, s.cfg.Workers)
	for range s.cfg.Workers {
		free <- struct{}{}
	}
	for ctx.Err() == nil {
		select {
		case <-free:
		case <-ctx.Done():
			return
		}
		r, ok, err := s.claim(ctx)
		if err != nil && ctx.Err() == nil {
			s.log.ErrorContext(ctx, "jobs cannot be read", "err", err)
		}
		if !ok {
			free <- struct{}{}
			s.rest(ctx)
			continue
		}
		s.done.Go(func() {
			s.work(ctx, r)
			free <- struct{}{}
			s.signal()
		})
	}
}

// rest waits until something is due, somebody puts a job, or it is time to look
// what other nodes put.
func (s *Scheduler) rest(ctx context.Context) {
	wait := s.cfg.Poll
	var next int64
	err := s.db.Read(ctx, func(q state.Querier) error { return q.QueryRow(ctx, nextDue).Scan(&next) })
	if until := state.Time(next).Sub(s.now()); err == nil && next >= 0 && until > 0 {
		wait = min(wait, until)
	}
	timer := time.NewTimer(max(wait, time.Millisecond))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-s.wake:
	case <-timer.C:
	}
}

// claim takes the job that has been due longest.
func (s *Scheduler) claim(ctx context.Context) (taken row, ok bool, err error) {
	now := s.now()
	due, err := s.due(ctx, now)
	if err != nil || len(due) == 0 {
		return row{}, false, err
	}
	err = s.db.Write(ctx, func(tx *state.Tx) error {
		ok = false
		for _, d := range due {
			r, there, err := load(ctx, tx, d.Kind, d.Key)
			if err != nil {
				return err
			}
			// Somebody else may have been faster.
			if !there || r.GivenUp || r.RunAt.After(now) || r.leaseUntil > state.Micros(now) {
				continue
			}
			r.lease, r.leaseUntil = s.name, state.Micros(now.Add(s.cfg.Lease))
			r.LastStart = now
			r.Runs++
			taken, ok = r, true
			return r.save(ctx, tx)
		}
		return nil
	})
	return taken, ok && err == nil, err
}

// due returns jobs that this process can run, those first that wait longest. Kinds
// that nobody here handles cannot hold up the rest.
func (s *Scheduler) due(ctx context.Context, now time.Time) ([]row, error) {
	var due []row
	err := s.db.Read(ctx, func(q state.Querier) error {
		due = nil
		for _, kind := range s.kinds() {
			rows, err := list(ctx, q, selectDue, kind, state.Micros(now))
			if err != nil {
				return err
			}
			due = append(due, rows...)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read due jobs: %w", err)
	}
	slices.SortStableFunc(due, func(x, y row) int { return x.RunAt.Compare(y.RunAt) })
	return due, nil
}

func (s *Scheduler) kinds() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.handlers))
}

func (s *Scheduler) handler(kind string) Handler {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.handlers[kind]
}

// work runs one job and writes down how it went.
func (s *Scheduler) work(ctx context.Context, r row) {
	run, cancel := context.WithCancel(ctx)
	defer cancel()
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		s.keepLease(run, cancel, r)
	}()
	err := s.call(run, r.Job)
	cancel()
	<-kept
	// How it went is written even when the scheduler is about to stop.
	if err := s.finish(context.WithoutCancel(ctx), r, err, ctx.Err() != nil); err != nil {
		s.log.ErrorContext(ctx, "the end of a job cannot be written; it will run again", "kind", r.Kind, "key", r.Key, "err", err)
	}
}

// call keeps a panic inside the job that it belongs to.
func (s *Scheduler) call(ctx context.Context, j Job) (err error) {
	defer func() {
		if p := recover(); p != nil {
			s.log.ErrorContext(ctx, "a job panicked", "kind", j.Kind, "key", j.Key, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return s.handler(j.Kind)(ctx, j)
}

// keepLease renews the lease until ctx ends; without it another node runs the job.
func (s *Scheduler) keepLease(ctx context.Context, lost context.CancelFunc, mine row) {
	tick := time.NewTicker(s.cfg.Renew)
	defer tick.Stop()
	until := mine.leaseUntil
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		held, removed := false, false
		err := s.db.Write(ctx, func(tx *state.Tx) error {
			r, ok, err := load(ctx, tx, mine.Kind, mine.Key)
			held, removed = ok && r.lease == s.name && r.Runs == mine.Runs, !ok
			if err != nil || !held {
				return err
			}
			r.leaseUntil = state.Micros(s.now().Add(s.cfg.Lease))
			until = r.leaseUntil
			return r.save(ctx, tx)
		})
		if ctx.Err() != nil {
			return
		}
		// A job that was removed runs to its end; one that is another's now does not.
		if err == nil && removed {
			return
		}
		if err == nil && !held || err != nil && state.Micros(s.now()) > until {
			lost()
			return
		}
	}
}

// finish frees the job and sets when it runs next, if it does.
func (s *Scheduler) finish(ctx context.Context, mine row, failed error, stopping bool) error {
	return s.db.Write(ctx, func(tx *state.Tx) error {
		r, ok, err := load(ctx, tx, mine.Kind, mine.Key)
		if err != nil {
			return err
		}
		if !ok || r.lease != s.name || r.Runs != mine.Runs {
			return nil // removed meanwhile, or another's by now
		}
		now := s.now()
		r.lease, r.leaseUntil, r.LastEnd, r.LastError = "", 0, now, ""
		again := r.put != mine.put // put again while it ran: what was asked for then is still to be done
		switch {
		case failed != nil && stopping:
			r.LastError = "interrupted by a stop: " + clip(failed.Error())
		case failed != nil:
			r.LastError = clip(failed.Error())
			r.Attempts++
			r.RunAt = now.Add(s.pause(r.Attempts, r.Every))
			r.GivenUp = r.Every == 0 && r.Attempts >= s.cfg.Attempts
			s.log.WarnContext(ctx, "a job failed", "kind", r.Kind, "key", r.Key, "attempts", r.Attempts, "given_up", r.GivenUp, "code", garrison.CodeOf(failed), "err", failed)
		case again:
			r.Attempts = 0
		case r.Every == 0:
			_, err := tx.Exec(ctx, remove, r.Kind, r.Key)
			return err
		default:
			r.Attempts = 0
			r.RunAt = following(mine.RunAt, now, r.Every)
		}
		return r.save(ctx, tx)
	})
}

// following is the first moment of the rhythm after now: what was missed while
// nobody ran is not made up for.
func following(due, now time.Time, every time.Duration) time.Time {
	if due.After(now) {
		return due.Add(every)
	}
	return due.Add((now.Sub(due)/every + 1) * every)
}

// pause grows with every failure and differs from job to job, so that what failed
// together is not tried together. What repeats is never later than its rhythm.
func (s *Scheduler) pause(attempts int, every time.Duration) time.Duration {
	p := s.cfg.BackOff << min(attempts-1, 30)
	if p <= 0 || p > s.cfg.BackOffMax {
		p = s.cfg.BackOffMax
	}
	p += time.Duration(rand.Int64N(int64(p)/5 + 1)) //nolint:gosec // jitter, no secret
	if every > 0 {
		p = min(p, every)
	}
	return p
}

func clip(text string) string {
	if len(text) > maxError {
		text = text[:maxError]
	}
	// The text can hold bytes from outside; a database takes only whole characters.
	return toPrintable(text)
}

func toPrintable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
}
