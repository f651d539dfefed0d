package ledger

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"garrison"
	"garrison/evidence"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"k8s.io/klog/v2"
)

const (
	maxGroup = 512              // entries written together
	maxOnce  = 4096             // entries of one Append
	patience = 10 * time.Second // acknowledged but not sealed for longer than this: stop acknowledging
	retry    = time.Second      // between attempts to open the log again after a failed write
)

// request is one Append on its way to the writer.
type request struct {
	entries [][]byte
	done    chan result // has room for one
}

type result struct {
	first uint64
	err   error
}

// tailMark remembers an acknowledged append until a checkpoint covers it.
type tailMark struct {
	end   uint64
	at    time.Time // by our clock, for people
	since time.Time // by the machine's, for patience: a clock set forward is no delay
}

// Append adds entries in order and returns where each stands, once all of them are on
// stable storage. After an error none of them counts as acknowledged, though some may
// be there: an entry that must not stand twice says so in its own text.
func (l *Ledger) Append(ctx context.Context, entries ...[]byte) ([]garrison.EvidenceRef, error) {
	if len(entries) == 0 {
		return nil, nil
	}
	if len(entries) > maxOnce {
		return nil, garrison.Errorf(garrison.TooLarge, "%d ledger entries at once, more than %d", len(entries), maxOnce)
	}
	r := request{entries: make([][]byte, len(entries)), done: make(chan result, 1)}
	for i, e := range entries {
		if len(e) == 0 {
			return nil, garrison.Errorf(garrison.Invalid, "ledger entry %d of %d is empty", i+1, len(entries))
		}
		if len(e) > evidence.MaxEntry {
			return nil, garrison.Errorf(garrison.TooLarge, "ledger entry of %d bytes, more than %d", len(e), evidence.MaxEntry)
		}
		r.entries[i] = bytes.Clone(e) // the writer may still hold it after ctx has ended
	}
	first, err := l.submit(ctx, r)
	if err != nil {
		return nil, err
	}
	refs := make([]garrison.EvidenceRef, len(entries))
	for i, e := range entries {
		hash := evidence.EntryHash(e)
		refs[i] = garrison.EvidenceRef{Log: l.cfg.Origin, Index: first + uint64(i), Digest: hex.EncodeToString(hash[:])}
	}
	return refs, nil
}

func (l *Ledger) submit(ctx context.Context, r request) (first uint64, err error) {
	l.mu.Lock()
	queue, quit := l.queue, l.quit
	l.mu.Unlock()
	if queue == nil {
		return 0, errNotStarted
	}
	select {
	case queue <- r:
	case <-quit:
		return 0, errNotStarted
	case <-ctx.Done():
		return 0, garrison.Errorf(garrison.Unavailable, "append to the ledger: %w", ctx.Err())
	}
	select {
	case got := <-r.done:
		return got.first, got.err
	case <-quit:
		// The writer answers what it has taken; the rest it never will.
		l.writing.Wait()
		select {
		case got := <-r.done:
			return got.first, got.err
		default:
			return 0, errNotStarted
		}
	case <-ctx.Done():
		return 0, garrison.Errorf(garrison.Unavailable, "append to the ledger: %w", ctx.Err())
	}
}

// writer owns the log library: one goroutine adds, so that after a failed write
// nothing else is on its way and the directory can be examined again.
type writer struct {
	l     *Ledger
	tree  *tessera.Appender // nil: not open
	close func()
	tried time.Time
}

// write commits groups of appends until Stop.
func (l *Ledger) write(ctx context.Context) {
	w := &writer{l: l}
	defer w.shut()
	for {
		select {
		case <-l.quit:
			return
		case r := <-l.queue:
			w.commit(ctx, l.gather(r))
		}
	}
}

// gather takes what waits behind the first request, up to one group: while one group
// is being synced the next one forms.
func (l *Ledger) gather(first request) []request {
	group, n := []request{first}, len(first.entries)
	for n < maxGroup {
		select {
		case r := <-l.queue:
			group = append(group, r)
			n += len(r.entries)
		default:
			return group
		}
	}
	return group
}

