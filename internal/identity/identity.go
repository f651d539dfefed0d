package identity

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"runtime"
	"time"

	"garrison"
	"garrison/internal/state"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Config holds the limits and names of signing in.
type Config struct {
	Issuer        string          // shown by authenticator apps
	KeyFile       string          // seals one-time-code seeds and vouches for rows; made at Start, mode 0600; best outside the data directory
	IdleLimit     time.Duration   // a session not used for this long ends
	AbsoluteLimit time.Duration   // a session ends this long after sign-in, used or not
	StrongFor     time.Duration   // how long after a full sign-in a session may do what needs a fresh one
	LockAfter     int             // wrong guesses from one address prefix before it is locked for the account
	LockFor       time.Duration   // how long the first lock lasts; doubles, at most a day
	SlowAfter     int             // wrong guesses from all unfamiliar addresses in a day before they may try once a minute only
	RPID          string          // domain of passkeys
	Origins       func() []string // allowed origins of passkeys, "https://localhost:8443"; known once listeners are open
	Hash          HashCost        // of passwords; raised settings apply at the next sign-in
}

// DefaultConfig returns complete settings but for KeyFile and Origins.
func DefaultConfig() Config {
	return Config{
		Issuer: "Garrison", IdleLimit: 30 * time.Minute, AbsoluteLimit: 12 * time.Hour, StrongFor: 10 * time.Minute,
		LockAfter: 5, LockFor: time.Minute, SlowAfter: 50, RPID: "localhost", Hash: DefaultHashCost(),
	}
}

func (c Config) validate() error {
	var faults []error
	if c.Issuer == "" || c.RPID == "" {
		faults = append(faults, errors.New("issuer and passkey domain must not be empty"))
	}
	if c.KeyFile == "" {
		faults = append(faults, errors.New("a key file is needed"))
	}
	if c.IdleLimit < time.Minute || c.IdleLimit > 24*time.Hour {
		faults = append(faults, fmt.Errorf("idle limit %v is not between 1m and 24h", c.IdleLimit))
	}
	if c.AbsoluteLimit < c.IdleLimit || c.AbsoluteLimit > 7*24*time.Hour {
		faults = append(faults, fmt.Errorf("absolute limit %v is not between the idle limit and 7 days", c.AbsoluteLimit))
	}
	if c.StrongFor < time.Minute || c.StrongFor > c.AbsoluteLimit {
		faults = append(faults, fmt.Errorf("strong limit %v is not between 1m and the absolute limit", c.StrongFor))
	}
	if c.LockAfter < 1 || c.LockAfter > 20 || c.SlowAfter < c.LockAfter || c.LockFor < time.Second || c.LockFor > maxLock {
		faults = append(faults, fmt.Errorf("lock after %d (1-20), slow after %d (at least that), lock for %v (1s-%v)", c.LockAfter, c.SlowAfter, c.LockFor, maxLock))
	}
	if err := c.Hash.validate(); err != nil {
		faults = append(faults, err)
	}
	if len(faults) > 0 {
		return garrison.Errorf(garrison.Invalid, "identity: %w", errors.Join(faults...))
	}
	return nil
}

// Deps is what identity needs from others.
type Deps struct {
	DB  *state.DB
	Now func() time.Time // nil: the machine's clock
	Log *slog.Logger
}

// Identity is the component. All methods are safe for concurrent use.
type Identity struct {
	cfg   Config
	db    *state.DB
	clock func() time.Time
	log   *slog.Logger
	slots chan struct{} // one password hash each: bounds memory and processors

	// Set by Start, not changed after.
	ring  *keyring
	decoy string // a password hash that nothing matches, for logins that do not exist

	stop chan struct{}
	done chan struct{}
}

// New checks the configuration and builds; it touches nothing.
func New(cfg Config, deps Deps) (*Identity, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if deps.DB == nil || deps.Log == nil {
		return nil, garrison.Errorf(garrison.Invalid, "identity: needs a database and a logger")
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	return &Identity{cfg: cfg, db: deps.DB, clock: deps.Now, log: deps.Log,
		slots: make(chan struct{}, max(1, runtime.NumCPU()/2))}, nil
}

// Start migrates the tables, registers them for the audit and loads the key.
func (i *Identity) Start(ctx context.Context) error {
	fsys, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("identity: %w", err)
	}
	if err := i.db.Migrate(ctx, "identity", fsys); err != nil {
		return fmt.Errorf("identity: %w", err)
	}
	var rows int
	if err := i.db.Read(ctx, func(q state.Querier) error { return q.QueryRow(ctx, countSealed).Scan(&rows) }); err != nil {
		return fmt.Errorf("identity: count accounts: %w", err)
	}
	if i.ring, err = openKeyring(i.cfg.KeyFile, rows == 0); err != nil {
		return err
	}
	random, err := randomSecret("")
	if err != nil {
		return err
	}
	if i.decoy, err = hashPassword(random, i.cfg.Hash); err != nil {
		return err
	}
	i.register()
	i.stop, i.done = make(chan struct{}), make(chan struct{})
	go i.tidy(context.WithoutCancel(ctx))
	return nil
}

// Register makes the audit of the state database cover the tables of this package
// without starting anything: for the verification of an installation from outside.
func (i *Identity) Register() error {
	ring, err := openKeyring(i.cfg.KeyFile, false)
	if err != nil {
		return err
	}
	i.ring = ring
	i.register()
	return nil
}

// Stop ends the housekeeping.
func (i *Identity) Stop(context.Context) error {
	if i.stop == nil {
		return nil
	}
	close(i.stop)
	<-i.done
	i.stop = nil
	return nil
}

const tidyEvery = 5 * time.Minute

// tidy removes what has expired, so that what is in the database is what is in force.
func (i *Identity) tidy(ctx context.Context) {
	defer close(i.done)
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	for {
		select {
		case <-i.stop:
			return
		case <-tick.C:
		}
		if err := i.removeExpired(ctx); err != nil {
			i.log.Warn("expired sessions could not be removed", "err", err)
		}
	}
}

func (i *Identity) removeExpired(ctx context.Context) error {
	return i.db.Write(ctx, func(tx *state.Tx) error {
		now := i.now()
		if _, err := tx.Exec(ctx, deleteOnceExpired, state.Micros(now)); err != nil {
			return fmt.Errorf("remove expired secrets: %w", err)
		}
		if err := i.removeGuesses(ctx, tx, now); err != nil {
			return err
		}
		_, err := i.endSessions(ctx, tx, garrison.System("identity"), "expired", func(s sessionRow) bool { return !s.live(now, i.cfg.IdleLimit) })
		return err
	})
}

// now is the time as it can be stored.
func (i *Identity) now() time.Time { return i.clock().UTC().Truncate(time.Microsecond) }
