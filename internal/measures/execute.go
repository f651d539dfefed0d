package measures

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"garrison"
	"garrison/internal/probe"
	"garrison/internal/state"
)

// MaxTranscript bounds a kept transcript; evidence bundles take no larger one.
const MaxTranscript = 15 << 20

// whyInterrupted is the reason of a run that a stop, a crash or its time limit cut off.
const whyInterrupted = "interrupted"

// order is one run that is to be done.
type order struct {
	id      garrison.RunID
	measure garrison.MeasureID
	subject garrison.SubjectID
	only    []string // empty: a full run
	by      garrison.Actor
}

// RunNow runs a measure on a subject now and returns when it is recorded.
// Conflict: it is running already. Held: the measure is off.
func (r *Runner) RunNow(ctx context.Context, m garrison.MeasureID, s garrison.SubjectID, by garrison.Actor) (garrison.Run, error) {
	return r.execute(ctx, order{id: garrison.RunID(garrison.NewID("run")), measure: m, subject: s, by: by})
}

// execute does one run from its first record to its last.
func (r *Runner) execute(ctx context.Context, o order) (garrison.Run, error) {
	m := r.measures[o.measure]
	if m == nil {
		return garrison.Run{}, garrison.Refuse(garrison.NotFound, "error.measures.no_measure", "measure", o.measure)
	}
	subject, err := r.subject(ctx, m, o.subject)
	if err != nil {
		return garrison.Run{}, err
	}
	mode, err := r.mode(ctx, o.measure)
	if err != nil {
		return garrison.Run{}, err
	}
	if mode == Off {
		return garrison.Run{}, garrison.Refuse(garrison.Held, "error.measures.off", "measure", o.measure)
	}
	release, err := r.claim(o)
	if err != nil {
		return garrison.Run{}, err
	}
	defer release()
	u, known, err := r.begin(ctx, m, o)
	if err != nil {
		return garrison.Run{}, err
	}
	res, transcript := r.look(ctx, m, u, subject, Env{Only: o.only, Known: known})
	// What was seen is recorded also when whoever asked has gone.
	ctx = context.WithoutCancel(ctx)
	if err := r.finish(ctx, m, u, subject, res, transcript); err != nil {
		return garrison.Run{}, err
	}
	r.tell(ctx)
	run := u.Run
	if r.deps.OnRun != nil {
		r.deps.OnRun(run)
	}
	return run, nil
}

func (r *Runner) subject(ctx context.Context, m Measure, id garrison.SubjectID) (garrison.Subject, error) {
	s, err := r.deps.Subjects.Get(ctx, id)
	if err != nil {
		return s, err
	}
	if s.Retired || !slices.Contains(m.Definition().Targets, s.Kind) {
		return s, garrison.Refuse(garrison.Invalid, "error.measures.not_a_target", "measure", m.Definition().ID, "subject", s.Name)
	}
	return s, nil
}

// claim makes sure that a measure looks at a subject once at a time.
func (r *Runner) claim(o order) (release func(), err error) {
	key := inventoryID(o.measure, o.subject)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, garrison.Refuse(garrison.Unavailable, "error.measures.stopping")
	}
	if r.busy[key] {
		return nil, garrison.Refuse(garrison.Conflict, "error.measures.running", "measure", o.measure)
	}
	r.busy[key] = true
	r.running.Add(1)
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.busy, key)
		r.running.Done()
	}, nil
}

// begin records that a run began, so that one that is cut off leaves a trace.
func (r *Runner) begin(ctx context.Context, m Measure, o order) (*run, []Item, error) {
	u := &run{RunRow: RunRow{Run: garrison.Run{ID: o.id, Measure: o.measure, Version: m.Definition().Version,
		Subject: o.subject, Started: r.now(), By: o.by}, Running: true, Partial: len(o.only) > 0}}
	u.sort = sortKey(u.Started, string(u.ID))
	var known []Item
	err := r.deps.DB.Write(ctx, func(tx *state.Tx) error {
		rows, err := lociOf(ctx, tx, o.measure, o.subject)
		if err != nil {
			return err
		}
		known = nil
		for _, l := range rows {
			if !l.Removed {
				known = append(known, Item{Locus: l.Locus, Verdict: l.Verdict, Outcome: l.Outcome, Why: l.Why, What: l.What, Facts: l.Facts})
			}
		}
		return putRun(ctx, tx, u, "started")
	})
	if err != nil {
		return nil, nil, fmt.Errorf("begin a run of %s: %w", o.measure, err)
	}
	return u, known, nil
}

