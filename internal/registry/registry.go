package registry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"garrison"
	"garrison/internal/state"
)

// Kinds of objects in the history.
const (
	kindSubject = "subject"
	kindProfile = "profile"
	profileID   = "self"
)

const maxDepth = 64 // units above one another

// Config sets how the registry works.
type Config struct {
	Refresh time.Duration // how often to look for what other nodes changed (PostgreSQL)
}

// DefaultConfig is what runs when nothing is set.
func DefaultConfig() Config { return Config{Refresh: 2 * time.Second} }

// Deps is what the registry needs from outside.
type Deps struct {
	DB      *state.DB
	Now     func() time.Time
	Log     *slog.Logger
	Changed func(garrison.Subject) // told after each change of a subject; may be nil; must not wait
}

// Registry keeps the subjects. It is safe for concurrent use after Start.
type Registry struct {
	cfg     Config
	db      *state.DB
	now     func() time.Time
	log     *slog.Logger
	changed func(garrison.Subject)

	derive *deriver
	index  *index

	// Set by Start, used by Stop.
	stop context.CancelFunc
	done sync.WaitGroup
}

// New builds; it opens nothing.
func New(cfg Config, deps Deps) (*Registry, error) {
	if cfg.Refresh <= 0 {
		return nil, garrison.Errorf(garrison.Invalid, "registry: refresh must be positive")
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	if deps.Changed == nil {
		deps.Changed = func(garrison.Subject) {}
	}
	return &Registry{cfg: cfg, db: deps.DB, now: deps.Now, log: deps.Log, changed: deps.Changed,
		derive: newDeriver(), index: newIndex()}, nil
}

// Start migrates, registers the tables with the audit and loads the address index.
func (r *Registry) Start(ctx context.Context) error {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	if err := r.db.Migrate(ctx, "registry", sub); err != nil {
		return err
	}
	registerTables(r.db)
	if !r.db.ReadOnly() {
		if err := r.rekey(ctx); err != nil {
			return err
		}
	}
	seen, err := r.reload(ctx)
	if err != nil {
		return err
	}
	if r.db.Engine() == state.Postgres && !r.db.ReadOnly() {
		run, stop := context.WithCancel(context.WithoutCancel(ctx))
		r.stop = stop
		r.done.Go(func() { r.follow(run, seen) })
	}
	return nil
}

// Register makes the tables part of the audit without starting anything.
func (r *Registry) Register() { registerTables(r.db) }

// Stop ends what Start began.
func (r *Registry) Stop(context.Context) error {
	if r.stop != nil {
		r.stop()
		r.done.Wait()
	}
	return nil
}

// rekey computes what follows from the subjects anew where the rules have changed.
func (r *Registry) rekey(ctx context.Context) error {
	return r.db.Write(ctx, func(tx *state.Tx) error {
		rows, err := listRows(ctx, tx, selectStale, keyVersion)
		if err != nil {
			return fmt.Errorf("find subjects with old keys: %w", err)
		}
		for _, s := range rows {
			s.derived, s.keys = r.derive.of(s.Subject), keyVersion
			if err := s.save(ctx, tx); err != nil {
				return err
			}
		}
		return nil
	})
}

// stamp changes with every change of a subject.
type stamp struct{ count, versions, changed int64 }

func (r *Registry) stamp(ctx context.Context, q state.Querier) (s stamp, err error) {
	err = q.QueryRow(ctx, stampAll).Scan(&s.count, &s.versions, &s.changed)
	return s, err
}

func (r *Registry) reload(ctx context.Context) (seen stamp, err error) {
	err = r.index.load(func() ([]garrison.Subject, error) {
		var rows []row
		err := r.db.Read(ctx, func(q state.Querier) (err error) {
			if seen, err = r.stamp(ctx, q); err != nil {
				return err
			}
			rows, err = listRows(ctx, q, selectActive)
			return err
		})
		return subjectsOf(rows), err
	})
	if err != nil {
		return stamp{}, fmt.Errorf("load the addresses of the register: %w", err)
	}
	return seen, nil
}

// follow keeps the index up with what other nodes change.
func (r *Registry) follow(ctx context.Context, seen stamp) {
	tick := time.NewTicker(r.cfg.Refresh)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var is stamp
		err := r.db.Read(ctx, func(q state.Querier) (err error) { is, err = r.stamp(ctx, q); return err })
		if err == nil && is != seen {
			is, err = r.reload(ctx)
		}
		if err == nil {
			seen = is
		} else if ctx.Err() == nil {
			r.log.WarnContext(ctx, "the register's addresses may be out of date", "err", err)
		}
	}
}

// Create adds a subject and returns it as stored.
func (r *Registry) Create(ctx context.Context, s garrison.Subject, by garrison.Actor) (garrison.Subject, error) {
	s, err := clean(s)
	if err != nil {
		return garrison.Subject{}, err
	}
	s.ID, s.Version, s.Retired = garrison.SubjectID(garrison.NewID("sub")), 1, false
	err = r.db.Write(ctx, func(tx *state.Tx) error {
		if s.Owner != "" {
			if err := checkOwner(ctx, tx, s); err != nil {
				return err
			}
		}
		return r.put(ctx, tx, &s, by, "created")
	})
	if err != nil {
		return garrison.Subject{}, err
	}
	return s, nil
}

