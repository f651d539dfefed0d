package cases

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"garrison"
	"garrison/internal/state"
)

// Cases is the component. Safe for concurrent use.
type Cases struct {
	cfg   Config
	deps  Deps
	flows map[garrison.CaseKind]*Flow
	self  garrison.Actor

	stop context.CancelFunc // set by Start, called by Stop
	done sync.WaitGroup     // the one goroutine of Start
}

// New checks the policy and builds; it starts nothing.
func New(cfg Config, deps Deps) (*Cases, error) {
	if errs := cfg.Policy.Validate(); len(errs) > 0 {
		return nil, garrison.Errorf(garrison.Invalid, "policy of cases: %v", errs)
	}
	if cfg.AskAgain < time.Second {
		return nil, garrison.Errorf(garrison.Invalid, "cases: asking again after %s is too often", cfg.AskAgain)
	}
	if deps.DB == nil {
		return nil, garrison.Errorf(garrison.Invalid, "cases without a database")
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	flows := map[garrison.CaseKind]*Flow{}
	for _, f := range Flows() {
		flows[f.Kind] = f
	}
	return &Cases{cfg: cfg, deps: deps, flows: flows, self: garrison.System("cases")}, nil
}

// Start prepares the tables, and from then on asks again for what claimed and
// refuted cases wait for.
func (s *Cases) Start(ctx context.Context) error {
	if err := s.migrate(ctx); err != nil {
		return err
	}
	ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	s.done.Go(func() {
		tick := time.NewTicker(s.cfg.AskAgain)
		defer tick.Stop()
		for {
			s.remind(ctx)
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
	return nil
}

// Stop waits for what Start began.
func (s *Cases) Stop(ctx context.Context) error {
	if s.stop != nil {
		s.stop()
	}
	s.done.Wait()
	return nil
}

// now is the time as it can be stored.
func (s *Cases) now() time.Time { return s.deps.Now().UTC().Truncate(time.Microsecond) }

// Act does one deed. It never closes a case: that only Rechecked does.
func (s *Cases) Act(ctx context.Context, id garrison.CaseID, a Action, by By) (Case, error) {
	a.Look = nil
	if a.Do == DoAssign && a.Assignee != "" && s.deps.People != nil {
		ok, err := s.deps.People.Assignable(ctx, a.Assignee)
		if err != nil {
			return Case{}, fmt.Errorf("look up assignee %q: %w", clip(string(a.Assignee), maxAssignee), err)
		}
		if !ok {
			return Case{}, garrison.Refuse(garrison.Invalid, "error.cases.assignee_unknown")
		}
	}
	var c Case
	var effects []Effect
	err := s.deps.DB.Write(ctx, func(tx *state.Tx) error {
		before, err := load(ctx, tx, id)
		if err != nil {
			return err
		}
		c, effects, err = s.apply(ctx, tx, before, a, by)
		return err
	})
	if err != nil {
		return Case{}, err
	}
	s.cause(ctx, c, effects, by.Actor)
	return c, nil
}

// apply asks the flow and stores what it answers.
func (s *Cases) apply(ctx context.Context, tx *state.Tx, before Case, a Action, by By) (Case, []Effect, error) {
	flow := s.flows[before.Kind]
	if flow == nil {
		return Case{}, nil, garrison.Errorf(garrison.Damaged, "case %q is of kind %q, which has no flow", before.ID, before.Kind)
	}
	c, step, effects, err := flow.Apply(before, a, by, s.now())
	if err != nil {
		return Case{}, nil, err
	}
	if step.Do != "" {
		if err := putStep(ctx, tx, step); err != nil {
			return Case{}, nil, err
		}
	}
	if c.Version == before.Version {
		return c, effects, nil
	}
	what := step.Do
	if what == "" {
		what = a.Do
	}
	return c, effects, putCase(ctx, tx, c, false, by.Actor, what)
}

// cause asks outside for effects. What cannot be asked for now is asked for again
// by remind, so a failure here is not the actor's.
func (s *Cases) cause(ctx context.Context, c Case, effects []Effect, by garrison.Actor) {
	for _, e := range effects {
		var err error
		switch {
		case e.Do == EffectRecheck && s.deps.Recheck != nil:
			_, err = s.deps.Recheck.Enqueue(ctx, c.Measure, c.Subject, by)
		case e.Do == EffectRefute && s.deps.Refute != nil:
			err = s.refute(ctx, c, e.Reason, by)
		}
		if err != nil {
			s.deps.Log.WarnContext(ctx, "a case's effect could not be asked for; it will be again",
				"case", c.Number, "effect", e.Do, "error", err)
		}
	}
}

func (s *Cases) refute(ctx context.Context, c Case, reason string, by garrison.Actor) error {
	var members []Member
	err := s.deps.DB.Read(ctx, func(q state.Querier) (err error) {
		members, err = membersOf(ctx, q, c.ID)
		return err
	})
	if err != nil {
		return err
	}
	for _, m := range members {
		if m.Ended() {
			continue
		}
		if err := s.deps.Refute.Refute(ctx, m.Finding, reason, by); err != nil {
			return fmt.Errorf("refute finding %q: %w", m.Finding, err)
		}
	}
	return nil
}

// remind asks again for the looks that claimed cases wait for, and for the
// refutation of findings whose case was refuted.
func (s *Cases) remind(ctx context.Context) {
	defer func() {
		if p := recover(); p != nil {
			s.deps.Log.ErrorContext(ctx, "reminding of cases broke off", "panic", fmt.Sprint(p))
		}
	}()
	var waiting []Case
	err := s.deps.DB.Read(ctx, func(q state.Querier) error {
		waiting = nil
		return eachCase(ctx, q, `SELECT `+caseColumns+` FROM cases_case
			WHERE state = $1 OR (state = $2 AND remaining > 0) ORDER BY opened, id LIMIT 1000`,
			[]any{string(garrison.StateClaimed), string(garrison.StateRefuted)}, func(c Case) error {
				waiting = append(waiting, c)
				return nil
			})
	})
	if err != nil {
		s.deps.Log.WarnContext(ctx, "cases that wait for a look could not be read", "error", err)
		return
	}
	for _, c := range waiting {
		if c.State == garrison.StateClaimed {
			s.cause(ctx, c, []Effect{{Do: EffectRecheck}}, s.self)
			continue
		}
		reason, by, err := s.refutation(ctx, c.ID)
		if err != nil {
			s.deps.Log.WarnContext(ctx, "a refuted case's reason could not be read", "case", c.Number, "error", err)
			continue
		}
		s.cause(ctx, c, []Effect{{Do: EffectRefute, Reason: reason}}, by)
	}
}

// refutation returns the reason and the person of the step that refuted a case.
func (s *Cases) refutation(ctx context.Context, id garrison.CaseID) (reason string, by garrison.Actor, err error) {
	by = s.self
	err = s.deps.DB.Read(ctx, func(q state.Querier) error {
		return eachStep(ctx, q, `SELECT `+stepColumns+` FROM cases_step WHERE case_id = $1 AND did = $2 ORDER BY seq`,
			[]any{string(id), DidRefute}, func(st Step) error {
				reason, by = st.Note, st.By
				return nil
			})
	})
	return reason, by, err
}

// Deeds returns what could be done to the case by this actor, for surfaces that show
// only what works. Deeds of the product itself are not among them.
func (s *Cases) Deeds(c Case, by By) []string {
	flow := s.flows[c.Kind]
	if flow == nil {
		return nil
	}
	var can []string
	for _, m := range flow.Moves {
		if slices.Contains(m.By, RoleLook) || slices.Contains(can, m.Do) {
			continue
		}
		if flow.May(c.Case, m.Do, by) {
			can = append(can, m.Do)
		}
	}
	return can
}
