package cases

import (
	"context"

	"garrison"
)

// Cases is the component. Safe for concurrent use.
type Cases struct {
	cfg  Config
	deps Deps
}

// New builds; it starts nothing.
func New(cfg Config, deps Deps) (*Cases, error) { return nil, errSkeleton() }

// Start prepares the tables and asks again for looks that claimed cases wait for.
func (s *Cases) Start(ctx context.Context) error { return errSkeleton() }

// Stop waits for what Start began.
func (s *Cases) Stop(ctx context.Context) error { return nil }

// Open opens a case, or returns the open one on the same rule and subject with the
// findings joined to it.
func (s *Cases) Open(ctx context.Context, r OpenRequest, by By) (Case, error) {
	return Case{}, errSkeleton()
}

// Get returns one case, by its id or its number, with members and all steps.
func (s *Cases) Get(ctx context.Context, id garrison.CaseID) (Case, []Step, error) {
	return Case{}, nil, errSkeleton()
}

// List returns cases by filter and the cursor of the next page, empty at the end.
func (s *Cases) List(ctx context.Context, f Filter) ([]Case, string, error) {
	return nil, "", errSkeleton()
}

// Counts counts cases; mine is the account whose open cases Counts.Mine counts.
func (s *Cases) Counts(ctx context.Context, mine garrison.AccountID) (Counts, error) {
	return Counts{}, errSkeleton()
}

// Act does one deed. It never closes a case: that only Looked does.
func (s *Cases) Act(ctx context.Context, id garrison.CaseID, a Action, by By) (Case, error) {
	return Case{}, errSkeleton()
}

// Confirmed takes a finding that became open (again): it opens a case by policy, or
// joins the finding to the open case on the same rule and subject, and returns the
// case; "" when policy opens none.
func (s *Cases) Confirmed(ctx context.Context, id garrison.FindingID, f garrison.Finding, run garrison.Run) (garrison.CaseID, error) {
	return "", errSkeleton()
}

// Rechecked takes what a later run saw of a finding. It is the only way to closed.
func (s *Cases) Rechecked(ctx context.Context, id garrison.FindingID, run garrison.Run, gone bool) error {
	return errSkeleton()
}

// Unsure takes that a later run could not tell whether a finding is still there. It
// adds a step and changes nothing.
func (s *Cases) Unsure(ctx context.Context, id garrison.FindingID, run garrison.Run, why string) error {
	return errSkeleton()
}

// Refuted takes that a finding was refuted where findings are kept. A case with no
// finding left ends refuted.
func (s *Cases) Refuted(ctx context.Context, id garrison.FindingID, reason string, by garrison.Actor) error {
	return errSkeleton()
}

// RemoveDemo removes demonstration cases and says how many.
func (s *Cases) RemoveDemo(ctx context.Context, by garrison.Actor) (int, error) {
	return 0, errSkeleton()
}

// Deeds returns what could be done to the case by this actor, for surfaces that show
// only what works.
func (s *Cases) Deeds(c Case, by By) []string { return nil }

func errSkeleton() error { return garrison.Errorf(garrison.Unavailable, "not built yet") }
