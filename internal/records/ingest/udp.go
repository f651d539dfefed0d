package ingest

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/net/ipv4"

	"garrison"
)

const (
	blockBytes   = 256 << 10
	batchPackets = 64
	maxDatagram  = 64 << 10
	lingering    = 5 * time.Millisecond // a block that is not full waits so long while the decoder is busy
	forgetAfter  = 10 * time.Minute     // a silent sender's decoder is dropped
)

// udpListener takes in syslog over UDP (RFC 5426). One goroutine does nothing but
// empty the socket, another decodes: so a store that pauses costs memory up to a
// limit before it costs datagrams.
type udpListener struct {
	cfg  Config
	deps Deps
	src  *sources
	conn *net.UDPConn
	pc   *ipv4.PacketConn
	raw  syscall.RawConn

	ctx      context.Context
	cancel   context.CancelFunc
	stopping atomic.Bool
	drains   atomic.Bool // the reader knows of the stop
	wg       sync.WaitGroup
	free     chan *block
	full     chan *block
	failed   error // of the decoding goroutine, after wg

	// of the reading goroutine
	drops uint32 // the kernel's count so far
	lost  int64  // not yet put into a block
}

// block is a run of datagrams.
type block struct {
	data []byte
	ends []int
	from []netip.Addr
	at   []time.Time
	lost int64 // dropped by the kernel before the last of these
}

func listenUDP(ctx context.Context, cfg Config, deps Deps, src *sources) (*udpListener, error) {
	var lc net.ListenConfig
	pc, err := lc.ListenPacket(ctx, "udp", cfg.UDP)
	if err != nil {
		return nil, listenError("udp", cfg.UDP, err)
	}
	conn := pc.(*net.UDPConn)
	u := &udpListener{cfg: cfg, deps: deps, src: src, conn: conn, pc: ipv4.NewPacketConn(conn)}
	if u.raw, err = conn.SyscallConn(); err != nil {
		_ = conn.Close()
		return nil, listenError("udp", cfg.UDP, err)
	}
	got := u.prepare(cfg.ReadBuffer)
	if got < cfg.ReadBuffer/2 {
		deps.Log.Warn("the kernel gives the syslog socket less buffer than asked; raise net.core.rmem_max",
			"asked", cfg.ReadBuffer, "given", got)
	}
	n := max(cfg.QueueBytes/blockBytes, 4)
	u.free, u.full = make(chan *block, n), make(chan *block, n)
	for range n {
		u.free <- &block{}
	}
	u.ctx, u.cancel = context.WithCancel(context.WithoutCancel(ctx))
	u.wg.Add(2)
	go u.read()
	go u.work()
	return u, nil
}

// listenError says what to do about an address that cannot be listened on.
func listenError(network, addr string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return garrison.Errorf(garrison.Conflict, "listen for syslog on %s %q: another program uses this port; choose another or stop it: %w", network, addr, err)
	case errors.Is(err, syscall.EACCES):
		return garrison.Errorf(garrison.Denied, "listen for syslog on %s %q: ports below 1024 need CAP_NET_BIND_SERVICE; grant it or choose a higher port: %w", network, addr, err)
	}
	return garrison.Errorf(garrison.Invalid, "listen for syslog on %s %q: %w", network, addr, err)
}

func (u *udpListener) addr() string { return u.conn.LocalAddr().String() }

// stop empties the socket, hands everything over and closes it.
func (u *udpListener) stop(ctx context.Context) error {
	u.stopping.Store(true)
	done := make(chan struct{})
	go func() { u.wg.Wait(); close(done) }()
	tick := time.NewTicker(lingering)
	defer tick.Stop()
	var err error
	for ended := false; !ended; {
		select {
		case <-done:
			ended = true
		case <-ctx.Done():
			u.cancel() // gives up on a store that takes nothing
			<-done
			err, ended = ctx.Err(), true
		case <-tick.C: // the reader may have set out to wait before it could know
			if !u.drains.Load() {
				_ = u.conn.SetReadDeadline(time.Now())
			}
		}
	}
	u.cancel()
	return errors.Join(err, u.failed, u.conn.Close())
}

// read empties the socket into blocks.
func (u *udpListener) read() {
	defer u.wg.Done()
	defer close(u.full)
	msgs := make([]ipv4.Message, batchPackets)
	for i := range msgs {
		msgs[i].Buffers = [][]byte{make([]byte, maxDatagram)}
		msgs[i].OOB = make([]byte, 64)
	}
	b := <-u.free
	var until time.Time // end of draining
	for {
		wait := time.Second
		if len(b.ends) > 0 {
			wait = lingering
		}
		if u.stopping.Load() {
			if until.IsZero() {
				until = time.Now().Add(drainFor)
				u.drains.Store(true)
			}
			wait = lingering
		}
		asleep := time.Now().Add(wait)
		_ = u.conn.SetReadDeadline(asleep)
		n, err := u.pc.ReadBatch(msgs, 0)
		if n > 0 {
			b = u.keep(b, msgs[:n])
		}
		timeout := errors.Is(err, os.ErrDeadlineExceeded)
		if timeout {
			u.dropped(u.kernelDrops())
		}
		if len(b.ends) > 0 && (timeout || len(u.full) == 0) || timeout && u.lost > 0 {
			b = u.send(b)
		}
		switch {
		case !until.IsZero() && (timeout && !time.Now().Before(asleep) || time.Now().After(until)), errors.Is(err, net.ErrClosed):
			u.dropped(u.kernelDrops())
			u.send(b)
			return
		case err != nil && !timeout: // ECONNREFUSED of an earlier answer and the like
			time.Sleep(time.Millisecond)
		}
	}
}

