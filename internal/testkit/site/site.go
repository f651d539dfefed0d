package site

import "context"

// Config chooses what the site is like.
type Config struct {
	Addr  string // where the site listens; default 127.0.0.1:0
	Other string // where the foreign hosts listen; default 127.0.0.2:0
	TLS   bool
}

// Site is the portal and the foreign hosts it links to.
type Site struct{ cfg Config }

// New builds the site.
func New(cfg Config) *Site { return &Site{cfg: cfg} }

// Start listens and serves until Stop.
func (s *Site) Start(ctx context.Context) error { return nil }

// Stop closes every connection and listener.
func (s *Site) Stop(ctx context.Context) error { return nil }

// URL is the portal's front page.
func (s *Site) URL() string { return "" }

// DeadURL is the link that is dead until Repair.
func (s *Site) DeadURL() string { return "" }

// Repair brings the dead link back to life; Break makes it dead again.
func (s *Site) Repair() {}

// Break makes the link dead.
func (s *Site) Break() {}
