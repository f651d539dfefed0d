package console

import (
	"cmp"
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/a-h/templ"

	"garrison"
	"garrison/internal/identity"
	"garrison/internal/measures"
)

// measureListPage is every measure and whether it runs.
type measureListPage struct {
	frame
	Rows   []measures.MeasureState
	Runs   []measures.RunRow
	Named  subjects
	NotOn  int
	Unseen int // subjects that were not looked at in time
}

func (c *Console) measureList(p *page) error {
	v := measureListPage{frame: c.frame(p, "measures", "")}
	v.Question = p.T("measures.question")
	var err error
	if v.Rows, err = c.deps.Measures.States(p.ctx()); err != nil {
		return err
	}
	for _, m := range v.Rows {
		if m.Mode != measures.On {
			v.NotOn++
		}
		v.Unseen += max(0, m.Subjects-m.Looked)
	}
	if v.Runs, _, err = c.deps.Measures.Runs(p.ctx(), measures.RunFilter{Limit: 10}); err != nil {
		return err
	}
	v.Named = c.namedRuns(p.ctx(), v.Runs)
	return c.render(p, http.StatusOK, measuresPage(v))
}

func (c *Console) namedRuns(ctx context.Context, runs []measures.RunRow) subjects {
	ids := make([]garrison.SubjectID, 0, len(runs))
	for _, r := range runs {
		ids = append(ids, r.Subject)
	}
	return c.subjects(ctx, ids...)
}

// modeMark is the shape beside a mode; degraded is not on (Decree 82 art. 14(1)
// forbids a partial stop too).
func modeMark(m measures.Mode) string {
	switch m {
	case measures.On:
		return "met"
	case measures.Degraded:
		return "unproven"
	}
	return "unmet"
}

func (f frame) modeName(m measures.Mode) string { return f.known("measures.mode.", string(m)) }

// measurePage is one measure: is it on, who changed it, what does it see.
type measurePage struct {
	frame
	State     measures.MeasureState
	Stands    []standRow
	Runs      []measures.RunRow
	Named     subjects
	Clauses   []clauseBrief
	MayRun    bool
	MaySwitch bool
	Form      modeForm
	RunError  string
}

// standRow is one subject of a measure and what is known of it.
type standRow struct {
	measures.Stand
	Late bool // not looked at within the last two intervals
	Open int
}

// modeForm is what somebody typed to switch a measure.
type modeForm struct{ Mode, Reason, Error string }

func (c *Console) oneMeasure(p *page) error {
	return c.showMeasure(p, modeForm{}, "", http.StatusOK)
}

func (c *Console) showMeasure(p *page, form modeForm, runError string, status int) error {
	id := garrison.MeasureID(p.r.PathValue("id"))
	list, err := c.deps.Measures.States(p.ctx())
	if err != nil {
		return err
	}
	v := measurePage{Form: form, RunError: runError}
	for _, m := range list {
		if m.Definition.ID == id {
			v.State = m
		}
	}
	if v.State.Definition == nil {
		return garrison.Refuse(garrison.NotFound, "error.measures.no_measure", "measure", string(id))
	}
	d := v.State.Definition
	v.frame = c.frame(p, "measures", d.Title.In(p.lang))
	v.Question = p.T("measures.one_question")
	v.MayRun, v.MaySwitch = p.who.May(identity.PermMeasuresRun), p.who.May(identity.PermMeasuresSwitch)
	stands, err := c.deps.Measures.Stands(p.ctx(), id)
	if err != nil {
		return err
	}
	for _, s := range stands {
		row := standRow{Stand: s, Late: v.Now.Sub(s.Last.Ended) > 2*v.State.Interval}
		for _, n := range s.Open {
			row.Open += n
		}
		v.Stands = append(v.Stands, row)
	}
	if v.Runs, _, err = c.deps.Measures.Runs(p.ctx(), measures.RunFilter{Measure: id, Limit: 12}); err != nil {
		return err
	}
	v.Named, v.Clauses = c.namedRuns(p.ctx(), v.Runs), c.briefs(p.ctx(), v.frame, d.Clauses)
	return c.render(p, status, measureView(v))
}

// switchMeasure turns a measure on, degraded or off; it asks for a reason.
func (c *Console) switchMeasure(p *page) error {
	if err := p.r.ParseForm(); err != nil {
		return garrison.Errorf(garrison.Invalid, "read the form: %w", err)
	}
	id := garrison.MeasureID(p.r.PathValue("id"))
	form := modeForm{Mode: p.r.PostForm.Get("mode"), Reason: p.r.PostForm.Get("reason")}
	err := c.deps.Measures.SetState(p.ctx(), id, measures.Mode(form.Mode), strings.TrimSpace(form.Reason), p.who.Actor)
	if err == nil {
		return c.back(p, string(measureURL(id)), p.T("measures.said.mode"))
	}
	s, status := c.say(p.lang, err)
	if s.ID != "" || garrison.CodeOf(err) == garrison.NotFound {
		return err
	}
	form.Error = cmp.Or(s.Detail, s.Title)
	return c.showMeasure(p, form, "", status)
}

// runMeasure has a measure look at a subject as soon as it can; the run's own page
// says what came of it.
func (c *Console) runMeasure(p *page) error {
	if err := p.r.ParseForm(); err != nil {
		return garrison.Errorf(garrison.Invalid, "read the form: %w", err)
	}
	id := garrison.MeasureID(p.r.PathValue("id"))
	run, err := c.deps.Measures.Enqueue(p.ctx(), id, garrison.SubjectID(p.r.PostForm.Get("subject")), p.who.Actor)
	if err == nil {
		return c.back(p, string(runURL(run))+"?asked=1", p.T("measures.said.run"))
	}
	s, status := c.say(p.lang, err)
	if s.ID != "" {
		return err
	}
	return c.showMeasure(p, modeForm{}, cmp.Or(s.Detail, s.Title), status)
}

