package probe

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"time"
)

// Probe fetches and looks up. It is safe for concurrent use.
type Probe struct {
	cfg    Config
	log    *slog.Logger
	now    func() time.Time
	res    Resolver
	policy Policy
	roots  *x509.CertPool // nil: the system's
	agent  string         // product token for robots.txt
	gate   *gate
	robots robotsCache
	client *http.Transport
}

// New builds a probe. It does no input or output. cfg must have passed Validate.
func New(cfg Config, deps Deps) *Probe {
	p := &Probe{cfg: cfg, log: deps.Log, now: deps.Now, res: deps.Resolver, roots: deps.Roots,
		policy: Policy{AllowPrivate: cfg.AllowPrivate, AllowPrefixes: cfg.AllowPrefixes},
		agent:  agentToken(cfg.Product), robots: robotsCache{hosts: map[string]*robotsEntry{}}}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if p.now == nil {
		p.now = time.Now
	}
	if deps.Sleep == nil {
		deps.Sleep = sleep
	}
	if p.res == nil {
		p.res = newResolver(cfg.Servers, p.now)
	}
	p.gate = newGate(cfg.Concurrent, p.now, deps.Sleep)
	p.client = p.newTransport()
	return p
}

// Lookup asks the resolver. See [Prober].
func (p *Probe) Lookup(ctx context.Context, name string, t RecordType) Answer {
	return p.res.Lookup(ctx, name, t)
}

// Addrs returns the addresses of host, allowed or not: nothing is connected to.
func (p *Probe) Addrs(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a.Unmap()}, nil
	}
	addrs, err := p.res.Addrs(ctx, host)
	if err != nil {
		return nil, err
	}
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	return addrs, nil
}

// budget is the time an exchange may still spend on the network; waiting for a
// host's turn does not count.
type budget struct{ left time.Duration }

// answer is what a hop brought besides its record.
type answer struct {
	body     content
	location string
}

// Fetch performs r. See [Prober].
func (p *Probe) Fetch(ctx context.Context, r Request) (ex Exchange) {
	if r.Method == "" {
		r.Method = http.MethodGet
	}
	if r.MaxBody <= 0 || r.MaxBody > p.cfg.MaxBody {
		r.MaxBody = p.cfg.MaxBody
	}
	if r.Timeout <= 0 || r.Timeout > p.cfg.Timeout {
		r.Timeout = p.cfg.Timeout
	}
	started := p.now()
	ex = Exchange{Started: started.UTC(), Method: r.Method, URL: r.URL}
	defer func() { ex.Took = p.now().Sub(started) }()
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		ex.Err = &Failure{Kind: PolicyRefused, Why: fmt.Sprintf("method %.20q is not used by this probe", r.Method)}
		return ex
	}
	u, err := Canonical(nil, r.URL)
	if err != nil {
		ex.Err = &Failure{Kind: Protocol, Why: trimErr(err)}
		return ex
	}
	p.follow(ctx, r, &ex, u)
	return ex
}

// follow does hop after hop until an answer is no redirect.
func (p *Probe) follow(ctx context.Context, r Request, ex *Exchange, u *url.URL) {
	b := &budget{left: r.Timeout}
	own := u.Hostname()
	seen := map[string]bool{}
	for range p.cfg.MaxRedirects + 1 {
		if seen[u.String()] {
			ex.Err = &Failure{Kind: RedirectLoop, Sent: true, Why: fmt.Sprintf("redirected to %.200q again", u.String())}
			return
		}
		seen[u.String()] = true
		if ex.Err = p.checkURL(u); ex.Err != nil {
			return
		}
		pace := p.cfg.PerHost
		if r.Own && u.Hostname() == own {
			pace = p.cfg.OwnPerHost
		}
		if r.Robots {
			hops, fail := p.checkRobots(ctx, u, pace, b)
			ex.Robots = append(ex.Robots, hops...)
			if ex.Err = fail; fail != nil {
				return
			}
		}
		hop, ans, fail := p.hop(ctx, r.Method, u, pace, r.MaxBody, b)
		ex.Hops = append(ex.Hops, hop)
		ex.FinalURL = u.String()
		if ex.Err = fail; fail != nil {
			return
		}
		next, bad := redirectTo(u, hop.Status, ans.location)
		if bad == nil && (next == nil || r.NoFollow) {
			ex.Body, ex.Limit, ex.Truncated = ans.body.data, ans.body.limit, ans.body.limit != ""
			return
		}
		if ex.Err = bad; bad != nil {
			return
		}
		u = next
	}
	ex.Err = &Failure{Kind: TooManyRedirects, Sent: true, Why: fmt.Sprintf("more than %d redirects", p.cfg.MaxRedirects)}
}

