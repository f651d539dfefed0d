package garrison

import "testing"

func TestZeroValuesNeverLookLikeSuccess(t *testing.T) {
	if got := Outcome(0); got != Unknown || got.String() != "unknown" {
		t.Errorf("zero outcome = %v (%s), want unknown", got, got)
	}
	if got := Standing(0); got != Unproven || got.String() != "unproven" {
		t.Errorf("zero standing = %v (%s), want unproven", got, got)
	}
	if !(EvidenceRef{}).Zero() {
		t.Error("zero evidence reference claims to point at something")
	}
}

func TestCodeOfFindsWrappedCodeAndNothingElse(t *testing.T) {
	err := Refuse(Conflict, "error.registry.name_taken", "name", "CGN-01")
	if got := CodeOf(wrap(err)); got != Conflict {
		t.Errorf("CodeOf(wrapped) = %q, want %q", got, Conflict)
	}
	if got := CodeOf(errPlain); got != "" {
		t.Errorf("CodeOf(plain) = %q, want none: it must count as internal", got)
	}
	if got := err.Args["name"]; got != "CGN-01" {
		t.Errorf("argument name = %v", got)
	}
}

func TestNewIDIsFresh(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := NewID("case")
		if seen[id] || len(id) != len("case-")+26 {
			t.Fatalf("identifier %q repeated or of the wrong length", id)
		}
		seen[id] = true
	}
}

var errPlain = &plainError{}

type plainError struct{}

func (*plainError) Error() string { return "plain" }

func wrap(err error) error { return &wrapped{err} }

type wrapped struct{ error }

func (w *wrapped) Unwrap() error { return w.error }
