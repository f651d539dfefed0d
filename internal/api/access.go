package api

import (
	"context"
	"net/http"
	"time"

	"garrison"
	"garrison/client"
	"garrison/internal/identity"
)

func (a *API) declareOpen() {
	op(a, http.MethodGet, "/api/health", public, "Whether the program answers", 200, a.health)
	op(a, http.MethodGet, "/api/openapi.json", public, "This contract", 200, a.contract)
	op(a, http.MethodGet, "/api/public-key", public, "The log's verifier key, for garrison-verify --key", 200, a.publicKey)
}

func (a *API) declareAccess() {
	op(a, http.MethodGet, "/api/me", anyone, "Who is asking", 200, a.me)
	op(a, http.MethodGet, "/api/doctor", identity.PermSettingsRead, "The state of the installation", 200, a.doctor)
	op(a, http.MethodGet, "/api/tokens", identity.PermAccountsRead, "API tokens", 200, a.tokens)
	op(a, http.MethodPost, "/api/tokens", identity.PermTokensWrite, "Make a token; its secret is shown once", 201, a.createToken)
	op(a, http.MethodDelete, "/api/tokens/{id}", identity.PermTokensWrite, "End a token", 204, a.revokeToken)
	op(a, http.MethodGet, "/api/accounts", identity.PermAccountsRead, "Accounts", 200, a.accounts)
	op(a, http.MethodPost, "/api/demo", identity.PermDemo, "Fill an empty installation with a fictional operator", 201, a.fillDemo)
	op(a, http.MethodDelete, "/api/demo", identity.PermDemo, "Remove what the demonstration made", 200, a.clearDemo)
}

func (a *API) health(context.Context, *struct{}) (*body[map[string]bool], error) {
	return answer(map[string]bool{"alive": true}), nil
}

func (a *API) contract(context.Context, *struct{}) (*text, error) {
	doc, err := a.Contract()
	if err != nil {
		return nil, err
	}
	return &text{"application/json", doc}, nil
}

func (a *API) publicKey(context.Context, *struct{}) (*text, error) {
	return plain([]byte(a.deps.Ledger.PublicKey() + "\n")), nil
}

func (a *API) me(ctx context.Context, _ *struct{}) (*body[client.Me], error) {
	p := who(ctx)
	m := client.Me{Kind: string(p.Actor.Kind), Name: p.Actor.Name, Roles: []string{}}
	for _, r := range p.Roles {
		m.Roles = append(m.Roles, string(r))
	}
	return answer(m), nil
}

func (a *API) doctor(ctx context.Context, _ *struct{}) (*body[client.Doctor], error) {
	return answer(client.Doctor{Version: a.deps.Version, Checks: a.deps.Conditions(ctx)}), nil
}

func showToken(t identity.Token) client.Token {
	return client.Token{ID: string(t.ID), Name: t.Name, Role: string(t.Role), Created: t.Created, Expires: t.Expires, LastUsed: t.LastUsed, Revoked: t.Revoked}
}

func (a *API) tokens(ctx context.Context, _ *struct{}) (*body[client.Tokens], error) {
	list, err := a.deps.Identity.Tokens(ctx)
	if err != nil {
		return nil, err
	}
	out := client.Tokens{Tokens: []client.Token{}}
	for _, t := range list {
		out.Tokens = append(out.Tokens, showToken(t))
	}
	return answer(out), nil
}

func (a *API) createToken(ctx context.Context, in *struct {
	Body struct {
		Role    string    `json:"role" maxLength:"40"`
		Name    string    `json:"name,omitempty" maxLength:"120"`
		Expires time.Time `json:"expires,omitzero"`
	}
}) (*body[client.Token], error) {
	p := who(ctx)
	name := in.Body.Name
	if name == "" {
		name = in.Body.Role
	}
	if !p.MayMake(identity.Role(in.Body.Role)) {
		return nil, garrison.Refuse(garrison.Denied, "error.identity.token_role", "role", in.Body.Role)
	}
	secret, t, err := a.deps.Identity.CreateToken(ctx, identity.Role(in.Body.Role), name, in.Body.Expires, p.Actor)
	if err != nil {
		return nil, err
	}
	out := showToken(t)
	out.Secret = secret.Reveal()
	return answer(out), nil
}

func (a *API) revokeToken(ctx context.Context, in *ByID) (*struct{}, error) {
	return nil, a.deps.Identity.RevokeToken(ctx, garrison.TokenID(in.ID), who(ctx).Actor)
}

type account struct {
	ID       string   `json:"id"`
	Login    string   `json:"login"`
	Name     string   `json:"name"`
	State    string   `json:"state"`
	Roles    []string `json:"roles"`
	TOTP     bool     `json:"totp"`
	Passkeys int      `json:"passkeys"`
}

func (a *API) accounts(ctx context.Context, _ *struct{}) (*body[struct {
	Accounts []account `json:"accounts"`
}], error) {
	list, err := a.deps.Identity.Accounts(ctx)
	if err != nil {
		return nil, err
	}
	out := struct {
		Accounts []account `json:"accounts"`
	}{Accounts: []account{}}
	for _, c := range list {
		s := account{ID: string(c.ID), Login: c.Login, Name: c.Name, State: c.State, Roles: []string{}, TOTP: c.TOTP, Passkeys: c.Passkeys}
		for _, g := range c.Grants {
			s.Roles = append(s.Roles, string(g.Role))
		}
		out.Accounts = append(out.Accounts, s)
	}
	return answer(out), nil
}

func (a *API) fillDemo(ctx context.Context, _ *struct{}) (*body[map[string]bool], error) {
	if a.deps.DemoFill == nil {
		return nil, garrison.Refuse(garrison.Unavailable, "error.demo.not_here")
	}
	if err := a.deps.DemoFill(ctx, who(ctx).Actor); err != nil {
		return nil, err
	}
	return answer(map[string]bool{"filled": true}), nil
}

func (a *API) clearDemo(ctx context.Context, _ *struct{}) (*body[map[string]int], error) {
	if a.deps.DemoClear == nil {
		return nil, garrison.Refuse(garrison.Unavailable, "error.demo.not_here")
	}
	n, err := a.deps.DemoClear(ctx, who(ctx).Actor)
	if err != nil {
		return nil, err
	}
	return answer(map[string]int{"removed": n}), nil
}
