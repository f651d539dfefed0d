package browser

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// first follows the first link that matches, and returns where it led.
func (b *tab) first(from, selector string) string {
	b.Helper()
	b.visit(from)
	b.press(selector)
	return strings.TrimPrefix(b.at(), b.base)
}

// pages are all pages there are, by name, found as a reader would find them.
func (b *tab) pages() map[string]string {
	b.Helper()
	p := map[string]string{
		"overview": "/", "trace": "/trace", "sources": "/sources", "register": "/register", "register-site": "/register?kind=site",
		"register-new": "/register/new?kind=site", "findings": "/findings", "measures": "/measures", "cases": "/cases",
		"clauses": "/clauses", "clauses-table": "/clauses?view=table", "clause": "/clauses/govqa-9b", "clause-82": "/clauses/mps82-14-1",
		"ledger": "/ledger", "settings": "/settings", "who": "/who", "gallery": "/gallery", "missing": "/no-such-page",
	}
	p["case"] = b.first("/cases", `main table tbody a.id`)
	p["finding"] = b.first("/findings", `main table tbody a`)
	p["source"] = b.first("/sources", `main table tbody a.id`)
	p["subject"] = b.first("/register?kind=site", `main table tbody a`)
	p["entry"] = b.first("/ledger", `#entries tbody a.id`)
	p["measure"] = "/measures/links"
	p["run"] = b.first("/measures/links", `main a[href^="/runs/"]`)
	p["transcript"] = strings.Split(p["run"], "?")[0] + "/transcript"
	return p
}

// Every page keeps to the content policy, in both languages and both widths; with
// GARRISON_SHOTS=DIR a picture of each is left there in both themes.
func TestEveryPageKeepsToThePolicy(t *testing.T) {
	in := start(t)
	b := open(t, in, "zh-CN", 1440)
	b.enrol(in.secret)
	pages := b.pages()
	if len(pages) < 25 {
		t.Fatalf("%d pages, expected at least 25", len(pages))
	}
	b.traceOne(in, words["zh-CN"].one, words["zh-CN"].agrees)
	pages["trace-answer"] = "/trace?ip=203.0.113.250&port=40123&proto=tcp&at=" + strings.ReplaceAll(b.traced, "+", "%2B") + "&skew=5&open=1"
	shots := os.Getenv("GARRISON_SHOTS")
	themes := []string{"light"}
	if shots != "" {
		themes = []string{"light", "dark"}
	}
	for _, lang := range []string{"zh-CN", "en"} {
		b.visit("/prefs?lang=" + lang)
		for _, theme := range themes {
			b.visit("/prefs?theme=" + theme)
			for _, width := range []int{1440, 390} {
				b.do(chromedp.EmulateViewport(int64(width), 900))
				for name, path := range pages {
					b.visit(path)
					b.fits(name, lang, width)
					if shots != "" {
						b.picture(filepath.Join(shots, fmt.Sprintf("%s.%s.%s.%d.png", name, lang[:2], theme, width)))
					}
				}
			}
		}
	}
	b.clean()
}

// fits fails where a page is wider than its window: nothing may be cut off on a phone.
func (b *tab) fits(name, lang string, width int) {
	b.Helper()
	over, err := chromedp.Run(b.ctx, chromedp.Evaluate[int](`document.documentElement.scrollWidth - document.documentElement.clientWidth`))
	if err != nil {
		b.Fatal(err)
	}
	if over > 1 {
		b.Errorf("%s (%s) is %d px wider than a window of %d", name, lang, over, width)
	}
	bare, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`(document.body.innerText.match(/(^|\s)(error|trace|duties|cases|findings|measures|sources|register|settings|ledger|clauses|links)\.[a-z_]+(\.[a-z_]+)*(?=\s|$)/g)||[]).join(" ")`))
	if err != nil {
		b.Fatal(err)
	}
	for _, k := range strings.Fields(bare) {
		if strings.HasPrefix(k, "links.") || strings.HasPrefix(k, "cases_") {
			continue // rule ids are shown as what they are
		}
		b.Errorf("%s (%s) shows the key %s instead of its text", name, lang, k)
	}
}

func (b *tab) picture(path string) {
	b.Helper()
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil { // the clauses on a phone are longer than a picture can be
		png, err = chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	}
	if err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(path, png, 0o644); err != nil {
		b.Fatal(err)
	}
}
