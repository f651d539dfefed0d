package console

import (
	"cmp"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"garrison"
	"garrison/internal/identity"
	"garrison/internal/measures"
	"garrison/internal/registry"
)

// registerPage is the list of what we have.
type registerPage struct {
	frame
	filtering
	Kind      garrison.SubjectKind
	Rows      []registerRow
	Next      string
	Counts    registry.Counts
	Unknown   bool
	Ownerless int
	MayWrite  bool
}

// registerRow is one subject of the list.
type registerRow struct {
	garrison.Subject
	Unit  string
	Main  string // the attribute people know it by
	NoOne bool   // nobody answers for it, and somebody should
}

func kinds() []garrison.SubjectKind {
	return []garrison.SubjectKind{garrison.Unit, garrison.Person, garrison.Site, garrison.Sender, garrison.Pool, garrison.Line}
}

func (f frame) kindName(k garrison.SubjectKind) string { return f.known("register.kind.", string(k)) }

// mainAttribute is the attribute a subject of a kind is found by.
func mainAttribute(s garrison.Subject) string {
	return s.Attributes[map[garrison.SubjectKind]string{garrison.Site: "url", garrison.Sender: "address", garrison.Pool: "prefix",
		garrison.Line: "number", garrison.Person: "post", garrison.Unit: "contact"}[s.Kind]]
}

// needsOwner says whether somebody must answer for subjects of a kind.
func needsOwner(k garrison.SubjectKind) bool { return k != garrison.Unit && k != garrison.Person }

func (c *Console) register(p *page) error {
	v := registerPage{frame: c.frame(p, "register", "")}
	v.filtering = p.filters("/register", "kind", "owner", "q", "retired")
	v.Question, v.MayWrite = p.T("register.question"), p.who.May(identity.PermRegistryWrite)
	get := v.Query.Get
	v.Kind = garrison.SubjectKind(get("kind"))
	var err error
	if v.Counts, err = c.deps.Registry.Counts(p.ctx()); err != nil {
		c.deps.Log.WarnContext(p.ctx(), "the register could not be counted", "error", err)
		v.Unknown = true
	}
	var list []garrison.Subject
	if get("owner") == "none" {
		list, err = c.ownerless(p, v.Kind, get("q"))
	} else {
		list, v.Next, err = c.deps.Registry.List(p.ctx(), registry.Filter{Kind: v.Kind, Owner: garrison.SubjectID(get("owner")),
			Query: get("q"), Retired: get("retired") == "1", After: get("after"), Limit: 50})
		v.Next = v.older(v.Next)
	}
	if code := garrison.CodeOf(err); code == garrison.Invalid || code == garrison.TooLarge {
		s, _ := c.say(p.lang, err)
		v.Message, err = cmp.Or(s.Detail, s.Title), nil
	}
	if err != nil {
		return err
	}
	var owners []garrison.SubjectID
	for _, s := range list {
		owners = append(owners, s.Owner)
	}
	units := c.subjects(p.ctx(), owners...)
	for _, s := range list {
		v.Rows = append(v.Rows, registerRow{Subject: s, Unit: units[s.Owner].Name, Main: mainAttribute(s),
			NoOne: needsOwner(s.Kind) && !s.Retired && (s.Owner == "" || units[s.Owner].Retired)})
	}
	v.registerFacets(c.subjects(p.ctx(), garrison.SubjectID(get("owner"))))
	if v.Kind != "" {
		v.Crumbs = append(v.Crumbs, crumb{Name: v.kindName(v.Kind)})
	}
	status := http.StatusOK
	if v.Message != "" {
		status = http.StatusUnprocessableEntity
	}
	return c.render(p, status, registerView(v))
}

// ownerless are the subjects nobody answers for, of one kind and with a word in them.
func (c *Console) ownerless(p *page, kind garrison.SubjectKind, q string) ([]garrison.Subject, error) {
	all, err := c.deps.Registry.Ownerless(p.ctx())
	if err != nil {
		return nil, err
	}
	var out []garrison.Subject
	for _, s := range all {
		if kind != "" && s.Kind != kind {
			continue
		}
		if strings.Contains(strings.ToLower(s.Name+" "+mainAttribute(s)), strings.ToLower(q)) {
			out = append(out, s)
		}
	}
	return out, nil
}

