package measures

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"garrison"
	"garrison/internal/state"
)

const (
	defaultLimit = 50
	maxLimit     = 500
)

// where collects conditions and their values.
type where struct {
	parts []string
	args  []any
}

// add appends a condition in which every ? is the value's parameter.
func (w *where) add(cond string, v any) {
	w.args = append(w.args, v)
	w.parts = append(w.parts, strings.ReplaceAll(cond, "?", fmt.Sprintf("$%d", len(w.args))))
}

func (w *where) String() string {
	if len(w.parts) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.parts, " AND ")
}

// limited returns the page size to use.
func limited(n int) (int, error) {
	switch {
	case n == 0:
		return defaultLimit, nil
	case n < 0 || n > maxLimit:
		return 0, garrison.Refuse(garrison.Invalid, "error.measures.bad_limit", "most", maxLimit)
	}
	return n, nil
}

// Runs returns runs, newest first, and the cursor of the next page ("": the last).
func (r *Runner) Runs(ctx context.Context, f RunFilter) ([]RunRow, string, error) {
	limit, err := limited(f.Limit)
	if err != nil {
		return nil, "", err
	}
	var w where
	if f.Measure != "" {
		w.add("measure = ?", string(f.Measure))
	}
	if f.Subject != "" {
		w.add("subject = ?", string(f.Subject))
	}
	if f.After != "" {
		w.add("sort < ?", f.After)
	}
	var rows []*run
	err = r.deps.DB.Read(ctx, func(q state.Querier) error {
		rows = nil
		return state.Each(ctx, q, func(row state.Scanner) error {
			u, err := scanRun(row)
			rows = append(rows, u)
			return err
		}, selectRuns+w.String()+fmt.Sprintf(" ORDER BY sort DESC LIMIT %d", limit+1), w.args...)
	})
	if err != nil {
		return nil, "", fmt.Errorf("list runs: %w", err)
	}
	next := ""
	if len(rows) > limit {
		rows, next = rows[:limit], rows[limit-1].sort
	}
	out := make([]RunRow, 0, len(rows))
	for _, u := range rows {
		row, err := r.evidence(ctx, u)
		if err != nil {
			return nil, "", err
		}
		out = append(out, row)
	}
	return out, next, nil
}

// evidence fills in where the ledger holds a run's entry.
func (r *Runner) evidence(ctx context.Context, u *run) (RunRow, error) {
	row := u.RunRow
	if u.entry == "" {
		return row, nil
	}
	ref, err := r.deps.DB.Ref(ctx, u.entry)
	row.Evidence = ref
	return row, err
}

func (r *Runner) run(ctx context.Context, id garrison.RunID) (*run, error) {
	var u *run
	err := r.deps.DB.Read(ctx, func(q state.Querier) error {
		var err error
		u, err = getRun(ctx, q, id)
		return err
	})
	return u, err
}

// Run returns one run and what it saw; the items come from its kept transcript,
// which is checked against the digest the run recorded (code Damaged if it differs,
// NotFound if it is gone; the row is returned all the same).
func (r *Runner) Run(ctx context.Context, id garrison.RunID) (RunRow, []Item, error) {
	u, err := r.run(ctx, id)
	if err != nil {
		return RunRow{}, nil, err
	}
	row, err := r.evidence(ctx, u)
	if err != nil || u.Transcript == "" {
		return row, nil, err
	}
	b, err := r.deps.Keeper.Open(ctx, u.Transcript)
	if err != nil {
		return row, nil, fmt.Errorf("open the transcript of run %s: %w", id, err)
	}
	var t struct {
		Items []Item `json:"items"`
	}
	if err := json.Unmarshal(b, &t); err != nil {
		return row, nil, garrison.Errorf(garrison.Damaged, "transcript of run %s: %w", id, err)
	}
	return row, t.Items, nil
}

// Transcript returns the kept transcript of a run, as JSON.
func (r *Runner) Transcript(ctx context.Context, id garrison.RunID) ([]byte, error) {
	u, err := r.run(ctx, id)
	if err != nil {
		return nil, err
	}
	if u.Transcript == "" {
		return nil, garrison.Errorf(garrison.NotFound, "run %s has no transcript", id)
	}
	return r.deps.Keeper.Open(ctx, u.Transcript)
}

