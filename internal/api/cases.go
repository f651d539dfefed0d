package api

import (
	"cmp"
	"context"
	"net/http"

	"garrison"
	"garrison/client"
	"garrison/internal/cases"
	"garrison/internal/identity"
)

func (a *API) declareCases() {
	op(a, http.MethodGet, "/api/cases", identity.PermCasesRead, "Cases", 200, a.cases)
	op(a, http.MethodGet, "/api/cases/{id}", identity.PermCasesRead, "One case, by id or number, with all its steps", 200, a.oneCase)
	op(a, http.MethodPost, "/api/cases/{id}/acts", identity.PermCasesAct, "Take, comment, claim fixed, refute; only a later run closes a case", 200, a.act)
}

func (a *API) cases(ctx context.Context, in *struct {
	Page
	State   string `query:"state" enum:"open,assigned,claimed,closed,refuted"`
	Subject string `query:"subject" maxLength:"120"`
	Finding string `query:"finding" maxLength:"120"`
	Query   string `query:"q" maxLength:"200"`
	Late    bool   `query:"late"`
}) (*body[client.Cases], error) {
	f := cases.Filter{Subject: garrison.SubjectID(in.Subject), Finding: garrison.FindingID(in.Finding), Query: in.Query,
		Late: in.Late, After: in.After, Limit: min(in.Limit, 200)}
	if in.State != "" {
		f.States = []garrison.State{garrison.State(in.State)}
	}
	list, next, err := a.deps.Cases.List(ctx, f)
	if err != nil {
		return nil, err
	}
	out := client.Cases{Cases: []client.Case{}, Next: next}
	for _, c := range list {
		out.Cases = append(out.Cases, a.showCase(ctx, c, nil))
	}
	return answer(out), nil
}

func (a *API) oneCase(ctx context.Context, in *ByID) (*body[client.Case], error) {
	c, steps, err := a.deps.Cases.Get(ctx, garrison.CaseID(in.ID))
	if err != nil {
		return nil, err
	}
	return answer(a.showCase(ctx, c, steps)), nil
}

func (a *API) act(ctx context.Context, in *struct {
	ByID
	Body struct {
		Do       string `json:"do" maxLength:"40"`
		Note     string `json:"note,omitempty" maxLength:"4000"`
		Assignee string `json:"assignee,omitempty" maxLength:"120"`
		Version  int    `json:"version" doc:"the version of the case you have seen"`
	}
}) (*body[client.Case], error) {
	_, err := a.deps.Cases.Act(ctx, garrison.CaseID(in.ID), cases.Action{
		Do: in.Body.Do, Note: in.Body.Note, Assignee: garrison.AccountID(in.Body.Assignee), Version: in.Body.Version,
	}, by(who(ctx)))
	if err != nil {
		return nil, err
	}
	return a.oneCase(ctx, &in.ByID)
}

// by returns who acts on a case, with the roles that count now.
func by(p identity.Principal) cases.By {
	out := cases.By{Actor: p.Actor}
	for _, r := range p.Roles {
		out.Roles = append(out.Roles, string(r))
	}
	return out
}

// caseTitle is a case's title with names for what it holds ids of.
func (a *API) caseTitle(ctx context.Context, c cases.Case) string {
	args := c.Title.Args
	if r, ok := a.deps.Measures.Rule(c.Rule); ok && c.Title.Key == "cases.title.rule" {
		args = map[string]any{"rule": r.Title.In(lang(ctx)), "subject": cmp.Or(c.Name, string(c.Subject))}
	}
	return a.text(lang(ctx), c.Title.Key, args)
}

func (a *API) showCase(ctx context.Context, c cases.Case, steps []cases.Step) client.Case {
	out := client.Case{
		ID: string(c.ID), Number: c.Number, Kind: string(c.Kind), State: string(c.State), Title: a.caseTitle(ctx, c),
		Subject: string(c.Subject), Measure: string(c.Measure), Severity: c.Severity.String(), Owner: string(c.Owner),
		Opened: stamp(c.Opened), Due: stamp(c.Due), Closed: stamp(c.Closed), Late: c.Late(a.deps.Now()), Version: c.Version,
	}
	for _, f := range c.Findings {
		out.Findings = append(out.Findings, string(f))
	}
	for _, s := range steps {
		out.Steps = append(out.Steps, client.CaseStep{Seq: s.Seq, At: stamp(s.At), By: s.By.Name, Do: s.Do, From: string(s.From),
			To: string(s.To), Note: s.Note, Run: string(s.Run), Evidence: ref(s.Evidence)})
	}
	return out
}
