package records

import (
	"context"

	"garrison"
)

// Trace answers who had a public address and port at a moment.
func (s *Store) Trace(ctx context.Context, q garrison.Question) (garrison.Answer, error) {
	return garrison.Answer{}, errNotYet
}

// Coverage says what is known about a window.
func (s *Store) Coverage(ctx context.Context, p garrison.Period) (garrison.Coverage, error) {
	return garrison.Coverage{}, errNotYet
}

// Sources lists everybody who ever sent records.
func (s *Store) Sources(ctx context.Context) ([]garrison.SourceStatus, error) { return nil, errNotYet }

// Samples returns the kept sample of a source's refused lines, newest first.
func (s *Store) Samples(ctx context.Context, source string) ([]garrison.RefusedLine, error) {
	return nil, errNotYet
}

// Forecast says how long records will be kept at today's intake.
func (s *Store) Forecast(ctx context.Context) (Forecast, error) { return Forecast{}, errNotYet }

// Stats returns the facts that duties are computed from.
func (s *Store) Stats(ctx context.Context) (Stats, error) { return Stats{}, errNotYet }

// Sample returns up to n records of a period with their proofs, spread over it.
func (s *Store) Sample(ctx context.Context, p garrison.Period, n int) ([]ProvenRecord, error) {
	return nil, errNotYet
}

// Prove returns the proof of a candidate that Trace returned.
func (s *Store) Prove(ctx context.Context, c garrison.Candidate) (ProvenRecord, error) {
	return ProvenRecord{}, errNotYet
}

// Verify recomputes everything under cfg.Dir and compares it with the ledger.
func Verify(ctx context.Context, cfg Config, entries EntryScan, report func(Damage)) (Summary, error) {
	return Summary{}, errNotYet
}

var errNotYet = garrison.Errorf(garrison.Unavailable, "records: not built yet")
