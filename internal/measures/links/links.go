package links

import (
	"context"
	"time"

	"garrison"
	"garrison/internal/measures"
	"garrison/internal/probe"
)

// Config limits one run.
type Config struct {
	MaxPages int           // pages of the site read
	MaxDepth int           // clicks from the front page
	MaxLinks int           // different links in the inventory
	MaxBytes int64         // of all pages together
	MaxTime  time.Duration // for reading pages
	Workers  int           // links looked at at once, on different hosts
}

// DefaultConfig returns the settings the product ships with.
func DefaultConfig() Config {
	return Config{MaxPages: 200, MaxDepth: 3, MaxLinks: 5000, MaxBytes: 64 << 20,
		MaxTime: 30 * time.Minute, Workers: 16}
}

// Measure is the check of a site's links.
type Measure struct {
	cfg Config
	def *measures.Definition
}

// New builds the measure. An error is a mistake in measure.yaml.
func New(cfg Config) (*Measure, error) { return &Measure{cfg: cfg}, nil }

// Definition returns the measure's definition.
func (m *Measure) Definition() *measures.Definition { return m.def }

// Run looks at the links of one site.
func (m *Measure) Run(ctx context.Context, env measures.Env, target garrison.Subject) (measures.Result, error) {
	return measures.Result{}, garrison.Errorf(garrison.Unavailable, "links: not built yet")
}

// CheckOptions sets one [Check].
type CheckOptions struct {
	Deadline time.Duration // 0: 30 s
}

// Report is what one [Check] saw.
type Report struct {
	Target    string   `json:"target"`
	Links     []Link   `json:"links"`
	Complete  bool     `json:"complete"`            // every link of the page is listed
	Truncated []string `json:"truncated,omitempty"` // limits that were hit
	Why       string   `json:"why,omitempty"`       // why the page itself could not be read
	Status    int      `json:"status,omitempty"`    // of the page itself
}

// Link is one link of the page.
type Link struct {
	URL      string `json:"url"`
	Outcome  string `json:"outcome"`
	Why      string `json:"why"`
	Status   int    `json:"status"`
	Internal bool   `json:"internal"`
	Kind     string `json:"kind"`
	Text     string `json:"text,omitempty"`
	To       string `json:"to,omitempty"` // where a moved link leads
}

// Check looks once at one page and at every link on it, and answers within the
// deadline whatever the other side does.
func Check(ctx context.Context, p probe.Prober, url string, opts CheckOptions) (Report, error) {
	return Report{Target: url}, garrison.Errorf(garrison.Unavailable, "links: not built yet")
}
