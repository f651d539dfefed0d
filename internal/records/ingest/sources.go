package ingest

type sources struct{}

func newSources(cfg Config, deps Deps) *sources { return &sources{} }
