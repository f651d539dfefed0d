package locale

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var placeholder = regexp.MustCompile(`\{\{\s*\.([a-z_A-Z0-9]+)\s*\}\}`)

func names(texts ...string) []string {
	var out []string
	for _, t := range texts {
		for _, m := range placeholder.FindAllStringSubmatch(t, -1) {
			out = append(out, m[1])
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func TestCatalogueIsWholeInBothLanguages(t *testing.T) {
	c := load()
	if len(c.entries) < 20 {
		t.Fatalf("%d texts, expected at least 20", len(c.entries))
	}
	for key, e := range c.entries {
		if strings.TrimSpace(e.ZH) == "" || strings.TrimSpace(e.EN.Other) == "" {
			t.Errorf("%s: a language is empty", key)
		}
		zh, en := names(e.ZH), names(e.EN.Other)
		if !slices.Equal(zh, en) {
			t.Errorf("%s: placeholders differ: zh %v, en %v", key, zh, en)
		}
		if e.EN.One != "" {
			for _, n := range names(e.EN.One) {
				if !slices.Contains(en, n) {
					t.Errorf("%s: the form for one has {{.%s}}, the other has not", key, n)
				}
			}
		}
		if strings.Contains(e.ZH, "<no value>") || strings.ContainsAny(e.EN.Other, "，。；：！？") {
			t.Errorf("%s: Chinese punctuation in English or a broken placeholder", key)
		}
	}
}

// made are prefixes of keys that the sources put together from a fixed word and a
// value of a closed set; everything else must stand in the sources as it is.
var made = []string{
	"error.code.",
	"trace.why.",
	"duties.why.",
	"duties.answered_by.",
	"cases.state.",
	"cases.did.",
	"cases.do.",
	"cases.kind.",
	"findings.state.",
	"findings.why.",
	"measures.mode.",
	"measures.why.",
	"measures.limit.",
	"measures.fact.",
	"measures.kind.",
	"clauses.rule.",
	"clauses.place.",
	"clauses.force.",
	"clauses.verified_as.",
	"register.kind.",
	"register.attribute.",
	"register.did.",
	"register.hint.",
	"error.registry.",
	"duties.fact.",
	"gap.",
	"entry.type.",
}

func TestEveryKeyIsUsedAndEveryUsedKeyIsThere(t *testing.T) {
	var src strings.Builder
	files := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "testdata" || d.Name() == "data" || d.Name() == ".tmp") {
			return filepath.SkipDir
		}
		ours := strings.HasSuffix(path, ".templ") || strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_templ.go") && !strings.HasSuffix(path, "_test.go")
		if d.IsDir() || !ours {
			return nil
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		src.Write(raw)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 100 {
		t.Fatalf("%d source files read, expected at least 100", files)
	}
	all := src.String()
	for _, key := range Keys() {
		if strings.Contains(all, `"`+key+`"`) || slices.ContainsFunc(made, func(p string) bool { return strings.HasPrefix(key, p) }) {
			continue
		}
		t.Errorf("%s: nothing uses it", key)
	}
	// Only texts have names that begin so, however the sources hand them on.
	for _, m := range regexp.MustCompile(`"((?:cli|error)(?:\.[a-zA-Z_0-9]+)+)"`).FindAllStringSubmatch(all, -1) {
		if _, ok := Lookup(EN, m[1], nil); !ok {
			t.Errorf("%s: the sources name it and the catalogue has no such text", m[1])
		}
	}
	used := regexp.MustCompile(`(?:Refuse\(garrison\.[A-Za-z]+, |\bT\([a-zA-Z.()]+, |\.T\()"([a-z_]+(?:\.[a-z_0-9]+)+)"`)
	for _, m := range used.FindAllStringSubmatch(all, -1) {
		if _, ok := Lookup(EN, m[1], nil); !ok {
			t.Errorf("%s: the sources use it and the catalogue has no such text", m[1])
		}
	}
}

func TestMatchPrefersChinese(t *testing.T) {
	for accept, want := range map[string]string{
		"": ZH, "zh-CN,zh;q=0.9,en;q=0.8": ZH, "en-GB,en;q=0.9": EN, "fr": ZH, "zh-TW": ZH, "en-US,zh;q=0.5": EN,
	} {
		if got := Match(accept); got != want {
			t.Errorf("Match(%q) = %s, want %s", accept, got, want)
		}
	}
}

func TestPluralAndPlaceholders(t *testing.T) {
	if got := T(EN, "trace.summary.many", map[string]any{"n": 2}); got != "2 candidates; not decided" {
		t.Errorf("got %q", got)
	}
	if got := T(ZH, "trace.summary.many", map[string]any{"n": 2}); got != "2 个候选，不能唯一确定" {
		t.Errorf("got %q", got)
	}
}
