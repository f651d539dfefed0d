package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"garrison"
	"garrison/internal/config"
)

func configIn(t *testing.T) config.Config {
	t.Helper()
	cfg := config.Default()
	cfg.Data = filepath.Join(t.TempDir(), "data")
	if err := makeData(cfg.Data); err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestKeysAreFoundWithoutSayingWhereAgain(t *testing.T) {
	cfg := configIn(t)
	cfg.Keys = filepath.Join(t.TempDir(), "keys")
	if err := os.MkdirAll(filepath.Join(cfg.Keys, "ledger"), 0o700); err != nil {
		t.Fatal(err)
	}
	first, err := ensureInstall(cfg, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	want := first.Keys
	cfg.Keys = ""
	again, err := ensureInstall(cfg, time.Now())
	if err != nil || again.Keys != want || again.Origin != first.Origin {
		t.Errorf("second start: keys %q, origin %q, %v; want %q, %q", again.Keys, again.Origin, err, want, first.Origin)
	}
}

func TestOtherKeysAreRefusedAndNothingIsForgotten(t *testing.T) {
	cfg := configIn(t)
	first, err := ensureInstall(cfg, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	other := cfg
	other.Keys = filepath.Join(t.TempDir(), "elsewhere")
	if _, err := ensureInstall(other, time.Now()); garrison.CodeOf(err) != garrison.Conflict || !strings.Contains(err.Error(), "move them there first") {
		t.Errorf("a key directory without keys: %v", err)
	}
	if in, err := readInstall(cfg.Data); err != nil || in.Keys != first.Keys {
		t.Errorf("after the refusal the keys are said to be in %q (%v), want %q", in.Keys, err, first.Keys)
	}
}

func TestACopyFindsItsOwnKeys(t *testing.T) {
	cfg := configIn(t)
	if _, err := ensureInstall(cfg, time.Now()); err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(copied, os.DirFS(cfg.Data)); err != nil {
		t.Fatal(err)
	}
	in, err := readInstall(copied)
	if err != nil || in.Keys != filepath.Join(copied, "keys") {
		t.Errorf("keys of the copy: %q, %v", in.Keys, err)
	}
}

func TestSecondInstanceIsRefusedWithTheFirstOnesNumber(t *testing.T) {
	cfg := configIn(t)
	l, err := lockDir(cfg.Data)
	if err != nil {
		t.Fatal(err)
	}
	defer l.release()
	if _, err := lockDir(cfg.Data); garrison.CodeOf(err) != garrison.Conflict || !strings.Contains(err.Error(), "--data") {
		t.Errorf("second lock: %v", err)
	}
}
