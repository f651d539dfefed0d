package duties

import (
	_ "embed"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"garrison"
)

//go:embed catalogue/duties.yaml
var catalogueFile []byte

// maxCatalogue bounds a catalogue file; the embedded one has about 200 KB.
const maxCatalogue = 4 << 20

// Catalogue is the list of clauses. It is read once and never written to.
type Catalogue struct {
	Rules        []garrison.Rule
	Duties       []garrison.Duty
	Capabilities []Term
	Binds        []Term
	Discharges   []Term
	Groups       []Group

	notes  map[string]string
	rules  map[string]int
	duties map[garrison.DutyID]int
}

// Term is one word of the catalogue's own vocabularies.
type Term struct {
	ID   string
	Kind string // group of a capability
	Text garrison.Text
}

// Group is a set of clauses that say the same thing in different instruments.
type Group struct {
	ID     string
	Title  garrison.Text
	Duties []garrison.DutyID
}

// Duty returns a clause.
func (c *Catalogue) Duty(id garrison.DutyID) (garrison.Duty, bool) {
	i, ok := c.duties[id]
	if !ok {
		return garrison.Duty{}, false
	}
	return c.Duties[i], true
}

// Rule returns an instrument.
func (c *Catalogue) Rule(id string) (garrison.Rule, bool) {
	i, ok := c.rules[id]
	if !ok {
		return garrison.Rule{}, false
	}
	return c.Rules[i], true
}

// Note returns what the catalogue remarks on an instrument or a clause, in English;
// "" when it remarks nothing.
func (c *Catalogue) Note(id string) string { return c.notes[id] }

// Alike returns the clauses that stand in a group with this one, itself left out.
func (c *Catalogue) Alike(id garrison.DutyID) []garrison.DutyID {
	var like []garrison.DutyID
	for _, g := range c.Groups {
		if !slices.Contains(g.Duties, id) {
			continue
		}
		for _, other := range g.Duties {
			if other != id && !slices.Contains(like, other) {
				like = append(like, other)
			}
		}
	}
	return like
}

// ContextOnly says that a clause is shown and not counted: it binds only an
// authority, or there is nothing in it to discharge.
func ContextOnly(d garrison.Duty) bool {
	return d.Discharge == "context" || slices.Equal(d.Binds, []string{"authority"})
}

// file is the catalogue as it is written.
type file struct {
	Schema       int         `yaml:"schema"`
	Capabilities []termRow   `yaml:"capabilities"`
	Binds        []termRow   `yaml:"binds_vocabulary"`
	Discharges   []termRow   `yaml:"discharge_vocabulary"`
	Rules        []ruleRow   `yaml:"rules"`
	Groups       []groupRow  `yaml:"groups"`
	Duties       []clauseRow `yaml:"duties"`
}

type termRow struct {
	ID    string `yaml:"id"`
	Group string `yaml:"group"`
	ZH    string `yaml:"zh"`
	EN    string `yaml:"en"`
}

type ruleRow struct {
	ID          string `yaml:"id"`
	TitleZH     string `yaml:"title_zh"`
	TitleEN     string `yaml:"title_en"`
	IssuedBy    string `yaml:"issued_by"`
	Number      string `yaml:"number"`
	Promulgated string `yaml:"promulgated"`
	Effective   string `yaml:"effective"`
	Status      string `yaml:"status"`
	Force       string `yaml:"force"`
	Founding    bool   `yaml:"founding"`
	Verified    string `yaml:"verified"`
	Note        string `yaml:"note"`
}

type groupRow struct {
	ID      string            `yaml:"id"`
	TitleZH string            `yaml:"title_zh"`
	TitleEN string            `yaml:"title_en"`
	Duties  []garrison.DutyID `yaml:"duties"`
}

type clauseRow struct {
	ID         garrison.DutyID `yaml:"id"`
	Rule       string          `yaml:"rule"`
	Tier       string          `yaml:"tier"`
	Article    string          `yaml:"article"`
	Binds      []string        `yaml:"binds"`
	SummaryZH  string          `yaml:"summary_zh"`
	SummaryEN  string          `yaml:"summary_en"`
	Kind       string          `yaml:"kind"`
	Capability string          `yaml:"capability"`
	Discharge  string          `yaml:"discharge"`
	Parameters map[string]any  `yaml:"parameters"`
	Verified   string          `yaml:"verified"`
	Note       string          `yaml:"note"`
}

