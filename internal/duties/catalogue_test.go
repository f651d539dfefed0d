package duties

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"garrison"
	"garrison/evidence"

	"github.com/google/go-cmp/cmp"
)

func catalogue(t testing.TB) *Catalogue {
	t.Helper()
	c, err := LoadCatalogue(catalogueFile)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCatalogueIsWhole(t *testing.T) {
	c := catalogue(t)
	founding, context, authority := 0, 0, 0
	for _, d := range c.Duties {
		if d.Tier == "founding" {
			founding++
		}
		if d.Discharge == "context" {
			context++
		}
		if ContextOnly(d) {
			authority++
		}
	}
	got := []int{len(c.Rules), len(c.Duties), founding, context, authority, len(c.Capabilities), len(c.Binds), len(c.Discharges), len(c.Groups)}
	want := []int{32, 322, 172, 14, 18, 38, 12, 5, 13}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("rules, duties, founding, context, not counted, capabilities, binds, discharges, groups (-got +want)\n%s", diff)
	}
}

func TestCatalogueSpeaksBothLanguages(t *testing.T) {
	c := catalogue(t)
	han := regexp.MustCompile(`\p{Han}`)
	texts := map[string]garrison.Text{}
	for _, d := range c.Duties {
		texts["duty "+string(d.ID)] = d.Summary
	}
	for _, r := range c.Rules {
		texts["rule "+r.ID] = r.Title
	}
	for _, g := range c.Groups {
		texts["group "+g.ID] = g.Title
	}
	for _, list := range [][]Term{c.Capabilities, c.Binds, c.Discharges} {
		for _, term := range list {
			texts["term "+term.ID] = term.Text
		}
	}
	if want := 322 + 32 + 13 + 38 + 12 + 5; len(texts) != want {
		t.Fatalf("%d texts, want %d", len(texts), want)
	}
	for of, text := range texts {
		if !han.MatchString(text.ZH) {
			t.Errorf("%s: Chinese text %q", of, text.ZH)
		}
		// A few name a Chinese word; none may be Chinese.
		if n := len(han.FindAllString(text.EN, -1)); len(text.EN) < 3 || n > 4 {
			t.Errorf("%s: English text %q", of, text.EN)
		}
	}
}

func TestCatalogueDates(t *testing.T) {
	c := catalogue(t)
	tests := []struct {
		duty garrison.DutyID
		from time.Time
	}{
		{"mps82-13", time.Date(2006, 2, 28, 16, 0, 0, 0, time.UTC)}, // 1 March 2006 in Beijing
		{"speech2014-0", time.Date(2014, 5, 19, 16, 0, 0, 0, time.UTC)},
		{"govqa-9b", time.Date(2023, 12, 31, 16, 0, 0, 0, time.UTC)},
		{"govqa-17a", time.Date(2024, 6, 30, 16, 0, 0, 0, time.UTC)}, // has a day of its own
	}
	for _, tt := range tests {
		d, ok := c.Duty(tt.duty)
		if !ok || !d.InForce.From.Equal(tt.from) || !d.InForce.Until.IsZero() {
			t.Errorf("%s: in force %v, want from %v", tt.duty, d.InForce, tt.from)
		}
	}
}

func TestCatalogueLookups(t *testing.T) {
	c := catalogue(t)
	if _, ok := c.Duty("nonsense"); ok {
		t.Error("there is a duty nonsense")
	}
	if r, ok := c.Rule("mps82"); !ok || r.Number != "公安部令第82号" {
		t.Errorf("rule mps82: %+v", r)
	}
	like := c.Alike("mps82-13")
	if !slices.Contains(like, "csl-23-3") || slices.Contains(like, "mps82-13") {
		t.Errorf("like mps82-13: %v", like)
	}
	if c.Note("speech2014") == "" {
		t.Error("the note on the speech is gone")
	}
}

// TestCatalogueAgreesWithTheRules: whom the answered clauses bind stands in the
// catalogue and in the rule table that verifiers use; they must say the same.
func TestCatalogueAgreesWithTheRules(t *testing.T) {
	c := catalogue(t)
	answered := evidence.Answered()
	if len(answered) != 4 {
		t.Fatalf("%d clauses answered, want 4", len(answered))
	}
	words := []string{}
	for _, b := range c.Binds {
		words = append(words, b.ID)
	}
	for _, id := range answered {
		d, ok := c.Duty(garrison.DutyID(id))
		if !ok {
			t.Errorf("%s is answered and stands in no catalogue", id)
			continue
		}
		for _, w := range words {
			_, why, _ := evidence.Standing(id, evidence.Facts{evidence.FactProfile: w})
			if bound := why != evidence.WhyNotBound; bound != slices.Contains(d.Binds, w) {
				t.Errorf("%s and %s: the rule table says bound %v, the catalogue %v", id, w, bound, !bound)
			}
		}
	}
}

