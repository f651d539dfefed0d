package cases

import (
	"context"
	"fmt"
	"slices"
	"time"

	"garrison"
	"garrison/internal/state"
)

// Limits on what one request may bring.
const (
	maxOpenFindings = 100
	maxID           = 128  // bytes of any identifier
	maxLocus        = 4096 // bytes
)

// sighting is a finding on its way into a case.
type sighting struct {
	kind     garrison.CaseKind
	title    garrison.Reason
	subject  garrison.SubjectID
	measure  garrison.MeasureID
	rule     garrison.RuleID
	severity garrison.Severity
	due      time.Time
	run      garrison.RunID
	seen     time.Time // when the run began
	finding  garrison.FindingID
	locus    string
	name     string
	demo     bool
}

// Confirmed takes a finding that became open (again): it opens a case by policy, or
// joins the finding to the open case on the same rule and subject, and returns the
// case; "" when policy opens none. Calling it again with the same run changes nothing.
func (s *Cases) Confirmed(ctx context.Context, id garrison.FindingID, f garrison.Finding, run garrison.Run) (garrison.CaseID, error) {
	now := s.now()
	kind, due, ok := s.cfg.Policy.Opens(f, now)
	if !ok {
		return "", nil
	}
	g := sighting{kind: kind, subject: f.Subject, measure: f.Measure, rule: f.Rule, severity: f.Severity,
		due: due, run: run.ID, seen: run.Started.UTC().Truncate(time.Microsecond), finding: id, locus: clean(f.Locus)}
	if err := g.check(); err != nil {
		return "", err
	}
	if err := s.describe(ctx, &g); err != nil {
		return "", err
	}
	var c Case
	err := s.deps.DB.Write(ctx, func(tx *state.Tx) (err error) {
		c, err = s.sight(ctx, tx, g, s.self)
		return err
	})
	return c.ID, err
}

// Open opens a case on findings, or joins them to the open one on the same rule and
// subject. It is for people who know of a matter before policy opens it.
func (s *Cases) Open(ctx context.Context, r OpenRequest, by By) (Case, error) {
	gs, err := s.sightings(ctx, r, by)
	if err != nil {
		return Case{}, err
	}
	var c Case
	err = s.deps.DB.Write(ctx, func(tx *state.Tx) error {
		for _, g := range gs {
			if c, err = s.sight(ctx, tx, g, by.Actor); err != nil {
				return err
			}
		}
		return nil
	})
	return c, err
}

func (s *Cases) sightings(ctx context.Context, r OpenRequest, by By) ([]sighting, error) {
	people := []string{RoleOperator, RoleSecurity, RoleLocal}
	if by.Actor.Kind != garrison.BySystem && !slices.ContainsFunc(people, func(role string) bool { return slices.Contains(by.Roles, role) }) {
		return nil, garrison.Refuse(garrison.Denied, "error.cases.not_allowed", "action", "open", "roles", "operator, security, local")
	}
	if s.flows[r.Kind] == nil {
		return nil, garrison.Refuse(garrison.Invalid, "error.cases.kind_unknown", "kind", clip(string(r.Kind), 64))
	}
	if r.Measure == "" || r.Rule == "" || r.Subject == "" || len(r.Findings) == 0 {
		return nil, garrison.Refuse(garrison.Invalid, "error.cases.nothing_to_look_at")
	}
	if len(r.Findings) > maxOpenFindings {
		return nil, garrison.Refuse(garrison.TooLarge, "error.cases.too_many_findings", "limit", maxOpenFindings)
	}
	now := s.now()
	due := r.Due.UTC().Truncate(time.Microsecond)
	if r.Due.IsZero() {
		due = now.Add(s.cfg.Policy.DueIn[r.Severity])
	}
	if !due.After(now) {
		return nil, garrison.Refuse(garrison.Invalid, "error.cases.due_past")
	}
	gs := make([]sighting, 0, len(r.Findings))
	for _, m := range r.Findings {
		g := sighting{kind: r.Kind, title: r.Title, subject: r.Subject, measure: r.Measure, rule: r.Rule,
			severity: r.Severity, due: due, run: r.Run, seen: now, finding: m.Finding, locus: clean(m.Locus), demo: r.Demo}
		if err := g.check(); err != nil {
			return nil, err
		}
		if err := s.describe(ctx, &g); err != nil {
			return nil, err
		}
		gs = append(gs, g)
	}
	return gs, nil
}

