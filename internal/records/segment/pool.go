package segment

import (
	"container/list"
	"sync"
)

// Pool keeps row groups that questions have entered, with their dictionaries decoded:
// most of the time of a question on warm files would go into decoding them again. It
// is bounded in bytes and safe for concurrent use.
type Pool struct {
	mu    sync.Mutex // guards what follows
	limit int
	bytes int
	byKey map[poolKey]*list.Element
	order *list.List // of *pooled, last used in front
}

type poolKey struct {
	r     *Reader
	group int
}

type pooled struct {
	key    poolKey
	s      *Stream
	weight int
}

// NewPool returns a pool that holds up to limit bytes, about.
func NewPool(limit int) *Pool {
	return &Pool{limit: limit, byKey: map[poolKey]*list.Element{}, order: list.New()}
}

// take returns an entered group for the caller alone, or nil.
func (p *Pool) take(r *Reader, group int) *Stream {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.byKey[poolKey{r, group}]
	if e == nil {
		return nil
	}
	return p.remove(e).s
}

func (p *Pool) remove(e *list.Element) *pooled {
	x := p.order.Remove(e).(*pooled)
	delete(p.byKey, x.key)
	p.bytes -= x.weight
	return x
}

// put gives a group back. When another question has given the same one back
// meanwhile, this one is closed.
func (p *Pool) put(r *Reader, group int, s *Stream) {
	x := &pooled{key: poolKey{r, group}, s: s, weight: s.weight()}
	var drop []*Stream
	p.mu.Lock()
	if p.byKey[x.key] != nil || x.weight > p.limit/4 {
		drop = append(drop, s)
	} else {
		p.byKey[x.key] = p.order.PushFront(x)
		p.bytes += x.weight
	}
	for p.bytes > p.limit {
		drop = append(drop, p.remove(p.order.Back()).s)
	}
	p.mu.Unlock()
	for _, s := range drop {
		s.leave()
	}
}

// Forget closes what is kept of a reader, before that is closed.
func (p *Pool) Forget(r *Reader) {
	var drop []*Stream
	p.mu.Lock()
	for e := p.order.Front(); e != nil; {
		next := e.Next()
		if e.Value.(*pooled).key.r == r {
			drop = append(drop, p.remove(e).s)
		}
		e = next
	}
	p.mu.Unlock()
	for _, s := range drop {
		s.leave()
	}
}
