package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"garrison/evidence"
)

// Results, as --json gives them.
const (
	good      = "good"
	wrong     = "wrong"
	unchecked = "origin_not_checked"
)

// report is all the command has to say; its JSON form is stable.
type report struct {
	File          string             `json:"file"`
	Result        string             `json:"result"`
	Text          string             `json:"text"` // the result as an English sentence
	OriginChecked bool               `json:"origin_checked"`
	Origin        string             `json:"origin,omitempty"`
	Size          uint64             `json:"size,omitempty"`
	Clause        string             `json:"clause,omitempty"`
	Standing      string             `json:"standing,omitempty"` // recomputed
	Why           string             `json:"why,omitempty"`
	From          time.Time          `json:"from,omitzero"`
	Until         time.Time          `json:"until,omitzero"`
	Made          time.Time          `json:"made,omitzero"`
	Org           map[string]string  `json:"org,omitempty"`
	Facts         []fact             `json:"facts,omitempty"`
	Population    *population        `json:"population,omitempty"`
	Gaps          []gap              `json:"gaps,omitempty"`
	Entries       int                `json:"entries"`
	Samples       int                `json:"samples"`
	Transcripts   int                `json:"transcripts"`
	Problems      []evidence.Problem `json:"problems"`
}

type fact struct {
	Name    string   `json:"name"`
	Value   string   `json:"value"`
	Support []uint64 `json:"support"` // ledger entries; none: the operator's word
}

type population struct {
	Attempted   int64 `json:"attempted"`
	Succeeded   int64 `json:"succeeded"`
	Failed      int64 `json:"failed"`
	Unreachable int64 `json:"unreachable"`
}

type gap struct {
	From    time.Time `json:"from"`
	Until   time.Time `json:"until,omitzero"`
	Source  string    `json:"source,omitempty"`
	Cause   string    `json:"cause"`
	Lost    int64     `json:"lost"`
	Explain string    `json:"explain,omitempty"`
}

// fill takes over what a bundle says and what checking it came to.
func (r *report) fill(b *evidence.Bundle, res evidence.Result) {
	r.OriginChecked, r.Origin, r.Size = res.OriginChecked, res.Origin, res.Size
	r.Clause, r.Standing, r.Why = res.Clause, res.Standing, res.Why
	r.From, r.Until, r.Made, r.Org = b.Period.From, b.Period.Until, b.Made, b.Org
	r.Entries, r.Samples, r.Transcripts, r.Problems = res.Entries, res.Samples, res.Transcripts, res.Problems
	p := population(b.Population)
	r.Population = &p
	for _, name := range slices.Sorted(maps.Keys(b.Facts)) {
		f := fact{Name: name, Value: b.Facts[name], Support: []uint64{}}
		if slices.Contains(res.Supported, name) {
			for _, s := range b.Support[name] {
				f.Support = append(f.Support, s.Index)
			}
		}
		r.Facts = append(r.Facts, f)
	}
	for _, g := range b.Gaps {
		r.Gaps = append(r.Gaps, gap{From: g.From, Until: g.Until, Source: g.Source, Cause: g.Cause, Lost: g.Lost, Explain: g.Explain})
	}
}

// settled draws the conclusion.
func (r report) settled() report {
	switch {
	case len(r.Problems) > 0:
		r.Result, r.Text = wrong, "wrong: "+r.Problems[0].Error()
	case !r.OriginChecked:
		r.Result, r.Text = unchecked, evidence.ErrOriginNotChecked.Error()
	default:
		r.Result, r.Text = good, good
	}
	if r.Problems == nil {
		r.Problems = []evidence.Problem{}
	}
	return r
}

func (r report) exit() int {
	return map[string]int{good: exitGood, wrong: exitWrong, unchecked: exitUntold}[r.Result]
}

// print writes the report for people. All that comes from the file passes clean.
func (r report) print(w io.Writer, say texts) error {
	var text strings.Builder
	line := func(label, format string, args ...any) {
		fmt.Fprintf(&text, "%s%s%s\n", label, strings.Repeat(" ", max(1, labelWidth-width(label))), fmt.Sprintf(format, args...))
	}
	line(say.file, "%s", clean(r.File))
	if r.Clause != "" {
		r.printStated(line, say)
	}
	if r.Origin != "" {
		line(say.log, say.logText, clean(r.Origin), r.Size)
		line(say.checked, say.checkedText, r.Entries, r.Samples, r.Transcripts)
		line(say.origin, "%s", map[bool]string{true: say.originGood, false: say.originOpen}[r.OriginChecked])
	}
	for i, p := range r.Problems {
		if i == maxShown {
			line(say.problem, say.more, len(r.Problems)-i)
			break
		}
		line(say.problem, "%s: %s (%s)", clean(p.Part), say.problems[p.Key], clean(p.What))
	}
	line(say.result, "%s", r.conclusion(say))
	_, err := io.WriteString(w, text.String())
	return err
}

// labelWidth is the column at which values start.
const labelWidth = 14

// width is how many columns a label takes on a terminal: Chinese characters take two.
func width(s string) int {
	n := 0
	for _, c := range s {
		n++
		if c >= 0x2e80 {
			n++
		}
	}
	return n
}

// maxShown bounds the list of problems for people; --json has all.
const maxShown = 20

func (r report) conclusion(say texts) string {
	switch r.Result {
	case good:
		return say.good
	case unchecked:
		return say.unchecked
	default:
		return fmt.Sprintf(say.wrong, clean(r.Problems[0].Part))
	}
}

func (r report) printStated(line func(label, format string, args ...any), say texts) {
	line(say.clause, "%s  %s", clean(r.Clause), say.clauses[r.Clause])
	line(say.period, "%s … %s", moment(r.From), moment(r.Until))
	line(say.made, "%s", moment(r.Made))
	for _, name := range slices.Sorted(maps.Keys(r.Org)) {
		line(say.org, "%s: %s", clean(name), clean(r.Org[name]))
	}
	proven := "" // a standing reads as one only in a bundle that is good
	if r.Result != good {
		proven = say.claimed
	}
	line(say.standing, "%s%s: %s", orRaw(say.standings, r.Standing), proven, orRaw(say.reasons, r.Why))
	for _, f := range r.Facts {
		rests := say.word
		if len(f.Support) > 0 {
			rests = fmt.Sprintf(say.rests, strings.Trim(fmt.Sprint(f.Support), "[]"))
		}
		line(say.fact, "%s = %s  (%s)", clean(f.Name), clean(f.Value), rests)
	}
	if p := r.Population; p != nil {
		line(say.population, say.populationText, p.Attempted, p.Succeeded, p.Failed, p.Unreachable)
	}
	for _, g := range r.Gaps {
		lost := say.lostUnknown
		if g.Lost >= 0 {
			lost = fmt.Sprintf(say.lost, g.Lost)
		}
		line(say.gap, "%s … %s  %s  %s  %s  %s", moment(g.From), moment(g.Until), orRaw(say.causes, g.Cause), clean(g.Source), lost, clean(g.Explain))
	}
}

func orRaw(m map[string]string, key string) string {
	if text, ok := m[key]; ok {
		return text
	}
	return clean(key)
}

func moment(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

// clean makes text from outside safe to show: no control, direction or invisible
// characters, and not endless.
func clean(s string) string {
	const most = 300
	var b strings.Builder
	n := 0
	for _, c := range s {
		if n++; n > most {
			b.WriteString("…")
			break
		}
		if unicode.IsPrint(c) && c != unicode.ReplacementChar {
			b.WriteRune(c)
		} else {
			fmt.Fprintf(&b, "\\u%04x", c)
		}
	}
	return b.String()
}
