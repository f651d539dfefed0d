package console

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/a-h/templ"

	"garrison"
	"garrison/internal/cases"
	"garrison/internal/identity"
)

// caseListPage is the list of cases.
type caseListPage struct {
	frame
	filtering
	Rows    []caseRow
	Next    string
	Counts  cases.Counts
	ByDue   bool
	Unknown bool // the counts could not be read
}

// caseRow is one case of the list.
type caseRow struct {
	cases.Case
	Heading string
	Owner   string
	Now     time.Time
}

func liveStates() []garrison.State {
	return []garrison.State{garrison.StateOpen, garrison.StateAssigned, garrison.StateClaimed}
}

// caseList shows the cases that a question fits; those not ended unless asked.
func (c *Console) caseList(p *page) error {
	v := caseListPage{frame: c.frame(p, "cases", "")}
	v.Question = p.T("cases.question")
	v.filtering = p.filters("/cases", "state", "owner", "late", "order", "subject", "rule", "finding", "q")
	f := c.caseFilter(p, v.filtering)
	v.ByDue = f.Order == cases.OrderDue
	list, next, err := c.deps.Cases.List(p.ctx(), f)
	if code := garrison.CodeOf(err); code == garrison.Invalid || code == garrison.TooLarge {
		s, _ := c.say(p.lang, err)
		v.Message, err = cmp.Or(s.Detail, s.Title), nil
	}
	if err != nil {
		return err
	}
	v.Next = v.older(next)
	who := c.people(p.ctx())
	for _, x := range list {
		v.Rows = append(v.Rows, caseRow{Case: x, Heading: c.caseTitle(v.frame, x), Owner: who.name(x.Owner), Now: v.Now})
	}
	if v.Counts, err = c.deps.Cases.Counts(p.ctx(), garrison.AccountID(p.who.Actor.ID)); err != nil {
		c.deps.Log.WarnContext(p.ctx(), "cases could not be counted", "error", err)
		v.Unknown = true
	}
	v.Facets, v.Tags = caseFacets(v), c.caseTags(p, v.frame, v.filtering, who)
	status := http.StatusOK
	if v.Message != "" {
		status = http.StatusUnprocessableEntity
	}
	return c.render(p, status, casesPage(v))
}

func (c *Console) caseFilter(p *page, q filtering) cases.Filter {
	get := q.Query.Get
	f := cases.Filter{Subject: garrison.SubjectID(get("subject")), Rule: garrison.RuleID(get("rule")),
		Finding: garrison.FindingID(get("finding")), Query: get("q"), Late: get("late") == "1", After: get("after"), Order: get("order")}
	switch s := get("state"); s {
	case "all":
	case "":
		if !f.Late && f.Finding == "" { // ended late stays late, and a finding's case is wanted whatever became of it
			f.States = liveStates()
		}
	default:
		f.States = []garrison.State{garrison.State(s)}
	}
	switch o := get("owner"); o {
	case "me":
		f.Owner = garrison.AccountID(p.who.Actor.ID)
	case "none":
		f.NoOwner = true
	default:
		f.Owner = garrison.AccountID(o)
	}
	return f
}

func caseFacets(v caseListPage) []facet {
	n := v.Counts
	count := func(k int) int {
		if v.Unknown {
			return -1
		}
		return k
	}
	state, owner, late := v.Query.Get("state"), v.Query.Get("owner"), v.Query.Get("late")
	states := facet{Name: v.T("cases.state"), Items: []facetItem{
		{Name: v.T("cases.live"), Href: v.with("state", ""), Count: count(n.Open), On: state == ""}}}
	total := 0
	for _, s := range append(liveStates(), garrison.StateClosed, garrison.StateRefuted) {
		total += n.ByState[s]
		states.Items = append(states.Items, facetItem{Name: v.stateName(s), Href: v.with("state", string(s)), Count: count(n.ByState[s]), On: state == string(s)})
	}
	states.Items = append(states.Items, facetItem{Name: v.T("work.all"), Href: v.with("state", "all"), Count: count(total), On: state == "all"})
	return []facet{states,
		{Name: v.T("cases.owner"), Items: []facetItem{
			{Name: v.T("cases.anybody"), Href: v.with("owner", ""), Count: -1, On: owner == ""},
			{Name: v.T("cases.mine"), Href: v.with("owner", "me"), Count: count(n.Mine), On: owner == "me"},
			{Name: v.T("cases.nobodys"), Href: v.with("owner", "none"), Count: count(n.NoOwner), On: owner == "none"},
		}},
		{Name: v.T("cases.due"), Items: []facetItem{
			{Name: v.T("work.all"), Href: v.with("late", ""), Count: -1, On: late == ""},
			{Name: v.T("cases.late"), Href: v.with("late", "1"), Count: count(n.Late), On: late == "1"},
		}},
	}
}

