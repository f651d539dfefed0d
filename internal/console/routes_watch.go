package console

import (
	"net/http"

	"garrison/internal/identity"
)

// routesWatch lists the pages of watching, asking and proving.
func (c *Console) routesWatch(mux *http.ServeMux) {
	mux.HandleFunc("GET /{$}", c.signed(identity.PermOverview, c.overviewPage))
	mux.HandleFunc("GET /trace", c.signed(identity.PermTrace, c.tracePage))
	mux.HandleFunc("GET /sources", c.signed(identity.PermSources, c.sourcesPage))
	mux.HandleFunc("GET /sources/{id}", c.signed(identity.PermSources, c.sourcePage))
	mux.HandleFunc("GET /ledger", c.signed(identity.PermLedgerRead, c.ledgerPage))
	mux.HandleFunc("GET /ledger/{index}", c.signed(identity.PermLedgerRead, c.entryPage))
	mux.HandleFunc("POST /ledger/verify", c.signed(identity.PermVerify, c.verifyPost))
	mux.HandleFunc("GET /settings", c.signed("", c.settingsPage))
	mux.HandleFunc("POST /settings/tokens", c.signed(identity.PermTokensWrite, c.tokenPost))
	mux.HandleFunc("POST /settings/tokens/{id}/end", c.signed(identity.PermTokensWrite, c.tokenEnd))
	mux.HandleFunc("POST /settings/accounts", c.signed(identity.PermAccountsWrite, c.invitePost))
	mux.HandleFunc("POST /settings/accounts/{id}/{do}", c.signed(identity.PermAccountsWrite, c.accountPost))
	mux.HandleFunc("POST /settings/sessions/{id}/end", c.signed("", c.sessionEnd))
	mux.HandleFunc("POST /settings/passkey/begin", c.signed("", c.addPasskeyBegin))
	mux.HandleFunc("POST /settings/passkey/finish", c.signed("", c.addPasskeyFinish))
	mux.HandleFunc("POST /settings/demo", c.signed(identity.PermDemo, c.demoPost))
	mux.HandleFunc("GET /gallery", c.signed("", c.galleryPage))
}
