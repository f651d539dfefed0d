package measures

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"garrison"
	"garrison/internal/probe"
	"garrison/internal/probe/transcript"
	"garrison/internal/schedule"
	"garrison/internal/state"
	"garrison/internal/state/statetest"
)

const testYAML = `
id: doors
version: "1"
title: {zh: 门, en: Doors}
about: {zh: 看门, en: Looks at doors}
targets: [site]
needs: [network]
interval: 24h
clauses: [govqa-9b]
rules:
  - id: doors.open
    severity: high
    title: {zh: 门开着, en: Door open}
    why: {zh: 风险, en: Risk}
    remedy: {zh: 关门, en: Shut it}
  - id: doors.stuck
    severity: low
    looks: 3
    title: {zh: 门卡住, en: Door stuck}
    why: {zh: 风险, en: Risk}
    remedy: {zh: 修门, en: Mend it}
verdicts:
  - {name: shut, outcome: pass, title: {zh: 关, en: shut}, means: {zh: 关, en: shut}}
  - {name: open, outcome: fail, rule: doors.open, title: {zh: 开, en: open}, means: {zh: 开, en: open}}
  - {name: stuck, outcome: unknown, rule: doors.stuck, title: {zh: 卡, en: stuck}, means: {zh: 卡, en: stuck}}
  - {name: dark, outcome: unknown, title: {zh: 未知, en: dark}, means: {zh: 未知, en: dark}}
`

// doors is a measure that says what a test tells it to.
type doors struct {
	def *Definition

	mu   sync.Mutex // guards the rest
	next func(ctx context.Context, env Env) (Result, error)
	envs []Env
}

func (d *doors) Definition() *Definition { return d.def }

func (d *doors) Run(ctx context.Context, env Env, _ garrison.Subject) (Result, error) {
	d.mu.Lock()
	d.envs = append(d.envs, env)
	next := d.next
	d.mu.Unlock()
	return next(ctx, env)
}

func (d *doors) says(fn func(ctx context.Context, env Env) (Result, error)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.next = fn
}

// sees makes the next runs see these doors: kv are locus, verdict pairs.
func (d *doors) sees(complete bool, kv ...string) {
	d.says(func(context.Context, Env) (Result, error) { return seen(complete, kv...), nil })
}

func seen(complete bool, kv ...string) Result {
	res := Result{Complete: complete, Outcome: garrison.Unknown, Why: "test"}
	for i := 0; i < len(kv); i += 2 {
		it := Item{Locus: kv[i], Verdict: kv[i+1], Facts: map[string]string{"n": fmt.Sprint(i)}}
		if kv[i+1] == "open!" {
			it.Verdict, it.Sure = "open", true
		}
		res.Population.Attempted++
		switch it.Verdict {
		case "shut":
			res.Population.Succeeded++
		case "open":
			res.Population.Failed++
			res.Outcome = garrison.Fail
		default:
			res.Population.Unreachable++
		}
		res.Items = append(res.Items, it)
	}
	if !complete {
		res.Truncated = []string{"pages"}
	}
	if complete && res.Population.Succeeded == res.Population.Attempted {
		res.Outcome, res.Why = garrison.Pass, ""
	}
	return res
}

type noProbe struct{}

func (noProbe) Fetch(context.Context, probe.Request) probe.Exchange {
	return probe.Exchange{Err: &probe.Failure{Kind: probe.Failed, Why: "test"}}
}

func (noProbe) Lookup(context.Context, string, probe.RecordType) probe.Answer {
	return probe.Answer{Err: &probe.Failure{Kind: probe.DNSFailed, Why: "test"}}
}

type register struct {
	mu   sync.Mutex
	list []garrison.Subject
}

func (r *register) Get(_ context.Context, id garrison.SubjectID) (garrison.Subject, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.list {
		if s.ID == id {
			return s, nil
		}
	}
	return garrison.Subject{}, garrison.Errorf(garrison.NotFound, "no subject %q", id)
}

func (r *register) Of(_ context.Context, kind garrison.SubjectKind) ([]garrison.Subject, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []garrison.Subject
	for _, s := range r.list {
		if s.Kind == kind && !s.Retired {
			out = append(out, s)
		}
	}
	return out, nil
}

// told is a Cases that remembers, and fails when asked to.
type told struct {
	mu    sync.Mutex
	calls []string
	fail  bool   // every call fails
	only  string // calls that begin with this fail
}

