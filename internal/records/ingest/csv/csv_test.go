package csv

import (
	"strings"
	"testing"

	"golang.org/x/text/encoding/simplifiedchinese"

	"garrison/evidence"
	"garrison/internal/records/ingest/dialect/dialecttest"
)

const (
	head = "start,end,proto,inside_ip,inside_port,outside_ip,outside_port,outside_port_last,line,device,dst_ip,dst_port"
	row  = "2026-11-24T10:00:03.000+08:00,2026-11-24T10:00:33+08:00,tcp,100.64.0.9,51000,203.0.113.5,40123,,L-1,cgn1,198.51.100.7,443"
)

func gb(t *testing.T, s string) string {
	t.Helper()
	out, err := simplifiedchinese.GB18030.NewEncoder().String(s)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestDecode(t *testing.T) {
	const words = "complete tcp 100.64.0.9:51000 via 203.0.113.5:40123 to 198.51.100.7:443 from 02:00:03.000 until 02:00:33.000"
	with := func(from, to string) string { return strings.Replace(row, from, to, 1) }
	for _, c := range []struct{ name, head, row, want string }{
		{"plain", head, row, words + " L-1 cgn1"},
		{"byte-order mark and capitals", "\xef\xbb\xbf" + strings.ToUpper(head), row, words + " L-1 cgn1"},
		{"quotes", head, with("L-1", `"L,""1"""`), words + ` L,"1" cgn1`},
		{"all in quotes", `"` + strings.ReplaceAll(head, ",", `","`) + `"`, `"` + strings.ReplaceAll(row, ",", `","`) + `"`, words + " L-1 cgn1"},
		{"GB18030", head, gb(t, with("L-1", "城东机房")), words + " 城东机房 cgn1"},
		{"UTF-8", head, with("L-1", "城东机房"), words + " 城东机房 cgn1"},
		{"other order", "proto,outside_port,outside_ip,inside_port,inside_ip,start", "udp,40123,203.0.113.5,5,100.64.0.9,2026-11-24T02:00:03Z",
			"built udp 100.64.0.9:5 via 203.0.113.5:40123 from 02:00:03.000  "},
		{"block", head, "2026-11-24T02:00:03Z,,udp,100.64.0.9,,203.0.113.5,1024,1535,,,,", "given udp 100.64.0.9:0 via 203.0.113.5:1024-1535 from 02:00:03.000  "},
		{"empty", head, "  ", "refused empty_line"},
		{"too few", head, "a,b", "refused bad_row: 2 fields under 12 columns"},
		{"too many", head, row + ",x", "refused bad_row: 13 fields under 12 columns"},
		{"open quote", head, with("L-1", `"L-1`), "refused bad_row: a quote is not closed or not followed by a comma"},
		{"text behind a quote", head, with("L-1", `"L"-1`), "refused bad_row: a quote is not closed or not followed by a comma"},
		{"neither encoding", head, with("L-1", "\xff\xff"), "refused bad_text: neither UTF-8 nor GB18030"},
		{"time of a spreadsheet", head, with("2026-11-24T10:00:03.000+08:00", "2026/11/24 10:00"), `refused bad_time: start "2026/11/24 10:00" (wanted: 2026-11-22T10:00:03.000+08:00)`},
		{"missing", head, with("tcp", ""), "refused missing_column: proto"},
		{"formula", head, with("100.64.0.9", "=1+1"), `refused bad_address: inside_ip "=1+1"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := NewDecoder([]byte(c.head))
			if err != nil {
				t.Fatal(err)
			}
			var r evidence.NAT
			got := ""
			if why := d.Decode([]byte(c.row), &r); why != "" {
				got = "refused " + why
			} else {
				got = dialecttest.Words(&r) + " " + r.Line + " " + r.Device
			}
			if got != c.want {
				t.Errorf("%q\n got %s\nwant %s", c.row, got, c.want)
			}
		})
	}
}

func TestHeaderRow(t *testing.T) {
	for _, c := range []struct{ name, head, want string }{
		{"unknown", "start,proto,inside_ip,outside_ip,outside_port,colour", `column "colour" is not known`},
		{"twice", head + ",proto", `column "proto" stands twice`},
		{"missing", "start,proto", "are required"},
		{"semicolons", strings.ReplaceAll(head, ",", ";"), "separated by commas"},
		{"tabulators", strings.ReplaceAll(head, ",", "\t"), "separated by commas"},
		{"UTF-16", "\xff\xfes\x00", "UTF-16"},
		{"empty file", "", "is not known"},
	} {
		if _, err := NewDecoder([]byte(c.head)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(row))
	f.Add([]byte(`"a""b",c`))
	d, err := NewDecoder([]byte(head))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var r evidence.NAT
		if d.Decode(b, &r) == "" {
			if err := r.Check(); err != nil || !r.OutsideIP.IsValid() {
				t.Errorf("%q became %+v: %v", b, r, err)
			}
		}
		if h, err := NewDecoder(b); err == nil && len(h.cols) == 0 {
			t.Errorf("header %q has no columns", b)
		}
	})
}
