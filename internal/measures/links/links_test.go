package links

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"garrison"
	"garrison/internal/measures"
	"garrison/internal/probe"
	"garrison/internal/testkit/site"
)

// clock is a time that passes only when somebody sleeps.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

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

// zone is a resolver in memory.
type zone struct {
	hosts map[string]netip.Addr
	root  bool // it knows the root
	ns    map[string]string
}

func (z *zone) Addrs(_ context.Context, host string) ([]netip.Addr, error) {
	if a, ok := z.hosts[host]; ok {
		return []netip.Addr{a}, nil
	}
	return nil, &probe.Failure{Kind: probe.DNSNXDomain, Why: host}
}

func (z *zone) Lookup(_ context.Context, name string, t probe.RecordType) probe.Answer {
	ans := probe.Answer{Name: name, Type: t}
	switch {
	case t == probe.TypeNS && name == "." && z.root:
		ans.Values = []string{"a.root-servers.net"}
	case t == probe.TypeNS && z.ns[name] != "":
		ans.Values = []string{z.ns[name]}
	case t == probe.TypeA && z.hosts[name].IsValid():
		ans.Values = []string{z.hosts[name].String()}
	default:
		ans.Err = &probe.Failure{Kind: probe.DNSNXDomain, Why: name}
	}
	return ans
}

func startSite(t *testing.T) *site.Site {
	t.Helper()
	s := site.New(site.DefaultConfig())
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

func testProbe(z *zone) *probe.Probe {
	cfg := probe.DefaultConfig()
	cfg.AllowPrefixes = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	cfg.Timeout, cfg.Connect = 800*time.Millisecond, 700*time.Millisecond
	c := &clock{t: time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)}
	if z == nil {
		z = &zone{root: true}
	}
	return probe.New(cfg, probe.Deps{Now: c.Now, Sleep: c.Sleep, Resolver: z})
}

