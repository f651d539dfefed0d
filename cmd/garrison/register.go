package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"garrison"
	"garrison/client"
)

// subjectKinds are what can be registered.
var subjectKinds = [...]string{"unit", "person", "site", "source", "pool", "line"}

// attributeFlags are attributes of subjects that have a flag of their own.
var attributeFlags = [...]string{"url", "address", "zone", "dialect", "expected", "prefix", "device", "number", "inside", "post", "contact", "note"}

func (a *app) registerCommand() *cobra.Command {
	return a.group("register", a.t("cli.short.register"), a.registerList(), a.registerAdd(), a.registerShow(), a.registerRetire())
}

func (a *app) kind(s string) (string, error) {
	s = strings.TrimSuffix(strings.ToLower(s), "s")
	return s, a.oneOf("KIND", s, subjectKinds[:]...)
}

func (a *app) registerList() *cobra.Command {
	var retired bool
	var query string
	c := asking(&cobra.Command{
		Use:   "list [KIND]",
		Short: a.t("cli.short.register_list"),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return a.usage("cli.usage.extra_argument", "value", args[1])
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			q := url.Values{"limit": {"500"}}
			if len(args) == 1 {
				kind, err := a.kind(args[0])
				if err != nil {
					return err
				}
				q.Set("kind", kind)
			}
			if query != "" {
				q.Set("q", query)
			}
			if retired {
				q.Set("retired", "true")
			}
			all, err := a.subjects(c.Context(), q)
			if err != nil {
				return err
			}
			return a.show(all, func(w io.Writer) { a.printSubjects(w, all.Subjects) })
		},
	})
	c.Flags().BoolVar(&retired, "retired", false, a.t("cli.flag.retired"))
	c.Flags().StringVar(&query, "query", "", a.t("cli.flag.query"))
	return c
}

// subjects asks for all pages of the register.
func (a *app) subjects(ctx context.Context, q url.Values) (client.Subjects, error) {
	all := client.Subjects{Subjects: []client.Subject{}}
	for {
		var page client.Subjects
		if err := a.get(ctx, "/api/subjects?"+q.Encode(), &page); err != nil {
			return all, err
		}
		all.Subjects = append(all.Subjects, page.Subjects...)
		if page.Next == "" {
			return all, nil
		}
		q.Set("after", page.Next)
	}
}

func (a *app) printSubjects(w io.Writer, list []client.Subject) {
	names := map[string]string{}
	for _, s := range list {
		names[s.ID] = s.Name
	}
	t := newTable(a.t("cli.head.id"), a.t("cli.head.kind"), a.t("cli.head.name"), a.t("cli.head.owner"), a.t("cli.head.responsible"), a.t("cli.head.remarks"))
	for _, s := range list {
		var about []string
		for _, k := range slices.Sorted(maps.Keys(s.Attributes)) {
			about = append(about, k+"="+s.Attributes[k])
		}
		if s.Demo {
			about = append(about, a.t("cli.register.demo"))
		}
		if s.Retired {
			about = append(about, a.t("cli.register.retired_mark"))
		}
		t.add(s.ID, s.Kind, s.Name, firstOf(names[s.Owner], s.Owner, "—"), firstOf(s.Responsible, "—"), strings.Join(about, " "))
	}
	t.print(w)
}

func (a *app) registerAdd() *cobra.Command {
	var s client.Subject
	values := map[string]*string{}
	c := &cobra.Command{
		Use:   "add KIND --name NAME",
		Short: a.t("cli.short.register_add"),
		Example: "  garrison register add unit --name 信息中心\n" +
			"  garrison register add site --name Portal --url https://www.example.gov.cn/ --owner 信息中心 --responsible 王敏\n" +
			"  garrison register add source --name cgn-1 --address 192.0.2.10 --expected true",
		Args: a.exactly("KIND"),
		RunE: func(c *cobra.Command, args []string) error {
			var err error
			if s.Kind, err = a.kind(args[0]); err != nil {
				return err
			}
			if err := a.required(c, "name"); err != nil {
				return err
			}
			s.Attributes = map[string]string{}
			for name, v := range values {
				if c.Flags().Changed(name) {
					s.Attributes[name] = *v
				}
			}
			if s.Owner != "" {
				owner, err := a.subjectID(c.Context(), s.Owner, "unit")
				if err != nil {
					return err
				}
				s.Owner = owner
			}
			var made client.Subject
			if err := a.call(c.Context(), "POST", "/api/subjects", s, &made); err != nil {
				return err
			}
			return a.show(made, func(w io.Writer) {
				fmt.Fprintln(w, a.t("cli.register.added", "name", line(made.Name), "id", made.ID))
			})
		},
	}
	f := c.Flags()
	f.StringVar(&s.Name, "name", "", a.t("cli.flag.name"))
	f.StringVar(&s.Owner, "owner", "", a.t("cli.flag.owner"))
	f.StringVar(&s.Responsible, "responsible", "", a.t("cli.flag.responsible"))
	f.IntVar(&s.Grade, "grade", 0, a.t("cli.flag.grade"))
	for _, name := range attributeFlags {
		values[name] = f.String(name, "", a.t("cli.flag.attribute", "name", name))
	}
	return c
}

