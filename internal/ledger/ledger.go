package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"garrison"
	"garrison/evidence"
)

// Config says where a ledger lies and how often it speaks.
type Config struct {
	Dir                string        // the log: tiles, entry bundles, checkpoint; may be published as it is
	KeyDir             string        // signing key and the kept copy of the last checkpoint; best on another disk
	Origin             string        // the log's name, first line of every checkpoint; never changes
	CheckpointInterval time.Duration // how long an entry may wait for a checkpoint, writing and signing aside
	Beat               time.Duration // how often a heartbeat is entered
}

// DefaultConfig returns the settings that hold the promises of the package comment;
// Dir, KeyDir and Origin remain to be set.
func DefaultConfig() Config {
	return Config{CheckpointInterval: 500 * time.Millisecond, Beat: 5 * time.Second}
}

// validate reports every fault at once.
func (c Config) validate() error {
	var faults []error
	if c.Dir == "" {
		faults = append(faults, errors.New("the ledger needs a directory (Dir)"))
	}
	if c.KeyDir == "" {
		faults = append(faults, errors.New("the ledger needs a directory for its key (KeyDir)"))
	}
	// Whoever can write the log must not thereby hold its key.
	if c.Dir != "" && within(c.KeyDir, c.Dir) {
		faults = append(faults, fmt.Errorf("KeyDir %q lies inside the log's directory %q", c.KeyDir, c.Dir))
	}
	if c.Origin == "" || len(c.Origin) > 200 || strings.ContainsAny(c.Origin, "+ \t\r\n") {
		faults = append(faults, fmt.Errorf("origin %q is not a name of at most 200 characters without spaces and +", c.Origin))
	}
	if c.CheckpointInterval < 200*time.Millisecond || c.CheckpointInterval > 2*time.Second {
		faults = append(faults, fmt.Errorf("checkpoint interval %v is not between 200ms and 2s", c.CheckpointInterval))
	}
	if c.Beat < 100*time.Millisecond || c.Beat > time.Minute {
		faults = append(faults, fmt.Errorf("beat %v is not between 100ms and 1m", c.Beat))
	}
	if len(faults) > 0 {
		return garrison.Errorf(garrison.Invalid, "ledger: %w", errors.Join(faults...))
	}
	return nil
}

func within(path, dir string) bool {
	p, errP := filepath.Abs(path)
	d, errD := filepath.Abs(dir)
	if errP != nil || errD != nil || path == "" {
		return false
	}
	return p == d || strings.HasPrefix(p, d+string(os.PathSeparator))
}

// Deps is what a ledger needs from others.
type Deps struct {
	Log *slog.Logger
	Now func() time.Time // nil: the machine's clock
	// Beat returns what a heartbeat says besides its own fields (at, from, to, head,
	// prev, gap_from): listeners, measures switched on. May be nil. Called every
	// Config.Beat and never twice at once.
	Beat func() []evidence.Field
}

// Ledger is one running log. All methods are safe for concurrent use.
type Ledger struct {
	cfg  Config
	deps Deps

	// Set by Start, not changed after.
	reader *Reader
	keys   *keys
	seal   *sealer
	lock   *os.File
	life   lifeline

	queue   chan request
	quit    chan struct{} // closed by Stop: no more appends are taken
	writing sync.WaitGroup
	others  sync.WaitGroup // beat and watch
	cancel  context.CancelFunc

	mu      sync.Mutex // guards what follows
	running bool
	tail    []tailMark // acknowledged, not sealed yet, oldest first
	size    uint64     // entries acknowledged
	fault   error      // why nothing is acknowledged; nil: all is well
}

