package records

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"garrison"
	"garrison/internal/records/ingest/dialect"
	"garrison/internal/records/wal"
)

const (
	walDir      = "wal"
	segmentsDir = "segments"
	daysDir     = "days"
	lockName    = "lock"
)

// Store keeps records. All methods are safe for concurrent use.
type Store struct {
	cfg  Config
	deps Deps
	log  *slog.Logger
	now  func() time.Time
	keys *keyring
	gate *gate
	open *readers

	run    string // identifies this run of the process
	lock   *os.File
	shards []*shard
	cancel context.CancelFunc
	work   sync.WaitGroup // sealer, cutter, keeper
	commit sync.WaitGroup // committers
	state  atomic.Int32

	names   atomic.Int64 // numbers of segments
	senders senders
	mergeMu sync.Mutex      // held while segments are merged or expire
	catMu   sync.Mutex      // held while catalog.json is replaced
	spoiled map[string]bool // damaged write-ahead files; set before the store runs

	mu       sync.RWMutex // guards what follows, and all generations
	cat      *catalog     // never changed in place
	days     map[int64]*dayBook
	frozen   []*generation // cut, not in the catalog yet; oldest first
	answers  map[[32]byte]keyAnswer
	toSeal   []*chunk
	sealErr  error
	sealSlow time.Duration // longest from a chunk's closing to its sealing
	failed   error         // a sync failed: nothing is acknowledged any more
	full     error         // no space: refused until there is
	reserve  int64         // bytes of disk left alone, from the configuration
	since    time.Time
	damage   []Damage      // found since the catalog was written
	changed  chan struct{} // closed and replaced when something was sealed or cut
}

const (
	stateNew int32 = iota
	stateRunning
	stateStopped
)

// New builds a store; nothing is read or written before Start.
func New(cfg Config, deps Deps) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Ledger == nil {
		return nil, garrison.Errorf(garrison.Invalid, "records: no ledger")
	}
	s := &Store{
		cfg: cfg, deps: deps, log: deps.Log, now: deps.Now, keys: newKeyring(cfg.KeyDir), gate: newGate(), open: newReaders(),
		days: map[int64]*dayBook{}, answers: map[[32]byte]keyAnswer{}, spoiled: map[string]bool{}, reserve: cfg.MinFree, changed: make(chan struct{}),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	return s, nil
}

// Start recovers what is on disk and begins to take records.
func (s *Store) Start(ctx context.Context) error {
	if !s.state.CompareAndSwap(stateNew, stateRunning) {
		return garrison.Errorf(garrison.Conflict, "records: started twice")
	}
	err := s.start(ctx)
	if err != nil {
		s.state.Store(stateStopped)
		s.unlock()
	}
	return err
}

func (s *Store) start(ctx context.Context) error {
	for _, d := range []string{s.cfg.Dir, s.cfg.KeyDir, filepath.Join(s.cfg.Dir, walDir), filepath.Join(s.cfg.Dir, segmentsDir), filepath.Join(s.cfg.Dir, daysDir)} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return fmt.Errorf("make record directory: %w", err)
		}
	}
	if err := s.takeLock(); err != nil {
		return err
	}
	s.run = garrison.NewID("run")
	if err := s.recover(ctx); err != nil {
		return err
	}
	known, err := s.Sources(ctx)
	if err != nil {
		return fmt.Errorf("list the senders known: %w", err)
	}
	s.senders.know(known)
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	for _, c := range s.shards {
		s.commit.Go(c.loop)
	}
	s.work.Go(func() { s.sealLoop(life) })
	s.work.Go(func() { s.cutLoop(life) })
	s.work.Go(func() { s.keepLoop(life) })
	return nil
}

