package console

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"garrison"
	"garrison/internal/cases"
	"garrison/internal/locale"
	"garrison/internal/measures"
)

// facet is one group of filters with their counts; every value is a link.
type facet struct {
	Name  string
	Items []facetItem
}

type facetItem struct {
	Name, Href string
	Mark       string // a symbol before the name
	Count      int    // -1: not counted
	On         bool
}

// tag is one filter that is on, and the address without it.
type tag struct{ Name, Value, Href string }

// filtering is what stands around a filtered list.
type filtering struct {
	Path    string
	Query   url.Values // as asked for, cleaned
	Facets  []facet
	Tags    []tag
	Search  string
	Message string // why the question could not be put as it was
}

// Address is the view as it can be sent to somebody.
func (q filtering) Address() string { return at(q.Path, q.Query) }

// Clear is the view without filters.
func (q filtering) Clear() string { return q.Path }

// Hidden are the filters a search form must carry along.
func (q filtering) Hidden() []tag {
	var out []tag
	for _, k := range slices.Sorted(maps.Keys(q.Query)) {
		if k != "q" && k != "after" {
			out = append(out, tag{Name: k, Value: q.Query.Get(k)})
		}
	}
	return out
}

// at is a path with its query; an empty query leaves no question mark.
func at(path string, q url.Values) string {
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

// with is the address of the same view with some filters changed: kv are name, value
// pairs, an empty value takes a filter off. Paging starts anew.
func (q filtering) with(kv ...string) string {
	v := url.Values{}
	for k, list := range q.Query {
		if k != "after" {
			v[k] = list
		}
	}
	for i := 0; i+1 < len(kv); i += 2 {
		if kv[i+1] == "" {
			v.Del(kv[i])
		} else {
			v.Set(kv[i], kv[i+1])
		}
	}
	return at(q.Path, v)
}

// older is the address of the next page, "" at the end.
func (q filtering) older(next string) string {
	if next == "" {
		return ""
	}
	return q.with("after", next)
}

// newest is the address of the first page, "" when this is it.
func (q filtering) newest() string {
	if q.Query.Get("after") == "" {
		return ""
	}
	return q.with()
}

const maxFilter = 200

// filters reads the known filters of a list and drops what it does not know, so that
// the address shown is the question that was asked.
func (p *page) filters(path string, known ...string) filtering {
	q := filtering{Path: path, Query: url.Values{}}
	asked := p.r.URL.Query()
	for _, k := range append(known, "after") {
		if v := strings.TrimSpace(asked.Get(k)); v != "" && len(v) <= 4*maxFilter && utf8.ValidString(v) {
			q.Query.Set(k, v)
		}
	}
	q.Search = q.Query.Get("q")
	return q
}

// by is who acts on a case, with the roles that count now.
func (p *page) by() cases.By {
	by := cases.By{Actor: p.who.Actor}
	for _, r := range p.who.Roles {
		by.Roles = append(by.Roles, string(r))
	}
	return by
}

// people are the names of accounts by id, read once for a page.
type people map[garrison.AccountID]string

// people names accounts; one that is gone keeps its id.
func (c *Console) people(ctx context.Context) people {
	out := people{}
	list, err := c.deps.Identity.Accounts(ctx)
	if err != nil {
		c.deps.Log.WarnContext(ctx, "accounts could not be read", "error", err)
		return out
	}
	for _, a := range list {
		out[a.ID] = cmp.Or(a.Name, a.Login)
	}
	return out
}

func (l people) name(id garrison.AccountID) string { return cmp.Or(l[id], string(id)) }

// subjects are the things of the register that a page names.
type subjects map[garrison.SubjectID]garrison.Subject

func (c *Console) subjects(ctx context.Context, ids ...garrison.SubjectID) subjects {
	out := subjects{}
	for _, id := range ids {
		if _, there := out[id]; there || id == "" {
			continue
		}
		s, err := c.deps.Registry.Get(ctx, id)
		if err != nil {
			if garrison.CodeOf(err) != garrison.NotFound {
				c.deps.Log.WarnContext(ctx, "subject could not be read", "id", id, "error", err)
			}
			s = garrison.Subject{ID: id, Name: string(id)} // removed with a demonstration: the id is all there is
		}
		out[id] = s
	}
	return out
}

func (l subjects) name(id garrison.SubjectID) string { return cmp.Or(l[id].Name, string(id)) }

// actorName is who did something, as a reader knows it.
func (f frame) actorName(a garrison.Actor) string {
	switch {
	case a.Kind == garrison.BySystem:
		return f.T("work.by_system", "name", cmp.Or(a.Name, a.ID))
	case a.Kind == garrison.ByToken:
		return f.T("work.by_token", "name", cmp.Or(a.Name, a.ID))
	case a.Name == "" && a.ID == "":
		return "—"
	}
	return cmp.Or(a.Name, a.ID)
}

// known returns the text of a key made of a fixed word and a value, or the value
// itself where the catalogue has none: a word that is not known is shown as it is.
func (f frame) known(prefix, value string, kv ...any) string {
	if t, ok := locale.Lookup(f.Lang, prefix+value, locale.Args(kv...)); ok {
		return t
	}
	return value
}

// whyWord writes out a word of a measure about a look: what it saw or what kept it
// from telling.
func (f frame) whyWord(word string) string {
	if code, ok := strings.CutPrefix(word, "status_"); ok {
		return f.T("measures.why_status", "code", code)
	}
	if rest, ok := strings.CutPrefix(word, "front_page_"); ok {
		return f.T("measures.why_front_page", "why", f.whyWord(rest))
	}
	if rest, ok := strings.CutPrefix(word, "limit_"); ok {
		return f.T("measures.why_limit", "limit", f.limitWord(rest))
	}
	return f.known("measures.why.", word)
}

// limitWord names a limit that cut a look short.
func (f frame) limitWord(word string) string {
	return f.known("measures.limit.", strings.TrimPrefix(word, "page_"))
}

// definitions are the measures by id.
func (c *Console) definitions(ctx context.Context) map[garrison.MeasureID]*measures.Definition {
	out := map[garrison.MeasureID]*measures.Definition{}
	list, err := c.deps.Measures.States(ctx)
	if err != nil {
		c.deps.Log.WarnContext(ctx, "measures could not be read", "error", err)
		return out
	}
	for _, m := range list {
		out[m.Definition.ID] = m.Definition
	}
	return out
}

// ruleTitle is what a rule calls its findings; a rule no longer known is its id.
func (c *Console) ruleTitle(f frame, id garrison.RuleID) string {
	if r, ok := c.deps.Measures.Rule(id); ok {
		return f.In(r.Title)
	}
	return string(id)
}

// verdictTitle is a measure's word about one place, as people read it.
func verdictTitle(f frame, d *measures.Definition, name string) string {
	if d != nil {
		if v, ok := d.Verdict(name); ok {
			return f.In(v.Title)
		}
	}
	return name
}

// clip shortens what stands beside other things; the whole stands on its own page.
func clip(s string, most int) string {
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most-1]) + "…"
}

// newest returns the last of a list that stands in the ledger's order.
func newest(refs []garrison.EvidenceRef, most int) []garrison.EvidenceRef {
	return refs[max(0, len(refs)-most):]
}

// formVersion is the version of a thing that the sender of a form had seen.
func formVersion(r *http.Request) int {
	n, err := strconv.Atoi(r.PostForm.Get("version"))
	if err != nil {
		return 0
	}
	return n
}

// lines are the non-empty lines of a text.
func lines(s string) []string {
	var out []string
	for l := range strings.SplitSeq(s, "\n") {
		if l = strings.TrimSpace(l); l != "" {
			out = append(out, l)
		}
	}
	return out
}
