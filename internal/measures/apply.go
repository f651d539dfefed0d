package measures

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"unicode/utf8"

	"garrison"
	"garrison/internal/state"
)

// finish records an ended run and everything that follows from it, in one
// transaction.
func (r *Runner) finish(ctx context.Context, m Measure, u *run, s garrison.Subject, res Result, digest string) error {
	u.Running, u.Partial, u.Complete, u.Truncated = false, res.Partial || u.Partial, res.Complete, res.Truncated
	u.Outcome, u.Why, u.Population, u.Transcript = res.Outcome, res.Why, res.Population, digest
	err := r.deps.DB.Write(ctx, func(tx *state.Tx) error {
		a := &applied{r: r, tx: tx, def: m.Definition(), u: u, subject: s, items: map[string]*Item{}}
		for i := range res.Items {
			a.items[res.Items[i].Locus] = &res.Items[i]
		}
		if err := r.seal(ctx, tx, u, "ended"); err != nil {
			return err
		}
		if err := a.findings(ctx, res.Items); err != nil {
			return err
		}
		if err := a.inventory(ctx, res.Items); err != nil {
			return err
		}
		if err := r.notice(ctx, tx, notice{Kind: noticeEnded, Run: u.ID, Unsure: a.unsure}); err != nil {
			return err
		}
		return r.lookAgain(ctx, tx, a)
	})
	if err != nil {
		return fmt.Errorf("record run %s of %s: %w", u.ID, u.Measure, err)
	}
	return nil
}

// applied is one run being applied to what is known.
type applied struct {
	r       *Runner
	tx      *state.Tx
	def     *Definition
	u       *run
	subject garrison.Subject
	items   map[string]*Item

	unsure    map[string]string // loci of open findings the run could not tell about
	suspected int               // suspicions that still need looks
	moved     bool              // a suspicion came nearer to being settled
}

// findings applies the run to the findings of its subject: first to those already
// known, then to loci seen not well.
func (a *applied) findings(ctx context.Context, items []Item) error {
	known, err := findingsOf(ctx, a.tx, a.u.Measure, a.u.Subject)
	if err != nil {
		return err
	}
	byID := make(map[garrison.FindingID]*FindingRow, len(known))
	for _, f := range known {
		byID[f.ID] = f
		if err := a.known(ctx, f); err != nil {
			return err
		}
	}
	if len(items) > 0 && a.unsure == nil {
		a.unsure = map[string]string{} // it could tell about something: see Cases.RunEnded
	}
	for i := range items {
		it := &items[i]
		v, _ := a.def.Verdict(it.Verdict) // check has seen that it is there
		if v.Rule == "" {
			continue
		}
		rule, _ := a.def.Rule(v.Rule) // Parse has seen that it is there
		f := garrison.Finding{Measure: a.u.Measure, Rule: rule.ID, Subject: a.u.Subject, Locus: it.Locus,
			Severity: rule.Severity, Facts: it.Facts, Seen: a.u.Started}
		if err := a.sighted(ctx, byID[findingID(f.Fingerprint())], f, rule, it.Sure); err != nil {
			return err
		}
	}
	return nil
}

// known applies the run to one finding that the run does not itself report.
func (a *applied) known(ctx context.Context, f *FindingRow) error {
	if f.State != Suspected && f.State != Open && f.State != Accepted {
		return nil
	}
	it := a.items[f.Finding.Locus]
	switch {
	case it == nil && a.u.Complete:
		return a.gone(ctx, f, "removed") // a complete run found it gone
	case it == nil:
		if f.State == Suspected {
			a.suspected++
		}
		return nil // not looked at: nothing follows
	}
	v, _ := a.def.Verdict(it.Verdict)
	switch {
	case v.Rule == f.Finding.Rule:
		return nil // sighted again, see sighted
	case it.Outcome == garrison.Pass:
		return a.gone(ctx, f, "seen_well")
	case f.State == Suspected && v.Rule != "":
		return a.gone(ctx, f, "look_disagreed")
	case f.State == Suspected:
		a.suspected++
		return nil
	}
	// It could not be told, or something else is wrong with it: it stays open.
	if a.unsure == nil {
		a.unsure = map[string]string{}
	}
	a.unsure[f.Finding.Locus] = it.Verdict
	return nil
}

// gone ends a finding. A suspicion that was never confirmed is taken off the list;
// its history stays.
func (a *applied) gone(ctx context.Context, f *FindingRow, why string) error {
	if f.State == Suspected {
		return dropFinding(ctx, a.tx, f, a.u.By)
	}
	f.State, f.Why, f.Looks, f.LastRun, f.Changed = Fixed, why, 0, a.u.ID, a.u.Ended
	if err := putFinding(ctx, a.tx, f, a.u.By, why); err != nil {
		return err
	}
	return a.r.notice(ctx, a.tx, notice{Kind: noticeGone, Finding: f.ID, Run: a.u.ID})
}

