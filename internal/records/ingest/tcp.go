package ingest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"garrison/internal/records/ingest/dialect"
	"garrison/internal/records/ingest/syslog"
)

const (
	// tcpBuffer bounds what the kernel has taken in and we have not: it is lost at a
	// kill, so it must be read within a few milliseconds.
	tcpBuffer = 512 << 10
	// drainFor is how long Stop goes on reading what senders have under way.
	drainFor = 2 * time.Second
	// drainPause is the silence after which a connection is taken for drained.
	drainPause = 30 * time.Millisecond
	// commitWithin is how long a closing connection waits for its lines to be durable.
	commitWithin = 30 * time.Second
)

// tcpListener takes in syslog over TCP (RFC 6587).
type tcpListener struct {
	cfg  Config
	deps Deps
	src  *sources
	ln   net.Listener

	ctx      context.Context // of the goroutines; ended by stop's own context at the latest
	cancel   context.CancelFunc
	stopping atomic.Bool
	wg       sync.WaitGroup

	mu      sync.Mutex                // guards what follows
	conns   map[net.Conn]*atomic.Bool // true: it knows of the stop and drains
	perPeer map[netip.Addr]int
	warned  time.Time
}

func listenTCP(ctx context.Context, cfg Config, deps Deps, src *sources) (*tcpListener, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", cfg.TCP)
	if err != nil {
		return nil, listenError("tcp", cfg.TCP, err)
	}
	t := &tcpListener{cfg: cfg, deps: deps, src: src, ln: ln,
		conns: make(map[net.Conn]*atomic.Bool), perPeer: make(map[netip.Addr]int)}
	t.ctx, t.cancel = context.WithCancel(context.WithoutCancel(ctx))
	t.wg.Add(1)
	go t.accept()
	return t, nil
}

func (t *tcpListener) addr() string { return t.ln.Addr().String() }

// stop ends listening, reads what senders have under way, commits and closes.
func (t *tcpListener) stop(ctx context.Context) error {
	t.stopping.Store(true)
	err := t.ln.Close()
	done := make(chan struct{})
	go func() { t.wg.Wait(); close(done) }()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-done:
			t.cancel()
			return err
		case <-ctx.Done():
			t.cancel() // gives up on a store that takes nothing
			t.interrupt()
			<-done
			return errors.Join(err, ctx.Err())
		case <-tick.C:
			t.interrupt()
		}
	}
}

// interrupt wakes readers that set out to wait before they could know of the stop. It
// is called again and again, so the deadline is now: one a little ahead would be moved
// on for ever. A reader that has just begun to drain sees that it was woken too early.
func (t *tcpListener) interrupt() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for c, drains := range t.conns {
		if !drains.Load() {
			_ = c.SetReadDeadline(time.Now())
		}
	}
}

func (t *tcpListener) accept() {
	defer t.wg.Done()
	for {
		c, err := t.ln.Accept()
		if err != nil {
			if t.stopping.Load() || errors.Is(err, net.ErrClosed) {
				return
			}
			t.warn("syslog connection not accepted", "err", err) // out of descriptors, most likely
			time.Sleep(50 * time.Millisecond)
			continue
		}
		peer := peerOf(c.RemoteAddr())
		drains, why := t.admit(c, peer)
		if why != "" {
			t.warn("syslog connection turned away", "peer", peer, "why", why)
			_ = c.Close()
			continue
		}
		t.wg.Add(1)
		go t.serve(c, peer, drains)
	}
}

// warn logs at most once in ten seconds: a crowd at the door must not fill the log.
func (t *tcpListener) warn(msg string, args ...any) {
	t.mu.Lock()
	quiet := time.Since(t.warned) < 10*time.Second
	if !quiet {
		t.warned = time.Now()
	}
	t.mu.Unlock()
	if !quiet {
		t.deps.Log.Warn(msg, args...)
	}
}

func (t *tcpListener) admit(c net.Conn, peer netip.Addr) (drains *atomic.Bool, why string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.conns) >= t.cfg.MaxConns {
		return nil, fmt.Sprintf("%d connections are open, no more are allowed", len(t.conns))
	}
	if t.perPeer[peer] >= t.cfg.MaxPerPeer {
		return nil, fmt.Sprintf("%d connections from this address are open, no more are allowed", t.perPeer[peer])
	}
	drains = new(atomic.Bool)
	t.conns[c] = drains
	t.perPeer[peer]++
	return drains, ""
}

func (t *tcpListener) release(c net.Conn, peer netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.conns, c)
	if t.perPeer[peer]--; t.perPeer[peer] <= 0 {
		delete(t.perPeer, peer)
	}
}

