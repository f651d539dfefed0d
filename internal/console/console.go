package console

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/a-h/templ"

	"garrison"
	"garrison/internal/cases"
	"garrison/internal/duties"
	"garrison/internal/identity"
	"garrison/internal/ledger"
	"garrison/internal/locale"
	"garrison/internal/measures"
	"garrison/internal/records"
	"garrison/internal/registry"
	"garrison/internal/state"
)

// Config is what the pages must know of the installation.
type Config struct {
	Version       string
	RetentionDays int
	StateEngine   string
	DataDir       string
	KeyDir        string
}

// Deps are the parts the console stands on; it calls the same methods as the API.
type Deps struct {
	Records  *records.Store
	Ledger   *ledger.Ledger
	Identity *identity.Identity
	Registry *registry.Registry
	Measures *measures.Runner
	Cases    *cases.Cases
	Duties   *duties.Duties
	State    *state.DB

	Verify    func(ctx context.Context) (Verification, error)
	DemoFill  func(ctx context.Context, by garrison.Actor) error
	DemoClear func(ctx context.Context, by garrison.Actor) (int, error)
	// Listeners are the addresses records can be sent to, by name ("syslog_udp").
	Listeners func() map[string]string
	Log       *slog.Logger
	Now       func() time.Time
}

// Verification is what looking at the whole installation came to, for the ledger page.
type Verification struct {
	Clean    bool
	CouldNot []string
	Damages  []VerifiedDamage
	Records  int64
	Chunks   int
	Entries  uint64
	Took     time.Duration
}

// VerifiedDamage is one thing that is not what was sealed.
type VerifiedDamage struct{ Part, File, Range, Object, What string }

// Console serves the pages.
type Console struct {
	cfg     Config
	deps    Deps
	handler http.Handler
	around  surroundCache
}

const (
	cookieSession = "__Host-garrison"
	cookieLang    = "garrison-lang"
	cookieTheme   = "garrison-theme"
	cookieToast   = "garrison-said"
	maxForm       = 1 << 20
)

