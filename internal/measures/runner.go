package measures

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"garrison"
	"garrison/evidence"
	"garrison/internal/probe"
	"garrison/internal/schedule"
	"garrison/internal/state"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// Config sets how the runner confirms and repeats.
type Config struct {
	// Looks is how many agreeing looks make an open finding, where neither the rule
	// nor the item says otherwise.
	Looks int
	// LookAfter is the pause before a suspicion is looked at again.
	LookAfter time.Duration
	// Interval replaces every measure's own interval; 0: the measure's.
	Interval time.Duration
	// Plan is how often new and retired subjects are noticed.
	Plan time.Duration
	// RunTimeout ends a run that does not end; it is then Unknown.
	RunTimeout time.Duration
}

// DefaultConfig returns the settings the product ships with.
func DefaultConfig() Config {
	return Config{Looks: 2, LookAfter: 10 * time.Minute, Plan: time.Minute, RunTimeout: 6 * time.Hour}
}

// Validate reports every fault of c at once.
func (c Config) Validate() error {
	var errs []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	need(c.Looks >= 1 && c.Looks <= 10, "measures.looks %d: must be 1 to 10", c.Looks)
	need(c.LookAfter >= 0, "measures.look_after %s: must not be negative", c.LookAfter)
	need(c.Interval == 0 || c.Interval >= time.Second, "measures.interval %s: must be 0 or at least 1s", c.Interval)
	need(c.Plan >= time.Second, "measures.plan %s: must be at least 1s", c.Plan)
	need(c.RunTimeout > 0, "measures.run_timeout %s: must be above 0", c.RunTimeout)
	return errors.Join(errs...)
}

// Deps is what the runner needs. Cases, OnRun, Log and Now may be left zero; without
// a Schedule nothing runs by itself and Enqueue is refused.
type Deps struct {
	DB       *state.DB
	Schedule *schedule.Scheduler
	Measures []Measure // all.Measures()
	Probe    probe.Prober
	Subjects Subjects
	Keeper   Keeper
	Cases    Cases
	OnRun    func(garrison.Run) // after a run is recorded; must not block
	Log      *slog.Logger
	Now      func() time.Time
}

// Runner executes measures and keeps what they found. It is safe for concurrent use.
type Runner struct {
	cfg      Config
	deps     Deps
	self     garrison.Actor
	measures map[garrison.MeasureID]Measure

	quit    context.Context // ends with Stop; made by New, read by all
	stop    context.CancelFunc
	running sync.WaitGroup

	mu     sync.Mutex // guards busy and closed
	busy   map[string]bool
	closed bool

	telling sync.Mutex // held while notices are delivered, so that order is kept
}

// New builds a runner. It does no input or output.
func New(cfg Config, deps Deps) (*Runner, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.DB == nil || deps.Probe == nil || deps.Subjects == nil || deps.Keeper == nil {
		return nil, fmt.Errorf("measures: database, probe, subjects and keeper are needed")
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	r := &Runner{cfg: cfg, deps: deps, self: garrison.System("measures"),
		measures: map[garrison.MeasureID]Measure{}, busy: map[string]bool{}}
	for _, m := range deps.Measures {
		d := m.Definition()
		if r.measures[d.ID] != nil {
			return nil, fmt.Errorf("measures: %q stands twice", d.ID)
		}
		for _, n := range d.Needs {
			if n != NeedNetwork { // the only need this runner can meet so far
				return nil, fmt.Errorf("measures: %q needs %q, which is not there", d.ID, n)
			}
		}
		r.measures[d.ID] = m
	}
	r.quit, r.stop = context.WithCancel(context.Background())
	return r, nil
}

// now is the present as the database keeps it.
func (r *Runner) now() time.Time { return r.deps.Now().UTC().Truncate(time.Microsecond) }

// Start migrates the tables, records runs that a crash cut off as Unknown
// ("interrupted"), tells others what they had not been told, and begins to schedule.
// The scheduler must not have been started.
func (r *Runner) Start(ctx context.Context) error {
	sub, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		return err
	}
	if err := r.deps.DB.Migrate(ctx, "measures", sub); err != nil {
		return err
	}
	r.register()
	if err := r.introduce(ctx); err != nil {
		return err
	}
	if err := r.interrupted(ctx); err != nil {
		return err
	}
	r.tell(ctx)
	return r.schedule(ctx)
}

// Stop ends running measures and waits until they are recorded as Unknown.
func (r *Runner) Stop(ctx context.Context) error {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.stop()
	done := make(chan struct{})
	go func() { r.running.Wait(); close(done) }() // ends when the last run has
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop measures: %w", ctx.Err())
	}
}

// introduce records the state of measures that were never seen before: on.
func (r *Runner) introduce(ctx context.Context) error {
	return r.deps.DB.Write(ctx, func(tx *state.Tx) error {
		known := map[garrison.MeasureID]bool{}
		modes, err := allModes(ctx, tx)
		if err != nil {
			return err
		}
		for _, m := range modes {
			known[m.measure] = true
		}
		for _, m := range r.deps.Measures {
			id := m.Definition().ID
			if known[id] {
				continue
			}
			if err := r.putMode(ctx, tx, id, On, "", r.self, "introduced"); err != nil {
				return err
			}
		}
		return nil
	})
}

// interrupted records runs that were under way when the process ended. Nothing
// follows from them.
func (r *Runner) interrupted(ctx context.Context) error {
	return r.deps.DB.Write(ctx, func(tx *state.Tx) error {
		var cut []*run
		err := state.Each(ctx, tx, func(row state.Scanner) error {
			u, err := scanRun(row)
			cut = append(cut, u)
			return err
		}, selectRunning)
		if err != nil {
			return err
		}
		for _, u := range cut {
			u.Running, u.Outcome, u.Why, u.Ended = false, garrison.Unknown, whyInterrupted, r.now()
			if err := r.seal(ctx, tx, u, whyInterrupted); err != nil {
				return err
			}
			if err := r.notice(ctx, tx, notice{Kind: noticeEnded, Run: u.ID}); err != nil {
				return err
			}
		}
		return nil
	})
}

// seal writes an ended run with its ledger entry.
func (r *Runner) seal(ctx context.Context, tx *state.Tx, u *run, what string) error {
	p := u.Population
	var err error
	u.entry, err = tx.Entry(ctx, evidence.NewEntry(evidence.TypeRun,
		"run", string(u.ID), "measure", string(u.Measure), "version", u.Version, "subject", string(u.Subject),
		"started", u.Started.Format(time.RFC3339Nano), "ended", u.Ended.Format(time.RFC3339Nano),
		"outcome", u.Outcome.String(), "why", u.Why, "scope", scope(u),
		"attempted", fmt.Sprint(p.Attempted), "succeeded", fmt.Sprint(p.Succeeded),
		"failed", fmt.Sprint(p.Failed), "unreachable", fmt.Sprint(p.Unreachable), "transcript", u.Transcript))
	if err != nil {
		return err
	}
	return putRun(ctx, tx, u, what)
}

// scope says in one word what follows from a locus not being seen.
func scope(u *run) string {
	switch {
	case u.Partial:
		return "partial"
	case u.Complete:
		return "complete"
	}
	return "incomplete"
}
