package segment

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"sort"

	"github.com/parquet-go/parquet-go"

	"garrison/internal/records/rows"
)

// Reader reads one Parquet file of a segment. It is safe for concurrent use.
type Reader struct {
	part Part
	file *os.File
	pf   *parquet.File
	size int64
	lag  bool
}

// DamagedError says that a file is not what was written.
type DamagedError struct {
	File string
	What string
}

func (e *DamagedError) Error() string { return fmt.Sprintf("%q is damaged: %s", e.File, e.What) }

// Open opens a part that lies in dir. Page indexes and footer, which carry no check
// sums of their own, are compared with what was written before anything is believed.
func Open(dir string, p Part) (*Reader, error) {
	r, err := openRaw(filepath.Join(dir, p.File))
	if err != nil {
		return nil, err
	}
	r.part = p
	if err := r.check(p); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *Reader) check(p Part) error {
	if r.size != p.Bytes {
		return &DamagedError{p.File, fmt.Sprintf("it has %d bytes, not %d", r.size, p.Bytes)}
	}
	if sum, err := r.tailSum(p.Tail); err != nil {
		return err
	} else if sum != p.TailSHA {
		return &DamagedError{p.File, fmt.Sprintf("its indexes (bytes %d-%d) are not what was written", p.Tail, r.size)}
	}
	if r.pf.NumRows() != p.Rows {
		return &DamagedError{p.File, fmt.Sprintf("it has %d rows, not %d", r.pf.NumRows(), p.Rows)}
	}
	return nil
}

// openRaw opens a file without knowing what it should be. The library panics on some
// malformed footers; that is damage too.
func openRaw(path string) (r *Reader, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open segment: %w", err)
	}
	defer func() {
		if p := recover(); p != nil {
			err = &DamagedError{filepath.Base(path), fmt.Sprint(p)}
		}
		if err != nil {
			f.Close()
			r = nil
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("open segment: %w", err)
	}
	pf, err := parquet.OpenFile(f, info.Size(), parquet.SkipBloomFilters(true), parquet.ReadBufferSize(pageBytes))
	if err != nil {
		return nil, &DamagedError{filepath.Base(path), err.Error()}
	}
	if err := checkSchema(pf); err != nil {
		return nil, &DamagedError{filepath.Base(path), err.Error()}
	}
	received, _ := pf.Lookup(metaReceived)
	return &Reader{file: f, pf: pf, size: info.Size(), lag: received == receivedLag}, nil
}

func (r *Reader) close() { r.file.Close() }

// Close gives the file up.
func (r *Reader) Close() error { return r.file.Close() }

// Part returns the description that the file was opened with.
func (r *Reader) Part() Part { return r.part }

// tailOffset returns where the page indexes begin, which lie before the footer.
func (r *Reader) tailOffset() int64 {
	at := r.size
	for _, g := range r.pf.Metadata().RowGroups {
		for i := range g.Columns {
			if o := g.Columns[i].ColumnIndexOffset; o > 0 {
				at = min(at, o)
			}
			if o := g.Columns[i].OffsetIndexOffset; o > 0 {
				at = min(at, o)
			}
		}
	}
	return at
}