const small = `schema: 1
capabilities:
  - {id: links, group: govern, zh: "链接", en: "Links"}
binds_vocabulary:
  - {id: isp, zh: "接入服务单位", en: "access provider"}
discharge_vocabulary:
  - {id: measured, zh: "检查", en: "checked"}
rules:
  - id: law1
    title_zh: "某法"
    title_en: "Some law"
    issued_by: "某机关"
    number: "none"
    promulgated: "2020-01-01"
    effective: "2020-02-01"
    status: in_force
    force: law
    founding: true
    verified: seen
groups:
  - id: group1
    title_zh: "组"
    title_en: "Group"
    duties: [law1-1]
duties:
  - id: law1-1
    rule: law1
    tier: founding
    article: "1"
    binds: [isp]
    summary_zh: "应当检查链接。"
    summary_en: "Check links."
    kind: technical
    capability: links
    discharge: measured
    parameters: {}
    verified: seen
`

func TestCatalogueIsReadStrictly(t *testing.T) {
	if _, err := LoadCatalogue([]byte(small)); err != nil {
		t.Fatalf("the small catalogue: %v", err)
	}
	tests := []struct{ name, old, new, says string }{
		{"unknown key at the top", "schema: 1", "schema: 1\nextra: 1", "extra"},
		{"unknown key of a duty", "    article: \"1\"", "    article: \"1\"\n    artcle: \"2\"", "artcle"},
		{"repeated key", "    article: \"1\"", "    article: \"1\"\n    article: \"2\"", "article"},
		{"another schema", "schema: 1", "schema: 2", "schema 2"},
		{"no schema", "schema: 1\n", "", "schema 0"},
		{"unknown rule", "    rule: law1", "    rule: law2", "law2"},
		{"unknown bind", "binds: [isp]", "binds: [isp, moon]", "moon"},
		{"bind twice", "binds: [isp]", "binds: [isp, isp]", "twice"},
		{"binds nobody", "binds: [isp]", "binds: []", "binds nobody"},
		{"unknown capability", "capability: links", "capability: link", `"link"`},
		{"unknown discharge", "discharge: measured", "discharge: done", "done"},
		{"unknown force", "force: law", "force: habit", "habit"},
		{"unknown status", "status: in_force", "status: fine", "fine"},
		{"unknown tier", "tier: founding", "tier: top", "top"},
		{"unknown kind", "kind: technical", "kind: odd", "odd"},
		{"no article", `article: "1"`, `article: ""`, "cites no article"},
		{"no Chinese", `summary_zh: "应当检查链接。"`, `summary_zh: ""`, "language"},
		{"blank English", `summary_en: "Check links."`, `summary_en: "  "`, "language"},
		{"no such day", `effective: "2020-02-01"`, `effective: "2020-02-31"`, "2020-02-31"},
		{"no issuer", `issued_by: "某机关"`, `issued_by: ""`, "issuer"},
		{"group of nothing", "duties: [law1-1]", "duties: [law1-2]", "law1-2"},
		{"id in capitals", "  - id: law1-1", "  - id: LAW1-1", "LAW1-1"},
		{"day of its own that is none", "parameters: {}", "parameters: {effective: soon}", "soon"},
		{"not text", "schema: 1", "schema: [", ""},
		{"two documents", "schema: 1", "schema: 1\n---\nschema: 1", ""},
		{"nothing", small, "", ""},
	}
	for _, tt := range tests {
		text := strings.Replace(small, tt.old, tt.new, 1)
		if text == small {
			t.Fatalf("%s: nothing was changed", tt.name)
		}
		_, err := LoadCatalogue([]byte(text))
		if garrison.CodeOf(err) != garrison.Invalid || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want invalid with %q", tt.name, err, tt.says)
		}
	}
	if _, err := LoadCatalogue(make([]byte, maxCatalogue+1)); garrison.CodeOf(err) != garrison.TooLarge {
		t.Errorf("too large: %v", err)
	}
}

func BenchmarkLoadCatalogue(b *testing.B) {
	for b.Loop() {
		catalogue(b)
	}
}
