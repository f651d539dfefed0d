package quicklook

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"garrison"
	"garrison/internal/probe"
	"garrison/internal/testkit/site"
)

// zone is a resolver in memory: "name TYPE" to values; a name of which nothing is
// known does not exist.
type zone map[string][]string

func (z zone) Addrs(_ context.Context, host string) ([]netip.Addr, error) {
	var out []netip.Addr
	for _, v := range z[host+" A"] {
		out = append(out, netip.MustParseAddr(v))
	}
	if len(out) == 0 {
		return nil, &probe.Failure{Kind: probe.DNSNXDomain, Why: host}
	}
	return out, nil
}

func (z zone) Lookup(_ context.Context, name string, t probe.RecordType) probe.Answer {
	ans := probe.Answer{Name: name, Type: t, Values: z[name+" "+string(t)]}
	if len(ans.Values) > 0 {
		return ans
	}
	kind := probe.DNSNXDomain
	for k := range z {
		if strings.HasPrefix(k, name+" ") {
			kind = probe.DNSNoData
		}
	}
	if slices.Contains(z[name+" BROKEN"], "yes") {
		kind = probe.DNSFailed
	}
	ans.Err = &probe.Failure{Kind: kind, Why: name}
	return ans
}

func lines(r Report) map[string]string {
	out := map[string]string{}
	for _, l := range r.Checks {
		out[l.Check] = l.Outcome + " " + l.Why
	}
	return out
}

func TestMail(t *testing.T) {
	z := zone{
		"good.example MX": {"10 mx1.good.example", "20 mx2.good.example"}, "mx1.good.example A": {"192.0.2.1"}, "mx2.good.example AAAA": {"2001:db8::1"},
		"good.example TXT": {"other", "v=spf1 ip4:192.0.2.0/24 -all"}, "_dmarc.good.example TXT": {"v=DMARC1; p=reject; sp=none"},
		"sub.good.example MX": {"10 gone.good.example"}, "sub.good.example TXT": {"v=spf1 +all"},
		"weak.example MX": {"10 mx1.good.example"}, "weak.example TXT": {"v=spf1 mx", "v=spf1 -all"}, "_dmarc.weak.example TXT": {"v=DMARC1; p=none"},
		"silent.example A": {"192.0.2.9"},
		"null.example MX":  {"0 "}, "null.example TXT": {"v=spf1 -all"},
		"broken.example BROKEN": {"yes"},
	}
	cases := map[string]map[string]string{
		"post@good.example": {"mx": "pass present", "mx_resolves": "pass all", "spf": "pass fail_all", "dmarc": "pass policy_reject"},
		"sub.good.example":  {"mx": "pass present", "mx_resolves": "fail no_address", "spf": "fail allows_all", "dmarc": "fail policy_none"},
		"weak.example":      {"mx": "pass present", "mx_resolves": "pass all", "spf": "fail several", "dmarc": "fail policy_none"},
		"silent.example":    {"mx": "fail no_mx", "mx_resolves": "not_applicable no_mx", "spf": "fail absent", "dmarc": "fail absent"},
		"null.example":      {"mx": "not_applicable null_mx", "mx_resolves": "not_applicable null_mx", "spf": "pass fail_all", "dmarc": "fail absent"},
		"none.example":      {"mx": "unknown dns_nxdomain", "mx_resolves": "unknown dns_nxdomain", "spf": "unknown dns_nxdomain", "dmarc": "unknown dns_nxdomain"},
		"broken.example":    {"mx": "unknown dns_failed", "mx_resolves": "unknown dns_failed", "spf": "unknown dns_failed", "dmarc": "unknown dns_failed"},
	}
	for target, want := range cases {
		rep, err := Mail(t.Context(), target, Options{Resolver: z})
		if err != nil {
			t.Errorf("%s: %v", target, err)
		}
		if d := cmp.Diff(lines(rep), want); d != "" {
			t.Errorf("%s (-got +want)\n%s", target, d)
		}
	}
	if _, err := Mail(t.Context(), "192.0.2.1", Options{Resolver: z}); garrison.CodeOf(err) != garrison.Invalid {
		t.Errorf("an address: %v", err)
	}
}

func TestDNS(t *testing.T) {
	z := zone{
		"good.example SOA": {"ns1.good.example host.good.example 1"}, "good.example NS": {"ns1.good.example", "ns2.good.example"},
		"ns1.good.example A": {"192.0.2.1"}, "ns2.good.example A": {"192.0.2.2"}, "www.good.example A": {"192.0.2.3"},
		"bad.example SOA": {"a b 1"}, "bad.example NS": {"ns.bad.example"}, "ns.bad.example CNAME": {"x.example"},
		"broken.example BROKEN": {"yes"},
	}
	cases := map[string]map[string]string{
		"https://www.good.example/x": {"address": "pass present", "soa": "pass present", "ns": "pass present", "ns_resolve": "pass all", "ns_not_alias": "pass none_is"},
		"bad.example":                {"address": "not_applicable none", "soa": "pass present", "ns": "fail only_one", "ns_resolve": "fail no_address", "ns_not_alias": "fail alias"},
		"none.example":               {"address": "unknown dns_nxdomain", "soa": "unknown dns_nxdomain", "ns": "unknown dns_nxdomain", "ns_resolve": "unknown dns_nxdomain", "ns_not_alias": "unknown dns_nxdomain"},
		"broken.example":             {"address": "unknown dns_failed", "soa": "unknown dns_failed", "ns": "unknown dns_failed", "ns_resolve": "unknown dns_failed", "ns_not_alias": "unknown dns_failed"},
	}
	for target, want := range cases {
		rep, err := DNS(t.Context(), target, Options{Resolver: z})
		if err != nil {
			t.Errorf("%s: %v", target, err)
		}
		if d := cmp.Diff(lines(rep), want); d != "" {
			t.Errorf("%s (-got +want)\n%s", target, d)
		}
	}
}

