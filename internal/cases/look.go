package cases

import (
	"context"
	"fmt"
	"slices"
	"time"

	"garrison"
	"garrison/internal/state"
)

// Rechecked takes what a later run saw of a finding. It is the only way to closed.
// Calling it again with the same run changes nothing.
func (s *Cases) Rechecked(ctx context.Context, id garrison.FindingID, run garrison.Run, gone bool) error {
	outcome := garrison.Fail
	if gone {
		outcome = garrison.Pass
	}
	return s.looked(ctx, id, run, outcome, "")
}

// Unsure takes that a later run could not tell whether a finding is still there. It
// adds a step and changes nothing.
func (s *Cases) Unsure(ctx context.Context, id garrison.FindingID, run garrison.Run, why string) error {
	return s.looked(ctx, id, run, garrison.Unknown, why)
}

// RunEnded takes that a run of a measure ended without being able to tell about some
// places of its subject: unsure maps them to the reason. A run that as a whole could
// not tell (its outcome is Unknown and unsure is nil) could tell about none. What a
// run did tell comes by Rechecked.
func (s *Cases) RunEnded(ctx context.Context, run garrison.Run, unsure map[string]string) error {
	whole := run.Outcome == garrison.Unknown && unsure == nil
	if !whole && len(unsure) == 0 {
		return nil
	}
	type doubt struct {
		finding garrison.FindingID
		why     string
	}
	var doubts []doubt
	err := s.deps.DB.Read(ctx, func(q state.Querier) error {
		doubts = nil
		return eachMember(ctx, q, `SELECT `+findingColumns+` FROM cases_finding WHERE gone = 0 AND refuted = 0 AND case_id IN
			(SELECT id FROM cases_case WHERE closed = 0 AND measure = $1 AND subject = $2) ORDER BY case_id, joined, finding`,
			[]any{string(run.Measure), string(run.Subject)}, func(_ garrison.CaseID, m Member) error {
				why, ok := unsure[m.Locus]
				if whole {
					why, ok = run.Why, true
				}
				if ok && run.Started.After(m.Seen) {
					doubts = append(doubts, doubt{m.Finding, why})
				}
				return nil
			})
	})
	if err != nil {
		return err
	}
	for _, d := range doubts {
		if err := s.Unsure(ctx, d.finding, run, d.why); err != nil {
			return err
		}
	}
	return nil
}

func (s *Cases) looked(ctx context.Context, id garrison.FindingID, run garrison.Run, outcome garrison.Outcome, why string) error {
	return s.deps.DB.Write(ctx, func(tx *state.Tx) error {
		c, members, at, err := s.holding(ctx, tx, id)
		if err != nil || at < 0 {
			return err
		}
		m := members[at]
		l := &Look{Run: run.ID, Measure: run.Measure, Subject: run.Subject,
			Started: run.Started.UTC().Truncate(time.Microsecond), After: m.Seen,
			Outcome: outcome, Why: clip(why, 200), Locus: m.Locus, Left: left(members)}
		if outcome == garrison.Pass {
			l.Left--
		}
		_, _, err = s.apply(ctx, tx, c, Action{Do: DoLook, Look: l}, By{Actor: s.self})
		if garrison.CodeOf(err) == garrison.Invalid {
			// Telling it again would not help; the case stays as it was, open.
			s.deps.Log.WarnContext(ctx, "a look could not speak about a case", "case", c.Number, "finding", id, "error", err)
			return nil
		}
		if err != nil || outcome != garrison.Pass {
			return err
		}
		m.Gone, m.GoneRun = s.now(), run.ID
		return putMember(ctx, tx, c.ID, m, s.self, "gone")
	})
}

// Refuted takes that a finding was refuted where findings are kept. A case with no
// finding left ends refuted.
func (s *Cases) Refuted(ctx context.Context, id garrison.FindingID, reason string, by garrison.Actor) error {
	return s.deps.DB.Write(ctx, func(tx *state.Tx) error {
		c, members, at, err := s.holding(ctx, tx, id)
		if err != nil {
			return err
		}
		if at < 0 {
			return s.acknowledge(ctx, tx, id, by)
		}
		m := members[at]
		l := &Look{Measure: c.Measure, Subject: c.Subject, Locus: m.Locus, Left: left(members) - 1, By: by}
		_, _, err = s.apply(ctx, tx, c, Action{Do: DoDrop, Note: clip(reason, MaxNote), Look: l}, By{Actor: s.self})
		if err != nil {
			return err
		}
		m.Refuted = s.now()
		return putMember(ctx, tx, c.ID, m, by, DidRefute)
	})
}

