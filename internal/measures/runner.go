package measures

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"garrison"
	"garrison/internal/probe"
	"garrison/internal/schedule"
	"garrison/internal/state"
)

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
	if c.Looks < 1 || c.Looks > 10 {
		errs = append(errs, fmt.Errorf("measures.looks %d: must be 1 to 10", c.Looks))
	}
	if c.LookAfter < 0 {
		errs = append(errs, fmt.Errorf("measures.look_after %s: must not be negative", c.LookAfter))
	}
	if c.Interval < 0 {
		errs = append(errs, fmt.Errorf("measures.interval %s: must not be negative", c.Interval))
	}
	if c.Plan <= 0 {
		errs = append(errs, fmt.Errorf("measures.plan %s: must be above 0", c.Plan))
	}
	if c.RunTimeout <= 0 {
		errs = append(errs, fmt.Errorf("measures.run_timeout %s: must be above 0", c.RunTimeout))
	}
	return errors.Join(errs...)
}

// Deps is what the runner needs. Cases, Log and Now may be left zero.
type Deps struct {
	DB       *state.DB
	Schedule *schedule.Scheduler
	Measures []Measure // all.Measures()
	Probe    probe.Prober
	Subjects Subjects
	Keeper   Keeper
	Cases    Cases
	OnRun    func(garrison.Run) // after a run is recorded; may be nil, must not block
	Log      *slog.Logger
	Now      func() time.Time
}

// Runner executes measures and keeps what they found. It is safe for concurrent use.
type Runner struct {
	cfg  Config
	deps Deps
}

// New builds a runner. It does no input or output.
func New(cfg Config, deps Deps) (*Runner, error) {
	return &Runner{cfg: cfg, deps: deps}, nil
}

var errNotYet = garrison.Errorf(garrison.Unavailable, "measures: not built yet")

// Start migrates the tables, records runs that a crash cut off as Unknown
// ("interrupted"), and begins to schedule. The scheduler must not have been started.
func (r *Runner) Start(ctx context.Context) error { return errNotYet }

// Stop ends running measures, which are then recorded as Unknown.
func (r *Runner) Stop(ctx context.Context) error { return errNotYet }

// RunNow runs a measure on a subject now and returns when it is recorded.
// Conflict: it is running already. Held: the measure is off.
func (r *Runner) RunNow(ctx context.Context, m garrison.MeasureID, s garrison.SubjectID, by garrison.Actor) (garrison.Run, error) {
	return garrison.Run{}, errNotYet
}

// Enqueue has a measure run on a subject as soon as possible and returns at once.
// The run will have the id returned.
func (r *Runner) Enqueue(ctx context.Context, m garrison.MeasureID, s garrison.SubjectID, by garrison.Actor) (garrison.RunID, error) {
	return "", errNotYet
}

// SetState turns a measure on, degraded or off. The reason must not be empty.
func (r *Runner) SetState(ctx context.Context, m garrison.MeasureID, mode Mode, reason string, by garrison.Actor) error {
	return errNotYet
}

// States returns every measure.
func (r *Runner) States(ctx context.Context) ([]MeasureState, error) { return nil, errNotYet }

// Runs returns runs, newest first, and the cursor of the next page ("": the last).
func (r *Runner) Runs(ctx context.Context, f RunFilter) ([]RunRow, string, error) {
	return nil, "", errNotYet
}

// Run returns one run and what it saw; the items come from its kept transcript,
// which is checked against the digest the run recorded (code Damaged if it differs).
func (r *Runner) Run(ctx context.Context, id garrison.RunID) (RunRow, []Item, error) {
	return RunRow{}, nil, errNotYet
}

// Transcript returns the kept transcript of a run, as JSON.
func (r *Runner) Transcript(ctx context.Context, id garrison.RunID) ([]byte, error) {
	return nil, errNotYet
}

// Findings returns findings, worst and newest first, and the cursor of the next
// page ("": the last).
func (r *Runner) Findings(ctx context.Context, f FindingFilter) ([]FindingRow, string, error) {
	return nil, "", errNotYet
}

// CountFindings returns how many findings match f, by state.
func (r *Runner) CountFindings(ctx context.Context, f FindingFilter) (map[FindingState]int, error) {
	return nil, errNotYet
}

// Finding returns one finding.
func (r *Runner) Finding(ctx context.Context, id garrison.FindingID) (FindingRow, error) {
	return FindingRow{}, errNotYet
}

// Refute takes a finding off the list because it is wrong, with a reason.
func (r *Runner) Refute(ctx context.Context, id garrison.FindingID, reason string, by garrison.Actor) error {
	return errNotYet
}

// Inventory returns the loci of a subject as the last complete run found them, and
// those removed since.
func (r *Runner) Inventory(ctx context.Context, s garrison.SubjectID) ([]LinkRow, error) {
	return nil, errNotYet
}

// Stands returns what a measure knows about each subject it should look at.
func (r *Runner) Stands(ctx context.Context, m garrison.MeasureID) ([]Stand, error) {
	return nil, errNotYet
}
