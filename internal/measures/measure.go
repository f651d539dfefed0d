package measures

import (
	"context"
	"log/slog"
	"time"

	"garrison"
	"garrison/internal/probe"
)

// A Measure looks at one subject and says what it saw. It changes nothing, decides
// nothing about blocking or cases, and is safe to run twice at once.
type Measure interface {
	// Definition is read once from measure.yaml and never changes.
	Definition() *Definition
	// Run returns an error for whatever kept it from telling; the runner records
	// Unknown with that reason. It obeys ctx.
	Run(ctx context.Context, env Env, target garrison.Subject) (Result, error)
}

// Env is everything a measure can reach.
type Env struct {
	Probe probe.Prober // keeps what is exchanged for the transcript
	Now   func() time.Time
	Log   *slog.Logger
	// Only limits the run to these loci, for another look at what was suspected.
	// Empty: everything. A measure that honours it returns Result.Partial.
	Only []string
	// Known is the last inventory, without what was removed.
	Known []Item
}

// Result is what one run of a measure saw. The zero Result is Unknown. Findings are
// not part of it: the runner derives them from the verdicts of Items by the rules of
// the definition, so that one rule cannot come with two texts.
type Result struct {
	Outcome    garrison.Outcome
	Why        string // for Unknown: what kept it from telling, a word of the measure
	Population garrison.Population
	Items      []Item // each locus once
	// Partial says that only some loci were looked at: nothing follows from a
	// locus not being among Items.
	Partial bool
	// Complete says that Items is the whole inventory. A locus that is not in it
	// is gone. The runner ignores it together with Truncated or Partial.
	Complete bool
	// Truncated names the limits that cut the inventory short.
	Truncated []string
}

// Item is one locus of the subject that the run looked at.
type Item struct {
	Locus   string            `json:"locus"`
	Verdict string            `json:"verdict"` // one of the definition's
	Outcome garrison.Outcome  `json:"outcome"` // the verdict's; set by the runner
	Why     string            `json:"why,omitempty"`
	What    string            `json:"what,omitempty"` // what stands there, for people
	Facts   map[string]string `json:"facts,omitempty"`
	// Sure says that this one look settles its finding (a server that itself says
	// 404 or 410).
	Sure bool `json:"sure,omitempty"`
}