// policy allows what is embedded here and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// New builds the console.
func New(cfg Config, deps Deps) (*Console, error) {
	if deps.Now == nil {
		deps.Now = time.Now
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	c := &Console{cfg: cfg, deps: deps}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /assets/", serveAsset)
	c.routes(mux)
	c.handler = c.guard(mux)
	return c, nil
}

// Handler serves every page.
func (c *Console) Handler() http.Handler { return c.handler }

// guard sets the headers of every answer and refuses changes that come from elsewhere.
func (c *Console) guard(next http.Handler) http.Handler {
	cross := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
		h.Set("Strict-Transport-Security", "max-age=31536000")
		if !strings.HasPrefix(r.URL.Path, "/assets/") {
			h.Set("Cache-Control", "no-store")
		}
		if err := cross.Check(r); err != nil {
			http.Error(w, locale.T(c.lang(r), "error.api.cross_origin", nil), http.StatusForbidden)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if r.Method == http.MethodPost {
			if err := r.ParseForm(); err != nil { // read once, here: a bad form is the sender's fault, no internal error
				said, status := c.say(c.lang(r), badForm(err))
				http.Error(w, said.Title, status)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

func badForm(err error) error {
	var big *http.MaxBytesError
	if errors.As(err, &big) {
		return garrison.Errorf(garrison.TooLarge, "form: %w", err)
	}
	return garrison.Errorf(garrison.Invalid, "form: %w", err)
}

// page is one request on its way to a page.
type page struct {
	w    http.ResponseWriter
	r    *http.Request
	lang string
	who  identity.Principal
	sess *identity.Session
}

func (p *page) ctx() context.Context { return p.r.Context() }

// T returns a text in the reader's language; kv are name, value pairs.
func (p *page) T(key string, kv ...any) string { return text(p.lang, key, kv...) }

func text(lang, key string, kv ...any) string {
	return locale.T(lang, key, locale.Args(kv...))
}

// signed serves a page to people who are signed in and hold the permission; others go
// to the sign-in page and come back to where they wanted to go.
func (c *Console) signed(permission string, do func(p *page) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p := &page{w: w, r: r, lang: c.lang(r)}
		s, err := c.session(r)
		if err != nil {
			if garrison.CodeOf(err) != garrison.Unauthorized {
				c.fail(p, err)
				return
			}
			to := "/sign-in"
			if r.Method == http.MethodGet && r.URL.Path != "/" {
				to += "?to=" + url.QueryEscape(r.URL.RequestURI())
			}
			http.Redirect(w, r, to, http.StatusSeeOther)
			return
		}
		p.sess = &s
		p.who = s.Principal()
		if permission != "" && !p.who.May(permission) {
			c.fail(p, garrison.Refuse(garrison.Denied, "error.api.permission", "permission", permission))
			return
		}
		if err := do(p); err != nil {
			c.fail(p, err)
		}
	}
}

// anyone serves a page without signing in.
func (c *Console) anyone(do func(p *page) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p := &page{w: w, r: r, lang: c.lang(r)}
		if err := do(p); err != nil {
			c.fail(p, err)
		}
	}
}

func (c *Console) session(r *http.Request) (identity.Session, error) {
	k, err := r.Cookie(cookieSession)
	if err != nil {
		return identity.Session{}, garrison.Refuse(garrison.Unauthorized, "error.api.credentials")
	}
	s, err := c.deps.Identity.Session(r.Context(), identity.Secret(k.Value))
	switch garrison.CodeOf(err) {
	case garrison.NotFound, garrison.Denied, garrison.Invalid:
		err = garrison.Refuse(garrison.Unauthorized, "error.api.credentials")
	}
	return s, err
}

func setCookie(w http.ResponseWriter, name, value string, life time.Duration, httpOnly bool) {
	http.SetCookie(w, &http.Cookie{Name: name, Value: value, Path: "/", Secure: true, HttpOnly: httpOnly,
		SameSite: http.SameSiteStrictMode, MaxAge: int(life.Seconds())})
}

func (c *Console) signIn(w http.ResponseWriter, token identity.Secret, s identity.Session) {
	setCookie(w, cookieSession, token.Reveal(), s.Expires.Sub(c.deps.Now()), true)
}

// lang is what the reader chose, else what the browser asks for, else Chinese.
func (c *Console) lang(r *http.Request) string {
	if k, err := r.Cookie(cookieLang); err == nil && (k.Value == locale.ZH || k.Value == locale.EN) {
		return k.Value
	}
	return locale.Match(r.Header.Get("Accept-Language"))
}

// render writes a page with its frame. The whole page is made before its first byte is
// sent, so that an error in it is an error page and not half a page.
func (c *Console) render(p *page, status int, content templ.Component) error {
	var buf strings.Builder
	if err := content.Render(p.ctx(), &buf); err != nil {
		return err
	}
	p.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	p.w.WriteHeader(status)
	_, err := io.WriteString(p.w, buf.String())
	if err != nil {
		c.deps.Log.Debug("page not delivered", "path", p.r.URL.Path, "error", err)
	}
	return nil
}

// saying is what a reader is told of an error.
type saying struct{ Title, Detail, ID string }

func (c *Console) say(lang string, err error) (saying, int) {
	var e *garrison.Error
	if errors.As(err, &e) && e.Code.Status() != 0 {
		s := saying{Title: locale.T(lang, "error.code."+string(e.Code), nil)}
		if e.Key != "" {
			s.Detail = locale.T(lang, e.Key, e.Args)
		} else if e.Err != nil {
			s.Detail = e.Err.Error()
		}
		return s, e.Code.Status()
	}
	var big *http.MaxBytesError
	if errors.As(err, &big) {
		return saying{Title: locale.T(lang, "error.code.tooLarge", nil)}, 413
	}
	id := garrison.NewID("err")
	c.deps.Log.Error("internal error", "id", id, "error", err)
	return saying{Title: locale.T(lang, "error.internal", nil), ID: id}, 500
}

func (c *Console) fail(p *page, err error) {
	s, status := c.say(p.lang, err)
	f := c.frame(p, "", "")
	f.Title = s.Title
	if err := c.render(p, status, errorPage(f, s)); err != nil {
		http.Error(p.w, s.Title, status)
	}
}

// back answers a change: it returns to a page and says what was done.
func (c *Console) back(p *page, to, said string) error {
	if said != "" {
		setCookie(p.w, cookieToast, url.QueryEscape(said), time.Minute, true)
	}
	http.Redirect(p.w, p.r, to, http.StatusSeeOther)
	return nil
}

// toast takes what a change has left to be said.
func toast(p *page) string {
	k, err := p.r.Cookie(cookieToast)
	if err != nil {
		return ""
	}
	setCookie(p.w, cookieToast, "", -time.Second, true)
	s, err := url.QueryUnescape(k.Value)
	if err != nil {
		return ""
	}
	return s
}

// local refuses to be led away: only paths of this console are returned to.
func local(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\\\r\n") {
		return "/"
	}
	return to
}

// remote is the address of the other side.
func remote(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}
