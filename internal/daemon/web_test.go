package daemon

import (
	"testing"

	"garrison/evidence"
	"garrison/internal/config"
	"garrison/internal/records"
)

// What Decree 82, art. 13 demands stands in three packages that cannot import one
// another: what is refused, what is kept and what a bundle claims must be one figure.
func TestTheFloorIsOneFigure(t *testing.T) {
	for name, days := range map[string]int{"config": config.FloorDays, "records": records.FloorDays} {
		if days != evidence.FloorDays {
			t.Errorf("%s has %d days, evidence %d", name, days, evidence.FloorDays)
		}
	}
}

func TestPublicHost(t *testing.T) {
	for listen, want := range map[string]string{
		"": "localhost", "localhost": "localhost", "127.0.0.1": "localhost", "::1": "localhost", "0.0.0.0": "localhost", "::": "localhost",
		"::ffff:127.0.0.1": "localhost", "192.0.2.7": "192.0.2.7", "2001:db8::7": "2001:db8::7", "console.example.net": "console.example.net",
	} {
		if got := publicHost(listen); got != want {
			t.Errorf("publicHost(%q) = %q, want %q", listen, got, want)
		}
	}
}
