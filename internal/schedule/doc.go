// Package schedule runs durable jobs: timed and queued work as rows with leases in
// the state database.
//
// It promises: a job that was put runs at least once, also after a crash or on
// another node; at most one run of a job is under way as long as its lease is kept
// up; a failed run is tried again with growing pauses, and why it failed is kept; a
// handler that panics fails that run and nothing else.
//
// It leaves to others: what a job does, and that doing it twice does no harm.
package schedule
