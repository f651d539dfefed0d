package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"garrison"
	"garrison/internal/config"
	"garrison/internal/daemon"
	"garrison/internal/telemetry"
)

// stopPatience is how long an orderly end may take.
const stopPatience = 30 * time.Second

// upFlags are the flags of up.
type upFlags struct {
	keys, listen, syslog, metrics, readyFile, secretFile, dsnFile string
	demo                                                          bool
}

func (a *app) upCommand() *cobra.Command {
	var u upFlags
	c := &cobra.Command{
		Use:     "up",
		Short:   a.t("cli.short.up"),
		Example: "  garrison up --data /srv/garrison --keys /mnt/other-disk/garrison\n  garrison up --listen 127.0.0.1:0 --ready-file ready.json",
		Args:    a.exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := a.upConfig(c, u)
			if err != nil {
				return err
			}
			err = a.serve(c.Context(), daemon.Options{Config: cfg, ReadyFile: u.readyFile, AdminSecretFile: u.secretFile, Demo: u.demo})
			if errors.Is(err, syscall.EADDRINUSE) {
				return fmt.Errorf("%w; %s", err, a.t("cli.up.port_flags"))
			}
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&u.keys, "keys", "", a.t("cli.flag.keys"))
	f.StringVar(&u.listen, "listen", "", a.t("cli.flag.listen"))
	f.StringVar(&u.syslog, "syslog", "", a.t("cli.flag.syslog"))
	f.StringVar(&u.metrics, "metrics", "", a.t("cli.flag.metrics"))
	f.StringVar(&u.readyFile, "ready-file", "", a.t("cli.flag.ready_file"))
	f.StringVar(&u.secretFile, "admin-secret-file", "", a.t("cli.flag.admin_secret_file"))
	f.StringVar(&u.dsnFile, "state-dsn-file", "", a.t("cli.flag.state_dsn_file"))
	f.BoolVar(&u.demo, "demo", false, a.t("cli.flag.demo"))
	return c
}

// upConfig is the default configuration with what the flags say.
func (a *app) upConfig(c *cobra.Command, u upFlags) (config.Config, error) {
	cfg := config.Default()
	if a.server != "" {
		return cfg, a.usage("cli.usage.no_server_here")
	}
	cfg.Data, cfg.Keys = a.dataDir(), u.keys
	if u.listen != "" {
		host, port, err := net.SplitHostPort(u.listen)
		if err != nil {
			return cfg, a.usage("cli.usage.address", "flag", "--listen", "value", u.listen)
		}
		if port == "0" {
			cfg.AnyPort(host)
		} else {
			cfg.Listen.Console = u.listen
		}
	}
	for _, l := range []struct {
		flag, value string
		to          []*string
	}{
		{"syslog", u.syslog, []*string{&cfg.Listen.SyslogUDP, &cfg.Listen.SyslogTCP}},
		{"metrics", u.metrics, []*string{&cfg.Listen.Metrics}},
	} {
		if !c.Flags().Changed(l.flag) {
			continue
		}
		value := l.value
		if value == "off" {
			value = ""
		} else if _, _, err := net.SplitHostPort(value); err != nil {
			return cfg, a.usage("cli.usage.address", "flag", "--"+l.flag, "value", value)
		}
		for _, p := range l.to {
			*p = value
		}
	}
	if u.dsnFile != "" {
		cfg.State = config.State{Engine: "postgres", DSNFile: u.dsnFile}
	}
	return cfg, nil
}

func (a *app) serveCommand() *cobra.Command {
	var path, readyFile, secretFile string
	var check bool
	c := &cobra.Command{
		Use:     "serve --config FILE",
		Short:   a.t("cli.short.serve"),
		Example: "  garrison serve --config /etc/garrison/garrison.yaml\n  garrison serve --config garrison.yaml --check",
		Args:    a.exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := a.required(c, "config"); err != nil {
				return err
			}
			cfg, err := config.Load(path)
			if err != nil {
				return garrison.Errorf(garrison.Invalid, "%w", err)
			}
			o := daemon.Options{Config: cfg, ReadyFile: readyFile, AdminSecretFile: secretFile}
			if !check {
				return a.serve(c.Context(), o)
			}
			if _, err := daemon.New(a.daemonOptions(o)); err != nil {
				return err
			}
			fmt.Fprintln(a.out, a.t("cli.config.good", "file", line(path)))
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&path, "config", "", a.t("cli.flag.config"))
	f.BoolVar(&check, "check", false, a.t("cli.flag.check"))
	f.StringVar(&readyFile, "ready-file", "", a.t("cli.flag.ready_file"))
	f.StringVar(&secretFile, "admin-secret-file", "", a.t("cli.flag.admin_secret_file"))
	return c
}

func (a *app) daemonOptions(o daemon.Options) daemon.Options {
	o.Version, o.Now, o.Out = version(), time.Now, a.out
	o.Log = telemetry.NewLogger(a.errOut, o.Config.Log.Level, o.Config.Log.JSON)
	if a.json {
		o.Out = a.errOut // standard output gets the ready object and nothing else
	}
	return o
}

// serve runs an installation until a signal asks it to stop; a second one ends it at
// once.
func (a *app) serve(ctx context.Context, o daemon.Options) error {
	o = a.daemonOptions(o)
	d, err := daemon.New(o)
	if err != nil {
		return err
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(signals)
	starting, cancel := context.WithCancel(ctx)
	defer cancel()
	started := make(chan error, 1)
	go func() { started <- d.Start(starting) }()
	select {
	case err = <-started:
		if err == nil {
			err = a.announce(o.Config)
			if err == nil {
				<-signals
			}
		}
	case <-signals:
		cancel()
		err = <-started
		if errors.Is(err, context.Canceled) {
			return nil // asked to end before it had begun
		}
	}
	if err != nil {
		stop, done := context.WithTimeout(context.WithoutCancel(ctx), stopPatience)
		defer done()
		return errors.Join(err, d.Stop(stop))
	}
	fmt.Fprintln(a.errOut, a.t("cli.up.stopping"))
	return a.stop(ctx, d, signals)
}

func (a *app) stop(ctx context.Context, d *daemon.Daemon, signals <-chan os.Signal) error {
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopPatience)
	defer cancel()
	stopped := make(chan error, 1)
	go func() { stopped <- d.Stop(stop) }()
	select {
	case err := <-stopped:
		return err
	case <-signals:
		fmt.Fprintln(a.errOut, a.t("cli.up.stopped_at_once"))
		return exit(exitFound)
	}
}

// announce repeats the ready object on standard output for scripts.
func (a *app) announce(cfg config.Config) error {
	if !a.json {
		return nil
	}
	raw, err := os.ReadFile(daemon.ReadyPath(filepath.Clean(cfg.Data)))
	if err != nil {
		return err
	}
	_, err = a.out.Write(raw)
	return err
}