func run(t *testing.T, cfg Config, p probe.Prober, url string, env measures.Env) measures.Result {
	t.Helper()
	m, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	env.Probe, env.Now = p, time.Now
	res, err := m.Run(t.Context(), env, garrison.Subject{ID: "subject-1", Kind: garrison.Site, Attributes: map[string]string{"url": url}})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func verdicts(res measures.Result) map[string]string {
	out := map[string]string{}
	for _, it := range res.Items {
		out[it.Locus] = it.Verdict + " " + it.Why
	}
	return out
}

func TestEveryVerdict(t *testing.T) {
	s := startSite(t)
	s.SetRobots(3, 200, "User-agent: *\nDisallow: /")
	s.SetRobots(4, 503, "")
	want := map[string]string{
		s.Foreign(1, site.OK):             "alive status_200",
		s.Foreign(1, site.NotHead):        "alive status_200",
		s.Foreign(1, site.MovedHere):      "alive status_200",
		s.Foreign(1, site.Endless):        "alive status_200",
		s.Foreign(1, site.Bomb):           "alive limit_decompressed_bytes",
		s.Foreign(1, site.Dead):           "dead status_404",
		s.Foreign(1, site.Gone):           "dead status_410",
		"http://www.lapsed.example/":      "dead nxdomain",
		s.Foreign(1, site.Forbidden):      "forbidden status_403",
		s.Foreign(1, site.Login):          "forbidden status_401",
		s.Foreign(1, site.Legal):          "forbidden status_451",
		s.Foreign(1, site.Hang):           "slow timeout",
		s.Foreign(1, site.HalfBody):       "slow body_timeout",
		s.Foreign(1, site.Drip):           "slow body_timeout",
		s.Foreign(1, site.Broken):         "unreachable status_500",
		s.Refused():                       "unreachable refused",
		s.Foreign(1, site.Reset):          "unreachable reset",
		s.Foreign(1, site.NotHTTP):        "unreachable protocol",
		s.Foreign(1, site.Moved):          "moved redirect",
		s.Foreign(1, site.Refresh):        "moved refresh",
		s.Foreign(1, site.Parked):         "parked parking_service",
		s.Foreign(1, site.Busy):           "unknown status_429",
		s.Foreign(1, site.Loop):           "unknown redirect_loop",
		s.Foreign(1, site.Deep):           "unknown too_many_redirects",
		s.Foreign(1, site.ToPrivate):      "unknown policy",
		s.Foreign(1, site.ToMetadata):     "unknown policy",
		s.Foreign(1, site.ToFile):         "unknown bad_redirect",
		s.Foreign(1, site.BigHead):        "unknown too_large",
		s.Foreign(3, site.OK):             "unknown robots",
		s.Foreign(4, site.OK):             "unknown robots_unknown",
		"http://user:pw@other.example/":   "unknown policy",
		"http://169.254.169.254/latest":   "unknown policy",
		"http://10.0.0.1/":                "unknown policy",
		"http://[fe80::1%25eth0]/":        "unknown bad_address",
		s.Foreign(2, site.Dead) + "?post": "unknown form_post",
	}
	var b strings.Builder
	for url := range want {
		if strings.HasSuffix(url, "?post") {
			fmt.Fprintf(&b, "<form method=post action=%q></form>\n", url)
			continue
		}
		fmt.Fprintf(&b, "<a href=%q>x</a>\n", url)
	}
	s.SetPage("/", b.String())
	z := &zone{root: true}
	// The refused address is on the portal's own host; give the portal another name.
	z.hosts = map[string]netip.Addr{"www.portal.example": netip.MustParseAddr("127.0.0.1")}
	_, port, _ := strings.Cut(strings.TrimPrefix(s.URL(), "http://"), ":")
	res := run(t, DefaultConfig(), testProbe(z), "http://www.portal.example:"+port, measures.Env{})
	if d := cmp.Diff(verdicts(res), want); d != "" {
		t.Errorf("verdicts (-got +want)\n%s", d)
	}
	if res.Outcome != garrison.Fail || !res.Complete {
		t.Errorf("outcome %s, complete %v, truncated %v", res.Outcome, res.Complete, res.Truncated)
	}
	p := res.Population
	if p.Attempted != len(want) || p.Succeeded+p.Failed+p.Unreachable != p.Attempted || p.Failed != 6 || p.Succeeded != 5 {
		t.Errorf("population %+v of %d links", p, len(want))
	}
	for _, it := range res.Items {
		if it.Sure != (it.Why == "status_404" || it.Why == "status_410") {
			t.Errorf("%s (%s): sure = %v", it.Locus, it.Why, it.Sure)
		}
	}
}

func TestADomainIsDeadOnlyIfTheResolverCanBeTrusted(t *testing.T) {
	s := startSite(t)
	s.SetPage("/", `<a href="http://www.lapsed.example/">x</a>`)
	if got := verdicts(run(t, DefaultConfig(), testProbe(&zone{root: false}), s.URL(), measures.Env{})); got["http://www.lapsed.example/"] != "unknown dns_untrusted" {
		t.Errorf("resolver that knows nothing: %v", got)
	}
}

func TestThePortalAndItsRepair(t *testing.T) {
	s := startSite(t)
	res := run(t, DefaultConfig(), testProbe(nil), s.URL(), measures.Env{})
	got := verdicts(res)
	if got[s.DeadURL()] != "dead status_404" || got[s.Foreign(2, site.Moved)] != "moved redirect" || res.Outcome != garrison.Fail || !res.Complete {
		t.Fatalf("broken portal: %s %v %v", res.Outcome, res.Truncated, got)
	}
	for _, it := range res.Items {
		if it.Locus == s.DeadURL() && (it.Facts["pages"] != s.URL() || it.What != "不动产登记网上办事指南" || it.Facts["status"] != "404" || it.Facts["kind"] != "anchor") {
			t.Errorf("the dead link does not say where it stands: %+v", it)
		}
		if it.Locus == s.Foreign(4, site.OK) && it.Facts["count"] != "2" {
			t.Errorf("a link on two pages: %+v", it)
		}
	}
	s.Repair()
	res = run(t, DefaultConfig(), testProbe(nil), s.URL(), measures.Env{})
	if res.Outcome != garrison.Pass || !res.Complete {
		t.Errorf("repaired portal: %s (%s) %v", res.Outcome, res.Why, verdicts(res))
	}
}

func TestLimitsAreReportedAndNeverPass(t *testing.T) {
	s := startSite(t)
	for i := range 6 {
		s.SetPage(fmt.Sprintf("/p%d", i), fmt.Sprintf(`<a href="/p%d">next</a><a href="%s?%d">out</a>`, i+1, s.Foreign(1, site.OK), i))
	}
	s.SetPage("/", `<a href="/p0">first</a>`)
	cases := []struct {
		name string
		set  func(*Config)
		want string
	}{
		{"pages", func(c *Config) { c.MaxPages = 3 }, "pages"},
		{"depth", func(c *Config) { c.MaxDepth = 2 }, "depth"},
		{"links", func(c *Config) { c.MaxLinks, c.MaxDepth = 2, 10 }, "links"},
		{"bytes", func(c *Config) { c.MaxBytes = 10 }, "bytes"},
	}
	for _, c := range cases {
		cfg := DefaultConfig()
		cfg.MaxDepth = 10
		if c.name == "depth" {
			cfg.MaxDepth = 2
		}
		c.set(&cfg)
		res := run(t, cfg, testProbe(nil), s.URL(), measures.Env{})
		if res.Outcome != garrison.Unknown || res.Complete || !strings.Contains(strings.Join(res.Truncated, " "), c.want) || res.Why != "truncated" {
			t.Errorf("%s: outcome %s (%s), complete %v, truncated %v", c.name, res.Outcome, res.Why, res.Complete, res.Truncated)
		}
	}
	cfg := DefaultConfig()
	cfg.MaxDepth = 10
	if res := run(t, cfg, testProbe(nil), s.URL(), measures.Env{}); res.Outcome != garrison.Pass || res.Population.Attempted != 6 {
		t.Errorf("without limits: %s %v", res.Outcome, verdicts(res))
	}
}

func TestHostileFrontPages(t *testing.T) {
	cases := []struct{ path, why, cut string }{
		{site.Hang, "front_page_timeout", ""},
		{site.Loop, "front_page_redirect_loop", ""},
		{site.Deep, "front_page_too_many_redirects", ""},
		{site.ToPrivate, "front_page_policy", ""},
		{site.Moved, "front_page_front_page_moved", ""},
		{site.Dead, "front_page_status_404", ""},
		{site.Reset, "front_page_reset", ""},
		{site.FakeGzip, "front_page_limit_encoding", ""},
		{site.Endless, "truncated", "page_body_bytes"},
		{site.Bomb, "truncated", "page_decompressed_bytes"},
		{site.Drip, "truncated", "page_time"},
		{site.ManyLinks, "truncated", "links"},
	}
	s := startSite(t)
	cfg := DefaultConfig()
	cfg.MaxLinks = 50
	for _, c := range cases {
		res := run(t, cfg, testProbe(nil), s.At(c.path), measures.Env{})
		if res.Outcome != garrison.Unknown && c.path != site.ManyLinks || res.Outcome == garrison.Pass || res.Complete {
			t.Errorf("%s: outcome %s, complete %v", c.path, res.Outcome, res.Complete)
		}
		if res.Why != c.why && c.path != site.ManyLinks || c.cut != "" && !strings.Contains(strings.Join(res.Truncated, " "), c.cut) {
			t.Errorf("%s: why %q, truncated %v; want %q, %q", c.path, res.Why, res.Truncated, c.why, c.cut)
		}
	}
}

func TestMarkupBeyondItsLimitIsReported(t *testing.T) {
	s := startSite(t)
	s.SetPage("/", `<a href="{{1}}/ok">1</a><a href="/`+strings.Repeat("x", 2*maxTokenSize)+`">2</a><a href="{{1}}/dead">3</a>`)
	res := run(t, DefaultConfig(), testProbe(nil), s.URL(), measures.Env{})
	if res.Outcome == garrison.Pass || res.Complete || !strings.Contains(strings.Join(res.Truncated, " "), "markup") {
		t.Errorf("outcome %s, complete %v, truncated %v", res.Outcome, res.Complete, res.Truncated)
	}
}

func TestAnIncompleteRunGoesOnLookingAtWhatIsKnown(t *testing.T) {
	s := startSite(t)
	s.SetPage("/", `<a href="/p">p</a>`)
	s.SetPage("/p", `<a href="/q">q</a>`)
	cfg := DefaultConfig()
	cfg.MaxDepth = 1
	known := measures.Item{Locus: s.Foreign(1, site.Dead), Facts: map[string]string{"kind": "anchor", "text": "old", "pages": s.At("/q")}}
	res := run(t, cfg, testProbe(nil), s.URL(), measures.Env{Known: []measures.Item{known}})
	if len(res.Items) != 1 || res.Items[0].Verdict != "dead" || res.Items[0].Facts["earlier"] != "true" || res.Items[0].What != "old" {
		t.Errorf("items %+v", res.Items)
	}
}

func TestAnotherLookLooksOnlyAtWhatIsAsked(t *testing.T) {
	s := startSite(t)
	before := len(s.Hits())
	res := run(t, DefaultConfig(), testProbe(nil), s.URL(), measures.Env{Only: []string{s.Foreign(1, site.Broken)}})
	if !res.Partial || res.Complete || len(res.Items) != 1 || res.Items[0].Verdict != "unreachable" {
		t.Errorf("result %+v", res)
	}
	if n := len(s.Hits()) - before; n != 2 { // robots.txt and the link
		t.Errorf("%d requests, want 2", n)
	}
}

func TestExtract(t *testing.T) {
	page, err := probe.Canonical(nil, "http://www.portal.example/a/")
	if err != nil {
		t.Fatal(err)
	}
	body := `<html><head><title> 青檀县
 人民政府 </title><base href="/b/"><base href="/c/">
<link rel="stylesheet" href="s.css"><link rel="dns-prefetch" href="//hint.example"><link rel="alternate" href="feed">
<meta http-equiv="Refresh" content="5; url='http://next.example/'"></head><body>
<!-- <a href="http://commented.example/">no</a> -->
<script>var x = '<a href="http://inscript.example/">no</a>';</script><script src="//cdn.example/x.js"></script>
<a href=" one.html#frag " title="t">  First <b>link</b> </a>
<a href="mailto:a@b.example">m</a><a href="javascript:void(0)">j</a><a href="tel:1">t</a><a name="anchor">n</a><a href="">e</a>
<a href="//other.example:80/x"><img src="i.png" alt="Picture"></a>
<area href="http://area.example/"><iframe src="http://frame.example/"></iframe>
<form action="http://form.example/get"></form><form method="POST" action="http://form.example/post"></form>
<a href="http://good.example\@evil.example/">back</a><a href="http://bad host/">bad</a>
<a href="http://中国政府.example/">idn</a>`
	type row struct{ URL, Kind, Text string }
	var got []row
	doc := extract(page, "text/html; charset=utf-8", []byte(body), 100)
	for _, l := range doc.links {
		r := row{Kind: l.kind, Text: l.text}
		if r.URL = l.raw; l.url != nil {
			r.URL = l.url.String()
		}
		got = append(got, r)
	}
	want := []row{
		{"http://www.portal.example/b/s.css", "style", ""},
		{"http://www.portal.example/b/feed", "relation", ""},
		{"http://cdn.example/x.js", "script", ""},
		{"http://www.portal.example/b/one.html", "anchor", "t First link"},
		{"http://other.example/x", "anchor", "Picture"},
		{"http://www.portal.example/b/i.png", "image", ""},
		{"http://area.example/", "anchor", ""},
		{"http://frame.example/", "frame", ""},
		{"http://form.example/get", "form", ""},
		{"http://form.example/post", "form_post", ""},
		{"http://good.example/@evil.example/", "anchor", "back"},
		{"http://bad host/", "anchor", "bad"},
		{"http://xn--fiqs8sirgfmh.example/", "anchor", "idn"},
	}
	if d := cmp.Diff(got, want); d != "" {
		t.Errorf("links (-got +want)\n%s", d)
	}
	if doc.title != "青檀县 人民政府" || doc.refresh == nil || doc.refresh.Host != "next.example" {
		t.Errorf("title %q, refresh %v", doc.title, doc.refresh)
	}
}

func TestExtractReadsTheCharsetOfThePage(t *testing.T) {
	page, err := probe.Canonical(nil, "http://h.example/")
	if err != nil {
		t.Fatal(err)
	}
	gbk := "<meta charset=gb2312><a href=/x>\xcd\xa8\xd6\xaa</a>" // 通知
	doc := extract(page, "text/html", []byte(gbk), 10)
	if len(doc.links) != 1 || doc.links[0].text != "通知" {
		t.Errorf("links %+v", doc.links)
	}
}

func FuzzExtract(f *testing.F) {
	f.Add([]byte("<base href=//b><a href=x>y</a><meta http-equiv=refresh content='0;url=z'><title>t"), "text/html; charset=gbk")
	page, err := probe.Canonical(nil, "http://h.example/")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte, ct string) {
		doc := extract(page, ct, body, 20)
		if len(doc.links) > 20 {
			t.Fatalf("%d links past the limit", len(doc.links))
		}
		for _, l := range doc.links {
			if l.url == nil && l.bad == "" {
				t.Fatal("a link without an address and without a reason")
			}
		}
	})
}