// acknowledge notes that a finding of a case that was itself refuted is refuted where
// findings are kept, so that nobody is asked again.
func (s *Cases) acknowledge(ctx context.Context, tx *state.Tx, id garrison.FindingID, by garrison.Actor) error {
	c, ok, err := oneCase(ctx, tx, `state = $1 AND remaining > 0 AND id IN
		(SELECT case_id FROM cases_finding WHERE finding = $2 AND gone = 0 AND refuted = 0)`,
		string(garrison.StateRefuted), string(id))
	if err != nil || !ok {
		return err
	}
	members, err := membersOf(ctx, tx, c.ID)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(members, func(m Member) bool { return m.Finding == id })
	members[at].Refuted = s.now()
	c.Left, c.Version = left(members), c.Version+1
	if err := putMember(ctx, tx, c.ID, members[at], by, DidRefute); err != nil {
		return err
	}
	return putCase(ctx, tx, c, false, by, DidRefute)
}

// holding returns the case that a finding keeps open and where among its members the
// finding stands; -1 when none does.
func (s *Cases) holding(ctx context.Context, tx *state.Tx, id garrison.FindingID) (Case, []Member, int, error) {
	c, ok, err := oneCase(ctx, tx, `closed = 0 AND id IN
		(SELECT case_id FROM cases_finding WHERE finding = $1 AND gone = 0 AND refuted = 0)`, string(id))
	if err != nil || !ok {
		return Case{}, nil, -1, err
	}
	members, err := membersOf(ctx, tx, c.ID)
	if err != nil {
		return Case{}, nil, -1, err
	}
	at := slices.IndexFunc(members, func(m Member) bool { return m.Finding == id })
	if at < 0 {
		return Case{}, nil, -1, garrison.Errorf(garrison.Damaged, "case %q lost finding %q while it was read", c.ID, id)
	}
	return c, members, at, nil
}

// RemoveDemo removes the demonstration's cases with their steps and says how many.
// Their history stays, and the removal is entered in the ledger.
func (s *Cases) RemoveDemo(ctx context.Context, by garrison.Actor) (int, error) {
	n := 0
	err := s.deps.DB.Write(ctx, func(tx *state.Tx) error {
		var demo []Case
		err := eachCase(ctx, tx, `SELECT `+caseColumns+` FROM cases_case WHERE demo = 1 ORDER BY id`, nil, func(c Case) error {
			demo = append(demo, c)
			return nil
		})
		if err != nil {
			return err
		}
		n = len(demo)
		for _, c := range demo {
			if err := s.remove(ctx, tx, c, by); err != nil {
				return err
			}
		}
		return nil
	})
	return n, err
}

func (s *Cases) remove(ctx context.Context, tx *state.Tx, c Case, by garrison.Actor) error {
	members, err := membersOf(ctx, tx, c.ID)
	if err != nil {
		return err
	}
	for _, table := range []string{"cases_step", "cases_finding"} {
		if _, err := tx.Exec(ctx, `DELETE FROM `+table+` WHERE case_id = $1`, string(c.ID)); err != nil {
			return fmt.Errorf("remove %s of case %q: %w", table, c.ID, err)
		}
	}
	if _, err := tx.Exec(ctx, `DELETE FROM cases_case WHERE id = $1`, string(c.ID)); err != nil {
		return fmt.Errorf("remove case %q: %w", c.ID, err)
	}
	for seq := 1; seq <= c.Steps; seq++ {
		if err := record(ctx, tx, kindStep, stepID(c.ID, seq), nil, by, "demo_removed"); err != nil {
			return err
		}
	}
	for _, m := range members {
		if err := record(ctx, tx, kindFinding, memberID(c.ID, m.Finding), nil, by, "demo_removed"); err != nil {
			return err
		}
	}
	return record(ctx, tx, kindCase, string(c.ID), nil, by, "demo_removed")
}
