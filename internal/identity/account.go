package identity

import (
	"context"
	"fmt"
	"slices"
	"time"

	"garrison"
	"garrison/internal/state"
)

// States of an account.
const (
	StateInvited  = "invited"
	StateActive   = "active"
	StateDisabled = "disabled"
)

// Account is one person's account.
type Account struct {
	ID         garrison.AccountID
	Login      string
	Name       string
	Grants     []Grant
	State      string // StateInvited, StateActive or StateDisabled
	TOTP       bool
	Passkeys   int
	Created    time.Time
	LastSignIn time.Time
	Version    int
}

// Actor returns the account as one who does something.
func (a Account) Actor() garrison.Actor {
	return garrison.Actor{Kind: garrison.ByPerson, ID: string(a.ID), Name: a.Name}
}

// RolesAt returns the roles in effect at a moment; none unless the account is active.
func (a Account) RolesAt(at time.Time) []Role {
	if a.State != StateActive {
		return nil
	}
	var roles []Role
	for _, g := range a.Grants {
		if (garrison.Period{From: g.From, Until: g.Until}).Contains(at) && !slices.Contains(roles, g.Role) {
			roles = append(roles, g.Role)
		}
	}
	return roles
}

// Grant is a role for a stretch of time.
type Grant struct {
	Role  Role      `json:"role"`
	From  time.Time `json:"from"`
	Until time.Time `json:"until,omitzero"` // zero: until withdrawn
}

// NewAccount is an invitation.
type NewAccount struct {
	Login  string
	Name   string
	Grants []Grant
}

const (
	maxAccounts = 10_000
	maxGrants   = 20
)

// CreateAccount makes an invited account and returns the invitation secret, which is
// good for one enrolment within seven days.
func (i *Identity) CreateAccount(ctx context.Context, n NewAccount, by garrison.Actor) (Account, Secret, error) {
	a := Account{ID: garrison.AccountID(garrison.NewID("account")), Login: canonicalLogin(n.Login), Name: n.Name, State: StateInvited, Created: i.now()}
	if err := checkNames(a.Login, a.Name); err != nil {
		return Account{}, "", err
	}
	var secret Secret
	err := i.db.Write(ctx, func(tx *state.Tx) error {
		all, err := accounts(ctx, tx)
		if err != nil {
			return err
		}
		if len(all) == 0 {
			return garrison.Refuse(garrison.Conflict, "error.identity.first_missing")
		}
		if len(all) >= maxAccounts {
			return garrison.Refuse(garrison.TooLarge, "error.identity.too_many", "max", maxAccounts)
		}
		if a.Grants, err = i.checkGrants(n.Grants, a.ID, all); err != nil {
			return err
		}
		a.Version = 0
		if a, err = i.saveAccount(ctx, tx, a, "invited", by); err != nil {
			return err
		}
		secret, err = i.issue(ctx, tx, onceInvite, invitePrefix, string(a.ID), i.now().Add(inviteFor), struct{}{})
		return err
	})
	if err != nil {
		return Account{}, "", err
	}
	return a, secret, nil
}

// Invite gives a new invitation to an account that has not enrolled; the old one
// stops working.
func (i *Identity) Invite(ctx context.Context, id garrison.AccountID, by garrison.Actor) (Secret, error) {
	var secret Secret
	err := i.db.Write(ctx, func(tx *state.Tx) error {
		a, err := i.account(ctx, tx, selectAccount, string(id))
		if err != nil {
			return err
		}
		if a.State != StateInvited {
			return garrison.Refuse(garrison.Conflict, "error.identity.not_invited")
		}
		if _, err := tx.Exec(ctx, deleteOnceOf, onceInvite, string(id)); err != nil {
			return fmt.Errorf("replace an invitation: %w", err)
		}
		if _, err := i.saveAccount(ctx, tx, a, "invited_again", by); err != nil {
			return err
		}
		secret, err = i.issue(ctx, tx, onceInvite, invitePrefix, string(id), i.now().Add(inviteFor), struct{}{})
		return err
	})
	return secret, err
}

