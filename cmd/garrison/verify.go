package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"garrison/client"
	"garrison/internal/daemon"
)

func (a *app) verifyCommand() *cobra.Command {
	return asking(&cobra.Command{
		Use:     "verify",
		Short:   a.t("cli.short.verify"),
		Long:    a.t("cli.long.verify"),
		Example: "  garrison verify --data /srv/garrison",
		Args:    a.exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			v, err := a.verification(c.Context())
			if err != nil {
				return err
			}
			if err := a.show(v, func(w io.Writer) { a.printVerification(w, v) }); err != nil {
				return err
			}
			switch {
			case len(v.Damages) > 0:
				return exit(exitFound)
			case !v.Clean || len(v.CouldNot) > 0:
				return exit(exitUnknown)
			}
			return nil
		},
	})
}

func (a *app) verification(ctx context.Context) (v client.Verification, err error) {
	if a.remote() == "" {
		return daemon.VerifyDir(ctx, a.dataDir())
	}
	err = a.call(ctx, "POST", "/api/verify", nil, &v)
	return v, err
}

func (a *app) printVerification(w io.Writer, v client.Verification) {
	fmt.Fprintln(w, a.t("cli.verify.looked", "records", v.Records, "chunks", v.Chunks, "segments", v.Segments, "entries", v.Entries, "transcripts", v.Transcripts))
	if v.Unsealed > 0 {
		fmt.Fprintln(w, a.t("cli.verify.unsealed", "records", v.Unsealed))
	}
	if len(v.Damages) > 0 {
		fmt.Fprintln(w)
		t := newTable(a.t("cli.head.part"), a.t("cli.head.file"), a.t("cli.head.range"), a.t("cli.head.records"), a.t("cli.head.what"))
		for _, d := range v.Damages {
			t.add(d.Part, firstOf(d.File, "—"), firstOf(d.Range, d.Object, "—"), a.count(d.Records), d.What)
		}
		t.print(w)
	}
	for _, c := range v.CouldNot {
		fmt.Fprintln(w, a.paint(a.t("cli.verify.could_not", "what", line(c)), "unsure"))
	}
	switch {
	case len(v.Damages) > 0:
		fmt.Fprintln(w, a.paint(a.t("cli.verify.damaged", "n", len(v.Damages)), "bad"))
	case !v.Clean || len(v.CouldNot) > 0:
		fmt.Fprintln(w, a.paint(a.t("cli.verify.not_told"), "unsure"))
	default:
		fmt.Fprintln(w, a.paint(a.t("cli.verify.clean"), "good"))
	}
}
