package transcript

import (
	"os"
	"path/filepath"
	"testing"

	"garrison"
)

func TestKeepOpenAndVerify(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "evidence")
	s, ctx := New(Config{Dir: dir}), t.Context()
	var digests []string
	for _, text := range []string{"one", "two", "three", "one"} {
		d, err := s.Keep(ctx, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, d)
	}
	if digests[0] != digests[3] {
		t.Errorf("the same content has two digests: %s, %s", digests[0], digests[3])
	}
	b, err := s.Open(ctx, digests[1])
	if err != nil || string(b) != "two" {
		t.Fatalf("Open = %q, %v", b, err)
	}
	if _, err := s.Open(ctx, "../../etc/passwd"); garrison.CodeOf(err) != garrison.Invalid {
		t.Errorf("Open of a path: %v, want code invalid", err)
	}
	// two altered by one bit, three removed, one nobody refers to
	if err := os.WriteFile(s.path(digests[1]), []byte("twp"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(s.path(digests[2])); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(ctx, digests[1]); garrison.CodeOf(err) != garrison.Damaged {
		t.Errorf("Open of an altered transcript: %v, want code damaged", err)
	}
	got := map[string]string{}
	known := func(yield func(string) error) error {
		for _, d := range digests[1:3] {
			if err := yield(d); err != nil {
				return err
			}
		}
		return nil
	}
	if err := VerifyDir(ctx, dir, known, func(d Damage) { got[d.Digest] += d.What }); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{digests[1]: "altered", digests[2]: "missing", digests[0]: "stray"}
	for d, w := range want {
		if got[d] != w {
			t.Errorf("damage of %s = %q, want %q", d, got[d], w)
		}
	}
	if len(got) != len(want) {
		t.Errorf("damage = %v, want %v", got, want)
	}
}
