package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"garrison"

	"github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/tessera/api/layout"
	"golang.org/x/mod/sumdb/note"
)

// sealer signs checkpoints. It is the note signer that the log library calls, and it
// does not believe the library: before it signs that a log of some size has some
// root, it reads the entry bundles back from disk and computes the root itself. One
// flipped bit between hashing and storing has ended a public log before.
//
// It also keeps the two rules that make a log a log: no checkpoint is smaller than
// the one before, and none contradicts it. The copy in KeyDir is durable before the
// signature is handed out.
type sealer struct {
	dir    logDir
	keys   *keys
	now    func() time.Time
	log    *slog.Logger
	onSeal func(size uint64)

	mu      sync.Mutex // guards what follows
	base    *compact.Range
	last    log.Checkpoint
	raw     []byte           // the last checkpoint, signed
	history []CheckpointInfo // newest last, bounded
	refused error            // why the last signature was refused; nil: it was not
	changed chan struct{}    // closed and replaced at every seal
}

const historyLength = 64

var _ note.Signer = (*sealer)(nil)

// Name returns the log's origin.
func (s *sealer) Name() string { return s.keys.signer.Name() }

// KeyHash returns the hash of the log's key.
func (s *sealer) KeyHash() uint32 { return s.keys.signer.KeyHash() }

// Sign checks what is on disk against the checkpoint and signs it.
func (s *sealer) Sign(text []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sig, err := s.sign(text)
	if err != nil {
		if s.refused == nil || s.refused.Error() != err.Error() {
			s.log.Error("a checkpoint was not signed", "err", err)
		}
		s.refused = err
		return nil, err
	}
	s.refused = nil
	return sig, nil
}

func (s *sealer) sign(text []byte) ([]byte, error) {
	var cp log.Checkpoint
	if rest, err := cp.Unmarshal(text); err != nil || len(rest) > 0 || cp.Origin != s.keys.origin {
		return nil, garrison.Errorf(garrison.Damaged, "asked to sign something else than a checkpoint of %q", s.keys.origin)
	}
	if cp.Size < s.last.Size || (cp.Size == s.last.Size && s.raw != nil && !bytes.Equal(cp.Hash, s.last.Hash)) {
		return nil, garrison.Errorf(garrison.Damaged,
			"asked to sign a checkpoint of %d entries that contradicts the one of %d entries signed before", cp.Size, s.last.Size)
	}
	base, err := s.recompute(cp)
	if err != nil {
		return nil, err
	}
	sig, err := s.keys.signer.Sign(text)
	if err != nil {
		return nil, fmt.Errorf("sign a checkpoint: %w", err)
	}
	raw := s.keys.format(text, sig)
	// The order matters: kept first, then published. The other way round a crash
	// would leave a published checkpoint that nobody remembers.
	if err := s.keys.writeKept(kept{Latest: string(raw), Previous: s.published()}); err != nil {
		return nil, garrison.Errorf(garrison.Unavailable, "keep a copy of the checkpoint: %w", err)
	}
	s.advance(cp, base, raw)
	return sig, nil
}

// published returns the checkpoint file as it is on disk, which the new checkpoint
// replaces a moment later, if it is one of ours.
func (s *sealer) published() string {
	raw, err := s.dir.read(layout.CheckpointPath)
	if err != nil {
		return ""
	}
	if cp, err := s.keys.parse(raw); err != nil || cp.Size > s.last.Size {
		s.log.Error("the ledger's checkpoint was changed by somebody else; a new one replaces it", "file", s.dir.path(layout.CheckpointPath))
		return ""
	}
	return string(raw)
}

// advance remembers a seal.
func (s *sealer) advance(cp log.Checkpoint, base *compact.Range, raw []byte) {
	s.base, s.last, s.raw = base, cp, raw
	s.history = append(s.history, CheckpointInfo{Size: cp.Size, Root: base64Of(cp.Hash), At: s.now().UTC()})
	if len(s.history) > historyLength {
		s.history = append([]CheckpointInfo(nil), s.history[len(s.history)-historyLength:]...)
	}
	close(s.changed)
	s.changed = make(chan struct{})
	if s.onSeal != nil {
		s.onSeal(cp.Size)
	}
}

// recompute reads every bundle that is not wholly under the last checkpoint and
// compares the root. It starts at a bundle's first entry, not at the first new one,
// because each write of the last bundle copies its older entries into a new file. It
// returns the range up to the last full bundle, where the next one starts.
func (s *sealer) recompute(cp log.Checkpoint) (*compact.Range, error) {
	base, full, err := s.replay(cp.Size)
	if err != nil {
		return nil, err
	}
	root, err := rootOf(full)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(root, cp.Hash) {
		return nil, garrison.Errorf(garrison.Damaged,
			"what is on disk is not what was appended (%s): computed root %s, tree state says %s; %s",
			entryRange(s.base.End(), cp.Size), base64Of(root), base64Of(cp.Hash), s.suspect(cp.Size))
	}
	return base, nil
}