func (c *Console) caseTags(p *page, f frame, q filtering, who people) []tag {
	var out []tag
	add := func(name, key, value string) {
		if q.Query.Get(key) != "" {
			out = append(out, tag{Name: name, Value: value, Href: q.with(key, "")})
		}
	}
	get := q.Query.Get
	state := f.stateName(garrison.State(get("state")))
	if get("state") == "all" {
		state = f.T("work.all")
	}
	add(f.T("cases.state"), "state", state)
	owner := who.name(garrison.AccountID(get("owner")))
	switch get("owner") {
	case "me":
		owner = f.T("cases.mine")
	case "none":
		owner = f.T("cases.nobodys")
	}
	add(f.T("cases.owner"), "owner", owner)
	add(f.T("cases.due"), "late", f.T("cases.late"))
	add(f.T("work.subject"), "subject", c.subjects(p.ctx(), garrison.SubjectID(get("subject"))).name(garrison.SubjectID(get("subject"))))
	add(f.T("work.rule"), "rule", c.ruleTitle(f, garrison.RuleID(get("rule"))))
	add(f.T("work.finding"), "finding", get("finding"))
	add(f.T("work.find"), "q", get("q"))
	return out
}

// caseTitle is a case's title with names for what it holds ids of.
func (c *Console) caseTitle(f frame, x cases.Case) string {
	if x.Title.Key == "cases.title.rule" {
		return f.T("cases.title.rule", "rule", c.ruleTitle(f, x.Rule), "subject", cmp.Or(x.Name, string(x.Subject)))
	}
	return f.Why(x.Title)
}

func (f frame) stateName(s garrison.State) string { return f.known("cases.state.", string(s)) }

// stateMark is the shape beside a state.
func stateMark(s garrison.State) string {
	switch s {
	case garrison.StateClosed:
		return "met"
	case garrison.StateRefuted:
		return "out"
	case garrison.StateClaimed:
		return "unproven"
	}
	return "unmet"
}

// actForm is what somebody typed into one of the forms of a case.
type actForm struct {
	Do, Note, Assignee string
	Error              string
}

// actOnCase does one deed and comes back to the case; a refusal shows on the case,
// with what was typed.
func (c *Console) actOnCase(p *page) error {
	if err := p.r.ParseForm(); err != nil {
		return garrison.Errorf(garrison.Invalid, "read the form: %w", err)
	}
	id := garrison.CaseID(p.r.PathValue("id"))
	form := actForm{Do: p.r.PostForm.Get("do"), Note: p.r.PostForm.Get("note"), Assignee: p.r.PostForm.Get("assignee")}
	a := cases.Action{Do: form.Do, Note: form.Note, Assignee: garrison.AccountID(form.Assignee), Version: formVersion(p.r)}
	if form.Do == "take" {
		a.Do, a.Assignee = cases.DoAssign, garrison.AccountID(p.who.Actor.ID)
	}
	x, err := c.deps.Cases.Act(p.ctx(), id, a, p.by())
	if err == nil {
		return c.back(p, string(caseURL(x.Number)), p.T(saidOf(a.Do)))
	}
	s, status := c.say(p.lang, err)
	if s.ID != "" || garrison.CodeOf(err) == garrison.NotFound {
		return err
	}
	form.Error = cmp.Or(s.Detail, s.Title)
	return c.showCase(p, string(id), form, status)
}

