package records

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"garrison"
	"garrison/evidence"
	"garrison/internal/records/rows"
	"garrison/internal/records/segment"
	"garrison/internal/records/wal"
)

// chunk is everything one shard received in one second.
type chunk struct {
	shard  uint8
	second int64
	// rows in the order of arrival while the second runs, in canonical order once
	// sorted is set; what a slice header once showed never changes.
	rows   []rows.Row
	sorted bool
	closed bool
	opened time.Time // zero: found by a start
	queued time.Time // when it began to wait for the ledger
	span   uint16    // widest block: OutLast - OutPort

	root   [32]byte
	nodes  [][32]byte
	rooted bool
	want   [32]byte // root that a Seal frame names
	wanted bool
	ref    garrison.EvidenceRef // zero: not sealed
	gen    *generation
}

func (c *chunk) id() garrison.ChunkID {
	return garrison.ChunkID{Kind: garrison.KindNAT, Shard: int(c.shard), Second: c.second}
}

// generation is what one shard holds in memory between two cuts: the content of
// whole write-ahead files. The store's lock guards all of it.
type generation struct {
	table   *rows.Table
	chunks  []*chunk // by second; the last may be running
	rows    int
	book    *book
	minutes map[int64]*segment.Minute
	shard   int
	last    int64  // last second seen, also without rows
	first   uint64 // first frame
	next    uint64 // frame behind the last, set when frozen
	began   time.Time
	hour    int64 // of reception
}

func newGeneration(shard int, first uint64, now time.Time) *generation {
	return &generation{shard: shard, table: rows.NewSharing(), book: newBook(), minutes: map[int64]*segment.Minute{}, first: first, began: now}
}

// maxTable is how many bytes of texts a generation may hold before it is cut.
const maxTable = 256 << 20

// full says that the generation is to be cut for its size.
func (g *generation) full(rows int) bool { return g.rows >= rows || g.table.Bytes() >= maxTable }

// current returns the chunk of a second, which is the last or a new one.
func (g *generation) current(shard uint8, second int64, now time.Time) *chunk {
	if n := len(g.chunks); n > 0 && g.chunks[n-1].second == second {
		return g.chunks[n-1]
	}
	c := &chunk{shard: shard, second: second, opened: now, gen: g}
	g.chunks = append(g.chunks, c)
	return c
}

// batch takes a Batch frame in.
func (g *generation) batch(h wal.Header, body []byte, now time.Time) (*wal.Body, error) {
	b, rest, err := wal.ParseBody(body)
	if err != nil {
		return nil, fmt.Errorf("read frame %d: %w", h.Seq, err)
	}
	var added []rows.Row
	if h.Rows > 0 {
		c := g.current(uint8(h.Shard), h.Second, now)
		n := len(c.rows)
		c.rows = room(c.rows, int(h.Rows), g.chunks)
		all, err := wal.AppendRows(c.rows, rest, g.table, b.SourceID, h.Second, uint8(h.Shard))
		if err != nil {
			return nil, fmt.Errorf("read frame %d: %w", h.Seq, err)
		}
		c.rows, added = all, all[n:]
		for i := range added {
			c.span = max(c.span, added[i].OutLast-added[i].OutPort)
			g.minute(&added[i])
		}
		g.rows += len(added)
	}
	if len(added) != int(h.Rows) {
		return nil, fmt.Errorf("read frame %d: %w", h.Seq, errors.New("its header tells another number of rows"))
	}
	g.book.batch(&b, h.Second, added)
	return &b, nil
}

// room makes room for n more rows: at least twice what there is, and for a chunk that
// begins what the one before it needed. What is too much goes when the chunk is sorted.
func room(rs []rows.Row, n int, chunks []*chunk) []rows.Row {
	if len(rs)+n <= cap(rs) {
		return rs
	}
	want := max(len(rs)+n, 2*len(rs))
	if k := len(chunks); len(rs) == 0 && k > 1 {
		want = max(want, min(len(chunks[k-2].rows), 1<<20))
	}
	return slices.Grow(rs, want-len(rs))
}

func (g *generation) minute(r *rows.Row) {
	from, until := r.Span()
	at := func(ms int64) *segment.Minute {
		n := ms / 60_000
		m := g.minutes[n]
		if m == nil {
			m = &segment.Minute{Minute: n}
			g.minutes[n] = m
		}
		return m
	}
	at(from).Begun++
	at(until).Ended++
}

// root computes the root of a sorted chunk.
func (c *chunk) seal(t *rows.Table, keys *keyring) error {
	key, err := keys.chunk(c.id(), true)
	if err != nil {
		return err
	}
	salts := evidence.LeafSalts(key, len(c.rows))
	leaves := make([][32]byte, 0, evidence.NodeWidth)
	nodes := make([][32]byte, 0, len(c.rows)/evidence.NodeWidth+1)
	var n evidence.NAT
	var buf []byte
	for i := range c.rows {
		t.NAT(&c.rows[i], &n)
		buf = n.AppendCanonical(buf[:0])
		leaves = append(leaves, evidence.LeafHash(salts.At(i), buf))
		if len(leaves) == evidence.NodeWidth || i == len(c.rows)-1 {
			nodes = append(nodes, evidence.WideNode(leaves))
			leaves = leaves[:0]
		}
	}
	c.root, c.nodes, c.rooted = evidence.RootFromNodes(uint64(len(c.rows)), nodes), nodes, true
	return nil
}

// entry returns the chunk's ledger entry.
func (c *chunk) entry() []byte {
	return evidence.Chunk{
		Kind: string(garrison.KindNAT), Shard: c.shard, Second: c.second, Records: uint64(len(c.rows)), Root: c.root,
	}.Entry().Marshal()
}
