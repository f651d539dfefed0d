package quicklook

import (
	"context"
	"time"

	"garrison"
	"garrison/internal/measures/links"
)

// Options sets one look.
type Options struct {
	AllowPrivate bool          // the target and what it links to may be of the target's own private kind of address
	Deadline     time.Duration // 0: 30 s
	Product      string        // of the User-Agent; empty: the default
	Contact      string
}

// Line is one thing looked at.
type Line struct {
	Check   string            `json:"check"`
	Outcome string            `json:"outcome"` // pass | fail | unknown | not_applicable
	Why     string            `json:"why"`
	Facts   map[string]string `json:"facts,omitempty"`
}

// Report is what one look saw.
type Report struct {
	Target string `json:"target"`
	Kind   string `json:"kind"`
	Checks []Line `json:"checks"`
}

// Links looks at a page's links.
func Links(ctx context.Context, target string, o Options) (links.Report, error) {
	return links.Report{}, garrison.Errorf(garrison.Unavailable, "quicklook: not built yet")
}

// Site looks at a web site.
func Site(ctx context.Context, target string, o Options) (Report, error) {
	return Report{}, garrison.Errorf(garrison.Unavailable, "quicklook: not built yet")
}

// Mail looks at a mail domain.
func Mail(ctx context.Context, target string, o Options) (Report, error) {
	return Report{}, garrison.Errorf(garrison.Unavailable, "quicklook: not built yet")
}

// DNS looks at a zone.
func DNS(ctx context.Context, target string, o Options) (Report, error) {
	return Report{}, garrison.Errorf(garrison.Unavailable, "quicklook: not built yet")
}
