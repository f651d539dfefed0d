package garrison

import "time"

// SubjectKind is what a subject is.
type SubjectKind string

const (
	Unit   SubjectKind = "unit"   // a body or department that answers for things
	Person SubjectKind = "person" // somebody responsible
	Site   SubjectKind = "site"   // a web site; attribute "url"
	Sender SubjectKind = "source" // a sender of records; attributes "address", "zone", "dialect", "expected"
	Pool   SubjectKind = "pool"   // public addresses used for translation; attributes "prefix", "device"
	Line   SubjectKind = "line"   // a subscriber line; attributes "number", "inside"
)

// Subject is anything a duty, a measure or a case can be about.
type Subject struct {
	ID          SubjectID
	Kind        SubjectKind
	Name        string
	Owner       SubjectID         // the unit that answers for it; empty is a finding, not a default
	Responsible string            // the person who answers for it, by name or post
	Grade       int               // protection grade on file; 0: not filed
	Attributes  map[string]string // by kind, see the SubjectKind constants
	Demo        bool              // made by the demonstration, removable in one command
	Version     int               // counts changes, 1 at creation
	Changed     time.Time
	Retired     bool // no longer ours; kept because findings and evidence name it
}

// Actor is who did something.
type Actor struct {
	Kind ActorKind
	ID   string // AccountID, TokenID, or the component's name
	Name string // as people know it at the time
}

// ActorKind tells people, tokens and the product itself apart.
type ActorKind string

const (
	ByPerson ActorKind = "person"
	ByToken  ActorKind = "token"
	BySystem ActorKind = "system"
)

// System returns the actor for something the product did by itself.
func System(component string) Actor {
	return Actor{Kind: BySystem, ID: component, Name: component}
}

// Text is a text that belongs to data (a clause, a rule of a measure), in both
// languages. Texts of the product itself are locale keys instead.
type Text struct {
	ZH string `json:"zh" yaml:"zh"`
	EN string `json:"en" yaml:"en"`
}

// In returns the text in the language tag given ("en…" is English, all else Chinese).
func (t Text) In(lang string) string {
	if len(lang) >= 2 && lang[:2] == "en" {
		return t.EN
	}
	return t.ZH
}

// EvidenceRef points at one entry of a ledger.
type EvidenceRef struct {
	Log    string `json:"log"`    // the log's origin
	Index  uint64 `json:"index"`  // the entry's place in it
	Digest string `json:"digest"` // hex SHA-256 (RFC 6962 leaf hash) of the entry
}

// Zero says that nothing is referred to: not sealed yet, or never recorded.
func (r EvidenceRef) Zero() bool { return r.Digest == "" }

// Period is a stretch of time, From included, Until not; a zero Until is open.
type Period struct {
	From  time.Time `json:"from"`
	Until time.Time `json:"until,omitzero"`
}

// Contains says whether t lies in p.
func (p Period) Contains(t time.Time) bool {
	return !t.Before(p.From) && (p.Until.IsZero() || t.Before(p.Until))
}
