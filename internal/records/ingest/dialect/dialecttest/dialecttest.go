// Package dialecttest runs a decoder over files of sample lines, each followed by what
// it must become:
//
//	# a comment
//	<14>Nov 24 10:00:03 fw1 …
//	=> built tcp 100.64.0.9:51000 via 203.0.113.5:40123 to 198.51.100.7:443 from 02:00:03.000
//	<14>Nov 24 10:00:03 fw1 …
//	=> refused truncated
package dialecttest

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"garrison/evidence"
	"garrison/internal/records/ingest/dialect"
	"garrison/internal/records/ingest/syslog"
)

// Received is when every sample line is taken to have arrived.
func Received() time.Time { return time.Date(2026, 11, 24, 10, 0, 10, 0, zone()) }

func zone() *time.Location { return time.FixedZone("CST", 8*3600) }

// Lines returns the sample lines of a file without what they become.
func Lines(t testing.TB, file string) []string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for l := range strings.Lines(string(b)) {
		if l = strings.TrimSuffix(l, "\n"); l != "" && l[0] != '#' && !strings.HasPrefix(l, "=> ") {
			out = append(out, l)
		}
	}
	return out
}

// Run decodes the lines of a file in order with one decoder, and fails on fewer than
// the cases expected.
func Run(t *testing.T, d dialect.Decoder, file string, cases int) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	n, line, at := 0, "", 0
	p := syslog.NewParser(zone())
	for i, l := range strings.Split(string(b), "\n") {
		want, ok := strings.CutPrefix(l, "=> ")
		switch {
		case ok:
			n++
			if got := Decode(d, p, line); got != want {
				t.Errorf("%s:%d: %s\n got %s\nwant %s", file, at, line, got, want)
			}
		case l != "" && l[0] != '#':
			line, at = l, i+1
		}
	}
	if n < cases {
		t.Errorf("%s has %d cases, expected at least %d", file, n, cases)
	}
}

// Decode says in words what a line becomes.
func Decode(d dialect.Decoder, p *syslog.Parser, line string) string {
	var l dialect.Line
	p.Parse([]byte(line), Received(), &l.Message)
	l.At = Received().UnixMilli()
	if l.HasTime {
		l.At = l.Time
	}
	var r evidence.NAT
	if why := d.Decode(&l, &r); why != "" {
		return "refused " + why
	}
	return Words(&r)
}

// Words writes a record as the sample files do: what, protocol, inside, outside,
// destination where known, and the times of day in UTC.
func Words(r *evidence.NAT) string {
	event := [...]string{"complete", "built", "teardown", "given", "released"}[r.Event]
	proto := map[uint8]string{0: "any", 1: "icmp", 6: "tcp", 17: "udp", 132: "sctp", 58: "icmp6"}[r.Proto]
	if proto == "" {
		proto = fmt.Sprint(r.Proto)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s:%d via %s:%d", event, proto, r.InsideIP, r.InsidePort, r.OutsideIP, r.OutsidePort)
	if r.OutsidePortLast != r.OutsidePort {
		fmt.Fprintf(&b, "-%d", r.OutsidePortLast)
	}
	if r.DstIP.IsValid() {
		fmt.Fprintf(&b, " to %s:%d", r.DstIP, r.DstPort)
	}
	const clock = "15:04:05.000"
	switch {
	case r.Flags&evidence.NATStartUnknown == 0:
		fmt.Fprintf(&b, " from %s", time.UnixMilli(r.Start).UTC().Format(clock))
	case r.End == 0:
		fmt.Fprintf(&b, " seen %s", time.UnixMilli(r.Start).UTC().Format(clock))
	}
	if r.End != 0 {
		fmt.Fprintf(&b, " until %s", time.UnixMilli(r.End).UTC().Format(clock))
	}
	return b.String()
}
