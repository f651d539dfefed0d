package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"garrison"
	"garrison/evidence"
)

// Decree 82, art. 14(1): protective measures must not be stopped without authority.
// Whether the installation watched is therefore itself in the ledger: "start" and
// "stop" entries, and a "beat" every few seconds whose from and to say which stretch
// it vouches for.
//
// An entry before which nobody watched (every start, and a beat after the process was
// held up) bears a gap. Each gap-bearing entry names the one before it (prev), each
// other entry of a life names the last one (head): so all gaps of years are found by
// following a short chain from the end of the log, without an index that somebody
// could edit.

// timeForm is how times stand in entries.
const timeForm = "2006-01-02T15:04:05.000Z"

// Causes of a gap, as garrison.Gap says them, and how a first start is marked.
const (
	causeFirst   = "first"
	causeStopped = "stopped"
	causeCrashed = "crashed"
	causeSilent  = "silent"

	causeNotInstalled = "not_installed"
)

// late is how many beats may be missed before the stretch counts as unwatched.
const late = 3

// longestChain bounds the walk at start: a start a minute for two months.
const longestChain = 100_000

// lifeline is what is known about lives of the installation.
type lifeline struct {
	mu      sync.Mutex // guards what follows
	gaps    []garrison.Gap
	since   time.Time // the first start of all
	started time.Time // this start
	last    time.Time // up to here somebody watched
	beaten  time.Time // the last beat of this life
	clean   bool      // how the life before ended, until this one is entered
	head    uint64    // the last gap-bearing entry
	chained bool      // whether there is one
}

// load finds the end of the life before and all gaps, from the end of the log.
func (f *lifeline) load(ctx context.Context, r *Reader, size uint64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gaps, f.chained, f.beaten, f.last, f.since = nil, false, time.Time{}, time.Time{}, time.Time{}
	e, index, err := lastOfLife(ctx, r, size)
	if err != nil || e.Type == "" {
		return err
	}
	f.clean = e.Type == evidence.TypeStop
	if f.last, err = timeOf(e, endField(e)); err != nil {
		return damagedEntry(index, err)
	}
	f.head, f.chained = index, true
	if !bearsGap(e) {
		if f.head, err = numberOf(e, "head"); err != nil {
			return damagedEntry(index, err)
		}
	}
	return f.follow(ctx, r, f.head)
}

// endField names the field of an entry up to which it vouches.
func endField(e evidence.Entry) string {
	if e.Type == evidence.TypeBeat {
		return "to"
	}
	return "at"
}

func bearsGap(e evidence.Entry) bool {
	return e.Type == evidence.TypeStart || e.Get("gap_from") != ""
}

// lastOfLife looks back from the end for the last start, stop or beat.
func lastOfLife(ctx context.Context, r *Reader, size uint64) (evidence.Entry, uint64, error) {
	for number := bundlesOf(size); number > 0; number-- {
		if err := ctx.Err(); err != nil {
			return evidence.Entry{}, 0, fmt.Errorf("look for the last beat: %w", err)
		}
		entries, err := r.checkedBundle(number-1, size)
		if err != nil {
			return evidence.Entry{}, 0, err
		}
		for i, raw := range slices.Backward(entries) {
			if e, ok := lifeEntry(raw); ok {
				return e, (number-1)*bundleWidth + uint64(i), nil
			}
		}
	}
	return evidence.Entry{}, 0, nil
}

// lifeEntry parses an entry if it is one of a life.
func lifeEntry(raw []byte) (evidence.Entry, bool) {
	head, _, _ := strings.Cut(string(raw[:min(len(raw), 32)]), "\n")
	switch head {
	case "garrison/start/v1", "garrison/stop/v1", "garrison/beat/v1":
		e, err := evidence.ParseEntry(raw)
		return e, err == nil
	}
	return evidence.Entry{}, false
}

