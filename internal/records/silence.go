package records

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"garrison"
)

const (
	rhythmMinutes = dayMinutes // how far back a source's rhythm is taken from
	rhythmLeast   = 10         // active minutes needed to speak of a rhythm
	silenceLeast  = 5          // minutes; nobody is called silent earlier
	silenceUsual  = 15         // minutes allowed to an expected source without a rhythm
)

// live says that a source of this kind sends by itself, so that silence means
// something.
func live(kind string) bool { return strings.HasPrefix(kind, "syslog") || kind == "https" }

// activity is in which minutes a source sent, in order, each once.
type activity []int64

// allowed returns after how many minutes without a record a source is silent by its
// own rhythm: three times its usual longest pause. 0: no rhythm is known.
func (a activity) allowed() int64 {
	if len(a) < rhythmLeast {
		return 0
	}
	pauses := make([]int64, 0, len(a)-1)
	for i := 1; i < len(a); i++ {
		pauses = append(pauses, a[i]-a[i-1])
	}
	slices.Sort(pauses)
	return max(silenceLeast, 3*pauses[len(pauses)*95/100])
}

// silences returns the stretches of a window in which a source that ought to send did
// not, while we watched.
func (s *Store) silences(p garrison.Period, now time.Time) ([]garrison.Gap, error) {
	first, last := p.From.Unix()/60, min(p.Until.Unix(), now.Unix())/60
	acts := map[string]activity{}
	err := s.minutes(first-rhythmMinutes, last+rhythmMinutes, func(source string, t garrison.MinuteTally) {
		if t.Stored+t.Refused > 0 {
			acts[source] = append(acts[source], t.Minute)
		}
	})
	if err != nil {
		return nil, err
	}
	spans := s.spans(now)
	expected := s.expected()
	var gaps []garrison.Gap
	for _, src := range s.sourceList() {
		must := expected[src.id]
		if src.Own || !live(src.Kind) && !must {
			continue
		}
		a := acts[src.id]
		slices.Sort(a)
		a = slices.Compact(a)
		before := a[:lowerBound(a, first)]
		allowed := before.allowed()
		if allowed == 0 {
			allowed = a.allowed()
		}
		if allowed == 0 && must {
			allowed = silenceUsual
		}
		if allowed == 0 {
			continue
		}
		gaps = append(gaps, silentStretches(src.id, a, src.First, allowed, p, spans, now)...)
		delete(expected, src.id)
	}
	for id := range expected { // expected, and never heard of
		if !slices.ContainsFunc(s.sourceList(), func(x namedSource) bool { return x.id == id }) {
			gaps = append(gaps, silentStretches(id, nil, 0, silenceUsual, p, spans, now)...)
		}
	}
	slices.SortFunc(gaps, func(a, b garrison.Gap) int { return cmp.Or(a.From.Compare(b.From), cmp.Compare(a.Source, b.Source)) })
	return gaps, nil
}

func lowerBound(a activity, minute int64) int {
	i, _ := slices.BinarySearch(a, minute)
	return i
}

func (s *Store) expected() map[string]bool {
	m := map[string]bool{}
	if s.deps.Expected != nil {
		for _, id := range s.deps.Expected() {
			m[id] = true
		}
	}
	return m
}

// silentStretches cuts the pauses of a source that are longer than allowed to the
// window and to the time in which we watched.
func silentStretches(source string, a activity, firstHeard, allowed int64, p garrison.Period, spans []span, now time.Time) []garrison.Gap {
	var gaps []garrison.Gap
	pause := func(from, until int64) { // minutes, without the ones in which it sent
		for _, x := range spans {
			f, u := max(from*60, x.From), min(until*60, x.Until+1, now.Unix())
			if u-f <= allowed*60 {
				continue
			}
			cut := clipPeriod(p, time.Unix(f, 0).UTC(), time.Unix(u, 0).UTC())
			if cut.From.Before(cut.Until) {
				gaps = append(gaps, garrison.Gap{Period: cut, Source: source, Cause: causeSilent, Lost: -1})
			}
		}
	}
	prev := max(p.From.Unix()/60-rhythmMinutes, firstHeard/60) - 1
	for _, m := range a {
		pause(prev+1, m)
		prev = m
	}
	pause(prev+1, now.Unix()/60+1)
	return gaps
}

// namedSource is a source with its identifier; the book is a copy.
type namedSource struct {
	id string
	sourceBook
}

// sourceList returns all sources by identifier.
func (s *Store) sourceList() []namedSource {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := newBook()
	for _, b := range s.books() {
		all.add(&book{Sources: b.Sources})
	}
	list := make([]namedSource, 0, len(all.Sources))
	for _, id := range all.ids() {
		list = append(list, namedSource{id, *all.Sources[id]})
	}
	return list
}
