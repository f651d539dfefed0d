package registry

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"garrison"
	"garrison/internal/state"
)

const (
	defaultLimit = 100
	maxLimit     = 1000
	maxQuery     = 200
	maxCursor    = 2048
)

// Filter chooses subjects. Zero fields choose all that are not retired.
type Filter struct {
	Kind    garrison.SubjectKind
	Owner   garrison.SubjectID
	Query   string // part of the name, the responsible person or an attribute
	Demo    *bool
	Retired bool   // also the retired
	After   string // as returned by the page before
	Limit   int    // 0: 100; at most 1000
}

// List returns subjects ordered by kind and name (Chinese by pinyin) and where the
// next page starts ("" at the end).
func (r *Registry) List(ctx context.Context, f Filter) (list []garrison.Subject, next string, err error) {
	limit := f.Limit
	if limit == 0 {
		limit = defaultLimit
	}
	if limit < 0 || limit > maxLimit {
		return nil, "", refuse("limit", "max", maxLimit)
	}
	where, args, err := f.where()
	if err != nil {
		return nil, "", err
	}
	// One more than asked for says whether there is a next page.
	args = append(args, int64(limit+1))
	query := selectAll + where + ` ORDER BY kind, sort_key, id LIMIT $` + strconv.Itoa(len(args))
	var rows []row
	err = r.db.Read(ctx, func(q state.Querier) (err error) { rows, err = listRows(ctx, q, query, args...); return err })
	if err != nil {
		return nil, "", fmt.Errorf("list subjects: %w", err)
	}
	if len(rows) > limit {
		rows = rows[:limit]
		next = cursorOf(rows[limit-1])
	}
	return subjectsOf(rows), next, nil
}

// where makes the condition of f; its texts are constants, its values parameters.
func (f Filter) where() (string, []any, error) {
	var conds []string
	var args []any
	add := func(cond string, values ...any) {
		for _, v := range values {
			args = append(args, v)
			cond = strings.Replace(cond, "?", "$"+strconv.Itoa(len(args)), 1)
		}
		conds = append(conds, cond)
	}
	if !f.Retired {
		add(`retired = FALSE`)
	}
	if f.Kind != "" {
		add(`kind = ?`, string(f.Kind))
	}
	if f.Owner != "" {
		add(`owner = ?`, string(f.Owner))
	}
	if f.Demo != nil {
		add(`demo = ?`, *f.Demo)
	}
	if f.Query != "" {
		text, err := cleanText("query", f.Query, maxQuery)
		if err != nil {
			return "", nil, err
		}
		add(`search LIKE ? ESCAPE '\'`, likeText(text))
	}
	if f.After != "" {
		kind, sortKey, id, err := readCursor(f.After)
		if err != nil {
			return "", nil, err
		}
		add(`(kind, sort_key, id) > (?, ?, ?)`, kind, sortKey, id)
	}
	if len(conds) == 0 {
		return "", args, nil
	}
	return ` WHERE ` + strings.Join(conds, ` AND `), args, nil
}

// cursorOf is a place in the order, not a row: it stays good when the row is gone.
func cursorOf(r row) string {
	return base64.RawURLEncoding.EncodeToString([]byte(string(r.Kind) + "\n" + r.sortKey + "\n" + string(r.ID)))
}

func readCursor(text string) (kind, sortKey, id string, err error) {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	parts := strings.Split(string(raw), "\n")
	if err != nil || len(text) > maxCursor || len(parts) != 3 {
		return "", "", "", refuse("cursor")
	}
	for _, p := range parts {
		if _, err := cleanText("after", p, maxCursor); err != nil {
			return "", "", "", refuse("cursor")
		}
	}
	return parts[0], parts[1], parts[2], nil
}

// Of returns every subject of a kind that is not retired, in order.
func (r *Registry) Of(ctx context.Context, kind garrison.SubjectKind) ([]garrison.Subject, error) {
	var all []garrison.Subject
	f := Filter{Kind: kind, Limit: maxLimit}
	for {
		page, next, err := r.List(ctx, f)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if next == "" {
			return all, nil
		}
		f.After = next
	}
}

