package segment

import (
	"errors"
	"fmt"
	"io"
	"sort"

	"github.com/parquet-go/parquet-go"

	"garrison/internal/records/rows"
)

// batchRows is how many rows a Stream hands over at once.
const batchRows = 4096

// lookupRows is the same where a question reads few rows.
const lookupRows = 256

// Stream reads a file's rows in order, column by column.
type Stream struct {
	r      *Reader
	table  *rows.Table
	groups []parquet.RowGroup
	left   int64 // rows left in the current group
	size   int   // rows of a batch
	cols   [columns]column
	batch  []rows.Row
	ints   [columns][]int64
	six    [3][][16]byte
}

// Stream returns a stream over the whole file.
func (r *Reader) Stream() *Stream {
	return &Stream{r: r, table: rows.NewTable(), groups: r.pf.RowGroups(), size: batchRows}
}

// Next returns the next rows and the table they belong to, both valid until the next
// call, or io.EOF.
func (s *Stream) Next() (batch []rows.Row, t *rows.Table, err error) {
	defer s.r.guard(&err)
	for s.left == 0 {
		s.leave()
		if len(s.groups) == 0 {
			return nil, nil, io.EOF
		}
		g := s.groups[0]
		s.groups = s.groups[1:]
		s.table = rows.NewTable() // texts of the old one may still be in use
		if err := s.enter(g, 0); err != nil {
			return nil, nil, s.r.wrap(err)
		}
		s.left = g.NumRows()
	}
	n := min(s.left, int64(s.size))
	if err := s.fill(int(n)); err != nil {
		return nil, nil, s.r.wrap(err)
	}
	s.left -= n
	return s.batch, s.table, nil
}

// Close gives up what the stream holds; the reader stays open.
func (s *Stream) Close() { s.leave() }

func (s *Stream) enter(g parquet.RowGroup, row int64) error {
	for i, c := range g.ColumnChunks() {
		var err error
		if s.cols[i], err = openColumn(c); err != nil {
			return err
		}
	}
	if row == 0 {
		return nil
	}
	return s.seek(row)
}

// seek moves within the group that was entered; dictionaries stay decoded.
func (s *Stream) seek(row int64) error {
	for i := range s.cols {
		if err := s.cols[i].seek(row); err != nil {
			return err
		}
	}
	return nil
}

// weight is about how many bytes the stream holds in memory.
func (s *Stream) weight() int {
	n := s.table.Bytes() + s.size*8*(columns+6)
	for i := range s.cols {
		c := &s.cols[i]
		n += pageBytes + 8*(len(c.dictInts)+len(c.dictTexts)) + 16*len(c.dictFixed)
		if c.dict != nil {
			n += int(c.dict.Size())
		}
	}
	return n
}

func (s *Stream) leave() {
	for i := range s.cols {
		s.cols[i].close()
		s.cols[i] = column{}
	}
}

// upTo hands over the next n rows of the group.
func (s *Stream) upTo(n int64, yield func([]rows.Row) error) error {
	for n > 0 {
		k := min(n, int64(s.size))
		if err := s.fill(int(k)); err != nil {
			return s.r.wrap(err)
		}
		if err := yield(s.batch); err != nil {
			return err
		}
		n -= k
	}
	return nil
}

func (s *Stream) fill(n int) error {
	for i := range s.cols {
		if s.ints[i] == nil {
			s.ints[i] = make([]int64, s.size)
		}
		var err error
		switch i {
		case colOutIP6, colInIP6, colDstIP6:
			continue
		case colLine, colDevice, colSource:
			err = s.cols[i].texts(s.ints[i][:n], s.table)
		default:
			err = s.cols[i].numbers(s.ints[i][:n])
		}
		if err != nil {
			return fmt.Errorf("column %d: %w", i, err)
		}
	}
	for k, i := range []int{colOutIP6, colInIP6, colDstIP6} {
		if s.six[k] == nil {
			s.six[k] = make([][16]byte, s.size)
		}
		if err := s.cols[i].fixed(s.six[k][:n]); err != nil {
			return fmt.Errorf("column %d: %w", i, err)
		}
	}
	return s.assemble(n)
}

func (s *Stream) assemble(n int) error {
	if cap(s.batch) < n {
		s.batch = make([]rows.Row, s.size)
	}
	s.batch = s.batch[:n]
	c := &s.ints
	for i := range n {
		end := c[colEnd][i]
		start := end - c[colDuration][i]
		received := c[colReceived][i]
		if s.r.lag {
			received += lagBase(start, end)
		}
		r := &s.batch[i]
		*r = rows.Row{
			Start: start, End: end, Received: uint32(received),
			OutPort: uint16(c[colOutPort][i]), OutLast: uint16(c[colOutPort][i] + c[colPortCount][i]),
			InPort: uint16(c[colInPort][i]), DstPort: uint16(c[colDstPort][i]),
			Proto: uint8(c[colProto][i]), Event: uint8(c[colEvent][i]), Flags: uint8(c[colFlags][i]), Shard: uint8(c[colShard][i]),
			Line: uint32(c[colLine][i]), Device: uint32(c[colDevice][i]), Source: uint32(c[colSource][i]),
		}
		var e1, e2, e3 error
		r.Out, r.OutFam, e1 = joinIP(s.table, c[colOutIP][i], s.six[0][i])
		r.In, r.InFam, e2 = joinIP(s.table, c[colInIP][i], s.six[1][i])
		r.Dst, r.DstFam, e3 = joinIP(s.table, c[colDstIP][i], s.six[2][i])
		if e1 != nil || e2 != nil || e3 != nil {
			return errors.Join(e1, e2, e3)
		}
	}
	return nil
}