func (r *Reader) tailSum(tail int64) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(r.file, tail, r.size-tail)); err != nil {
		return "", fmt.Errorf("read segment: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Sum returns the SHA-256 of the whole file, in hex.
func (r *Reader) Sum() (string, error) { return r.tailSum(0) }

// Find yields every row for which the outside address is ip and port lies in its
// ports. Rows are valid until yield returns; texts of their table stay. The pool keeps
// what was decoded for the next question.
func (r *Reader) Find(pool *Pool, ip netip.Addr, port uint16, yield func(t *rows.Table, row *rows.Row) error) (err error) {
	defer r.guard(&err)
	key := SortKey(ip)
	if key < r.part.MinIP || key > r.part.MaxIP {
		return nil
	}
	for i, g := range r.pf.RowGroups() {
		from, until, err := r.locate(g, key, ip, port)
		if err != nil {
			return r.wrap(err)
		}
		if from >= until {
			continue
		}
		if err := r.findIn(pool, i, g, from, until, port, yield); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reader) findIn(pool *Pool, i int, g parquet.RowGroup, from, until int64, port uint16, yield func(t *rows.Table, row *rows.Row) error) error {
	s := pool.take(r, i)
	if s == nil {
		s = &Stream{r: r, table: rows.NewTable(), size: lookupRows}
		if err := s.enter(g, from); err != nil {
			return r.wrap(err)
		}
	} else if err := s.seek(from); err != nil {
		s.leave()
		return r.wrap(err)
	}
	err := s.upTo(until-from, func(batch []rows.Row) error {
		for i := range batch {
			if batch[i].OutPort <= port && port <= batch[i].OutLast {
				if err := yield(s.table, &batch[i]); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		s.leave()
		return err
	}
	pool.put(r, i, s)
	return nil
}

func (r *Reader) guard(err *error) {
	if p := recover(); p != nil {
		*err = &DamagedError{r.part.File, fmt.Sprint(p)}
	}
}

func (r *Reader) wrap(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return &DamagedError{r.part.File, err.Error()}
}

// locate returns the rows of a group that can answer: those of the address, and of
// these the ones whose first port is port or, where there are blocks, not too far
// below.
func (r *Reader) locate(g parquet.RowGroup, key int64, ip netip.Addr, port uint16) (int64, int64, error) {
	cols := g.ColumnChunks()
	from, until, err := narrow(cols[colOutIP], 0, g.NumRows(), func(v parquet.Value) int { return cmp.Compare(v.Int64(), key) })
	if err != nil || from >= until {
		return 0, 0, err
	}
	if key == ipSix {
		want := ip.As16()
		from, until, err = narrow(cols[colOutIP6], from, until, func(v parquet.Value) int { return bytes.Compare(v.ByteArray(), want[:]) })
		if err != nil || from >= until {
			return 0, 0, err
		}
	}
	first := max(int32(port)-int32(r.part.MaxCount), 0)
	return narrow(cols[colOutPort], from, until, func(v parquet.Value) int {
		switch p := v.Int32(); {
		case p < first:
			return -1
		case p > int32(port):
			return 1
		}
		return 0
	})
}

// narrow returns the stretch of rows within [from, until) for which at returns 0. The
// column is sorted there, so at is negative before it and positive behind.
func narrow(c parquet.ColumnChunk, from, until int64, at func(parquet.Value) int) (int64, int64, error) {
	ci, err := c.ColumnIndex()
	if err != nil {
		return 0, 0, err
	}
	oi, err := c.OffsetIndex()
	if err != nil {
		return 0, 0, err
	}
	pages := oi.NumPages()
	first := sort.Search(pages, func(i int) bool { return oi.FirstRowIndex(i) > from }) - 1
	lo, hi := until, from
	p := c.Pages()
	defer p.Close()
	for i := max(first, 0); i < pages && oi.FirstRowIndex(i) < until; i++ {
		start, end := oi.FirstRowIndex(i), until
		if i+1 < pages {
			end = min(end, oi.FirstRowIndex(i+1))
		}
		start = max(start, from)
		inner := start == oi.FirstRowIndex(i) && (i+1 >= pages || end == oi.FirstRowIndex(i+1))
		if inner { // the page lies wholly within the sorted stretch, so its bounds tell
			if at(ci.MaxValue(i)) < 0 {
				continue
			}
			if at(ci.MinValue(i)) > 0 {
				break
			}
			if at(ci.MinValue(i)) == 0 && at(ci.MaxValue(i)) == 0 {
				lo, hi = min(lo, start), max(hi, end)
				continue
			}
		}
		a, b, err := withinPage(p, start, end, at)
		if err != nil {
			return 0, 0, err
		}
		if a < b {
			lo, hi = min(lo, a), max(hi, b)
		}
	}
	return lo, hi, nil
}

func withinPage(p parquet.Pages, start, end int64, at func(parquet.Value) int) (int64, int64, error) {
	if err := p.SeekToRow(start); err != nil {
		return 0, 0, err
	}
	page, err := p.ReadPage()
	if err != nil {
		return 0, 0, err
	}
	defer parquet.Release(page)
	n := int(min(page.NumValues(), end-start))
	values := make([]parquet.Value, n)
	if got, err := page.Values().ReadValues(values); got < n {
		return 0, 0, fmt.Errorf("read values of a page: %w", cmp.Or(err, io.ErrUnexpectedEOF))
	}
	a := sort.Search(n, func(i int) bool { return at(values[i]) >= 0 })
	b := sort.Search(n, func(i int) bool { return at(values[i]) > 0 })
	return start + int64(a), start + int64(b), nil
}
