package segment

import (
	"context"
	"sort"

	"github.com/parquet-go/parquet-go"

	"garrison/internal/records/rows"
)

// Places finds out where the rows of chunks lie in one file. It reads the columns that
// tell the chunk and no others, and one pass serves all chunks.
type Places struct {
	wanted map[place]int
	maybe  [1 << 16]bool // by the low bits of the second, so that most rows need no look-up
	rows   [][]int64
	limit  int
}

type place struct {
	shard  uint8
	second int64
}

// NewPlaces returns a search for the rows of chunks; of each no more than limit
// places in one file are kept, 0: all.
func NewPlaces(chunks []Chunk, limit int) *Places {
	p := &Places{wanted: map[place]int{}, rows: make([][]int64, len(chunks)), limit: limit}
	for i := range chunks {
		p.wanted[place{chunks[i].Shard, chunks[i].Second}] = i
		p.maybe[uint16(chunks[i].Second)] = true
	}
	return p
}

// Of returns the rows of chunk i in the file that was searched last, in order.
func (p *Places) Of(i int) []int64 { return p.rows[i] }

// Search searches a file. What Of returned before stays as it is.
func (p *Places) Search(ctx context.Context, r *Reader) (err error) {
	defer r.guard(&err)
	clear(p.rows)
	base := int64(0)
	for _, g := range r.pf.RowGroups() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := p.group(r, g, base); err != nil {
			return r.wrap(err)
		}
		base += g.NumRows()
	}
	return nil
}

func (p *Places) group(r *Reader, g parquet.RowGroup, base int64) error {
	cols := g.ColumnChunks()
	need := []int{colReceived, colShard}
	if r.lag {
		need = append(need, colEnd)
		if r.part.Class == rows.OpenEnded.String() {
			need = append(need, colDuration) // a row without an end was received after its start
		}
	}
	var open [4]column
	var values [4][batchRows]int64
	for k, i := range need {
		var err error
		if open[k], err = openColumn(cols[i]); err != nil {
			return err
		}
		defer open[k].close()
	}
	for at := int64(0); at < g.NumRows(); at += batchRows {
		n := int(min(batchRows, g.NumRows()-at))
		for k := range need {
			if err := open[k].numbers(values[k][:n]); err != nil {
				return err
			}
		}
		for i := range n {
			second := values[0][i]
			if r.lag {
				end := values[2][i]
				second += lagBase(end-values[3][i], end)
			}
			if p.maybe[uint16(second)] {
				p.note(place{uint8(values[1][i]), second}, base+at+int64(i))
			}
		}
	}
	return nil
}

func (p *Places) note(at place, row int64) {
	if i, ok := p.wanted[at]; ok && (p.limit == 0 || len(p.rows[i]) < p.limit) {
		p.rows[i] = append(p.rows[i], row)
	}
}

// Picker reads single rows of a file, wherever they lie. It is not safe for
// concurrent use.
type Picker struct {
	r      *Reader
	pool   *Pool
	starts []int64 // first row of each group
	group  int
	s      *Stream
}

// Picker returns a picker over the file; the pool keeps what it decoded.
func (r *Reader) Picker(pool *Pool) *Picker {
	p := &Picker{r: r, pool: pool}
	at := int64(0)
	for _, g := range r.pf.RowGroups() {
		p.starts = append(p.starts, at)
		at += g.NumRows()
	}
	return p
}

// Row returns a row by its number. It is valid until the next call; texts of its table
// stay.
func (p *Picker) Row(n int64) (row *rows.Row, t *rows.Table, err error) {
	defer p.r.guard(&err)
	group := sort.Search(len(p.starts), func(i int) bool { return p.starts[i] > n }) - 1
	if p.s == nil || group != p.group {
		p.Close()
		if err := p.enter(group); err != nil {
			return nil, nil, p.r.wrap(err)
		}
	}
	if err = p.s.seek(n - p.starts[group]); err == nil {
		err = p.s.fill(1)
	}
	if err != nil {
		p.s.leave()
		p.s = nil
		return nil, nil, p.r.wrap(err)
	}
	return &p.s.batch[0], p.s.table, nil
}

func (p *Picker) enter(group int) error {
	s := p.pool.take(p.r, group)
	if s == nil {
		s = &Stream{r: p.r, table: rows.NewTable(), size: lookupRows}
		if err := s.enter(p.r.pf.RowGroups()[group], 0); err != nil {
			s.leave()
			return err
		}
	}
	p.group, p.s = group, s
	return nil
}

// Close gives what the picker decoded to the pool.
func (p *Picker) Close() {
	if p.s != nil {
		p.pool.put(p.r, p.group, p.s)
		p.s = nil
	}
}
