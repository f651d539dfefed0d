package measures

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"garrison"
	"garrison/internal/state"
)

// All statements of the package. Columns are listed in one place each.
const (
	modeCols    = `measure, mode, reason, by_kind, by_id, by_name, since, entry`
	selectModes = `SELECT ` + modeCols + ` FROM measures_mode ORDER BY measure`
	selectMode  = `SELECT ` + modeCols + ` FROM measures_mode WHERE measure = $1`
	putMode     = `INSERT INTO measures_mode (` + modeCols + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (measure) DO UPDATE SET mode = excluded.mode, reason = excluded.reason, by_kind = excluded.by_kind,
		by_id = excluded.by_id, by_name = excluded.by_name, since = excluded.since, entry = excluded.entry`

	runCols = `id, sort, measure, version, subject, started, ended, running, partial, complete, truncated, outcome, why,
		attempted, succeeded, failed, unreachable, transcript, by_kind, by_id, by_name, entry`
	putRunSQL = `INSERT INTO measures_run (` + runCols + `) VALUES
		($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)
		ON CONFLICT (id) DO UPDATE SET ended = excluded.ended, running = excluded.running, partial = excluded.partial,
		complete = excluded.complete, truncated = excluded.truncated, outcome = excluded.outcome, why = excluded.why,
		attempted = excluded.attempted, succeeded = excluded.succeeded, failed = excluded.failed,
		unreachable = excluded.unreachable, transcript = excluded.transcript, entry = excluded.entry`
	selectRun     = `SELECT ` + runCols + ` FROM measures_run WHERE id = $1`
	selectRuns    = `SELECT ` + runCols + ` FROM measures_run`
	selectRunning = `SELECT ` + runCols + ` FROM measures_run WHERE running`
	selectDigests = `SELECT transcript FROM measures_run WHERE transcript <> ''`

	findingCols = `id, sort, measure, rule, subject, locus, severity, facts, state, first_seen, last_seen, looks, needs,
		last_run, changed, why, case_id, demo`
	putFindingSQL = `INSERT INTO measures_finding (` + findingCols + `) VALUES
		($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
		ON CONFLICT (id) DO UPDATE SET severity = excluded.severity, facts = excluded.facts, state = excluded.state,
		last_seen = excluded.last_seen, looks = excluded.looks, needs = excluded.needs, last_run = excluded.last_run,
		changed = excluded.changed, why = excluded.why, case_id = excluded.case_id, demo = excluded.demo`
	selectFinding    = `SELECT ` + findingCols + ` FROM measures_finding WHERE id = $1`
	selectFindings   = `SELECT ` + findingCols + ` FROM measures_finding`
	selectFindingsOf = selectFindings + ` WHERE measure = $1 AND subject = $2`
	deleteFinding    = `DELETE FROM measures_finding WHERE id = $1`

	locusCols = `measure, subject, locus_id, locus, verdict, outcome, why, what, facts, first_seen, last_seen, last_look,
		last_well, last_run, removed`
	putLocusSQL = `INSERT INTO measures_locus (` + locusCols + `) VALUES
		($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
		ON CONFLICT (measure, subject, locus_id) DO UPDATE SET verdict = excluded.verdict, outcome = excluded.outcome,
		why = excluded.why, what = excluded.what, facts = excluded.facts, last_seen = excluded.last_seen,
		last_look = excluded.last_look, last_well = excluded.last_well, last_run = excluded.last_run, removed = excluded.removed`
	selectLociOf = `SELECT ` + locusCols + ` FROM measures_locus WHERE measure = $1 AND subject = $2 ORDER BY locus_id`
	selectLists  = `SELECT DISTINCT measure, subject FROM measures_locus`

	nextNotice    = `SELECT COALESCE(MAX(seq), 0) + 1 FROM measures_notice`
	insertNotice  = `INSERT INTO measures_notice (seq, kind, finding, run, payload, sum) VALUES ($1, $2, $3, $4, $5, $6)`
	selectNotices = `SELECT seq, kind, finding, run, payload, sum FROM measures_notice ORDER BY seq`
	deleteNotice  = `DELETE FROM measures_notice WHERE seq = $1`
)

// Kinds of objects in the history.
const (
	kindMode      = "measure"
	kindRun       = "run"
	kindFinding   = "finding"
	kindInventory = "inventory"
)

// The documents that histories keep. Field names are for ever; later fields are
// omitzero.
type (
	modeDoc struct {
		Measure string         `json:"measure"`
		Mode    string         `json:"mode"`
		Reason  string         `json:"reason"`
		By      garrison.Actor `json:"by"`
		Since   int64          `json:"since"`
		Entry   string         `json:"entry"`
	}
	runDoc struct {
		ID         string              `json:"id"`
		Measure    string              `json:"measure"`
		Version    string              `json:"version"`
		Subject    string              `json:"subject"`
		Started    int64               `json:"started"`
		Ended      int64               `json:"ended"`
		Running    bool                `json:"running"`
		Partial    bool                `json:"partial"`
		Complete   bool                `json:"complete"`
		Truncated  []string            `json:"truncated"`
		Outcome    string              `json:"outcome"`
		Why        string              `json:"why"`
		Population garrison.Population `json:"population"`
		Transcript string              `json:"transcript"`
		By         garrison.Actor      `json:"by"`
		Entry      string              `json:"entry"`
	}
	findingDoc struct {
		ID        string            `json:"id"`
		Measure   string            `json:"measure"`
		Rule      string            `json:"rule"`
		Subject   string            `json:"subject"`
		Locus     string            `json:"locus"`
		Severity  string            `json:"severity"`
		Facts     map[string]string `json:"facts"`
		State     string            `json:"state"`
		FirstSeen int64             `json:"first_seen"`
		LastSeen  int64             `json:"last_seen"`
		Looks     int               `json:"looks"`
		Needs     int               `json:"needs"`
		LastRun   string            `json:"last_run"`
		Changed   int64             `json:"changed"`
		Why       string            `json:"why"`
		Case      string            `json:"case"`
		Demo      bool              `json:"demo"`
	}
	// inventoryDoc vouches for all rows of one subject's list by their digest.
	inventoryDoc struct {
		Measure string `json:"measure"`
		Subject string `json:"subject"`
		Rows    int    `json:"rows"`
		Digest  string `json:"digest"`
	}
)

// run is a row of measures_run.
type run struct {
	RunRow
	sort  string
	entry string // digest of its ledger entry, once ended
}

func sortKey(t time.Time, id string) string {
	_, tail, _ := strings.Cut(id, "-")
	return fmt.Sprintf("%016x%s", state.Micros(t), tail)
}

func (r *run) doc() runDoc {
	return runDoc{ID: string(r.ID), Measure: string(r.Measure), Version: r.Version, Subject: string(r.Subject),
		Started: state.Micros(r.Started), Ended: state.Micros(r.Ended), Running: r.Running, Partial: r.Partial,
		Complete: r.Complete, Truncated: r.Truncated, Outcome: r.Outcome.String(), Why: r.Why, Population: r.Population,
		Transcript: r.Transcript, By: r.By, Entry: r.entry}
}

func putRun(ctx context.Context, tx *state.Tx, r *run, what string) error {
	truncated, err := json.Marshal(r.Truncated)
	if err != nil {
		return err
	}
	p := r.Population
	_, err = tx.Exec(ctx, putRunSQL, string(r.ID), r.sort, string(r.Measure), r.Version, string(r.Subject),
		state.Micros(r.Started), state.Micros(r.Ended), r.Running, r.Partial, r.Complete, string(truncated),
		int64(r.Outcome), r.Why, p.Attempted, p.Succeeded, p.Failed, p.Unreachable, r.Transcript,
		string(r.By.Kind), r.By.ID, r.By.Name, r.entry)
	if err != nil {
		return fmt.Errorf("write run %s: %w", r.ID, err)
	}
	_, err = tx.Record(ctx, state.Change{Kind: kindRun, ID: string(r.ID), Doc: r.doc(), By: r.By, What: what})
	return err
}

func scanRun(row state.Scanner) (*run, error) {
	var r run
	var started, ended, outcome int64
	var truncated string
	p := &r.Population
	err := row.Scan((*string)(&r.ID), &r.sort, (*string)(&r.Measure), &r.Version, (*string)(&r.Subject), &started, &ended,
		&r.Running, &r.Partial, &r.Complete, &truncated, &outcome, &r.Why, &p.Attempted, &p.Succeeded, &p.Failed,
		&p.Unreachable, &r.Transcript, (*string)(&r.By.Kind), &r.By.ID, &r.By.Name, &r.entry)
	if err != nil {
		return nil, err
	}
	r.Started, r.Ended, r.Outcome = state.Time(started), state.Time(ended), outcomeOf(outcome)
	if err := json.Unmarshal([]byte(truncated), &r.Truncated); err != nil {
		return nil, garrison.Errorf(garrison.Damaged, "run %q: its limits are unreadable: %w", r.ID, err)
	}
	return &r, nil
}

// outcomeOf reads a stored outcome; what is none is Unknown.
func outcomeOf(n int64) garrison.Outcome {
	if n < 0 || n > int64(garrison.NotApplicable) {
		return garrison.Unknown
	}
	return garrison.Outcome(n)
}

func getRun(ctx context.Context, q state.Querier, id garrison.RunID) (*run, error) {
	r, err := scanRun(q.QueryRow(ctx, selectRun, string(id)))
	if errors.Is(err, state.ErrNoRows) {
		return nil, garrison.Errorf(garrison.NotFound, "no run %q", id)
	}
	return r, err
}

// findingID is the same for the same thing wrong with the same place.
func findingID(fp garrison.Fingerprint) garrison.FindingID {
	sum := sha256.Sum256([]byte(fp))
	return garrison.FindingID("finding-" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:16])))
}

func findingSort(f *FindingRow) string {
	return fmt.Sprintf("%d%s", f.Finding.Severity, sortKey(f.FirstSeen, string(f.ID)))
}

func docOf(f *FindingRow) findingDoc {
	return findingDoc{ID: string(f.ID), Measure: string(f.Finding.Measure), Rule: string(f.Finding.Rule),
		Subject: string(f.Finding.Subject), Locus: f.Finding.Locus, Severity: f.Finding.Severity.String(),
		Facts: f.Finding.Facts, State: string(f.State), FirstSeen: state.Micros(f.FirstSeen), LastSeen: state.Micros(f.LastSeen),
		Looks: f.Looks, Needs: f.Needs, LastRun: string(f.LastRun), Changed: state.Micros(f.Changed), Why: f.Why,
		Case: string(f.Case), Demo: f.Demo}
}

func putFinding(ctx context.Context, tx *state.Tx, f *FindingRow, by garrison.Actor, what string) error {
	facts, err := json.Marshal(f.Finding.Facts)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, putFindingSQL, string(f.ID), findingSort(f), string(f.Finding.Measure), string(f.Finding.Rule),
		string(f.Finding.Subject), f.Finding.Locus, int64(f.Finding.Severity), string(facts), string(f.State),
		state.Micros(f.FirstSeen), state.Micros(f.LastSeen), f.Looks, f.Needs, string(f.LastRun), state.Micros(f.Changed),
		f.Why, string(f.Case), f.Demo)
	if err != nil {
		return fmt.Errorf("write finding %s: %w", f.ID, err)
	}
	_, err = tx.Record(ctx, state.Change{Kind: kindFinding, ID: string(f.ID), Doc: docOf(f), By: by, What: what})
	return err
}

// dropFinding removes a suspicion that a later look did not share.
func dropFinding(ctx context.Context, tx *state.Tx, f *FindingRow, by garrison.Actor) error {
	if _, err := tx.Exec(ctx, deleteFinding, string(f.ID)); err != nil {
		return fmt.Errorf("remove finding %s: %w", f.ID, err)
	}
	_, err := tx.Record(ctx, state.Change{Kind: kindFinding, ID: string(f.ID), By: by, What: "not_confirmed"})
	return err
}

func scanFinding(row state.Scanner) (*FindingRow, error) {
	f, _, err := scanSorted(row)
	return f, err
}

// scanSorted also returns by what the row is ordered in lists.
func scanSorted(row state.Scanner) (*FindingRow, string, error) {
	var f FindingRow
	var sort, facts string
	var severity, first, last, changed int64
	err := row.Scan((*string)(&f.ID), &sort, (*string)(&f.Finding.Measure), (*string)(&f.Finding.Rule), (*string)(&f.Finding.Subject),
		&f.Finding.Locus, &severity, &facts, (*string)(&f.State), &first, &last, &f.Looks, &f.Needs, (*string)(&f.LastRun),
		&changed, &f.Why, (*string)(&f.Case), &f.Demo)
	if err != nil {
		return nil, "", err
	}
	if err := json.Unmarshal([]byte(facts), &f.Finding.Facts); err != nil {
		return nil, "", garrison.Errorf(garrison.Damaged, "finding %q: its facts are unreadable: %w", f.ID, err)
	}
	f.Finding.Severity = garrison.Severity(min(max(severity, 0), int64(garrison.Critical)))
	f.FirstSeen, f.LastSeen, f.Changed = state.Time(first), state.Time(last), state.Time(changed)
	f.Finding.Seen, f.Fingerprint = f.LastSeen, f.Finding.Fingerprint()
	return &f, sort, nil
}

func getFinding(ctx context.Context, q state.Querier, id garrison.FindingID) (*FindingRow, error) {
	f, err := scanFinding(q.QueryRow(ctx, selectFinding, string(id)))
	if errors.Is(err, state.ErrNoRows) {
		return nil, garrison.Errorf(garrison.NotFound, "no finding %q", id)
	}
	return f, err
}

func findingsOf(ctx context.Context, q state.Querier, m garrison.MeasureID, s garrison.SubjectID) ([]*FindingRow, error) {
	var out []*FindingRow
	err := state.Each(ctx, q, func(row state.Scanner) error {
		f, err := scanFinding(row)
		out = append(out, f)
		return err
	}, selectFindingsOf, string(m), string(s))
	return out, err
}

func locusID(locus string) string {
	sum := sha256.Sum256([]byte(locus))
	return hex.EncodeToString(sum[:])
}

func putLocus(ctx context.Context, tx *state.Tx, m garrison.MeasureID, l *LinkRow) error {
	facts, err := json.Marshal(l.Facts)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, putLocusSQL, string(m), string(l.Subject), locusID(l.Locus), l.Locus, l.Verdict, int64(l.Outcome),
		l.Why, l.What, string(facts), state.Micros(l.FirstSeen), state.Micros(l.LastSeen), state.Micros(l.LastLook),
		state.Micros(l.LastWell), string(l.LastRun), l.Removed)
	if err != nil {
		return fmt.Errorf("write inventory of %s: %w", l.Subject, err)
	}
	return nil
}

func lociOf(ctx context.Context, q state.Querier, m garrison.MeasureID, s garrison.SubjectID) ([]*LinkRow, error) {
	var out []*LinkRow
	err := state.Each(ctx, q, func(row state.Scanner) error {
		var l LinkRow
		var measure, id, facts string
		var outcome, first, last, look, well int64
		err := row.Scan(&measure, (*string)(&l.Subject), &id, &l.Locus, &l.Verdict, &outcome, &l.Why, &l.What, &facts,
			&first, &last, &look, &well, (*string)(&l.LastRun), &l.Removed)
		if err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(facts), &l.Facts); err != nil {
			return garrison.Errorf(garrison.Damaged, "inventory of %q: facts of %q are unreadable: %w", s, l.Locus, err)
		}
		l.Outcome, l.FirstSeen, l.LastSeen = outcomeOf(outcome), state.Time(first), state.Time(last)
		l.LastLook, l.LastWell = state.Time(look), state.Time(well)
		out = append(out, &l)
		return nil
	}, selectLociOf, string(m), string(s))
	return out, err
}

// inventoryOf is the document that vouches for a subject's list as it stands.
func inventoryOf(ctx context.Context, q state.Querier, m garrison.MeasureID, s garrison.SubjectID) (inventoryDoc, error) {
	rows, err := lociOf(ctx, q, m, s)
	if err != nil {
		return inventoryDoc{}, err
	}
	h := sha256.New()
	enc := json.NewEncoder(h)
	for _, r := range rows {
		if err := enc.Encode(r); err != nil {
			return inventoryDoc{}, err
		}
	}
	return inventoryDoc{Measure: string(m), Subject: string(s), Rows: len(rows), Digest: hex.EncodeToString(h.Sum(nil))}, nil
}

func inventoryID(m garrison.MeasureID, s garrison.SubjectID) string {
	return string(m) + "/" + string(s)
}
