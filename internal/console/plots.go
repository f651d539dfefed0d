package console

import (
	"fmt"
	"net/url"
	"slices"
	"time"

	"garrison"
)

// drawn is a drawing made on the server: shapes with classes and a few words. It always
// stands beside a sentence and a table that say the same.
type drawn struct {
	W, H   float64
	Bars   []bar
	Labels []label
	Links  []hit
	Name   string // what the drawing says, for who cannot see it
}

// hit is a part of a plot that leads somewhere.
type hit struct{ X, Y, W, H, Href, Title string }

// label is a word in a plot.
type label struct {
	X, Y          float64
	Anchor, Class string
	Text          string
}

func (p drawn) box() string { return fmt.Sprintf("0 0 %.0f %.1f", p.W, p.H) }

// role is a picture's, or a group's where parts of it are links.
func (p drawn) role() string {
	if len(p.Links) > 0 {
		return "group"
	}
	return "img"
}

func (p *drawn) rect(class string, x, y, w, h float64) {
	if w > 0 && h > 0 {
		p.Bars = append(p.Bars, bar{Class: class, X: px(x), Y: px(y), W: px(w), H: px(h)})
	}
}

func (p *drawn) path(class, d string) { p.Bars = append(p.Bars, bar{Class: class, Path: d}) }

func (p *drawn) say(x, y float64, anchor, class, text string) {
	p.Labels = append(p.Labels, label{x, y, anchor, class, text})
}

// watchOf is the watch line of one source: our own gaps cut it, its silences are
// dashed, and before its first line there is no wall.
func watchOf(gaps []garrison.Gap, source string, first, from, until time.Time) watch {
	own := watch{From: from, Until: until}
	mine := slices.DeleteFunc(slices.Clone(gaps), func(g garrison.Gap) bool { return g.Source != "" && g.Source != source })
	own.take(mine)
	if first.IsZero() || first.After(until) {
		first = until
	}
	if first.After(from) {
		own.Gaps = append([]watchGap{{From: from, Until: first, Kind: "before"}}, own.Gaps...)
	}
	own.Known = true
	slices.SortStableFunc(own.Gaps, func(a, b watchGap) int { return a.From.Compare(b.From) })
	return own
}

const (
	dayPlotWidth = 1148.0
	axisLeft     = 44.0
	axisTop      = 18.0
	axisHeight   = 74.0
)

// sum is what came of a source in a stretch.
type sum struct{ Stored, Refused, Lost int64 }

// add counts a minute. A loss of unknown size stays unknown.
func (s *sum) add(m garrison.MinuteTally) {
	s.Stored, s.Refused = s.Stored+m.Stored, s.Refused+m.Refused
	switch {
	case m.Lost < 0 || s.Lost < 0:
		s.Lost = -1
	default:
		s.Lost += m.Lost
	}
}

func (s sum) total() int64 { return s.Stored + s.Refused + max(0, s.Lost) }

// column is one bar of a source's plot, with where it leads.
type column struct {
	From, Until time.Time
	sum
	Href string
	On   bool
}

// hours are the last 24 hours of a source, the running one last.
func (d sourceData) hours() []column {
	last := d.Now.Truncate(time.Hour)
	var out []column
	for i := 23; i >= 0; i-- {
		from := last.Add(-time.Duration(i) * time.Hour)
		c := column{From: from, Until: from.Add(time.Hour), On: from.Equal(d.Hour),
			Href: string(d.Href) + "?" + url.Values{"hour": {from.In(zone).Format("2006-01-02T15")}}.Encode()}
		for _, m := range d.Source.Minutes {
			if at := time.Unix(m.Minute*60, 0); !at.Before(c.From) && at.Before(c.Until) {
				c.add(m)
			}
		}
		out = append(out, c)
	}
	return out
}

