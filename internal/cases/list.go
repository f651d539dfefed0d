package cases

import (
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"garrison"
	"garrison/internal/state"
)

// Limits of List.
const (
	defaultLimit = 50
	maxLimit     = 200
	maxQuery     = 200 // characters
	maxCursor    = 256 // bytes
)

// Get returns one case, by its id or its number, with members and all steps. A step
// whose Evidence is zero is stored and not sealed yet.
func (s *Cases) Get(ctx context.Context, id garrison.CaseID) (Case, []Step, error) {
	var c Case
	var steps []Step
	err := s.deps.DB.Read(ctx, func(q state.Querier) (err error) {
		steps = nil
		if c, err = load(ctx, q, id); err != nil {
			return err
		}
		if c.Members, err = membersOf(ctx, q, c.ID); err != nil {
			return err
		}
		return eachStep(ctx, q, `SELECT `+stepColumns+` FROM cases_step WHERE case_id = $1 ORDER BY seq`,
			[]any{string(c.ID)}, func(st Step) error {
				steps = append(steps, st)
				return nil
			})
	})
	if err != nil {
		return Case{}, nil, err
	}
	for _, m := range c.Members {
		c.Findings = append(c.Findings, m.Finding)
	}
	for i := range steps {
		versions, err := s.deps.DB.History(ctx, kindStep, stepID(c.ID, steps[i].Seq))
		if err != nil {
			return Case{}, nil, fmt.Errorf("evidence of step %d of case %q: %w", steps[i].Seq, c.ID, err)
		}
		if len(versions) > 0 {
			steps[i].Evidence = versions[0].Evidence
		}
	}
	return c, steps, nil
}

// List returns cases by filter and the cursor of the next page, empty at the end.
func (s *Cases) List(ctx context.Context, f Filter) ([]Case, string, error) {
	limit := f.Limit
	if limit == 0 {
		limit = defaultLimit
	}
	if limit < 0 || limit > maxLimit {
		return nil, "", garrison.Refuse(garrison.Invalid, "error.cases.limit", "max", maxLimit)
	}
	w, err := s.where(f)
	if err != nil {
		return nil, "", err
	}
	column, dir, cmp, err := order(f.Order)
	if err != nil {
		return nil, "", err
	}
	if f.After != "" {
		at, id, err := parseCursor(f.After, column)
		if err != nil {
			return nil, "", err
		}
		w.add(`(`+column+` `+cmp+` ? OR (`+column+` = ? AND id `+cmp+` ?))`, at, at, id)
	}
	query := `SELECT ` + caseColumns + ` FROM cases_case` + w.sql() +
		` ORDER BY ` + column + ` ` + dir + `, id ` + dir + ` LIMIT ` + strconv.Itoa(limit+1)
	var page []Case
	err = s.deps.DB.Read(ctx, func(q state.Querier) error {
		page = nil
		return eachCase(ctx, q, query, w.args, func(c Case) error {
			page = append(page, c)
			return nil
		})
	})
	if err != nil || len(page) <= limit {
		return page, "", err
	}
	page = page[:limit]
	return page, cursor(page[limit-1], column), nil
}

// Counts counts cases; mine is the account whose open cases Counts.Mine counts.
func (s *Cases) Counts(ctx context.Context, mine garrison.AccountID) (Counts, error) {
	n := Counts{ByState: map[garrison.State]int{}}
	err := s.deps.DB.Read(ctx, func(q state.Querier) error {
		n = Counts{ByState: map[garrison.State]int{}}
		return state.Each(ctx, q, func(row state.Scanner) error {
			var st garrison.State
			var all, open, late, nobodys, own int
			if err := row.Scan(&st, &all, &open, &late, &nobodys, &own); err != nil {
				return fmt.Errorf("count cases: %w", err)
			}
			n.ByState[st] = all
			n.Open += open
			n.Late += late
			n.NoOwner += nobodys
			n.Mine += own
			return nil
		}, `SELECT state, COUNT(*), COUNT(CASE WHEN closed = 0 THEN 1 END),
			COUNT(CASE WHEN closed = 0 AND due > 0 AND due < $1 THEN 1 END),
			COUNT(CASE WHEN closed = 0 AND owner = '' THEN 1 END),
			COUNT(CASE WHEN closed = 0 AND owner <> '' AND owner = $2 THEN 1 END)
			FROM cases_case GROUP BY state`, state.Micros(s.now()), string(mine))
	})
	return n, err
}

