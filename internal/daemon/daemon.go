package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"garrison"
	"garrison/internal/api"
	"garrison/internal/cases"
	"garrison/internal/config"
	"garrison/internal/console"
	"garrison/internal/daemon/demo"
	"garrison/internal/daemon/localroot"
	"garrison/internal/duties"
	"garrison/internal/identity"
	"garrison/internal/ledger"
	"garrison/internal/locale"
	"garrison/internal/measures"
	"garrison/internal/measures/all"
	"garrison/internal/probe"
	"garrison/internal/probe/transcript"
	"garrison/internal/records"
	"garrison/internal/records/ingest"
	"garrison/internal/registry"
	"garrison/internal/schedule"
	"garrison/internal/state"
	"garrison/internal/state/atomicfile"
	"garrison/internal/telemetry"
)

// Options are what one start is told besides the configuration.
type Options struct {
	Config          config.Config
	ReadyFile       string // gets [Ready] as JSON when everything listens; empty: none
	AdminSecretFile string // gets the first administrator's one-time secret; empty: none
	Demo            bool   // fill an empty installation with the fictional operator
	Version         string
	Out             io.Writer // what a person at the terminal should read
	Log             *slog.Logger
	Now             func() time.Time
}

// Daemon is one installation. Start and Stop belong to one goroutine.
type Daemon struct {
	opts    Options
	cfg     config.Config
	log     *slog.Logger
	install install
	lay     layout
	started []part // in the order they were started

	db          *state.DB
	ledger      *ledger.Ledger
	records     *records.Store
	syslog      *ingest.Syslog
	registry    *registry.Registry
	identity    *identity.Identity
	schedule    *schedule.Scheduler
	runner      *measures.Runner
	cases       *cases.Cases
	duties      *duties.Duties
	keeper      *transcript.Store
	api         *api.API
	console     *console.Console
	demo        *demo.Demo
	health      *telemetry.Health
	metrics     *telemetry.Metrics
	web         *web
	root        localroot.Root
	ready       Ready
	configEntry garrison.EvidenceRef // of this start
	origins     origins
	verifying   sync.Mutex // one verification at a time
}

// part is a component that was started.
type part struct {
	name string
	stop func(context.Context) error
}

// New checks the options. The components are built by Start, each from those that run
// already.
func New(o Options) (*Daemon, error) {
	if err := o.Config.Validate(); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Out == nil {
		o.Out = io.Discard
	}
	if o.Log == nil {
		o.Log = telemetry.NewLogger(os.Stderr, o.Config.Log.Level, o.Config.Log.JSON)
	}
	d := &Daemon{opts: o, cfg: o.Config, log: o.Log, health: telemetry.NewHealth(), metrics: telemetry.NewMetrics()}
	return d, nil
}

