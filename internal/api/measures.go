package api

import (
	"context"
	"encoding/json"
	"net/http"

	"garrison"
	"garrison/client"
	"garrison/internal/identity"
	"garrison/internal/measures"
)

func (a *API) declareMeasures() {
	op(a, http.MethodGet, "/api/measures", identity.PermMeasuresRead, "Every measure and whether it runs", 200, a.measures)
	op(a, http.MethodPut, "/api/measures/{id}/mode", identity.PermMeasuresSwitch, "Turn a measure on, degraded or off, with a reason", 204, a.switchMeasure)
	op(a, http.MethodPost, "/api/measures/{id}/runs", identity.PermMeasuresRun, "Run a measure on a subject", 201, a.runMeasure)
	op(a, http.MethodGet, "/api/runs", identity.PermMeasuresRead, "Runs, newest first", 200, a.runs)
	op(a, http.MethodGet, "/api/runs/{id}", identity.PermMeasuresRead, "One run and what it saw", 200, a.run)
	op(a, http.MethodGet, "/api/runs/{id}/transcript", identity.PermMeasuresRead, "What was exchanged, as kept", 200, a.transcript)
	op(a, http.MethodGet, "/api/findings", identity.PermFindingsRead, "Findings, worst first", 200, a.findings)
	op(a, http.MethodGet, "/api/findings/{id}", identity.PermFindingsRead, "One finding", 200, a.finding)
	op(a, http.MethodPost, "/api/findings/{id}/refute", identity.PermCasesAct, "Say why a finding is wrong", 204, a.refute)
	op(a, http.MethodGet, "/api/subjects/{id}/inventory", identity.PermMeasuresRead, "What a measure found on a subject, such as its links", 200, a.inventory)
}

func (a *API) measures(ctx context.Context, _ *struct{}) (*body[client.Measures], error) {
	list, err := a.deps.Measures.States(ctx)
	if err != nil {
		return nil, err
	}
	out := client.Measures{Measures: []client.Measure{}}
	for _, m := range list {
		out.Measures = append(out.Measures, client.Measure{
			ID: string(m.Definition.ID), Title: m.Definition.Title, Mode: string(m.Mode), Reason: m.Reason,
			Since: stamp(m.Since), Subjects: m.Subjects, Looked: m.Looked, LastRun: string(m.LastRun),
		})
	}
	return answer(out), nil
}

func (a *API) switchMeasure(ctx context.Context, in *struct {
	ByID
	Body struct {
		Mode   string `json:"mode" enum:"on,degraded,off"`
		Reason string `json:"reason" maxLength:"1000"`
	}
}) (*struct{}, error) {
	return nil, a.deps.Measures.SetState(ctx, garrison.MeasureID(in.ID), measures.Mode(in.Body.Mode), in.Body.Reason, who(ctx).Actor)
}

func (a *API) runMeasure(ctx context.Context, in *struct {
	ByID
	Wait bool `query:"wait" default:"true" doc:"answer when the run is recorded; false: at once"`
	Body struct {
		Subject string `json:"subject" maxLength:"120"`
	}
}) (*body[client.Run], error) {
	m, s, by := garrison.MeasureID(in.ID), garrison.SubjectID(in.Body.Subject), who(ctx).Actor
	if in.Wait {
		r, err := a.deps.Measures.RunNow(ctx, m, s, by)
		if err != nil {
			return nil, err
		}
		return answer(showRun(measures.RunRow{Run: r}, nil)), nil
	}
	id, err := a.deps.Measures.Enqueue(ctx, m, s, by)
	if err != nil {
		return nil, err
	}
	return answer(client.Run{ID: string(id), Measure: in.ID, Subject: in.Body.Subject, Outcome: garrison.Unknown.String(), Running: true}), nil
}

func (a *API) runs(ctx context.Context, in *struct {
	Page
	Measure string `query:"measure" maxLength:"80"`
	Subject string `query:"subject" maxLength:"120"`
}) (*body[client.Runs], error) {
	list, next, err := a.deps.Measures.Runs(ctx, measures.RunFilter{
		Measure: garrison.MeasureID(in.Measure), Subject: garrison.SubjectID(in.Subject), After: in.After, Limit: in.Limit,
	})
	if err != nil {
		return nil, err
	}
	out := client.Runs{Runs: []client.Run{}, Next: next}
	for _, r := range list {
		out.Runs = append(out.Runs, showRun(r, nil))
	}
	return answer(out), nil
}

func (a *API) run(ctx context.Context, in *ByID) (*body[client.Run], error) {
	r, items, err := a.deps.Measures.Run(ctx, garrison.RunID(in.ID))
	if err != nil {
		return nil, err
	}
	return answer(showRun(r, items)), nil
}

