// Command garrison-verify checks, without network and without trusting the product,
// what the product hands out: the bundle of evidence for one clause, or the receipt
// of one ledger entry.
//
//	garrison-verify [--key FILE] [--json] [--lang zh|en] BUNDLE
//	garrison-verify [--key FILE] [--json] [--lang zh|en] --entry FILE RECEIPT
//
// FILE of --key holds the public key of the operator's ledger (name+hash+key, one a
// line), obtained some other way than together with the bundle. Without it the
// command can say that a bundle agrees with itself, not whose it is.
//
// Exit status: 0 good; 1 wrong, the first wrong thing is named; 2 usage; 3 could not
// tell, be it for want of a key or because a file cannot be read.
//
// All rules are in package evidence; this command reads files and prints.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"garrison/evidence"
)

const (
	exitGood   = 0
	exitWrong  = 1
	exitUsage  = 2
	exitUntold = 3
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr, os.Getenv))
}

// options are the command line.
type options struct {
	key, entry, file string
	json             bool
	say              texts
}

func run(args []string, out, errs io.Writer, getenv func(string) string) int {
	o, code := parse(args, errs, getenv)
	if code >= 0 {
		return code
	}
	var keys evidence.Keys
	if o.key != "" {
		text, err := readFile(o.key, evidence.MaxCheckpoint)
		if err == nil {
			keys, err = evidence.ParseKeys(text)
		}
		if err != nil {
			fmt.Fprintf(errs, "garrison-verify: %s %s: %v\n", o.say.badKey, clean(o.key), err)
			return exitUsage
		}
	}
	rep, err := check(o, keys)
	if err != nil {
		fmt.Fprintf(errs, "garrison-verify: %s: %v\n", o.say.untold, err)
		return exitUntold
	}
	if o.json {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		err = enc.Encode(rep)
	} else {
		err = rep.print(out, o.say)
	}
	if err != nil { // an answer that nobody saw is none
		fmt.Fprintf(errs, "garrison-verify: %s: %v\n", o.say.untold, err)
		return exitUntold
	}
	return rep.exit()
}

// parse reads the command line; flags may follow the file. code is negative when
// there is something to do.
func parse(args []string, errs io.Writer, getenv func(string) string) (o options, code int) {
	lang := ""
	fs := flag.NewFlagSet("garrison-verify", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&o.key, "key", "", "")
	fs.StringVar(&o.entry, "entry", "", "")
	fs.BoolVar(&o.json, "json", false, "")
	fs.StringVar(&lang, "lang", language(getenv), "")
	var files []string
	var err error
	for rest := args; err == nil && len(rest) > 0; {
		if err = fs.Parse(rest); err == nil && fs.NArg() > 0 {
			files = append(files, fs.Arg(0))
			rest = fs.Args()[1:]
			continue
		}
		break
	}
	o.say = textsIn(lang)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(errs, o.say.usage)
		return o, exitGood
	case err == nil && len(files) == 1 && (lang == "zh" || lang == "en"):
		o.file = files[0]
		return o, -1
	case err != nil:
		fmt.Fprintf(errs, "garrison-verify: %v\n", err)
	}
	fmt.Fprint(errs, o.say.usage)
	return o, exitUsage
}

// language returns the language of the environment, as POSIX orders the variables.
func language(getenv func(string) string) string {
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if v := getenv(name); v != "" {
			if strings.HasPrefix(strings.ToLower(v), "zh") {
				return "zh"
			}
			return "en"
		}
	}
	return "en"
}

// readFile reads a file up to a limit.
func readFile(path string, most int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, int64(most)+1))
	if err == nil && len(b) > most {
		err = fmt.Errorf("%q has more than %d bytes", path, most)
	}
	return b, err
}

// check does the work; an error means that it could not be done.
func check(o options, keys evidence.Keys) (report, error) {
	if o.entry != "" {
		return checkReceipt(o, keys)
	}
	f, err := os.Open(o.file)
	if err != nil {
		return report{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return report{}, err
	}
	if !info.Mode().IsRegular() {
		return report{}, fmt.Errorf("%q is not a plain file", o.file)
	}
	rep := report{File: o.file}
	b, err := evidence.ReadBundle(f, info.Size())
	if p := (evidence.Problem{}); errors.As(err, &p) {
		rep.Problems = []evidence.Problem{p}
		return rep.settled(), nil
	}
	if err != nil {
		return report{}, err
	}
	res, err := evidence.VerifyBundle(b, keys)
	if err != nil {
		return report{}, err
	}
	rep.fill(b, res)
	return rep.settled(), nil
}

func checkReceipt(o options, keys evidence.Keys) (report, error) {
	entry, err := readFile(o.entry, evidence.MaxEntry)
	if err != nil {
		return report{}, err
	}
	text, err := readFile(o.file, evidence.MaxReceipt)
	if err != nil {
		return report{}, err
	}
	rep := report{File: o.file}
	var r evidence.Receipt
	err = r.UnmarshalText(text)
	if err == nil {
		rep.Origin, rep.Size = r.Origin, r.Size
		err = evidence.Verify(entry, r, keys)
	}
	switch {
	case err == nil:
		rep.OriginChecked, rep.Entries = true, 1
	case errors.Is(err, evidence.ErrOriginNotChecked):
		rep.Entries = 1
	default:
		rep.Problems = []evidence.Problem{{Part: "receipt", Key: evidence.BadInclusion, What: err.Error()}}
	}
	return rep.settled(), nil
}
