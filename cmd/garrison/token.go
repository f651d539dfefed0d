package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"garrison/client"
	"garrison/internal/state/atomicfile"
)

func (a *app) tokenCommand() *cobra.Command {
	return a.group("token", a.t("cli.short.token"), a.tokenCreate(), a.tokenList(), a.tokenRevoke())
}

func (a *app) tokenCreate() *cobra.Command {
	var role, name, out string
	var days int
	c := &cobra.Command{
		Use:     "create --role ROLE",
		Short:   a.t("cli.short.token_create"),
		Example: "  garrison token create --role intake --name cgn-collector --days 180",
		Args:    a.exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := a.required(c, "role"); err != nil {
				return err
			}
			if days < 1 || days > 366 {
				return a.usage("cli.usage.days", "value", days)
			}
			in := map[string]any{"role": role, "name": name, "expires": time.Now().Add(time.Duration(days) * 24 * time.Hour)}
			var t client.Token
			if err := a.call(c.Context(), "POST", "/api/tokens", in, &t); err != nil {
				return err
			}
			if out != "" {
				if err := atomicfile.WriteFile(out, []byte(t.Secret+"\n"), 0o600); err != nil {
					return err
				}
				t.Secret = ""
			}
			return a.show(t, func(w io.Writer) {
				if out != "" {
					fmt.Fprintln(w, a.t("cli.token.written", "file", line(out)))
					return
				}
				fmt.Fprintln(w, t.Secret)
				fmt.Fprintln(a.errOut, a.t("cli.token.once", "id", t.ID, "expires", t.Expires.Local().Format(time.DateOnly)))
			})
		},
	}
	f := c.Flags()
	f.StringVar(&role, "role", "", a.t("cli.flag.role"))
	f.StringVar(&name, "name", "", a.t("cli.flag.name"))
	f.IntVar(&days, "days", 90, a.t("cli.flag.days"))
	f.StringVar(&out, "out", "", a.t("cli.flag.token_out"))
	return c
}

func (a *app) tokenList() *cobra.Command {
	return asking(&cobra.Command{
		Use:   "list",
		Short: a.t("cli.short.token_list"),
		Args:  a.exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			var l client.Tokens
			if err := a.get(c.Context(), "/api/tokens", &l); err != nil {
				return err
			}
			return a.show(l, func(w io.Writer) {
				t := newTable(a.t("cli.head.id"), a.t("cli.head.name"), a.t("cli.head.role"), a.t("cli.head.expires"), a.t("cli.head.last"), a.t("cli.head.remarks"))
				for _, x := range l.Tokens {
					remark := ""
					if !x.Revoked.IsZero() {
						remark = a.t("cli.token.revoked_at", "time", day(x.Revoked))
					}
					t.add(x.ID, x.Name, x.Role, day(x.Expires), day(x.LastUsed), remark)
				}
				t.print(w)
			})
		},
	})
}

func (a *app) tokenRevoke() *cobra.Command {
	return &cobra.Command{
		Use:   "revoke ID",
		Short: a.t("cli.short.token_revoke"),
		Args:  a.exactly("ID"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := a.call(c.Context(), "DELETE", "/api/tokens/"+segment(args[0]), nil, nil); err != nil {
				return err
			}
			return a.done("cli.token.revoked", "id", args[0])
		},
	}
}

func day(t time.Time) string {
	if t.IsZero() {
		return "—"
	}
	return t.Local().Format("2006-01-02 15:04")
}

// done says that something was done, where nothing comes back.
func (a *app) done(key string, kv ...any) error {
	return a.show(map[string]bool{"done": true}, func(w io.Writer) { fmt.Fprintln(w, clean(a.t(key, kv...))) })
}
