package ingest

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"garrison"
	"garrison/internal/records"
	"garrison/internal/testkit/natlines"
)

// sealed is a ledger that remembers nothing: what it is told stands elsewhere in tests.
type sealed struct {
	mu sync.Mutex // guards n
	n  uint64
}

func (s *sealed) Append(_ context.Context, entries ...[]byte) ([]garrison.EvidenceRef, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	refs := make([]garrison.EvidenceRef, len(entries))
	for i := range refs {
		refs[i] = garrison.EvidenceRef{Log: "test", Index: s.n, Digest: fmt.Sprintf("%064x", s.n)}
		s.n++
	}
	return refs, nil
}

// TestRealStore sends lines of three families over TCP to the real store: what the
// sender was told is committed is counted, and a question finds it.
func TestRealStore(t *testing.T) {
	cfg := records.DefaultConfig()
	cfg.Dir, cfg.KeyDir = t.TempDir(), t.TempDir()
	store, err := records.New(cfg, records.Deps{Ledger: &sealed{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Stop(context.Background()) }()
	own := DefaultConfig()
	own.TCP = "127.0.0.1:0"
	s, err := New(own, Deps{Store: store})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Stop(context.Background()) }()

	g := natlines.New(natlines.Options{Seed: 21, Start: time.Now().Add(-20 * time.Second), Noise: 25})
	var text strings.Builder
	var last natlines.Line
	noise := int64(0)
	const n = 20_000
	for _, l := range g.Fill(n) {
		text.WriteString(l.Text + "\n")
		if l.Refused {
			noise++
		} else if l.Want.End == 0 {
			last = l
		}
	}
	c, err := net.Dial("tcp", s.Addrs()["syslog_tcp"])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	begun := time.Now()
	if _, err := c.Write([]byte(text.String())); err != nil {
		t.Fatal(err)
	}
	_ = c.(*net.TCPConn).CloseWrite()
	_, _ = c.Read(make([]byte, 1))
	t.Logf("%d lines committed in %v", n, time.Since(begun))

	list, err := store.Sources(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 1 || list[0].Stored != n-noise || list[0].Refused != noise || list[0].ID != "syslog:127.0.0.1" {
		t.Errorf("sources %+v, want %d stored and %d refused", list, n-noise, noise)
	}
	w := last.Want
	a, err := store.Trace(t.Context(), garrison.Question{IP: w.OutsideIP, Port: w.OutsidePort, Proto: w.Proto, At: time.UnixMilli(w.Start)})
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, cand := range a.Candidates {
		found = found || cand.InsideIP == w.InsideIP && cand.InsidePort == w.InsidePort && cand.Device == w.Device
	}
	if !found {
		t.Errorf("%s\nis not among %d candidates", last.Text, len(a.Candidates))
	}
}
