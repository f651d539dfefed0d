package duties

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"garrison"
	"garrison/evidence"
)

const (
	day = 24 * time.Hour
	// watchWindow is the stretch that art. 14(1) is judged over: as long as the
	// records it protects are kept.
	watchWindow = evidence.FloorDays * day
	// maxRefs bounds the ledger entries one fact names.
	maxRefs = 64
	// readTime is how long one source of facts may take.
	readTime = 15 * time.Second
)

// reasonPrefix makes a locale key of a reason of package evidence.
const reasonPrefix = "duties.why."

// Reasons that only this package gives; the others are evidence.Reasons, each
// behind reasonPrefix.
const (
	whySuperseded  = reasonPrefix + "superseded"
	whyUnreadable  = reasonPrefix + "unreadable." // and the source
	whyNotRecorded = reasonPrefix + "not_recorded_then"
)

// ReasonKeys returns every locale key that an assessment can give as its reason.
func ReasonKeys() []string {
	keys := []string{whySuperseded, whyNotRecorded}
	for _, source := range []string{sourceRecords, sourceLedger, sourceMeasures, sourceLinks} {
		keys = append(keys, whyUnreadable+source)
	}
	for _, key := range evidence.Reasons() {
		keys = append(keys, reasonPrefix+key)
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// Sources of facts.
const (
	sourceRecords  = "records"
	sourceLedger   = "ledger"
	sourceMeasures = "measures"
	sourceLinks    = "links"
)

// answer is what the product brings to one clause: facts, and around them what a
// reader needs to judge them.
type answer struct {
	by         []string
	facts      []garrison.Fact
	population garrison.Population
	gaps       []garrison.Gap
	lastLook   time.Time
	runs       []garrison.Run
	failed     string // the source that could not be read; empty: all were
}

func (a *answer) fact(name, value string, refs ...garrison.EvidenceRef) {
	a.facts = append(a.facts, garrison.Fact{Name: name, Value: value, Evidence: tidy(refs)})
}

// count states a number. A number below zero other than the -1 of unknown cannot be
// true; it is stated as it is, and evidence.Standing calls it malformed.
func (a *answer) count(name string, n int64, refs ...garrison.EvidenceRef) {
	a.fact(name, strconv.FormatInt(n, 10), refs...)
}

func (a *answer) flag(name string, v bool, refs ...garrison.EvidenceRef) {
	a.fact(name, strconv.FormatBool(v), refs...)
}

// answered lists what the four clauses are answered by. It is the one list of them
// here; a test holds it against evidence.Answered.
func (d *Duties) answered(ctx context.Context, at time.Time) map[garrison.DutyID]answer {
	records, recordsErr := read(ctx, d.deps.Records != nil, func(ctx context.Context) (RecordState, error) {
		return d.deps.Records.RecordState(ctx, at)
	})
	watch := garrison.Period{From: at.Add(-watchWindow), Until: at}
	ledger, ledgerErr := read(ctx, d.deps.Ledger != nil, func(ctx context.Context) (LedgerState, error) {
		return d.deps.Ledger.LedgerState(ctx, watch)
	})
	measures, measuresErr := read(ctx, d.deps.Measures != nil, func(ctx context.Context) ([]MeasureState, error) {
		return d.deps.Measures.MeasureStates(ctx, at)
	})
	links, linksErr := read(ctx, d.deps.Measures != nil, func(ctx context.Context) (LinkState, error) {
		return d.deps.Measures.LinkState(ctx, at)
	})
	answers := map[garrison.DutyID]answer{
		"mps82-8-2":  translations(records, recordsErr, at),
		"mps82-13":   retention(records, recordsErr),
		"mps82-14-1": watched(ledger, ledgerErr, measures, measuresErr, at),
		"govqa-9b":   linked(links, linksErr, at),
	}
	for source, err := range map[string]error{sourceRecords: recordsErr, sourceLedger: ledgerErr, sourceMeasures: measuresErr, sourceLinks: linksErr} {
		if err != nil {
			d.deps.Log.WarnContext(ctx, "facts for clauses could not be read", "source", source, "error", err)
		}
	}
	return answers
}

// read asks one source, at most for readTime. A source that is missing or panics is
// one that could not be read.
func read[T any](ctx context.Context, there bool, ask func(context.Context) (T, error)) (v T, err error) {
	if !there {
		return v, garrison.Errorf(garrison.Unavailable, "nothing is wired to it")
	}
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("reading facts broke off: %v", p)
		}
	}()
	return ask(ctx)
}

