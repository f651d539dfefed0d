package records

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"garrison"
	"garrison/internal/records/rows"
	"garrison/internal/records/segment"
	"garrison/internal/state/atomicfile"
)

// cutLoop moves frozen generations into segments, oldest first.
func (s *Store) cutLoop(ctx context.Context) {
	for {
		var g *generation
		if s.await(ctx, func() bool { g = s.ripe(); return g != nil }) != nil {
			return
		}
		err := s.settle(ctx, g)
		if err == nil {
			continue
		}
		if ctx.Err() != nil {
			return
		}
		s.log.Error("records: a segment could not be written; its records stay in the write-ahead file", "err", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(2 * time.Second):
		}
	}
}

// ripe returns a frozen generation whose chunks are all sealed; of each shard only the
// oldest, because the catalog's mark covers everything before it. The lock is held.
func (s *Store) ripe() *generation {
	seen := map[int]bool{}
	for _, g := range s.frozen {
		if seen[g.shard] {
			continue
		}
		seen[g.shard] = true
		if !slices.ContainsFunc(g.chunks, func(c *chunk) bool { return c.ref.Zero() }) {
			return g
		}
	}
	return nil
}

// settle writes a generation as a segment, replaces the catalog and gives the
// write-ahead files up.
func (s *Store) settle(ctx context.Context, g *generation) error {
	var ref *segmentRef
	if g.rows > 0 {
		r, err := s.writeGeneration(ctx, g)
		if err != nil {
			return err
		}
		ref = &r
	}
	m := mark{Shard: g.shard, Frame: g.next, Second: s.lastSecond(g)}
	err := s.commitCatalog(g.book, func(c *catalog) {
		c.setMark(m)
		if ref != nil {
			c.Segments = append(c.Segments, *ref)
			c.Log = cmp.Or(ref.Log, c.Log)
		}
		c.Entry = max(c.Entry, s.entryFloor(g))
	}, func() { s.frozen = slices.DeleteFunc(s.frozen, func(x *generation) bool { return x == g }) })
	if err != nil {
		return err
	}
	if err := s.removeCovered(m, s.state.Load() == stateRunning); err != nil {
		s.log.Warn("records: a write-ahead file that is not needed any more is still there", "err", err)
	}
	return nil
}

// lastSecond returns the last second a shard has used up to the end of g.
func (s *Store) lastSecond(g *generation) int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	last := s.cat.mark(g.shard).Second
	if n := len(g.chunks); n > 0 {
		last = max(last, g.chunks[n-1].second)
	}
	if n := len(g.book.Spans); n > 0 {
		last = max(last, g.book.Spans[n-1].Until)
	}
	return max(last, g.last)
}

// entryFloor returns from which ledger entry on a start must look for chunks that are
// not in segments, once g is. The lock is held.
func (s *Store) entryFloor(g *generation) uint64 {
	floor := uint64(0)
	for _, c := range g.chunks {
		floor = max(floor, c.ref.Index+1)
	}
	lower := func(o *generation) {
		for _, c := range o.chunks {
			if o != g && !c.ref.Zero() {
				floor = min(floor, c.ref.Index)
			}
		}
	}
	for _, o := range s.frozen {
		lower(o)
	}
	for _, c := range s.shards {
		lower(c.gen)
	}
	return floor
}

// writeGeneration writes the files of a segment, reads them back and compares.
func (s *Store) writeGeneration(ctx context.Context, g *generation) (segmentRef, error) {
	for _, c := range g.chunks { // after a start a sealed chunk may not have its tree yet
		if err := s.rootOf(c); err != nil {
			return segmentRef{}, err
		}
		if c.wanted {
			s.mu.Lock()
			s.checkRoot(c, c.want, int64(len(c.rows)))
			c.wanted = false
			s.mu.Unlock()
		}
	}
	view := g.table.View() // a frozen generation does not change
	spread := segment.NewReception()
	sources := func() []rows.Source {
		list := make([]rows.Source, 0, len(g.chunks))
		for _, c := range g.chunks {
			list = append(list, &rows.Run{Table: view, Rows: c.rows})
		}
		return list
	}
	info := segment.Info{From: g.chunks[0].second, Until: g.chunks[len(g.chunks)-1].second, Rows: int64(g.rows)}
	chunks := make([]segment.Chunk, 0, len(g.chunks))
	for _, c := range g.chunks {
		for i := 0; i < len(c.rows); i += 16 {
			spread.Add(&c.rows[i])
		}
		k := segment.Chunk{Shard: c.shard, Second: c.second, Rows: uint32(len(c.rows)), Root: c.root, Index: c.ref.Index, Nodes: c.nodes}
		if _, err := hex.Decode(k.Digest[:], []byte(c.ref.Digest)); err != nil {
			return segmentRef{}, fmt.Errorf("chunk of second %d: its ledger digest %q: %w", c.second, c.ref.Digest, err)
		}
		chunks = append(chunks, k)
		info.Log = c.ref.Log
	}
	return s.writeSegment(ctx, info, spread.Lag(), sources, chunks, minutesOf(g))
}

