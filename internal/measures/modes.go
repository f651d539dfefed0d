package measures

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"garrison"
	"garrison/evidence"
	"garrison/internal/state"
)

const maxReason = 500

// mode is a row of measures_mode.
type mode struct {
	measure garrison.MeasureID
	mode    Mode
	reason  string
	by      garrison.Actor
	since   time.Time
	entry   string
}

func (m *mode) doc() modeDoc {
	return modeDoc{Measure: string(m.measure), Mode: string(m.mode), Reason: m.reason, By: m.by,
		Since: state.Micros(m.since), Entry: m.entry}
}

func scanMode(row state.Scanner) (*mode, error) {
	var m mode
	var since int64
	err := row.Scan((*string)(&m.measure), (*string)(&m.mode), &m.reason, (*string)(&m.by.Kind), &m.by.ID, &m.by.Name, &since, &m.entry)
	m.since = state.Time(since)
	return &m, err
}

func allModes(ctx context.Context, q state.Querier) ([]*mode, error) {
	var out []*mode
	err := state.Each(ctx, q, func(row state.Scanner) error {
		m, err := scanMode(row)
		out = append(out, m)
		return err
	}, selectModes)
	return out, err
}

// putMode writes a measure's state with its ledger entry (Decree 82, art. 14: a
// measure is not stopped without a trace). The reason, which a person typed, is in
// the history; the ledger holds its digest there only.
func (r *Runner) putMode(ctx context.Context, tx *state.Tx, id garrison.MeasureID, to Mode, reason string, by garrison.Actor, what string) error {
	m := &mode{measure: id, mode: to, reason: reason, by: by, since: r.now()}
	var err error
	m.entry, err = tx.Entry(ctx, evidence.NewEntry(evidence.TypeMeasure, "measure", string(id), "state", string(to),
		"at", m.since.Format(time.RFC3339Nano), "by_kind", string(by.Kind), "by", by.ID))
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, putMode, string(id), string(to), reason, string(by.Kind), by.ID, by.Name, state.Micros(m.since), m.entry)
	if err != nil {
		return fmt.Errorf("write the state of measure %s: %w", id, err)
	}
	_, err = tx.Record(ctx, state.Change{Kind: kindMode, ID: string(id), Doc: m.doc(), By: by, What: what})
	return err
}

// SetState turns a measure on, degraded or off. A reason is asked for. Off stops no
// run that is under way.
func (r *Runner) SetState(ctx context.Context, id garrison.MeasureID, to Mode, reason string, by garrison.Actor) error {
	reason = strings.TrimSpace(reason)
	switch {
	case r.measures[id] == nil:
		return garrison.Refuse(garrison.NotFound, "error.measures.no_measure", "measure", id)
	case to != On && to != Degraded && to != Off:
		return garrison.Refuse(garrison.Invalid, "error.measures.bad_state", "state", to)
	case reason == "":
		return garrison.Refuse(garrison.Invalid, "error.measures.reason_needed")
	case len(reason) > maxReason || strings.ContainsRune(reason, 0):
		return garrison.Refuse(garrison.TooLarge, "error.measures.reason_too_long", "most", maxReason)
	}
	return r.deps.DB.Write(ctx, func(tx *state.Tx) error {
		return r.putMode(ctx, tx, id, to, reason, by, string(to))
	})
}

// mode returns whether a measure runs.
func (r *Runner) mode(ctx context.Context, id garrison.MeasureID) (Mode, error) {
	var m *mode
	err := r.deps.DB.Read(ctx, func(q state.Querier) error {
		var err error
		m, err = scanMode(q.QueryRow(ctx, selectMode, string(id)))
		return err
	})
	if errors.Is(err, state.ErrNoRows) {
		return "", garrison.Errorf(garrison.Damaged, "measure %q has no state", id)
	}
	if err != nil {
		return "", fmt.Errorf("read the state of measure %s: %w", id, err)
	}
	return m.mode, nil
}

// States returns every measure.
func (r *Runner) States(ctx context.Context) ([]MeasureState, error) {
	var modes []*mode
	err := r.deps.DB.Read(ctx, func(q state.Querier) error {
		var err error
		modes, err = allModes(ctx, q)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the states of measures: %w", err)
	}
	var out []MeasureState
	for _, m := range modes {
		if r.measures[m.measure] == nil {
			continue // of another version of the product
		}
		s := MeasureState{Definition: r.measures[m.measure].Definition(), Mode: m.mode, Reason: m.reason, By: m.by,
			Since: m.since, Interval: r.interval(m.measure)}
		if s.Evidence, err = r.deps.DB.Ref(ctx, m.entry); err != nil {
			return nil, err
		}
		stands, err := r.Stands(ctx, m.measure)
		if err != nil {
			return nil, err
		}
		old := r.now().Add(-2 * s.Interval)
		for _, st := range stands {
			s.Subjects++
			if st.Last.Ended.After(old) {
				s.Looked++
			}
			if st.Last.Ended.After(s.LastEnded) {
				s.LastRun, s.LastEnded = st.Last.ID, st.Last.Ended
			}
		}
		out = append(out, s)
	}
	return out, nil
}

// Modes returns only which measures are on, degraded or off: cheap enough for every
// heartbeat.
func (r *Runner) Modes(ctx context.Context) (map[garrison.MeasureID]Mode, error) {
	out := map[garrison.MeasureID]Mode{}
	err := r.deps.DB.Read(ctx, func(q state.Querier) error {
		modes, err := allModes(ctx, q)
		for _, m := range modes {
			out[m.measure] = m.mode
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the states of measures: %w", err)
	}
	return out, nil
}

func (r *Runner) interval(id garrison.MeasureID) time.Duration {
	if r.cfg.Interval > 0 {
		return r.cfg.Interval
	}
	return r.measures[id].Definition().Interval
}
