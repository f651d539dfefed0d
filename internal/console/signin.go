package console

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"garrison"
	"garrison/internal/identity"
	"garrison/internal/registry"
)

// routes lists every address of the console.
func (c *Console) routes(mux *http.ServeMux) {
	mux.HandleFunc("GET /sign-in", c.anyone(c.signInPage))
	mux.HandleFunc("POST /sign-in", c.anyone(c.signInPost))
	mux.HandleFunc("POST /sign-in/passkey/begin", c.anyone(c.passkeyBegin))
	mux.HandleFunc("POST /sign-in/passkey/finish", c.anyone(c.passkeyFinish))
	mux.HandleFunc("POST /sign-out", c.anyone(c.signOut))
	mux.HandleFunc("GET /enrol", c.anyone(c.enrolPage))
	mux.HandleFunc("POST /enrol", c.anyone(c.enrolPost))
	mux.HandleFunc("POST /enrol/confirm", c.anyone(c.enrolConfirm))
	mux.HandleFunc("GET /prefs", c.anyone(c.preferences))
	mux.HandleFunc("GET /checkpoint", c.anyone(c.publicCheckpoint))
	mux.HandleFunc("GET /public.key", c.anyone(c.publicKey))
	mux.HandleFunc("GET /who", c.signed(identity.PermProfileWrite, c.whoPage))
	mux.HandleFunc("POST /who", c.signed(identity.PermProfileWrite, c.whoPost))
	c.routesWatch(mux)
	c.routesWork(mux)
	mux.HandleFunc("/", c.signed("", func(p *page) error {
		return garrison.Refuse(garrison.NotFound, "error.console.no_page", "path", p.r.URL.Path)
	}))
}

// signInData is the sign-in page, with what the public may see.
type signInData struct {
	frame
	To      string
	Login   string
	Problem string
	First   bool // no account exists yet
	Sources int
}

func (c *Console) signInFrame(p *page) signInData {
	f := c.frame(p, "", p.T("signin.title"))
	d := signInData{frame: f, To: local(p.r.FormValue("to"))}
	d.Watch = c.watch(p.ctx(), c.deps.Now())
	if st, err := c.deps.Ledger.Status(p.ctx()); err == nil {
		d.Seal = seal{Known: true, Root: tallyHex(st.Root), Until: st.SealedUntil, Size: st.Size, Witnesses: st.Witnesses, Fault: st.Fault}
	}
	if list, err := c.deps.Identity.Accounts(p.ctx()); err == nil {
		d.First = len(list) == 0
	}
	if prof, err := c.deps.Registry.Profile(p.ctx()); err == nil {
		d.Unit = prof.Name
	}
	if list, err := c.deps.Records.Sources(p.ctx()); err == nil {
		d.Sources = len(list)
	}
	return d
}

func (c *Console) signInPage(p *page) error {
	if _, err := c.session(p.r); err == nil {
		return c.back(p, "/", "")
	}
	return c.render(p, 200, signInTempl(c.signInFrame(p)))
}

func (c *Console) signInPost(p *page) error {
	if err := p.r.ParseForm(); err != nil {
		return err
	}
	login := strings.TrimSpace(p.r.PostFormValue("login"))
	s, token, err := c.deps.Identity.SignIn(p.ctx(), login, identity.Secret(p.r.PostFormValue("password")),
		strings.ReplaceAll(p.r.PostFormValue("code"), " ", ""), remote(p.r), device(p.r))
	if err != nil {
		switch garrison.CodeOf(err) {
		case garrison.Unauthorized, garrison.Denied, garrison.Invalid, garrison.Held, garrison.Unavailable, garrison.NotFound:
			d := c.signInFrame(p)
			d.Login = login
			said, status := c.say(p.lang, err)
			d.Problem = said.Detail
			if d.Problem == "" {
				d.Problem = said.Title
			}
			return c.render(p, status, signInTempl(d))
		}
		return err
	}
	c.signIn(p.w, token, s)
	return c.back(p, local(p.r.PostFormValue("to")), "")
}

func device(r *http.Request) string {
	ua := r.UserAgent()
	return ua[:min(len(ua), 200)]
}

