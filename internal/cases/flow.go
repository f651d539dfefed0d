package cases

import (
	"slices"
	"time"

	"garrison"
)

// Deeds: what can be done to a case. Those up to close are for people and tokens,
// the rest only for the product itself.
const (
	DoAssign  = "assign"
	DoComment = "comment"
	DoClaim   = "claim"  // say that it is fixed; asks the measure to look again
	DoAsk     = "ask"    // ask the measure to look again without a claim
	DoRefute  = "refute" // say that the finding was wrong, with a reason
	DoClose   = "close"  // always refused; it is here so that the refusal has a place
	DoLook    = "look"   // a later run of the measure has looked
	DoJoin    = "join"   // the same rule failed at a further place of the same subject
	DoDrop    = "drop"   // a finding of the case was refuted where findings are kept
)

// What a step says was done, garrison.Step.Do.
const (
	DidOpen    = "opened"
	DidAssign  = "assigned"
	DidComment = "commented"
	DidClaim   = "claimed"
	DidAsk     = "asked"
	DidRefute  = "refuted"
	DidJoin    = "joined"
	DidDrop    = "dropped"
	DidLook    = "rechecked"
	DidReopen  = "reopened"
	DidClose   = "closed"
)

// Roles a move may ask for. They are the names that identity gives accounts and
// tokens; RoleLook is nobody's role: it stands for the runner of measures.
const (
	RoleOperator = "operator"
	RoleSecurity = "security"
	RoleLocal    = "local" // the token of the machine's own command line
	RoleLook     = "look"
)

// Same as a To of a [Move] leaves the state as it is.
const Same garrison.State = ""

// Move is one line of a flow.
type Move struct {
	From   []garrison.State
	Do     string
	To     garrison.State // Same: stays
	By     []string       // roles, any of them; empty: nobody, the deed is always held
	Person bool           // a token may not, whatever its role
	Note   bool           // a note is required
	Clause garrison.DutyID
}

// Flow is the table of one case kind.
type Flow struct {
	Kind  garrison.CaseKind
	Moves []Move
}

// Flows returns the tables of all kinds that can be opened. A kind without a table
// cannot: a case nobody could bring to an end is worse than none.
func Flows() []*Flow { return []*Flow{rectification()} }

// FlowOf returns the table of a kind, or nil.
func FlowOf(kind garrison.CaseKind) *Flow {
	for _, f := range Flows() {
		if f.Kind == kind {
			return f
		}
	}
	return nil
}

// rectification: something is not as it should be, somebody puts it right, the
// measure looks again. There is no move to closed that a person could make.
func rectification() *Flow {
	working := []garrison.State{garrison.StateOpen, garrison.StateAssigned, garrison.StateClaimed}
	all := append(slices.Clone(working), garrison.StateClosed, garrison.StateRefuted)
	people := []string{RoleOperator, RoleSecurity, RoleLocal}
	return &Flow{Kind: garrison.Rectification, Moves: []Move{
		{From: working[:2], Do: DoAssign, To: garrison.StateAssigned, By: people},
		{From: working[2:], Do: DoAssign, To: Same, By: people}, // who answers for it changes, the claim stands
		{From: all, Do: DoComment, To: Same, By: people, Note: true},
		{From: working[:2], Do: DoClaim, To: garrison.StateClaimed, By: people},
		{From: working, Do: DoAsk, To: Same, By: people},
		{From: working, Do: DoRefute, To: garrison.StateRefuted, By: []string{RoleSecurity}, Person: true, Note: true},
		{From: working, Do: DoClose, To: Same}, // govqa-9b: handled means that looking again shows it
		{From: working, Do: DoLook, To: Same, By: []string{RoleLook}, Clause: "govqa-9b"},
		{From: working, Do: DoJoin, To: Same, By: []string{RoleLook}},
		{From: working, Do: DoDrop, To: Same, By: []string{RoleLook}},
	}}
}

// By is who acts, with the roles that count now.
type By struct {
	Actor garrison.Actor
	Roles []string
}

// Action is one deed. Version is the version of the case the actor has seen.
type Action struct {
	Do       string
	Note     string
	Assignee garrison.AccountID // for assign
	Version  int
	Look     *Look // for look, join and drop; never from outside
}

// Look is what one run, or the place where findings are kept, said about one
// finding of the case.
type Look struct {
	Run      garrison.RunID
	Measure  garrison.MeasureID
	Subject  garrison.SubjectID
	Started  time.Time
	After    time.Time        // start of the look that confirmed the finding
	Outcome  garrison.Outcome // of a look: Pass gone, Fail still there, Unknown could not tell
	Why      string           // for Unknown, a word of the measure
	Locus    string
	Severity garrison.Severity // of a finding that joins
	Due      time.Time         // by policy, of a finding that joins
	Again    bool              // the finding that joins had been gone
	Left     int               // findings of the case not ended after this
	By       garrison.Actor    // who refuted the finding that drops out
}

// Effect is something that must happen outside after an action. Effects are asked
// for after the change is stored, and asked for again until seen.
type Effect struct {
	Do     string // EffectRecheck | EffectRefute
	Reason string
}

// Effects.
const (
	EffectRecheck = "recheck" // let the measure look again at the subject
	EffectRefute  = "refute"  // tell the measure's runner that the findings were wrong
)

// May says whether somebody with these roles could do a deed in the present state;
// surfaces ask it to show only what works. It checks neither note nor version.
func (f *Flow) May(c garrison.Case, do string, by By) bool {
	m, err := f.move(c.State, do)
	return err == nil && m.allows(by)
}
