package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"garrison/internal/ledger"
	"garrison/internal/records"
	"garrison/internal/records/ingest"
)

func (a *app) benchCommand() *cobra.Command {
	return a.group("bench", a.t("cli.short.bench"), a.benchIngest(), a.benchTrace(), a.benchSender())
}

func (a *app) benchTrace() *cobra.Command {
	var o records.BenchOptions
	c := asking(&cobra.Command{
		Use:   "trace",
		Short: a.t("cli.short.bench_trace"),
		Args:  a.exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := a.checkBench(o.Records, o.Dir); err != nil {
				return err
			}
			r, err := records.BenchTrace(c.Context(), o)
			if err != nil {
				return err
			}
			return a.showJSON(r)
		},
	})
	c.Flags().IntVar(&o.Records, "records", 1_000_000, a.t("cli.flag.records"))
	c.Flags().IntVar(&o.Queries, "queries", 2000, a.t("cli.flag.queries"))
	c.Flags().StringVar(&o.Dir, "dir", "", a.t("cli.flag.dir"))
	return c
}

func (a *app) checkBench(n int, dir string) error {
	if n < 1 || n > 1_000_000_000 {
		return a.usage("cli.usage.records", "value", n)
	}
	if dir == "" {
		return nil
	}
	return os.MkdirAll(dir, 0o755)
}

// showJSON prints a benchmark: figures are for machines first.
func (a *app) showJSON(v any) error {
	was := a.json
	a.json = true
	defer func() { a.json = was }()
	return a.show(v, nil)
}

// ingestBench is what bench ingest was told.
type ingestBench struct {
	records   int
	dir       string
	transport string
	seed      uint64
	rate      int
}

// ingestResult is what it prints.
type ingestResult struct {
	records.BenchResult
	Transport  string  `json:"transport"`
	Lines      string  `json:"lines"` // what the sender writes
	Lost       int64   `json:"lost"`
	Refused    int64   `json:"refused"`
	LineBytes  float64 `json:"line_bytes"` // bytes on the wire a record
	SenderCPU  float64 `json:"sender_cpu_s"`
	LedgerSize int64   `json:"ledger_bytes"`
}

func (a *app) benchIngest() *cobra.Command {
	var b ingestBench
	c := asking(&cobra.Command{
		Use:   "ingest",
		Short: a.t("cli.short.bench_ingest"),
		Long:  a.t("cli.long.bench_ingest"),
		Args:  a.exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := a.checkBench(b.records, b.dir); err != nil {
				return err
			}
			if err := a.oneOf("--transport", b.transport, "tcp", "udp"); err != nil {
				return err
			}
			r, err := b.run(c.Context(), a.errOut)
			if err != nil {
				return err
			}
			return a.showJSON(r)
		},
	})
	f := c.Flags()
	f.IntVar(&b.records, "records", 1_000_000, a.t("cli.flag.records"))
	f.StringVar(&b.dir, "dir", "", a.t("cli.flag.dir"))
	f.StringVar(&b.transport, "transport", "tcp", a.t("cli.flag.transport"))
	f.Uint64Var(&b.seed, "seed", 1, a.t("cli.flag.seed"))
	f.IntVar(&b.rate, "rate", 0, a.t("cli.flag.rate"))
	return c
}

// receiver is the product's own way from a socket to sealed segments, with nothing
// left out: syslog listeners, record store, ledger.
type receiver struct {
	dir    string
	ledger *ledger.Ledger
	store  *records.Store
	syslog *ingest.Syslog
}

func openReceiver(ctx context.Context, dir string, log *slog.Logger) (*receiver, error) {
	r := &receiver{dir: dir}
	lcfg := ledger.DefaultConfig()
	lcfg.Dir, lcfg.KeyDir, lcfg.Origin = filepath.Join(dir, "ledger"), filepath.Join(dir, "keys", "ledger"), "bench"
	var err error
	if r.ledger, err = ledger.New(lcfg, ledger.Deps{Log: log, Now: time.Now}); err != nil {
		return nil, err
	}
	if err := r.ledger.Start(ctx); err != nil {
		return nil, err
	}
	rcfg := records.DefaultConfig()
	rcfg.Dir, rcfg.KeyDir = filepath.Join(dir, "records"), filepath.Join(dir, "keys", "records")
	if r.store, err = records.New(rcfg, records.Deps{Ledger: r.ledger, Entries: r.ledger, Log: log}); err != nil {
		return nil, err
	}
	if err := r.store.Start(ctx); err != nil {
		return nil, err
	}
	icfg := ingest.DefaultConfig()
	icfg.UDP, icfg.TCP = "127.0.0.1:0", "127.0.0.1:0"
	icfg.MaxSkew = 30 * 24 * time.Hour // hours of traffic are sent in seconds; its clock is not to be marked
	if r.syslog, err = ingest.New(icfg, ingest.Deps{Store: r.store, Log: log}); err != nil {
		return nil, err
	}
	return r, r.syslog.Start(ctx)
}

