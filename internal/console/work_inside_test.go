package console

import (
	"os"
	"strings"
	"testing"
	"time"

	"garrison"
	"garrison/internal/duties"
	"garrison/internal/locale"
)

func TestArticlesReadAsPeopleCiteThem(t *testing.T) {
	for article, want := range map[string][2]string{
		"8(2)": {"第8条(2)", "art. 8(2)"}, "13": {"第13条", "art. 13"}, "10-11": {"第10-11条", "art. 10-11"}, "16(2)-(3)": {"第16条(2)-(3)", "art. 16(2)-(3)"},
		"Q9 (Art.15)": {"第9问（第15条）", "Q9 (art. 15)"}, "Q5": {"第5问", "Q5"}, "II(8)": {"第2部分(8)", "part 2(8)"}, "V": {"第5部分", "part 5"},
		"annex II": {"附件2", "annex 2"}, "7 para. 2": {"第7条第2款", "art. 7 para. 2"}, "boundary, computing": {"区域边界、计算环境", "boundary, computing"},
		"no such <b>": {"no_such_<b>", "no_such_<b>"},
	} {
		for i, lang := range []string{locale.ZH, locale.EN} {
			if got := (frame{Lang: lang}).article(article); got != want[i] {
				t.Errorf("%s %q: got %q, want %q", lang, article, got, want[i])
			}
		}
	}
}

// Every place and instrument of the catalogue has its words in both languages.
func TestEveryClauseCanBeCited(t *testing.T) {
	text, err := os.ReadFile("../duties/catalogue/duties.yaml")
	if err != nil {
		t.Fatal(err)
	}
	cat, err := duties.LoadCatalogue(text)
	if err != nil {
		t.Fatal(err)
	}
	if len(cat.Duties) != 322 || len(cat.Rules) != 32 {
		t.Fatalf("%d clauses of %d instruments", len(cat.Duties), len(cat.Rules))
	}
	for _, lang := range locale.Langs() {
		f := frame{Lang: lang}
		for _, r := range cat.Rules {
			if f.ruleShort(r) == r.ID || f.known("clauses.force.", r.Force) == r.Force && lang == locale.ZH {
				t.Errorf("%s: instrument %s has no words (force %s)", lang, r.ID, r.Force)
			}
		}
		for _, x := range cat.Duties {
			if got := f.article(x.Article); lang == locale.ZH && got == x.Article || strings.Contains(got, "_") {
				t.Errorf("%s: %s: place %q reads %q", lang, x.ID, x.Article, got)
			}
		}
	}
}

func TestPlotShowsMissingTimeAsUnproven(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	f := frame{Lang: locale.EN, Now: now}
	change := func(ago time.Duration, s garrison.Standing) duties.Change {
		return duties.Change{At: now.Add(-ago), Standing: s}
	}
	for _, c := range []struct {
		name    string
		history []duties.Change
		span    time.Duration
		want    []garrison.Standing // newest first
	}{
		{"nothing recorded", nil, 24 * time.Hour, []garrison.Standing{garrison.Unproven}},
		{"met since an hour", []duties.Change{change(time.Hour, garrison.Met)}, 24 * time.Hour, []garrison.Standing{garrison.Met, garrison.Unproven}},
		{"two days", []duties.Change{change(48*time.Hour, garrison.Unmet), change(time.Hour, garrison.Met)}, 7 * 24 * time.Hour,
			[]garrison.Standing{garrison.Met, garrison.Unmet, garrison.Unproven}},
		{"longer than a year", []duties.Change{change(400*24*time.Hour, garrison.Met)}, plotSpan, []garrison.Standing{garrison.Met}},
	} {
		p := standingPlot(f, c.history, now)
		var got []garrison.Standing
		for _, r := range p.Rows {
			got = append(got, r.Standing)
		}
		if p.Span != c.span || len(got) != len(c.want) {
			t.Errorf("%s: %v over %s, want %v over %s", c.name, got, p.Span, c.want, c.span)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%s: %v, want %v", c.name, got, c.want)
			}
		}
	}
}

func TestFiltersKeepOnlyWhatTheyKnow(t *testing.T) {
	q := filtering{Path: "/cases", Query: map[string][]string{"state": {"open"}, "after": {"x"}, "q": {"a&b"}}}
	for _, c := range []struct{ got, want string }{
		{q.with(), "/cases?q=a%26b&state=open"},
		{q.with("state", ""), "/cases?q=a%26b"},
		{q.with("q", "", "state", ""), "/cases"},
		{q.older("y z"), "/cases?after=y+z&q=a%26b&state=open"},
		{q.older(""), ""},
		{q.newest(), "/cases?q=a%26b&state=open"},
	} {
		if c.got != c.want {
			t.Errorf("got %s, want %s", c.got, c.want)
		}
	}
}

func TestWordsOfMeasures(t *testing.T) {
	f := frame{Lang: locale.EN}
	for word, want := range map[string]string{
		"status_404": "the server says 404", "front_page_timeout": "the front page could not be read: no answer in time",
		"limit_body_bytes": "answered, cut at a limit: the body is too large", "never_heard_of": "never_heard_of",
	} {
		if got := f.whyWord(word); got != want {
			t.Errorf("%s: got %q, want %q", word, got, want)
		}
	}
}