func (v *registerPage) registerFacets(owner subjects) {
	get := v.Query.Get
	n := func(k int) int {
		if v.Unknown {
			return -1
		}
		return k
	}
	total := 0
	kind := facet{Name: v.T("register.kind_of")}
	var items []facetItem
	for _, k := range kinds() {
		total += v.Counts.ByKind[k]
		items = append(items, facetItem{Name: v.kindName(k), Href: v.with("kind", string(k)), Count: n(v.Counts.ByKind[k]), On: v.Kind == k})
	}
	kind.Items = append([]facetItem{{Name: v.T("work.all"), Href: v.with("kind", ""), Count: n(total), On: v.Kind == ""}}, items...)
	v.Facets = []facet{kind,
		{Name: v.T("register.owner"), Items: []facetItem{
			{Name: v.T("work.all"), Href: v.with("owner", ""), Count: -1, On: get("owner") == ""},
			{Name: v.T("register.no_owner"), Mark: "unmet", Href: v.with("owner", "none"), Count: n(v.Counts.Ownerless), On: get("owner") == "none"},
		}},
		{Name: v.T("register.retired_of"), Items: []facetItem{
			{Name: v.T("register.present"), Href: v.with("retired", ""), Count: -1, On: get("retired") == ""},
			{Name: v.T("register.with_retired"), Href: v.with("retired", "1"), Count: n(v.Counts.Retired), On: get("retired") == "1"},
		}},
	}
	add := func(name, key, value string) {
		if get(key) != "" {
			v.Tags = append(v.Tags, tag{Name: name, Value: value, Href: v.with(key, "")})
		}
	}
	add(v.T("register.kind_of"), "kind", v.kindName(v.Kind))
	name := owner.name(garrison.SubjectID(get("owner")))
	if get("owner") == "none" {
		name = v.T("register.no_owner")
	}
	add(v.T("register.owner"), "owner", name)
	add(v.T("register.retired_of"), "retired", v.T("register.with_retired"))
	add(v.T("work.find"), "q", get("q"))
}

// subjectPage is one thing we have: whose it is, what is known of it, how it changed.
type subjectPage struct {
	frame
	Subject   garrison.Subject
	Unit      garrison.Subject
	Facts     []namedFact
	Changes   []changeRow
	Inventory []inventoryRow
	Measure   *measures.Definition
	Findings  []findingBrief
	Runs      []measures.RunRow
	Owned     int // how many subjects this unit answers for
	NoOne     bool
	MayWrite  bool
	MayRun    bool
	MaySee    bool // findings and runs
	Error     string
}

// changeRow is one version with what differs from the one before.
type changeRow struct {
	registry.Change
	Diff []diffLine
}

// diffLine is one thing that changed.
type diffLine struct{ Name, Before, After string }

// inventoryRow is one link of a site.
type inventoryRow struct {
	measures.LinkRow
	Title string
}

func (c *Console) oneSubject(p *page) error { return c.showSubject(p, "", http.StatusOK) }

func (c *Console) showSubject(p *page, message string, status int) error {
	s, err := c.deps.Registry.Get(p.ctx(), garrison.SubjectID(p.r.PathValue("id")))
	if err != nil {
		return err
	}
	v := subjectPage{frame: c.frame(p, "register", s.Name), Subject: s, Error: message}
	v.Crumbs = append(v.Crumbs[:len(v.Crumbs)-1], crumb{v.kindName(s.Kind), "/register?kind=" + string(s.Kind)}, crumb{Name: s.Name})
	v.Question = p.T("register.one_question")
	v.MayWrite, v.MayRun = p.who.May(identity.PermRegistryWrite), p.who.May(identity.PermMeasuresRun)
	v.MaySee = p.who.May(identity.PermFindingsRead)
	v.Unit = c.subjects(p.ctx(), s.Owner)[s.Owner]
	v.NoOne = needsOwner(s.Kind) && !s.Retired && (s.Owner == "" || v.Unit.Retired)
	v.Facts = v.subjectFacts(s)
	changes, err := c.deps.Registry.History(p.ctx(), s.ID)
	if err != nil {
		return err
	}
	v.Changes = v.changeRows(changes, c.ownersOf(p, changes))
	if s.Kind == garrison.Unit {
		owned, _, err := c.deps.Registry.List(p.ctx(), registry.Filter{Owner: s.ID, Limit: 1000})
		if err != nil {
			return err
		}
		v.Owned = len(owned)
	}
	if s.Kind == garrison.Site && v.MaySee {
		if err := c.siteLooks(p, &v); err != nil {
			return err
		}
	}
	return c.render(p, status, subjectView(v))
}

// siteLooks adds what measures know of a site.
func (c *Console) siteLooks(p *page, v *subjectPage) error {
	v.Measure = c.definitions(p.ctx())["links"]
	list, err := c.deps.Measures.Inventory(p.ctx(), v.Subject.ID)
	if err != nil {
		return err
	}
	for _, l := range list {
		v.Inventory = append(v.Inventory, inventoryRow{LinkRow: l, Title: verdictTitle(v.frame, v.Measure, l.Verdict)})
	}
	found, _, err := c.deps.Measures.Findings(p.ctx(), measures.FindingFilter{Subject: v.Subject.ID,
		State: []measures.FindingState{measures.Open, measures.Suspected}, Limit: 20})
	if err != nil {
		return err
	}
	v.Findings = c.findingBriefs(p.ctx(), v.frame, found)
	v.Runs, _, err = c.deps.Measures.Runs(p.ctx(), measures.RunFilter{Subject: v.Subject.ID, Limit: 5})
	return err
}