// commit writes one group and answers everybody in it.
func (w *writer) commit(ctx context.Context, group []request) {
	first, err := w.add(ctx, group)
	for _, r := range group {
		r.done <- result{first: first, err: err}
		first += uint64(len(r.entries))
	}
}

func (w *writer) add(ctx context.Context, group []request) (first uint64, err error) {
	if err := w.ready(ctx); err != nil {
		return 0, err
	}
	first = w.l.reader.size.Load()
	at := w.l.deps.Now()
	var futures []tessera.IndexFuture
	for _, r := range group {
		for _, e := range r.entries {
			futures = append(futures, w.tree.Add(ctx, tessera.NewEntry(e)))
		}
	}
	// All futures are waited for, even after an error: only then is nothing under way.
	var failed error
	for i, f := range futures {
		got, err := f()
		if err == nil && got.Index != first+uint64(i) {
			err = garrison.Errorf(garrison.Damaged, "entry became number %d of the ledger, expected %d: something else writes to it", got.Index, first+uint64(i))
		}
		if err != nil && failed == nil {
			failed = err
		}
	}
	if failed != nil {
		return 0, w.failed(failed)
	}
	w.l.acknowledge(first+uint64(len(futures)), at)
	return first, nil
}

// failed closes the log after an error of the disk. What is on disk is then unknown
// (a failed fsync says nothing about what comes after it), so the directory is
// examined anew before the next write.
func (w *writer) failed(err error) error {
	w.shut()
	w.tried = w.l.deps.Now()
	if garrison.CodeOf(err) == "" {
		err = garrison.Errorf(garrison.Unavailable, "write to the ledger in %q: %w", w.l.cfg.Dir, err)
	}
	w.l.setFault(err)
	w.l.deps.Log.Error("the ledger stopped acknowledging; it will be examined and opened again", "err", err)
	return err
}

// ready says whether entries may be acknowledged now, opening the log if need be.
func (w *writer) ready(ctx context.Context) error {
	if err := w.l.sealing(); err != nil {
		return err
	}
	if w.tree != nil {
		return nil
	}
	if since := w.l.deps.Now().Sub(w.tried); !w.tried.IsZero() && since >= 0 && since < retry {
		return w.l.currentFault()
	}
	w.tried = w.l.deps.Now()
	if err := w.reopen(ctx); err != nil {
		w.l.setFault(err)
		return err
	}
	w.l.setFault(nil)
	return nil
}

// reopen examines the directory and opens the library on it.
func (w *writer) reopen(ctx context.Context) error {
	l := w.l
	state, err := l.reader.dir.treeState()
	if err != nil {
		return err
	}
	if have := l.reader.size.Load(); state.Size < have {
		return garrison.Errorf(garrison.Damaged, "the ledger in %q has %d entries, but %d were acknowledged", l.cfg.Dir, state.Size, have)
	}
	fresh, err := examine(l.cfg, l.keys, l.reader.dir, state, l.deps)
	if err != nil {
		return err
	}
	l.seal.adopt(fresh)
	l.reader.size.Store(state.Size)
	run, cancel := context.WithCancel(context.WithoutCancel(ctx)) // ends with close, after the last checkpoint
	seal := &signer{sealer: l.seal}
	w.close = func() {
		seal.close()
		cancel()
	}
	if w.tree, err = openTree(run, l.cfg, seal); err != nil {
		w.shut()
		return err
	}
	return nil
}

func (w *writer) shut() {
	if w.close != nil {
		w.close()
	}
	w.tree, w.close = nil, nil
}

