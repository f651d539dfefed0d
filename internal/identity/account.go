package identity

import (
	"context"
	"net/netip"
	"time"

	"garrison"
)

// Account is one person's account.
type Account struct {
	ID         garrison.AccountID
	Login      string
	Name       string
	Grants     []Grant
	State      string // invited | active | disabled
	TOTP       bool
	Passkeys   int
	Created    time.Time
	LastSignIn time.Time
	Version    int
}

// Grant is a role for a stretch of time.
type Grant struct {
	Role  Role      `json:"role"`
	From  time.Time `json:"from"`
	Until time.Time `json:"until,omitzero"` // zero: until withdrawn
}

// Session is one signed-in browser.
type Session struct {
	ID          string // public name, not the token
	Account     Account
	Roles       []Role // in effect now
	Created     time.Time
	LastSeen    time.Time
	Expires     time.Time // the absolute limit
	StrongUntil time.Time // until then it may do what needs a fresh sign-in
	From        netip.Addr
	Device      string
	Method      string // totp | passkey
}

// NewAccount is an invitation.
type NewAccount struct {
	Login  string
	Name   string
	Grants []Grant
}

// CreateAccount makes an invited account and returns the invitation secret, which is
// good for one enrolment within seven days.
func (i *Identity) CreateAccount(ctx context.Context, n NewAccount, by garrison.Actor) (Account, Secret, error) {
	return Account{}, "", notBuilt()
}

// Accounts lists all accounts by login.
func (i *Identity) Accounts(ctx context.Context) ([]Account, error) { return nil, notBuilt() }

// Account returns one account.
func (i *Identity) Account(ctx context.Context, id garrison.AccountID) (Account, error) {
	return Account{}, notBuilt()
}

// SetRoles replaces the grants of an account.
func (i *Identity) SetRoles(ctx context.Context, id garrison.AccountID, version int, grants []Grant, by garrison.Actor) (Account, error) {
	return Account{}, notBuilt()
}

// Disable ends an account's use: its sessions, tokens and roles stop at once.
func (i *Identity) Disable(ctx context.Context, id garrison.AccountID, by garrison.Actor) error {
	return notBuilt()
}

// Enable reverses Disable.
func (i *Identity) Enable(ctx context.Context, id garrison.AccountID, by garrison.Actor) error {
	return notBuilt()
}

// ChangePassword sets a new password after checking the old one and ends all other sessions.
func (i *Identity) ChangePassword(ctx context.Context, token, old, new Secret) error {
	return notBuilt()
}
