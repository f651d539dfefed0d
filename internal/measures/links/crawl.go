package links

import (
	"context"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"garrison/internal/probe"
)

// maxPlaces bounds how many places are kept for one link; all are counted.
const maxPlaces = 5

// link is one address and where it stands.
type link struct {
	url    *url.URL
	raw    string // as written, when it is no address
	bad    string
	kind   string
	text   string
	pages  []string // the first few
	count  int      // how often it stands anywhere
	own    bool     // on the site's own host
	before bool     // known from an earlier run, not found in this one
}

func (l *link) locus() string {
	if l.url == nil {
		return l.raw
	}
	return l.url.String()
}

// crawl reads a site's own pages and collects the links on them.
type crawl struct {
	cfg   Config
	p     probe.Prober
	now   func() time.Time
	keep  func(l *link) bool // which links are on the list
	host  string             // the site's own host
	queue []page
	seen  map[string]bool
	links map[string]*link
	bytes int64
	pages int
	cut   []string // limits that were hit, each once
}

type page struct {
	url   *url.URL
	depth int
}

// siteFailure says that the front page could not be read.
type siteFailure struct {
	why    string
	status int
}

func (e *siteFailure) Error() string { return "front page: " + e.why }

func newCrawl(cfg Config, p probe.Prober, now func() time.Time) *crawl {
	return &crawl{cfg: cfg, p: p, now: now, seen: map[string]bool{}, links: map[string]*link{}}
}

// run reads the front page and then page after page, nearest first, until there is
// none left or a limit is hit.
func (c *crawl) run(ctx context.Context, front *url.URL) error {
	started := c.now()
	if err := c.front(ctx, front); err != nil {
		return err
	}
	for len(c.queue) > 0 {
		switch {
		case ctx.Err() != nil:
			c.limit("time")
			return nil
		case c.pages >= c.cfg.MaxPages:
			c.limit("pages")
			return nil
		case c.bytes >= c.cfg.MaxBytes:
			c.limit("bytes")
			return nil
		case c.now().Sub(started) >= c.cfg.MaxTime:
			c.limit("time")
			return nil
		case len(c.links) >= c.cfg.MaxLinks:
			c.limit("links")
			return nil
		}
		next := c.queue[0]
		c.queue = c.queue[1:]
		ex := c.fetch(ctx, next.url)
		c.take(next, &ex)
	}
	return nil
}

// front reads the front page. A redirect to another host of the same registrable
// domain (www.) makes that the site's host; one to anywhere else is no front page.
func (c *crawl) front(ctx context.Context, u *url.URL) error {
	c.seen[u.String()] = true
	ex := c.fetch(ctx, u)
	if ex.Err != nil {
		return &siteFailure{why: string(ex.Err.Kind), status: ex.Status()}
	}
	final, err := url.Parse(ex.FinalURL)
	if err != nil {
		return &siteFailure{why: "bad_address", status: ex.Status()}
	}
	switch {
	case ex.Status() < 200 || ex.Status() > 299:
		return &siteFailure{why: fmt.Sprintf("status_%d", ex.Status()), status: ex.Status()}
	case elsewhere(u, final) != "":
		return &siteFailure{why: "front_page_moved", status: ex.Status()}
	case !isHTML(&ex):
		return &siteFailure{why: "not_html", status: ex.Status()}
	case ex.Limit == probe.LimitEncoding:
		return &siteFailure{why: "limit_encoding", status: ex.Status()}
	}
	c.host = final.Hostname()
	c.seen[final.String()] = true
	c.take(page{url: final}, &ex)
	return nil
}

func (c *crawl) fetch(ctx context.Context, u *url.URL) probe.Exchange {
	c.pages++
	return c.p.Fetch(ctx, probe.Request{URL: u.String(), Robots: true, Own: true})
}

