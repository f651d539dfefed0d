package identity

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"garrison"
	"garrison/internal/state"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
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

const (
	ceremonyFor  = 5 * time.Minute
	maxPasskeys  = 20
	maxBegun     = 50 // sign-ins under way from one place; the oldest makes room
	maxAnswer    = 64 << 10
	ceremonyMark = "grc_"
)

type passkeyRow struct {
	id, account, name, credential string
	created, used                 int64
	mac                           string
}

func (p passkeyRow) fields() []any {
	return []any{p.id, p.account, p.name, p.credential, p.created, p.used}
}

func scanPasskey(row state.Scanner) (p passkeyRow, err error) {
	err = row.Scan(&p.id, &p.account, &p.name, &p.credential, &p.created, &p.used, &p.mac)
	return p, err
}

// passkeyDoc is a passkey as it is recorded. The public key is part of it: a key
// that somebody slipped into the database has no history.
type passkeyDoc struct {
	Account   string    `json:"account"`
	Name      string    `json:"name"`
	PublicKey []byte    `json:"public_key"`
	Created   time.Time `json:"created"`
}

func (p passkeyRow) parse() (webauthn.Credential, error) {
	var c webauthn.Credential
	if err := json.Unmarshal([]byte(p.credential), &c); err != nil {
		return c, garrison.Errorf(garrison.Damaged, "passkey %q cannot be read: %w", p.id, err)
	}
	return c, nil
}

func (p passkeyRow) doc() (passkeyDoc, error) {
	c, err := p.parse()
	return passkeyDoc{Account: p.account, Name: p.name, PublicKey: c.PublicKey, Created: state.Time(p.created)}, err
}

func passkeys(ctx context.Context, q state.Querier, query string, args ...any) ([]passkeyRow, error) {
	var all []passkeyRow
	err := state.Each(ctx, q, func(row state.Scanner) error {
		p, err := scanPasskey(row)
		all = append(all, p)
		return err
	}, query, args...)
	if err != nil {
		return nil, fmt.Errorf("load passkeys: %w", err)
	}
	return all, nil
}

// holder is an account as the passkey library sees it.
type holder struct {
	account Account
	rows    []passkeyRow
	keys    []webauthn.Credential
}

func (h holder) WebAuthnID() []byte                         { return []byte(h.account.ID) }
func (h holder) WebAuthnName() string                       { return h.account.Login }
func (h holder) WebAuthnDisplayName() string                { return h.account.Name }
func (h holder) WebAuthnCredentials() []webauthn.Credential { return h.keys }

// holder loads an account with its passkeys; a row that nobody here wrote is refused.
func (i *Identity) holder(ctx context.Context, q state.Querier, id string) (holder, error) {
	a, err := i.account(ctx, q, selectAccount, id)
	if err != nil {
		return holder{}, err
	}
	h := holder{account: a}
	if h.rows, err = passkeys(ctx, q, selectPasskeysOf, id); err != nil {
		return holder{}, err
	}
	for _, p := range h.rows {
		if !i.ring.holds(p.mac, "passkey", p.fields()...) {
			return holder{}, garrison.Errorf(garrison.Damaged, "passkey %q was changed by somebody else", p.id)
		}
		c, err := p.parse()
		if err != nil {
			return holder{}, err
		}
		h.keys = append(h.keys, c)
	}
	return h, nil
}

// authority is the passkey library with the origins that are known now.
func (i *Identity) authority() (*webauthn.WebAuthn, error) {
	var origins []string
	if i.cfg.Origins != nil {
		origins = i.cfg.Origins()
	}
	if len(origins) == 0 {
		return nil, garrison.Refuse(garrison.Unavailable, "error.identity.passkeys_off")
	}
	w, err := webauthn.New(&webauthn.Config{RPID: i.cfg.RPID, RPDisplayName: i.cfg.Issuer, RPOrigins: origins,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			ResidentKey:      protocol.ResidentKeyRequirementRequired,
			UserVerification: protocol.VerificationRequired, // the device checks its owner: that is the second factor
		}})
	if err != nil {
		return nil, fmt.Errorf("set passkeys up: %w", err)
	}
	return w, nil
}

// BeginRegister starts adding a passkey to the session's account. The session must be
// strong, because a passkey is a way in for ever.
func (i *Identity) BeginRegister(ctx context.Context, token Secret) (Ceremony, error) {
	w, err := i.authority()
	if err != nil {
		return Ceremony{}, err
	}
	var c Ceremony
	err = i.db.Write(ctx, func(tx *state.Tx) error {
		h, err := i.strongHolder(ctx, tx, token)
		if err != nil {
			return err
		}
		if len(h.keys) >= maxPasskeys {
			return garrison.Refuse(garrison.TooLarge, "error.identity.too_many", "max", maxPasskeys)
		}
		options, data, err := w.BeginRegistration(h, webauthn.WithExclusions(webauthn.Credentials(h.keys).CredentialDescriptors()))
		if err != nil {
			return fmt.Errorf("begin to add a passkey: %w", err)
		}
		c, err = i.ceremony(ctx, tx, onceRegister, string(h.account.ID), options, data)
		return err
	})
	return c, err
}

