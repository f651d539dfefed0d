package identity

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"garrison"
	"garrison/internal/state"
)

// Session is one signed-in browser.
type Session struct {
	ID          string // public name, not the token
	Account     Account
	Roles       []Role // in effect now
	Created     time.Time
	LastSeen    time.Time // to the minute
	Expires     time.Time // the absolute limit
	StrongUntil time.Time // until then it may do what needs a fresh sign-in
	From        netip.Addr
	Device      string
	Method      string // totp | passkey
}

// Principal returns the session's person as one who asks.
func (s Session) Principal() Principal {
	return Principal{Actor: s.Account.Actor(), Roles: s.Roles, Session: &s}
}

const (
	seenEvery   = time.Minute // a session in use is written this often, not at every request
	maxSessions = 10          // of one account; the oldest makes room
	maxDevice   = 200
)

// SignIn checks password and one-time code and opens a session. The second result is
// the session's token, for the cookie.
func (i *Identity) SignIn(ctx context.Context, login string, password Secret, code string, from netip.Addr, device string) (Session, Secret, error) {
	login = canonicalLogin(login)
	if len(login) > 256 {
		login = login[:256]
	}
	key := i.ring.blind("login", login)
	if err := i.admit(ctx, key, from); err != nil {
		return Session{}, "", err
	}
	c, err := i.candidate(ctx, login)
	if err != nil {
		return Session{}, "", err
	}
	// Everything is computed for everybody: a login that does not exist must not
	// answer sooner than one that does.
	right, cost, err := i.match(ctx, password, c.secret.password)
	if err != nil {
		return Session{}, "", err
	}
	_, fresh := codeStep(c.seed, tidyCode(code), i.now(), c.secret.step)
	if !c.exists || !right || !fresh {
		return Session{}, "", errWrong
	}
	rehashed := ""
	if cost.weaker(i.cfg.Hash) {
		if rehashed, err = i.hash(ctx, password); err != nil {
			return Session{}, "", err
		}
	}
	var session Session
	var token Secret
	err = i.db.Write(ctx, func(tx *state.Tx) error {
		a, err := i.useCode(ctx, tx, c.account.ID, code, rehashed)
		if err != nil {
			return err
		}
		if err := i.welcome(ctx, tx, key, from, i.now()); err != nil {
			return err
		}
		session, token, err = i.openSession(ctx, tx, a, from, device, "totp", i.now())
		return err
	})
	return session, token, err
}

// candidate is the account that a login may be of.
type candidate struct {
	exists  bool
	account Account
	secret  secretRow
	seed    string
}

// decoySeed makes codes for logins that do not exist; exists keeps them from counting.
const decoySeed = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"

func (i *Identity) candidate(ctx context.Context, login string) (candidate, error) {
	c := candidate{secret: secretRow{password: i.decoy}, seed: decoySeed}
	err := i.db.Read(ctx, func(q state.Querier) error {
		a, err := i.account(ctx, q, selectByLogin, login)
		if errors.Is(err, errNoAccount) {
			return nil
		}
		if err != nil {
			return err
		}
		s, found, err := i.secret(ctx, q, string(a.ID))
		if err != nil || !found || a.State != StateActive {
			return err
		}
		seed, err := i.ring.open(s.totp, seedPurpose(s.account))
		if err != nil {
			return err
		}
		c = candidate{exists: true, account: a, secret: s, seed: string(seed)}
		return nil
	})
	return c, err
}

// useCode uses a one-time code up inside a transaction: of two that come with the
// same code one is refused.
func (i *Identity) useCode(ctx context.Context, tx *state.Tx, id garrison.AccountID, code, rehashed string) (Account, error) {
	a, err := i.account(ctx, tx, selectAccount, string(id))
	if err != nil {
		return Account{}, err
	}
	s, found, err := i.secret(ctx, tx, string(id))
	if err != nil {
		return Account{}, err
	}
	if !found || a.State != StateActive {
		return Account{}, errWrong
	}
	seed, err := i.ring.open(s.totp, seedPurpose(s.account))
	if err != nil {
		return Account{}, err
	}
	step, ok := codeStep(string(seed), tidyCode(code), i.now(), s.step)
	if !ok {
		return Account{}, errWrong
	}
	s.step, s.signedIn = step, state.Micros(i.now())
	if rehashed != "" {
		s.password = rehashed
	}
	return a, i.saveSecret(ctx, tx, s)
}