// Start brings everything up, in order; on an error everything started is stopped.
func (d *Daemon) Start(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
			defer cancel()
			err = errors.Join(err, d.Stop(stop))
		}
	}()
	if err := d.open(); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{
		d.startState, d.startLedger, d.startKnowledge, d.startRecords, d.startWatching, d.startAnswers, d.startSurfaces, d.announce,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Ready says where a started installation is found.
func (d *Daemon) Ready() Ready { return d.ready }

// Stop ends everything in the reverse order; each part gets to finish what it began.
func (d *Daemon) Stop(ctx context.Context) error {
	var errs []error
	for i := len(d.started) - 1; i >= 0; i-- {
		if err := d.started[i].stop(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", d.started[i].name, err))
		}
	}
	d.started = nil
	return errors.Join(errs...)
}

func (d *Daemon) ran(name string, stop func(context.Context) error) {
	d.started = append(d.started, part{name, stop})
}

// open takes the directory and learns what it holds.
func (d *Daemon) open() error {
	if err := makeData(d.cfg.Data); err != nil {
		return err
	}
	lock, err := lockDir(d.cfg.Data)
	if err != nil {
		return err
	}
	d.ran("lock", func(context.Context) error { lock.release(); return nil })
	in, err := ensureInstall(d.cfg, d.opts.Now())
	if err != nil {
		return err
	}
	d.install, d.lay = in, in.layout(d.cfg.Data)
	d.keeper = transcript.New(d.lay.transcript)
	return nil
}

func (d *Daemon) startState(ctx context.Context) error {
	db, err := state.New(d.lay.state, state.Deps{Log: d.log.With("part", "state"), Now: d.opts.Now})
	if err != nil {
		return err
	}
	if err := db.Start(ctx); err != nil {
		return fmt.Errorf("open the state database: %w", err)
	}
	d.db = db
	d.ran("state", db.Stop)
	d.health.Add("state", func(ctx context.Context) error {
		return db.Read(ctx, func(q state.Querier) error { return q.QueryRow(ctx, "SELECT 1").Scan(new(int)) })
	})
	return nil
}

func (d *Daemon) startLedger(ctx context.Context) error {
	cfg := d.lay.ledger
	cfg.CheckpointInterval, cfg.Beat = time.Duration(d.cfg.Ledger.Checkpoint), time.Duration(d.cfg.Ledger.Beat)
	l, err := ledger.New(cfg, ledger.Deps{Log: d.log.With("part", "ledger"), Now: d.opts.Now, Beat: d.beat})
	if err != nil {
		return err
	}
	if err := l.Start(ctx); err != nil {
		return fmt.Errorf("open the ledger: %w", err)
	}
	d.ledger = l
	d.ran("ledger", l.Stop)
	if err := d.recordConfig(ctx); err != nil {
		return err
	}
	d.health.Add("ledger", func(ctx context.Context) error {
		s, err := l.Status(ctx)
		if err == nil && s.Fault != "" {
			err = errors.New(s.Fault)
		}
		return err
	})
	relay, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() { done <- d.db.Relay(relay, l) }()
	d.ran("outbox", func(ctx context.Context) error {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			d.log.Error("outbox relay", "error", err)
		}
		_, err := d.db.Drain(ctx, l)
		return err
	})
	d.health.Add("outbox", d.outboxHealth)
	return nil
}

// outboxHealth fails when changes have waited for the ledger for too long: they are
// made, but nothing proves them yet.
func (d *Daemon) outboxHealth(ctx context.Context) error {
	n, oldest, err := d.db.Pending(ctx)
	if err == nil && n > 0 && d.opts.Now().Sub(oldest) > time.Minute {
		err = fmt.Errorf("%d changes have waited for the ledger since %s", n, oldest.UTC().Format(time.RFC3339))
	}
	return err
}

// startKnowledge starts what knows things: the register and who may ask.
func (d *Daemon) startKnowledge(ctx context.Context) (err error) {
	d.registry, err = registry.New(registry.DefaultConfig(), registry.Deps{DB: d.db, Now: d.opts.Now, Log: d.log.With("part", "registry")})
	if err != nil {
		return err
	}
	if err := d.registry.Start(ctx); err != nil {
		return fmt.Errorf("open the register: %w", err)
	}
	d.ran("registry", d.registry.Stop)

	cfg := identity.DefaultConfig()
	cfg.KeyFile = filepath.Join(d.install.Keys, "identity.key")
	cfg.Origins = d.origins.list
	d.identity, err = identity.New(cfg, identity.Deps{DB: d.db, Now: d.opts.Now, Log: d.log.With("part", "identity")})
	if err != nil {
		return err
	}
	if err := d.identity.Start(ctx); err != nil {
		return fmt.Errorf("open the accounts: %w", err)
	}
	d.ran("identity", d.identity.Stop)
	return nil
}

func (d *Daemon) startRecords(ctx context.Context) (err error) {
	cfg := d.lay.records
	cfg.RetentionDays, cfg.MinFree = d.cfg.Records.RetentionDays, int64(d.cfg.Records.MinFree)
	cfg.SegmentEvery = time.Duration(d.cfg.Records.SegmentEvery)
	d.records, err = records.New(cfg, records.Deps{Ledger: d.ledger, Entries: d.ledger, Log: d.log.With("part", "records"), Now: d.opts.Now, Expected: d.expectedSources})
	if err != nil {
		return err
	}
	if err := d.records.Start(ctx); err != nil {
		return fmt.Errorf("open the record store: %w", err)
	}
	d.ran("records", d.records.Stop)
	d.health.Add("records", func(context.Context) error {
		if h := d.records.Health(); !h.Accepting {
			return errors.New(locale.Reason(locale.EN, h.Why))
		}
		return nil
	})
	return d.metrics.Add(d.samples)
}

