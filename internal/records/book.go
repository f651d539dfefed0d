package records

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"garrison"
	"garrison/evidence"
	"garrison/internal/records/rows"
	"garrison/internal/records/wal"
)

const (
	keptSamples = 50 // refused lines kept per source
	dayMinutes  = 1440
	maxSpans    = 10_000
)

// book is what is counted besides the rows: who sent how much when, what was lost,
// when anybody watched, which keys were answered. It is derived from frames only, so
// it is exact after any crash. One book stands in the catalog, one more belongs to
// each generation of rows that is not in a segment yet; together they are the truth.
type book struct {
	Sources map[string]*sourceBook `json:"sources"`
	Spans   []span                 `json:"spans"`
	days    map[int64]*dayBook     // by day number; the catalog keeps these in files of their own
}

// sourceBook is one sender.
type sourceBook struct {
	Name    string                 `json:"name"`
	Kind    string                 `json:"kind"`
	Own     bool                   `json:"own,omitempty"`
	Stored  int64                  `json:"stored"`
	Refused int64                  `json:"refused"`
	Lost    int64                  `json:"lost"`
	First   int64                  `json:"first"`   // received second
	Last    int64                  `json:"last"`    //
	Offset  int64                  `json:"offset"`  // ms, reception less the newest event time of the last batch
	Suspect int64                  `json:"suspect"` // last second with a record whose clock cannot be right
	Samples []garrison.RefusedLine `json:"samples,omitempty"`
}

// span is a stretch of seconds in which the store watched.
type span struct {
	From  int64  `json:"from"`  // first second
	Until int64  `json:"until"` // last second
	Cause string `json:"cause"` // why it ended; empty: it has not
	Run   string `json:"run"`
}

// dayBook is one day of the loss ledger and of the keys.
type dayBook struct {
	Day     int64                             `json:"day"` // Unix time / 86400
	Tallies map[string][]garrison.MinuteTally `json:"tallies"`
	Keys    []keyAnswer                       `json:"keys,omitempty"`
}

// keyAnswer is the first answer to an idempotency key.
type keyAnswer struct {
	Key     []byte `json:"k"`
	Stored  int    `json:"s"`
	Refused int    `json:"r"`
}

func newBook() *book {
	return &book{Sources: map[string]*sourceBook{}, days: map[int64]*dayBook{}}
}

func newDay(day int64) *dayBook {
	return &dayBook{Day: day, Tallies: map[string][]garrison.MinuteTally{}}
}

func (b *book) day(second int64) *dayBook {
	n := second / 86400
	d := b.days[n]
	if d == nil {
		d = newDay(n)
		b.days[n] = d
	}
	return d
}

// batch counts one batch frame; added are its rows.
func (b *book) batch(f *wal.Body, second int64, added []rows.Row) {
	s := b.Sources[f.SourceID]
	if s == nil {
		s = &sourceBook{First: second}
		b.Sources[f.SourceID] = s
	}
	s.Name, s.Kind, s.Own = f.SourceName, f.SourceKind, f.Own
	s.Stored += int64(len(added))
	s.Refused += f.Refused
	s.Lost += f.Lost
	s.Last = max(s.Last, second)
	newest := int64(0)
	for i := range added {
		newest = max(newest, added[i].End, added[i].Start)
		if added[i].Flags&evidence.NATClockSuspect != 0 {
			s.Suspect = second
		}
	}
	if newest > 0 {
		s.Offset = second*1000 - newest
	}
	for _, x := range f.Samples {
		s.sample(garrison.RefusedLine{At: time.Unix(second, 0).UTC(), Source: f.SourceID, Why: x.Why, Line: x.Line})
	}
	d := b.day(second)
	d.tally(f.SourceID, garrison.MinuteTally{Minute: second / 60, Stored: int64(len(added)), Refused: f.Refused, Other: f.Other, Lost: f.Lost})
	if f.Key != [32]byte{} {
		d.Keys = append(d.Keys, keyAnswer{Key: slices.Clone(f.Key[:]), Stored: len(added), Refused: int(f.Refused)})
	}
}

func (s *sourceBook) sample(l garrison.RefusedLine) {
	s.Samples = append(s.Samples, l)
	if over := len(s.Samples) - keptSamples; over > 0 {
		s.Samples = slices.Delete(s.Samples, 0, over)
	}
}

