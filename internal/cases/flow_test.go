package cases

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"garrison"

	"github.com/google/go-cmp/cmp"
)

var (
	t0       = time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)
	person   = By{Actor: garrison.Actor{Kind: garrison.ByPerson, ID: "account-1", Name: "Zhou Yan"}, Roles: []string{RoleOperator}}
	officer  = By{Actor: garrison.Actor{Kind: garrison.ByPerson, ID: "account-2", Name: "Liang Xu"}, Roles: []string{RoleSecurity}}
	token    = By{Actor: garrison.Actor{Kind: garrison.ByToken, ID: "token-1", Name: "script"}, Roles: []string{RoleSecurity}}
	local    = By{Actor: garrison.Actor{Kind: garrison.ByToken, ID: "token-2", Name: "local"}, Roles: []string{RoleLocal}}
	auditor  = By{Actor: garrison.Actor{Kind: garrison.ByPerson, ID: "account-3", Name: "He An"}, Roles: []string{"audit", "inspector", "system"}}
	runner   = By{Actor: garrison.System("cases")}
	everyone = map[string]By{"operator": person, "security": officer, "token": token, "local": local, "audit": auditor, "runner": runner}
)

func caseIn(st garrison.State) Case {
	c := Case{Case: garrison.Case{ID: "case-1", Number: "C-2611-0001", Kind: garrison.Rectification, State: st,
		Subject: "subject-1", Measure: "links", Severity: garrison.Medium,
		Opened: t0, Due: t0.Add(15 * 24 * time.Hour), Version: 4}, Rule: "links.dead", Total: 2, Left: 2, Steps: 3, JoinRun: "run-1"}
	switch st {
	case garrison.StateAssigned:
		c.Owner = "account-1"
	case garrison.StateClaimed:
		c.Owner, c.Claimed = "account-1", t0.Add(time.Hour)
	case garrison.StateClosed, garrison.StateRefuted:
		c.Closed = t0.Add(2 * time.Hour)
	}
	return c
}

func lookOf(outcome garrison.Outcome, left int) *Look {
	return &Look{Run: "run-2", Measure: "links", Subject: "subject-1", Started: t0.Add(90 * time.Minute), After: t0.Add(-time.Minute),
		Outcome: outcome, Locus: "https://a.example/", Left: left}
}

var states = []garrison.State{garrison.StateOpen, garrison.StateAssigned, garrison.StateClaimed, garrison.StateClosed, garrison.StateRefuted}

// TestFlowEveryDeedInEveryState is the whole table, said a second time: for each deed
// and state, who may, and where it leads. "-" is a deed that does not fit the state.
func TestFlowEveryDeedInEveryState(t *testing.T) {
	people := "local operator security token"
	table := []struct {
		do  string
		by  string
		out [5]string // open, assigned, claimed, closed, refuted
	}{
		{DoAssign, people, [5]string{"assigned", "assigned", "claimed", "-", "-"}},
		{DoComment, people, [5]string{"open", "assigned", "claimed", "closed", "refuted"}},
		{DoClaim, people, [5]string{"claimed", "claimed", "-", "-", "-"}},
		{DoAsk, people, [5]string{"open", "assigned", "claimed", "-", "-"}},
		{DoRefute, "security", [5]string{"refuted", "refuted", "refuted", "-", "-"}},
		{DoClose, "", [5]string{"held", "held", "held", "-", "-"}},
		{DoLook, "runner", [5]string{"closed", "closed", "closed", "-", "-"}},
		{DoJoin, "runner", [5]string{"open", "assigned", "claimed", "-", "-"}},
		{DoDrop, "runner", [5]string{"open", "assigned", "claimed", "-", "-"}},
	}
	tried := 0
	for _, row := range table {
		for i, st := range states {
			for role, by := range everyone {
				tried++
				c := caseIn(st)
				a := Action{Do: row.do, Note: "because", Assignee: "account-9", Version: c.Version, Look: lookOf(garrison.Pass, 0)}
				if row.do != DoLook {
					a.Look.Left = 1
				}
				got, step, _, err := FlowOf(garrison.Rectification).Apply(c, a, by, t0.Add(2*time.Hour))
				want, code := row.out[i], garrison.Code("")
				switch {
				case want == "-":
					code = garrison.Conflict
				case want == "held":
					code = garrison.Held
				case !strings.Contains(" "+row.by+" ", " "+role+" "):
					code = garrison.Denied
				}
				name := fmt.Sprintf("%s in %s by %s", row.do, st, role)
				if garrison.CodeOf(err) != code {
					t.Errorf("%s: error %v, want code %q", name, err, code)
					continue
				}
				if code != "" {
					if diff := cmp.Diff(got, c); diff != "" {
						t.Errorf("%s: refused, yet the case changed (-got +want)\n%s", name, diff)
					}
					if step.Do != "" {
						t.Errorf("%s: refused, yet there is a step %q", name, step.Do)
					}
					continue
				}
				if string(got.State) != want {
					t.Errorf("%s: to %s, want %s", name, got.State, want)
				}
				if step.From != st || step.To != got.State || step.Seq != c.Steps+1 || step.Case != c.ID || step.At.IsZero() {
					t.Errorf("%s: step %+v does not say what happened", name, step)
				}
			}
		}
	}
	if want := 9 * 5 * 6; tried != want {
		t.Fatalf("tried %d, want %d", tried, want)
	}
}

