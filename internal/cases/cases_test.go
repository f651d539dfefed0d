package cases

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"garrison"
	"garrison/internal/state"
	"garrison/internal/state/statetest"

	"github.com/google/go-cmp/cmp"
)

// clock is a time that moves only when told to.
type clock struct {
	mu sync.Mutex // guards t
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
	return c.t
}

// outside is everything that cases asks of others.
type outside struct {
	mu       sync.Mutex // guards all below
	asked    []string
	refuted  []garrison.FindingID
	subjects map[garrison.SubjectID]garrison.Subject
	fail     error
	back     *Cases // told of refutations, as the runner of measures does
}

func (o *outside) Enqueue(_ context.Context, m garrison.MeasureID, s garrison.SubjectID, _ garrison.Actor) (garrison.RunID, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked = append(o.asked, string(m)+" "+string(s))
	return "run-asked", o.fail
}

func (o *outside) Refute(ctx context.Context, id garrison.FindingID, reason string, by garrison.Actor) error {
	o.mu.Lock()
	fail, back := o.fail, o.back
	if fail == nil {
		o.refuted = append(o.refuted, id)
	}
	o.mu.Unlock()
	if fail != nil || back == nil {
		return fail
	}
	return back.Refuted(ctx, id, reason, by)
}

func (o *outside) Get(_ context.Context, id garrison.SubjectID) (garrison.Subject, error) {
	if s, ok := o.subjects[id]; ok {
		return s, nil
	}
	return garrison.Subject{}, garrison.Errorf(garrison.NotFound, "no subject %q", id)
}

func (o *outside) Assignable(_ context.Context, id garrison.AccountID) (bool, error) {
	return strings.HasPrefix(string(id), "account-"), nil
}

func (o *outside) times() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.asked)
}

type bench struct {
	*Cases
	t     *testing.T
	db    *state.DB
	out   *outside
	clock *clock
}

func newBench(t *testing.T, open statetest.Open) *bench {
	t.Helper()
	b := &bench{t: t, db: open(t), clock: &clock{t: t0}, out: &outside{subjects: map[garrison.SubjectID]garrison.Subject{
		"subject-1": {ID: "subject-1", Name: "青檀县人民政府门户"},
		"subject-2": {ID: "subject-2", Name: "Demo site", Demo: true},
	}}}
	cfg := DefaultConfig()
	c, err := New(cfg, Deps{DB: b.db, Recheck: b.out, Refute: b.out, People: b.out, Subjects: b.out, Now: b.clock.now})
	if err != nil {
		t.Fatal(err)
	}
	b.Cases, b.out.back = c, c
	if err := c.migrate(t.Context()); err != nil { // Start without its reminder, which would ask by itself
		t.Fatal(err)
	}
	return b
}

func (b *bench) finding(subject, rule, locus string, sev garrison.Severity) garrison.Finding {
	return garrison.Finding{Measure: "links", Rule: garrison.RuleID(rule), Subject: garrison.SubjectID(subject), Locus: locus, Severity: sev}
}

// run is a run that begins now.
func (b *bench) run(id, subject string) garrison.Run {
	return garrison.Run{ID: garrison.RunID(id), Measure: "links", Subject: garrison.SubjectID(subject), Started: b.clock.add(time.Minute), Outcome: garrison.Fail}
}

func (b *bench) confirm(id, run string, f garrison.Finding) garrison.CaseID {
	b.t.Helper()
	got, err := b.Confirmed(b.t.Context(), garrison.FindingID(id), f, b.run(run, string(f.Subject)))
	if err != nil {
		b.t.Fatalf("confirm %s: %v", id, err)
	}
	return got
}

