package links

import (
	"bytes"
	"errors"
	"io"
	"net/url"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/charset"

	"garrison/internal/probe"
)

// Bounds of what is read out of one page.
const (
	maxText      = 120       // runes of a link's text
	maxTokenSize = 512 << 10 // one tag with its attributes
)

// Kinds of links. Everything but the first four is embedded: fetched by the browser,
// not followed by a person.
const (
	kindAnchor   = "anchor"
	kindForm     = "form"
	kindFormPost = "form_post"
	kindRelation = "relation" // <link> to another document
	kindFrame    = "frame"
	kindImage    = "image"
	kindScript   = "script"
	kindStyle    = "style"
)

// found is one link as it stands on one page.
type found struct {
	url  *url.URL
	kind string
	text string
	bad  string // why it is not an address that can be asked; url is nil then
	raw  string
}

func (f found) embedded() bool {
	switch f.kind {
	case kindFrame, kindImage, kindScript, kindStyle:
		return true
	}
	return false
}

// document is what one page holds.
type document struct {
	links   []found
	title   string
	text    string // visible text, bounded: what the parking heuristics read
	refresh *url.URL
	cut     string // the limit that cut it short; "": none
}

// extract reads a page. It never fails: whatever is not markup yields no links. The
// tokenizer is linear in the page and holds one token at a time.
func extract(page *url.URL, contentType string, body []byte, maxLinks int) document {
	r, err := charset.NewReader(bytes.NewReader(body), contentType)
	if err != nil { // an unknown charset: read it as it is
		r = bytes.NewReader(body)
	}
	x := &extractor{base: page, max: maxLinks, anchor: -1}
	z := html.NewTokenizer(r)
	z.SetMaxBuf(maxTokenSize)
	for {
		switch z.Next() {
		case html.ErrorToken:
			if err := z.Err(); !errors.Is(err, io.EOF) {
				x.doc.cut = "markup"
			}
			x.doc.title, x.doc.text = squeeze(x.title.String(), maxText), squeeze(x.text.String(), maxVisible)
			return x.doc
		case html.StartTagToken, html.SelfClosingTagToken:
			x.start(z)
		case html.EndTagToken:
			name, _ := z.TagName()
			x.end(string(name))
		case html.TextToken:
			x.words(z.Text())
		}
		if len(x.doc.links) >= maxLinks {
			x.doc.cut = "links"
			x.doc.title, x.doc.text = squeeze(x.title.String(), maxText), squeeze(x.text.String(), maxVisible)
			return x.doc
		}
	}
}

type extractor struct {
	doc         document
	base        *url.URL
	based       bool // the first <base href> counts (HTML §4.2.3)
	max         int
	title, text strings.Builder
	inTitle     bool
	silent      bool // inside script or style
	anchor      int  // index of the link whose text is being read; -1: none
}

func (x *extractor) start(z *html.Tokenizer) {
	name, more := z.TagName()
	tag := string(name)
	attrs := map[string]string{}
	for more && len(attrs) < 64 {
		var k, v []byte
		k, v, more = z.TagAttr()
		if _, twice := attrs[string(k)]; !twice {
			attrs[string(k)] = string(v)
		}
	}
	switch tag {
	case "title":
		x.inTitle = true
	case "script", "style":
		x.silent = true
		x.add(attrs, "src", kindScript)
	case "base":
		x.setBase(attrs)
	case "a", "area":
		x.anchor = -1
		if x.add(attrs, "href", kindAnchor) && tag == "a" {
			x.anchor = len(x.doc.links) - 1
		}
	case "iframe", "frame":
		x.add(attrs, "src", kindFrame)
	case "img":
		if x.anchor >= 0 {
			x.words([]byte(" " + attrs["alt"] + " "))
		}
		x.add(attrs, "src", kindImage)
	case "form":
		kind := kindForm
		if strings.EqualFold(attrs["method"], "post") {
			kind = kindFormPost
		}
		x.add(attrs, "action", kind)
	case "link":
		x.link(attrs)
	case "meta":
		x.meta(attrs)
	}
}

func (x *extractor) end(tag string) {
	switch tag {
	case "a":
		x.anchor = -1
	case "title":
		x.inTitle = false
	case "script", "style":
		x.silent = false
	}
}

func (x *extractor) words(t []byte) {
	switch {
	case x.inTitle:
		if x.title.Len() < 4096 {
			x.title.Write(t)
		}
		return
	case x.silent:
		return
	}
	if x.text.Len() < 4*maxVisible {
		x.text.Write(t)
	}
	if x.anchor >= 0 {
		l := &x.doc.links[x.anchor]
		if len(l.text) < 4*maxText {
			l.text = squeeze(l.text+" "+string(t), maxText)
		}
	}
}

// add puts the link of one attribute on the list and says whether it did.
func (x *extractor) add(attrs map[string]string, attr, kind string) bool {
	raw, ok := attrs[attr]
	if !ok || strings.TrimSpace(raw) == "" {
		return false
	}
	u, err := probe.Canonical(x.base, raw)
	if err != nil {
		bad, web := badAddress(raw, err)
		if !web {
			return false
		}
		x.doc.links = append(x.doc.links, found{kind: kind, bad: bad, raw: squeeze(raw, 300), text: squeeze(attrs["title"], maxText)})
		return true
	}
	x.doc.links = append(x.doc.links, found{url: u, kind: kind, raw: raw, text: squeeze(attrs["title"], maxText)})
	return true
}

// badAddress says why raw cannot be asked, and whether it is meant for the web at
// all: mailto: and the like are no links of ours.
func badAddress(raw string, err error) (why string, web bool) {
	low := strings.ToLower(strings.TrimSpace(raw))
	if !strings.HasPrefix(low, "http:") && !strings.HasPrefix(low, "https:") && !strings.HasPrefix(low, "//") {
		return "", false
	}
	return squeeze(err.Error(), 200), true
}

func (x *extractor) setBase(attrs map[string]string) {
	if x.based || strings.TrimSpace(attrs["href"]) == "" {
		return
	}
	if u, err := probe.Canonical(x.base, attrs["href"]); err == nil {
		x.base, x.based = u, true
	}
}

func (x *extractor) link(attrs map[string]string) {
	rel := strings.Fields(strings.ToLower(attrs["rel"]))
	kind := ""
	for _, r := range rel {
		switch r {
		case "stylesheet", "icon", "apple-touch-icon", "manifest", "preload", "modulepreload":
			kind = kindStyle
		case "dns-prefetch", "preconnect", "prefetch", "pingback", "edituri":
			return // hints to the browser, nothing that stands on the page
		}
	}
	if kind == "" {
		kind = kindRelation
	}
	x.add(attrs, "href", kind)
}

// meta reads <meta http-equiv=refresh content="0; url=…">.
func (x *extractor) meta(attrs map[string]string) {
	if !strings.EqualFold(attrs["http-equiv"], "refresh") || x.doc.refresh != nil {
		return
	}
	_, target, ok := strings.Cut(attrs["content"], "=")
	if !ok {
		return
	}
	target = strings.Trim(strings.TrimSpace(target), `'"`)
	if u, err := probe.Canonical(x.base, target); err == nil {
		x.doc.refresh = u
	}
}

// squeeze joins white space, drops control characters and bounds s to n runes.
func squeeze(s string, n int) string {
	s = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, ""), func(r rune) bool {
		return r <= ' ' || r == 0x7f || r == 0xa0 || r == 0x3000
	}), " ")
	count := 0
	for i := range s {
		if count == n {
			return s[:i] + "…"
		}
		count++
	}
	return s
}