// subjectID finds a subject by its identifier or its exact name.
func (a *app) subjectID(ctx context.Context, idOrName, kind string) (string, error) {
	if strings.HasPrefix(idOrName, "sub-") {
		return idOrName, nil
	}
	q := url.Values{"q": {idOrName}, "limit": {"500"}}
	if kind != "" {
		q.Set("kind", kind)
	}
	all, err := a.subjects(ctx, q)
	if err != nil {
		return "", err
	}
	found := ""
	for _, s := range all.Subjects {
		if s.Name != idOrName {
			continue
		}
		if found != "" {
			return "", garrison.Errorf(garrison.Conflict, "%s", a.t("cli.register.ambiguous", "name", idOrName))
		}
		found = s.ID
	}
	if found == "" {
		return "", garrison.Errorf(garrison.NotFound, "%s", a.t("cli.register.unknown", "name", idOrName))
	}
	return found, nil
}

func (a *app) registerShow() *cobra.Command {
	return asking(&cobra.Command{
		Use:   "show ID|NAME",
		Short: a.t("cli.short.register_show"),
		Args:  a.exactly("ID"),
		RunE: func(c *cobra.Command, args []string) error {
			id, err := a.subjectID(c.Context(), args[0], "")
			if err != nil {
				return err
			}
			var s client.Subject
			if err := a.get(c.Context(), "/api/subjects/"+segment(id), &s); err != nil {
				return err
			}
			return a.show(s, func(w io.Writer) { a.printSubjects(w, []client.Subject{s}) })
		},
	})
}

func (a *app) registerRetire() *cobra.Command {
	return &cobra.Command{
		Use:   "retire ID|NAME",
		Short: a.t("cli.short.register_retire"),
		Args:  a.exactly("ID"),
		RunE: func(c *cobra.Command, args []string) error {
			id, err := a.subjectID(c.Context(), args[0], "")
			if err != nil {
				return err
			}
			if err := a.call(c.Context(), "DELETE", "/api/subjects/"+segment(id), nil, nil); err != nil {
				return err
			}
			return a.done("cli.register.retired", "name", args[0])
		},
	}
}

func (a *app) profileCommand() *cobra.Command {
	var name string
	var binds []string
	show := asking(&cobra.Command{
		Use:   "show",
		Short: a.t("cli.short.profile_show"),
		Args:  a.exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			var p client.Profile
			if err := a.get(c.Context(), "/api/profile", &p); err != nil {
				return err
			}
			return a.show(p, func(w io.Writer) { a.printProfile(w, p) })
		},
	})
	set := &cobra.Command{
		Use:     "set --name NAME --binds A,B",
		Short:   a.t("cli.short.profile_set"),
		Example: "  garrison profile set --name 清河网络 --binds isp,government",
		Args:    a.exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := a.required(c, "name", "binds"); err != nil {
				return err
			}
			var p client.Profile
			if err := a.call(c.Context(), "PUT", "/api/profile", map[string]any{"name": name, "binds": binds}, &p); err != nil {
				return err
			}
			return a.show(p, func(w io.Writer) { a.printProfile(w, p) })
		},
	}
	set.Flags().StringVar(&name, "name", "", a.t("cli.flag.name"))
	set.Flags().StringSliceVar(&binds, "binds", nil, a.t("cli.flag.binds"))
	return a.group("profile", a.t("cli.short.profile"), show, set)
}

func (a *app) printProfile(w io.Writer, p client.Profile) {
	if !p.Set {
		fmt.Fprintln(w, a.t("cli.profile.not_set"))
		return
	}
	fmt.Fprintf(w, "%s  %s\n", line(p.Name), line(strings.Join(p.Binds, ", ")))
}
