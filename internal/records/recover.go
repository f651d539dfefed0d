package records

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"garrison"
	"garrison/evidence"
	"garrison/internal/records/wal"
	"garrison/internal/state/atomicfile"
)

// recover reads what is on disk and leaves the store ready to run: everything found
// in write-ahead files is one frozen generation a shard, and each shard has a new
// file.
func (s *Store) recover(ctx context.Context) error {
	cat, fresh, err := readCatalog(s.cfg.Dir)
	if err != nil {
		return &garrison.Error{Code: garrison.Damaged, Key: "error.records.catalog_damaged", Args: map[string]any{"file": catalogName},
			Err: fmt.Errorf("open %q: %w; put the file back from the last backup of the data directory", filepath.Join(s.cfg.Dir, catalogName), err)}
	}
	s.cat = cat
	s.names.Store(cat.NextName)
	if err := s.loadKeys(); err != nil {
		return err
	}
	if err := s.removeOrphans(cat); err != nil {
		return err
	}
	files, err := wal.List(filepath.Join(s.cfg.Dir, walDir))
	if err != nil {
		return err
	}
	if err := s.missingFiles(cat, fresh, files); err != nil {
		return err
	}
	gens := map[int]*generation{}
	lasts := map[int]int64{}
	for shard, list := range byShard(files) {
		g, last, err := s.replay(cat.mark(shard), shard, list)
		if err != nil {
			return err
		}
		gens[shard], lasts[shard] = g, last
	}
	if err := s.resumeSeals(ctx, gens); err != nil {
		return err
	}
	return s.openShards(gens, lasts)
}

func byShard(files []wal.File) map[int][]wal.File {
	m := map[int][]wal.File{}
	for _, f := range files {
		m[f.Shard] = append(m[f.Shard], f)
	}
	return m
}

// missingFiles notices write-ahead files that are gone: after a stop that was not in
// order there is at least one.
func (s *Store) missingFiles(cat *catalog, fresh bool, files []wal.File) error {
	if fresh || len(files) > 0 {
		return nil
	}
	spans := cat.Book.Spans
	if len(spans) == 0 || spans[len(spans)-1].Cause == causeStopped {
		return nil
	}
	s.found(Damage{File: walDir, Range: fmt.Sprintf("frames from %d", cat.mark(0).Frame), Records: -1,
		What: "the last run did not stop in order, but its write-ahead file is gone"})
	return nil
}

// found notes damage that a start came upon; it goes into the next catalog.
func (s *Store) found(d Damage) {
	s.damage = append(s.damage, d)
	s.log.Error("records: damage found", "file", d.File, "range", d.Range, "records", d.Records, "what", d.What)
}

func (s *Store) loadKeys() error {
	for _, ref := range s.cat.Days {
		if ref.Keys == 0 {
			continue
		}
		d, err := readDay(s.cfg.Dir, ref)
		if err != nil {
			if garrison.CodeOf(err) == garrison.Damaged || errors.Is(err, os.ErrNotExist) {
				s.found(Damage{File: filepath.Join(daysDir, ref.File), Range: "all", Records: 0, What: err.Error()})
				continue
			}
			return err
		}
		for _, k := range d.Keys {
			if len(k.Key) == 32 {
				s.answers[[32]byte(k.Key)] = k
			}
		}
	}
	return nil
}