func minutesOf(g *generation) []segment.Minute {
	list := make([]segment.Minute, 0, len(g.minutes))
	for _, m := range g.minutes {
		list = append(list, *m)
	}
	slices.SortFunc(list, func(a, b segment.Minute) int { return cmp.Compare(a.Minute, b.Minute) })
	return list
}

// writeSegment writes rows in canonical order as a segment that is not in the catalog
// yet.
func (s *Store) writeSegment(ctx context.Context, info segment.Info, lag bool, sources func() []rows.Source, chunks []segment.Chunk, minutes []segment.Minute) (segmentRef, error) {
	info.Kind, info.Day, info.Made, info.Chunks = string(garrison.KindNAT), dayOf(info.From), s.now().Unix(), len(chunks)
	info.Name = fmt.Sprintf("%s-%06d", time.Unix(info.From, 0).UTC().Format("150405"), s.nextName())
	dir := filepath.Join(s.cfg.Dir, segmentsDir, info.Day)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return segmentRef{}, fmt.Errorf("make segment folder: %w", err)
	}
	if err := atomicfile.SyncDir(filepath.Dir(dir)); err != nil {
		return segmentRef{}, err
	}
	b := segment.NewBuilder(dir, info.Name, lag)
	wrote := newDigest()
	n := int64(0)
	err := rows.Merge(sources(), func(t *rows.Table, r *rows.Row) error {
		if n++; n&0xffff == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if info.Level == 0 {
			wrote.add(t, r)
		}
		return b.Add(t, r)
	})
	if err == nil && n != info.Rows {
		err = fmt.Errorf("segment %q would have %d rows, not %d", info.Name, n, info.Rows)
	}
	if err != nil {
		return segmentRef{}, errors.Join(err, b.Abort())
	}
	if info.Parts, err = b.Finish(); err != nil {
		return segmentRef{}, err
	}
	info.MinStart, info.MaxEnd = info.Parts[0].MinStart, info.Parts[0].MaxEnd
	for _, p := range info.Parts {
		info.MinStart, info.MaxEnd = min(info.MinStart, p.MinStart), max(info.MaxEnd, p.MaxEnd)
	}
	ref := segmentRef{Info: info}
	if err := s.readBack(ctx, &ref, wrote, chunks); err != nil {
		return segmentRef{}, errors.Join(err, s.removeUnnamed(ref))
	}
	if ref.Tree, err = segment.WriteTree(dir, info, chunks, minutes); err != nil {
		return segmentRef{}, errors.Join(err, s.removeUnnamed(ref))
	}
	return ref, nil
}

// nextName numbers segments; a number used by a segment that never made it into the
// catalog may be used again, its files are gone by then.
func (s *Store) nextName() int64 { return s.names.Add(1) }

