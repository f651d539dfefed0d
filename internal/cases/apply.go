package cases

import (
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"garrison"
)

// Limits on what people can write into a case.
const (
	MaxNote     = 4000 // characters
	maxAssignee = 128  // bytes
)

// Apply returns the case after one deed, the step to write down, and what must
// happen outside. It is pure. A deed that needs no step (a look that sees an open
// case still failing, one of several places gone) returns a step whose Do is empty;
// whether the case changed shows in its Version.
func (f *Flow) Apply(c Case, do Action, by By, now time.Time) (Case, Step, []Effect, error) {
	m, err := f.move(c.State, do.Do)
	if err != nil {
		return c, Step{}, nil, err
	}
	if err := m.check(c, do, by); err != nil {
		return c, Step{}, nil, err
	}
	step := Step{Step: garrison.Step{
		Case: c.ID, Seq: c.Steps + 1, At: now, By: by.Actor, Note: do.Note, From: c.State,
	}}
	before := c
	if m.To != Same {
		c.State = m.To
	}
	effects := act(&c, &step, do, now)
	step.To = c.State
	if step.Do != "" {
		c.Steps++
	}
	if step.Do != "" || c.Left != before.Left || c.Total != before.Total {
		c.Version++
	}
	return c, step, effects, nil
}

// act does what is particular to a deed. The state has been set by the table, except
// after a look, where it follows from what was seen.
func act(c *Case, step *Step, do Action, now time.Time) []Effect {
	switch do.Do {
	case DoAssign:
		c.Owner = do.Assignee
		step.Do = DidAssign
		step.What = reason("cases.step.assigned", "account", string(do.Assignee))
	case DoComment:
		step.Do = DidComment
		step.What = reason("cases.step.commented")
	case DoClaim:
		c.Claimed, c.Unsure = now, ""
		step.Do = DidClaim
		step.What = reason("cases.step.claimed")
		return []Effect{{Do: EffectRecheck}}
	case DoAsk:
		step.Do = DidAsk
		step.What = reason("cases.step.asked")
		return []Effect{{Do: EffectRecheck}}
	case DoRefute:
		c.Closed = now
		step.Do = DidRefute
		step.What = reason("cases.step.refuted")
		return []Effect{{Do: EffectRefute, Reason: do.Note}}
	case DoJoin:
		join(c, step, *do.Look)
	case DoDrop:
		drop(c, step, do, now)
	case DoLook:
		look(c, step, *do.Look, now)
	}
	return nil
}

func join(c *Case, step *Step, l Look) {
	// The first run on a bad page confirms many places at once: one step says it.
	same := l.Run != "" && c.JoinRun == l.Run
	if !l.Again {
		c.Total++
	}
	c.Left, c.JoinRun = l.Left, l.Run
	c.Severity = max(c.Severity, l.Severity)
	if !l.Due.IsZero() && l.Due.Before(c.Due) {
		c.Due = l.Due // something worse came to light; a date never moves out
	}
	if same {
		return
	}
	step.Do, step.Run = DidJoin, l.Run
	step.What = reason("cases.step.joined", "locus", l.Locus)
}

// look decides what a later run means.
func look(c *Case, step *Step, l Look, now time.Time) {
	// A look begun before the claim says nothing about the claim.
	fresh := c.State == garrison.StateClaimed && !l.Started.Before(c.Claimed)
	switch {
	case l.Outcome == garrison.Pass:
		c.Left = l.Left
		if l.Left > 0 {
			return // the member says which run no longer saw it
		}
		c.State, c.Closed = garrison.StateClosed, now
		step.Do = DidClose
		step.What = reason("cases.step.closed", "total", c.Total)
	case l.Outcome == garrison.Fail && fresh:
		c.State = garrison.StateOpen
		if c.Owner != "" {
			c.State = garrison.StateAssigned
		}
		c.Claimed = time.Time{}
		step.Do = DidReopen
		step.What = reason("cases.step.reopened", "locus", l.Locus)
	case l.Outcome == garrison.Unknown:
		// Nobody waits on an unclaimed case, so a target that stays silent for
		// weeks is one step there, not one a night; the runs keep each look.
		if c.Unsure == l.Run || (c.Unsure != "" && !fresh) {
			return
		}
		c.Unsure = l.Run
		step.Do = DidLook
		step.What = reason("cases.step.unsure", "locus", l.Locus, "why", l.Why)
	default:
		return
	}
	step.Run, step.Outcome = l.Run, l.Outcome
}