func saidOf(do string) string {
	switch do {
	case cases.DoAssign:
		return "cases.said.assign"
	case cases.DoClaim:
		return "cases.said.claim"
	case cases.DoAsk:
		return "cases.said.ask"
	case cases.DoRefute:
		return "cases.said.refute"
	}
	return "cases.said.comment"
}

func (c *Console) oneCase(p *page) error {
	return c.showCase(p, p.r.PathValue("id"), actForm{}, http.StatusOK)
}

// casePage is one case: what was wrong, who did what, is it over, how do we know.
type casePage struct {
	frame
	Case     cases.Case
	Heading  string
	Owner    string
	Steps    []stepRow
	Hidden   int // steps the filter leaves out
	Shown    string
	Chain    []slip
	Sealed   int
	Root     string // digest of the newest sealed step
	Blocks   string // what keeps it from closing, or how it closed
	Deeds    []string
	Form     actForm
	People   []identity.Account
	Me       garrison.AccountID
	Subject  garrison.Subject
	Unit     garrison.Subject
	Clauses  []clauseBrief
	LastRun  garrison.Run // the look that spoke last; zero ID: none
	Measure  string
	RuleName string
	Remedy   string
}

// slip is one slip of the chain; Gap breaks its cords.
type slip struct {
	Name, Figure, Line string
	Href               templ.SafeURL
	Gap                bool
	Standing           *garrison.Standing
	Outcome            *garrison.Outcome
}

// stepRow is one step with its words.
type stepRow struct {
	cases.Step
	Day  string // set where a new day begins
	Text string
	Who  string
	Node string
}

// clauseBrief is a clause that a case or a measure answers to.
type clauseBrief struct {
	Duty     garrison.Duty
	Name     string
	Standing garrison.Standing
}

func (c *Console) showCase(p *page, id string, form actForm, status int) error {
	x, steps, err := c.deps.Cases.Get(p.ctx(), garrison.CaseID(id))
	if err != nil {
		return err
	}
	f := c.frame(p, "cases", x.Number)
	v := casePage{frame: f, Case: x, Heading: c.caseTitle(f, x), Form: form, Me: garrison.AccountID(p.who.Actor.ID)}
	v.Question, v.Deeds = p.T("cases.one_question"), c.deps.Cases.Deeds(x, p.by())
	who := c.people(p.ctx())
	v.Owner = who.name(x.Owner)
	if v.People, err = c.deps.Identity.Accounts(p.ctx()); err != nil {
		c.deps.Log.WarnContext(p.ctx(), "accounts could not be read", "error", err)
	}
	v.People = slices.DeleteFunc(v.People, func(a identity.Account) bool { return a.State != identity.StateActive })
	v.Subject = c.subjects(p.ctx(), x.Subject)[x.Subject]
	v.Unit = c.subjects(p.ctx(), v.Subject.Owner)[v.Subject.Owner]
	if r, ok := c.deps.Measures.Rule(x.Rule); ok {
		v.RuleName, v.Remedy = f.In(r.Title), f.In(r.Remedy)
	}
	if d := c.definitions(p.ctx())[x.Measure]; d != nil {
		v.Measure, v.Clauses = f.In(d.Title), c.briefs(p.ctx(), f, d.Clauses)
	}
	v.LastRun = c.lastWord(p.ctx(), x)
	v.Shown = p.r.URL.Query().Get("who")
	v.steps(steps, who)
	v.Chain = c.chain(p.ctx(), v, steps)
	v.Blocks = v.blocks()
	return c.render(p, status, caseView(v))
}

