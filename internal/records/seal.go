package records

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"garrison"
	"garrison/internal/records/rows"
	"garrison/internal/records/wal"
)

const (
	sealBatch = 512 // chunks that go into the ledger at once
	sealPause = 200 * time.Millisecond
	sealLate  = 700 * time.Millisecond // a chunk that waits longer makes intake wait
)

// sealLoop puts the root of every closed chunk into the ledger.
func (s *Store) sealLoop(ctx context.Context) {
	for {
		var work []*chunk
		err := s.await(ctx, func() bool {
			work = s.toSeal[:min(len(s.toSeal), sealBatch)]
			return len(work) > 0
		})
		if err != nil {
			return
		}
		if err := s.sealChunks(ctx, work); err != nil {
			s.mu.Lock()
			s.sealErr = err
			s.mu.Unlock()
			s.log.Error("records: the ledger does not take chunk roots; nothing is acknowledged while this lasts", "err", err)
			select {
			case <-ctx.Done():
				return
			case <-time.After(sealPause):
			}
		}
	}
}

func (s *Store) sealChunks(ctx context.Context, work []*chunk) error {
	entries := make([][]byte, len(work))
	for i, c := range work {
		if err := s.rootOf(c); err != nil {
			return err
		}
		entries[i] = c.entry()
	}
	refs, err := s.deps.Ledger.Append(ctx, entries...)
	if err != nil {
		return fmt.Errorf("append %d chunk roots: %w", len(entries), err)
	}
	if len(refs) != len(entries) {
		return fmt.Errorf("append %d chunk roots: the ledger answered with %d places", len(entries), len(refs))
	}
	s.markSealed(work, refs)
	return nil
}

// rootOf sorts a closed chunk and computes its root, once.
func (s *Store) rootOf(c *chunk) error {
	s.mu.RLock()
	done := c.rooted && c.sorted
	tmp := chunk{shard: c.shard, second: c.second, rows: c.rows}
	t := s.tableOf(c).View()
	s.mu.RUnlock()
	if done {
		return nil
	}
	tmp.rows = t.Sorted(tmp.rows)
	if err := tmp.seal(t, s.keys); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c.rows, c.sorted = tmp.rows, true
	c.root, c.nodes, c.rooted = tmp.root, tmp.nodes, true
	return nil
}

// tableOf returns the table that a chunk's rows refer to. The lock is held.
func (s *Store) tableOf(c *chunk) *rows.Table { return c.gen.table }

func (s *Store) markSealed(work []*chunk, refs []garrison.EvidenceRef) {
	now := s.now()
	frames := map[int]*wal.Sealed{}
	s.mu.Lock()
	for i, c := range work {
		c.ref = refs[i]
		if !c.opened.IsZero() {
			s.sealSlow = max(s.sealSlow, now.Sub(c.opened))
		}
		f := frames[int(c.shard)]
		if f == nil {
			f = &wal.Sealed{}
			frames[int(c.shard)] = f
		}
		f.Chunks = append(f.Chunks, wal.SealedChunk{Second: c.second, Rows: len(c.rows), Root: slices.Clone(c.root[:]), Ref: c.ref})
	}
	s.toSeal = s.toSeal[len(work):]
	if len(s.toSeal) == 0 {
		s.toSeal = nil
	}
	s.sealErr = nil
	s.wake()
	s.mu.Unlock()
	for n, f := range frames {
		for _, c := range s.shards {
			if c.n == n {
				c.remember(f)
			}
		}
	}
}

// remember writes down where chunks are sealed, when there is room: a start that does
// not find it asks the ledger, or appends the same root again.
func (c *shard) remember(f *wal.Sealed) {
	select {
	case <-c.stop:
	case c.in <- &request{kind: reqSeal, body: wal.MarshalBody(f)}:
	default:
	}
}

// errUnequal says that the ledger holds another root for a chunk than its rows have.
var errUnequal = errors.New("the ledger holds another root for it")
