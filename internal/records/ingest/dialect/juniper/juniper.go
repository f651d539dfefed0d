// Package juniper reads the translation lines of Junos: sessions and port blocks of
// the SRX and of services cards.
package juniper

import (
	"garrison/evidence"
	"garrison/internal/records/ingest/dialect"
)

// Decoder reads Junos' lines.
type Decoder struct{}

// NewDecoder returns a decoder.
func NewDecoder() *Decoder { return &Decoder{} }

// Decode implements dialect.Decoder.
func (d *Decoder) Decode(l *dialect.Line, r *evidence.NAT) string { return dialect.NotMine }
