package measures

import (
	"time"

	"garrison"
)

// FindingState is where a finding stands.
type FindingState string

const (
	Suspected FindingState = "suspected" // seen, not confirmed by enough looks
	Open      FindingState = "open"
	Fixed     FindingState = "fixed"
	Refuted   FindingState = "refuted"
	Accepted  FindingState = "accepted"
)

// FindingRow is one row of the findings list.
type FindingRow struct {
	ID          garrison.FindingID
	Fingerprint garrison.Fingerprint
	Finding     garrison.Finding // as last seen
	State       FindingState
	FirstSeen   time.Time
	LastSeen    time.Time
	Looks       int // agreeing looks in a row
	Needs       int // looks that confirm it
	LastRun     garrison.RunID
	Changed     time.Time
	// Why says how it left its earlier state: "seen_well", "removed",
	// "look_disagreed", or a person's reason.
	Why  string
	Case garrison.CaseID
	Demo bool
}

// FindingFilter selects findings. Zero fields select everything.
type FindingFilter struct {
	State    []FindingState
	Measure  garrison.MeasureID
	Rule     garrison.RuleID
	Subject  garrison.SubjectID
	Severity garrison.Severity // at least
	Query    string            // part of the locus
	After    string            // cursor of the page before
	Limit    int               // 0: 50; at most 500
}

// RunFilter selects runs, newest first.
type RunFilter struct {
	Measure garrison.MeasureID
	Subject garrison.SubjectID
	After   string
	Limit   int
}

// RunRow is one run as the list shows it.
type RunRow struct {
	garrison.Run
	Running   bool
	Partial   bool
	Complete  bool
	Truncated []string
}

// LinkRow is one locus of a subject's inventory: for links, one linked address.
type LinkRow struct {
	Subject   garrison.SubjectID
	Locus     string
	Verdict   string
	Outcome   garrison.Outcome
	Why       string
	What      string
	Facts     map[string]string
	FirstSeen time.Time // when it first stood in the inventory
	LastSeen  time.Time // when it last stood there
	LastLook  time.Time // when it was last looked at
	LastWell  time.Time // when it was last seen well; zero: never
	LastRun   garrison.RunID
	Removed   bool // a complete run no longer found it
}

// Mode is whether a measure runs.
type Mode string

const (
	On       Mode = "on"
	Degraded Mode = "degraded" // runs, and something it should have is missing
	Off      Mode = "off"
)

// MeasureState is one measure and whether it runs, with the reason of the last
// change (Decree 82 art. 14: measures may not be stopped without a trace).
type MeasureState struct {
	Definition *Definition
	Mode       Mode
	Reason     string
	By         garrison.Actor
	Since      time.Time
	Evidence   garrison.EvidenceRef // of the last change; zero: not sealed yet
	Interval   time.Duration
	LastRun    garrison.RunID
	LastEnded  time.Time
	Subjects   int // subjects it should look at
	Looked     int // of these, looked at within the last two intervals
}

// Stand is what is known about one subject by one measure: what clauses are
// answered from.
type Stand struct {
	Subject      garrison.Subject
	Last         garrison.Run // last finished full run; zero ID: never
	LastComplete garrison.Run // last run whose inventory was complete; zero ID: never
	Inventory    int          // loci in the inventory
	Verdicts     map[string]int
	Population   garrison.Population     // of the inventory, as last looked at
	Open         map[garrison.RuleID]int // open findings
	OpenFindings []FindingRow
}
