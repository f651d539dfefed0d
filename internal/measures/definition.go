package measures

import (
	"time"

	"garrison"
)

// Need is something a measure cannot do without. The runner refuses to start a
// measure whose needs are not met; the measure does not find out half-way.
type Need string

const (
	NeedNetwork Need = "network"
	NeedRecords Need = "records"
	NeedIntel   Need = "intel"
	NeedFiles   Need = "files"
)

// Definition is a measure.yaml: what the measure is, as data.
type Definition struct {
	ID       garrison.MeasureID
	Version  string
	Title    garrison.Text
	About    garrison.Text
	Targets  []garrison.SubjectKind
	Needs    []Need
	Interval time.Duration
	Clauses  []garrison.DutyID
	Rules    []Rule
	Verdicts []Verdict // every word the measure may say about one locus
}

// Rule is the fixed part of a finding.
type Rule struct {
	ID       garrison.RuleID
	Severity garrison.Severity
	// Looks is how many agreeing looks make a finding of it; 0: as many as the
	// runner's configuration says. Facts may settle it in one: see Sure.
	Looks  int
	Title  garrison.Text
	Why    garrison.Text
	Remedy garrison.Text
	// Identifying names the facts that belong to a finding's identity, besides
	// rule, subject and locus.
	Identifying []string
}

// Verdict is one word of a measure and what it means.
type Verdict struct {
	Name    string
	Outcome garrison.Outcome
	Rule    garrison.RuleID // the rule it is a finding of; empty: none
	Title   garrison.Text
	Means   garrison.Text
}

// Rule returns the rule with the given id.
func (d *Definition) Rule(id garrison.RuleID) (Rule, bool) {
	for _, r := range d.Rules {
		if r.ID == id {
			return r, true
		}
	}
	return Rule{}, false
}

// Verdict returns the verdict with the given name.
func (d *Definition) Verdict(name string) (Verdict, bool) {
	for _, v := range d.Verdicts {
		if v.Name == name {
			return v, true
		}
	}
	return Verdict{}, false
}

// Parse reads a measure.yaml strictly and checks it whole.
func Parse(b []byte) (*Definition, error) {
	return nil, garrison.Errorf(garrison.Unavailable, "not built yet")
}
