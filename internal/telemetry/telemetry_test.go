package telemetry

import (
	"bytes"
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestLogMasksSecretsAndKeepsOneEventOneLine(t *testing.T) {
	var buf bytes.Buffer
	log := NewLogger(&buf, "info", true)
	log.Info("signed in", "api_token", "grt_canary", "Password", "canary", "line", "a\nfake event")
	if got := buf.String(); strings.Contains(got, "canary") || strings.Count(got, "\n") != 1 || strings.Contains(got, `\n`) {
		t.Errorf("log line leaks or breaks: %q", got)
	}
}

func TestReadyFailsWithTheReason(t *testing.T) {
	h := NewHealth()
	h.Add("records", func(context.Context) error { return nil })
	h.Add("ledger", func(context.Context) error { return errors.New("disk full") })
	w := httptest.NewRecorder()
	h.Ready(w, httptest.NewRequest("GET", "/readyz", nil))
	if w.Code != 503 || !strings.Contains(w.Body.String(), "disk full") {
		t.Errorf("answer = %d %s", w.Code, w.Body)
	}
	h.Add("ledger", func(context.Context) error { return nil })
	w = httptest.NewRecorder()
	h.Ready(w, httptest.NewRequest("GET", "/readyz", nil))
	if w.Code != 200 {
		t.Errorf("answer after repair = %d %s", w.Code, w.Body)
	}
}

func TestMetricsCarryHandedInFigures(t *testing.T) {
	m := NewMetrics()
	if err := m.Add(func() []Sample {
		return []Sample{{Name: "garrison_records_stored_total", Help: "h", Total: true, Labels: map[string]string{"source": "CGN-01"}, Value: 42}}
	}); err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if !strings.Contains(w.Body.String(), `garrison_records_stored_total{source="CGN-01"} 42`) {
		t.Errorf("missing figure in\n%s", w.Body)
	}
}
