package quicklook

import (
	"context"
	"crypto/x509"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"garrison"
	"garrison/internal/measures/links"
	"garrison/internal/probe"
)

const (
	defaultDeadline = 30 * time.Second
	minDeadline     = time.Second
	maxDeadline     = 10 * time.Minute
)

// Options sets one look.
type Options struct {
	// AllowPrivate allows the target to be of a private kind of address, and what
	// it links to to be of the same kind: a loopback target opens loopback, any
	// other opens private networks. Metadata addresses stay closed.
	AllowPrivate bool
	Deadline     time.Duration // 0: 30 s; 1 s to 10 min
	Product      string        // of the User-Agent; empty: the default
	Contact      string

	Servers  []netip.AddrPort // resolvers to ask; empty: those of the system
	Resolver probe.Resolver   // nil: Servers
	Roots    *x509.CertPool   // nil: the system's
}

// The outcomes of one line.
const (
	Pass          = "pass"
	Fail          = "fail"
	Unknown       = "unknown"
	NotApplicable = "not_applicable"
)

// Line is one thing looked at. Why is a word, never empty.
type Line struct {
	Check   string            `json:"check"`
	Outcome string            `json:"outcome"` // pass | fail | unknown | not_applicable
	Why     string            `json:"why"`
	Facts   map[string]string `json:"facts,omitempty"`
}

// Report is what one look saw.
type Report struct {
	Target string `json:"target"`
	Kind   string `json:"kind"`
	Checks []Line `json:"checks"`
}

// Outcome of the whole: fail when something failed, else unknown when something
// could not be told, else pass.
func (r Report) Outcome() garrison.Outcome {
	out := garrison.NotApplicable
	for _, l := range r.Checks {
		switch {
		case l.Outcome == Fail:
			return garrison.Fail
		case l.Outcome == Pass && out == garrison.NotApplicable:
			out = garrison.Pass
		case l.Outcome != Pass && l.Outcome != NotApplicable:
			out = garrison.Unknown
		}
	}
	if len(r.Checks) == 0 {
		return garrison.Unknown
	}
	return out
}

func (r *Report) add(check, outcome, why string, kv ...string) {
	l := Line{Check: check, Outcome: outcome, Why: why}
	for i := 0; i+1 < len(kv); i += 2 {
		if kv[i+1] != "" {
			if l.Facts == nil {
				l.Facts = map[string]string{}
			}
			l.Facts[kv[i]] = kv[i+1]
		}
	}
	r.Checks = append(r.Checks, l)
}

// Links looks at a page's links.
func Links(ctx context.Context, target string, o Options) (links.Report, error) {
	begun := time.Now()
	u, err := webTarget(target)
	if err != nil {
		return links.Report{}, err
	}
	ctx, cancel, err := o.limit(ctx)
	if err != nil {
		return links.Report{}, err
	}
	defer cancel()
	p := o.probe(ctx, u.Hostname())
	// What finding out about the target took is part of the deadline.
	left := o.deadline() - time.Since(begun)
	if left < minDeadline/2 {
		return links.Report{Target: u.String(), Links: []links.Link{}, Why: "deadline"}, nil
	}
	return links.Check(ctx, p, u.String(), links.CheckOptions{Deadline: left})
}

func (o Options) deadline() time.Duration {
	if o.Deadline == 0 {
		return defaultDeadline
	}
	return o.Deadline
}

// limit bounds the look, with a little left over for writing the answer.
func (o Options) limit(ctx context.Context) (context.Context, context.CancelFunc, error) {
	d := o.deadline()
	if d < minDeadline || d > maxDeadline {
		return nil, nil, garrison.Errorf(garrison.Invalid, "deadline %s: must be %s to %s", d, minDeadline, maxDeadline)
	}
	ctx, cancel := context.WithTimeout(ctx, d-d/20)
	return ctx, cancel, nil
}

// probe builds the probe of one look.
func (o Options) probe(ctx context.Context, host string) *probe.Probe {
	cfg := probe.DefaultConfig()
	if o.Product != "" {
		cfg.Product = o.Product
	}
	cfg.Contact, cfg.Servers = o.Contact, o.Servers
	cfg.Timeout = max(min(o.deadline()/3, 10*time.Second), time.Second)
	cfg.Connect = min(cfg.Connect, cfg.Timeout)
	cfg.OwnPerHost = 200 * time.Millisecond // the target itself: whoever asks answers for it
	cfg.Concurrent = 32
	deps := probe.Deps{Resolver: o.Resolver, Roots: o.Roots}
	if o.AllowPrivate {
		cfg.AllowPrefixes = opened(ctx, probe.New(cfg, deps), host)
	}
	return probe.New(cfg, deps)
}

// opened returns what AllowPrivate opens for this target.
func opened(ctx context.Context, p *probe.Probe, host string) []netip.Prefix {
	addrs, err := p.Addrs(ctx, host)
	if err != nil {
		return nil
	}
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	for _, a := range addrs {
		if a.IsLoopback() {
			return loopback
		}
	}
	return []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
		netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("fc00::/7"),
	}
}

// webTarget reads a target of a web look: an address, or a bare host.
func webTarget(target string) (*url.URL, error) {
	if !strings.Contains(target, "://") {
		target = "https://" + target
	}
	u, err := probe.Canonical(nil, target)
	if err != nil {
		return nil, garrison.Errorf(garrison.Invalid, "target %q: %w", target, err)
	}
	return u, nil
}

// nameTarget reads a target of a look at names: a domain, or an address whose host
// is one.
func nameTarget(target string) (string, error) {
	if at := strings.LastIndexByte(target, '@'); at >= 0 && !strings.Contains(target, "/") {
		target = target[at+1:] // a mail address
	}
	u, err := webTarget(target)
	if err != nil {
		return "", err
	}
	if _, err := netip.ParseAddr(u.Hostname()); err == nil {
		return "", garrison.Errorf(garrison.Invalid, "target %q: an address has no mail and no zone; give a domain", target)
	}
	return u.Hostname(), nil
}
