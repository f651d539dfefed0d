package cases

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"garrison"
	"garrison/internal/state"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// Kinds of the objects recorded.
const (
	kindCase    = "case"
	kindFinding = "case_finding"
	kindStep    = "case_step"
)

const (
	caseColumns = `id, number, kind, state, title, subject, subject_name, measure, rule, severity, owner,
		opened, due, closed, claimed, total, remaining, steps, join_run, unsure_run, demo, version`
	findingColumns = `case_id, finding, locus, joined, run, seen, gone, gone_run, refuted`
	stepColumns    = `case_id, seq, at, by_kind, by_id, by_name, did, from_state, to_state, note, what, run, outcome`
)

// doc is a case as it is recorded in its history. Field names are part of what the
// ledger vouches for: they are never changed, only added to.
type caseDoc struct {
	ID       garrison.CaseID    `json:"id"`
	Number   string             `json:"number"`
	Kind     garrison.CaseKind  `json:"kind"`
	State    garrison.State     `json:"state"`
	Title    json.RawMessage    `json:"title"`
	Subject  garrison.SubjectID `json:"subject"`
	Name     string             `json:"subject_name"`
	Measure  garrison.MeasureID `json:"measure"`
	Rule     garrison.RuleID    `json:"rule"`
	Severity string             `json:"severity"`
	Owner    garrison.AccountID `json:"owner"`
	Opened   int64              `json:"opened"`
	Due      int64              `json:"due"`
	Closed   int64              `json:"closed"`
	Claimed  int64              `json:"claimed"`
	Total    int                `json:"total"`
	Left     int                `json:"remaining"`
	Steps    int                `json:"steps"`
	JoinRun  garrison.RunID     `json:"join_run"`
	Unsure   garrison.RunID     `json:"unsure_run"`
	Demo     bool               `json:"demo"`
	Version  int                `json:"version"`
}

type findingDoc struct {
	Case    garrison.CaseID    `json:"case"`
	Finding garrison.FindingID `json:"finding"`
	Locus   string             `json:"locus"`
	Joined  int64              `json:"joined"`
	Run     garrison.RunID     `json:"run"`
	Seen    int64              `json:"seen"`
	Gone    int64              `json:"gone"`
	GoneRun garrison.RunID     `json:"gone_run"`
	Refuted int64              `json:"refuted"`
}

type stepDoc struct {
	Case    garrison.CaseID    `json:"case"`
	Seq     int                `json:"seq"`
	At      int64              `json:"at"`
	ByKind  garrison.ActorKind `json:"by_kind"`
	ByID    string             `json:"by_id"`
	ByName  string             `json:"by_name"`
	Do      string             `json:"do"`
	From    garrison.State     `json:"from"`
	To      garrison.State     `json:"to"`
	Note    string             `json:"note"`
	What    json.RawMessage    `json:"what"`
	Run     garrison.RunID     `json:"run"`
	Outcome string             `json:"outcome"`
}

func docOfCase(c Case) (caseDoc, error) {
	title, err := json.Marshal(c.Title)
	if err != nil {
		return caseDoc{}, fmt.Errorf("encode title of case %q: %w", c.ID, err)
	}
	return caseDoc{
		ID: c.ID, Number: c.Number, Kind: c.Kind, State: c.State, Title: title,
		Subject: c.Subject, Name: c.Name, Measure: c.Measure, Rule: c.Rule,
		Severity: c.Severity.String(), Owner: c.Owner,
		Opened: state.Micros(c.Opened), Due: state.Micros(c.Due),
		Closed: state.Micros(c.Closed), Claimed: state.Micros(c.Claimed),
		Total: c.Total, Left: c.Left, Steps: c.Steps, JoinRun: c.JoinRun, Unsure: c.Unsure,
		Demo: c.Demo, Version: c.Version,
	}, nil
}

func docOfMember(id garrison.CaseID, m Member) findingDoc {
	return findingDoc{
		Case: id, Finding: m.Finding, Locus: m.Locus, Joined: state.Micros(m.Joined),
		Run: m.Run, Seen: state.Micros(m.Seen),
		Gone: state.Micros(m.Gone), GoneRun: m.GoneRun, Refuted: state.Micros(m.Refuted),
	}
}