func (b *bench) get(id garrison.CaseID) (Case, []string) {
	b.t.Helper()
	c, steps, err := b.Get(b.t.Context(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	dids := make([]string, len(steps))
	for i, st := range steps {
		dids[i] = st.Do
		if st.Seq != i+1 || st.At.IsZero() || st.By.ID == "" || st.Case != c.ID {
			b.t.Errorf("step %d: %+v", i+1, st)
		}
	}
	return c, dids
}

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) expect(id garrison.CaseID, st garrison.State, dids ...string) Case {
	b.t.Helper()
	c, got := b.get(id)
	if c.State != st {
		b.t.Errorf("case is %s, want %s", c.State, st)
	}
	if diff := cmp.Diff(got, dids); diff != "" {
		b.t.Errorf("steps (-got +want)\n%s", diff)
	}
	return c
}

func (b *bench) act(id garrison.CaseID, do Action, by By) Case {
	b.t.Helper()
	c, _, err := b.Get(b.t.Context(), id)
	b.must(err)
	do.Version = c.Version
	c, err = b.Act(b.t.Context(), id, do, by)
	b.must(err)
	return c
}

const dead = "links.dead"

// TestFromFindingToClosure is the chain of one case: opened by policy, worked on,
// claimed, seen again, claimed again, not told, gone.
func TestFromFindingToClosure(t *testing.T) {
	statetest.Each(t, func(t *testing.T, open statetest.Open) {
		b := newBench(t, open)
		ctx := t.Context()
		id := b.confirm("f-1", "run-1", b.finding("subject-1", dead, "https://a.example/", garrison.High))
		c := b.expect(id, garrison.StateOpen, DidOpen)
		if c.Number != "C-2611-0001" || c.Due != c.Opened.Add(3*24*time.Hour) || c.Severity != garrison.High || c.Rule != dead || c.Demo {
			t.Errorf("opened: %+v", c)
		}
		if diff := cmp.Diff(c.Findings, []garrison.FindingID{"f-1"}); diff != "" {
			t.Error(diff)
		}
		b.act(id, Action{Do: DoAssign, Assignee: "account-1"}, officer)
		b.act(id, Action{Do: DoComment, Note: "已联系对方"}, person)
		b.act(id, Action{Do: DoClaim, Note: "改好了"}, person)
		if b.out.times() != 1 {
			t.Errorf("claim asked for %d looks, want 1", b.out.times())
		}
		b.must(b.Rechecked(ctx, "f-1", b.run("run-2", "subject-1"), false))
		c = b.expect(id, garrison.StateAssigned, DidOpen, DidAssign, DidComment, DidClaim, DidReopen)
		if c.Owner != "account-1" || !c.Claimed.IsZero() {
			t.Errorf("reopened: owner %q, claimed %v", c.Owner, c.Claimed)
		}
		b.act(id, Action{Do: DoClaim}, person)
		b.must(b.Unsure(ctx, "f-1", b.run("run-3", "subject-1"), "timeout"))
		before, _ := b.get(id)
		if before.State != garrison.StateClaimed || before.Left != 1 {
			t.Errorf("could not tell: %s, %d left", before.State, before.Left)
		}
		_, err := b.Act(ctx, id, Action{Do: DoClose, Version: before.Version}, officer)
		if garrison.CodeOf(err) != garrison.Held {
			t.Errorf("a person closes: %v", err)
		}
		run := b.run("run-4", "subject-1")
		b.must(b.Rechecked(ctx, "f-1", run, true))
		c = b.expect(id, garrison.StateClosed, DidOpen, DidAssign, DidComment, DidClaim, DidReopen, DidClaim, DidLook, DidClose)
		if c.Closed.IsZero() || c.Left != 0 || c.Members[0].GoneRun != "run-4" || c.Late(c.Due.Add(time.Hour)) {
			t.Errorf("closed: %+v", c)
		}
		_, steps, _ := b.Get(ctx, id)
		last := steps[len(steps)-1]
		if last.Run != "run-4" || last.Outcome != garrison.Pass || last.By.Kind != garrison.BySystem {
			t.Errorf("closing step: %+v", last)
		}
		if steps[6].Outcome != garrison.Unknown || steps[6].What.Args["why"] != "timeout" {
			t.Errorf("step of the look that could not tell: %+v", steps[6])
		}
		// Told of again, as after a crash: nothing more happens.
		b.must(b.Rechecked(ctx, "f-1", run, true))
		b.expect(id, garrison.StateClosed, DidOpen, DidAssign, DidComment, DidClaim, DidReopen, DidClaim, DidLook, DidClose)
		// A comment is still possible, everything else is not.
		b.act(id, Action{Do: DoComment, Note: "复盘"}, person)
		if _, err := b.Act(ctx, id, Action{Do: DoClaim, Version: c.Version + 1}, person); garrison.CodeOf(err) != garrison.Conflict {
			t.Errorf("claim a closed case: %v", err)
		}
	})
}

func TestSeveralFindingsInOneCase(t *testing.T) {
	statetest.Each(t, func(t *testing.T, open statetest.Open) {
		b := newBench(t, open)
		ctx := t.Context()
		id := b.confirm("f-1", "run-1", b.finding("subject-1", dead, "https://a.example/", garrison.Medium))
		run := b.run("run-1b", "subject-1")
		for i := 2; i <= 4; i++ {
			got, err := b.Confirmed(ctx, garrison.FindingID(fmt.Sprintf("f-%d", i)), b.finding("subject-1", dead, fmt.Sprintf("https://%d.example/", i), garrison.High), run)
			if err != nil || got != id {
				t.Fatalf("finding %d: case %q, %v, want %q", i, got, err, id)
			}
		}
		// The same again, as after a crash.
		if got, err := b.Confirmed(ctx, "f-3", b.finding("subject-1", dead, "https://3.example/", garrison.High), run); err != nil || got != id {
			t.Fatalf("again: %q, %v", got, err)
		}
		c := b.expect(id, garrison.StateOpen, DidOpen, DidJoin) // one step for the three of one run
		if c.Total != 4 || c.Left != 4 || c.Severity != garrison.High || len(c.Members) != 4 {
			t.Errorf("joined: %+v", c)
		}
		if want := c.Opened.Add(15 * 24 * time.Hour); !c.Due.Before(want) {
			t.Errorf("something worse joined and the date stayed at %v", c.Due)
		}
		other := b.confirm("g-1", "run-1c", b.finding("subject-1", "links.parked", "https://p.example/", garrison.Medium))
		if other == id {
			t.Error("another rule joined the case")
		}
		b.act(id, Action{Do: DoClaim}, person)
		look := b.run("run-2", "subject-1")
		for i, gone := range []bool{true, true, false} {
			b.must(b.Rechecked(ctx, garrison.FindingID(fmt.Sprintf("f-%d", i+1)), look, gone))
		}
		c = b.expect(id, garrison.StateOpen, DidOpen, DidJoin, DidClaim, DidReopen)
		if c.Left != 2 {
			t.Errorf("%d left, want 2", c.Left)
		}
		// The confirmation told of again, late, does not bring a place back.
		if got, err := b.Confirmed(ctx, "f-2", b.finding("subject-1", dead, "https://2.example/", garrison.High), run); err != nil || got != id {
			t.Errorf("told of again: %q, %v", got, err)
		}
		if c, _ = b.get(id); c.Left != 2 {
			t.Errorf("told of again: %d left, want 2", c.Left)
		}
		// A place that was gone fails again: it is back in the same case.
		if got := b.confirm("f-1", "run-3", b.finding("subject-1", dead, "https://a.example/", garrison.Medium)); got != id {
			t.Errorf("back in case %q, want %q", got, id)
		}
		if c, _ = b.get(id); c.Left != 3 || c.Total != 4 {
			t.Errorf("back: %d of %d left, want 3 of 4", c.Left, c.Total)
		}
		look = b.run("run-4", "subject-1")
		for _, f := range []garrison.FindingID{"f-1", "f-3"} {
			b.must(b.Rechecked(ctx, f, look, true))
		}
		if c, _ = b.get(id); c.State != garrison.StateOpen || c.Left != 1 {
			t.Errorf("one left: %s, %d", c.State, c.Left)
		}
		b.must(b.Rechecked(ctx, "f-4", look, true))
		if c, _ = b.get(id); c.State != garrison.StateClosed {
			t.Errorf("all gone: %s", c.State)
		}
		// After that a new case opens.
		if got := b.confirm("f-4", "run-5", b.finding("subject-1", dead, "https://4.example/", garrison.Medium)); got == id || got == "" {
			t.Errorf("after closing: case %q", got)
		}
	})
}

func TestLooksThatMustNotClose(t *testing.T) {
	b := newBench(t, statetest.OpenSQLite)
	ctx := t.Context()
	first := b.run("run-1", "subject-1")
	id, err := b.Confirmed(ctx, "f-1", b.finding("subject-1", dead, "https://a.example/", garrison.High), first)
	b.must(err)
	early := first
	early.ID, early.Started = "run-0", first.Started.Add(-time.Hour)
	measure := b.run("run-2", "subject-1")
	measure.Measure = "tls"
	for name, run := range map[string]garrison.Run{
		"the run that confirmed it": first, "an earlier run": early, "another measure": measure,
		"another subject": b.run("run-3", "subject-2"), "no run at all": {},
	} {
		if err := b.Rechecked(ctx, "f-1", run, true); err != nil {
			t.Errorf("%s: %v; the teller would tell for ever", name, err)
		}
		if c, dids := b.get(id); c.State != garrison.StateOpen || c.Left != 1 || len(dids) != 1 {
			t.Errorf("%s: %s, %d left, steps %v", name, c.State, c.Left, dids)
		}
	}
	b.must(b.Rechecked(ctx, "f-unknown", b.run("run-4", "subject-1"), true))
}

func TestRunEndedWithoutTelling(t *testing.T) {
	b := newBench(t, statetest.OpenSQLite)
	ctx := t.Context()
	id := b.confirm("f-1", "run-1", b.finding("subject-1", dead, "https://a.example/", garrison.High))
	b.confirm("f-2", "run-2", b.finding("subject-1", dead, "https://b.example/", garrison.High))
	b.act(id, Action{Do: DoClaim}, person)
	run := b.run("run-3", "subject-1")
	b.must(b.RunEnded(ctx, run, nil)) // it told about everything
	b.expect(id, garrison.StateClaimed, DidOpen, DidJoin, DidClaim)
	b.must(b.RunEnded(ctx, run, map[string]string{"https://b.example/": "timeout", "https://elsewhere.example/": "timeout"}))
	b.must(b.RunEnded(ctx, run, map[string]string{"https://b.example/": "timeout"}))
	b.expect(id, garrison.StateClaimed, DidOpen, DidJoin, DidClaim, DidLook)
	run = b.run("run-4", "subject-1")
	run.Outcome, run.Why = garrison.Unknown, "site_unreachable"
	b.must(b.RunEnded(ctx, run, nil))
	c := b.expect(id, garrison.StateClaimed, DidOpen, DidJoin, DidClaim, DidLook, DidLook)
	if c.Left != 2 {
		t.Errorf("%d left, want 2", c.Left)
	}
}

func TestRefutation(t *testing.T) {
	statetest.Each(t, func(t *testing.T, open statetest.Open) {
		b := newBench(t, open)
		ctx := t.Context()
		id := b.confirm("f-1", "run-1", b.finding("subject-1", dead, "https://a.example/", garrison.High))
		b.confirm("f-2", "run-2", b.finding("subject-1", dead, "https://b.example/", garrison.High))
		c, _ := b.get(id)
		for name, by := range map[string]By{"operator": person, "token of security": token, "local": local, "auditor": auditor} {
			if _, err := b.Act(ctx, id, Action{Do: DoRefute, Note: "x", Version: c.Version}, by); garrison.CodeOf(err) != garrison.Denied {
				t.Errorf("%s refutes: %v, want denied", name, err)
			}
		}
		c = b.act(id, Action{Do: DoRefute, Note: "这是我们自己的跳转页"}, officer)
		if c.State != garrison.StateRefuted {
			t.Fatalf("refuted: %s", c.State)
		}
		if diff := cmp.Diff(b.out.refuted, []garrison.FindingID{"f-1", "f-2"}); diff != "" {
			t.Errorf("findings refuted (-got +want)\n%s", diff)
		}
		c = b.expect(id, garrison.StateRefuted, DidOpen, DidJoin, DidRefute)
		if c.Left != 0 || c.Members[0].Refuted.IsZero() {
			t.Errorf("after the runner said so: %+v", c)
		}
		// Refuted where findings are kept, one after the other.
		id = b.confirm("f-3", "run-3", b.finding("subject-1", dead, "https://c.example/", garrison.High))
		b.confirm("f-4", "run-4", b.finding("subject-1", dead, "https://d.example/", garrison.High))
		b.must(b.Refuted(ctx, "f-3", "ours", officer.Actor))
		b.must(b.Refuted(ctx, "f-3", "ours", officer.Actor))
		b.expect(id, garrison.StateOpen, DidOpen, DidJoin, DidDrop)
		b.must(b.Refuted(ctx, "f-4", "ours too", officer.Actor))
		b.expect(id, garrison.StateRefuted, DidOpen, DidJoin, DidDrop, DidRefute)
		b.must(b.Refuted(ctx, "f-nobody-knows", "x", officer.Actor))
	})
}

// TestEffectsAreAskedForAgain: what could not be asked for is asked for by the
// reminder, by the person and for the reason of the step.
func TestEffectsAreAskedForAgain(t *testing.T) {
	b := newBench(t, statetest.OpenSQLite)
	ctx := t.Context()
	b.out.fail = errors.New("down")
	claimed := b.confirm("f-1", "run-1", b.finding("subject-1", dead, "https://a.example/", garrison.High))
	b.act(claimed, Action{Do: DoClaim}, person)
	refuted := b.confirm("f-2", "run-2", b.finding("subject-1", "links.parked", "https://b.example/", garrison.High))
	b.act(refuted, Action{Do: DoRefute, Note: "ours"}, officer)
	if c, _ := b.get(refuted); c.Left != 1 {
		t.Fatalf("%d left, want 1", c.Left)
	}
	b.out.fail = nil
	before := b.out.times()
	b.remind(ctx)
	if b.out.times() != before+1 {
		t.Errorf("reminder asked for %d looks, want 1", b.out.times()-before)
	}
	if c, _ := b.get(refuted); c.Left != 0 {
		t.Errorf("refuted finding still waits: %d left", c.Left)
	}
	b.remind(ctx)
	if len(b.out.refuted) != 1 {
		t.Errorf("refuted %d times, want once", len(b.out.refuted))
	}
}

func TestStartRemindsAndStops(t *testing.T) {
	b := newBench(t, statetest.OpenSQLite)
	id := b.confirm("f-1", "run-1", b.finding("subject-1", dead, "https://a.example/", garrison.High))
	b.act(id, Action{Do: DoClaim}, person)
	before := b.out.times()
	b.must(b.Start(t.Context()))
	for deadline := time.Now().Add(10 * time.Second); b.out.times() == before && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	b.must(b.Stop(t.Context()))
	if b.out.times() != before+1 {
		t.Errorf("start asked for %d looks, want 1", b.out.times()-before)
	}
}

func TestPolicyOpens(t *testing.T) {
	b := newBench(t, statetest.OpenSQLite)
	for _, s := range []garrison.Severity{garrison.Info, garrison.Low} {
		if id := b.confirm("f-"+s.String(), "run-1", b.finding("subject-1", dead, "https://a.example/"+s.String(), s)); id != "" {
			t.Errorf("%s opened %q", s, id)
		}
	}
	if id := b.confirm("f-m", "run-1", b.finding("subject-9", dead, "https://a.example/", garrison.Medium)); id == "" {
		t.Error("medium on a subject that the register does not know opened nothing")
	}
}

func TestHostileFindings(t *testing.T) {
	statetest.Each(t, func(t *testing.T, open statetest.Open) {
		b := newBench(t, open)
		ctx := t.Context()
		loci := []string{"https://a.example/\x00", "https://a.example/\xff\xfe", `'; DROP TABLE cases_case; --`, "<script>alert(1)</script>", strings.Repeat("é", 2000), ""}
		for i, locus := range loci {
			run := b.run(fmt.Sprintf("run-%d", i), "subject-1")
			if _, err := b.Confirmed(ctx, garrison.FindingID(fmt.Sprintf("f-%d", i)), b.finding("subject-1", dead, locus, garrison.High), run); err != nil {
				t.Errorf("locus %.40q: %v", locus, err)
			}
		}
		bad := []garrison.Finding{
			b.finding("", dead, "x", garrison.High), b.finding("subject-1", "", "x", garrison.High),
			b.finding("subject-1", strings.Repeat("r", 200), "x", garrison.High), b.finding("sub\x00", dead, "x", garrison.High),
			b.finding("subject-1", dead, strings.Repeat("x", 5000), garrison.High), b.finding("subject-1", dead, "x", 99),
		}
		for i, f := range bad {
			if id, err := b.Confirmed(ctx, garrison.FindingID(fmt.Sprintf("bad-%d", i)), f, b.run("run-b", "subject-1")); err == nil {
				t.Errorf("bad finding %d opened case %q", i, id)
			}
		}
		b.must(b.Unsure(ctx, "f-0", b.run("run-u", "subject-1"), "a\x00b\xff"+strings.Repeat("w", 1000)))
		b.must(b.Refuted(ctx, "f-0", "a\x00b\xff"+strings.Repeat("w", 9000), officer.Actor))
		for _, id := range []garrison.CaseID{"", "case-none", "\x00", "\xff", "' OR 1=1 --", garrison.CaseID(strings.Repeat("9", 1<<20))} {
			if _, _, err := b.Get(ctx, id); garrison.CodeOf(err) != garrison.NotFound {
				t.Errorf("get %.20q: %v", id, err)
			}
			if _, err := b.Act(ctx, id, Action{Do: DoComment, Note: "x"}, person); garrison.CodeOf(err) != garrison.NotFound {
				t.Errorf("act on %.20q: %v", id, err)
			}
		}
	})
}

func TestVersionsAndAssignees(t *testing.T) {
	b := newBench(t, statetest.OpenSQLite)
	ctx := t.Context()
	id := b.confirm("f-1", "run-1", b.finding("subject-1", dead, "https://a.example/", garrison.High))
	c, _ := b.get(id)
	if _, err := b.Act(ctx, id, Action{Do: DoAssign, Assignee: "nobody", Version: c.Version}, officer); garrison.CodeOf(err) != garrison.Invalid {
		t.Errorf("assign to a stranger: %v", err)
	}
	if _, err := b.Act(ctx, id, Action{Do: DoAssign, Assignee: "account-1", Version: c.Version}, officer); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Act(ctx, id, Action{Do: DoAssign, Assignee: "account-2", Version: c.Version}, officer); garrison.CodeOf(err) != garrison.Conflict {
		t.Errorf("assign with the version seen before: %v", err)
	}
	// By number as well, in any case of letters; and a comment without a version.
	if _, err := b.Act(ctx, "c-2611-0001", Action{Do: DoComment, Note: "x"}, person); err != nil {
		t.Errorf("comment by number: %v", err)
	}
	// A look from outside is not taken.
	if _, err := b.Act(ctx, id, Action{Do: DoLook, Look: lookOf(garrison.Pass, 0), Version: 3}, runner); garrison.CodeOf(err) != garrison.Invalid {
		t.Errorf("a look through Act: %v", err)
	}
}

// TestVersionsRace: of many who act on what they saw, one wins and the others are told.
func TestVersionsRace(t *testing.T) {
	statetest.Each(t, func(t *testing.T, open statetest.Open) {
		b := newBench(t, open)
		id := b.confirm("f-1", "run-1", b.finding("subject-1", dead, "https://a.example/", garrison.High))
		c, _ := b.get(id)
		errs := make([]error, 8)
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() {
				_, errs[i] = b.Act(t.Context(), id, Action{Do: DoAssign, Assignee: garrison.AccountID(fmt.Sprintf("account-%d", i)), Version: c.Version}, officer)
			})
		}
		wg.Wait()
		won := 0
		for _, err := range errs {
			switch {
			case err == nil:
				won++
			case garrison.CodeOf(err) != garrison.Conflict:
				t.Errorf("loser: %v", err)
			}
		}
		if won != 1 {
			t.Errorf("%d won, want 1", won)
		}
		b.expect(id, garrison.StateAssigned, DidOpen, DidAssign)
	})
}

