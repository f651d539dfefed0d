package ledger

import (
	"context"
	"slices"
	"time"

	"garrison"
)

// Status is what the ledger says about itself.
type Status struct {
	Origin      string
	Size        uint64           // entries acknowledged
	Sealed      uint64           // entries covered by the last checkpoint
	Root        string           // root hash of the last checkpoint, base64 as in the checkpoint
	SealedUntil time.Time        // every entry acknowledged before this is covered by a checkpoint
	LastBeat    time.Time        // zero: none yet
	Started     time.Time        // of this life
	Checkpoints []CheckpointInfo // newest first, bounded, of this life
	Witnesses   int              // outside co-signers; 0 until witnesses exist
	SameDisk    bool             // key and log share a device: one theft takes both
	Fault       string           // why nothing is acknowledged or signed at present; empty: all is well
	Damaged     bool             // the fault is a difference found on disk, not a passing trouble
}

// CheckpointInfo is one signed checkpoint.
type CheckpointInfo struct {
	Size uint64
	Root string
	At   time.Time
}

// Status returns the present state.
func (l *Ledger) Status(context.Context) (Status, error) {
	l.mu.Lock()
	seal := l.seal
	l.mu.Unlock()
	if seal == nil {
		return Status{}, errNotStarted
	}
	s := Status{Origin: l.cfg.Origin, SameDisk: sameDevice(l.cfg.Dir, l.cfg.KeyDir)}
	s.Started, s.LastBeat = l.life.times()
	seal.mu.Lock()
	s.Sealed, s.Root = seal.last.Size, base64Of(seal.last.Hash)
	s.Checkpoints = slices.Clone(seal.history)
	seal.mu.Unlock()
	slices.Reverse(s.Checkpoints)
	if err := l.sealing(); err != nil {
		s.Fault, s.Damaged = err.Error(), garrison.CodeOf(err) == garrison.Damaged
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s.Size = l.size
	s.SealedUntil = l.deps.Now().UTC()
	if len(l.tail) > 0 {
		s.SealedUntil = l.tail[0].at.UTC()
	}
	if s.Fault == "" && l.fault != nil {
		s.Fault, s.Damaged = l.fault.Error(), garrison.CodeOf(l.fault) == garrison.Damaged
	}
	if s.Fault == "" && !l.running {
		s.Fault = errNotStarted.Error()
	}
	return s, nil
}
