package syslog

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	goleo "github.com/leodido/go-syslog/v4"
	"github.com/leodido/go-syslog/v4/rfc3164"
	"github.com/leodido/go-syslog/v4/rfc5424"
)

func received() time.Time { return time.Date(2026, 11, 24, 2, 0, 5, 0, time.UTC) }

// TestSecondOpinion reads the same headers with another parser.
func TestSecondOpinion(t *testing.T) {
	lines := []string{
		`<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - 'su root' failed for lonvick on /dev/pts/8`,
		`<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time to make the do-nuts.`,
		`<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 [exampleSDID@32473 iut="3" eventSource="Application" eventID="1011"] An application event log entry...`,
		`<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 [exampleSDID@32473 iut="3"][examplePriority@32473 class="high"]`,
		`<14>1 2026-11-24T10:00:03.123+08:00 srx1 RT_FLOW - RT_FLOW_SESSION_CREATE [junos@2636.1.1.1.2.129 a="x\]y" b="\"q\""] text`,
		`<0>1 - - - - - -`,
		`<14>1 2026-11-24T10:00:03+08:00 h a p m - `,
		`<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8`,
		`<13>Feb  5 17:32:18 10.0.0.99 tag: Use the BFG!`,
		`<189>Nov 24 10:00:03 host %ASA-6-305011: text`,
	}
	p := NewParser(time.UTC)
	for _, line := range lines {
		var m Message
		p.Parse([]byte(line), received(), &m)
		if strings.Contains(line, ">1 ") {
			compare5424(t, line, &m)
		} else {
			compare3164(t, line, &m)
		}
	}
}

func compare5424(t *testing.T, line string, m *Message) {
	t.Helper()
	got, err := rfc5424.NewParser().Parse([]byte(line))
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	o := got.(*rfc5424.SyslogMessage)
	same(t, line, o.Base, m)
	for _, f := range []struct {
		name string
		want *string
		got  []byte
	}{{"app", o.Appname, m.App}, {"msgid", o.MsgID, m.MsgID}, {"message", o.Message, m.Text}} {
		if want := strings.TrimSpace(deref(f.want)); want != string(f.got) {
			t.Errorf("%s: %s %q, the other parser says %q", line, f.name, f.got, want)
		}
	}
	if m.Version != 1 || (o.StructuredData == nil) != (m.Data == nil) {
		t.Errorf("%s: version %d, data %q", line, m.Version, m.Data)
	}
}

func compare3164(t *testing.T, line string, m *Message) {
	t.Helper()
	got, err := rfc3164.NewParser(rfc3164.WithYear(rfc3164.Year{YYYY: 2026})).Parse([]byte(line))
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	o := got.(*rfc3164.SyslogMessage)
	if o.Timestamp.After(received().AddDate(0, 6, 0)) || o.Timestamp.Before(received().AddDate(0, -6, 0)) {
		o.Timestamp = nil // another year is nearer
	}
	same(t, line, o.Base, m)
}