func (i *Identity) ceremony(ctx context.Context, tx *state.Tx, kind, account string, options any, data *webauthn.SessionData) (Ceremony, error) {
	text, err := json.Marshal(options)
	if err != nil {
		return Ceremony{}, fmt.Errorf("begin with a passkey: %w", err)
	}
	handle, err := i.issue(ctx, tx, kind, ceremonyMark, account, i.now().Add(ceremonyFor), data)
	return Ceremony{Handle: handle, Options: text}, err
}

func (i *Identity) strongHolder(ctx context.Context, q state.Querier, token Secret) (holder, error) {
	s, _, err := i.session(ctx, q, token)
	if err != nil {
		return holder{}, err
	}
	if !i.now().Before(state.Time(s.strong)) {
		return holder{}, garrison.Refuse(garrison.Denied, "error.identity.not_strong")
	}
	return i.holder(ctx, q, s.account)
}

// FinishRegister ends it with the browser's answer.
func (i *Identity) FinishRegister(ctx context.Context, token, handle Secret, name string, answer []byte) (Passkey, error) {
	name = strings.TrimSpace(name)
	if err := checkNames("passkey", name); err != nil {
		return Passkey{}, err
	}
	w, err := i.authority()
	if err != nil {
		return Passkey{}, err
	}
	if len(answer) > maxAnswer {
		return Passkey{}, garrison.Errorf(garrison.TooLarge, "a passkey's answer of %d bytes, more than %d", len(answer), maxAnswer)
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(answer)
	if err != nil {
		return Passkey{}, refusedPasskey(err)
	}
	var out Passkey
	err = i.db.Write(ctx, func(tx *state.Tx) error {
		h, err := i.strongHolder(ctx, tx, token)
		if err != nil {
			return err
		}
		var data webauthn.SessionData
		o, err := i.lookup(ctx, tx, onceRegister, handle, &data)
		if err != nil {
			return err
		}
		if o.account != string(h.account.ID) {
			return errSecretWrong
		}
		if err := useUp(ctx, tx, o.digest); err != nil {
			return err
		}
		cred, err := w.CreateCredential(h, data, parsed)
		if err != nil {
			return refusedPasskey(err)
		}
		out, err = i.addPasskey(ctx, tx, h.account, name, *cred)
		return err
	})
	return out, err
}

func (i *Identity) addPasskey(ctx context.Context, tx *state.Tx, a Account, name string, cred webauthn.Credential) (Passkey, error) {
	text, err := json.Marshal(cred)
	if err != nil {
		return Passkey{}, fmt.Errorf("add a passkey: %w", err)
	}
	p := passkeyRow{id: base64.RawURLEncoding.EncodeToString(cred.ID), account: string(a.ID), name: name,
		credential: string(text), created: state.Micros(i.now()), used: 0}
	p.mac = i.ring.sum("passkey", p.fields()...)
	_, err = tx.Exec(ctx, insertPasskey, p.id, p.account, p.name, p.credential, p.created, p.used, p.mac)
	if state.IsUnique(err) {
		return Passkey{}, garrison.Refuse(garrison.Conflict, "error.identity.passkey_known")
	}
	if err != nil {
		return Passkey{}, fmt.Errorf("add a passkey: %w", err)
	}
	doc, err := p.doc()
	if err != nil {
		return Passkey{}, err
	}
	if _, err := tx.Record(ctx, state.Change{Kind: kindPasskey, ID: recordID(p.id), Doc: doc, By: a.Actor(), What: "added"}); err != nil {
		return Passkey{}, err
	}
	return Passkey{ID: p.id, Name: p.name, Created: state.Time(p.created)}, nil
}

// recordID is under what a passkey is recorded: an authenticator may choose an id of
// up to 1023 bytes.
func recordID(id string) string { return digest(Secret(id)) }

// refusedPasskey keeps the library's reason for the log and tells the person one thing.
func refusedPasskey(err error) error {
	e := garrison.Refuse(garrison.Unauthorized, "error.identity.passkey_wrong")
	var detail *protocol.Error
	if errors.As(err, &detail) {
		err = fmt.Errorf("%s: %s", detail.Details, detail.DevInfo)
	}
	e.Err = err
	return e
}

// BeginLogin starts signing in with a passkey the browser finds by itself.
func (i *Identity) BeginLogin(ctx context.Context, from netip.Addr) (Ceremony, error) {
	w, err := i.authority()
	if err != nil {
		return Ceremony{}, err
	}
	options, data, err := w.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return Ceremony{}, fmt.Errorf("begin with a passkey: %w", err)
	}
	var c Ceremony
	err = i.db.Write(ctx, func(tx *state.Tx) error {
		// What nobody came back for must not fill the table.
		if _, err := tx.Exec(ctx, deleteOnceExpired, state.Micros(i.now())); err != nil {
			return fmt.Errorf("remove expired secrets: %w", err)
		}
		// Anybody may begin. Who begins without end pushes out his own, not others'.
		at := i.ring.blind("begun", place(from))
		if _, err := tx.Exec(ctx, deleteOnceOldest, onceLogin, at, maxBegun-1); err != nil {
			return fmt.Errorf("make room to begin with a passkey: %w", err)
		}
		c, err = i.ceremony(ctx, tx, onceLogin, at, options, data)
		return err
	})
	return c, err
}

