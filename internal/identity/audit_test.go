package identity

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"garrison"
	"garrison/internal/state"
	"garrison/internal/state/statetest"
)

// mustBeSound runs the audit of the database.
func (h *house) mustBeSound() {
	h.t.Helper()
	if all := h.damages(); len(all) > 0 {
		h.t.Errorf("the audit found %+v", all)
	}
}

func (h *house) damages() []state.Damage {
	h.t.Helper()
	if _, err := h.db.Drain(h.t.Context(), &h.ledger); err != nil {
		h.t.Fatal(err)
	}
	var all []state.Damage
	if err := h.db.Audit(h.t.Context(), &h.ledger, func(d state.Damage) { all = append(all, d) }); err != nil {
		h.t.Fatal(err)
	}
	return all
}

func TestRowsWrittenByOthersAreNamedAndNotBelieved(t *testing.T) {
	for name, c := range map[string]struct{ sql, object string }{
		"passwordHash":   {`UPDATE identity_secret SET password = '$argon2id$v=19$m=64,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'`, "identity_secret/"},
		"grants":         {`UPDATE identity_account SET grants = '[]'`, "account/"},
		"moreGrants":     {`UPDATE identity_account SET grants = '[{"role":"audit","from":"2020-01-01T00:00:00Z"}]'`, "account/"},
		"sessionExpiry":  {`UPDATE identity_session SET expires = expires + 1000000`, "session/"},
		"sessionSeen":    {`UPDATE identity_session SET seen = seen + 1`, "identity_session/"},
		"tokenRole":      {`UPDATE identity_token SET role = 'local'`, "token/"},
		"tokenDigest":    {`UPDATE identity_token SET digest = 'aa'`, "identity_token/"},
		"removedAccount": {`DELETE FROM identity_account`, "account"},
		"forgivenGuess":  {`UPDATE identity_guess SET fails = 0, until = 0, good = good + 1`, "identity_guess/"},
		"firstSecret":    {`UPDATE identity_once SET expires = 1`, "identity_once/"},
	} {
		t.Run(name, func(t *testing.T) {
			h := open(t, statetest.OpenSQLite(t))
			p := h.first()
			if _, _, err := h.CreateToken(t.Context(), RoleIntake, "collector", time.Time{}, boss); err != nil {
				t.Fatal(err)
			}
			if _, _, err := h.CreateAccount(t.Context(), NewAccount{Login: "zhao", Name: "赵"}, boss); err != nil {
				t.Fatal(err)
			}
			h.mustBeSound()
			err := h.db.Write(t.Context(), func(tx *state.Tx) error {
				_, err := tx.Exec(t.Context(), c.sql)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			found := false
			all := h.damages()
			for _, d := range all {
				found = found || strings.HasPrefix(d.Object, c.object)
			}
			if !found {
				t.Errorf("the audit reported %+v, expected %s", all, c.object)
			}
			if name == "passwordHash" {
				if err := h.signIn(p, home); garrison.CodeOf(err) != garrison.Damaged {
					t.Errorf("sign in with a hash from elsewhere: %v, expected code damaged", err)
				}
			}
			if name == "sessionExpiry" || name == "moreGrants" {
				if _, err := h.Session(t.Context(), p.token); garrison.CodeOf(err) != garrison.Damaged {
					t.Errorf("the session of a changed row: %v, expected code damaged", err)
				}
			}
		})
	}
}

func TestNoSecretReachesDatabaseHistoryOrLog(t *testing.T) {
	h := open(t, statetest.OpenSQLite(t))
	ctx := t.Context()
	p := h.first()
	token, _, err := h.CreateToken(ctx, RoleIntake, "collector", time.Time{}, boss)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.SignIn(ctx, p.account.Login, password, "000000", home, ""); err == nil {
		t.Fatal("signed in")
	}
	if err := h.db.Backup(ctx, filepath.Join(t.TempDir(), "copy.db")); err != nil {
		t.Fatal(err)
	}
	dump := h.log.String()
	err = h.db.Read(ctx, func(q state.Querier) error {
		for _, table := range []string{"identity_account", "identity_secret", "identity_session", "identity_token", "identity_once", "identity_guess", "object_version", "outbox"} {
			if err := dumpTable(ctx, q, table, &dump); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for what, secret := range map[string]string{"password": password.Reveal(), "seed": p.seed, "session": p.token.Reveal(), "token": token.Reveal()} {
		if strings.Contains(dump, secret) {
			t.Errorf("the %s stands in the database or the log", what)
		}
	}
	history, err := h.db.History(ctx, kindAccount, string(p.account.ID))
	if err != nil || len(history) != 1 {
		t.Fatalf("history %v, %v", history, err)
	}
	if strings.Contains(string(history[0].Doc), "argon2") || !json.Valid(history[0].Doc) {
		t.Errorf("recorded %s", history[0].Doc)
	}
	if len(dump) < 2000 {
		t.Errorf("only %d bytes were looked at", len(dump))
	}
}

func dumpTable(ctx context.Context, q state.Querier, table string, out *string) error {
	rows, err := q.Query(ctx, "SELECT * FROM "+table)
	if err != nil {
		return err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return err
	}
	for rows.Next() {
		values := make([]any, len(names))
		for n := range values {
			values[n] = new(any)
		}
		if err := rows.Scan(values...); err != nil {
			return err
		}
		for _, v := range values {
			*out += fmt.Sprintf("%s ", *v.(*any))
		}
	}
	return rows.Err()
}

func TestSecretsPrintAsAMask(t *testing.T) {
	s := Secret("the value")
	raw, err := json.Marshal(map[string]any{"s": s})
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "s", s)
	for _, out := range []string{fmt.Sprint(s), fmt.Sprintf("%v %+v %q %#v", s, struct{ S Secret }{s}, s, s), string(raw), log.String()} {
		if strings.Contains(out, "value") || !strings.Contains(out, mask) {
			t.Errorf("printed %s", out)
		}
	}
}

func TestLostKeyFileIsRefused(t *testing.T) {
	db := statetest.OpenSQLite(t)
	h := open(t, db)
	h.first()
	if err := os.Remove(h.cfg.KeyFile); err != nil {
		t.Fatal(err)
	}
	again, err := New(h.cfg, Deps{DB: db, Now: time.Now, Log: slog.Default()})
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Start(t.Context()); garrison.CodeOf(err) != garrison.Damaged {
		t.Errorf("start without the key: %v, expected code damaged", err)
	}
}
