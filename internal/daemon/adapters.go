package daemon

import (
	"context"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"garrison"
	"garrison/evidence"
	"garrison/internal/cases"
	"garrison/internal/identity"
	"garrison/internal/probe"
	"garrison/internal/records"
	"garrison/internal/registry"
)

// subjects is the register as the measures and the cases see it.
type subjects struct{ r *registry.Registry }

func (s subjects) Get(ctx context.Context, id garrison.SubjectID) (garrison.Subject, error) {
	return s.r.Get(ctx, id)
}

func (s subjects) Of(ctx context.Context, kind garrison.SubjectKind) ([]garrison.Subject, error) {
	var all []garrison.Subject
	for after := ""; ; {
		list, next, err := s.r.List(ctx, registry.Filter{Kind: kind, After: after, Limit: 1000})
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
		if next == "" {
			return all, nil
		}
		after = next
	}
}

// people are the accounts as the cases see them.
type people struct{ i *identity.Identity }

func (p people) Assignable(ctx context.Context, id garrison.AccountID) (bool, error) {
	a, err := p.i.Account(ctx, id)
	if garrison.CodeOf(err) == garrison.NotFound {
		return false, nil
	}
	return err == nil && a.State == "active", err
}

// profile is who we are as the clauses see it.
type profile struct{ r *registry.Registry }

func (p profile) Profile(ctx context.Context) (string, []string, bool, error) {
	got, err := p.r.Profile(ctx)
	return got.Name, got.Binds, got.Set, err
}

// caseHook stands in for the cases while the runner is built: each needs the other.
type caseHook struct{ *cases.Cases }

// samples are records with their proofs as a bundle needs them.
type samples struct{ s *records.Store }

func (x samples) Sample(ctx context.Context, p garrison.Period, n int) ([]evidence.RecordSample, error) {
	proven, err := x.s.Sample(ctx, p, n)
	if err != nil {
		return nil, err
	}
	out := make([]evidence.RecordSample, 0, len(proven))
	for _, r := range proven {
		out = append(out, evidence.RecordSample{
			Chunk: r.ChunkEntry.Index, Leaf: r.Index, Record: r.Record.AppendCanonical(nil), Salt: r.Salt, Proof: r.Proof,
		})
	}
	return out, nil
}

// demoProbe sends looks at the demonstration's own stand-ins, and nothing else,
// through a probe that may visit this machine.
type demoProbe struct {
	probe.Prober
	mu    sync.Mutex // guards local and hosts
	local probe.Prober
	hosts map[string]bool
}

// reach says which hosts (with port) the demonstration serves; none switches it off.
func (p *demoProbe) reach(hosts []string) {
	cfg := probe.DefaultConfig()
	cfg.AllowPrefixes = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} // where they are; a redirect leads no further
	cfg.PerHost, cfg.OwnPerHost = 200*time.Millisecond, 50*time.Millisecond
	p.mu.Lock()
	defer p.mu.Unlock()
	p.local, p.hosts = probe.New(cfg, probe.Deps{}), map[string]bool{}
	for _, h := range hosts {
		p.hosts[h] = true
	}
}

// Fetch implements probe.Prober.
func (p *demoProbe) Fetch(ctx context.Context, r probe.Request) probe.Exchange {
	if u, err := url.Parse(r.URL); err == nil {
		p.mu.Lock()
		local, ok := p.local, p.hosts[u.Host]
		p.mu.Unlock()
		if ok {
			return local.Fetch(ctx, r)
		}
	}
	return p.Prober.Fetch(ctx, r)
}
