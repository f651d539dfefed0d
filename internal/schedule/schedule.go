package schedule

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"garrison"
	"garrison/internal/state"
)

// Config sets how the scheduler works.
type Config struct {
	Workers    int           // jobs at once
	Poll       time.Duration // how often to look for jobs that other nodes put
	Lease      time.Duration // how long a job stays with a node that no longer answers
	BackOff    time.Duration // pause after the first failure; doubles
	BackOffMax time.Duration
	Attempts   int // a job that does not repeat is given up after so many failures
}

// DefaultConfig is what runs when nothing is set.
func DefaultConfig() Config {
	return Config{Workers: 4, Poll: time.Second, Lease: time.Minute,
		BackOff: 2 * time.Second, BackOffMax: time.Hour, Attempts: 10}
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
	LastError string
	Runs      int64
}

// Scheduler runs jobs.
type Scheduler struct{}

// New builds; it starts nothing.
func New(cfg Config, deps Deps) (*Scheduler, error) { return &Scheduler{}, nil }

// Handle says what runs jobs of a kind. Call it before Start.
func (s *Scheduler) Handle(kind string, fn func(ctx context.Context, j Job) error) {}

// Put makes a job, or changes the one with the same kind and key.
func (s *Scheduler) Put(ctx context.Context, j Job) error { return errNotYet }

// PutIn is Put inside a transaction: the job exists if the transaction commits.
func (s *Scheduler) PutIn(ctx context.Context, tx *state.Tx, j Job) error { return errNotYet }

// Remove forgets a job; a run under way finishes.
func (s *Scheduler) Remove(ctx context.Context, kind, key string) error { return errNotYet }

// List returns all jobs, of one kind or ("") of every kind, the next due first.
func (s *Scheduler) List(ctx context.Context, kind string) ([]Job, error) { return nil, errNotYet }

// Start begins to run jobs.
func (s *Scheduler) Start(ctx context.Context) error { return errNotYet }

// Stop tells running handlers to end and waits for them; their jobs run again at
// the next start.
func (s *Scheduler) Stop(ctx context.Context) error { return errNotYet }

// Migrate makes the tables; Start does it too. Put works from then on.
func (s *Scheduler) Migrate(ctx context.Context) error { return errNotYet }

var errNotYet = garrison.Errorf(garrison.Unavailable, "schedule: not built yet")
