package ingest

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"garrison/evidence"
	"garrison/internal/records/ingest/dialect"
	"garrison/internal/testkit/natlines"

	"net/netip"
)

var addrs = cmpopts.EquateComparable(netip.Addr{})

// TestEveryMadeLine decodes lines of all families and compares each with what it was
// made from.
func TestEveryMadeLine(t *testing.T) {
	g := natlines.New(natlines.Options{Seed: 7, Step: 37 * time.Millisecond, Noise: 20})
	d := newLineDecoder(time.FixedZone("CST", 8*3600), "")
	counts := map[string]int{}
	for i, l := range g.Fill(30_000) {
		received := g.Options().Start.Add(time.Duration(i) * 37 * time.Millisecond)
		var r evidence.NAT
		why := d.live([]byte(l.Text), received, time.Minute, "192.0.2.1", &r)
		if l.Refused {
			if why != dialect.NotTranslation {
				t.Fatalf("line %d: %q, want %q\n%s", i, why, dialect.NotTranslation, l.Text)
			}
			counts["refused"]++
			continue
		}
		if why != "" {
			t.Fatalf("line %d refused: %s\n%s", i, why, l.Text)
		}
		r.Received = 0
		if diff := cmp.Diff(r, l.Want, addrs); diff != "" {
			t.Fatalf("line %d (-got +want):\n%s\n%s", i, diff, l.Text)
		}
		counts[l.Dialect]++
	}
	for _, name := range []string{natlines.Netfilter, natlines.Cisco, natlines.Juniper, "refused"} {
		if counts[name] < 1000 {
			t.Errorf("%d lines of %s, expected at least 1000", counts[name], name)
		}
	}
}

func TestLiveTimes(t *testing.T) {
	shanghai, err := time.LoadLocation("Asia/Shanghai")
	if err != nil {
		t.Fatal(err)
	}
	const tail = " fw1 %ASA-6-305011: Built dynamic TCP translation from inside:100.64.0.9/51000 to outside:203.0.113.5/40123"
	received := time.Date(2026, 11, 24, 10, 0, 5, 0, shanghai)
	for _, c := range []struct {
		name, line string
		received   time.Time
		want       time.Time
		suspect    bool
	}{
		{"yearless", "<166>Nov 24 10:00:03" + tail, received, time.Date(2026, 11, 24, 10, 0, 3, 0, shanghai), false},
		{"five minutes are allowed", "<166>Nov 24 09:55:05" + tail, received, time.Date(2026, 11, 24, 9, 55, 5, 0, shanghai), false},
		{"more are not", "<166>Nov 24 09:55:04" + tail, received, time.Date(2026, 11, 24, 9, 55, 4, 0, shanghai), true},
		{"ahead", "<166>Nov 24 10:05:06" + tail, received, time.Date(2026, 11, 24, 10, 5, 6, 0, shanghai), true},
		{"old year after New Year", "<166>Dec 31 23:59:58" + tail, time.Date(2027, 1, 1, 0, 0, 2, 0, shanghai), time.Date(2026, 12, 31, 23, 59, 58, 0, shanghai), false},
		{"new year before New Year", "<166>Jan  1 00:00:01" + tail, time.Date(2026, 12, 31, 23, 59, 59, 0, shanghai), time.Date(2027, 1, 1, 0, 0, 1, 0, shanghai), false},
		{"leap day", "<166>Feb 29 08:00:00" + tail, time.Date(2028, 2, 29, 8, 0, 1, 0, shanghai), time.Date(2028, 2, 29, 8, 0, 0, 0, shanghai), false},
		{"leap day after midnight", "<166>Feb 29 23:59:59" + tail, time.Date(2028, 3, 1, 0, 0, 1, 0, shanghai), time.Date(2028, 2, 29, 23, 59, 59, 0, shanghai), false},
		{"leap day of a clock years off", "<166>Feb 29 08:00:00" + tail, time.Date(2026, 3, 1, 8, 0, 1, 0, shanghai), time.Date(2028, 2, 29, 8, 0, 0, 0, shanghai), true},
		{"no such day is marked, not refused", "<166>Feb 30 08:00:00" + tail, received, received, true},
		{"no time at all", "<166>%ASA-6-305011: Built dynamic TCP translation from inside:100.64.0.9/51000 to outside:203.0.113.5/40123", received, received, false},
		{"IOS clock not set", "<189>77: *Nov 24 10:00:03.500: %IPNAT-6-CREATED: tcp 100.64.0.9:51000 203.0.113.5:40123 198.51.100.7:443 198.51.100.7:443",
			received, time.Date(2026, 11, 24, 10, 0, 3, 500e6, shanghai), true},
		{"year and zone", "<189>77: asr1: Nov 24 2026 10:00:03.123 CST: %IPNAT-6-CREATED: tcp 100.64.0.9:51000 203.0.113.5:40123 198.51.100.7:443 198.51.100.7:443",
			received, time.Date(2026, 11, 24, 10, 0, 3, 123e6, shanghai), false},
		{"zone UTC", "<189>77: Nov 24 2026 02:00:03.123 UTC: %IPNAT-6-CREATED: tcp 100.64.0.9:51000 203.0.113.5:40123 198.51.100.7:443 198.51.100.7:443",
			received, time.Date(2026, 11, 24, 10, 0, 3, 123e6, shanghai), false},
		{"zone named by an office", "<189>77: Nov 24 10:00:03.123 Beijing: %IPNAT-6-CREATED: tcp 100.64.0.9:51000 203.0.113.5:40123 198.51.100.7:443 198.51.100.7:443",
			received, time.Date(2026, 11, 24, 10, 0, 3, 123e6, shanghai), false},
		{"the device's time behind a relay's", "<189>Nov 24 10:00:05 192.0.2.9 77: asr1: Nov 24 10:00:03.123: %IPNAT-6-CREATED: tcp 100.64.0.9:51000 203.0.113.5:40123 198.51.100.7:443 198.51.100.7:443",
			received, time.Date(2026, 11, 24, 10, 0, 3, 123e6, shanghai), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var r evidence.NAT
			if why := newLineDecoder(shanghai, "").live([]byte(c.line), c.received, 5*time.Minute, "192.0.2.1", &r); why != "" {
				t.Fatalf("refused: %s", why)
			}
			if got := time.UnixMilli(r.Start).In(shanghai); !got.Equal(c.want) {
				t.Errorf("start %v, want %v", got, c.want)
			}
			if got := r.Flags&evidence.NATClockSuspect != 0; got != c.suspect {
				t.Errorf("clock suspect %v, want %v", got, c.suspect)
			}
		})
	}
}

