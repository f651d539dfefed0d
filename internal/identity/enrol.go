package identity

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"garrison"
	"garrison/internal/state"
)

// Secrets people type or click start with what they are for.
const (
	firstPrefix  = "grf_"
	invitePrefix = "gri_"
	handlePrefix = "grh_"

	enrolFor  = 15 * time.Minute
	inviteFor = 7 * 24 * time.Hour
)

var loginForm = regexp.MustCompile(`^[a-z0-9][a-z0-9._@-]{1,63}$`)

// FirstSecret returns the one-time secret of the first administrator while no account
// exists. kept is what the caller still has in its file: it comes back unchanged when
// it is the valid one, otherwise a new one replaces it.
func (i *Identity) FirstSecret(ctx context.Context, kept Secret) (secret Secret, needed bool, err error) {
	err = i.db.Write(ctx, func(tx *state.Tx) error {
		secret, needed = "", false
		all, err := accounts(ctx, tx)
		if err != nil || len(all) > 0 {
			return err
		}
		needed = true
		if _, err := i.lookup(ctx, tx, onceFirst, kept, &struct{}{}); err == nil {
			secret = kept
			return nil
		}
		if _, err := tx.Exec(ctx, deleteOnceOf, onceFirst, ""); err != nil {
			return fmt.Errorf("replace the first administrator's secret: %w", err)
		}
		secret, err = i.issue(ctx, tx, onceFirst, firstPrefix, "", time.Time{}, struct{}{})
		return err
	})
	return secret, needed, err
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
	TOTPURL    Secret // otpauth://…, holds the seed
	TOTPSecret Secret // the seed in base32, for typing
	QR         []byte // PNG of TOTPURL
	Expires    time.Time
}

// pending is an enrolment between its two steps, as it is sealed.
type pending struct {
	Kind     string // of the secret: onceFirst or onceInvite
	Used     string // digest of the secret
	Account  garrison.AccountID
	Login    string
	Name     string
	Password string // hash
	Seed     string
}

// Enrol checks the secret and the choices.
func (i *Identity) Enrol(ctx context.Context, r EnrolRequest) (Enrolment, error) {
	p, err := i.invited(ctx, r)
	if err != nil {
		return Enrolment{}, err
	}
	if err := checkNames(p.Login, p.Name); err != nil {
		return Enrolment{}, err
	}
	if err := checkPassword(r.Password, p.Login, p.Name); err != nil {
		return Enrolment{}, err
	}
	if p.Password, err = i.hash(ctx, r.Password); err != nil {
		return Enrolment{}, err
	}
	key, err := newSeed(i.cfg.Issuer, p.Login)
	if err != nil {
		return Enrolment{}, err
	}
	p.Seed = key.Secret()
	e := Enrolment{Login: p.Login, Name: p.Name, TOTPURL: Secret(key.URL()), TOTPSecret: Secret(p.Seed), Expires: i.now().Add(enrolFor)}
	if e.QR, err = qrOf(key.URL()); err != nil {
		return Enrolment{}, err
	}
	err = i.db.Write(ctx, func(tx *state.Tx) error {
		e.Handle, err = i.issue(ctx, tx, onceEnrol, handlePrefix, string(p.Account), e.Expires, p)
		return err
	})
	return e, err
}

// invited finds out what a secret entitles to.
func (i *Identity) invited(ctx context.Context, r EnrolRequest) (pending, error) {
	p := pending{Kind: onceFirst, Login: canonicalLogin(r.Login), Name: strings.TrimSpace(r.Name)}
	err := i.db.Read(ctx, func(q state.Querier) error {
		o, err := i.lookup(ctx, q, onceFirst, r.Secret, &struct{}{})
		if err == nil {
			p.Used, p.Account = o.digest, garrison.AccountID(garrison.NewID("account"))
			return nil
		}
		if o, err = i.lookup(ctx, q, onceInvite, r.Secret, &struct{}{}); err != nil {
			return err
		}
		a, err := i.account(ctx, q, selectAccount, o.account)
		if err != nil {
			return err
		}
		if p.Login != "" && p.Login != a.Login {
			return garrison.Refuse(garrison.Invalid, "error.identity.login_invited", "login", a.Login)
		}
		if p.Name == "" {
			p.Name = a.Name
		}
		p.Kind, p.Used, p.Account, p.Login = onceInvite, o.digest, a.ID, a.Login
		return nil
	})
	return p, err
}

