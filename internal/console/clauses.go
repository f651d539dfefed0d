package console

import (
	"bytes"
	"cmp"
	"context"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"garrison"
	"garrison/internal/duties"
	"garrison/internal/identity"
)

// clauseListPage is the wall: one brick a clause, by instrument; or its table.
type clauseListPage struct {
	frame
	filtering
	Table  bool
	Counts duties.Counts
	At     time.Time
	Walls  []wallRow
	Rows   []clauseRow
	Unset  bool // nobody has said who we are
	Shown  int
}

// wallRow is the wall of one instrument.
type wallRow struct {
	Rule   garrison.Rule
	Name   string
	Count  int
	Bricks []brick
	Height string
}

// brick is one clause on the wall.
type brick struct {
	Duty     garrison.DutyID
	Title    string
	Standing garrison.Standing
	X, Y     float64
}

// clauseRow is one clause of the table.
type clauseRow struct {
	Duty       garrison.Duty
	Rule       garrison.Rule
	Name       string
	Assessment garrison.Assessment
}

func standings() []garrison.Standing {
	return []garrison.Standing{garrison.Met, garrison.Unmet, garrison.Unproven, garrison.OutOfScope, garrison.NotInForce}
}

func (c *Console) clauseList(p *page) error {
	v := clauseListPage{frame: c.frame(p, "clauses", "")}
	v.Question, v.Group = p.T("clauses.question"), "" // the page is called what its group is called
	v.filtering = p.filters("/clauses", "standing", "rule", "view", "q", "answered")
	snap, err := c.deps.Duties.Snapshot(p.ctx())
	if err != nil {
		return err
	}
	get := v.Query.Get
	v.Table, v.At, v.Unset, v.Counts = get("view") == "table", snap.At, !snap.Profile.Set, snap.Counts(get("rule"))
	cat := c.deps.Duties.Catalogue()
	for _, d := range cat.Duties {
		a, _ := snap.Of(d.ID)
		if v.fits(d, a) {
			rule, _ := cat.Rule(d.Rule)
			v.Rows = append(v.Rows, clauseRow{Duty: d, Rule: rule, Name: v.clauseName(d), Assessment: a})
		}
	}
	v.Shown = len(v.Rows)
	v.wall()
	if v.Table {
		slices.SortStableFunc(v.Rows, func(a, b clauseRow) int { return cmp.Compare(urgency(a.Assessment), urgency(b.Assessment)) })
	}
	v.clauseFacets(cat, snap)
	return c.render(p, http.StatusOK, clausesPage(v))
}

// fits says whether a clause is among those asked for.
func (v clauseListPage) fits(d garrison.Duty, a garrison.Assessment) bool {
	get := v.Query.Get
	if r := get("rule"); r != "" && r != d.Rule {
		return false
	}
	if s := get("standing"); s != "" && s != a.Standing.String() {
		return false
	}
	if get("answered") == "1" && len(a.AnsweredBy) == 0 {
		return false
	}
	q := strings.ToLower(get("q"))
	return q == "" || strings.Contains(strings.ToLower(string(d.ID)+" "+d.Summary.ZH+" "+d.Summary.EN+" "+d.Article), q)
}

// urgency puts first what does not hold, then what is answered and not shown.
func urgency(a garrison.Assessment) int {
	n := map[garrison.Standing]int{garrison.Unmet: 0, garrison.Unproven: 2, garrison.Met: 4, garrison.NotInForce: 6, garrison.OutOfScope: 8}[a.Standing]
	if len(a.AnsweredBy) == 0 {
		n++
	}
	return n
}

const (
	brickWidth  = 11.0
	brickHeight = 10.6
	bricksARow  = 28
)

// wall lays the bricks in courses, every second course half a brick on.
func (v *clauseListPage) wall() {
	for _, r := range v.Rows {
		if n := len(v.Walls); n == 0 || v.Walls[n-1].Rule.ID != r.Rule.ID {
			v.Walls = append(v.Walls, wallRow{Rule: r.Rule, Name: v.ruleShort(r.Rule)})
		}
		w := &v.Walls[len(v.Walls)-1]
		w.lay(brick{Duty: r.Duty.ID, Standing: r.Assessment.Standing,
			Title: r.Name + " · " + v.standingName(r.Assessment.Standing) + " · " + v.In(r.Duty.Summary)})
	}
}

