package api

import (
	"context"
	"net/http"
	"net/netip"
	"strings"

	"garrison"
	"garrison/client"
	"garrison/internal/identity"
	"garrison/internal/registry"
)

func (a *API) declareRegistry() {
	op(a, http.MethodGet, "/api/subjects", identity.PermRegistryRead, "The register", 200, a.subjects)
	op(a, http.MethodPost, "/api/subjects", identity.PermRegistryWrite, "Enter a subject", 201, a.createSubject)
	op(a, http.MethodGet, "/api/subjects/{id}", identity.PermRegistryRead, "One subject", 200, a.subject)
	op(a, http.MethodPut, "/api/subjects/{id}", identity.PermRegistryWrite, "Change a subject; its version must be the present one", 200, a.updateSubject)
	op(a, http.MethodDelete, "/api/subjects/{id}", identity.PermRegistryWrite, "Mark a subject as no longer ours; it stays for what names it", 204, a.retireSubject)
	op(a, http.MethodGet, "/api/profile", identity.PermRegistryRead, "Who we are, in the catalogue's words", 200, a.profile)
	op(a, http.MethodPut, "/api/profile", identity.PermProfileWrite, "Say who we are", 200, a.setProfile)
	op(a, http.MethodGet, "/api/objects/{kind}/{id}/versions", identity.PermRegistryRead, "All versions of an object with their ledger entries", 200, a.versions)
}

type subjectsIn struct {
	Page
	Kind    string `query:"kind" enum:"unit,person,site,source,pool,line"`
	Owner   string `query:"owner" maxLength:"80"`
	Query   string `query:"q" maxLength:"200"`
	Retired bool   `query:"retired"`
}

func (a *API) subjects(ctx context.Context, in *subjectsIn) (*body[client.Subjects], error) {
	list, next, err := a.deps.Registry.List(ctx, registry.Filter{
		Kind: garrison.SubjectKind(in.Kind), Owner: garrison.SubjectID(in.Owner), Query: in.Query,
		Retired: in.Retired, After: in.After, Limit: in.Limit,
	})
	if err != nil {
		return nil, err
	}
	out := client.Subjects{Subjects: []client.Subject{}, Next: next}
	for _, s := range list {
		out.Subjects = append(out.Subjects, showSubject(s))
	}
	return answer(out), nil
}

func (a *API) createSubject(ctx context.Context, in *struct{ Body client.Subject }) (*body[client.Subject], error) {
	s, err := a.deps.Registry.Create(ctx, readSubject(in.Body), who(ctx).Actor)
	if err != nil {
		return nil, err
	}
	return answer(showSubject(s)), nil
}

// ByID names one thing by its path; exported for the same reason as [Page].
type ByID struct {
	ID string `path:"id" maxLength:"120"`
}

func (a *API) subject(ctx context.Context, in *ByID) (*body[client.Subject], error) {
	s, err := a.deps.Registry.Get(ctx, garrison.SubjectID(in.ID))
	if err != nil {
		return nil, err
	}
	return answer(showSubject(s)), nil
}

func (a *API) updateSubject(ctx context.Context, in *struct {
	ByID
	Body client.Subject
}) (*body[client.Subject], error) {
	s := readSubject(in.Body)
	s.ID = garrison.SubjectID(in.ID)
	s, err := a.deps.Registry.Update(ctx, s, who(ctx).Actor)
	if err != nil {
		return nil, err
	}
	return answer(showSubject(s)), nil
}

func (a *API) retireSubject(ctx context.Context, in *ByID) (*struct{}, error) {
	return nil, a.deps.Registry.Retire(ctx, garrison.SubjectID(in.ID), who(ctx).Actor)
}

func (a *API) profile(ctx context.Context, _ *struct{}) (*body[client.Profile], error) {
	p, err := a.deps.Registry.Profile(ctx)
	if err != nil {
		return nil, err
	}
	return answer(client.Profile{Name: p.Name, Binds: append([]string{}, p.Binds...), Set: p.Set}), nil
}