// runListPage is the list of runs.
type runListPage struct {
	frame
	filtering
	Runs  []measures.RunRow
	Named subjects
	Next  string
}

func (c *Console) runList(p *page) error {
	v := runListPage{frame: c.frame(p, "measures", p.T("measures.runs"))}
	v.Question = p.T("measures.runs_question")
	v.filtering = p.filters("/runs", "measure", "subject")
	get := v.Query.Get
	runs, next, err := c.deps.Measures.Runs(p.ctx(), measures.RunFilter{Measure: garrison.MeasureID(get("measure")),
		Subject: garrison.SubjectID(get("subject")), After: get("after")})
	if code := garrison.CodeOf(err); code == garrison.Invalid || code == garrison.TooLarge {
		s, _ := c.say(p.lang, err)
		v.Message, err = cmp.Or(s.Detail, s.Title), nil
	}
	if err != nil {
		return err
	}
	v.Runs, v.Next, v.Named = runs, v.older(next), c.namedRuns(p.ctx(), runs)
	ms := facet{Name: v.T("work.measure"), Items: []facetItem{{Name: v.T("work.all"), Href: v.with("measure", ""), Count: -1, On: get("measure") == ""}}}
	for id, d := range c.definitions(p.ctx()) {
		ms.Items = append(ms.Items, facetItem{Name: v.In(d.Title), Href: v.with("measure", string(id)), Count: -1, On: get("measure") == string(id)})
		if get("measure") == string(id) {
			v.Tags = append(v.Tags, tag{Name: v.T("work.measure"), Value: v.In(d.Title), Href: v.with("measure", "")})
		}
	}
	v.Facets = []facet{ms, c.subjectFacet(p, v.frame, v.filtering)}
	if id := garrison.SubjectID(get("subject")); id != "" {
		v.Tags = append(v.Tags, tag{Name: v.T("work.subject"), Value: c.subjects(p.ctx(), id).name(id), Href: v.with("subject", "")})
	}
	return c.render(p, http.StatusOK, runsPage(v))
}

// runPage is one run: over which population, what it saw, how that is proven.
type runPage struct {
	frame
	Run     measures.RunRow
	Measure *measures.Definition
	Subject garrison.Subject
	Groups  []verdictGroup
	Damage  string // why what it saw cannot be shown
	Pending bool   // asked for and not begun
	MayRun  bool
}

// verdictGroup are the places a run said the same of, worst first.
type verdictGroup struct {
	Name, Means string
	Outcome     garrison.Outcome
	Items       []measures.Item
}

func (c *Console) oneRun(p *page) error {
	id := garrison.RunID(p.r.PathValue("id"))
	row, items, err := c.deps.Measures.Run(p.ctx(), id)
	v := runPage{frame: c.frame(p, "measures", p.T("measures.run")), Run: row, MayRun: p.who.May(identity.PermMeasuresRun)}
	v.Question = p.T("measures.run_question")
	switch {
	case err != nil && row.ID == "" && garrison.CodeOf(err) == garrison.NotFound && p.r.URL.Query().Get("asked") == "1":
		// A run that was asked for has its id before it has a row.
		v.Pending, v.Run.ID = true, id
		p.w.Header().Set("Refresh", "2")
		return c.render(p, http.StatusOK, runView(v))
	case err != nil && row.ID == "":
		return err
	case err != nil:
		s, _ := c.say(p.lang, err)
		v.Damage = cmp.Or(s.Detail, s.Title)
	}
	v.Measure = c.definitions(p.ctx())[row.Measure]
	v.Subject = c.subjects(p.ctx(), row.Subject)[row.Subject]
	v.Groups = groups(v.frame, v.Measure, items)
	return c.render(p, http.StatusOK, runView(v))
}

// groups puts what a run saw in the order of the measure's own words, from bad over
// untold to good.
func groups(f frame, d *measures.Definition, items []measures.Item) []verdictGroup {
	if d == nil {
		return nil
	}
	var out []verdictGroup
	for _, o := range []garrison.Outcome{garrison.Fail, garrison.Unknown, garrison.Pass} {
		for _, verdict := range d.Verdicts {
			if verdict.Outcome != o {
				continue
			}
			g := verdictGroup{Name: f.In(verdict.Title), Means: f.In(verdict.Means), Outcome: o}
			for _, it := range items {
				if it.Verdict == verdict.Name {
					g.Items = append(g.Items, it)
				}
			}
			if len(g.Items) > 0 {
				out = append(out, g)
			}
		}
	}
	return out
}

// runScope says what follows from a place not being among what a run saw.
func (f frame) runScope(r measures.RunRow) string {
	switch {
	case r.Partial:
		return f.T("measures.scope.partial")
	case r.Complete:
		return f.T("measures.scope.complete")
	}
	return f.T("measures.scope.incomplete")
}

// took is how long something lasted, in a unit that fits.
func (f frame) took(d time.Duration) string {
	if d <= 0 {
		return "—"
	}
	if d < time.Second {
		return f.T("measures.millis", "ms", f.Num(d.Milliseconds()))
	}
	return f.Span(d)
}

// itemURL leads from a place a run saw to its finding, by searching for it.
func itemURL(r measures.RunRow, it measures.Item) templ.SafeURL {
	q := filtering{Path: "/findings"}
	return templ.SafeURL(q.with("state", "all", "subject", string(r.Subject), "q", clip(it.Locus, maxFilter)))
}
