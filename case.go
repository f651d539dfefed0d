package garrison

import "time"

// CaseKind is what sort of matter a case is; its flow is a table in package cases.
type CaseKind string

const (
	Incident      CaseKind = "incident"
	Vulnerability CaseKind = "vulnerability"
	Takedown      CaseKind = "takedown"
	Warning       CaseKind = "warning"
	Drill         CaseKind = "drill"
	Rectification CaseKind = "rectification"
)

// State is where in its flow a case stands.
type State string

const (
	StateOpen     State = "open"     // nobody has taken it
	StateAssigned State = "assigned" // somebody works on it
	StateClaimed  State = "claimed"  // said to be fixed; waits for the measure to look again
	StateClosed   State = "closed"   // the measure looked again and no longer sees it
	StateRefuted  State = "refuted"  // found to have been wrong, with a reason
)

// Case is a matter somebody must bring to an end by a date.
type Case struct {
	ID       CaseID
	Number   string // C-2611-0001, for people
	Kind     CaseKind
	State    State
	Title    Reason // a catalogue text, so that it reads in both languages
	Subject  SubjectID
	Measure  MeasureID
	Findings []FindingID
	Severity Severity
	Owner    AccountID
	Opened   time.Time
	Due      time.Time
	Closed   time.Time
	Demo     bool
	Version  int
}

// Step is one thing that happened to a case. Every step has an actor, a time and
// evidence; steps are never changed.
type Step struct {
	Case     CaseID
	Seq      int
	At       time.Time
	By       Actor
	Do       string // opened | assigned | commented | claimed | reopened | rechecked | closed | refuted
	From, To State
	Note     string
	Run      RunID
	Evidence EvidenceRef
}