// Update changes a subject whose Version is still the one given; Conflict otherwise.
// Kind, Demo and Retired do not change this way. Where nothing differs, nothing is
// written.
func (r *Registry) Update(ctx context.Context, s garrison.Subject, by garrison.Actor) (garrison.Subject, error) {
	out := s
	err := r.db.Write(ctx, func(tx *state.Tx) error {
		old, err := load(ctx, tx, s.ID)
		if err != nil {
			return err
		}
		switch {
		case old.Retired:
			return conflict("retired", "name", old.Name)
		case s.Version != old.Version:
			return conflict("changed_meanwhile", "name", old.Name, "version", old.Version)
		case s.Kind != old.Kind:
			return refuse("kind_fixed", "kind", string(old.Kind))
		}
		next, err := clean(s)
		if err != nil {
			return err
		}
		next.Demo, next.Retired = old.Demo, false
		// An owner that was retired meanwhile must not keep the rest from being edited.
		if next.Owner != "" && next.Owner != old.Owner {
			if err := checkOwner(ctx, tx, next); err != nil {
				return err
			}
		}
		if sameSubject(old, next) {
			out = old
			return nil
		}
		next.Version++
		if err := r.put(ctx, tx, &next, by, "changed"); err != nil {
			return err
		}
		out = next
		return nil
	})
	if err != nil {
		return garrison.Subject{}, err
	}
	return out, nil
}

// Retire marks a subject as no longer ours. A unit that still answers for others is
// kept.
func (r *Registry) Retire(ctx context.Context, id garrison.SubjectID, by garrison.Actor) error {
	return r.db.Write(ctx, func(tx *state.Tx) error {
		s, err := load(ctx, tx, id)
		if err != nil || s.Retired {
			return err
		}
		var owned int
		if err := tx.QueryRow(ctx, countOwned, string(id)).Scan(&owned); err != nil {
			return fmt.Errorf("count what %q answers for: %w", id, err)
		}
		if owned > 0 {
			return conflict("owns_others", "name", s.Name, "count", owned)
		}
		s.Retired = true
		s.Version++
		return r.put(ctx, tx, &s, by, "retired")
	})
}

// put writes a subject with its history, its keys and its addresses.
func (r *Registry) put(ctx context.Context, tx *state.Tx, s *garrison.Subject, by garrison.Actor, what string) error {
	s.Changed = state.Time(state.Micros(r.now()))
	rec := row{Subject: *s, derived: r.derive.of(*s), keys: keyVersion}
	if !s.Retired {
		var other string
		err := tx.QueryRow(ctx, nameTaken, string(s.Kind), rec.nameKey, string(s.ID)).Scan(&other)
		if err == nil {
			return conflict("name_taken", "name", s.Name)
		}
		if !errors.Is(err, state.ErrNoRows) {
			return fmt.Errorf("look for the name %q: %w", s.Name, err)
		}
	}
	if err := rec.save(ctx, tx); err != nil {
		return err
	}
	if err := saveAddresses(ctx, tx, *s); err != nil {
		return err
	}
	if _, err := tx.Record(ctx, state.Change{Kind: kindSubject, ID: string(s.ID), Doc: docOf(*s), By: by, What: what}); err != nil {
		return err
	}
	now := *s
	tx.OnCommit(func() {
		r.index.set(now)
		r.changed(now)
	})
	return nil
}

// checkOwner makes sure that the owner is a unit of ours and that no unit answers,
// over however many others, for itself.
func checkOwner(ctx context.Context, q state.Querier, s garrison.Subject) error {
	owner, err := load(ctx, q, s.Owner)
	switch {
	case garrison.CodeOf(err) == garrison.NotFound:
		return refuse("owner_unknown", "owner", string(s.Owner))
	case err != nil:
		return err
	case owner.Kind != garrison.Unit:
		return refuse("owner_not_unit", "name", owner.Name)
	case owner.Retired:
		return refuse("owner_retired", "name", owner.Name)
	}
	for up, depth := owner, 0; ; depth++ {
		if up.ID == s.ID || depth == maxDepth {
			return refuse("owner_loop", "name", owner.Name)
		}
		if up.Owner == "" {
			return nil
		}
		if up, err = load(ctx, q, up.Owner); garrison.CodeOf(err) == garrison.NotFound {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// Get returns one subject, retired or not.
func (r *Registry) Get(ctx context.Context, id garrison.SubjectID) (s garrison.Subject, err error) {
	err = r.db.Read(ctx, func(q state.Querier) (err error) { s, err = load(ctx, q, id); return err })
	return s, err
}

// SourceFor returns the sender registered for an address; the narrowest prefix wins.
func (r *Registry) SourceFor(_ context.Context, addr netip.Addr) (garrison.Subject, bool) {
	return r.index.find(garrison.Sender, addr)
}

// LineFor returns the line registered for an inside address.
func (r *Registry) LineFor(_ context.Context, inside netip.Addr) (garrison.Subject, bool) {
	return r.index.find(garrison.Line, inside)
}

// PoolFor returns the pool that an outside address belongs to.
func (r *Registry) PoolFor(_ context.Context, outside netip.Addr) (garrison.Subject, bool) {
	return r.index.find(garrison.Pool, outside)
}
