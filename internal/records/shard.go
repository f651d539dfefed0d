package records

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"garrison"
	"garrison/internal/records/wal"
)

// request is one thing asked of a committer.
type request struct {
	kind    reqKind
	source  string
	key     [32]byte
	body    []byte
	sum     uint32
	stored  int
	refused int
	second  int64       // for a Watch frame: the second that is over
	ack     chan answer // nil: nobody waits
	arrived time.Time
}

type reqKind uint8

const (
	reqBatch reqKind = iota
	reqSeal
	reqWatch
	reqEnd
	reqSync
	reqCut
)

type answer struct {
	Ack
	err error
}

func (r *request) answer(a Ack, err error) {
	if r.ack != nil {
		r.ack <- answer{a, err} // has room for the one answer
	}
}

// shard is one committer: a goroutine that alone writes its write-ahead file.
type shard struct {
	s    *Store
	n    int
	in   chan *request
	stop chan struct{}
	puts sync.RWMutex // held for reading while something is put into in

	// Only the committer touches these.
	w        *wal.Writer
	second   int64     // of the running chunk
	opened   time.Time // when it began to run
	pending  []*request
	keyed    map[[32]byte]bool // keys among pending
	bytes    int               // of pending bodies
	due      time.Time         // when pending must be durable; zero: nothing is pending
	lastSync time.Time
	gap      string // why the next watched second does not follow the last
	retry    time.Time
	cuts     []*request
	buf      []byte

	gen *generation // guarded by the store's lock
}

const maxPending = 32 << 20 // bytes of bodies that one commit writes

// hand gives a batch to the committer that its key or source belongs to.
func (s *Store) hand(ctx context.Context, r *request) error {
	h := fnv.New32a()
	if r.key != [32]byte{} {
		h.Write(r.key[:]) // the same key must meet itself, whoever sends it
	} else {
		h.Write([]byte(r.source))
	}
	c := s.shards[h.Sum32()%uint32(len(s.shards))]
	if err := s.gate.enter(ctx, len(r.body), c.stop); err != nil {
		return garrison.Errorf(garrison.Unavailable, "records: the store is behind: %w", err)
	}
	if err := c.put(ctx, r); err != nil {
		s.gate.leave(len(r.body))
		return err
	}
	return nil
}

func (c *shard) put(ctx context.Context, r *request) error {
	c.puts.RLock()
	defer c.puts.RUnlock()
	select {
	case <-c.stop:
		return errStopped
	default:
	}
	select {
	case c.in <- r:
		return nil
	case <-c.stop:
		return errStopped
	case <-ctx.Done():
		return garrison.Errorf(garrison.Unavailable, "records: the store is behind: %w", ctx.Err())
	}
}

// loop is the committer.
func (c *shard) loop() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		in := c.in
		if c.held() {
			in = nil
		}
		timer.Reset(c.wait())
		select {
		case r := <-in:
			c.take(r)
			c.drain()
		case <-timer.C:
		case <-c.stop:
			c.finish()
			return
		}
		now := c.s.now()
		if !c.due.IsZero() && !now.Before(c.due) {
			c.flush(now)
		}
		if c.over(now) {
			c.roll(now)
		}
	}
}

// held says that nothing more may be taken now: the sealer or the cutter is behind, or
// there is no space and enough waits already.
func (c *shard) held() bool {
	if c.bytes > maxPending {
		return true
	}
	c.s.mu.RLock()
	defer c.s.mu.RUnlock()
	// More than can be sealed in time is not taken. When the ledger itself fails, what
	// nobody waits for is still better on the disk than nowhere.
	if c.s.sealErr == nil && len(c.s.toSeal) > 0 && c.s.now().Sub(c.s.toSeal[0].queued) > sealLate {
		return true
	}
	return len(c.s.frozen) >= 2*len(c.s.shards) && c.gen.full(c.s.cfg.SegmentRows)
}

