package console_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
	"golang.org/x/net/html"

	"garrison/internal/config"
	"garrison/internal/daemon"
)

// site is a whole installation with its demonstration, and a browser without script
// that is signed in as the first administrator.
type site struct {
	base string
	*http.Client
	t testing.TB
}

// open starts an installation on free ports and walks through the gate: one-time
// secret, account, one-time code.
func open(t testing.TB, demo bool) *site {
	t.Helper()
	dir := t.TempDir()
	cfg := config.Default()
	cfg.Data, cfg.Keys = filepath.Join(dir, "data"), filepath.Join(dir, "keys")
	cfg.AnyPort("127.0.0.1")
	ready, secret := filepath.Join(dir, "ready.json"), filepath.Join(dir, "secret")
	d, err := daemon.New(daemon.Options{Config: cfg, ReadyFile: ready, AdminSecretFile: secret, Demo: demo, Version: "test", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := d.Stop(ctx); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	var r daemon.Ready
	raw, err := os.ReadFile(ready)
	if err == nil {
		err = json.Unmarshal(raw, &r)
	}
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(r.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{base: r.Console, t: t, Client: &http.Client{Jar: jar, Timeout: time.Minute,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}}
	once, err := os.ReadFile(secret)
	if err != nil {
		t.Fatal(err)
	}
	s.enrol(strings.TrimSpace(string(once)))
	return s
}

func (s *site) enrol(secret string) {
	s.t.Helper()
	const password = "correct horse 城门 battery"
	step := s.post("/enrol", url.Values{"secret": {secret}, "name": {"周砚"}, "login": {"zhouyan"}, "password": {password}, "again": {password}})
	if step.status != 200 {
		s.t.Fatalf("enrol: %d %s", step.status, step.words())
	}
	form := url.Values{}
	for _, n := range step.all("input") {
		form.Set(attr(n, "name"), attr(n, "value"))
	}
	code, err := totp.GenerateCode(form.Get("seed"), time.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	form.Set("code", code)
	if in := s.post("/enrol/confirm", form); in.status != 200 || in.path == "/enrol/confirm" {
		s.t.Fatalf("confirm: %d at %s: %s", in.status, in.path, in.words())
	}
}

// seen is one answer as a reader without script sees it.
type seen struct {
	path   string // after redirects
	status int
	header http.Header
	raw    []byte
	doc    *html.Node
}

func (s *site) get(path string) seen {
	s.t.Helper()
	resp, err := s.Get(s.base + path)
	if err != nil {
		s.t.Fatalf("GET %s: %v", path, err)
	}
	return s.read(resp)
}

func (s *site) post(path string, form url.Values) seen {
	s.t.Helper()
	resp, err := s.PostForm(s.base+path, form)
	if err != nil {
		s.t.Fatalf("POST %s: %v", path, err)
	}
	return s.read(resp)
}

func (s *site) read(resp *http.Response) seen {
	s.t.Helper()
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		s.t.Fatal(err)
	}
	out := seen{path: resp.Request.URL.RequestURI(), status: resp.StatusCode, header: resp.Header, raw: raw}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
		if out.doc, err = html.Parse(bytes.NewReader(raw)); err != nil {
			s.t.Fatal(err)
		}
	}
	return out
}

// speak chooses the language of all further pages.
func (s *site) speak(lang string) {
	s.t.Helper()
	if got := s.get("/prefs?to=/&lang=" + lang); got.status != 200 {
		s.t.Fatalf("choose %s: %d", lang, got.status)
	}
}

func (x seen) each(do func(n *html.Node)) {
	if x.doc == nil {
		return
	}
	for n := range x.doc.Descendants() {
		if n.Type == html.ElementNode {
			do(n)
		}
	}
}

func (x seen) all(tag string) (out []*html.Node) {
	x.each(func(n *html.Node) {
		if n.Data == tag {
			out = append(out, n)
		}
	})
	return out
}

// words is the text of a page, as a person reads it.
func (x seen) words() string {
	if x.doc == nil {
		return string(x.raw[:min(len(x.raw), 200)])
	}
	var b strings.Builder
	for n := range x.doc.Descendants() {
		if n.Type == html.TextNode && n.Parent.Data != "script" && n.Parent.Data != "style" {
			if t := strings.TrimSpace(n.Data); t != "" {
				b.WriteString(t + "\n")
			}
		}
	}
	return b.String()
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func has(n *html.Node, name string) bool {
	return slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == name })
}

// rawKey is a text that looks like a key of the catalogue: a page shows keys when it
// lacks their text.
var rawKey = regexp.MustCompile(`(?m)(?:^|[\s>（(：:])((?:shell|page|rail|word|span|seal|watch|signin|enrol|who|overview|trace|sources?|gap|ledger|entry|settings|gallery|cases?|findings?|measures?|runs?|clauses?|register|standing|severity|outcome|proof|pager|error|duties|work|kind|state|binds|brand)\.[a-z_]+(?:\.[a-z_0-9]+)*)(?:$|[\s<，。）)])`)

// judge is what must hold on every page, whatever it shows.
func judge(t *testing.T, at, lang string, x seen) {
	t.Helper()
	bad := func(format string, args ...any) {
		t.Helper()
		t.Errorf("%s (%s): "+format, append([]any{at, lang}, args...)...)
	}
	csp := x.header.Get("Content-Security-Policy")
	if !strings.HasPrefix(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
		bad("content policy is %q", csp)
	}
	if x.doc == nil {
		return
	}
	judgeElements(x, bad)
	judgeStructure(x, lang, bad)
	text := x.words()
	if strings.HasPrefix(at, "/ledger/") {
		text = "" // an entry's own fields are shown as they stand: measure.links and the like
	}
	for _, m := range rawKey.FindAllStringSubmatch(text, -1) {
		bad("shows the key %q instead of a text", m[1])
	}
	for _, no := range []string{"<no value>", "%!", "0001-01-01", "NaN", "{{", "map["} {
		if strings.Contains(text, no) {
			i := strings.Index(text, no)
			bad("shows %q in %q", no, text[max(0, i-60):min(len(text), i+60)])
		}
	}
}

func judgeElements(x seen, bad func(string, ...any)) {
	ids := map[string]int{}
	x.each(func(n *html.Node) {
		if id := attr(n, "id"); id != "" {
			ids[id]++
		}
		for _, a := range n.Attr {
			if a.Key == "style" || strings.HasPrefix(a.Key, "on") {
				bad("<%s %s=%q> is inline", n.Data, a.Key, a.Val)
			}
			if (a.Key == "href" || a.Key == "src" || a.Key == "action") && strings.HasPrefix(strings.ToLower(strings.TrimSpace(a.Val)), "javascript:") {
				bad("<%s %s=%q>", n.Data, a.Key, a.Val)
			}
		}
		switch n.Data {
		case "script":
			if attr(n, "src") == "" {
				bad("inline script")
			}
		case "style":
			bad("inline style sheet")
		case "input", "select", "textarea":
			if kind := attr(n, "type"); kind != "hidden" && kind != "submit" && !labelled(x, n) {
				bad("<%s name=%q> has no label", n.Data, attr(n, "name"))
			}
		case "svg":
			if attr(n, "role") == "img" && !has(n, "aria-label") {
				bad("a picture has no name")
			}
		case "a":
			if attr(n, "href") == "" || attr(n, "href") == "#" {
				bad("a link leads nowhere")
			}
			if !named(n) {
				bad("the link to %q has no name", attr(n, "href"))
			}
		case "button":
			if !named(n) {
				bad("a button has no name")
			}
		}
	})
	for id, n := range ids {
		if n > 1 {
			bad("id %q stands %d times", id, n)
		}
	}
}

func judgeStructure(x seen, lang string, bad func(string, ...any)) {
	if n := len(x.all("h1")); n != 1 {
		bad("%d h1", n)
	}
	if n := len(x.all("main")); n != 1 {
		bad("%d main", n)
	}
	if got := attr(x.all("html")[0], "lang"); got != lang {
		bad("lang is %q", got)
	}
	for _, row := range x.all("table") {
		heads := 0
		for n := range row.Descendants() {
			if n.Type == html.ElementNode && n.Data == "th" {
				heads++
			}
		}
		if heads == 0 && !strings.Contains(attr(row, "class"), "diff") {
			bad("a table has no heads")
		}
	}
}

func labelled(x seen, field *html.Node) bool {
	if attr(field, "aria-label") != "" || attr(field, "aria-labelledby") != "" {
		return true
	}
	for p := field.Parent; p != nil; p = p.Parent {
		if p.Data == "label" {
			return true
		}
	}
	id := attr(field, "id")
	return id != "" && slices.ContainsFunc(x.all("label"), func(l *html.Node) bool { return attr(l, "for") == id })
}

// named says whether a link or button says what it is to somebody who sees no picture.
func named(n *html.Node) bool {
	if attr(n, "aria-label") != "" || attr(n, "title") != "" {
		return true
	}
	for c := range n.Descendants() {
		if c.Type == html.TextNode && strings.TrimSpace(c.Data) != "" {
			return true
		}
	}
	return false
}

// links are the addresses of this console that a page leads to.
func (x seen) links() (out []string) {
	from, err := url.Parse(x.path)
	if err != nil {
		return nil
	}
	add := func(ref string) {
		u, err := from.Parse(ref)
		if err == nil && u.Host == "" && u.Scheme == "" && u.Path != "" {
			u.Fragment = ""
			out = append(out, u.String())
		}
	}
	x.each(func(n *html.Node) {
		for _, name := range []string{"href", "src"} {
			if ref := attr(n, name); ref != "" && !strings.HasPrefix(ref, "#") && !strings.HasPrefix(ref, "data:") {
				add(ref)
			}
		}
	})
	return out
}

// shape is an address without what tells things of one kind apart, so that a crawl
// looks at a few of each kind and not at all 322 clauses.
func shape(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	parts := strings.Split(strings.Trim(u.Path, "/"), "/")
	if len(parts) > 1 {
		parts[1] = "*"
	}
	var names []string
	for k := range u.Query() {
		names = append(names, k)
	}
	slices.Sort(names)
	return strings.Join(parts, "/") + "?" + strings.Join(names, "&")
}

const perShape = 4

// crawl follows every link from the first page and judges what it finds.
func crawl(t *testing.T, s *site, lang string) map[string]int {
	s.speak(lang)
	shapes, done, queue := map[string]int{}, map[string]bool{}, []string{"/", "/gallery"}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		if done[at] || strings.HasPrefix(at, "/prefs") || strings.HasPrefix(at, "/api") || shapes[shape(at)] >= perShape {
			continue
		}
		done[at] = true
		shapes[shape(at)]++
		x := s.get(at)
		if x.status != 200 {
			t.Errorf("%s (%s): dead link, status %d: %s", at, lang, x.status, x.words())
			continue
		}
		judge(t, at, lang, x)
		queue = append(queue, x.links()...)
	}
	return shapes
}

