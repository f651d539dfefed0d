package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"garrison"
	"garrison/internal/measures/links"
	"garrison/internal/measures/quicklook"
)

func (a *app) checkCommand() *cobra.Command {
	return a.group("check", a.t("cli.short.check"),
		a.checkLinks(),
		a.checkNamed("site", a.t("cli.short.check_site"), quicklook.Site),
		a.checkNamed("mail", a.t("cli.short.check_mail"), quicklook.Mail),
		a.checkNamed("dns", a.t("cli.short.check_dns"), quicklook.DNS))
}

func (a *app) checkFlagsOf(c *cobra.Command) *quicklook.Options {
	o := &quicklook.Options{}
	c.Flags().BoolVar(&o.AllowPrivate, "allow-private", false, a.t("cli.flag.allow_private"))
	c.Flags().DurationVar(&o.Deadline, "deadline", 30*time.Second, a.t("cli.flag.deadline"))
	c.Flags().StringVar(&o.Contact, "contact", "", a.t("cli.flag.contact"))
	return o
}

func (a *app) checkLinks() *cobra.Command {
	var o *quicklook.Options
	c := asking(&cobra.Command{
		Use:     "links URL",
		Short:   a.t("cli.short.check_links"),
		Example: "  garrison check links https://www.example.com/ --deadline 20s",
		Args:    a.exactly("URL"),
		RunE: func(c *cobra.Command, args []string) error {
			r, err := quicklook.Links(c.Context(), args[0], *o)
			if garrison.CodeOf(err) == garrison.Invalid {
				return usageError{err}
			} else if err != nil {
				return err
			}
			if err := a.show(r, func(w io.Writer) { a.printLinks(w, r) }); err != nil {
				return err
			}
			switch {
			case r.Bad():
				return exit(exitFound)
			case !r.Told():
				return exit(exitUnknown)
			}
			return nil
		},
	})
	o = a.checkFlagsOf(c)
	return c
}

// linkColours say how an outcome of a link reads; what is not listed is unsure.
func linkColour(outcome string) string {
	switch outcome {
	case "alive":
		return "good"
	case "dead", "parked", "moved":
		return "bad"
	}
	return "unsure"
}

func (a *app) printLinks(w io.Writer, r links.Report) {
	if r.Why != "" {
		fmt.Fprintln(w, a.paint(a.t("cli.check.page_unread", "target", line(r.Target), "why", line(r.Why)), "unsure"))
	}
	count := map[string]int{}
	for _, l := range r.Links {
		count[l.Outcome]++
		if l.Outcome == "alive" && len(r.Links) > 40 {
			continue
		}
		status := ""
		if l.Status != 0 {
			status = strconv.Itoa(l.Status)
		}
		fmt.Fprintf(w, "%s %-3s %s  %s\n", a.paint(fmt.Sprintf("%-11s", l.Outcome), linkColour(l.Outcome)), status, line(l.URL), a.paint(line(l.Why), "quiet"))
		if l.To != "" {
			fmt.Fprintf(w, "%16s → %s\n", "", line(l.To))
		}
	}
	if len(r.Truncated) > 0 {
		fmt.Fprintln(w, a.paint(a.t("cli.check.cut", "limits", line(strings.Join(r.Truncated, ", "))), "unsure"))
	}
	var sums []string
	for _, k := range slices.Sorted(maps.Keys(count)) {
		sums = append(sums, k+" "+strconv.Itoa(count[k]))
	}
	fmt.Fprintln(w, a.t("cli.check.links_sum", "links", len(r.Links), "sums", strings.Join(sums, ", ")))
}

type look func(ctx context.Context, target string, o quicklook.Options) (quicklook.Report, error)

func (a *app) checkNamed(name, short string, run look) *cobra.Command {
	var o *quicklook.Options
	c := asking(&cobra.Command{
		Use:   name + " TARGET",
		Short: short,
		Args:  a.exactly("TARGET"),
		RunE: func(c *cobra.Command, args []string) error {
			r, err := run(c.Context(), args[0], *o)
			if garrison.CodeOf(err) == garrison.Invalid {
				return usageError{err}
			} else if err != nil {
				return err
			}
			if err := a.show(r, func(w io.Writer) { a.printChecks(w, r) }); err != nil {
				return err
			}
			switch r.Outcome() {
			case garrison.Fail:
				return exit(exitFound)
			case garrison.Unknown:
				return exit(exitUnknown)
			}
			return nil
		},
	})
	o = a.checkFlagsOf(c)
	return c
}

func (a *app) printChecks(w io.Writer, r quicklook.Report) {
	fmt.Fprintln(w, line(r.Target))
	wide := 0
	for _, l := range r.Checks {
		wide = max(wide, columns(l.Check))
	}
	for _, l := range r.Checks {
		colour := map[string]string{quicklook.Pass: "good", quicklook.Fail: "bad", quicklook.NotApplicable: "quiet"}[l.Outcome]
		fmt.Fprintf(w, "  %s  %-*s  %s\n", a.paint(fmt.Sprintf("%-14s", l.Outcome), firstOf(colour, "unsure")), wide, line(l.Check), line(l.Why))
		for _, k := range slices.Sorted(maps.Keys(l.Facts)) {
			fmt.Fprintf(w, "%*s%s\n", wide+20, "", a.paint(line(k+": "+l.Facts[k]), "quiet"))
		}
	}
}
