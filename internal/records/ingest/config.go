package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"garrison/internal/records"
)

// Config says where to listen and what a sender may cost.
type Config struct {
	UDP string // address of the UDP listener, "127.0.0.1:514"; empty: none
	TCP string // address of the TCP listener; empty: none

	HandOver    time.Duration // a received line waits no longer than this before the store has it
	BatchLines  int           // a batch is handed over earlier at this many lines
	MaxLine     int           // bytes a line may have
	ReadBuffer  int           // bytes of kernel buffer asked for the UDP socket
	QueueBytes  int           // bytes of datagrams kept between reading and decoding
	MaxConns    int           // TCP connections at once
	MaxPerPeer  int           // TCP connections at once from one address
	Idle        time.Duration // a connection silent for so long is committed and closed
	PartialLine time.Duration // a begun line must end within this
	MaxSources  int           // senders told apart by address; those beyond share one source
	MaxSkew     time.Duration // a clock further off than this is marked suspect
	Zone        string        // IANA zone of senders that the register says nothing about
}

// DefaultConfig is the configuration that the product ships with. It listens nowhere.
func DefaultConfig() Config {
	return Config{
		HandOver:    20 * time.Millisecond,
		BatchLines:  4096,
		MaxLine:     64 << 10,
		ReadBuffer:  32 << 20,
		QueueBytes:  32 << 20,
		MaxConns:    512,
		MaxPerPeer:  64,
		Idle:        30 * time.Minute,
		PartialLine: 30 * time.Second,
		MaxSources:  1024,
		MaxSkew:     5 * time.Minute,
		Zone:        "Asia/Shanghai",
	}
}

// Validate reports every fault of the configuration at once.
func (c Config) Validate() error {
	var faults []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	for _, a := range []struct{ name, addr string }{{"syslog_udp", c.UDP}, {"syslog_tcp", c.TCP}} {
		if a.addr == "" {
			continue
		}
		_, _, err := net.SplitHostPort(a.addr)
		need(err == nil, "ingest: %s address %q is not host:port", a.name, a.addr)
	}
	need(c.HandOver > 0 && c.HandOver <= 100*time.Millisecond, "ingest: hand_over %v is not within (0, 100ms]", c.HandOver)
	need(c.BatchLines >= 1 && c.BatchLines <= 1<<16, "ingest: batch_lines %d is not within [1, 65536]", c.BatchLines)
	need(c.MaxLine >= 1024 && c.MaxLine <= 1<<20, "ingest: max_line %d is not within [1024, 1048576]", c.MaxLine)
	need(c.ReadBuffer >= 0, "ingest: read_buffer %d is negative", c.ReadBuffer)
	need(c.QueueBytes >= 1<<20, "ingest: queue_bytes %d is below 1048576", c.QueueBytes)
	need(c.MaxConns >= 1, "ingest: max_conns %d is below 1", c.MaxConns)
	need(c.MaxPerPeer >= 1, "ingest: max_per_peer %d is below 1", c.MaxPerPeer)
	need(c.Idle >= time.Second, "ingest: idle %v is below 1s", c.Idle)
	need(c.PartialLine > 0, "ingest: partial_line %v is not positive", c.PartialLine)
	need(c.MaxSources >= 1, "ingest: max_sources %d is below 1", c.MaxSources)
	need(c.MaxSkew > 0, "ingest: max_skew %v is not positive", c.MaxSkew)
	_, err := time.LoadLocation(c.Zone)
	need(err == nil && c.Zone != "" && c.Zone != "Local", "ingest: zone %q is not a known time zone (example: Asia/Shanghai)", c.Zone)
	return errors.Join(faults...)
}

// Store takes what was received. Append returns when the batch is durable; Offer
// hands it over without waiting for that and blocks while the store is behind; Sync
// returns when everything offered before is durable. The store keeps nothing of a
// batch once Append or Offer has returned.
type Store interface {
	Append(ctx context.Context, b *records.Batch) (records.Ack, error)
	Offer(b *records.Batch) error
	Sync(ctx context.Context) error
}

// Deps are the parts the listeners stand on.
type Deps struct {
	Store  Store
	Source func(netip.Addr) SourceSettings // optional; asked again for each sender every few seconds
	Log    *slog.Logger                    // optional
	Now    func() time.Time                // optional
}

// SourceSettings is what the register knows of a sender. A zero ID: nothing.
type SourceSettings struct {
	ID      string // of the store's source; empty: "syslog:<address>"
	Name    string // empty: the address
	Zone    string // IANA zone of times that carry none; empty: Config.Zone
	Dialect string // tried first: "netfilter", "cisco", "juniper"; empty: found out by the line
}
