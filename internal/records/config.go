package records

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"garrison"
)

// FloorDays is how long address-translation records are kept at the least.
// MPS Decree 82, art. 13: records named by the decree are kept for sixty days.
const FloorDays = 60

// Config says where the records lie and how they are kept.
type Config struct {
	Dir    string // the record directory
	KeyDir string // chunk keys; never inside Dir

	GroupCommit  time.Duration // at most one fsync per this while somebody waits
	IdleCommit   time.Duration // durable within this of arrival when nobody waits
	SegmentEvery time.Duration // how long rows stay in the write-ahead file at most
	SegmentRows  int           // a segment is cut earlier at this many rows
	MergeRows    int64         // segments of one hour are merged up to this many rows

	RetentionDays int   // at least FloorDays
	MinFree       int64 // bytes of disk kept free as a reserve; intake stops below
	Shards        int   // committers; each has its own write-ahead file
	MaxCandidates int   // limit on the candidates of one answer
	MaxKeys       int   // idempotency keys kept at the most, oldest day dropped first
	SealPatience  time.Duration
	Maintain      time.Duration // pause between two rounds of merging and expiry
}

// DefaultConfig is the configuration that the product ships with.
func DefaultConfig() Config {
	return Config{
		GroupCommit:   10 * time.Millisecond,
		IdleCommit:    250 * time.Millisecond,
		SegmentEvery:  2 * time.Minute,
		SegmentRows:   1_000_000,
		MergeRows:     64_000_000,
		RetentionDays: 180,
		MinFree:       256 << 20,
		Shards:        1,
		MaxCandidates: 200,
		MaxKeys:       1_000_000,
		SealPatience:  10 * time.Second,
		Maintain:      time.Minute,
	}
}

// Validate reports every fault of the configuration at once.
func (c Config) Validate() error {
	var faults []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	need(c.Dir != "", "records: no directory")
	need(c.KeyDir != "", "records: no key directory")
	need(c.GroupCommit > 0 && c.GroupCommit <= time.Second, "records: group_commit %v is not within (0, 1s]", c.GroupCommit)
	need(c.IdleCommit >= c.GroupCommit && c.IdleCommit <= 5*time.Second, "records: idle_commit %v is not within [group_commit, 5s]", c.IdleCommit)
	need(c.SegmentEvery >= time.Second && c.SegmentEvery <= time.Hour, "records: segment_every %v is not within [1s, 1h]", c.SegmentEvery)
	need(c.SegmentRows >= 1, "records: segment_rows %d is below 1", c.SegmentRows)
	need(c.MergeRows >= 1, "records: merge_rows %d is below 1", c.MergeRows)
	need(c.MinFree >= 0, "records: min_free %d is negative", c.MinFree)
	need(c.Shards >= 1 && c.Shards <= 64, "records: shards %d is not within [1, 64]", c.Shards)
	need(c.MaxCandidates >= 1, "records: max_candidates %d is below 1", c.MaxCandidates)
	need(c.MaxKeys >= 1000, "records: max_keys %d is below 1000", c.MaxKeys)
	need(c.SealPatience >= 2*time.Second, "records: seal_patience %v is below 2s", c.SealPatience)
	need(c.Maintain > 0, "records: maintain %v is not positive", c.Maintain)
	if c.RetentionDays < FloorDays {
		faults = append(faults, garrison.Refuse(garrison.Held, "error.records.retention_floor",
			"days", c.RetentionDays, "floor", FloorDays, "clause", "mps82-13"))
	}
	return errors.Join(faults...)
}

// Deps are the parts the store stands on.
type Deps struct {
	Ledger  Appender
	Entries EntryScan // optional: lets a start find entries it had appended before a crash
	Log     *slog.Logger
	Now     func() time.Time
	// Expected names the sources (by ID) that ought to be sending, as the register
	// says; optional. Sources with a rhythm of their own are watched anyway.
	Expected func() []string
}
