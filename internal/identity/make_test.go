package identity

import "testing"

// What a person may not hold together must not be joined by tokens either.
func TestTokensOfOwnRolesOnly(t *testing.T) {
	system := Principal{Roles: []Role{RoleSystem}}
	for role, want := range map[Role]bool{RoleSystem: true, RoleIntake: true, RoleSecurity: false, RoleAudit: false, RoleOperator: false} {
		if got := system.MayMake(role); got != want {
			t.Errorf("system may make a token of %s: %t, want %t", role, got, want)
		}
	}
	if !(Principal{Roles: []Role{RoleLocal}}).MayMake(RoleAudit) {
		t.Error("the machine's own command line cannot make a token")
	}
	if (Principal{}).MayMake(RoleSystem) {
		t.Error("nobody may make a token")
	}
}
