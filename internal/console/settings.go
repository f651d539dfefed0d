package console

import (
	"encoding/json"
	"strings"
	"time"

	"garrison"
	"garrison/internal/identity"
	"garrison/internal/records"
	"garrison/internal/registry"
)

// settingsData is the settings page: who we are, who may ask, how long we keep.
type settingsData struct {
	frame
	Profile  registry.Profile
	BindName map[string]garrison.Text
	Account  identity.Account
	Sessions []identity.Session
	Session  string
	Passkeys []identity.Passkey
	Accounts []identity.Account
	Tokens   []identity.Token
	Config   Config
	Forecast records.Forecast
	Secret   string // shown once: a new token or an invitation
	SecretOf string
	Problem  string
	May      map[string]bool
}

func (c *Console) settingsPage(p *page) error {
	d, err := c.settingsFrame(p)
	if err != nil {
		return err
	}
	return c.render(p, 200, settingsTempl(d))
}

func (c *Console) settingsFrame(p *page) (settingsData, error) {
	d := settingsData{frame: c.frame(p, "settings", ""), Config: c.cfg, Account: p.sess.Account, Session: p.sess.ID,
		BindName: map[string]garrison.Text{}, May: map[string]bool{}}
	d.Question = p.T("settings.question")
	for _, perm := range []string{identity.PermProfileWrite, identity.PermAccountsRead, identity.PermAccountsWrite, identity.PermTokensWrite,
		identity.PermSettingsRead, identity.PermDemo} {
		d.May[perm] = p.who.May(perm)
	}
	for _, t := range c.deps.Duties.Catalogue().Binds {
		d.BindName[t.ID] = t.Text
	}
	var err error
	if d.Profile, err = c.deps.Registry.Profile(p.ctx()); err != nil {
		return d, err
	}
	if d.Sessions, err = c.deps.Identity.Sessions(p.ctx(), d.Account.ID); err != nil {
		return d, err
	}
	if d.Passkeys, err = c.deps.Identity.Passkeys(p.ctx(), d.Account.ID); err != nil {
		return d, err
	}
	if d.May[identity.PermAccountsRead] {
		if d.Accounts, err = c.deps.Identity.Accounts(p.ctx()); err != nil {
			return d, err
		}
		if d.Tokens, err = c.deps.Identity.Tokens(p.ctx()); err != nil {
			return d, err
		}
	}
	d.Forecast, err = c.deps.Records.Forecast(p.ctx())
	return d, err
}

// settingsAgain shows the page with a secret or a problem: neither survives a redirect.
func (c *Console) settingsAgain(p *page, of string, secret identity.Secret, problem error) error {
	d, err := c.settingsFrame(p)
	if err != nil {
		return err
	}
	d.SecretOf, d.Secret = of, secret.Reveal()
	status := 200
	if problem != nil {
		if garrison.CodeOf(problem) == "" {
			return problem
		}
		var s saying
		s, status = c.say(p.lang, problem)
		if d.Problem = s.Detail; d.Problem == "" {
			d.Problem = s.Title
		}
	}
	return c.render(p, status, settingsTempl(d))
}

func (c *Console) tokenPost(p *page) error {
	if err := p.r.ParseForm(); err != nil {
		return err
	}
	name := strings.TrimSpace(p.r.PostFormValue("name"))
	role := identity.Role(p.r.PostFormValue("role"))
	if name == "" {
		name = string(role)
	}
	if !p.who.MayMake(role) {
		return c.settingsAgain(p, "", "", garrison.Refuse(garrison.Denied, "error.identity.token_role", "role", string(role)))
	}
	secret, t, err := c.deps.Identity.CreateToken(p.ctx(), role, name, time.Time{}, p.who.Actor)
	return c.settingsAgain(p, t.Name, secret, err)
}

func (c *Console) tokenEnd(p *page) error {
	if err := c.deps.Identity.RevokeToken(p.ctx(), garrison.TokenID(p.r.PathValue("id")), p.who.Actor); err != nil {
		return err
	}
	return c.back(p, "/settings#tokens", p.T("settings.token_ended"))
}

func (c *Console) invitePost(p *page) error {
	if err := p.r.ParseForm(); err != nil {
		return err
	}
	n := identity.NewAccount{Login: strings.TrimSpace(p.r.PostFormValue("login")), Name: strings.TrimSpace(p.r.PostFormValue("name"))}
	for _, r := range p.r.PostForm["roles"] {
		n.Grants = append(n.Grants, identity.Grant{Role: identity.Role(r), From: c.deps.Now()})
	}
	a, secret, err := c.deps.Identity.CreateAccount(p.ctx(), n, p.who.Actor)
	return c.settingsAgain(p, a.Name, secret, err)
}