// lastWord is the run that last said something about the case.
func (c *Console) lastWord(ctx context.Context, x cases.Case) garrison.Run {
	id := x.JoinRun
	if x.Unsure != "" {
		id = x.Unsure
	}
	for _, m := range x.Members {
		if m.GoneRun != "" {
			id = m.GoneRun
		}
	}
	if id == "" {
		return garrison.Run{}
	}
	run, _, err := c.deps.Measures.Run(ctx, id)
	if err != nil && run.ID == "" {
		c.deps.Log.WarnContext(ctx, "run of a case could not be read", "run", id, "error", err)
	}
	return run.Run
}

// steps writes out what happened, with a line where a new day begins.
func (v *casePage) steps(list []cases.Step, who people) {
	day := ""
	for _, s := range list {
		if !s.Evidence.Zero() {
			v.Sealed++
			v.Root = s.Evidence.Digest
		}
		machine := s.By.Kind == garrison.BySystem
		if v.Shown == "people" && machine || v.Shown == "machine" && !machine {
			v.Hidden++
			continue
		}
		row := stepRow{Step: s, Text: v.stepText(s, who), Who: v.actorName(s.By), Node: stepNode(s)}
		if d := s.At.In(zone).Format(time.DateOnly); d != day {
			row.Day, day = d, d
		}
		v.Steps = append(v.Steps, row)
	}
}

// stepText writes out a step; ids in it become names.
func (f frame) stepText(s cases.Step, who people) string {
	r := garrison.Reason{Key: s.What.Key, Args: map[string]any{}}
	for k, a := range s.What.Args {
		r.Args[k] = a
		if text, ok := a.(string); ok && k == "account" {
			r.Args[k] = who.name(garrison.AccountID(text))
		} else if ok && k == "why" {
			r.Args[k] = f.whyWord(text)
		}
	}
	return f.Why(r)
}

func stepNode(s cases.Step) string {
	switch s.Do {
	case cases.DidOpen, cases.DidJoin, cases.DidReopen:
		return "nbad"
	case cases.DidClose:
		return "nok"
	case cases.DidLook:
		return "unk"
	}
	if s.By.Kind == garrison.BySystem {
		return "nm"
	}
	return "np"
}

// blocks says what still keeps a case from closing: never a button, always a look.
func (v casePage) blocks() string {
	x := v.Case
	gone := x.Total - x.Left
	switch x.State {
	case garrison.StateClosed:
		return v.T("cases.ended.closed", "n", x.Total, "at", v.Clock(x.Closed))
	case garrison.StateRefuted:
		return v.T("cases.ended.refuted", "at", v.Clock(x.Closed))
	case garrison.StateClaimed:
		if x.Unsure != "" {
			return v.T("cases.blocks.unsure", "n", x.Left, "why", v.whyWord(v.LastRun.Why))
		}
		return v.T("cases.blocks.claimed", "n", x.Left, "gone", gone)
	case garrison.StateAssigned:
		return v.T("cases.blocks.assigned", "n", x.Left, "gone", gone)
	}
	return v.T("cases.blocks.open", "n", x.Left, "gone", gone)
}

// may says whether a deed can be done now by the reader.
func (v casePage) may(do string) bool { return slices.Contains(v.Deeds, do) }

// sees is the address of the timeline with only some steps.
func (v casePage) sees(who string) templ.SafeURL {
	if who == "" {
		return caseURL(v.Case.Number) + "#steps"
	}
	return caseURL(v.Case.Number) + templ.SafeURL("?who="+url.QueryEscape(who)+"#steps")
}