// settle waits until the demonstration has shown something of everything.
func settle(t *testing.T, s *site) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for _, at := range []string{"/cases", "/sources"} {
		for {
			x := s.get(at)
			if slices.ContainsFunc(x.links(), func(l string) bool { return strings.HasPrefix(l, at+"/") }) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s shows nothing after a minute: %s", at, x.words())
			}
			time.Sleep(200 * time.Millisecond) // a poll between looks, not a wait for readiness
		}
	}
}

func TestEveryPageInBothLanguagesAndNoDeadLink(t *testing.T) {
	s := open(t, true)
	settle(t, s)
	for _, lang := range []string{"zh-CN", "en"} {
		shapes := crawl(t, s, lang)
		kinds := map[string]bool{}
		for sh := range shapes {
			kinds[strings.TrimRight(strings.SplitN(sh, "?", 2)[0], "/")] = true
		}
		for _, want := range []string{"", "trace", "sources", "sources/*", "register", "register/*", "findings", "findings/*", "measures", "measures/*",
			"runs/*", "runs/*/transcript", "cases", "cases/*", "clauses", "clauses/*", "ledger", "ledger/*", "settings", "gallery"} {
			if !kinds[want] {
				t.Errorf("%s: the crawl found no page like %q", lang, "/"+want)
			}
		}
		if len(kinds) < 20 {
			t.Errorf("%s: %d kinds of page, expected at least 20", lang, len(kinds))
		}
	}
}