// startWatching starts the probe, the runner of measures and the cases they open.
func (d *Daemon) startWatching(ctx context.Context) (err error) {
	pcfg := probe.DefaultConfig()
	pcfg.Contact = d.cfg.Probe.Contact
	for _, p := range d.cfg.Probe.Allow {
		pcfg.AllowPrefixes = append(pcfg.AllowPrefixes, netip.MustParsePrefix(p)) // Validate has parsed it
	}
	if err := pcfg.Validate(); err != nil {
		return err
	}
	look := &demoProbe{Prober: probe.New(pcfg, probe.Deps{Log: d.log.With("part", "probe")})}
	d.schedule, err = schedule.New(schedule.DefaultConfig(), schedule.Deps{DB: d.db, Now: d.opts.Now, Log: d.log.With("part", "schedule")})
	if err != nil {
		return err
	}
	list, err := all.Measures(all.DefaultConfig())
	if err != nil {
		return err
	}
	hook := &caseHook{}
	d.runner, err = measures.New(measures.DefaultConfig(), measures.Deps{
		DB: d.db, Schedule: d.schedule, Measures: list, Probe: look, Subjects: subjects{d.registry}, Keeper: d.keeper, Cases: hook,
		Log: d.log.With("part", "measures"), Now: d.opts.Now,
	})
	if err != nil {
		return err
	}
	d.cases, err = cases.New(cases.DefaultConfig(), cases.Deps{
		DB: d.db, Recheck: d.runner, Refute: d.runner, People: people{d.identity}, Subjects: d.registry, Log: d.log.With("part", "cases"), Now: d.opts.Now,
	})
	if err != nil {
		return err
	}
	hook.Cases = d.cases
	if err := d.cases.Start(ctx); err != nil {
		return fmt.Errorf("open the cases: %w", err)
	}
	d.ran("cases", d.cases.Stop)
	if err := d.runner.Start(ctx); err != nil {
		return fmt.Errorf("start the measures: %w", err)
	}
	d.ran("measures", d.runner.Stop)
	d.demo = demo.New(demo.Deps{Registry: d.registry, Runner: d.runner, Cases: d.cases, Syslog: d.syslogAddr, Reach: look.reach, Refresh: d.refresh, Log: d.log.With("part", "demo"), Now: d.opts.Now})
	d.ran("demo", d.demo.Stop)
	if err := d.demo.Resume(ctx); err != nil {
		return err
	}
	if err := d.schedule.Start(ctx); err != nil {
		return fmt.Errorf("start the schedule: %w", err)
	}
	d.ran("schedule", d.schedule.Stop)
	return nil
}

func (d *Daemon) startAnswers(ctx context.Context) (err error) {
	d.duties, err = duties.New(duties.DefaultConfig(), duties.Deps{
		DB: d.db, Profile: profile{d.registry}, Records: recordFacts{d}, Measures: measureFacts{d}, Ledger: ledgerFacts{d},
		Proofs: d.ledger, Samples: samples{d.records}, Transcripts: d.runner, Log: d.log.With("part", "duties"), Now: d.opts.Now,
	})
	if err != nil {
		return err
	}
	if err := d.duties.Start(ctx); err != nil {
		return fmt.Errorf("start the clauses: %w", err)
	}
	d.ran("duties", d.duties.Stop)
	return nil
}

// announce writes what others need to find this installation, last of all.
func (d *Daemon) announce(ctx context.Context) error {
	tokenFile := filepath.Join(d.cfg.Data, "token")
	if _, err := d.identity.LocalToken(ctx, tokenFile); err != nil {
		return fmt.Errorf("write the local token: %w", err)
	}
	keyFile := filepath.Join(d.cfg.Data, "public.key")
	if err := atomicfile.WriteFile(keyFile, []byte(d.ledger.PublicKey()+"\n"), 0o644); err != nil {
		return err
	}
	abs := func(p string) string {
		if a, err := filepath.Abs(p); err == nil {
			return a
		}
		return p
	}
	r := Ready{
		Console: d.web.base(), API: d.web.base() + "/api", TokenFile: abs(tokenFile), PublicKeyFile: abs(keyFile),
		Fingerprint: d.root.Fingerprint, Listeners: d.web.listeners(), PID: os.Getpid(),
	}
	if len(d.root.RootPEM) > 0 {
		r.CAFile = abs(filepath.Join(d.cfg.Data, "ca.pem"))
		if err := atomicfile.WriteFile(r.CAFile, d.root.RootPEM, 0o644); err != nil {
			return err
		}
	}
	for k, v := range d.syslog.Addrs() {
		r.Listeners[k] = v
	}
	if d.opts.Demo {
		if err := d.fillDemo(ctx); err != nil {
			return err
		}
	}
	if err := d.greet(ctx, r); err != nil {
		return err
	}
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	raw = append(raw, '\n')
	d.ready = r
	if err := atomicfile.WriteFile(ReadyPath(d.cfg.Data), raw, 0o644); err != nil {
		return err
	}
	d.ran("ready file", func(context.Context) error { return os.Remove(ReadyPath(d.cfg.Data)) })
	if d.opts.ReadyFile != "" {
		return atomicfile.WriteFile(d.opts.ReadyFile, raw, 0o644)
	}
	return nil
}