func (a *API) setProfile(ctx context.Context, in *struct {
	Body struct {
		Name  string   `json:"name" maxLength:"200"`
		Binds []string `json:"binds" maxItems:"20"`
	}
}) (*body[client.Profile], error) {
	if err := a.deps.Registry.SetProfile(ctx, registry.Profile{Name: in.Body.Name, Binds: in.Body.Binds, Set: true}, who(ctx).Actor); err != nil {
		return nil, err
	}
	return a.profile(ctx, nil)
}

type version struct {
	N        int                   `json:"n"`
	At       string                `json:"at"`
	By       string                `json:"by"`
	What     string                `json:"what"`
	Doc      any                   `json:"doc"`
	Evidence *garrison.EvidenceRef `json:"evidence"`
}

func (a *API) versions(ctx context.Context, in *struct {
	Kind string `path:"kind" maxLength:"40"`
	ID   string `path:"id" maxLength:"200"`
}) (*body[struct {
	Versions []version `json:"versions"`
}], error) {
	if perm := historyOf(in.Kind); !who(ctx).May(perm) {
		return nil, garrison.Refuse(garrison.Denied, "error.api.permission", "permission", perm)
	}
	list, err := a.deps.State.History(ctx, in.Kind, in.ID)
	if err != nil {
		return nil, err
	}
	out := struct {
		Versions []version `json:"versions"`
	}{Versions: []version{}}
	for _, v := range list {
		out.Versions = append(out.Versions, version{N: v.N, At: stamp(v.At), By: v.By.Name, What: v.What, Doc: v.Doc, Evidence: ref(v.Evidence)})
	}
	return answer(out), nil
}

// historyOf is the permission that the history of a kind of object needs: that of the
// object itself. Accounts, sessions and tokens are for those who may see accounts, and
// so is what is not listed here.
func historyOf(kind string) string {
	switch kind {
	case "subject", "profile":
		return identity.PermRegistryRead
	case "case", "case_finding", "case_step":
		return identity.PermCasesRead
	case "finding":
		return identity.PermFindingsRead
	case "measure", "run", "inventory":
		return identity.PermMeasuresRead
	case "standing":
		return identity.PermDutiesRead
	}
	return identity.PermAccountsRead
}

// withUnheard adds registered senders that never sent anything: silence is news too.
func (a *API) withUnheard(ctx context.Context, out client.Sources) client.Sources {
	registered, _, err := a.deps.Registry.List(ctx, registry.Filter{Kind: garrison.Sender, Limit: 1000})
	if err != nil {
		a.deps.Log.Error("list registered sources", "error", err)
		return out
	}
	heard := map[garrison.SubjectID]bool{}
	for i, s := range out.Sources {
		// A sender is heard under its address, whatever the register calls it.
		addr, err := netip.ParseAddr(strings.TrimPrefix(s.ID, "syslog:"))
		if err != nil {
			continue
		}
		if r, ok := a.deps.Registry.SourceFor(ctx, addr); ok {
			heard[r.ID] = true
			out.Sources[i].Registered = r.Name
		}
	}
	for _, s := range registered {
		if !heard[s.ID] {
			out.Sources = append(out.Sources, client.Source{ID: string(s.ID), Name: s.Name, Kind: "registered", Silent: true, Registered: s.Name})
		}
	}
	return out
}

func showSubject(s garrison.Subject) client.Subject {
	return client.Subject{
		ID: string(s.ID), Kind: string(s.Kind), Name: s.Name, Owner: string(s.Owner), Responsible: s.Responsible,
		Grade: s.Grade, Attributes: s.Attributes, Demo: s.Demo, Version: s.Version, Retired: s.Retired, Changed: stamp(s.Changed),
	}
}

func readSubject(s client.Subject) garrison.Subject {
	return garrison.Subject{
		ID: garrison.SubjectID(s.ID), Kind: garrison.SubjectKind(s.Kind), Name: s.Name, Owner: garrison.SubjectID(s.Owner),
		Responsible: s.Responsible, Grade: s.Grade, Attributes: s.Attributes, Version: s.Version,
	}
}
