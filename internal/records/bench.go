package records

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"garrison"
	"garrison/evidence"
	"garrison/internal/records/storetest"
)

// BenchOptions are the settings of a benchmark run.
type BenchOptions struct {
	Records int    // how many to make; 0: 2,000,000
	Dir     string // where to work; empty: a temporary directory, removed afterwards
	Queries int    // for BenchTrace; 0: 2,000
	Seed    uint64 // 0: 1
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
	SealDelayMaxMS  float64      `json:"seal_delay_max_ms,omitempty"`
	Queries         int          `json:"queries,omitempty"`
	P50             float64      `json:"p50_ms,omitempty"`
	P99             float64      `json:"p99_ms,omitempty"`
	Max             float64      `json:"max_ms,omitempty"`
	ColdP50         float64      `json:"cold_p50_ms,omitempty"`
	ColdP99         float64      `json:"cold_p99_ms,omitempty"`
	ProofMS         float64      `json:"proof_ms,omitempty"`
	Wrong           int          `json:"wrong"` // answers without the expected line
	PeakMemoryBytes int64        `json:"peak_memory_bytes"`
}

// BenchMachine says what the figures were taken on.
type BenchMachine struct {
	OS     string `json:"os"`
	Arch   string `json:"arch"`
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Memory int64  `json:"memory_bytes"`
	Go     string `json:"go"`
}

// Machine describes the machine.
func Machine() BenchMachine {
	m := BenchMachine{OS: runtime.GOOS, Arch: runtime.GOARCH, Cores: runtime.NumCPU(), Go: runtime.Version()}
	m.CPU = field("/proc/cpuinfo", "model name")
	if kb, err := strconv.ParseInt(strings.TrimSuffix(field("/proc/meminfo", "MemTotal"), " kB"), 10, 64); err == nil {
		m.Memory = kb << 10
	}
	return m
}

