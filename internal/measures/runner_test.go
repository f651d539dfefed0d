package measures

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"garrison"
	"garrison/evidence"
	"garrison/internal/schedule"
	"garrison/internal/state"
	"garrison/internal/state/statetest"
)

func TestLifeOfAFinding(t *testing.T) {
	statetest.Each(t, func(t *testing.T, open statetest.Open) {
		b := newBench(t, open(t))
		steps := []struct {
			name     string
			complete bool
			sees     []string
			list     []string
			told     []string
		}{
			{"a first look suspects", true, []string{"a", "open", "b", "shut"}, []string{"a doors.open suspected 1/2 "}, nil},
			{"a second look that agrees confirms", true, []string{"a", "open", "b", "shut"}, []string{"a doors.open open 2/2 "},
				[]string{"confirmed doors.open a"}},
			{"a third says it is still so", true, []string{"a", "open", "b", "shut"}, []string{"a doors.open open 3/2 "},
				[]string{"rechecked gone=false fail"}},
			{"a look that cannot tell leaves it", true, []string{"a", "dark", "b", "shut"}, []string{"a doors.open open 3/2 "},
				[]string{"ended unknown map[a:dark] nil=false"}},
			{"an incomplete run without it leaves it", false, []string{"b", "shut"}, []string{"a doors.open open 3/2 "}, nil},
			{"another fault at the same place leaves it", true, []string{"a", "stuck", "b", "shut"},
				[]string{"a doors.open open 3/2 ", "a doors.stuck suspected 1/3 "}, []string{"ended unknown map[a:stuck] nil=false"}},
			{"seen well it ends, and the other suspicion with it", true, []string{"a", "shut", "b", "shut"}, []string{"a doors.open fixed 0/2 seen_well"},
				[]string{"rechecked gone=true pass"}},
			{"it comes back as a suspicion", true, []string{"a", "open", "b", "shut"}, []string{"a doors.open suspected 1/2 came_back"}, nil},
			{"a suspicion that a look does not share is taken off", true, []string{"a", "shut", "b", "shut"}, nil, nil},
			{"what the other side says itself is sure", true, []string{"a", "open!", "b", "shut"}, []string{"a doors.open open 1/1 "},
				[]string{"confirmed doors.open a"}},
			{"a complete run without it ends it", true, []string{"b", "shut"}, []string{"a doors.open fixed 0/1 removed"},
				[]string{"rechecked gone=true pass"}},
			{"a stuck door takes three looks", true, []string{"b", "stuck"}, []string{"a doors.open fixed 0/1 removed", "b doors.stuck suspected 1/3 "}, nil},
		}
		for _, s := range steps {
			b.doors.sees(s.complete, s.sees...)
			b.look()
			if d := cmp.Diff(b.list(), s.list); d != "" {
				t.Fatalf("%s: findings (-got +want)\n%s", s.name, d)
			}
			if d := cmp.Diff(b.cases.take(), s.told); d != "" {
				t.Fatalf("%s: told (-got +want)\n%s", s.name, d)
			}
		}
		f, _, err := b.Findings(t.Context(), FindingFilter{State: []FindingState{Fixed}})
		if err != nil || len(f) != 1 || f[0].Case != "case-of-a" {
			t.Errorf("the case is not kept with the finding: %+v, %v", f, err)
		}
		if got := b.audit(); len(got) != 0 {
			t.Errorf("audit: %v", got)
		}
	})
}

