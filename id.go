package garrison

import (
	"crypto/rand"
	"encoding/base32"
	"strings"
)

// Identifiers are opaque and never change; names and kinds may. Each has its own
// type so that one cannot stand where another is meant.
type (
	SubjectID   string // anything in the register
	SourceID    string // one sender of records
	AccountID   string // one person's account
	TokenID     string // one API token
	MeasureID   string // "links"
	RuleID      string // "links.dead"
	RunID       string // one execution of one measure
	FindingID   string // one row of the finding list
	Fingerprint string // what makes two sightings the same finding
	CaseID      string // opaque; people read Case.Number
	DutyID      string // "mps82-13"
)

// NewID returns a fresh identifier of 128 random bits, lower-case base32 after the
// given prefix ("case-…"). It panics only when the system has no randomness.
func NewID(prefix string) string {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic("garrison: no randomness: " + err.Error())
	}
	return prefix + "-" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:]))
}