func TestFlowNobodyCloses(t *testing.T) {
	for role, by := range everyone {
		by.Roles = append([]string{"system", "security", "audit", "operator", RoleLook}, by.Roles...)
		for _, st := range states[:3] {
			_, _, _, err := FlowOf(garrison.Rectification).Apply(caseIn(st), Action{Do: DoClose, Version: 4}, by, t0)
			var e *garrison.Error
			if e, _ = err.(*garrison.Error); e == nil || e.Code != garrison.Held || e.Key != "error.cases.only_rechecked" {
				t.Errorf("%s closes a case in %s: %v, want held, error.cases.only_rechecked", role, st, err)
			}
		}
		// Nor by saying that one is the runner.
		if by.Actor.Kind != garrison.BySystem {
			_, _, _, err := FlowOf(garrison.Rectification).Apply(caseIn(garrison.StateClaimed), Action{Do: DoLook, Version: 4, Look: lookOf(garrison.Pass, 0)}, by, t0)
			if garrison.CodeOf(err) != garrison.Denied {
				t.Errorf("%s looks: %v, want denied", role, err)
			}
		}
	}
}

func TestFlowLooks(t *testing.T) {
	early := func(l *Look) *Look { l.Started = t0.Add(30 * time.Minute); return l } // before the claim
	tests := []struct {
		name   string
		state  garrison.State
		change func(*Case)
		look   *Look
		to     garrison.State
		did    string
		left   int
	}{
		{"last one gone closes an open case", garrison.StateOpen, nil, lookOf(garrison.Pass, 0), garrison.StateClosed, DidClose, 0},
		{"last one gone closes an assigned case", garrison.StateAssigned, nil, lookOf(garrison.Pass, 0), garrison.StateClosed, DidClose, 0},
		{"last one gone closes a claimed case", garrison.StateClaimed, nil, lookOf(garrison.Pass, 0), garrison.StateClosed, DidClose, 0},
		{"a look before the claim may close", garrison.StateClaimed, nil, early(lookOf(garrison.Pass, 0)), garrison.StateClosed, DidClose, 0},
		{"one of two gone changes the count only", garrison.StateClaimed, nil, lookOf(garrison.Pass, 1), garrison.StateClaimed, "", 1},
		{"still there reopens a claim", garrison.StateClaimed, nil, lookOf(garrison.Fail, 2), garrison.StateAssigned, DidReopen, 2},
		{"still there reopens a claim nobody owns", garrison.StateClaimed, func(c *Case) { c.Owner = "" }, lookOf(garrison.Fail, 2), garrison.StateOpen, DidReopen, 2},
		{"a look before the claim does not reopen", garrison.StateClaimed, nil, early(lookOf(garrison.Fail, 2)), garrison.StateClaimed, "", 2},
		{"still there is no news to an open case", garrison.StateOpen, nil, lookOf(garrison.Fail, 2), garrison.StateOpen, "", 2},
		{"still there is no news to an assigned case", garrison.StateAssigned, nil, lookOf(garrison.Fail, 2), garrison.StateAssigned, "", 2},
		{"could not tell is written down", garrison.StateClaimed, nil, lookOf(garrison.Unknown, 2), garrison.StateClaimed, DidLook, 2},
		{"could not tell is written down once a run", garrison.StateClaimed, func(c *Case) { c.Unsure = "run-2" }, lookOf(garrison.Unknown, 2), garrison.StateClaimed, "", 2},
		{"could not tell again, after a claim", garrison.StateClaimed, func(c *Case) { c.Unsure = "run-1" }, lookOf(garrison.Unknown, 2), garrison.StateClaimed, DidLook, 2},
		{"could not tell, nobody waits", garrison.StateOpen, nil, lookOf(garrison.Unknown, 2), garrison.StateOpen, DidLook, 2},
		{"could not tell again, nobody waits", garrison.StateOpen, func(c *Case) { c.Unsure = "run-1" }, lookOf(garrison.Unknown, 2), garrison.StateOpen, "", 2},
		{"could not tell with none left does not close", garrison.StateClaimed, nil, lookOf(garrison.Unknown, 0), garrison.StateClaimed, DidLook, 2},
		{"the zero outcome does not close", garrison.StateClaimed, nil, lookOf(garrison.Outcome(0), 0), garrison.StateClaimed, DidLook, 2},
		{"not applicable does not close", garrison.StateClaimed, nil, lookOf(garrison.NotApplicable, 0), garrison.StateClaimed, "", 2},
	}
	for _, tt := range tests {
		c := caseIn(tt.state)
		if tt.change != nil {
			tt.change(&c)
		}
		now := t0.Add(3 * time.Hour)
		got, step, effects, err := FlowOf(c.Kind).Apply(c, Action{Do: DoLook, Look: tt.look}, runner, now)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if got.State != tt.to || step.Do != tt.did || got.Left != tt.left || len(effects) != 0 {
			t.Errorf("%s: state %s, step %q, left %d, effects %v; want %s, %q, %d, none", tt.name, got.State, step.Do, got.Left, effects, tt.to, tt.did, tt.left)
		}
		if closed := !got.Closed.IsZero(); closed != (tt.to == garrison.StateClosed) {
			t.Errorf("%s: closed at %v in state %s", tt.name, got.Closed, got.State)
		}
		if changed := got.Version != c.Version; changed != (step.Do != "" || got.Left != c.Left) {
			t.Errorf("%s: version %d to %d with step %q and %d to %d left", tt.name, c.Version, got.Version, step.Do, c.Left, got.Left)
		}
		if got.Due != c.Due {
			t.Errorf("%s: a look moved the date", tt.name)
		}
		if step.Do != "" && (step.Run != "run-2" || step.What.Key == "") {
			t.Errorf("%s: step %+v has no run or no words", tt.name, step)
		}
	}
}