// minutes are the sixty minutes of the chosen hour.
func (d sourceData) minutes() []column {
	out := make([]column, 60)
	for i := range out {
		out[i].From = d.Hour.Add(time.Duration(i) * time.Minute)
		out[i].Until = out[i].From.Add(time.Minute)
	}
	for _, m := range d.Source.Minutes {
		if i := int(time.Unix(m.Minute*60, 0).Sub(d.Hour) / time.Minute); i >= 0 && i < len(out) && m.Minute*60 >= d.Hour.Unix() {
			out[i].add(m)
		}
	}
	return out
}

// busiest is the highest bar; at least one, so that nothing divides by zero.
func busiest(cols []column) int64 {
	most := int64(1)
	for _, c := range cols {
		most = max(most, c.total())
	}
	return most
}

// draw lays the columns out: what was stored, on top what was refused or lost; dashed
// where the source fell silent; outlined where it was not heard yet or time has not come.
func (d sourceData) draw(cols []column, name string, tick func(i int, c column) string) drawn {
	p := drawn{W: dayPlotWidth, H: axisTop + axisHeight + 26, Name: name}
	most := busiest(cols)
	step := (dayPlotWidth - axisLeft) / float64(len(cols))
	floor := axisTop + axisHeight
	p.path("pl-tick", fmt.Sprintf("M%.1f %.1fH%.1f", axisLeft, axisTop, dayPlotWidth))
	p.say(axisLeft-6, axisTop+4, "end", "", d.Num(most))
	p.say(axisLeft-6, floor, "end", "", "0")
	for i, c := range cols {
		x := axisLeft + float64(i)*step
		high := func(n int64) float64 { return float64(n) / float64(most) * axisHeight }
		w := step - max(1, step/12)
		switch {
		case c.Until.Before(d.Source.First) || c.From.After(d.Now):
			p.rect("cv-none", x+.5, floor-7, w-1, 6.5)
		case c.total() == 0 && c.Lost >= 0 && d.quiet(c):
			p.rect("cv-silent", x+.5, axisTop+axisHeight/2, w-1, axisHeight/2-.5)
		}
		p.rect("cv-bar", x, floor-high(c.Stored), w, high(c.Stored))
		bad := c.Refused + max(0, c.Lost)
		if bad > 0 {
			h := max(2, high(bad)) // one lost line is seen as well
			p.rect("cv-lost", x, floor-high(c.Stored)-h, w, h)
		}
		if c.Lost < 0 {
			p.rect("cv-lost", x, axisTop-4, w, 2)
		}
		if c.On {
			p.rect("cv-sel", x-1, axisTop-6, w+2, axisHeight+7)
		}
		if c.Href != "" {
			p.Links = append(p.Links, hit{px(x), px(axisTop - 6), px(step), px(axisHeight + 6), c.Href + "#minutes",
				d.Clock(c.From) + " · " + d.T("sources.stored") + " " + d.Num(c.Stored) + " · " + d.T("sources.refused") + " " + d.Num(c.Refused) + " · " + d.T("sources.lost") + " " + d.Count(c.Lost)})
		}
		if t := tick(i, c); t != "" {
			p.say(x, floor+15, "start", "", t)
		}
	}
	p.path("cv-rule", fmt.Sprintf("M%.1f %.1fH%.1f", axisLeft, floor, dayPlotWidth))
	from, until := cols[0].From, cols[len(cols)-1].Until
	for _, g := range d.Gaps {
		if (g.Cause == "stopped" || g.Cause == "crashed") && g.Until.After(from) && g.Until.Before(until) {
			x := axisLeft + float64(g.Until.Sub(from))/float64(until.Sub(from))*(dayPlotWidth-axisLeft)
			p.path("cv-restart", fmt.Sprintf("M%.1f %.1fl5 8h-10z", x, floor+1))
		}
	}
	return p
}

// quiet says whether a silence of the source covers a column.
func (d sourceData) quiet(c column) bool {
	return slices.ContainsFunc(d.Gaps, func(g garrison.Gap) bool {
		return g.Cause == "silent" && g.From.Before(c.Until) && (g.Until.IsZero() || g.Until.After(c.From))
	})
}

