package statetest

import (
	"context"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"garrison"
	"garrison/evidence"
	"garrison/internal/state"
)

func testRecord(t *testing.T, db *state.DB) {
	s := things(t, db)
	ctx := t.Context()
	before := time.Now().Add(-time.Second)
	for _, x := range []Thing{{ID: "1", Name: "a"}, {ID: "1", Name: "b"}, {ID: "2", Name: "other"}} {
		if err := s.Save(ctx, x); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Remove(ctx, "1"); err != nil {
		t.Fatal(err)
	}
	all, err := db.History(ctx, "thing", "1")
	if err != nil {
		t.Fatal(err)
	}
	want := []state.Version{
		{Kind: "thing", ID: "1", N: 1, By: boss(), What: "saved", Doc: []byte(`{"count":0,"done":false,"id":"1","name":"a"}`)},
		{Kind: "thing", ID: "1", N: 2, By: boss(), What: "saved", Doc: []byte(`{"count":0,"done":false,"id":"1","name":"b"}`)},
		{Kind: "thing", ID: "1", N: 3, By: boss(), What: "removed"},
	}
	if d := cmp.Diff(all, want, cmpopts.IgnoreFields(state.Version{}, "At")); d != "" {
		t.Fatalf("(-got +want)\n%s", d)
	}
	for i, v := range all {
		if v.At.Location() != time.UTC || v.At.Before(before) || i > 0 && v.At.Before(all[i-1].At) {
			t.Errorf("version %d is of %v", v.N, v.At)
		}
	}
	for i, v := range all {
		got, err := db.AsOf(ctx, "thing", "1", v.At)
		if err != nil {
			t.Fatal(err)
		}
		// Versions of one microsecond: the later one is what was true after it.
		if got.N < v.N || got.At != v.At {
			t.Errorf("as of version %d: %+v", i+1, got)
		}
	}
	_, err = db.AsOf(ctx, "thing", "1", before)
	mustCode(t, err, garrison.NotFound)
	if none, err := db.History(ctx, "thing", "never"); err != nil || len(none) != 0 {
		t.Errorf("history of nothing: %v, %v", none, err)
	}
}

func testRecordRefusals(t *testing.T, db *state.DB) {
	good := state.Change{Kind: "thing", ID: "1", Doc: 1, By: boss(), What: "saved"}
	for _, c := range []struct {
		name string
		edit func(c *state.Change)
		code garrison.Code
	}{
		{"kind with capitals", func(c *state.Change) { c.Kind = "Thing" }, garrison.Invalid},
		{"no id", func(c *state.Change) { c.ID = "" }, garrison.Invalid},
		{"id with a line break", func(c *state.Change) { c.ID = "a\nb" }, garrison.Invalid},
		{"id that is no text", func(c *state.Change) { c.ID = "a\xff" }, garrison.Invalid},
		{"id too long", func(c *state.Change) { c.ID = strings.Repeat("x", 300) }, garrison.Invalid},
		{"nobody", func(c *state.Change) { c.By = garrison.Actor{} }, garrison.Invalid},
		{"no reason", func(c *state.Change) { c.What = "" }, garrison.Invalid},
		{"name with an escape sequence", func(c *state.Change) { c.By.Name = "\x1b[2J" }, garrison.Invalid},
		{"document too large", func(c *state.Change) { c.Doc = strings.Repeat("x", 2<<20) }, garrison.TooLarge},
	} {
		change := good
		c.edit(&change)
		err := db.Write(t.Context(), func(tx *state.Tx) error {
			_, err := tx.Record(t.Context(), change)
			return err
		})
		if got := garrison.CodeOf(err); got != c.code {
			t.Errorf("%s: %v has code %q, want %q", c.name, err, got, c.code)
		}
	}
	for name, e := range map[string]evidence.Entry{
		"a state entry by hand": evidence.NewEntry("state", "kind", "thing"),
		"a type of two words":   evidence.NewEntry("two words"),
		"an endless entry":      evidence.NewEntry("run", "x", strings.Repeat("x", 1<<17)),
	} {
		err := db.Write(t.Context(), func(tx *state.Tx) error {
			_, err := tx.Entry(t.Context(), e)
			return err
		})
		if garrison.CodeOf(err) != garrison.Invalid {
			t.Errorf("%s: %v, want invalid", name, err)
		}
	}
	if n := count(t, db, `SELECT count(*) FROM outbox`); n != 0 {
		t.Errorf("refused changes left %d entries", n)
	}
}

func testCanonical(t *testing.T, db *state.DB) {
	for id, c := range map[string]struct {
		doc  any
		want string
	}{
		"sorted":  {map[string]any{"b": 1, "a": map[string]any{"z": nil, "y": []int{2, 1}}}, `{"a":{"y":[2,1],"z":null},"b":1}`},
		"struct":  {struct{ Z, A int64 }{1, 1 << 62}, `{"A":4611686018427387904,"Z":1}`},
		"html":    {"<a href=\"x\">&", `"<a href=\"x\">&"`},
		"nul":     {"a\x00b", `"a\u0000b"`},
		"chinese": {"门户", `"门户"`},
	} {
		err := db.Write(t.Context(), func(tx *state.Tx) error {
			_, err := tx.Record(t.Context(), state.Change{Kind: "doc", ID: id, Doc: c.doc, By: boss(), What: "saved"})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		v, err := db.History(t.Context(), "doc", id)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(v[0].Doc); got != c.want {
			t.Errorf("%s: %s, want %s", id, got, c.want)
		}
	}
}

func testDrain(t *testing.T, db *state.DB) {
	s, l := things(t, db), &Ledger{}
	ctx := t.Context()
	for _, id := range []string{"1", "2", "3"} {
		if err := s.Save(ctx, Thing{ID: id, Name: "secret name " + id}); err != nil {
			t.Fatal(err)
		}
	}
	var digest string
	err := db.Write(ctx, func(tx *state.Tx) (err error) {
		digest, err = tx.Entry(ctx, evidence.NewEntry("run", "id", "run-1"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if ref, err := db.Ref(ctx, digest); err != nil || !ref.Zero() {
		t.Errorf("before sealing the reference is %+v, %v; want zero", ref, err)
	}
	if n, oldest, err := db.Pending(ctx); err != nil || n != 4 || time.Since(oldest) > time.Hour {
		t.Errorf("%d entries wait since %v, %v; want 4", n, oldest, err)
	}
	if n, err := db.Drain(ctx, l); err != nil || n != 4 {
		t.Errorf("drained %d, %v; want 4", n, err)
	}
	if n, err := db.Drain(ctx, l); err != nil || n != 0 || len(l.Entries()) != 4 {
		t.Errorf("drained %d more, %v; the ledger holds %d entries, want 4", n, err, len(l.Entries()))
	}
	if n, _, err := db.Pending(ctx); err != nil || n != 0 {
		t.Errorf("%d entries wait, %v; want none", n, err)
	}
	for i, want := range []string{"id 1\n", "id 2\n", "id 3\n", "id run-1\n"} {
		got := string(l.Entries()[i])
		if !strings.Contains(got, want) {
			t.Errorf("entry %d is\n%s\nwant %q in it", i, got, want)
		}
		if strings.Contains(got, "secret") || strings.Contains(got, "王") || strings.Contains(got, "%E7") {
			t.Errorf("entry %d holds what should stay in the database:\n%s", i, got)
		}
	}
	v, err := db.History(ctx, "thing", "2")
	if err != nil {
		t.Fatal(err)
	}
	sum := evidence.EntryHash(l.Entries()[1])
	want := garrison.EvidenceRef{Log: "test.invalid/log", Index: 1, Digest: hex.EncodeToString(sum[:])}
	if v[0].Evidence != want {
		t.Errorf("evidence %+v, want %+v", v[0].Evidence, want)
	}
	if ref, err := db.Ref(ctx, digest); err != nil || ref.Index != 3 || ref.Digest != digest {
		t.Errorf("reference of the run: %+v, %v", ref, err)
	}
}

// until polls for a condition that another goroutine brings about.
func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func testRelay(t *testing.T, db *state.DB) {
	s, l := things(t, db), &Ledger{}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- db.Relay(ctx, l) }()
	if err := s.Save(ctx, Thing{ID: "1", Name: "1"}); err != nil {
		t.Fatal(err)
	}
	until(t, "the first entry", func() bool { return len(l.Entries()) == 1 })
	l.Inject(Fails)
	if err := s.Save(ctx, Thing{ID: "2", Name: "2"}); err != nil {
		t.Fatal(err)
	}
	until(t, "the second entry, after a failure", func() bool { return len(l.Entries()) == 2 })
	stop()
	if err := <-done; err != nil {
		t.Errorf("Relay ended with %v", err)
	}
}

func testCrash(t *testing.T, db *state.DB) {
	s, l := things(t, db), &Ledger{}
	for _, id := range []string{"1", "2"} {
		if err := s.Save(t.Context(), Thing{ID: id, Name: id}); err != nil {
			t.Fatal(err)
		}
	}
	l.Inject(FailsLate)
	if _, err := db.Drain(t.Context(), l); err == nil {
		t.Fatal("the ledger's failure was swallowed")
	}
	if d := audit(t, db, l); len(d) != 0 {
		t.Errorf("appended, not marked: the audit names %+v", d)
	}
	drain(t, db, l)
	if n := len(l.Entries()); n != 4 {
		t.Fatalf("the ledger holds %d entries, want each of 2 twice", n)
	}
	if string(l.Entries()[0]) != string(l.Entries()[2]) {
		t.Error("the second copy of an entry is not the same")
	}
	if d := audit(t, db, l); len(d) != 0 {
		t.Errorf("the same entry twice: the audit names %+v", d)
	}
}

func testConfused(t *testing.T, db *state.DB) {
	s, l := things(t, db), &Ledger{}
	for _, id := range []string{"1", "2"} {
		if err := s.Save(t.Context(), Thing{ID: id, Name: id}); err != nil {
			t.Fatal(err)
		}
	}
	l.Inject(Confuses)
	_, err := db.Drain(t.Context(), l)
	mustCode(t, err, garrison.Damaged)
	if n, _, err := db.Pending(t.Context()); err != nil || n != 2 {
		t.Errorf("%d entries wait, %v; want both", n, err)
	}
}

func testDamagedOutbox(t *testing.T, db *state.DB) {
	s, l := things(t, db), &Ledger{}
	for _, id := range []string{"1", "2", "3"} {
		if err := s.Save(t.Context(), Thing{ID: id, Name: id}); err != nil {
			t.Fatal(err)
		}
	}
	run(t, db, `UPDATE outbox SET body = replace(body, 'saved', 'taken') WHERE seq = 2`)
	_, err := db.Drain(t.Context(), l)
	mustCode(t, err, garrison.Damaged)
	if n := len(l.Entries()); n != 2 {
		t.Errorf("%d entries reached the ledger, want the 2 good ones", n)
	}
	if d := audit(t, db, l); len(d) == 0 {
		t.Error("the audit does not name the damaged entry")
	}
}
