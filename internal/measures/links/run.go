package links

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"garrison"
	"garrison/internal/measures"
	"garrison/internal/probe"
)

// Run looks at the external links of one site. See [measures.Measure].
func (m *Measure) Run(ctx context.Context, env measures.Env, target garrison.Subject) (measures.Result, error) {
	front, err := probe.Canonical(nil, target.Attributes["url"])
	if err != nil {
		return measures.Result{Why: "bad_address"}, nil
	}
	if len(env.Only) > 0 {
		return m.again(ctx, env, front.Hostname())
	}
	c := newCrawl(m.cfg, env.Probe, env.Now)
	c.keep = func(l *link) bool { return !l.own }
	if err := c.run(ctx, front); err != nil {
		var f *siteFailure
		if errors.As(err, &f) {
			// Nobody could tell: what was known stays known and is looked at again
			// when the site answers.
			return measures.Result{Why: "front_page_" + f.why}, nil
		}
		return measures.Result{}, fmt.Errorf("read the site %q: %w", front.String(), err)
	}
	list := c.sorted()
	if len(c.cut) > 0 {
		list = append(list, earlier(env.Known, c.links)...)
	}
	res := m.result(list, lookAll(ctx, env.Probe, list, m.cfg.Workers))
	res.Truncated = c.cut
	res.Complete = len(c.cut) == 0 && ctx.Err() == nil
	res.Outcome, res.Why = overall(res, ctx.Err() != nil)
	return res, nil
}

// again is a second look at what was suspected.
func (m *Measure) again(ctx context.Context, env measures.Env, host string) (measures.Result, error) {
	known := map[string]measures.Item{}
	for _, it := range env.Known {
		known[it.Locus] = it
	}
	var list []*link
	for _, locus := range env.Only {
		list = append(list, remembered(locus, known[locus].Facts, host))
	}
	res := m.result(list, lookAll(ctx, env.Probe, list, m.cfg.Workers))
	res.Partial = true
	res.Outcome, res.Why = overall(res, ctx.Err() != nil)
	return res, nil
}

// earlier returns links of the last inventory that an incomplete run did not find:
// not having looked everywhere is no reason to stop looking at them.
func earlier(known []measures.Item, now map[string]*link) []*link {
	var out []*link
	for _, it := range known {
		if now[it.Locus] == nil {
			l := remembered(it.Locus, it.Facts, "")
			l.before = true
			out = append(out, l)
		}
	}
	return out
}

func remembered(locus string, facts map[string]string, host string) *link {
	l := &link{kind: facts["kind"], text: facts["text"]}
	if p := facts["pages"]; p != "" {
		l.pages = strings.Split(p, "\n")
	}
	l.count, _ = strconv.Atoi(facts["count"]) // absent: 0
	u, err := probe.Canonical(nil, locus)
	if err != nil {
		l.raw, l.bad = locus, "bad_address"
		return l
	}
	l.url, l.own = u, u.Hostname() == host
	return l
}

// lookAll looks at every link: hosts side by side, links of one host one after the
// other (they would have to wait for each other anyway).
func lookAll(ctx context.Context, p probe.Prober, list []*link, workers int) []look {
	out := make([]look, len(list))
	hosts := map[string][]int{}
	for i, l := range list {
		host := ""
		if l.url != nil {
			host = l.url.Hostname()
		}
		hosts[host] = append(hosts[host], i)
	}
	work := make(chan []int)
	var wg sync.WaitGroup
	for range min(workers, len(hosts)) {
		wg.Go(func() {
			for indexes := range work {
				for _, i := range indexes {
					out[i] = lookAt(ctx, p, list[i], list[i].own, 0)
				}
			}
		})
	}
	for _, host := range slices.Sorted(maps.Keys(hosts)) {
		work <- hosts[host]
	}
	close(work)
	wg.Wait()
	return out
}

// result puts looks into the runner's form. In the population, succeeded are the
// links seen well, failed those seen not well, unreachable those nobody could tell.
func (m *Measure) result(list []*link, looks []look) measures.Result {
	var res measures.Result
	for i, l := range list {
		v, ok := m.def.Verdict(looks[i].verdict)
		if !ok {
			v, _ = m.def.Verdict(unknown)
		}
		it := measures.Item{Locus: l.locus(), Outcome: v.Outcome, Verdict: v.Name, Why: looks[i].why,
			What: l.text, Sure: looks[i].sure, Facts: facts(l, looks[i])}
		res.Items = append(res.Items, it)
		res.Population.Attempted++
		switch v.Outcome {
		case garrison.Pass:
			res.Population.Succeeded++
		case garrison.Fail:
			res.Population.Failed++
		default:
			res.Population.Unreachable++
		}
	}
	return res
}

func facts(l *link, v look) map[string]string {
	f := map[string]string{"kind": l.kind}
	put := func(k, s string) {
		if s != "" {
			f[k] = s
		}
	}
	put("text", l.text)
	put("pages", strings.Join(l.pages, "\n"))
	put("why", v.why)
	put("to", v.to)
	if l.count > 0 {
		f["count"] = strconv.Itoa(l.count)
	}
	if v.status > 0 {
		f["status"] = strconv.Itoa(v.status)
	}
	if (found{kind: l.kind}).embedded() {
		f["embedded"] = "true"
	}
	if l.before {
		f["earlier"] = "true" // from an earlier inventory, not found this time
	}
	return f
}

// overall is the run's outcome: a bad link fails it, anything untold or cut short
// keeps it from passing.
func overall(res measures.Result, stopped bool) (garrison.Outcome, string) {
	switch {
	case res.Population.Failed > 0:
		return garrison.Fail, ""
	case stopped:
		return garrison.Unknown, "interrupted"
	case len(res.Truncated) > 0:
		return garrison.Unknown, "truncated"
	case res.Population.Unreachable > 0:
		return garrison.Unknown, "links_untold"
	}
	return garrison.Pass, ""
}