func (d sourceData) dayPlot() drawn {
	return d.draw(d.hours(), d.T("source.day_label", "n", d.Num(busiest(d.hours()))), func(i int, c column) string {
		if h := c.From.In(zone).Hour(); h%3 == 0 {
			return c.From.In(zone).Format("15:04")
		}
		return ""
	})
}

func (d sourceData) hourPlot() drawn {
	return d.draw(d.minutes(), d.T("source.minutes_label", "n", d.Num(busiest(d.minutes()))), func(i int, c column) string {
		if i%10 == 0 {
			return c.From.In(zone).Format("15:04")
		}
		return ""
	})
}

// tracePlot shows who held the address and port around the moment asked for, and
// whether somebody watched.
func (d traceData) plot() drawn {
	const left, right, lane = 96.0, 760.0, 28.0
	n := min(len(d.Candidates), 8)
	p := drawn{W: 790, H: 44 + lane*float64(n+1), Name: d.T("trace.plot_label")}
	half := max(40*time.Second, 4*d.asked.Skew)
	from, until := d.asked.At.Add(-half), d.asked.At.Add(half)
	x := func(t time.Time) float64 {
		return left + max(0, min(1, float64(t.Sub(from))/float64(until.Sub(from))))*(right-left)
	}
	low := 24 + lane*float64(n+1)
	for i := range 9 {
		at := from.Add(until.Sub(from) / 8 * time.Duration(i))
		p.path("pl-tick", fmt.Sprintf("M%.1f 22V%.1f", x(at), low))
		if i%2 == 0 {
			p.say(x(at), 14, "middle", "", at.In(zone).Format("15:04:05"))
		}
	}
	p.rect("pl-asked", x(d.asked.At.Add(-d.asked.Skew)), 22, max(1, x(d.asked.At.Add(d.asked.Skew))-x(d.asked.At.Add(-d.asked.Skew))), low-22)
	for i, k := range d.Candidates[:n] {
		y := 30 + lane*float64(i)
		end := until
		if !k.End.IsZero() {
			end = k.End
		}
		start := k.Start
		if start.IsZero() {
			start = from
		}
		p.say(0, y+14, "start", "tx2", d.T("trace.candidate", "n", i+1))
		a := x(start)
		p.rect([]string{"pl-a", "pl-b"}[min(i, 1)], a, y, max(3, x(end)-a), 20)
		if text := address(k.InsideIP, port(k.InsidePort, k.InsidePort)); x(end)-a > 160 {
			p.say(a+6, y+14, "start", "tx-inv tx-mono", text)
		} else if a < right-200 {
			p.say(max(a+3, x(end))+6, y+14, "start", "tx2 tx-mono", text)
		} else {
			p.say(a-6, y+14, "end", "tx2 tx-mono", text)
		}
	}
	d.plotWatch(&p, 30+lane*float64(n), x, from, until)
	p.path("pl-now", fmt.Sprintf("M%.1f 20V%.1f", x(d.asked.At), low))
	p.path("cv-rule", fmt.Sprintf("M%.1f %.1fH%.1f", left, low, right))
	p.say(x(d.asked.At), low+15, "middle", "tx-b", d.T("trace.plot_asked", "skew", d.Skew))
	return p
}

// plotWatch is the lowest lane: a wall where somebody watched.
func (d traceData) plotWatch(p *drawn, y float64, x func(time.Time) float64, from, until time.Time) {
	p.say(0, y+14, "start", "tx2", d.T("trace.plot_watch"))
	w := d.Answer.Coverage.Window
	if w.From.After(from) {
		from = w.From
	}
	if w.Until.Before(until) {
		until = w.Until
	}
	p.rect("cv-wall", x(from), y+6, x(until)-x(from), 14)
	for _, g := range d.Answer.Coverage.Gaps {
		end := g.Until
		if end.IsZero() || end.After(until) {
			end = until
		}
		if end.Before(from) || g.From.After(until) {
			continue
		}
		class := "cv-lost"
		if g.Cause == "silent" || g.Cause == "not_installed" || g.Cause == "not_yet" {
			class = "cv-silent"
		}
		a := x(g.From)
		p.rect(class, a, y+4, max(2, x(end)-a), 18)
	}
}
