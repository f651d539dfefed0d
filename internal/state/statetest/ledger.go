package statetest

import (
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"sync"

	"garrison"
	"garrison/evidence"
)

// Ledger is a ledger in memory, with faults.
type Ledger struct {
	mu      sync.Mutex // guards all below
	entries [][]byte
	faults  []Fault
}

// Fault is what goes wrong with one call of Append.
type Fault int

const (
	None      Fault = iota
	Fails           // nothing is appended, and it says so
	FailsLate       // everything is appended, but it says that it failed
	Confuses        // everything is appended, but it answers for other entries
)

// ErrFault is what a call with a fault returns.
var ErrFault = errors.New("the ledger failed on purpose")

// Inject sets what goes wrong with the next calls, one each.
func (l *Ledger) Inject(f ...Fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults = append(l.faults, f...)
}

// Append is the ledger's.
func (l *Ledger) Append(_ context.Context, entries ...[]byte) ([]garrison.EvidenceRef, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fault := None
	if len(l.faults) > 0 {
		fault, l.faults = l.faults[0], l.faults[1:]
	}
	if fault == Fails {
		return nil, ErrFault
	}
	refs := make([]garrison.EvidenceRef, len(entries))
	for i, e := range entries {
		digest := evidence.EntryHash(e)
		refs[i] = garrison.EvidenceRef{Log: "test.invalid/log", Index: uint64(len(l.entries)), Digest: hex.EncodeToString(digest[:])}
		l.entries = append(l.entries, slices.Clone(e))
	}
	switch fault {
	case FailsLate:
		return nil, ErrFault
	case Confuses:
		slices.Reverse(refs)
	}
	return refs, nil
}

// Scan is the ledger's.
func (l *Ledger) Scan(_ context.Context, from uint64, yield func(uint64, []byte) error) error {
	entries := l.Entries()
	for i := from; i < uint64(len(entries)); i++ {
		if err := yield(i, entries[i]); err != nil {
			return err
		}
	}
	return nil
}

// Entries returns what was appended so far.
func (l *Ledger) Entries() [][]byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.entries)
}
