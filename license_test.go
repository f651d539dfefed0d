package garrison_test

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// licenceMarks are phrases by which a licence text is known. Order matters: the
// first that fits names it.
var licenceMarks = []struct{ name, phrase string }{
	{"MPL-2.0", "Mozilla Public License"},
	{"Apache-2.0", "Apache License"},
	{"AGPL", "GNU AFFERO GENERAL PUBLIC LICENSE"},
	{"LGPL", "GNU LESSER GENERAL PUBLIC LICENSE"},
	{"GPL", "GNU GENERAL PUBLIC LICENSE"},
	{"MIT", "Permission is hereby granted, free of charge"},
	{"ISC", "Permission to use, copy, modify, and/or distribute this software"},
	{"ISC", "Permission to use, copy, modify, and distribute this software"},
	{"BSD", "Redistribution and use in source and binary forms"},
	{"Unlicense", "This is free and unencumbered software"},
	{"CC0", "CC0 1.0 Universal"},
}

var allowedLicences = []string{"MPL-2.0", "Apache-2.0", "MIT", "ISC", "BSD", "Unlicense", "CC0"}

var spaces = regexp.MustCompile(`\s+`)

func licenceOf(dir string) string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return ""
	}
	for _, e := range entries {
		name := strings.ToUpper(e.Name())
		if !strings.HasPrefix(name, "LICEN") && !strings.HasPrefix(name, "COPYING") && !strings.HasPrefix(name, "UNLICENSE") {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			continue
		}
		text := spaces.ReplaceAllString(string(raw), " ")
		for _, m := range licenceMarks {
			if strings.Contains(text, m.phrase) {
				return m.name
			}
		}
	}
	return ""
}

// Everything linked into the two programs must be under a licence that fits an
// Apache-2.0 product.
func TestLicenceOfEveryLinkedModule(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-json=Module", "./cmd/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p struct {
			Module *struct{ Path, Dir string }
		}
		if err := dec.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if p.Module == nil || p.Module.Path == "garrison" || seen[p.Module.Path] {
			continue
		}
		seen[p.Module.Path] = true
		if l := licenceOf(p.Module.Dir); !slices.Contains(allowedLicences, l) {
			t.Errorf("%s: licence %q is not on the list", p.Module.Path, l)
		}
	}
	if len(seen) < 20 {
		t.Fatalf("%d modules looked at, expected at least 20", len(seen))
	}
}