// FinishLogin ends it and opens a session. A passkey that verified its owner is
// possession and knowledge (or likeness) at once, so no code is asked for.
func (i *Identity) FinishLogin(ctx context.Context, handle Secret, answer []byte, from netip.Addr, device string) (Session, Secret, error) {
	w, err := i.authority()
	if err != nil {
		return Session{}, "", err
	}
	if len(answer) > maxAnswer {
		return Session{}, "", garrison.Errorf(garrison.TooLarge, "a passkey's answer of %d bytes, more than %d", len(answer), maxAnswer)
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(answer)
	if err != nil {
		return Session{}, "", refusedPasskey(err)
	}
	var session Session
	var token Secret
	err = i.db.Write(ctx, func(tx *state.Tx) error {
		var data webauthn.SessionData
		o, err := i.lookup(ctx, tx, onceLogin, handle, &data)
		if err != nil {
			return err
		}
		if err := useUp(ctx, tx, o.digest); err != nil {
			return err
		}
		h, err := i.provedHolder(ctx, tx, w, data, parsed)
		if err != nil {
			return err
		}
		now := i.now()
		if err := i.welcome(ctx, tx, i.ring.blind("login", h.account.Login), from, now); err != nil {
			return err
		}
		session, token, err = i.openSession(ctx, tx, h.account, from, device, "passkey", now)
		return err
	})
	return session, token, err
}

// provedHolder checks the answer and notes the use of the passkey.
func (i *Identity) provedHolder(ctx context.Context, tx *state.Tx, w *webauthn.WebAuthn, data webauthn.SessionData, parsed *protocol.ParsedCredentialAssertionData) (holder, error) {
	var h holder
	find := func(_, user []byte) (webauthn.User, error) {
		var err error
		h, err = i.holder(ctx, tx, string(user))
		if err == nil && h.account.State != StateActive {
			err = errNoAccount
		}
		return h, err
	}
	_, cred, err := w.ValidatePasskeyLogin(find, data, parsed)
	if err != nil {
		return holder{}, refusedPasskey(err)
	}
	if cred.Authenticator.CloneWarning {
		i.log.Warn("a passkey was refused because a copy of it seems to be in use", "account", h.account.ID)
		return holder{}, garrison.Refuse(garrison.Unauthorized, "error.identity.passkey_wrong")
	}
	id := base64.RawURLEncoding.EncodeToString(cred.ID)
	for _, p := range h.rows {
		if p.id == id {
			return h, i.passkeyUsed(ctx, tx, p, *cred)
		}
	}
	return holder{}, garrison.Refuse(garrison.Unauthorized, "error.identity.passkey_wrong")
}

func (i *Identity) passkeyUsed(ctx context.Context, tx *state.Tx, p passkeyRow, cred webauthn.Credential) error {
	text, err := json.Marshal(cred)
	if err != nil {
		return fmt.Errorf("note the use of a passkey: %w", err)
	}
	p.credential, p.used = string(text), state.Micros(i.now())
	p.mac = i.ring.sum("passkey", p.fields()...)
	if _, err := tx.Exec(ctx, updatePasskey, p.id, p.credential, p.used, p.mac); err != nil {
		return fmt.Errorf("note the use of a passkey: %w", err)
	}
	return nil
}

// Passkeys lists an account's passkeys.
func (i *Identity) Passkeys(ctx context.Context, id garrison.AccountID) ([]Passkey, error) {
	var out []Passkey
	err := i.db.Read(ctx, func(q state.Querier) error {
		rows, err := passkeys(ctx, q, selectPasskeysOf, string(id))
		out = nil
		for _, p := range rows {
			out = append(out, Passkey{ID: p.id, Name: p.name, Created: state.Time(p.created), LastUsed: state.Time(p.used)})
		}
		return err
	})
	return out, err
}

// RemovePasskey removes one.
func (i *Identity) RemovePasskey(ctx context.Context, id garrison.AccountID, passkey string, by garrison.Actor) error {
	return i.db.Write(ctx, func(tx *state.Tx) error {
		rows, err := passkeys(ctx, tx, selectPasskeysOf, string(id))
		if err != nil {
			return err
		}
		for _, p := range rows {
			if p.id != passkey {
				continue
			}
			if _, err := tx.Exec(ctx, deletePasskey, p.id); err != nil {
				return fmt.Errorf("remove a passkey: %w", err)
			}
			_, err := tx.Record(ctx, state.Change{Kind: kindPasskey, ID: recordID(p.id), By: by, What: "removed"})
			return err
		}
		return garrison.Refuse(garrison.NotFound, "error.identity.passkey_unknown")
	})
}