// sighted applies that the run saw something wrong. old is the row of it, if any.
func (a *applied) sighted(ctx context.Context, old *FindingRow, f garrison.Finding, rule Rule, sure bool) error {
	row := FindingRow{ID: findingID(f.Fingerprint()), Fingerprint: f.Fingerprint(), State: Suspected, FirstSeen: a.u.Started,
		Changed: a.u.Ended, Demo: a.subject.Demo}
	if old != nil {
		row = *old
	}
	if row.State == Fixed { // it came back
		row.State, row.Looks, row.Changed, row.Why = Suspected, 0, a.u.Ended, "came_back"
	}
	row.Finding, row.LastSeen, row.LastRun = f, a.u.Started, a.u.ID
	row.Looks++
	row.Needs = needs(a.r.cfg.Looks, rule, sure)
	what := "seen"
	switch {
	case row.State == Suspected && row.Looks >= row.Needs:
		row.State, row.Changed, row.Why, what = Open, a.u.Ended, "", "confirmed"
		a.moved = true
	case row.State == Suspected:
		a.suspected++
		a.moved = true
	}
	if err := putFinding(ctx, a.tx, &row, a.u.By, what); err != nil {
		return err
	}
	switch {
	case what == "confirmed":
		return a.r.notice(ctx, a.tx, notice{Kind: noticeConfirmed, Finding: row.ID, Run: a.u.ID})
	case row.State == Open:
		return a.r.notice(ctx, a.tx, notice{Kind: noticeStill, Finding: row.ID, Run: a.u.ID})
	}
	return nil
}

func needs(standard int, rule Rule, sure bool) int {
	switch {
	case sure:
		return 1
	case rule.Looks > 0:
		return rule.Looks
	}
	return standard
}

// inventory applies the run to the list of loci.
func (a *applied) inventory(ctx context.Context, items []Item) error {
	if len(items) == 0 && !a.u.Complete {
		return nil
	}
	rows, err := lociOf(ctx, a.tx, a.u.Measure, a.u.Subject)
	if err != nil {
		return err
	}
	old := make(map[string]*LinkRow, len(rows))
	for _, l := range rows {
		old[l.Locus] = l
		if a.items[l.Locus] == nil && a.u.Complete && !l.Removed {
			l.Removed, l.LastRun = true, a.u.ID
			if err := putLocus(ctx, a.tx, a.u.Measure, l); err != nil {
				return err
			}
		}
	}
	for i := range items {
		if err := putLocus(ctx, a.tx, a.u.Measure, a.locus(old[items[i].Locus], &items[i])); err != nil {
			return err
		}
	}
	doc, err := inventoryOf(ctx, a.tx, a.u.Measure, a.u.Subject)
	if err != nil {
		return err
	}
	_, err = a.tx.Record(ctx, state.Change{Kind: kindInventory, ID: inventoryID(a.u.Measure, a.u.Subject), Doc: doc, By: a.u.By, What: "looked"})
	return err
}

func (a *applied) locus(old *LinkRow, it *Item) *LinkRow {
	l := &LinkRow{Subject: a.u.Subject, Locus: it.Locus, FirstSeen: a.u.Started, LastSeen: a.u.Started}
	if old != nil {
		*l = *old
	}
	l.Verdict, l.Outcome, l.Why, l.What, l.Facts = it.Verdict, it.Outcome, it.Why, it.What, maps.Clone(it.Facts)
	l.LastRun, l.LastLook = a.u.ID, a.u.Started
	// A partial run, or one that remembered the locus, did not see it stand there.
	if !a.u.Partial && it.Facts["earlier"] == "" {
		l.LastSeen, l.Removed = a.u.Started, false
	}
	if it.Outcome == garrison.Pass {
		l.LastWell = a.u.Started
	}
	return l
}

// lookAgain has what is still only suspected looked at once more, after a pause. A
// look that settled nothing is not repeated at once: the next full run is near.
func (r *Runner) lookAgain(ctx context.Context, tx *state.Tx, a *applied) error {
	if r.deps.Schedule == nil || a.suspected == 0 || !a.moved && a.u.Partial {
		return nil
	}
	return r.putLook(ctx, tx, a.u.Measure, a.u.Subject, a.u.Ended.Add(r.cfg.LookAfter))
}

// Refute takes a finding off the list because it is wrong, with a reason. Later
// sightings of the same do not bring it back.
func (r *Runner) Refute(ctx context.Context, id garrison.FindingID, reason string, by garrison.Actor) error {
	if reason = strings.TrimSpace(reason); reason == "" {
		return garrison.Refuse(garrison.Invalid, "error.measures.reason_needed")
	}
	if utf8.RuneCountInString(reason) > maxReason {
		return garrison.Refuse(garrison.TooLarge, "error.measures.reason_too_long", "most", maxReason)
	}
	err := r.deps.DB.Write(ctx, func(tx *state.Tx) error {
		f, err := getFinding(ctx, tx, id)
		if err != nil {
			return err
		}
		switch f.State {
		case Refuted:
			return nil // said before
		case Fixed:
			return garrison.Refuse(garrison.Conflict, "error.measures.already_fixed")
		}
		f.State, f.Why, f.Changed = Refuted, reason, r.now()
		if err := putFinding(ctx, tx, f, by, "refuted"); err != nil {
			return err
		}
		return r.notice(ctx, tx, notice{Kind: noticeRefuted, Finding: id, Reason: reason, By: by})
	})
	if err != nil {
		return fmt.Errorf("refute finding %s: %w", id, err)
	}
	r.tellSoon()
	return nil
}