// replay reads a shard's files into one generation. A torn tail is cut off; anything
// else that is not a frame is damage.
func (s *Store) replay(m mark, shard int, files []wal.File) (*generation, int64, error) {
	g := newGeneration(shard, m.Frame, s.now())
	next, last := m.Frame, m.Second
	if files[0].First > m.Frame {
		s.found(Damage{File: filepath.Join(walDir, files[0].Name), Range: fmt.Sprintf("frames %d to %d", m.Frame, files[0].First-1), Records: -1,
			What: "the write-ahead file with these frames is gone"})
	}
	for i, f := range files {
		newest := i == len(files)-1
		if i > 0 && f.First != next {
			s.found(Damage{File: filepath.Join(walDir, f.Name), Range: fmt.Sprintf("frames %d to %d", next, int64(f.First)-1), Records: -1, What: "these frames are gone"})
		}
		var faults []wal.Fault
		res, err := wal.Scan(filepath.Join(s.cfg.Dir, walDir), f, newest, func(fr wal.Frame) error {
			last = max(last, fr.Second)
			if fr.Seq < m.Frame {
				return nil
			}
			return s.replayFrame(g, shard, fr)
		}, func(x wal.Fault) { faults = append(faults, x) })
		if err != nil {
			return nil, 0, err
		}
		next = max(f.First, res.Next)
		if slices.ContainsFunc(faults, func(x wal.Fault) bool { return !x.Torn }) {
			next = max(next, res.Above) // numbers of frames that cannot be read are not used again
			s.spoiled[f.Name] = true
		}
		if err := s.replayFaults(f, res, faults); err != nil {
			return nil, 0, err
		}
	}
	g.next, g.last = max(next, m.Frame), last
	for _, c := range g.chunks {
		c.closed = true
	}
	return g, last, nil
}

func (s *Store) replayFaults(f wal.File, res wal.Result, faults []wal.Fault) error {
	for _, x := range faults {
		if !x.Torn {
			s.found(Damage{File: filepath.Join(walDir, x.File), Range: fmt.Sprintf("bytes %d to %d", x.From, x.Until), Records: x.Rows, What: x.What})
			continue
		}
		s.log.Warn("records: cut off an unfinished write; nothing of it was acknowledged", "file", x.File, "from", x.From, "bytes", x.Until-x.From, "records", x.Rows)
		if res.Empty {
			continue
		}
		if err := cutTail(filepath.Join(s.cfg.Dir, walDir, f.Name), x.From); err != nil {
			return err
		}
	}
	return nil
}

func cutTail(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("cut off an unfinished write: %w", err)
	}
	err = f.Truncate(size)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("cut off an unfinished write: %w", err)
	}
	return atomicfile.SyncDir(filepath.Dir(path))
}

func (s *Store) replayFrame(g *generation, shard int, f wal.Frame) error {
	bad := func(err error) {
		s.found(Damage{File: filepath.Join(walDir, f.File), Range: fmt.Sprintf("bytes %d to %d", f.Offset, f.Offset+wal.HeaderSize+int64(f.Length)), Records: int64(f.Rows), What: err.Error()})
	}
	switch f.Type {
	case wal.Batch:
		b, err := g.batch(f.Header, f.Body, time.Time{})
		if err != nil {
			bad(err)
			return nil
		}
		if b.Key != [32]byte{} {
			s.answers[b.Key] = keyAnswer{Stored: int(f.Rows), Refused: int(b.Refused)}
		}
	case wal.Watch:
		if shard == 0 {
			g.book.watch(f.Second, string(f.Body))
		}
	case wal.Begin:
		var v wal.Begun
		if err := json.Unmarshal(f.Body, &v); err != nil {
			bad(err)
			return nil
		}
		if shard == 0 {
			g.book.begin(f.Second, v.Run)
		}
	case wal.End:
		if shard == 0 {
			g.book.close(causeStopped)
		}
	case wal.Seal:
		var v wal.Sealed
		if err := json.Unmarshal(f.Body, &v); err != nil {
			bad(err)
			return nil
		}
		g.sealed(v)
	}
	return nil
}

// sealed notes which chunks are in the ledger already. Chunks of earlier generations
// are in segments by now.
func (g *generation) sealed(v wal.Sealed) {
	for _, x := range v.Chunks {
		for _, c := range g.chunks {
			if c.second == x.Second && len(x.Root) == len(c.want) {
				c.ref, c.wanted = x.Ref, true
				copy(c.want[:], x.Root)
			}
		}
	}
}

