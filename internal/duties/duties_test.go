package duties

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"garrison"
	"garrison/evidence"
	"garrison/internal/state"
	"garrison/internal/state/statetest"

	"github.com/google/go-cmp/cmp"
)

var t0 = time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)

// world is an installation as the sources of facts would tell of it.
type world struct {
	mu       sync.Mutex // guards all below
	now      time.Time
	profile  Profile
	records  RecordState
	ledger   LedgerState
	measures []MeasureState
	links    LinkState
	errs     map[string]error
	panics   string
	asked    int
}

func ref(i uint64) garrison.EvidenceRef {
	return garrison.EvidenceRef{Log: "test.invalid/log", Index: i, Digest: fmt.Sprintf("%064x", i+1)}
}

// good is an installation in which all four clauses are met.
func good() *world {
	return &world{
		now:     t0,
		profile: Profile{Name: "青檀县", Binds: []string{"isp", "government"}, Set: true},
		records: RecordState{Day: 1000, Expected: 2, Heard: 2, LastLook: t0, FloorDays: 60, ForecastKnown: true, DaysKept: 181.27,
			Evidence: []garrison.EvidenceRef{ref(1)}, Retention: []garrison.EvidenceRef{ref(2)}},
		ledger:   LedgerState{FirstStart: t0.Add(-100 * day), Known: true, LastBeat: t0.Add(-2 * time.Second), Evidence: []garrison.EvidenceRef{ref(3)}},
		measures: []MeasureState{{ID: "links", On: true, Evidence: ref(4)}, {ID: "records.nat", On: true}},
		links: LinkState{Sites: 1, Inventoried: 1, OldestRun: t0.Add(-time.Hour), NewestRun: t0.Add(-time.Hour),
			Runs: []garrison.Run{{ID: "run-1", Evidence: ref(5)}}},
		errs: map[string]error{},
	}
}

func (w *world) tell(what string) error {
	w.asked++
	if w.panics == what {
		panic("on purpose")
	}
	return w.errs[what]
}

func (w *world) Profile(context.Context) (string, []string, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.profile.Name, w.profile.Binds, w.profile.Set, w.tell("profile")
}

func (w *world) RecordState(context.Context, time.Time) (RecordState, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.records, w.tell("records")
}

func (w *world) LedgerState(context.Context, garrison.Period) (LedgerState, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ledger, w.tell("ledger")
}

func (w *world) MeasureStates(context.Context, time.Time) ([]MeasureState, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.measures, w.tell("measures")
}

func (w *world) LinkState(context.Context, time.Time) (LinkState, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.links, w.tell("links")
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) change(fn func(*world)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fn(w)
}

func build(t testing.TB, db *state.DB, w *world) *Duties {
	t.Helper()
	d, err := New(DefaultConfig(), Deps{DB: db, Profile: w, Records: w, Ledger: w, Measures: w, Now: w.clock})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.migrate(t.Context()); err != nil { // Start without its ticker
		t.Fatal(err)
	}
	return d
}