func TestDeviceIsHostOrPeer(t *testing.T) {
	const text = "%ASA-6-305011: Built dynamic TCP translation from inside:100.64.0.9/51000 to outside:203.0.113.5/40123"
	for _, c := range []struct{ line, want string }{
		{"<166>Nov 24 10:00:03 fw1 " + text, "fw1"},
		{"<166>Nov 24 2026 10:00:03 fw1 : " + text, "fw1"},
		{"<166>Nov 24 2026 10:00:03: " + text, "192.0.2.1"},
		{"<166>" + text, "192.0.2.1"},
		{"<166>1 2026-11-24T10:00:03+08:00 fw1 - - - - " + text, "fw1"},
		{"<166>1 2026-11-24T10:00:03+08:00 - - - - - " + text, "192.0.2.1"},
		{"<166>2026-11-24T10:00:03.123456+08:00 fw1 : " + text, "fw1"},
		{"<166>Nov 24 10:00:03 f\x1b[31mw " + text, `f\x1b[31mw`},
	} {
		var r evidence.NAT
		why := newLineDecoder(time.UTC, "").live([]byte(c.line), time.Now(), time.Hour, "192.0.2.1", &r)
		if why != "" || r.Device != c.want {
			t.Errorf("%q: device %q (%s), want %q", c.line, r.Device, why, c.want)
		}
	}
}

func TestEscape(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"plain text", "plain text"},
		{"a\x00b\nc\td", `a\x00b\x0ac\x09d`},
		{"\xff\xfe", `\xff\xfe`},
		{"\x1b[2J", `\x1b[2J`},
		{"公网地址", "公网地址"},
		{"公\xe5\x85", `公\xe5\x85`},
		{`c:\x`, `c:\x5cx`},
		{"a\u202eb", `a\xe2\x80\xaeb`},
		{"\u0085", `\xc2\x85`},
	} {
		if got := Escape([]byte(c.in), 100); got != c.want {
			t.Errorf("Escape(%q) = %q, want %q", c.in, got, c.want)
		}
	}
	if got := Escape([]byte(strings.Repeat("x", 50)), 10); got != "xxxxxxxxxx…" {
		t.Errorf("cut: %q", got)
	}
}

func FuzzLine(f *testing.F) {
	for _, l := range natlines.New(natlines.Options{Seed: 3, Noise: 10}).Fill(60) {
		f.Add([]byte(l.Text))
	}
	d := newLineDecoder(time.UTC, "")
	received := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, b []byte) {
		var r evidence.NAT
		if why := d.live(b, received, time.Minute, "192.0.2.1", &r); why == dialect.NotMine {
			t.Error("a decoder's private answer leaked")
		} else if why == "" {
			if err := r.Check(); err != nil {
				t.Error(err)
			}
			if !r.OutsideIP.IsValid() || !r.InsideIP.IsValid() || r.OutsidePortLast < r.OutsidePort {
				t.Errorf("decoded into %+v", r)
			}
			if r.End != 0 && r.End < r.Start {
				t.Errorf("ends before it starts: %+v", r)
			}
		}
		Escape(b, 100)
	})
}

func BenchmarkLine(b *testing.B) {
	for _, name := range []string{natlines.Netfilter, natlines.Cisco, natlines.Juniper} {
		b.Run(name, func(b *testing.B) { benchLines(b, name) })
	}
	b.Run("mixed", func(b *testing.B) { benchLines(b) })
}

func benchLines(b *testing.B, dialects ...string) {
	g := natlines.New(natlines.Options{Seed: 1, Dialects: dialects})
	lines := make([][]byte, 4096)
	size := 0
	for i, l := range g.Fill(len(lines)) {
		lines[i] = []byte(l.Text)
		size += len(l.Text)
	}
	d := newLineDecoder(time.FixedZone("CST", 8*3600), "")
	received := g.Options().Start.Add(time.Second)
	b.SetBytes(int64(size / len(lines)))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		var r evidence.NAT
		if why := d.live(lines[i%len(lines)], received, time.Minute, "192.0.2.1", &r); why != "" {
			b.Fatal(why)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "lines/s")
}
