package identity

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"garrison"
	"garrison/internal/state"
)

// Config holds the limits and names of signing in.
type Config struct {
	Issuer        string          // shown by authenticator apps
	KeyFile       string          // seals the seeds of one-time codes; made at Start, mode 0600; best outside the data directory
	IdleLimit     time.Duration   // a session not used for this long ends
	AbsoluteLimit time.Duration   // a session ends this long after sign-in, used or not
	StrongFor     time.Duration   // how long after a full sign-in a session may do what needs a fresh one
	LockAfter     int             // wrong guesses from one address prefix before it is locked for the account
	LockFor       time.Duration   // how long the first lock lasts; doubles, at most a day
	RPID          string          // domain of passkeys
	Origins       func() []string // allowed origins of passkeys, "https://localhost:8443"; known once listeners are open
}

// DefaultConfig returns complete settings but for KeyFile and Origins.
func DefaultConfig() Config {
	return Config{
		Issuer: "Garrison", IdleLimit: 30 * time.Minute, AbsoluteLimit: 12 * time.Hour, StrongFor: 10 * time.Minute,
		LockAfter: 5, LockFor: time.Minute, RPID: "localhost",
	}
}

// Deps is what identity needs from others.
type Deps struct {
	DB  *state.DB
	Now func() time.Time
	Log *slog.Logger
}

// Identity is the component. All methods are safe for concurrent use.
type Identity struct{}

// New checks the configuration and builds; it touches nothing.
func New(cfg Config, deps Deps) (*Identity, error) { return &Identity{}, nil }

// Start migrates the tables and registers them for audit.
func (i *Identity) Start(ctx context.Context) error { return notBuilt() }

// Stop waits for work in progress.
func (i *Identity) Stop(ctx context.Context) error { return nil }

// FirstSecret returns the one-time secret of the first administrator while no account
// exists. kept is what the caller still has in its file: it comes back unchanged when
// it is the valid one, otherwise a new one replaces it.
func (i *Identity) FirstSecret(ctx context.Context, kept Secret) (secret Secret, needed bool, err error) {
	return "", false, notBuilt()
}

// EnrolRequest is the first step of enrolment: the first administrator's secret or an
// invitation, and what the person chooses.
type EnrolRequest struct {
	Secret   Secret
	Name     string // empty with an invitation: as invited
	Login    string // empty with an invitation: as invited
	Password Secret
}

// Enrolment is what the second step needs. Nothing exists until ConfirmTOTP.
type Enrolment struct {
	Handle     Secret // names the enrolment in the second step
	Login      string
	Name       string
	TOTPURL    string // otpauth://…
	TOTPSecret Secret // base32, for typing
	QR         []byte // PNG of TOTPURL
	Expires    time.Time
}

// Enrol checks the secret and the choices.
func (i *Identity) Enrol(ctx context.Context, r EnrolRequest) (Enrolment, error) {
	return Enrolment{}, notBuilt()
}

// ConfirmTOTP ends an enrolment with a first code: in one transaction the account is
// made or completed and the secret is used up. It signs the person in.
func (i *Identity) ConfirmTOTP(ctx context.Context, handle Secret, code string, from netip.Addr, device string) (Session, Secret, error) {
	return Session{}, "", notBuilt()
}

// SignIn checks password and one-time code and opens a session. The second result is
// the session's token, for the cookie.
func (i *Identity) SignIn(ctx context.Context, login string, password Secret, code string, from netip.Addr, device string) (Session, Secret, error) {
	return Session{}, "", notBuilt()
}

// StepUp checks a fresh one-time code and lengthens Session.StrongUntil.
func (i *Identity) StepUp(ctx context.Context, token Secret, code string, from netip.Addr) (Session, error) {
	return Session{}, notBuilt()
}

// Session returns the live session of a token, and counts as use.
func (i *Identity) Session(ctx context.Context, token Secret) (Session, error) {
	return Session{}, notBuilt()
}

// SignOut ends the session of a token.
func (i *Identity) SignOut(ctx context.Context, token Secret) error { return notBuilt() }

// Sessions returns the live sessions of an account, newest first.
func (i *Identity) Sessions(ctx context.Context, account garrison.AccountID) ([]Session, error) {
	return nil, notBuilt()
}

// Revoke ends one session of an account; an empty id ends all of them.
func (i *Identity) Revoke(ctx context.Context, account garrison.AccountID, session string, by garrison.Actor) (int, error) {
	return 0, notBuilt()
}

func notBuilt() error { return garrison.Errorf(garrison.Unavailable, "identity: not built yet") }