// LoadCatalogue reads a catalogue strictly: an unknown or repeated key, a word
// outside its vocabulary, a missing language or citation are errors, all of them
// reported at once.
func LoadCatalogue(text []byte) (*Catalogue, error) {
	if len(text) > maxCatalogue {
		return nil, garrison.Errorf(garrison.TooLarge, "catalogue of duties: more than %d bytes", maxCatalogue)
	}
	var f file
	if err := yaml.Load(text, &f, yaml.WithKnownFields()); err != nil {
		return nil, garrison.Errorf(garrison.Invalid, "catalogue of duties: %w", err)
	}
	if f.Schema != 1 {
		return nil, garrison.Errorf(garrison.Invalid, "catalogue of duties: schema %d, this program reads 1", f.Schema)
	}
	r := &reader{c: &Catalogue{notes: map[string]string{}, rules: map[string]int{}, duties: map[garrison.DutyID]int{}}}
	r.c.Capabilities = r.terms("capability", f.Capabilities)
	r.c.Binds = r.terms("bind", f.Binds)
	r.c.Discharges = r.terms("discharge", f.Discharges)
	for _, row := range f.Rules {
		r.rule(row)
	}
	for _, row := range f.Duties {
		r.duty(row)
	}
	for _, row := range f.Groups {
		r.group(row)
	}
	if len(r.errs) > 0 {
		return nil, garrison.Errorf(garrison.Invalid, "catalogue of duties: %w", errors.Join(r.errs...))
	}
	return r.c, nil
}

// reader collects a catalogue and everything wrong with it.
type reader struct {
	c    *Catalogue
	errs []error
}

var idForm = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// The closed word lists of the catalogue that it does not spell out itself.
const (
	forces     = " law administrative_regulation rule policy plan standard explanation speech "
	statuses   = " in_force superseded "
	verifieds  = " seen memory "
	tiers      = " founding cited "
	clauseKind = " process technical governance record "
)

func (r *reader) wrong(format string, args ...any) {
	r.errs = append(r.errs, fmt.Errorf(format, args...))
}

func (r *reader) word(of, name, value, list string) {
	if value == "" || strings.Contains(value, " ") || !strings.Contains(list, " "+value+" ") {
		r.wrong("%s: %s %q is none of%s", of, name, value, strings.TrimRight(list, " "))
	}
}

func (r *reader) text(of, zh, en string) garrison.Text {
	if strings.TrimSpace(zh) == "" || strings.TrimSpace(en) == "" {
		r.wrong("%s: a language is missing", of)
	}
	return garrison.Text{ZH: zh, EN: en}
}

func (r *reader) id(of, id string) {
	if !idForm.MatchString(id) {
		r.wrong("%s: id %q is not a lower-case word", of, id)
	}
}

func (r *reader) terms(what string, rows []termRow) []Term {
	seen := map[string]bool{}
	terms := make([]Term, 0, len(rows))
	for _, row := range rows {
		of := what + " " + row.ID
		r.id(of, row.ID)
		if seen[row.ID] {
			r.wrong("%s stands twice", of)
		}
		seen[row.ID] = true
		terms = append(terms, Term{ID: row.ID, Kind: row.Group, Text: r.text(of, row.ZH, row.EN)})
	}
	return terms
}

func has(terms []Term, id string) bool {
	return slices.ContainsFunc(terms, func(t Term) bool { return t.ID == id })
}

