package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestGoodFilesLoad(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.good.yml")
	if len(files) < 2 {
		t.Fatalf("%d good files, want at least 2", len(files))
	}
	for _, f := range files {
		if _, err := Load(f); err != nil {
			t.Errorf("%s: %v", f, err)
		}
	}
}

// A bad file's first line says what the message must contain.
func TestBadFilesAreRefusedWithTheKey(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.bad.yml")
	if len(files) < 7 {
		t.Fatalf("%d bad files, want at least 7", len(files))
	}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		first, _, _ := strings.Cut(string(raw), "\n")
		_, err = Load(f)
		if err == nil {
			t.Errorf("%s: accepted", f)
			continue
		}
		for want := range strings.SplitSeq(strings.TrimPrefix(first, "# "), " | ") {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: message %q lacks %q", f, err, want)
			}
		}
		if strings.Contains(err.Error(), "config.") {
			t.Errorf("%s: message names a Go type: %v", f, err)
		}
	}
}

func TestWhatIsShownLoadsAgain(t *testing.T) {
	want := Default()
	want.Listen.Metrics = ""
	shown, err := want.Show()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(shown)
	if err != nil {
		t.Fatalf("%v in\n%s", err, shown)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-shown +loaded)\n%s", d)
	}
}