// lay puts one brick after the last.
func (w *wallRow) lay(b brick) {
	course, place := w.Count/bricksARow, w.Count%bricksARow
	b.X, b.Y = 0.5+float64(place)*brickWidth, 0.5+float64(course)*brickHeight
	if course%2 == 1 {
		b.X += brickWidth / 2
	}
	w.Bricks = append(w.Bricks, b)
	w.Count++
	w.Height = px(float64(course+1) * brickHeight)
}

func (v *clauseListPage) clauseFacets(cat *duties.Catalogue, snap duties.Snapshot) {
	get := v.Query.Get
	st := facet{Name: v.T("clauses.standing"), Items: []facetItem{{Name: v.T("work.all"), Href: v.with("standing", ""), Count: v.Counts.Shown, On: get("standing") == ""}}}
	n := map[garrison.Standing]int{}
	for _, d := range cat.Duties {
		a, _ := snap.Of(d.ID)
		if get("rule") == "" || get("rule") == d.Rule {
			n[a.Standing]++
		}
	}
	for _, s := range standings() {
		st.Items = append(st.Items, facetItem{Name: v.standingName(s), Mark: standingMark(s), Href: v.with("standing", s.String()), Count: n[s], On: get("standing") == s.String()})
	}
	an := facet{Name: v.T("clauses.answer"), Items: []facetItem{
		{Name: v.T("work.all"), Href: v.with("answered", ""), Count: -1, On: get("answered") == ""},
		{Name: v.T("clauses.answered"), Href: v.with("answered", "1"), Count: -1, On: get("answered") == "1"},
	}}
	rules := facet{Name: v.T("clauses.rule"), Items: []facetItem{{Name: v.T("work.all"), Href: v.with("rule", ""), Count: -1, On: get("rule") == ""}}}
	for _, r := range cat.Rules {
		rules.Items = append(rules.Items, facetItem{Name: v.ruleShort(r), Href: v.with("rule", r.ID), Count: snap.Counts(r.ID).Shown, On: get("rule") == r.ID})
	}
	v.Facets = []facet{st, an, rules}
	add := func(name, key, value string) {
		if get(key) != "" {
			v.Tags = append(v.Tags, tag{Name: name, Value: value, Href: v.with(key, "")})
		}
	}
	for _, s := range standings() {
		if s.String() == get("standing") {
			add(v.T("clauses.standing"), "standing", v.standingName(s))
		}
	}
	if r, ok := cat.Rule(get("rule")); ok {
		add(v.T("clauses.rule"), "rule", v.ruleShort(r))
	}
	add(v.T("clauses.answer"), "answered", v.T("clauses.answered"))
	add(v.T("work.find"), "q", get("q"))
}

// ruleShort is what an office calls an instrument.
func (f frame) ruleShort(r garrison.Rule) string { return f.known("clauses.rule.", r.ID) }

// ruleFull is an instrument's number and title.
func (f frame) ruleFull(r garrison.Rule) string {
	if r.Number == "" || r.Number == "none" {
		return f.In(r.Title)
	}
	return f.T("clauses.rule_full", "number", r.Number, "title", f.In(r.Title))
}

// clauseName cites a clause the way people do: 82号令 第8条(2).
func (f frame) clauseName(d garrison.Duty) string {
	return f.known("clauses.rule.", d.Rule) + " " + f.article(d.Article)
}

var (
	articlePlain    = regexp.MustCompile(`^(\d+(?:\.\d+)?(?:-\d+(?:\.\d+)?)?)((?:\(\d+\)(?:-\(\d+\))?)?)$`)
	articlePara     = regexp.MustCompile(`^(\d+) para\. (\d+)$`)
	articleQuestion = regexp.MustCompile(`^Q(\d+)(?: \(Art\.(\d+)\))?$`)
	articlePart     = regexp.MustCompile(`^([IV]+)((?:\(\d+\))?)$`)
	articleAnnex    = regexp.MustCompile(`^annex ([IV]+)$`)
	romanToFigure   = map[string]string{"I": "1", "II": "2", "III": "3", "IV": "4", "V": "5"}
)

