package statetest

import (
	"context"
	"errors"
	"strings"
	"testing"

	"garrison"
	"garrison/evidence"
	"garrison/internal/state"
)

// world is a database with some history, all of it sealed.
func world(t *testing.T, db *state.DB) (*Things, *Ledger) {
	t.Helper()
	s, l := things(t, db), &Ledger{}
	ctx := t.Context()
	for _, x := range []Thing{{ID: "1", Name: "one"}, {ID: "2", Name: "two"}, {ID: "3", Name: "three"}, {ID: "1", Name: "uno"}, {ID: "9", Name: "gone"}} {
		if err := s.Save(ctx, x); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Remove(ctx, "9"); err != nil {
		t.Fatal(err)
	}
	err := db.Write(ctx, func(tx *state.Tx) error {
		_, err := tx.Entry(ctx, evidence.NewEntry("run", "id", "run-1"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	drain(t, db, l)
	return s, l
}

func testAuditClean(t *testing.T, db *state.DB) {
	s, l := world(t, db)
	if d := audit(t, db, l); len(d) != 0 {
		t.Errorf("nothing was touched; the audit names %+v", d)
	}
	if err := s.Save(t.Context(), Thing{ID: "2", Name: "dos"}); err != nil {
		t.Fatal(err)
	}
	if d := audit(t, db, l); len(d) != 0 {
		t.Errorf("a change waits for the ledger; the audit names %+v", d)
	}
	// Changes while the audit reads: between the ledger and the snapshot there is
	// always something new.
	busy := scanHook{l, func() {
		if err := s.Save(t.Context(), Thing{ID: "2", Name: garrison.NewID("n")}); err != nil {
			t.Error(err)
		}
		drain(t, db, l)
	}}
	if d := audit(t, db, busy); len(d) != 0 {
		t.Errorf("a change during the audit; it names %+v", d)
	}
}

type scanHook struct {
	*Ledger
	after func()
}

func (h scanHook) Scan(ctx context.Context, from uint64, yield func(uint64, []byte) error) error {
	err := h.Ledger.Scan(ctx, from, yield)
	h.after()
	return err
}

func testTamper(t *testing.T, db *state.DB) {
	empty := `DELETE FROM `
	if db.Engine() == state.Postgres {
		empty = `TRUNCATE TABLE `
	}
	s, l := world(t, db)
	cases := []struct {
		name   string
		sql    string
		object string // named by the audit
		what   string
	}{
		{"a changed row", `UPDATE thing SET count = 7 WHERE id = '2'`, "thing/2", "differs"},
		{"a row set back", `UPDATE thing SET name = 'one' WHERE id = '1'`, "thing/1", "differs"},
		{"a deleted row", `DELETE FROM thing WHERE id = '3'`, "thing/3", "missing"},
		{"a row with no history", `INSERT INTO thing (id, name, count, done, note) VALUES ('4', 'x', 0, FALSE, '')`, "thing/4", "no history"},
		{"a removed row put back", `INSERT INTO thing (id, name, count, done, note) VALUES ('9', 'gone', 0, FALSE, '')`, "thing/9", "removed"},
		{"a truncated table", empty + `thing`, "thing", "empty"},
		{"a changed document", `UPDATE object_version SET doc = replace(doc, 'three', 'thr33') WHERE id = '3'`, "thing/3/1", "not as it was recorded"},
		{"a changed old version", `UPDATE object_version SET doc = replace(doc, 'one', '0ne') WHERE id = '1' AND n = 1`, "thing/1/1", "not as it was recorded"},
		{"a changed actor", `UPDATE object_version SET actor_id = 'acc-2' WHERE id = '2'`, "thing/2/1", "not as it was recorded"},
		{"a changed actor's name", `UPDATE object_version SET actor_name = '李雷' WHERE id = '2'`, "thing/2/1", "not as it was recorded"},
		{"a changed time", `UPDATE object_version SET at = at - 1 WHERE id = '2'`, "thing/2/1", "not as it was recorded"},
		{"a changed salt", `UPDATE object_version SET salt = '00' WHERE id = '2'`, "thing/2/1", "not as it was recorded"},
		{"a deleted version", `DELETE FROM object_version WHERE id = '1' AND n = 1`, "thing/1/1", "deleted"},
		{"a deleted last version", `DELETE FROM object_version WHERE id = '1' AND n = 2`, "thing/1/2", "deleted"},
		{"truncated history", empty + `object_version`, "thing/2/1", "deleted"},
		{"a renumbered version", `UPDATE object_version SET n = 7 WHERE id = '2'`, "thing/2/7", ""},
		{"a truncated outbox", empty + `outbox`, "thing/2/1", "outbox is missing"},
		{"a deleted outbox row", `DELETE FROM outbox WHERE seq = 2`, "outbox/2-2", "missing"},
		{"evidence that points elsewhere", `UPDATE outbox SET idx = 0 WHERE seq = 7`, "outbox/7", "not as it was written"},
		{"a version that was never sealed", `INSERT INTO object_version (kind, id, n, at, actor_kind, actor_id, actor_name, what, salt, doc, seq)
			SELECT kind, id, 3, at, actor_kind, actor_id, actor_name, what, salt, doc, seq FROM object_version WHERE id = '1' AND n = 2`, "thing/1/3", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			undo := keep(t, db)
			run(t, db, c.sql)
			found := audit(t, db, l)
			undo()
			for _, d := range found {
				if d.Object == c.object && strings.Contains(d.What, c.what) {
					return
				}
			}
			t.Errorf("the audit does not name %s (%s), but %+v", c.object, c.what, found)
		})
	}
	if d := audit(t, db, l); len(d) != 0 {
		t.Fatalf("everything was undone; the audit names %+v", d)
	}
	forge(t, db, s, l)
}

// forge rewrites history as well as anybody can who has the whole database but not
// the ledger: row, version, digest, outbox. At the end he puts everything back.
func forge(t *testing.T, db *state.DB, s *Things, l *Ledger) {
	ctx := t.Context()
	undo := keep(t, db)
	run(t, db, `DELETE FROM object_version WHERE id = '3'`)
	run(t, db, `DELETE FROM thing WHERE id = '3'`)
	if err := s.Save(ctx, Thing{ID: "3", Name: "forged"}); err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"before", "after"} {
		named := false
		for _, d := range audit(t, db, l) {
			named = named || d.Object == "thing/3/1"
		}
		if !named {
			t.Errorf("%s the forged version was relayed: the audit does not name it", when)
		}
		drain(t, db, l)
	}
	undo()
	for _, d := range audit(t, db, l) {
		if d.Object == "thing/3/1" && strings.Contains(d.What, "two different entries") {
			return
		}
	}
	t.Error("the forgery was put back: the audit does not name the second entry of thing/3/1")
}

// keep returns a function that puts all tables back as they are now.
func keep(t *testing.T, db *state.DB) (undo func()) {
	t.Helper()
	tables := []string{"thing", "object_version", "outbox"}
	for _, name := range tables {
		run(t, db, `CREATE TABLE keep_`+name+` AS SELECT * FROM `+name)
	}
	return func() {
		for _, name := range tables {
			run(t, db, `DELETE FROM `+name)
			run(t, db, `INSERT INTO `+name+` SELECT * FROM keep_`+name)
			run(t, db, `DROP TABLE keep_`+name)
		}
	}
}

func testAuditOwners(t *testing.T, db *state.DB) {
	_, l := world(t, db)
	err := db.Write(t.Context(), func(tx *state.Tx) error {
		_, err := tx.Record(t.Context(), state.Change{Kind: "orphan", ID: "1", Doc: 1, By: boss(), What: "saved"})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	db.RegisterCheck("good", func(context.Context, state.Querier, func(state.Damage)) error { return nil })
	db.RegisterCheck("bad", func(_ context.Context, _ state.Querier, report func(state.Damage)) error {
		report(state.Damage{Object: "job/1", What: "sum"})
		return nil
	})
	db.RegisterCheck("broken", func(context.Context, state.Querier, func(state.Damage)) error { return errOnPurpose })
	want := map[string]string{"orphan": "nothing in the program", "job/1": "sum", "broken": "on purpose"}
	for _, d := range audit(t, db, l) {
		if !strings.Contains(d.What, want[d.Object]) || want[d.Object] == "" {
			t.Errorf("unexpected %+v", d)
		}
		delete(want, d.Object)
	}
	if len(want) > 0 {
		t.Errorf("not named: %v", want)
	}
	if state.Sum("a", "bc") == state.Sum("ab", "c") || state.Sum(int64(1), true, []byte("x")) != state.Sum(1, true, "x") {
		t.Error("Sum does not tell fields apart, or tells types apart")
	}
}

func testAuditTwice(t *testing.T, db *state.DB) {
	_, l := world(t, db)
	db.RegisterTable(state.Table{Kind: "thing", Rows: func(ctx context.Context, q state.Querier, yield func(string, any) error) error {
		x := Thing{ID: "2", Name: "two"}
		return errors.Join(yield("1", Thing{ID: "1", Name: "uno"}), yield("2", x), yield("2", x), yield("3", Thing{ID: "3", Name: "three"}))
	}})
	if d := audit(t, db, l); len(d) != 1 || d[0].Object != "thing/2" {
		t.Errorf("two rows for one object: %+v", d)
	}
}

// testAuditUnsealed is about what nobody can find in the ledger: marked as sealed
// while the audit read, and removed before it was sealed.
func testAuditUnsealed(t *testing.T, db *state.DB) {
	s, l := world(t, db)
	elsewhere := &Ledger{entries: l.Entries()}
	liar := scanHook{l, func() {
		if err := s.Save(t.Context(), Thing{ID: "2", Name: "dos"}); err != nil {
			t.Error(err)
		}
		drain(t, db, elsewhere)
	}}
	named := func(log state.EntryScan, object, what string) {
		t.Helper()
		all := audit(t, db, log)
		for _, d := range all {
			if d.Object == object && strings.Contains(d.What, what) {
				return
			}
		}
		t.Errorf("not named: %s (%s), but %+v", object, what, all)
	}
	named(liar, "thing/2/2", "no entry")
	for _, name := range []string{"a", "b"} {
		if err := s.Save(t.Context(), Thing{ID: "7", Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	run(t, db, `DELETE FROM object_version WHERE id = '7' AND n = 1`)
	named(elsewhere, "thing/7/2", "before it is missing")
}

type brokenScan struct{}

func (brokenScan) Scan(context.Context, uint64, func(uint64, []byte) error) error {
	return errOnPurpose
}

func testAuditHindered(t *testing.T, db *state.DB) {
	_, l := world(t, db)
	report := func(d state.Damage) { t.Errorf("named as damage: %+v", d) }
	if err := db.Audit(t.Context(), brokenScan{}, report); !errors.Is(err, errOnPurpose) {
		t.Errorf("the ledger could not be read: %v", err)
	}
	if err := db.Audit(over(), l, report); err == nil {
		t.Error("an audit that was called off says that it finished")
	}
	mustCode(t, db.Audit(t.Context(), nil, report), garrison.Invalid)
}
