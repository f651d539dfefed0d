package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"garrison/internal/testkit/site"
)

// clock is a time that passes only when somebody sleeps.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
	return ctx.Err()
}

// names is a resolver with a list; each lookup of a name takes the next answer.
type names struct {
	mu   sync.Mutex
	list map[string][][]netip.Addr
}

func (n *names) Addrs(_ context.Context, host string) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	answers := n.list[host]
	if len(answers) == 0 {
		return nil, &Failure{Kind: DNSNXDomain, Why: host}
	}
	if len(answers) > 1 {
		n.list[host] = answers[1:]
	}
	return answers[0], nil
}

func (n *names) Lookup(_ context.Context, name string, t RecordType) Answer {
	return Answer{Name: name, Type: t, Err: &Failure{Kind: DNSFailed, Why: "not in this test"}}
}

func startSite(t *testing.T, cfg site.Config) *site.Site {
	t.Helper()
	s := site.New(cfg)
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Errorf("stop the site: %v", err)
		}
	})
	return s
}

func testConfig() Config {
	cfg := DefaultConfig()
	cfg.AllowPrefixes = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	cfg.Timeout, cfg.Connect = time.Second, 900*time.Millisecond
	cfg.MaxBody = 1 << 20
	return cfg
}

func deps() Deps {
	c := newClock()
	return Deps{Now: c.Now, Sleep: c.Sleep}
}

func TestFetchEveryDefect(t *testing.T) {
	s := startSite(t, site.DefaultConfig())
	p := New(testConfig(), deps())
	cases := []struct {
		path   string
		status int
		kind   FailureKind
		limit  Limit
	}{
		{site.OK, 200, "", ""},
		{site.Dead, 404, "", ""},
		{site.Gone, 410, "", ""},
		{site.Forbidden, 403, "", ""},
		{site.Broken, 500, "", ""},
		{site.NotHead, 200, "", ""},
		{site.MovedHere, 200, "", ""},
		{site.Moved, 200, "", ""},
		{site.Hang, 0, Timeout, ""},
		{site.HalfBody, 200, "", LimitTime},
		{site.Drip, 200, "", LimitTime},
		{site.Reset, 0, Reset, ""},
		{site.NotHTTP, 0, Protocol, ""},
		{site.Endless, 200, "", LimitBody},
		{site.ManyLinks, 200, "", LimitBody},
		{site.BigHead, 0, TooLarge, ""},
		{site.Bomb, 200, "", LimitDecoded},
		{site.FakeGzip, 200, "", LimitEncoding},
		{site.Loop, 302, RedirectLoop, ""},
		{site.Deep, 302, TooManyRedirects, ""},
		{site.ToPrivate, 0, PolicyRefused, ""},
		{site.ToMetadata, 0, PolicyRefused, ""},
		{site.ToFile, 302, Protocol, ""},
		{site.ToLogin, 302, PolicyRefused, ""},
	}
	for _, c := range cases {
		ex := p.Fetch(t.Context(), Request{URL: s.Foreign(1, c.path)})
		var kind FailureKind
		if ex.Err != nil {
			kind = ex.Err.Kind
		}
		if ex.Status() != c.status || kind != c.kind || ex.Limit != c.limit || ex.Truncated != (c.limit != "") {
			t.Errorf("%s: status %d, failure %v, limit %q; want %d, %q, %q", c.path, ex.Status(), ex.Err, ex.Limit, c.status, c.kind, c.limit)
		}
		if int64(len(ex.Body)) > 1<<20 {
			t.Errorf("%s: body of %d bytes went past the limit", c.path, len(ex.Body))
		}
		if ex.Err == nil && len(ex.Hops) == 0 {
			t.Errorf("%s: neither a failure nor a hop", c.path)
		}
	}
	if ex := p.Fetch(t.Context(), Request{URL: s.Refused()}); ex.Err == nil || ex.Err.Kind != Refused {
		t.Errorf("closed port: %v, want refused", ex.Err)
	}
	for _, h := range s.Hits() {
		if h.Agent != "Garrison/0.1" {
			t.Fatalf("User-Agent %q", h.Agent)
		}
	}
}