func (c *Console) ownersOf(p *page, changes []registry.Change) subjects {
	var ids []garrison.SubjectID
	for _, x := range changes {
		ids = append(ids, x.Subject.Owner)
	}
	return c.subjects(p.ctx(), ids...)
}

// attributes lists what can be said of a kind, in the order of its form. The register
// refuses whatever is not in its own list; a test holds the two together.
func attributes(k garrison.SubjectKind) []string {
	switch k {
	case garrison.Unit:
		return []string{"contact", "note"}
	case garrison.Person:
		return []string{"post", "contact", "note"}
	case garrison.Site:
		return []string{"url", "note"}
	case garrison.Sender:
		return []string{"address", "zone", "dialect", "expected", "note"}
	case garrison.Pool:
		return []string{"prefix", "device", "note"}
	case garrison.Line:
		return []string{"number", "inside", "note"}
	}
	return nil
}

func requiredAttribute(k garrison.SubjectKind, name string) bool {
	return k == garrison.Site && name == "url" || k == garrison.Pool && name == "prefix" || k == garrison.Line && name == "number"
}

func (f frame) attributeName(name string) string { return f.known("register.attribute.", name) }

func (f frame) subjectFacts(s garrison.Subject) []namedFact {
	var out []namedFact
	for _, a := range attributes(s.Kind) {
		value := cmp.Or(s.Attributes[a], "—")
		if a == "expected" {
			value = f.yesNo(value)
		}
		out = append(out, namedFact{Name: f.attributeName(a), Value: value})
	}
	return out
}

// changeRows tells versions apart, newest first.
func (f frame) changeRows(changes []registry.Change, units subjects) []changeRow {
	var out []changeRow
	for i, x := range changes {
		row := changeRow{Change: x}
		if i > 0 {
			row.Diff = f.diff(changes[i-1].Subject, x.Subject, units)
		}
		out = append([]changeRow{row}, out...)
	}
	return out
}

func (f frame) diff(a, b garrison.Subject, units subjects) []diffLine {
	var out []diffLine
	add := func(name, before, after string) {
		if before != after {
			out = append(out, diffLine{name, cmp.Or(before, "—"), cmp.Or(after, "—")})
		}
	}
	unit := func(id garrison.SubjectID) string {
		if id == "" {
			return ""
		}
		return units.name(id)
	}
	add(f.T("register.name"), a.Name, b.Name)
	add(f.T("register.owner"), unit(a.Owner), unit(b.Owner))
	add(f.T("register.responsible"), a.Responsible, b.Responsible)
	add(f.T("register.grade"), f.gradeName(a.Grade), f.gradeName(b.Grade))
	for _, k := range attributes(b.Kind) {
		add(f.attributeName(k), a.Attributes[k], b.Attributes[k])
	}
	return out
}

func (f frame) gradeName(g int) string {
	if g == 0 {
		return f.T("register.no_grade")
	}
	return f.T("register.grade_n", "g", strconv.Itoa(g))
}

func (f frame) didName(what string) string { return f.known("register.did.", what) }

// subjectForm is the form of one subject, with what was typed and what was wrong.
type subjectForm struct {
	frame
	Subject garrison.Subject
	New     bool
	Units   []garrison.Subject
	Wrong   string // name of the field that is wrong; "" with a Message: the whole
	Message string
}

func (c *Console) newSubject(p *page) error {
	kind := garrison.SubjectKind(p.r.URL.Query().Get("kind"))
	if attributes(kind) == nil {
		kind = garrison.Site
	}
	return c.subjectForm(p, subjectForm{New: true, Subject: garrison.Subject{Kind: kind, Attributes: map[string]string{}}}, http.StatusOK)
}

func (c *Console) editSubject(p *page) error {
	s, err := c.deps.Registry.Get(p.ctx(), garrison.SubjectID(p.r.PathValue("id")))
	if err != nil {
		return err
	}
	return c.subjectForm(p, subjectForm{Subject: s}, http.StatusOK)
}

func (c *Console) subjectForm(p *page, v subjectForm, status int) error {
	title := p.T("register.new_of", "kind", p.T("register.kind."+string(v.Subject.Kind)))
	if !v.New {
		title = p.T("register.edit_of", "name", v.Subject.Name)
	}
	v.frame = c.frame(p, "register", title)
	units, err := c.deps.Registry.Of(p.ctx(), garrison.Unit)
	if err != nil {
		return err
	}
	for _, u := range units {
		if u.ID != v.Subject.ID {
			v.Units = append(v.Units, u)
		}
	}
	return c.render(p, status, subjectFormView(v))
}

