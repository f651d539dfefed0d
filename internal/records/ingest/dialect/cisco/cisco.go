// Package cisco reads the translation lines of ASA and FTD, of IOS and IOS XE, and of
// the carrier-grade NAT of IOS XR.
package cisco

import (
	"garrison/evidence"
	"garrison/internal/records/ingest/dialect"
)

// Decoder reads Cisco's lines.
type Decoder struct{}

// NewDecoder returns a decoder.
func NewDecoder() *Decoder { return &Decoder{} }

// Decode implements dialect.Decoder.
func (d *Decoder) Decode(l *dialect.Line, r *evidence.NAT) string { return dialect.NotMine }