// take reads one fetched page. A page that could not be read leaves the inventory
// incomplete, and that is said; a page that is simply not there does not.
func (c *crawl) take(at page, ex *probe.Exchange) {
	c.bytes += int64(len(ex.Body))
	switch {
	case ex.Err != nil && (ex.Err.Kind == probe.RobotsDenied || ex.Err.Kind == probe.RobotsUnknown):
		c.limit("robots")
		return
	case ex.Err != nil:
		c.limit("pages_unreadable")
		return
	case ex.Status() >= 500 || ex.Status() == 429 || ex.Status() == 401 || ex.Status() == 403:
		c.limit("pages_unreadable")
		return
	case ex.Status() < 200 || ex.Status() > 299 || !isHTML(ex):
		return
	}
	final, err := url.Parse(ex.FinalURL)
	if err != nil || final.Hostname() != c.host {
		return // an own address that leads away; as a link it is judged like others
	}
	if ex.Truncated {
		c.limit("page_" + string(ex.Limit))
	}
	doc := extract(final, ex.Header().Get("Content-Type"), ex.Body, 2*c.cfg.MaxLinks)
	if doc.cut != "" {
		c.limit(doc.cut)
	}
	if doc.refresh != nil {
		doc.links = append(doc.links, found{url: doc.refresh, kind: kindAnchor})
	}
	for _, f := range doc.links {
		c.note(at, final, f)
	}
}

// note puts one found link on the list, and its page in the queue if it is one of
// the site's own.
func (c *crawl) note(at page, on *url.URL, f found) {
	own := f.url != nil && f.url.Hostname() == c.host
	if own && crawlable(f) && !c.seen[f.url.String()] {
		if at.depth+1 > c.cfg.MaxDepth {
			c.limit("depth")
		} else if len(c.queue) < 4*c.cfg.MaxPages {
			c.seen[f.url.String()] = true
			c.queue = append(c.queue, page{f.url, at.depth + 1})
		} else {
			c.limit("pages")
		}
	}
	l := &link{url: f.url, raw: f.raw, bad: f.bad, kind: f.kind, text: f.text, own: own}
	if !c.keep(l) {
		return
	}
	old := c.links[l.locus()]
	if old == nil {
		if len(c.links) >= c.cfg.MaxLinks {
			c.limit("links")
			return
		}
		c.links[l.locus()], old = l, l
	}
	if old.text == "" {
		old.text = f.text
	}
	if old.kind != kindAnchor && f.kind == kindAnchor {
		old.kind = kindAnchor // what people can follow counts most
	}
	old.count++
	if p := squeeze(on.String(), 500); len(old.pages) < maxPlaces && !slices.Contains(old.pages, p) {
		old.pages = append(old.pages, p)
	}
}

func (c *crawl) limit(name string) {
	if !slices.Contains(c.cut, name) {
		c.cut = append(c.cut, name)
	}
}

// sorted returns the list in one order.
func (c *crawl) sorted() []*link {
	out := make([]*link, 0, len(c.links))
	for _, l := range c.links {
		out = append(out, l)
	}
	slices.SortFunc(out, func(a, b *link) int { return strings.Compare(a.locus(), b.locus()) })
	return out
}

// notPages are endings of files that are no pages with links.
var notPages = []string{
	".7z", ".avi", ".bmp", ".css", ".csv", ".doc", ".docx", ".exe", ".gif", ".gz", ".ico", ".jpeg", ".jpg",
	".js", ".json", ".mp3", ".mp4", ".ofd", ".pdf", ".png", ".ppt", ".pptx", ".rar", ".svg", ".tar", ".txt",
	".wav", ".webm", ".webp", ".wmv", ".woff", ".woff2", ".wps", ".xls", ".xlsx", ".xml", ".zip",
}

// crawlable says whether a link can lead to another page of the site.
func crawlable(f found) bool {
	switch f.kind {
	case kindAnchor, kindFrame, kindRelation:
	default:
		return false
	}
	return !slices.Contains(notPages, strings.ToLower(path.Ext(f.url.Path)))
}
