package console_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var assetHref = regexp.MustCompile(`"/assets/([^"]+)"`)

func TestZZShots(t *testing.T) {
	out := os.Getenv("SHOTS_DIR")
	if out == "" {
		t.Skip("no SHOTS_DIR")
	}
	s := open(t, true)
	settle(t, s)
	time.Sleep(4 * time.Second)
	find := func(at, prefix string) string {
		for _, l := range s.get(at).links() {
			if strings.HasPrefix(l, prefix) && !strings.Contains(l, "?") && l != prefix+"new" {
				return l
			}
		}
		return at
	}
	pages := map[string]string{
		"cases": "/cases", "findings": "/findings", "measures": "/measures", "measure": "/measures/links", "runs": "/runs",
		"clauses": "/clauses", "clausetable": "/clauses?view=table", "register": "/register", "sites": "/register?kind=site", "new": "/register/new",
		"c13": "/clauses/mps82-13", "c82": "/clauses/mps82-8-2", "c14": "/clauses/mps82-14-1", "cgov": "/clauses/govqa-9b", "cout": "/clauses/mps82-1",
	}
	pages["case"] = find("/cases", "/cases/")
	pages["finding"] = find("/findings", "/findings/")
	run := find("/runs", "/runs/")
	pages["run"], pages["transcript"] = run, run+"/transcript"
	pages["site"] = find("/register?kind=site", "/register/")
	for _, l := range s.get("/clauses/mps82-8-2").links() {
		if strings.Contains(l, "proof=") {
			pages["proof"] = l
		}
	}
	for _, lang := range []string{"zh-CN", "en"} {
		s.speak(lang)
		for _, theme := range []string{"light", "dark"} {
			s.get("/prefs?to=/&theme=" + theme)
			for name, at := range pages {
				x := s.get(at)
				if x.status != 200 {
					t.Errorf("%s %s: %d", name, at, x.status)
				}
				raw := assetHref.ReplaceAllStringFunc(string(x.raw), func(m string) string {
					p := assetHref.FindStringSubmatch(m)[1]
					f := filepath.Join(out, p)
					if _, err := os.Stat(f); err != nil {
						a := s.get("/assets/" + p)
						os.MkdirAll(filepath.Dir(f), 0o755)
						os.WriteFile(f, a.raw, 0o644)
					}
					return `"` + p + `"`
				})
				os.WriteFile(filepath.Join(out, fmt.Sprintf("%s.%s.%s.html", name, lang[:2], theme)), []byte(raw), 0o644)
			}
		}
	}
}