// serve reads one connection to its end, commits what came, then closes it.
func (t *tcpListener) serve(c net.Conn, peer netip.Addr, drains *atomic.Bool) {
	defer t.wg.Done()
	defer t.release(c, peer)
	if tc, ok := c.(*net.TCPConn); ok {
		_ = tc.SetReadBuffer(tcpBuffer)
	}
	s := &stream{t: t, c: c, drains: drains, f: syslog.NewFramer(t.cfg.MaxLine), d: t.src.sender(peer, t.deps.Now())}
	defer func() {
		if p := recover(); p != nil {
			t.deps.Log.Error("syslog connection failed", "peer", peer, "panic", fmt.Sprint(p))
			_ = c.Close()
		}
	}()
	s.read()
	err := s.d.handOver(t.ctx, t.deps.Now())
	if err == nil {
		ctx, cancel := context.WithTimeout(t.ctx, commitWithin)
		err = t.deps.Store.Sync(ctx)
		cancel()
	}
	if err != nil {
		t.deps.Log.Error("end of a syslog connection could not be committed", "peer", peer, "err", err)
		if tc, ok := c.(*net.TCPConn); ok {
			_ = tc.SetLinger(0) // the sender sees a reset, not an orderly end
		}
	}
	_ = c.Close()
}

// stream is the reading side of one connection.
type stream struct {
	t       *tcpListener
	c       net.Conn
	f       *syslog.Framer
	d       *sender
	last    time.Time // something arrived
	partial time.Time // the frame now pending began; zero: none
	drain   time.Time // until when to go on reading after a stop; zero: not stopping
	drains  *atomic.Bool
}

func (s *stream) read() {
	s.last = time.Now()
	for {
		if s.t.stopping.Load() && s.drain.IsZero() {
			s.drain = time.Now().Add(drainFor)
			s.drains.Store(true)
		}
		until := s.deadline()
		_ = s.c.SetReadDeadline(until)
		n, err := s.c.Read(s.f.Space())
		now := time.Now()
		if n > 0 {
			s.last = now
			s.f.Wrote(n)
			if !s.frames() {
				return
			}
		}
		if !s.d.empty() && now.Sub(s.d.since) >= s.t.cfg.HandOver && s.d.handOver(s.t.ctx, now) != nil {
			return
		}
		switch {
		case err == nil:
			if !s.drain.IsZero() && now.After(s.drain) {
				s.rest()
				return
			}
		case !errors.Is(err, os.ErrDeadlineExceeded): // the end of the stream, or a reset
			s.rest()
			return
		case !s.drain.IsZero() && now.Before(until): // woken by the stop that it knows of
		case s.expired(now):
			return
		}
	}
}

// frames takes in every whole frame; false: the store takes nothing any more.
func (s *stream) frames() bool {
	received := s.t.deps.Now()
	for {
		b, kind := s.f.Next()
		switch kind {
		case syslog.Whole:
			s.d.line(b, received)
		case syslog.Long:
			s.d.refuse(b, dialect.TooLong, received)
		default:
			switch {
			case !s.f.Pending():
				s.partial = time.Time{}
			case s.partial.IsZero():
				s.partial = s.last
			}
			return true
		}
		s.partial = time.Time{}
		if s.d.count() >= s.t.cfg.BatchLines && s.d.handOver(s.t.ctx, received) != nil {
			return false
		}
	}
}

// rest takes in a last line without its end.
func (s *stream) rest() {
	if b := s.f.Rest(); len(syslog.Trim(b)) > 0 {
		s.d.line(b, s.t.deps.Now())
	}
}

// deadline is when something has to happen even if nothing arrives.
func (s *stream) deadline() time.Time {
	if !s.drain.IsZero() {
		return time.Now().Add(drainPause)
	}
	at := s.last.Add(s.t.cfg.Idle)
	if !s.partial.IsZero() && s.partial.Add(s.t.cfg.PartialLine).Before(at) {
		at = s.partial.Add(s.t.cfg.PartialLine)
	}
	if !s.d.empty() && s.d.since.Add(s.t.cfg.HandOver).Before(at) {
		at = s.d.since.Add(s.t.cfg.HandOver)
	}
	return at
}

// expired says whether the connection has used up its patience.
func (s *stream) expired(now time.Time) bool {
	switch {
	case !s.drain.IsZero():
		s.rest()
		return true
	case s.t.stopping.Load():
		return false // read on once more, draining
	case !s.partial.IsZero() && now.Sub(s.partial) >= s.t.cfg.PartialLine:
		// Begun and not ended in time: somebody holds the line on purpose, or died.
		if b := s.f.Rest(); len(b) > 0 {
			s.d.refuse(b, dialect.Unfinished, s.t.deps.Now())
		}
		return true
	}
	return now.Sub(s.last) >= s.t.cfg.Idle
}

func peerOf(a net.Addr) netip.Addr {
	if ap, ok := a.(interface{ AddrPort() netip.AddrPort }); ok {
		return ap.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}
