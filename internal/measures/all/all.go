// Package all is the list of measures the product ships. There is no other way for
// a measure to get in.
package all

import (
	"fmt"

	"garrison/internal/measures"
	"garrison/internal/measures/links"
)

// Config holds every measure's settings.
type Config struct {
	Links links.Config
}

// DefaultConfig returns the settings the product ships with.
func DefaultConfig() Config { return Config{Links: links.DefaultConfig()} }

// Measures builds every measure.
func Measures(cfg Config) ([]measures.Measure, error) {
	l, err := links.New(cfg.Links)
	if err != nil {
		return nil, fmt.Errorf("measure links: %w", err)
	}
	return []measures.Measure{l}, nil
}
