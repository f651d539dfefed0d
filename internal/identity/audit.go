package identity

import (
	"context"

	"garrison/internal/state"
)

// register tells the audit how to read the tables back, and which columns beyond the
// recorded ones to check.
func (i *Identity) register() {
	i.db.RegisterTable(state.Table{Kind: kindAccount, Rows: accountDocs})
	i.db.RegisterTable(state.Table{Kind: kindSession, Rows: sessionDocs})
	i.db.RegisterTable(state.Table{Kind: kindToken, Rows: tokenDocs})
	i.db.RegisterTable(state.Table{Kind: kindPasskey, Rows: passkeyDocs})
	i.db.RegisterCheck("identity", i.check)
}

type yield = func(id string, doc any) error

func accountDocs(ctx context.Context, q state.Querier, yield yield) error {
	return state.Each(ctx, q, func(row state.Scanner) error {
		a, err := scanAccount(row)
		if err != nil {
			return err
		}
		return yield(string(a.ID), a.doc())
	}, selectAccounts)
}

func sessionDocs(ctx context.Context, q state.Querier, yield yield) error {
	return state.Each(ctx, q, func(row state.Scanner) error {
		s, err := scanSession(row)
		if err != nil {
			return err
		}
		return yield(s.id, s.doc())
	}, selectSessions)
}

func tokenDocs(ctx context.Context, q state.Querier, yield yield) error {
	return state.Each(ctx, q, func(row state.Scanner) error {
		t, err := scanToken(row)
		if err != nil {
			return err
		}
		return yield(t.id, t.doc())
	}, selectTokens)
}

func passkeyDocs(ctx context.Context, q state.Querier, yield yield) error {
	return state.Each(ctx, q, func(row state.Scanner) error {
		p, err := scanPasskey(row)
		if err != nil {
			return err
		}
		doc, err := p.doc()
		if err != nil {
			return err
		}
		return yield(recordID(p.id), doc)
	}, selectPasskeys)
}

// check recomputes the keyed sum of every row. Whoever writes to the database without
// the key file is named here, whatever he wrote.
func (i *Identity) check(ctx context.Context, q state.Querier, report func(state.Damage)) error {
	row := func(table, id, mac string, fields []any) {
		if !i.ring.holds(mac, table, fields...) {
			report(state.Damage{Object: "identity_" + table + "/" + id, What: "the row is not as it was written: its keyed sum differs"})
		}
	}
	for _, t := range []struct {
		query string
		scan  func(state.Scanner) error
	}{
		{selectAccounts, each(scanAccount, func(r accountRow) { row("account", string(r.ID), r.mac, r.fields()) })},
		{selectSecrets, each(scanSecret, func(r secretRow) { row("secret", r.account, r.mac, r.fields()) })},
		{selectSessions, each(scanSession, func(r sessionRow) { row("session", r.id, r.mac, r.fields()) })},
		{selectTokens, each(scanToken, func(r tokenRow) { row("token", r.id, r.mac, r.fields()) })},
		{selectPasskeys, each(scanPasskey, func(r passkeyRow) { row("passkey", r.id, r.mac, r.fields()) })},
		{selectAllOnce, each(scanOnce, func(r onceRow) { row("once", r.kind+" "+r.digest, r.mac, r.fields()) })},
		{selectGuesses, each(scanGuess, func(r guess) { row("guess", r.login+" "+r.prefix, r.mac, r.fields()) })},
	} {
		if err := state.Each(ctx, q, t.scan, t.query); err != nil {
			return err
		}
	}
	return nil
}

func each[T any](scan func(state.Scanner) (T, error), fn func(T)) func(state.Scanner) error {
	return func(row state.Scanner) error {
		r, err := scan(row)
		if err == nil {
			fn(r)
		}
		return err
	}
}
