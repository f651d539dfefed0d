package telemetry

import (
	"context"
	"encoding/json"
	"net/http"
	"sort"
	"sync"
	"time"
)

// Check tells whether one component can do its work; nil means it can.
type Check func(ctx context.Context) error

// Health is a set of named checks.
type Health struct {
	mu     sync.Mutex // guards checks
	checks map[string]Check
}

// NewHealth returns an empty set.
func NewHealth() *Health { return &Health{checks: map[string]Check{}} }

// Add puts a check under a name; a second one of the same name replaces the first.
func (h *Health) Add(name string, c Check) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checks[name] = c
}

// Condition is what one check said.
type Condition struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	Why  string `json:"why,omitempty"`
}

// Conditions runs all checks, each with at most two seconds, and returns them by name.
// A check that does not answer in time is not OK.
func (h *Health) Conditions(ctx context.Context) []Condition {
	h.mu.Lock()
	checks := make(map[string]Check, len(h.checks))
	for n, c := range h.checks {
		checks[n] = c
	}
	h.mu.Unlock()
	out := make([]Condition, 0, len(checks))
	var mu sync.Mutex // guards out
	var wg sync.WaitGroup
	for name, check := range checks {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
			defer cancel()
			c := Condition{Name: name, OK: true}
			if err := check(ctx); err != nil {
				c.OK, c.Why = false, err.Error()
			}
			mu.Lock()
			defer mu.Unlock()
			out = append(out, c)
		})
	}
	wg.Wait()
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// Ready answers /readyz: 200 when every check is OK, else 503 with the reasons.
func (h *Health) Ready(w http.ResponseWriter, r *http.Request) {
	conditions := h.Conditions(r.Context())
	status := http.StatusOK
	for _, c := range conditions {
		if !c.OK {
			status = http.StatusServiceUnavailable
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"ready": status == http.StatusOK, "checks": conditions})
}

// Alive answers /healthz: the process runs and answers.
func Alive(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte("{\"alive\":true}\n"))
}