func (c *Console) signOut(p *page) error {
	if k, err := p.r.Cookie(cookieSession); err == nil {
		if err := c.deps.Identity.SignOut(p.ctx(), identity.Secret(k.Value)); err != nil && garrison.CodeOf(err) == "" {
			return err
		}
	}
	setCookie(p.w, cookieSession, "", -time.Second, true)
	return c.back(p, "/sign-in", "")
}

func (c *Console) json(p *page, status int, v any) error {
	p.w.Header().Set("Content-Type", "application/json")
	p.w.WriteHeader(status)
	return json.NewEncoder(p.w).Encode(v)
}

// refuseJSON answers the script of the passkey buttons.
func (c *Console) refuseJSON(p *page, err error) error {
	s, status := c.say(p.lang, err)
	if s.Detail == "" {
		s.Detail = s.Title
	}
	return c.json(p, status, map[string]string{"error": s.Detail})
}

func (c *Console) passkeyBegin(p *page) error {
	ceremony, err := c.deps.Identity.BeginLogin(p.ctx(), remote(p.r))
	if err != nil {
		return c.refuseJSON(p, err)
	}
	return c.json(p, 200, map[string]any{"handle": ceremony.Handle.Reveal(), "options": ceremony.Options})
}

type passkeyAnswer struct {
	Handle string          `json:"handle"`
	Name   string          `json:"name"`
	Answer json.RawMessage `json:"answer"`
}

func (c *Console) passkeyFinish(p *page) error {
	var in passkeyAnswer
	if err := json.NewDecoder(p.r.Body).Decode(&in); err != nil {
		return c.refuseJSON(p, garrison.Errorf(garrison.Invalid, "read the browser's answer: %w", err))
	}
	s, token, err := c.deps.Identity.FinishLogin(p.ctx(), identity.Secret(in.Handle), in.Answer, remote(p.r), device(p.r))
	if err != nil {
		return c.refuseJSON(p, err)
	}
	c.signIn(p.w, token, s)
	return c.json(p, 200, map[string]string{"to": "/"})
}

// enrolData is the first step of getting in: a one-time secret or an invitation.
type enrolData struct {
	frame
	Invited          bool // not the first administrator
	Secret           string
	Name, Login      string
	Problem, Field   string
	Handle, QR, Seed string // second step
}

func (c *Console) enrolFrame(p *page) enrolData {
	return enrolData{frame: c.frame(p, "", p.T("enrol.title")), Invited: p.r.FormValue("invited") != "",
		Secret: p.r.FormValue("secret"), Name: strings.TrimSpace(p.r.FormValue("name")), Login: strings.TrimSpace(p.r.FormValue("login"))}
}

func (c *Console) enrolPage(p *page) error { return c.render(p, 200, enrolTempl(c.enrolFrame(p))) }

func (c *Console) enrolPost(p *page) error {
	if err := p.r.ParseForm(); err != nil {
		return err
	}
	d := c.enrolFrame(p)
	again := func(field, problem string, status int) error {
		d.Field, d.Problem = field, problem
		return c.render(p, status, enrolTempl(d))
	}
	password := p.r.PostFormValue("password")
	if password != p.r.PostFormValue("again") {
		return again("again", p.T("enrol.differ"), 422)
	}
	e, err := c.deps.Identity.Enrol(p.ctx(), identity.EnrolRequest{
		Secret: identity.Secret(strings.TrimSpace(d.Secret)), Name: d.Name, Login: d.Login, Password: identity.Secret(password)})
	if err != nil {
		if garrison.CodeOf(err) == "" {
			return err
		}
		said, status := c.say(p.lang, err)
		if said.Detail == "" {
			said.Detail = said.Title
		}
		return again(enrolField(err), said.Detail, status)
	}
	return c.render(p, 200, confirmTempl(c.second(d, e.Handle, e.TOTPSecret, e.QR)))
}

func (c *Console) second(d enrolData, handle, seed identity.Secret, qr []byte) enrolData {
	d.Handle, d.Seed = handle.Reveal(), seed.Reveal()
	d.QR = "data:image/png;base64," + base64.StdEncoding.EncodeToString(qr)
	return d
}

