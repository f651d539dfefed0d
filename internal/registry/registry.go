package registry

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"garrison"
	"garrison/internal/state"
)

// Config has nothing to set yet.
type Config struct{}

// DefaultConfig is what runs when nothing is set.
func DefaultConfig() Config { return Config{} }

// Deps is what the registry needs from outside.
type Deps struct {
	DB  *state.DB
	Now func() time.Time
	Log *slog.Logger
}

// Registry keeps the subjects. It is safe for concurrent use after Start.
type Registry struct{}

// New builds; it opens nothing.
func New(cfg Config, deps Deps) (*Registry, error) { return &Registry{}, nil }

// Start migrates, registers the tables with the audit and loads the address index.
func (r *Registry) Start(ctx context.Context) error { return errNotYet }

// Stop ends what Start began.
func (r *Registry) Stop(ctx context.Context) error { return errNotYet }

// Filter chooses subjects. Zero fields choose all that are not retired.
type Filter struct {
	Kind    garrison.SubjectKind
	Owner   garrison.SubjectID
	Query   string // part of name, responsible person or an attribute
	Demo    *bool
	Retired bool   // also the retired
	After   string // as returned by the page before
	Limit   int    // 0: 100; at most 1000
}

// Counts is how much there is.
type Counts struct {
	ByKind                   map[garrison.SubjectKind]int // not retired
	Ownerless, Demo, Retired int
}

// Profile is who we are: which kinds of body in the catalogue's "binds" vocabulary.
type Profile struct {
	Name  string
	Binds []string // sorted
	Set   bool     // false: nobody has said yet
	Demo  bool     // said by the demonstration
}

// Create adds a subject and returns it as stored.
func (r *Registry) Create(ctx context.Context, s garrison.Subject, by garrison.Actor) (garrison.Subject, error) {
	return garrison.Subject{}, errNotYet
}

// Update changes a subject whose Version is still the one given; Conflict otherwise.
func (r *Registry) Update(ctx context.Context, s garrison.Subject, by garrison.Actor) (garrison.Subject, error) {
	return garrison.Subject{}, errNotYet
}

// Retire marks a subject as no longer ours.
func (r *Registry) Retire(ctx context.Context, id garrison.SubjectID, by garrison.Actor) error {
	return errNotYet
}

// Get returns one subject, retired or not.
func (r *Registry) Get(ctx context.Context, id garrison.SubjectID) (garrison.Subject, error) {
	return garrison.Subject{}, errNotYet
}

// List returns subjects ordered by kind and name (Chinese by pinyin) and where the
// next page starts ("" at the end).
func (r *Registry) List(ctx context.Context, f Filter) (list []garrison.Subject, next string, err error) {
	return nil, "", errNotYet
}

// Counts counts.
func (r *Registry) Counts(ctx context.Context) (Counts, error) { return Counts{}, errNotYet }

// Profile returns who we are.
func (r *Registry) Profile(ctx context.Context) (Profile, error) { return Profile{}, errNotYet }

// SetProfile says who we are.
func (r *Registry) SetProfile(ctx context.Context, p Profile, by garrison.Actor) error {
	return errNotYet
}

// SourceFor returns the sender registered for an address; the narrowest prefix wins.
func (r *Registry) SourceFor(ctx context.Context, addr netip.Addr) (garrison.Subject, bool) {
	return garrison.Subject{}, false
}

// LineFor returns the line registered for an inside address.
func (r *Registry) LineFor(ctx context.Context, inside netip.Addr) (garrison.Subject, bool) {
	return garrison.Subject{}, false
}

// PoolFor returns the pool that an outside address belongs to.
func (r *Registry) PoolFor(ctx context.Context, outside netip.Addr) (garrison.Subject, bool) {
	return garrison.Subject{}, false
}

// Ownerless returns what nobody answers for: no owner, or one that is retired.
func (r *Registry) Ownerless(ctx context.Context) ([]garrison.Subject, error) { return nil, errNotYet }

// RemoveDemo removes everything the demonstration made and returns how many
// subjects that were.
func (r *Registry) RemoveDemo(ctx context.Context, by garrison.Actor) (n int, err error) {
	return 0, errNotYet
}

var errNotYet = garrison.Errorf(garrison.Unavailable, "registry: not built yet")