// openSession makes a session and its token.
func (i *Identity) openSession(ctx context.Context, tx *state.Tx, a Account, from netip.Addr, device, method string, now time.Time) (Session, Secret, error) {
	if err := i.makeRoom(ctx, tx, a); err != nil {
		return Session{}, "", err
	}
	token, err := randomSecret("")
	if err != nil {
		return Session{}, "", err
	}
	address := ""
	if from.IsValid() {
		address = from.Unmap().WithZone("").String()
	}
	s := sessionRow{digest: digest(token), id: garrison.NewID("session"), account: string(a.ID), created: state.Micros(now),
		expires: state.Micros(now.Add(i.cfg.AbsoluteLimit)), address: address, device: plain(device), method: method,
		seen: state.Micros(now), strong: state.Micros(now.Add(i.cfg.StrongFor))}
	s.mac = i.ring.sum("session", s.fields()...)
	_, err = tx.Exec(ctx, insertSession, s.digest, s.id, s.account, s.created, s.expires, s.address, s.device, s.method, s.seen, s.strong, s.mac)
	if err != nil {
		return Session{}, "", fmt.Errorf("open a session: %w", err)
	}
	if _, err := tx.Record(ctx, state.Change{Kind: kindSession, ID: s.id, Doc: s.doc(), By: a.Actor(), What: "signed_in"}); err != nil {
		return Session{}, "", err
	}
	return s.public(a, now), token, nil
}

// plain keeps what a browser says of itself short and printable.
func plain(device string) string {
	device = strings.Map(func(r rune) rune {
		if unprintable(r) || r == '\uFFFD' {
			return -1
		}
		return r
	}, device)
	if r := []rune(device); len(r) > maxDevice {
		device = string(r[:maxDevice])
	}
	return device
}

// makeRoom ends the oldest session of an account that has too many.
func (i *Identity) makeRoom(ctx context.Context, tx *state.Tx, a Account) error {
	all, err := sessions(ctx, tx)
	if err != nil {
		return err
	}
	n := 0
	for _, s := range all { // newest first
		if s.account != string(a.ID) {
			continue
		}
		if n++; n >= maxSessions {
			if err := i.endSession(ctx, tx, s, garrison.System("identity"), "replaced"); err != nil {
				return err
			}
		}
	}
	return nil
}

func (i *Identity) endSession(ctx context.Context, tx *state.Tx, s sessionRow, by garrison.Actor, what string) error {
	if _, err := tx.Exec(ctx, deleteSession, s.digest); err != nil {
		return fmt.Errorf("end a session: %w", err)
	}
	_, err := tx.Record(ctx, state.Change{Kind: kindSession, ID: s.id, By: by, What: what})
	return err
}

