package daemon

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"time"

	"garrison"
	"garrison/evidence"
	"garrison/internal/config"
	"garrison/internal/duties"
	"garrison/internal/ledger"
	"garrison/internal/measures"
	"garrison/internal/records"
	"garrison/internal/telemetry"
)

// recordFacts, ledgerFacts and measureFacts are what the clauses are computed from.
type recordFacts struct{ d *Daemon }

func (f recordFacts) RecordState(ctx context.Context, at time.Time) (duties.RecordState, error) {
	s, day := f.d.records, garrison.Period{From: at.Add(-24 * time.Hour), Until: at}
	st, err := s.Stats(ctx)
	if err != nil {
		return duties.RecordState{}, err
	}
	fc, err := s.Forecast(ctx)
	if err != nil {
		return duties.RecordState{}, err
	}
	cov, err := s.Coverage(ctx, day)
	if err != nil {
		return duties.RecordState{}, err
	}
	out := duties.RecordState{
		Day: st.RecordsLastDay, Lost: st.LostLastDay, LastLook: f.d.opts.Now(), SealedUntil: st.SealedUntil,
		FloorDays: f.d.cfg.Records.RetentionDays, ForecastKnown: fc.Known, DaysKept: fc.DaysKept, Retention: f.d.settings(),
	}
	for _, g := range cov.Gaps {
		switch {
		case g.Cause == "not_installed" || g.Cause == "not_watched" || g.Cause == "not_yet":
			// Before the installation existed nobody could watch; that is no gap of ours.
		case g.Source == "":
			out.Gaps = append(out.Gaps, g) // what was lost in it is not known; its length is judged
		case g.Cause == "lost" && g.Lost < 0:
			out.Lost = -1
		}
	}
	if !st.Health.Accepting {
		out.StoppedSince = st.Health.Since
	}
	if out.Expected, out.Heard, err = f.d.heard(ctx); err != nil {
		return duties.RecordState{}, err
	}
	for _, e := range st.Expired {
		if until := time.Unix(e.Until, 0); time.Unix(e.At, 0).Sub(until) < records.FloorDays*24*time.Hour {
			out.ExpiredEarly++
		}
		out.Retention = append(out.Retention, e.Evidence)
	}
	proven, err := s.Sample(ctx, day, 3)
	if err != nil {
		return duties.RecordState{}, err
	}
	for _, r := range proven {
		out.Evidence = append(out.Evidence, r.ChunkEntry)
	}
	return out, nil
}

// heard counts the senders that ought to be sending, and those of them that do.
func (d *Daemon) heard(ctx context.Context) (expected, heard int, err error) {
	senders, err := d.expectedSenders(ctx)
	if err != nil {
		return 0, 0, err
	}
	list, err := d.records.Sources(ctx)
	if err != nil {
		return 0, 0, err
	}
	sending := map[garrison.SubjectID]bool{}
	for _, s := range list {
		a, err := netip.ParseAddr(strings.TrimPrefix(string(s.ID), "syslog:"))
		if err != nil || s.Silent || s.Stored == 0 {
			continue // an import, or nothing to count on
		}
		if sender, ok := d.registry.SourceFor(ctx, a); ok {
			sending[sender.ID] = true
		}
	}
	for _, s := range senders {
		if sending[s.ID] {
			heard++
		}
	}
	return len(senders), heard, nil
}

type ledgerFacts struct{ d *Daemon }

func (f ledgerFacts) LedgerState(ctx context.Context, p garrison.Period) (duties.LedgerState, error) {
	st, err := f.d.ledger.Status(ctx)
	if err != nil {
		return duties.LedgerState{}, err
	}
	gaps, err := f.d.ledger.Gaps(ctx, p)
	if err != nil {
		return duties.LedgerState{}, err
	}
	out := duties.LedgerState{FirstStart: f.d.install.Made, LastBeat: st.LastBeat, Known: !st.LastBeat.IsZero()}
	for _, g := range gaps {
		if g.Cause != "not_installed" {
			out.Gaps = append(out.Gaps, g)
		}
	}
	out.Evidence, err = f.d.lastBeats(ctx, st)
	return out, err
}