// translations: Decree 82 art. 8(2).
func translations(s RecordState, err error, at time.Time) answer {
	a := answer{by: []string{"records.nat", "ledger"}}
	if err != nil {
		a.failed = sourceRecords
		return a
	}
	last := garrison.Period{From: at.Add(-day), Until: at}
	a.gaps = s.Gaps
	if !s.StoppedSince.IsZero() {
		a.gaps = append(slices.Clone(a.gaps), garrison.Gap{Period: garrison.Period{From: s.StoppedSince, Until: at}, Cause: "stopped", Lost: -1})
	}
	a.gaps = sorted(within(a.gaps, last))
	a.count("nat_records_24h", s.Day, s.Evidence...)
	a.count("expected_sources", int64(s.Expected))
	a.count("sources_heard", int64(s.Heard), s.Evidence...)
	a.count("lost_24h", s.Lost)
	a.count("gap_seconds_24h", seconds(length(a.gaps)))
	a.population = garrison.Population{Attempted: s.Expected, Succeeded: s.Heard, Unreachable: max(0, s.Expected-s.Heard)}
	a.lastLook = s.LastLook
	return a
}

// retention: Decree 82 art. 13.
func retention(s RecordState, err error) answer {
	a := answer{by: []string{"records.retention"}}
	if err != nil {
		a.failed = sourceRecords
		return a
	}
	a.count("floor_days", int64(s.FloorDays), s.Retention...)
	a.flag("forecast_known", s.ForecastKnown)
	days := min(max(s.DaysKept, 0), 1e6)
	// Rounded down: a day that is not full is not kept.
	a.fact("forecast_days_kept", strconv.FormatFloat(float64(int64(days*10))/10, 'f', 1, 64), s.Evidence...)
	a.count("expired_early", int64(s.ExpiredEarly), s.Retention...)
	a.population = garrison.Population{Attempted: 1, Succeeded: 1} // one store
	if !s.ForecastKnown {
		a.population = garrison.Population{Attempted: 1, Unreachable: 1}
	}
	a.lastLook = s.LastLook
	return a
}

// watched: Decree 82 art. 14(1).
func watched(l LedgerState, lerr error, ms []MeasureState, merr error, at time.Time) answer {
	a := answer{by: []string{"ledger.heartbeats", "measures"}}
	if lerr == nil {
		since := garrison.Period{From: at.Add(-watchWindow), Until: at}
		if l.FirstStart.After(since.From) {
			since.From = l.FirstStart
		}
		recent := garrison.Period{From: at.Add(-day), Until: at}
		all, crashes := 0, 0
		for _, g := range within(l.Gaps, since) {
			if !approved(g) {
				all++
			}
		}
		last := 0
		for _, g := range within(within(l.Gaps, since), recent) {
			if approved(g) {
				continue
			}
			last++
			if g.Cause == "crashed" {
				crashes++
			}
		}
		a.gaps = sorted(within(l.Gaps, since))
		a.flag("heartbeats_known", l.Known && !l.FirstStart.IsZero(), l.Evidence...)
		a.count("unapproved_gaps", int64(all), l.Evidence...)
		a.count("unapproved_gaps_24h", int64(last), l.Evidence...)
		a.count("crashes_24h", int64(crashes), l.Evidence...)
		a.lastLook = l.LastBeat
	} else {
		a.failed = sourceLedger
	}
	if merr != nil {
		a.failed = cmp.Or(a.failed, sourceMeasures)
		return a
	}
	var refs []garrison.EvidenceRef
	on := 0
	for _, m := range ms {
		refs = append(refs, m.Evidence)
		if m.On {
			on++
		}
	}
	a.count("measures_expected", int64(len(ms)), refs...)
	a.count("measures_on", int64(on), refs...)
	a.population = garrison.Population{Attempted: len(ms), Succeeded: on, Failed: len(ms) - on}
	return a
}

// linked: the official explanation of the 2024 provisions, question 9.
func linked(s LinkState, err error, at time.Time) answer {
	a := answer{by: []string{"measures.links"}}
	if err != nil {
		a.failed = sourceLinks
		return a
	}
	refs := make([]garrison.EvidenceRef, 0, len(s.Runs))
	for _, r := range s.Runs {
		refs = append(refs, r.Evidence)
	}
	a.runs = s.Runs
	a.count("sites_registered", int64(s.Sites))
	a.count("sites_inventoried", int64(s.Inventoried), refs...)
	if !s.OldestRun.IsZero() { // without a run there is no age, and a zero would be a lie
		a.count("oldest_run_seconds", max(0, seconds(at.Sub(s.OldestRun))), refs...)
	}
	a.count("runs_unknown", int64(s.RunsUnknown), refs...)
	a.count("links_unknown", int64(s.LinksUnknown), refs...)
	a.count("open_bad_links", int64(s.OpenBad), refs...)
	a.gaps = sorted(s.Gaps)
	a.population = garrison.Population{Attempted: s.Sites, Succeeded: max(0, s.Inventoried-s.RunsUnknown),
		Failed: max(0, s.Sites-s.Inventoried), Unreachable: s.RunsUnknown}
	a.lastLook = s.NewestRun
	return a
}

