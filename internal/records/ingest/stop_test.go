package ingest

import (
	"context"
	"net"
	"testing"
	"time"
)

// A sender that keeps its connection open and says nothing must not hold up a stop:
// the deadline that wakes its reader was once moved on for ever.
func TestStopDoesNotWaitForAnIdleSender(t *testing.T) {
	m := newMemory()
	s := start(t, m, nil)
	conn, err := net.Dial("tcp", s.Addrs()["syslog_tcp"])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("<134>1 2026-11-24T10:00:00Z fw app - - - hello\n")); err != nil {
		t.Fatal(err)
	}
	await(t, "the line", func() bool { _, refused, _ := m.totals(); return refused == 1 })
	// Generous: a drain takes 30 ms. Without the wake-up it would take the whole of it.
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Errorf("stop with an idle sender: %v", err)
	}
}