// beatsShown is how many entries are looked through for the newest heartbeats.
const beatsShown = 200

// lastBeats are the newest heartbeats of the log.
func (d *Daemon) lastBeats(ctx context.Context, st ledger.Status) ([]garrison.EvidenceRef, error) {
	var out []garrison.EvidenceRef
	for i := st.Sealed; i > 0 && st.Sealed-i < beatsShown && len(out) < 2; i-- {
		raw, err := d.ledger.Entry(ctx, i-1)
		if err != nil {
			return nil, err
		}
		e, err := evidence.ParseEntry(raw)
		if err != nil || e.Type != evidence.TypeBeat {
			continue // other kinds of entries, also of later versions, lie between
		}
		h := evidence.EntryHash(raw)
		out = append(out, garrison.EvidenceRef{Log: st.Origin, Index: i - 1, Digest: hex.EncodeToString(h[:])})
	}
	return out, nil
}

type measureFacts struct{ d *Daemon }

func (f measureFacts) MeasureStates(ctx context.Context, _ time.Time) ([]duties.MeasureState, error) {
	list, err := f.d.runner.States(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]duties.MeasureState, 0, len(list)+1)
	for _, m := range list {
		out = append(out, duties.MeasureState{ID: m.Definition.ID, On: m.Mode == measures.On, Reason: m.Reason, Since: m.Since})
	}
	// Keeping records is a measure as well: Decree 82 art. 14 does not ask which
	// program stopped.
	intake := duties.MeasureState{ID: "records", On: true}
	if h := f.d.records.Health(); !h.Accepting {
		intake.On, intake.Reason, intake.Since = false, h.Why.Key, h.Since
	}
	return append(out, intake), nil
}

func (f measureFacts) LinkState(ctx context.Context, _ time.Time) (duties.LinkState, error) {
	stands, err := f.d.runner.Stands(ctx, "links")
	if err != nil {
		return duties.LinkState{}, err
	}
	out := duties.LinkState{Sites: len(stands)}
	for _, s := range stands {
		for _, n := range s.Open {
			out.OpenBad += n
		}
		last := s.Last
		if last.ID == "" {
			continue
		}
		if last.Outcome == garrison.Unknown {
			out.RunsUnknown++
		}
		if s.LastComplete.ID != "" {
			out.Inventoried++
		}
		out.LinksUnknown += s.Verdicts["unknown"]
		if out.OldestRun.IsZero() || last.Started.Before(out.OldestRun) {
			out.OldestRun = last.Started
		}
		if last.Started.After(out.NewestRun) {
			out.NewestRun = last.Started
		}
		out.Runs = append(out.Runs, last)
	}
	return out, nil
}

// settings points at the ledger's record of the configuration in effect.
func (d *Daemon) settings() []garrison.EvidenceRef {
	if d.configEntry.Zero() {
		return nil
	}
	return []garrison.EvidenceRef{d.configEntry}
}

// recordConfig enters the configuration in effect at this start (Decree 82 art. 14:
// a measure's settings are not changed without a trace). Secrets are in files and so
// not in it.
func (d *Daemon) recordConfig(ctx context.Context) error {
	shown, err := d.cfg.Show()
	if err != nil {
		return err
	}
	sum := sha256.Sum256(shown)
	e := evidence.NewEntry(evidence.TypeConfig,
		"at", d.opts.Now().UTC().Format(time.RFC3339Nano),
		"version", d.opts.Version,
		"digest", hex.EncodeToString(sum[:]),
		"retention_days", strconv.Itoa(d.cfg.Records.RetentionDays),
		"floor_days", strconv.Itoa(config.FloorDays),
		"state", d.cfg.State.Engine)
	refs, err := d.ledger.Append(ctx, e.Marshal())
	if err != nil {
		return fmt.Errorf("record the configuration: %w", err)
	}
	d.configEntry = refs[0]
	return nil
}

