package api

import (
	"bytes"
	"context"
	"net/http"

	"garrison"
	"garrison/client"
	"garrison/internal/duties"
	"garrison/internal/identity"
)

func (a *API) declareDuties() {
	op(a, http.MethodGet, "/api/duties", identity.PermDutiesRead, "Every clause and where we stand, computed now", 200, a.duties)
	op(a, http.MethodGet, "/api/duties/{id}", identity.PermDutiesRead, "One clause with its facts, population and gaps", 200, a.duty)
	op(a, http.MethodGet, "/api/duties/{id}/bundle", identity.PermExport, "The clause's evidence, for garrison-verify", 200, a.bundle)
}

func (a *API) duties(ctx context.Context, _ *struct{}) (*body[client.Duties], error) {
	snap, err := a.deps.Duties.Refresh(ctx)
	if err != nil {
		return nil, err
	}
	out := client.Duties{At: stamp(snap.At), Counts: map[string]int{}, Duties: []client.Duty{}}
	for s, n := range snap.Counts("").ByStanding {
		out.Counts[s.String()] = n
	}
	for _, d := range a.deps.Duties.Catalogue().Duties {
		s, _ := snap.Of(d.ID)
		out.Duties = append(out.Duties, a.showDuty(ctx, d, s, false))
	}
	return answer(out), nil
}

func (a *API) duty(ctx context.Context, in *ByID) (*body[client.Duty], error) {
	d, err := a.deps.Duties.Duty(ctx, garrison.DutyID(in.ID))
	if err != nil {
		return nil, err
	}
	snap, err := a.deps.Duties.Refresh(ctx)
	if err != nil {
		return nil, err
	}
	s, _ := snap.Of(d.ID)
	return answer(a.showDuty(ctx, d, s, true)), nil
}

type download struct {
	ContentType string `header:"Content-Type"`
	Disposition string `header:"Content-Disposition"`
	Body        []byte
}

func (a *API) bundle(ctx context.Context, in *ByID) (*download, error) {
	d, err := a.deps.Duties.Duty(ctx, garrison.DutyID(in.ID))
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	if err := a.deps.Duties.Export(ctx, d.ID, &buf); err != nil {
		return nil, err
	}
	return &download{"application/octet-stream", `attachment; filename="` + string(d.ID) + `.bundle"`, buf.Bytes()}, nil
}

func (a *API) showDuty(ctx context.Context, d garrison.Duty, s garrison.Assessment, whole bool) client.Duty {
	out := client.Duty{
		ID: string(d.ID), Rule: d.Rule, Article: d.Article, Summary: d.Summary, Standing: s.Standing.String(),
		Why: a.text(lang(ctx), s.Why.Key, s.Why.Args), Reason: s.Why, AnsweredBy: append([]string{}, s.AnsweredBy...), Discharge: d.Discharge,
		Force: ruleOf(a.deps.Duties.Catalogue(), d.Rule).Force, Verified: d.Verified, Population: s.Population, LastLook: stamp(s.LastLook),
	}
	if whole {
		out.Facts, out.Gaps = s.Facts, showGaps(s.Gaps)
	}
	return out
}

func ruleOf(c *duties.Catalogue, id string) garrison.Rule {
	for _, r := range c.Rules {
		if r.ID == id {
			return r
		}
	}
	return garrison.Rule{ID: id}
}
