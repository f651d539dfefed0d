package records

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"garrison"
	"garrison/evidence"
	"garrison/internal/records/rows"
)

// errFound ends a scan that has what it wants.
var errFound = errors.New("found")

// Prove returns the proof of a candidate that Trace returned.
func (s *Store) Prove(ctx context.Context, c garrison.Candidate) (ProvenRecord, error) {
	match := func(n *evidence.NAT) bool {
		return n.OutsideIP == c.OutsideIP && n.OutsidePort == c.FirstPort && n.OutsidePortLast == c.LastPort &&
			n.InsideIP == c.InsideIP && n.InsidePort == c.InsidePort && n.Line == c.Line && n.Device == c.Device && n.Source == c.Source
	}
	list, err := s.prove(ctx, c.Chunk, func(i int, n *evidence.NAT) bool { return match(n) }, 1)
	if err != nil {
		return ProvenRecord{}, err
	}
	if len(list) == 0 {
		return ProvenRecord{}, garrison.Refuse(garrison.NotFound, "error.records.no_record")
	}
	return list[0], nil
}

// Sample returns up to n records of a period of reception with their proofs, spread
// over it: from every so-many-th chunk one. The choice depends on nothing but what is
// stored, so that the same state gives the same sample.
func (s *Store) Sample(ctx context.Context, p garrison.Period, n int) ([]ProvenRecord, error) {
	var out []ProvenRecord
	for attempt := 0; ; attempt++ {
		ids, err := s.chunksOf(p)
		if err == nil {
			out, err = s.sampleOf(ctx, ids, n)
		}
		if attempt < 5 && errors.Is(err, fs.ErrNotExist) {
			continue // merged meanwhile
		}
		return out, err
	}
}

func (s *Store) sampleOf(ctx context.Context, ids []garrison.ChunkID, n int) ([]ProvenRecord, error) {
	var out []ProvenRecord
	n = min(n, 1000)
	for k := range min(n, len(ids)) {
		id := ids[k*len(ids)/min(n, len(ids))]
		first := -1
		got, err := s.prove(ctx, id, func(i int, _ *evidence.NAT) bool {
			if first < 0 {
				first = i
			}
			return i == first
		}, 1)
		if err != nil {
			return nil, err
		}
		out = append(out, got...)
	}
	return out, nil
}

// chunksOf lists the sealed chunks received in a period, in order.
func (s *Store) chunksOf(p garrison.Period) ([]garrison.ChunkID, error) {
	v := s.view()
	var ids []garrison.ChunkID
	in := func(second int64) bool {
		return second >= p.From.Unix() && (p.Until.IsZero() || second < p.Until.Unix())
	}
	for i := range v.cat.Segments {
		r := &v.cat.Segments[i]
		if r.Until < p.From.Unix() || !p.Until.IsZero() && r.From >= p.Until.Unix() {
			continue
		}
		t, err := s.open.tree(r.dir(s.cfg.Dir), r)
		if err != nil {
			return nil, err
		}
		for k := range t.Chunks {
			if c := &t.Chunks[k]; in(c.Second) {
				ids = append(ids, garrison.ChunkID{Kind: garrison.KindNAT, Shard: int(c.Shard), Second: c.Second})
			}
		}
	}
	for _, g := range v.gens {
		for _, c := range g.chunks {
			if in(c.id.Second) && !c.ref.Zero() {
				ids = append(ids, c.id)
			}
		}
	}
	slices.SortFunc(ids, func(a, b garrison.ChunkID) int {
		if a.Second != b.Second {
			return int(a.Second - b.Second)
		}
		return a.Shard - b.Shard
	})
	return ids, nil
}

// prove returns the first records of a chunk that want accepts, at most limit.
func (s *Store) prove(ctx context.Context, id garrison.ChunkID, want func(int, *evidence.NAT) bool, limit int) ([]ProvenRecord, error) {
	key, err := s.keys.chunk(id, false)
	if err != nil {
		return nil, garrison.Errorf(garrison.Damaged, "prove a record of second %d: %w", id.Second, err)
	}
	recs, ref, root, err := s.chunkRecords(ctx, id)
	if err != nil {
		return nil, err
	}
	if ref.Zero() {
		return nil, garrison.Refuse(garrison.Unavailable, "error.records.not_sealed_yet")
	}
	tree := evidence.BuildChunkTree(evidence.NATLeaves(key, recs))
	if tree.Root() != root {
		return nil, garrison.Errorf(garrison.Damaged, "second %d, shard %d: its %d records do not lead to the root that was sealed", id.Second, id.Shard, len(recs))
	}
	var out []ProvenRecord
	for i := range recs {
		if len(out) == limit {
			break
		}
		if !want(i, &recs[i]) {
			continue
		}
		proof, err := tree.Prove(i)
		if err != nil {
			return nil, fmt.Errorf("prove record %d of second %d: %w", i, id.Second, err)
		}
		salt := saltAt(key, i)
		out = append(out, ProvenRecord{
			Record: recs[i], Salt: salt, Leaf: evidence.LeafHash(salt, recs[i].AppendCanonical(nil)), Index: uint64(i), Size: uint64(len(recs)),
			Proof: proof, Root: root, Chunk: id, ChunkEntry: ref,
		})
	}
	return out, nil
}

// chunkRecords returns all records of a chunk in canonical order and where it is
// sealed.
func (s *Store) chunkRecords(ctx context.Context, id garrison.ChunkID) ([]evidence.NAT, garrison.EvidenceRef, [32]byte, error) {
	v := s.view()
	var none [32]byte
	for _, g := range v.gens {
		for _, c := range g.chunks {
			if c.id != id {
				continue
			}
			recs := make([]evidence.NAT, len(c.rows))
			for i := range c.rows {
				g.table.NAT(&c.rows[i], &recs[i])
			}
			slices.SortFunc(recs, func(a, b evidence.NAT) int { return evidence.CompareNAT(&a, &b) })
			return recs, c.ref, c.root, nil
		}
	}
	for i := range v.cat.Segments {
		r := &v.cat.Segments[i]
		if id.Second < r.From || id.Second > r.Until {
			continue
		}
		t, err := s.open.tree(r.dir(s.cfg.Dir), r)
		if err != nil {
			return nil, garrison.EvidenceRef{}, none, err
		}
		c, ok := t.Find(uint8(id.Shard), id.Second)
		if !ok {
			continue
		}
		ref := garrison.EvidenceRef{Log: r.Log, Index: c.Index, Digest: hex.EncodeToString(c.Digest[:])}
		recs, err := s.segmentChunk(ctx, r, id, int(c.Rows))
		return recs, ref, c.Root, err
	}
	return nil, garrison.EvidenceRef{}, none, garrison.Refuse(garrison.NotFound, "error.records.no_record")
}

// segmentChunk reads the rows of one chunk out of a segment. It reads the whole
// segment: its rows lie apart.
func (s *Store) segmentChunk(ctx context.Context, r *segmentRef, id garrison.ChunkID, n int) ([]evidence.NAT, error) {
	recs := make([]evidence.NAT, 0, n)
	err := scanSegment(ctx, r, r.dir(s.cfg.Dir), func(t *rows.Table, row *rows.Row) error {
		if int64(row.Received) != id.Second || int(row.Shard) != id.Shard {
			return nil
		}
		recs = append(recs, evidence.NAT{})
		t.NAT(row, &recs[len(recs)-1])
		if len(recs) == n {
			return errFound
		}
		return nil
	})
	if err != nil && !errors.Is(err, errFound) {
		return nil, err
	}
	return recs, nil
}