func checkNames(login, name string) error {
	if !loginForm.MatchString(login) {
		return garrison.Refuse(garrison.Invalid, "error.identity.login_form")
	}
	n := utf8.RuneCountInString(name)
	if n < 1 || n > 64 || !utf8.ValidString(name) || strings.ContainsFunc(name, unprintable) {
		return garrison.Refuse(garrison.Invalid, "error.identity.name_form", "max", 64)
	}
	return nil
}

// unprintable also catches marks that turn text around: a name must read as it is.
func unprintable(r rune) bool {
	return !unicode.IsPrint(r) || unicode.Is(unicode.Bidi_Control, r)
}

// ConfirmTOTP ends an enrolment with a first code: in one transaction the account is
// made or completed and the secret is used up. It signs the person in.
func (i *Identity) ConfirmTOTP(ctx context.Context, handle Secret, code string, from netip.Addr, device string) (Session, Secret, error) {
	// Nobody guesses a handle. One that is wrong must not fill the table of guesses.
	err := i.db.Read(ctx, func(q state.Querier) error {
		_, err := i.lookup(ctx, q, onceEnrol, handle, &pending{})
		return err
	})
	if err != nil {
		return Session{}, "", err
	}
	if err := i.admit(ctx, i.ring.blind("enrol", digest(handle)), from); err != nil {
		return Session{}, "", err
	}
	var session Session
	var token Secret
	err = i.db.Write(ctx, func(tx *state.Tx) error {
		var p pending
		o, err := i.lookup(ctx, tx, onceEnrol, handle, &p)
		if err != nil {
			return err
		}
		now := i.now()
		step, ok := codeStep(p.Seed, tidyCode(code), now, 0)
		if !ok {
			return garrison.Refuse(garrison.Invalid, "error.identity.code_wrong")
		}
		if err := useUp(ctx, tx, o.digest); err != nil {
			return err
		}
		if err := useUp(ctx, tx, p.Used); err != nil {
			return err
		}
		a, err := i.complete(ctx, tx, p, now)
		if err != nil {
			return err
		}
		if err := i.saveProof(ctx, tx, p, step, now); err != nil {
			return err
		}
		if err := i.welcome(ctx, tx, i.ring.blind("login", a.Login), from, now); err != nil {
			return err
		}
		session, token, err = i.openSession(ctx, tx, a, from, device, "totp", now)
		return err
	})
	if err != nil {
		return Session{}, "", err
	}
	return session, token, nil
}

func (i *Identity) saveProof(ctx context.Context, tx *state.Tx, p pending, step int64, now time.Time) error {
	sealed, err := i.ring.seal([]byte(p.Seed), seedPurpose(string(p.Account)))
	if err != nil {
		return err
	}
	return i.saveSecret(ctx, tx, secretRow{account: string(p.Account), password: p.Password, totp: sealed, step: step, signedIn: state.Micros(now)})
}

// complete makes the first account, or an invited one active.
func (i *Identity) complete(ctx context.Context, tx *state.Tx, p pending, now time.Time) (Account, error) {
	by := garrison.Actor{Kind: garrison.ByPerson, ID: string(p.Account), Name: p.Name}
	if p.Kind == onceInvite {
		a, err := i.account(ctx, tx, selectAccount, string(p.Account))
		if err != nil {
			return Account{}, err
		}
		if a.State != StateInvited {
			return Account{}, errSecretWrong
		}
		a.Name, a.State = p.Name, StateActive
		return i.saveAccount(ctx, tx, a, "enrolled", by)
	}
	all, err := accounts(ctx, tx)
	if err != nil {
		return Account{}, err
	}
	if len(all) > 0 {
		return Account{}, garrison.Refuse(garrison.Conflict, "error.identity.not_first")
	}
	// Whoever installs must be able to do the first steps alone. The two duties part
	// as soon as there is somebody to part them with; see MustSplit.
	a := Account{ID: p.Account, Login: p.Login, Name: p.Name, State: StateActive, Created: now,
		Grants: []Grant{{Role: RoleSystem, From: now}, {Role: RoleSecurity, From: now}}}
	return i.saveAccount(ctx, tx, a, "enrolled", by)
}

// tidyCode takes the spaces out that apps show in the middle of a code.
func tidyCode(code string) string {
	if len(code) > 16 {
		return ""
	}
	return strings.Join(strings.Fields(code), "")
}
