package statetest

import (
	"context"
	"errors"
	"testing"

	"garrison"
	"garrison/internal/state"
)

// Run is the conformance suite.
func Run(t *testing.T, open Open) {
	for _, c := range []struct {
		name string
		fn   func(t *testing.T, db *state.DB)
	}{
		{"values come back as they went in", testValues},
		{"upsert, partial unique index", testUnique},
		{"error, panic and cancellation undo everything", testRollback},
		{"read sees one moment", testSnapshot},
		{"writers queue, nobody is turned away", testConcurrency},
		{"migrations: again, other owners, newer than the program", testMigrate},
		{"record: numbers, history, as of, removal", testRecord},
		{"record: refusals", testRecordRefusals},
		{"record: canonical documents", testCanonical},
		{"outbox: order, references, drained once", testDrain},
		{"relay: wakes at once, survives faults", testRelay},
		{"relay: crash between appending and marking", testCrash},
		{"relay: a damaged entry is not signed", testDamagedOutbox},
		{"relay: a ledger that answers for other entries", testConfused},
		{"audit: clean, also while writing", testAuditClean},
		{"audit: names what was tampered with", testTamper},
		{"audit: checks and kinds nobody reads back", testAuditOwners},
		{"audit: two rows for one object", testAuditTwice},
		{"audit: what is not in the ledger", testAuditUnsealed},
		{"audit: not finished is not damage", testAuditHindered},
	} {
		t.Run(c.name, func(t *testing.T) { c.fn(t, open(t)) })
	}
}

// boss is who does things in these tests.
func boss() garrison.Actor {
	return garrison.Actor{Kind: garrison.ByPerson, ID: "acc-1", Name: "王芳"}
}

func run(t *testing.T, db *state.DB, query string, args ...any) {
	t.Helper()
	err := db.Write(t.Context(), func(tx *state.Tx) error {
		_, err := tx.Exec(t.Context(), query, args...)
		return err
	})
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func count(t *testing.T, db *state.DB, query string, args ...any) (n int) {
	t.Helper()
	err := db.Read(t.Context(), func(q state.Querier) error {
		return q.QueryRow(t.Context(), query, args...).Scan(&n)
	})
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// audit returns what the audit names.
func audit(t *testing.T, db *state.DB, l state.EntryScan) []state.Damage {
	t.Helper()
	var all []state.Damage
	if err := db.Audit(t.Context(), l, func(d state.Damage) { all = append(all, d) }); err != nil {
		t.Fatal(err)
	}
	return all
}

func drain(t *testing.T, db *state.DB, l *Ledger) {
	t.Helper()
	if _, err := db.Drain(t.Context(), l); err != nil {
		t.Fatal(err)
	}
}

var errOnPurpose = errors.New("on purpose")

func mustCode(t *testing.T, err error, want garrison.Code) {
	t.Helper()
	if got := garrison.CodeOf(err); got != want {
		t.Errorf("error %v has code %q, want %q", err, got, want)
	}
}

// over returns a context that is over.
func over() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