// readBack reads what was written as a question would and compares: the library that
// writes the files also reads them, and a page that only it can write must be noticed
// while the rows are still elsewhere. Rows that come from memory are compared as such;
// rows that come from other segments must lead to the roots that were sealed.
func (s *Store) readBack(ctx context.Context, ref *segmentRef, wrote *digest, chunks []segment.Chunk) error {
	if ref.Level > 0 {
		return s.proveRoots(ctx, ref, chunks)
	}
	got := newDigestLike(wrote)
	err := scanSegment(ctx, ref, ref.dir(s.cfg.Dir), func(t *rows.Table, r *rows.Row) error {
		got.add(t, r)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read segment %q back: %w", ref.Name, err)
	}
	if got.sum != wrote.sum || got.n != wrote.n {
		return garrison.Errorf(garrison.Damaged, "segment %q reads back differently from what was written (%d rows, %d written)", ref.Name, got.n, wrote.n)
	}
	return nil
}

// scanSegment yields all rows of a segment in canonical order.
func scanSegment(ctx context.Context, ref *segmentRef, dir string, yield func(*rows.Table, *rows.Row) error) error {
	var sources []rows.Source
	for _, p := range ref.Parts {
		r, err := segment.Open(dir, p)
		if err != nil {
			return err
		}
		defer r.Close()
		st := r.Stream()
		defer st.Close()
		sources = append(sources, st)
	}
	n := 0
	return rows.Merge(sources, func(t *rows.Table, r *rows.Row) error {
		if n++; n&0xffff == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		return yield(t, r)
	})
}

// commitCatalog replaces catalog.json by one with change made and counted added to
// its book; then runs done with the lock held, so that nobody sees rows twice or not
// at all.
func (s *Store) commitCatalog(counted *book, change func(*catalog), done func()) error {
	s.catMu.Lock()
	defer s.catMu.Unlock()
	s.mu.Lock()
	next := s.cat.clone()
	change(next)
	next.Damage = append(next.Damage, s.damage...)
	known := len(s.damage)
	s.mu.Unlock()
	next.Gen++
	next.NextName = s.names.Load()
	if len(next.Damage) > 1000 {
		next.Damage = next.Damage[:1000]
	}
	days := map[int64]*dayBook{}
	var replaced []dayRef
	if counted != nil {
		next.Book.add(&book{Sources: counted.Sources, Spans: counted.Spans})
		var err error
		if replaced, err = s.mergeDays(next, counted, days); err != nil {
			return err
		}
	}
	dropped, more, err := s.boundDays(next, days)
	if err != nil {
		return err
	}
	replaced = append(replaced, more...)
	if err := next.write(s.cfg.Dir); err != nil {
		return err
	}
	s.mu.Lock()
	s.cat = next
	s.damage = s.damage[known:]
	for n, d := range days {
		s.days[n] = d
	}
	for _, k := range dropped {
		delete(s.answers, [32]byte(k.Key))
	}
	s.trimDays()
	if done != nil {
		done()
	}
	s.wake()
	s.mu.Unlock()
	return s.removeDays(replaced)
}

// mergeDays adds counted to the day files and returns the ones that were replaced.
func (s *Store) mergeDays(next *catalog, counted *book, days map[int64]*dayBook) ([]dayRef, error) {
	var replaced []dayRef
	for n, later := range counted.days {
		d := newDay(n)
		i := slices.IndexFunc(next.Days, func(r dayRef) bool { return r.Day == n })
		if i >= 0 {
			old, err := s.dayBook(next.Days[i])
			if err != nil {
				s.mu.Lock()
				s.found(Damage{File: filepath.Join(daysDir, next.Days[i].File), Range: "all", Records: 0, What: err.Error()})
				s.mu.Unlock()
			} else {
				d.add(old)
			}
			replaced = append(replaced, next.Days[i])
		}
		d.add(later)
		ref, err := writeDay(s.cfg.Dir, d, next.Gen)
		if err != nil {
			return nil, err
		}
		if i >= 0 {
			next.Days[i] = ref
		} else {
			next.Days = append(next.Days, ref)
		}
		days[n] = d
	}
	slices.SortFunc(next.Days, func(a, b dayRef) int { return cmp.Compare(a.Day, b.Day) })
	return replaced, nil
}

// tallyDays is how many days of minute tallies are kept: the floor and what a clock
// error can add.
const tallyDays = FloorDays + 2

// boundDays drops day files that are too old and, beyond the limit on keys, the keys
// of the oldest days.
func (s *Store) boundDays(next *catalog, days map[int64]*dayBook) (dropped []keyAnswer, replaced []dayRef, err error) {
	oldest := s.now().Unix()/86400 - tallyDays
	total := 0
	for _, r := range next.Days {
		total += r.Keys
	}
	var kept []dayRef
	for _, r := range next.Days {
		over := total > s.cfg.MaxKeys && r.Keys > 0
		if r.Day >= oldest && !over {
			kept = append(kept, r)
			continue
		}
		d := days[r.Day]
		if d == nil {
			read, err := s.dayBook(r)
			if err != nil {
				kept = append(kept, r) // verify names it
				continue
			}
			d = read
		}
		n := len(d.Keys)
		if r.Day >= oldest {
			n = min(n, total-s.cfg.MaxKeys)
		}
		dropped = append(dropped, d.Keys[:n]...)
		total -= n
		replaced = append(replaced, r)
		if r.Day < oldest {
			continue
		}
		trimmed := &dayBook{Day: d.Day, Tallies: d.Tallies, Keys: slices.Clone(d.Keys[n:])}
		ref, err := writeDay(s.cfg.Dir, trimmed, next.Gen)
		if err != nil {
			return nil, nil, err
		}
		if ref.File == r.File {
			replaced = replaced[:len(replaced)-1]
		}
		days[r.Day] = trimmed
		kept = append(kept, ref)
	}
	next.Days = kept
	return dropped, replaced, nil
}

// dayBook returns a day of the catalog's loss ledger. What it returns is not changed.
func (s *Store) dayBook(ref dayRef) (*dayBook, error) {
	s.mu.RLock()
	d := s.days[ref.Day]
	s.mu.RUnlock()
	if d != nil {
		return d, nil
	}
	d, err := readDay(s.cfg.Dir, ref)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// A newer one may have been put there meanwhile; then ours is old.
	if s.days[ref.Day] == nil && slices.Contains(s.cat.Days, ref) {
		s.days[ref.Day] = d
		s.trimDays()
	}
	return d, nil
}

// trimDays bounds how many days are kept in memory. The lock is held.
func (s *Store) trimDays() {
	const most = 8
	for len(s.days) > most {
		oldest := int64(1 << 62)
		for n := range s.days {
			oldest = min(oldest, n)
		}
		delete(s.days, oldest)
	}
}

// Compact moves everything received so far into segments and merges them.
func (s *Store) Compact(ctx context.Context) error {
	var waits []chan answer
	for _, c := range s.shards {
		r := &request{kind: reqCut, ack: make(chan answer, 1)}
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
	if err := s.await(ctx, func() bool { return len(s.frozen) == 0 || s.failed != nil }); err != nil {
		return err
	}
	return s.mergeAll(ctx, true)
}

// removeUnnamed removes files that were written but are not in the catalog.
func (s *Store) removeUnnamed(ref segmentRef) error {
	var errs []error
	for _, p := range ref.Parts {
		errs = append(errs, removeFile(filepath.Join(ref.dir(s.cfg.Dir), p.File)))
	}
	return errors.Join(errs...)
}
