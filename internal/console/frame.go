package console

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"garrison"
	"garrison/internal/locale"
	"garrison/internal/measures"
)

// frame is what stands around every page.
type frame struct {
	Lang     string
	Theme    string // "", "light" or "dark"
	Title    string
	Question string // the one question this page answers
	Group    string // rail group the page stands in
	Active   string // rail item
	Crumbs   []crumb
	Unit     string // who we are
	Rail     []railGroup
	Watch    watch
	Seal     seal
	User     string // name of who is signed in; empty: nobody
	Toast    string
	Self     string // this page's address, for switches that come back to it
	Now      time.Time
	Demo     bool
}

// T returns a text in the frame's language.
func (f frame) T(key string, kv ...any) string { return text(f.Lang, key, kv...) }

// Why writes out a reason; the moments in it are told by the operator's clock, as
// everything beside it on the page is.
func (f frame) Why(r garrison.Reason) string {
	args := make(map[string]any, len(r.Args))
	for k, v := range r.Args {
		if s, ok := v.(string); ok {
			if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
				v = f.Clock(t)
			}
		}
		args[k] = v
	}
	return locale.Reason(f.Lang, garrison.Reason{Key: r.Key, Args: args})
}

// In picks the language of a text that belongs to data.
func (f frame) In(t garrison.Text) string { return t.In(f.Lang) }

type crumb struct{ Name, Href string }

type railGroup struct {
	Name  string
	Items []railItem
}

type railItem struct {
	ID, Name, Href, Icon string
	Count                int  // -1: not known
	Mine                 bool // the count is the reader's own
	Low                  bool
}

// seal is how far the ledger is sealed and who has witnessed it.
type seal struct {
	Known     bool
	Root      string // hex-like digest for the tally
	Until     time.Time
	Size      uint64
	Witnesses int
	Fault     string
}

// rail lists the pages that work, in the order of their verbs.
func (c *Console) rail(p *page, n counts) []railGroup {
	return []railGroup{
		{p.T("rail.watch"), []railItem{
			{ID: "overview", Name: p.T("page.overview"), Href: "/", Icon: "overview"},
			{ID: "cases", Name: p.T("page.cases"), Href: "/cases", Icon: "cases", Count: n.cases, Mine: n.mine > 0},
		}},
		{p.T("rail.ask"), []railItem{{ID: "trace", Name: p.T("page.trace"), Href: "/trace", Icon: "trace"}}},
		{p.T("rail.know"), []railItem{
			{ID: "register", Name: p.T("page.register"), Href: "/register", Icon: "register"},
			{ID: "findings", Name: p.T("page.findings"), Href: "/findings", Icon: "findings", Count: n.findings},
		}},
		{p.T("rail.guard"), []railItem{
			{ID: "sources", Name: p.T("page.sources"), Href: "/sources", Icon: "sources", Count: n.silent},
			{ID: "measures", Name: p.T("page.measures"), Href: "/measures", Icon: "measures", Count: n.off},
		}},
		{p.T("rail.answer"), []railItem{{ID: "clauses", Name: p.T("page.clauses"), Href: "/clauses", Icon: "clauses", Count: n.unmet}}},
		{p.T("rail.prove"), []railItem{
			{ID: "ledger", Name: p.T("page.ledger"), Href: "/ledger", Icon: "ledger"},
			{ID: "settings", Name: p.T("page.settings"), Href: "/settings", Icon: "settings", Low: true},
		}},
	}
}

// counts are the figures of the rail; -1: could not be read, which is not none.
type counts struct{ cases, mine, findings, silent, off, unmet int }

func noCounts() counts { return counts{cases: -1, findings: -1, silent: -1, off: -1, unmet: -1} }

// surround is what the frame shows of the installation, read at most every few seconds
// however many pages are looked at.
type surround struct {
	at     time.Time
	counts counts
	watch  watch
	seal   seal
	unit   string
	demo   bool
}

type surroundCache struct {
	mu   sync.Mutex // guards last
	last surround
}

const surroundAge = 2 * time.Second

// frame builds what stands around a page. What cannot be read is shown as not known;
// it never keeps the page itself from being shown.
func (c *Console) frame(p *page, active, title string) frame {
	f := frame{Lang: p.lang, Title: title, Active: active, Self: p.r.URL.RequestURI(), Now: c.deps.Now(), Theme: theme(p.r)}
	if p.sess == nil {
		return f
	}
	s := c.surround(p)
	f.Rail, f.Watch, f.Seal, f.Unit, f.Demo = c.rail(p, s.counts), s.watch, s.seal, s.unit, s.demo
	f.User, f.Toast = p.sess.Account.Name, toast(p)
	for _, g := range f.Rail {
		for _, it := range g.Items {
			if it.ID == active {
				f.Group = g.Name
				f.Crumbs = []crumb{{it.Name, it.Href}}
				if f.Title == "" {
					f.Title = it.Name
				}
			}
		}
	}
	if n := len(f.Crumbs); n > 0 && f.Title != f.Crumbs[n-1].Name {
		f.Crumbs = append(f.Crumbs, crumb{Name: f.Title})
	}
	return f
}