func docOfStep(s Step) (stepDoc, error) {
	what, err := json.Marshal(s.What)
	if err != nil {
		return stepDoc{}, fmt.Errorf("encode step %d of case %q: %w", s.Seq, s.Case, err)
	}
	return stepDoc{
		Case: s.Case, Seq: s.Seq, At: state.Micros(s.At),
		ByKind: s.By.Kind, ByID: s.By.ID, ByName: s.By.Name,
		Do: s.Do, From: s.From, To: s.To, Note: s.Note, What: what, Run: s.Run,
		Outcome: s.Outcome.String(),
	}, nil
}

func memberID(id garrison.CaseID, f garrison.FindingID) string { return string(id) + "/" + string(f) }

func stepID(id garrison.CaseID, seq int) string { return fmt.Sprintf("%s/%d", id, seq) }

// migrate prepares the tables and makes them part of the audit.
func (s *Cases) migrate(ctx context.Context) error {
	sub, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		return fmt.Errorf("open migrations of cases: %w", err)
	}
	if err := s.deps.DB.Migrate(ctx, "cases", sub); err != nil {
		return fmt.Errorf("migrate cases: %w", err)
	}
	s.Register()
	return nil
}

// Register makes the tables part of the audit without starting anything.
func (s *Cases) Register() {
	s.deps.DB.RegisterTable(state.Table{Kind: kindCase, Rows: caseRows})
	s.deps.DB.RegisterTable(state.Table{Kind: kindFinding, Rows: findingRows})
	s.deps.DB.RegisterTable(state.Table{Kind: kindStep, Rows: stepRows})
	s.deps.DB.RegisterCheck("cases_number", checkNumbers)
}

func caseRows(ctx context.Context, q state.Querier, yield func(id string, doc any) error) error {
	return eachCase(ctx, q, `SELECT `+caseColumns+` FROM cases_case ORDER BY id`, nil, func(c Case) error {
		d, err := docOfCase(c)
		if err != nil {
			return err
		}
		return yield(string(c.ID), d)
	})
}

func findingRows(ctx context.Context, q state.Querier, yield func(id string, doc any) error) error {
	return eachMember(ctx, q, `SELECT `+findingColumns+` FROM cases_finding ORDER BY case_id, finding`, nil,
		func(id garrison.CaseID, m Member) error { return yield(memberID(id, m.Finding), docOfMember(id, m)) })
}

func stepRows(ctx context.Context, q state.Querier, yield func(id string, doc any) error) error {
	return eachStep(ctx, q, `SELECT `+stepColumns+` FROM cases_step ORDER BY case_id, seq`, nil, func(st Step) error {
		d, err := docOfStep(st)
		if err != nil {
			return err
		}
		return yield(stepID(st.Case, st.Seq), d)
	})
}

func eachCase(ctx context.Context, q state.Querier, query string, args []any, yield func(Case) error) error {
	return state.Each(ctx, q, func(rows state.Scanner) error {
		var c Case
		var title string
		var opened, due, closed, claimed, demo int64
		err := rows.Scan(&c.ID, &c.Number, &c.Kind, &c.State, &title, &c.Subject, &c.Name, &c.Measure, &c.Rule,
			&c.Severity, &c.Owner, &opened, &due, &closed, &claimed, &c.Total, &c.Left, &c.Steps,
			&c.JoinRun, &c.Unsure, &demo, &c.Version)
		if err != nil {
			return fmt.Errorf("read a case: %w", err)
		}
		if err := json.Unmarshal([]byte(title), &c.Title); err != nil {
			return garrison.Errorf(garrison.Damaged, "title of case %q: %w", c.ID, err)
		}
		c.Opened, c.Due = state.Time(opened), state.Time(due)
		c.Closed, c.Claimed, c.Demo = state.Time(closed), state.Time(claimed), demo != 0
		return yield(c)
	}, query, args...)
}