func field(path, name string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if k, v, ok := strings.Cut(s.Text(), ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func cpuSeconds() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

func peakMemory() int64 {
	kb, _ := strconv.ParseInt(strings.TrimSuffix(field("/proc/self/status", "VmHWM"), " kB"), 10, 64)
	return kb << 10
}

const benchBatch = 4096

// bench is one run in one directory.
type bench struct {
	o      BenchOptions
	dir    string
	ledger *storetest.Ledger
	store  *Store
	asked  []evidence.NAT
}

func newBench(ctx context.Context, o BenchOptions) (b *bench, done func(), err error) {
	if o.Records <= 0 {
		o.Records = 2_000_000
	}
	if o.Queries <= 0 {
		o.Queries = 2_000
	}
	if o.Seed == 0 {
		o.Seed = 1
	}
	b = &bench{o: o, dir: o.Dir}
	clean := func() {}
	if b.dir == "" {
		if b.dir, err = os.MkdirTemp("", "garrison-bench-"); err != nil {
			return nil, nil, fmt.Errorf("bench: %w", err)
		}
		clean = func() { _ = removeBench(b.dir) }
	} else if b.dir, err = os.MkdirTemp(o.Dir, "bench-"); err != nil {
		return nil, nil, fmt.Errorf("bench: %w", err)
	}
	if b.ledger, err = storetest.OpenLedger(filepath.Join(b.dir, "ledger")); err != nil {
		return nil, nil, fmt.Errorf("bench: %w", err)
	}
	cfg := DefaultConfig()
	cfg.Dir, cfg.KeyDir = filepath.Join(b.dir, "records"), filepath.Join(b.dir, "keys")
	if b.store, err = New(cfg, Deps{Ledger: b.ledger, Entries: b.ledger}); err != nil {
		return nil, nil, err
	}
	if err := b.store.Start(ctx); err != nil {
		return nil, nil, err
	}
	return b, func() {
		_ = b.store.Stop(context.WithoutCancel(ctx))
		_ = b.ledger.Close()
		clean()
	}, nil
}

// fill offers the records as a source without acknowledgements does, makes them
// durable, sealed and sorted, and merges.
func (b *bench) fill(ctx context.Context, res *BenchResult) error {
	scale := storetest.DefaultScale()
	scale.PerSecond = max(2000, float64(b.o.Records)/10_000) // ten thousand seconds of traffic
	scale.Subscribers, scale.PublicIPs, scale.Destinations = 200_000, 5_000, 300_000
	g := storetest.NewGenerator(b.o.Seed, scale)
	pick := rand.New(rand.NewPCG(b.o.Seed, 7))
	batch := &Batch{Source: SourceRef{ID: "bench", Name: "bench", Kind: "syslog_udp"}, NAT: make([]evidence.NAT, 0, benchBatch)}
	cpu, begun := cpuSeconds(), time.Now()
	var made float64
	for n := 0; n < b.o.Records; n += len(batch.NAT) {
		before := threadCPU()
		batch.NAT = batch.NAT[:min(benchBatch, b.o.Records-n)]
		for i := range batch.NAT {
			g.Next(&batch.NAT[i])
		}
		made += threadCPU() - before
		for range 1 + b.o.Queries*len(batch.NAT)/b.o.Records {
			b.asked = append(b.asked, batch.NAT[pick.IntN(len(batch.NAT))])
		}
		if err := b.store.Offer(batch); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if err := b.store.Sync(ctx); err != nil {
		return err
	}
	res.WallSeconds = time.Since(begun).Seconds()
	res.RecordsASecond = float64(b.o.Records) / res.WallSeconds
	if err := b.store.Compact(ctx); err != nil {
		return err
	}
	res.CPUPerMillion = (cpuSeconds() - cpu - made) / float64(b.o.Records) * 1e6
	st, err := b.store.Stats(ctx)
	if err != nil {
		return err
	}
	if st.Records != int64(b.o.Records) {
		return fmt.Errorf("bench: %d records were offered, %d are stored", b.o.Records, st.Records)
	}
	res.Records, res.Segments, res.SealDelayMaxMS = st.Records, st.Segments, float64(st.SealDelayMax.Microseconds())/1000
	return nil
}

// threadCPU returns the CPU time of the calling goroutine's thread; the generator is
// timed with it, because it stands in for a sender that is another process.
func threadCPU() float64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		return 0
	}
	return float64(ts.Nano()) / 1e9
}

// BenchIngest stores Records generated records and reports size and cost: CPU of
// encoding, write-ahead file, sealing, sorting and merging, the making of the records
// taken off.
func BenchIngest(ctx context.Context, o BenchOptions) (BenchResult, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	res := BenchResult{Bench: "ingest", Machine: Machine()}
	b, done, err := newBench(ctx, o)
	if err != nil {
		return res, err
	}
	defer done()
	if err := b.fill(ctx, &res); err != nil {
		return res, err
	}
	if err := b.store.Stop(ctx); err != nil {
		return res, err
	}
	var st Stats
	if err := b.store.sizes(&st); err != nil {
		return res, err
	}
	res.Bytes = st.Bytes
	res.BytesPerRecord = float64(st.Bytes) / float64(res.Records)
	res.PeakMemoryBytes = peakMemory()
	return res, nil
}

// BenchTrace stores Records generated records and asks who had the address and port
// of random ones of them, warm and with everything closed before each question.
func BenchTrace(ctx context.Context, o BenchOptions) (BenchResult, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	res := BenchResult{Bench: "trace", Machine: Machine()}
	b, done, err := newBench(ctx, o)
	if err != nil {
		return res, err
	}
	defer done()
	if err := b.fill(ctx, &res); err != nil {
		return res, err
	}
	var st Stats
	if err := b.store.sizes(&st); err != nil {
		return res, err
	}
	res.Bytes, res.BytesPerRecord = st.Bytes, float64(st.Bytes)/float64(res.Records)
	b.asked = b.asked[:min(len(b.asked), b.o.Queries)]
	res.Queries = len(b.asked)
	warm, err := b.ask(ctx, &res, b.asked, false) // fills the caches
	if err == nil {
		warm, err = b.ask(ctx, &res, b.asked, false)
	}
	if err != nil {
		return res, err
	}
	cold, err := b.ask(ctx, &res, b.asked[:min(len(b.asked), 200)], true)
	if err != nil {
		return res, err
	}
	res.P50, res.P99, res.Max = quantile(warm, 0.5), quantile(warm, 0.99), quantile(warm, 1)
	res.ColdP50, res.ColdP99 = quantile(cold, 0.5), quantile(cold, 0.99)
	res.PeakMemoryBytes = peakMemory()
	return res, b.proof(ctx, &res)
}

func (b *bench) question(n *evidence.NAT) garrison.Question {
	return garrison.Question{IP: n.OutsideIP, Port: n.OutsidePort, Proto: n.Proto, At: time.UnixMilli((n.Start + n.End) / 2)}
}

// ask returns how long each question took, in ms. Cold means: no file open, no index
// in memory, no page of the segments in the page cache.
func (b *bench) ask(ctx context.Context, res *BenchResult, asked []evidence.NAT, cold bool) ([]float64, error) {
	var ms []float64
	for i := range asked {
		if cold {
			b.store.open.closeAll()
			if err := dropCache(filepath.Join(b.dir, "records", segmentsDir)); err != nil {
				return nil, err
			}
		}
		begun := time.Now()
		a, err := b.store.Trace(ctx, b.question(&asked[i]))
		if err != nil {
			return nil, err
		}
		ms = append(ms, float64(time.Since(begun).Microseconds())/1000)
		if !slices.ContainsFunc(a.Candidates, func(c garrison.Candidate) bool { return c.Line == asked[i].Line }) {
			res.Wrong++
		}
	}
	return ms, nil
}

func (b *bench) proof(ctx context.Context, res *BenchResult) error {
	a, err := b.store.Trace(ctx, b.question(&b.asked[0]))
	if err != nil {
		return err
	}
	if len(a.Candidates) == 0 {
		return errors.New("bench: nothing to prove")
	}
	begun := time.Now()
	if _, err := b.store.Prove(ctx, a.Candidates[0]); err != nil {
		return err
	}
	res.ProofMS = float64(time.Since(begun).Microseconds()) / 1000
	return nil
}

func quantile(v []float64, q float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	return v[min(int(q*float64(len(v))), len(v)-1)]
}

// dropCache takes the files of a folder out of the page cache.
func dropCache(dir string) error {
	return filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	})
}
