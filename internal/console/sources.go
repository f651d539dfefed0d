package console

import (
	"net/netip"
	"net/url"
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
}

func (c *Console) sourcesPage(p *page) error {
	d := sourcesData{frame: c.frame(p, "sources", ""), Own: p.r.URL.Query().Get("own") != ""}
	d.Question = p.T("sources.question")
	var err error
	if d.Sources, err = c.sourceRows(p, d.Own); err != nil {
		return err
	}
	now := c.deps.Now()
	cov, err := c.deps.Records.Coverage(p.ctx(), garrison.Period{From: now.Add(-watchSpan), Until: now})
	if err != nil {
		return err
	}
	d.Gaps = cov.Gaps
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

func (c *Console) sourceRows(p *page, own bool) ([]sourceRow, error) {
	list, err := c.deps.Records.Sources(p.ctx())
	if err != nil {
		return nil, err
	}
	var out []sourceRow
	seen := map[string]bool{}
	for _, s := range list {
		seen[string(s.ID)] = true
		if !s.Own || own {
			out = append(out, sourceRow{SourceStatus: s, Href: sourceURL(string(s.ID))})
		}
	}
	registered, _, err := c.deps.Registry.List(p.ctx(), registry.Filter{Kind: garrison.Sender, Limit: 1000})
	if err != nil {
		return nil, err
	}
	for _, r := range registered {
		a, err := netip.ParseAddr(r.Attributes["address"])
		if err != nil || seen["syslog:"+a.Unmap().String()] {
			continue
		}
		out = append(out, sourceRow{SourceStatus: garrison.SourceStatus{ID: garrison.SourceID(r.ID), Name: r.Name, Silent: true}, Unheard: true,
			Href: templ.SafeURL("/register/" + url.PathEscape(string(r.ID)))})
	}
	return out, nil
}

// sourceData is one sender: its minutes and the lines that could not be parsed.
type sourceData struct {
	frame
	Source  garrison.SourceStatus
	Samples []garrison.RefusedLine
	Busiest int64
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
		d := sourceData{frame: c.frame(p, "sources", s.Name), Source: s}
		d.Question = p.T("source.question")
		for _, m := range s.Minutes {
			d.Busiest = max(d.Busiest, m.Stored+m.Refused)
		}
		if d.Samples, err = c.deps.Records.Samples(p.ctx(), id); err != nil {
			return err
		}
		return c.render(p, 200, sourceTempl(d))
	}
	return garrison.Refuse(garrison.NotFound, "error.sources.none", "id", id)
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

// minuteBars are the last minutes of a source, as bars of a plot 720 by 96.
func (d sourceData) minuteBars() []bar {
	n := len(d.Source.Minutes)
	if n == 0 || d.Busiest == 0 {
		return nil
	}
	const width, height, most = 720.0, 96.0, 120
	list := d.Source.Minutes[max(0, n-most):]
	first, last := list[0].Minute, d.Now.Unix()/60
	span := max(1, last-first+1)
	step := width / float64(span)
	var out []bar
	for _, m := range list {
		x := float64(m.Minute-first) * step
		h := float64(m.Stored+m.Refused) / float64(d.Busiest) * (height - 8)
		out = append(out, bar{Class: "cv-bar", X: px(x), Y: px(height - h), W: px(max(1, step-1)), H: px(h)})
		if m.Lost != 0 {
			out = append(out, bar{Class: "cv-lost", X: px(x), Y: "0", W: px(max(1, step-1)), H: "4"})
		}
	}
	return out
}

func firstGaps(g []garrison.Gap, n int) []garrison.Gap { return g[:min(n, len(g))] }

// whyMark says whether a reason speaks for a candidate or leaves a doubt.
func whyMark(r garrison.Reason) string {
	switch r.Key {
	case "trace.why.inside_time", "trace.why.closed_by", "trace.why.block", "trace.why.merged":
		return "for"
	}
	return "unk"
}

func millis(d time.Duration) string {
	return strconv.FormatFloat(float64(d.Microseconds())/1000, 'f', 1, 64)
}
func upper(s string) string { return strings.ToUpper(s) }
