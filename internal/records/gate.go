package records

import (
	"context"
)

// gate bounds the bytes that wait for a committer, so that a store that cannot keep
// up makes its callers wait instead of filling the memory.
type gate struct {
	turn   chan struct{} // one acquirer at a time, so that none starves half served
	tokens chan struct{}
}

const (
	tokenBytes = 64 << 10
	gateTokens = 1024 // 64 MiB
)

func newGate() *gate {
	return &gate{turn: make(chan struct{}, 1), tokens: make(chan struct{}, gateTokens)}
}

func tokensFor(bytes int) int { return min(bytes/tokenBytes+1, gateTokens) }

// enter waits for room for n bytes.
func (g *gate) enter(ctx context.Context, n int, stop <-chan struct{}) error {
	select {
	case g.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-stop:
		return errStopped
	}
	defer func() { <-g.turn }()
	for i := range tokensFor(n) {
		select {
		case g.tokens <- struct{}{}:
			continue
		default:
		}
		select {
		case g.tokens <- struct{}{}:
		case <-ctx.Done():
			g.drop(i)
			return ctx.Err()
		case <-stop:
			g.drop(i)
			return errStopped
		}
	}
	return nil
}

// leave gives the room back.
func (g *gate) leave(n int) { g.drop(tokensFor(n)) }

func (g *gate) drop(tokens int) {
	for range tokens {
		<-g.tokens
	}
}
