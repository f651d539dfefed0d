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
	Probe probe.Prober // records what is exchanged
	Now   func() time.Time
	Log   *slog.Logger
	// Only limits the run to these loci, for a second look at what was suspected.
	// Empty: everything. A measure that honours it returns Result.Partial.
	Only []string
	// Known are the loci and places of the last inventory, so that a second look
	// need not find them again.
	Known []Item
}

// Result is what one run of a measure saw. The zero Result is Unknown.
type Result struct {
	Outcome    garrison.Outcome
	Why        string // for Unknown: what kept it from telling, a word of the measure
	Population garrison.Population
	Items      []Item
	// Findings name loci that also stand in Items.
	Findings []garrison.Finding
	// Partial says that only some loci were looked at: nothing follows from a
	// locus not being among Items.
	Partial bool
	// Complete says that Items is the whole inventory. A locus that is not in it
	// is gone. Never true together with Truncated or Partial.
	Complete bool
	// Truncated names the limits that cut the inventory short.
	Truncated []string
}

// Item is one locus of the subject that the run was about.
type Item struct {
	Locus   string            `json:"locus"`
	Outcome garrison.Outcome  `json:"-"`
	Verdict string            `json:"verdict"`
	Why     string            `json:"why,omitempty"`
	What    string            `json:"what,omitempty"` // what stands there, for people
	Facts   map[string]string `json:"facts,omitempty"`
	// Sure says that this one look settles its finding (a server that itself says
	// 404 or 410).
	Sure bool `json:"sure,omitempty"`
}