func TestNumbers(t *testing.T) {
	statetest.Each(t, func(t *testing.T, open statetest.Open) {
		b := newBench(t, open)
		numberOf := func(i int) string {
			c, _ := b.get(b.confirm(fmt.Sprintf("f-%d", i), "run", b.finding("subject-1", fmt.Sprintf("links.r%d", i), "x", garrison.High)))
			return c.Number
		}
		for i := 1; i <= 3; i++ {
			if got, want := numberOf(i), fmt.Sprintf("C-2611-%04d", i); got != want {
				t.Errorf("number %q, want %q", got, want)
			}
		}
		// 15:59 UTC on the last day is still November in Shanghai; a minute later it is not.
		b.clock.t = time.Date(2026, 11, 30, 15, 58, 0, 0, time.UTC)
		if got := numberOf(4); got != "C-2611-0004" {
			t.Errorf("just before the month ends: %q", got)
		}
		if got := numberOf(5); got != "C-2612-0001" {
			t.Errorf("as the month begins: %q", got)
		}
	})
}

func TestList(t *testing.T) {
	statetest.Each(t, func(t *testing.T, open statetest.Open) {
		b := newBench(t, open)
		ctx := t.Context()
		var ids []garrison.CaseID
		for i := range 7 {
			sev := garrison.Medium
			if i%2 == 1 {
				sev = garrison.High
			}
			subject := "subject-1"
			if i >= 5 {
				subject = "subject-2"
			}
			ids = append(ids, b.confirm(fmt.Sprintf("f-%d", i), fmt.Sprintf("run-%d", i), b.finding(subject, fmt.Sprintf("links.r%d", i), fmt.Sprintf("https://h%d.example/100%%_x", i), sev)))
		}
		b.act(ids[0], Action{Do: DoAssign, Assignee: "account-1"}, officer)
		b.act(ids[1], Action{Do: DoClaim}, person)
		b.must(b.Rechecked(ctx, "f-2", b.run("run-9", "subject-1"), true))
		b.clock.add(4 * 24 * time.Hour) // the high ones are late now
		yes, no := true, false
		tests := []struct {
			name string
			f    Filter
			want []int
		}{
			{"all, newest first", Filter{}, []int{6, 5, 4, 3, 2, 1, 0}},
			{"soonest first", Filter{Order: OrderDue}, []int{1, 3, 5, 0, 2, 4, 6}},
			{"open and assigned", Filter{States: []garrison.State{garrison.StateOpen, garrison.StateAssigned}}, []int{6, 5, 4, 3, 0}},
			{"closed", Filter{States: []garrison.State{garrison.StateClosed}}, []int{2}},
			{"of one owner", Filter{Owner: "account-1"}, []int{0}},
			{"nobody's", Filter{NoOwner: true, States: []garrison.State{garrison.StateOpen}}, []int{6, 5, 4, 3}},
			{"of one subject", Filter{Subject: "subject-2"}, []int{6, 5}},
			{"of one rule", Filter{Rule: "links.r3"}, []int{3}},
			{"of one measure", Filter{Measure: "links"}, []int{6, 5, 4, 3, 2, 1, 0}},
			{"of one finding", Filter{Finding: "f-4"}, []int{4}},
			{"of one kind", Filter{Kind: garrison.Rectification}, []int{6, 5, 4, 3, 2, 1, 0}},
			{"of a kind there is none of", Filter{Kind: garrison.Incident}, nil},
			{"late", Filter{Late: true}, []int{5, 3, 1}},
			{"demonstration", Filter{Demo: &yes}, []int{6, 5}},
			{"not demonstration", Filter{Demo: &no, Late: true}, []int{3, 1}},
			{"by number", Filter{Query: "c-2611-0004"}, []int{3}},
			{"by subject's name", Filter{Query: "青檀县"}, []int{4, 3, 2, 1, 0}},
			{"by place", Filter{Query: "H4.EXAMPLE"}, []int{4}},
			{"percent is no pattern", Filter{Query: "h%example"}, nil},
			{"percent is found", Filter{Query: "3.example/100%_"}, []int{3}},
			{"quote", Filter{Query: `'; DROP TABLE cases_case; --`}, nil},
			{"backslash", Filter{Query: `\`}, nil},
			{"hostile owner", Filter{Owner: "a\x00b"}, nil},
			{"hostile state", Filter{States: []garrison.State{"\x00", "open' OR '1'='1"}}, nil},
		}
		for _, tt := range tests {
			for _, limit := range []int{0, 1, 2} {
				got := walk(t, b, tt.f, limit)
				var want []garrison.CaseID
				for _, i := range tt.want {
					want = append(want, ids[i])
				}
				if diff := cmp.Diff(got, want); diff != "" {
					t.Errorf("%s, pages of %d (-got +want)\n%s", tt.name, limit, diff)
				}
			}
		}
		n, err := b.Counts(ctx, "account-1")
		b.must(err)
		want := Counts{ByState: map[garrison.State]int{garrison.StateOpen: 4, garrison.StateAssigned: 1, garrison.StateClaimed: 1, garrison.StateClosed: 1},
			Open: 6, Late: 3, NoOwner: 5, Mine: 1}
		if diff := cmp.Diff(n, want); diff != "" {
			t.Errorf("counts (-got +want)\n%s", diff)
		}
		if n, _ = b.Counts(ctx, ""); n.Mine != 0 {
			t.Errorf("nobody has %d cases", n.Mine)
		}
	})
}

func walk(t *testing.T, b *bench, f Filter, limit int) []garrison.CaseID {
	t.Helper()
	var ids []garrison.CaseID
	f.Limit = limit
	for range 20 {
		page, next, err := b.List(t.Context(), f)
		b.must(err)
		if limit > 0 && len(page) > limit {
			t.Errorf("page of %d, limit %d", len(page), limit)
		}
		for _, c := range page {
			ids = append(ids, c.ID)
		}
		if next == "" {
			return ids
		}
		f.After = next
	}
	t.Fatal("the pages do not end")
	return nil
}

func TestListRefuses(t *testing.T) {
	b := newBench(t, statetest.OpenSQLite)
	for i := range 3 {
		b.confirm(fmt.Sprintf("f-%d", i), "run-1", b.finding("subject-1", fmt.Sprintf("links.r%d", i), "x", garrison.High))
	}
	_, next, err := b.List(t.Context(), Filter{Limit: 1})
	b.must(err)
	cursor := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	for name, f := range map[string]Filter{
		"limit below none": {Limit: -1}, "limit too high": {Limit: 201}, "unknown order": {Order: "random"},
		"long query": {Query: strings.Repeat("x", 201)}, "query with a zero byte": {Query: "a\x00"}, "query not text": {Query: "\xff"},
		"cursor of another order": {After: next, Order: OrderDue}, "cursor not base64": {After: "%%%"}, "cursor with a tail": {After: next + "=="},
		"cursor without id": {After: cursor("opened 1 ")}, "cursor without time": {After: cursor("opened x case-1")},
		"cursor out of range": {After: cursor("opened 99999999999999999999 case-1")}, "cursor with a zero byte": {After: cursor("opened 1 a\x00")},
		"cursor too long": {After: strings.Repeat("A", 1000)},
	} {
		if _, _, err := b.List(t.Context(), f); garrison.CodeOf(err) != garrison.Invalid && garrison.CodeOf(err) != garrison.TooLarge {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOpenByHand(t *testing.T) {
	b := newBench(t, statetest.OpenSQLite)
	ctx := t.Context()
	good := OpenRequest{Kind: garrison.Rectification, Subject: "subject-1", Measure: "links", Rule: dead, Severity: garrison.Medium,
		Findings: []Member{{Finding: "f-1", Locus: "https://a.example/"}, {Finding: "f-2", Locus: "https://b.example/"}}}
	c, err := b.Open(ctx, good, person)
	b.must(err)
	again, err := b.Open(ctx, good, person)
	if err != nil || again.ID != c.ID || again.Total != 2 {
		t.Errorf("again: %+v, %v", again, err)
	}
	bad := map[string]func(*OpenRequest){
		"unknown kind":    func(r *OpenRequest) { r.Kind = "nonsense" },
		"kind of no flow": func(r *OpenRequest) { r.Kind = garrison.Incident },
		"no finding":      func(r *OpenRequest) { r.Findings = nil },
		"no measure":      func(r *OpenRequest) { r.Measure = "" },
		"too many":        func(r *OpenRequest) { r.Findings = make([]Member, maxOpenFindings+1) },
		"due before now":  func(r *OpenRequest) { r.Due = t0.Add(-time.Hour) },
		"empty finding":   func(r *OpenRequest) { r.Findings = []Member{{}} },
	}
	for name, spoil := range bad {
		r := good
		spoil(&r)
		if _, err := b.Open(ctx, r, person); garrison.CodeOf(err) != garrison.Invalid && garrison.CodeOf(err) != garrison.TooLarge {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := b.Open(ctx, good, auditor); garrison.CodeOf(err) != garrison.Denied {
		t.Errorf("auditor opens: %v", err)
	}
}

func TestDeeds(t *testing.T) {
	b := newBench(t, statetest.OpenSQLite)
	tests := []struct {
		st   garrison.State
		by   By
		want []string
	}{
		{garrison.StateOpen, officer, []string{DoAssign, DoComment, DoClaim, DoAsk, DoRefute}},
		{garrison.StateClaimed, person, []string{DoAssign, DoComment, DoAsk}},
		{garrison.StateOpen, token, []string{DoAssign, DoComment, DoClaim, DoAsk}},
		{garrison.StateClosed, officer, []string{DoComment}},
		{garrison.StateOpen, auditor, nil},
		{garrison.StateOpen, runner, nil},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(b.Deeds(caseIn(tt.st), tt.by), tt.want); diff != "" {
			t.Errorf("%s by %s (-got +want)\n%s", tt.st, tt.by.Actor.Name, diff)
		}
	}
}

// TestEverythingHasALedgerEntry: after all kinds of changes the audit finds nothing,
// every step has its place in the ledger, and removing the demonstration leaves
// nothing but its history.
func TestEverythingHasALedgerEntry(t *testing.T) {
	statetest.Each(t, func(t *testing.T, open statetest.Open) {
		b := newBench(t, open)
		ctx := t.Context()
		log := &statetest.Ledger{}
		id := b.confirm("f-1", "run-1", b.finding("subject-1", dead, "https://a.example/", garrison.High))
		b.confirm("f-2", "run-2", b.finding("subject-1", dead, "https://b.example/", garrison.High))
		b.act(id, Action{Do: DoClaim, Note: "好了"}, person)
		b.must(b.Rechecked(ctx, "f-1", b.run("run-3", "subject-1"), true))
		demo := b.confirm("f-3", "run-4", b.finding("subject-2", dead, "https://c.example/", garrison.High))
		if c, _ := b.get(demo); !c.Demo {
			t.Error("a case on a demonstration's subject is not the demonstration's")
		}
		n, err := b.RemoveDemo(ctx, officer.Actor)
		if err != nil || n != 1 {
			t.Fatalf("removed %d, %v", n, err)
		}
		if _, _, err := b.Get(ctx, demo); garrison.CodeOf(err) != garrison.NotFound {
			t.Errorf("removed case: %v", err)
		}
		if _, err := b.db.Drain(ctx, log); err != nil {
			t.Fatal(err)
		}
		_, steps, err := b.Get(ctx, id)
		b.must(err)
		for _, st := range steps {
			if st.Evidence.Zero() {
				t.Errorf("step %d %s has no place in the ledger", st.Seq, st.Do)
			}
		}
		b.must(b.db.Audit(ctx, log, func(d state.Damage) { t.Errorf("audit: %+v", d) }))
		private := regexp.MustCompile(`好了|Zhou Yan|a\.example`)
		for i, e := range log.Entries() {
			if private.Match(e) {
				t.Errorf("entry %d carries what people wrote:\n%s", i, e)
			}
		}
		// Whoever changes a row behind our back is found out.
		for _, forged := range []string{
			`UPDATE cases_case SET state = 'closed' WHERE subject = 'subject-1'`,
			`UPDATE cases_step SET note = 'nothing' WHERE note <> ''`,
			`UPDATE cases_number SET last = 99`,
		} {
			b.must(b.db.Write(ctx, func(tx *state.Tx) error { _, err := tx.Exec(ctx, forged); return err }))
			found := 0
			b.must(b.db.Audit(ctx, log, func(state.Damage) { found++ }))
			if found == 0 {
				t.Errorf("not found: %s", forged)
			}
		}
	})
}

func TestNewRefuses(t *testing.T) {
	db := statetest.OpenSQLite(t)
	for name, spoil := range map[string]func(*Config, *Deps){
		"policy without terms": func(c *Config, _ *Deps) { c.Policy.DueIn = nil },
		"asking all the time":  func(c *Config, _ *Deps) { c.AskAgain = 0 },
		"no database":          func(_ *Config, d *Deps) { d.DB = nil },
	} {
		cfg, deps := DefaultConfig(), Deps{DB: db}
		spoil(&cfg, &deps)
		if _, err := New(cfg, deps); garrison.CodeOf(err) != garrison.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}
