package ledger

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"garrison"
	"garrison/evidence"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/tessera/client"
)

// Reader reads the entries of a log on disk, whether an installation runs on it or
// not. What it returns was compared with the tree.
type Reader struct {
	dir  logDir
	size atomic.Uint64
}

// OpenReader returns a reader of what the log holds now.
func OpenReader(cfg Config) (*Reader, error) {
	r := &Reader{dir: logDir(cfg.Dir)}
	state, err := r.dir.treeState()
	if err != nil {
		return nil, err
	}
	r.size.Store(state.Size)
	return r, nil
}

// Size returns how many entries can be read.
func (r *Reader) Size() uint64 { return r.size.Load() }

// Entry returns one entry.
func (r *Reader) Entry(ctx context.Context, index uint64) ([]byte, error) {
	size := r.size.Load()
	if index >= size {
		return nil, garrison.Errorf(garrison.NotFound, "the ledger has no entry %d; it has %d", index, size)
	}
	entries, err := r.checkedBundle(index/bundleWidth, size)
	if err != nil {
		return nil, err
	}
	return entries[index%bundleWidth], nil
}

// Scan yields entries in order from the given index on, until the end of the log or
// yield's first error. The bytes are the caller's to keep.
func (r *Reader) Scan(ctx context.Context, from uint64, yield func(index uint64, entry []byte) error) error {
	size := r.size.Load()
	for number := from / bundleWidth; number < bundlesOf(size); number++ {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("read the ledger: %w", err)
		}
		entries, err := r.checkedBundle(number, size)
		if err != nil {
			return err
		}
		for i, e := range entries {
			index := number*bundleWidth + uint64(i)
			if index < from {
				continue
			}
			if err := yield(index, e); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkedBundle reads a bundle and compares it with the hashes in the tree, so that
// damage is an answer of its own and never an entry.
func (r *Reader) checkedBundle(number, size uint64) ([][]byte, error) {
	entries, name, err := r.dir.bundle(number, size)
	if err != nil {
		return nil, err
	}
	hashes, tile, err := r.dir.tile(0, number, size)
	if err != nil {
		return nil, err
	}
	for i, e := range entries {
		if !bytes.Equal(hasher.HashLeaf(e), hashes[i]) {
			return nil, garrison.Errorf(garrison.Damaged, "entry %d of the ledger in %s is not the one in the tree (%s)",
				number*bundleWidth+uint64(i), name, tile)
		}
	}
	return entries, nil
}

// prove returns the path from an entry to the root of a log of the given size.
func (r *Reader) prove(ctx context.Context, index, size uint64) ([][]byte, error) {
	fetch := func(_ context.Context, level, number uint64, _ uint8) ([]byte, error) {
		hashes, _, err := r.dir.tile(level, number, size)
		if err != nil {
			return nil, err
		}
		return bytes.Join(hashes, nil), nil
	}
	builder, err := client.NewProofBuilder(ctx, size, fetch)
	if err != nil {
		return nil, err
	}
	return builder.InclusionProof(ctx, index)
}

const receiptWait = 2 * time.Second // the promise: sealed within two seconds

// Receipt returns the proof that an entry stands in the log, for an outsider. For an
// entry that no checkpoint covers yet it waits, at most two seconds.
func (l *Ledger) Receipt(ctx context.Context, ref garrison.EvidenceRef) (evidence.Receipt, error) {
	hash, err := hex.DecodeString(ref.Digest)
	if err != nil || len(hash) != hasher.Size() || ref.Log != l.cfg.Origin {
		return evidence.Receipt{}, garrison.Errorf(garrison.Invalid, "entry %d of %q is not a reference into this ledger", ref.Index, ref.Log)
	}
	if size := l.reader.size.Load(); ref.Index >= size {
		return evidence.Receipt{}, garrison.Errorf(garrison.NotFound, "the ledger has no entry %d; it has %d", ref.Index, size)
	}
	l.mu.Lock()
	seal := l.seal
	l.mu.Unlock()
	if seal == nil {
		return evidence.Receipt{}, errNotStarted
	}
	wait, cancel := context.WithTimeout(ctx, receiptWait)
	defer cancel()
	if err := seal.await(wait, ref.Index+1); err != nil {
		return evidence.Receipt{}, err
	}
	return l.receipt(ctx, ref.Index, hash, seal.latest())
}

func (l *Ledger) receipt(ctx context.Context, index uint64, hash, checkpoint []byte) (evidence.Receipt, error) {
	cp, err := l.keys.parse(checkpoint)
	if err != nil {
		return evidence.Receipt{}, fmt.Errorf("read the last checkpoint: %w", err)
	}
	path, err := l.reader.prove(ctx, index, cp.Size)
	if err != nil {
		return evidence.Receipt{}, fmt.Errorf("prove entry %d of the ledger: %w", index, err)
	}
	// A proof that does not hold must not leave the house.
	if err := proof.VerifyInclusion(hasher, index, cp.Size, hash, path, cp.Hash); err != nil {
		return evidence.Receipt{}, garrison.Errorf(garrison.Damaged,
			"entry %d of the ledger cannot be proved: the tree on disk or the reference is wrong: %w", index, err)
	}
	r := evidence.Receipt{Origin: cp.Origin, Index: index, Size: cp.Size, Checkpoint: checkpoint}
	for _, h := range path {
		if len(h) != hasher.Size() {
			return evidence.Receipt{}, errors.New("prove an entry of the ledger: a hash of the wrong length")
		}
		r.Proof = append(r.Proof, [32]byte(h))
	}
	return r, nil
}
