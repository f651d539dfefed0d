package garrison

import "time"

// Outcome is what one run of one measure on one subject came to.
type Outcome uint8

const (
	Unknown Outcome = iota // zero: nobody could tell. Never counted as good.
	Pass
	Fail
	NotApplicable
)

func (o Outcome) String() string {
	return [...]string{"unknown", "pass", "fail", "not_applicable"}[min(o, 3)]
}

// Severity orders findings; it is set by the rule, not by hand.
type Severity uint8

const (
	Info Severity = iota
	Low
	Medium
	High
	Critical
)

func (s Severity) String() string {
	return [...]string{"info", "low", "medium", "high", "critical"}[min(s, 4)]
}

// Finding is one thing wrong with one subject, as one run saw it.
type Finding struct {
	Measure  MeasureID
	Rule     RuleID // the fixed part (title, why, remedy) lives with the rule
	Subject  SubjectID
	Locus    string // where on the subject: for links the linked address
	Severity Severity
	Facts    map[string]string // the instance part: what was seen
	Evidence []EvidenceRef
	Seen     time.Time
}

// Fingerprint is the identity that survives moves and renames: rule, subject, locus.
func (f Finding) Fingerprint() Fingerprint {
	return Fingerprint(string(f.Rule) + "|" + string(f.Subject) + "|" + f.Locus)
}

// Population says how many were looked at and how that went. A number without its
// population is not evidence.
type Population struct {
	Attempted   int `json:"attempted"`
	Succeeded   int `json:"succeeded"`
	Failed      int `json:"failed"`
	Unreachable int `json:"unreachable"`
}

// Run is one execution of a measure over a named population. It is the only source
// of "not seen".
type Run struct {
	ID         RunID
	Measure    MeasureID
	Version    string // of the measure's code and rules
	Subject    SubjectID
	Started    time.Time
	Ended      time.Time
	Outcome    Outcome
	Why        string // for Unknown: what kept it from telling
	Population Population
	Transcript string // digest of the kept transcript
	Evidence   EvidenceRef
	By         Actor // the schedule, or who asked
}
