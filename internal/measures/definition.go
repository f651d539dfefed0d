package measures

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"garrison"
)

// Need is something a measure cannot do without. The runner refuses to start a
// measure whose needs are not met; the measure does not find out half-way.
type Need string

// The needs there are.
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
	// runner's configuration says. An item that is Sure needs one.
	Looks  int
	Title  garrison.Text
	Why    garrison.Text
	Remedy garrison.Text
}

// Verdict is one word of a measure about one locus, and what it means.
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

// document is measure.yaml as it is written.
type document struct {
	ID       string        `yaml:"id"`
	Version  string        `yaml:"version"`
	Title    garrison.Text `yaml:"title"`
	About    garrison.Text `yaml:"about"`
	Targets  []string      `yaml:"targets"`
	Needs    []string      `yaml:"needs"`
	Interval string        `yaml:"interval"`
	Clauses  []string      `yaml:"clauses"`
	Rules    []struct {
		ID       string        `yaml:"id"`
		Severity string        `yaml:"severity"`
		Looks    int           `yaml:"looks"`
		Title    garrison.Text `yaml:"title"`
		Why      garrison.Text `yaml:"why"`
		Remedy   garrison.Text `yaml:"remedy"`
	} `yaml:"rules"`
	Verdicts []struct {
		Name    string        `yaml:"name"`
		Outcome string        `yaml:"outcome"`
		Rule    string        `yaml:"rule"`
		Title   garrison.Text `yaml:"title"`
		Means   garrison.Text `yaml:"means"`
	} `yaml:"verdicts"`
}

// Parse reads a measure.yaml strictly and reports every fault at once: unknown keys,
// missing texts in either language, verdicts of no rule, rules of no verdict.
func Parse(b []byte) (*Definition, error) {
	dec := yaml.NewDecoder(bytes.NewReader(b))
	dec.KnownFields(true)
	var doc document
	if err := dec.Decode(&doc); err != nil {
		return nil, fmt.Errorf("measure.yaml: %w", err)
	}
	if err := dec.Decode(new(any)); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("measure.yaml: more than one document")
	}
	p := &parser{}
	d := p.definition(&doc)
	if len(p.errs) > 0 {
		return nil, fmt.Errorf("measure.yaml: %w", errors.Join(p.errs...))
	}
	return d, nil
}

type parser struct{ errs []error }

func (p *parser) need(ok bool, format string, args ...any) {
	if !ok {
		p.errs = append(p.errs, fmt.Errorf(format, args...))
	}
}

func (p *parser) text(t garrison.Text, where string) garrison.Text {
	t.ZH, t.EN = strings.TrimSpace(t.ZH), strings.TrimSpace(t.EN)
	p.need(t.ZH != "" && t.EN != "", "%s: a text in both languages is missing", where)
	return t
}

var word = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

func (p *parser) definition(doc *document) *Definition {
	d := &Definition{ID: garrison.MeasureID(doc.ID), Version: doc.Version,
		Title: p.text(doc.Title, "title"), About: p.text(doc.About, "about")}
	p.need(word.MatchString(doc.ID), "id %q: not a lower-case word", doc.ID)
	p.need(doc.Version != "", "version: missing")
	p.need(len(doc.Targets) > 0, "targets: none")
	p.need(len(doc.Clauses) > 0, "clauses: none")
	for _, t := range doc.Targets {
		d.Targets = append(d.Targets, garrison.SubjectKind(t))
	}
	for _, n := range doc.Needs {
		p.need(slices.Contains([]Need{NeedNetwork, NeedRecords, NeedIntel, NeedFiles}, Need(n)), "needs %q: not known", n)
		d.Needs = append(d.Needs, Need(n))
	}
	for _, c := range doc.Clauses {
		d.Clauses = append(d.Clauses, garrison.DutyID(c))
	}
	var err error
	d.Interval, err = time.ParseDuration(doc.Interval)
	p.need(err == nil && d.Interval > 0, "interval %q: not a duration above 0", doc.Interval)
	p.rules(d, doc)
	p.verdicts(d, doc)
	return d
}

func (p *parser) rules(d *Definition, doc *document) {
	for _, r := range doc.Rules {
		where := "rule " + r.ID
		tail, ok := strings.CutPrefix(r.ID, doc.ID+".")
		p.need(ok && word.MatchString(tail), "%s: must be %s.<word>", where, doc.ID)
		_, twice := d.Rule(garrison.RuleID(r.ID))
		p.need(!twice, "%s: stands twice", where)
		sev, ok := severity(r.Severity)
		p.need(ok, "%s: severity %q: not known", where, r.Severity)
		p.need(r.Looks >= 0 && r.Looks <= 10, "%s: looks %d: must be 0 to 10", where, r.Looks)
		d.Rules = append(d.Rules, Rule{ID: garrison.RuleID(r.ID), Severity: sev, Looks: r.Looks,
			Title: p.text(r.Title, where+" title"), Why: p.text(r.Why, where+" why"), Remedy: p.text(r.Remedy, where+" remedy")})
	}
}

func (p *parser) verdicts(d *Definition, doc *document) {
	used := map[garrison.RuleID]bool{}
	for _, v := range doc.Verdicts {
		where := "verdict " + v.Name
		p.need(word.MatchString(v.Name), "%s: not a lower-case word", where)
		_, twice := d.Verdict(v.Name)
		p.need(!twice, "%s: stands twice", where)
		out, ok := outcome(v.Outcome)
		p.need(ok, "%s: outcome %q: not known", where, v.Outcome)
		rule := garrison.RuleID(v.Rule)
		_, ok = d.Rule(rule)
		p.need(rule == "" || ok, "%s: no rule %q", where, v.Rule)
		p.need(rule == "" || out != garrison.Pass, "%s: passes and is a finding", where)
		used[rule] = true
		d.Verdicts = append(d.Verdicts, Verdict{Name: v.Name, Outcome: out, Rule: rule,
			Title: p.text(v.Title, where+" title"), Means: p.text(v.Means, where+" means")})
	}
	p.need(len(d.Verdicts) > 0, "verdicts: none")
	for _, r := range d.Rules {
		p.need(used[r.ID], "rule %s: no verdict leads to it", r.ID)
	}
}

func severity(s string) (garrison.Severity, bool) {
	for v := garrison.Info; v <= garrison.Critical; v++ {
		if v.String() == s {
			return v, true
		}
	}
	return 0, false
}

func outcome(s string) (garrison.Outcome, bool) {
	for v := garrison.Unknown; v <= garrison.NotApplicable; v++ {
		if v.String() == s {
			return v, true
		}
	}
	return 0, false
}
