package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"garrison"
)

// maxAnswer bounds what is read of one answer, bundles apart.
const maxAnswer = 64 << 20

// Config says where the server is and who asks.
type Config struct {
	Server string // "https://localhost:8443"
	Token  string
	Roots  []byte // PEM of further certificate authorities; empty: the system's only
	Lang   string // "zh-CN" or "en": language of texts in answers
	// Find returns where the server is now; it is asked while an import waits for a
	// server that went away, which may come back on another port. May be nil.
	Find func() (string, bool)
}

// Client calls one server.
type Client struct {
	base   atomic.Pointer[string]
	locate func() (string, bool)
	token  string
	lang   string
	http   *http.Client
}

// New builds a client; nothing is contacted.
func New(cfg Config) (*Client, error) {
	base, err := baseOf(cfg.Server)
	if err != nil {
		return nil, err
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if len(cfg.Roots) > 0 && !pool.AppendCertsFromPEM(cfg.Roots) {
		return nil, garrison.Errorf(garrison.Invalid, "certificate authority for %s: no PEM certificate in it", cfg.Server)
	}
	tr := http.DefaultTransport.(*http.Transport).Clone()
	tr.Proxy = nil // the operator named the server; nothing else is contacted
	tr.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	c := &Client{
		locate: cfg.Find,
		token:  cfg.Token,
		lang:   cfg.Lang,
		http: &http.Client{
			Transport:     tr,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	c.base.Store(&base)
	return c, nil
}

func baseOf(server string) (string, error) {
	u, err := url.Parse(server)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return "", garrison.Errorf(garrison.Invalid, "server %q is not an https address such as https://localhost:8443", server)
	}
	return u.Scheme + "://" + u.Host, nil
}

// find looks where the server is now.
func (c *Client) find() {
	if c.locate == nil {
		return
	}
	if server, ok := c.locate(); ok {
		if base, err := baseOf(server); err == nil {
			c.base.Store(&base)
		}
	}
}

// request is one call.
type request struct {
	method, path string
	query        url.Values
	body         any // io.Reader sent as it is, else JSON; nil: none
	contentType  string
	header       map[string]string
}

func (c *Client) send(ctx context.Context, r request) (*http.Response, error) {
	var body io.Reader
	ctype := r.contentType
	switch b := r.body.(type) {
	case nil:
	case []byte:
		body = bytes.NewReader(b)
	default:
		raw, err := json.Marshal(b)
		if err != nil {
			return nil, fmt.Errorf("encode request: %w", err)
		}
		body, ctype = bytes.NewReader(raw), "application/json"
	}
	target := *c.base.Load() + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, body)
	if err != nil {
		return nil, fmt.Errorf("build request %s %s: %w", r.method, r.path, err)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if ctype != "" {
		req.Header.Set("Content-Type", ctype)
	}
	if c.lang != "" {
		req.Header.Set("Accept-Language", c.lang)
	}
	for k, v := range r.header {
		req.Header.Set(k, v)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%s %s: %w", r.method, r.path, ctx.Err())
		}
		return nil, garrison.Errorf(garrison.Unavailable, "no answer from %s: %w; is Garrison running there?", *c.base.Load(), err)
	}
	if resp.StatusCode >= 300 {
		defer resp.Body.Close()
		return nil, problem(resp)
	}
	return resp, nil
}

// call sends r and decodes the answer into out (nil: ignored).
func (c *Client) call(ctx context.Context, r request, out any) error {
	resp, err := c.send(ctx, r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return garrison.Errorf(garrison.Unavailable, "read answer of %s: %w", r.path, err)
	}
	if len(raw) > maxAnswer {
		return garrison.Errorf(garrison.TooLarge, "answer of %s is larger than %d bytes; narrow the question", r.path, maxAnswer)
	}
	if out == nil || resp.StatusCode == http.StatusNoContent {
		return nil
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return fmt.Errorf("answer of %s: %w", r.path, err)
	}
	return nil
}

func problem(resp *http.Response) error {
	raw, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	var p Problem
	if json.Unmarshal(raw, &p) != nil || p.Title == "" {
		p.Title = resp.Status
	}
	text := p.Title
	if p.Detail != "" && p.Detail != p.Title {
		text += ": " + p.Detail
	}
	if p.ID != "" {
		text += " (id " + p.ID + ")"
	}
	code := garrison.Code(p.Code)
	if code == "" {
		code = map[int]garrison.Code{401: garrison.Unauthorized, 403: garrison.Denied, 404: garrison.NotFound,
			409: garrison.Conflict, 413: garrison.TooLarge, 503: garrison.Unavailable, 400: garrison.Invalid, 422: garrison.Invalid}[resp.StatusCode]
	}
	return &garrison.Error{Code: code, Key: p.Key, Err: errors.New(text)}
}

// Raw calls GET path and returns the answer's JSON as the server wrote it.
func (c *Client) Raw(ctx context.Context, path string, query url.Values) (json.RawMessage, error) {
	var raw json.RawMessage
	err := c.call(ctx, request{method: "GET", path: path, query: query}, &raw)
	return raw, err
}

// Do calls method path with a JSON body and decodes the answer into out.
func (c *Client) Do(ctx context.Context, method, path string, body, out any) error {
	return c.call(ctx, request{method: method, path: path, body: body}, out)
}

// Download copies the answer of GET path to w, at most limit bytes.
func (c *Client) Download(ctx context.Context, path string, w io.Writer, limit int64) error {
	resp, err := c.send(ctx, request{method: "GET", path: path})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	n, err := io.Copy(w, io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return garrison.Errorf(garrison.Unavailable, "download %s: %w", path, err)
	}
	if n > limit {
		return garrison.Errorf(garrison.TooLarge, "%s is larger than %d bytes", path, limit)
	}
	return nil
}

// Trace asks who had a public address and port at a moment.
func (c *Client) Trace(ctx context.Context, ip, port, proto, at string, skew time.Duration) (Answer, error) {
	q := url.Values{"ip": {ip}, "port": {port}, "proto": {proto}, "at": {at}, "skew": {skew.String()}}
	var a Answer
	err := c.call(ctx, request{method: "GET", path: "/api/trace", query: q}, &a)
	return a, err
}

// Sources lists the senders of records; own: the product's own as well.
func (c *Client) Sources(ctx context.Context, own bool) (Sources, error) {
	q := url.Values{}
	if own {
		q.Set("own", "true")
	}
	var s Sources
	err := c.call(ctx, request{method: "GET", path: "/api/sources", query: q}, &s)
	return s, err
}

// Duties lists the clauses and where we stand.
func (c *Client) Duties(ctx context.Context) (Duties, error) {
	var d Duties
	err := c.call(ctx, request{method: "GET", path: "/api/duties"}, &d)
	return d, err
}
