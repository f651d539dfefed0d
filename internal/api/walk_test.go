package api_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"garrison/client"
	"garrison/internal/api"
	"garrison/internal/config"
	"garrison/internal/daemon"
	"garrison/internal/identity"
)

// installation is a whole one, on temporary directories and free ports.
type installation struct {
	t      *testing.T
	base   string
	host   string // as dialled
	local  string
	roots  []byte
	http   *http.Client
	client *client.Client
}

func start(t *testing.T) *installation {
	t.Helper()
	dir := t.TempDir()
	cfg := config.Default()
	cfg.Data, cfg.Keys = filepath.Join(dir, "data"), filepath.Join(dir, "keys")
	cfg.Records.MinFree = 1 << 20
	cfg.AnyPort("127.0.0.1")
	d, err := daemon.New(daemon.Options{Config: cfg, Version: "test", Log: slog.New(slog.DiscardHandler), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := d.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	in := &installation{t: t}
	var ready daemon.Ready
	if err := json.Unmarshal(in.read(daemon.ReadyPath(cfg.Data)), &ready); err != nil {
		t.Fatal(err)
	}
	in.base, in.local, in.roots = ready.Console, strings.TrimSpace(string(in.read(ready.TokenFile))), in.read(ready.CAFile)
	in.host = strings.TrimPrefix(in.base, "https://")
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(in.roots)
	in.http = &http.Client{
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if in.client, err = client.New(client.Config{Server: in.base, Token: in.local, Roots: in.roots, Lang: "en"}); err != nil {
		t.Fatal(err)
	}
	return in
}

func (in *installation) read(path string) []byte {
	in.t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		in.t.Fatal(err)
	}
	return raw
}

// reply is an answer, read whole.
type reply struct {
	status int
	header http.Header
	body   []byte
}

func (in *installation) do(method, path, auth, ctype string, body []byte) reply {
	in.t.Helper()
	req, err := http.NewRequest(method, in.base+path, bytes.NewReader(body))
	if err != nil {
		in.t.Fatal(err)
	}
	if auth != "" {
		req.Header.Set("Authorization", auth)
	}
	if ctype != "" {
		req.Header.Set("Content-Type", ctype)
	}
	resp, err := in.http.Do(req)
	if err != nil {
		in.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		in.t.Fatalf("%s %s: %v", method, path, err)
	}
	return reply{resp.StatusCode, resp.Header, raw}
}

// problem checks the shape of an error and returns it.
func (in *installation) problem(what string, r reply) client.Problem {
	in.t.Helper()
	var p client.Problem
	dec := json.NewDecoder(bytes.NewReader(r.body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		in.t.Errorf("%s: %d %q is no problem: %v", what, r.status, r.body, err)
		return p
	}
	if ct := r.header.Get("Content-Type"); ct != "application/problem+json" {
		in.t.Errorf("%s: content type %q", what, ct)
	}
	if p.Status != r.status || p.Title == "" || (p.Code == "" && p.ID == "") {
		in.t.Errorf("%s: status %d, problem %+v", what, r.status, p)
	}
	return p
}

func (in *installation) token(role string) string {
	in.t.Helper()
	var tok client.Token
	if err := in.client.Do(context.Background(), "POST", "/api/tokens", map[string]string{"role": role, "name": role}, &tok); err != nil {
		in.t.Fatal(err)
	}
	if !strings.HasPrefix(tok.Secret, "grt_") {
		in.t.Fatalf("token %+v", tok)
	}
	return tok.Secret
}

// contract is what the tests need of the OpenAPI document.
type contract struct {
	OpenAPI string `json:"openapi"`
	Paths   map[string]map[string]struct {
		OperationID string            `json:"operationId"`
		Security    *[]map[string]any `json:"security"`
		Description string            `json:"description"`
		Responses   map[string]any    `json:"responses"`
		Parameters  []map[string]any  `json:"parameters"`
		RequestBody *map[string]any   `json:"requestBody"`
	} `json:"paths"`
	Security []map[string]any `json:"security"`
}

func (in *installation) contract() contract {
	in.t.Helper()
	r := in.do("GET", "/api/openapi.json", "", "", nil)
	var c contract
	if err := json.Unmarshal(r.body, &c); err != nil || r.status != 200 {
		in.t.Fatalf("contract: %d %v", r.status, err)
	}
	return c
}

var parameter = regexp.MustCompile(`\{[a-z]+\}`)

func TestEveryOperationAsksWhoComes(t *testing.T) {
	in := start(t)
	intake := in.token("intake")
	open := []string{}
	n := 0
	for path, methods := range in.contract().Paths {
		for method, o := range methods {
			n++
			method = strings.ToUpper(method)
			what := method + " " + path
			at := parameter.ReplaceAllString(path, "x")
			if !strings.HasPrefix(path, "/api/") {
				t.Errorf("%s does not begin with /api/", what)
			}
			none := in.do(method, at, "", "application/json", []byte("{"))
			if o.Security != nil && len(*o.Security) == 0 {
				open = append(open, what)
				if none.status != 200 {
					t.Errorf("%s is open but answers %d without credentials", what, none.status)
				}
				continue
			}
			for name, r := range map[string]reply{
				"no credentials": none,
				"wrong token":    in.do(method, at, "Bearer grt_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "application/json", []byte("{")),
				"no token":       in.do(method, at, "Bearer x", "text/html", []byte("<")),
				"basic":          in.do(method, at, "Basic YTpi", "", nil),
			} {
				if r.status != 401 {
					t.Errorf("%s, %s: %d, want 401", what, name, r.status)
				} else if p := in.problem(what, r); p.Code != "unauthorized" {
					t.Errorf("%s, %s: code %q", what, name, p.Code)
				}
			}
			r := in.do(method, at, "Bearer "+intake, "application/json", []byte("{"))
			mayIntake := what == "POST /api/records" || what == "GET /api/me"
			if mayIntake == (r.status == 403) || r.status == 401 {
				t.Errorf("%s, intake token: %d", what, r.status)
			} else if r.status == 403 {
				in.problem(what, r)
			}
			if o.OperationID == "post-demo" || o.OperationID == "delete-demo" || o.OperationID == "post-verify" {
				continue // would do it
			}
			r = in.do(method, at, "Bearer "+in.local, "application/json", []byte("{"))
			if r.status == 401 || r.status == 403 || r.status >= 500 {
				t.Errorf("%s, local token: %d %s", what, r.status, r.body)
			} else if r.status >= 300 && r.status < 400 {
				t.Errorf("%s answers with a redirect: %d", what, r.status)
			} else if r.status >= 400 {
				in.problem(what, r)
			}
		}
	}
	slices.Sort(open)
	if want := []string{"GET /api/health", "GET /api/openapi.json", "GET /api/public-key"}; !slices.Equal(open, want) {
		t.Errorf("open are %v, want %v", open, want)
	}
	if n < 40 {
		t.Errorf("%d operations walked, expected at least 40", n)
	}
}

// TestNothingIsToldWithoutCredentials asks for what is odd: 401 before any 400, 404,
// 405, 413 or 415, and never a redirect.
func TestNothingIsToldWithoutCredentials(t *testing.T) {
	in := start(t)
	paths := []string{
		"/api", "/api/", "/api//me", "/api/./me", "/api/me/", "/api/x/../me", "/api/../api/me", "/api/.", "/api/..", "/api/me/..", "/api/nothing",
		"/api/health/", "/api/health/x", "/api/%68ealth%2f", "/api/health%2f..%2fme", "/api/openapi.json/", "/api/subjects/%2e%2e", "/api/%00", "/api/me?limit=x",
		"/api/trace", "/api/trace?ip=x", "/api/records?format=x", "/api/objects/a/b/versions", "/api/runs/x/transcript",
	}
	for _, path := range paths {
		for _, method := range []string{"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "PROPFIND"} {
			if r := in.raw(method, path, "", ""); r != 401 {
				t.Errorf("%s %s without credentials: %d, want 401", method, path, r)
			}
			switch r := in.raw(method, path, "Authorization: Bearer "+in.local+"\r\n", ""); {
			case r >= 300 && r < 400:
				t.Errorf("%s %s with credentials redirects: %d", method, path, r)
			case r >= 500:
				t.Errorf("%s %s with credentials: %d", method, path, r)
			}
		}
	}
	for _, path := range []string{"/api/health", "/api/openapi.json", "/api/public-key"} {
		for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "PATCH"} {
			if r := in.raw(method, path, "", ""); r != 401 {
				t.Errorf("%s %s: %d, want 401", method, path, r)
			}
		}
	}
	if r := in.raw("POST", "/api/records", "Content-Length: 999999999999\r\nContent-Type: image/png\r\n", ""); r != 401 {
		t.Errorf("huge body: %d, want 401", r)
	}
	if r := in.raw("GET", "/api/me", "Cookie: "+api.SessionCookie+"=nonsense\r\n", ""); r != 401 {
		t.Errorf("wrong session: %d, want 401", r)
	}
}

// raw writes a request as it is: the client library would tidy the path up.
func (in *installation) raw(method, path, header, body string) int {
	in.t.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(in.roots)
	_, port, err := net.SplitHostPort(in.host)
	if err != nil {
		in.t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", "127.0.0.1:"+port, &tls.Config{RootCAs: pool, ServerName: "localhost", ClientSessionCache: sessions})
	if err != nil {
		in.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, method+" "+path+" HTTP/1.1\r\nHost: "+in.host+"\r\nConnection: close\r\n"+header+"\r\n"+body); err != nil {
		in.t.Fatal(err)
	}
	line := make([]byte, 12)
	if _, err := io.ReadFull(conn, line); err != nil {
		in.t.Fatalf("%s %s: %v", method, path, err)
	}
	status := 0
	for _, c := range line[9:12] {
		status = status*10 + int(c-'0')
	}
	return status
}

var sessions = tls.NewLRUClientSessionCache(8)

func TestLocalTokenOpensNoEnvelopeAndApprovesNothing(t *testing.T) {
	p := identity.Principal{Roles: []identity.Role{identity.RoleLocal}, Token: &identity.Token{Role: identity.RoleLocal}}
	for _, perm := range []string{identity.PermEnvelopesOpen, identity.PermApprove} {
		if p.May(perm) {
			t.Errorf("the local token may %s", perm)
		}
	}
	in := start(t)
	for path, methods := range in.contract().Paths {
		for method, o := range methods {
			if strings.Contains(o.Description, identity.PermEnvelopesOpen) || strings.HasSuffix(o.Description, " "+identity.PermApprove+".") {
				if r := in.do(strings.ToUpper(method), parameter.ReplaceAllString(path, "x"), "Bearer "+in.local, "", nil); r.status != 403 {
					t.Errorf("%s %s with the local token: %d, want 403", method, path, r.status)
				}
			}
		}
	}
	// Nobody can make a token of role local, or of a role that is none.
	for _, role := range []string{"local", "root", ""} {
		body, _ := json.Marshal(map[string]string{"role": role})
		r := in.do("POST", "/api/tokens", "Bearer "+in.local, "application/json", body)
		if p := in.problem("token of role "+role, r); r.status != 422 || p.Code != "invalid" {
			t.Errorf("token of role %q: %d %+v", role, r.status, p)
		}
	}
}

func TestCommittedContractIsTheGeneratedOne(t *testing.T) {
	want, err := api.Document()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("openapi.json is stale; run make generate")
	}
	var c contract
	if err := json.Unmarshal(got, &c); err != nil {
		t.Fatal(err)
	}
	if c.OpenAPI != "3.1.0" || len(c.Security) == 0 {
		t.Errorf("openapi %q, security %v", c.OpenAPI, c.Security)
	}
	for path, methods := range c.Paths {
		for method, o := range methods {
			names := map[string]bool{}
			for _, p := range o.Parameters {
				names[p["name"].(string)] = true
			}
			for _, m := range parameter.FindAllString(path, -1) {
				if !names[strings.Trim(m, "{}")] {
					t.Errorf("%s %s: nothing reads %s", method, path, m)
				}
			}
			if names["limit"] && !names["from"] && names["after"] != names["limit"] {
				t.Errorf("%s %s: a page needs both after and limit", method, path)
			}
		}
	}
	if bytes.Contains(got, []byte("ErrorModel")) {
		t.Error("the library's error stands in the contract, not ours")
	}
}