// wait returns how long the committer may sleep.
func (c *shard) wait() time.Duration {
	now := c.s.now()
	d := min(time.Unix(c.second+1, 0).Sub(now), time.Second-now.Sub(c.opened))
	if now.Unix() < c.second { // the chunk runs ahead of the clock
		d = time.Second - now.Sub(c.opened)
	}
	if !c.due.IsZero() {
		d = min(d, c.due.Sub(now))
	}
	return max(min(d, 100*time.Millisecond), time.Millisecond)
}

func (c *shard) over(now time.Time) bool {
	return now.Unix() > c.second || now.Sub(c.opened) >= time.Second
}

// drain takes what else waits, so that one sync serves all.
func (c *shard) drain() {
	for c.bytes < maxPending/2 {
		select {
		case r := <-c.in:
			c.take(r)
		default:
			return
		}
	}
}

func (c *shard) take(r *request) {
	now := c.s.now()
	r.arrived = now
	if r.kind == reqCut {
		c.cuts = append(c.cuts, r)
		c.opened = now.Add(-time.Second) // roll at once
		return
	}
	if r.kind == reqBatch {
		if r.key != [32]byte{} {
			if c.keyed[r.key] {
				c.flush(now) // the answer to the earlier one decides
			}
			if a, ok := c.s.answered(r.key); ok {
				c.done(r, Ack{Stored: a.Stored, Refused: a.Refused, Already: true}, nil)
				return
			}
			c.keyed[r.key] = true
		}
		if err := c.s.trouble(); err != nil && r.ack != nil {
			c.done(r, Ack{}, err)
			delete(c.keyed, r.key)
			return
		}
		c.bytes += len(r.body)
	}
	c.pending = append(c.pending, r)
	due := now.Add(c.s.cfg.IdleCommit)
	if r.ack != nil {
		due = now
		if next := c.lastSync.Add(c.s.cfg.GroupCommit); next.After(now) {
			due = next
		}
	}
	if c.due.IsZero() || due.Before(c.due) {
		c.due = due
	}
	if !c.retry.IsZero() && c.due.Before(c.retry) {
		c.due = c.retry
	}
	if c.bytes >= maxPending && c.retry.IsZero() {
		c.due = now
	}
}

// done answers a request and gives its room back.
func (c *shard) done(r *request, a Ack, err error) {
	r.answer(a, err)
	if r.kind == reqBatch {
		c.s.gate.leave(len(r.body))
	}
}

func (s *Store) answered(key [32]byte) (keyAnswer, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	a, ok := s.answers[key]
	return a, ok
}

// trouble returns why nothing is written now.
func (s *Store) trouble() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.failed != nil {
		return s.failed
	}
	return s.full
}

// flush makes everything pending durable with one sync, takes it into memory and
// answers; or refuses it.
func (c *shard) flush(now time.Time) {
	c.due = time.Time{}
	if len(c.pending) == 0 {
		return
	}
	heads, err := c.writeOut()
	c.lastSync = c.s.now()
	if err != nil {
		c.refuse(err, now)
		return
	}
	if !c.retry.IsZero() {
		c.retry = time.Time{}
		c.s.setFull(nil)
	}
	if err := c.s.takeIn(c, heads, now); err != nil {
		// What was written cannot be read: not a state to acknowledge in.
		c.s.fail(err)
		c.refuse(err, now)
		return
	}
	for _, r := range c.pending {
		c.done(r, Ack{Stored: r.stored, Refused: r.refused}, nil)
	}
	c.clear()
}

func (c *shard) clear() {
	clear(c.pending)
	c.pending, c.bytes = c.pending[:0], 0
	clear(c.keyed)
}

var frameType = map[reqKind]wal.Type{reqBatch: wal.Batch, reqSeal: wal.Seal, reqWatch: wal.Watch, reqEnd: wal.End}

