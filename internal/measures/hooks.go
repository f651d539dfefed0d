package measures

import (
	"context"

	"garrison"
)

// Cases is told what became of findings. The daemon passes package cases in.
//
// Every call happens after the change it tells of is committed, at least once and
// again after a crash until it returned nil, in the order of the changes of one
// finding. Implementations must therefore be idempotent per finding and run. An
// error is logged, and the call is made again later.
type Cases interface {
	// Confirmed tells that a finding became open (again). The case it went into is
	// returned, or "" when policy opens none.
	Confirmed(ctx context.Context, id garrison.FindingID, f garrison.Finding, run garrison.Run) (garrison.CaseID, error)
	// Rechecked tells that a run looked at an open finding again. gone: it is no
	// longer there, and a case may close on that. Not gone: it still is. A run that
	// could not tell is not told of.
	Rechecked(ctx context.Context, id garrison.FindingID, run garrison.Run, gone bool) error
	// RunEnded tells, after all of the above, that a run ended which did not see these
	// loci of open findings well nor as they were: unsure maps them to why. nil: the
	// run as a whole could tell, or (outcome Unknown) it could tell about nothing.
	RunEnded(ctx context.Context, run garrison.Run, unsure map[string]string) error
	// Refuted tells that a person refuted the finding with a reason.
	Refuted(ctx context.Context, id garrison.FindingID, reason string, by garrison.Actor) error
}

// Subjects is what the runner needs of the register.
type Subjects interface {
	Get(ctx context.Context, id garrison.SubjectID) (garrison.Subject, error)
	// Of returns every subject of the kind that is not retired.
	Of(ctx context.Context, kind garrison.SubjectKind) ([]garrison.Subject, error)
}

// Keeper keeps transcripts and gives them back. probe/transcript.Store is one.
type Keeper interface {
	Keep(ctx context.Context, b []byte) (digest string, err error)
	Open(ctx context.Context, digest string) ([]byte, error)
}