func eachMember(ctx context.Context, q state.Querier, query string, args []any, yield func(garrison.CaseID, Member) error) error {
	return state.Each(ctx, q, func(rows state.Scanner) error {
		var id garrison.CaseID
		var m Member
		var joined, seen, gone, refuted int64
		if err := rows.Scan(&id, &m.Finding, &m.Locus, &joined, &m.Run, &seen, &gone, &m.GoneRun, &refuted); err != nil {
			return fmt.Errorf("read a finding of a case: %w", err)
		}
		m.Joined, m.Seen = state.Time(joined), state.Time(seen)
		m.Gone, m.Refuted = state.Time(gone), state.Time(refuted)
		return yield(id, m)
	}, query, args...)
}

func eachStep(ctx context.Context, q state.Querier, query string, args []any, yield func(Step) error) error {
	return state.Each(ctx, q, func(rows state.Scanner) error {
		var st Step
		var at int64
		var what string
		err := rows.Scan(&st.Case, &st.Seq, &at, &st.By.Kind, &st.By.ID, &st.By.Name, &st.Do, &st.From, &st.To,
			&st.Note, &what, &st.Run, &st.Outcome)
		if err != nil {
			return fmt.Errorf("read a step: %w", err)
		}
		if err := json.Unmarshal([]byte(what), &st.What); err != nil {
			return garrison.Errorf(garrison.Damaged, "step %d of case %q: %w", st.Seq, st.Case, err)
		}
		st.At = state.Time(at)
		return yield(st)
	}, query, args...)
}

// oneCase returns the case a query gives, or false.
func oneCase(ctx context.Context, q state.Querier, where string, args ...any) (Case, bool, error) {
	var found Case
	n := 0
	err := eachCase(ctx, q, `SELECT `+caseColumns+` FROM cases_case WHERE `+where+` LIMIT 1`, args, func(c Case) error {
		found = c
		n++
		return nil
	})
	return found, n == 1, err
}

// load returns a case by its id or its number.
func load(ctx context.Context, q state.Querier, id garrison.CaseID) (Case, error) {
	var c Case
	var ok bool
	var err error
	if len(id) <= maxID && clean(string(id)) == string(id) {
		c, ok, err = oneCase(ctx, q, `id = $1 OR number = $2`, string(id), strings.ToUpper(string(id)))
	}
	if err != nil {
		return Case{}, err
	}
	if !ok {
		return Case{}, garrison.Refuse(garrison.NotFound, "error.cases.not_found", "id", clip(string(id), 64))
	}
	return c, nil
}

func membersOf(ctx context.Context, q state.Querier, id garrison.CaseID) ([]Member, error) {
	var ms []Member
	err := eachMember(ctx, q, `SELECT `+findingColumns+` FROM cases_finding WHERE case_id = $1 ORDER BY joined, locus, finding`,
		[]any{string(id)}, func(_ garrison.CaseID, m Member) error {
			ms = append(ms, m)
			return nil
		})
	return ms, err
}