// checkGrants checks roles and dates, and that the three duties stay apart.
func (i *Identity) checkGrants(grants []Grant, id garrison.AccountID, all []Account) ([]Grant, error) {
	if len(grants) > maxGrants {
		return nil, garrison.Refuse(garrison.TooLarge, "error.identity.too_many", "max", maxGrants)
	}
	out := make([]Grant, 0, len(grants))
	for _, g := range grants {
		if !slices.Contains(PersonRoles(), g.Role) {
			return nil, garrison.Refuse(garrison.Invalid, "error.identity.role_unknown", "role", string(g.Role))
		}
		if g.From.IsZero() {
			g.From = i.now()
		}
		g.From, g.Until = g.From.UTC().Truncate(time.Microsecond), g.Until.UTC().Truncate(time.Microsecond)
		if !g.Until.IsZero() && !g.From.Before(g.Until) {
			return nil, garrison.Refuse(garrison.Invalid, "error.identity.grant_dates", "role", string(g.Role))
		}
		out = append(out, g)
	}
	if err := i.checkDuties(out, id, all); err != nil {
		return nil, err
	}
	return out, nil
}

// The three duties that no one person can hold together.
var threeDuties = []Role{RoleSystem, RoleSecurity, RoleAudit}

// checkDuties lets one person hold system and security only while there is nobody
// else to hold one of them.
func (i *Identity) checkDuties(grants []Grant, id garrison.AccountID, all []Account) error {
	for n, g := range grants {
		for _, h := range grants[n+1:] {
			if !clash(g, h) {
				continue
			}
			alone := !slices.ContainsFunc(all, func(a Account) bool { return a.ID != id && a.State != StateDisabled })
			if g.Role == RoleAudit || h.Role == RoleAudit || !alone {
				return garrison.Refuse(garrison.Conflict, "error.identity.duties", "one", string(g.Role), "other", string(h.Role))
			}
		}
	}
	return nil
}

// clash says whether two grants give two of the three duties at one moment.
func clash(g, h Grant) bool {
	if g.Role == h.Role || !slices.Contains(threeDuties, g.Role) || !slices.Contains(threeDuties, h.Role) {
		return false
	}
	return (h.Until.IsZero() || g.From.Before(h.Until)) && (g.Until.IsZero() || h.From.Before(g.Until))
}

// MustSplit returns the accounts that hold two of the three duties although there is
// somebody else by now; the console says so until it is put right.
func (i *Identity) MustSplit(ctx context.Context) ([]Account, error) {
	all, err := i.Accounts(ctx)
	if err != nil {
		return nil, err
	}
	var out []Account
	for _, a := range all {
		if a.State != StateDisabled && i.checkDuties(a.Grants, a.ID, all) != nil {
			out = append(out, a)
		}
	}
	return out, nil
}

// Accounts lists all accounts by login.
func (i *Identity) Accounts(ctx context.Context) ([]Account, error) {
	var all []Account
	err := i.db.Read(ctx, func(q state.Querier) (err error) {
		if all, err = accounts(ctx, q); err != nil {
			return err
		}
		return i.addFactors(ctx, q, all)
	})
	return all, err
}

// Account returns one account.
func (i *Identity) Account(ctx context.Context, id garrison.AccountID) (Account, error) {
	one := make([]Account, 1)
	err := i.db.Read(ctx, func(q state.Querier) (err error) {
		if one[0], err = i.account(ctx, q, selectAccount, string(id)); err != nil {
			return err
		}
		return i.addFactors(ctx, q, one)
	})
	return one[0], err
}

// addFactors fills in what the list shows about factors and use.
func (i *Identity) addFactors(ctx context.Context, q state.Querier, all []Account) error {
	at := map[string]int{}
	for n, a := range all {
		at[string(a.ID)] = n
	}
	err := state.Each(ctx, q, func(row state.Scanner) error {
		s, err := scanSecret(row)
		if n, ok := at[s.account]; ok {
			all[n].TOTP, all[n].LastSignIn = s.totp != "", state.Time(s.signedIn)
		}
		return err
	}, selectSecrets)
	if err != nil {
		return fmt.Errorf("load factors: %w", err)
	}
	keys, err := passkeys(ctx, q, selectPasskeys)
	for _, k := range keys {
		if n, ok := at[k.account]; ok {
			all[n].Passkeys++
		}
	}
	return err
}

// change loads an account, lets a function change it, and saves it.
func (i *Identity) change(ctx context.Context, id garrison.AccountID, what string, by garrison.Actor,
	fn func(tx *state.Tx, a *Account, all []Account) error) (Account, error) {
	var a Account
	err := i.db.Write(ctx, func(tx *state.Tx) error {
		all, err := accounts(ctx, tx)
		if err != nil {
			return err
		}
		if a, err = i.account(ctx, tx, selectAccount, string(id)); err != nil {
			return err
		}
		if err := fn(tx, &a, all); err != nil {
			return err
		}
		if err := i.stillGoverned(a, all); err != nil {
			return err
		}
		a, err = i.saveAccount(ctx, tx, a, what, by)
		return err
	})
	return a, err
}

