package cases

import (
	"context"
	"log/slog"
	"time"

	"garrison"
	"garrison/internal/state"
)

// Case is a case with what the store knows beyond the shared vocabulary. Findings is
// filled by Get, not by List; Total and Left count them in both.
type Case struct {
	garrison.Case
	Rule    garrison.RuleID
	Name    string         // of the subject when the case was opened
	Claimed time.Time      // when it was said to be fixed; zero: not claimed now
	Total   int            // findings that ever belonged to it
	Left    int            // of these, not gone yet
	Steps   int            // steps written so far
	JoinRun garrison.RunID // the run that opened it or joined to it last
	Unsure  garrison.RunID // the last look since opening or claim that could not tell; empty: none
	Members []Member       // by Get only
}

// Late says whether the case was, at now, or when it ended, past its date. A case
// that ended late stays late.
func (c Case) Late(now time.Time) bool { return c.LateBy(now) > 0 }

// LateBy returns how far past its date the case is or ended; 0 when it is not late.
func (c Case) LateBy(now time.Time) time.Duration {
	if !c.Closed.IsZero() {
		now = c.Closed
	}
	if c.Due.IsZero() || !now.After(c.Due) {
		return 0
	}
	return now.Sub(c.Due)
}

// Ended says whether nothing more can happen to the case but comments.
func (c Case) Ended() bool {
	return c.State == garrison.StateClosed || c.State == garrison.StateRefuted
}

// Member is one finding of a case.
type Member struct {
	Finding garrison.FindingID
	Locus   string
	Joined  time.Time
	Run     garrison.RunID // the run that confirmed it
	Seen    time.Time      // when that run began
	Gone    time.Time      // zero: not seen well yet
	GoneRun garrison.RunID // the run that no longer saw it
	Refuted time.Time      // zero: not refuted where findings are kept
}

// Ended says whether the finding no longer keeps its case open.
func (m Member) Ended() bool { return !m.Gone.IsZero() || !m.Refuted.IsZero() }

// Step is one step with its own words: What is a catalogue text, Note (from
// garrison.Step) is what a person wrote. Outcome is what a look came to.
type Step struct {
	garrison.Step
	What    garrison.Reason
	Outcome garrison.Outcome
}

// Config of the component.
type Config struct {
	Policy Policy
	// AskAgain is how long a claimed case waits for a look before the look is asked
	// for again.
	AskAgain time.Duration
}

// DefaultConfig is complete.
func DefaultConfig() Config { return Config{Policy: DefaultPolicy(), AskAgain: time.Hour} }

// Rechecker asks for another run of a measure on a subject and does not wait for it.
// It may be asked twice for the same. measures.Runner is one.
type Rechecker interface {
	Enqueue(ctx context.Context, m garrison.MeasureID, s garrison.SubjectID, by garrison.Actor) (garrison.RunID, error)
}

// Refuter marks a finding as refuted where findings are kept, and then tells
// [Cases.Refuted]. It may be asked twice for the same. measures.Runner is one.
type Refuter interface {
	Refute(ctx context.Context, id garrison.FindingID, reason string, by garrison.Actor) error
}

// People says whether somebody can be given a case.
type People interface {
	Assignable(ctx context.Context, id garrison.AccountID) (bool, error)
}

// Subjects says what a subject is. registry.Registry is one.
type Subjects interface {
	Get(ctx context.Context, id garrison.SubjectID) (garrison.Subject, error)
}

// Deps are what the component needs. Recheck, Refute, People and Subjects may be nil:
// then nothing is asked for, any assignee is accepted, and no case is a
// demonstration's unless opened as one.
type Deps struct {
	DB       *state.DB
	Recheck  Rechecker
	Refute   Refuter
	People   People
	Subjects Subjects
	Log      *slog.Logger
	Now      func() time.Time
}

// OpenRequest opens a case on known findings that a run has confirmed. Cases that
// findings open by policy do not come this way.
type OpenRequest struct {
	Kind     garrison.CaseKind
	Title    garrison.Reason
	Subject  garrison.SubjectID
	Measure  garrison.MeasureID
	Rule     garrison.RuleID
	Findings []Member // Finding and Locus
	Severity garrison.Severity
	Due      time.Time // zero: by policy
	Run      garrison.RunID
	Demo     bool
}

// Filter of List. Zero fields do not filter.
type Filter struct {
	States  []garrison.State
	Owner   garrison.AccountID
	NoOwner bool
	Subject garrison.SubjectID
	Measure garrison.MeasureID
	Rule    garrison.RuleID
	Finding garrison.FindingID
	Kind    garrison.CaseKind
	Query   string // in number, subject, rule and locus
	Late    bool   // open and past Due, or ended past Due
	Demo    *bool
	Order   string // OrderOpened (default, newest first) | OrderDue (soonest first)
	After   string // cursor from the page before
	Limit   int    // 1..200, default 50
}

// Orders of List.
const (
	OrderOpened = "opened"
	OrderDue    = "due"
)

// Counts for the rail and the overview. Late counts only cases not ended.
type Counts struct {
	ByState map[garrison.State]int
	Open    int // not ended
	Late    int
	NoOwner int // not ended and nobody's
	Mine    int // not ended and of the account asked for
}
