package duties

import (
	"context"
	"io"
	"log/slog"
	"time"

	"garrison"
	"garrison/internal/state"
)

// Config of the component.
type Config struct {
	// Every is how often standings are computed without being asked.
	Every time.Duration
	// Samples is how many records a bundle carries with their proofs.
	Samples int
	// Window is the stretch of time a bundle and its facts speak about.
	Window time.Duration
}

// DefaultConfig is complete.
func DefaultConfig() Config {
	return Config{Every: time.Minute, Samples: 16, Window: 24 * time.Hour}
}

// Deps are what the component needs. Every source of facts and of proofs may be nil:
// what it would have shown is then not shown, so unproven.
type Deps struct {
	DB       *state.DB
	Profile  ProfileReader
	Records  RecordFacts
	Measures MeasureFacts
	Ledger   LedgerFacts
	Log      *slog.Logger
	Now      func() time.Time
}

// ProfileReader says who we are. set is false until somebody has said so.
type ProfileReader interface {
	Profile(ctx context.Context) (name string, binds []string, set bool, err error)
}

// Snapshot is all assessments of one moment.
type Snapshot struct {
	At          time.Time
	Profile     Profile
	Assessments []garrison.Assessment // in the order of the catalogue
	index       map[garrison.DutyID]int
}

// Profile is who we are, as the assessments took it.
type Profile struct {
	Name  string
	Binds []string
	Set   bool
}

// Counts tells the wall's numbers. Shown is every clause; Counted leaves out those
// that bind only an authority or are context.
type Counts struct {
	Shown      int
	Counted    int
	ByStanding map[garrison.Standing]int // of the counted
}

// Change is one stretch of a clause's history.
type Change struct {
	At       time.Time
	Standing garrison.Standing
	Why      garrison.Reason
	Facts    []garrison.Fact
	Digest   string // of the canonical facts
	Evidence garrison.EvidenceRef
}

// Duties is the component. Safe for concurrent use.
type Duties struct {
	cfg  Config
	deps Deps
	cat  *Catalogue
}

// New reads the embedded catalogue and builds; it starts nothing.
func New(cfg Config, deps Deps) (*Duties, error) { return nil, errSkeleton() }

// Start prepares the tables and computes standings until Stop.
func (d *Duties) Start(ctx context.Context) error { return errSkeleton() }

// Stop ends the computing and waits for it.
func (d *Duties) Stop(ctx context.Context) error { return nil }

// Catalogue returns the clauses. It never changes; do not write to it.
func (d *Duties) Catalogue() *Catalogue { return d.cat }

// Duties returns all clauses in the order of the catalogue.
func (d *Duties) Duties(ctx context.Context) []garrison.Duty { return nil }

// Duty returns one clause, or an error with the code notFound.
func (d *Duties) Duty(ctx context.Context, id garrison.DutyID) (garrison.Duty, error) {
	return garrison.Duty{}, errSkeleton()
}

// Snapshot returns the latest assessments with their time; it computes only when
// there are none yet.
func (d *Duties) Snapshot(ctx context.Context) (Snapshot, error) { return Snapshot{}, errSkeleton() }

// Refresh computes all standings now and records what changed.
func (d *Duties) Refresh(ctx context.Context) (Snapshot, error) { return Snapshot{}, errSkeleton() }

// Assess returns where every clause stands at a moment: now (zero or not past) from
// the snapshot, earlier from what was recorded then.
func (d *Duties) Assess(ctx context.Context, at time.Time) ([]garrison.Assessment, error) {
	return nil, errSkeleton()
}

// AssessOne is Assess for one clause.
func (d *Duties) AssessOne(ctx context.Context, id garrison.DutyID, at time.Time) (garrison.Assessment, error) {
	return garrison.Assessment{}, errSkeleton()
}

// History returns how a clause stood since a moment, oldest first; the first may
// have begun before it. Before the first nothing is known: Unproven.
func (d *Duties) History(ctx context.Context, id garrison.DutyID, since time.Time) ([]Change, error) {
	return nil, errSkeleton()
}

// Export writes the evidence bundle of a clause as it stands now.
func (d *Duties) Export(ctx context.Context, id garrison.DutyID, w io.Writer) error {
	return errSkeleton()
}

// Of returns the assessment of one clause.
func (s Snapshot) Of(id garrison.DutyID) (garrison.Assessment, bool) {
	i, ok := s.index[id]
	if !ok {
		return garrison.Assessment{}, false
	}
	return s.Assessments[i], true
}

// Counts counts the snapshot.
func (s Snapshot) Counts() Counts { return Counts{} }

func errSkeleton() error { return garrison.Errorf(garrison.Unavailable, "not built yet") }