// check refuses identifiers no part of the product would make.
func (g *sighting) check() error {
	for _, id := range []string{string(g.finding), string(g.subject), string(g.measure), string(g.rule)} {
		if id == "" || len(id) > maxID || clean(id) != id {
			return garrison.Errorf(garrison.Invalid, "finding %q of %q on %q: an identifier is missing or too long",
				clip(string(g.finding), 64), clip(string(g.rule), 64), clip(string(g.subject), 64))
		}
	}
	if len(g.locus) > maxLocus || len(g.run) > maxID || clean(string(g.run)) != string(g.run) || g.severity > garrison.Critical {
		return garrison.Errorf(garrison.Invalid, "finding %q: place, run or severity out of bounds", g.finding)
	}
	return nil
}

// describe adds what the register knows. A subject that is not in the register does
// not keep a case from being opened.
func (s *Cases) describe(ctx context.Context, g *sighting) error {
	if g.title.Key == "" {
		g.title = reason("cases.title.rule", "rule", string(g.rule), "subject", string(g.subject))
	}
	if s.deps.Subjects == nil {
		return nil
	}
	sub, err := s.deps.Subjects.Get(ctx, g.subject)
	if garrison.CodeOf(err) == garrison.NotFound {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look up subject %q: %w", g.subject, err)
	}
	g.name, g.demo = sub.Name, g.demo || sub.Demo
	return nil
}

// sight puts one finding where it belongs.
func (s *Cases) sight(ctx context.Context, tx *state.Tx, g sighting, by garrison.Actor) (Case, error) {
	c, open, err := oneCase(ctx, tx, `kind = $1 AND measure = $2 AND rule = $3 AND subject = $4 AND closed = 0`,
		string(g.kind), string(g.measure), string(g.rule), string(g.subject))
	if err != nil {
		return Case{}, err
	}
	if !open {
		return s.create(ctx, tx, g, by)
	}
	members, err := membersOf(ctx, tx, c.ID)
	if err != nil {
		return Case{}, err
	}
	at := slices.IndexFunc(members, func(m Member) bool { return m.Finding == g.finding })
	if at >= 0 && (!members[at].Ended() || !g.seen.After(members[at].Seen)) {
		return c, nil // known already, or told of again
	}
	c, _, err = s.apply(ctx, tx, c, Action{Do: DoJoin, Look: &Look{
		Run: g.run, Measure: g.measure, Subject: g.subject, Started: g.seen, Locus: g.locus,
		Severity: g.severity, Due: g.due, Left: left(members) + 1, Again: at >= 0,
	}}, By{Actor: s.self})
	if err != nil {
		return Case{}, err
	}
	return c, putMember(ctx, tx, c.ID, g.member(s.now()), by, DidJoin)
}

func (s *Cases) create(ctx context.Context, tx *state.Tx, g sighting, by garrison.Actor) (Case, error) {
	now := s.now()
	no, err := number(ctx, tx, now)
	if err != nil {
		return Case{}, err
	}
	c := Case{Case: garrison.Case{
		ID: garrison.CaseID(garrison.NewID("case")), Number: no, Kind: g.kind, State: garrison.StateOpen,
		Title: g.title, Subject: g.subject, Measure: g.measure, Severity: g.severity,
		Opened: now, Due: g.due, Demo: g.demo, Version: 1,
	}, Rule: g.rule, Name: g.name, Total: 1, Left: 1, Steps: 1, JoinRun: g.run}
	if err := putCase(ctx, tx, c, true, by, DidOpen); err != nil {
		return Case{}, err
	}
	if err := putMember(ctx, tx, c.ID, g.member(now), by, DidOpen); err != nil {
		return Case{}, err
	}
	return c, putStep(ctx, tx, Step{
		Step: garrison.Step{Case: c.ID, Seq: 1, At: now, By: by, Do: DidOpen, To: garrison.StateOpen, Run: g.run},
		What: reason("cases.step.opened", "locus", g.locus, "severity", g.severity.String()), Outcome: garrison.Fail,
	})
}

func (g *sighting) member(now time.Time) Member {
	return Member{Finding: g.finding, Locus: g.locus, Joined: now, Run: g.run, Seen: g.seen}
}

func left(members []Member) int {
	n := 0
	for _, m := range members {
		if !m.Ended() {
			n++
		}
	}
	return n
}
