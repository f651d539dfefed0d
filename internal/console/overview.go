package console

import (
	"time"

	"garrison"
	"garrison/internal/cases"
	"garrison/internal/duties"
	"garrison/internal/records"
)

// overviewData answers: what waits for me, were we watching, do we stand?
type overviewData struct {
	frame
	Needs    []need
	Cases    []caseLine
	Open     int
	Late     int
	Counts   duties.Counts
	Wall     []wallRow
	Sources  []sourceRow
	Forecast records.Forecast
	Unread   []string // parts that could not be read, by name
	NoWho    bool
}

// need is one thing that waits for a person.
type need struct {
	When, What, Why, Href, Do string
	Icon                      string
	Late                      bool
}

type caseLine struct {
	cases.Case
	Title, Stage, Due, Owner string
	Late                     bool
}

func (c *Console) overviewPage(p *page) error {
	d := overviewData{frame: c.frame(p, "overview", "")}
	d.Question = p.T("overview.question")
	// A part that cannot be read is named; the rest of the page still says what it can.
	tell := func(part string, err error) {
		if err != nil {
			d.Unread = append(d.Unread, part)
			c.deps.Log.Error("overview", "part", part, "error", err)
		}
	}
	tell(p.T("page.clauses"), c.overviewClauses(p, &d))
	tell(p.T("page.cases"), c.overviewCases(p, &d))
	var err error
	d.Sources, _, err = c.sourceRows(p, false)
	tell(p.T("page.sources"), err)
	d.Forecast, err = c.deps.Records.Forecast(p.ctx())
	tell(p.T("page.sources"), err)
	c.overviewNeeds(p, &d)
	return c.render(p, 200, overviewTempl(d))
}

func (c *Console) overviewClauses(p *page, d *overviewData) error {
	snap, err := c.deps.Duties.Snapshot(p.ctx())
	if err != nil {
		return err
	}
	d.Counts, d.NoWho = snap.Counts(""), !snap.Profile.Set
	cat := c.deps.Duties.Catalogue()
	rows := map[string]*wallRow{}
	var order []string
	for _, x := range cat.Duties {
		a, ok := snap.Of(x.ID)
		if !ok {
			continue
		}
		id := x.Rule
		if r, _ := cat.Rule(id); !r.Founding {
			id = "" // the others share the last row
		}
		if rows[id] == nil {
			rule, _ := cat.Rule(id)
			rows[id] = &wallRow{Rule: rule, Name: d.T("overview.other_rules")}
			if id != "" {
				rows[id].Name = d.ruleShort(rule)
				order = append(order, id)
			}
		}
		rows[id].lay(brick{Duty: x.ID, Standing: a.Standing, Title: string(x.ID) + " · " + d.standingName(a.Standing) + " · " + d.In(x.Summary)})
	}
	if rows[""] != nil {
		order = append(order, "")
	}
	for _, id := range order {
		d.Wall = append(d.Wall, *rows[id])
	}
	return nil
}

func (c *Console) overviewCases(p *page, d *overviewData) error {
	list, _, err := c.deps.Cases.List(p.ctx(), cases.Filter{
		States: []garrison.State{garrison.StateOpen, garrison.StateAssigned, garrison.StateClaimed}, Order: cases.OrderDue, Limit: 8})
	if err != nil {
		return err
	}
	n, err := c.deps.Cases.Counts(p.ctx(), garrison.AccountID(p.who.Actor.ID))
	if err != nil {
		return err
	}
	d.Open, d.Late = n.Open, n.Late
	names := map[garrison.AccountID]string{}
	if accounts, err := c.deps.Identity.Accounts(p.ctx()); err == nil {
		for _, a := range accounts {
			names[a.ID] = a.Name
		}
	}
	for _, x := range list {
		row := caseLine{Case: x, Title: c.caseTitle(d.frame, x), Stage: d.stateName(x.State), Late: x.Late(d.Now), Owner: names[x.Owner]}
		if row.Owner == "" {
			row.Owner = "—"
		}
		row.Due = d.due(x.Due, row.Late)
		d.Cases = append(d.Cases, row)
	}
	return nil
}

// due writes how long is left, or by how much it is late.
func (f frame) due(at time.Time, late bool) string {
	if at.IsZero() {
		return "—"
	}
	if late {
		return f.T("due.late", "span", f.Span(f.Now.Sub(at)))
	}
	return f.T("due.left", "span", f.Span(at.Sub(f.Now)))
}

// overviewNeeds lists what waits for a person, what is due first at the top.
func (c *Console) overviewNeeds(p *page, d *overviewData) {
	if d.NoWho {
		d.Needs = append(d.Needs, need{Icon: "register", When: p.T("word.now"), What: p.T("need.who"), Why: p.T("need.who_why"), Href: "/who", Do: p.T("need.who_do")})
	}
	if h := c.deps.Records.Health(); !h.Accepting {
		d.Needs = append(d.Needs, need{Icon: "sources", Late: true, When: p.T("word.now"), What: p.T("need.stopped"), Why: p.T(h.Why.Key), Href: "/sources", Do: p.T("need.sources_do")})
	}
	for _, x := range d.Cases {
		mine := string(x.Case.Owner) == p.who.Actor.ID
		if x.Late || mine || x.State == garrison.StateOpen {
			why := p.T("need.case_take")
			if mine {
				why = p.T("need.case_mine")
			}
			d.Needs = append(d.Needs, need{Icon: "cases", Late: x.Late, When: x.Due, What: x.Title, Why: x.Number + " · " + why, Href: "/cases/" + x.Number, Do: p.T("need.case_do")})
		}
	}
	for _, s := range d.Sources {
		switch {
		case s.Unheard:
			d.Needs = append(d.Needs, need{Icon: "sources", When: "—", What: p.T("need.unheard", "name", s.Name), Why: p.T("need.unheard_why"), Href: string(s.Href), Do: p.T("need.sources_do")})
		case s.Silent && s.Kind != "import":
			d.Needs = append(d.Needs, need{Icon: "sources", When: d.Span(d.Now.Sub(s.Last)), What: p.T("need.silent", "name", s.Name, "span", d.Span(d.Now.Sub(s.Last))), Why: p.T("need.silent_why"), Href: string(s.Href), Do: p.T("need.sources_do")})
		}
	}
	if ownerless, err := c.deps.Registry.Ownerless(p.ctx()); err == nil && len(ownerless) > 0 {
		d.Needs = append(d.Needs, need{Icon: "register", When: "—", What: p.T("need.ownerless", "n", len(ownerless)), Why: p.T("need.ownerless_why"), Href: "/register?ownerless=1", Do: p.T("need.ownerless_do")})
	}
	const most = 6
	d.Needs = d.Needs[:min(most, len(d.Needs))]
}
