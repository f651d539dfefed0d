package links

import (
	_ "embed"
	"errors"
	"fmt"
	"time"

	"garrison/internal/measures"
)

//go:embed measure.yaml
var definition []byte

// Config limits one run.
type Config struct {
	MaxPages int           // pages of the site read
	MaxDepth int           // clicks from the front page
	MaxLinks int           // different links in the inventory
	MaxBytes int64         // of all pages together
	MaxTime  time.Duration // for reading pages
	Workers  int           // hosts looked at at once
}

// DefaultConfig returns the settings the product ships with.
func DefaultConfig() Config {
	return Config{MaxPages: 200, MaxDepth: 3, MaxLinks: 5000, MaxBytes: 64 << 20,
		MaxTime: 30 * time.Minute, Workers: 16}
}

// Validate reports every fault of c at once.
func (c Config) Validate() error {
	var errs []error
	need := func(ok bool, name string, v any) {
		if !ok {
			errs = append(errs, fmt.Errorf("links.%s %v: must be above 0 and within reason", name, v))
		}
	}
	need(c.MaxPages > 0 && c.MaxPages <= 100_000, "max_pages", c.MaxPages)
	need(c.MaxDepth > 0 && c.MaxDepth <= 100, "max_depth", c.MaxDepth)
	need(c.MaxLinks > 0 && c.MaxLinks <= 100_000, "max_links", c.MaxLinks)
	need(c.MaxBytes > 0 && c.MaxBytes <= 4<<30, "max_bytes", c.MaxBytes)
	need(c.MaxTime > 0 && c.MaxTime <= 24*time.Hour, "max_time", c.MaxTime)
	need(c.Workers > 0 && c.Workers <= 256, "workers", c.Workers)
	return errors.Join(errs...)
}

// Measure is the check of a site's links.
type Measure struct {
	cfg Config
	def *measures.Definition
}

// New builds the measure. An error is a fault of the configuration or of measure.yaml.
func New(cfg Config) (*Measure, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	def, err := measures.Parse(definition)
	if err != nil {
		return nil, err
	}
	return &Measure{cfg: cfg, def: def}, nil
}

// Definition returns the measure's definition.
func (m *Measure) Definition() *measures.Definition { return m.def }
