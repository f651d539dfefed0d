package columns

import (
	"testing"

	"garrison/evidence"
)

func TestEmptyOptionalValuesAreNotGiven(t *testing.T) {
	var texts Texts
	r := evidence.NAT{Start: 5}
	for _, column := range []int{End, DstIP} {
		if why := texts.Set(column, nil, &r); why != "" {
			t.Errorf("column %d empty is refused: %s", column, why)
		}
	}
	if why := Finish(Required|InsidePort|End|DstIP, &r); why != "" || r.Event != evidence.NATBuilt || r.DstIP.IsValid() {
		t.Errorf("why %q, event %d, destination %s; want an open mapping without destination", why, r.Event, r.DstIP)
	}
	if why := texts.Set(OutsideIP, nil, &r); why == "" {
		t.Error("an empty public address is accepted")
	}
}
