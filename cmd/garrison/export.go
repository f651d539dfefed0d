package main

import (
	"bytes"
	"fmt"
	"net/url"

	"github.com/spf13/cobra"

	"garrison"
	"garrison/internal/state/atomicfile"
)

// maxBundle bounds what is downloaded of a bundle.
const maxBundle = 1 << 30

func (a *app) exportCommand() *cobra.Command {
	var out string
	clause := &cobra.Command{
		Use:     "clause ID --out FILE",
		Short:   a.t("cli.short.export_clause"),
		Example: "  garrison export clause mps82-13 --out mps82-13.bundle && garrison-verify --key data/public.key mps82-13.bundle",
		Args:    a.exactly("ID"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := a.required(c, "out"); err != nil {
				return err
			}
			api, err := a.connect()
			if err != nil {
				return err
			}
			var buf bytes.Buffer
			if err := api.Download(c.Context(), "/api/duties/"+segment(args[0])+"/bundle", &buf, maxBundle); err != nil {
				return err
			}
			if out == "-" {
				_, err := a.out.Write(buf.Bytes())
				return err
			}
			if err := atomicfile.WriteFile(out, buf.Bytes(), 0o644); err != nil {
				return garrison.Errorf(garrison.Invalid, "%w", err)
			}
			if a.json {
				return a.show(map[string]any{"clause": args[0], "file": out, "bytes": buf.Len()}, nil)
			}
			fmt.Fprintln(a.out, a.t("cli.export.written", "file", line(out), "bytes", buf.Len()))
			return nil
		},
	}
	clause.Flags().StringVar(&out, "out", "", a.t("cli.flag.out"))
	return a.group("export", a.t("cli.short.export"), clause)
}

// segment makes a value one part of a path.
func segment(s string) string { return url.PathEscape(s) }
