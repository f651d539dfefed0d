package probe

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"
)

// Config sets what a [Probe] may do. Limits are per exchange unless said otherwise.
type Config struct {
	// Product and Contact make up the User-Agent, so that whoever runs the other
	// side can tell who asks and whom to write to.
	Product string
	Contact string // a URL or mail address; empty: none is named
	// Timeout limits one exchange from its first packet to its last.
	Timeout time.Duration
	// Connect limits one attempt to connect, the TLS handshake another.
	Connect time.Duration
	// MaxBody limits a body after decompression, and on the wire.
	MaxBody int64
	// MaxHeader limits the head of an answer.
	MaxHeader int64
	// MaxRedirects limits how many redirects are followed.
	MaxRedirects int
	// PerHost is the least time between the starts of two requests to one foreign
	// host, OwnPerHost the same for the operator's own sites.
	PerHost, OwnPerHost time.Duration
	// Concurrent limits requests under way at once, all hosts together.
	Concurrent int
	// AllowPrivate allows loopback, private (RFC 1918, RFC 4193) and shared
	// (RFC 6598) addresses.
	AllowPrivate bool
	// AllowPrefixes allows single ranges that would be refused. Metadata,
	// multicast and unspecified addresses stay refused.
	AllowPrefixes []netip.Prefix
	// Servers are the resolvers to ask; empty: those of the system.
	Servers []netip.AddrPort
	// RobotsAge is how long a robots.txt is believed (RFC 9309 §2.4: at most a day).
	RobotsAge time.Duration
}

// DefaultConfig returns the settings the product ships with.
func DefaultConfig() Config {
	return Config{
		Product:      "Garrison/0.1",
		Timeout:      20 * time.Second,
		Connect:      8 * time.Second,
		MaxBody:      4 << 20,
		MaxHeader:    64 << 10,
		MaxRedirects: 10,
		PerHost:      time.Second,
		OwnPerHost:   time.Second,
		Concurrent:   16,
		RobotsAge:    time.Hour,
	}
}

// Validate reports every fault of c at once.
func (c Config) Validate() error {
	var errs []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	need(c.Product != "" && printable(c.Product), "probe.product %q: must be printable text", c.Product)
	need(printable(c.Contact), "probe.contact %q: must be printable text", c.Contact)
	need(c.Timeout > 0 && c.Timeout <= 10*time.Minute, "probe.timeout %s: must be above 0 and at most 10m", c.Timeout)
	need(c.Connect > 0 && c.Connect <= c.Timeout, "probe.connect %s: must be above 0 and at most the timeout", c.Connect)
	need(c.MaxBody > 0 && c.MaxBody <= 256<<20, "probe.max_body %d: must be above 0 and at most 256 MiB", c.MaxBody)
	need(c.MaxHeader > 0 && c.MaxHeader <= 1<<20, "probe.max_header %d: must be above 0 and at most 1 MiB", c.MaxHeader)
	need(c.MaxRedirects >= 0 && c.MaxRedirects <= 30, "probe.max_redirects %d: must be 0 to 30", c.MaxRedirects)
	// A foreign host owes us nothing: one request a second is the floor.
	need(c.PerHost >= time.Second, "probe.per_host %s: must be at least 1s", c.PerHost)
	need(c.OwnPerHost >= 0, "probe.own_per_host %s: must not be negative", c.OwnPerHost)
	need(c.Concurrent > 0 && c.Concurrent <= 1024, "probe.concurrent %d: must be 1 to 1024", c.Concurrent)
	need(c.RobotsAge > 0 && c.RobotsAge <= 24*time.Hour, "probe.robots_age %s: must be above 0 and at most 24h", c.RobotsAge)
	for _, p := range c.AllowPrefixes {
		need(p.IsValid() && p == p.Masked(), "probe.allow %q: must be a prefix without host bits", p)
	}
	for _, s := range c.Servers {
		need(s.IsValid(), "probe.servers: %q is not address:port", s)
	}
	return errors.Join(errs...)
}

// UserAgent returns what the probe calls itself.
func (c Config) UserAgent() string {
	if c.Contact == "" {
		return c.Product
	}
	return c.Product + " (+" + c.Contact + ")"
}

func printable(s string) bool {
	for _, r := range s {
		if r < ' ' || r > '~' {
			return false
		}
	}
	return true
}

// Deps is what a [Probe] is built with; every field may be left zero.
type Deps struct {
	Log *slog.Logger
	// Now and Sleep are the clock that politeness is kept by. Sleep returns early
	// with ctx's error.
	Now   func() time.Time
	Sleep func(ctx context.Context, d time.Duration) error
	// Resolver replaces the resolver of the configuration.
	Resolver Resolver
	// Roots replaces the system's certificate authorities.
	Roots *x509.CertPool
}

// Resolver turns names into addresses and answers other questions. A name without
// addresses is a *Failure of kind DNSNXDomain or DNSNoData. Implementations are safe
// for concurrent use and obey ctx.
type Resolver interface {
	Addrs(ctx context.Context, host string) ([]netip.Addr, error)
	Lookup(ctx context.Context, name string, t RecordType) Answer
}