func TestPrivateTargetsAreNeverConnectedTo(t *testing.T) {
	s := startSite(t, site.DefaultConfig())
	_, port, err := net.SplitHostPort(strings.TrimPrefix(strings.TrimSuffix(s.URL(), "/"), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	d := deps()
	d.Resolver = &names{list: map[string][][]netip.Addr{
		"inside.example": {{netip.MustParseAddr("127.0.0.1")}},
		"mapped.example": {{netip.MustParseAddr("::ffff:127.0.0.1")}},
		"nat64.example":  {{netip.MustParseAddr("64:ff9b::7f00:1")}},
	}}
	p := New(DefaultConfig(), d)
	for _, host := range []string{"127.0.0.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "[::ffff:127.0.0.1]", "[::1]", "0.0.0.0", "[::]",
		"inside.example", "mapped.example", "nat64.example", "user@127.0.0.1"} {
		ex := p.Fetch(t.Context(), Request{URL: "http://" + host + ":" + port + "/", Robots: true})
		if ex.Err == nil || ex.Err.Kind != PolicyRefused || ex.Err.Sent {
			t.Errorf("%s: %v, want a refusal by policy", host, ex.Err)
		}
	}
	if n := len(s.Hits()); n != 0 {
		t.Errorf("%d requests reached a loopback address", n)
	}
}

// A name that first has an allowed address and then a forbidden one must be refused
// the second time: the address of every connection counts, not that of the name.
func TestRebinding(t *testing.T) {
	s := startSite(t, site.DefaultConfig())
	_, port, err := net.SplitHostPort(strings.TrimPrefix(s.Foreign(1, ""), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	d := deps()
	d.Resolver = &names{list: map[string][][]netip.Addr{
		"two-faced.example": {{netip.MustParseAddr("127.0.0.2")}, {netip.MustParseAddr("127.0.0.1")}}}}
	cfg := testConfig()
	cfg.AllowPrefixes = []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}
	p := New(cfg, d)
	ex := p.Fetch(t.Context(), Request{URL: "http://two-faced.example:" + port + site.MovedHere})
	if len(ex.Hops) != 2 || ex.Hops[0].Status != 302 || ex.Err == nil || ex.Err.Kind != PolicyRefused {
		t.Fatalf("hops %+v, failure %v; want one redirect, then a refusal", ex.Hops, ex.Err)
	}
	// And the dialer itself refuses, were a resolver's answer ever not checked.
	if err := p.control("tcp4", "127.0.0.1:"+port, nil); !errors.As(err, new(*errPolicy)) {
		t.Errorf("the dialer's control lets 127.0.0.1 through: %v", err)
	}
	if err := p.control("tcp4", "127.0.0.2:25", nil); !errors.As(err, new(*errPolicy)) {
		t.Errorf("the dialer's control lets port 25 through: %v", err)
	}
}

func TestOneHostIsAskedOncePerSecondByOneAtATime(t *testing.T) {
	s := startSite(t, site.DefaultConfig())
	c := newClock()
	p := New(testConfig(), Deps{Now: c.Now, Sleep: c.Sleep})
	var mu sync.Mutex
	var at []time.Time
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() {
			ex := p.Fetch(t.Context(), Request{URL: s.Foreign(1, site.OK), Robots: true})
			mu.Lock()
			defer mu.Unlock()
			for _, h := range append(ex.Robots, ex.Hops...) {
				at = append(at, h.At)
			}
		})
	}
	wg.Wait()
	if len(at) != 13 { // robots.txt once
		t.Fatalf("%d requests, want 13", len(at))
	}
	slices.SortFunc(at, time.Time.Compare)
	for i := 1; i < len(at); i++ {
		if d := at[i].Sub(at[i-1]); d < time.Second {
			t.Errorf("requests %d and %d are %s apart", i-1, i, d)
		}
	}
}

func TestDifferentHostsDoNotWaitForEachOther(t *testing.T) {
	s := startSite(t, site.DefaultConfig())
	c := newClock()
	p := New(testConfig(), Deps{Now: c.Now, Sleep: c.Sleep})
	begun := c.Now()
	for n := 1; n <= 4; n++ {
		p.Fetch(t.Context(), Request{URL: s.Foreign(n, site.OK)})
	}
	if d := c.Now().Sub(begun); d != 0 {
		t.Errorf("four hosts took a pause of %s", d)
	}
	p.Fetch(t.Context(), Request{URL: s.Foreign(1, site.OK)})
	if d := c.Now().Sub(begun); d != time.Second {
		t.Errorf("the first host again took a pause of %s, want 1s", d)
	}
}

func TestAPauseBeyondTheDeadlineIsNotBegun(t *testing.T) {
	s := startSite(t, site.DefaultConfig())
	cfg := testConfig()
	cfg.PerHost = time.Hour
	c := newClock()
	p := New(cfg, Deps{Now: c.Now, Sleep: func(context.Context, time.Duration) error { t.Error("slept"); return nil }})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	p.Fetch(ctx, Request{URL: s.Foreign(1, site.OK)})
	ex := p.Fetch(ctx, Request{URL: s.Foreign(1, site.OK)})
	if ex.Err == nil || ex.Err.Kind != Deadline || ex.Err.Sent {
		t.Errorf("failure %v, want deadline before anything was sent", ex.Err)
	}
}

func TestTheEnvironmentsProxyIsNotUsed(t *testing.T) {
	var used atomic.Int32
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lis.Close() })
	go func() {
		for {
			c, err := lis.Accept()
			if err != nil {
				return
			}
			used.Add(1)
			c.Close()
		}
	}()
	for _, v := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"} {
		t.Setenv(v, "http://"+lis.Addr().String())
	}
	s := startSite(t, site.DefaultConfig())
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(s.Foreign(1, ""), "http://"))
	d := deps()
	d.Resolver = &names{list: map[string][][]netip.Addr{"far.example": {{netip.MustParseAddr("127.0.0.2")}}}}
	p := New(testConfig(), d)
	if p.client.Proxy != nil { // net/http reads the environment once in a process, so using it shows little
		t.Error("the transport asks for a proxy")
	}
	ex := p.Fetch(t.Context(), Request{URL: "http://far.example:" + port + site.OK})
	if ex.Err != nil || ex.Status() != 200 || used.Load() != 0 {
		t.Errorf("status %d, failure %v, proxy used %d times", ex.Status(), ex.Err, used.Load())
	}
}

