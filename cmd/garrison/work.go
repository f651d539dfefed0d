package main

import (
	"fmt"
	"io"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"garrison/client"
)

func (a *app) measuresCommand() *cobra.Command {
	list := asking(&cobra.Command{
		Use:   "list",
		Short: a.t("cli.short.measures_list"),
		Args:  a.exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			var m client.Measures
			if err := a.get(c.Context(), "/api/measures", &m); err != nil {
				return err
			}
			return a.show(m, func(w io.Writer) {
				t := newTable(a.t("cli.head.id"), a.t("cli.head.name"), a.t("cli.head.mode"), a.t("cli.head.looked"), a.t("cli.head.remarks"))
				for _, x := range m.Measures {
					t.add(x.ID, x.Title.In(a.lang), x.Mode, strconv.Itoa(x.Looked)+"/"+strconv.Itoa(x.Subjects), x.Reason)
				}
				t.print(w)
			})
		},
	})
	return a.group("measures", a.t("cli.short.measures"), list, a.measuresRun(), a.measuresSwitch())
}

func (a *app) measuresRun() *cobra.Command {
	var subject string
	var wait bool
	c := &cobra.Command{
		Use:     "run ID --subject SUBJECT",
		Short:   a.t("cli.short.measures_run"),
		Long:    a.t("cli.long.measures_run"),
		Example: "  garrison measures run links --subject Portal",
		Args:    a.exactly("ID"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := a.required(c, "subject"); err != nil {
				return err
			}
			id, err := a.subjectID(c.Context(), subject, "")
			if err != nil {
				return err
			}
			var r client.Run
			path := "/api/measures/" + segment(args[0]) + "/runs?wait=" + strconv.FormatBool(wait)
			if err := a.call(c.Context(), "POST", path, map[string]string{"subject": id}, &r); err != nil {
				return err
			}
			if err := a.show(r, func(w io.Writer) { a.printRun(w, r) }); err != nil {
				return err
			}
			switch {
			case r.Running:
				return nil
			case r.Outcome == "fail":
				return exit(exitFound)
			case r.Outcome == "unknown":
				return exit(exitUnknown)
			}
			return nil
		},
	}
	c.Flags().StringVar(&subject, "subject", "", a.t("cli.flag.subject"))
	c.Flags().BoolVar(&wait, "wait", true, a.t("cli.flag.wait"))
	return c
}

func (a *app) printRun(w io.Writer, r client.Run) {
	if r.Running {
		fmt.Fprintln(w, a.t("cli.measures.queued", "id", r.ID))
		return
	}
	colour := map[string]string{"pass": "good", "fail": "bad", "unknown": "unsure"}[r.Outcome]
	fmt.Fprintf(w, "%s  %s  %s\n", r.ID, a.paint(r.Outcome, colour), line(r.Why))
	p := r.Population
	fmt.Fprintln(w, a.t("cli.duties.population", "attempted", p.Attempted, "succeeded", p.Succeeded, "failed", p.Failed, "unreachable", p.Unreachable))
}

func (a *app) measuresSwitch() *cobra.Command {
	var mode, reason string
	c := &cobra.Command{
		Use:     "switch ID --mode on|degraded|off --reason TEXT",
		Short:   a.t("cli.short.measures_switch"),
		Example: "  garrison measures switch links --mode off --reason \"portal moves tonight\"",
		Args:    a.exactly("ID"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := a.required(c, "mode", "reason"); err != nil {
				return err
			}
			if err := a.oneOf("--mode", mode, "on", "degraded", "off"); err != nil {
				return err
			}
			in := map[string]string{"mode": mode, "reason": reason}
			if err := a.call(c.Context(), "PUT", "/api/measures/"+segment(args[0])+"/mode", in, nil); err != nil {
				return err
			}
			return a.done("cli.measures.switched", "id", args[0], "mode", mode)
		},
	}
	c.Flags().StringVar(&mode, "mode", "", a.t("cli.flag.mode"))
	c.Flags().StringVar(&reason, "reason", "", a.t("cli.flag.reason"))
	return c
}

func (a *app) findingsCommand() *cobra.Command {
	var state, subject string
	list := asking(&cobra.Command{
		Use:   "list",
		Short: a.t("cli.short.findings_list"),
		Args:  a.exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			q := url.Values{"limit": {"500"}}
			if state != "" {
				if err := a.oneOf("--state", state, "suspected", "open", "fixed", "refuted", "accepted"); err != nil {
					return err
				}
				q.Set("state", state)
			}
			if subject != "" {
				id, err := a.subjectID(c.Context(), subject, "")
				if err != nil {
					return err
				}
				q.Set("subject", id)
			}
			all := client.Findings{Findings: []client.Finding{}}
			for more := true; more; {
				var page client.Findings
				if err := a.get(c.Context(), "/api/findings?"+q.Encode(), &page); err != nil {
					return err
				}
				all.Findings = append(all.Findings, page.Findings...)
				q.Set("after", page.Next)
				more = page.Next != ""
			}
			return a.show(all, func(w io.Writer) { a.printFindings(w, all) })
		},
	})
	list.Flags().StringVar(&state, "state", "", a.t("cli.flag.finding_state"))
	list.Flags().StringVar(&subject, "subject", "", a.t("cli.flag.subject"))
	return a.group("findings", a.t("cli.short.findings"), list)
}

func (a *app) printFindings(w io.Writer, f client.Findings) {
	t := newTable(a.t("cli.head.id"), a.t("cli.head.severity"), a.t("cli.head.rule"), a.t("cli.head.state"), a.t("cli.head.locus"), a.t("cli.head.last"))
	for _, x := range f.Findings {
		t.add(x.ID, x.Severity, x.Rule, x.State, x.Locus, local(x.LastSeen))
	}
	t.print(w)
}
