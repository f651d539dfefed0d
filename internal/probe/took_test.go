package probe

import (
	"context"
	"testing"
	"time"
)

// An exchange says how long it took, also one that is refused at once.
func TestExchangeTellsItsDuration(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	p := New(DefaultConfig(), Deps{Now: func() time.Time { at = at.Add(time.Second); return at }})
	if ex := p.Fetch(context.Background(), Request{Method: "POST", URL: "https://www.example.net/"}); ex.Took != time.Second {
		t.Errorf("took %s, want 1s by the clock of the test", ex.Took)
	}
}
