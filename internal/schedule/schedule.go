package schedule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"regexp"
	"sync"
	"time"

	"garrison"
	"garrison/internal/state"
)

const (
	maxPayload = 64 << 10
	maxKey     = 256
	maxError   = 500
)

var kindName = regexp.MustCompile(`^[a-z][a-z0-9_.]{0,63}$`)

// Config sets how the scheduler works.
type Config struct {
	Workers    int           // jobs at once
	Poll       time.Duration // how often to look for jobs that other nodes put
	Lease      time.Duration // how long a job stays with a node that no longer answers
	Renew      time.Duration // how often a node that runs a job says so
	BackOff    time.Duration // pause after the first failure; doubles
	BackOffMax time.Duration
	Attempts   int // a job that does not repeat is given up after so many failures
}

// DefaultConfig is what runs when nothing is set.
func DefaultConfig() Config {
	return Config{Workers: 4, Poll: time.Second, Lease: time.Minute, Renew: 20 * time.Second,
		BackOff: 2 * time.Second, BackOffMax: time.Hour, Attempts: 10}
}

// Validate reports every fault of c at once.
func (c Config) Validate() error {
	var errs []error
	need := func(ok bool, what string) {
		if !ok {
			errs = append(errs, errors.New(what))
		}
	}
	need(c.Workers > 0 && c.Workers <= 256, "workers must be 1 to 256")
	need(c.Poll > 0, "poll must be positive")
	need(c.Renew > 0 && c.Lease >= 3*c.Renew, "lease must be at least three times renew")
	need(c.BackOff > 0 && c.BackOffMax >= c.BackOff, "back-off must be positive and not above its maximum")
	need(c.Attempts > 0, "attempts must be positive")
	if len(errs) > 0 {
		return garrison.Errorf(garrison.Invalid, "schedule: %w", errors.Join(errs...))
	}
	return nil
}

// Deps is what the scheduler needs from outside.
type Deps struct {
	DB  *state.DB
	Now func() time.Time
	Log *slog.Logger
}

// Job is one piece of work. Kind and Key together name it.
type Job struct {
	Kind     string
	Key      string
	Payload  json.RawMessage
	RunAt    time.Time     // due; zero in Put: now, or as it was when the job exists
	Every    time.Duration // zero: once
	Attempts int           // failures since the last success

	// Filled by List and in handlers.
	Running   bool
	GivenUp   bool // failed too often; Put brings it back
	LastStart time.Time
	LastEnd   time.Time
	LastError string // of the last run; "": it went well
	Runs      int64
}

func (j Job) check() error {
	switch {
	case !kindName.MatchString(j.Kind):
		return garrison.Errorf(garrison.Invalid, "job kind %q is not a lower-case word", j.Kind)
	case len(j.Key) > maxKey:
		return garrison.Errorf(garrison.Invalid, "job %s: the key has %d bytes, at most %d", j.Kind, len(j.Key), maxKey)
	case len(j.Payload) > maxPayload:
		return garrison.Errorf(garrison.TooLarge, "job %s %q: the payload has %d bytes, at most %d", j.Kind, j.Key, len(j.Payload), maxPayload)
	case !json.Valid(j.Payload):
		return garrison.Errorf(garrison.Invalid, "job %s %q: the payload is not JSON", j.Kind, j.Key)
	case j.Every < 0 || j.Every > 0 && j.Every < time.Millisecond:
		return garrison.Errorf(garrison.Invalid, "job %s %q: it cannot run every %v", j.Kind, j.Key, j.Every)
	}
	return nil
}

// Handler runs one job. It obeys ctx, which ends when the scheduler stops or the
// lease is lost, and must bear being run twice.
type Handler func(ctx context.Context, j Job) error

// Scheduler runs jobs.
type Scheduler struct {
	cfg  Config
	db   *state.DB
	now  func() time.Time
	log  *slog.Logger
	wake chan struct{} // holds a token when there may be something due
	name string        // of this process, in leases

	mu       sync.Mutex // guards handlers
	handlers map[string]Handler

	// Set by Start, used by Stop.
	stop context.CancelFunc
	done sync.WaitGroup
}