// look runs the measure with a recording probe, and keeps the transcript. Whatever
// goes wrong makes the result Unknown.
func (r *Runner) look(ctx context.Context, m Measure, u *run, s garrison.Subject, env Env) (Result, string) {
	rec := probe.Record(r.deps.Probe)
	env.Probe, env.Now = rec, r.deps.Now
	env.Log = r.deps.Log.With("measure", u.Measure, "run", u.ID)
	ctx, cancel := context.WithTimeout(ctx, r.cfg.RunTimeout)
	defer cancel()
	defer context.AfterFunc(r.quit, cancel)()
	res := r.guarded(ctx, m, env, s)
	if err := check(m.Definition(), &res); err != nil {
		r.deps.Log.ErrorContext(ctx, "a measure broke its own definition", "measure", u.Measure, "run", u.ID, "error", err)
		res = Result{Why: "defect"}
	}
	if ctx.Err() != nil {
		// Cut off: what was seen stands, what was not seen means nothing.
		res.Complete = false
		if res.Outcome == garrison.Pass || res.Outcome == garrison.Unknown {
			res.Outcome, res.Why = garrison.Unknown, whyInterrupted
		}
	}
	u.Ended = r.now()
	digest, err := r.keep(context.WithoutCancel(ctx), u, s, res, rec.Recorded())
	if err != nil {
		// A run nobody can check afterwards is no run to act on.
		r.deps.Log.ErrorContext(ctx, "a transcript could not be kept", "measure", u.Measure, "run", u.ID, "error", err)
		return Result{Why: "transcript_not_kept"}, ""
	}
	return res, digest
}

func (r *Runner) guarded(ctx context.Context, m Measure, env Env, s garrison.Subject) (res Result) {
	defer func() {
		if p := recover(); p != nil {
			r.deps.Log.ErrorContext(ctx, "a measure panicked", "measure", m.Definition().ID, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			res = Result{Why: "defect"}
		}
	}()
	res, err := m.Run(ctx, env, s)
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return Result{Why: whyInterrupted}
	case err != nil:
		r.deps.Log.WarnContext(ctx, "a measure could not tell", "measure", m.Definition().ID, "subject", s.ID, "error", err)
		return Result{Why: "error"}
	}
	return res
}

// check holds a result against the measure's definition and fills in what follows
// from it.
func check(d *Definition, res *Result) error {
	seen := make(map[string]bool, len(res.Items))
	for i := range res.Items {
		it := &res.Items[i]
		v, ok := d.Verdict(it.Verdict)
		switch {
		case !ok:
			return fmt.Errorf("verdict %q is not in its definition", it.Verdict)
		case it.Locus == "" || seen[it.Locus]:
			return fmt.Errorf("locus %.200q is empty or stands twice", it.Locus)
		}
		seen[it.Locus] = true
		it.Outcome = v.Outcome
	}
	p := res.Population
	if p.Attempted != p.Succeeded+p.Failed+p.Unreachable {
		return fmt.Errorf("population %+v does not add up", p)
	}
	if res.Partial || len(res.Truncated) > 0 {
		res.Complete = false
	}
	if res.Outcome == garrison.Pass && !res.Complete && !res.Partial {
		return fmt.Errorf("it passes on an incomplete inventory")
	}
	return nil
}

// transcriptDoc is what is kept of one run, in this order of fields.
type transcriptDoc struct {
	Format     string              `json:"format"`
	Run        garrison.RunID      `json:"run"`
	Measure    garrison.MeasureID  `json:"measure"`
	Version    string              `json:"version"`
	Subject    garrison.SubjectID  `json:"subject"`
	Target     map[string]string   `json:"target"`
	Started    time.Time           `json:"started"`
	Ended      time.Time           `json:"ended"`
	Outcome    string              `json:"outcome"`
	Why        string              `json:"why,omitempty"`
	Partial    bool                `json:"partial,omitempty"`
	Complete   bool                `json:"complete"`
	Truncated  []string            `json:"truncated,omitempty"`
	Population garrison.Population `json:"population"`
	Items      []Item              `json:"items"`
	probe.Recorded
}

const transcriptFormat = "garrison/transcript/v1"

// keep makes the transcript and stores it. One that is too large loses heads, then
// exchanges, and says how many.
func (r *Runner) keep(ctx context.Context, u *run, s garrison.Subject, res Result, rec probe.Recorded) (string, error) {
	t := transcriptDoc{Format: transcriptFormat, Run: u.ID, Measure: u.Measure, Version: u.Version, Subject: u.Subject,
		Target: s.Attributes, Started: u.Started, Ended: u.Ended, Outcome: res.Outcome.String(), Why: res.Why,
		Partial: res.Partial, Complete: res.Complete, Truncated: res.Truncated, Population: res.Population,
		Items: res.Items, Recorded: rec}
	for step := 0; ; step++ {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(t); err != nil {
			return "", fmt.Errorf("write the transcript: %w", err)
		}
		if b.Len() <= MaxTranscript {
			return r.deps.Keeper.Keep(ctx, b.Bytes())
		}
		if step > 12 {
			return "", garrison.Errorf(garrison.TooLarge, "the transcript has %d bytes without any exchange", b.Len())
		}
		shrink(&t, step)
	}
}

func shrink(t *transcriptDoc, step int) {
	if step == 0 {
		for i := range t.Exchanges {
			for _, hops := range [][]probe.Hop{t.Exchanges[i].Hops, t.Exchanges[i].Robots} {
				for j := range hops {
					hops[j].Header = nil
				}
			}
		}
		return
	}
	drop := (len(t.Exchanges) + 1) / 2
	t.Exchanges = t.Exchanges[:len(t.Exchanges)-drop]
	t.Dropped += drop
}
