package ingest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"garrison/internal/records/ingest/dialect"
	"garrison/internal/testkit/natlines"
)

// read says of each line what became of it.
func read(t *testing.T, text, format string, o FileOptions) []string {
	t.Helper()
	var out []string
	err := Read(t.Context(), strings.NewReader(text), format, o, func(it Item) error {
		s := fmt.Sprintf("%d ok", it.Line)
		if it.NAT == nil {
			s = fmt.Sprintf("%d %s", it.Line, it.Why)
		} else if it.NAT.Source != o.Source {
			t.Errorf("line %d: source %q", it.Line, it.NAT.Source)
		}
		out = append(out, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

const (
	jsonLine = `{"start":"2026-11-24T10:00:03.000+08:00","proto":"tcp","inside_ip":"100.64.0.9","inside_port":51000,"outside_ip":"203.0.113.5","outside_port":40123}`
	csvHead  = "start,proto,inside_ip,inside_port,outside_ip,outside_port"
	csvLine  = "2026-11-24T10:00:03.000+08:00,tcp,100.64.0.9,51000,203.0.113.5,40123"
)

func TestReadFormats(t *testing.T) {
	built := "Nov 24 10:00:03 fw1 " + builtText
	long := strings.Repeat("x", 3000)
	o := FileOptions{Source: "import", MaxLine: 2048, Reference: time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)}
	for _, c := range []struct{ name, format, text, want string }{
		{"jsonl", FormatJSONL, jsonLine + "\n" + jsonLine, "[1 ok 2 ok]"},
		{"jsonl, line ends of Windows", FormatJSONL, jsonLine + "\r\n" + jsonLine + "\r\n", "[1 ok 2 ok]"},
		{"jsonl, empty and long lines", FormatJSONL, jsonLine + "\n\n" + long + "\n" + jsonLine + "\n", "[1 ok 2 empty_line 3 too_long 4 ok]"},
		{"nothing", FormatJSONL, "", "[]"},
		{"csv", FormatCSV, csvHead + "\n" + csvLine + "\n" + csvLine, "[2 ok 3 ok]"},
		{"csv, header only", FormatCSV, csvHead, "[]"},
		{"syslog, with and without priority", FormatSyslog, "<166>" + built + "\n" + built + "\n", "[1 ok 2 ok]"},
		{"syslog without a time", FormatSyslog, "<166>" + builtText + "\n", "[1 no_time]"},
		{"syslog with a time that is none", FormatSyslog, "<166>Feb 30 10:00:03 fw1 " + builtText + "\n", "[1 bad_time]"},
		{"syslog, another matter", FormatSyslog, "Nov 24 10:00:03 h sshd: hello\n", "[1 not_a_translation]"},
		{"conntrack alone", FormatSyslog, "[1795485603.123417]\t    [NEW] tcp      6 120 SYN_SENT src=100.64.0.9 dst=198.51.100.7 sport=1 dport=443 [UNREPLIED] src=198.51.100.7 dst=203.0.113.5 sport=443 dport=2\n", "[1 ok]"},
		{"long at the end of the file", FormatSyslog, built + "\n" + strings.Repeat("y", 700_000), "[1 ok 2 too_long]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := fmt.Sprint(read(t, c.text, c.format, o)); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestReadRefusesTheWhole(t *testing.T) {
	for _, c := range []struct{ format, text, zone, want string }{
		{"xml", "", "", `format "xml" is none of`},
		{FormatCSV, "a;b\n", "", "separated by commas"},
		{FormatSyslog, "", "Mars/Olympus", `time zone "Mars/Olympus" is not known`},
	} {
		err := Read(t.Context(), strings.NewReader(c.text), c.format, FileOptions{Zone: c.zone}, func(Item) error { return nil })
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.format, err, c.want)
		}
	}
	stop := errors.New("enough")
	n := 0
	err := Read(t.Context(), strings.NewReader(jsonLine+"\n"+jsonLine), FormatJSONL, FileOptions{}, func(Item) error { n++; return stop })
	if !errors.Is(err, stop) || n != 1 {
		t.Errorf("%d lines, err %v", n, err)
	}
}

// TestReadOldFile: a file of last year is read as of its reference, and no record of a
// file is marked for its clock.
func TestReadOldFile(t *testing.T) {
	g := natlines.New(natlines.Options{Seed: 5, Start: time.Date(2025, 12, 31, 15, 59, 50, 0, time.UTC), Step: 10 * time.Millisecond, Noise: 9})
	lines := g.Fill(3000)
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(l.Text + "\n")
	}
	i := 0
	o := FileOptions{Reference: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)}
	err := Read(t.Context(), strings.NewReader(b.String()), FormatSyslog, o, func(it Item) error {
		want := lines[i]
		i++
		switch {
		case want.Refused && it.Why != dialect.NotTranslation, !want.Refused && it.NAT == nil:
			return fmt.Errorf("line %d: %q\n%s", it.Line, it.Why, it.Text)
		case !want.Refused && (it.NAT.Start != want.Want.Start || it.NAT.End != want.Want.End || it.NAT.Flags != want.Want.Flags):
			return fmt.Errorf("line %d: %+v\nwant %+v\n%s", it.Line, it.NAT, want.Want, it.Text)
		}
		return nil
	})
	if err != nil || i != len(lines) {
		t.Errorf("%d of %d lines: %v", i, len(lines), err)
	}
}
