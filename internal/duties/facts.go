package duties

import (
	"context"
	"time"

	"garrison"
)

// ProfileReader says who we are. set is false until somebody has said so.
type ProfileReader interface {
	Profile(ctx context.Context) (name string, binds []string, set bool, err error)
}

// RecordFacts says what the record store holds about address translation.
type RecordFacts interface {
	RecordState(ctx context.Context, at time.Time) (RecordState, error)
}

// RecordState is the record store at one moment.
type RecordState struct {
	Day          int64          // translations received in the 24 hours before
	Lost         int64          // known lost in these 24 hours; -1: unknown
	Expected     int            // registered sources that should send translations
	Heard        int            // of these, heard in their own rhythm
	Gaps         []garrison.Gap // nobody watched; may reach beyond the 24 hours
	StoppedSince time.Time      // intake does not accept since; zero: it accepts
	LastLook     time.Time      // of the store at itself
	SealedUntil  time.Time
	Evidence     []garrison.EvidenceRef // chunks of these 24 hours, some are enough

	FloorDays     int  // nothing younger can be removed
	ForecastKnown bool // DaysKept means something
	DaysKept      float64
	ExpiredEarly  int                    // removals of records before their floor, ever
	Retention     []garrison.EvidenceRef // the configuration in effect, expiries
}

// MeasureFacts says how the protective measures stand and what they came to.
type MeasureFacts interface {
	// MeasureStates lists every protective measure that should be on, the intake of
	// records among them.
	MeasureStates(ctx context.Context, at time.Time) ([]MeasureState, error)
	// LinkState is what the measure "links" knows about all registered sites.
	LinkState(ctx context.Context, at time.Time) (LinkState, error)
}

// MeasureState is one measure: on, degraded or off, with a reason.
type MeasureState struct {
	ID       garrison.MeasureID
	On       bool // degraded is not on: Decree 82 art. 14(1) forbids a partial stop too
	Reason   string
	Since    time.Time
	Evidence garrison.EvidenceRef // of the last change; zero: never changed
}

// LinkState is about all registered sites together.
type LinkState struct {
	Sites        int            // registered, not retired
	Inventoried  int            // of these, with a list of links that a run made
	OldestRun    time.Time      // newest run of the site whose newest is oldest; zero: none
	NewestRun    time.Time      // zero: none
	RunsUnknown  int            // sites whose newest run could not tell
	LinksUnknown int            // links of the lists that could not be told
	OpenBad      int            // findings that are open
	Gaps         []garrison.Gap // sites nobody could look at, and since when
	Runs         []garrison.Run // the newest run of each site
}

// LedgerFacts says whether the installation was running all the time.
type LedgerFacts interface {
	LedgerState(ctx context.Context, p garrison.Period) (LedgerState, error)
}

// LedgerState is about one stretch of time.
type LedgerState struct {
	FirstStart time.Time // of the installation; zero: not known
	Known      bool      // heartbeats and gaps account for all of the period since FirstStart
	LastBeat   time.Time
	Gaps       []garrison.Gap // in the period, since FirstStart
	Evidence   []garrison.EvidenceRef
}

// approved says that somebody answers for a gap. A plain restart is not approved
// until somebody has said why (Decree 82 art. 14(1): without authority).
func approved(g garrison.Gap) bool { return g.Cause == "maintenance" || g.Explain != "" }

// within returns the gaps cut to a period; those outside are left out.
func within(gaps []garrison.Gap, p garrison.Period) []garrison.Gap {
	var in []garrison.Gap
	for _, g := range gaps {
		if g.From.Before(p.From) {
			g.From = p.From
		}
		if g.Until.IsZero() || g.Until.After(p.Until) {
			g.Until = p.Until
		}
		if g.From.Before(g.Until) {
			in = append(in, g)
		}
	}
	return in
}

// length is the time that gaps cover together; where they overlap it counts once.
func length(gaps []garrison.Gap) time.Duration {
	var total time.Duration
	var end time.Time
	for _, g := range sorted(gaps) {
		if g.From.Before(end) {
			g.From = end
		}
		if g.From.Before(g.Until) {
			total += g.Until.Sub(g.From)
			end = g.Until
		}
	}
	return total
}