// takeLock makes sure that no other process writes here.
func (s *Store) takeLock() error {
	f, err := os.OpenFile(filepath.Join(s.cfg.Dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("lock record directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return garrison.Refuse(garrison.Conflict, "error.records.in_use", "dir", s.cfg.Dir)
	}
	s.lock = f
	return nil
}

func (s *Store) unlock() {
	if s.lock != nil {
		s.lock.Close()
		s.lock = nil
	}
}

// Stop makes everything durable and sealed and moves it to segments. The ledger must
// still take entries. When ctx ends first, what is left waits in the write-ahead
// file for the next start.
func (s *Store) Stop(ctx context.Context) error {
	if !s.state.CompareAndSwap(stateRunning, stateStopped) {
		return nil
	}
	for _, c := range s.shards {
		close(c.stop)
	}
	s.commit.Wait()
	err := s.await(ctx, func() bool { return len(s.frozen) == 0 || s.failed != nil })
	s.cancel()
	s.work.Wait()
	s.open.closeAll()
	s.unlock()
	if err != nil {
		return fmt.Errorf("stop records: not everything is in segments yet: %w", err)
	}
	return nil
}

// await waits until done, which is called with the lock held, is true.
func (s *Store) await(ctx context.Context, done func() bool) error {
	for {
		s.mu.RLock()
		ok, changed := done(), s.changed
		s.mu.RUnlock()
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// queue puts a closed chunk before the sealer. The lock is held.
func (s *Store) queue(c *chunk) {
	c.closed, c.queued = true, s.now()
	s.toSeal = append(s.toSeal, c)
	s.wake()
}

// wake tells everybody who awaits something to look again. The lock is held.
func (s *Store) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// Append returns after the batch is on stable storage.
func (s *Store) Append(ctx context.Context, b *Batch) (Ack, error) {
	if err := s.accepting(); err != nil {
		return Ack{}, err
	}
	r, err := s.request(b)
	if err != nil {
		return Ack{}, err
	}
	ack := make(chan answer, 1)
	r.ack = ack
	if err := s.hand(ctx, r); err != nil {
		return Ack{}, err
	}
	select {
	case a := <-ack:
		return a.Ack, a.err
	case <-ctx.Done():
		return Ack{}, garrison.Errorf(garrison.Unavailable, "append records: %w (they may have been stored; ask again with the same key)", ctx.Err())
	}
}

// Offer hands over a batch without waiting for it to be durable; it will be within
// [Config.IdleCommit]. It blocks while the store is behind.
func (s *Store) Offer(b *Batch) error {
	if s.state.Load() != stateRunning {
		return errStopped
	}
	r, err := s.request(b)
	if err != nil {
		return err
	}
	return s.hand(context.Background(), r)
}

// Sync returns when everything offered before is durable.
func (s *Store) Sync(ctx context.Context) error {
	var waits []chan answer
	for _, c := range s.shards {
		r := &request{kind: reqSync, ack: make(chan answer, 1)}
		if err := c.put(ctx, r); err != nil {
			return err
		}
		waits = append(waits, r.ack)
	}
	for _, w := range waits {
		select {
		case a := <-w:
			if a.err != nil {
				return a.err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

var errStopped = garrison.Refuse(garrison.Unavailable, "error.records.stopped")

// accepting says why nothing can be acknowledged now.
func (s *Store) accepting() error {
	if s.state.Load() != stateRunning {
		return errStopped
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	switch {
	case s.failed != nil:
		return s.failed
	case s.full != nil:
		return s.full
	case len(s.toSeal) > 0 && s.now().Sub(s.toSeal[0].queued) > s.cfg.SealPatience:
		// Acknowledged means sealed within 2 s: without a ledger that is not true.
		return &garrison.Error{Code: garrison.Unavailable, Key: "error.records.ledger_behind", Err: errors.Join(
			fmt.Errorf("the ledger has not taken an entry for %v", s.now().Sub(s.toSeal[0].queued).Round(time.Second)), s.sealErr)}
	}
	return nil
}

// Health says whether the store takes records now.
func (s *Store) Health() Health {
	h := Health{Accepting: true}
	if err := s.accepting(); err != nil {
		h.Accepting = false
		var e *garrison.Error
		if errors.As(err, &e) {
			h.Why = garrison.Reason{Key: e.Key, Args: e.Args}
		}
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	h.Since = s.since
	if s.cat != nil {
		h.Damage = append(append(h.Damage, s.cat.Damage...), s.damage...)
	}
	return h
}

// request checks a batch and encodes it; nothing of b is used afterwards.
func (s *Store) request(b *Batch) (*request, error) {
	if err := checkBatch(b); err != nil {
		return nil, err
	}
	src := s.senders.admit(b.Source)
	body := wal.Body{
		SourceID: src.ID, SourceName: src.Name, SourceKind: src.Kind, Own: src.Own,
		Key: b.Key, Refused: int64(len(b.Refused)) + b.MoreRefused, Lost: b.Lost,
	}
	body.Other = b.MoreOther
	for i := range b.Refused {
		if dialect.Other(b.Refused[i].Why) {
			body.Other++
		}
	}
	for _, r := range b.Refused[:min(len(b.Refused), wal.MaxSamples)] {
		body.Samples = append(body.Samples, wal.Sample{Line: clip(r.Line, wal.MaxSampleLine), Why: clip(r.Why, 200)})
	}
	r := &request{kind: reqBatch, source: src.ID, key: b.Key, stored: len(b.NAT), refused: int(body.Refused)}
	r.body = body.Append(make([]byte, 0, 64+64*len(b.NAT)), b.NAT)
	if len(r.body) > wal.MaxBody {
		return nil, garrison.Refuse(garrison.TooLarge, "error.records.batch_too_large", "bytes", len(r.body), "limit", wal.MaxBody)
	}
	r.sum = wal.Castagnoli(r.body)
	return r, nil
}

const (
	maxBatchRows = 262_144
	maxName      = 256
)

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n]
}

func checkBatch(b *Batch) error {
	if b.Source.ID == "" || len(b.Source.ID) > maxName || len(b.Source.Name) > maxName || len(b.Source.Kind) > maxName {
		return garrison.Errorf(garrison.Invalid, "batch names its source with %d, %d and %d bytes; 1 to %d are allowed", len(b.Source.ID), len(b.Source.Name), len(b.Source.Kind), maxName)
	}
	if len(b.NAT) > maxBatchRows || len(b.Refused) > maxBatchRows {
		return garrison.Refuse(garrison.TooLarge, "error.records.batch_too_large", "rows", max(len(b.NAT), len(b.Refused)), "limit", maxBatchRows)
	}
	if b.Lost < 0 || b.MoreRefused < 0 || b.MoreOther < 0 || b.MoreOther > b.MoreRefused {
		return garrison.Errorf(garrison.Invalid, "batch counts %d lost and %d refused, of these %d of another matter", b.Lost, b.MoreRefused, b.MoreOther)
	}
	for i := range b.NAT {
		r := &b.NAT[i]
		if err := r.Check(); err != nil {
			return garrison.Errorf(garrison.Invalid, "record %d of the batch: %w", i, err)
		}
		if r.OutsidePortLast < r.OutsidePort {
			return garrison.Errorf(garrison.Invalid, "record %d of the batch: its ports end at %d before they begin at %d", i, r.OutsidePortLast, r.OutsidePort)
		}
	}
	return nil
}