func refresh(t testing.TB, d *Duties) Snapshot {
	t.Helper()
	s, err := d.Refresh(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func gap(from, until time.Duration, cause string) garrison.Gap {
	return garrison.Gap{Period: garrison.Period{From: t0.Add(-from), Until: t0.Add(-until)}, Cause: cause}
}

// TestStandings walks through every way an answered clause can stand.
func TestStandings(t *testing.T) {
	down := errors.New("down")
	tests := []struct {
		name     string
		duty     garrison.DutyID
		change   func(*world)
		standing garrison.Standing
		why      string
	}{
		{"all well", "mps82-8-2", func(*world) {}, garrison.Met, "records.kept"},
		{"lost", "mps82-8-2", func(w *world) { w.records.Lost = 3 }, garrison.Unmet, "records.lost"},
		{"a silent source", "mps82-8-2", func(w *world) { w.records.Heard = 1 }, garrison.Unmet, "records.source_silent"},
		{"no source", "mps82-8-2", func(w *world) { w.records.Expected, w.records.Heard = 0, 0 }, garrison.Unproven, "records.no_source"},
		{"more heard than there are", "mps82-8-2", func(w *world) { w.records.Heard = 3 }, garrison.Unproven, "fact.contradictory"},
		{"nothing received", "mps82-8-2", func(w *world) { w.records.Day = 0 }, garrison.Unproven, "records.none"},
		{"loss not known", "mps82-8-2", func(w *world) { w.records.Lost = -1 }, garrison.Unproven, "records.loss_unknown"},
		{"five minutes unwatched", "mps82-8-2", func(w *world) { w.records.Gaps = []garrison.Gap{gap(time.Hour, 55*time.Minute, "stopped")} }, garrison.Met, "records.kept"},
		{"a second more", "mps82-8-2", func(w *world) {
			w.records.Gaps = []garrison.Gap{gap(time.Hour, 55*time.Minute, "stopped"), gap(2*time.Minute, 119*time.Second+999*time.Millisecond, "crashed")}
		}, garrison.Unproven, "records.unwatched"},
		{"two gaps over one another", "mps82-8-2", func(w *world) {
			w.records.Gaps = []garrison.Gap{gap(time.Hour, 55*time.Minute, "stopped"), gap(58*time.Minute, 56*time.Minute, "stopped")}
		}, garrison.Met, "records.kept"},
		{"a gap of the day before", "mps82-8-2", func(w *world) { w.records.Gaps = []garrison.Gap{gap(40*time.Hour, 25*time.Hour, "stopped")} }, garrison.Met, "records.kept"},
		{"a gap that is still open", "mps82-8-2", func(w *world) {
			w.records.Gaps = []garrison.Gap{{Period: garrison.Period{From: t0.Add(-time.Hour)}, Cause: "stopped"}}
		}, garrison.Unproven, "records.unwatched"},
		{"intake stopped", "mps82-8-2", func(w *world) { w.records.StoppedSince = t0.Add(-time.Hour) }, garrison.Unproven, "records.unwatched"},
		{"records not readable", "mps82-8-2", func(w *world) { w.errs["records"] = down }, garrison.Unproven, "unreadable.records"},
		{"records break off", "mps82-8-2", func(w *world) { w.panics = "records" }, garrison.Unproven, "unreadable.records"},
		{"a count that cannot be", "mps82-8-2", func(w *world) { w.records.Day = -5 }, garrison.Unproven, "fact.malformed"},

		{"all well", "mps82-13", func(*world) {}, garrison.Met, "retention.kept"},
		{"floor too low", "mps82-13", func(w *world) { w.records.FloorDays = 59 }, garrison.Unmet, "retention.floor_low"},
		{"forecast too short by a breath", "mps82-13", func(w *world) { w.records.DaysKept = 59.99 }, garrison.Unmet, "retention.forecast_short"},
		{"forecast just enough", "mps82-13", func(w *world) { w.records.DaysKept = 60 }, garrison.Met, "retention.kept"},
		{"forecast without bound", "mps82-13", func(w *world) { w.records.DaysKept = 1e300 }, garrison.Met, "retention.kept"},
		{"forecast not known", "mps82-13", func(w *world) { w.records.ForecastKnown = false }, garrison.Unproven, "retention.forecast_unknown"},
		{"removed too early", "mps82-13", func(w *world) { w.records.ExpiredEarly = 1 }, garrison.Unmet, "retention.expired_early"},
		{"records not readable", "mps82-13", func(w *world) { w.errs["records"] = down }, garrison.Unproven, "unreadable.records"},

		{"all well", "mps82-14-1", func(*world) {}, garrison.Met, "watch.kept"},
		{"stopped today", "mps82-14-1", func(w *world) { w.ledger.Gaps = []garrison.Gap{gap(2*time.Hour, time.Hour, "stopped")} }, garrison.Unmet, "watch.stopped"},
		{"crashed today", "mps82-14-1", func(w *world) { w.ledger.Gaps = []garrison.Gap{gap(2*time.Hour, time.Hour, "crashed")} }, garrison.Unmet, "watch.crashed"},
		{"crashed and stopped", "mps82-14-1", func(w *world) {
			w.ledger.Gaps = []garrison.Gap{gap(2*time.Hour, time.Hour, "crashed"), gap(4*time.Hour, 3*time.Hour, "stopped")}
		}, garrison.Unmet, "watch.stopped"},
		{"stopped with approval", "mps82-14-1", func(w *world) { w.ledger.Gaps = []garrison.Gap{gap(2*time.Hour, time.Hour, "maintenance")} }, garrison.Met, "watch.kept"},
		{"stopped and explained", "mps82-14-1", func(w *world) {
			g := gap(2*time.Hour, time.Hour, "stopped")
			g.Explain = "Liang Xu: update"
			w.ledger.Gaps = []garrison.Gap{g}
		}, garrison.Met, "watch.kept"},
		{"stopped last week", "mps82-14-1", func(w *world) { w.ledger.Gaps = []garrison.Gap{gap(170*time.Hour, 169*time.Hour, "stopped")} }, garrison.Unproven, "watch.gap_in_period"},
		{"stopped before the period", "mps82-14-1", func(w *world) { w.ledger.Gaps = []garrison.Gap{gap(70*day, 69*day, "stopped")} }, garrison.Met, "watch.kept"},
		{"before the installation", "mps82-14-1", func(w *world) {
			w.ledger.FirstStart = t0.Add(-time.Hour)
			w.ledger.Gaps = []garrison.Gap{gap(60*day, time.Hour, "not_installed")}
		}, garrison.Met, "watch.kept"},
		{"a measure off", "mps82-14-1", func(w *world) { w.measures[0].On = false }, garrison.Unmet, "watch.measure_off"},
		{"no measure at all", "mps82-14-1", func(w *world) { w.measures = nil }, garrison.Unproven, "watch.nothing_expected"},
		{"heartbeats do not add up", "mps82-14-1", func(w *world) { w.ledger.Known = false }, garrison.Unproven, "watch.heartbeats_unknown"},
		{"start not known", "mps82-14-1", func(w *world) { w.ledger.FirstStart = time.Time{} }, garrison.Unproven, "watch.heartbeats_unknown"},
		{"ledger not readable", "mps82-14-1", func(w *world) { w.errs["ledger"] = down }, garrison.Unproven, "unreadable.ledger"},
		{"measures not readable", "mps82-14-1", func(w *world) { w.errs["measures"] = down }, garrison.Unproven, "unreadable.measures"},
		{"ledger not readable, a measure off", "mps82-14-1", func(w *world) { w.errs["ledger"], w.measures[1].On = down, false }, garrison.Unmet, "watch.measure_off"},

		{"all well", "govqa-9b", func(*world) {}, garrison.Met, "links.checked"},
		{"a bad link", "govqa-9b", func(w *world) { w.links.OpenBad = 1 }, garrison.Unmet, "links.open"},
		{"looked at too long ago", "govqa-9b", func(w *world) { w.links.OldestRun = t0.Add(-8 * day) }, garrison.Unmet, "links.overdue"},
		{"no site", "govqa-9b", func(w *world) { w.links = LinkState{} }, garrison.Unproven, "links.no_site"},
		{"a site nobody looked at", "govqa-9b", func(w *world) { w.links.Sites = 2 }, garrison.Unproven, "links.no_run"},
		{"a run could not tell", "govqa-9b", func(w *world) { w.links.RunsUnknown = 1 }, garrison.Unproven, "links.run_unknown"},
		{"a link could not be told", "govqa-9b", func(w *world) { w.links.LinksUnknown = 1 }, garrison.Unproven, "links.untold"},
		{"listed, but no age", "govqa-9b", func(w *world) { w.links.OldestRun = time.Time{} }, garrison.Unproven, "fact.missing"},
		{"links not readable", "govqa-9b", func(w *world) { w.errs["links"] = down }, garrison.Unproven, "unreadable.links"},

		{"profile not set", "mps82-13", func(w *world) { w.profile.Set = false }, garrison.Unproven, "profile_not_set"},
		{"profile without a word", "mps82-13", func(w *world) { w.profile.Binds = nil }, garrison.Unproven, "profile_not_set"},
		{"profile not readable", "mps82-13", func(w *world) { w.errs["profile"] = down }, garrison.Unproven, "profile_not_set"},
		{"not bound", "mps82-8-2", func(w *world) { w.profile.Binds = []string{"government"} }, garrison.OutOfScope, "not_bound"},
		{"not bound, whatever is wrong", "govqa-9b", func(w *world) { w.profile.Binds, w.links.OpenBad = []string{"isp"}, 5 }, garrison.OutOfScope, "not_bound"},
		{"binds only an authority", "govqa-16a", func(*world) {}, garrison.OutOfScope, "authority_only"},
		{"context that names us", "mps82-15", func(*world) {}, garrison.OutOfScope, "authority_only"},
		{"before its day", "mps82-13", func(w *world) { w.now = time.Date(2006, 2, 28, 15, 59, 59, 0, time.UTC) }, garrison.NotInForce, "not_in_force"},
		{"repealed", "trojan2009-4", func(*world) {}, garrison.OutOfScope, "not_bound"},
		{"repealed and binding", "trojan2009-4", func(w *world) { w.profile.Binds = []string{"telecom"} }, garrison.NotInForce, "superseded"},
		{"nothing answers it", "mps82-9-3", func(w *world) { w.profile.Binds = []string{"content"} }, garrison.Unproven, "nothing_here_answers"},
	}
	db := statetest.OpenSQLite(t)
	for _, tt := range tests {
		w := good()
		tt.change(w)
		d := build(t, db, w)
		s := refresh(t, d)
		a, ok := s.Of(tt.duty)
		if !ok {
			t.Fatalf("no duty %s", tt.duty)
		}
		if a.Standing != tt.standing || a.Why.Key != "duties.why."+tt.why {
			t.Errorf("%s: %s: %s because of %s, want %s because of %s", tt.duty, tt.name, a.Standing, a.Why.Key, tt.standing, tt.why)
		}
		if len(s.Assessments) != 322 || a.At != w.now {
			t.Errorf("%s: %s: %d assessments at %v", tt.duty, tt.name, len(s.Assessments), a.At)
		}
		// What is shown is what a verifier recomputes.
		again, _, _ := evidence.Standing(string(a.Duty), factsMap(a.Facts))
		if again != a.Standing.String() {
			t.Errorf("%s: %s: shown %s, recomputed %s", tt.duty, tt.name, a.Standing, again)
		}
	}
	if len(tests) != 60 {
		t.Errorf("%d cases, want 60", len(tests))
	}
}

func TestEveryReasonHasItsCase(t *testing.T) {
	want := []string{whySuperseded, whyNotRecorded, whyUnreadable + "records", whyUnreadable + "ledger", whyUnreadable + "measures", whyUnreadable + "links"}
	for _, key := range evidence.Reasons() {
		want = append(want, reasonPrefix+key)
	}
	slices.Sort(want)
	got := ReasonKeys()
	if diff := cmp.Diff(got, slices.Compact(want)); diff != "" {
		t.Errorf("reason keys (-got +want)\n%s", diff)
	}
}

func TestAssessmentsShowWhatTheyRestOn(t *testing.T) {
	w := good()
	w.records.Gaps = []garrison.Gap{gap(30*time.Hour, 23*time.Hour+59*time.Minute, "stopped")}
	w.links.RunsUnknown, w.links.Sites = 1, 3
	s := refresh(t, build(t, statetest.OpenSQLite(t), w))
	for _, id := range evidence.Answered() {
		a, _ := s.Of(garrison.DutyID(id))
		if len(a.AnsweredBy) == 0 || a.LastLook.IsZero() || len(a.Evidence) == 0 || a.Population.Attempted == 0 {
			t.Errorf("%s: answered by %v, last look %v, evidence %v, population %+v", id, a.AnsweredBy, a.LastLook, a.Evidence, a.Population)
		}
		var names []string
		for _, f := range a.Facts {
			names = append(names, f.Name)
		}
		for _, spec := range evidence.FactsOf(id) {
			if !slices.Contains(names, spec.Name) {
				t.Errorf("%s: no fact %q", id, spec.Name)
			}
		}
	}
	a, _ := s.Of("mps82-8-2")
	if len(a.Gaps) != 1 || !a.Gaps[0].From.Equal(t0.Add(-day)) {
		t.Errorf("gaps are not cut to the window: %+v", a.Gaps)
	}
	a, _ = s.Of("govqa-9b")
	if want := (garrison.Population{Attempted: 3, Failed: 2, Unreachable: 1}); a.Population != want {
		t.Errorf("population %+v, want %+v", a.Population, want)
	}
	a, _ = s.Of("mps82-9-3")
	if len(a.AnsweredBy) != 0 || !a.LastLook.IsZero() {
		t.Errorf("a clause nothing answers: %+v", a)
	}
}

func TestCounts(t *testing.T) {
	w := good()
	d := build(t, statetest.OpenSQLite(t), w)
	n := refresh(t, d).Counts("")
	sum := 0
	for _, of := range n.ByStanding {
		sum += of
	}
	if n.Shown != 322 || n.Counted != 304 || sum != 304 || n.ByStanding[garrison.Met] != 4 || n.ByStanding[garrison.Unmet] != 0 {
		t.Errorf("counts: %+v", n)
	}
	if one := refresh(t, d).Counts("mps82"); one.Shown == 0 || one.Shown >= 322 || one.ByStanding[garrison.Met] != 3 {
		t.Errorf("counts of one instrument: %+v", one)
	}
	w.change(func(w *world) { w.profile.Set = false })
	if n = refresh(t, d).Counts(""); n.ByStanding[garrison.Unproven] != 304 {
		t.Errorf("counts without a profile: %+v", n)
	}
}

func TestNothingWiredIsUnproven(t *testing.T) {
	d, err := New(DefaultConfig(), Deps{DB: statetest.OpenSQLite(t), Profile: good()})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := refresh(t, d)
	for _, id := range evidence.Answered() {
		if a, _ := s.Of(garrison.DutyID(id)); a.Standing != garrison.Unproven || !slices.Contains(ReasonKeys(), a.Why.Key) || !strings.HasPrefix(a.Why.Key, whyUnreadable) {
			t.Errorf("%s: %s because of %s", id, a.Standing, a.Why.Key)
		}
	}
}

// TestChangesAreRecorded: a change is one version and one ledger entry that a
// verifier can recompute; no change is none.
func TestChangesAreRecorded(t *testing.T) {
	statetest.Each(t, func(t *testing.T, open statetest.Open) {
		ctx := t.Context()
		w := good()
		db := open(t)
		d := build(t, db, w)
		log := &statetest.Ledger{}
		w.change(func(w *world) { w.profile.Set = false })
		refresh(t, d)
		_, err := db.Drain(ctx, log)
		must(t, err)
		if n := len(standingEntries(t, log, "")); n != 4 {
			t.Errorf("%d standings entered at the start, want the 4 that something answers", n)
		}
		w.change(func(w *world) { w.profile.Set = true; w.now = t0.Add(time.Minute) })
		s := refresh(t, d)
		w.change(func(w *world) { w.now = t0.Add(2 * time.Minute); w.records.Day++ }) // a fact moves, the standing does not
		refresh(t, d)
		w.change(func(w *world) { w.now = t0.Add(3 * time.Minute); w.links.OpenBad = 1 })
		refresh(t, d)
		w.change(func(w *world) { w.now = t0.Add(4 * time.Minute); w.links.OpenBad = 0 })
		refresh(t, d)
		_, err = db.Drain(ctx, log)
		must(t, err)

		changes, err := d.History(ctx, "govqa-9b", time.Time{})
		must(t, err)
		var got []string
		for _, c := range changes {
			got = append(got, c.At.Sub(t0).String()+" "+c.Standing.String())
			if c.Evidence.Zero() || len(c.Facts) == 0 || len(c.Digest) != 64 {
				t.Errorf("change at %v: evidence %v, %d facts, digest %q", c.At, c.Evidence, len(c.Facts), c.Digest)
			}
		}
		want := []string{"0s unproven", "1m0s met", "3m0s unmet", "4m0s met"}
		if diff := cmp.Diff(got, want); diff != "" {
			t.Errorf("history (-got +want)\n%s", diff)
		}
		entries := standingEntries(t, log, "govqa-9b")
		for i, e := range entries {
			standing, why, _ := evidence.Standing("govqa-9b", factsMap(changes[i].Facts))
			if e.Get("standing") != standing || e.Get("why") != why || e.Get("facts") != changes[i].Digest {
				t.Errorf("entry %d %s does not follow from its facts", i, e.Marshal())
			}
		}
		if len(entries) != 4 {
			t.Errorf("%d entries for govqa-9b, want 4", len(entries))
		}
		// The stretch that had begun before the moment is the first.
		since, err := d.History(ctx, "govqa-9b", t0.Add(3*time.Minute+time.Second))
		must(t, err)
		if len(since) != 2 || since[0].Standing != garrison.Unmet {
			t.Errorf("since 3m1s: %+v", since)
		}
		if h, err := d.History(ctx, "mps82-9-3", time.Time{}); err != nil || len(h) > 1 {
			t.Errorf("history of a clause nothing answers: %v, %v", h, err)
		}
		scoped := 0
		for _, a := range s.Assessments {
			if a.Standing == garrison.OutOfScope || a.Standing == garrison.NotInForce {
				scoped++
			}
		}
		if n := len(standingEntries(t, log, "")); n != 4+4+scoped+2 {
			t.Errorf("%d standings entered, want %d", n, 4+4+scoped+2)
		}
		must(t, db.Audit(ctx, log, func(dmg state.Damage) { t.Errorf("audit: %+v", dmg) }))
		must(t, db.Write(ctx, func(tx *state.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE duties_standing SET standing = 'met' WHERE duty = 'mps82-2'`)
			return err
		}))
		found := 0
		must(t, db.Audit(ctx, log, func(state.Damage) { found++ }))
		if found == 0 {
			t.Error("a forged standing is not found")
		}
	})
}

func standingEntries(t *testing.T, log *statetest.Ledger, duty string) []evidence.Entry {
	t.Helper()
	var out []evidence.Entry
	for _, b := range log.Entries() {
		e, err := evidence.ParseEntry(b)
		must(t, err)
		if e.Type == evidence.TypeStanding && (duty == "" || e.Get("duty") == duty) {
			out = append(out, e)
		}
	}
	return out
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAsOf(t *testing.T) {
	ctx := t.Context()
	w := good()
	w.now = time.Now().UTC().Add(-time.Hour) // versions carry the database's own clock
	d := build(t, statetest.OpenSQLite(t), w)
	w.change(func(w *world) { w.links.OpenBad = 1 })
	refresh(t, d)
	between := time.Now()
	w.change(func(w *world) { w.now = time.Now().Add(time.Hour); w.links.OpenBad = 0; w.links.OldestRun = w.now })
	refresh(t, d)
	for name, tt := range map[string]struct {
		at       time.Time
		standing garrison.Standing
		why      string
	}{
		"now":                  {time.Time{}, garrison.Met, "links.checked"},
		"in the future":        {time.Now().Add(100 * time.Hour), garrison.Met, "links.checked"},
		"in between":           {between, garrison.Unmet, "links.open"},
		"before there was one": {t0.Add(-1000 * time.Hour), garrison.Unproven, "not_recorded_then"},
	} {
		a, err := d.AssessOne(ctx, "govqa-9b", tt.at)
		must(t, err)
		if a.Standing != tt.standing || a.Why.Key != reasonPrefix+tt.why {
			t.Errorf("%s: %s because of %s, want %s because of %s", name, a.Standing, a.Why.Key, tt.standing, tt.why)
		}
		all, err := d.Assess(ctx, tt.at)
		must(t, err)
		if len(all) != 322 {
			t.Errorf("%s: %d assessments", name, len(all))
		}
		for _, one := range all {
			if one.Duty == "govqa-9b" {
				if diff := cmp.Diff(one, a); diff != "" {
					t.Errorf("%s: one and all differ\n%s", name, diff)
				}
			}
		}
	}
}

func TestSnapshotIsCheap(t *testing.T) {
	ctx := t.Context()
	w := good()
	d := build(t, statetest.OpenSQLite(t), w)
	first, err := d.Snapshot(ctx)
	must(t, err)
	asked := w.asked
	for range 100 {
		s, err := d.Snapshot(ctx)
		must(t, err)
		if s.At != first.At {
			t.Fatalf("computed again at %v", s.At)
		}
	}
	if w.asked != asked {
		t.Errorf("100 pages asked the sources %d times, want none", w.asked-asked)
	}
	// One nobody renewed is not passed off as the present.
	w.change(func(w *world) { w.now = t0.Add(6 * time.Minute) })
	s, err := d.Snapshot(ctx)
	must(t, err)
	if s.At == first.At {
		t.Error("a snapshot of six minutes ago was given for the present")
	}
}

func TestRefreshCutShortSaysNothing(t *testing.T) {
	w := good()
	d := build(t, statetest.OpenSQLite(t), w)
	refresh(t, d)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Refresh(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("refresh: %v", err)
	}
	if s, err := d.Snapshot(t.Context()); err != nil || s.Counts("").ByStanding[garrison.Met] != 4 {
		t.Errorf("after a refresh that was cut short: %v", err)
	}
}

func TestStartAndStop(t *testing.T) {
	w := good()
	d, err := New(DefaultConfig(), Deps{DB: statetest.OpenSQLite(t), Profile: w, Records: w, Ledger: w, Measures: w, Now: w.clock})
	must(t, err)
	must(t, d.Start(t.Context()))
	for deadline := time.Now().Add(10 * time.Second); d.latest() == nil && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	must(t, d.Stop(t.Context()))
	if s := d.latest(); s == nil || s.Counts("").ByStanding[garrison.Met] != 4 {
		t.Error("nothing was computed after the start")
	}
}

func TestUnknownClauses(t *testing.T) {
	d := build(t, statetest.OpenSQLite(t), good())
	ctx := t.Context()
	for _, id := range []garrison.DutyID{"", "nonsense", "mps82-13 ", "MPS82-13", "\x00", "' OR 1=1", garrison.DutyID(strings.Repeat("x", 1<<20))} {
		_, err1 := d.Duty(ctx, id)
		_, err2 := d.AssessOne(ctx, id, time.Time{})
		_, err3 := d.History(ctx, id, time.Time{})
		err4 := d.Export(ctx, id, nil)
		for i, err := range []error{err1, err2, err3, err4} {
			if garrison.CodeOf(err) != garrison.NotFound {
				t.Errorf("%.20q, call %d: %v", id, i+1, err)
			}
		}
	}
}

func TestNewRefuses(t *testing.T) {
	db := statetest.OpenSQLite(t)
	for name, cfg := range map[string]Config{"all the time": {Every: 0}, "too many samples": {Every: time.Minute, Samples: 1000}, "fewer than none": {Every: time.Minute, Samples: -1}} {
		if _, err := New(cfg, Deps{DB: db}); garrison.CodeOf(err) != garrison.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := New(DefaultConfig(), Deps{}); garrison.CodeOf(err) != garrison.Invalid {
		t.Errorf("without a database: %v", err)
	}
}

func BenchmarkRefresh(b *testing.B) {
	w := good()
	db, err := state.New(state.Config{Engine: state.SQLite, Path: b.TempDir() + "/state.db"}, state.Deps{})
	must(b, err)
	must(b, db.Start(b.Context()))
	b.Cleanup(func() { must(b, db.Stop(context.Background())) })
	d := build(b, db, w)
	refresh(b, d)
	for b.Loop() {
		refresh(b, d)
	}
}