// Digests yields the digest of every transcript that a run refers to; for the check
// of the store of transcripts.
func (r *Runner) Digests(ctx context.Context, yield func(digest string) error) error {
	return r.deps.DB.Read(ctx, func(q state.Querier) error {
		return state.Each(ctx, q, func(row state.Scanner) error {
			var d string
			if err := row.Scan(&d); err != nil {
				return err
			}
			return yield(d)
		}, selectDigests)
	})
}

func (f FindingFilter) where() *where {
	var w where
	if len(f.State) > 0 {
		var in []string
		for _, s := range f.State {
			w.args = append(w.args, string(s))
			in = append(in, fmt.Sprintf("$%d", len(w.args)))
		}
		w.parts = append(w.parts, "state IN ("+strings.Join(in, ", ")+")")
	}
	if f.Measure != "" {
		w.add("measure = ?", string(f.Measure))
	}
	if f.Rule != "" {
		w.add("rule = ?", string(f.Rule))
	}
	if f.Subject != "" {
		w.add("subject = ?", string(f.Subject))
	}
	if f.Severity > 0 {
		w.add("severity >= ?", int64(f.Severity))
	}
	if f.Query != "" {
		w.add(`LOWER(locus) LIKE ? ESCAPE '\'`, "%"+likeEscape(strings.ToLower(f.Query))+"%")
	}
	return &w
}