// stillGoverned refuses a change after which nobody could manage accounts.
func (i *Identity) stillGoverned(changed Account, all []Account) error {
	now := i.now()
	for _, a := range all {
		if a.ID == changed.ID {
			a = changed
		}
		for _, g := range a.Grants {
			if a.State == StateActive && g.Role == RoleSystem && g.Until.IsZero() && !now.Before(g.From) {
				return nil
			}
		}
	}
	return garrison.Refuse(garrison.Conflict, "error.identity.last_administrator")
}

// SetRoles replaces the grants of an account. version is the one the change was
// decided on.
func (i *Identity) SetRoles(ctx context.Context, id garrison.AccountID, version int, grants []Grant, by garrison.Actor) (Account, error) {
	return i.change(ctx, id, "roles", by, func(_ *state.Tx, a *Account, all []Account) (err error) {
		if a.Version != version {
			return garrison.Refuse(garrison.Conflict, "error.identity.changed_meanwhile")
		}
		a.Grants, err = i.checkGrants(grants, a.ID, all)
		return err
	})
}

// Disable ends an account's use: its sessions, invitations and roles stop at once.
func (i *Identity) Disable(ctx context.Context, id garrison.AccountID, by garrison.Actor) error {
	_, err := i.change(ctx, id, "disabled", by, func(tx *state.Tx, a *Account, _ []Account) error {
		a.State = StateDisabled
		for _, kind := range []string{onceInvite, onceEnrol, onceRegister} {
			if _, err := tx.Exec(ctx, deleteOnceOf, kind, string(id)); err != nil {
				return fmt.Errorf("withdraw invitations: %w", err)
			}
		}
		_, err := i.endSessions(ctx, tx, by, "revoked", func(s sessionRow) bool { return s.account == string(id) })
		return err
	})
	return err
}

// Enable reverses Disable. An account that never enrolled needs a new invitation.
func (i *Identity) Enable(ctx context.Context, id garrison.AccountID, by garrison.Actor) error {
	_, err := i.change(ctx, id, "enabled", by, func(tx *state.Tx, a *Account, _ []Account) error {
		if a.State != StateDisabled {
			return garrison.Refuse(garrison.Conflict, "error.identity.changed_meanwhile")
		}
		_, enrolled, err := i.secret(ctx, tx, string(id))
		if a.State = StateInvited; enrolled {
			a.State = StateActive
		}
		return err
	})
	return err
}

// ChangePassword sets a new password after checking the old one, and ends all other
// sessions of the account.
func (i *Identity) ChangePassword(ctx context.Context, token, old, fresh Secret) error {
	s, err := i.Session(ctx, token)
	if err != nil {
		return err
	}
	if err := i.admit(ctx, i.ring.blind("login", s.Account.Login), s.From); err != nil {
		return err
	}
	c, err := i.candidate(ctx, s.Account.Login)
	if err != nil {
		return err
	}
	right, _, err := i.match(ctx, old, c.secret.password)
	if err != nil {
		return err
	}
	if !c.exists || !right {
		return errWrong
	}
	if err := checkPassword(fresh, s.Account.Login, s.Account.Name); err != nil {
		return err
	}
	hash, err := i.hash(ctx, fresh)
	if err != nil {
		return err
	}
	return i.replacePassword(ctx, s, digest(token), hash)
}

func (i *Identity) replacePassword(ctx context.Context, s Session, current, hash string) error {
	return i.db.Write(ctx, func(tx *state.Tx) error {
		row, found, err := i.secret(ctx, tx, string(s.Account.ID))
		if err != nil || !found {
			return err
		}
		row.password = hash
		if err := i.saveSecret(ctx, tx, row); err != nil {
			return err
		}
		a, err := i.account(ctx, tx, selectAccount, string(s.Account.ID))
		if err != nil {
			return err
		}
		if _, err := i.saveAccount(ctx, tx, a, "password_changed", a.Actor()); err != nil {
			return err
		}
		if err := i.welcome(ctx, tx, i.ring.blind("login", a.Login), s.From, i.now()); err != nil {
			return err
		}
		_, err = i.endSessions(ctx, tx, a.Actor(), "revoked", func(o sessionRow) bool { return o.account == row.account && o.digest != current })
		return err
	})
}
