package probe

import (
	"context"
	"sync"
)

// maxRecorded bounds what one run keeps; beyond it exchanges are only counted.
const maxRecorded = 20_000

// Recorder is a [Prober] that keeps every exchange and every lookup that goes
// through it. It is safe for concurrent use.
type Recorder struct {
	p Prober

	mu        sync.Mutex // guards the rest
	exchanges []Exchange
	lookups   []Answer
	dropped   int
}

// Record returns a recorder in front of p.
func Record(p Prober) *Recorder { return &Recorder{p: p} }

// Fetch performs r and keeps the exchange without its body.
func (r *Recorder) Fetch(ctx context.Context, req Request) Exchange {
	ex := r.p.Fetch(ctx, req)
	kept := ex
	kept.Body = nil
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.exchanges) >= maxRecorded {
		r.dropped++
	} else {
		r.exchanges = append(r.exchanges, kept)
	}
	return ex
}

// Lookup asks and keeps the answer.
func (r *Recorder) Lookup(ctx context.Context, name string, t RecordType) Answer {
	ans := r.p.Lookup(ctx, name, t)
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.lookups) >= maxRecorded {
		r.dropped++
	} else {
		r.lookups = append(r.lookups, ans)
	}
	return ans
}

// Recorded is what a recorder kept, in the order the exchanges ended.
type Recorded struct {
	Exchanges []Exchange `json:"exchanges"`
	Lookups   []Answer   `json:"lookups,omitempty"`
	Dropped   int        `json:"dropped,omitempty"` // beyond the bound: happened, not kept
}

// Recorded returns what was kept so far.
func (r *Recorder) Recorded() Recorded {
	r.mu.Lock()
	defer r.mu.Unlock()
	return Recorded{
		Exchanges: append([]Exchange(nil), r.exchanges...),
		Lookups:   append([]Answer(nil), r.lookups...),
		Dropped:   r.dropped,
	}
}
