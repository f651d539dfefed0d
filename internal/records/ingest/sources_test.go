package ingest

import (
	"net/netip"
	"testing"
	"time"

	"garrison/internal/records/ingest/dialect"
)

// TestFloodOfOtherMattersIsCountedApart: beyond the kept samples lines are only
// counted, and those of another matter apart from those that could not be read.
func TestFloodOfOtherMattersIsCountedApart(t *testing.T) {
	cfg := DefaultConfig()
	src := newSources(cfg, Deps{Source: func(netip.Addr) SourceSettings { return SourceSettings{} }})
	now := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	d := src.sender(netip.MustParseAddr("192.0.2.1"), now)
	for range batchSamples {
		d.line([]byte("<13>May  1 08:00:00 fw sshd[1]: session opened"), now)
	}
	for range 5 {
		d.line([]byte("<13>May  1 08:00:00 fw sshd[1]: session opened"), now)
		d.line([]byte("<13>May  1 08:00:00 fw x: 10.0.0.1:5000 became 203.0.113.1:1024"), now)
	}
	b := &d.batch
	if len(b.Refused) != batchSamples || b.Refused[0].Why != dialect.NotTranslation || b.MoreRefused != 10 || b.MoreOther != 5 {
		t.Fatalf("%d kept (%q), %d more, %d of these of another matter", len(b.Refused), b.Refused[0].Why, b.MoreRefused, b.MoreOther)
	}
}