func same(t *testing.T, line string, o goleo.Base, m *Message) {
	t.Helper()
	if o.Priority == nil || int(*o.Priority) != m.Priority {
		t.Errorf("%s: priority %d", line, m.Priority)
	}
	if deref(o.Hostname) != string(m.Host) {
		t.Errorf("%s: host %q, the other parser says %q", line, m.Host, deref(o.Hostname))
	}
	if o.Timestamp != nil && (!m.HasTime || m.Time != o.Timestamp.UnixMilli()) {
		t.Errorf("%s: time %v, the other parser says %v", line, time.UnixMilli(m.Time).UTC(), o.Timestamp)
	}
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func TestHeaders(t *testing.T) {
	p := NewParser(time.FixedZone("CST", 8*3600))
	for _, c := range []struct{ line, host, text, at string }{
		{"<14>Nov 24 10:00:03 h tag: text", "h", "tag: text", "02:00:03.000"},
		{"Nov 24 10:00:03 h tag: text", "h", "tag: text", "02:00:03.000"},
		{"<14>Nov  4 10:00:03 h x", "h", "x", "02:00:03.000"},
		{"<14>Nov 4 10:00:03 h x", "h", "x", "02:00:03.000"},
		{"<14>Nov 24 10:00:03 kernel: x", "", "kernel: x", "02:00:03.000"},
		{"<14>Nov 24 10:00:03.5 h x", "h", "x", "02:00:03.500"},
		{"<14>Nov 24 10:00:03.123456789 h x", "h", "x", "02:00:03.123"},
		{"<14>2026-11-24T10:00:03.25+08:00 h x y", "h", "x y", "02:00:03.250"},
		{"<14>2026-11-24T02:00:03Z h x y", "h", "x y", "02:00:03.000"},
		{"<14>2026-11-24 10:00:03 h x y", "h", "x y", "02:00:03.000"},
		{"<14>2026 Nov 24 10:00:03 UTC: %X: y", "", "%X: y", "10:00:03.000"},
		{"<14>123: h: 000045: *Nov 24 10:00:03.001 CST: %X: y", "h", "%X: y", "02:00:03.001"},
		{"<14>Nov 24 2026 10:00:03 h : %ASA", "h", "%ASA", "02:00:03.000"},
		{"<14>Nov 24 2026 10:00:03: %ASA", "", "%ASA", "02:00:03.000"},
		{"<192>Nov 24 10:00:03 h x", "", "<192>Nov 24 10:00:03 h x", ""},
		{"<>x", "", "<>x", ""},
		{"", "", "", ""},
		{"<14>", "", "", ""},
		{"<14>1 broken", "", "1 broken", ""},
		{"<14>Nov 32 10:00:03 h x", "h", "x", "bad"},
		{"<14>Nov 24 25:00:03 h x", "h", "x", "bad"},
		{"<14>text only", "", "text only", ""},
		{"<14>Nov 24 10:00:03 h x\r\n\x00", "h", "x", "02:00:03.000"},
	} {
		var m Message
		p.Parse([]byte(c.line), received(), &m)
		at := ""
		if m.HasTime {
			at = time.UnixMilli(m.Time).UTC().Format("15:04:05.000")
		} else if m.BadTime {
			at = "bad"
		}
		if string(m.Host) != c.host || string(m.Text) != c.text || at != c.at {
			t.Errorf("%q: host %q text %q at %q, want %q %q %q", c.line, m.Host, m.Text, at, c.host, c.text, c.at)
		}
	}
}

func TestParseTime(t *testing.T) {
	for _, s := range []string{"2026-11-22T10:00:03.000+08:00", "2026-11-22T02:00:03Z", "2028-02-29T00:00:00-07:00",
		"1970-01-01T00:00:00.001Z", "2100-03-01T00:00:00Z", "1999-12-31T23:59:59.999+00:00"} {
		want, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := ParseTime([]byte(s)); !ok || got != want.UnixMilli() {
			t.Errorf("%s: %d %v, want %d", s, got, ok, want.UnixMilli())
		}
	}
	for _, s := range []string{"", "2026-11-22", "2026-11-22T10:00:03", "2026-11-22 10:00:03Z", "2026-02-29T00:00:00Z",
		"2026-13-01T00:00:00Z", "2026-11-22T24:00:00Z", "2026-11-22T10:00:03+08:00x", "2026-11-22T10:00:03.+08:00"} {
		if got, ok := ParseTime([]byte(s)); ok {
			t.Errorf("%q was read as %d", s, got)
		}
	}
}

// frames runs a stream through a framer in pieces of n bytes.
func frames(stream []byte, n, max int) (out []string) {
	f := NewFramer(max)
	drain := func() {
		for {
			b, kind := f.Next()
			if kind == More {
				return
			}
			s := string(b)
			if kind == Long {
				s = "LONG " + s[:min(8, len(s))]
			}
			out = append(out, s)
		}
	}
	for len(stream) > 0 {
		k := copy(f.Space()[:min(n, len(f.Space()))], stream)
		f.Wrote(k)
		stream = stream[k:]
		drain()
	}
	if b := f.Rest(); len(b) > 0 {
		out = append(out, string(b))
	}
	return out
}

func TestFraming(t *testing.T) {
	long := strings.Repeat("x", 5000)
	for _, c := range []struct {
		name, stream string
		want         []string
	}{
		{"lines", "<14>a\n<14>b\n", []string{"<14>a", "<14>b"}},
		{"last line without its end", "<14>a\n<14>b", []string{"<14>a", "<14>b"}},
		{"counted", "5 <14>a5 <14>b", []string{"<14>a", "<14>b"}},
		{"counted and a line feed", "5 <14>a\n5 <14>b\n", []string{"<14>a", "<14>b"}},
		{"mixed", "5 <14>a<14>b\n6 <14>c\n<14>d\n", []string{"<14>a", "<14>b", "<14>c\n", "<14>d"}},
		{"counted with a line feed inside", "9 <14>a\nb\nc<14>d\n", []string{"<14>a\nb\nc", "<14>d"}},
		{"a number is not a count", "2026 was\n12 monkeys\n", []string{"2026 was", "12 monkeys"}},
		{"count beyond the end", "50 <14>a", []string{"<14>a"}},
		{"empty lines", "\n\n<14>a\n", []string{"", "", "<14>a"}},
		{"long line, then a good one", "<14>" + long + "\n<14>b\n", []string{"LONG <14>xxxx", "<14>b"}},
		{"long counted, then a good one", "5004 <14>" + long + "5 <14>b", []string{"LONG <14>xxxx", "<14>b"}},
		{"long and cut off", "<14>" + long, []string{"LONG <14>xxxx"}},
		{"a count that is no count", "99999999 <14>a\n<14>b\n", []string{"99999999 <14>a", "<14>b"}},
		{"leading zero is no count", "05 <14>a\n", []string{"05 <14>a"}},
		{"lone number", "77", []string{"77"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, n := range []int{1, 2, 3, 7, 100, 4096, 100_000} {
				got := frames([]byte(c.stream), n, 2048)
				if fmt.Sprint(got) != fmt.Sprint(c.want) {
					t.Errorf("in pieces of %d: %q, want %q", n, got, c.want)
				}
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`<34>1 2003-10-11T22:14:15.003Z h su - ID47 [a b="c"] x`))
	f.Add([]byte("<14>123: h: *Nov 24 10:00:03.001 CST: %X: y"))
	p := NewParser(time.UTC)
	f.Fuzz(func(t *testing.T, b []byte) {
		var m Message
		p.Parse(b, received(), &m)
		if m.Priority > 191 || len(m.Text) > len(b) {
			t.Errorf("%+v", m)
		}
		if m.Version == 1 && m.HasTime { // what both read as RFC 5424 must agree
			if o, err := rfc5424.NewParser().Parse(b); err == nil {
				if ts := o.(*rfc5424.SyslogMessage).Timestamp; ts != nil && ts.UnixMilli() != m.Time {
					t.Errorf("%q: time %d, the other parser says %d", b, m.Time, ts.UnixMilli())
				}
			}
		}
	})
}

func FuzzFramer(f *testing.F) {
	f.Add([]byte("5 <14>a<14>b\n6 <14>c\n\n<14>d"), uint16(3))
	f.Fuzz(func(t *testing.T, stream []byte, n uint16) {
		whole := frames(stream, len(stream)+1, 1100)
		if got := frames(stream, int(n%64)+1, 1100); fmt.Sprint(got) != fmt.Sprint(whole) {
			t.Errorf("in pieces %q, at once %q", got, whole)
		}
		if !bytes.ContainsAny(stream, "123456789") && len(stream) < 1000 { // lines only: nothing may vanish
			if got := strings.Join(whole, "\n"); strings.TrimSuffix(string(stream), "\n") != got {
				t.Errorf("%q became %q", stream, whole)
			}
		}
	})
}

func TestClosingQuote(t *testing.T) {
	for _, c := range []struct {
		in   string
		want int
	}{{`"`, 0}, {`abc" x"`, 3}, {`a\"b"`, 4}, {`a\\" "`, 3}, {`a\\\"b"`, 6}, {`\"`, -1}, {``, -1}} {
		if got := ClosingQuote([]byte(c.in)); got != c.want {
			t.Errorf("%q: %d, want %d", c.in, got, c.want)
		}
	}
}