func (c *Console) surround(p *page) surround {
	c.around.mu.Lock()
	defer c.around.mu.Unlock()
	now := c.deps.Now()
	if now.Sub(c.around.last.at) < surroundAge {
		s := c.around.last
		s.counts.mine = c.mine(p)
		return s
	}
	ctx := p.ctx()
	s := surround{at: now, counts: noCounts(), watch: c.watch(ctx, now)}
	if st, err := c.deps.Ledger.Status(ctx); err == nil {
		s.seal = seal{Known: true, Root: tallyHex(st.Root), Until: st.SealedUntil, Size: st.Size, Witnesses: st.Witnesses, Fault: st.Fault}
	}
	if n, err := c.deps.Cases.Counts(ctx, garrison.AccountID(p.who.Actor.ID)); err == nil {
		s.counts.cases, s.counts.mine = n.Open, n.Mine
	}
	if n, err := c.deps.Measures.CountFindings(ctx, measures.FindingFilter{}); err == nil {
		s.counts.findings = n[measures.Open]
	}
	if list, err := c.deps.Records.Sources(ctx); err == nil {
		s.counts.silent = 0
		for _, x := range list {
			if x.Silent && !x.Own {
				s.counts.silent++
			}
		}
	}
	if list, err := c.deps.Measures.States(ctx); err == nil {
		s.counts.off = 0
		for _, m := range list {
			if m.Mode != measures.On {
				s.counts.off++
			}
		}
	}
	if snap, err := c.deps.Duties.Snapshot(ctx); err == nil {
		s.counts.unmet = snap.Counts("").ByStanding[garrison.Unmet]
	}
	if prof, err := c.deps.Registry.Profile(ctx); err == nil {
		s.unit, s.demo = prof.Name, prof.Demo
	}
	if ctx.Err() == nil { // what a reader who went away could not see is not shown to the next
		c.around.last = s
	}
	return s
}

func (c *Console) mine(p *page) int {
	n, err := c.deps.Cases.Counts(p.ctx(), garrison.AccountID(p.who.Actor.ID))
	if err != nil {
		return 0
	}
	return n.Mine
}

func theme(r *http.Request) string {
	if k, err := r.Cookie(cookieTheme); err == nil && (k.Value == "light" || k.Value == "dark") {
		return k.Value
	}
	return ""
}

// preferences sets language or theme and returns to the page.
func (c *Console) preferences(p *page) error {
	q := p.r.URL.Query()
	if l := q.Get("lang"); l == locale.ZH || l == locale.EN {
		setCookie(p.w, cookieLang, l, 365*24*time.Hour, true)
	}
	switch t := q.Get("theme"); t {
	case "light", "dark":
		setCookie(p.w, cookieTheme, t, 365*24*time.Hour, true)
	case "system":
		setCookie(p.w, cookieTheme, "", -time.Second, true)
	}
	http.Redirect(p.w, p.r, local(q.Get("to")), http.StatusSeeOther)
	return nil
}

// prefs is the address of a switch.
func (f frame) prefs(name, value string) string {
	return "/prefs?" + name + "=" + value + "&to=" + url.QueryEscape(f.Self)
}

func (f frame) otherLang() string {
	if f.Lang == locale.EN {
		return locale.ZH
	}
	return locale.EN
}

func (f frame) otherLangName() string {
	if f.Lang == locale.EN {
		return "中文"
	}
	return "EN"
}

func (f frame) nextTheme() string {
	return map[string]string{"": "dark", "dark": "light", "light": "system"}[f.Theme]
}

// zone is the operator's: clocks on the wall, not UTC.
var zone = time.FixedZone("UTC+8", 8*60*60)

// Clock writes a time of day with seconds, and the day if it is not today.
func (f frame) Clock(t time.Time) string {
	if t.IsZero() {
		return "—"
	}
	l, now := t.In(zone), f.Now.In(zone)
	if l.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return l.Format("15:04:05")
	}
	if l.Year() == now.Year() {
		return l.Format("01-02 15:04:05")
	}
	return l.Format("2006-01-02 15:04:05")
}

// Stamp writes a whole moment with its zone.
func (f frame) Stamp(t time.Time) string {
	if t.IsZero() {
		return "—"
	}
	return t.In(zone).Format("2006-01-02 15:04:05 -07:00")
}

// Millis is Stamp with milliseconds.
func (f frame) Millis(t time.Time) string {
	if t.IsZero() {
		return "—"
	}
	return t.In(zone).Format("2006-01-02 15:04:05.000 -07:00")
}

// Num writes a number with thousands set apart.
func (f frame) Num(n int64) string {
	s := fmt.Sprint(n)
	neg := strings.HasPrefix(s, "-")
	s = strings.TrimPrefix(s, "-")
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	if neg {
		return "−" + s
	}
	return s
}

// Count is Num for a number that may be unknown (-1).
func (f frame) Count(n int64) string {
	if n < 0 {
		return f.T("word.unknown")
	}
	return f.Num(n)
}

// Span writes a length of time in the two largest units.
func (f frame) Span(d time.Duration) string {
	d = d.Round(time.Second)
	day, hour := 24*time.Hour, time.Hour
	switch {
	case d >= day:
		return f.T("span.days", "d", int(d/day), "h", int(d%day/hour))
	case d >= hour:
		return f.T("span.hours", "h", int(d/hour), "m", int(d%hour/time.Minute))
	case d >= time.Minute:
		return f.T("span.minutes", "m", int(d/time.Minute), "s", int(d%time.Minute/time.Second))
	}
	return f.T("span.seconds", "s", int(d/time.Second))
}

// Ago writes how long ago something was.
func (f frame) Ago(t time.Time) string {
	if t.IsZero() {
		return f.T("word.never")
	}
	return f.T("span.ago", "span", f.Span(max(0, f.Now.Sub(t))))
}

// Size writes bytes in a unit people read.
func (f frame) Size(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	v, i := float64(n), 0
	for v >= 1024 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}