// drop takes a refuted finding out; the last one ends the case.
func drop(c *Case, step *Step, do Action, now time.Time) {
	c.Left = do.Look.Left
	step.By = do.Look.By
	step.Do = DidDrop
	step.What = reason("cases.step.dropped", "locus", do.Look.Locus)
	if c.Left == 0 {
		c.State, c.Closed = garrison.StateRefuted, now
		step.Do = DidRefute
		step.What = reason("cases.step.refuted")
	}
}

// move finds the line for a deed. A deed that no line of the table knows is a wrong
// request; one known elsewhere does not fit the present state.
func (f *Flow) move(state garrison.State, do string) (*Move, error) {
	known := false
	for i := range f.Moves {
		m := &f.Moves[i]
		if m.Do != do {
			continue
		}
		known = true
		if slices.Contains(m.From, state) {
			return m, nil
		}
	}
	if !known {
		return nil, garrison.Refuse(garrison.Invalid, "error.cases.no_such_action", "action", do)
	}
	return nil, garrison.Refuse(garrison.Conflict, "error.cases.not_in_state", "action", do, "state", string(state))
}

func (m *Move) allows(by By) bool {
	if m.Person && by.Actor.Kind != garrison.ByPerson {
		return false
	}
	return slices.ContainsFunc(m.By, func(role string) bool {
		// RoleLook cannot be had, only the product itself acts under it.
		if role == RoleLook {
			return by.Actor.Kind == garrison.BySystem
		}
		return slices.Contains(by.Roles, role)
	})
}

func (m *Move) check(c Case, do Action, by By) error {
	if len(m.By) == 0 {
		return garrison.Refuse(garrison.Held, "error.cases.only_rechecked", "number", c.Number)
	}
	if !m.allows(by) {
		return garrison.Refuse(garrison.Denied, "error.cases.not_allowed", "action", m.Do, "roles", strings.Join(m.By, ", "))
	}
	if slices.Contains(m.By, RoleLook) {
		return checkLook(c, do)
	}
	// A comment cannot overwrite anything, so it alone may come without a version.
	if do.Version != c.Version && (m.Do != DoComment || do.Version != 0) {
		return garrison.Refuse(garrison.Conflict, "error.cases.changed", "seen", do.Version, "now", c.Version)
	}
	if m.Note && strings.TrimSpace(do.Note) == "" {
		return garrison.Refuse(garrison.Invalid, "error.cases.note_missing", "action", m.Do)
	}
	if err := checkNote(do.Note); err != nil {
		return err
	}
	if a := string(do.Assignee); m.Do == DoAssign && (a == "" || len(a) > maxAssignee || clean(a) != a) {
		return garrison.Refuse(garrison.Invalid, "error.cases.assignee_missing")
	}
	return nil
}

// checkLook refuses a look that cannot speak about this case: another measure,
// another subject, or begun before the case was opened. That is a mistake of the
// caller, and it must not close anything.
func checkLook(c Case, do Action) error {
	l := do.Look
	switch {
	case l == nil || (do.Do == DoLook && l.Run == ""):
		return garrison.Errorf(garrison.Invalid, "look at case %q without a run", c.Number)
	case l.Measure != c.Measure || l.Subject != c.Subject:
		return garrison.Errorf(garrison.Invalid, "run %q of %q on %q cannot speak about case %q", l.Run, l.Measure, l.Subject, c.Number)
	case do.Do == DoLook && !l.Started.After(l.After):
		return garrison.Errorf(garrison.Invalid, "run %q began before the finding in case %q was confirmed", l.Run, c.Number)
	case l.Left < 0 || do.Do == DoJoin && l.Left == 0:
		return garrison.Errorf(garrison.Invalid, "case %q with %d findings left after %s", c.Number, l.Left, do.Do)
	}
	return nil
}

func checkNote(note string) error {
	if utf8.RuneCountInString(note) > MaxNote {
		return garrison.Refuse(garrison.TooLarge, "error.cases.note_too_long", "limit", MaxNote)
	}
	bad := func(r rune) bool {
		return (unicode.IsControl(r) && r != '\n' && r != '\t') || unicode.Is(unicode.Bidi_Control, r)
	}
	// Direction controls could make a note read as what it is not.
	if !utf8.ValidString(note) || strings.ContainsFunc(note, bad) {
		return garrison.Refuse(garrison.Invalid, "error.cases.note_invalid")
	}
	return nil
}

func reason(key string, kv ...any) garrison.Reason {
	r := garrison.Reason{Key: key}
	for i := 0; i+1 < len(kv); i += 2 {
		if r.Args == nil {
			r.Args = make(map[string]any, len(kv)/2)
		}
		r.Args[kv[i].(string)] = kv[i+1]
	}
	return r
}
