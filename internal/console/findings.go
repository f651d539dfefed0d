package console

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"

	"garrison"
	"garrison/internal/cases"
	"garrison/internal/measures"
)

// findingListPage is the list of findings.
type findingListPage struct {
	frame
	filtering
	Rows   []findingBrief
	Next   string
	Counts map[measures.FindingState]int // nil: not known
}

// findingBrief is one finding of a list.
type findingBrief struct {
	measures.FindingRow
	Title   string
	Subject garrison.Subject
	Number  string // of its case
}

func findingStates() []measures.FindingState {
	return []measures.FindingState{measures.Open, measures.Suspected, measures.Fixed, measures.Refuted, measures.Accepted}
}

// findingList shows findings, worst first; those that are open or suspected unless
// asked.
func (c *Console) findingList(p *page) error {
	v := findingListPage{frame: c.frame(p, "findings", "")}
	v.Question = p.T("findings.question")
	v.filtering = p.filters("/findings", "state", "rule", "subject", "measure", "q")
	get := v.Query.Get
	f := measures.FindingFilter{Measure: garrison.MeasureID(get("measure")), Rule: garrison.RuleID(get("rule")),
		Subject: garrison.SubjectID(get("subject")), Query: get("q")}
	var err error
	if v.Counts, err = c.deps.Measures.CountFindings(p.ctx(), f); err != nil {
		c.deps.Log.WarnContext(p.ctx(), "findings could not be counted", "error", err)
	}
	switch s := get("state"); s {
	case "all":
	case "":
		f.State = []measures.FindingState{measures.Open, measures.Suspected}
	default:
		f.State = []measures.FindingState{measures.FindingState(s)}
	}
	f.After = get("after")
	list, next, err := c.deps.Measures.Findings(p.ctx(), f)
	if code := garrison.CodeOf(err); code == garrison.Invalid || code == garrison.TooLarge {
		s, _ := c.say(p.lang, err)
		v.Message, err = cmp.Or(s.Detail, s.Title), nil
	}
	if err != nil {
		return err
	}
	v.Next = v.older(next)
	v.Rows = c.findingBriefs(p.ctx(), v.frame, list)
	c.findingFacets(p, &v)
	status := http.StatusOK
	if v.Message != "" {
		status = http.StatusUnprocessableEntity
	}
	return c.render(p, status, findingsPage(v))
}

func (c *Console) findingBriefs(ctx context.Context, f frame, list []measures.FindingRow) []findingBrief {
	var ids []garrison.SubjectID
	for _, r := range list {
		ids = append(ids, r.Finding.Subject)
	}
	named := c.subjects(ctx, ids...)
	numbers := map[garrison.CaseID]string{}
	out := make([]findingBrief, 0, len(list))
	for _, r := range list {
		if _, there := numbers[r.Case]; !there && r.Case != "" {
			numbers[r.Case] = c.caseNumber(ctx, r.Case)
		}
		out = append(out, findingBrief{FindingRow: r, Title: c.ruleTitle(f, r.Finding.Rule), Subject: named[r.Finding.Subject], Number: numbers[r.Case]})
	}
	return out
}

// caseNumber is the number people know a case by.
func (c *Console) caseNumber(ctx context.Context, id garrison.CaseID) string {
	x, _, err := c.deps.Cases.Get(ctx, id)
	if err != nil {
		c.deps.Log.WarnContext(ctx, "case of a finding could not be read", "case", id, "error", err)
		return string(id)
	}
	return x.Number
}

