package ingest

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	_ "time/tzdata" // a machine without zone files must still read China's time

	"garrison"
)

// Syslog is the pair of syslog listeners.
type Syslog struct {
	cfg     Config
	deps    Deps
	sources *sources

	mu    sync.Mutex // guards what follows
	udp   *udpListener
	tcp   *tcpListener
	addrs map[string]string
}

// New builds the listeners; nothing is opened before Start.
func New(cfg Config, deps Deps) (*Syslog, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Store == nil {
		return nil, garrison.Errorf(garrison.Invalid, "ingest: no store")
	}
	if deps.Source == nil {
		deps.Source = func(netip.Addr) SourceSettings { return SourceSettings{} }
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	return &Syslog{cfg: cfg, deps: deps, sources: newSources(cfg, deps), addrs: map[string]string{}}, nil
}

// Start opens the listeners. When one cannot be opened, none stays open.
func (s *Syslog) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.udp != nil || s.tcp != nil {
		return garrison.Errorf(garrison.Conflict, "ingest: started already")
	}
	if s.cfg.UDP != "" {
		u, err := listenUDP(ctx, s.cfg, s.deps, s.sources)
		if err != nil {
			return err
		}
		s.udp, s.addrs["syslog_udp"] = u, u.addr()
	}
	if s.cfg.TCP != "" {
		t, err := listenTCP(ctx, s.cfg, s.deps, s.sources)
		if err != nil {
			if s.udp != nil {
				err = errors.Join(err, s.udp.stop(ctx))
			}
			s.udp, s.addrs = nil, map[string]string{}
			return err
		}
		s.tcp, s.addrs["syslog_tcp"] = t, t.addr()
	}
	return nil
}

// Stop takes in what has arrived, makes it durable and closes the listeners.
func (s *Syslog) Stop(ctx context.Context) error {
	s.mu.Lock()
	tcp, udp := s.tcp, s.udp
	s.tcp, s.udp, s.addrs = nil, nil, map[string]string{}
	s.mu.Unlock() // draining takes a while, and who asks for Addrs must not wait for it
	var err error
	if tcp != nil {
		err = errors.Join(err, tcp.stop(ctx))
	}
	if udp != nil {
		err = errors.Join(err, udp.stop(ctx))
	}
	if tcp != nil || udp != nil {
		err = errors.Join(err, s.deps.Store.Sync(ctx))
	}
	return err
}

// Addrs returns where the listeners listen: "syslog_udp", "syslog_tcp".
func (s *Syslog) Addrs() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]string, len(s.addrs))
	for k, v := range s.addrs {
		out[k] = v
	}
	return out
}