var errTold = errors.New("not now")

func (c *told) call(format string, args ...any) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	text := fmt.Sprintf(format, args...)
	if c.fail || c.only != "" && strings.HasPrefix(text, c.only) {
		return errTold
	}
	c.calls = append(c.calls, text)
	return nil
}

func (c *told) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.calls
	c.calls = nil
	return out
}

func (c *told) Confirmed(_ context.Context, _ garrison.FindingID, f garrison.Finding, _ garrison.Run) (garrison.CaseID, error) {
	return garrison.CaseID("case-of-" + f.Locus), c.call("confirmed %s %s", f.Rule, f.Locus)
}

func (c *told) Rechecked(_ context.Context, _ garrison.FindingID, r garrison.Run, gone bool) error {
	return c.call("rechecked gone=%v %s", gone, r.Outcome)
}

func (c *told) RunEnded(_ context.Context, r garrison.Run, unsure map[string]string) error {
	if len(unsure) > 0 || unsure == nil {
		return c.call("ended %s %v nil=%v", r.Outcome, unsure, unsure == nil)
	}
	return nil
}

func (c *told) Refuted(_ context.Context, _ garrison.FindingID, reason string, by garrison.Actor) error {
	return c.call("refuted %s by %s", reason, by.Name)
}

// bench is a runner with everything it needs.
type bench struct {
	*Runner
	t     *testing.T
	db    *state.DB
	doors *doors
	cases *told
	reg   *register
	dir   string
	clock *ticking
}

// ticking is a clock that advances a second with every look at it.
type ticking struct {
	mu sync.Mutex
	t  time.Time
}

func (c *ticking) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(time.Second)
	return c.t
}

var officer = garrison.Actor{Kind: garrison.ByPerson, ID: "account-1", Name: "Wei"}

func newBench(t *testing.T, db *state.DB) *bench {
	t.Helper()
	def, err := Parse([]byte(testYAML))
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, db: db, doors: &doors{def: def}, cases: &told{}, dir: t.TempDir(),
		clock: &ticking{t: time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)},
		reg: &register{list: []garrison.Subject{
			{ID: "subject-1", Kind: garrison.Site, Name: "Portal", Attributes: map[string]string{"url": "http://www.portal.example/"}},
			{ID: "subject-2", Kind: garrison.Unit, Name: "Unit"},
		}}}
	b.restart(nil)
	return b
}

// restart builds and starts a runner on what is there.
func (b *bench) restart(s *schedule.Scheduler) {
	b.t.Helper()
	r, err := New(DefaultConfig(), Deps{DB: b.db, Schedule: s, Measures: []Measure{b.doors}, Probe: noProbe{}, Subjects: b.reg,
		Keeper: transcript.New(transcript.Config{Dir: b.dir + "/evidence"}), Cases: b.cases, Now: b.clock.Now})
	if err != nil {
		b.t.Fatal(err)
	}
	if err := r.Start(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		if err := r.Stop(context.Background()); err != nil {
			b.t.Errorf("stop: %v", err)
		}
	})
	b.Runner = r
}

func (b *bench) look() garrison.Run {
	b.t.Helper()
	run, err := b.RunNow(b.t.Context(), "doors", "subject-1", officer)
	if err != nil {
		b.t.Fatal(err)
	}
	return run
}

// list is every finding as "locus rule state looks".
func (b *bench) list() []string {
	b.t.Helper()
	rows, _, err := b.Findings(b.t.Context(), FindingFilter{})
	if err != nil {
		b.t.Fatal(err)
	}
	var out []string
	for _, f := range rows {
		out = append(out, fmt.Sprintf("%s %s %s %d/%d %s", f.Finding.Locus, f.Finding.Rule, f.State, f.Looks, f.Needs, f.Why))
	}
	return out
}

// audit seals everything and returns what the audit objects to.
func (b *bench) audit() []string {
	b.t.Helper()
	var ledger statetest.Ledger
	if _, err := b.db.Drain(b.t.Context(), &ledger); err != nil {
		b.t.Fatal(err)
	}
	var out []string
	if err := b.db.Audit(b.t.Context(), &ledger, func(d state.Damage) { out = append(out, d.Object+": "+d.What) }); err != nil {
		b.t.Fatal(err)
	}
	return out
}
