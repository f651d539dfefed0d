package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"garrison"
	"garrison/internal/state"
)

// All statements of the package.
const (
	// Rows that need the key: while there are none a new key may be made.
	countSealed = `SELECT (SELECT COUNT(*) FROM identity_secret) + (SELECT COUNT(*) FROM identity_token) + (SELECT COUNT(*) FROM identity_once)`

	accountColumns = `id, login, name, grants, state, created, version, mac`
	selectAccounts = `SELECT ` + accountColumns + ` FROM identity_account ORDER BY login`
	selectAccount  = `SELECT ` + accountColumns + ` FROM identity_account WHERE id = $1`
	selectByLogin  = `SELECT ` + accountColumns + ` FROM identity_account WHERE login = $1`
	insertAccount  = `INSERT INTO identity_account (` + accountColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`
	updateAccount  = `UPDATE identity_account SET login = $2, name = $3, grants = $4, state = $5, version = $6, mac = $7 WHERE id = $1`
	secretColumns  = `account, password, totp, totp_step, signed_in, mac`
	selectSecret   = `SELECT ` + secretColumns + ` FROM identity_secret WHERE account = $1`
	selectSecrets  = `SELECT ` + secretColumns + ` FROM identity_secret`
	upsertSecret   = `INSERT INTO identity_secret (` + secretColumns + `) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (account) DO UPDATE SET password = excluded.password, totp = excluded.totp, totp_step = excluded.totp_step, signed_in = excluded.signed_in, mac = excluded.mac`
	sessionColumns    = `digest, id, account, created, expires, address, device, method, seen, strong, mac`
	selectSession     = `SELECT ` + sessionColumns + ` FROM identity_session WHERE digest = $1`
	selectSessions    = `SELECT ` + sessionColumns + ` FROM identity_session ORDER BY created DESC`
	insertSession     = `INSERT INTO identity_session (` + sessionColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`
	updateSession     = `UPDATE identity_session SET seen = $2, strong = $3, mac = $4 WHERE digest = $1`
	deleteSession     = `DELETE FROM identity_session WHERE digest = $1`
	tokenColumns      = `id, digest, name, role, created, expires, revoked, actor_kind, actor_id, actor_name, used, mac`
	selectToken       = `SELECT ` + tokenColumns + ` FROM identity_token WHERE id = $1`
	selectByDigest    = `SELECT ` + tokenColumns + ` FROM identity_token WHERE digest = $1`
	selectTokens      = `SELECT ` + tokenColumns + ` FROM identity_token ORDER BY created DESC`
	insertToken       = `INSERT INTO identity_token (` + tokenColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`
	updateToken       = `UPDATE identity_token SET revoked = $2, used = $3, mac = $4 WHERE id = $1`
	onceColumns       = `digest, kind, account, expires, content, mac`
	selectOnce        = `SELECT ` + onceColumns + ` FROM identity_once WHERE digest = $1`
	selectAllOnce     = `SELECT ` + onceColumns + ` FROM identity_once`
	insertOnce        = `INSERT INTO identity_once (` + onceColumns + `) VALUES ($1, $2, $3, $4, $5, $6)`
	deleteOnce        = `DELETE FROM identity_once WHERE digest = $1`
	deleteOnceOf      = `DELETE FROM identity_once WHERE kind = $1 AND account = $2`
	deleteOnceExpired = `DELETE FROM identity_once WHERE expires > 0 AND expires < $1`
	deleteOnceOldest  = `DELETE FROM identity_once WHERE digest IN (
		SELECT digest FROM identity_once WHERE kind = $1 AND account = $2 ORDER BY expires DESC LIMIT 1000000 OFFSET $3)`
	countOnce     = `SELECT COUNT(*) FROM identity_once WHERE kind = $1`
	guessColumns  = `login, prefix, fails, until, good, seen, mac`
	selectGuess   = `SELECT ` + guessColumns + ` FROM identity_guess WHERE login = $1 AND prefix = $2`
	selectGuesses = `SELECT ` + guessColumns + ` FROM identity_guess`
	upsertGuess   = `INSERT INTO identity_guess (` + guessColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (login, prefix) DO UPDATE SET fails = excluded.fails, until = excluded.until, good = excluded.good, seen = excluded.seen, mac = excluded.mac`
	deleteGuesses    = `DELETE FROM identity_guess WHERE until <= $3 AND ((good = 0 AND seen < $1) OR seen < $2)`
	countGuesses     = `SELECT COUNT(*) FROM identity_guess`
	passkeyColumns   = `id, account, name, credential, created, used, mac`
	selectPasskeys   = `SELECT ` + passkeyColumns + ` FROM identity_passkey ORDER BY created`
	selectPasskeysOf = `SELECT ` + passkeyColumns + ` FROM identity_passkey WHERE account = $1 ORDER BY created`
	insertPasskey    = `INSERT INTO identity_passkey (` + passkeyColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7)`
	updatePasskey    = `UPDATE identity_passkey SET credential = $2, used = $3, mac = $4 WHERE id = $1`
	deletePasskey    = `DELETE FROM identity_passkey WHERE id = $1`
)

// Kinds under which objects are recorded.
const (
	kindAccount = "account"
	kindSession = "session"
	kindToken   = "token"
	kindPasskey = "passkey"
)

// accountDoc is an account as it is recorded: nothing in it is secret.
type accountDoc struct {
	Login   string    `json:"login"`
	Name    string    `json:"name"`
	Grants  []Grant   `json:"grants"`
	State   string    `json:"state"`
	Created time.Time `json:"created"`
}

func (a Account) doc() accountDoc {
	return accountDoc{Login: a.Login, Name: a.Name, Grants: a.Grants, State: a.State, Created: a.Created}
}

// accountRow is an account as it is stored.
type accountRow struct {
	Account
	grants  string
	created int64
	mac     string
}

func (a accountRow) fields() []any {
	return []any{a.ID, a.Login, a.Name, a.grants, a.State, a.created, a.Version}
}

func scanAccount(row state.Scanner) (a accountRow, err error) {
	if err := row.Scan(&a.ID, &a.Login, &a.Name, &a.grants, &a.State, &a.created, &a.Version, &a.mac); err != nil {
		return accountRow{}, err
	}
	a.Created = state.Time(a.created)
	if err := json.Unmarshal([]byte(a.grants), &a.Grants); err != nil {
		return accountRow{}, garrison.Errorf(garrison.Damaged, "the grants of account %q cannot be read: %w", a.ID, err)
	}
	return a, nil
}

// account loads one account by a statement with one parameter; a row that nobody
// here wrote is refused.
func (i *Identity) account(ctx context.Context, q state.Querier, query, value string) (Account, error) {
	a, err := scanAccount(q.QueryRow(ctx, query, value))
	if errors.Is(err, state.ErrNoRows) {
		return Account{}, errNoAccount
	}
	if err != nil {
		return Account{}, fmt.Errorf("load an account: %w", err)
	}
	if !i.ring.holds(a.mac, "account", a.fields()...) {
		return Account{}, garrison.Errorf(garrison.Damaged, "account %q was changed by somebody else", a.ID)
	}
	return a.Account, nil
}

func accounts(ctx context.Context, q state.Querier) ([]Account, error) {
	var all []Account
	err := state.Each(ctx, q, func(row state.Scanner) error {
		a, err := scanAccount(row)
		all = append(all, a.Account)
		return err
	}, selectAccounts)
	if err != nil {
		return nil, fmt.Errorf("load accounts: %w", err)
	}
	return all, nil
}

// saveAccount writes an account, records the change and returns it with its version.
func (i *Identity) saveAccount(ctx context.Context, tx *state.Tx, a Account, what string, by garrison.Actor) (Account, error) {
	grants, err := json.Marshal(a.Grants)
	if err != nil {
		return Account{}, fmt.Errorf("save account %q: %w", a.ID, err)
	}
	before := a.Version
	if a.Version, err = tx.Record(ctx, state.Change{Kind: kindAccount, ID: string(a.ID), Doc: a.doc(), By: by, What: what}); err != nil {
		return Account{}, err
	}
	row := accountRow{Account: a, grants: string(grants), created: state.Micros(a.Created)}
	row.mac = i.ring.sum("account", row.fields()...)
	if before == 0 {
		_, err = tx.Exec(ctx, insertAccount, string(a.ID), a.Login, a.Name, row.grants, a.State, row.created, a.Version, row.mac)
	} else {
		_, err = tx.Exec(ctx, updateAccount, string(a.ID), a.Login, a.Name, row.grants, a.State, a.Version, row.mac)
	}
	if state.IsUnique(err) {
		return Account{}, garrison.Refuse(garrison.Conflict, "error.identity.login_taken", "login", a.Login)
	}
	if err != nil {
		return Account{}, fmt.Errorf("save account %q: %w", a.ID, err)
	}
	return a, nil
}

// secretRow is what an account is proved by.
type secretRow struct {
	account  string
	password string
	totp     string // sealed
	step     int64
	signedIn int64
	mac      string
}

func scanSecret(row state.Scanner) (s secretRow, err error) {
	err = row.Scan(&s.account, &s.password, &s.totp, &s.step, &s.signedIn, &s.mac)
	return s, err
}

func (s secretRow) fields() []any { return []any{s.account, s.password, s.totp, s.step, s.signedIn} }

func (i *Identity) saveSecret(ctx context.Context, tx *state.Tx, s secretRow) error {
	s.mac = i.ring.sum("secret", s.fields()...)
	if _, err := tx.Exec(ctx, upsertSecret, s.account, s.password, s.totp, s.step, s.signedIn, s.mac); err != nil {
		return fmt.Errorf("save how account %q is proved: %w", s.account, err)
	}
	return nil
}

// secret loads what an account is proved by; a row that nobody here wrote proves nothing.
func (i *Identity) secret(ctx context.Context, q state.Querier, id string) (secretRow, bool, error) {
	s, err := scanSecret(q.QueryRow(ctx, selectSecret, id))
	if errors.Is(err, state.ErrNoRows) {
		return secretRow{}, false, nil
	}
	if err != nil {
		return secretRow{}, false, fmt.Errorf("load how an account is proved: %w", err)
	}
	if !i.ring.holds(s.mac, "secret", s.fields()...) {
		return secretRow{}, false, garrison.Errorf(garrison.Damaged, "what account %q is proved by was changed by somebody else", id)
	}
	return s, true, nil
}

func seedPurpose(account string) string { return "totp/" + account }

// sessionRow is a session as it is stored.
type sessionRow struct {
	digest, id, account string
	created, expires    int64
	address             string
	device, method      string
	seen, strong        int64
	mac                 string
}

func scanSession(row state.Scanner) (s sessionRow, err error) {
	err = row.Scan(&s.digest, &s.id, &s.account, &s.created, &s.expires, &s.address, &s.device, &s.method, &s.seen, &s.strong, &s.mac)
	return s, err
}

func (s sessionRow) fields() []any {
	return []any{s.digest, s.id, s.account, s.created, s.expires, s.address, s.device, s.method, s.seen, s.strong}
}

// sessionDoc is a session as it is recorded: who signed in, when, from where.
type sessionDoc struct {
	Account string    `json:"account"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
	Address string    `json:"address"`
	Device  string    `json:"device"`
	Method  string    `json:"method"`
}

func (s sessionRow) doc() sessionDoc {
	return sessionDoc{Account: s.account, Created: state.Time(s.created), Expires: state.Time(s.expires), Address: s.address, Device: s.device, Method: s.method}
}

// live says whether neither limit has passed.
func (s sessionRow) live(now time.Time, idle time.Duration) bool {
	return now.Before(state.Time(s.expires)) && now.Before(state.Time(s.seen).Add(idle))
}

func (s sessionRow) public(a Account, now time.Time) Session {
	from, err := netip.ParseAddr(s.address)
	if err != nil {
		from = netip.Addr{}
	}
	return Session{ID: s.id, Account: a, Roles: a.RolesAt(now), Created: state.Time(s.created), LastSeen: state.Time(s.seen),
		Expires: state.Time(s.expires), StrongUntil: state.Time(s.strong), From: from, Device: s.device, Method: s.method}
}

func sessions(ctx context.Context, q state.Querier) ([]sessionRow, error) {
	var all []sessionRow
	err := state.Each(ctx, q, func(row state.Scanner) error {
		s, err := scanSession(row)
		all = append(all, s)
		return err
	}, selectSessions)
	if err != nil {
		return nil, fmt.Errorf("load sessions: %w", err)
	}
	return all, nil
}

// canonicalLogin is the one form in which logins are stored and compared.
func canonicalLogin(s string) string { return strings.ToLower(strings.TrimSpace(s)) }

var (
	errNoAccount = garrison.Refuse(garrison.NotFound, "error.identity.no_account")
	// errWrong is the one answer to every wrong login, password or code.
	errWrong     = garrison.Refuse(garrison.Unauthorized, "error.identity.wrong")
	errNoSession = garrison.Refuse(garrison.Unauthorized, "error.identity.no_session")
	errNoToken   = garrison.Refuse(garrison.Unauthorized, "error.identity.no_token")
)