// chain is the way from what was recorded to the clause; a cord is broken where a
// link is not done or not proven.
func (c *Console) chain(ctx context.Context, v casePage, steps []cases.Step) []slip {
	x := v.Case
	var first garrison.Run
	if len(x.Members) > 0 {
		run, _, err := c.deps.Measures.Run(ctx, x.Members[0].Run)
		if err == nil || run.ID != "" {
			first = run.Run
		}
	}
	record := slip{Name: v.T("cases.slip.record"), Figure: "—", Line: v.T("cases.slip.no_record"), Gap: true}
	if first.ID != "" {
		record = slip{Name: v.T("cases.slip.record"), Figure: v.Num(int64(first.Population.Attempted)), Line: v.T("cases.slip.record_line"),
			Href: transcriptURL(first.ID), Gap: first.Transcript == "" || first.Evidence.Zero()}
	}
	finding := slip{Name: v.T("cases.slip.finding"), Figure: v.Num(int64(x.Total)), Line: v.RuleName, Href: "#findings"}
	if len(x.Members) == 1 {
		finding.Href = findingURL(x.Members[0].Finding)
	}
	opened := slip{Name: v.T("cases.slip.case"), Figure: v.severityName(x.Severity), Line: x.Number, Href: "#steps",
		Gap: len(steps) == 0 || steps[0].Evidence.Zero()}
	return append([]slip{record, finding, opened}, v.actionSlip(steps), v.recheckSlip(), v.clauseSlip())
}

func (v casePage) actionSlip(steps []cases.Step) slip {
	n, last := 0, ""
	for _, s := range steps {
		if s.By.Kind != garrison.BySystem {
			n++
			last = v.known("cases.did.", s.Do)
		}
	}
	out := slip{Name: v.T("cases.slip.action"), Figure: v.Num(int64(n)), Line: last, Href: v.sees("people"), Gap: n == 0}
	if n == 0 {
		out.Line = v.T("cases.slip.no_action")
	}
	return out
}

func (v casePage) recheckSlip() slip {
	x := v.Case
	out := slip{Name: v.T("cases.slip.recheck"), Figure: v.Num(int64(x.Total-x.Left)) + "/" + v.Num(int64(x.Total)), Line: v.T("cases.slip.recheck_line"), Href: "#findings", Gap: x.State != garrison.StateClosed}
	unknown, pass := garrison.Unknown, garrison.Pass
	switch {
	case x.State == garrison.StateClosed:
		out.Outcome, out.Href = &pass, runURL(v.LastRun.ID)
	case x.State == garrison.StateRefuted:
		out.Line = v.T("cases.slip.refuted")
	case x.Unsure != "":
		out.Outcome, out.Href = &unknown, runURL(x.Unsure)
	case x.Left == x.Total:
		out.Line = v.T("cases.slip.no_recheck")
	}
	return out
}

func (v casePage) clauseSlip() slip {
	out := slip{Name: v.T("cases.slip.clause"), Figure: v.Num(int64(len(v.Clauses))), Line: v.T("cases.slip.no_clause"), Gap: true}
	if len(v.Clauses) > 0 {
		var names []string
		for _, b := range v.Clauses {
			names = append(names, b.Name)
		}
		st := v.Clauses[0].Standing
		out.Line, out.Href, out.Standing, out.Gap = strings.Join(names, " · "), clauseURL(v.Clauses[0].Duty.ID), &st, st != garrison.Met
	}
	return out
}

// joined says how many links of the chain hold.
func (v casePage) joined() int {
	n := 0
	for _, s := range v.Chain {
		if !s.Gap {
			n++
		}
	}
	return n
}

// dueLine is the date by which a case must end, as a clock.
func (f frame) dueLine(x cases.Case) string {
	switch {
	case x.Due.IsZero():
		return f.T("cases.no_due")
	case x.Late(f.Now) && x.Ended():
		return f.T("cases.ended_late", "span", f.Span(x.LateBy(f.Now)))
	case x.Late(f.Now):
		return f.T("cases.late_by", "span", f.Span(x.LateBy(f.Now)))
	case x.Ended():
		return f.T("cases.in_time")
	}
	return f.T("cases.left", "span", f.Span(x.Due.Sub(f.Now)))
}

// ring is how much of a case's time is left, as a dash of its clock's circle.
func ring(x cases.Case, now time.Time) string {
	const around = 50.3
	whole := x.Due.Sub(x.Opened)
	if whole <= 0 {
		return "0 " + px(around)
	}
	left := min(max(float64(x.Due.Sub(now))/float64(whole), 0), 1)
	return px(left*around) + " " + px(around)
}