// assess puts scope before an answer and lets evidence.Standing judge.
func (d *Duties) assess(duty garrison.Duty, p Profile, a answer, at time.Time) (garrison.Assessment, error) {
	facts := append(d.scope(duty, p, at), a.facts...)
	standing, why, err := evidence.Standing(string(duty.ID), factsMap(facts))
	out := garrison.Assessment{
		Duty: duty.ID, Standing: standingOf(standing), Why: d.why(duty, a, why, facts), AnsweredBy: a.by, Facts: facts,
		Population: a.population, Gaps: a.gaps, LastLook: a.lastLook, At: at,
	}
	for _, f := range facts {
		out.Evidence = append(out.Evidence, f.Evidence...)
	}
	out.Evidence = tidy(out.Evidence)
	if err != nil {
		err = fmt.Errorf("facts of duty %q: %w", duty.ID, err)
	}
	return out, err
}

// scope are the facts that decide before all others.
func (d *Duties) scope(duty garrison.Duty, p Profile, at time.Time) []garrison.Fact {
	profile := ""
	if p.Set {
		profile = strings.Join(p.Binds, ",")
	}
	binds := duty.Binds
	if ContextOnly(duty) {
		// Nothing in it to discharge, whomever it names: shown, not counted.
		binds = []string{"authority"}
	}
	rule, _ := d.cat.Rule(duty.Rule)
	return []garrison.Fact{
		{Name: evidence.FactProfile, Value: profile},
		{Name: evidence.FactBinds, Value: strings.Join(binds, ",")},
		{Name: evidence.FactInForce, Value: strconv.FormatBool(duty.InForce.Contains(at) && rule.Status != "superseded")},
	}
}

// why is the reason in words: the key that evidence gave, or a nearer one, with the
// facts as values.
func (d *Duties) why(duty garrison.Duty, a answer, key string, facts []garrison.Fact) garrison.Reason {
	args := make(map[string]any, len(facts))
	for _, f := range facts {
		args[f.Name] = f.Value
	}
	rule, _ := d.cat.Rule(duty.Rule)
	switch {
	case key == evidence.WhyNotInForce && rule.Status == "superseded":
		return garrison.Reason{Key: whySuperseded}
	case key == evidence.WhyNotInForce:
		return garrison.Reason{Key: reasonPrefix + key, Args: map[string]any{"from": duty.InForce.From.In(shanghai()).Format(time.DateOnly)}}
	case key == evidence.WhyMissing && a.failed != "":
		return garrison.Reason{Key: whyUnreadable + a.failed}
	case key == evidence.WhyNothingAnswers, key == evidence.WhyProfileNotSet, key == evidence.WhyAuthorityOnly, key == evidence.WhyNotBound:
		return garrison.Reason{Key: reasonPrefix + key}
	}
	return garrison.Reason{Key: reasonPrefix + key, Args: args}
}

func shanghai() *time.Location { return time.FixedZone("Asia/Shanghai", 8*60*60) }

// standingOf reads a standing of package evidence; what it does not know is unproven.
func standingOf(s string) garrison.Standing {
	for _, st := range []garrison.Standing{garrison.Met, garrison.Unmet, garrison.OutOfScope, garrison.NotInForce} {
		if st.String() == s {
			return st
		}
	}
	return garrison.Unproven
}

func factsMap(facts []garrison.Fact) evidence.Facts {
	m := make(evidence.Facts, len(facts))
	for _, f := range facts {
		m[f.Name] = f.Value
	}
	return m
}

// tidy returns refs without zero and repeated ones, in the order of the ledger, the
// newest maxRefs of them.
func tidy(refs []garrison.EvidenceRef) []garrison.EvidenceRef {
	seen := map[garrison.EvidenceRef]bool{}
	for _, r := range refs {
		if !r.Zero() {
			seen[r] = true
		}
	}
	if len(seen) == 0 {
		return nil
	}
	out := slices.SortedFunc(maps.Keys(seen), func(a, b garrison.EvidenceRef) int {
		return cmp.Or(cmp.Compare(a.Log, b.Log), cmp.Compare(a.Index, b.Index), cmp.Compare(a.Digest, b.Digest))
	})
	return out[max(0, len(out)-maxRefs):]
}

func sorted(gaps []garrison.Gap) []garrison.Gap {
	return slices.SortedFunc(slices.Values(gaps), func(a, b garrison.Gap) int {
		return cmp.Or(a.From.Compare(b.From), a.Until.Compare(b.Until), cmp.Compare(a.Source, b.Source), cmp.Compare(a.Cause, b.Cause))
	})
}

// seconds rounds up: a part of a second unwatched is a second unwatched.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }
