package probe

import (
	"context"
	"sync"
	"time"
)

// maxIdleHosts bounds how many hosts the gate remembers beyond those in use.
const maxIdleHosts = 4096

// gate lets requests through one at a time and not too often per host, and not too
// many at once in all.
type gate struct {
	now   func() time.Time
	sleep func(ctx context.Context, d time.Duration) error
	slots chan struct{} // one token for each request under way

	mu    sync.Mutex // guards hosts and each turn's users
	hosts map[string]*turn
}

// turn is the queue in front of one host.
type turn struct {
	hold  chan struct{} // holds one token while a request is under way
	last  time.Time     // start of the last request; belongs to the holder
	users int
}

func newGate(concurrent int, now func() time.Time, sleep func(context.Context, time.Duration) error) *gate {
	return &gate{now: now, sleep: sleep, slots: make(chan struct{}, concurrent), hosts: map[string]*turn{}}
}

// enter waits for the host's turn. The caller calls leave when its request is over.
func (g *gate) enter(ctx context.Context, host string, pace time.Duration) (leave func(), err error) {
	t := g.use(host)
	select {
	case t.hold <- struct{}{}:
	case <-ctx.Done():
		g.unuse(t)
		return nil, ctx.Err()
	}
	release := func() { <-t.hold; g.unuse(t) }
	if err := g.pause(ctx, t, pace); err != nil {
		release()
		return nil, err
	}
	select {
	case g.slots <- struct{}{}:
	case <-ctx.Done():
		release()
		return nil, ctx.Err()
	}
	t.last = g.now()
	return func() { <-g.slots; release() }, nil
}

// pause waits until pace has passed since the host's last request. It does not begin
// to wait for a moment that the asker's deadline will not see.
func (g *gate) pause(ctx context.Context, t *turn, pace time.Duration) error {
	if t.last.IsZero() {
		return ctx.Err()
	}
	for {
		d := t.last.Add(pace).Sub(g.now())
		if d <= 0 {
			return ctx.Err()
		}
		d = min(d, pace) // a clock set back must not stop a host for long
		if end, ok := ctx.Deadline(); ok && time.Until(end) < d {
			return context.DeadlineExceeded
		}
		if err := g.sleep(ctx, d); err != nil {
			return err
		}
		if d == pace && g.now().Before(t.last) {
			return nil
		}
	}
}

func (g *gate) use(host string) *turn {
	g.mu.Lock()
	defer g.mu.Unlock()
	t := g.hosts[host]
	if t == nil {
		if len(g.hosts) >= maxIdleHosts {
			g.forget()
		}
		t = &turn{hold: make(chan struct{}, 1)}
		g.hosts[host] = t
	}
	t.users++
	return t
}

func (g *gate) unuse(t *turn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	t.users--
}

// forget drops hosts that nobody waits for and that could be asked at once anyway.
// The caller holds mu.
func (g *gate) forget() {
	old := g.now().Add(-time.Minute)
	for h, t := range g.hosts {
		if t.users == 0 && t.last.Before(old) {
			delete(g.hosts, h)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
