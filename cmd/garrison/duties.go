package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"garrison"
	"garrison/client"
)

// standings as the API names them.
var standings = [...]string{"met", "unmet", "unproven", "out_of_scope", "not_in_force"}

func (a *app) dutiesCommand() *cobra.Command {
	return a.group("duties", a.t("cli.short.duties"), a.dutiesList(), a.dutiesShow())
}

func (a *app) dutiesList() *cobra.Command {
	var standing, rule string
	c := asking(&cobra.Command{
		Use:   "list",
		Short: a.t("cli.short.duties_list"),
		Args:  a.exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			if standing != "" {
				if err := a.oneOf("--standing", standing, standings[:]...); err != nil {
					return err
				}
			}
			api, err := a.connect()
			if err != nil {
				return err
			}
			d, err := api.Duties(c.Context())
			if err != nil {
				return err
			}
			d.Duties = slices.DeleteFunc(d.Duties, func(x client.Duty) bool {
				return standing != "" && x.Standing != standing || rule != "" && x.Rule != rule
			})
			return a.show(d, func(w io.Writer) { a.printDuties(w, d) })
		},
	})
	c.Flags().StringVar(&standing, "standing", "", a.t("cli.flag.standing"))
	c.Flags().StringVar(&rule, "rule", "", a.t("cli.flag.rule"))
	return c
}

func (a *app) printDuties(w io.Writer, d client.Duties) {
	t := newTable(a.t("cli.head.clause"), a.t("cli.head.article"), a.t("cli.head.standing"), a.t("cli.head.why"))
	for _, x := range d.Duties {
		t.add(x.ID, x.Article, a.standing(x.Standing), x.Why)
	}
	t.print(w)
	var counts []string
	for _, s := range standings {
		if n := d.Counts[s]; n > 0 {
			counts = append(counts, fmt.Sprintf("%s %d", a.standing(s), n))
		}
	}
	fmt.Fprintln(w, "\n"+strings.Join(counts, "  "))
}

func (a *app) standing(s string) string {
	if slices.Contains(standings[:], s) {
		return a.t("duties.standing." + s)
	}
	return s
}

func (a *app) dutiesShow() *cobra.Command {
	return asking(&cobra.Command{
		Use:   "show CLAUSE",
		Short: a.t("cli.short.duties_show"),
		Args:  a.exactly("CLAUSE"),
		RunE: func(c *cobra.Command, args []string) error {
			var d client.Duty
			if err := a.get(c.Context(), "/api/duties/"+segment(args[0]), &d); err != nil {
				return err
			}
			return a.show(d, func(w io.Writer) { a.printDuty(w, d) })
		},
	})
}

func (a *app) printDuty(w io.Writer, d client.Duty) {
	colour := map[string]string{"met": "good", "unmet": "bad", "unproven": "unsure"}[d.Standing]
	fmt.Fprintf(w, "%s  %s %s\n%s\n\n%s  %s\n", line(d.ID), line(d.Rule), line(d.Article), clean(d.Summary.In(a.lang)),
		a.paint(a.standing(d.Standing), colour), clean(d.Why))
	if p := d.Population; p != (garrison.Population{}) {
		fmt.Fprintln(w, a.t("cli.duties.population", "attempted", p.Attempted, "succeeded", p.Succeeded, "failed", p.Failed, "unreachable", p.Unreachable))
	}
	if d.LastLook != "" {
		fmt.Fprintln(w, a.t("cli.duties.last_look", "time", local(d.LastLook)))
	}
	if len(d.Facts) > 0 {
		fmt.Fprintln(w)
		t := newTable(a.t("cli.head.fact"), a.t("cli.head.value"))
		for _, f := range d.Facts {
			t.add(f.Name, f.Value)
		}
		t.print(w)
	}
	for _, g := range d.Gaps {
		fmt.Fprintf(w, "  %s – %s  %s %s\n", local(g.From), firstOf(local(g.Until), "…"), line(g.Cause), line(g.Source))
	}
}
