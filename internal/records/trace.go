package records

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io/fs"
	"math"
	"sort"
	"time"

	"garrison"
	"garrison/evidence"
	"garrison/internal/records/rows"
	"garrison/internal/records/segment"
)

const (
	maxSkew = 24 * time.Hour
	maxHits = 50_000 // rows of one address and port that one question looks at
)

// hit is one row that has the address, the port and the protocol of a question.
type hit struct {
	nat   evidence.NAT
	chunk garrison.ChunkID
	ref   garrison.EvidenceRef
	leaf  string
}

// Trace answers who had a public address and port at a moment: all candidates with
// reasons for and against, and what is known about the window.
func (s *Store) Trace(ctx context.Context, q garrison.Question) (garrison.Answer, error) {
	if err := checkQuestion(&q); err != nil {
		return garrison.Answer{}, err
	}
	look := &lookup{s: s, q: q, at: q.At.UnixMilli(), skew: q.Skew.Milliseconds(), looked: map[string]bool{}}
	if err := look.run(ctx); err != nil {
		return garrison.Answer{}, err
	}
	window := garrison.Period{From: q.At.Add(-q.Skew), Until: q.At.Add(max(q.Skew, time.Millisecond))}
	cover, err := s.Coverage(ctx, window)
	if err != nil {
		return garrison.Answer{}, err
	}
	for _, d := range look.damaged {
		cover.Complete = false
		cover.Gaps = append(cover.Gaps, d)
	}
	a := garrison.Answer{Coverage: cover, Truncated: look.truncated}
	a.Candidates = judge(look.hits, look.at, look.skew)
	if len(a.Candidates) > s.cfg.MaxCandidates {
		a.Candidates, a.Truncated = a.Candidates[:s.cfg.MaxCandidates], true
	}
	for i := range a.Candidates {
		c := &a.Candidates[i]
		if c.Evidence.Zero() {
			c.Why = append(c.Why, garrison.Reason{Key: "trace.why.not_sealed_yet"})
		}
		if !cover.Complete {
			c.Why = append(c.Why, garrison.Reason{Key: "trace.why.coverage_incomplete"})
		}
	}
	return a, nil
}

func checkQuestion(q *garrison.Question) error {
	if !q.IP.IsValid() {
		return garrison.Refuse(garrison.Invalid, "error.records.question_address")
	}
	if q.At.IsZero() {
		return garrison.Refuse(garrison.Invalid, "error.records.question_time")
	}
	if q.Skew < 0 || q.Skew > maxSkew {
		return garrison.Refuse(garrison.Invalid, "error.records.question_skew", "limit", maxSkew.String())
	}
	q.IP = q.IP.Unmap().WithZone("")
	return nil
}

// lookup collects the rows that can answer one question.
type lookup struct {
	s         *Store
	q         garrison.Question
	at, skew  int64 // ms
	hits      []hit
	looked    map[string]bool // files
	damaged   []garrison.Gap
	truncated bool
}

// view is what a question sees: the state of one moment.
type view struct {
	cat  *catalog
	gens []genView
}

type genView struct {
	table  *rows.Table
	chunks []chunkView
}

type chunkView struct {
	id     garrison.ChunkID
	rows   []rows.Row
	sorted bool
	span   uint16
	ref    garrison.EvidenceRef
	root   [32]byte
	nodes  [][32]byte
}

func (s *Store) view() view {
	s.mu.RLock()
	defer s.mu.RUnlock()
	v := view{cat: s.cat}
	add := func(g *generation) {
		gv := genView{table: g.table.View(), chunks: make([]chunkView, len(g.chunks))}
		for i, c := range g.chunks {
			gv.chunks[i] = chunkView{id: c.id(), rows: c.rows, sorted: c.sorted, span: c.span, ref: c.ref, root: c.root, nodes: c.nodes}
		}
		v.gens = append(v.gens, gv)
	}
	for _, g := range s.frozen {
		add(g)
	}
	for _, c := range s.shards {
		add(c.gen)
	}
	return v
}

func (l *lookup) run(ctx context.Context) error {
	// Merging replaces files; then the question starts again from the new catalog.
	for attempt := 0; ; attempt++ {
		l.hits, l.damaged, l.truncated = nil, nil, false
		clear(l.looked)
		err := l.once(ctx, l.s.view())
		if attempt < 5 && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		return err
	}
}

func (l *lookup) once(ctx context.Context, v view) error {
	for i := range v.gens {
		for k := range v.gens[i].chunks {
			l.memory(v.gens[i].table, &v.gens[i].chunks[k])
		}
	}
	from, until := l.at-l.skew, l.at+l.skew
	err := l.parts(ctx, v.cat, func(p segment.Part) bool {
		if p.Class == rows.OpenEnded.String() {
			return true // either end may lie anywhere
		}
		return p.MinStart <= until && p.MaxEnd >= from
	})
	if err != nil {
		return err
	}
	// A mapping that is open as far as was looked may have been closed, or its port
	// given to somebody else, in a file of another time.
	since, until := l.unresolved()
	if since > until {
		return nil
	}
	return l.parts(ctx, v.cat, func(p segment.Part) bool { return p.MaxEnd >= since && p.MinStart <= until })
}