// openTree opens the log library. Batches are cut at once, because groups are formed
// here; obsolete partial tiles are removed by the library once a minute.
func openTree(ctx context.Context, cfg Config, seal *signer) (*tessera.Appender, error) {
	driver, err := posix.New(ctx, posix.Config{Path: cfg.Dir, HTTPClient: &http.Client{Transport: noTransport{}}})
	if err != nil {
		return nil, garrison.Errorf(garrison.Unavailable, "open the ledger in %q: %w", cfg.Dir, err)
	}
	opts := tessera.NewAppendOptions().
		WithCheckpointSigner(seal).
		WithBatching(maxGroup, time.Millisecond).
		// The library can miss one turn by a hair and then waits for the next.
		WithCheckpointInterval(cfg.CheckpointInterval / 2).
		WithCheckpointRepublishInterval(0)
	tree, _, _, err := tessera.NewAppender(ctx, driver, opts)
	if err != nil {
		return nil, garrison.Errorf(garrison.Unavailable, "open the ledger in %q: %w", cfg.Dir, err)
	}
	return tree, nil
}

// noTransport keeps the log library off the network: only probe goes out.
type noTransport struct{}

func (noTransport) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("the ledger makes no connections")
}

// quiet sends what the log library prints to our logger. The library's logger is one
// for the process and must be set before it is used, hence once.
var quiet sync.Once

func quietLibrary(deps Deps) {
	quiet.Do(func() {
		klog.SetSlogLogger(slog.New(warnings{deps.Log.Handler()}).With("component", "tessera"))
	})
}

// warnings passes on warnings and worse: what the library reports of its every day
// would stand between a person and what matters at a first start.
type warnings struct{ slog.Handler }

func (w warnings) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && w.Handler.Enabled(ctx, l)
}

func (w warnings) WithAttrs(a []slog.Attr) slog.Handler { return warnings{w.Handler.WithAttrs(a)} }
func (w warnings) WithGroup(n string) slog.Handler      { return warnings{w.Handler.WithGroup(n)} }

// acknowledge notes that entries up to size are on stable storage.
func (l *Ledger) acknowledge(size uint64, at time.Time) {
	l.reader.size.Store(size)
	l.mu.Lock()
	l.size = size
	l.tail = append(l.tail, tailMark{end: size, at: at, since: time.Now()})
	l.mu.Unlock()
	// The seal may have come first. The sealer calls sealed under its own lock, so
	// this lock must not be held while that one is taken.
	sealed, _, _ := l.seal.sealedSize()
	l.sealed(sealed)
}

// sealed notes that a checkpoint covers size entries. The sealer calls it.
func (l *Ledger) sealed(size uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for n < len(l.tail) && l.tail[n].end <= size {
		n++
	}
	l.tail = l.tail[n:]
}

// sealing says why acknowledged entries are not being sealed, if so: what is not
// sealed must not grow, or "acknowledged" loses its meaning.
func (l *Ledger) sealing() error {
	_, refused, _ := l.seal.sealedSize()
	if garrison.CodeOf(refused) == garrison.Damaged {
		return refused
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.tail) == 0 || time.Since(l.tail[0].since) < patience {
		return nil
	}
	if refused == nil {
		refused = errors.New("no checkpoint was asked for")
	}
	return garrison.Errorf(garrison.Unavailable, "the ledger has not been sealed for %v: %w", patience, refused)
}

func (l *Ledger) setFault(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault = err
}

func (l *Ledger) currentFault() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fault == nil {
		return garrison.Errorf(garrison.Unavailable, "the ledger is being opened again")
	}
	return l.fault
}

// watch keeps the checkpoint file honest while the ledger runs. The library measures
// its age by the wall clock and stops publishing while the file seems to come from
// the future, and while it cannot read it.
func (l *Ledger) watch(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := l.reader.dir.rejuvenate(); err != nil {
			l.deps.Log.Warn("the ledger's checkpoint could not be given a new date", "err", err)
		}
		switch altered, err := l.seal.republish(); {
		case err != nil:
			l.deps.Log.Error("the ledger's checkpoint could not be looked at", "err", err)
		case altered:
			l.deps.Log.Error("the ledger's checkpoint was changed or removed by somebody else; the kept copy was put back",
				"file", fmt.Sprintf("%q", l.reader.dir.path("checkpoint")))
		}
	}
}