// greet says at the terminal where the console is and how the first person gets in.
func (d *Daemon) greet(ctx context.Context, r Ready) error {
	fmt.Fprintf(d.opts.Out, "\nGarrison %s\n  console      %s\n", d.opts.Version, r.Console)
	if r.CAFile != "" {
		fmt.Fprintf(d.opts.Out, "  certificate  SHA-256 %s\n  local root   %s (trust it in the browser to use passkeys)\n", r.Fingerprint, r.CAFile)
	}
	for _, k := range []string{"syslog_udp", "syslog_tcp", "metrics"} {
		if a := r.Listeners[k]; a != "" {
			fmt.Fprintf(d.opts.Out, "  %-12s %s\n", k, a)
		}
	}
	kept := filepath.Join(d.cfg.Data, "first-secret")
	old, err := os.ReadFile(kept)
	if err != nil && !errors.Is(err, os.ErrNotExist) { // absent: a new one is made
		return fmt.Errorf("read the first administrator's secret: %w", err)
	}
	secret, needed, err := d.identity.FirstSecret(ctx, identity.Secret(bytes.TrimSpace(old)))
	if err != nil {
		return fmt.Errorf("first administrator's secret: %w", err)
	}
	if !needed {
		if err := os.Remove(kept); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove the used secret: %w", err)
		}
		fmt.Fprintln(d.opts.Out)
		return nil
	}
	for _, path := range []string{kept, d.opts.AdminSecretFile} {
		if path == "" {
			continue
		}
		if err := atomicfile.WriteFile(path, []byte(secret.Reveal()+"\n"), 0o600); err != nil {
			return err
		}
	}
	fmt.Fprintf(d.opts.Out, "  first administrator's one-time secret  %s\n\n", secret.Reveal())
	return nil
}

// origins are the console's addresses, known once it listens.
type origins struct {
	mu  sync.Mutex // guards all
	all []string
}

func (o *origins) list() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]string(nil), o.all...)
}

func (o *origins) set(all []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all = all
}

// expectedSources are the senders that the register says ought to be sending, where
// it names each by one address. Of one with several addresses nobody can say which
// must be heard; its own rhythm tells when it falls silent.
func (d *Daemon) expectedSources() []string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	list, err := d.expectedSenders(ctx)
	if err != nil {
		d.log.Error("list registered sources", "error", err)
		return nil
	}
	var ids []string
	for _, s := range list {
		if a, err := netip.ParseAddr(s.Attributes["address"]); err == nil {
			ids = append(ids, heardAs(a))
		}
	}
	return ids
}

// expectedSenders are the registered senders but for those that need not be heard.
func (d *Daemon) expectedSenders(ctx context.Context) ([]garrison.Subject, error) {
	list, err := subjects{d.registry}.Of(ctx, garrison.Sender)
	return slices.DeleteFunc(list, func(s garrison.Subject) bool { return s.Attributes["expected"] == "false" }), err
}

// heardAs is the name under which the records of an address are kept.
func heardAs(a netip.Addr) string { return "syslog:" + a.Unmap().String() }

// source is what the register knows about a sender of syslog.
func (d *Daemon) source(a netip.Addr) ingest.SourceSettings {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	s, ok := d.registry.SourceFor(ctx, a)
	if !ok {
		return ingest.SourceSettings{}
	}
	return ingest.SourceSettings{Name: s.Name, Zone: s.Attributes["zone"], Dialect: s.Attributes["dialect"]}
}

func hostOf(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	return host
}
