package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"garrison"
	"garrison/internal/state"
)

// Kinds of one-time secrets.
const (
	onceFirst    = "first"    // the first administrator's
	onceInvite   = "invite"   // an invitation
	onceEnrol    = "enrol"    // an enrolment between its two steps
	onceRegister = "register" // a passkey being added
	onceLogin    = "login"    // a passkey signing in

	maxOnce = 10_000 // of one kind at a time
)

type onceRow struct {
	digest, kind, account string
	expires               int64 // 0: valid until used
	content               string
	mac                   string
}

func (o onceRow) fields() []any { return []any{o.digest, o.kind, o.account, o.expires, o.content} }

func scanOnce(row state.Scanner) (o onceRow, err error) {
	err = row.Scan(&o.digest, &o.kind, &o.account, &o.expires, &o.content, &o.mac)
	return o, err
}

// issue makes a one-time secret and seals what belongs to it.
func (i *Identity) issue(ctx context.Context, tx *state.Tx, kind, prefix, account string, expires time.Time, content any) (Secret, error) {
	var n int
	if err := tx.QueryRow(ctx, countOnce, kind).Scan(&n); err != nil {
		return "", fmt.Errorf("count one-time secrets: %w", err)
	}
	if n >= maxOnce {
		return "", garrison.Refuse(garrison.Unavailable, "error.identity.busy")
	}
	secret, err := randomSecret(prefix)
	if err != nil {
		return "", err
	}
	o := onceRow{digest: digest(secret), kind: kind, account: account, expires: state.Micros(expires)}
	text, err := json.Marshal(content)
	if err != nil {
		return "", fmt.Errorf("issue a one-time secret: %w", err)
	}
	if o.content, err = i.ring.seal(text, kind+"/"+o.digest); err != nil {
		return "", err
	}
	o.mac = i.ring.sum("once", o.fields()...)
	if _, err := tx.Exec(ctx, insertOnce, o.digest, o.kind, o.account, o.expires, o.content, o.mac); err != nil {
		return "", fmt.Errorf("issue a one-time secret: %w", err)
	}
	return secret, nil
}

// lookup finds a one-time secret of a kind that is still good, and opens its content.
func (i *Identity) lookup(ctx context.Context, q state.Querier, kind string, secret Secret, content any) (onceRow, error) {
	o, err := scanOnce(q.QueryRow(ctx, selectOnce, digest(secret)))
	if errors.Is(err, state.ErrNoRows) {
		return onceRow{}, errSecretWrong
	}
	if err != nil {
		return onceRow{}, fmt.Errorf("look a one-time secret up: %w", err)
	}
	if !i.ring.holds(o.mac, "once", o.fields()...) {
		return onceRow{}, garrison.Errorf(garrison.Damaged, "a one-time secret of kind %q was changed by somebody else", o.kind)
	}
	if o.kind != kind || (o.expires != 0 && !i.now().Before(state.Time(o.expires))) {
		return onceRow{}, errSecretWrong
	}
	text, err := i.ring.open(o.content, kind+"/"+o.digest)
	if err != nil {
		return onceRow{}, err
	}
	if err := json.Unmarshal(text, content); err != nil {
		return onceRow{}, garrison.Errorf(garrison.Damaged, "a one-time secret of kind %q cannot be read: %w", kind, err)
	}
	return o, nil
}

// use up a one-time secret; of two that try at once one fails.
func useUp(ctx context.Context, tx *state.Tx, digest string) error {
	r, err := tx.Exec(ctx, deleteOnce, digest)
	if err != nil {
		return fmt.Errorf("use a one-time secret up: %w", err)
	}
	if n, err := r.RowsAffected(); err != nil || n != 1 {
		return errSecretWrong
	}
	return nil
}

var errSecretWrong = garrison.Refuse(garrison.Unauthorized, "error.identity.secret_wrong")
