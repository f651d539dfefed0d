package records

import (
	"context"
	"slices"
	"time"

	"garrison"
)

// suspectOffset is how far a live source's clock may be from ours.
const suspectOffset = 2 * time.Minute

// shownMinutes is how many minute tallies of a source are told, a day.
const shownMinutes = dayMinutes

// Sources lists everybody who ever sent records, our own doing included.
func (s *Store) Sources(ctx context.Context) ([]garrison.SourceStatus, error) {
	now := s.now()
	minute := now.Unix() / 60
	tallies := map[string]map[int64]garrison.MinuteTally{}
	err := s.minutes(minute-shownMinutes, minute+1, func(source string, t garrison.MinuteTally) {
		m := tallies[source]
		if m == nil {
			m = map[int64]garrison.MinuteTally{}
			tallies[source] = m
		}
		x := m[t.Minute]
		m[t.Minute] = garrison.MinuteTally{Minute: t.Minute, Stored: x.Stored + t.Stored, Refused: x.Refused + t.Refused, Other: x.Other + t.Other, Lost: x.Lost + t.Lost}
	})
	if err != nil {
		return nil, err
	}
	silent, err := s.silences(garrison.Period{From: now.Add(-time.Second), Until: now}, now)
	if err != nil {
		return nil, err
	}
	quiet := map[string]bool{}
	for _, g := range silent {
		quiet[g.Source] = true
	}
	var out []garrison.SourceStatus
	for _, src := range s.sourceList() {
		st := garrison.SourceStatus{
			ID: garrison.SourceID(src.id), Name: src.Name, Kind: src.Kind, Own: src.Own,
			Stored: src.Stored, Refused: src.Refused, Lost: src.Lost,
			First: time.Unix(src.First, 0).UTC(), Last: time.Unix(src.Last, 0).UTC(), Silent: quiet[src.id],
		}
		if live(src.Kind) && src.Stored > 0 {
			st.ClockOffset = time.Duration(src.Offset) * time.Millisecond
			st.ClockSuspect = st.ClockOffset.Abs() > suspectOffset || src.Suspect > 0 && src.Suspect >= src.Last-60
		}
		for _, n := range slices.Sorted(keysOf(tallies[src.id])) {
			st.Minutes = append(st.Minutes, tallies[src.id][n])
		}
		// The last whole minute, and of the running one what is needed to fill sixty seconds.
		part := float64(now.Unix()%60) / 60
		st.Rate = (float64(tallies[src.id][minute].Stored) + (1-part)*float64(tallies[src.id][minute-1].Stored)) / 60
		out = append(out, st)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return out, nil
}

// Samples returns the kept sample of a source's refused lines, newest first.
func (s *Store) Samples(_ context.Context, source string) ([]garrison.RefusedLine, error) {
	for _, src := range s.sourceList() {
		if src.id == source {
			lines := slices.Clone(src.Samples)
			slices.Reverse(lines)
			return lines, nil
		}
	}
	return nil, garrison.Refuse(garrison.NotFound, "error.records.no_source", "source", source)
}