// endSessions ends all sessions that a function picks.
func (i *Identity) endSessions(ctx context.Context, tx *state.Tx, by garrison.Actor, what string, pick func(sessionRow) bool) (int, error) {
	all, err := sessions(ctx, tx)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, s := range all {
		if !pick(s) {
			continue
		}
		if err := i.endSession(ctx, tx, s, by, what); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// session loads a live session by its token.
func (i *Identity) session(ctx context.Context, q state.Querier, token Secret) (sessionRow, Account, error) {
	s, err := scanSession(q.QueryRow(ctx, selectSession, digest(token)))
	if errors.Is(err, state.ErrNoRows) {
		return sessionRow{}, Account{}, errNoSession
	}
	if err != nil {
		return sessionRow{}, Account{}, fmt.Errorf("load a session: %w", err)
	}
	if !i.ring.holds(s.mac, "session", s.fields()...) {
		return sessionRow{}, Account{}, garrison.Errorf(garrison.Damaged, "session %q was changed by somebody else", s.id)
	}
	a, err := i.account(ctx, q, selectAccount, s.account)
	if err != nil {
		return sessionRow{}, Account{}, err
	}
	if a.State != StateActive || !s.live(i.now(), i.cfg.IdleLimit) {
		return sessionRow{}, Account{}, errNoSession
	}
	return s, a, nil
}

func (i *Identity) saveSession(ctx context.Context, tx *state.Tx, s sessionRow) error {
	s.mac = i.ring.sum("session", s.fields()...)
	if _, err := tx.Exec(ctx, updateSession, s.digest, s.seen, s.strong, s.mac); err != nil {
		return fmt.Errorf("note that a session is in use: %w", err)
	}
	return nil
}

// Session returns the live session of a token, and counts as use.
func (i *Identity) Session(ctx context.Context, token Secret) (Session, error) {
	var s sessionRow
	var a Account
	err := i.db.Read(ctx, func(q state.Querier) (err error) {
		s, a, err = i.session(ctx, q, token)
		return err
	})
	if err != nil {
		return Session{}, err
	}
	now := i.now()
	if now.Sub(state.Time(s.seen)) < seenEvery {
		return s.public(a, now), nil
	}
	err = i.db.Write(ctx, func(tx *state.Tx) (err error) {
		if s, a, err = i.session(ctx, tx, token); err != nil {
			return err
		}
		s.seen = state.Micros(now)
		return i.saveSession(ctx, tx, s)
	})
	if err != nil {
		return Session{}, err
	}
	return s.public(a, now), nil
}

// StepUp checks a fresh one-time code and lengthens Session.StrongUntil.
func (i *Identity) StepUp(ctx context.Context, token Secret, code string, from netip.Addr) (Session, error) {
	current, err := i.Session(ctx, token)
	if err != nil {
		return Session{}, err
	}
	key := i.ring.blind("login", current.Account.Login)
	if err := i.admit(ctx, key, from); err != nil {
		return Session{}, err
	}
	var stepped Session
	err = i.db.Write(ctx, func(tx *state.Tx) error {
		s, _, err := i.session(ctx, tx, token)
		if err != nil {
			return err
		}
		a, err := i.useCode(ctx, tx, garrison.AccountID(s.account), code, "")
		if err != nil {
			return err
		}
		now := i.now()
		if err := i.welcome(ctx, tx, key, from, now); err != nil {
			return err
		}
		s.strong, s.seen = state.Micros(now.Add(i.cfg.StrongFor)), state.Micros(now)
		stepped = s.public(a, now)
		return i.saveSession(ctx, tx, s)
	})
	return stepped, err
}

// SignOut ends the session of a token. One that has ended already is no error.
func (i *Identity) SignOut(ctx context.Context, token Secret) error {
	return i.db.Write(ctx, func(tx *state.Tx) error {
		s, a, err := i.session(ctx, tx, token)
		if errors.Is(err, errNoSession) {
			return nil
		}
		if err != nil {
			return err
		}
		return i.endSession(ctx, tx, s, a.Actor(), "signed_out")
	})
}

// Sessions returns the live sessions of an account, newest first; of all accounts
// when the account is empty.
func (i *Identity) Sessions(ctx context.Context, id garrison.AccountID) ([]Session, error) {
	var out []Session
	err := i.db.Read(ctx, func(q state.Querier) error {
		out = nil
		people, err := accounts(ctx, q)
		if err != nil {
			return err
		}
		all, err := sessions(ctx, q)
		if err != nil {
			return err
		}
		now := i.now()
		for _, s := range all {
			at := slices.IndexFunc(people, func(a Account) bool { return string(a.ID) == s.account })
			if at >= 0 && (id == "" || people[at].ID == id) && s.live(now, i.cfg.IdleLimit) {
				out = append(out, s.public(people[at], now))
			}
		}
		return nil
	})
	return out, err
}

// Revoke ends one session of an account; an empty id ends all of them. It returns how
// many ended.
func (i *Identity) Revoke(ctx context.Context, id garrison.AccountID, session string, by garrison.Actor) (n int, err error) {
	err = i.db.Write(ctx, func(tx *state.Tx) error {
		n, err = i.endSessions(ctx, tx, by, "revoked", func(s sessionRow) bool {
			return s.account == string(id) && (session == "" || s.id == session)
		})
		return err
	})
	return n, err
}
