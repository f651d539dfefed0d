package main

import (
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"garrison/client"
)

func (a *app) sourcesCommand() *cobra.Command {
	var own bool
	list := asking(&cobra.Command{
		Use:   "list",
		Short: a.t("cli.short.sources_list"),
		Args:  a.exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			api, err := a.connect()
			if err != nil {
				return err
			}
			s, err := api.Sources(c.Context(), own)
			if err != nil {
				return err
			}
			return a.show(s, func(w io.Writer) { a.printSources(w, s) })
		},
	})
	list.Flags().BoolVar(&own, "own", false, a.t("cli.flag.own"))
	return a.group("sources", a.t("cli.short.sources"), list)
}

func (a *app) printSources(w io.Writer, s client.Sources) {
	t := newTable(a.t("cli.head.name"), a.t("cli.head.kind"), a.t("cli.head.stored"), a.t("cli.head.refused"), a.t("cli.head.lost"),
		a.t("cli.head.last"), a.t("cli.head.remarks"))
	for _, x := range s.Sources {
		var remarks []string
		if x.Silent {
			remarks = append(remarks, a.t("cli.sources.silent"))
		}
		if x.ClockSuspect {
			remarks = append(remarks, a.t("cli.sources.clock", "seconds", strconv.FormatFloat(x.ClockOffsetS, 'f', 1, 64)))
		}
		t.add(x.Name, x.Kind, strconv.FormatInt(x.Stored, 10), strconv.FormatInt(x.Refused, 10), a.count(x.Lost), firstOf(local(x.Last), "—"), strings.Join(remarks, "; "))
	}
	t.print(w)
}
