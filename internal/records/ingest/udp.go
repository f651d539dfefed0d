package ingest

import (
	"context"

	"garrison"
)

type udpListener struct{}

func listenUDP(ctx context.Context, cfg Config, deps Deps, src *sources) (*udpListener, error) {
	return nil, garrison.Errorf(garrison.Unavailable, "ingest: not built yet")
}
func (u *udpListener) addr() string                   { return "" }
func (u *udpListener) stop(ctx context.Context) error { return nil }