func (r *reader) rule(row ruleRow) {
	of := "rule " + row.ID
	r.id(of, row.ID)
	if _, twice := r.c.rules[row.ID]; twice {
		r.wrong("%s stands twice", of)
	}
	r.word(of, "status", row.Status, statuses)
	r.word(of, "force", row.Force, forces)
	r.word(of, "verified", row.Verified, verifieds)
	if row.IssuedBy == "" || row.Number == "" {
		r.wrong("%s: issuer or number is missing (a number that does not exist is none)", of)
	}
	from, err := dayOf(row.Effective)
	if row.Effective == "none" {
		// A speech or an explanation takes no effect of its own; it counts from its day.
		from, err = dayOf(row.Promulgated)
	}
	if err != nil {
		r.wrong("%s: %v", of, err)
	}
	r.c.rules[row.ID] = len(r.c.Rules)
	r.c.notes[row.ID] = row.Note
	r.c.Rules = append(r.c.Rules, garrison.Rule{
		ID: row.ID, Title: r.text(of, row.TitleZH, row.TitleEN), IssuedBy: row.IssuedBy, Number: row.Number,
		Promulgated: row.Promulgated, InForce: garrison.Period{From: from}, Status: row.Status, Force: row.Force,
		Founding: row.Founding, Verified: row.Verified,
	})
}

func (r *reader) duty(row clauseRow) {
	of := "duty " + string(row.ID)
	r.id(of, string(row.ID))
	if _, twice := r.c.duties[row.ID]; twice {
		r.wrong("%s stands twice", of)
	}
	rule, known := r.c.Rule(row.Rule)
	if !known {
		r.wrong("%s: there is no rule %q", of, row.Rule)
	}
	if row.Article == "" {
		r.wrong("%s cites no article", of)
	}
	r.word(of, "tier", row.Tier, tiers)
	r.word(of, "kind", row.Kind, clauseKind)
	r.word(of, "verified", row.Verified, verifieds)
	if !has(r.c.Capabilities, row.Capability) {
		r.wrong("%s: there is no capability %q", of, row.Capability)
	}
	if !has(r.c.Discharges, row.Discharge) {
		r.wrong("%s: there is no way of discharge %q", of, row.Discharge)
	}
	if len(row.Binds) == 0 {
		r.wrong("%s binds nobody", of)
	}
	for i, b := range row.Binds {
		if !has(r.c.Binds, b) || slices.Contains(row.Binds[:i], b) {
			r.wrong("%s: binds %q is unknown or stands twice", of, b)
		}
	}
	r.c.duties[row.ID] = len(r.c.Duties)
	r.c.notes[string(row.ID)] = row.Note
	r.c.Duties = append(r.c.Duties, garrison.Duty{
		ID: row.ID, Rule: row.Rule, Tier: row.Tier, Article: row.Article, Binds: row.Binds,
		Summary: r.text(of, row.SummaryZH, row.SummaryEN), Kind: row.Kind, Capability: row.Capability,
		Discharge: row.Discharge, Parameters: row.Parameters, InForce: r.inForce(of, rule, row.Parameters), Verified: row.Verified,
	})
}

// inForce is the rule's period unless the clause has a day of its own.
func (r *reader) inForce(of string, rule garrison.Rule, parameters map[string]any) garrison.Period {
	own, has := parameters["effective"]
	if !has {
		return rule.InForce
	}
	text, _ := own.(string)
	from, err := dayOf(text)
	if err != nil {
		r.wrong("%s: %v", of, err)
	}
	return garrison.Period{From: from, Until: rule.InForce.Until}
}

func (r *reader) group(row groupRow) {
	of := "group " + row.ID
	r.id(of, row.ID)
	for _, id := range row.Duties {
		if _, ok := r.c.duties[id]; !ok {
			r.wrong("%s: there is no duty %q", of, id)
		}
	}
	r.c.Groups = append(r.c.Groups, Group{ID: row.ID, Title: r.text(of, row.TitleZH, row.TitleEN), Duties: row.Duties})
}

// dayOf reads a day, or a year where the catalogue knows no more, as the moment it
// begins in Beijing time, which the rules mean.
func dayOf(s string) (time.Time, error) {
	form := time.DateOnly
	if len(s) == 4 {
		form = "2006"
	}
	t, err := time.ParseInLocation(form, s, time.FixedZone("Asia/Shanghai", 8*60*60))
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is no day", s)
	}
	return t.UTC(), nil
}