// keep copies datagrams into blocks.
func (u *udpListener) keep(b *block, msgs []ipv4.Message) *block {
	now := u.deps.Now()
	for i := range msgs {
		m := &msgs[i]
		if m.NN > 0 {
			if n, ok := overflow(m.OOB[:m.NN]); ok {
				u.dropped(n)
			}
		}
		if len(b.data)+m.N > blockBytes {
			b = u.send(b)
		}
		b.data = append(b.data, m.Buffers[0][:m.N]...)
		b.ends = append(b.ends, len(b.data))
		b.from = append(b.from, peerOf(m.Addr))
		b.at = append(b.at, now)
	}
	return b
}

// send gives a block to the decoder and waits for an empty one: while it waits, the
// kernel's buffer fills, and what it then drops it counts.
func (u *udpListener) send(b *block) *block {
	b.lost, u.lost = u.lost, 0
	u.full <- b
	return <-u.free
}

// dropped takes note of the kernel's count of datagrams dropped at this socket, which
// only grows, and wraps.
func (u *udpListener) dropped(count uint32) {
	if d := int32(count - u.drops); d > 0 {
		u.lost += int64(d)
		u.drops = count
	}
}

// work decodes blocks and hands batches over.
func (u *udpListener) work() {
	defer u.wg.Done()
	w := &udpWorker{u: u, by: make(map[netip.Addr]*sender)}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case b, ok := <-u.full:
			if !ok {
				u.failed = w.handOver(time.Now(), true)
				return
			}
			w.block(b)
			u.free <- b
			_ = w.handOver(time.Now(), false)
		case <-timer.C:
			_ = w.handOver(time.Now(), false)
		}
		if w.waiting {
			timer.Reset(max(u.cfg.HandOver/2, time.Millisecond))
		}
	}
}

// udpWorker is the decoding goroutine's own.
type udpWorker struct {
	u       *udpListener
	by      map[netip.Addr]*sender
	other   *sender // whoever is beyond the limit
	waiting bool    // some batch is not empty
	swept   time.Time
	lost    int64 // not put down to anybody yet
}

func (w *udpWorker) sender(a netip.Addr, now time.Time) *sender {
	if d := w.by[a]; d != nil {
		return d
	}
	if len(w.by) >= 2*w.u.cfg.MaxSources {
		if w.other == nil {
			w.other = w.u.src.sender(a, now)
		}
		w.other.peer = a.String()
		return w.other
	}
	d := w.u.src.sender(a, now)
	w.by[a] = d
	return d
}

func (w *udpWorker) block(b *block) {
	defer func() {
		if p := recover(); p != nil { // a decoder's mistake must not end intake
			w.u.deps.Log.Error("datagrams could not be decoded", "panic", p)
		}
		b.data, b.ends, b.from, b.at, b.lost = b.data[:0], b.ends[:0], b.from[:0], b.at[:0], 0
	}()
	w.lost += b.lost
	start := 0
	for i, end := range b.ends {
		d := w.sender(b.from[i], b.at[i])
		d.datagram(b.data[start:end], b.at[i])
		start = end
		if d.count() >= w.u.cfg.BatchLines {
			_ = d.handOver(w.u.ctx, b.at[i])
		}
	}
	w.waiting = true
}

// handOver gives every batch that is due to the store; all of them with force.
func (w *udpWorker) handOver(now time.Time, force bool) error {
	w.blame()
	w.waiting = false
	var err error
	each := func(d *sender) {
		if d.empty() {
			return
		}
		if !force && now.Sub(d.since) < w.u.cfg.HandOver {
			w.waiting = true
			return
		}
		if e := d.handOver(w.u.ctx, now); e != nil {
			err = errors.Join(err, e)
		}
	}
	for _, d := range w.by {
		each(d)
	}
	if w.other != nil {
		each(w.other)
	}
	if now.Sub(w.swept) > time.Minute {
		w.sweep(now)
	}
	return err
}

// blame puts losses down to senders. The kernel counts per socket, not per sender, so
// with several senders each gets the share that it has of what did arrive; the sum is
// exact.
func (w *udpWorker) blame() {
	if w.lost == 0 {
		return
	}
	var total int64
	var most *sender
	for _, d := range w.by {
		total += d.lines
		if most == nil || d.lines > most.lines {
			most = d
		}
	}
	if most == nil {
		return // nobody yet: kept until somebody is
	}
	left := w.lost
	if total > 0 {
		for _, d := range w.by {
			n := w.lost * d.lines / total
			d.lose(n)
			left -= n
		}
	}
	most.lose(left)
	w.lost = 0
	for _, d := range w.by {
		d.lines = 0
	}
}

func (d *sender) lose(n int64) {
	if n == 0 {
		return
	}
	if d.empty() {
		d.since = d.src.deps.Now()
	}
	d.batch.Lost += n
}

// sweep forgets decoders of senders that fell silent, so that made-up addresses do
// not hold memory.
func (w *udpWorker) sweep(now time.Time) {
	w.swept = now
	for a, d := range w.by {
		if d.empty() && now.Sub(d.seen) > forgetAfter {
			delete(w.by, a)
		}
	}
}
