package console

import (
	"net/http"

	"garrison/internal/identity"
)

// routesWork are the pages of the work itself: cases, findings, measures, clauses and
// the register. Reading is GET, every change a form post.
func (c *Console) routesWork(mux *http.ServeMux) {
	get := func(path, permission string, do func(p *page) error) {
		mux.HandleFunc("GET "+path, c.signed(permission, do))
	}
	post := func(path, permission string, do func(p *page) error) {
		mux.HandleFunc("POST "+path, c.signed(permission, do))
	}
	get("/cases", identity.PermCasesRead, c.caseList)
	get("/cases/{id}", identity.PermCasesRead, c.oneCase)
	post("/cases/{id}/act", identity.PermCasesAct, c.actOnCase)

	get("/findings", identity.PermFindingsRead, c.findingList)
	get("/findings/{id}", identity.PermFindingsRead, c.oneFinding)
	post("/findings/{id}/refute", identity.PermCasesAct, c.refuteFinding)

	get("/measures", identity.PermMeasuresRead, c.measureList)
	get("/measures/{id}", identity.PermMeasuresRead, c.oneMeasure)
	post("/measures/{id}/mode", identity.PermMeasuresSwitch, c.switchMeasure)
	post("/measures/{id}/run", identity.PermMeasuresRun, c.runMeasure)
	get("/runs", identity.PermMeasuresRead, c.runList)
	get("/runs/{id}", identity.PermMeasuresRead, c.oneRun)
	get("/runs/{id}/transcript", identity.PermMeasuresRead, c.transcript)
	get("/runs/{id}/transcript.json", identity.PermMeasuresRead, c.transcriptFile)

	get("/clauses", identity.PermDutiesRead, c.clauseList)
	get("/clauses/{id}", identity.PermDutiesRead, c.oneClause)
	// Making a bundle seals its statement in the ledger: a change, so a post.
	post("/clauses/{id}/bundle", identity.PermExport, c.clauseBundle)

	get("/register", identity.PermRegistryRead, c.register)
	get("/register/new", identity.PermRegistryWrite, c.newSubject)
	post("/register", identity.PermRegistryWrite, c.createSubject)
	get("/register/{id}", identity.PermRegistryRead, c.oneSubject)
	get("/register/{id}/edit", identity.PermRegistryWrite, c.editSubject)
	post("/register/{id}", identity.PermRegistryWrite, c.updateSubject)
	post("/register/{id}/retire", identity.PermRegistryWrite, c.retireSubject)
}
