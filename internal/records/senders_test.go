package records

import (
	"fmt"
	"testing"

	"garrison"
)

func TestSendersBeyondTheLimitShareOneName(t *testing.T) {
	var s senders
	s.know([]garrison.SourceStatus{{ID: "syslog:192.0.2.1"}})
	for i := range maxSources - 1 {
		id := fmt.Sprintf("syslog:%d", i)
		if got := s.admit(SourceRef{ID: id}); got.ID != id {
			t.Fatalf("sender %d of %d is put down to %q", i+2, maxSources, got.ID)
		}
	}
	if got := s.admit(SourceRef{ID: "one too many", Kind: "https"}); got.ID != otherSource || got.Kind != "https" {
		t.Errorf("one too many is put down to %+v, want %q", got, otherSource)
	}
	if got := s.admit(SourceRef{ID: "syslog:192.0.2.1"}); got.ID != "syslog:192.0.2.1" {
		t.Errorf("a known sender is put down to %q", got.ID)
	}
}
