package console

import (
	"net/netip"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"

	"garrison"
	"garrison/internal/records"
	"garrison/internal/registry"
)

// sourcesData is the sources page: every sender, what came of it, every gap.
type sourcesData struct {
	frame
	Sources   []sourceRow
	Gaps      []garrison.Gap
	Listeners []listener
	Forecast  records.Forecast
	Own       bool
	Problem   string
}

type listener struct{ Name, Address string }

type sourceRow struct {
	garrison.SourceStatus
	Unheard bool // registered, never sent
	Href    templ.SafeURL
	Day     watch
}

func (c *Console) sourcesPage(p *page) error {
	d := sourcesData{frame: c.frame(p, "sources", ""), Own: p.r.URL.Query().Get("own") != ""}
	d.Question = p.T("sources.question")
	var err error
	if d.Sources, d.Gaps, err = c.sourceRows(p, d.Own); err != nil {
		return err
	}
	sort.SliceStable(d.Gaps, func(i, j int) bool { return d.Gaps[i].From.After(d.Gaps[j].From) })
	if d.Forecast, err = c.deps.Records.Forecast(p.ctx()); err != nil {
		return err
	}
	if h := c.deps.Records.Health(); !h.Accepting {
		d.Problem = p.T("sources.stopped") + " " + p.T(h.Why.Key)
	}
	if c.deps.Listeners != nil {
		for n, a := range c.deps.Listeners() {
			d.Listeners = append(d.Listeners, listener{n, a})
		}
		sort.Slice(d.Listeners, func(i, j int) bool { return d.Listeners[i].Name < d.Listeners[j].Name })
	}
	return c.render(p, 200, sourcesTempl(d))
}

// sourceRows lists the senders with their last day, and all that is missing of it.
func (c *Console) sourceRows(p *page, own bool) ([]sourceRow, []garrison.Gap, error) {
	list, err := c.deps.Records.Sources(p.ctx())
	if err != nil {
		return nil, nil, err
	}
	now := c.deps.Now()
	from := now.Add(-watchSpan)
	cov, err := c.deps.Records.Coverage(p.ctx(), garrison.Period{From: from, Until: now})
	if err != nil {
		return nil, nil, err
	}
	var out []sourceRow
	seen := map[string]bool{}
	for _, s := range list {
		seen[string(s.ID)] = true
		if !s.Own || own {
			out = append(out, sourceRow{SourceStatus: s, Href: sourceURL(string(s.ID)), Day: watchOf(cov.Gaps, string(s.ID), s.First, from, now)})
		}
	}
	registered, _, err := c.deps.Registry.List(p.ctx(), registry.Filter{Kind: garrison.Sender, Limit: 1000})
	if err != nil {
		return nil, nil, err
	}
	for _, r := range registered {
		a, err := netip.ParseAddr(r.Attributes["address"])
		if err != nil || seen["syslog:"+a.Unmap().String()] {
			continue
		}
		out = append(out, sourceRow{SourceStatus: garrison.SourceStatus{ID: garrison.SourceID(r.ID), Name: r.Name, Silent: true}, Unheard: true, Day: watch{Known: true, From: from, Until: now, Gaps: []watchGap{{From: from, Until: now, Kind: "before"}}},
			Href: templ.SafeURL("/register/" + url.PathEscape(string(r.ID)))})
	}
	return out, cov.Gaps, nil
}

// sourceData is one sender: its hours, its minutes and the lines that could not be parsed.
type sourceData struct {
	frame
	Source  garrison.SourceStatus
	Href    templ.SafeURL
	Samples []garrison.RefusedLine
	Gaps    []garrison.Gap // its own, and those of the whole installation
	Hour    time.Time      // whose minutes are shown
}

