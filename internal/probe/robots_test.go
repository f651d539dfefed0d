package probe

import (
	"net/url"
	"strings"
	"testing"

	"garrison/internal/testkit/site"
)

func TestRobotsRules(t *testing.T) {
	cases := []struct {
		name, text, path string
		ok               bool
	}{
		{"empty file", "", "/x", true},
		{"empty disallow", "User-agent: *\nDisallow:", "/x", true},
		{"all", "User-agent: *\nDisallow: /", "/x", false},
		{"robots.txt itself", "User-agent: *\nDisallow: /", "/robots.txt", true},
		{"longest wins", "User-agent: *\nDisallow: /a\nAllow: /a/b", "/a/b/c", true},
		{"longest wins the other way", "User-agent: *\nAllow: /a\nDisallow: /a/b", "/a/b/c", false},
		{"allow wins a tie", "User-agent: *\nDisallow: /page\nAllow: /page", "/page", true},
		{"own group hides the general one", "User-agent: *\nDisallow: /\n\nUser-agent: garrison\nDisallow: /own", "/x", true},
		{"own group, any case", "User-agent: GARRISON/9\nDisallow: /own", "/own/x", false},
		{"own groups are combined", "User-agent: garrison\nDisallow: /a\n\nUser-agent: other\nDisallow: /\n\nUser-agent: garrison\nDisallow: /b", "/b", false},
		{"several agents in a group", "User-agent: other\nUser-agent: garrison\nDisallow: /a", "/a", false},
		{"other product", "User-agent: garrisonbot\nDisallow: /", "/a", true},
		{"star inside", "User-agent: *\nDisallow: /*/private", "/x/y/private/z", false},
		{"star at end", "User-agent: *\nDisallow: /a*", "/abc", false},
		{"end anchor", "User-agent: *\nDisallow: /*.pdf$", "/x.pdf", false},
		{"end anchor does not match more", "User-agent: *\nDisallow: /*.pdf$", "/x.pdf?y", true},
		{"anchor without star", "User-agent: *\nDisallow: /$", "/x", true},
		{"anchor at root", "User-agent: *\nDisallow: /$", "/", false},
		{"octets of the rule count, not of a pattern", "User-agent: *\nDisallow: /a.b.c.\nAllow: /a.b.*.d", "/a.b.c.d", true},
		{"query", "User-agent: *\nDisallow: /s?q=", "/s?q=1", false},
		{"percent-encoding", "User-agent: *\nDisallow: /foo/bar/%62%61%7A", "/foo/bar/baz", false},
		{"not ASCII", "User-agent: *\nDisallow: /通知", "/%E9%80%9A%E7%9F%A5/1", false},
		{"encoded slash stays itself", "User-agent: *\nDisallow: /a/b", "/a%2Fb", true},
		{"comments and byte order mark", "\ufeff# hello\nUser-agent: * # all\nDisallow: /x # no", "/x", false},
		{"carriage returns", "User-agent: *\r\nDisallow: /x\r\n", "/x", false},
		{"rules before any group", "Disallow: /x\nUser-agent: *\nAllow: /", "/x", true},
		{"sitemap does not end a group", "User-agent: *\nSitemap: https://x/\nDisallow: /x", "/x", false},
	}
	for _, c := range cases {
		u, err := url.Parse("http://h.example" + c.path)
		if err != nil {
			t.Fatal(err)
		}
		if ok, why := parseRobots(c.text, "Garrison").allowed(u); ok != c.ok {
			t.Errorf("%s: allowed(%s) = %v (%s), want %v", c.name, c.path, ok, why, c.ok)
		}
	}
}

func TestRobotsAreHonouredAsRFC9309Says(t *testing.T) {
	cases := []struct {
		name   string
		status int
		body   string
		kind   FailureKind
	}{
		{"disallowed", 200, "User-agent: *\nDisallow: /ok", RobotsDenied},
		{"allowed", 200, "User-agent: *\nDisallow: /other", ""},
		{"absent", 404, "", ""},
		{"forbidden counts as absent", 403, "User-agent: *\nDisallow: /", ""},
		{"server error disallows", 503, "", RobotsUnknown},
		{"too many requests disallows", 429, "", RobotsUnknown},
		{"no answer", 0, "", Timeout},
		{"endless file is read to the limit", 200, "User-agent: *\nDisallow: /ok\n" + strings.Repeat("# filler\n", 200_000), RobotsDenied},
		{"redirect without end counts as absent", 302, "/deep/0", ""},
	}
	for _, c := range cases {
		s := startSite(t, site.DefaultConfig())
		s.SetRobots(1, c.status, c.body)
		ex := New(testConfig(), deps()).Fetch(t.Context(), Request{URL: s.Foreign(1, site.OK), Robots: true})
		var kind FailureKind
		if ex.Err != nil {
			kind = ex.Err.Kind
		}
		if kind != c.kind {
			t.Errorf("%s: %v, want %q", c.name, ex.Err, c.kind)
		}
		asked := 0
		for _, h := range s.Hits() {
			if h.Path == site.OK {
				asked++
			}
		}
		if want := map[bool]int{true: 1, false: 0}[c.kind == ""]; asked != want {
			t.Errorf("%s: the page was asked for %d times, want %d", c.name, asked, want)
		}
	}
}

func TestRobotsOfEveryHostOnTheWay(t *testing.T) {
	s := startSite(t, site.DefaultConfig())
	s.SetRobots(2, 200, "User-agent: *\nDisallow: /")
	ex := New(testConfig(), deps()).Fetch(t.Context(), Request{URL: s.Foreign(1, site.Moved), Robots: true})
	if ex.Err == nil || ex.Err.Kind != RobotsDenied || len(ex.Hops) != 1 || len(ex.Robots) != 2 {
		t.Errorf("failure %v, %d hops, %d requests for robots.txt; want a refusal at the second host", ex.Err, len(ex.Hops), len(ex.Robots))
	}
}

func FuzzRobots(f *testing.F) {
	f.Add("User-agent: *\nDisallow: /*a*b$\n", "/xaxb")
	f.Fuzz(func(t *testing.T, text, path string) {
		u := &url.URL{Scheme: "http", Host: "h", Path: "/" + path}
		parseRobots(text, "Garrison").allowed(u)
	})
}
