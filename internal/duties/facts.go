package duties

import (
	"context"
	"time"

	"garrison"
)

// RecordFacts says what the record store holds about translations.
type RecordFacts interface {
	RecordState(ctx context.Context, p garrison.Period) (RecordState, error)
}

// RecordState is what the store can say about one stretch of time.
type RecordState struct {
	At            time.Time
	Records       int64     // translations of the period
	Total         int64     // records held of any age
	Oldest        time.Time // received time of the oldest record; zero: none
	SealedUntil   time.Time
	Sources       int   // that are expected to send translations
	Silent        int   // of these, silent against their own rhythm
	Lost          int64 // known lost in the period; -1: unknown
	RetentionDays int   // as configured
	DaysKept      float64
	ForecastKnown bool // DaysKept means something
	Intake        bool // accepting now; false: stopped, say by a full disk
	Gaps          []garrison.Gap
	Evidence      []garrison.EvidenceRef
}

// MeasureFacts says how the protective measures stand and what they came to.
type MeasureFacts interface {
	// MeasureStates lists every measure of the installation.
	MeasureStates(ctx context.Context) ([]MeasureState, error)
	// LinkState is what the links measure knows about the registered sites.
	LinkState(ctx context.Context, p garrison.Period) (LinkState, error)
}

// MeasureState is one measure: on, degraded or off, with a reason.
type MeasureState struct {
	ID       garrison.MeasureID
	State    string // on | degraded | off
	Reason   string
	By       garrison.Actor
	Since    time.Time
	Evidence garrison.EvidenceRef
}

// LinkState is about all registered sites together.
type LinkState struct {
	Sites     int           // registered, not retired
	Looked    int           // of these, with a complete look in the period
	Interval  time.Duration // the longest a site may go unseen
	LastLook  time.Time     // of the site seen longest ago; zero: one was never seen
	Links     garrison.Population
	Inventory int // external links on the list
	Open      int // confirmed findings not gone
	Late      int // of these, in a case past its date or in none
	Evidence  []garrison.EvidenceRef
}

// LedgerFacts says whether the installation was running and watched.
type LedgerFacts interface {
	LedgerState(ctx context.Context, p garrison.Period) (LedgerState, error)
}

// LedgerState is about one stretch of time.
type LedgerState struct {
	Origin      string
	Size        uint64
	Beats       int // heartbeats found
	BeatsDue    int // that should be there since the installation first started
	FirstStart  time.Time
	LastBeat    time.Time
	SealedUntil time.Time
	Gaps        []garrison.Gap
	Evidence    []garrison.EvidenceRef
}