// replay extends the verified range over the bundles on disk up to size.
func (s *sealer) replay(size uint64) (base, full *compact.Range, err error) {
	if base, err = copyRange(s.base); err != nil {
		return nil, nil, err
	}
	if full, err = copyRange(s.base); err != nil {
		return nil, nil, err
	}
	for number := s.base.End() / bundleWidth; number < bundlesOf(size); number++ {
		entries, _, err := s.dir.bundle(number, size)
		if err != nil {
			return nil, nil, err
		}
		for _, e := range entries {
			if err := full.Append(hasher.HashLeaf(e), nil); err != nil {
				return nil, nil, fmt.Errorf("hash %s: %w", rangeOf(number, size), err)
			}
		}
		if full.End()%bundleWidth == 0 {
			if base, err = copyRange(full); err != nil {
				return nil, nil, err
			}
		}
	}
	return base, full, nil
}

// suspect names the first entry after the verified ones whose bundle and tile differ.
func (s *sealer) suspect(size uint64) string {
	for number := s.base.End() / bundleWidth; number < bundlesOf(size); number++ {
		entries, bundle, err := s.dir.bundle(number, size)
		if err != nil {
			return err.Error()
		}
		hashes, tile, err := s.dir.tile(0, number, size)
		if err != nil {
			return err.Error()
		}
		for i, e := range entries {
			if !bytes.Equal(hasher.HashLeaf(e), hashes[i]) {
				return fmt.Sprintf("entry %d differs between %s and %s", number*bundleWidth+uint64(i), bundle, tile)
			}
		}
	}
	return "bundles and their tiles agree, so the tree state or a tile further left is wrong"
}

// latest returns the last signed checkpoint.
func (s *sealer) latest() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.raw)
}

// sealedSize returns how many entries the last checkpoint covers, why the last
// signature was refused, and a channel that closes at the next seal.
func (s *sealer) sealedSize() (uint64, error, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last.Size, s.refused, s.changed
}

// await returns when a checkpoint covers size entries.
func (s *sealer) await(ctx context.Context, size uint64) error {
	for {
		sealed, refused, changed := s.sealedSize()
		if sealed >= size {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			if refused != nil {
				return refused
			}
			return garrison.Errorf(garrison.Unavailable, "wait for a checkpoint over %d entries: %w", size, ctx.Err())
		}
	}
}

// signer is the sealer as one opening of the log library sees it. The library's
// goroutines cannot be waited for; once closed they get no more signatures, so that
// what one opening left behind never publishes over the next.
type signer struct {
	*sealer
	closed bool // guarded by the sealer's mu
}

// Sign refuses once closed.
func (s *signer) Sign(text []byte) ([]byte, error) {
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return nil, errNotStarted
	}
	return s.sealer.Sign(text)
}

// close ends the signing and waits for the last signature to be published.
func (s *signer) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := s.awaitPublished(ctx); err != nil {
		s.log.Warn("the ledger closes before its last checkpoint was published; the next start does that", "err", err)
	}
}

// awaitPublished returns when the log's own file is the last signed checkpoint: the
// library writes it a moment after it was signed, and says nothing.
func (s *sealer) awaitPublished(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		raw, err := s.dir.read(layout.CheckpointPath)
		if err == nil && bytes.Equal(raw, s.latest()) {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return garrison.Errorf(garrison.Unavailable, "wait for the checkpoint to be published: %w", ctx.Err())
		}
	}
}

// republish puts the kept checkpoint back in place when the file of the log is none
// of ours. It never makes a new statement. Once the last checkpoint is seen in place,
// the one before it is forgotten: found there again, it was put there.
func (s *sealer) republish() (altered bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	raw, err := s.dir.read(layout.CheckpointPath)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("read the checkpoint: %w", err)
	}
	c, err := s.keys.readKept()
	if err != nil {
		return false, err
	}
	switch {
	case string(raw) == c.Latest && c.Previous == "":
		return false, nil
	case string(raw) == c.Latest:
		return false, s.keys.writeKept(kept{Latest: c.Latest})
	case len(raw) > 0 && string(raw) == c.Previous:
		return false, nil
	}
	return true, writeCheckpoint(s.dir, []byte(c.Latest))
}

func rootOf(r *compact.Range) ([]byte, error) {
	if r.End() == 0 {
		return hasher.EmptyRoot(), nil
	}
	return r.GetRootHash(nil)
}

func copyRange(r *compact.Range) (*compact.Range, error) {
	hashes := append([][]byte(nil), r.Hashes()...)
	return newRange(r.End(), hashes)
}

func newRange(end uint64, hashes [][]byte) (*compact.Range, error) {
	f := &compact.RangeFactory{Hash: hasher.HashChildren}
	return f.NewRange(0, end, hashes)
}