// writeOut writes the frames of all pending requests and syncs.
func (c *shard) writeOut() ([]wal.Header, error) {
	heads := make([]wal.Header, len(c.pending))
	c.buf = c.buf[:0]
	n := uint64(0)
	for i, r := range c.pending {
		t, ok := frameType[r.kind]
		if !ok {
			continue
		}
		h := wal.Header{Type: t, Shard: uint16(c.n), Second: c.second, Rows: uint32(r.stored), Body: r.sum, Seq: c.w.Next() + n}
		if r.kind == reqWatch {
			h.Second = r.second
		}
		heads[i] = h
		c.buf = c.w.Frame(c.buf, h, r.body, n)
		n++
	}
	if err := c.s.trouble(); err != nil && errors.Is(err, errSync) {
		return nil, err
	}
	if err := c.s.space(int64(len(c.buf))); err != nil {
		return nil, err
	}
	if n > 0 {
		if err := c.w.Write(c.buf, n); err != nil {
			return nil, err
		}
	}
	if cap(c.buf) > 2*maxPending {
		c.buf = nil
	}
	return heads, c.w.Sync()
}

// takeIn makes what is durable visible.
func (s *Store) takeIn(c *shard, heads []wal.Header, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, r := range c.pending {
		switch r.kind {
		case reqBatch:
			if _, err := c.gen.batch(heads[i], r.body, now); err != nil {
				return err
			}
			if r.key != [32]byte{} {
				s.answers[r.key] = keyAnswer{Stored: r.stored, Refused: r.refused}
			}
		case reqWatch:
			if c.n == 0 {
				c.gen.book.watch(r.second, string(r.body))
			}
		case reqEnd:
			if c.n == 0 {
				c.gen.book.close(causeStopped)
			}
		}
	}
	return nil
}

// errSync marks the state in which nothing is acknowledged any more.
var errSync = errors.New("a write could not be made durable")

// fail stops acknowledging for good: after a failed sync nobody can tell what is on
// the disk, and asking again until it says yes would be a lie.
func (s *Store) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != nil {
		return
	}
	s.failed = &garrison.Error{Code: garrison.Unavailable, Key: "error.records.sync_failed", Args: map[string]any{"dir": s.cfg.Dir},
		Err: fmt.Errorf("%w; check the disk under %q, then restart: %w", errSync, s.cfg.Dir, err)}
	s.since = s.now()
	s.log.Error("records: stopped acknowledging; check the disk, then restart", "dir", s.cfg.Dir, "err", err)
	s.wake()
}

func (s *Store) setFull(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if (s.full == nil) == (err == nil) {
		return
	}
	s.full, s.since = err, s.now()
	if err != nil {
		s.log.Error("records: intake stopped for want of space; free space or extend the disk, it resumes by itself", "dir", s.cfg.Dir, "err", err)
	} else {
		s.log.Info("records: intake resumed", "dir", s.cfg.Dir)
	}
}

// refuse answers everybody who waits and keeps what nobody will send again for
// another attempt.
func (c *shard) refuse(err error, now time.Time) {
	if !outOfSpace(err) {
		if !errors.Is(err, errSync) {
			c.s.fail(err)
			err = c.s.trouble()
		}
		for _, r := range c.pending {
			c.done(r, Ack{}, err)
		}
		c.clear()
		return
	}
	c.gap = causeDiskFull
	c.retry = now.Add(time.Second)
	e := &garrison.Error{Code: garrison.Unavailable, Key: "error.records.disk_full", Args: map[string]any{"dir": c.s.cfg.Dir, "reserve": c.s.cfg.MinFree},
		Err: fmt.Errorf("the disk under %q is full up to the reserve of %d bytes: free space or extend it, intake resumes by itself: %w", c.s.cfg.Dir, c.s.cfg.MinFree, err)}
	c.s.setFull(e)
	kept := c.pending[:0]
	c.bytes = 0
	clear(c.keyed)
	for _, r := range c.pending {
		if r.ack != nil {
			c.done(r, Ack{}, e)
			continue
		}
		if r.key != [32]byte{} {
			c.keyed[r.key] = true
		}
		c.bytes += len(r.body)
		kept = append(kept, r)
	}
	clear(c.pending[len(kept):])
	c.pending = kept
	c.due = c.retry
}

