package natlines

import (
	"net/netip"
	"testing"
	"time"
)

func TestSameSeedSameLines(t *testing.T) {
	a, b := New(Options{Seed: 4, Noise: 7}).Fill(5000), New(Options{Seed: 4, Noise: 7}).Fill(5000)
	other := New(Options{Seed: 5, Noise: 7}).Fill(5000)
	differ := 0
	for i := range a {
		if a[i] != b[i] {
			t.Fatalf("line %d: %q, then %q", i, a[i].Text, b[i].Text)
		}
		if a[i].Text != other[i].Text {
			differ++
		}
	}
	if differ < 4000 {
		t.Errorf("another seed changes only %d lines of 5000", differ)
	}
}

func TestLinesKeepToTheirOptions(t *testing.T) {
	o := Options{Seed: 1, Start: time.Date(2026, 12, 31, 15, 59, 59, 0, time.UTC), Dialects: []string{Cisco},
		Inside: netip.MustParsePrefix("10.20.0.0/24"), Outside: netip.MustParsePrefix("192.0.2.8/32"), Step: time.Second}
	opened, closed := 0, 0
	for i, l := range New(o).Fill(2000) {
		if l.Dialect != Cisco || l.Refused || !o.Inside.Contains(l.Want.InsideIP) || l.Want.OutsideIP != o.Outside.Addr() {
			t.Fatalf("line %d: %+v", i, l)
		}
		if at := o.Start.Add(time.Duration(i) * o.Step).UnixMilli(); l.Want.Start > at || l.Want.End > at {
			t.Fatalf("line %d tells of the future: %+v", i, l.Want)
		}
		if l.Want.End == 0 {
			opened++
		} else {
			closed++
		}
	}
	if opened < 900 || closed < 700 {
		t.Errorf("%d opened, %d closed", opened, closed)
	}
}