// checkURL refuses what no request is made for, before anything is resolved.
func (p *Probe) checkURL(u *url.URL) *Failure {
	if u.User != nil {
		return &Failure{Kind: PolicyRefused, Why: "the address carries credentials"}
	}
	return nil
}

// redirectTo returns where an answer leads: nil when it is no redirect.
func redirectTo(from *url.URL, status int, location string) (*url.URL, *Failure) {
	switch status {
	case 301, 302, 303, 307, 308:
	default:
		return nil, nil
	}
	if location == "" {
		return nil, nil // an answer like any other
	}
	next, err := Canonical(from, location)
	if err != nil {
		return nil, &Failure{Kind: Protocol, Sent: true, Why: "redirect: " + trimErr(err)}
	}
	return next, nil
}

// hop does one request within the host's turn and the budget.
func (p *Probe) hop(ctx context.Context, method string, u *url.URL, pace time.Duration, limit int64, b *budget) (Hop, answer, *Failure) {
	hop := Hop{Method: method, URL: u.String(), At: p.now().UTC()}
	if b.left <= 0 {
		return hop, answer{}, &Failure{Kind: Timeout, Why: "the time for this exchange is used up", Sent: true}
	}
	leave, err := p.gate.enter(ctx, u.Hostname(), pace)
	if err != nil {
		return hop, answer{}, &Failure{Kind: Deadline, Why: "time ran out before this host's turn"}
	}
	defer leave()
	hop.At = p.now().UTC()
	begun := time.Now() // the budget is real time, whatever clock politeness is kept by
	w := &wire{}
	hctx, cancel := context.WithTimeout(context.WithValue(ctx, wireKey{}, w), b.left)
	defer cancel()
	ans, fail := p.exchange(hctx, &hop, u, limit)
	hop.Took = time.Since(begun)
	b.left -= hop.Took
	hop.Addr, hop.TLS = w.facts()
	return hop, ans, fail
}

// exchange sends one request and reads its answer into hop.
func (p *Probe) exchange(ctx context.Context, hop *Hop, u *url.URL, limit int64) (answer, *Failure) {
	req, err := http.NewRequestWithContext(ctx, hop.Method, u.String(), nil)
	if err != nil {
		return answer{}, &Failure{Kind: Protocol, Why: trimErr(err)}
	}
	req.Header = http.Header{
		"User-Agent":      {p.cfg.UserAgent()},
		"Accept":          {"text/html,application/xhtml+xml,*/*;q=0.8"},
		"Accept-Language": {"zh-CN,zh;q=0.9,en;q=0.5"},
		"Accept-Encoding": {"gzip"},
	}
	resp, err := p.client.RoundTrip(req)
	if err != nil {
		return answer{}, classify(err)
	}
	defer resp.Body.Close()
	hop.Status, hop.Header = resp.StatusCode, keepHeader(resp.Header)
	ans := answer{location: resp.Header.Get("Location")}
	if next, _ := redirectTo(u, hop.Status, ans.location); next != nil || hop.Method == http.MethodHead {
		return ans, nil // the body of a redirect is not looked at
	}
	ans.body = readBody(resp, limit)
	hop.WireBytes, hop.BodyBytes = ans.body.wire, int64(len(ans.body.data))
	if len(ans.body.data) > 0 {
		sum := sha256.Sum256(ans.body.data)
		hop.BodyDigest = hex.EncodeToString(sum[:])
	}
	return ans, nil
}
