package registry_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"garrison"
	"garrison/internal/registry"
	"garrison/internal/state"
	"garrison/internal/state/statetest"
)

func boss() garrison.Actor {
	return garrison.Actor{Kind: garrison.ByPerson, ID: "acc-1", Name: "方棠"}
}

func build(t *testing.T, db *state.DB) *registry.Registry {
	t.Helper()
	cfg := registry.DefaultConfig()
	cfg.Refresh = 5 * time.Millisecond
	r, err := registry.New(cfg, registry.Deps{DB: db})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return r
}

type attrs = map[string]string

func create(t *testing.T, r *registry.Registry, s garrison.Subject) garrison.Subject {
	t.Helper()
	out, err := r.Create(t.Context(), s, boss())
	if err != nil {
		t.Fatalf("create %s %q: %v", s.Kind, s.Name, err)
	}
	return out
}

func mustRefuse(t *testing.T, what string, err error, code garrison.Code, key string) {
	t.Helper()
	var e *garrison.Error
	if !errors.As(err, &e) || e.Code != code || e.Key != "error.registry."+key {
		t.Errorf("%s: %v, want %s error.registry.%s", what, err, code, key)
	}
}

func TestRegistry(t *testing.T) {
	statetest.Each(t, func(t *testing.T, open statetest.Open) {
		for _, c := range []struct {
			name string
			fn   func(t *testing.T, db *state.DB)
		}{
			{"create, get, update, retire, history", testLife},
			{"refusals of create", testRefusals},
			{"owners", testOwners},
			{"names are unique within a kind", testNames},
			{"update: conflict, nothing to do, what stays", testUpdate},
			{"list: order, pages, filters", testList},
			{"addresses: narrowest wins, none twice, moves", testAddresses},
			{"addresses: another node, a restart", testFollow},
			{"counts and ownerless", testCounts},
			{"profile", testProfile},
			{"demonstration", testDemo},
			{"audit names what was tampered with", testAudit},
			{"many at once", testMany},
		} {
			t.Run(c.name, func(t *testing.T) { c.fn(t, open(t)) })
		}
	})
}