// article writes out a place in an instrument.
func (f frame) article(a string) string {
	if m := articlePlain.FindStringSubmatch(a); m != nil {
		return f.T("clauses.article", "n", m[1], "item", m[2])
	}
	if m := articlePara.FindStringSubmatch(a); m != nil {
		return f.T("clauses.article_para", "article", m[1], "para", m[2])
	}
	if m := articleQuestion.FindStringSubmatch(a); m != nil {
		if m[2] == "" {
			return f.T("clauses.question_no", "q", m[1])
		}
		return f.T("clauses.question_on", "q", m[1], "article", m[2])
	}
	if m := articlePart.FindStringSubmatch(a); m != nil {
		return f.T("clauses.part", "part", romanToFigure[m[1]], "item", m[2])
	}
	if m := articleAnnex.FindStringSubmatch(a); m != nil {
		return f.T("clauses.annex", "part", romanToFigure[m[1]])
	}
	return f.known("clauses.place.", strings.Map(func(r rune) rune {
		if r == ' ' {
			return '_'
		}
		if r == ',' {
			return -1
		}
		return r
	}, a))
}

// briefs are clauses with where we stand on them.
func (c *Console) briefs(ctx context.Context, f frame, ids []garrison.DutyID) []clauseBrief {
	snap, err := c.deps.Duties.Snapshot(ctx)
	if err != nil {
		c.deps.Log.WarnContext(ctx, "standings could not be read", "error", err)
	}
	var out []clauseBrief
	for _, id := range ids {
		d, err := c.deps.Duties.Duty(ctx, id)
		if err != nil {
			continue // a measure may name a clause that a later catalogue dropped
		}
		a, _ := snap.Of(id)
		out = append(out, clauseBrief{Duty: d, Name: f.clauseName(d), Standing: a.Standing})
	}
	return out
}

// clausePage is one clause: do we meet it, for whom, why, what is missing.
type clausePage struct {
	frame
	Duty       garrison.Duty
	Rule       garrison.Rule
	Name       string
	Assessment garrison.Assessment
	Since      time.Time // of the present standing; zero: not known
	Facts      []factRow
	Binds      []string
	Discharge  string
	Capability string
	Alike      []clauseGroup
	History    []duties.Change
	Plot       plot
	Before     garrison.DutyID
	After      garrison.DutyID
	Proof      *proofPath
	MayExport  bool
}

// factRow is one input of the standing, in words.
type factRow struct {
	garrison.Fact
	Label string
	Shown string
}

// clauseGroup are clauses of other instruments that say the same.
type clauseGroup struct {
	Title string
	List  []clauseBrief
}

func (c *Console) oneClause(p *page) error {
	d, err := c.deps.Duties.Duty(p.ctx(), garrison.DutyID(p.r.PathValue("id")))
	if err != nil {
		return err
	}
	// Where we stand is computed for this very look: acting on a gap shows at once.
	snap, err := c.deps.Duties.Refresh(p.ctx())
	if err != nil {
		return err
	}
	cat := c.deps.Duties.Catalogue()
	v := clausePage{frame: c.frame(p, "clauses", ""), Duty: d}
	v.Rule, _ = cat.Rule(d.Rule)
	v.Name = v.clauseName(d)
	v.Title, v.Question = v.Name, p.T("clauses.one_question")
	v.Group = "" // the page is called what its group is called
	v.Crumbs = append(v.Crumbs, crumb{v.ruleShort(v.Rule), "/clauses?rule=" + d.Rule}, crumb{Name: v.article(d.Article)})
	v.Assessment, _ = snap.Of(d.ID)
	v.Facts = v.factRows(cat.Binds)
	v.terms(cat)
	v.Alike = c.alike(p.ctx(), v.frame, cat, d.ID)
	v.neighbours(cat)
	if v.History, err = c.deps.Duties.History(p.ctx(), d.ID, v.Now.Add(-plotSpan)); err != nil {
		return err
	}
	if n := len(v.History); n > 0 && v.History[n-1].Standing == v.Assessment.Standing {
		v.Since = v.History[n-1].At
		for i := n - 2; i >= 0 && v.History[i].Standing == v.Assessment.Standing; i-- {
			v.Since = v.History[i].At
		}
	}
	v.Plot = standingPlot(v.frame, v.History, v.Now)
	v.MayExport = p.who.May(identity.PermExport)
	if err := c.openProof(p, &v); err != nil {
		return err
	}
	return c.render(p, http.StatusOK, clauseView(v))
}

