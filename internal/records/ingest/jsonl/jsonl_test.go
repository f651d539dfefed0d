package jsonl

import (
	"encoding/json"
	"strings"
	"testing"

	"garrison/evidence"
	"garrison/internal/records/ingest/dialect/dialecttest"
)

const good = `{"start":"2026-11-24T10:00:03.000+08:00","end":"2026-11-24T10:00:33.500+08:00","proto":"tcp","inside_ip":"100.64.0.9","inside_port":51000,"outside_ip":"203.0.113.5","outside_port":40123,"line":"L-20881","device":"cgn1","dst_ip":"198.51.100.7","dst_port":443}`

func decode(line string) string {
	var r evidence.NAT
	if why := NewDecoder().Decode([]byte(line), &r); why != "" {
		return "refused " + why
	}
	return dialecttest.Words(&r) + " line=" + r.Line + " device=" + r.Device
}

func TestDecode(t *testing.T) {
	const words = "tcp 100.64.0.9:51000 via 203.0.113.5:40123 to 198.51.100.7:443 from 02:00:03.000"
	without := func(s string) string { return strings.Replace(good, s, "", 1) }
	with := func(from, to string) string { return strings.Replace(good, from, to, 1) }
	for _, c := range []struct{ name, line, want string }{
		{"whole session", good, "complete " + words + " until 02:00:33.500 line=L-20881 device=cgn1"},
		{"blanks", strings.NewReplacer(",", " ,\t", ":\"", " : \"").Replace(good) + " \r", "complete " + words + " until 02:00:33.500 line=L-20881 device=cgn1"},
		{"open", without(`"end":"2026-11-24T10:00:33.500+08:00",`), "built " + words + " line=L-20881 device=cgn1"},
		{"open, said by null", with(`"2026-11-24T10:00:33.500+08:00"`, `null`), "built " + words + " line=L-20881 device=cgn1"},
		{"escapes", with(`L-20881`, `线路\u0041\ud83d\ude00\/`), "complete " + words + " until 02:00:33.500 line=线路A😀/ device=cgn1"},
		{"block", `{"start":"2026-11-24T02:00:03Z","proto":"udp","inside_ip":"100.64.0.9","outside_ip":"203.0.113.5","outside_port":1024,"outside_port_last":1535}`,
			"given udp 100.64.0.9:0 via 203.0.113.5:1024-1535 from 02:00:03.000 line= device="},
		{"icmp", with(`"tcp"`, `"ICMP"`), "complete " + strings.Replace(words, "tcp", "icmp", 1) + " until 02:00:33.500 line=L-20881 device=cgn1"},
		{"empty", "", "refused empty_line"},
		{"unknown key", with(`"line"`, `"lime"`), `refused unknown_key: "lime"`},
		{"key twice", with(`"line":"L-20881"`, `"proto":"udp"`), `refused repeated_key: "proto"`},
		{"missing", without(`"proto":"tcp",`), "refused missing_column: proto"},
		{"missing inside port", without(`"inside_port":51000,`), "refused missing_column: inside_port"},
		{"nothing at all", "{}", "refused missing_column: start, proto, inside_ip, inside_port, outside_ip, outside_port"},
		{"null where a value must be", with(`"tcp"`, `null`), "refused bad_value: proto cannot be null"},
		{"number in quotes", with(`51000`, `"51000"`), "refused bad_value: inside_port is a number, without quotes"},
		{"string without quotes", with(`"tcp"`, `6`), "refused bad_value: proto is a string, in quotes"},
		{"fraction", with(`51000`, `51000.0`), `refused bad_port: inside_port "51000.0"`},
		{"negative", with(`51000`, `-1`), `refused bad_port: inside_port "-1"`},
		{"too large", with(`51000`, `70000`), `refused bad_port: inside_port "70000"`},
		{"leading zero", with(`51000`, `051000`), "refused bad_value: inside_port has a leading zero"},
		{"time without a zone", with(`10:00:03.000+08:00`, `10:00:03.000`), `refused bad_time: start "2026-11-24T10:00:03.000" (wanted: 2026-11-22T10:00:03.000+08:00)`},
		{"ends before it starts", with(`10:00:33.500`, `09:00:33.500`), "refused bad_time: end is before start"},
		{"address", with(`100.64.0.9`, `100.64.0.09`), `refused bad_address: inside_ip "100.64.0.09"`},
		{"prefix for an address", with(`100.64.0.9`, `100.64.0.9/32`), `refused bad_address: inside_ip "100.64.0.9/32"`},
		{"protocol", with(`"tcp"`, `"tpc"`), `refused bad_protocol: proto "tpc"`},
		{"reversed block", with(`"line":`, `"outside_port_last":1,"line":`), "refused bad_port: outside_port_last 1 is below outside_port 40123"},
		{"control character in a name", with(`cgn1`, `c\u0000gn1`), `refused bad_text: device "c\x00gn1"`},
		{"not UTF-8", with(`cgn1`, "c\xffgn1"), `refused bad_text: device "c\xffgn1"`},
		{"array", "[" + good + "]", "refused bad_json: a line is one object, beginning with {"},
		{"object in object", with(`"tcp"`, `{}`), "refused bad_value: proto must be a string, a number or null"},
		{"cut off", good[:70], "refused bad_json: the line ends where the end of the string should follow"},
		{"more behind", good + "x", "refused bad_json: more behind the object"},
		{"two objects", good + good, "refused bad_json: more behind the object"},
		{"comma at the end", with(`443}`, `443,}`), "refused bad_json: at byte 259, wanted a key in quotes"},
		{"half a pair", with(`cgn1`, `\ud83d`), "refused bad_json: at byte 219, wanted the end of the string"},
		{"not JSON", "start,end", "refused bad_json: a line is one object, beginning with {"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := decode(c.line); got != c.want {
				t.Errorf("%s\n got %s\nwant %s", c.line, got, c.want)
			}
		})
	}
}

// FuzzDecode: whatever is accepted is JSON to the standard library too, and says the
// same there.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte(`{"start":"2026-11-24T02:00:03Z","proto":"udp","inside_ip":"::1","outside_ip":"203.0.113.5","outside_port":1024,"outside_port_last":1535,"line":"\u0041"}`))
	d := NewDecoder()
	f.Fuzz(func(t *testing.T, b []byte) {
		var r evidence.NAT
		if d.Decode(b, &r) != "" {
			return
		}
		var o struct {
			Line        string `json:"line"`
			Device      string `json:"device"`
			OutsidePort uint16 `json:"outside_port"`
			OutsideIP   string `json:"outside_ip"`
			Start, End  any
			Proto       string
			InsideIP    string `json:"inside_ip"`
			InsidePort  uint16 `json:"inside_port"`
			OutsideLast uint16 `json:"outside_port_last"`
			DstIP       string `json:"dst_ip"`
			DstPort     uint16 `json:"dst_port"`
		}
		if err := json.Unmarshal(b, &o); err != nil {
			t.Fatalf("accepted %q, the standard library says %v", b, err)
		}
		if o.Line != r.Line || o.Device != r.Device || o.OutsidePort != r.OutsidePort || o.InsidePort != r.InsidePort || o.DstPort != r.DstPort {
			t.Errorf("%q became %+v, the standard library says %+v", b, r, o)
		}
		if err := r.Check(); err != nil {
			t.Error(err)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	d, line := NewDecoder(), []byte(good)
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	var r evidence.NAT
	for b.Loop() {
		r = evidence.NAT{}
		if why := d.Decode(line, &r); why != "" {
			b.Fatal(why)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "lines/s")
}
