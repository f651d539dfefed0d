package records

import (
	"context"

	"garrison"
)

// BenchOptions are the settings of a benchmark run.
type BenchOptions struct {
	Records int    // how many to make; 0: 2,000,000
	Dir     string // where to work; empty: a temporary directory, removed afterwards
	Queries int    // for BenchTrace; 0: 2,000
	Seed    uint64 // 0: fixed
}

// BenchResult is what a benchmark prints as one JSON object.
type BenchResult struct {
	Bench           string       `json:"bench"`
	Machine         BenchMachine `json:"machine"`
	Records         int64        `json:"records"`
	Bytes           int64        `json:"bytes"`
	BytesPerRecord  float64      `json:"bytes_per_record"`
	CPUPerMillion   float64      `json:"cpu_s_per_million"`
	WallSeconds     float64      `json:"wall_s"`
	RecordsASecond  float64      `json:"records_per_s"`
	Segments        int          `json:"segments,omitempty"`
	Queries         int          `json:"queries,omitempty"`
	P50             float64      `json:"p50_ms,omitempty"`
	P99             float64      `json:"p99_ms,omitempty"`
	Max             float64      `json:"max_ms,omitempty"`
	ColdP50         float64      `json:"cold_p50_ms,omitempty"`
	ColdP99         float64      `json:"cold_p99_ms,omitempty"`
	Wrong           int          `json:"wrong"` // answers without the expected line
	PeakMemoryBytes int64        `json:"peak_memory_bytes"`
}

// BenchMachine says what the figures were taken on.
type BenchMachine struct {
	OS      string `json:"os"`
	Arch    string `json:"arch"`
	CPU     string `json:"cpu"`
	Cores   int    `json:"cores"`
	Memory  int64  `json:"memory_bytes"`
	Go      string `json:"go"`
	DirType string `json:"file_system"`
}

// BenchIngest stores Records generated records through Append and reports size and cost.
func BenchIngest(ctx context.Context, o BenchOptions) (BenchResult, error) {
	return BenchResult{}, errNotYet
}

// BenchTrace stores Records generated records and asks for random ones of them.
func BenchTrace(ctx context.Context, o BenchOptions) (BenchResult, error) {
	return BenchResult{}, errNotYet
}

var errNotYet = garrison.Errorf(garrison.Unavailable, "records: not built yet")
