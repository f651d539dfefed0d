package console

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strconv"
	"testing"

	"garrison/internal/locale"
)

var reason = regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)

// Every reason the decoders can give has a text in both languages.
func TestEveryReasonOfRefusalHasAText(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../records/ingest/dialect/dialect.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	codes := 0
	for _, d := range file.Decls {
		block, ok := d.(*ast.GenDecl)
		if !ok || block.Tok != token.CONST {
			continue
		}
		for _, spec := range block.Specs {
			for _, v := range spec.(*ast.ValueSpec).Values {
				lit, ok := v.(*ast.BasicLit)
				if !ok || lit.Kind != token.STRING {
					continue
				}
				code, err := strconv.Unquote(lit.Value)
				if err != nil {
					t.Fatal(err)
				}
				if !reason.MatchString(code) {
					continue // another constant of the same file
				}
				codes++
				for _, lang := range locale.Langs() {
					if got := (frame{Lang: lang}).refusedWhy(code); got == code {
						t.Errorf("%s has no text in %s", code, lang)
					}
				}
			}
		}
	}
	if codes < 16 {
		t.Fatalf("%d reasons read from the decoders, expected at least 16", codes)
	}
	if got := (frame{Lang: locale.EN}).refusedWhy("bad_port: 70000"); got != "A port is not valid · 70000" {
		t.Errorf("got %q", got)
	}
}
