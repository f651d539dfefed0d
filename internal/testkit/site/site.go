package site

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Config chooses what the site is like.
type Config struct {
	Addr    string // where the portal listens; default 127.0.0.1:0
	Foreign int    // foreign hosts; default 4
	TLS     bool   // portal and foreign hosts speak HTTPS, see Site.Roots
	Expired bool   // with a certificate that has expired
	// ForeignPort is the port of the foreign hosts; 0: any.
	ForeignPort int
}

// DefaultConfig is a portal on any port with four foreign hosts.
func DefaultConfig() Config { return Config{Addr: "127.0.0.1:0", Foreign: 4} }

// Hit is one request the site saw.
type Hit struct {
	At    time.Time
	Host  int // 0: the portal, 1 …: the foreign hosts
	Path  string
	Agent string
}

// Site is the portal and the foreign hosts it links to. It is safe for concurrent use.
type Site struct {
	cfg   Config
	cert  *tls.Certificate
	roots *x509.CertPool
	hosts []*host
	quit  chan struct{}
	wait  sync.WaitGroup

	mu       sync.Mutex // guards the rest
	pages    map[string]string
	robots   map[int]robots
	hits     []Hit
	repaired bool
	refused  string
	ownPages bool // SetPage was used; the portal's pages are not ours to change
}

type host struct {
	n      int
	base   string
	server *http.Server
	lis    net.Listener
}

type robots struct {
	status int
	body   string
}

// New builds the site with the town portal's pages. It listens to nothing yet.
func New(cfg Config) *Site {
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	if cfg.Foreign <= 0 {
		cfg.Foreign = 4
	}
	return &Site{cfg: cfg, quit: make(chan struct{}), pages: map[string]string{}, robots: map[int]robots{}}
}

// Start listens and serves until Stop.
func (s *Site) Start(ctx context.Context) error {
	if s.cfg.TLS {
		cert, roots, err := selfSigned(s.cfg.Expired)
		if err != nil {
			return fmt.Errorf("make the test site's certificate: %w", err)
		}
		s.cert, s.roots = cert, roots
	}
	for n := range s.cfg.Foreign + 1 {
		if err := s.listen(ctx, n); err != nil {
			return errors.Join(err, s.Stop(ctx))
		}
	}
	refused, err := closedPort(ctx)
	if err != nil {
		return errors.Join(err, s.Stop(ctx))
	}
	s.refused = refused
	s.portal()
	for _, h := range s.hosts { // only now: handlers read the list of hosts
		s.wait.Go(func() { _ = h.server.Serve(h.lis) }) // ends with Close
	}
	return nil
}

// Stop closes every connection and listener and waits for what served them.
func (s *Site) Stop(_ context.Context) error {
	select {
	case <-s.quit:
	default:
		close(s.quit)
	}
	var errs []error
	for _, h := range s.hosts {
		errs = append(errs, h.server.Close())
		if err := h.lis.Close(); !errors.Is(err, net.ErrClosed) { // never served
			errs = append(errs, err)
		}
	}
	s.wait.Wait()
	return errors.Join(errs...)
}

func (s *Site) listen(ctx context.Context, n int) error {
	addr := s.cfg.Addr
	if n > 0 {
		addr = fmt.Sprintf("127.0.0.%d:%d", n+1, s.cfg.ForeignPort)
	}
	var lc net.ListenConfig
	lis, err := lc.Listen(ctx, "tcp", addr)
	if err != nil && n > 0 { // no 127.0.0.2 on this system
		lis, err = lc.Listen(ctx, "tcp", "127.0.0.1:0")
	}
	if err != nil {
		return fmt.Errorf("test site listens on %s: %w", addr, err)
	}
	scheme := "http"
	h := &host{n: n, lis: lis}
	h.server = &http.Server{Handler: s.handler(n), ReadHeaderTimeout: 10 * time.Second,
		ErrorLog: log.New(io.Discard, "", 0)} // failed handshakes are what it is for
	if s.cert != nil {
		scheme = "https"
		h.lis = tls.NewListener(lis, &tls.Config{Certificates: []tls.Certificate{*s.cert}, MinVersion: tls.VersionTLS12})
	}
	h.base = scheme + "://" + lis.Addr().String()
	s.hosts = append(s.hosts, h)
	return nil
}

// closedPort returns an address that refuses connections.
func closedPort(ctx context.Context) (string, error) {
	var lc net.ListenConfig
	lis, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a closed port: %w", err)
	}
	addr := lis.Addr().String()
	return addr, lis.Close()
}

// URL is the portal's front page.
func (s *Site) URL() string { return s.hosts[0].base + "/" }

// At is an address of the portal.
func (s *Site) At(path string) string { return s.hosts[0].base + path }

// Foreign is an address of the n-th foreign host, counted from 1.
func (s *Site) Foreign(n int, path string) string { return s.hosts[n].base + path }

// Refused is an address where nothing listens.
func (s *Site) Refused() string { return "http://" + s.refused + "/" }

// Roots are the authorities that make the site's certificate valid; nil without TLS.
func (s *Site) Roots() *x509.CertPool { return s.roots }

// SetPage makes the portal answer path with this HTML page. The text may use {{1}},
// {{2}} … for the bases of the foreign hosts and {{0}} for the portal's.
//
// The first call takes the town portal's own pages away.
func (s *Site) SetPage(path, html string) {
	s.mu.Lock()
	if !s.ownPages {
		s.ownPages, s.pages = true, map[string]string{}
	}
	s.mu.Unlock()
	s.setPage(path, html)
}

func (s *Site) setPage(path, html string) {
	for _, h := range s.hosts {
		html = strings.ReplaceAll(html, fmt.Sprintf("{{%d}}", h.n), h.base)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pages[path] = html
}

// SetRobots makes a host (0: the portal) answer /robots.txt so. Status 0 hangs.
// Without it robots.txt is 404.
func (s *Site) SetRobots(host, status int, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.robots[host] = robots{status, body}
}

// Hits returns every request so far.
func (s *Site) Hits() []Hit {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Hit(nil), s.hits...)
}

// Repair brings the portal's dead link back to life and replaces the one that moved.
// The same is done by
// POST /-/repair on the portal, so that a demonstration can be driven from outside.
func (s *Site) Repair() { s.setRepaired(true) }

// Break makes the link dead again; POST /-/break does the same.
func (s *Site) Break() { s.setRepaired(false) }

func (s *Site) setRepaired(v bool) {
	s.mu.Lock()
	s.repaired = v
	own := s.ownPages
	s.mu.Unlock()
	if !own {
		s.portal()
	}
}
