package main

import (
	"fmt"
	"io"
	"net/url"

	"github.com/spf13/cobra"

	"garrison/client"
)

func (a *app) casesCommand() *cobra.Command {
	return a.group("cases", a.t("cli.short.cases"), a.casesList(), a.casesShow(), a.casesAct())
}

func (a *app) casesList() *cobra.Command {
	var state string
	var late bool
	c := asking(&cobra.Command{
		Use:   "list",
		Short: a.t("cli.short.cases_list"),
		Args:  a.exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			q := url.Values{"limit": {"200"}}
			if state != "" {
				if err := a.oneOf("--state", state, "open", "assigned", "claimed", "closed", "refuted"); err != nil {
					return err
				}
				q.Set("state", state)
			}
			if late {
				q.Set("late", "true")
			}
			all := client.Cases{Cases: []client.Case{}}
			for more := true; more; {
				var page client.Cases
				if err := a.get(c.Context(), "/api/cases?"+q.Encode(), &page); err != nil {
					return err
				}
				all.Cases = append(all.Cases, page.Cases...)
				q.Set("after", page.Next)
				more = page.Next != ""
			}
			return a.show(all, func(w io.Writer) {
				t := newTable(a.t("cli.head.number"), a.t("cli.head.state"), a.t("cli.head.severity"), a.t("cli.head.title"), a.t("cli.head.due"))
				for _, x := range all.Cases {
					t.add(x.Number, x.State, x.Severity, x.Title, firstOf(local(x.Due), "—"))
				}
				t.print(w)
			})
		},
	})
	c.Flags().StringVar(&state, "state", "", a.t("cli.flag.case_state"))
	c.Flags().BoolVar(&late, "late", false, a.t("cli.flag.late"))
	return c
}

func (a *app) casesShow() *cobra.Command {
	return asking(&cobra.Command{
		Use:   "show NUMBER",
		Short: a.t("cli.short.cases_show"),
		Args:  a.exactly("NUMBER"),
		RunE: func(c *cobra.Command, args []string) error {
			var x client.Case
			if err := a.get(c.Context(), "/api/cases/"+segment(args[0]), &x); err != nil {
				return err
			}
			return a.show(x, func(w io.Writer) { a.printCase(w, x) })
		},
	})
}

func (a *app) printCase(w io.Writer, x client.Case) {
	fmt.Fprintf(w, "%s  %s  %s  %s\n", x.Number, x.State, x.Severity, line(x.Title))
	if x.Due != "" {
		fmt.Fprintln(w, a.t("cli.cases.due", "time", local(x.Due)))
	}
	fmt.Fprintln(w)
	t := newTable(a.t("cli.head.time"), a.t("cli.head.by"), a.t("cli.head.step"), a.t("cli.head.to"), a.t("cli.head.remarks"))
	for _, s := range x.Steps {
		t.add(local(s.At), s.By, s.Do, s.To, s.Note)
	}
	t.print(w)
}

func (a *app) casesAct() *cobra.Command {
	var do, note, assignee string
	var version int
	c := &cobra.Command{
		Use:     "act NUMBER --do ACTION",
		Short:   a.t("cli.short.cases_act"),
		Example: "  garrison cases act C-2611-0001 --do claim --note \"link removed\"",
		Args:    a.exactly("NUMBER"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := a.required(c, "do"); err != nil {
				return err
			}
			path := "/api/cases/" + segment(args[0])
			if version == 0 { // act on the case as it is now
				var now client.Case
				if err := a.get(c.Context(), path, &now); err != nil {
					return err
				}
				version = now.Version
			}
			in := map[string]any{"do": do, "note": note, "assignee": assignee, "version": version}
			var x client.Case
			if err := a.call(c.Context(), "POST", path+"/acts", in, &x); err != nil {
				return err
			}
			return a.show(x, func(w io.Writer) { a.printCase(w, x) })
		},
	}
	f := c.Flags()
	f.StringVar(&do, "do", "", a.t("cli.flag.do"))
	f.StringVar(&note, "note", "", a.t("cli.flag.note"))
	f.StringVar(&assignee, "assignee", "", a.t("cli.flag.assignee"))
	f.IntVar(&version, "version", 0, a.t("cli.flag.version"))
	return c
}