func TestTLSFactsAreKeptAlsoWhenRefused(t *testing.T) {
	good := startSite(t, site.Config{TLS: true})
	expired := startSite(t, site.Config{TLS: true, Expired: true})
	d := deps()
	d.Roots = good.Roots()
	ex := New(testConfig(), d).Fetch(t.Context(), Request{URL: good.At(site.OK)})
	if ex.Err != nil || ex.Hops[0].TLS == nil || !ex.Hops[0].TLS.Verified || ex.Hops[0].TLS.NotAfter.IsZero() {
		t.Errorf("good certificate: %v, %+v", ex.Err, ex.Hops)
	}
	d.Roots = expired.Roots()
	ex = New(testConfig(), d).Fetch(t.Context(), Request{URL: expired.At(site.OK)})
	if ex.Err == nil || ex.Err.Kind != TLSFailed || ex.Hops[0].TLS == nil || ex.Hops[0].TLS.Verified || ex.Hops[0].TLS.NotAfter.IsZero() {
		t.Errorf("expired certificate: %v, %+v", ex.Err, ex.Hops)
	}
	d.Roots = nil
	if ex := New(testConfig(), d).Fetch(t.Context(), Request{URL: good.At(site.OK)}); ex.Err == nil || ex.Err.Kind != TLSFailed {
		t.Errorf("unknown authority: %v", ex.Err)
	}
}

func TestRecorderKeepsEverythingButBodies(t *testing.T) {
	s := startSite(t, site.DefaultConfig())
	r := Record(New(testConfig(), deps()))
	ex := r.Fetch(t.Context(), Request{URL: s.At("/"), Own: true})
	r.Fetch(t.Context(), Request{URL: s.Refused()})
	r.Lookup(t.Context(), "x.invalid", TypeA)
	got := r.Recorded()
	if len(ex.Body) == 0 || len(got.Exchanges) != 2 || len(got.Lookups) != 1 || got.Exchanges[0].Body != nil {
		t.Fatalf("recorded %+v", got)
	}
	if h := got.Exchanges[0].Hops[0]; h.BodyDigest == "" || h.BodyBytes != int64(len(ex.Body)) || !h.Addr.IsValid() {
		t.Errorf("hop %+v lacks digest, size or address", h)
	}
}

func timeout(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeout(t.Context(), d)
}

func TestHeadersThatCountAreNotPushedOut(t *testing.T) {
	h := http.Header{"Content-Type": {"text/html"}, "Strict-Transport-Security": {"max-age=1"}, "Set-Cookie": {"session=secret"}}
	for i := range 100 {
		h.Set(fmt.Sprintf("A-Filler-%d", i), strings.Repeat("x", 1000))
	}
	kept := keepHeader(h)
	size := 0
	for n, vs := range kept {
		for _, v := range vs {
			size += len(n) + len(v)
		}
	}
	if kept.Get("Content-Type") != "text/html" || kept.Get("Strict-Transport-Security") != "max-age=1" || size > maxKeptHeader {
		t.Errorf("kept %d bytes: %v", size, kept)
	}
	if got := keepHeader(http.Header{"Set-Cookie": {"session=secret"}}); strings.Contains(got.Get("Set-Cookie"), "secret") {
		t.Error("a cookie's value is kept")
	}
}
