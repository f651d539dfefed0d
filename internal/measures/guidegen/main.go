// Command guidegen writes the guide's page of every measure from its measure.yaml, in
// both languages, so that what the guide says and what the product does cannot differ.
// Run it from the top of the tree; "make generate" does.
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"garrison"
	"garrison/internal/measures"
	"garrison/internal/measures/all"
)

// words are the fixed parts of a page.
type words struct{ made, clauses, every, rules, rule, severity, why, remedy, verdicts, word, outcome, means, none string }

var zh = words{"本页由 measure.yaml 生成，请勿手改。", "条款", "间隔", "规则", "规则", "级别", "为什么", "怎样整改", "判语", "判语", "结果", "意思", "—"}
var en = words{"This page is generated from measure.yaml; do not edit it.", "Clauses", "Interval", "Rules", "Rule", "Severity", "Why", "Remedy", "Verdicts", "Verdict", "Outcome", "Meaning", "—"}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "guidegen:", err)
		os.Exit(1)
	}
}

func run() error {
	list, err := all.Measures(all.DefaultConfig())
	if err != nil {
		return err
	}
	for _, m := range list {
		d := m.Definition()
		for lang, w := range map[string]words{"zh": zh, "en": en} {
			path := filepath.Join("docs", "guide", lang, "measures", string(d.ID)+".md")
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(path, page(d, lang, w), 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

func page(d *measures.Definition, lang string, w words) []byte {
	in := func(t garrison.Text) string { return t.In(lang) }
	var b bytes.Buffer
	fmt.Fprintf(&b, "# %s\n\n<!-- %s -->\n\n%s\n\n- %s:", in(d.Title), w.made, in(d.About), w.clauses)
	for _, c := range d.Clauses {
		fmt.Fprintf(&b, " `%s`", c)
	}
	fmt.Fprintf(&b, "\n- %s: %s\n\n## %s\n\n| %s | %s | %s | %s |\n|---|---|---|---|\n", w.every, d.Interval, w.rules, w.rule, w.severity, w.why, w.remedy)
	for _, r := range d.Rules {
		fmt.Fprintf(&b, "| **%s** `%s` | %s | %s | %s |\n", in(r.Title), r.ID, r.Severity, in(r.Why), in(r.Remedy))
	}
	fmt.Fprintf(&b, "\n## %s\n\n| %s | %s | %s | %s |\n|---|---|---|---|\n", w.verdicts, w.word, w.outcome, w.rule, w.means)
	for _, v := range d.Verdicts {
		rule := w.none
		if v.Rule != "" {
			rule = "`" + string(v.Rule) + "`"
		}
		fmt.Fprintf(&b, "| **%s** `%s` | %s | %s | %s |\n", in(v.Title), v.Name, v.Outcome, rule, in(v.Means))
	}
	return b.Bytes()
}
