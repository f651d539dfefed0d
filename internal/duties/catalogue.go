package duties

import (
	"garrison"
)

// Catalogue is the embedded list of clauses.
type Catalogue struct {
	Rules        []garrison.Rule
	Duties       []garrison.Duty
	Capabilities []Term
	Binds        []Term
	Discharges   []Term
	Groups       []Group
}

// Term is one word of the catalogue's own vocabularies.
type Term struct {
	ID   string
	Text garrison.Text
}

// Group is a set of clauses that say the same thing in different instruments.
type Group struct {
	ID     string
	Title  garrison.Text
	Duties []garrison.DutyID
}
