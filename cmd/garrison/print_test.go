package main

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestOutsideTextCannotReachTheTerminal(t *testing.T) {
	for in, want := range map[string]string{
		"plain, 中文 ok":           "plain, 中文 ok",
		"\x1b[31mred":            `\u{1b}[31mred`,
		"a\u202Egnp.exe":         `a\u{202e}gnp.exe`,
		"tab\there\rback":        `tab\u{9}here\u{d}back`,
		"bad \xff byte":          `bad \xff byte`,
		"two\nlines":             "two\nlines",
		"c1 \u009b0m, bom\ufeff": `c1 \u{9b}0m, bom\u{feff}`,
		"honest \uFFFD":          "honest \uFFFD",
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
	if got := line("two\nlines"); got != `two\nlines` {
		t.Errorf("line: %q", got)
	}
}

func TestJSONStaysJSONAndHarmless(t *testing.T) {
	in := map[string]string{"a": "x\u202Ey\u009bz\u007f\U000E0041", "b": "中文\n"}
	raw, err := json.MarshalIndent(in, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	out := cleanJSON(string(raw))
	if strings.ContainsFunc(out, func(r rune) bool { return hidden(r) && r != '\n' }) || !utf8.ValidString(out) {
		t.Errorf("%q", out)
	}
	var back map[string]string
	if err := json.Unmarshal([]byte(out), &back); err != nil || back["a"] != in["a"] || back["b"] != in["b"] {
		t.Errorf("%q became %v, %v", out, back, err)
	}
}

func TestTableAlignsChinese(t *testing.T) {
	tab := newTable("名称", "KIND")
	tab.add("a", "x")
	tab.add("信息中心\x1b", "y")
	var b strings.Builder
	tab.print(&b)
	want := "名称            KIND\na               x\n信息中心\\u{1b}  y\n"
	if b.String() != want {
		t.Errorf("got:\n%swant:\n%s", b.String(), want)
	}
}

func FuzzClean(f *testing.F) {
	f.Add("a\x1b\u202e\xff\n")
	f.Fuzz(func(t *testing.T, s string) {
		if got := line(s); strings.ContainsFunc(got, hidden) || !utf8.ValidString(got) {
			t.Errorf("%q", got)
		}
	})
}
