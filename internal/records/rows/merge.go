package rows

import (
	"container/heap"
	"errors"
	"io"
)

// A Source yields sorted rows. Rows and table are valid until the next call; the end
// is io.EOF.
type Source interface {
	Next() ([]Row, *Table, error)
}

// Run is a Source over sorted rows in memory.
type Run struct {
	Table *Table
	Rows  []Row
}

// Next returns all rows, once.
func (r *Run) Next() ([]Row, *Table, error) {
	if len(r.Rows) == 0 {
		return nil, nil, io.EOF
	}
	rs := r.Rows
	r.Rows = nil
	return rs, r.Table, nil
}

// Merge yields the rows of all sources in canonical order. It stops at the first
// error of a source or of yield.
func Merge(sources []Source, yield func(t *Table, r *Row) error) error {
	h := make(cursors, 0, len(sources))
	for _, s := range sources {
		c := &cursor{from: s}
		switch err := c.fill(); {
		case err == nil:
			h = append(h, c)
		case !errors.Is(err, io.EOF):
			return err
		}
	}
	heap.Init(&h)
	for len(h) > 0 {
		c := h[0]
		if err := yield(c.table, &c.rows[0]); err != nil {
			return err
		}
		c.rows = c.rows[1:]
		if len(c.rows) == 0 {
			switch err := c.fill(); {
			case errors.Is(err, io.EOF):
				heap.Pop(&h)
				continue
			case err != nil:
				return err
			}
		}
		if len(h) > 1 {
			heap.Fix(&h, 0)
		}
	}
	return nil
}

type cursor struct {
	from  Source
	table *Table
	rows  []Row
}

func (c *cursor) fill() error {
	for {
		rs, t, err := c.from.Next()
		if err != nil {
			return err
		}
		if len(rs) > 0 {
			c.rows, c.table = rs, t
			return nil
		}
	}
}

type cursors []*cursor

func (h cursors) Len() int { return len(h) }
func (h cursors) Less(i, j int) bool {
	return Compare(h[i].table, &h[i].rows[0], h[j].table, &h[j].rows[0]) < 0
}
func (h cursors) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *cursors) Push(x any)   { *h = append(*h, x.(*cursor)) }
func (h *cursors) Pop() any {
	last := len(*h) - 1
	c := (*h)[last]
	*h = (*h)[:last]
	return c
}