// Ownerless returns what nobody answers for: sites, senders, pools and lines with no
// owner, or with one that is retired.
func (r *Registry) Ownerless(ctx context.Context) ([]garrison.Subject, error) {
	var rows []row
	err := r.db.Read(ctx, func(q state.Querier) (err error) { rows, err = listRows(ctx, q, selectOwnerless); return err })
	if err != nil {
		return nil, fmt.Errorf("list subjects without an owner: %w", err)
	}
	return subjectsOf(rows), nil
}

// Counts is how much there is.
type Counts struct {
	ByKind    map[garrison.SubjectKind]int // not retired; every kind is there
	Ownerless int
	Demo      int // retired or not
	Retired   int
}

// Counts counts.
func (r *Registry) Counts(ctx context.Context) (Counts, error) {
	var c Counts
	err := r.db.Read(ctx, func(q state.Querier) error {
		c = Counts{ByKind: map[garrison.SubjectKind]int{
			garrison.Unit: 0, garrison.Person: 0, garrison.Site: 0, garrison.Sender: 0, garrison.Pool: 0, garrison.Line: 0}}
		err := state.Each(ctx, q, func(s state.Scanner) error {
			var kind garrison.SubjectKind
			var retired, demo bool
			var n int
			if err := s.Scan(&kind, &retired, &demo, &n); err != nil {
				return err
			}
			if retired {
				c.Retired += n
			} else {
				c.ByKind[kind] += n
			}
			if demo {
				c.Demo += n
			}
			return nil
		}, countKinds)
		if err != nil {
			return err
		}
		return q.QueryRow(ctx, countOwnerless).Scan(&c.Ownerless)
	})
	if err != nil {
		return Counts{}, fmt.Errorf("count subjects: %w", err)
	}
	return c, nil
}

// Change is one version of a subject: what it was after somebody did something.
type Change struct {
	Version  int
	At       time.Time
	By       garrison.Actor
	What     string           // created | changed | retired | removed | owner_removed
	Subject  garrison.Subject // zero: removed
	Evidence garrison.EvidenceRef
}

// History returns all versions of a subject, oldest first.
func (r *Registry) History(ctx context.Context, id garrison.SubjectID) ([]Change, error) {
	versions, err := r.db.History(ctx, kindSubject, string(id))
	if err != nil {
		return nil, err
	}
	if len(versions) == 0 {
		return nil, garrison.Refuse(garrison.NotFound, "error.registry.not_found", "id", string(id))
	}
	all := make([]Change, len(versions))
	for i, v := range versions {
		s, err := subjectIn(v)
		if err != nil {
			return nil, err
		}
		all[i] = Change{Version: v.N, At: v.At, By: v.By, What: v.What, Subject: s, Evidence: v.Evidence}
	}
	return all, nil
}

// AsOf returns a subject as it was known at a moment.
func (r *Registry) AsOf(ctx context.Context, id garrison.SubjectID, at time.Time) (garrison.Subject, error) {
	v, err := r.db.AsOf(ctx, kindSubject, string(id), at)
	if garrison.CodeOf(err) == garrison.NotFound || err == nil && v.Doc == nil {
		return garrison.Subject{}, garrison.Refuse(garrison.NotFound, "error.registry.not_found", "id", string(id))
	}
	if err != nil {
		return garrison.Subject{}, err
	}
	return subjectIn(v)
}

func subjectIn(v state.Version) (garrison.Subject, error) {
	if v.Doc == nil {
		return garrison.Subject{}, nil
	}
	var d doc
	if err := json.Unmarshal(v.Doc, &d); err != nil {
		return garrison.Subject{}, garrison.Errorf(garrison.Damaged, "version %d of subject %q: %w", v.N, v.ID, err)
	}
	return d.subject(), nil
}

func sameSubject(x, y garrison.Subject) bool {
	return x.Name == y.Name && x.Owner == y.Owner && x.Responsible == y.Responsible && x.Grade == y.Grade &&
		maps.Equal(x.Attributes, y.Attributes)
}