func (c *Console) accountPost(p *page) error {
	id := garrison.AccountID(p.r.PathValue("id"))
	var err error
	switch p.r.PathValue("do") {
	case "disable":
		err = c.deps.Identity.Disable(p.ctx(), id, p.who.Actor)
	case "enable":
		err = c.deps.Identity.Enable(p.ctx(), id, p.who.Actor)
	default:
		err = garrison.Refuse(garrison.NotFound, "error.console.no_page", "path", p.r.URL.Path)
	}
	if err != nil {
		return err
	}
	return c.back(p, "/settings#accounts", p.T("settings.account_changed"))
}

func (c *Console) sessionEnd(p *page) error {
	if _, err := c.deps.Identity.Revoke(p.ctx(), p.sess.Account.ID, p.r.PathValue("id"), p.who.Actor); err != nil {
		return err
	}
	return c.back(p, "/settings#sessions", p.T("settings.session_ended"))
}

func (c *Console) addPasskeyBegin(p *page) error {
	k, err := p.r.Cookie(cookieSession)
	if err != nil {
		return err
	}
	ceremony, err := c.deps.Identity.BeginRegister(p.ctx(), identity.Secret(k.Value))
	if err != nil {
		return c.refuseJSON(p, err)
	}
	return c.json(p, 200, map[string]any{"handle": ceremony.Handle.Reveal(), "options": ceremony.Options})
}

func (c *Console) addPasskeyFinish(p *page) error {
	var in passkeyAnswer
	if err := json.NewDecoder(p.r.Body).Decode(&in); err != nil {
		return c.refuseJSON(p, garrison.Errorf(garrison.Invalid, "read the browser's answer: %w", err))
	}
	k, err := p.r.Cookie(cookieSession)
	if err != nil {
		return err
	}
	name := in.Name
	if name == "" {
		name = "passkey " + c.deps.Now().In(zone).Format(time.DateOnly)
	}
	if _, err := c.deps.Identity.FinishRegister(p.ctx(), identity.Secret(k.Value), identity.Secret(in.Handle), name, in.Answer); err != nil {
		return c.refuseJSON(p, err)
	}
	return c.json(p, 200, map[string]string{"to": "/settings#passkeys"})
}

func (c *Console) demoPost(p *page) error {
	if err := p.r.ParseForm(); err != nil {
		return err
	}
	defer c.forget()
	if p.r.PostFormValue("do") == "remove" {
		if _, err := c.deps.DemoClear(p.ctx(), p.who.Actor); err != nil {
			return err
		}
		return c.back(p, "/settings", p.T("settings.demo_removed"))
	}
	if err := c.deps.DemoFill(p.ctx(), p.who.Actor); err != nil {
		return err
	}
	return c.back(p, "/", p.T("settings.demo_filled"))
}

func (c *Console) galleryPage(p *page) error {
	f := c.frame(p, "settings", p.T("gallery.title"))
	f.Question = p.T("gallery.question")
	return c.render(p, 200, galleryTempl(f))
}

// roleName is a role as people know it.
func (f frame) roleName(r identity.Role) string {
	switch r {
	case identity.RoleSystem:
		return f.T("role.system")
	case identity.RoleSecurity:
		return f.T("role.security")
	case identity.RoleAudit:
		return f.T("role.audit")
	case identity.RoleOperator:
		return f.T("role.operator")
	case identity.RoleInspector:
		return f.T("role.inspector")
	case identity.RoleLocal:
		return f.T("role.local")
	case identity.RoleIntake:
		return f.T("role.intake")
	}
	return string(r)
}

func (f frame) grants(g []identity.Grant) string {
	var out []string
	for _, x := range g {
		out = append(out, f.roleName(x.Role))
	}
	return f.list(out)
}

// list joins words as the language does.
func (f frame) list(words []string) string {
	if len(words) == 0 {
		return "—"
	}
	return strings.Join(words, f.T("word.comma"))
}

func joined(words []string) string { return strings.Join(words, " · ") }

func (f frame) accountState(s string) string {
	switch s {
	case "active":
		return f.T("account.active")
	case "invited":
		return f.T("account.invited")
	case "disabled":
		return f.T("account.disabled")
	}
	return f.T("word.unknown")
}
