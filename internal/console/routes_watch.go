package console

import "net/http"

// routesWatch lists the pages of watching, asking and proving.
func (c *Console) routesWatch(mux *http.ServeMux) {
	mux.HandleFunc("GET /{$}", c.signed("", c.overviewPage))
	mux.HandleFunc("GET /trace", c.signed("records.trace", c.tracePage))
	mux.HandleFunc("GET /sources", c.signed("sources.read", c.sourcesPage))
	mux.HandleFunc("GET /sources/{id}", c.signed("sources.read", c.sourcePage))
	mux.HandleFunc("GET /ledger", c.signed("ledger.read", c.ledgerPage))
	mux.HandleFunc("GET /ledger/{index}", c.signed("ledger.read", c.entryPage))
	mux.HandleFunc("POST /ledger/verify", c.signed("verify", c.verifyPost))
	mux.HandleFunc("GET /settings", c.signed("", c.settingsPage))
	mux.HandleFunc("POST /settings/tokens", c.signed("tokens.write", c.tokenPost))
	mux.HandleFunc("POST /settings/tokens/{id}/end", c.signed("tokens.write", c.tokenEnd))
	mux.HandleFunc("POST /settings/accounts", c.signed("accounts.write", c.invitePost))
	mux.HandleFunc("POST /settings/accounts/{id}/{do}", c.signed("accounts.write", c.accountPost))
	mux.HandleFunc("POST /settings/sessions/{id}/end", c.signed("", c.sessionEnd))
	mux.HandleFunc("POST /settings/passkey/begin", c.signed("", c.addPasskeyBegin))
	mux.HandleFunc("POST /settings/passkey/finish", c.signed("", c.addPasskeyFinish))
	mux.HandleFunc("POST /settings/demo", c.signed("demo", c.demoPost))
	mux.HandleFunc("GET /gallery", c.signed("", c.galleryPage))
}
