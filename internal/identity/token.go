package identity

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"garrison"
	"garrison/internal/state"
	"garrison/internal/state/atomicfile"
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

const (
	tokenPrefix    = "grt_"
	defaultTokenIn = 90 * 24 * time.Hour
	longestToken   = 366 * 24 * time.Hour
	maxTokens      = 10_000
)

type tokenRow struct {
	id, digest, name, role    string
	created, expires, revoked int64
	by                        garrison.Actor
	used                      int64
	mac                       string
}

func (t tokenRow) fields() []any {
	return []any{t.id, t.digest, t.name, t.role, t.created, t.expires, t.revoked, t.by.Kind, t.by.ID, t.by.Name, t.used}
}

func scanToken(row state.Scanner) (t tokenRow, err error) {
	err = row.Scan(&t.id, &t.digest, &t.name, &t.role, &t.created, &t.expires, &t.revoked, &t.by.Kind, &t.by.ID, &t.by.Name, &t.used, &t.mac)
	return t, err
}

// tokenDoc is a token as it is recorded.
type tokenDoc struct {
	Name    string         `json:"name"`
	Role    Role           `json:"role"`
	Created time.Time      `json:"created"`
	Expires time.Time      `json:"expires"`
	Revoked time.Time      `json:"revoked,omitzero"`
	By      garrison.Actor `json:"by"`
}

func (t tokenRow) doc() tokenDoc {
	return tokenDoc{Name: t.name, Role: Role(t.role), Created: state.Time(t.created), Expires: state.Time(t.expires), Revoked: state.Time(t.revoked), By: t.by}
}

func (t tokenRow) public() Token {
	return Token{ID: garrison.TokenID(t.id), Name: t.name, Role: Role(t.role), Created: state.Time(t.created), Expires: state.Time(t.expires),
		LastUsed: state.Time(t.used), By: t.by, Revoked: state.Time(t.revoked)}
}

func (t tokenRow) inForce(now time.Time) bool {
	return t.revoked == 0 && now.Before(state.Time(t.expires))
}

// CreateToken makes a token and returns its secret, "grt_…". Without an expiry it
// lasts 90 days; none lasts longer than a year.
func (i *Identity) CreateToken(ctx context.Context, role Role, name string, expires time.Time, by garrison.Actor) (Secret, Token, error) {
	if !slices.Contains(TokenRoles(), role) {
		return "", Token{}, garrison.Refuse(garrison.Invalid, "error.identity.role_unknown", "role", string(role))
	}
	name = strings.TrimSpace(name)
	if n := utf8.RuneCountInString(name); n < 1 || n > 64 || !utf8.ValidString(name) || strings.ContainsFunc(name, unprintable) {
		return "", Token{}, garrison.Refuse(garrison.Invalid, "error.identity.name_form", "max", 64)
	}
	now := i.now()
	if expires.IsZero() {
		expires = now.Add(defaultTokenIn)
	}
	if !expires.After(now) || expires.After(now.Add(longestToken)) {
		return "", Token{}, garrison.Refuse(garrison.Invalid, "error.identity.token_expiry", "days", int(longestToken/(24*time.Hour)))
	}
	return i.makeToken(ctx, role, name, expires, by)
}

func (i *Identity) makeToken(ctx context.Context, role Role, name string, expires time.Time, by garrison.Actor) (Secret, Token, error) {
	secret, err := randomSecret(tokenPrefix)
	if err != nil {
		return "", Token{}, err
	}
	t := tokenRow{id: garrison.NewID("token"), digest: digest(secret), name: name, role: string(role),
		created: state.Micros(i.now()), expires: state.Micros(expires), by: by}
	t.mac = i.ring.sum("token", t.fields()...)
	err = i.db.Write(ctx, func(tx *state.Tx) error {
		all, err := tokens(ctx, tx)
		if err != nil {
			return err
		}
		if len(all) >= maxTokens {
			return garrison.Refuse(garrison.TooLarge, "error.identity.too_many", "max", maxTokens)
		}
		_, err = tx.Exec(ctx, insertToken, t.id, t.digest, t.name, t.role, t.created, t.expires, t.revoked,
			string(t.by.Kind), t.by.ID, t.by.Name, t.used, t.mac)
		if err != nil {
			return fmt.Errorf("make a token: %w", err)
		}
		_, err = tx.Record(ctx, state.Change{Kind: kindToken, ID: t.id, Doc: t.doc(), By: by, What: "created"})
		return err
	})
	if err != nil {
		return "", Token{}, err
	}
	return secret, t.public(), nil
}

func tokens(ctx context.Context, q state.Querier) ([]tokenRow, error) {
	var all []tokenRow
	err := state.Each(ctx, q, func(row state.Scanner) error {
		t, err := scanToken(row)
		all = append(all, t)
		return err
	}, selectTokens)
	if err != nil {
		return nil, fmt.Errorf("load tokens: %w", err)
	}
	return all, nil
}

// Tokens lists all tokens, newest first.
func (i *Identity) Tokens(ctx context.Context) ([]Token, error) {
	var out []Token
	err := i.db.Read(ctx, func(q state.Querier) error {
		all, err := tokens(ctx, q)
		out = nil
		for _, t := range all {
			out = append(out, t.public())
		}
		return err
	})
	return out, err
}