func TestEmptyInstallationExplainsItself(t *testing.T) {
	s := open(t, false)
	for _, lang := range []string{"zh-CN", "en"} {
		if shapes := crawl(t, s, lang); len(shapes) < 15 {
			t.Errorf("%s: %d shapes of page, expected at least 15: %v", lang, len(shapes), shapes)
		}
	}
}

const hostile = `"><script>alert(1)</script><img src=x onerror=alert(2)>'--`

func TestHostileInputComesOutAsText(t *testing.T) {
	s := open(t, false)
	q := url.QueryEscape(hostile)
	asked := []string{
		"/trace?ip=" + q + "&port=" + q + "&at=" + q + "&skew=" + q + "&proto=" + q, "/trace?ip=203.0.113.5&port=40000&at=" + q,
		"/register?q=" + q + "&kind=" + q, "/register/new?kind=" + q, "/findings?q=" + q + "&state=" + q + "&rule=" + q, "/cases?q=" + q + "&state=" + q,
		"/clauses?q=" + q + "&standing=" + q + "&rule=" + q, "/runs?measure=" + q, "/ledger?after=" + q + "&from=" + q, "/sources?own=" + q,
		"/sources/" + url.PathEscape(hostile), "/cases/" + url.PathEscape(hostile), "/findings/" + url.PathEscape(hostile), "/clauses/" + url.PathEscape(hostile),
		"/measures/" + url.PathEscape(hostile), "/runs/" + url.PathEscape(hostile), "/register/" + url.PathEscape(hostile), "/ledger/" + url.PathEscape(hostile),
		"/" + url.PathEscape(hostile), "/sign-in?to=" + q, "/enrol?secret=" + q,
	}
	for _, at := range asked {
		x := s.get(at)
		if x.status >= 500 {
			t.Errorf("%s: status %d", at, x.status)
		}
		judgeElements(x, func(format string, args ...any) { t.Errorf("%s: "+format, append([]any{at}, args...)...) })
		for _, n := range x.all("img") {
			if attr(n, "src") == "x" {
				t.Errorf("%s: the input became an element", at)
			}
		}
	}
	made := s.post("/register", url.Values{"kind": {"unit"}, "name": {hostile}, "responsible": {hostile}})
	if made.status != 200 || !strings.Contains(made.words(), hostile) {
		t.Fatalf("a unit of that name: %d at %s: %s", made.status, made.path, made.words())
	}
	for _, at := range []string{"/register", "/register?kind=unit", made.path, made.path + "/edit"} {
		x := s.get(at)
		if x.status != 200 {
			t.Errorf("%s: status %d", at, x.status)
		}
		judgeElements(x, func(format string, args ...any) { t.Errorf("%s: "+format, append([]any{at}, args...)...) })
	}
}