// read takes a subject from a form; what the kind has no field for is left out.
func readSubject(form url.Values, s garrison.Subject) garrison.Subject {
	s.Name, s.Owner, s.Responsible = form.Get("name"), garrison.SubjectID(form.Get("owner")), form.Get("responsible")
	s.Grade = 0
	if g := form.Get("grade"); g != "" {
		n, err := strconv.Atoi(g)
		if err != nil {
			n = -1 // no number is no grade; the register says so
		}
		s.Grade = n
	}
	s.Attributes = map[string]string{}
	for _, a := range attributes(s.Kind) {
		if value := strings.TrimSpace(form.Get("a." + a)); value != "" {
			s.Attributes[a] = value
		}
	}
	return s
}

func (c *Console) createSubject(p *page) error {
	if err := p.r.ParseForm(); err != nil {
		return garrison.Errorf(garrison.Invalid, "read the form: %w", err)
	}
	s := readSubject(p.r.PostForm, garrison.Subject{Kind: garrison.SubjectKind(p.r.PostForm.Get("kind"))})
	if attributes(s.Kind) == nil {
		return garrison.Refuse(garrison.Invalid, "error.registry.kind", "kind", clip(string(s.Kind), 40))
	}
	made, err := c.deps.Registry.Create(p.ctx(), s, p.who.Actor)
	if err != nil {
		return c.refusedForm(p, subjectForm{Subject: s, New: true}, err)
	}
	return c.back(p, string(subjectURL(made.ID)), p.T("register.said.created"))
}

func (c *Console) updateSubject(p *page) error {
	if err := p.r.ParseForm(); err != nil {
		return garrison.Errorf(garrison.Invalid, "read the form: %w", err)
	}
	old, err := c.deps.Registry.Get(p.ctx(), garrison.SubjectID(p.r.PathValue("id")))
	if err != nil {
		return err
	}
	s := readSubject(p.r.PostForm, old)
	s.Version = formVersion(p.r)
	if _, err := c.deps.Registry.Update(p.ctx(), s, p.who.Actor); err != nil {
		return c.refusedForm(p, subjectForm{Subject: s}, err)
	}
	return c.back(p, string(subjectURL(s.ID)), p.T("register.said.changed"))
}

func (c *Console) retireSubject(p *page) error {
	id := garrison.SubjectID(p.r.PathValue("id"))
	err := c.deps.Registry.Retire(p.ctx(), id, p.who.Actor)
	if err == nil {
		return c.back(p, string(subjectURL(id)), p.T("register.said.retired"))
	}
	s, status := c.say(p.lang, err)
	if s.ID != "" || garrison.CodeOf(err) == garrison.NotFound {
		return err
	}
	return c.showSubject(p, cmp.Or(s.Detail, s.Title), status)
}

// refusedForm shows a form again with what was typed and which field is wrong.
func (c *Console) refusedForm(p *page, v subjectForm, err error) error {
	s, status := c.say(p.lang, named(p, err))
	if s.ID != "" || garrison.CodeOf(err) == garrison.NotFound {
		return err
	}
	v.Message, v.Wrong = cmp.Or(s.Detail, s.Title), wrongField(v.Subject.Kind, err)
	return c.subjectForm(p, v, status)
}

// named is a refusal of the register with the field called as the form calls it.
func named(p *page, err error) error {
	var e *garrison.Error
	if !errors.As(err, &e) {
		return err
	}
	field, ok := e.Args["field"].(string)
	if !ok {
		return err
	}
	f := frame{Lang: p.lang}
	name := f.attributeName(field)
	switch field {
	case "name":
		name = f.T("register.name")
	case "responsible":
		name = f.T("register.responsible")
	}
	out := *e
	out.Args = maps.Clone(e.Args)
	out.Args["field"] = name
	return &out
}

// wrongField says which field of the form a refusal of the register is about.
func wrongField(kind garrison.SubjectKind, err error) string {
	var e *garrison.Error
	if !errors.As(err, &e) {
		return ""
	}
	key := strings.TrimPrefix(e.Key, "error.registry.")
	switch {
	case strings.HasPrefix(key, "name_"):
		return "name"
	case strings.HasPrefix(key, "owner_"):
		return "owner"
	case key == "grade":
		return "grade"
	case key == "address_taken":
		return "a." + map[garrison.SubjectKind]string{garrison.Sender: "address", garrison.Pool: "prefix", garrison.Line: "inside"}[kind]
	}
	switch field, _ := e.Args["field"].(string); field {
	case "":
		return ""
	case "name", "responsible":
		return field
	default:
		return "a." + field
	}
}

// err is the message of a field, "" for one that is not wrong.
func (v subjectForm) err(field string) string {
	if v.Message != "" && v.Wrong == field {
		return v.Message
	}
	return ""
}