func (d *dayBook) tally(source string, m garrison.MinuteTally) {
	ms := d.Tallies[source]
	i, found := slices.BinarySearchFunc(ms, m.Minute, func(t garrison.MinuteTally, minute int64) int { return cmp.Compare(t.Minute, minute) })
	if !found {
		d.Tallies[source] = slices.Insert(ms, i, m)
		return
	}
	ms[i].Stored += m.Stored
	ms[i].Refused += m.Refused
	ms[i].Other += m.Other
	ms[i].Lost += m.Lost
}

func (d *dayBook) add(other *dayBook) {
	for source, ms := range other.Tallies {
		for _, m := range ms {
			d.tally(source, m)
		}
	}
	d.Keys = append(d.Keys, other.Keys...)
}

// begin opens a span; one that is still open ended in a crash.
func (b *book) begin(second int64, run string) {
	b.close(causeCrashed)
	b.Spans = append(b.Spans, span{From: second, Until: second - 1, Run: run})
}

// Causes of gaps beyond those that package garrison names.
const (
	causeStopped      = "stopped"
	causeCrashed      = "crashed"
	causeStalled      = "stalled"   // the process was held up, or its clock was set forward
	causeDiskFull     = "disk_full" // intake was refused for want of space
	causeSilent       = "silent"
	causeLost         = "lost"
	causeRefused      = "refused"
	causeDamaged      = "damaged"
	causeExpired      = "expired" // kept long enough and removed
	causeNotInstalled = "not_installed"
	causeNotYet       = "not_yet" // the window reaches into the future
)

func (b *book) close(cause string) {
	if n := len(b.Spans); n > 0 && b.Spans[n-1].Cause == "" {
		b.Spans[n-1].Cause = cause
	}
}

// watch says that second was watched to its end.
func (b *book) watch(second int64, cause string) {
	n := len(b.Spans)
	if n == 0 {
		b.Spans = append(b.Spans, span{From: second, Until: second})
		return
	}
	last := &b.Spans[n-1]
	if last.Cause == "" && second <= last.Until+maxStep {
		last.Until = max(last.Until, second)
		return
	}
	if last.Cause == "" {
		last.Cause = cmp.Or(cause, causeStalled)
	}
	b.Spans = append(b.Spans, span{From: second, Until: second, Run: last.Run})
}

// maxStep is how many seconds may lie between two watch frames of one span; a busy
// machine can be late by one.
const maxStep = 2

// add puts a later book's counts into b.
func (b *book) add(later *book) {
	for id, s := range later.Sources {
		mine := b.Sources[id]
		if mine == nil {
			c := *s
			c.Samples = slices.Clone(s.Samples)
			b.Sources[id] = &c
			continue
		}
		mine.Name, mine.Kind, mine.Own = s.Name, s.Kind, s.Own
		mine.Stored += s.Stored
		mine.Refused += s.Refused
		mine.Lost += s.Lost
		mine.First, mine.Last = min(mine.First, s.First), max(mine.Last, s.Last)
		mine.Suspect, mine.Offset = max(mine.Suspect, s.Suspect), s.Offset
		for _, l := range s.Samples {
			mine.sample(l)
		}
	}
	for n, d := range later.days {
		if b.days[n] == nil {
			b.days[n] = newDay(n)
		}
		b.days[n].add(d)
	}
	b.addSpans(later.Spans)
}

func (b *book) addSpans(later []span) {
	for _, s := range later {
		n := len(b.Spans)
		if n > 0 {
			last := &b.Spans[n-1]
			if last.Cause == "" && (s.Run == last.Run || s.Run == "") && s.From <= last.Until+maxStep {
				last.Until, last.Cause = max(last.Until, s.Until), s.Cause
				continue
			}
			if last.Cause == "" {
				last.Cause = causeStalled
				if s.Run != "" && s.Run != last.Run {
					last.Cause = causeCrashed
				}
			}
		}
		b.Spans = append(b.Spans, s)
	}
	if over := len(b.Spans) - maxSpans; over > 0 {
		b.Spans = slices.Delete(b.Spans, 0, over)
	}
}

// ids returns the sources in order.
func (b *book) ids() []string { return slices.Sorted(maps.Keys(b.Sources)) }