func TestFlowLooksThatCannotSpeak(t *testing.T) {
	tests := map[string]func(*Look){
		"another measure":          func(l *Look) { l.Measure = "tls" },
		"another subject":          func(l *Look) { l.Subject = "subject-2" },
		"no run":                   func(l *Look) { l.Run = "" },
		"the confirming run":       func(l *Look) { l.After = l.Started },
		"a run before":             func(l *Look) { l.After = l.Started.Add(time.Second) },
		"fewer than none left":     func(l *Look) { l.Left = -1 },
		"a run that never started": func(l *Look) { l.Started = time.Time{} },
	}
	for name, spoil := range tests {
		l := lookOf(garrison.Pass, 0)
		spoil(l)
		got, _, _, err := FlowOf(garrison.Rectification).Apply(caseIn(garrison.StateClaimed), Action{Do: DoLook, Look: l}, runner, t0)
		if garrison.CodeOf(err) != garrison.Invalid || got.State != garrison.StateClaimed {
			t.Errorf("%s: %v in state %s, want invalid and claimed", name, err, got.State)
		}
	}
	if _, _, _, err := FlowOf(garrison.Rectification).Apply(caseIn(garrison.StateOpen), Action{Do: DoLook}, runner, t0); garrison.CodeOf(err) != garrison.Invalid {
		t.Errorf("look without a look: %v, want invalid", err)
	}
}

func TestFlowJoin(t *testing.T) {
	f := FlowOf(garrison.Rectification)
	l := lookOf(garrison.Fail, 3)
	l.Severity, l.Due = garrison.Critical, t0.Add(24*time.Hour)
	got, step, _, err := f.Apply(caseIn(garrison.StateAssigned), Action{Do: DoJoin, Look: l}, runner, t0)
	if err != nil {
		t.Fatal(err)
	}
	if got.Total != 3 || got.Left != 3 || got.Severity != garrison.Critical || got.Due != l.Due || step.Do != DidJoin {
		t.Errorf("joined: %+v, step %q", got, step.Do)
	}
	l.Run, l.Due, l.Severity, l.Left, l.Again = "run-2", t0.Add(99*time.Hour), garrison.Low, 3, true
	again, step, _, err := f.Apply(got, Action{Do: DoJoin, Look: l}, runner, t0)
	if err != nil {
		t.Fatal(err)
	}
	if again.Total != 3 || again.Severity != garrison.Critical || again.Due != got.Due {
		t.Errorf("joined again: total %d, severity %s, due %v", again.Total, again.Severity, again.Due)
	}
	if step.Do != "" {
		t.Errorf("second place of the same run: step %q, want none", step.Do)
	}
}

