package site

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
)

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestThePortalCanBeRepairedFromOutside(t *testing.T) {
	s := New(DefaultConfig())
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if code, body := get(t, s.URL()); code != 200 || !strings.Contains(body, TownName) || !strings.Contains(body, s.DeadURL()) || !strings.Contains(body, s.Foreign(2, Moved)) {
		t.Errorf("front page: %d\n%s", code, body)
	}
	if code, _ := get(t, s.DeadURL()); code != 404 {
		t.Errorf("the dead link answers %d", code)
	}
	resp, err := http.Post(s.At("/-/repair"), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if code, _ := get(t, s.DeadURL()); code != 200 {
		t.Errorf("the repaired link answers %d", code)
	}
	if _, body := get(t, s.URL()); strings.Contains(body, s.Foreign(2, Moved)) {
		t.Error("the moved link still stands on the page")
	}
	s.Break()
	if code, _ := get(t, s.DeadURL()); code != 404 {
		t.Errorf("the broken link answers %d", code)
	}
	if len(s.Hits()) == 0 {
		t.Error("no request was counted")
	}
	if err := s.Stop(context.Background()); err != nil {
		t.Error(err)
	}
	if _, err := http.Get(s.URL()); err == nil {
		t.Error("it still answers after Stop")
	}
}
