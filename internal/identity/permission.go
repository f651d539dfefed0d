package identity

import "garrison"

// Role is a set of permissions; the table says which.
type Role string

const (
	RoleSystem    Role = "system"    // runs the installation: accounts, tokens, settings
	RoleSecurity  Role = "security"  // runs protection: register, measures, cases
	RoleAudit     Role = "audit"     // reads everything kept as evidence, changes nothing
	RoleOperator  Role = "operator"  // on duty: traces, works cases
	RoleInspector Role = "inspector" // from outside: reads clauses and evidence
	RoleLocal     Role = "local"     // the token of the machine's own command line
	RoleIntake    Role = "intake"    // a machine that only delivers records
)

// Principal is who asks: a person with a session, or a token.
type Principal struct {
	Actor   garrison.Actor
	Roles   []Role
	Session *Session // nil for tokens
	Token   *Token   // nil for people
}

// May says whether the principal holds a permission. An unknown permission is held by nobody.
func (p Principal) May(permission string) bool { return false }