// token loads one token by a statement with one parameter.
func (i *Identity) token(ctx context.Context, q state.Querier, query, value string) (tokenRow, error) {
	t, err := scanToken(q.QueryRow(ctx, query, value))
	if errors.Is(err, state.ErrNoRows) {
		return tokenRow{}, errNoToken
	}
	if err != nil {
		return tokenRow{}, fmt.Errorf("load a token: %w", err)
	}
	if !i.ring.holds(t.mac, "token", t.fields()...) {
		return tokenRow{}, garrison.Errorf(garrison.Damaged, "token %q was changed by somebody else", t.id)
	}
	return t, nil
}

func (i *Identity) saveToken(ctx context.Context, tx *state.Tx, t tokenRow) error {
	t.mac = i.ring.sum("token", t.fields()...)
	if _, err := tx.Exec(ctx, updateToken, t.id, t.revoked, t.used, t.mac); err != nil {
		return fmt.Errorf("save token %q: %w", t.id, err)
	}
	return nil
}

// RevokeToken ends a token.
func (i *Identity) RevokeToken(ctx context.Context, id garrison.TokenID, by garrison.Actor) error {
	return i.db.Write(ctx, func(tx *state.Tx) error {
		t, err := i.token(ctx, tx, selectToken, string(id))
		if errors.Is(err, errNoToken) {
			return garrison.Refuse(garrison.NotFound, "error.identity.token_unknown")
		}
		if err != nil || t.revoked != 0 {
			return err
		}
		t.revoked = state.Micros(i.now())
		if err := i.saveToken(ctx, tx, t); err != nil {
			return err
		}
		_, err = tx.Record(ctx, state.Change{Kind: kindToken, ID: t.id, Doc: t.doc(), By: by, What: "revoked"})
		return err
	})
}

// CheckToken returns who a token secret stands for.
func (i *Identity) CheckToken(ctx context.Context, secret Secret) (Principal, error) {
	if !strings.HasPrefix(secret.Reveal(), tokenPrefix) {
		return Principal{}, errNoToken
	}
	var t tokenRow
	err := i.db.Read(ctx, func(q state.Querier) (err error) {
		t, err = i.token(ctx, q, selectByDigest, digest(secret))
		return err
	})
	now := i.now()
	if err != nil {
		return Principal{}, err
	}
	if !t.inForce(now) {
		return Principal{}, errNoToken
	}
	if now.Sub(state.Time(t.used)) >= seenEvery {
		if err := i.tokenUsed(ctx, t.id, now); err != nil {
			return Principal{}, err
		}
		t.used = state.Micros(now)
	}
	public := t.public()
	return Principal{Actor: garrison.Actor{Kind: garrison.ByToken, ID: t.id, Name: t.name}, Roles: []Role{public.Role}, Token: &public}, nil
}

func (i *Identity) tokenUsed(ctx context.Context, id string, now time.Time) error {
	return i.db.Write(ctx, func(tx *state.Tx) error {
		t, err := i.token(ctx, tx, selectToken, id)
		if err != nil {
			return err
		}
		t.used = state.Micros(now)
		return i.saveToken(ctx, tx, t)
	})
}

const (
	localName    = "local"
	localRenewIn = 30 * 24 * time.Hour
)

// LocalToken makes sure that path holds a working token of role local, readable by
// its owner only, and returns it. Older local tokens are revoked when a new one is
// made, so that a copy of an old file opens nothing.
func (i *Identity) LocalToken(ctx context.Context, path string) (Token, error) {
	if t, ok, err := i.presentLocal(ctx, path); err != nil || ok {
		return t, err
	}
	by := garrison.System("identity")
	all, err := i.Tokens(ctx)
	if err != nil {
		return Token{}, err
	}
	for _, t := range all {
		if t.Role == RoleLocal && t.Revoked.IsZero() {
			if err := i.RevokeToken(ctx, t.ID, by); err != nil {
				return Token{}, err
			}
		}
	}
	secret, t, err := i.makeToken(ctx, RoleLocal, localName, i.now().Add(longestToken), by)
	if err != nil {
		return Token{}, err
	}
	if err := atomicfile.WriteFile(path, []byte(secret.Reveal()+"\n"), 0o600); err != nil {
		return Token{}, garrison.Errorf(garrison.Unavailable, "write the local token %q: %w", path, err)
	}
	return t, nil
}

// presentLocal says whether the file holds a local token that will do for a while.
func (i *Identity) presentLocal(ctx context.Context, path string) (Token, bool, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Token{}, false, nil
	}
	if err != nil {
		return Token{}, false, fmt.Errorf("look at the local token: %w", err)
	}
	if info.Size() > 1024 || info.Mode().Perm()&0o077 != 0 {
		return Token{}, false, nil // others could have read it: a new one
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return Token{}, false, fmt.Errorf("read the local token: %w", err)
	}
	p, err := i.CheckToken(ctx, Secret(strings.TrimSpace(string(raw))))
	if errors.Is(err, errNoToken) {
		return Token{}, false, nil
	}
	if err != nil || p.Token.Role != RoleLocal || p.Token.Expires.Before(i.now().Add(localRenewIn)) {
		return Token{}, false, err
	}
	return *p.Token, true, nil
}
