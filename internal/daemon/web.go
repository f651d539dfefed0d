package daemon

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"golang.org/x/net/netutil"

	"garrison/internal/api"
	"garrison/internal/console"
	"garrison/internal/daemon/localroot"
	"garrison/internal/records/ingest"
	"garrison/internal/telemetry"
)

// maxConnections bounds what a crowd at the console can take of the descriptors that
// the record store needs as well; who comes later waits in the kernel's queue.
const maxConnections = 1024

// web is the pair of HTTP listeners: console and API over TLS, and, for machines
// nearby, health and metrics in clear.
type web struct {
	https, plain     *http.Server
	httpsAt, plainAt net.Listener
	host             string
}

func (w *web) base() string {
	_, port, _ := net.SplitHostPort(w.httpsAt.Addr().String())
	return "https://" + net.JoinHostPort(w.host, port)
}

func (w *web) listeners() map[string]string {
	m := map[string]string{"https": w.httpsAt.Addr().String()}
	if w.plainAt != nil {
		m["metrics"] = w.plainAt.Addr().String()
	}
	return m
}

// listen opens a TCP address; a port in use is said with what to do about it.
func listen(what, addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s: port of %s is in use by another program; stop that one, or choose another with --listen or in the configuration: %w", what, addr, err)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("%s: this user may not listen on %s; choose a port above 1023 or give the service CAP_NET_BIND_SERVICE: %w", what, addr, err)
	case err != nil:
		return nil, fmt.Errorf("%s: listen on %s: %w", what, addr, err)
	}
	return l, nil
}

// startSurfaces opens every listener: syslog first, so that nobody sees a console that
// says all is well before records are taken.
func (d *Daemon) startSurfaces(ctx context.Context) (err error) {
	icfg := ingest.DefaultConfig()
	icfg.UDP, icfg.TCP = d.cfg.Listen.SyslogUDP, d.cfg.Listen.SyslogTCP
	d.syslog, err = ingest.New(icfg, ingest.Deps{Store: d.records, Source: d.source, Log: d.log.With("part", "syslog"), Now: d.opts.Now})
	if err != nil {
		return err
	}
	if err := d.syslog.Start(ctx); err != nil {
		return fmt.Errorf("start syslog: %w", err)
	}
	d.ran("syslog", d.syslog.Stop)

	cert, err := d.certificate()
	if err != nil {
		return err
	}
	w := &web{host: publicHost(hostOf(d.cfg.Listen.Console))}
	if w.httpsAt, err = listen("console", d.cfg.Listen.Console); err != nil {
		return err
	}
	w.httpsAt = netutil.LimitListener(w.httpsAt, maxConnections)
	d.web = w
	d.origins.set([]string{w.base()})
	if err := d.buildSurfaces(); err != nil {
		return errors.Join(err, w.httpsAt.Close())
	}
	mux := http.NewServeMux()
	mux.Handle("/", d.console.Handler())
	// "/api" and everything below it belongs to the API before any cleaning of paths.
	w.https = server(apiFirst(d.api.Handler(), mux), d.log)
	w.https.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	d.serve("console", w.https, func() error { return w.https.ServeTLS(w.httpsAt, "", "") })
	return d.startPlain(w)
}

func (d *Daemon) startPlain(w *web) (err error) {
	if d.cfg.Listen.Metrics == "" {
		return nil
	}
	if w.plainAt, err = listen("metrics", d.cfg.Listen.Metrics); err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", d.metrics.Handler())
	mux.HandleFunc("GET /healthz", telemetry.Alive)
	mux.HandleFunc("GET /readyz", d.health.Ready)
	w.plain = server(mux, d.log)
	d.serve("metrics", w.plain, func() error { return w.plain.Serve(w.plainAt) })
	return nil
}

// buildSurfaces builds the API and the console over the running components.
func (d *Daemon) buildSurfaces() (err error) {
	d.api, err = api.New(api.Deps{
		Records: d.records, Ledger: d.ledger, Identity: d.identity, Registry: d.registry, Measures: d.runner, Cases: d.cases,
		Duties: d.duties, State: d.db, Verify: d.Verify, Conditions: d.conditions, DemoFill: d.demo.Fill, DemoClear: d.demo.Clear,
		Text: text, Version: d.opts.Version, Log: d.log.With("part", "api"), Now: d.opts.Now,
	})
	if err != nil {
		return err
	}
	d.console, err = console.New(d.consoleConfig(), d.consoleDeps())
	return err
}

// certificate is the operator's own, or one under the local root.
func (d *Daemon) certificate() (tls.Certificate, error) {
	if d.cfg.TLS.Certificate != "" {
		cert, err := tls.LoadX509KeyPair(d.cfg.TLS.Certificate, d.cfg.TLS.Key)
		if err != nil {
			return cert, fmt.Errorf("read the console's certificate: %w", err)
		}
		d.root.Fingerprint = localroot.Fingerprint(sha256.Sum256(cert.Certificate[0]))
		return cert, nil
	}
	names := append([]string{hostOf(d.cfg.Listen.Console)}, d.cfg.TLS.Names...)
	root, err := localroot.Ensure(d.install.Keys+"/tls", names, d.opts.Now())
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make the console's certificate: %w", err)
	}
	d.root = root
	return root.Certificate, nil
}

func server(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       2 * time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(log.With("part", "http").Handler(), slog.LevelDebug),
	}
}

// apiFirst sends every path of the API to it as it came, before anything could
// answer with a redirect.
func apiFirst(api, rest http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api" || strings.HasPrefix(r.URL.Path, "/api/") {
			api.ServeHTTP(w, r)
			return
		}
		rest.ServeHTTP(w, r)
	})
}

// serve runs a server until Stop, which waits for its end. One that ends by itself
// makes the installation not ready.
func (d *Daemon) serve(what string, s *http.Server, run func() error) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := run(); !errors.Is(err, http.ErrServerClosed) {
			d.log.Error("listener ended", "what", what, "error", err)
			d.health.Add(what, func(context.Context) error { return err })
		}
	}()
	d.ran(what, func(ctx context.Context) error {
		err := s.Shutdown(ctx)
		if err != nil {
			err = errors.Join(err, s.Close()) // out of time: what is still being answered is cut off
		}
		<-ended
		return err
	})
}

// publicHost is the name that the console's address is given under: the one listened
// on, unless that is this machine alone or all of its addresses.
func publicHost(host string) string {
	ip, err := netip.ParseAddr(host)
	switch {
	case host == "", err == nil && (ip.Unmap().IsLoopback() || ip.IsUnspecified()):
		return "localhost"
	}
	return host
}

func (d *Daemon) syslogAddr() string {
	if d.syslog == nil {
		return ""
	}
	return d.syslog.Addrs()["syslog_tcp"]
}
