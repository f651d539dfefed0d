package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"garrison"
	"garrison/client"
)

// imported is what an import prints.
type imported struct {
	client.ImportSum
	RefusedFile string `json:"refused_file"`
	Error       string `json:"error,omitempty"`
}

func (a *app) importCommand() *cobra.Command {
	var o client.ImportOptions
	c := &cobra.Command{
		Use:     "import --kind nat --format jsonl|csv|syslog FILE|-",
		Short:   a.t("cli.short.import"),
		Long:    a.t("cli.long.import"),
		Example: "  garrison import --kind nat --format jsonl day.jsonl\n  zcat cgn.log.gz | garrison import --kind nat --format syslog --source cgn-1 -",
		Args:    a.exactly("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := errors.Join(a.oneOf("--kind", o.Kind, "nat"), a.oneOf("--format", o.Format, "jsonl", "csv", "syslog")); err != nil {
				return usageError{err}
			}
			return a.importFile(c.Context(), args[0], o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.Kind, "kind", "nat", a.t("cli.flag.kind"))
	f.StringVar(&o.Format, "format", "", a.t("cli.flag.format"))
	f.StringVar(&o.Source, "source", "", a.t("cli.flag.source"))
	f.StringVar(&o.Zone, "zone", "", a.t("cli.flag.zone"))
	return c
}

func (a *app) importFile(ctx context.Context, path string, o client.ImportOptions) error {
	in := a.in
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		if st, err := f.Stat(); err == nil && st.IsDir() {
			return garrison.Errorf(garrison.Invalid, "%s", a.t("cli.import.directory", "file", line(path)))
		}
		in = f
	}
	api, err := a.connect()
	if err != nil {
		return err
	}
	var me client.Me // says at once, not after a while of retries, that nobody is there
	if err := api.Do(ctx, "GET", "/api/me", nil, &me); err != nil {
		return err
	}
	refused := &refusedFile{input: path}
	o.Refused = refused
	sum, err := api.Import(ctx, in, o)
	out := imported{ImportSum: sum, RefusedFile: refused.path}
	if cerr := refused.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		out.Error = a.explain(err)
	}
	if serr := a.show(out, func(w io.Writer) { a.printImport(w, out) }); serr != nil {
		return serr
	}
	return err
}

func (a *app) printImport(w io.Writer, s imported) {
	fmt.Fprintln(w, a.t("cli.import.sum", "read", s.Read, "stored", s.Stored, "refused", s.Refused))
	if s.Already > 0 {
		fmt.Fprintln(w, a.t("cli.import.already", "already", s.Already))
	}
	if s.RefusedFile != "" {
		fmt.Fprintln(w, a.t("cli.import.refused_file", "file", line(s.RefusedFile)))
	}
}

// refusedFile is made at the first refused line: beside the input where that can be
// written to, else in the working directory, else among the temporary files.
type refusedFile struct {
	input string
	path  string
	f     *os.File
}

func (r *refusedFile) Write(p []byte) (int, error) {
	if r.f == nil {
		if err := r.open(); err != nil {
			return 0, err
		}
	}
	return r.f.Write(p)
}

func (r *refusedFile) open() error {
	name := "stdin.refused.jsonl"
	var dirs []string
	if r.input != "-" {
		name = filepath.Base(r.input) + ".refused.jsonl"
		dirs = append(dirs, filepath.Dir(r.input))
	}
	var errs []error
	for _, dir := range append(dirs, ".", os.TempDir()) {
		path := filepath.Join(dir, name)
		f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600) //nolint:gosec // beside the operator's own file; the lines are personal data
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if abs, err := filepath.Abs(path); err == nil && r.input == "-" {
			path = abs
		}
		r.f, r.path = f, path
		return nil
	}
	return fmt.Errorf("no place for refused lines: %w", errors.Join(errs...))
}

// Close implements io.Closer.
func (r *refusedFile) Close() error {
	if r.f == nil {
		return nil
	}
	return errors.Join(r.f.Sync(), r.f.Close())
}