// column reads one column of a row group from page to page.
type column struct {
	pages parquet.Pages
	index parquet.OffsetIndex
	page  parquet.Page
	first int64 // row of the page's first value, or of the next page's
	at    int   // next value within the page
	skip  int   // values to pass over in the next page
	// dictionary of the group, decoded once
	dict      parquet.Dictionary
	dictInts  []int64
	dictTexts []int64
	dictFixed [][16]byte
}

func openColumn(c parquet.ColumnChunk) (column, error) {
	index, err := c.OffsetIndex()
	if err != nil {
		return column{}, err
	}
	return column{pages: c.Pages(), index: index}, nil
}

// seek moves to a row of the group. A page that holds it is kept: rows that are
// looked for lie near one another.
func (c *column) seek(row int64) error {
	if c.page != nil && row >= c.first && row < c.first+c.page.NumValues() {
		c.at = int(row - c.first)
		return nil
	}
	if c.page != nil {
		parquet.Release(c.page)
		c.page = nil
	}
	i := sort.Search(c.index.NumPages(), func(i int) bool { return c.index.FirstRowIndex(i) > row }) - 1
	if i < 0 {
		return fmt.Errorf("no page holds row %d", row)
	}
	c.first = c.index.FirstRowIndex(i)
	c.skip = int(row - c.first)
	return c.pages.SeekToRow(c.first)
}

func (c *column) close() {
	if c.page != nil {
		parquet.Release(c.page)
	}
	if c.pages != nil {
		c.pages.Close()
	}
}

// next makes sure that the page has values left.
func (c *column) next() error {
	for c.page == nil || c.at >= int(c.page.NumValues()) {
		if c.page != nil {
			c.first += c.page.NumValues()
			parquet.Release(c.page)
			c.page = nil
		}
		page, err := c.pages.ReadPage()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		c.page, c.at, c.skip = page, c.skip, 0
	}
	return nil
}

func int32s(p parquet.Page) []int32 {
	d := p.Data()
	return d.Int32()
}

func int64s(p parquet.Page) []int64 {
	d := p.Data()
	return d.Int64()
}

func fixedBytes(p parquet.Page) ([]byte, int) {
	d := p.Data()
	return d.FixedLenByteArray()
}

func ints(p parquet.Page) []int64 {
	if p.Type().Kind() == parquet.Int64 {
		return int64s(p)
	}
	small := int32s(p)
	wide := make([]int64, len(small))
	for i, v := range small {
		wide[i] = int64(v)
	}
	return wide
}

func (c *column) numbers(out []int64) error {
	for len(out) > 0 {
		if err := c.next(); err != nil {
			return err
		}
		var n int
		switch d := c.page.Dictionary(); {
		case d != nil:
			if c.dict == nil {
				c.dict, c.dictInts = d, append([]int64(nil), ints(d.Page())...)
			}
			n = pick(out, int32s(c.page)[c.at:], c.dictInts)
		case c.page.Type().Kind() == parquet.Int64:
			n = copy(out, int64s(c.page)[c.at:])
		default:
			small := int32s(c.page)[c.at:]
			n = min(len(out), len(small))
			for i, v := range small[:n] {
				out[i] = int64(v)
			}
		}
		out = out[n:]
		c.at += n
	}
	return nil
}

// pick fills out with the dictionary's values; an index beyond it panics, which the
// reader reports as damage.
func pick(out []int64, index []int32, dict []int64) int {
	n := min(len(out), len(index))
	for i, v := range index[:n] {
		out[i] = dict[v]
	}
	return n
}

func (c *column) texts(out []int64, t *rows.Table) error {
	for len(out) > 0 {
		if err := c.next(); err != nil {
			return err
		}
		var n int
		if d := c.page.Dictionary(); d != nil {
			if c.dict == nil {
				c.dict = d
				c.dictTexts = make([]int64, d.Len())
				for i := range c.dictTexts {
					c.dictTexts[i] = -1
				}
			}
			index := int32s(c.page)[c.at:]
			n = min(len(out), len(index))
			for i, v := range index[:n] {
				if c.dictTexts[v] < 0 { // only what is used: a lookup reads few rows
					c.dictTexts[v] = int64(t.Add(d.Index(v).ByteArray()))
				}
				out[i] = c.dictTexts[v]
			}
		} else {
			values := c.page.Data()
			data, offsets := values.ByteArray()
			n = min(len(out), len(offsets)-1-c.at)
			for i := range n {
				out[i] = int64(t.Add(data[offsets[c.at+i]:offsets[c.at+i+1]]))
			}
		}
		out = out[n:]
		c.at += n
	}
	return nil
}

func (c *column) fixed(out [][16]byte) error {
	for len(out) > 0 {
		if err := c.next(); err != nil {
			return err
		}
		var n int
		if d := c.page.Dictionary(); d != nil {
			if c.dict == nil {
				c.dict = d
				data, size := fixedBytes(d.Page())
				for i := 0; i+size <= len(data); i += size {
					c.dictFixed = append(c.dictFixed, [16]byte(data[i:]))
				}
			}
			index := int32s(c.page)[c.at:]
			n = min(len(out), len(index))
			for i, v := range index[:n] {
				out[i] = c.dictFixed[v]
			}
		} else {
			data, size := fixedBytes(c.page)
			n = min(len(out), len(data)/size-c.at)
			for i := range n {
				out[i] = [16]byte(data[(c.at+i)*size:])
			}
		}
		out = out[n:]
		c.at += n
	}
	return nil
}