// beat is what a heartbeat says besides its own times: what listens and which
// measures are on, so that stopping one of them shows in the log.
func (d *Daemon) beat() []evidence.Field {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	var out []evidence.Field
	if d.syslog != nil {
		addrs := d.syslog.Addrs()
		names := make([]string, 0, len(addrs))
		for n := range addrs {
			names = append(names, n)
		}
		sort.Strings(names)
		for _, n := range names {
			out = append(out, evidence.Field{Name: "listener." + n, Value: addrs[n]})
		}
	}
	if d.runner != nil {
		list, err := d.runner.States(ctx)
		if err != nil {
			return append(out, evidence.Field{Name: "measures", Value: "unknown"})
		}
		for _, m := range list {
			out = append(out, evidence.Field{Name: "measure." + string(m.Definition.ID), Value: string(m.Mode)})
		}
	}
	if d.records != nil {
		v := "on"
		if !d.records.Health().Accepting {
			v = "off"
		}
		out = append(out, evidence.Field{Name: "measure.records", Value: v})
	}
	return out
}

// samples are the figures for Prometheus.
func (d *Daemon) samples() []telemetry.Sample {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var out []telemetry.Sample
	if list, err := d.records.Sources(ctx); err == nil {
		for _, s := range list {
			l := map[string]string{"source": s.Name, "id": string(s.ID)}
			out = append(out,
				telemetry.Sample{Name: "garrison_source_stored_total", Help: "Lines accepted since installation.", Total: true, Labels: l, Value: float64(s.Stored)},
				telemetry.Sample{Name: "garrison_source_refused_total", Help: "Lines that could not be parsed, since installation.", Total: true, Labels: l, Value: float64(s.Refused)},
				telemetry.Sample{Name: "garrison_source_lost_total", Help: "Records known lost since installation; -1: unknown.", Total: true, Labels: l, Value: float64(s.Lost)})
		}
	}
	if st, err := d.records.Stats(ctx); err == nil {
		out = append(out,
			telemetry.Sample{Name: "garrison_records", Help: "Records held.", Value: float64(st.Records)},
			telemetry.Sample{Name: "garrison_records_unsealed", Help: "Records not yet in the ledger.", Value: float64(st.Unsealed)},
			telemetry.Sample{Name: "garrison_records_bytes", Help: "Bytes the record store takes.", Value: float64(st.Bytes)},
			telemetry.Sample{Name: "garrison_segments", Help: "Segment files.", Value: float64(st.Segments)})
		accepting := 0.0
		if st.Health.Accepting {
			accepting = 1
		}
		out = append(out, telemetry.Sample{Name: "garrison_intake", Help: "1 while records are accepted.", Value: accepting})
	}
	if st, err := d.ledger.Status(ctx); err == nil {
		out = append(out,
			telemetry.Sample{Name: "garrison_ledger_entries", Help: "Entries in the ledger.", Total: true, Value: float64(st.Size)},
			telemetry.Sample{Name: "garrison_ledger_sealed_until_seconds", Help: "Unix time up to which everything is under a signed checkpoint.", Value: float64(st.SealedUntil.Unix())})
	}
	if d.runner != nil {
		if n, err := d.runner.CountFindings(ctx, measures.FindingFilter{}); err == nil {
			for state, c := range n {
				out = append(out, telemetry.Sample{Name: "garrison_findings", Help: "Findings by state.", Labels: map[string]string{"state": string(state)}, Value: float64(c)})
			}
		}
	}
	return append(out, telemetry.Sample{Name: "garrison_build_info", Help: "Version.", Labels: map[string]string{"version": d.opts.Version, "go": runtime.Version()}, Value: 1})
}
