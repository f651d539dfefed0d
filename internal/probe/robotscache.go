package probe

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"
)

const (
	maxRobotsHosts     = 4096
	maxRobotsRedirects = 5 // RFC 9309 §2.3.1.2
	robotsRetry        = time.Minute
)

// robotsCache remembers robots.txt per origin.
type robotsCache struct {
	mu    sync.Mutex // guards hosts
	hosts map[string]*robotsEntry
}

// robotsEntry belongs to whoever holds its token.
type robotsEntry struct {
	hold  chan struct{}
	until time.Time // zero: never fetched
	rules *robots
	fail  *Failure // not nil: it could not be had
}

func (c *robotsCache) entry(origin string, now time.Time) *robotsEntry {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.hosts[origin]
	if e != nil {
		return e
	}
	if len(c.hosts) >= maxRobotsHosts {
		for o, old := range c.hosts {
			select {
			case old.hold <- struct{}{}:
				if old.until.Before(now) || len(c.hosts) >= maxRobotsHosts {
					delete(c.hosts, o)
				}
				<-old.hold
			default: // in use
			}
		}
	}
	e = &robotsEntry{hold: make(chan struct{}, 1)}
	c.hosts[origin] = e
	return e
}

// checkRobots returns why robots.txt keeps us from u, and the requests it took to
// know. A host that cannot be reached for its robots.txt fails with that failure.
func (p *Probe) checkRobots(ctx context.Context, u *url.URL, pace time.Duration, b *budget) ([]Hop, *Failure) {
	now := p.now()
	e := p.robots.entry(u.Scheme+"://"+u.Host, now)
	select {
	case e.hold <- struct{}{}:
		defer func() { <-e.hold }()
	case <-ctx.Done():
		return nil, &Failure{Kind: Deadline, Why: "time ran out before robots.txt was read"}
	}
	var hops []Hop
	if !now.Before(e.until) {
		var final bool
		hops, e.rules, e.fail, final = p.fetchRobots(ctx, u, pace, b)
		e.until = time.Time{}
		switch {
		case final && e.fail == nil:
			e.until = now.Add(p.cfg.RobotsAge)
		case final && (e.fail.Kind == Timeout || e.fail.Kind == RobotsUnknown):
			// Costly to ask again at once; anything else is asked again, so that a
			// host that was repaired is seen to be.
			e.until = now.Add(robotsRetry)
		}
	}
	if e.fail != nil {
		return hops, e.fail
	}
	if ok, why := e.rules.allowed(u); !ok {
		return hops, &Failure{Kind: RobotsDenied, Why: why}
	}
	return hops, nil
}

// fetchRobots fetches the robots.txt of u's origin. final says that the result may be
// remembered; a result that only our own deadline brought about may not.
func (p *Probe) fetchRobots(ctx context.Context, u *url.URL, pace time.Duration, b *budget) (hops []Hop, r *robots, f *Failure, final bool) {
	at := &url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/robots.txt"}
	for range maxRobotsRedirects + 1 {
		hop, ans, fail := p.hop(ctx, http.MethodGet, at, pace, maxRobots, b)
		hops = append(hops, hop)
		if fail != nil {
			fail.Why = "robots.txt: " + fail.Why
			if at.Host != u.Host && fail.Kind != Deadline {
				fail.Kind = RobotsUnknown // that another host fails says nothing about this one
			}
			return hops, nil, fail, ctx.Err() == nil && fail.Kind != Deadline
		}
		next, bad := redirectTo(at, hop.Status, ans.location)
		if bad != nil {
			return hops, &robots{}, nil, true // a redirect to nowhere: unavailable
		}
		if next != nil {
			if fail := p.checkURL(next); fail != nil {
				return hops, &robots{}, nil, true
			}
			at, pace = next, p.cfg.PerHost
			continue
		}
		return p.judgeRobots(hops, hop, ans)
	}
	return hops, &robots{}, nil, true // §2.3.1.2: more than five redirects may be taken as unavailable
}

func (p *Probe) judgeRobots(hops []Hop, hop Hop, ans answer) ([]Hop, *robots, *Failure, bool) {
	switch {
	case hop.Status >= 500 || hop.Status == http.StatusTooManyRequests:
		// RFC 9309 §2.3.1.4: unreachable, so everything is disallowed. A server that
		// asks us to slow down (429) is not one to press on.
		return hops, nil, &Failure{Kind: RobotsUnknown, Sent: true,
			Why: fmt.Sprintf("robots.txt: status %d", hop.Status)}, true
	case hop.Status >= 400:
		return hops, &robots{}, nil, true // §2.3.1.3: unavailable, so everything is allowed
	case ans.body.limit == LimitTime || ans.body.limit == LimitIncomplete:
		return hops, nil, &Failure{Kind: RobotsUnknown, Sent: true, Why: "robots.txt: it did not end in time"}, true
	case hop.Status != http.StatusOK:
		return hops, &robots{}, nil, true
	}
	return hops, parseRobots(string(ans.body.data), p.agent), nil, true
}
