package identity

import (
	"context"
	"time"

	"garrison"
)

// Token is an API token of a machine or a script; its secret is shown once.
type Token struct {
	ID       garrison.TokenID
	Name     string
	Role     Role
	Created  time.Time
	Expires  time.Time
	LastUsed time.Time // to the minute
	By       garrison.Actor
	Revoked  time.Time // zero: in force
}

// CreateToken makes a token and returns its secret, "grt_…".
func (i *Identity) CreateToken(ctx context.Context, role Role, name string, expires time.Time, by garrison.Actor) (Secret, Token, error) {
	return "", Token{}, notBuilt()
}

// Tokens lists all tokens, newest first.
func (i *Identity) Tokens(ctx context.Context) ([]Token, error) { return nil, notBuilt() }

// RevokeToken ends a token.
func (i *Identity) RevokeToken(ctx context.Context, id garrison.TokenID, by garrison.Actor) error {
	return notBuilt()
}

// CheckToken returns who a token secret stands for.
func (i *Identity) CheckToken(ctx context.Context, secret Secret) (Principal, error) {
	return Principal{}, notBuilt()
}

// LocalToken makes sure that path holds a working token of role local, readable by
// its owner only, and returns it.
func (i *Identity) LocalToken(ctx context.Context, path string) (Token, error) {
	return Token{}, notBuilt()
}
