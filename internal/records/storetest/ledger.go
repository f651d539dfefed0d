package storetest

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"garrison"
)

// Ledger is a ledger on one plain file: durable, ordered, unsigned. It is safe for
// concurrent use.
type Ledger struct {
	path string
	mu   sync.Mutex // guards what follows
	file *os.File
	next uint64
	Fail error // when set, Append answers with it
}

// OpenLedger opens or creates the ledger at path.
func OpenLedger(path string) (*Ledger, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	l := &Ledger{path: path, file: f}
	good := int64(0)
	if err := scan(path, func(_ uint64, e []byte) error {
		l.next++
		good += 4 + int64(len(e))
		return nil
	}); err != nil {
		return nil, err
	}
	return l, f.Truncate(good) // a torn last entry was never answered
}

// Append implements the store's Appender.
func (l *Ledger) Append(_ context.Context, entries ...[]byte) ([]garrison.EvidenceRef, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.Fail != nil {
		return nil, l.Fail
	}
	var refs []garrison.EvidenceRef
	var b []byte
	for _, e := range entries {
		b = append(binary.LittleEndian.AppendUint32(b, uint32(len(e))), e...)
		h := sha256.Sum256(append([]byte{0}, e...))
		refs = append(refs, garrison.EvidenceRef{Log: "test.example/log", Index: l.next, Digest: hex.EncodeToString(h[:])})
		l.next++
	}
	if _, err := l.file.Write(b); err != nil {
		return nil, err
	}
	return refs, l.file.Sync()
}

// SetFail makes Append fail with err until it is set to nil.
func (l *Ledger) SetFail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.Fail = err
}

// Scan implements the store's EntryScan.
func (l *Ledger) Scan(_ context.Context, from uint64, yield func(uint64, []byte) error) error {
	return scan(l.path, func(i uint64, e []byte) error {
		if i < from {
			return nil
		}
		return yield(i, e)
	})
}

func scan(path string, yield func(uint64, []byte) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	r := bufio.NewReader(f)
	for i := uint64(0); ; i++ {
		var n [4]byte
		if _, err := io.ReadFull(r, n[:]); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return nil
			}
			return err
		}
		size := binary.LittleEndian.Uint32(n[:])
		if size > 1<<20 {
			return fmt.Errorf("entry %d has %d bytes", i, size)
		}
		e := make([]byte, size)
		if _, err := io.ReadFull(r, e); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return nil
			}
			return err
		}
		if err := yield(i, e); err != nil {
			return err
		}
	}
}

// Close closes the file.
func (l *Ledger) Close() error { return l.file.Close() }