// where collects conditions; a question mark becomes the next parameter.
type where struct {
	parts []string
	args  []any
}

func (w *where) add(cond string, args ...any) {
	for range args {
		// Only the conditions of this file come here, none with a literal "?".
		cond = strings.Replace(cond, "?", "$"+strconv.Itoa(len(w.args)+1), 1)
		w.args = append(w.args, args[0])
		args = args[1:]
	}
	w.parts = append(w.parts, cond)
}

func (w *where) equal(column, value string) {
	switch {
	case value == "":
	case clean(value) != value:
		w.add(`1 = 0`) // nothing is stored under a name like that
	default:
		w.add(column+` = ?`, value)
	}
}

func (w *where) sql() string {
	if len(w.parts) == 0 {
		return ""
	}
	return ` WHERE ` + strings.Join(w.parts, ` AND `)
}

func (s *Cases) where(f Filter) (*where, error) {
	w := &where{}
	if len(f.States) > 0 {
		args := make([]any, len(f.States))
		for i, st := range f.States {
			args[i] = clean(string(st))
		}
		w.add(`state IN (`+strings.Repeat(`?, `, len(args)-1)+`?)`, args...)
	}
	w.equal(`owner`, string(f.Owner))
	w.equal(`subject`, string(f.Subject))
	w.equal(`measure`, string(f.Measure))
	w.equal(`rule`, string(f.Rule))
	w.equal(`kind`, string(f.Kind))
	if f.NoOwner {
		w.add(`owner = ''`)
	}
	if f.Finding != "" {
		w.add(`id IN (SELECT case_id FROM cases_finding WHERE finding = ?)`, clean(string(f.Finding)))
	}
	if f.Late {
		w.add(`due > 0 AND ((closed = 0 AND due < ?) OR (closed > due))`, state.Micros(s.now()))
	}
	if f.Demo != nil {
		demo := int64(0)
		if *f.Demo {
			demo = 1
		}
		w.add(`demo = ?`, demo)
	}
	return w, w.search(f.Query)
}

// search adds the words of a person. They are parameters, and what LIKE would take
// for a pattern is escaped.
func (w *where) search(query string) error {
	if query = strings.TrimSpace(query); query == "" {
		return nil
	}
	if !utf8.ValidString(query) || strings.ContainsRune(query, 0) {
		return garrison.Refuse(garrison.Invalid, "error.cases.query")
	}
	if utf8.RuneCountInString(query) > maxQuery {
		return garrison.Refuse(garrison.TooLarge, "error.cases.query_too_long", "limit", maxQuery)
	}
	like := "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(strings.ToLower(query)) + "%"
	const in = ` LIKE ? ESCAPE '\'`
	w.add(`(LOWER(number)`+in+` OR LOWER(subject_name)`+in+` OR LOWER(rule)`+in+` OR id IN
		(SELECT case_id FROM cases_finding WHERE LOWER(locus)`+in+`))`, like, like, like, like)
	return nil
}

func order(name string) (column, dir, cmp string, err error) {
	switch name {
	case "", OrderOpened:
		return "opened", "DESC", "<", nil
	case OrderDue:
		return "due", "ASC", ">", nil
	}
	return "", "", "", garrison.Refuse(garrison.Invalid, "error.cases.order", "order", clip(name, 64))
}

// A cursor names the order it belongs to, so that it cannot be taken for another's.
func cursor(c Case, column string) string {
	at := state.Micros(c.Opened)
	if column == "due" {
		at = state.Micros(c.Due)
	}
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%s %d %s", column, at, c.ID))
}

func parseCursor(s, column string) (at int64, id string, err error) {
	bad := garrison.Refuse(garrison.Invalid, "error.cases.cursor")
	if len(s) > maxCursor {
		return 0, "", bad
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || !utf8.Valid(b) {
		return 0, "", bad
	}
	parts := strings.SplitN(string(b), " ", 3)
	if len(parts) != 3 || parts[0] != column || parts[2] == "" || strings.ContainsRune(parts[2], 0) {
		return 0, "", bad
	}
	if at, err = strconv.ParseInt(parts[1], 10, 64); err != nil {
		return 0, "", bad
	}
	return at, parts[2], nil
}