func TestFlowDrop(t *testing.T) {
	f := FlowOf(garrison.Rectification)
	l := &Look{Measure: "links", Subject: "subject-1", Left: 1, By: officer.Actor}
	got, step, _, err := f.Apply(caseIn(garrison.StateOpen), Action{Do: DoDrop, Note: "ours", Look: l}, runner, t0)
	if err != nil || got.State != garrison.StateOpen || step.Do != DidDrop || step.By != officer.Actor {
		t.Fatalf("one of two dropped: %v, state %s, step %+v", err, got.State, step)
	}
	l.Left = 0
	got, step, _, err = f.Apply(got, Action{Do: DoDrop, Note: "ours too", Look: l}, runner, t0)
	if err != nil || got.State != garrison.StateRefuted || step.Do != DidRefute || got.Closed.IsZero() {
		t.Fatalf("last dropped: %v, state %s, step %+v", err, got.State, step)
	}
}

func TestFlowEffects(t *testing.T) {
	f := FlowOf(garrison.Rectification)
	want := map[string][]Effect{
		DoClaim:  {{Do: EffectRecheck}},
		DoAsk:    {{Do: EffectRecheck}},
		DoRefute: {{Do: EffectRefute, Reason: "a page of ours"}},
		DoAssign: nil, DoComment: nil,
	}
	for do, effects := range want {
		_, _, got, err := f.Apply(caseIn(garrison.StateOpen), Action{Do: do, Note: "a page of ours", Assignee: "account-1", Version: 4}, officer, t0)
		if diff := cmp.Diff(got, effects); err != nil || diff != "" {
			t.Errorf("%s: %v (-got +want)\n%s", do, err, diff)
		}
	}
}

func TestFlowRefusesBadInput(t *testing.T) {
	f := FlowOf(garrison.Rectification)
	tests := []struct {
		name string
		a    Action
		code garrison.Code
		key  string
	}{
		{"no deed", Action{Version: 4}, garrison.Invalid, "error.cases.no_such_action"},
		{"unknown deed", Action{Do: "closed", Version: 4}, garrison.Invalid, "error.cases.no_such_action"},
		{"deed in capitals", Action{Do: "CLOSE", Version: 4}, garrison.Invalid, "error.cases.no_such_action"},
		{"no version", Action{Do: DoClaim}, garrison.Conflict, "error.cases.changed"},
		{"older version", Action{Do: DoClaim, Version: 3}, garrison.Conflict, "error.cases.changed"},
		{"later version", Action{Do: DoClaim, Version: 5}, garrison.Conflict, "error.cases.changed"},
		{"comment on an older version", Action{Do: DoComment, Note: "x", Version: 3}, garrison.Conflict, "error.cases.changed"},
		{"empty comment", Action{Do: DoComment}, garrison.Invalid, "error.cases.note_missing"},
		{"blank comment", Action{Do: DoComment, Note: " \n\t\u3000"}, garrison.Invalid, "error.cases.note_missing"},
		{"refuted without a reason", Action{Do: DoRefute, Version: 4}, garrison.Invalid, "error.cases.note_missing"},
		{"too long", Action{Do: DoComment, Note: strings.Repeat("字", MaxNote+1)}, garrison.TooLarge, "error.cases.note_too_long"},
		{"too long for a claim", Action{Do: DoClaim, Note: strings.Repeat("x", MaxNote+1), Version: 4}, garrison.TooLarge, "error.cases.note_too_long"},
		{"not text", Action{Do: DoComment, Note: "\xff\xfe"}, garrison.Invalid, "error.cases.note_invalid"},
		{"zero byte", Action{Do: DoComment, Note: "a\x00b"}, garrison.Invalid, "error.cases.note_invalid"},
		{"escape sequence", Action{Do: DoComment, Note: "a\x1b[2Jb"}, garrison.Invalid, "error.cases.note_invalid"},
		{"reversed text", Action{Do: DoComment, Note: "a\u202eb"}, garrison.Invalid, "error.cases.note_invalid"},
		{"nobody", Action{Do: DoAssign, Version: 4}, garrison.Invalid, "error.cases.assignee_missing"},
		{"somebody too long", Action{Do: DoAssign, Assignee: garrison.AccountID(strings.Repeat("a", 129)), Version: 4}, garrison.Invalid, "error.cases.assignee_missing"},
		{"somebody with a zero byte", Action{Do: DoAssign, Assignee: "a\x00", Version: 4}, garrison.Invalid, "error.cases.assignee_missing"},
	}
	for _, tt := range tests {
		c := caseIn(garrison.StateOpen)
		got, step, _, err := f.Apply(c, tt.a, officer, t0)
		e, _ := err.(*garrison.Error)
		if e == nil || e.Code != tt.code || e.Key != tt.key {
			t.Errorf("%s: %v, want %s %s", tt.name, err, tt.code, tt.key)
		}
		if diff := cmp.Diff(got, c); diff != "" || step.Do != "" {
			t.Errorf("%s: refused, yet something changed: step %q\n%s", tt.name, step.Do, diff)
		}
	}
	longest := Action{Do: DoComment, Note: strings.Repeat("字", MaxNote)}
	if _, _, _, err := f.Apply(caseIn(garrison.StateOpen), longest, officer, t0); err != nil {
		t.Errorf("longest note: %v", err)
	}
}

