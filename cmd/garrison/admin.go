package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"garrison"
	"garrison/client"
	"garrison/internal/api"
	"garrison/internal/config"
	"garrison/internal/daemon"
)

func (a *app) demoCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "demo",
		Short: a.t("cli.short.demo"),
		Long:  a.t("cli.long.demo"),
		Args:  a.noSuchCommand,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := a.call(c.Context(), "POST", "/api/demo", nil, nil); err != nil {
				return err
			}
			return a.done("cli.demo.filled")
		},
	}
	c.AddCommand(&cobra.Command{
		Use:   "remove",
		Short: a.t("cli.short.demo_remove"),
		Args:  a.exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			var out map[string]int
			if err := a.call(c.Context(), "DELETE", "/api/demo", nil, &out); err != nil {
				return err
			}
			return a.show(out, func(w io.Writer) { fmt.Fprintln(w, a.t("cli.demo.removed", "n", out["removed"])) })
		},
	})
	return c
}

func (a *app) doctorCommand() *cobra.Command {
	return asking(&cobra.Command{
		Use:   "doctor",
		Short: a.t("cli.short.doctor"),
		Args:  a.exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			d, err := a.doctor(c.Context())
			if err != nil {
				return err
			}
			well := true
			for _, x := range d.Checks {
				well = well && x.OK
			}
			if err := a.show(d, func(w io.Writer) { a.printDoctor(w, d) }); err != nil {
				return err
			}
			if !well {
				return exit(exitFound)
			}
			return nil
		},
	})
}

// doctor asks the instance that runs, or looks at the directory of one that does not.
func (a *app) doctor(ctx context.Context) (client.Doctor, error) {
	var d client.Doctor
	if a.remote() != "" {
		err := a.get(ctx, "/api/doctor", &d)
		return d, err
	}
	dir := a.dataDir()
	_, err := a.ready(dir)
	if err == nil {
		err = a.get(ctx, "/api/doctor", &d)
	}
	if garrison.CodeOf(err) != garrison.Unavailable {
		return d, err
	}
	cfg := config.Default()
	cfg.Data = dir
	d = client.Doctor{Version: version(), Checks: []client.Condition{{Name: "running", Why: a.t("cli.not_running", "dir", dir)}}}
	st, serr := os.Stat(dir) //nolint:gosec // the operator names the directory
	dirOK := client.Condition{Name: "data directory", OK: serr == nil && st.IsDir()}
	if errors.Is(serr, fs.ErrNotExist) {
		dirOK.Why = a.t("cli.doctor.no_directory", "dir", dir)
	} else if serr != nil {
		dirOK.Why = serr.Error()
	}
	d.Checks = append(d.Checks, dirOK)
	if dirOK.OK {
		d.Checks = append(d.Checks, daemon.LocalConditions(dir, cfg.KeyDir(), int64(cfg.Records.MinFree))...)
	}
	return client.Doctor{Version: d.Version, Checks: append(d.Checks, a.ports(cfg)...)}, nil
}

// ports says whether the default ports are free.
func (a *app) ports(cfg config.Config) []client.Condition {
	var out []client.Condition
	for _, p := range []struct{ flag, addr string }{
		{"--listen", cfg.Listen.Console}, {"--syslog", cfg.Listen.SyslogTCP}, {"--metrics", cfg.Listen.Metrics},
	} {
		c := client.Condition{Name: "port " + p.addr, OK: true}
		if l, err := net.Listen("tcp", p.addr); err != nil {
			c.OK, c.Why = false, err.Error()+"; "+a.t("cli.doctor.port", "flag", p.flag)
		} else {
			_ = l.Close()
		}
		out = append(out, c)
	}
	return out
}

func (a *app) printDoctor(w io.Writer, d client.Doctor) {
	fmt.Fprintf(w, "Garrison %s\n", line(d.Version))
	for _, x := range d.Checks {
		mark := a.paint("ok ", "good")
		if !x.OK {
			mark = a.paint("no ", "bad")
		}
		fmt.Fprintf(w, "  %s %s  %s\n", mark, line(x.Name), line(x.Why))
	}
}

func (a *app) configCommand() *cobra.Command {
	check := &cobra.Command{
		Use:   "check FILE",
		Short: a.t("cli.short.config_check"),
		Args:  a.exactly("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			if _, err := config.Load(args[0]); err != nil {
				return garrison.Errorf(garrison.Invalid, "%w", err)
			}
			return a.done("cli.config.good", "file", args[0])
		},
	}
	show := &cobra.Command{
		Use:   "show [FILE]",
		Short: a.t("cli.short.config_show"),
		Args:  cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, args []string) error {
			cfg := config.Default()
			if len(args) > 1 {
				return a.usage("cli.usage.extra_argument", "value", args[1])
			} else if len(args) == 1 {
				var err error
				if cfg, err = config.Load(args[0]); err != nil {
					return garrison.Errorf(garrison.Invalid, "%w", err)
				}
			}
			text, err := cfg.Show()
			if err != nil {
				return err
			}
			return a.show(map[string]string{"config": string(text)}, func(w io.Writer) { fmt.Fprint(w, clean(string(text))) })
		},
	}
	return a.group("config", a.t("cli.short.config"), check, show)
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: a.t("cli.short.version"),
		Args:  a.exactly(),
		RunE: func(*cobra.Command, []string) error {
			return a.show(map[string]string{"version": version()}, func(w io.Writer) { fmt.Fprintln(w, "garrison", version()) })
		},
	}
}

// version is what the build knows of itself.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	revision, dirty := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+"
		}
	}
	return firstOf(revision, "devel") + dirty
}

// contractCommand prints the API's contract, which is kept in the repository.
func (a *app) contractCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "api-contract",
		Short:  "OpenAPI",
		Hidden: true,
		Args:   a.exactly(),
		RunE: func(*cobra.Command, []string) error {
			doc, err := api.Document()
			if err != nil {
				return err
			}
			_, err = a.out.Write(doc)
			return err
		},
	}
}
