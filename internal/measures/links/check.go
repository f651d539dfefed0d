package links

import (
	"context"
	"errors"
	"net/url"
	"sync"
	"time"

	"garrison"
	"garrison/internal/probe"
)

// Bounds of one check.
const (
	defaultDeadline = 30 * time.Second
	minDeadline     = 500 * time.Millisecond
	maxDeadline     = 10 * time.Minute
	checkWorkers    = 64 // hosts at once; the probe bounds requests under way
)

// CheckOptions sets one [Check].
type CheckOptions struct {
	Deadline time.Duration // 0: 30 s
}

// Report is what one [Check] saw.
type Report struct {
	Target    string   `json:"target"`
	Links     []Link   `json:"links"`
	Complete  bool     `json:"complete"`            // every link of the page is listed
	Truncated []string `json:"truncated,omitempty"` // limits that were hit
	Why       string   `json:"why,omitempty"`       // why the page itself could not be read
	Status    int      `json:"status,omitempty"`    // of the page, when it could not be read
}

// Link is one link of the page.
type Link struct {
	URL      string `json:"url"`
	Outcome  string `json:"outcome"`
	Why      string `json:"why"`
	Status   int    `json:"status"`
	Internal bool   `json:"internal"`
	Kind     string `json:"kind"`
	Text     string `json:"text,omitempty"`
	To       string `json:"to,omitempty"` // where a moved link leads
}

// Bad says whether the report holds a link that is dead, parked or moved.
func (r Report) Bad() bool {
	for _, l := range r.Links {
		if l.Outcome == dead || l.Outcome == parkedLink || l.Outcome == moved {
			return true
		}
	}
	return false
}

// Told says whether the page was read whole and every link of it told.
func (r Report) Told() bool {
	if !r.Complete || r.Why != "" {
		return false
	}
	for _, l := range r.Links {
		if l.Outcome == unknown || l.Outcome == slow || l.Outcome == unreachable || l.Outcome == forbidden {
			return false
		}
	}
	return true
}

// Check looks once at one page and at every link on it, internal ones included, and
// answers within the deadline whatever the other side does. What has not settled by
// then is slow (asked, no answer) or unknown (not asked, why "deadline").
func Check(ctx context.Context, p probe.Prober, target string, o CheckOptions) (Report, error) {
	deadline := o.Deadline
	if deadline == 0 {
		deadline = defaultDeadline
	}
	if deadline < minDeadline || deadline > maxDeadline {
		return Report{}, garrison.Errorf(garrison.Invalid, "deadline %s: must be %s to %s", deadline, minDeadline, maxDeadline)
	}
	u, err := probe.Canonical(nil, target)
	if err != nil {
		return Report{}, garrison.Errorf(garrison.Invalid, "target %q: %w", target, err)
	}
	// Everything ends with ctx; the answer is written even if something does not.
	ctx, cancel := context.WithTimeout(ctx, deadline-max(deadline/20, min(deadline/4, 250*time.Millisecond)))
	defer cancel()
	late := time.NewTimer(deadline - max(deadline/50, min(deadline/8, 150*time.Millisecond)))
	defer late.Stop()
	k := &checking{rep: Report{Target: u.String(), Why: "deadline", Truncated: []string{"time"}}}
	done := make(chan struct{})
	go func() { // ends soon after ctx
		defer close(done)
		k.run(ctx, p, u, deadline)
	}()
	select {
	case <-done:
	case <-late.C:
	}
	return k.report(), nil
}

// checking is a check under way, of which the answer can be read at any time.
type checking struct {
	mu    sync.Mutex // guards the rest
	rep   Report
	list  []*link
	looks *board
}

func (k *checking) run(ctx context.Context, p probe.Prober, u *url.URL, deadline time.Duration) {
	cfg := DefaultConfig()
	cfg.MaxPages, cfg.MaxTime = 1, deadline
	c := newCrawl(cfg, p, time.Now)
	c.keep = func(*link) bool { return true }
	err := c.front(ctx, u)
	rep := Report{Target: u.String()}
	var f *siteFailure
	if errors.As(err, &f) {
		rep.Why, rep.Status = f.why, f.status
		k.set(rep, nil, nil)
		return
	}
	rep.Truncated = pageLimits(c.cut)
	rep.Complete = len(rep.Truncated) == 0
	list := c.sorted()
	b := newBoard(len(list))
	k.set(rep, list, b)
	lookUntil(ctx, p, list, b, max(min(deadline/6, 8*time.Second), time.Second))
}

func (k *checking) set(rep Report, list []*link, b *board) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.rep, k.list, k.looks = rep, list, b
}

func (k *checking) report() Report {
	k.mu.Lock()
	defer k.mu.Unlock()
	rep := k.rep
	rep.Links = make([]Link, 0, len(k.list))
	if k.looks == nil {
		return rep
	}
	for i, v := range k.looks.all() {
		l := k.list[i]
		rep.Links = append(rep.Links, Link{URL: l.locus(), Outcome: v.verdict, Why: v.why, Status: v.status,
			Internal: l.own, Kind: l.kind, Text: l.text, To: v.to})
	}
	return rep
}

// pageLimits leaves out limits of following further pages: a check reads one.
func pageLimits(cut []string) []string {
	var out []string
	for _, c := range cut {
		if c != "depth" && c != "pages" {
			out = append(out, c)
		}
	}
	return out
}

// lookUntil looks at every link until ctx ends, and writes down what it sees. It does
// not wait for looks that do not end: they end with ctx.
func lookUntil(ctx context.Context, p probe.Prober, list []*link, b *board, each time.Duration) {
	hosts := map[string][]int{}
	for i, l := range list {
		host := ""
		if l.url != nil {
			host = l.url.Hostname()
		}
		hosts[host] = append(hosts[host], i)
	}
	queue := make(chan []int, len(hosts))
	for _, indexes := range hosts {
		queue <- indexes
	}
	close(queue)
	var wg sync.WaitGroup
	for range min(checkWorkers, len(hosts)) {
		wg.Go(func() {
			for indexes := range queue {
				for _, i := range indexes {
					if ctx.Err() != nil {
						return
					}
					b.set(i, lookAt(ctx, p, list[i], list[i].own, each))
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }() // ends when every look has, at ctx's end at the latest
	select {
	case <-done:
	case <-ctx.Done():
		select {
		case <-done:
		case <-time.After(50 * time.Millisecond): // looks cut off by ctx are just being written down
		}
	}
}

// board is where looks are written down while somebody may already be reading.
type board struct {
	mu  sync.Mutex // guards out
	out []look
}

func newBoard(n int) *board {
	b := &board{out: make([]look, n)}
	for i := range b.out {
		b.out[i] = look{verdict: unknown, why: "deadline"}
	}
	return b
}

func (b *board) set(i int, v look) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.out[i] = v
}

func (b *board) all() []look {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]look(nil), b.out...)
}
