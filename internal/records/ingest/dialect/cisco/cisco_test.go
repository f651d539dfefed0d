package cisco

import (
	"testing"
	"time"

	"garrison/evidence"
	"garrison/internal/records/ingest/dialect"
	"garrison/internal/records/ingest/dialect/dialecttest"
	"garrison/internal/records/ingest/syslog"
)

func TestSamples(t *testing.T) {
	dialecttest.Run(t, NewDecoder(), "testdata/samples.txt", 38)
}

// TestCutAnywhere cuts every sample short at every byte: no panic, and no record that
// names no public address.
func TestCutAnywhere(t *testing.T) {
	p := syslog.NewParser(time.UTC)
	for _, s := range dialecttest.Lines(t, "testdata/samples.txt") {
		d := NewDecoder()
		for i := range len(s) {
			var l dialect.Line
			var r evidence.NAT
			p.Parse([]byte(s[:i]), dialecttest.Received(), &l.Message)
			if d.Decode(&l, &r) == "" && (!r.OutsideIP.IsValid() || !r.InsideIP.IsValid()) {
				t.Errorf("%q became %+v", s[:i], r)
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range dialecttest.Lines(f, "testdata/samples.txt") {
		f.Add([]byte(s))
	}
	d, p := NewDecoder(), syslog.NewParser(time.UTC)
	f.Fuzz(func(t *testing.T, b []byte) {
		var l dialect.Line
		var r evidence.NAT
		p.Parse(b, dialecttest.Received(), &l.Message)
		if d.Decode(&l, &r) == "" && (!r.OutsideIP.IsValid() || r.OutsidePortLast < r.OutsidePort) {
			t.Errorf("became %+v", r)
		}
	})
}
