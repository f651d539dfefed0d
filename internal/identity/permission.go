package identity

import (
	"slices"

	"garrison"
)

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

// Permissions, named by what they open. Names never change their meaning.
const (
	PermOverview       = "overview"
	PermTrace          = "records.trace"
	PermDeliver        = "records.deliver"
	PermSources        = "sources.read"
	PermRegistryRead   = "registry.read"
	PermRegistryWrite  = "registry.write"
	PermProfileWrite   = "profile.write"
	PermFindingsRead   = "findings.read"
	PermMeasuresRead   = "measures.read"
	PermMeasuresRun    = "measures.run"
	PermMeasuresSwitch = "measures.switch"
	PermCasesRead      = "cases.read"
	PermCasesAct       = "cases.act"
	PermDutiesRead     = "duties.read"
	PermLedgerRead     = "ledger.read"
	PermAccountsRead   = "accounts.read"
	PermAccountsWrite  = "accounts.write"
	PermTokensWrite    = "tokens.write"
	PermSettingsRead   = "settings.read"
	PermSettingsWrite  = "settings.write"
	PermExport         = "export"
	PermVerify         = "verify"
	PermDemo           = "demo"
	PermEnvelopesOpen  = "envelopes.open"
	PermApprove        = "approve"
)

// Permissions lists every permission there is.
func Permissions() []string {
	return []string{PermOverview, PermTrace, PermDeliver, PermSources, PermRegistryRead, PermRegistryWrite, PermProfileWrite,
		PermFindingsRead, PermMeasuresRead, PermMeasuresRun, PermMeasuresSwitch, PermCasesRead, PermCasesAct, PermDutiesRead,
		PermLedgerRead, PermAccountsRead, PermAccountsWrite, PermTokensWrite, PermSettingsRead, PermSettingsWrite, PermExport,
		PermVerify, PermDemo, PermEnvelopesOpen, PermApprove}
}

// personal are the permissions that only a person can use, whatever a role says:
// opening somebody's identity and approving it are never a machine's.
func personal(permission string) bool {
	return permission == PermEnvelopesOpen || permission == PermApprove
}

// PersonRoles lists the roles that can be granted to people.
func PersonRoles() []Role {
	return []Role{RoleSystem, RoleSecurity, RoleAudit, RoleOperator, RoleInspector}
}

// TokenRoles lists the roles that a token can be made for; the local one is made at
// start only.
func TokenRoles() []Role { return append(PersonRoles(), RoleIntake) }

// PermissionsOf returns what a role may do: the one table.
func PermissionsOf(r Role) []string {
	read := []string{PermOverview, PermSources, PermRegistryRead, PermFindingsRead, PermMeasuresRead, PermCasesRead, PermDutiesRead, PermLedgerRead}
	switch r {
	case RoleSystem:
		return append(read, PermProfileWrite, PermAccountsRead, PermAccountsWrite, PermTokensWrite, PermSettingsRead, PermSettingsWrite, PermVerify, PermDemo)
	case RoleSecurity:
		return append(read, PermTrace, PermRegistryWrite, PermProfileWrite, PermMeasuresRun, PermMeasuresSwitch, PermCasesAct,
			PermSettingsRead, PermExport, PermVerify, PermDemo, PermApprove)
	case RoleAudit:
		return append(read, PermTrace, PermAccountsRead, PermSettingsRead, PermExport, PermVerify)
	case RoleOperator:
		return append(read, PermTrace, PermMeasuresRun, PermCasesAct, PermEnvelopesOpen)
	case RoleInspector:
		return append(read, PermTrace, PermExport, PermVerify)
	case RoleIntake:
		return []string{PermDeliver}
	case RoleLocal:
		return slices.DeleteFunc(Permissions(), personal)
	}
	return nil
}

// Principal is who asks: a person with a session, or a token.
type Principal struct {
	Actor   garrison.Actor
	Roles   []Role
	Session *Session // nil for tokens
	Token   *Token   // nil for people
}

// MayMake says whether the principal can make a token of a role: of one it holds
// itself, or one that only delivers records. Else a single person could join by tokens
// the duties that no person may hold together. The machine's own command line may make
// any: who can read its token owns the machine.
func (p Principal) MayMake(r Role) bool {
	return r == RoleIntake || slices.Contains(p.Roles, r) || slices.Contains(p.Roles, RoleLocal)
}

// May says whether the principal holds a permission. An unknown permission is held by
// nobody.
func (p Principal) May(permission string) bool {
	if personal(permission) && (p.Session == nil || p.Token != nil) {
		return false
	}
	return slices.ContainsFunc(p.Roles, func(r Role) bool { return slices.Contains(PermissionsOf(r), permission) })
}

// Require returns a refusal unless the principal holds a permission.
func (p Principal) Require(permission string) error {
	if p.May(permission) {
		return nil
	}
	return garrison.Refuse(garrison.Denied, "error.identity.not_allowed", "permission", permission)
}