func TestChangesFromElsewhereAreRefused(t *testing.T) {
	s := open(t, false)
	for _, h := range []map[string]string{{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://attacker.example"}} {
		r, err := http.NewRequest(http.MethodPost, s.base+"/register", strings.NewReader("kind=unit&name=planted"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for k, v := range h {
			r.Header.Set(k, v)
		}
		resp, err := s.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusForbidden {
			t.Errorf("%v: status %d, want 403", h, resp.StatusCode)
		}
	}
	if strings.Contains(s.get("/register?kind=unit").words(), "planted") {
		t.Error("a change from elsewhere was made")
	}
}

// Anybody can post to the sign-in page: what cannot be read is no error of ours, and
// fills no log.
func TestUnreadableFormsAreTheSendersFault(t *testing.T) {
	s := open(t, false)
	for form, want := range map[string]int{"a=%zz": 422, strings.Repeat("a=1&", 50_000): 422, "a=" + strings.Repeat("x", 2<<20): 413} {
		for _, path := range []string{"/sign-in", "/enrol", "/enrol/confirm"} {
			resp, err := s.Post(s.base+path, "application/x-www-form-urlencoded", strings.NewReader(form))
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("%s with %.10q…: %d, want %d", path, form, resp.StatusCode, want)
			}
		}
	}
}

func TestSessionCookieAndSignOut(t *testing.T) {
	s := open(t, false)
	u, err := url.Parse(s.base)
	if err != nil {
		t.Fatal(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	other := &site{base: s.base, t: t, Client: &http.Client{Jar: jar, Transport: s.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	for _, at := range []string{"/", "/cases", "/settings", "/ledger/0", "/register/new"} {
		if x := other.get(at); x.status != 303 || !strings.HasPrefix(x.header.Get("Location"), "/sign-in") {
			t.Errorf("%s without a session: %d to %q", at, x.status, x.header.Get("Location"))
		}
	}
	if x := other.get("/prefs?theme=dark&to=" + url.QueryEscape("//attacker.example/")); x.header.Get("Location") != "/" {
		t.Errorf("led away to %q", x.header.Get("Location"))
	}
	var held string
	for _, k := range s.Jar.Cookies(u) {
		if k.Name == "__Host-garrison" {
			held = k.Value
		}
	}
	if held == "" {
		t.Fatal("no session cookie")
	}
	if x := s.post("/sign-out", nil); !strings.HasPrefix(x.path, "/sign-in") {
		t.Fatalf("signing out led to %s", x.path)
	}
	jar.SetCookies(u, []*http.Cookie{{Name: "__Host-garrison", Value: held, Secure: true, Path: "/"}})
	if x := other.get("/"); x.status != 303 {
		t.Errorf("the session lives on after signing out: %d", x.status)
	}
}

func TestSessionCookieFlags(t *testing.T) {
	s := open(t, false)
	s.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	x := s.post("/sign-out", nil)
	for _, line := range x.header.Values("Set-Cookie") {
		for _, want := range []string{"Secure", "HttpOnly", "SameSite=Strict", "Path=/"} {
			if !strings.Contains(line, want) {
				t.Errorf("cookie %q lacks %s", line, want)
			}
		}
		if strings.Contains(line, "Domain=") {
			t.Errorf("cookie %q names a domain", line)
		}
	}
	if fmt.Sprint(x.header.Values("Set-Cookie")) == "[]" {
		t.Error("signing out sets no cookie")
	}
}