// follow walks the chain of gap-bearing entries back to the first start.
func (f *lifeline) follow(ctx context.Context, r *Reader, index uint64) error {
	for range longestChain {
		raw, err := r.Entry(ctx, index)
		if err != nil {
			return err
		}
		e, ok := lifeEntry(raw)
		if !ok || !bearsGap(e) {
			return damagedEntry(index, errors.New("expected a start or a late beat"))
		}
		prev, more, err := f.addGap(e)
		if err != nil {
			return damagedEntry(index, err)
		}
		if !more {
			slices.Reverse(f.gaps)
			return nil
		}
		if prev >= index {
			return damagedEntry(index, errors.New("its predecessor stands after it"))
		}
		index = prev
	}
	return garrison.Errorf(garrison.TooLarge, "the ledger holds more than %d starts", longestChain)
}

// addGap notes the gap before an entry and says where the one before it stands.
func (f *lifeline) addGap(e evidence.Entry) (prev uint64, more bool, err error) {
	field, from := "at", "last"
	cause := e.Get("cause")
	if e.Type == evidence.TypeBeat {
		field, from, cause = "from", "gap_from", causeSilent
	}
	until, err := timeOf(e, field)
	if err != nil {
		return 0, false, err
	}
	if cause == causeFirst {
		f.since = until
		return 0, false, nil
	}
	begin, err := timeOf(e, from)
	if err != nil {
		return 0, false, err
	}
	f.gaps = append(f.gaps, gapOf(begin, until, cause))
	prev, err = numberOf(e, "prev")
	return prev, true, err
}

// gapOf makes a gap; a clock set back in between leaves one without length, not one
// that ends before it begins.
func gapOf(from, until time.Time, cause string) garrison.Gap {
	if until.Before(from) {
		until = from
	}
	return garrison.Gap{Period: garrison.Period{From: from, Until: until}, Cause: cause, Lost: -1}
}

func timeOf(e evidence.Entry, name string) (time.Time, error) {
	t, err := time.Parse(timeForm, e.Get(name))
	if err != nil {
		return time.Time{}, fmt.Errorf("%s entry: field %s: %w", e.Type, name, err)
	}
	return t, nil
}

func numberOf(e evidence.Entry, name string) (uint64, error) {
	n, err := strconv.ParseUint(e.Get(name), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s entry: field %s: %w", e.Type, name, err)
	}
	return n, nil
}

func damagedEntry(index uint64, err error) error {
	return garrison.Errorf(garrison.Damaged, "entry %d of the ledger cannot be used: %w", index, err)
}

func (f *lifeline) times() (started, beaten time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.started, f.beaten
}

// Gaps returns the stretches of a period in which nobody watched: what lies between
// the end of one life of the installation and the start of the next (cause stopped or
// crashed), between two beats too far apart (silent), and before the first start
// (not_installed). Oldest first, cut to the period. A period without end runs to now.
func (l *Ledger) Gaps(_ context.Context, period garrison.Period) ([]garrison.Gap, error) {
	now := l.deps.Now().UTC()
	if period.Until.IsZero() || period.Until.After(now) {
		period.Until = now
	}
	f := &l.life
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.since.IsZero() {
		return nil, errNotStarted
	}
	all := []garrison.Gap{gapOf(time.Time{}, f.since, causeNotInstalled)}
	all = append(all, f.gaps...)
	if now.Sub(f.last) > late*l.cfg.Beat {
		all = append(all, gapOf(f.last, now, causeSilent))
	}
	var within []garrison.Gap
	for _, g := range all {
		if g.From.Before(period.From) {
			g.From = period.From
		}
		if g.Until.After(period.Until) {
			g.Until = period.Until
		}
		if g.From.Before(g.Until) {
			within = append(within, g)
		}
	}
	return within, nil
}