func TestRunsThatCannotTellChangeNothing(t *testing.T) {
	b := newBench(t, statetest.OpenSQLite(t))
	b.doors.sees(true, "a", "open!")
	b.look()
	b.cases.take()
	before := b.list()
	cases := []struct {
		name string
		fn   func(ctx context.Context, env Env) (Result, error)
		why  string
	}{
		{"error", func(context.Context, Env) (Result, error) { return Result{Outcome: garrison.Pass}, errors.New("no") }, "error"},
		{"panic", func(context.Context, Env) (Result, error) { panic("no") }, "defect"},
		{"unknown verdict", func(context.Context, Env) (Result, error) { return seen(true, "a", "gone fishing"), nil }, "defect"},
		{"one locus twice", func(context.Context, Env) (Result, error) { return seen(true, "a", "shut", "a", "shut"), nil }, "defect"},
		{"a population that does not add up", func(context.Context, Env) (Result, error) {
			return Result{Complete: true, Outcome: garrison.Pass, Population: garrison.Population{Attempted: 3}}, nil
		}, "defect"},
		{"a pass on an incomplete inventory", func(context.Context, Env) (Result, error) {
			return Result{Outcome: garrison.Pass, Truncated: []string{"pages"}, Complete: true}, nil
		}, "defect"},
		{"nothing", func(context.Context, Env) (Result, error) { return Result{}, nil }, ""},
	}
	for _, c := range cases {
		b.doors.says(c.fn)
		if run := b.look(); run.Outcome != garrison.Unknown || run.Why != c.why {
			t.Errorf("%s: outcome %s, why %q; want unknown, %q", c.name, run.Outcome, run.Why, c.why)
		}
		if d := cmp.Diff(b.list(), before); d != "" {
			t.Errorf("%s: findings changed\n%s", c.name, d)
		}
	}
	// Where the transcript cannot be kept nobody can check the run later.
	if err := os.RemoveAll(b.dir + "/evidence"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.dir+"/evidence", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b.doors.sees(true, "a", "shut")
	if run := b.look(); run.Outcome != garrison.Unknown || run.Why != "transcript_not_kept" {
		t.Errorf("no transcript: outcome %s, why %q", run.Outcome, run.Why)
	}
	if d := cmp.Diff(b.list(), before); d != "" {
		t.Errorf("no transcript: findings changed\n%s", d)
	}
	if got := b.audit(); len(got) != 0 {
		t.Errorf("audit: %v", got)
	}
}

func TestARunThatACrashCutOffIsUnknownAfterwards(t *testing.T) {
	b := newBench(t, statetest.OpenSQLite(t))
	b.doors.sees(true, "a", "open!")
	b.look()
	b.cases.take()
	u, _, err := b.begin(t.Context(), b.doors, order{id: "run-cut", measure: "doors", subject: "subject-1", by: officer}) // and then the power goes
	if err != nil {
		t.Fatal(err)
	}
	b.restart(nil)
	row, items, err := b.Run(t.Context(), u.ID)
	if err != nil || row.Running || row.Outcome != garrison.Unknown || row.Why != "interrupted" || items != nil || row.Complete {
		t.Errorf("run %+v, %v", row, err)
	}
	if d := cmp.Diff(b.list(), []string{"a doors.open open 1/1 "}); d != "" {
		t.Errorf("findings (-got +want)\n%s", d)
	}
	if d := cmp.Diff(b.cases.take(), []string{"ended unknown map[] nil=true"}); d != "" {
		t.Errorf("told (-got +want)\n%s", d)
	}
	if got := b.audit(); len(got) != 0 {
		t.Errorf("audit: %v", got)
	}
}

func TestAStopIsRecordedAsInterrupted(t *testing.T) {
	b := newBench(t, statetest.OpenSQLite(t))
	begun := make(chan struct{})
	b.doors.says(func(ctx context.Context, _ Env) (Result, error) {
		close(begun)
		<-ctx.Done()
		return seen(true, "a", "shut"), nil // it claims to have seen everything
	})
	ended := make(chan garrison.Run)
	go func() {
		run, err := b.RunNow(context.Background(), "doors", "subject-1", officer)
		if err != nil {
			t.Error(err)
		}
		ended <- run
	}()
	<-begun
	if _, err := b.RunNow(t.Context(), "doors", "subject-1", officer); garrison.CodeOf(err) != garrison.Conflict {
		t.Errorf("a second run at the same time: %v, want conflict", err)
	}
	if err := b.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if run := <-ended; run.Outcome != garrison.Unknown || run.Why != "interrupted" {
		t.Errorf("outcome %s, why %q", run.Outcome, run.Why)
	}
	if _, err := b.RunNow(t.Context(), "doors", "subject-1", officer); garrison.CodeOf(err) != garrison.Unavailable {
		t.Errorf("a run after the stop: %v, want unavailable", err)
	}
}

func TestWhatCouldNotBeToldIsToldLaterInOrder(t *testing.T) {
	b := newBench(t, statetest.OpenSQLite(t))
	b.cases.only = "confirmed" // what comes after it must wait too
	b.doors.sees(true, "a", "open!")
	b.look()
	b.doors.sees(true, "a", "shut")
	b.look()
	if got := b.cases.take(); got != nil {
		t.Fatalf("told %v", got)
	}
	b.cases.only = ""
	b.restart(nil)
	if d := cmp.Diff(b.cases.take(), []string{"confirmed doors.open a", "rechecked gone=true pass"}); d != "" {
		t.Errorf("told (-got +want)\n%s", d)
	}
	b.restart(nil)
	if got := b.cases.take(); got != nil {
		t.Errorf("told again: %v", got)
	}
}

func TestRefute(t *testing.T) {
	b := newBench(t, statetest.OpenSQLite(t))
	b.doors.sees(true, "a", "open!")
	b.look()
	b.cases.take()
	rows, _, err := b.Findings(t.Context(), FindingFilter{})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Refute(t.Context(), rows[0].ID, "", officer); garrison.CodeOf(err) != garrison.Invalid {
		t.Errorf("without a reason: %v", err)
	}
	for range 2 { // asked twice for the same
		if err := b.Refute(t.Context(), rows[0].ID, "it is a painting", officer); err != nil {
			t.Fatal(err)
		}
	}
	b.look() // seeing the same again does not bring it back
	if d := cmp.Diff(b.list(), []string{"a doors.open refuted 2/1 it is a painting"}); d != "" {
		t.Errorf("findings (-got +want)\n%s", d)
	}
	if got := b.cases.take(); !slices.Contains(got, "refuted it is a painting by Wei") || len(got) != 1 {
		t.Errorf("told %v", got)
	}
	if err := b.Refute(t.Context(), "finding-none", "x", officer); garrison.CodeOf(err) != garrison.NotFound {
		t.Errorf("no such finding: %v", err)
	}
}

func TestMeasureStateLeavesATrace(t *testing.T) {
	b := newBench(t, statetest.OpenSQLite(t))
	ctx := t.Context()
	if err := b.SetState(ctx, "doors", Off, " ", officer); garrison.CodeOf(err) != garrison.Invalid {
		t.Errorf("without a reason: %v", err)
	}
	if err := b.SetState(ctx, "doors", "paused", "x", officer); garrison.CodeOf(err) != garrison.Invalid {
		t.Errorf("no such state: %v", err)
	}
	if err := b.SetState(ctx, "windows", Off, "x", officer); garrison.CodeOf(err) != garrison.NotFound {
		t.Errorf("no such measure: %v", err)
	}
	if err := b.SetState(ctx, "doors", Off, "系统割接", officer); err != nil {
		t.Fatal(err)
	}
	if _, err := b.RunNow(ctx, "doors", "subject-1", officer); garrison.CodeOf(err) != garrison.Held {
		t.Errorf("a run while off: %v, want held", err)
	}
	var ledger statetest.Ledger
	if _, err := b.db.Drain(ctx, &ledger); err != nil {
		t.Fatal(err)
	}
	states, err := b.States(ctx)
	if err != nil || len(states) != 1 || states[0].Mode != Off || states[0].Reason != "系统割接" || states[0].Evidence.Zero() || states[0].Subjects != 1 {
		t.Errorf("states %+v, %v", states, err)
	}
	var got []string
	for _, raw := range ledger.Entries() {
		e, err := evidence.ParseEntry(raw)
		if err != nil {
			t.Fatal(err)
		}
		if e.Type == evidence.TypeMeasure {
			got = append(got, e.Get("state")+" by "+e.Get("by"))
		}
		if strings.Contains(string(raw), "割接") {
			t.Error("what a person typed stands in the ledger in clear")
		}
	}
	if d := cmp.Diff(got, []string{"on by measures", "off by account-1"}); d != "" {
		t.Errorf("ledger entries (-got +want)\n%s", d)
	}
	b.restart(nil) // a restart does not turn it on
	if m, err := b.Modes(ctx); err != nil || m["doors"] != Off {
		t.Errorf("after a restart: %v, %v", m, err)
	}
}

func TestEveryRunIsInTheLedgerWithItsTranscript(t *testing.T) {
	b := newBench(t, statetest.OpenSQLite(t))
	b.doors.says(func(ctx context.Context, env Env) (Result, error) {
		env.Probe.Lookup(ctx, "x.example", "A")
		return seen(true, "a", "open", "b", "shut", "c", "dark"), nil
	})
	run := b.look()
	var ledger statetest.Ledger
	if _, err := b.db.Drain(t.Context(), &ledger); err != nil {
		t.Fatal(err)
	}
	var found evidence.Entry
	for _, raw := range ledger.Entries() {
		if e, err := evidence.ParseEntry(raw); err == nil && e.Type == evidence.TypeRun {
			found = e
		}
	}
	for name, want := range map[string]string{"run": string(run.ID), "measure": "doors", "subject": "subject-1", "outcome": "fail", "attempted": "3",
		"succeeded": "1", "failed": "1", "unreachable": "1", "transcript": run.Transcript, "scope": "complete"} {
		if found.Get(name) != want {
			t.Errorf("entry field %s = %q, want %q", name, found.Get(name), want)
		}
	}
	row, items, err := b.Run(t.Context(), run.ID)
	if err != nil || len(items) != 3 || row.Evidence.Zero() || items[0].Verdict != "open" || items[0].Outcome != garrison.Fail {
		t.Errorf("run %+v, items %+v, %v", row, items, err)
	}
	raw, err := b.Transcript(t.Context(), run.ID)
	var tr transcriptDoc
	if err != nil || json.Unmarshal(raw, &tr) != nil || len(tr.Lookups) != 1 || tr.Run != run.ID {
		t.Errorf("transcript %s, %v", raw, err)
	}
	// An altered transcript is not shown as what was seen.
	path := filepath.Join(b.dir, "evidence", run.Transcript[:2], run.Transcript+".json")
	if err := os.WriteFile(path, bytes.Replace(raw, []byte(`"open"`), []byte(`"shut"`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, items, err := b.Run(t.Context(), run.ID); garrison.CodeOf(err) != garrison.Damaged || items != nil {
		t.Errorf("altered transcript: %v, items %v", err, items)
	}
}

func TestInventory(t *testing.T) {
	b := newBench(t, statetest.OpenSQLite(t))
	b.doors.sees(true, "a", "shut", "b", "dark")
	first := b.look()
	b.doors.sees(true, "b", "shut", "c", "open")
	second := b.look()
	rows, err := b.Inventory(t.Context(), "subject-1")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, l := range rows {
		got[l.Locus] = fmt.Sprintf("%s removed=%v first=%v last=%v well=%v", l.Verdict, l.Removed,
			l.FirstSeen.Equal(first.Started), l.LastSeen.Equal(second.Started), l.LastWell.Equal(second.Started))
	}
	want := map[string]string{
		"a": "shut removed=true first=true last=false well=false",
		"b": "shut removed=false first=true last=true well=true",
		"c": "open removed=false first=false last=true well=false",
	}
	if d := cmp.Diff(got, want); d != "" {
		t.Errorf("inventory (-got +want)\n%s", d)
	}
	b.doors.mu.Lock()
	known := b.doors.envs[1].Known
	b.doors.mu.Unlock()
	if len(known) != 2 {
		t.Errorf("the second run knew %+v, want the first one's two", known)
	}
	st, err := b.Stands(t.Context(), "doors")
	if err != nil || len(st) != 1 || st[0].Inventory != 2 || st[0].Last.ID != second.ID || st[0].LastComplete.ID != second.ID ||
		st[0].Population != (garrison.Population{Attempted: 2, Succeeded: 1, Failed: 1}) {
		t.Errorf("stands %+v, %v", st, err)
	}
}

func TestListsArePagedByKey(t *testing.T) {
	statetest.Each(t, func(t *testing.T, open statetest.Open) {
		b := newBench(t, open(t))
		var sees []string
		for i := range 25 {
			sees = append(sees, fmt.Sprintf("http://h.example/%02d_%%", i), "open!")
		}
		b.doors.sees(true, append(sees, "low", "stuck")...)
		b.look()
		for range 4 {
			b.look()
		}
		var all []garrison.FindingID
		for after := ""; ; {
			rows, next, err := b.Findings(t.Context(), FindingFilter{State: []FindingState{Open}, After: after, Limit: 10})
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range rows {
				all = append(all, f.ID)
			}
			if next == "" {
				if rows[len(rows)-1].Finding.Rule != "doors.stuck" {
					t.Error("the least severe is not the last")
				}
				break
			}
			after = next
		}
		slices.Sort(all)
		if n := len(slices.Compact(all)); n != 26 {
			t.Errorf("%d different findings over all pages, want 26", n)
		}
		for query, want := range map[string]int{"/07_": 1, "H.EXAMPLE": 25, "_%": 25, "%": 25, `\`: 0, "_": 25, "nothing": 0} {
			rows, _, err := b.Findings(t.Context(), FindingFilter{Query: query, Limit: 100})
			if err != nil || len(rows) != want {
				t.Errorf("query %q: %d findings, %v; want %d", query, len(rows), err, want)
			}
		}
		counts, err := b.CountFindings(t.Context(), FindingFilter{Severity: garrison.High})
		if err != nil || counts[Open] != 25 {
			t.Errorf("counts %v, %v", counts, err)
		}
		runs, next, err := b.Runs(t.Context(), RunFilter{Measure: "doors", Subject: "subject-1", Limit: 3})
		if err != nil || len(runs) != 3 || next == "" || !runs[0].Started.After(runs[1].Started) {
			t.Errorf("runs %+v, %q, %v", runs, next, err)
		}
		rest, next, err := b.Runs(t.Context(), RunFilter{After: next})
		if err != nil || len(rest) != 2 || next != "" {
			t.Errorf("the other runs: %d, %q, %v", len(rest), next, err)
		}
		if _, _, err := b.Findings(t.Context(), FindingFilter{Limit: 10_000}); garrison.CodeOf(err) != garrison.Invalid {
			t.Errorf("a page of 10,000: %v", err)
		}
	})
}

func TestAlteredRowsAreNamed(t *testing.T) {
	changes := map[string]string{
		"finding closed":       `UPDATE measures_finding SET state = 'fixed'`,
		"finding reordered":    `UPDATE measures_finding SET sort = '0'`,
		"finding removed":      `DELETE FROM measures_finding`,
		"run made to pass":     `UPDATE measures_run SET outcome = 1`,
		"run reordered":        `UPDATE measures_run SET sort = '0'`,
		"inventory row":        `UPDATE measures_locus SET verdict = 'shut'`,
		"inventory row gone":   `DELETE FROM measures_locus WHERE locus = 'a'`,
		"inventory gone":       `DELETE FROM measures_locus`,
		"measure turned on":    `UPDATE measures_mode SET since = since + 1`,
		"notice taken":         `UPDATE measures_notice SET finding = 'x'`,
		"finding out of a hat": `INSERT INTO measures_finding SELECT 'finding-x', sort, measure, rule, subject, locus, severity, facts, state, first_seen, last_seen, looks, needs, last_run, changed, why, case_id, demo FROM measures_finding`,
	}
	for name, sql := range changes {
		b := newBench(t, statetest.OpenSQLite(t))
		b.cases.fail = name == "notice taken"
		b.doors.sees(true, "a", "open!", "b", "shut")
		b.look()
		if got := b.audit(); len(got) != 0 {
			t.Fatalf("before: %v", got)
		}
		err := b.db.Write(t.Context(), func(tx *state.Tx) error {
			res, err := tx.Exec(t.Context(), sql)
			if err == nil {
				if n, _ := res.RowsAffected(); n == 0 {
					return fmt.Errorf("nothing was changed")
				}
			}
			return err
		})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := b.audit(); len(got) == 0 {
			t.Errorf("%s: the audit names nothing", name)
		}
	}
}

func TestScheduledRunsLookAgainAndQueuedOnesKeepTheirID(t *testing.T) {
	db := statetest.OpenSQLite(t)
	b := newBench(t, db)
	cfg := schedule.DefaultConfig()
	cfg.Poll = 10 * time.Millisecond
	s, err := schedule.New(cfg, schedule.Deps{DB: db, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	b.doors.sees(true, "a", "open")
	b.restart(s)
	b.cfg.LookAfter = 0
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	// The plan has made the regular job; it is due at once, and what it suspects is
	// looked at again without anybody asking.
	until(t, func() bool { return slices.Contains(b.cases.take(), "confirmed doors.open a") })
	b.doors.mu.Lock()
	second := b.doors.envs[1]
	b.doors.mu.Unlock()
	if d := cmp.Diff(second.Only, []string{"a"}); d != "" {
		t.Errorf("the second look was not at what was suspected only (-got +want)\n%s", d)
	}
	b.doors.sees(true, "a", "shut")
	id, err := b.Enqueue(t.Context(), "doors", "subject-1", officer)
	if err != nil {
		t.Fatal(err)
	}
	until(t, func() bool {
		row, _, err := b.Run(t.Context(), id)
		return err == nil && !row.Running && row.By == officer && row.Outcome == garrison.Pass
	})
	b.reg.mu.Lock()
	b.reg.list[0].Retired = true
	b.reg.mu.Unlock()
	if err := b.plan(t.Context()); err != nil {
		t.Fatal(err)
	}
	if jobs, err := s.List(t.Context(), jobRun); err != nil || len(jobs) != 0 {
		t.Errorf("a retired subject still has jobs: %+v, %v", jobs, err)
	}
	if _, err := b.Enqueue(t.Context(), "doors", "subject-2", officer); garrison.CodeOf(err) != garrison.Invalid {
		t.Errorf("a unit is not a target: %v", err)
	}
}

func until(t *testing.T, done func() bool) {
	t.Helper()
	end := time.Now().Add(20 * time.Second)
	for !done() {
		if time.Now().After(end) {
			t.Fatal("it did not happen in time")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestParseRefusesWhatIsNotRight(t *testing.T) {
	cases := map[string][2]string{
		"unknown key":          {"version:", "versoin: x\nversion:"},
		"missing English text": {"why: {zh: 风险, en: Risk}", "why: {zh: 风险}"},
		"rule of another":      {"id: doors.open", "id: windows.open"},
		"verdict of no rule":   {"rule: doors.open", "rule: doors.none"},
		"rule of no verdict":   {", rule: doors.stuck", ""},
		"bad severity":         {"severity: high", "severity: terrible"},
		"bad outcome":          {"outcome: pass", "outcome: fine"},
		"bad interval":         {"interval: 24h", "interval: daily"},
		"bad need":             {"needs: [network]", "needs: [money]"},
		"no clause":            {"clauses: [govqa-9b]", "clauses: []"},
		"a pass as a finding":  {"outcome: fail, rule: doors.open", "outcome: pass, rule: doors.open"},
		"same verdict twice":   {"name: dark", "name: shut"},
	}
	for name, c := range cases {
		text := strings.Replace(testYAML, c[0], c[1], 1)
		if text == testYAML {
			t.Fatalf("%s: nothing replaced", name)
		}
		if _, err := Parse([]byte(text)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
