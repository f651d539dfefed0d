package main

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"garrison"
	"garrison/internal/locale"
)

// app is one run of the program.
type app struct {
	in          io.Reader
	out, errOut io.Writer
	lang        string
	colour      bool

	// Flags that every command takes.
	data, server, tokenFile, ca string
	json                        bool
	langFlag                    string
}

// newApp knows the language before the commands are built: their help is a text too.
func newApp(args []string, in io.Reader, out, errOut io.Writer) *app {
	a := &app{in: in, out: out, errOut: errOut, lang: langOf(args)}
	if f, ok := out.(*os.File); ok && os.Getenv("NO_COLOR") == "" {
		st, err := f.Stat()
		a.colour = err == nil && st.Mode()&os.ModeCharDevice != 0
	}
	return a
}

func langOf(args []string) string {
	name := firstOf(os.Getenv("LC_ALL"), os.Getenv("LC_MESSAGES"), os.Getenv("LANG"))
	for i, s := range args {
		if v, ok := strings.CutPrefix(s, "--lang="); ok {
			name = v
		} else if s == "--lang" && i+1 < len(args) {
			name = args[i+1]
		} else if s == "--" {
			break
		}
	}
	if strings.HasPrefix(strings.ToLower(name), "zh") {
		return locale.ZH
	}
	return locale.EN
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// t returns a text of the catalogue; kv are name, value pairs.
func (a *app) t(key string, kv ...any) string {
	return locale.T(a.lang, key, locale.Args(kv...))
}

// explain writes an error for a person: the catalogue's text where it has one.
func (a *app) explain(err error) string {
	var e *garrison.Error
	if errors.As(err, &e) && e.Err == nil && e.Key != "" {
		if t, ok := locale.Lookup(a.lang, e.Key, e.Args); ok {
			return t
		}
	}
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		return err.Error()
	}
	return strings.TrimPrefix(err.Error(), string(garrison.CodeOf(err))+": ")
}

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "garrison",
		Short:         a.t("cli.short.garrison"),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          a.noSuchCommand,
		RunE:          func(c *cobra.Command, _ []string) error { return a.needsSubcommand(c) },
	}
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.errOut)
	f := root.PersistentFlags()
	f.StringVar(&a.data, "data", "", a.t("cli.flag.data"))
	f.StringVar(&a.server, "server", "", a.t("cli.flag.server"))
	f.StringVar(&a.tokenFile, "token-file", "", a.t("cli.flag.token_file"))
	f.StringVar(&a.ca, "ca", "", a.t("cli.flag.ca"))
	f.BoolVar(&a.json, "json", false, a.t("cli.flag.json"))
	f.StringVar(&a.langFlag, "lang", "", a.t("cli.flag.lang"))
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.PersistentPreRunE = func(*cobra.Command, []string) error { return a.checkFlags() }
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(
		a.upCommand(), a.serveCommand(), a.importCommand(), a.traceCommand(), a.sourcesCommand(), a.dutiesCommand(),
		a.verifyCommand(), a.exportCommand(), a.checkCommand(), a.tokenCommand(), a.registerCommand(), a.profileCommand(),
		a.measuresCommand(), a.findingsCommand(), a.casesCommand(), a.demoCommand(), a.doctorCommand(), a.configCommand(),
		a.benchCommand(), a.versionCommand(), a.contractCommand(),
	)
	a.localise(root)
	return root
}

// localise translates what the command library writes itself.
func (a *app) localise(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.SetHelpCommand(&cobra.Command{Use: "help", Hidden: true, RunE: func(c *cobra.Command, args []string) error {
		target, _, err := root.Find(args)
		if err != nil {
			return usageError{err}
		}
		return target.Help()
	}})
	t := root.UsageTemplate()
	for english, key := range map[string]string{
		"Usage:": "cli.help.usage", "Available Commands:": "cli.help.commands", "Global Flags:": "cli.help.global", "Examples:": "cli.help.examples",
	} {
		t = strings.ReplaceAll(t, english, a.t(key))
	}
	t = strings.ReplaceAll(t, "\nFlags:", "\n"+a.t("cli.help.flags"))
	if i := strings.Index(t, `{{if .HasAvailableSubCommands}}`+"\n\nUse"); i >= 0 {
		t = t[:i] + "{{if .HasAvailableSubCommands}}\n\n" + a.t("cli.help.more") + "{{end}}\n"
	}
	root.SetUsageTemplate(t)
	var each func(c *cobra.Command)
	each = func(c *cobra.Command) {
		c.InitDefaultHelpFlag()
		if f := c.Flags().Lookup("help"); f != nil {
			f.Usage = a.t("cli.flag.help")
		}
		for _, s := range c.Commands() {
			each(s)
		}
	}
	each(root)
}

func (a *app) checkFlags() error {
	if a.langFlag != "" && !strings.HasPrefix(strings.ToLower(a.langFlag), "zh") && !strings.HasPrefix(strings.ToLower(a.langFlag), "en") {
		return a.usage("cli.usage.lang", "value", a.langFlag)
	}
	if a.data != "" && a.server != "" {
		return a.usage("cli.usage.data_or_server")
	}
	return nil
}

// group is a command that only has sub-commands.
func (a *app) group(use, short string, subs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: a.noSuchCommand,
		RunE: func(c *cobra.Command, _ []string) error { return a.needsSubcommand(c) }}
	c.AddCommand(subs...)
	return c
}

func (a *app) noSuchCommand(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return a.usage("cli.usage.no_such_command", "name", args[0])
	}
	return nil
}

func (a *app) needsSubcommand(c *cobra.Command) error {
	c.SetOut(a.errOut)
	_ = c.Help()
	return exit(exitUsage)
}

// exactly demands arguments by name.
func (a *app) exactly(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) < len(names) {
			return a.usage("cli.usage.missing_argument", "name", names[len(args)])
		}
		if len(args) > len(names) {
			return a.usage("cli.usage.extra_argument", "value", args[len(names)])
		}
		return nil
	}
}

// required refuses a command line without a value for each of the flags.
func (a *app) required(c *cobra.Command, flags ...string) error {
	for _, f := range flags {
		if v := c.Flags().Lookup(f); v == nil || !v.Changed || v.Value.String() == "" {
			return a.usage("cli.usage.missing_flag", "flag", "--"+f)
		}
	}
	return nil
}

// oneOf refuses a value that is none of those that there are.
func (a *app) oneOf(flag, value string, allowed ...string) error {
	for _, v := range allowed {
		if value == v {
			return nil
		}
	}
	return a.usage("cli.usage.one_of", "flag", flag, "value", value, "allowed", strings.Join(allowed, ", "))
}

// show prints v as JSON, or lets print write it for people.
func (a *app) show(v any, print func(w io.Writer)) error {
	if !a.json {
		print(a.out)
		return nil
	}
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = io.WriteString(a.out, cleanJSON(string(raw))+"\n")
	return err
}
