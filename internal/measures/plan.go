package measures

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"garrison"
	"garrison/internal/schedule"
	"garrison/internal/state"
)

// Kinds of jobs.
const (
	jobPlan = "measures.plan" // notice new and retired subjects, deliver what waits
	jobRun  = "measures.run"  // the regular run, key measure/subject
	jobLook = "measures.look" // another look at what is suspected
	jobNow  = "measures.now"  // a run somebody asked for
)

// asked is the payload of jobNow.
type asked struct {
	ID garrison.RunID `json:"id"`
	By garrison.Actor `json:"by"`
}

// schedule sets up the jobs. Handlers must be there before the scheduler starts.
func (r *Runner) schedule(ctx context.Context) error {
	s := r.deps.Schedule
	if s == nil {
		return nil
	}
	if err := s.Migrate(ctx); err != nil {
		return err
	}
	s.Handle(jobPlan, func(ctx context.Context, _ schedule.Job) error { return r.plan(ctx) })
	s.Handle(jobRun, func(ctx context.Context, j schedule.Job) error {
		return r.job(ctx, j, order{id: garrison.RunID(garrison.NewID("run")), by: r.self})
	})
	s.Handle(jobLook, r.look2)
	s.Handle(jobNow, func(ctx context.Context, j schedule.Job) error {
		var a asked
		if err := json.Unmarshal(j.Payload, &a); err != nil {
			return fmt.Errorf("read job %q: %w", j.Key, err)
		}
		if _, err := r.run(ctx, a.ID); err == nil {
			a.ID = garrison.RunID(garrison.NewID("run")) // it began before and was cut off
		}
		return r.job(ctx, j, order{id: a.ID, by: a.By})
	})
	if err := r.plan(ctx); err != nil {
		return err
	}
	return s.Put(ctx, schedule.Job{Kind: jobPlan, Key: "plan", Payload: json.RawMessage(`{}`), Every: r.cfg.Plan})
}

// job does one run for the scheduler. That a run could not tell is recorded and no
// reason to repeat the job; that it could not be recorded is one.
func (r *Runner) job(ctx context.Context, j schedule.Job, o order) error {
	m, s, ok := strings.Cut(j.Key, "/")
	if !ok {
		return fmt.Errorf("job key %q names no measure and subject", j.Key)
	}
	o.measure, o.subject = garrison.MeasureID(m), garrison.SubjectID(s)
	u, err := r.execute(ctx, o)
	if err == nil && u.Why == whyInterrupted && ctx.Err() != nil {
		return fmt.Errorf("run %s was cut off: %w", u.ID, ctx.Err()) // to be done at the next start
	}
	switch garrison.CodeOf(err) {
	case garrison.Held, garrison.NotFound, garrison.Invalid:
		// Off, retired or no longer there: the plan takes the job away.
		r.deps.Log.InfoContext(ctx, "a due run did not take place", "measure", m, "subject", s, "error", err)
		return nil
	case garrison.Conflict:
		if j.Kind != jobNow && j.Kind != jobLook {
			return nil // another run is looking already
		}
		// A run under way may have begun before what is to be looked at again was
		// suspected; so this one waits for it and is tried again.
	}
	return err
}

// look2 looks again at what is suspected about one subject.
func (r *Runner) look2(ctx context.Context, j schedule.Job) error {
	m, s, _ := strings.Cut(j.Key, "/")
	o := order{id: garrison.RunID(garrison.NewID("run")), by: r.self}
	err := r.deps.DB.Read(ctx, func(q state.Querier) error {
		rows, err := findingsOf(ctx, q, garrison.MeasureID(m), garrison.SubjectID(s))
		o.only = nil
		for _, f := range rows {
			if f.State == Suspected && !slices.Contains(o.only, f.Finding.Locus) {
				o.only = append(o.only, f.Finding.Locus)
			}
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("read what is suspected about %s: %w", s, err)
	}
	if len(o.only) == 0 {
		return nil
	}
	slices.Sort(o.only)
	return r.job(ctx, j, o)
}

// putLook makes the job of another look.
func (r *Runner) putLook(ctx context.Context, tx *state.Tx, m garrison.MeasureID, s garrison.SubjectID, at time.Time) error {
	return r.deps.Schedule.PutIn(ctx, tx, schedule.Job{Kind: jobLook, Key: inventoryID(m, s), Payload: json.RawMessage(`{}`), RunAt: at})
}

// Enqueue has a measure run on a subject as soon as possible and returns at once.
// The run will have the id returned; asked again before it began, the same.
func (r *Runner) Enqueue(ctx context.Context, m garrison.MeasureID, s garrison.SubjectID, by garrison.Actor) (garrison.RunID, error) {
	measure := r.measures[m]
	if measure == nil {
		return "", garrison.Refuse(garrison.NotFound, "error.measures.no_measure", "measure", m)
	}
	if r.deps.Schedule == nil {
		return "", garrison.Errorf(garrison.Unavailable, "measures: there is no scheduler")
	}
	if _, err := r.subject(ctx, measure, s); err != nil {
		return "", err
	}
	mode, err := r.mode(ctx, m)
	if err != nil {
		return "", err
	}
	if mode == Off {
		return "", garrison.Refuse(garrison.Held, "error.measures.off", "measure", m)
	}
	key := inventoryID(m, s)
	waiting, err := r.deps.Schedule.List(ctx, jobNow)
	if err != nil {
		return "", err
	}
	for _, j := range waiting {
		var a asked
		if j.Key == key && !j.Running && !j.GivenUp && j.Attempts == 0 && json.Unmarshal(j.Payload, &a) == nil {
			return a.ID, nil
		}
	}
	a := asked{ID: garrison.RunID(garrison.NewID("run")), By: by}
	payload, err := json.Marshal(a)
	if err != nil {
		return "", err
	}
	return a.ID, r.deps.Schedule.Put(ctx, schedule.Job{Kind: jobNow, Key: key, Payload: payload, RunAt: r.deps.Now()})
}

// plan makes a regular job for every subject of every measure, takes away those of
// subjects that are gone, and delivers what waits to be told.
func (r *Runner) plan(ctx context.Context) error {
	r.tell(ctx)
	jobs, err := r.deps.Schedule.List(ctx, jobRun)
	if err != nil {
		return err
	}
	have := map[string]time.Duration{}
	for _, j := range jobs {
		have[j.Key] = j.Every
	}
	var errs []error
	for _, m := range r.deps.Measures {
		d := m.Definition()
		subjects, err := r.targets(ctx, d)
		if err != nil {
			return err // what is not known to be gone is not taken away
		}
		for _, s := range subjects {
			key, every := inventoryID(d.ID, s.ID), r.interval(d.ID)
			if have[key] != every {
				errs = append(errs, r.deps.Schedule.Put(ctx, schedule.Job{Kind: jobRun, Key: key, Payload: json.RawMessage(`{}`), Every: every}))
			}
			delete(have, key)
		}
	}
	for key := range have {
		errs = append(errs, r.deps.Schedule.Remove(ctx, jobRun, key))
	}
	return errors.Join(errs...)
}

func (r *Runner) targets(ctx context.Context, d *Definition) ([]garrison.Subject, error) {
	var out []garrison.Subject
	for _, kind := range d.Targets {
		subjects, err := r.deps.Subjects.Of(ctx, kind)
		if err != nil {
			return nil, fmt.Errorf("list the subjects of measure %s: %w", d.ID, err)
		}
		out = append(out, subjects...)
	}
	return out, nil
}