// errReserve says that the disk has less than the reserve left.
var errReserve = errors.New("only the reserve is left")

func outOfSpace(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, errReserve)
}

// space says whether n bytes can be written without touching the reserve.
func (s *Store) space(n int64) error {
	free, _, err := diskFree(s.cfg.Dir)
	if err != nil {
		return fmt.Errorf("ask for free space: %w", err)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if free-n < s.reserve {
		return errReserve
	}
	return nil
}

func diskFree(dir string) (free, size int64, err error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return 0, 0, err
	}
	return int64(fs.Bavail) * fs.Bsize, int64(fs.Blocks) * fs.Bsize, nil
}

// roll ends the running second: its chunk is closed and goes to the sealer, and the
// generation is cut when it is time.
func (c *shard) roll(now time.Time) {
	if len(c.pending) > 0 && (c.retry.IsZero() || !now.Before(c.retry)) {
		c.flush(now)
	}
	if !c.retry.IsZero() {
		if len(c.pending) == 0 && !now.Before(c.retry) && c.s.space(0) == nil {
			c.retry = time.Time{}
			c.s.setFull(nil)
		} else {
			c.opened = now.Add(100*time.Millisecond - time.Second)
			if len(c.pending) == 0 && !now.Before(c.retry) {
				c.retry = now.Add(time.Second)
			}
			return
		}
	}
	over := c.second
	c.second, c.opened = max(now.Unix(), over+1), now
	c.take(&request{kind: reqWatch, second: over, body: []byte(c.gap)})
	c.gap = ""
	if c.close(over, now) {
		c.cut(now)
	}
}

// close closes the chunk of a second and says whether the generation is to be cut.
func (c *shard) close(second int64, now time.Time) bool {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	g := c.gen
	if n := len(g.chunks); n > 0 && !g.chunks[n-1].closed {
		s.queue(g.chunks[n-1])
	}
	if len(s.frozen) >= 2*len(s.shards) {
		return false // the cutter is behind
	}
	hour := c.second / 3600
	if g.hour == 0 {
		g.hour = second / 3600
	}
	return len(c.cuts) > 0 || g.full(s.cfg.SegmentRows) || now.Sub(g.began) >= s.cfg.SegmentEvery || hour != g.hour
}

// cut freezes the generation together with its write-ahead files.
func (c *shard) cut(now time.Time) {
	err := c.w.Rotate()
	if err != nil && !outOfSpace(err) {
		c.s.fail(err)
	}
	if err == nil {
		c.freeze(now)
	}
	for _, r := range c.cuts {
		r.answer(Ack{}, err)
	}
	c.cuts = nil
}

func (c *shard) freeze(now time.Time) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	c.gen.next = c.w.Next()
	if n := len(c.gen.chunks); n > 0 && !c.gen.chunks[n-1].closed {
		s.queue(c.gen.chunks[n-1])
	}
	s.frozen = append(s.frozen, c.gen)
	c.gen.last = c.second
	c.gen = newGeneration(c.n, c.w.Next(), now)
	s.wake()
}

// finish takes what was handed over, ends the second and the file.
func (c *shard) finish() {
	c.puts.Lock() // who was putting has left because stop is closed, nobody enters
	defer c.puts.Unlock()
	for {
		select {
		case r := <-c.in:
			c.take(r)
			continue
		default:
		}
		break
	}
	now := c.s.now()
	c.retry = time.Time{}
	c.roll(now)
	end := wal.Ended{Run: c.s.run, At: now.UnixMilli(), Cause: causeStopped}
	c.take(&request{kind: reqEnd, body: wal.MarshalBody(end)})
	c.flush(now)
	for _, r := range c.pending {
		c.done(r, Ack{}, errStopped)
	}
	for _, r := range c.cuts {
		r.answer(Ack{}, errStopped)
	}
	if err := c.w.Close(); err != nil {
		c.s.fail(err)
		return
	}
	c.freeze(now)
}
