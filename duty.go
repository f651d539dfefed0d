package garrison

import "time"

// Standing is where a subject, or the operator, stands on a duty.
type Standing uint8

const (
	Unproven Standing = iota // zero: not shown either way
	Met
	Unmet
	OutOfScope
	NotInForce
)

var standingNames = [...]string{"unproven", "met", "unmet", "out_of_scope", "not_in_force"}

func (s Standing) String() string { return standingNames[min(int(s), len(standingNames)-1)] }

// Rule is one instrument: a law, a ministry's rule, an official explanation.
type Rule struct {
	ID          string
	Title       Text
	IssuedBy    string
	Number      string
	Promulgated string
	InForce     Period
	Status      string
	Force       string // binding strength: law, administrative_regulation, rule, policy, plan, standard, explanation, speech
	Founding    bool
	Verified    string // seen | memory
}

// Duty is one clause, as data. What it asks for stands in duties.yaml, which the
// product embeds; Standing is computed, never set.
type Duty struct {
	ID         DutyID
	Rule       string
	Tier       string
	Article    string
	Binds      []string // whom it binds, ids of the binds vocabulary
	Summary    Text
	Kind       string
	Capability string
	Discharge  string // enforced | measured | recorded | managed | context
	Parameters map[string]any
	InForce    Period
	Verified   string
}

// Assessment is where one duty stands, why, and from what.
type Assessment struct {
	Duty       DutyID
	Standing   Standing
	Why        Reason
	AnsweredBy []string // what in the product answers it; empty: nothing yet
	Facts      []Fact
	Population Population
	Gaps       []Gap
	LastLook   time.Time
	Evidence   []EvidenceRef
	At         time.Time
}

// Reason is a catalogue text with its values, so that it reads in both languages.
type Reason struct {
	Key  string         `json:"key"`
	Args map[string]any `json:"args,omitempty"`
}

// Fact is one input of an assessment, by name; the verifier recomputes the standing
// from the same facts.
type Fact struct {
	Name     string        `json:"name"`
	Value    string        `json:"value"`
	Evidence []EvidenceRef `json:"evidence,omitempty"`
}

// Gap is time that nobody watched, or records known to be missing.
type Gap struct {
	Period
	Source  string `json:"source,omitempty"`  // empty: the whole installation
	Cause   string `json:"cause"`             // stopped | crashed | silent | lost | not_installed | maintenance
	Lost    int64  `json:"lost"`              // records known lost; -1: unknown
	Explain string `json:"explain,omitempty"` // who said why
}
