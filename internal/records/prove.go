package records

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sort"

	"garrison"
	"garrison/evidence"
	"garrison/internal/records/rows"
	"garrison/internal/records/segment"
)

// Prove returns the proof of a candidate that Trace returned.
func (s *Store) Prove(ctx context.Context, c garrison.Candidate) (ProvenRecord, error) {
	for attempt := 0; ; attempt++ {
		p, err := s.proveCandidate(ctx, c)
		if attempt < 5 && errors.Is(err, fs.ErrNotExist) {
			continue // merged meanwhile
		}
		return p, err
	}
}

func (s *Store) proveCandidate(ctx context.Context, c garrison.Candidate) (ProvenRecord, error) {
	at, ok, err := s.chunkAt(s.view(), c.Chunk)
	if err != nil {
		return ProvenRecord{}, err
	}
	if !ok {
		return ProvenRecord{}, garrison.Refuse(garrison.NotFound, "error.records.no_record")
	}
	if at.ref.Zero() {
		return ProvenRecord{}, garrison.Refuse(garrison.Unavailable, "error.records.not_sealed_yet")
	}
	list, closeAll, err := s.openChunks(ctx, []chunkPlace{at}, 0)
	if err != nil {
		return ProvenRecord{}, err
	}
	defer closeAll()
	w := list[0]
	match := func(n *evidence.NAT) bool {
		return n.OutsideIP == c.OutsideIP && n.OutsidePort == c.FirstPort && n.OutsidePortLast == c.LastPort &&
			n.InsideIP == c.InsideIP && n.InsidePort == c.InsidePort && n.Line == c.Line && n.Device == c.Device && n.Source == c.Source
	}
	key := evidence.NAT{OutsideIP: c.OutsideIP, OutsidePort: c.FirstPort}
	if err := w.seek(&key); err != nil {
		return ProvenRecord{}, err
	}
	for {
		n, err := w.next()
		if err != nil {
			return ProvenRecord{}, err
		}
		if n == nil || compareOutside(n, &key) != 0 {
			return ProvenRecord{}, garrison.Refuse(garrison.NotFound, "error.records.no_record")
		}
		if match(n) {
			return s.proveAt(at, w, w.place()-1)
		}
	}
}

// Sample returns up to n records of a period of reception with their proofs, spread
// over it: from every so-many-th chunk one. The choice depends on nothing but what is
// stored, so that the same state gives the same sample.
func (s *Store) Sample(ctx context.Context, p garrison.Period, n int) ([]ProvenRecord, error) {
	for attempt := 0; ; attempt++ {
		out, err := s.sampleOf(ctx, p, min(n, 1000))
		if attempt < 5 && errors.Is(err, fs.ErrNotExist) {
			continue // merged meanwhile
		}
		return out, err
	}
}

func (s *Store) sampleOf(ctx context.Context, p garrison.Period, n int) ([]ProvenRecord, error) {
	all, err := s.chunksOf(s.view(), p)
	if err != nil {
		return nil, err
	}
	n = min(n, len(all))
	groups := map[*segmentRef][]int{} // one look into a segment serves all its chunks
	var order []*segmentRef
	for k := range n {
		i := k * len(all) / n
		if groups[all[i].seg] == nil {
			order = append(order, all[i].seg)
		}
		groups[all[i].seg] = append(groups[all[i].seg], i)
	}
	proven := map[int]ProvenRecord{}
	for _, seg := range order {
		if err := s.sampleSegment(ctx, all, groups[seg], proven); err != nil {
			return nil, err
		}
	}
	out := make([]ProvenRecord, 0, n)
	for k := range n {
		out = append(out, proven[k*len(all)/n])
	}
	return out, nil
}

func (s *Store) sampleSegment(ctx context.Context, all []chunkPlace, which []int, proven map[int]ProvenRecord) error {
	places := make([]chunkPlace, len(which))
	for k, i := range which {
		places[k] = all[i]
	}
	list, closeAll, err := s.openChunks(ctx, places, evidence.NodeWidth)
	if err != nil {
		return err
	}
	defer closeAll()
	for k, i := range which {
		if proven[i], err = s.proveAt(places[k], list[k], 0); err != nil {
			return err
		}
	}
	return nil
}

// chunkPlace is where a sealed chunk lies: in a segment, or in memory where seg is nil.
type chunkPlace struct {
	id    garrison.ChunkID
	ref   garrison.EvidenceRef
	seg   *segmentRef
	tree  *segment.Tree
	chunk segment.Chunk
	mem   *chunkView
	table *rows.Table
}

func inSegment(seg *segmentRef, t *segment.Tree, c segment.Chunk) chunkPlace {
	return chunkPlace{
		id:  garrison.ChunkID{Kind: garrison.KindNAT, Shard: int(c.Shard), Second: c.Second},
		ref: garrison.EvidenceRef{Log: seg.Log, Index: c.Index, Digest: hex.EncodeToString(c.Digest[:])},
		seg: seg, tree: t, chunk: c,
	}
}