func likeEscape(s string) string {
	return strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`, "\x00", "").Replace(s)
}

// Findings returns findings, worst first and then newest, and the cursor of the next
// page ("": the last).
func (r *Runner) Findings(ctx context.Context, f FindingFilter) ([]FindingRow, string, error) {
	limit, err := limited(f.Limit)
	if err != nil {
		return nil, "", err
	}
	w := f.where()
	if f.After != "" {
		w.add("sort < ?", f.After)
	}
	var out []FindingRow
	err = r.deps.DB.Read(ctx, func(q state.Querier) error {
		out = nil
		return state.Each(ctx, q, func(row state.Scanner) error {
			f, err := scanFinding(row)
			if err == nil {
				out = append(out, *f)
			}
			return err
		}, selectFindings+w.String()+fmt.Sprintf(" ORDER BY sort DESC LIMIT %d", limit+1), w.args...)
	})
	if err != nil {
		return nil, "", fmt.Errorf("list findings: %w", err)
	}
	if len(out) > limit {
		out = out[:limit]
		return out, findingSort(&out[limit-1]), nil
	}
	return out, "", nil
}

// CountFindings returns how many findings match f, by state.
func (r *Runner) CountFindings(ctx context.Context, f FindingFilter) (map[FindingState]int, error) {
	w := f.where()
	out := map[FindingState]int{}
	err := r.deps.DB.Read(ctx, func(q state.Querier) error {
		return state.Each(ctx, q, func(row state.Scanner) error {
			var s string
			var n int
			err := row.Scan(&s, &n)
			out[FindingState(s)] = n
			return err
		}, `SELECT state, COUNT(*) FROM measures_finding`+w.String()+` GROUP BY state`, w.args...)
	})
	if err != nil {
		return nil, fmt.Errorf("count findings: %w", err)
	}
	return out, nil
}

// Finding returns one finding.
func (r *Runner) Finding(ctx context.Context, id garrison.FindingID) (FindingRow, error) {
	var f *FindingRow
	err := r.deps.DB.Read(ctx, func(q state.Querier) error {
		var err error
		f, err = getFinding(ctx, q, id)
		return err
	})
	if err != nil {
		return FindingRow{}, err
	}
	return *f, nil
}

// Rule returns the fixed part of a finding.
func (r *Runner) Rule(id garrison.RuleID) (Rule, bool) {
	for _, m := range r.deps.Measures {
		if rule, ok := m.Definition().Rule(id); ok {
			return rule, true
		}
	}
	return Rule{}, false
}

// Inventory returns the loci of a subject, those removed since included and marked.
func (r *Runner) Inventory(ctx context.Context, s garrison.SubjectID) ([]LinkRow, error) {
	var out []LinkRow
	err := r.deps.DB.Read(ctx, func(q state.Querier) error {
		out = nil
		for _, m := range r.deps.Measures {
			rows, err := lociOf(ctx, q, m.Definition().ID, s)
			if err != nil {
				return err
			}
			for _, l := range rows {
				out = append(out, *l)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the inventory of %s: %w", s, err)
	}
	return out, nil
}

// Stands returns what a measure knows about each subject it should look at.
func (r *Runner) Stands(ctx context.Context, id garrison.MeasureID) ([]Stand, error) {
	m := r.measures[id]
	if m == nil {
		return nil, garrison.Refuse(garrison.NotFound, "error.measures.no_measure", "measure", id)
	}
	subjects, err := r.targets(ctx, m.Definition())
	if err != nil {
		return nil, err
	}
	var out []Stand
	for _, s := range subjects {
		st, err := r.stand(ctx, id, s)
		if err != nil {
			return nil, fmt.Errorf("read what is known about %s: %w", s.ID, err)
		}
		out = append(out, st)
	}
	return out, nil
}

const (
	selectLast = ` FROM measures_run WHERE measure = $1 AND subject = $2 AND NOT running AND NOT partial`
	lastRun    = `SELECT ` + runCols + selectLast + ` ORDER BY sort DESC LIMIT 1`
	lastWhole  = `SELECT ` + runCols + selectLast + ` AND complete ORDER BY sort DESC LIMIT 1`
)

func (r *Runner) stand(ctx context.Context, id garrison.MeasureID, s garrison.Subject) (Stand, error) {
	st := Stand{Subject: s, Verdicts: map[string]int{}, Open: map[garrison.RuleID]int{}}
	var last, whole *run
	err := r.deps.DB.Read(ctx, func(q state.Querier) error { // runs once: only Write repeats
		var err error
		if last, err = maybeRun(ctx, q, lastRun, id, s.ID); err != nil {
			return err
		}
		if whole, err = maybeRun(ctx, q, lastWhole, id, s.ID); err != nil {
			return err
		}
		return st.fill(ctx, q, id)
	})
	if err != nil {
		return st, err
	}
	for _, x := range []struct {
		u  *run
		to *garrison.Run
	}{{last, &st.Last}, {whole, &st.LastComplete}} {
		if x.u == nil {
			continue
		}
		row, err := r.evidence(ctx, x.u)
		if err != nil {
			return st, err
		}
		*x.to = row.Run
	}
	return st, nil
}

const (
	countLoci  = `SELECT verdict, outcome, COUNT(*) FROM measures_locus WHERE measure = $1 AND subject = $2 AND NOT removed GROUP BY verdict, outcome`
	selectOpen = selectFindingsOf + ` AND state = 'open' ORDER BY sort DESC`
)

func (st *Stand) fill(ctx context.Context, q state.Querier, id garrison.MeasureID) error {
	err := state.Each(ctx, q, func(row state.Scanner) error {
		var verdict string
		var outcome int64
		var n int
		if err := row.Scan(&verdict, &outcome, &n); err != nil {
			return err
		}
		st.Inventory += n
		st.Verdicts[verdict] += n
		st.Population.Attempted += n
		switch outcomeOf(outcome) {
		case garrison.Pass:
			st.Population.Succeeded += n
		case garrison.Fail:
			st.Population.Failed += n
		default:
			st.Population.Unreachable += n
		}
		return nil
	}, countLoci, string(id), string(st.Subject.ID))
	if err != nil {
		return err
	}
	return state.Each(ctx, q, func(row state.Scanner) error {
		f, err := scanFinding(row)
		if err == nil {
			st.Open[f.Finding.Rule]++
			st.OpenFindings = append(st.OpenFindings, *f)
		}
		return err
	}, selectOpen, string(id), string(st.Subject.ID))
}

func maybeRun(ctx context.Context, q state.Querier, query string, m garrison.MeasureID, s garrison.SubjectID) (*run, error) {
	u, err := scanRun(q.QueryRow(ctx, query, string(m), string(s)))
	if errors.Is(err, state.ErrNoRows) {
		return nil, nil
	}
	return u, err
}
