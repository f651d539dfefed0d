package console

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"time"

	"garrison"
)

// watch is the watch line: a strip with one merlon an hour of the last day. A cut in
// the wall is time nobody watched.
type watch struct {
	Known bool
	From  time.Time
	Until time.Time
	Gaps  []watchGap
	Total time.Duration // of what is no silence
	Lost  int64
}

type watchGap struct {
	From, Until time.Time
	Kind        string // cut (nobody watched or lost) | silent | before (not installed yet)
	Restart     bool
}

const watchSpan = 24 * time.Hour

func (c *Console) watch(ctx context.Context, now time.Time) watch {
	w := watch{From: now.Add(-watchSpan), Until: now}
	cov, err := c.deps.Records.Coverage(ctx, garrison.Period{From: w.From, Until: now})
	if err != nil {
		return w
	}
	w.Known, w.Lost = true, cov.Lost
	w.take(cov.Gaps)
	return w
}

// take turns what is known to be missing into cuts, dashes and time before the wall.
func (w *watch) take(gaps []garrison.Gap) {
	for _, g := range gaps {
		if g.Cause == "refused" || g.Cause == "not_yet" {
			continue // somebody watched; the source's page says what could not be read
		}
		until := g.Until
		if until.IsZero() || until.After(w.Until) {
			until = w.Until
		}
		from := g.From
		if from.Before(w.From) {
			from = w.From
		}
		x := watchGap{From: from, Until: until, Kind: "cut"}
		switch g.Cause {
		case "silent":
			x.Kind = "silent"
		case "not_installed", "not_watched", "expired":
			x.Kind = "before"
		case "stopped", "crashed":
			x.Restart = true
		}
		if x.Kind == "cut" {
			w.Total += until.Sub(from)
		}
		w.Gaps = append(w.Gaps, x)
	}
}

// since is when the wall begins, if that is later than the line does: before it nobody
// watched because nothing was installed, which is neither a gap nor well.
func (w watch) since() (time.Time, bool) {
	var last time.Time
	for _, g := range w.Gaps {
		if g.Kind == "before" && !g.From.After(w.From.Add(time.Minute)) && g.Until.After(last) {
			last = g.Until
		}
	}
	return last, !last.IsZero() && last.Before(w.Until)
}

// cuts counts the gaps that somebody must explain.
func (w watch) cuts() int {
	n := 0
	for _, g := range w.Gaps {
		if g.Kind == "cut" {
			n++
		}
	}
	return n
}

func (w watch) silent() int {
	n := 0
	for _, g := range w.Gaps {
		if g.Kind == "silent" {
			n++
		}
	}
	return n
}

// bar is one shape of a plot, in the units of its view box.
type bar struct {
	Class      string
	X, Y, W, H string
	Path       string // for shapes that are no rectangles
}

func px(v float64) string { return fmt.Sprintf("%.1f", v) }

// bars lays the wall out on a strip of the given size: base and merlons where somebody
// watched, nothing (a cut) where nobody did, a dashed edge where a source was silent.
func (w watch) bars(width, height float64) []bar {
	var out []bar
	x := func(t time.Time) float64 { return float64(t.Sub(w.From)) / float64(w.Until.Sub(w.From)) * width }
	base, top := height*0.62, height*0.12
	step := width / 24
	// Stretches that were watched, between the cuts.
	from := 0.0
	solid := func(until float64) {
		if until-from < 0.2 {
			return
		}
		out = append(out, bar{Class: "cv-base", X: px(from), Y: px(base), W: px(until - from), H: px(height - base)})
		for h := range 24 {
			a, b := float64(h)*step, float64(h)*step+step*0.66
			a, b = max(a, from), min(b, until)
			if b-a > 0.2 {
				out = append(out, bar{Class: "cv-wall", X: px(a), Y: px(top), W: px(b - a), H: px(height - top)})
			}
		}
	}
	for _, g := range w.merged() {
		if a := x(g.From); a > from {
			solid(a)
		}
		from = max(from, x(g.Until))
	}
	solid(width)
	for _, g := range w.Gaps {
		a, b := x(g.From), x(g.Until)
		switch g.Kind {
		case "cut":
			out = append(out, bar{Class: "cv-gap", X: px(a), Y: "0", W: px(max(2, b-a)), H: px(height)})
		case "before":
			out = append(out, bar{Class: "cv-none", X: px(a + .5), Y: px(base), W: px(max(0.1, b-a-1)), H: px(height - base - .5)})
		case "silent":
			out = append(out, bar{Class: "cv-silent", X: px(a), Y: px(top), W: px(max(2, b-a)), H: px(height - top)})
		}
		if g.Restart {
			out = append(out, bar{Class: "cv-restart", Path: fmt.Sprintf("M%.1f 0h8l-4 5z", b-4)})
		}
	}
	return out
}

// merged are the times without a wall, in order and without overlap.
func (w watch) merged() []watchGap {
	var out []watchGap
	for _, g := range w.Gaps {
		if g.Kind == "silent" {
			continue
		}
		if n := len(out); n > 0 && !g.From.After(out[n-1].Until) {
			if g.Until.After(out[n-1].Until) {
				out[n-1].Until = g.Until
			}
			continue
		}
		out = append(out, g)
	}
	return out
}

// tallyHex turns a digest as it is written (hex or base64) into hex.
func tallyHex(digest string) string {
	if raw, err := hex.DecodeString(digest); err == nil && len(raw) > 3 {
		return digest
	}
	raw, err := base64.StdEncoding.DecodeString(digest)
	if err != nil {
		return ""
	}
	return hex.EncodeToString(raw)
}

// teeth are the two halves of a split tally: eight teeth, the level of each the high
// two bits of hex digits one to eight of the digest.
func teeth(digest string) (upper, lower string) {
	levels := [8]float64{}
	for i := range 8 {
		if i < len(digest) {
			var v int
			_, _ = fmt.Sscanf(digest[i:i+1], "%x", &v) // no hex digit: level 0
			levels[i] = float64(v >> 2)
		}
	}
	y := func(l float64) float64 { return 3.5 + 2*l }
	upper = fmt.Sprintf("M0 0H40V%.1f", y(levels[7]))
	lower = fmt.Sprintf("M0 14H40V%.1f", y(levels[7])+1.4)
	for i := 7; i >= 0; i-- {
		upper += fmt.Sprintf("H%d", i*5)
		lower += fmt.Sprintf("H%d", i*5)
		if i > 0 {
			upper += fmt.Sprintf("V%.1f", y(levels[i-1]))
			lower += fmt.Sprintf("V%.1f", y(levels[i-1])+1.4)
		}
	}
	return upper + "Z", lower + "Z"
}

// short is the head of a digest, as people compare it.
func short(digest string) string { return digest[:min(6, len(digest))] }
