package identity

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"garrison"
	"garrison/internal/state"
)

// Guessing is bounded twice. Wrong guesses from one address lock that address for
// that login, for longer each time: nobody else is locked out by it. Guesses from
// many addresses meet a slow budget per login: past it, addresses from which nobody
// has signed in to it lately may try once a minute between them. Who signs in from
// where he always does feels neither.
//
// An attempt is counted before it is judged, in one transaction with the question
// whether it may be made, so that a thousand at once are a thousand. Logins that do
// not exist are counted like those that do.
const (
	maxLock     = 24 * time.Hour
	forgetAfter = 24 * time.Hour      // wrong guesses older than this count no more
	familiarFor = 30 * 24 * time.Hour // an address is familiar this long after a sign-in
	slowPause   = time.Minute
	maxGuesses  = 100_000 // rows kept
	anywhere    = "*"     // stands for all unfamiliar addresses
)

type guess struct {
	login, prefix            string
	fails, until, good, seen int64
	mac                      string
}

func (g guess) fields() []any { return []any{g.login, g.prefix, g.fails, g.until, g.good, g.seen} }

func scanGuess(row state.Scanner) (g guess, err error) {
	err = row.Scan(&g.login, &g.prefix, &g.fails, &g.until, &g.good, &g.seen, &g.mac)
	return g, err
}

// place is the part of an address that one guesser is taken to have: one IPv4
// address, one IPv6 /64.
func place(from netip.Addr) string {
	from = from.Unmap().WithZone("")
	if !from.IsValid() {
		return "unknown"
	}
	if from.Is6() {
		if p, err := from.Prefix(64); err == nil {
			return p.String()
		}
	}
	return from.String()
}

// guesses loads what is counted for a login at a place, less what is too old.
func (i *Identity) guesses(ctx context.Context, q state.Querier, login, prefix string, now time.Time) (guess, error) {
	g, err := scanGuess(q.QueryRow(ctx, selectGuess, login, prefix))
	if errors.Is(err, state.ErrNoRows) {
		return guess{login: login, prefix: prefix}, nil
	}
	if err != nil {
		return guess{}, fmt.Errorf("load wrong guesses: %w", err)
	}
	if !i.ring.holds(g.mac, "guess", g.fields()...) {
		return guess{login: login, prefix: prefix}, nil // the audit names it
	}
	if state.Time(g.seen).Before(now.Add(-forgetAfter)) {
		g.fails, g.until = 0, 0
	}
	return g, nil
}

func (i *Identity) saveGuesses(ctx context.Context, tx *state.Tx, g guess, now time.Time) error {
	g.seen = state.Micros(now)
	g.mac = i.ring.sum("guess", g.fields()...)
	if _, err := tx.Exec(ctx, upsertGuess, g.login, g.prefix, g.fails, g.until, g.good, g.seen, g.mac); err != nil {
		return fmt.Errorf("count a guess: %w", err)
	}
	return nil
}

// admit counts an attempt and says whether it may be judged.
func (i *Identity) admit(ctx context.Context, login string, from netip.Addr) error {
	return i.db.Write(ctx, func(tx *state.Tx) error {
		now := i.now()
		own, err := i.guesses(ctx, tx, login, i.ring.blind("place", place(from)), now)
		if err != nil {
			return err
		}
		if err := locked(own, now); err != nil {
			return err
		}
		if state.Time(own.good).Before(now.Add(-familiarFor)) {
			if err := i.admitStranger(ctx, tx, login, now); err != nil {
				return err
			}
		}
		own.fails++
		if over := own.fails - int64(i.cfg.LockAfter); over >= 0 {
			own.until = state.Micros(now.Add(min(maxLock, i.cfg.LockFor<<min(over, 16))))
		}
		return i.saveGuesses(ctx, tx, own, now)
	})
}

func (i *Identity) admitStranger(ctx context.Context, tx *state.Tx, login string, now time.Time) error {
	all, err := i.guesses(ctx, tx, login, anywhere, now)
	if err != nil {
		return err
	}
	if err := locked(all, now); err != nil {
		return err
	}
	if all.fails++; all.fails >= int64(i.cfg.SlowAfter) {
		all.until = state.Micros(now.Add(slowPause))
	}
	return i.saveGuesses(ctx, tx, all, now)
}

func locked(g guess, now time.Time) error {
	until := state.Time(g.until)
	if !now.Before(until) {
		return nil
	}
	wait := until.Sub(now).Round(time.Second) + time.Second
	return garrison.Refuse(garrison.Denied, "error.identity.locked", "seconds", int(wait/time.Second))
}

// welcome forgets the wrong guesses of a place after a right one.
func (i *Identity) welcome(ctx context.Context, tx *state.Tx, login string, from netip.Addr, now time.Time) error {
	own, err := i.guesses(ctx, tx, login, i.ring.blind("place", place(from)), now)
	if err != nil {
		return err
	}
	own.fails, own.until, own.good = 0, 0, state.Micros(now)
	return i.saveGuesses(ctx, tx, own, now)
}

// removeGuesses keeps the table bounded: old rows go, and when somebody floods it,
// the younger ones that never led to a sign-in. A lock stays until it ends: whoever is
// locked must not get free by flooding.
func (i *Identity) removeGuesses(ctx context.Context, tx *state.Tx, now time.Time) error {
	ages := []time.Duration{forgetAfter, time.Hour, time.Minute}
	for _, age := range ages {
		_, err := tx.Exec(ctx, deleteGuesses, state.Micros(now.Add(-age)), state.Micros(now.Add(-familiarFor)), state.Micros(now))
		if err != nil {
			return fmt.Errorf("remove old guesses: %w", err)
		}
		var n int
		if err := tx.QueryRow(ctx, countGuesses).Scan(&n); err != nil {
			return fmt.Errorf("count guesses: %w", err)
		}
		if n < maxGuesses {
			return nil
		}
	}
	return nil
}
