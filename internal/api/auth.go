package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"garrison"
	"garrison/client"
	"garrison/internal/identity"
)

// SessionCookie is the console's cookie; the prefix binds it to this host and to TLS.
const SessionCookie = "__Host-garrison"

type ctxKey int

const (
	principalKey ctxKey = iota
	langKey
)

// open lists what may be asked without credentials, exactly.
var open = map[string]bool{
	"GET /api/health":       true,
	"GET /api/openapi.json": true,
	"GET /api/public-key":   true,
}

// authenticate looks at credentials before anything else about the request, so that
// nobody without them learns which paths exist or what is wrong with a body.
func (a *API) authenticate(next http.Handler) http.Handler {
	cross := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer a.recover(w, r)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		ctx := context.WithValue(r.Context(), langKey, language(r))
		r = r.WithContext(ctx)
		if open[r.Method+" "+r.URL.Path] && r.URL.RawPath == "" {
			next.ServeHTTP(w, r)
			return
		}
		p, err := a.principal(ctx, r)
		if err != nil {
			w.Header().Set("WWW-Authenticate", `Bearer realm="garrison"`)
			a.problem(w, r, err)
			return
		}
		if p.Session != nil {
			if err := cross.Check(r); err != nil {
				a.problem(w, r, garrison.Refuse(garrison.Denied, "error.api.cross_origin"))
				return
			}
		}
		// The multiplexer would answer an unclean path with a redirect; nothing under
		// /api/ ever redirects.
		if p := r.URL.Path; p != path.Clean(p) {
			a.noSuchPath(w, r)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(ctx, principalKey, p)))
	})
}

// recover answers for a handler that panicked: an id for the asker, the rest for the
// log. What the asker has of an answer that had begun is cut off.
func (a *API) recover(w http.ResponseWriter, r *http.Request) {
	v := recover()
	if v == nil {
		return
	}
	if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(v)
	}
	a.problem(w, r, fmt.Errorf("panic in %s %q: %v\n%s", r.Method, r.URL.Path, v, debug.Stack()))
}

func (a *API) principal(ctx context.Context, r *http.Request) (identity.Principal, error) {
	none := garrison.Refuse(garrison.Unauthorized, "error.api.credentials")
	if h := r.Header.Get("Authorization"); h != "" {
		secret, ok := strings.CutPrefix(h, "Bearer ")
		if !ok {
			return identity.Principal{}, none
		}
		p, err := a.deps.Identity.CheckToken(ctx, identity.Secret(strings.TrimSpace(secret)))
		return p, refusal(err, none)
	}
	c, err := r.Cookie(SessionCookie)
	if err != nil {
		return identity.Principal{}, none
	}
	s, err := a.deps.Identity.Session(ctx, identity.Secret(c.Value))
	if err != nil {
		return identity.Principal{}, refusal(err, none)
	}
	return s.Principal(), nil
}

// refusal keeps an outage an outage: a database that does not answer is no proof that
// a token is wrong.
func refusal(err error, none error) error {
	switch garrison.CodeOf(err) {
	case garrison.Unauthorized, garrison.Denied, garrison.NotFound, garrison.Invalid:
		return none
	}
	return err
}

// permit checks the operation's permission before its body is read.
func (a *API) permit(ctx huma.Context, next func(huma.Context)) {
	perm := a.perms[ctx.Operation().OperationID]
	if perm != "" {
		p, ok := ctx.Context().Value(principalKey).(identity.Principal)
		if !ok || !p.May(perm) {
			a.writeProblem(ctx, a.toProblem(ctx.Context(), garrison.Refuse(garrison.Denied, "error.api.permission", "permission", perm)))
			return
		}
	}
	next(ctx)
}

func (a *API) writeProblem(ctx huma.Context, p client.Problem) {
	ctx.SetHeader("Content-Type", "application/problem+json")
	ctx.SetStatus(p.Status)
	_ = json.NewEncoder(ctx.BodyWriter()).Encode(p)
}

// who returns who asks; operations are only reached after authenticate.
func who(ctx context.Context) identity.Principal {
	p, _ := ctx.Value(principalKey).(identity.Principal)
	return p
}

func lang(ctx context.Context) string {
	if l, ok := ctx.Value(langKey).(string); ok {
		return l
	}
	return "en"
}

// language is English unless Chinese is asked for first: the API's readers are mostly
// programs and their authors.
func language(r *http.Request) string {
	if strings.HasPrefix(strings.ToLower(strings.TrimSpace(r.Header.Get("Accept-Language"))), "zh") {
		return "zh-CN"
	}
	return "en"
}