// resumeSeals finds out which chunks of the last run are in the ledger although the
// run ended before it could write that down; the others are sealed as soon as the
// store runs. What the ledger holds is compared with what is on disk.
func (s *Store) resumeSeals(ctx context.Context, gens map[int]*generation) error {
	open := map[garrison.ChunkID]*chunk{}
	for _, g := range gens {
		for _, c := range g.chunks {
			c.gen = g
			open[c.id()] = c
		}
	}
	if s.deps.Entries != nil && len(open) > 0 {
		err := s.deps.Entries.Scan(ctx, s.cat.Entry, func(index uint64, entry []byte) error {
			return s.compareEntry(open, index, entry)
		})
		if err != nil {
			return fmt.Errorf("look for chunks in the ledger: %w", err)
		}
	}
	var left []*chunk
	for _, c := range open {
		if c.ref.Zero() {
			left = append(left, c)
		}
	}
	slices.SortFunc(left, func(a, b *chunk) int { return int(a.second - b.second) })
	for _, c := range left {
		s.queue(c)
	}
	return nil
}

func (s *Store) compareEntry(open map[garrison.ChunkID]*chunk, index uint64, entry []byte) error {
	if !bytes.HasPrefix(entry, []byte("garrison/"+evidence.TypeChunk+"/")) {
		return nil
	}
	e, err := evidence.ParseEntry(entry)
	if err != nil {
		return nil // the ledger's own check is the place to name this
	}
	k, err := evidence.ChunkOf(e)
	if err != nil {
		return nil
	}
	c := open[garrison.ChunkID{Kind: garrison.RecordKind(k.Kind), Shard: int(k.Shard), Second: k.Second}]
	if c == nil {
		return nil
	}
	if err := s.rootOf(c); err != nil {
		return err
	}
	s.checkRoot(c, k.Root, int64(k.Records))
	if !c.ref.Zero() {
		return nil // the first entry counts; more are allowed when they say the same
	}
	c.ref = garrison.EvidenceRef{Log: s.cat.Log, Index: index, Digest: entryDigest(entry)}
	return nil
}

// checkRoot compares a chunk's rows with what the ledger holds for it.
func (s *Store) checkRoot(c *chunk, want [32]byte, records int64) {
	if c.root == want {
		return
	}
	s.found(Damage{File: walDir, Range: fmt.Sprintf("second %d, shard %d", c.second, c.shard), Records: max(records, int64(len(c.rows))),
		What: fmt.Sprintf("%d records are here and %v", len(c.rows), errUnequal)})
}

// openShards starts each shard's new file behind everything that was found.
func (s *Store) openShards(gens map[int]*generation, lasts map[int]int64) error {
	now := s.now()
	for _, g := range gens { // also of shards that the configuration no longer has
		s.frozen = append(s.frozen, g)
	}
	for n := range s.cfg.Shards {
		m := s.cat.mark(n)
		first, last := m.Frame, m.Second
		if g := gens[n]; g != nil {
			first, last = g.next, lasts[n]
		}
		c := &shard{s: s, n: n, in: make(chan *request, 1024), stop: make(chan struct{}), keyed: map[[32]byte]bool{}}
		if err := s.freeName(n, first); err != nil {
			return err
		}
		w, err := wal.Create(filepath.Join(s.cfg.Dir, walDir), n, first)
		if err != nil {
			return err
		}
		c.w, c.second, c.opened = w, max(now.Unix(), last+1), now
		c.gen = newGeneration(n, first, now)
		begin := wal.Header{Type: wal.Begin, Second: c.second}
		if err := w.Write(w.Frame(nil, begin, wal.MarshalBody(wal.Begun{Run: s.run, At: now.UnixMilli()}), 0), 1); err != nil {
			return err
		}
		if err := w.Sync(); err != nil {
			return err
		}
		if n == 0 {
			c.gen.book.begin(c.second, s.run)
		}
		s.shards = append(s.shards, c)
	}
	return nil
}