func (c *Console) findingFacets(p *page, v *findingListPage) {
	f, get := v.frame, v.Query.Get
	count := func(states ...measures.FindingState) int {
		if v.Counts == nil {
			return -1
		}
		n := 0
		for _, s := range states {
			n += v.Counts[s]
		}
		return n
	}
	states := facet{Name: f.T("findings.state_of"), Items: []facetItem{
		{Name: f.T("findings.live"), Href: v.with("state", ""), Count: count(measures.Open, measures.Suspected), On: get("state") == ""}}}
	for _, s := range findingStates() {
		states.Items = append(states.Items, facetItem{Name: f.findingState(s), Href: v.with("state", string(s)), Mark: findingMark(s), Count: count(s), On: get("state") == string(s)})
	}
	states.Items = append(states.Items, facetItem{Name: f.T("work.all"), Href: v.with("state", "all"), Count: count(findingStates()...), On: get("state") == "all"})
	rules := facet{Name: f.T("work.rule"), Items: []facetItem{{Name: f.T("work.all"), Href: v.with("rule", ""), Count: -1, On: get("rule") == ""}}}
	list, err := c.deps.Measures.States(p.ctx())
	if err != nil {
		c.deps.Log.WarnContext(p.ctx(), "measures could not be read", "error", err)
	}
	for _, m := range list {
		for _, r := range m.Definition.Rules {
			rules.Items = append(rules.Items, facetItem{Name: f.In(r.Title), Href: v.with("rule", string(r.ID)), Count: -1, On: get("rule") == string(r.ID)})
		}
	}
	v.Facets = []facet{states, rules, c.subjectFacet(p, f, v.filtering)}
	add := func(name, key, value string) {
		if get(key) != "" {
			v.Tags = append(v.Tags, tag{Name: name, Value: value, Href: v.with(key, "")})
		}
	}
	state := f.findingState(measures.FindingState(get("state")))
	if get("state") == "all" {
		state = f.T("work.all")
	}
	add(f.T("findings.state_of"), "state", state)
	add(f.T("work.rule"), "rule", c.ruleTitle(f, garrison.RuleID(get("rule"))))
	add(f.T("work.measure"), "measure", get("measure"))
	id := garrison.SubjectID(get("subject"))
	add(f.T("work.subject"), "subject", c.subjects(p.ctx(), id).name(id))
	add(f.T("work.find"), "q", get("q"))
}

// subjectFacet lists the sites, of which there are few; the one asked for is there
// even when it is something else.
func (c *Console) subjectFacet(p *page, f frame, q filtering) facet {
	on := q.Query.Get("subject")
	out := facet{Name: f.T("work.subject"), Items: []facetItem{{Name: f.T("work.all"), Href: q.with("subject", ""), Count: -1, On: on == ""}}}
	sites, err := c.deps.Registry.Of(p.ctx(), garrison.Site)
	if err != nil {
		c.deps.Log.WarnContext(p.ctx(), "sites could not be read", "error", err)
	}
	const most = 12
	for i, s := range sites {
		if i >= most && string(s.ID) != on {
			continue
		}
		out.Items = append(out.Items, facetItem{Name: s.Name, Href: q.with("subject", string(s.ID)), Count: -1, On: on == string(s.ID)})
	}
	return out
}

func (f frame) findingState(s measures.FindingState) string {
	return f.known("findings.state.", string(s))
}

// findingMark is the shape beside a state; suspected is not yet known.
func findingMark(s measures.FindingState) string {
	switch s {
	case measures.Open:
		return "unmet"
	case measures.Fixed:
		return "met"
	case measures.Refuted, measures.Accepted:
		return "out"
	}
	return "unproven"
}

// findingPage is one finding: what is weak, since when, who mends it by when.
type findingPage struct {
	frame
	Row     measures.FindingRow
	Rule    measures.Rule
	Known   bool // the rule is still defined
	Subject garrison.Subject
	Measure *measures.Definition
	Facts   []namedFact
	Runs    []measures.RunRow
	Case    cases.Case // zero ID: none
	Heading string
	Owner   string
	Clauses []clauseBrief
	// Evidence are the entries of the sighting itself, else of the run that saw it last.
	Evidence []garrison.EvidenceRef
	May      bool // refute
	Form     actForm
}

// namedFact is one thing that was seen, with its name for people.
type namedFact struct {
	Name  string
	Value string
	List  []string // addresses of pages, each on a line
}

func (c *Console) oneFinding(p *page) error {
	return c.showFinding(p, p.r.PathValue("id"), actForm{}, http.StatusOK)
}