func start(t *testing.T, cfg site.Config) *site.Site {
	t.Helper()
	s := site.New(cfg)
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestSite(t *testing.T) {
	good, expired, plain := start(t, site.Config{TLS: true}), start(t, site.Config{TLS: true, Expired: true}), start(t, site.DefaultConfig())
	cases := []struct {
		name, target string
		o            Options
		want         map[string]string
	}{
		{"good certificate", good.URL(), Options{AllowPrivate: true, Roots: good.Roots()},
			map[string]string{"https": "pass answers", "certificate": "pass verified", "certificate_expiry": "pass valid", "hsts": "fail absent", "status": "pass status_200", "title": "pass present"}},
		{"expired certificate", expired.URL(), Options{AllowPrivate: true, Roots: expired.Roots()},
			map[string]string{"https": "pass answers", "certificate": "fail not_verified", "certificate_expiry": "fail expired", "hsts": "unknown no_answer", "status": "unknown tls", "title": "unknown no_page"}},
		{"private and not allowed", good.URL(), Options{},
			map[string]string{"https": "unknown policy", "certificate": "unknown not_seen", "certificate_expiry": "unknown not_seen", "hsts": "unknown no_answer", "status": "unknown policy", "title": "unknown no_page"}},
		{"no such name", "www.none.example", Options{Resolver: zone{}},
			map[string]string{"https": "unknown dns_nxdomain", "certificate": "unknown not_seen", "certificate_expiry": "unknown not_seen", "http_redirect": "unknown dns_nxdomain", "hsts": "unknown no_answer", "status": "unknown dns_nxdomain", "title": "unknown no_page"}},
		{"plain HTTP that does not lead to HTTPS", plain.URL(), Options{AllowPrivate: true},
			map[string]string{"http_redirect": "fail no_redirect"}},
		{"a site that hangs", plain.At(site.Hang), Options{AllowPrivate: true, Deadline: 3 * time.Second},
			map[string]string{"http_redirect": "unknown timeout"}},
	}
	for _, c := range cases {
		begun := time.Now()
		rep, err := Site(t.Context(), c.target, c.o)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if c.o.Deadline > 0 && time.Since(begun) > c.o.Deadline {
			t.Errorf("%s: answered after %s", c.name, time.Since(begun))
		}
		got := lines(rep)
		if len(got) != 7 {
			t.Errorf("%s: %d lines, want 7", c.name, len(got))
		}
		for check, want := range c.want {
			if got[check] != want {
				t.Errorf("%s: %s = %q, want %q", c.name, check, got[check], want)
			}
		}
	}
}

func TestMaxAge(t *testing.T) {
	for value, want := range map[string]time.Duration{"max-age=31536000; includeSubDomains": 31536000 * time.Second, `Max-Age="60"`: time.Minute,
		"includeSubDomains": -1, "max-age=x": -1, "max-age=-1": -1, "max-age=99999999999999": -1} {
		got, ok := maxAge(value)
		if !ok {
			got = -1
		}
		if got != want {
			t.Errorf("maxAge(%q) = %s, want %s", value, got, want)
		}
	}
}

func TestLinksOfALoopbackSite(t *testing.T) {
	s := start(t, site.DefaultConfig())
	s.SetPage("/", `<a href="{{1}}/ok">1</a><a href="{{2}}/dead">2</a><a href="{{3}}/to-private">3</a><a href="{{4}}/to?u=http://192.168.0.1/">4</a>`)
	rep, err := Links(t.Context(), s.URL(), Options{AllowPrivate: true, Deadline: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, l := range rep.Links {
		got[l.URL] = l.Outcome + " " + l.Why
	}
	want := map[string]string{s.Foreign(1, "/ok"): "alive status_200", s.Foreign(2, "/dead"): "dead status_404",
		s.Foreign(3, "/to-private"): "unknown policy", s.Foreign(4, "/to?u=http://192.168.0.1/"): "unknown policy"}
	if d := cmp.Diff(got, want); d != "" || !rep.Complete {
		t.Errorf("complete %v; links (-got +want)\n%s", rep.Complete, d)
	}
	rep, err = Links(t.Context(), s.URL(), Options{Deadline: 5 * time.Second})
	if err != nil || rep.Why != "policy" || len(rep.Links) != 0 {
		t.Errorf("not allowed: %+v, %v", rep, err)
	}
	if _, err := Links(t.Context(), "ftp://x/", Options{}); garrison.CodeOf(err) != garrison.Invalid {
		t.Errorf("ftp: %v", err)
	}
}

func TestOutcomeOfTheWhole(t *testing.T) {
	for want, outcomes := range map[garrison.Outcome][]string{garrison.Pass: {Pass, NotApplicable}, garrison.Unknown: {Pass, Unknown},
		garrison.Fail: {Unknown, Fail, Pass}, garrison.NotApplicable: {NotApplicable}} {
		var r Report
		for _, o := range outcomes {
			r.add("x", o, "y")
		}
		if got := r.Outcome(); got != want {
			t.Errorf("%v: %s, want %s", outcomes, got, want)
		}
	}
	if (Report{}).Outcome() != garrison.Unknown {
		t.Error("an empty report is not unknown")
	}
}