func (a *API) toProblem(ctx context.Context, err error) client.Problem {
	var e *garrison.Error
	if errors.As(err, &e) {
		p := client.Problem{Status: e.Code.Status(), Code: string(e.Code), Key: e.Key}
		p.Title = a.text(lang(ctx), "error.code."+string(e.Code), nil)
		if e.Key != "" {
			p.Detail = a.text(lang(ctx), e.Key, e.Args)
		}
		if e.Err != nil {
			if p.Detail == "" || p.Detail == e.Key {
				p.Detail = e.Err.Error()
			}
		}
		if p.Status != 0 {
			return p
		}
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return client.Problem{Status: garrison.Unavailable.Status(), Code: string(garrison.Unavailable),
			Title: a.text(lang(ctx), "error.code.unavailable", nil)}
	}
	id := garrison.NewID("err")
	a.deps.Log.Error("internal error", "id", id, "error", err)
	return client.Problem{Status: http.StatusInternalServerError, ID: id, Title: a.text(lang(ctx), "error.internal", nil)}
}

func (a *API) noSuchPath(w http.ResponseWriter, r *http.Request) {
	a.problem(w, r, garrison.Refuse(garrison.NotFound, "error.api.no_such_path", "path", r.Method+" "+r.URL.Path))
}

func (a *API) problem(w http.ResponseWriter, r *http.Request, err error) {
	p := a.toProblem(r.Context(), err)
	w.Header().Set("Content-Type", "application/problem+json")
	if p.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "2")
	}
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p)
}

// text returns the catalogue's text, or the key, which is still searchable.
func (a *API) text(lang, key string, args map[string]any) string {
	if a.deps.Text != nil {
		if t := a.deps.Text(lang, key, args); t != "" {
			return t
		}
	}
	return key
}

// failure is a problem as huma wants its errors.
type failure struct{ client.Problem }

func (f *failure) Error() string             { return f.Title + ": " + f.Detail }
func (f *failure) GetStatus() int            { return f.Status }
func (f *failure) ContentType(string) string { return "application/problem+json" }

// MarshalJSON writes the problem itself.
func (f *failure) MarshalJSON() ([]byte, error) { return json.Marshal(f.Problem) }

// op declares one operation with the permission it needs.
func op[I, O any](a *API, method, path, perm, summary string, status int, do func(ctx context.Context, in *I) (*O, error)) {
	id := strings.ToLower(method) + strings.NewReplacer("/api", "", "/", "-", "{", "", "}", "", ".", "-").Replace(path)
	if perm == "" {
		a.faults = append(a.faults, fmt.Errorf("%s %s names no permission", method, path))
	}
	o := huma.Operation{OperationID: id, Method: method, Path: path, Summary: summary, DefaultStatus: status,
		Errors: []int{401, 403, 422, 500, 503}, MaxBodyBytes: maxDelivery, BodyReadTimeout: bodyPatience}
	switch perm {
	case public:
		perm = ""
		o.Security = []map[string][]string{}
		o.Errors = []int{500, 503}
		if !open[method+" "+path] {
			a.faults = append(a.faults, fmt.Errorf("%s %s is declared open but not on the list", method, path))
		}
	case anyone:
		perm = ""
		o.Description = "Needs credentials, whatever they permit."
	default:
		if !slices.Contains(identity.Permissions(), perm) {
			a.faults = append(a.faults, fmt.Errorf("%s %s names %q, which is no permission", method, path, perm))
		}
		o.Description = "Needs the permission " + perm + "."
	}
	a.perms[id] = perm
	huma.Register(a.huma, o, func(ctx context.Context, in *I) (*O, error) {
		out, err := do(ctx, in)
		if err != nil {
			return nil, &failure{a.toProblem(ctx, err)}
		}
		return out, nil
	})
}

// Marks in place of a permission.
const (
	public = "(open)"   // open on purpose: no credentials
	anyone = "(anyone)" // any credentials that hold
)

func (a *API) faulty() error { return errors.Join(a.faults...) }

// body is an answer with a JSON body.
type body[T any] struct{ Body T }

func answer[T any](v T) *body[T] { return &body[T]{v} }

// Page is the part of a question that lists share. It is exported because huma fills
// embedded structs only then.
type Page struct {
	After string `query:"after" maxLength:"400" doc:"where the page before ended, its next"`
	Limit int    `query:"limit" minimum:"1" maximum:"500" default:"100"`
}