// New checks the configuration and builds a ledger; it touches nothing on disk.
func New(cfg Config, deps Deps) (*Ledger, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if deps.Log == nil {
		return nil, garrison.Errorf(garrison.Invalid, "ledger: needs a logger")
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	return &Ledger{cfg: cfg, deps: deps, reader: &Reader{dir: logDir(cfg.Dir)}}, nil
}

// Start opens or creates the log, enters the start and begins to beat. It refuses
// with code damaged when the directory is behind, or differs from, the checkpoint
// kept in KeyDir.
func (l *Ledger) Start(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running {
		return garrison.Errorf(garrison.Conflict, "ledger: already started")
	}
	if err := l.open(ctx); err != nil {
		return err
	}
	l.running, l.fault, l.tail = true, nil, nil
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l.cancel = cancel
	l.queue, l.quit = make(chan request, 256), make(chan struct{})
	l.writing.Go(func() { l.write(run) })
	l.others.Go(func() { l.watch(run) })
	l.mu.Unlock()
	err := l.enterStart(ctx)
	l.mu.Lock()
	if err != nil {
		l.running = false
		return errors.Join(fmt.Errorf("enter the start into the ledger: %w", err), l.close(ctx))
	}
	l.others.Go(func() { l.beat(run) })
	return nil
}

// open prepares everything that Start needs before the first append.
func (l *Ledger) open(ctx context.Context) error {
	for _, dir := range []struct {
		path string
		mode os.FileMode
	}{{l.cfg.Dir, 0o755}, {l.cfg.KeyDir, 0o700}} {
		if err := os.MkdirAll(dir.path, dir.mode); err != nil {
			return garrison.Errorf(garrison.Unavailable, "make the ledger's directory %q: %w", dir.path, err)
		}
	}
	if err := suitable(l.cfg.Dir); err != nil {
		return err
	}
	lock, err := lockDir(l.cfg.Dir)
	if err != nil {
		return err
	}
	if err := l.prepare(ctx); err != nil {
		return errors.Join(err, lock.Close())
	}
	l.lock = lock
	return nil
}

func (l *Ledger) prepare(ctx context.Context) error {
	state, err := l.reader.dir.treeState()
	if err != nil {
		return err
	}
	quietLibrary(l.deps)
	if l.keys, err = openKeys(l.cfg.KeyDir, l.cfg.Origin, state.Size == 0, l.reader.dir.exists()); err != nil {
		return err
	}
	if l.seal, err = examine(l.cfg, l.keys, l.reader.dir, state, l.deps); err != nil {
		return err
	}
	l.seal.onSeal = l.sealed
	l.size = state.Size
	l.reader.size.Store(state.Size)
	return l.life.load(ctx, l.reader, state.Size)
}

// Stop enters the end, waits until a checkpoint covers everything, and closes.
func (l *Ledger) Stop(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.running {
		return nil
	}
	l.running = false
	l.mu.Unlock()
	bounded, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := l.enterStop(bounded)
	if err == nil {
		err = l.seal.await(bounded, l.reader.size.Load())
	}
	if err == nil {
		err = l.seal.awaitPublished(bounded)
	}
	if err == nil {
		_, err = l.seal.republish()
	}
	l.mu.Lock()
	return errors.Join(err, l.close(ctx))
}

// close ends the goroutines. The caller holds mu; they take it, so it is let go.
func (l *Ledger) close(_ context.Context) error {
	l.mu.Unlock()
	close(l.quit)
	l.cancel()
	l.others.Wait()
	l.writing.Wait()
	l.mu.Lock()
	return l.lock.Close()
}

// PublicKey returns the note verifier key of the log ("origin+hash+base64"); empty
// before the first Start.
func (l *Ledger) PublicKey() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.keys == nil {
		return ""
	}
	return l.keys.public
}

// Checkpoint returns the last signed checkpoint.
func (l *Ledger) Checkpoint(context.Context) ([]byte, error) {
	l.mu.Lock()
	seal := l.seal
	l.mu.Unlock()
	if seal == nil {
		return nil, errNotStarted
	}
	return seal.latest(), nil
}

// Entry returns one entry. It refuses, with code damaged, one that differs from what
// the tree holds.
func (l *Ledger) Entry(ctx context.Context, index uint64) ([]byte, error) {
	return l.reader.Entry(ctx, index)
}

// Scan yields entries in order from the given index on, until the end of the log or
// yield's first error.
func (l *Ledger) Scan(ctx context.Context, from uint64, yield func(index uint64, entry []byte) error) error {
	return l.reader.Scan(ctx, from, yield)
}

var errNotStarted = garrison.Errorf(garrison.Unavailable, "ledger: not started")
