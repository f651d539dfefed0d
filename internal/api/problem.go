package api

import (
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"garrison"
	"garrison/client"
)

// ownProblem turns what the library says about a request it could not read into the
// one shape that errors have here.
func (a *API) ownProblem(ctx huma.Context, _ string, v any) (any, error) {
	m, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	code := codeOf(m.Status)
	p := client.Problem{Status: m.Status, Code: string(code), Detail: m.Detail}
	key := "error.internal"
	if code != "" {
		key = "error.code." + string(code)
	}
	p.Title = a.text(lang(ctx.Context()), key, nil)
	var places []string
	for _, d := range m.Errors {
		place := d.Message
		if d.Location != "" {
			place = d.Location + ": " + place
		}
		places = append(places, place)
	}
	if len(places) > 0 {
		p.Detail = strings.Join(places, "; ")
	}
	if p.Status >= http.StatusInternalServerError {
		p.ID = garrison.NewID("err")
		a.deps.Log.Error("internal error", "id", p.ID, "error", p.Detail)
		p.Detail = ""
	}
	return &failure{p}, nil
}

// codeOf is the code of a status that the library chose.
func codeOf(status int) garrison.Code {
	switch {
	case status == http.StatusRequestEntityTooLarge:
		return garrison.TooLarge
	case status == http.StatusRequestTimeout:
		return garrison.Unavailable
	case status < http.StatusInternalServerError:
		return garrison.Invalid
	}
	return ""
}

// describeProblems puts the shape of our errors into the contract where the library
// has put its own.
func (a *API) describeProblems() {
	doc := a.huma.OpenAPI()
	schema := doc.Components.Schemas.Schema(reflect.TypeFor[client.Problem](), true, "Problem")
	for _, item := range doc.Paths {
		for _, o := range []*huma.Operation{item.Get, item.Post, item.Put, item.Delete} {
			if o == nil {
				continue
			}
			for _, r := range o.Responses {
				if m := r.Content["application/problem+json"]; m != nil {
					m.Schema = schema
				}
			}
		}
	}
	delete(doc.Components.Schemas.Map(), "ErrorModel")
	delete(doc.Components.Schemas.Map(), "ErrorDetail")
}