func (a *API) transcript(ctx context.Context, in *ByID) (*body[json.RawMessage], error) {
	raw, err := a.deps.Measures.Transcript(ctx, garrison.RunID(in.ID))
	if err != nil {
		return nil, err
	}
	return answer(json.RawMessage(raw)), nil
}

func (a *API) findings(ctx context.Context, in *struct {
	Page
	State   string `query:"state" enum:"suspected,open,fixed,refuted,accepted"`
	Measure string `query:"measure" maxLength:"80"`
	Rule    string `query:"rule" maxLength:"80"`
	Subject string `query:"subject" maxLength:"120"`
	Query   string `query:"q" maxLength:"200"`
}) (*body[client.Findings], error) {
	f := measures.FindingFilter{Measure: garrison.MeasureID(in.Measure), Rule: garrison.RuleID(in.Rule),
		Subject: garrison.SubjectID(in.Subject), Query: in.Query, After: in.After, Limit: in.Limit}
	if in.State != "" {
		f.State = []measures.FindingState{measures.FindingState(in.State)}
	}
	list, next, err := a.deps.Measures.Findings(ctx, f)
	if err != nil {
		return nil, err
	}
	out := client.Findings{Findings: []client.Finding{}, Next: next}
	for _, r := range list {
		out.Findings = append(out.Findings, showFinding(r))
	}
	return answer(out), nil
}

func (a *API) finding(ctx context.Context, in *ByID) (*body[client.Finding], error) {
	r, err := a.deps.Measures.Finding(ctx, garrison.FindingID(in.ID))
	if err != nil {
		return nil, err
	}
	return answer(showFinding(r)), nil
}

func (a *API) refute(ctx context.Context, in *struct {
	ByID
	Body struct {
		Reason string `json:"reason" maxLength:"2000"`
	}
}) (*struct{}, error) {
	return nil, a.deps.Measures.Refute(ctx, garrison.FindingID(in.ID), in.Body.Reason, who(ctx).Actor)
}

type inventoryRow struct {
	Locus     string            `json:"locus"`
	Verdict   string            `json:"verdict"`
	Outcome   string            `json:"outcome"`
	Why       string            `json:"why,omitempty"`
	What      string            `json:"what,omitempty"`
	Facts     map[string]string `json:"facts,omitempty"`
	FirstSeen string            `json:"first_seen"`
	LastLook  string            `json:"last_look,omitempty"`
	LastWell  string            `json:"last_well,omitempty"`
	Removed   bool              `json:"removed,omitempty"`
}

func (a *API) inventory(ctx context.Context, in *ByID) (*body[struct {
	Items []inventoryRow `json:"items"`
}], error) {
	list, err := a.deps.Measures.Inventory(ctx, garrison.SubjectID(in.ID))
	if err != nil {
		return nil, err
	}
	out := struct {
		Items []inventoryRow `json:"items"`
	}{Items: []inventoryRow{}}
	for _, l := range list {
		out.Items = append(out.Items, inventoryRow{Locus: l.Locus, Verdict: l.Verdict, Outcome: l.Outcome.String(), Why: l.Why, What: l.What,
			Facts: l.Facts, FirstSeen: stamp(l.FirstSeen), LastLook: stamp(l.LastLook), LastWell: stamp(l.LastWell), Removed: l.Removed})
	}
	return answer(out), nil
}

func showRun(r measures.RunRow, items []measures.Item) client.Run {
	out := client.Run{
		ID: string(r.ID), Measure: string(r.Measure), Subject: string(r.Subject), Started: stamp(r.Started), Ended: stamp(r.Ended),
		Outcome: r.Outcome.String(), Why: r.Why, Population: r.Population, Transcript: r.Transcript, Evidence: ref(r.Evidence), Running: r.Running,
	}
	for _, it := range items {
		out.Items = append(out.Items, client.RunItem{Locus: it.Locus, Outcome: it.Outcome.String(), Verdict: it.Verdict, Why: it.Why, Facts: it.Facts})
	}
	return out
}

func showFinding(r measures.FindingRow) client.Finding {
	f := r.Finding
	return client.Finding{
		ID: string(r.ID), Measure: string(f.Measure), Rule: string(f.Rule), Subject: string(f.Subject), Locus: f.Locus,
		Severity: f.Severity.String(), State: string(r.State), Facts: f.Facts, Looks: r.Looks, FirstSeen: stamp(r.FirstSeen),
		LastSeen: stamp(r.LastSeen), LastRun: string(r.LastRun), Case: string(r.Case), Why: r.Why,
	}
}