// enterStart enters the start: when, why the life before ended, and up to when it
// watched.
func (l *Ledger) enterStart(ctx context.Context) error {
	f := &l.life
	at := l.deps.Now().UTC().Truncate(time.Millisecond)
	f.mu.Lock()
	cause := causeFirst
	e := evidence.NewEntry(evidence.TypeStart, "at", at.Format(timeForm))
	if f.chained {
		cause = causeCrashed
		if f.clean {
			cause = causeStopped
		}
		e.Fields = append(e.Fields, evidence.Field{Name: "last", Value: f.last.Format(timeForm)},
			evidence.Field{Name: "prev", Value: strconv.FormatUint(f.head, 10)})
	}
	e.Fields = append(e.Fields, evidence.Field{Name: "cause", Value: cause})
	last := f.last
	f.mu.Unlock()
	refs, err := l.Append(ctx, e.Marshal())
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if cause == causeFirst {
		f.since = at
	} else {
		f.gaps = append(f.gaps, gapOf(last, at, cause))
	}
	f.head, f.chained, f.started, f.last, f.beaten = refs[0].Index, true, at, at, time.Time{}
	return nil
}

// enterStop enters the end, the last word of a life that ended in order.
func (l *Ledger) enterStop(ctx context.Context) error {
	f := &l.life
	f.mu.Lock()
	head := f.head
	f.mu.Unlock()
	at := l.deps.Now().UTC()
	e := evidence.NewEntry(evidence.TypeStop, "at", at.Format(timeForm), "head", strconv.FormatUint(head, 10))
	_, err := l.Append(ctx, e.Marshal())
	if err != nil {
		return fmt.Errorf("enter the stop into the ledger: %w", err)
	}
	return nil
}

// beat enters a heartbeat at every period until Stop.
func (l *Ledger) beat(ctx context.Context) {
	tick := time.NewTicker(l.cfg.Beat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := l.enterBeat(ctx); err != nil && ctx.Err() == nil {
			l.deps.Log.Error("a heartbeat could not be entered into the ledger", "err", err)
		}
	}
}

// enterBeat vouches for the stretch since the last beat, unless that is too long ago:
// a process that was held up cannot say what it would have seen.
func (l *Ledger) enterBeat(ctx context.Context) error {
	f := &l.life
	at := l.deps.Now().UTC().Truncate(time.Millisecond)
	f.mu.Lock()
	from, head := f.last, f.head
	f.mu.Unlock()
	e := evidence.NewEntry(evidence.TypeBeat, "at", at.Format(timeForm))
	held := at.Sub(from) > late*l.cfg.Beat || at.Before(from.Add(-time.Second))
	link := evidence.Field{Name: "head", Value: strconv.FormatUint(head, 10)}
	if held {
		e.Fields = append(e.Fields, evidence.Field{Name: "gap_from", Value: from.Format(timeForm)})
		link.Name, from = "prev", at
	}
	e.Fields = append(e.Fields, link, evidence.Field{Name: "from", Value: from.Format(timeForm)},
		evidence.Field{Name: "to", Value: at.Format(timeForm)})
	e.Fields = append(e.Fields, l.beatFields()...)
	raw := e.Marshal()
	if raw == nil {
		return fmt.Errorf("make a heartbeat: %w", e.Check())
	}
	bounded, cancel := context.WithTimeout(ctx, late*l.cfg.Beat)
	defer cancel()
	refs, err := l.Append(bounded, raw)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if held {
		f.gaps = append(f.gaps, gapOf(f.last, at, causeSilent))
		f.head = refs[0].Index
	}
	f.last, f.beaten = at, at
	return nil
}

// beatFields returns what the deps func has to say, less what it may not.
func (l *Ledger) beatFields() []evidence.Field {
	if l.deps.Beat == nil {
		return nil
	}
	own := []string{"at", "from", "to", "head", "prev", "gap_from", "cause", "last"}
	return slices.DeleteFunc(slices.Clone(l.deps.Beat()), func(f evidence.Field) bool { return slices.Contains(own, f.Name) })
}