func inMemory(t *rows.Table, c *chunkView) chunkPlace {
	k := segment.Chunk{Shard: uint8(c.id.Shard), Second: c.id.Second, Rows: uint32(len(c.rows)), Root: c.root, Nodes: c.nodes}
	return chunkPlace{id: c.id, ref: c.ref, mem: c, table: t, chunk: k}
}

// chunkAt returns where a chunk lies.
func (s *Store) chunkAt(v view, id garrison.ChunkID) (chunkPlace, bool, error) {
	for g := range v.gens {
		for i := range v.gens[g].chunks {
			if c := &v.gens[g].chunks[i]; c.id == id {
				return inMemory(v.gens[g].table, c), true, nil
			}
		}
	}
	for i := range v.cat.Segments {
		r := &v.cat.Segments[i]
		if id.Second < r.From || id.Second > r.Until {
			continue
		}
		t, err := s.open.tree(r.dir(s.cfg.Dir), r)
		if err != nil {
			return chunkPlace{}, false, err
		}
		if c, ok := t.Find(uint8(id.Shard), id.Second); ok {
			return inSegment(r, t, c), true, nil
		}
	}
	return chunkPlace{}, false, nil
}

// chunksOf lists the sealed chunks received in a period, in order.
func (s *Store) chunksOf(v view, p garrison.Period) ([]chunkPlace, error) {
	var list []chunkPlace
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
			if c := t.Chunks[k]; in(c.Second) {
				list = append(list, inSegment(r, t, c))
			}
		}
	}
	for g := range v.gens {
		for i := range v.gens[g].chunks {
			if c := &v.gens[g].chunks[i]; in(c.id.Second) && !c.ref.Zero() {
				list = append(list, inMemory(v.gens[g].table, c))
			}
		}
	}
	slices.SortFunc(list, func(a, b chunkPlace) int {
		return cmp.Or(cmp.Compare(a.id.Second, b.id.Second), cmp.Compare(a.id.Shard, b.id.Shard))
	})
	return list, nil
}

// openChunks returns walks over chunks that lie in the same segment, or in memory. Of
// those in a segment, one pass over few columns finds the rows; limit is how many of
// each are needed from the first on, 0: all.
func (s *Store) openChunks(ctx context.Context, places []chunkPlace, limit int) (list []*walk, closeAll func(), err error) {
	list = make([]*walk, len(places))
	for i := range places {
		list[i] = &walk{}
	}
	var leave []func()
	closeAll = func() {
		for _, f := range slices.Backward(leave) {
			f()
		}
	}
	seg := places[0].seg
	if seg == nil {
		for i := range places {
			list[i].files = []*walkFile{memoryFile(&places[i])}
		}
		return list, closeAll, nil
	}
	chunks := make([]segment.Chunk, len(places))
	for i := range places {
		chunks[i] = places[i].chunk
	}
	search := segment.NewPlaces(chunks, limit)
	for _, part := range seg.Parts {
		r, done, err := s.open.part(seg.dir(s.cfg.Dir), part)
		if err == nil {
			leave = append(leave, done)
			err = search.Search(ctx, r)
		}
		if err != nil {
			closeAll()
			return nil, nil, s.broken(seg, err)
		}
		pick := r.Picker(s.open.pool)
		leave = append(leave, pick.Close)
		for i := range list {
			list[i].files = append(list[i].files, s.segmentFile(seg, pick, search.Of(i)))
		}
	}
	return list, closeAll, nil
}

// broken notes damage of a segment and gives it the code.
func (s *Store) broken(seg *segmentRef, err error) error {
	var bad *segment.DamagedError
	if !errors.As(err, &bad) {
		return err
	}
	return garrison.Errorf(garrison.Damaged, "read the rows of a chunk: %w", s.damaged(seg, err))
}

// proveAt returns record i of a chunk with its proof, made from the first level of the
// chunk's tree, which was kept, and the records of i's own node.
func (s *Store) proveAt(at chunkPlace, w *walk, i int) (ProvenRecord, error) {
	key, err := s.keys.chunk(at.id, false)
	if err != nil {
		return ProvenRecord{}, garrison.Errorf(garrison.Damaged, "prove a record of second %d: %w", at.id.Second, err)
	}
	nodes, root, err := s.nodesOf(at, key)
	if err != nil {
		return ProvenRecord{}, err
	}
	n := int(at.chunk.Rows)
	first := i - i%evidence.NodeWidth
	recs, err := w.from(first, min(evidence.NodeWidth, n-first))
	if err != nil {
		return ProvenRecord{}, err
	}
	leaves := make([][32]byte, len(recs))
	for k := range recs {
		leaves[k] = evidence.LeafHash(saltAt(key, first+k), recs[k].AppendCanonical(nil))
	}
	if first/evidence.NodeWidth >= len(nodes) || first+len(recs) > n || i-first >= len(recs) || evidence.WideNode(leaves) != nodes[first/evidence.NodeWidth] {
		return ProvenRecord{}, garrison.Errorf(garrison.Damaged, "second %d, shard %d: its records %d to %d do not lead to the root that was sealed", at.id.Second, at.id.Shard, first, first+len(recs)-1)
	}
	proof, err := evidence.ProveFromNodes(uint64(n), nodes, leaves, uint64(i))
	if err != nil {
		return ProvenRecord{}, fmt.Errorf("prove record %d of second %d: %w", i, at.id.Second, err)
	}
	return ProvenRecord{
		Record: recs[i-first], Salt: saltAt(key, i), Leaf: leaves[i-first], Index: uint64(i), Size: uint64(n),
		Proof: proof, Root: root, Chunk: at.id, ChunkEntry: at.ref,
	}, nil
}

