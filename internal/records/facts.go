package records

import (
	"context"
	"io/fs"
	"path/filepath"
	"time"

	"garrison"
)

// Forecast says how long records will be kept at today's intake.
func (s *Store) Forecast(ctx context.Context) (Forecast, error) {
	st, err := s.Stats(ctx)
	if err != nil {
		return Forecast{}, err
	}
	free, _, err := diskFree(s.cfg.Dir)
	if err != nil {
		return Forecast{}, garrison.Errorf(garrison.Unavailable, "ask for free space: %w", err)
	}
	f := Forecast{Floor: FloorDays, Retention: s.cfg.RetentionDays, Oldest: st.Oldest, Bytes: st.Bytes, Free: max(free-s.cfg.MinFree, 0), Records: st.Records}
	if st.Records == 0 || st.Oldest.IsZero() {
		return f, nil
	}
	now := s.now()
	perRecord := float64(st.Bytes) / float64(st.Records)
	// Intake of the last day; a younger store is judged by what it has seen.
	day := min(now.Sub(st.Oldest), 24*time.Hour)
	if day < 10*time.Minute || st.RecordsLastDay == 0 {
		return f, nil
	}
	f.BytesPerDay = int64(float64(st.RecordsLastDay) / day.Hours() * 24 * perRecord)
	if f.BytesPerDay == 0 {
		return f, nil
	}
	f.Known = true
	f.DaysKept = float64(f.Free+f.Bytes) / float64(f.BytesPerDay)
	return f, nil
}

// Stats returns the facts that duties are computed from.
func (s *Store) Stats(ctx context.Context) (Stats, error) {
	now := s.now()
	st := Stats{Health: s.Health()}
	s.mu.RLock()
	cat := s.cat
	st.Expired = append(st.Expired, cat.Expired...)
	st.SealDelayMax = s.sealSlow
	st.SealedUntil = now.Truncate(time.Second)
	oldest, newest := int64(0), int64(0)
	see := func(from, until int64) {
		if oldest == 0 || from < oldest {
			oldest = from
		}
		newest = max(newest, until)
	}
	memory := func(g *generation) {
		st.Records += int64(g.rows)
		for _, c := range g.chunks {
			see(c.second, c.second)
			if c.ref.Zero() {
				st.Unsealed += int64(len(c.rows))
				st.SealedUntil = minTime(st.SealedUntil, time.Unix(c.second, 0))
			}
		}
	}
	for _, g := range s.frozen {
		memory(g)
	}
	for _, c := range s.shards {
		memory(c.gen)
	}
	s.mu.RUnlock()
	for i := range cat.Segments {
		st.Records += cat.Segments[i].Rows
		see(cat.Segments[i].From, cat.Segments[i].Until)
	}
	st.Segments = len(cat.Segments)
	if oldest != 0 {
		st.Oldest, st.Newest = time.Unix(oldest, 0).UTC(), time.Unix(newest, 0).UTC()
	}
	st.SealedUntil = st.SealedUntil.UTC()
	if err := s.sizes(&st); err != nil {
		return st, err
	}
	return st, s.lastDay(ctx, &st, now)
}

func (s *Store) sizes(st *Stats) error {
	err := filepath.WalkDir(s.cfg.Dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return ignoreGone(err)
		}
		info, err := e.Info()
		if err != nil {
			return ignoreGone(err)
		}
		st.Bytes += info.Size()
		if filepath.Ext(path) == ".wal" {
			st.WALBytes += info.Size()
		}
		return nil
	})
	if err != nil {
		return garrison.Errorf(garrison.Unavailable, "measure the record directory: %w", err)
	}
	return nil
}

func (s *Store) lastDay(ctx context.Context, st *Stats, now time.Time) error {
	minute := now.Unix() / 60
	if err := s.minutes(minute-dayMinutes, minute+1, func(_ string, t garrison.MinuteTally) {
		st.RecordsLastDay += t.Stored
		st.RefusedLastDay += t.Refused
		st.LostLastDay += t.Lost
	}); err != nil {
		return err
	}
	sources, err := s.Sources(ctx)
	if err != nil {
		return err
	}
	for _, src := range sources {
		if src.Own {
			continue
		}
		st.Sources++
		if src.Silent {
			st.SilentSources++
		}
	}
	st.Gaps = s.unwatched(garrison.Period{From: now.AddDate(0, 0, -FloorDays), Until: now}, now)
	return nil
}