func putCase(ctx context.Context, tx *state.Tx, c Case, fresh bool, by garrison.Actor, what string) error {
	d, err := docOfCase(c)
	if err != nil {
		return err
	}
	demo := int64(0)
	if c.Demo {
		demo = 1
	}
	args := []any{string(d.ID), d.Number, string(d.Kind), string(d.State), string(d.Title), string(d.Subject), d.Name,
		string(d.Measure), string(d.Rule), int64(c.Severity), string(d.Owner), d.Opened, d.Due, d.Closed, d.Claimed,
		d.Total, d.Left, d.Steps, string(d.JoinRun), string(d.Unsure), demo, d.Version}
	query := `INSERT INTO cases_case (` + caseColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11,
		$12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)`
	if !fresh {
		query = `UPDATE cases_case SET number = $2, kind = $3, state = $4, title = $5, subject = $6, subject_name = $7,
			measure = $8, rule = $9, severity = $10, owner = $11, opened = $12, due = $13, closed = $14, claimed = $15,
			total = $16, remaining = $17, steps = $18, join_run = $19, unsure_run = $20, demo = $21, version = $22
			WHERE id = $1`
	}
	if _, err := tx.Exec(ctx, query, args...); err != nil {
		return fmt.Errorf("store case %q: %w", c.ID, err)
	}
	return record(ctx, tx, kindCase, string(c.ID), d, by, what)
}

func putMember(ctx context.Context, tx *state.Tx, id garrison.CaseID, m Member, by garrison.Actor, what string) error {
	d := docOfMember(id, m)
	_, err := tx.Exec(ctx, `INSERT INTO cases_finding (`+findingColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		ON CONFLICT (case_id, finding) DO UPDATE SET locus = excluded.locus, joined = excluded.joined, run = excluded.run,
			seen = excluded.seen, gone = excluded.gone, gone_run = excluded.gone_run, refuted = excluded.refuted`,
		string(id), string(m.Finding), m.Locus, d.Joined, string(d.Run), d.Seen, d.Gone, string(d.GoneRun), d.Refuted)
	if err != nil {
		return fmt.Errorf("store finding %q of case %q: %w", m.Finding, id, err)
	}
	return record(ctx, tx, kindFinding, memberID(id, m.Finding), d, by, what)
}

// putStep only inserts: a step is never changed.
func putStep(ctx context.Context, tx *state.Tx, st Step) error {
	d, err := docOfStep(st)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO cases_step (`+stepColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
		string(d.Case), d.Seq, d.At, string(d.ByKind), d.ByID, d.ByName, d.Do, string(d.From), string(d.To),
		d.Note, string(d.What), string(d.Run), int64(st.Outcome))
	if err != nil {
		return fmt.Errorf("store step %d of case %q: %w", st.Seq, st.Case, err)
	}
	return record(ctx, tx, kindStep, stepID(st.Case, st.Seq), d, st.By, st.Do)
}

func record(ctx context.Context, tx *state.Tx, kind, id string, doc any, by garrison.Actor, what string) error {
	if _, err := tx.Record(ctx, state.Change{Kind: kind, ID: id, Doc: doc, By: by, What: what}); err != nil {
		return fmt.Errorf("record %s %q: %w", kind, id, err)
	}
	return nil
}

// number gives out the next number of the month. Months are the office's: the
// calendar of Shanghai, which keeps one offset all year. The counter has no history,
// so each row carries its checksum.
func number(ctx context.Context, tx *state.Tx, now time.Time) (string, error) {
	month := now.In(time.FixedZone("Asia/Shanghai", 8*60*60)).Format("0601")
	var last int64
	err := tx.QueryRow(ctx, `SELECT last FROM cases_number WHERE month = $1`, month).Scan(&last)
	if err != nil && !errors.Is(err, state.ErrNoRows) {
		return "", fmt.Errorf("number a case of %s: %w", month, err)
	}
	last++
	_, err = tx.Exec(ctx, `INSERT INTO cases_number (month, last, checksum) VALUES ($1, $2, $3)
		ON CONFLICT (month) DO UPDATE SET last = excluded.last, checksum = excluded.checksum`, month, last, state.Sum(month, last))
	if err != nil {
		return "", fmt.Errorf("number a case of %s: %w", month, err)
	}
	return fmt.Sprintf("C-%s-%04d", month, last), nil
}

func checkNumbers(ctx context.Context, q state.Querier, report func(state.Damage)) error {
	return state.Each(ctx, q, func(row state.Scanner) error {
		var month, sum string
		var last int64
		if err := row.Scan(&month, &last, &sum); err != nil {
			return err
		}
		if state.Sum(month, last) != sum {
			report(state.Damage{Object: "cases_number/" + month, What: "the counter of case numbers is not as it was written"})
		}
		return nil
	}, `SELECT month, last, checksum FROM cases_number ORDER BY month`)
}

// clip makes a text from outside fit to be stored: bounded, valid, without NUL, which
// one of the two engines refuses.
func clip(s string, n int) string {
	r := []rune(clean(s))
	if len(r) > n {
		return string(r[:n]) + "…"
	}
	return string(r)
}

func clean(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}