// unresolved returns the time in which records can lie that decide about mappings
// that could answer but name one end only; since is behind until when there are none.
func (l *lookup) unresolved() (since, until int64) {
	since, until = math.MaxInt64, math.MinInt64
	closed := closers(l.hits)
	for i := range l.hits {
		n := &l.hits[i].nat
		switch _, ok := closed[i]; {
		case ok:
		case n.End == 0 && n.Start <= l.at+l.skew:
			since, until = min(since, n.Start), math.MaxInt64
		case startUnknown(n) && n.End >= l.at-l.skew:
			since, until = min(since, l.at-l.skew), max(until, n.End)
		}
	}
	return since, until
}

// memory looks into one chunk that is not in a segment yet.
func (l *lookup) memory(t *rows.Table, c *chunkView) {
	port := l.q.Port
	match := func(i int) {
		r := &c.rows[i]
		if r.OutPort > port || port > r.OutLast || t.IP(r.Out, r.OutFam) != l.q.IP {
			return
		}
		h := hit{chunk: c.id, ref: c.ref}
		t.NAT(r, &h.nat)
		if !l.wanted(&h.nat) {
			return
		}
		if c.sorted && !c.ref.Zero() {
			h.leaf = l.s.leafOf(c.id, i, &h.nat)
		}
		l.add(h)
	}
	if !c.sorted {
		for i := range c.rows {
			match(i)
		}
		return
	}
	first := uint16(max(int(port)-int(c.span), 0))
	from := sort.Search(len(c.rows), func(i int) bool {
		r := &c.rows[i]
		x := t.IP(r.Out, r.OutFam).Compare(l.q.IP)
		return x > 0 || x == 0 && r.OutPort >= first
	})
	for i := from; i < len(c.rows); i++ {
		r := &c.rows[i]
		if r.OutPort > port || t.IP(r.Out, r.OutFam) != l.q.IP {
			break
		}
		match(i)
	}
}

// wanted says that the row is about the protocol asked for; a row or a question
// without one is about any.
func (l *lookup) wanted(n *evidence.NAT) bool {
	return n.Proto == l.q.Proto || n.Proto == 0 || l.q.Proto == 0
}

func (l *lookup) add(h hit) {
	if len(l.hits) >= maxHits {
		l.truncated = true
		return
	}
	l.hits = append(l.hits, h)
}

// parts looks into every file that want accepts, once.
func (l *lookup) parts(ctx context.Context, cat *catalog, want func(segment.Part) bool) error {
	for i := range cat.Segments {
		ref := &cat.Segments[i]
		for _, p := range ref.Parts {
			if l.looked[p.File] || !want(p) || l.outside(p) {
				continue
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			l.looked[p.File] = true
			if err := l.part(ref, p); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *lookup) outside(p segment.Part) bool {
	key := segment.SortKey(l.q.IP)
	return key < p.MinIP || key > p.MaxIP
}

// part looks into one file. A damaged one is told as a gap, never passed over.
func (l *lookup) part(ref *segmentRef, p segment.Part) error {
	dir := ref.dir(l.s.cfg.Dir)
	r, leave, err := l.s.open.part(dir, p)
	if err == nil {
		defer leave()
		err = r.Find(l.s.open.pool, l.q.IP, l.q.Port, func(t *rows.Table, row *rows.Row) error {
			h := hit{}
			t.NAT(row, &h.nat)
			if !l.wanted(&h.nat) {
				return nil
			}
			tree, err := l.s.open.tree(dir, ref)
			if err != nil {
				return err
			}
			h.chunk = garrison.ChunkID{Kind: garrison.KindNAT, Shard: int(row.Shard), Second: int64(row.Received)}
			if c, ok := tree.Find(row.Shard, int64(row.Received)); ok {
				h.ref = garrison.EvidenceRef{Log: ref.Log, Index: c.Index, Digest: hex.EncodeToString(c.Digest[:])}
			}
			l.add(h)
			return nil
		})
	}
	var bad *segment.DamagedError
	if errors.As(err, &bad) {
		_ = l.s.damaged(ref, err)
		l.damaged = append(l.damaged, garrison.Gap{
			Period: garrison.Period{From: time.UnixMilli(p.MinStart).UTC(), Until: time.UnixMilli(p.MaxEnd).UTC()},
			Cause:  causeDamaged, Lost: -1,
		})
		return nil
	}
	return err
}

// leafOf returns the salted leaf of the record at a place of its chunk, in hex.
func (s *Store) leafOf(id garrison.ChunkID, i int, n *evidence.NAT) string {
	key, err := s.keys.chunk(id, false)
	if err != nil {
		return "" // Prove says why
	}
	leaf := evidence.LeafHash(saltAt(key, i), n.AppendCanonical(nil))
	return hex.EncodeToString(leaf[:])
}

// saltAt is one of evidence.LeafSalts without making those before it.
func saltAt(key evidence.ChunkKey, i int) (salt [16]byte) {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic("records: AES-256 refuses a key of 32 bytes: " + err.Error())
	}
	var counter [aes.BlockSize]byte
	binary.BigEndian.PutUint64(counter[8:], uint64(i))
	cipher.NewCTR(block, counter[:]).XORKeyStream(salt[:], salt[:])
	return salt
}