// enrolField is the field an error speaks about.
func enrolField(err error) string {
	var e *garrison.Error
	if !asError(err, &e) {
		return ""
	}
	for _, f := range []string{"password", "login", "name", "secret"} {
		if strings.Contains(e.Key, f) {
			return f
		}
	}
	return "secret"
}

func (c *Console) enrolConfirm(p *page) error {
	if err := p.r.ParseForm(); err != nil {
		return err
	}
	d := c.enrolFrame(p)
	handle := identity.Secret(p.r.PostFormValue("handle"))
	s, token, err := c.deps.Identity.ConfirmTOTP(p.ctx(), handle, strings.ReplaceAll(p.r.PostFormValue("code"), " ", ""), remote(p.r), device(p.r))
	if err != nil {
		if garrison.CodeOf(err) == "" {
			return err
		}
		said, status := c.say(p.lang, err)
		d.Handle, d.Seed, d.QR = handle.Reveal(), p.r.PostFormValue("seed"), p.r.PostFormValue("qr")
		if !strings.HasPrefix(d.QR, "data:image/png;base64,") {
			d.QR = ""
		}
		d.Field, d.Problem = "code", said.Detail
		if d.Problem == "" {
			d.Problem = said.Title
		}
		return c.render(p, status, confirmTempl(d))
	}
	c.signIn(p.w, token, s)
	to := "/"
	if prof, err := c.deps.Registry.Profile(p.ctx()); err == nil && !prof.Set {
		to = "/who"
	}
	return c.back(p, to, "")
}

// whoData is the page that asks who we are.
type whoData struct {
	frame
	Profile registry.Profile
	Binds   []bindChoice
	Problem string
}

type bindChoice struct {
	ID   string
	Name garrison.Text
	On   bool
	N    int // clauses that bind it
}

func (c *Console) whoFrame(p *page, prof registry.Profile) whoData {
	d := whoData{frame: c.frame(p, "settings", p.T("who.title")), Profile: prof}
	d.Question = p.T("who.question")
	on := map[string]bool{}
	for _, b := range prof.Binds {
		on[b] = true
	}
	n := map[string]int{}
	cat := c.deps.Duties.Catalogue()
	for _, x := range cat.Duties {
		for _, b := range x.Binds {
			n[b]++
		}
	}
	for _, t := range cat.Binds {
		if t.ID != "authority" {
			d.Binds = append(d.Binds, bindChoice{t.ID, t.Text, on[t.ID], n[t.ID]})
		}
	}
	return d
}

func (c *Console) whoPage(p *page) error {
	prof, err := c.deps.Registry.Profile(p.ctx())
	if err != nil {
		return err
	}
	return c.render(p, 200, whoTempl(c.whoFrame(p, prof)))
}

func (c *Console) whoPost(p *page) error {
	if err := p.r.ParseForm(); err != nil {
		return err
	}
	prof := registry.Profile{Name: strings.TrimSpace(p.r.PostFormValue("name")), Binds: p.r.PostForm["binds"], Set: true}
	if err := c.deps.Registry.SetProfile(p.ctx(), prof, p.who.Actor); err != nil {
		if garrison.CodeOf(err) != garrison.Invalid {
			return err
		}
		d := c.whoFrame(p, prof)
		said, status := c.say(p.lang, err)
		d.Problem = said.Detail
		return c.render(p, status, whoTempl(d))
	}
	if _, err := c.deps.Duties.Refresh(p.ctx()); err != nil {
		return fmt.Errorf("compute standings: %w", err)
	}
	c.forget()
	return c.back(p, "/", p.T("who.saved"))
}

// forget makes the next page read its surroundings anew, after a change that shows there.
func (c *Console) forget() {
	c.around.mu.Lock()
	defer c.around.mu.Unlock()
	c.around.last.at = time.Time{}
}

func (c *Console) publicCheckpoint(p *page) error {
	cp, err := c.deps.Ledger.Checkpoint(p.ctx())
	if err != nil {
		return err
	}
	return c.plain(p, "checkpoint.txt", cp)
}

func (c *Console) publicKey(p *page) error {
	return c.plain(p, "public.key", []byte(c.deps.Ledger.PublicKey()+"\n"))
}

func (c *Console) plain(p *page, name string, b []byte) error {
	p.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	p.w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
	_, err := p.w.Write(b)
	return err
}
