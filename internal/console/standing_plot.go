package console

import (
	"fmt"
	"strings"
	"time"

	"garrison"
	"garrison/internal/duties"
)

// plotSpan is the longest stretch the plot of a standing looks back over.
const plotSpan = 365 * 24 * time.Hour

// plot is a standing over time: four lanes, one step a change. What was not known is
// Unproven, hatched, never blank.
type plot struct {
	Span     time.Duration
	Ticks    []plotTick
	Bars     []plotBar
	Joins    []string // dashed lines from lane to lane
	Hatches  []string
	Sentence string
	Rows     []plotStretch
}

type plotTick struct{ Path, X, Label string }

type plotBar struct{ Class, X, Y, W, Title string }

// plotStretch is one line of the plot's table, newest first.
type plotStretch struct {
	From, Until time.Time // zero Until: now
	Standing    garrison.Standing
	Why         string
	Evidence    garrison.EvidenceRef
	Known       bool // false: before anything was recorded
}

const (
	plotLeft, plotRight = 4.0, 756.0
	barHeight           = 10.0
)

// lane is where a standing is drawn, from the top.
func lane(s garrison.Standing) float64 {
	switch s {
	case garrison.Met:
		return 14
	case garrison.Unproven:
		return 32
	case garrison.Unmet:
		return 50
	}
	return 68
}

func laneClass(s garrison.Standing) string {
	switch s {
	case garrison.Met:
		return "pl-a"
	case garrison.Unmet:
		return "cv-lost"
	case garrison.Unproven:
		return "bk-unproven"
	}
	return "bk-out"
}

// standingPlot lays out a history. The window is the shortest of a day, a week, a
// month and a year that holds all of it.
func standingPlot(f frame, history []duties.Change, now time.Time) plot {
	p := plot{Span: 24 * time.Hour}
	for _, span := range []time.Duration{7 * 24 * time.Hour, 30 * 24 * time.Hour, plotSpan} {
		if len(history) > 0 && now.Sub(history[0].At) > p.Span {
			p.Span = span
		}
	}
	from := now.Add(-p.Span)
	x := func(t time.Time) float64 {
		at := float64(t.Sub(from)) / float64(p.Span)
		return plotLeft + min(max(at, 0), 1)*(plotRight-plotLeft)
	}
	stretches := stretchesOf(f, history, from)
	total := map[garrison.Standing]time.Duration{}
	for i, s := range stretches {
		until := now
		if i+1 < len(stretches) {
			until = stretches[i+1].From
		}
		total[s.Standing] += until.Sub(s.From)
		a, b := x(s.From), x(until)
		p.add(f, s, a, max(b-a, 2), until)
		if i > 0 {
			p.join(stretches[i-1].Standing, s.Standing, a)
		}
		s.Until = until
		if i+1 == len(stretches) {
			s.Until = time.Time{}
		}
		p.Rows = append([]plotStretch{s}, p.Rows...)
	}
	p.ticks(from, now, x)
	var parts []string
	for _, st := range standings() {
		if total[st] > 0 {
			parts = append(parts, f.T("clauses.plot_part", "standing", f.standingName(st), "span", f.Span(total[st])))
		}
	}
	p.Sentence = strings.Join(parts, f.T("work.and"))
	return p
}

// stretchesOf joins changes that kept the standing and puts Unproven before the first.
func stretchesOf(f frame, history []duties.Change, from time.Time) []plotStretch {
	var out []plotStretch
	if len(history) == 0 || history[0].At.After(from) {
		out = append(out, plotStretch{From: from, Standing: garrison.Unproven, Why: f.T("clauses.before_first")})
	}
	for _, c := range history {
		at := c.At
		if at.Before(from) {
			at = from
		}
		out = append(out, plotStretch{From: at, Standing: c.Standing, Why: f.Why(c.Why), Evidence: c.Evidence, Known: true})
	}
	return out
}

func (p *plot) add(f frame, s plotStretch, x, width float64, until time.Time) {
	y := lane(s.Standing)
	p.Bars = append(p.Bars, plotBar{Class: laneClass(s.Standing), X: px(x), Y: px(y), W: px(width),
		Title: f.standingName(s.Standing) + " " + f.Clock(s.From) + " – " + f.Clock(until)})
	if s.Standing != garrison.Unproven {
		return
	}
	const most = 200 // a year of hatching would be a page of its own
	step := max(4.0, width/most)
	for h := x + 1; h+5 < x+width; h += step {
		p.Hatches = append(p.Hatches, fmt.Sprintf("M%.1f %.1fl5-8", h, y+9))
	}
}

func (p *plot) join(before, after garrison.Standing, x float64) {
	if a, b := lane(before)+barHeight/2, lane(after)+barHeight/2; a != b {
		p.Joins = append(p.Joins, fmt.Sprintf("M%.1f %.1fV%.1f", x, min(a, b), max(a, b)))
	}
}

// ticks are at most eight moments that people name: hours, days or months.
func (p *plot) ticks(from, until time.Time, x func(time.Time) float64) {
	put := func(t time.Time, form string) {
		if t.After(from) && t.Before(until) {
			at := x(t)
			p.Ticks = append(p.Ticks, plotTick{Path: fmt.Sprintf("M%.1f 6V84", at), X: px(at + 3), Label: t.In(zone).Format(form)})
		}
	}
	switch start := from.In(zone); {
	case p.Span <= 24*time.Hour:
		for t := start.Truncate(time.Hour); t.Before(until); t = t.Add(time.Hour) {
			if t.In(zone).Hour()%4 == 0 {
				put(t, "15:04")
			}
		}
	case p.Span <= 30*24*time.Hour:
		every := 1 + int(p.Span/(8*24*time.Hour))
		day := time.Date(start.Year(), start.Month(), start.Day(), 0, 0, 0, 0, zone)
		for i := 0; day.Before(until); i, day = i+1, day.AddDate(0, 0, 1) {
			if i%every == 0 {
				put(day, "01-02")
			}
		}
	default:
		for t := time.Date(start.Year(), start.Month(), 1, 0, 0, 0, 0, zone); t.Before(until); t = t.AddDate(0, 2, 0) {
			put(t, "2006-01")
		}
	}
}