func (c *Console) sourcePage(p *page) error {
	id := p.r.PathValue("id")
	list, err := c.deps.Records.Sources(p.ctx())
	if err != nil {
		return err
	}
	for _, s := range list {
		if string(s.ID) != id {
			continue
		}
		d := sourceData{frame: c.frame(p, "sources", s.Name), Source: s, Href: sourceURL(id)}
		d.Question = p.T("source.question")
		d.Hour = chosenHour(p.r.URL.Query().Get("hour"), d.Now)
		cov, err := c.deps.Records.Coverage(p.ctx(), garrison.Period{From: d.Now.Add(-watchSpan), Until: d.Now})
		if err != nil {
			return err
		}
		d.Gaps = slices.DeleteFunc(cov.Gaps, func(g garrison.Gap) bool { return g.Source != "" && g.Source != id })
		if d.Samples, err = c.deps.Records.Samples(p.ctx(), id); err != nil {
			return err
		}
		return c.render(p, 200, sourceTempl(d))
	}
	return garrison.Refuse(garrison.NotFound, "error.sources.none", "id", id)
}

// chosenHour is the hour of the last day whose minutes are asked for; else the running one.
func chosenHour(asked string, now time.Time) time.Time {
	at, err := time.ParseInLocation("2006-01-02T15", asked, zone)
	if err != nil || at.After(now) || at.Before(now.Add(-25*time.Hour)) {
		at = now
	}
	return at.UTC().Truncate(time.Hour)
}

func sourceURL(id string) templ.SafeURL { return templ.SafeURL("/sources/" + url.PathEscape(id)) }

// cause is why nobody watched or nothing came.
func (f frame) cause(c string) string {
	switch c {
	case "stopped":
		return f.T("gap.stopped")
	case "crashed":
		return f.T("gap.crashed")
	case "silent":
		return f.T("gap.silent")
	case "lost":
		return f.T("gap.lost")
	case "not_installed":
		return f.T("gap.not_installed")
	case "not_watched":
		return f.T("gap.not_watched")
	case "maintenance":
		return f.T("gap.maintenance")
	case "stalled":
		return f.T("gap.stalled")
	case "refused":
		return f.T("gap.refused")
	case "disk_full":
		return f.T("gap.disk_full")
	case "damaged":
		return f.T("gap.damaged")
	case "expired":
		return f.T("gap.expired")
	case "not_yet":
		return f.T("gap.not_yet")
	}
	return c
}

func (f frame) sourceKind(k string) string {
	switch k {
	case "syslog_udp", "syslog_tcp", "syslog":
		return f.T("source.kind_syslog")
	case "import":
		return f.T("source.kind_import")
	case "https":
		return f.T("source.kind_https")
	case "own":
		return f.T("source.kind_own")
	}
	return f.T("source.kind_registered")
}

func (f frame) rate(v float64) string {
	switch {
	case v <= 0:
		return "—"
	case v < 10:
		return f.T("source.rate", "v", strconv.FormatFloat(v, 'f', 1, 64))
	}
	return f.T("source.rate", "v", f.Num(int64(v+0.5)))
}

func seconds(d time.Duration) string {
	s := strconv.FormatFloat(d.Seconds(), 'f', 1, 64)
	if !strings.HasPrefix(s, "-") {
		s = "+" + s
	}
	return strings.Replace(s, "-", "−", 1)
}

// newestGaps are the last n gaps, newest first.
func newestGaps(g []garrison.Gap, n int) []garrison.Gap {
	out := slices.Clone(g)
	slices.SortStableFunc(out, func(a, b garrison.Gap) int { return b.From.Compare(a.From) })
	return out[:min(n, len(out))]
}

func firstGaps(g []garrison.Gap, n int) []garrison.Gap { return g[:min(n, len(g))] }

// whyMark says whether a reason speaks for a candidate or leaves a doubt.
// whyMark is whether a reason speaks for a candidate, against it, or leaves it in doubt.
func whyMark(r garrison.Reason) string {
	switch r.Key {
	case "trace.why.inside_time", "trace.why.closed_by", "trace.why.block", "trace.why.merged":
		return "for"
	case "trace.why.within_skew":
		return "con" // it misses the moment, though by less than the clocks may differ
	}
	return "unk"
}

func millis(d time.Duration) string {
	return strconv.FormatFloat(float64(d.Microseconds())/1000, 'f', 1, 64)
}
func upper(s string) string { return strings.ToUpper(s) }