func (c *Console) showFinding(p *page, id string, form actForm, status int) error {
	row, err := c.deps.Measures.Finding(p.ctx(), garrison.FindingID(id))
	if err != nil {
		return err
	}
	f := c.frame(p, "findings", "")
	v := findingPage{frame: f, Row: row, Form: form, May: mayRefute(p)}
	v.Rule, v.Known = c.deps.Measures.Rule(row.Finding.Rule)
	v.Title = c.ruleTitle(f, row.Finding.Rule)
	v.Crumbs = append(v.Crumbs, crumb{Name: v.Title})
	v.Question = p.T("findings.one_question")
	v.Subject = c.subjects(p.ctx(), row.Finding.Subject)[row.Finding.Subject]
	if d := c.definitions(p.ctx())[row.Finding.Measure]; d != nil {
		v.Measure, v.Clauses = d, c.briefs(p.ctx(), f, d.Clauses)
	}
	v.Facts = f.facts(row.Finding.Facts)
	runs, _, err := c.deps.Measures.Runs(p.ctx(), measures.RunFilter{Measure: row.Finding.Measure, Subject: row.Finding.Subject, Limit: 8})
	if err != nil {
		c.deps.Log.WarnContext(p.ctx(), "runs could not be read", "error", err)
	}
	v.Runs, v.Evidence = runs, row.Finding.Evidence
	for _, r := range runs {
		if r.ID == row.LastRun && len(v.Evidence) == 0 && !r.Evidence.Zero() {
			v.Evidence = append(v.Evidence, r.Evidence)
		}
	}
	if row.Case != "" {
		if v.Case, _, err = c.deps.Cases.Get(p.ctx(), row.Case); err != nil {
			c.deps.Log.WarnContext(p.ctx(), "case of a finding could not be read", "case", row.Case, "error", err)
		}
		v.Heading, v.Owner = c.caseTitle(f, v.Case), c.people(p.ctx()).name(v.Case.Owner)
	}
	return c.render(p, status, findingView(v))
}

// mayRefute asks the flow of cases, so that one table says who may call a finding
// wrong, with a case or without one.
func mayRefute(p *page) bool {
	return cases.FlowOf(garrison.Rectification).May(garrison.Case{State: garrison.StateOpen}, cases.DoRefute, p.by())
}

func (c *Console) refuteFinding(p *page) error {
	if err := p.r.ParseForm(); err != nil {
		return garrison.Errorf(garrison.Invalid, "read the form: %w", err)
	}
	id := garrison.FindingID(p.r.PathValue("id"))
	form := actForm{Do: cases.DoRefute, Note: p.r.PostForm.Get("note")}
	var err error
	if mayRefute(p) {
		err = c.deps.Measures.Refute(p.ctx(), id, strings.TrimSpace(form.Note), p.who.Actor)
	} else {
		err = garrison.Refuse(garrison.Denied, "error.cases.not_allowed", "action", cases.DoRefute, "roles", cases.RoleSecurity)
	}
	if err == nil {
		return c.back(p, string(findingURL(id)), p.T("findings.said.refute"))
	}
	s, status := c.say(p.lang, err)
	if s.ID != "" || garrison.CodeOf(err) == garrison.NotFound {
		return err
	}
	form.Error = cmp.Or(s.Detail, s.Title)
	return c.showFinding(p, string(id), form, status)
}

// facts names what was seen, in a fixed order, then whatever else there is.
func (f frame) facts(seen map[string]string) []namedFact {
	order := []string{"status", "why", "to", "text", "kind", "embedded", "count", "pages", "earlier"}
	var rest []string
	for k := range seen {
		if !slices.Contains(order, k) {
			rest = append(rest, k)
		}
	}
	slices.Sort(rest)
	var out []namedFact
	for _, k := range append(order, rest...) {
		value, there := seen[k]
		if !there {
			continue
		}
		n := namedFact{Name: f.known("measures.fact.", k), Value: value}
		switch k {
		case "why":
			n.Value = f.whyWord(value)
		case "kind":
			n.Value = f.known("measures.kind.", value)
		case "embedded", "earlier":
			n.Value = f.yesNo(value)
		case "pages":
			n.Value, n.List = "", lines(value)
		}
		out = append(out, n)
	}
	return out
}

func (f frame) yesNo(value string) string {
	switch value {
	case "true":
		return f.T("work.yes")
	case "false":
		return f.T("work.no")
	}
	return value
}

// leftBy says how a finding left its earlier state.
func (f frame) leftBy(why string) string { return f.known("findings.why.", why) }
