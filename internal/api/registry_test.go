package api_test

import (
	"context"
	"encoding/json"
	"testing"

	"garrison/client"
)

// The history of an account, a session or a token says who signed in from where: the
// permission to read the register is not enough for it.
func TestHistoryNeedsThePermissionOfItsObject(t *testing.T) {
	in := start(t)
	operator, audit := in.token("operator"), in.token("audit")
	var list client.Tokens
	if err := in.client.Do(context.Background(), "GET", "/api/tokens", nil, &list); err != nil || len(list.Tokens) == 0 {
		t.Fatalf("%d tokens, %v", len(list.Tokens), err)
	}
	one := "/api/objects/token/" + list.Tokens[0].ID + "/versions"
	for _, path := range []string{one, "/api/objects/account/x/versions", "/api/objects/session/x/versions", "/api/objects/passkey/x/versions", "/api/objects/new/x/versions"} {
		if r := in.do("GET", path, "Bearer "+operator, "", nil); r.status != 403 {
			t.Errorf("%s as operator: %d %s, want 403", path, r.status, r.body)
		}
	}
	for path, token := range map[string]string{one: audit, "/api/objects/subject/x/versions": operator, "/api/objects/case/x/versions": operator} {
		if r := in.do("GET", path, "Bearer "+token, "", nil); r.status != 200 {
			t.Errorf("%s: %d %s, want 200", path, r.status, r.body)
		}
	}
	var kept struct {
		Versions []json.RawMessage `json:"versions"`
	}
	if err := json.Unmarshal(in.do("GET", one, "Bearer "+audit, "", nil).body, &kept); err != nil || len(kept.Versions) == 0 {
		t.Errorf("%d versions of a token, %v", len(kept.Versions), err)
	}
}
