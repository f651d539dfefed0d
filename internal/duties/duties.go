package duties

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"garrison"
	"garrison/evidence"
	"garrison/internal/state"
)

// Config of the component.
type Config struct {
	Every   time.Duration // how often standings are computed without being asked
	Samples int           // records a bundle carries with their proofs
}

// DefaultConfig is complete.
func DefaultConfig() Config { return Config{Every: time.Minute, Samples: 16} }

// Deps are what the component needs. Every source of facts and proofs may be nil:
// what it would have shown is then not shown, so unproven.
type Deps struct {
	DB          *state.DB
	Profile     ProfileReader
	Records     RecordFacts
	Measures    MeasureFacts
	Ledger      LedgerFacts
	Proofs      Proofs
	Samples     Samples
	Transcripts Transcripts
	Log         *slog.Logger
	Now         func() time.Time
}

// Profile is who we are, as the assessments took it.
type Profile struct {
	Name  string
	Binds []string
	Set   bool
}

// Snapshot is all assessments of one moment. Do not write to it.
type Snapshot struct {
	At          time.Time
	Profile     Profile
	Assessments []garrison.Assessment // in the order of the catalogue
	cat         *Catalogue
	answers     map[garrison.DutyID]answer
}

// Counts tells the wall's numbers. Shown is every clause; Counted leaves out those
// that bind only an authority or are context.
type Counts struct {
	Shown      int
	Counted    int
	ByStanding map[garrison.Standing]int // of the counted
}

// Of returns the assessment of one clause.
func (s Snapshot) Of(id garrison.DutyID) (garrison.Assessment, bool) {
	if s.cat == nil {
		return garrison.Assessment{}, false
	}
	i, ok := s.cat.duties[id]
	if !ok {
		return garrison.Assessment{}, false
	}
	return s.Assessments[i], true
}

// Counts counts the snapshot; with rule, only the clauses of that instrument.
func (s Snapshot) Counts(rule string) Counts {
	n := Counts{ByStanding: map[garrison.Standing]int{}}
	for i, a := range s.Assessments {
		d := s.cat.Duties[i]
		if rule != "" && d.Rule != rule {
			continue
		}
		n.Shown++
		if !ContextOnly(d) {
			n.Counted++
			n.ByStanding[a.Standing]++
		}
	}
	return n
}

// Duties is the component. Safe for concurrent use.
type Duties struct {
	cfg  Config
	deps Deps
	cat  *Catalogue

	computing sync.Mutex // held while standings are computed, one at a time

	mu    sync.Mutex // guards snap and seals
	snap  *Snapshot
	seals map[string]garrison.EvidenceRef // ledger entries that seal a statement, by clause and statement

	stop context.CancelFunc // set by Start, called by Stop
	done sync.WaitGroup     // the one goroutine of Start
}

