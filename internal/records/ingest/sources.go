package ingest

import (
	"bytes"
	"context"
	"net/netip"
	"sync"
	"time"

	"garrison"
	"garrison/evidence"
	"garrison/internal/records"
	"garrison/internal/records/ingest/dialect"
)

// refreshEvery is how often the register is asked again about a sender.
const refreshEvery = 5 * time.Second

// sources tells senders apart for all listeners.
type sources struct {
	cfg  Config
	deps Deps

	mu      sync.Mutex // guards unknown
	unknown map[netip.Addr]struct{}
}

func newSources(cfg Config, deps Deps) *sources {
	return &sources{cfg: cfg, deps: deps, unknown: make(map[netip.Addr]struct{})}
}

// settings returns what is known of a sender, with nothing left open. Senders that
// the register does not know have a source each up to a limit: addresses of datagrams
// can be made up, and each source costs memory and disk for ever.
func (s *sources) settings(a netip.Addr) SourceSettings {
	set := s.deps.Source(a)
	if set.ID == "" {
		set.ID = "syslog:" + a.String()
		s.mu.Lock()
		if _, ok := s.unknown[a]; !ok && len(s.unknown) >= s.cfg.MaxSources {
			set.ID, set.Name = "syslog:other", "other senders"
		} else {
			s.unknown[a] = struct{}{}
		}
		s.mu.Unlock()
	}
	if set.Name == "" {
		set.Name = a.String()
	}
	if set.Zone == "" {
		set.Zone = s.cfg.Zone
	}
	return set
}

// sender is one sender as one goroutine sees it: its decoder and its open batch.
type sender struct {
	src   *sources
	addr  netip.Addr
	peer  string
	set   SourceSettings
	dec   *lineDecoder
	batch records.Batch

	checked time.Time // when the register was asked
	since   time.Time // reception of the oldest line of the batch
	seen    time.Time // last line
	lines   int64     // since losses were last put down
}

func (s *sources) sender(a netip.Addr, now time.Time) *sender {
	d := &sender{src: s, addr: a, peer: a.String()}
	d.apply(s.settings(a), now)
	return d
}

func (d *sender) apply(set SourceSettings, now time.Time) {
	d.checked = now
	if d.dec != nil && set == d.set {
		return
	}
	zone, err := loadZone(set.Zone, d.src.cfg.Zone)
	if err != nil {
		// The register checks zones; one that slipped through must not stop intake.
		d.src.deps.Log.Warn("zone of a source is not known; using the default", "source", set.ID, "zone", set.Zone)
		zone, _ = loadZone(d.src.cfg.Zone, "UTC")
	}
	if d.dec == nil || set.Zone != d.set.Zone || set.Dialect != d.set.Dialect {
		d.dec = newLineDecoder(zone, set.Dialect)
	}
	d.set = set
	d.batch.Source = records.SourceRef{ID: set.ID, Name: set.Name, Kind: "syslog"}
}

const (
	sampleBytes    = 1024 // kept of a refused line
	batchSamples   = 32   // kept refused lines of a batch; the rest is only counted
	keepBatchLines = 8192 // a batch grown beyond is not kept for the next
)

func (d *sender) empty() bool {
	b := &d.batch
	return len(b.NAT) == 0 && len(b.Refused) == 0 && b.MoreRefused == 0 && b.Lost == 0
}

func (d *sender) count() int {
	return len(d.batch.NAT) + len(d.batch.Refused) + int(d.batch.MoreRefused)
}

// datagram takes in one datagram. RFC 5426 puts one message into it; a sender that
// puts several lines into one is understood too.
func (d *sender) datagram(b []byte, received time.Time) {
	for {
		i := bytes.IndexByte(b, '\n')
		if i < 0 || i == len(b)-1 {
			d.line(b, received)
			return
		}
		d.line(b[:i], received)
		b = b[i+1:]
	}
}

// line takes in one line: a record or a refusal of the open batch.
func (d *sender) line(b []byte, received time.Time) {
	if len(b) > d.src.cfg.MaxLine {
		d.refuse(b, dialect.TooLong, received)
		return
	}
	d.touch(received)
	n := len(d.batch.NAT)
	d.batch.NAT = append(d.batch.NAT, evidence.NAT{Source: d.set.ID})
	if why := d.dec.live(b, received, d.src.cfg.MaxSkew, d.peer, &d.batch.NAT[n]); why != "" {
		d.batch.NAT = d.batch.NAT[:n]
		d.refuse(b, why, received)
	}
}

func (d *sender) refuse(b []byte, why string, received time.Time) {
	d.touch(received)
	if len(d.batch.Refused) >= batchSamples {
		d.batch.MoreRefused++
		if dialect.Other(why) {
			d.batch.MoreOther++
		}
		return
	}
	d.batch.Refused = append(d.batch.Refused, records.Refusal{Line: Escape(b, sampleBytes), Why: why})
}

func (d *sender) touch(received time.Time) {
	if d.empty() {
		d.since = received
	}
	d.seen = received
	d.lines++
}

// handOver gives the batch to the store and waits while the store cannot take it. It
// gives up only when ctx ends; what then is not stored is said, not forgotten.
func (d *sender) handOver(ctx context.Context, now time.Time) error {
	if !d.empty() {
		if err := d.offer(ctx); err != nil {
			return err
		}
		if cap(d.batch.NAT) > keepBatchLines {
			d.batch.NAT = nil
		}
		clear(d.batch.Refused)
		d.batch.NAT, d.batch.Refused = d.batch.NAT[:0], d.batch.Refused[:0]
		d.batch.MoreRefused, d.batch.MoreOther, d.batch.Lost = 0, 0, 0
	}
	if now.Sub(d.checked) >= refreshEvery {
		d.apply(d.src.settings(d.addr), now)
	}
	return nil
}

func (d *sender) offer(ctx context.Context) error {
	log := d.src.deps.Log
	for wait := 5 * time.Millisecond; ; wait = min(wait*2, time.Second) {
		err := d.src.deps.Store.Offer(&d.batch)
		if err == nil {
			return nil
		}
		switch garrison.CodeOf(err) {
		case garrison.Invalid, garrison.TooLarge:
			if len(d.batch.NAT) == 0 {
				return err
			}
			// Saying it again will not help: the records are refused, and counted.
			log.Error("the store refuses a batch", "source", d.set.ID, "records", len(d.batch.NAT), "err", err)
			d.batch.MoreRefused += int64(len(d.batch.NAT))
			d.batch.NAT = d.batch.NAT[:0]
			continue
		}
		if wait >= time.Second {
			log.Warn("the store takes nothing; senders wait", "source", d.set.ID, "err", err)
		}
		select {
		case <-ctx.Done():
			log.Error("received lines could not be stored", "source", d.set.ID, "lines", d.count(), "err", err)
			return err
		case <-time.After(wait):
		}
	}
}