func testLife(t *testing.T, db *state.DB) {
	ctx := t.Context()
	r := build(t, db)
	unit := create(t, r, garrison.Subject{Kind: garrison.Unit, Name: "数据局"})
	before := time.Now().Add(-time.Minute)
	s := create(t, r, garrison.Subject{ID: "ignored", Kind: garrison.Site, Name: "  政务服务网 ", Owner: unit.ID, Responsible: "孟远", Grade: 3,
		Attributes: attrs{"url": "HTTPS://政务.Example:443"}})
	want := garrison.Subject{ID: s.ID, Kind: garrison.Site, Name: "政务服务网", Owner: unit.ID, Responsible: "孟远", Grade: 3,
		Attributes: attrs{"url": "https://xn--zfr164b.example/"}, Version: 1, Changed: s.Changed}
	got, err := r.Get(ctx, s.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []garrison.Subject{s, got} {
		if d := cmp.Diff(x, want); d != "" {
			t.Errorf("(-got +want)\n%s", d)
		}
	}
	if s.ID == "ignored" || s.Changed.Before(before) || s.Changed.Location() != time.UTC {
		t.Errorf("%+v", s)
	}
	s.Responsible = "陆川"
	if s, err = r.Update(ctx, s, boss()); err != nil || s.Version != 2 {
		t.Fatalf("%+v, %v", s, err)
	}
	if err := r.Retire(ctx, s.ID, boss()); err != nil {
		t.Fatal(err)
	}
	if err := r.Retire(ctx, s.ID, boss()); err != nil {
		t.Errorf("retired twice: %v", err)
	}
	h, err := r.History(ctx, s.ID)
	if err != nil {
		t.Fatal(err)
	}
	var steps []string
	for _, c := range h {
		steps = append(steps, fmt.Sprintf("%d %s %s %s", c.Version, c.What, c.Subject.Responsible, c.By.Name))
	}
	if d := cmp.Diff(steps, []string{"1 created 孟远 方棠", "2 changed 陆川 方棠", "3 retired 陆川 方棠"}); d != "" {
		t.Errorf("(-got +want)\n%s", d)
	}
	if old, err := r.AsOf(ctx, s.ID, h[0].At); err != nil || old.Responsible != "孟远" && h[1].At.After(h[0].At) {
		t.Errorf("as of its first version: %+v, %v", old, err)
	}
	_, err = r.AsOf(ctx, s.ID, before)
	mustRefuse(t, "before it was", err, garrison.NotFound, "not_found")
	_, err = r.Get(ctx, "sub-none")
	mustRefuse(t, "no such thing", err, garrison.NotFound, "not_found")
	_, err = r.History(ctx, "sub-none")
	mustRefuse(t, "no such history", err, garrison.NotFound, "not_found")
}

func testRefusals(t *testing.T, db *state.DB) {
	r := build(t, db)
	site := func(url string) garrison.Subject {
		return garrison.Subject{Kind: garrison.Site, Name: "x", Attributes: attrs{"url": url}}
	}
	source := func(field, value string) garrison.Subject {
		return garrison.Subject{Kind: garrison.Sender, Name: "x", Attributes: attrs{field: value}}
	}
	pool := func(prefix string) garrison.Subject {
		return garrison.Subject{Kind: garrison.Pool, Name: "x", Attributes: attrs{"prefix": prefix}}
	}
	for _, c := range []struct {
		name string
		s    garrison.Subject
		key  string
	}{
		{"kind", garrison.Subject{Kind: "castle", Name: "x"}, "kind"},
		{"no kind", garrison.Subject{Name: "x"}, "kind"},
		{"no name", garrison.Subject{Kind: garrison.Unit, Name: " \t"}, "name_missing"},
		{"long name", garrison.Subject{Kind: garrison.Unit, Name: strings.Repeat("县", 201)}, "text_too_long"},
		{"line break", garrison.Subject{Kind: garrison.Unit, Name: "a\nb"}, "text_unprintable"},
		{"turned text", garrison.Subject{Kind: garrison.Unit, Name: "a\u202eb"}, "text_unprintable"},
		{"unseen sign", garrison.Subject{Kind: garrison.Unit, Name: "a\u200bb"}, "text_unprintable"},
		{"no text", garrison.Subject{Kind: garrison.Unit, Name: "a\xff"}, "text_unprintable"},
		{"nul", garrison.Subject{Kind: garrison.Unit, Name: "x", Responsible: "a\x00b"}, "text_unprintable"},
		{"grade", garrison.Subject{Kind: garrison.Unit, Name: "x", Grade: 6}, "grade"},
		{"negative grade", garrison.Subject{Kind: garrison.Unit, Name: "x", Grade: -1}, "grade"},
		{"attribute of another kind", garrison.Subject{Kind: garrison.Unit, Name: "x", Attributes: attrs{"url": "http://a.example"}}, "attribute_unknown"},
		{"long note", garrison.Subject{Kind: garrison.Unit, Name: "x", Attributes: attrs{"note": strings.Repeat("x", 2001)}}, "text_too_long"},
		{"site without address", garrison.Subject{Kind: garrison.Site, Name: "x"}, "attribute_missing"},
		{"line without number", garrison.Subject{Kind: garrison.Line, Name: "x"}, "attribute_missing"},
		{"pool without prefix", garrison.Subject{Kind: garrison.Pool, Name: "x"}, "attribute_missing"},
		{"url scheme", site("ftp://a.example/"), "url"},
		{"url script", site("javascript:alert(1)"), "url"},
		{"url without host", site("http:///x"), "url"},
		{"url without scheme", site("www.a.example"), "url"},
		{"url with password", site("https://u:p@a.example/"), "url"},
		{"url port", site("https://a.example:99999/"), "url"},
		{"url port zero", site("https://a.example:0/"), "url"},
		{"url empty port", site("https://a.example:/"), "url"},
		{"url host", site("https://a_b..example/"), "url"},
		{"url host with space", site("https://a b/"), "url"},
		{"url zone", site("http://[fe80::1%25eth0]/"), "url"},
		{"source address", source("address", "10.0.0.256"), "address"},
		{"source host name", source("address", "nat1.example"), "address"},
		{"source any", source("address", "0.0.0.0"), "address"},
		{"source zone of address", source("address", "fe80::1%eth0"), "address"},
		{"zone", source("zone", "Asia/Shangai"), "zone"},
		{"zone of this machine", source("zone", "Local"), "zone"},
		{"zone path", source("zone", "../../etc/passwd"), "zone"},
		{"dialect", source("dialect", "cisco asa!"), "word"},
		{"expected", source("expected", "perhaps"), "expected"},
		{"prefix too long", pool("10.0.0.0/33"), "address"},
		{"prefix with host bits", pool("203.0.113.5/24"), "address"},
		{"everything", pool("0.0.0.0/0"), "address"},
		{"mapped prefix", pool("::ffff:10.0.0.0/104"), "address"},
		{"comma only", pool(","), "address"},
		{"too many", pool(strings.Repeat("10.0.0.1,", 70)), "addresses_too_many"},
	} {
		_, err := r.Create(t.Context(), c.s, boss())
		mustRefuse(t, c.name, err, garrison.Invalid, c.key)
	}
	if c, err := r.Counts(t.Context()); err != nil || c.ByKind[garrison.Unit]+c.ByKind[garrison.Site]+c.ByKind[garrison.Pool] != 0 {
		t.Errorf("refused subjects are counted: %+v, %v", c, err)
	}
	for in, want := range map[string]string{
		"http://A.EXAMPLE":                   "http://a.example/",
		"https://a.example:8443/b?q=1#frag":  "https://a.example:8443/b?q=1",
		"http://a.example:80/":               "http://a.example/",
		"https://[2001:DB8::1]:443/":         "https://[2001:db8::1]/",
		"https://[::ffff:192.0.2.1]/":        "https://192.0.2.1/",
		"https://bücher.example/ü":           "https://xn--bcher-kva.example/%C3%BC",
		"https://www.example./a/../b?x=%2f ": "https://www.example/a/../b?x=%2f",
	} {
		s := site(in)
		s.Name = in
		if got := create(t, r, s).Attributes["url"]; got != want {
			t.Errorf("%s became %s, want %s", in, got, want)
		}
	}
	s := create(t, r, garrison.Subject{Kind: garrison.Sender, Name: "s", Attributes: attrs{
		"address": "::ffff:192.0.2.7， 2001:DB8::/64 192.0.2.7", "dialect": "Cisco", "expected": "TRUE"}})
	if d := cmp.Diff(s.Attributes, attrs{"address": "192.0.2.7,2001:db8::/64", "dialect": "cisco", "expected": "true", "zone": "Asia/Shanghai"}); d != "" {
		t.Errorf("(-got +want)\n%s", d)
	}
}

func testOwners(t *testing.T, db *state.DB) {
	ctx := t.Context()
	r := build(t, db)
	top := create(t, r, garrison.Subject{Kind: garrison.Unit, Name: "top"})
	mid := create(t, r, garrison.Subject{Kind: garrison.Unit, Name: "mid", Owner: top.ID})
	low := create(t, r, garrison.Subject{Kind: garrison.Unit, Name: "low", Owner: mid.ID})
	man := create(t, r, garrison.Subject{Kind: garrison.Person, Name: "苏禾", Owner: low.ID})
	_, err := r.Create(ctx, garrison.Subject{Kind: garrison.Person, Name: "x", Owner: "sub-none"}, boss())
	mustRefuse(t, "unknown owner", err, garrison.Invalid, "owner_unknown")
	_, err = r.Create(ctx, garrison.Subject{Kind: garrison.Person, Name: "x", Owner: man.ID}, boss())
	mustRefuse(t, "owned by a person", err, garrison.Invalid, "owner_not_unit")
	for _, owner := range []garrison.SubjectID{low.ID, top.ID} {
		loop := top
		loop.Owner = owner
		_, err = r.Update(ctx, loop, boss())
		mustRefuse(t, "a loop", err, garrison.Invalid, "owner_loop")
	}
	mustRefuse(t, "retire an owner", r.Retire(ctx, low.ID, boss()), garrison.Conflict, "owns_others")
	if err := r.Retire(ctx, man.ID, boss()); err != nil {
		t.Fatal(err)
	}
	if err := r.Retire(ctx, low.ID, boss()); err != nil {
		t.Errorf("an owner of retired things only: %v", err)
	}
	_, err = r.Create(ctx, garrison.Subject{Kind: garrison.Person, Name: "x", Owner: low.ID}, boss())
	mustRefuse(t, "owned by a retired unit", err, garrison.Invalid, "owner_retired")
}

func testNames(t *testing.T, db *state.DB) {
	ctx := t.Context()
	r := build(t, db)
	first := create(t, r, garrison.Subject{Kind: garrison.Unit, Name: "NAT 1 号"})
	for _, same := range []string{"NAT 1 号", "nat 1 号", "ＮＡＴ　１ 号", "NAT  1   号"} {
		_, err := r.Create(ctx, garrison.Subject{Kind: garrison.Unit, Name: same}, boss())
		mustRefuse(t, same, err, garrison.Conflict, "name_taken")
	}
	create(t, r, garrison.Subject{Kind: garrison.Person, Name: "NAT 1 号"})
	other := create(t, r, garrison.Subject{Kind: garrison.Unit, Name: "other"})
	other.Name = first.Name
	_, err := r.Update(ctx, other, boss())
	mustRefuse(t, "renamed to a name that is taken", err, garrison.Conflict, "name_taken")
	if err := r.Retire(ctx, first.ID, boss()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Update(ctx, other, boss()); err != nil {
		t.Errorf("the name is free again: %v", err)
	}
}

func testUpdate(t *testing.T, db *state.DB) {
	ctx := t.Context()
	r := build(t, db)
	s := create(t, r, garrison.Subject{Kind: garrison.Unit, Name: "a", Demo: true})
	same, err := r.Update(ctx, s, boss())
	if err != nil || same.Version != 1 {
		t.Errorf("an update without a change: %+v, %v", same, err)
	}
	s.Name, s.Demo, s.Retired = "b", false, true
	next, err := r.Update(ctx, s, boss())
	if err != nil || next.Version != 2 || !next.Demo || next.Retired || next.Name != "b" {
		t.Errorf("%+v, %v", next, err)
	}
	_, err = r.Update(ctx, s, boss())
	mustRefuse(t, "an old version", err, garrison.Conflict, "changed_meanwhile")
	next.Kind = garrison.Person
	_, err = r.Update(ctx, next, boss())
	mustRefuse(t, "another kind", err, garrison.Invalid, "kind_fixed")
	if err := r.Retire(ctx, s.ID, boss()); err != nil {
		t.Fatal(err)
	}
	next.Version = 3
	_, err = r.Update(ctx, next, boss())
	mustRefuse(t, "a retired one", err, garrison.Conflict, "retired")
	if _, err := r.Create(ctx, garrison.Subject{Kind: garrison.Unit, Name: "nobody"}, garrison.Actor{}); err == nil {
		t.Error("created by nobody")
	}
}

func names(list []garrison.Subject) (out []string) {
	for _, s := range list {
		out = append(out, s.Name)
	}
	return out
}

func testList(t *testing.T, db *state.DB) {
	ctx := t.Context()
	r := build(t, db)
	// In the order expected: digits, Latin, then Chinese by pinyin (ān, dà, qīng, zhèng).
	order := []string{"线路 2", "线路 10", "alpha", "Beta", "安全办", "大数据局", "青檀县", "政府办"}
	sorted := []string{"alpha", "Beta", "安全办", "大数据局", "青檀县", "线路 2", "线路 10", "政府办"}
	for i, n := range order {
		demo := i%2 == 0
		create(t, r, garrison.Subject{Kind: garrison.Unit, Name: n, Demo: demo, Attributes: attrs{"note": fmt.Sprintf("100%%_%d", i)}})
	}
	create(t, r, garrison.Subject{Kind: garrison.Person, Name: "梁序", Responsible: "Alpha"})
	for _, limit := range []int{1, 2, 3, 8, 9} {
		var got []string
		for f := (registry.Filter{Kind: garrison.Unit, Limit: limit}); ; {
			page, next, err := r.List(ctx, f)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, names(page)...)
			if f.After = next; next == "" {
				break
			}
		}
		if d := cmp.Diff(got, sorted); d != "" {
			t.Fatalf("pages of %d (-got +want)\n%s", limit, d)
		}
	}
	yes := true
	for name, c := range map[string]struct {
		f    registry.Filter
		want []string
	}{
		"part of a name":         {registry.Filter{Query: "ALPH"}, []string{"梁序", "alpha"}},
		"chinese":                {registry.Filter{Query: "数据"}, []string{"大数据局"}},
		"full width":             {registry.Filter{Query: "ｂｅｔａ"}, []string{"Beta"}},
		"signs are no wildcards": {registry.Filter{Query: "100%_3"}, []string{"Beta"}},
		"percent":                {registry.Filter{Query: "%3"}, nil},
		"backslash":              {registry.Filter{Query: `\`}, nil},
		"demo":                   {registry.Filter{Demo: &yes, Query: "线路"}, []string{"线路 2"}},
		"owner":                  {registry.Filter{Owner: "sub-none"}, nil},
	} {
		got, _, err := r.List(ctx, c.f)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(names(got), c.want); d != "" {
			t.Errorf("%s (-got +want)\n%s", name, d)
		}
	}
	_, _, err := r.List(ctx, registry.Filter{After: "***"})
	mustRefuse(t, "a cursor of somebody's own", err, garrison.Invalid, "cursor")
	_, _, err = r.List(ctx, registry.Filter{Limit: 5000})
	mustRefuse(t, "an endless page", err, garrison.Invalid, "limit")
	all, err := r.Of(ctx, garrison.Unit)
	if err != nil || len(all) != 8 {
		t.Errorf("%d units, %v", len(all), err)
	}
}

func testAddresses(t *testing.T, db *state.DB) {
	ctx := t.Context()
	r := build(t, db)
	ip := netip.MustParseAddr
	wide := create(t, r, garrison.Subject{Kind: garrison.Sender, Name: "wide", Attributes: attrs{"address": "10.0.0.0/8 2001:db8::/32"}})
	one := create(t, r, garrison.Subject{Kind: garrison.Sender, Name: "one", Attributes: attrs{"address": "10.1.2.3"}})
	create(t, r, garrison.Subject{Kind: garrison.Line, Name: "l", Attributes: attrs{"number": "0411-1", "inside": "10.1.2.3"}})
	create(t, r, garrison.Subject{Kind: garrison.Pool, Name: "p", Attributes: attrs{"prefix": "203.0.113.0/24"}})
	check := func(what string, s garrison.Subject, ok bool, want string) {
		t.Helper()
		if got := s.Name; got != want || ok != (want != "") {
			t.Errorf("%s: %q %v, want %q", what, got, ok, want)
		}
	}
	source := func(addr, want string) {
		t.Helper()
		s, ok := r.SourceFor(ctx, ip(addr))
		check(addr, s, ok, want)
	}
	source("10.1.2.3", "one")
	source("::ffff:10.1.2.3", "one")
	source("10.1.2.4", "wide")
	source("2001:db8::5", "wide")
	source("2001:db8::5%eth0", "wide")
	source("11.0.0.1", "")
	if _, ok := r.SourceFor(ctx, netip.Addr{}); ok {
		t.Error("no address has a source")
	}
	s, ok := r.LineFor(ctx, ip("10.1.2.3"))
	check("line", s, ok, "l")
	s, ok = r.PoolFor(ctx, ip("203.0.113.255"))
	check("pool", s, ok, "p")
	s, ok = r.PoolFor(ctx, ip("203.0.114.0"))
	check("outside every pool", s, ok, "")

	_, err := r.Create(ctx, garrison.Subject{Kind: garrison.Sender, Name: "twin", Attributes: attrs{"address": "192.0.2.1,10.1.2.3"}}, boss())
	mustRefuse(t, "an address that is taken", err, garrison.Conflict, "address_taken")
	source("192.0.2.1", "")
	s, _ = r.SourceFor(ctx, ip("10.1.2.3"))
	s.Attributes["address"] = "changed by the caller"
	source("10.1.2.3", "one")

	one.Attributes = attrs{"address": "192.0.2.9", "zone": "UTC"}
	if _, err := r.Update(ctx, one, boss()); err != nil {
		t.Fatal(err)
	}
	source("10.1.2.3", "wide")
	source("192.0.2.9", "one")
	create(t, r, garrison.Subject{Kind: garrison.Sender, Name: "twin", Attributes: attrs{"address": "10.1.2.3"}})
	source("10.1.2.3", "twin")
	if err := r.Retire(ctx, wide.ID, boss()); err != nil {
		t.Fatal(err)
	}
	source("10.1.2.4", "")
}

func testFollow(t *testing.T, db *state.DB) {
	ctx := t.Context()
	first, second := build(t, db), build(t, db)
	addr := netip.MustParseAddr("192.0.2.1")
	s := create(t, first, garrison.Subject{Kind: garrison.Sender, Name: "s", Demo: true, Attributes: attrs{"address": "192.0.2.1"}})
	sees := func(want bool) {
		t.Helper()
		if db.Engine() != state.Postgres {
			return // one process only
		}
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
			if _, ok := second.SourceFor(ctx, addr); ok == want {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("the other node does not see it, want %v", want)
			}
		}
	}
	sees(true)
	if got, ok := build(t, db).SourceFor(ctx, addr); !ok || got.ID != s.ID {
		t.Errorf("after a restart: %+v, %v", got, ok)
	}
	if _, err := first.RemoveDemo(ctx, boss()); err != nil {
		t.Fatal(err)
	}
	sees(false)
}

func testCounts(t *testing.T, db *state.DB) {
	ctx := t.Context()
	r := build(t, db)
	unit := create(t, r, garrison.Subject{Kind: garrison.Unit, Name: "u"})
	create(t, r, garrison.Subject{Kind: garrison.Person, Name: "p"})
	create(t, r, garrison.Subject{Kind: garrison.Site, Name: "owned", Owner: unit.ID, Attributes: attrs{"url": "http://a.example"}})
	create(t, r, garrison.Subject{Kind: garrison.Site, Name: "lost", Demo: true, Attributes: attrs{"url": "http://b.example"}})
	create(t, r, garrison.Subject{Kind: garrison.Pool, Name: "pool", Attributes: attrs{"prefix": "203.0.113.0/24"}})
	gone := create(t, r, garrison.Subject{Kind: garrison.Line, Name: "gone", Attributes: attrs{"number": "1"}})
	if err := r.Retire(ctx, gone.ID, boss()); err != nil {
		t.Fatal(err)
	}
	c, err := r.Counts(ctx)
	if err != nil {
		t.Fatal(err)
	}
	want := registry.Counts{ByKind: map[garrison.SubjectKind]int{garrison.Unit: 1, garrison.Person: 1, garrison.Site: 2,
		garrison.Sender: 0, garrison.Pool: 1, garrison.Line: 0}, Ownerless: 2, Demo: 1, Retired: 1}
	if d := cmp.Diff(c, want); d != "" {
		t.Errorf("(-got +want)\n%s", d)
	}
	list, err := r.Ownerless(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(names(list), []string{"pool", "lost"}); d != "" {
		t.Errorf("(-got +want)\n%s", d)
	}
}

func testProfile(t *testing.T, db *state.DB) {
	ctx := t.Context()
	r := build(t, db)
	if p, err := r.Profile(ctx); err != nil || p.Set || p.Binds != nil {
		t.Errorf("before anybody said: %+v, %v", p, err)
	}
	for key, p := range map[string]registry.Profile{
		"profile_name":     {Binds: []string{"isp"}},
		"binds_missing":    {Name: "x"},
		"binds_unknown":    {Name: "x", Binds: []string{"isp", "authority"}},
		"text_unprintable": {Name: "x\u202e", Binds: []string{"isp"}},
	} {
		mustRefuse(t, key, r.SetProfile(ctx, p, boss()), garrison.Invalid, key)
	}
	in := registry.Profile{Name: "青檀县人民政府", Binds: []string{"isp", "government", "isp"}}
	for range 2 {
		if err := r.SetProfile(ctx, in, boss()); err != nil {
			t.Fatal(err)
		}
	}
	p, err := r.Profile(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(p, registry.Profile{Name: "青檀县人民政府", Binds: []string{"government", "isp"}, Set: true}); d != "" {
		t.Errorf("(-got +want)\n%s", d)
	}
	if !slices.Equal(in.Binds, []string{"isp", "government", "isp"}) {
		t.Errorf("the caller's list was changed: %v", in.Binds)
	}
	if h, err := db.History(ctx, "profile", "self"); err != nil || len(h) != 1 {
		t.Errorf("%d versions of a profile said twice, %v", len(h), err)
	}
}

func testDemo(t *testing.T, db *state.DB) {
	ctx := t.Context()
	r := build(t, db)
	unit := create(t, r, garrison.Subject{Kind: garrison.Unit, Name: "演示单位", Demo: true})
	create(t, r, garrison.Subject{Kind: garrison.Sender, Name: "demo", Demo: true, Owner: unit.ID, Attributes: attrs{"address": "192.0.2.1"}})
	real := create(t, r, garrison.Subject{Kind: garrison.Sender, Name: "real", Owner: unit.ID, Attributes: attrs{"address": "192.0.2.2"}})
	if err := r.SetProfile(ctx, registry.Profile{Name: "演示", Binds: []string{"isp"}, Demo: true}, boss()); err != nil {
		t.Fatal(err)
	}
	if n, err := r.RemoveDemo(ctx, boss()); err != nil || n != 2 {
		t.Fatalf("removed %d, %v; want 2", n, err)
	}
	if n, err := r.RemoveDemo(ctx, boss()); err != nil || n != 0 {
		t.Errorf("removed %d more, %v", n, err)
	}
	all, _, err := r.List(ctx, registry.Filter{Retired: true})
	if err != nil || len(all) != 1 || all[0].ID != real.ID || all[0].Owner != "" {
		t.Errorf("left: %+v, %v", all, err)
	}
	if _, ok := r.SourceFor(ctx, netip.MustParseAddr("192.0.2.1")); ok {
		t.Error("an address of the demonstration is still found")
	}
	if p, err := r.Profile(ctx); err != nil || p.Set {
		t.Errorf("who we are is still what the demonstration said: %+v, %v", p, err)
	}
	h, err := r.History(ctx, unit.ID)
	if err != nil || len(h) != 2 || h[1].What != "removed" || h[1].Subject.ID != "" {
		t.Errorf("history of a removed unit: %+v, %v", h, err)
	}
	create(t, r, garrison.Subject{Kind: garrison.Sender, Name: "demo", Attributes: attrs{"address": "192.0.2.1"}})
	if err := r.SetProfile(ctx, registry.Profile{Name: "我们", Binds: []string{"isp"}}, boss()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.RemoveDemo(ctx, boss()); err != nil {
		t.Fatal(err)
	}
	if p, err := r.Profile(ctx); err != nil || !p.Set {
		t.Errorf("removing the demonstration forgot who we are: %+v, %v", p, err)
	}
}

func testAudit(t *testing.T, db *state.DB) {
	ctx := t.Context()
	r := build(t, db)
	l := &statetest.Ledger{}
	s := create(t, r, garrison.Subject{Kind: garrison.Sender, Name: "s", Attributes: attrs{"address": "192.0.2.1"}})
	if err := r.SetProfile(ctx, registry.Profile{Name: "我们", Binds: []string{"isp"}}, boss()); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Drain(ctx, l); err != nil {
		t.Fatal(err)
	}
	named := func() (all []string) {
		if err := db.Audit(ctx, l, func(d state.Damage) { all = append(all, d.Object) }); err != nil {
			t.Fatal(err)
		}
		return all
	}
	if d := named(); d != nil {
		t.Fatalf("nothing was touched: %v", d)
	}
	for _, c := range []struct{ do, undo, object string }{
		{`UPDATE registry_subject SET owner = 'x'`, `UPDATE registry_subject SET owner = ''`, "subject/" + string(s.ID)},
		{`UPDATE registry_subject SET sort_key = '0' || sort_key`, `UPDATE registry_subject SET sort_key = substr(sort_key, 2)`, "subject/" + string(s.ID)},
		{`UPDATE registry_subject SET search = 'x' || search`, `UPDATE registry_subject SET search = substr(search, 2)`, "subject/" + string(s.ID)},
		{`UPDATE registry_profile SET binds = 'vendor'`, `UPDATE registry_profile SET binds = 'isp'`, "profile/self"},
		{`UPDATE registry_address SET prefix = '192.0.2.3/32'`, `UPDATE registry_address SET prefix = '192.0.2.1/32'`, "registry_address/192.0.2.3/32"},
	} {
		write := func(query string) {
			err := db.Write(ctx, func(tx *state.Tx) error { _, err := tx.Exec(ctx, query); return err })
			if err != nil {
				t.Fatal(err)
			}
		}
		write(c.do)
		if d := named(); !slices.Contains(d, c.object) {
			t.Errorf("%s: named %v, want %s", c.do, d, c.object)
		}
		write(c.undo)
	}
	if d := named(); d != nil {
		t.Errorf("everything was undone: %v", d)
	}
}

func testMany(t *testing.T, db *state.DB) {
	ctx := t.Context()
	r := build(t, db)
	var wg sync.WaitGroup
	const nodes, each = 6, 20
	taken := make(chan error, nodes*each)
	for n := range nodes {
		wg.Go(func() {
			for i := range each {
				// Every address is wanted by two, one of them gets it.
				_, err := r.Create(ctx, garrison.Subject{Kind: garrison.Line, Name: fmt.Sprintf("%d-%d", n, i),
					Attributes: attrs{"number": "n", "inside": fmt.Sprintf("10.0.%d.%d", n/2, i)}}, boss())
				if err != nil {
					taken <- err
				}
			}
		})
	}
	wg.Wait()
	close(taken)
	if len(taken) != nodes*each/2 {
		t.Errorf("%d were refused, want %d", len(taken), nodes*each/2)
	}
	for err := range taken {
		mustRefuse(t, "taken", err, garrison.Conflict, "address_taken")
	}
	for n := range nodes / 2 {
		for i := range each {
			if _, ok := r.LineFor(ctx, netip.AddrFrom4([4]byte{10, 0, byte(n), byte(i)})); !ok {
				t.Errorf("nobody is found at 10.0.%d.%d", n, i)
			}
		}
	}
}
