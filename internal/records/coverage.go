package records

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"slices"
	"time"

	"garrison"
	"garrison/internal/records/segment"
)

// Coverage says what is known about a window: whether the store watched, what each
// source lost, which expected source was silent, and how many records exist. Time is
// our clock's; records are counted by whole minutes of their own time.
func (s *Store) Coverage(ctx context.Context, p garrison.Period) (garrison.Coverage, error) {
	now := s.now()
	if p.Until.IsZero() {
		p.Until = now
	}
	if p.Until.Before(p.From) {
		return garrison.Coverage{}, garrison.Errorf(garrison.Invalid, "coverage is asked for until %v, before it begins at %v", p.Until, p.From)
	}
	c := garrison.Coverage{Window: p}
	var err error
	for range 5 { // merging replaces files
		if c.Records, err = s.countRecords(ctx, p); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err != nil {
		return c, err
	}
	c.Gaps = append(c.Gaps, s.unwatched(p, now)...)
	c.Gaps = append(c.Gaps, s.expiredGaps(p)...)
	losses, err := s.losses(p)
	if err != nil {
		return c, err
	}
	c.Gaps = append(c.Gaps, losses...)
	silent, err := s.silences(p, now)
	if err != nil {
		return c, err
	}
	c.Gaps = append(c.Gaps, silent...)
	for _, g := range c.Gaps {
		switch {
		case g.Cause == causeSilent:
			c.Silent += g.Until.Sub(g.From)
		case g.Lost > 0 && c.Lost >= 0 && g.Cause == causeLost:
			c.Lost += g.Lost
		case g.Lost < 0 && g.Cause != causeNotYet:
			c.Lost = -1
		}
	}
	c.Complete = len(c.Gaps) == 0
	slices.SortStableFunc(c.Gaps, func(a, b garrison.Gap) int { return a.From.Compare(b.From) })
	return c, nil
}

// books returns the counts of the catalog and of everything after it, in order.
func (s *Store) books() []*book {
	list := []*book{s.cat.Book}
	for _, g := range s.frozen {
		list = append(list, g.book)
	}
	for _, c := range s.shards {
		list = append(list, c.gen.book)
	}
	return list
}

// spans returns all watched stretches, the running one up to now.
func (s *Store) spans(now time.Time) []span {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := newBook()
	for _, b := range s.books() {
		all.addSpans(b.Spans)
	}
	n := len(all.Spans)
	if n > 0 && all.Spans[n-1].Cause == "" && all.Spans[n-1].Run == s.run && s.failed == nil && s.full == nil {
		if last := &all.Spans[n-1]; last.Until >= now.Unix()-2*maxStep {
			last.Until = max(last.Until, now.Unix())
		}
	}
	return all.Spans
}

// unwatched returns the stretches of a window in which the store was not running.
func (s *Store) unwatched(p garrison.Period, now time.Time) []garrison.Gap {
	spans := s.spans(now)
	var gaps []garrison.Gap
	at, cause := p.From, causeNotInstalled
	add := func(until time.Time, cause string) {
		until = minTime(until, p.Until)
		if at.Before(until) {
			gaps = append(gaps, garrison.Gap{Period: garrison.Period{From: at, Until: until}, Cause: cause, Lost: -1})
			at = until
		}
	}
	for _, x := range spans {
		from, until := time.Unix(x.From, 0).UTC(), time.Unix(x.Until+1, 0).UTC()
		if x.Until < x.From {
			until = from
		}
		add(from, cause)
		if until.After(at) {
			at = until
		}
		cause = cmp.Or(x.Cause, causeStalled)
		if !at.Before(p.Until) {
			return gaps
		}
	}
	add(now, cause)
	if now.After(at) {
		at = now
	}
	add(p.Until, causeNotYet)
	return gaps
}

func minTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// expiredGaps returns where records were kept long enough and removed.
func (s *Store) expiredGaps(p garrison.Period) []garrison.Gap {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var gaps []garrison.Gap
	for _, e := range s.cat.Expired {
		from, until := time.Unix(e.From, 0).UTC(), time.Unix(e.Until+1, 0).UTC()
		if from.Before(p.Until) && p.From.Before(until) {
			gaps = append(gaps, garrison.Gap{Period: clipPeriod(p, from, until), Cause: causeExpired})
		}
	}
	return gaps
}

func clipPeriod(p garrison.Period, from, until time.Time) garrison.Period {
	if from.Before(p.From) {
		from = p.From
	}
	return garrison.Period{From: from, Until: minTime(until, p.Until)}
}

// minutes calls yield with every minute tally between two minutes. The same minute can
// come more than once, in parts.
func (s *Store) minutes(from, until int64, yield func(source string, t garrison.MinuteTally)) error {
	s.mu.RLock()
	refs := s.cat.Days
	var later []*book
	for _, b := range s.books()[1:] {
		// A running generation's book changes; what is needed is copied under the lock.
		c := newBook()
		for n, d := range b.days {
			if n >= from/dayMinutes && n <= until/dayMinutes {
				c.days[n] = newDay(n)
				for id, ms := range d.Tallies {
					c.days[n].Tallies[id] = slices.Clone(ms)
				}
			}
		}
		later = append(later, c)
	}
	s.mu.RUnlock()
	each := func(d *dayBook) {
		for id, ms := range d.Tallies {
			i, _ := slices.BinarySearchFunc(ms, from, func(t garrison.MinuteTally, m int64) int { return cmp.Compare(t.Minute, m) })
			for ; i < len(ms) && ms[i].Minute <= until; i++ {
				yield(id, ms[i])
			}
		}
	}
	for _, r := range refs {
		if r.Day < from/dayMinutes || r.Day > until/dayMinutes {
			continue
		}
		d, err := s.dayBook(r)
		if errors.Is(err, fs.ErrNotExist) { // replaced meanwhile
			s.mu.RLock()
			d = s.days[r.Day]
			s.mu.RUnlock()
		} else if err != nil {
			return err
		}
		if d != nil {
			each(d)
		}
	}
	for _, b := range later {
		for _, d := range b.days {
			each(d)
		}
	}
	return nil
}

// losses returns what sources lost and what we could not read, by minute.
func (s *Store) losses(p garrison.Period) ([]garrison.Gap, error) {
	type at struct {
		source string
		minute int64
		cause  string
	}
	found := map[at]int64{}
	err := s.minutes(p.From.Unix()/60, (p.Until.UnixMilli()-1)/60_000, func(source string, t garrison.MinuteTally) {
		if t.Lost != 0 {
			found[at{source, t.Minute, causeLost}] += t.Lost
		}
		if n := t.Refused - t.Other; n != 0 { // a line of another matter takes no record away
			found[at{source, t.Minute, causeRefused}] += n
		}
	})
	if err != nil {
		return nil, err
	}
	var gaps []garrison.Gap
	for k, n := range found {
		from := time.Unix(k.minute*60, 0).UTC()
		gaps = append(gaps, garrison.Gap{Period: clipPeriod(p, from, from.Add(time.Minute)), Source: k.source, Cause: k.cause, Lost: n})
	}
	slices.SortFunc(gaps, func(a, b garrison.Gap) int {
		return cmp.Or(a.From.Compare(b.From), cmp.Compare(a.Source, b.Source), cmp.Compare(a.Cause, b.Cause))
	})
	return joinGaps(gaps), nil
}

// joinGaps joins neighbours of one source and cause.
func joinGaps(gaps []garrison.Gap) []garrison.Gap {
	type key struct{ source, cause string }
	last := map[key]int{}
	var out []garrison.Gap
	for _, g := range gaps {
		k := key{g.Source, g.Cause}
		if i, ok := last[k]; ok && out[i].Until.Equal(g.From) {
			out[i].Until = g.Until
			out[i].Lost += g.Lost
			continue
		}
		last[k] = len(out)
		out = append(out, g)
	}
	return out
}

// countRecords counts the records whose own time touches the window.
func (s *Store) countRecords(ctx context.Context, p garrison.Period) (int64, error) {
	first, last := p.From.UnixMilli()/60_000, (p.Until.UnixMilli()-1)/60_000
	n := int64(0)
	s.mu.RLock()
	cat := s.cat
	gens := slices.Clone(s.frozen)
	for _, c := range s.shards {
		gens = append(gens, c.gen)
	}
	for _, g := range gens {
		for _, m := range g.minutes {
			n += touching(m, first, last)
		}
	}
	s.mu.RUnlock()
	for i := range cat.Segments {
		r := &cat.Segments[i]
		if r.MinStart/60_000 > last || r.MaxEnd/60_000 < first {
			continue
		}
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		if r.MinStart/60_000 >= first && r.MaxEnd/60_000 <= last {
			n += r.Rows
			continue
		}
		t, err := s.open.tree(r.dir(s.cfg.Dir), r)
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return 0, err
			}
			_ = s.damaged(r, err) // named in the health of the store; the question goes on
			continue
		}
		for k := range t.Minutes {
			n += touching(&t.Minutes[k], first, last)
		}
	}
	return n, nil
}

// touching is what one minute adds to the number of records that touch the minutes
// first to last: those begun by then, less those ended before.
func touching(m *segment.Minute, first, last int64) int64 {
	n := int64(0)
	if m.Minute <= last {
		n += int64(m.Begun)
	}
	if m.Minute < first {
		n -= int64(m.Ended)
	}
	return n
}
