package probe

import (
	"context"
	"log/slog"
	"time"
)

// Probe fetches and looks up. It is safe for concurrent use.
type Probe struct {
	cfg Config
	log *slog.Logger
	now func() time.Time
	res Resolver
}

// New builds a probe. It does no input or output. cfg must have passed Validate.
func New(cfg Config, deps Deps) *Probe {
	return &Probe{cfg: cfg, log: deps.Log, now: deps.Now, res: deps.Resolver}
}

// Fetch performs r. See [Prober].
func (p *Probe) Fetch(_ context.Context, r Request) Exchange {
	return Exchange{Method: r.Method, URL: r.URL, Err: &Failure{Kind: Failed, Why: "not built yet"}}
}

// Lookup asks the resolver. See [Prober].
func (p *Probe) Lookup(_ context.Context, name string, t RecordType) Answer {
	return Answer{Name: name, Type: t, Err: &Failure{Kind: DNSFailed, Why: "not built yet"}}
}
