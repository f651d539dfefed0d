package identity

import (
	"context"
	"encoding/json"
	"net/netip"
	"time"

	"garrison"
)

// Passkey is one registered authenticator.
type Passkey struct {
	ID       string
	Name     string
	Created  time.Time
	LastUsed time.Time
}

// Ceremony is the server's half of a passkey exchange: Options go to the browser,
// Handle comes back with its answer.
type Ceremony struct {
	Handle  Secret
	Options json.RawMessage // argument of navigator.credentials.create or .get
}

// BeginRegister starts adding a passkey to the session's account. The session must be strong.
func (i *Identity) BeginRegister(ctx context.Context, token Secret) (Ceremony, error) {
	return Ceremony{}, notBuilt()
}

// FinishRegister ends it with the browser's answer.
func (i *Identity) FinishRegister(ctx context.Context, token, handle Secret, name string, answer []byte) (Passkey, error) {
	return Passkey{}, notBuilt()
}

// BeginLogin starts signing in with a passkey the browser finds by itself.
func (i *Identity) BeginLogin(ctx context.Context, from netip.Addr) (Ceremony, error) {
	return Ceremony{}, notBuilt()
}

// FinishLogin ends it and opens a session.
func (i *Identity) FinishLogin(ctx context.Context, handle Secret, answer []byte, from netip.Addr, device string) (Session, Secret, error) {
	return Session{}, "", notBuilt()
}

// Passkeys lists an account's passkeys.
func (i *Identity) Passkeys(ctx context.Context, account garrison.AccountID) ([]Passkey, error) {
	return nil, notBuilt()
}

// RemovePasskey removes one.
func (i *Identity) RemovePasskey(ctx context.Context, account garrison.AccountID, id string, by garrison.Actor) error {
	return notBuilt()
}