// nodesOf returns the first level of a chunk's tree and the root it leads to.
func (s *Store) nodesOf(at chunkPlace, key evidence.ChunkKey) (nodes [][32]byte, root [32]byte, err error) {
	if at.seg != nil {
		nodes, err = at.tree.Nodes(at.chunk)
		return nodes, at.chunk.Root, s.broken(at.seg, err)
	}
	if len(at.chunk.Nodes) > 0 {
		return at.chunk.Nodes, at.chunk.Root, nil
	}
	// A start found it sealed and has not built its tree again yet.
	recs := make([]evidence.NAT, len(at.mem.rows))
	for i := range at.mem.rows {
		at.table.NAT(&at.mem.rows[i], &recs[i])
	}
	nodes = evidence.BuildChunkTree(evidence.NATLeaves(key, recs)).Nodes()
	return nodes, evidence.RootFromNodes(uint64(len(recs)), nodes), nil
}

// walk goes through the records of one chunk in canonical order, over the files of a
// segment that they lie in.
type walk struct {
	files []*walkFile
}

// walkFile is what one file holds of a chunk.
type walkFile struct {
	n    int // records
	at   int // the next one
	read func(i int, n *evidence.NAT) error

	have [2]evidence.NAT // the last ones read
	of   [2]int          // their numbers plus one
}

func (s *Store) segmentFile(seg *segmentRef, p *segment.Picker, places []int64) *walkFile {
	return &walkFile{n: len(places), read: func(i int, n *evidence.NAT) error {
		row, t, err := p.Row(places[i])
		if err == nil {
			t.NAT(row, n)
		}
		return s.broken(seg, err)
	}}
}

func memoryFile(at *chunkPlace) *walkFile {
	c, t := at.mem, at.table
	if !c.sorted {
		c.rows = slices.Clone(c.rows)
		t.Sort(c.rows)
		c.sorted = true
	}
	return &walkFile{n: len(c.rows), read: func(i int, n *evidence.NAT) error {
		t.NAT(&c.rows[i], n)
		return nil
	}}
}

func (f *walkFile) record(i int) (*evidence.NAT, error) {
	slot := i % 2
	if f.of[slot] != i+1 {
		if err := f.read(i, &f.have[slot]); err != nil {
			f.of[slot] = 0
			return nil, err
		}
		f.of[slot] = i + 1
	}
	return &f.have[slot], nil
}

func compareOutside(a, b *evidence.NAT) int {
	return cmp.Or(a.OutsideIP.Compare(b.OutsideIP), cmp.Compare(a.OutsidePort, b.OutsidePort))
}

// place returns how many records lie before the next one.
func (w *walk) place() int {
	n := 0
	for _, f := range w.files {
		n += f.at
	}
	return n
}

// seek goes to the first record of an outside address and port, or behind where it
// would be.
func (w *walk) seek(key *evidence.NAT) error {
	for _, f := range w.files {
		var failed error
		f.at = sort.Search(f.n, func(i int) bool {
			if failed != nil {
				return true
			}
			n, err := f.record(i)
			if err != nil {
				failed = err
				return true
			}
			return compareOutside(n, key) >= 0
		})
		if failed != nil {
			return failed
		}
	}
	return nil
}

// next returns the next record, valid until the next call, or nil at the end.
func (w *walk) next() (*evidence.NAT, error) {
	var best *evidence.NAT
	var of *walkFile
	for _, f := range w.files {
		if f.at == f.n {
			continue
		}
		n, err := f.record(f.at)
		if err != nil {
			return nil, err
		}
		if best == nil || evidence.CompareNAT(n, best) < 0 {
			best, of = n, f
		}
	}
	if of != nil {
		of.at++
	}
	return best, nil
}

// back goes back by one record.
func (w *walk) back() error {
	var best *evidence.NAT
	var of *walkFile
	for _, f := range w.files {
		if f.at == 0 {
			continue
		}
		n, err := f.record(f.at - 1)
		if err != nil {
			return err
		}
		// Of equals the one that next would have returned last.
		if best == nil || evidence.CompareNAT(n, best) >= 0 {
			best, of = n, f
		}
	}
	if of == nil {
		return errors.New("there is no record before the first")
	}
	of.at--
	return nil
}

// from returns n records from number first on, going there from where it is; fewer at
// the end.
func (w *walk) from(first, n int) ([]evidence.NAT, error) {
	for w.place() > first {
		if err := w.back(); err != nil {
			return nil, err
		}
	}
	out := make([]evidence.NAT, 0, n)
	for len(out) < n {
		r, err := w.next()
		if err != nil {
			return nil, err
		}
		if r == nil {
			break
		}
		if w.place() > first {
			out = append(out, *r)
		}
	}
	return out, nil
}
