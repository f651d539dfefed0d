package records

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"garrison"
	"garrison/evidence"
	"garrison/internal/records/rows"
	"garrison/internal/records/segment"
)

// keepLoop merges small segments and lets old ones expire.
func (s *Store) keepLoop(ctx context.Context) {
	tick := time.NewTicker(s.cfg.Maintain)
	defer tick.Stop()
	for {
		if err := s.mergeAll(ctx, false); err != nil && ctx.Err() == nil {
			s.log.Error("records: segments could not be merged; they stay as they are", "err", err)
		}
		if err := s.expireOld(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("records: expired records could not be removed", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// mergeAll merges the segments of each hour; of the running hour only when now is set
// or there are many.
func (s *Store) mergeAll(ctx context.Context, now bool) error {
	s.mergeMu.Lock()
	defer s.mergeMu.Unlock()
	for {
		group := s.mergeable(now)
		if group == nil {
			return nil
		}
		if err := s.merge(ctx, group); err != nil {
			return err
		}
	}
}

// manySegments is how many segments an hour may have before it is merged early.
const manySegments = 24

// mergeable returns segments of one hour that are to become one, or nil.
func (s *Store) mergeable(now bool) []segmentRef {
	s.mu.RLock()
	defer s.mu.RUnlock()
	hours := map[int64][]segmentRef{}
	for _, r := range s.cat.Segments {
		hours[r.From/3600] = append(hours[r.From/3600], r)
	}
	settled := s.now().Add(-2*time.Minute).Unix() / 3600
	for _, hour := range slices.Sorted(keysOf(hours)) {
		list := hours[hour]
		if hour >= settled && !now && len(list) < manySegments {
			continue
		}
		slices.SortFunc(list, func(a, b segmentRef) int { return cmp.Compare(a.From, b.From) })
		if group := pick(list, s.cfg.MergeRows); len(group) > 1 {
			return group
		}
	}
	return nil
}

// pick returns the first neighbours that stay within the limit together.
func pick(list []segmentRef, limit int64) []segmentRef {
	for i := range list {
		n, j := list[i].Rows, i+1
		for j < len(list) && n+list[j].Rows <= limit && j-i < 64 {
			n += list[j].Rows
			j++
		}
		if j-i > 1 {
			return list[i:j]
		}
	}
	return nil
}

// merge writes segments as one. Chunks keep their rows, their roots and their place
// in the ledger, and the new files must prove it before the old ones go.
func (s *Store) merge(ctx context.Context, group []segmentRef) error {
	var need int64
	info := segment.Info{From: group[0].From, Level: 1}
	var chunks []segment.Chunk
	minutes := map[int64]*segment.Minute{}
	for i := range group {
		g := &group[i]
		need += g.bytes()
		info.Until, info.Rows, info.Log = max(info.Until, g.Until), info.Rows+g.Rows, g.Log
		info.Replaces += max(g.Replaces, 1)
		t, err := s.open.tree(g.dir(s.cfg.Dir), g)
		if err != nil {
			return s.damaged(g, err)
		}
		for _, c := range t.Chunks {
			if c.Nodes, err = t.Nodes(c); err != nil {
				return s.damaged(g, err)
			}
			chunks = append(chunks, c)
		}
		addMinutes(minutes, t.Minutes)
	}
	if err := s.space(need); err != nil {
		return fmt.Errorf("merge %d segments: %w", len(group), err)
	}
	spread := segment.NewReception()
	if err := s.sampleReception(ctx, group, spread); err != nil {
		return err
	}
	lag := spread.Lag()
	segment.OrderChunks(chunks)
	ref, err := s.mergeRows(ctx, info, lag, group, chunks, sortedMinutes(minutes))
	if err != nil {
		return err
	}
	gone := map[string]bool{}
	for _, g := range group {
		gone[g.Name] = true
	}
	err = s.commitCatalog(nil, func(c *catalog) {
		c.Segments = slices.DeleteFunc(c.Segments, func(r segmentRef) bool { return gone[r.Name] })
		c.Segments = append(c.Segments, ref)
	}, nil)
	if err != nil {
		return err
	}
	return s.removeSegments(group)
}

// damaged notes that a segment cannot be read.
func (s *Store) damaged(g *segmentRef, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := Damage{File: filepath.Join(segmentsDir, g.Day, g.Name), Range: "all", Records: g.Rows, What: err.Error()}
	if !slices.Contains(s.damage, d) && !slices.Contains(s.cat.Damage, d) {
		s.found(d)
	}
	return err
}

func addMinutes(to map[int64]*segment.Minute, list []segment.Minute) {
	for _, m := range list {
		x := to[m.Minute]
		if x == nil {
			x = &segment.Minute{Minute: m.Minute}
			to[m.Minute] = x
		}
		x.Begun += m.Begun
		x.Ended += m.Ended
	}
}

func sortedMinutes(m map[int64]*segment.Minute) []segment.Minute {
	list := make([]segment.Minute, 0, len(m))
	for _, n := range slices.Sorted(keysOf(m)) {
		list = append(list, *m[n])
	}
	return list
}

// sampleReception looks at the first rows of each file to choose how reception is
// written.
func (s *Store) sampleReception(ctx context.Context, group []segmentRef, spread *segment.Reception) error {
	for i := range group {
		for _, p := range group[i].Parts {
			r, leave, err := s.open.part(group[i].dir(s.cfg.Dir), p)
			if err != nil {
				return s.damaged(&group[i], err)
			}
			st := r.Stream()
			batch, _, err := st.Next()
			for k := range batch {
				spread.Add(&batch[k])
			}
			st.Close()
			leave()
			if err != nil {
				return s.damaged(&group[i], err)
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

func (s *Store) mergeRows(ctx context.Context, info segment.Info, lag bool, group []segmentRef, chunks []segment.Chunk, minutes []segment.Minute) (segmentRef, error) {
	var open []*segment.Reader
	var streams []*segment.Stream
	defer func() {
		for _, st := range streams {
			st.Close()
		}
		for _, r := range open {
			r.Close()
		}
	}()
	var sources []rows.Source
	for i := range group {
		for _, p := range group[i].Parts {
			r, err := segment.Open(group[i].dir(s.cfg.Dir), p)
			if err != nil {
				return segmentRef{}, s.damaged(&group[i], err)
			}
			open = append(open, r)
			st := r.Stream()
			streams = append(streams, st)
			sources = append(sources, st)
		}
	}
	return s.writeSegment(ctx, info, lag, func() []rows.Source { return sources }, chunks, minutes)
}

// proveRoots recomputes the roots of all chunks of a segment from its files.
func (s *Store) proveRoots(ctx context.Context, ref *segmentRef, chunks []segment.Chunk) error {
	h := newHasher(s.keys)
	err := scanSegment(ctx, ref, ref.dir(s.cfg.Dir), h.add)
	if err != nil {
		return err
	}
	for i := range chunks {
		root, n, err := h.root(chunks[i].Shard, chunks[i].Second)
		if err != nil {
			return err
		}
		if root != chunks[i].Root {
			return garrison.Errorf(garrison.Damaged, "segment %q: second %d, shard %d has %d records and another root than was sealed over %d",
				ref.Name, chunks[i].Second, chunks[i].Shard, n, chunks[i].Rows)
		}
	}
	if len(h.chunks) != len(chunks) {
		return garrison.Errorf(garrison.Damaged, "segment %q has rows of %d chunks, not %d", ref.Name, len(h.chunks), len(chunks))
	}
	return nil
}

// expireOld removes segments whose records are all older than the retention.
func (s *Store) expireOld(ctx context.Context) error {
	s.mergeMu.Lock()
	defer s.mergeMu.Unlock()
	p, expired, err := s.permit(ctx)
	if err != nil || len(p.segments) == 0 {
		return err
	}
	gone := map[string]bool{}
	for _, r := range p.segments {
		gone[r.Name] = true
	}
	err = s.commitCatalog(nil, func(c *catalog) {
		c.Segments = slices.DeleteFunc(c.Segments, func(r segmentRef) bool { return gone[r.Name] })
		c.Expired = append(c.Expired, expired...)
	}, nil)
	if err != nil {
		return err
	}
	s.log.Info("records: removed expired records", "segments", len(p.segments), "entry", p.ref.Index)
	return s.Expire(p)
}

// permit finds what is older than the retention and makes the permit to remove it,
// after the ledger holds the expiry.
func (s *Store) permit(ctx context.Context) (Permit, []Expired, error) {
	now := s.now()
	limit := now.AddDate(0, 0, -s.cfg.RetentionDays)
	s.mu.RLock()
	var old []segmentRef
	rest := map[string]bool{}
	for _, r := range s.cat.Segments {
		// Retention runs from the later of the source's time and ours; an end in the
		// future is a wrong clock and must not keep the record for ever.
		last := max(r.Until, min(r.MaxEnd/1000, now.Unix()))
		if last < limit.Unix() && len(old) < 64 {
			old = append(old, r)
		} else {
			rest[dayOf(r.From)], rest[dayOf(r.Until)] = true, true
		}
	}
	s.mu.RUnlock()
	if len(old) == 0 {
		return Permit{}, nil, nil
	}
	entries := make([][]byte, len(old))
	for i := range old {
		entries[i] = expiryEntry(&old[i], s.cfg.RetentionDays, now)
	}
	refs, err := s.deps.Ledger.Append(ctx, entries...)
	if err != nil {
		return Permit{}, nil, fmt.Errorf("append expiry: %w", err)
	}
	p := Permit{segments: old, ref: refs[0]}
	var expired []Expired
	for i, r := range old {
		expired = append(expired, Expired{From: r.From, Until: r.Until, Records: r.Rows, At: now.Unix(), Evidence: refs[i]})
		for _, d := range []string{dayOf(r.From), dayOf(r.Until)} {
			if !rest[d] && !slices.Contains(p.days, d) && d < dayOf(limit.Unix()) {
				p.days = append(p.days, d)
			}
		}
	}
	return p, expired, nil
}

func expiryEntry(r *segmentRef, days int, now time.Time) []byte {
	return evidence.NewEntry(evidence.TypeExpiry,
		"kind", r.Kind,
		"segment", r.Day+"/"+r.Name,
		"from", strconv.FormatInt(r.From, 10),
		"until", strconv.FormatInt(r.Until, 10),
		"records", strconv.FormatInt(r.Rows, 10),
		"chunks", strconv.Itoa(r.Chunks),
		"retention_days", strconv.Itoa(days),
		"tree", r.Tree.SHA256,
		"at", now.UTC().Format(time.RFC3339),
	).Marshal()
}