// New builds; it starts nothing.
func New(cfg Config, deps Deps) (*Scheduler, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	return &Scheduler{cfg: cfg, db: deps.DB, now: deps.Now, log: deps.Log,
		wake: make(chan struct{}, 1), name: garrison.NewID("node"), handlers: map[string]Handler{}}, nil
}

// Handle says what runs jobs of a kind. A job whose kind nobody handles waits.
func (s *Scheduler) Handle(kind string, fn func(ctx context.Context, j Job) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handlers[kind] = fn
}

// Migrate makes the tables and registers them with the audit; Start does it too.
// Put works from then on.
func (s *Scheduler) Migrate(ctx context.Context) error {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	if err := s.db.Migrate(ctx, "schedule", sub); err != nil {
		return err
	}
	s.db.RegisterCheck("job", check)
	return nil
}

// Start begins to run jobs. It returns at once; Stop ends it.
func (s *Scheduler) Start(ctx context.Context) error {
	if err := s.Migrate(ctx); err != nil {
		return err
	}
	if s.db.ReadOnly() {
		return nil
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	s.done.Go(func() { s.loop(run) })
	return nil
}

// Stop tells running handlers to end and waits for them; their jobs run again at
// the next start.
func (s *Scheduler) Stop(ctx context.Context) error {
	if s.stop == nil {
		return nil
	}
	s.stop()
	ended := make(chan struct{})
	go func() { s.done.Wait(); close(ended) }()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("jobs did not end in time: %w", ctx.Err())
	}
}

// Put makes a job, or changes the one with the same kind and key. Where nothing
// differs and RunAt is zero it changes nothing, so owners can put what repeats at
// every start.
func (s *Scheduler) Put(ctx context.Context, j Job) error {
	return s.db.Write(ctx, func(tx *state.Tx) error { return s.PutIn(ctx, tx, j) })
}

// PutIn is Put inside a transaction: the job exists if the transaction commits.
func (s *Scheduler) PutIn(ctx context.Context, tx *state.Tx, j Job) error {
	if len(j.Payload) == 0 {
		j.Payload = json.RawMessage("null")
	}
	if err := j.check(); err != nil {
		return err
	}
	old, ok, err := load(ctx, tx, j.Kind, j.Key)
	if err != nil {
		return err
	}
	r := old
	if !ok {
		r = row{Job: Job{Kind: j.Kind, Key: j.Key, RunAt: s.now()}}
	}
	same := ok && !old.GivenUp && string(old.Payload) == string(j.Payload) && old.Every == j.Every
	switch {
	case !j.RunAt.IsZero():
		r.RunAt = j.RunAt
	case same:
		return nil
	case ok && old.GivenUp:
		r.RunAt = s.now()
	case ok && j.Every > 0 && r.RunAt.After(s.now().Add(j.Every)):
		r.RunAt = s.now().Add(j.Every) // it repeats more often now
	}
	r.Payload, r.Every, r.Attempts, r.GivenUp = j.Payload, j.Every, 0, false
	r.put++
	tx.OnCommit(s.signal)
	return r.save(ctx, tx)
}

// Remove forgets a job; a run under way finishes.
func (s *Scheduler) Remove(ctx context.Context, kind, key string) error {
	return s.db.Write(ctx, func(tx *state.Tx) error {
		_, err := tx.Exec(ctx, remove, kind, key)
		return err
	})
}

// List returns all jobs, of one kind or ("") of every kind, the next due first.
func (s *Scheduler) List(ctx context.Context, kind string) ([]Job, error) {
	var rows []row
	err := s.db.Read(ctx, func(q state.Querier) (err error) {
		rows, err = list(ctx, q, selectAll, kind)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	jobs := make([]Job, len(rows))
	now := state.Micros(s.now())
	for i, r := range rows {
		jobs[i] = r.Job
		jobs[i].Running = r.lease != "" && r.leaseUntil > now
	}
	return jobs, nil
}

func (s *Scheduler) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