// New reads the embedded catalogue and builds; it starts nothing.
func New(cfg Config, deps Deps) (*Duties, error) {
	if cfg.Every < time.Second || cfg.Samples < 0 || cfg.Samples > maxSamples {
		return nil, garrison.Errorf(garrison.Invalid, "duties: every %s with %d samples is out of bounds", cfg.Every, cfg.Samples)
	}
	if deps.DB == nil {
		return nil, garrison.Errorf(garrison.Invalid, "duties without a database")
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	cat, err := LoadCatalogue(catalogueFile)
	if err != nil {
		return nil, err
	}
	for _, id := range evidence.Answered() {
		if _, ok := cat.Duty(garrison.DutyID(id)); !ok {
			return nil, garrison.Errorf(garrison.Invalid, "duty %q is answered and stands in no catalogue", id)
		}
	}
	return &Duties{cfg: cfg, deps: deps, cat: cat, seals: map[string]garrison.EvidenceRef{}}, nil
}

// Start prepares the tables and computes standings until Stop.
func (d *Duties) Start(ctx context.Context) error {
	if err := d.migrate(ctx); err != nil {
		return err
	}
	ctx, d.stop = context.WithCancel(context.WithoutCancel(ctx))
	d.done.Go(func() {
		tick := time.NewTicker(d.cfg.Every)
		defer tick.Stop()
		for {
			if _, err := d.Refresh(ctx); err != nil && ctx.Err() == nil {
				d.deps.Log.ErrorContext(ctx, "standings could not be computed", "error", err)
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
	return nil
}

// Stop ends the computing and waits for it.
func (d *Duties) Stop(ctx context.Context) error {
	if d.stop != nil {
		d.stop()
	}
	d.done.Wait()
	return nil
}

// Catalogue returns the clauses. It never changes; do not write to it.
func (d *Duties) Catalogue() *Catalogue { return d.cat }

// Duties returns all clauses in the order of the catalogue; do not write to them.
func (d *Duties) Duties(context.Context) []garrison.Duty { return d.cat.Duties }

// Duty returns one clause, or an error with the code notFound.
func (d *Duties) Duty(_ context.Context, id garrison.DutyID) (garrison.Duty, error) {
	duty, ok := d.cat.Duty(id)
	if !ok {
		return garrison.Duty{}, garrison.Refuse(garrison.NotFound, "error.duties.not_found", "id", clip(string(id)))
	}
	return duty, nil
}

// Snapshot returns the latest assessments with their time. It computes only when
// there are none, or none of the last five rounds.
func (d *Duties) Snapshot(ctx context.Context) (Snapshot, error) {
	if s := d.latest(); s != nil && d.now().Sub(s.At) < 5*d.cfg.Every {
		return *s, nil
	}
	return d.Refresh(ctx)
}

func (d *Duties) latest() *Snapshot {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.snap
}

// Refresh computes all standings now and records what changed. What a caller did
// before calling is in what it returns.
func (d *Duties) Refresh(ctx context.Context) (Snapshot, error) {
	d.computing.Lock()
	defer d.computing.Unlock()
	at := d.now()
	s := Snapshot{At: at, Profile: d.profile(ctx), cat: d.cat, answers: d.answered(ctx, at)}
	if err := ctx.Err(); err != nil {
		// Facts cut short by the caller say nothing about the installation.
		return Snapshot{}, err
	}
	s.Assessments = make([]garrison.Assessment, len(d.cat.Duties))
	for i, duty := range d.cat.Duties {
		a, err := d.assess(duty, s.Profile, s.answers[duty.ID], at)
		if err != nil {
			d.deps.Log.WarnContext(ctx, "a clause has a fact that cannot be read", "duty", duty.ID, "error", err)
		}
		s.Assessments[i] = a
	}
	if err := d.record(ctx, s); err != nil {
		return Snapshot{}, err
	}
	d.mu.Lock()
	d.snap = &s
	d.mu.Unlock()
	return s, nil
}

// profile asks who we are. Not to know it is the same as nobody having said it.
func (d *Duties) profile(ctx context.Context) Profile {
	p, err := read(ctx, d.deps.Profile != nil, func(ctx context.Context) (p Profile, err error) {
		p.Name, p.Binds, p.Set, err = d.deps.Profile.Profile(ctx)
		return p, err
	})
	if err != nil {
		d.deps.Log.WarnContext(ctx, "who we are could not be read; every clause is unproven", "error", err)
		return Profile{}
	}
	p.Binds = slices.Clone(p.Binds)
	slices.Sort(p.Binds)
	p.Binds = slices.Compact(p.Binds)
	p.Set = p.Set && len(p.Binds) > 0
	return p
}

// now is the time as it can be stored.
func (d *Duties) now() time.Time { return d.deps.Now().UTC().Truncate(time.Microsecond) }

// Assess returns where every clause stands at a moment: now (zero or not past) from
// the snapshot, earlier from what was recorded then.
func (d *Duties) Assess(ctx context.Context, at time.Time) ([]garrison.Assessment, error) {
	if d.present(at) {
		s, err := d.Snapshot(ctx)
		return s.Assessments, err
	}
	return d.past(ctx, d.cat.Duties, at)
}

// AssessOne is Assess for one clause.
func (d *Duties) AssessOne(ctx context.Context, id garrison.DutyID, at time.Time) (garrison.Assessment, error) {
	duty, err := d.Duty(ctx, id)
	if err != nil {
		return garrison.Assessment{}, err
	}
	if d.present(at) {
		s, err := d.Snapshot(ctx)
		if err != nil {
			return garrison.Assessment{}, err
		}
		a, _ := s.Of(id)
		return a, nil
	}
	one, err := d.past(ctx, []garrison.Duty{duty}, at)
	if err != nil {
		return garrison.Assessment{}, err
	}
	return one[0], nil
}

func (d *Duties) present(at time.Time) bool {
	s := d.latest()
	return at.IsZero() || s != nil && !at.Before(s.At) || s == nil && !at.Before(d.now())
}

func clip(s string) string {
	if len(s) > 64 {
		s = s[:64] + "…"
	}
	return fmt.Sprintf("%q", s)
}
