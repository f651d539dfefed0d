package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"garrison"
)

// Exit codes, a promise to scripts.
const (
	exitDone    = 0 // done, clean, answered
	exitFound   = 1 // refused, damaged, or found something
	exitUsage   = 2
	exitUnknown = 3 // could not tell
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run is the whole program; it returns the exit code.
func run(args []string, in io.Reader, out, errOut io.Writer) int {
	a := newApp(args, in, out, errOut)
	root := a.rootCommand()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(context.Background())
	if err == nil {
		return exitDone
	}
	code := exitCode(cmd, err)
	var quiet *exitError
	if !errors.As(err, &quiet) {
		fmt.Fprintln(errOut, a.t("cli.error", "text", clean(a.explain(err))))
		if code == exitUsage {
			fmt.Fprintln(errOut, a.t("cli.see_help", "command", cmd.CommandPath()))
		}
	}
	return code
}

// exitError ends the program with a code; what there is to say has been said.
type exitError struct{ code int }

func (e *exitError) Error() string { return fmt.Sprintf("exit %d", e.code) }

func exit(code int) error { return &exitError{code} }

// usageError is a command line that cannot be understood.
type usageError struct{ error }

func (a *app) usage(key string, kv ...any) error {
	return usageError{errors.New(a.t(key, kv...))}
}

// asks marks commands that ask: when nobody answers, they could not tell. Those that
// do something were refused.
const asks = "asks"

func asking(c *cobra.Command) *cobra.Command {
	c.Annotations = map[string]string{asks: "yes"}
	return c
}

func exitCode(cmd *cobra.Command, err error) int {
	var e *exitError
	var u usageError
	switch {
	case errors.As(err, &e):
		return e.code
	case errors.As(err, &u):
		return exitUsage
	}
	switch garrison.CodeOf(err) {
	case "", garrison.Unavailable:
		if cmd.Annotations[asks] != "" {
			return exitUnknown
		}
	}
	return exitFound
}