func TestParked(t *testing.T) {
	asked, _ := probe.Canonical(nil, "http://www.gone.example/")
	sedo, _ := probe.Canonical(nil, "https://sedo.com/search/details/?domain=gone.example")
	long := strings.Repeat("本报讯：近日有关部门就规范域名注册管理答记者问。", 60)
	ns := &zone{ns: map[string]string{"gone.example": "ns1.sedoparking.com"}}
	cases := []struct {
		name, body string
		z          *zone
		final      string
		want       string
	}{
		{"redirect to a market", "", nil, "market", "market"},
		{"parking service, little text", `<title>gone.example</title><script src="https://d38psrni17bvxu.cloudfront.net/x.js"></script>`, nil, "", "parking_service"},
		{"for sale in the title, little text", `<title>gone.example - 该域名正在出售</title><p>联系我们</p>`, nil, "", "for_sale"},
		{"phrase in the text and parking name servers", `<title>Welcome</title><p>Buy this domain today</p>`, ns, "", "parking_servers"},
		{"phrase in the text, ordinary name servers", `<title>Welcome</title><p>Buy this domain today</p>`, nil, "", ""},
		{"an article about the sale of domains", `<title>域名出售须知</title><p>` + long + `</p>`, nil, "", ""},
		{"a shop", `<title>House for sale</title><p>Nice house.</p>`, nil, "", ""},
		{"an empty page", ``, nil, "", ""},
		{"a long page that loads such a script", `<script src="//x.parkingcrew.net/"></script><p>` + long + `</p>`, nil, "", ""},
	}
	for _, c := range cases {
		if c.z == nil {
			c.z = &zone{}
		}
		final := asked
		if c.final == "market" {
			final = sedo
		}
		doc := extract(final, "text/html; charset=utf-8", []byte(c.body), 100)
		if got := parked(t.Context(), testProbe(c.z), asked, final, []byte(c.body), doc); got != c.want {
			t.Errorf("%s: parked = %q, want %q", c.name, got, c.want)
		}
	}
	// A link that was always meant for the market's own site is none.
	if got := parked(t.Context(), testProbe(nil), sedo, sedo, nil, document{}); got != "" {
		t.Errorf("link to a market: %q", got)
	}
}

func TestRegistrable(t *testing.T) {
	for host, want := range map[string]string{
		"www.example.gov.cn": "example.gov.cn", "a.b.example.com": "example.com", "example.com": "example.com",
		"gov.cn": "gov.cn", "127.0.0.1": "127.0.0.1", "::1": "::1", "me.github.io": "me.github.io", "localhost": "localhost",
	} {
		if got := registrable(host); got != want {
			t.Errorf("registrable(%q) = %q, want %q", host, got, want)
		}
	}
}

func TestDefinition(t *testing.T) {
	m, err := New(DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	d := m.Definition()
	if len(d.Verdicts) != 8 || len(d.Rules) != 6 || d.Interval != 24*time.Hour || d.Clauses[0] != "govqa-9b" {
		t.Errorf("definition %+v", d)
	}
	for _, v := range []string{alive, dead, forbidden, slow, unreachable, moved, parkedLink, unknown} {
		if _, ok := d.Verdict(v); !ok {
			t.Errorf("verdict %q is not in measure.yaml", v)
		}
	}
	if _, err := New(Config{}); err == nil || strings.Count(err.Error(), "links.") != 6 {
		t.Errorf("empty configuration: %v, want six faults at once", err)
	}
}