// factRows puts the facts of a clause into words, what decides first.
func (v clausePage) factRows(terms []duties.Term) []factRow {
	out := make([]factRow, 0, len(v.Assessment.Facts))
	for _, x := range v.Assessment.Facts {
		out = append(out, factRow{Fact: x, Label: v.known("duties.fact.", x.Name), Shown: v.factValue(x, terms)})
	}
	return out
}

// factValue writes a fact's value for people; the raw value is what a verifier reads.
func (f frame) factValue(x garrison.Fact, terms []duties.Term) string {
	switch {
	case x.Value == "true" || x.Value == "false":
		return f.yesNo(x.Value)
	case x.Value == "-1":
		return f.T("word.unknown")
	case x.Value == "":
		return f.T("clauses.not_said")
	case x.Name == "profile" || x.Name == "binds":
		var names []string
		for b := range strings.SplitSeq(x.Value, ",") {
			names = append(names, f.term(terms, b))
		}
		return strings.Join(names, f.T("work.and"))
	case strings.HasSuffix(x.Name, "_seconds") || strings.HasSuffix(x.Name, "_seconds_24h"):
		if d, err := time.ParseDuration(x.Value + "s"); err == nil {
			return f.Span(d)
		}
	}
	return x.Value
}

func (v *clausePage) terms(cat *duties.Catalogue) {
	for _, b := range v.Duty.Binds {
		v.Binds = append(v.Binds, v.term(cat.Binds, b))
	}
	v.Discharge, v.Capability = v.term(cat.Discharges, v.Duty.Discharge), v.term(cat.Capabilities, v.Duty.Capability)
}

// term is a word of the catalogue's own vocabularies; one it does not have is shown
// as it is.
func (f frame) term(list []duties.Term, id string) string {
	for _, t := range list {
		if t.ID == id {
			return f.In(t.Text)
		}
	}
	return id
}

func (c *Console) alike(ctx context.Context, f frame, cat *duties.Catalogue, id garrison.DutyID) []clauseGroup {
	var out []clauseGroup
	for _, g := range cat.Groups {
		if !slices.Contains(g.Duties, id) {
			continue
		}
		others := slices.DeleteFunc(slices.Clone(g.Duties), func(x garrison.DutyID) bool { return x == id })
		out = append(out, clauseGroup{Title: f.In(g.Title), List: c.briefs(ctx, f, others)})
	}
	return out
}

// neighbours are the clauses before and after in the instrument's own order.
func (v *clausePage) neighbours(cat *duties.Catalogue) {
	at := slices.IndexFunc(cat.Duties, func(d garrison.Duty) bool { return d.ID == v.Duty.ID })
	if at > 0 {
		v.Before = cat.Duties[at-1].ID
	}
	if at >= 0 && at+1 < len(cat.Duties) {
		v.After = cat.Duties[at+1].ID
	}
}

// counted says how a clause enters the wall's numbers.
func (v clausePage) counted() bool { return !duties.ContextOnly(v.Duty) }

// proofAt is this page with one ledger entry's proof open.
func (v clausePage) proofAt(r garrison.EvidenceRef) string {
	return string(clauseURL(v.Duty.ID)) + "?proof=" + v.index(r.Index) + "#proof"
}

// clauseBundle makes the bundle of a clause as it stands now and hands it out.
func (c *Console) clauseBundle(p *page) error {
	d, err := c.deps.Duties.Duty(p.ctx(), garrison.DutyID(p.r.PathValue("id")))
	if err != nil {
		return err
	}
	if _, err := c.deps.Duties.Refresh(p.ctx()); err != nil {
		return err
	}
	var buf bytes.Buffer
	if err := c.deps.Duties.Export(p.ctx(), d.ID, &buf); err != nil {
		return err
	}
	p.w.Header().Set("Content-Type", "application/octet-stream")
	p.w.Header().Set("Content-Disposition", `attachment; filename="`+string(d.ID)+`.bundle"`)
	if _, err := p.w.Write(buf.Bytes()); err != nil {
		c.deps.Log.Debug("bundle not delivered", "clause", d.ID, "error", err)
	}
	return nil
}