// TestFlowOtherKinds shows that the table alone makes a kind: a drill that people end.
func TestFlowOtherKinds(t *testing.T) {
	drill := &Flow{Kind: garrison.Drill, Moves: []Move{
		{From: []garrison.State{garrison.StateOpen}, Do: DoClaim, To: garrison.StateClosed, By: []string{RoleOperator}},
	}}
	c := caseIn(garrison.StateOpen)
	c.Kind = garrison.Drill
	got, _, _, err := drill.Apply(c, Action{Do: DoClaim, Version: 4}, person, t0)
	if err != nil || got.State != garrison.StateClosed {
		t.Errorf("drill ended: %v, state %s", err, got.State)
	}
	if _, _, _, err := drill.Apply(c, Action{Do: DoRefute, Version: 4, Note: "x"}, officer, t0); garrison.CodeOf(err) != garrison.Invalid {
		t.Errorf("a deed that the drill does not know: %v, want invalid", err)
	}
}

func TestFlowTables(t *testing.T) {
	flows := Flows()
	if len(flows) != 1 {
		t.Fatalf("%d flows, want 1", len(flows))
	}
	for _, f := range flows {
		seen := map[string]bool{}
		for _, m := range f.Moves {
			if m.To == garrison.StateClosed {
				t.Errorf("%s: %s leads to closed; only looking does", f.Kind, m.Do)
			}
			for _, st := range m.From {
				key := m.Do + " in " + string(st)
				if seen[key] {
					t.Errorf("%s: two lines for %s", f.Kind, key)
				}
				seen[key] = true
			}
		}
	}
	if FlowOf("incident") != nil {
		t.Error("there is a flow for incidents; the guide says that there is none yet")
	}
}

func TestLateStaysVisible(t *testing.T) {
	c := caseIn(garrison.StateOpen)
	tests := []struct {
		name   string
		closed time.Time
		now    time.Time
		want   time.Duration
	}{
		{"open before its date", time.Time{}, c.Due, 0},
		{"open past its date", time.Time{}, c.Due.Add(time.Second), time.Second},
		{"ended in time, looked at later", c.Due, c.Due.Add(time.Hour), 0},
		{"ended late, looked at much later", c.Due.Add(time.Minute), c.Due.Add(time.Hour), time.Minute},
	}
	for _, tt := range tests {
		c.Closed = tt.closed
		if got := c.LateBy(tt.now); got != tt.want || c.Late(tt.now) != (tt.want > 0) {
			t.Errorf("%s: late by %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestPolicy(t *testing.T) {
	p := DefaultPolicy()
	if errs := p.Validate(); len(errs) != 0 {
		t.Fatalf("default policy: %v", errs)
	}
	const day = 24 * time.Hour
	want := map[garrison.Severity]time.Duration{garrison.Info: 0, garrison.Low: 0, garrison.Medium: 15 * day, garrison.High: 3 * day, garrison.Critical: day}
	for s, in := range want {
		kind, due, ok := p.Opens(garrison.Finding{Severity: s}, t0)
		if ok != (in > 0) || ok && (kind != garrison.Rectification || due != t0.Add(in)) {
			t.Errorf("%s: %v, %s, due %v", s, ok, kind, due)
		}
	}
	p.MinSeverity = garrison.Low
	if _, due, ok := p.Opens(garrison.Finding{Severity: garrison.Low}, t0); !ok || due != t0.Add(30*day) {
		t.Errorf("low opens: %v, due %v", ok, due)
	}
	p.Kinds = map[garrison.MeasureID]garrison.CaseKind{"links": "nonsense"}
	p.DueIn = map[garrison.Severity]time.Duration{garrison.High: -1}
	if errs := p.Validate(); len(errs) != 5 {
		t.Errorf("policy with 5 faults: %v", errs)
	}
}