// run sends, waits until all is sorted and sealed, and measures.
func (b ingestBench) run(ctx context.Context, errOut io.Writer) (ingestResult, error) {
	res := ingestResult{BenchResult: records.BenchResult{Bench: "ingest", Machine: records.Machine()}, Transport: "syslog_" + b.transport, Lines: "netfilter"}
	dir, err := os.MkdirTemp(b.dir, "garrison-bench-")
	if err != nil {
		return res, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	r, err := openReceiver(ctx, dir, slog.New(slog.NewTextHandler(errOut, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		return res, err
	}
	begun, cpu := time.Now(), cpuSeconds()
	sent, err := b.send(ctx, r.syslog.Addrs()["syslog_"+b.transport], errOut)
	if err != nil {
		return res, err
	}
	if err := errors.Join(r.syslog.Stop(ctx), r.store.Sync(ctx)); err != nil {
		return res, err
	}
	res.WallSeconds = time.Since(begun).Seconds()
	if err := r.store.Compact(ctx); err != nil {
		return res, err
	}
	st, err := r.store.Stats(ctx)
	if err != nil {
		return res, err
	}
	if err := errors.Join(r.store.Stop(ctx), r.ledger.Stop(ctx)); err != nil {
		return res, err
	}
	used := cpuSeconds() - cpu
	res.Records, res.Refused, res.Lost = st.Records, st.RefusedLastDay, st.LostLastDay
	if b.transport == "tcp" && st.Records != int64(b.records) {
		return res, fmt.Errorf("%d lines were sent, %d are stored", b.records, st.Records)
	}
	if st.Records == 0 {
		return res, errors.New("nothing arrived")
	}
	res.CPUPerMillion = used / float64(st.Records) * 1e6
	res.RecordsASecond = float64(st.Records) / res.WallSeconds
	res.Segments, res.SealDelayMaxMS, res.SenderCPU, res.LineBytes = st.Segments, float64(st.SealDelayMax.Microseconds())/1000, sent.cpu, float64(sent.bytes)/float64(b.records)
	res.PeakMemoryBytes = peakMemory()
	if res.Bytes, err = sizeOf(filepath.Join(dir, "records")); err != nil {
		return res, err
	}
	if res.LedgerSize, err = sizeOf(filepath.Join(dir, "ledger")); err != nil {
		return res, err
	}
	res.BytesPerRecord = float64(res.Bytes) / float64(st.Records)
	return res, nil
}

// sent is what the sender, a process of its own, says of itself.
type sent struct {
	bytes int64
	cpu   float64
}

func (b ingestBench) send(ctx context.Context, to string, errOut io.Writer) (sent, error) {
	self, err := os.Executable()
	if err != nil {
		return sent{}, err
	}
	// The program runs itself again, so that the sender's time is not the receiver's.
	cmd := exec.CommandContext(ctx, self, "bench", "sender", "--to", to, "--transport", b.transport, //nolint:gosec // our own binary, our own arguments
		"--records", strconv.Itoa(b.records), "--seed", strconv.FormatUint(b.seed, 10), "--rate", strconv.Itoa(b.rate))
	cmd.Stderr = errOut
	out, err := cmd.Output()
	if err != nil {
		return sent{}, fmt.Errorf("sender: %w", err)
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	if err != nil {
		return sent{}, fmt.Errorf("sender said %q: %w", out, err)
	}
	return sent{bytes: n, cpu: (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()}, nil
}

// cpuSeconds is what this process has used, children apart.
func cpuSeconds() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

func peakMemory() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return u.Maxrss << 10
}

// sizeOf is everything below a directory, as its files are long.
func sizeOf(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		st, err := e.Info()
		if err == nil {
			n += st.Size()
		}
		return err
	})
	return n, err
}
