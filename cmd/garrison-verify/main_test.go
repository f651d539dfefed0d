package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"garrison/evidence"
)

const (
	bundleFile  = "../../docs/formats/vectors/example.bundle"
	keyFile     = "../../docs/formats/vectors/example.key"
	entryFile   = "../../docs/formats/vectors/example.entry"
	receiptFile = "../../docs/formats/vectors/example.tlog-proof"
)

// build makes the binary as it ships and returns its path.
func build(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "garrison-verify")
	if runtime.GOOS == "windows" {
		bin += ".exe"
	}
	cmd := exec.Command("go", "build", "-trimpath", "-o", bin, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return bin
}

// call runs the binary in a Chinese or other environment.
func call(t *testing.T, bin, lang string, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	cmd := exec.Command(bin, args...)
	cmd.Env = []string{"LANG=" + lang}
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), o.String(), e.String()
}

func TestBuiltBinary(t *testing.T) {
	bin := build(t)
	info, err := os.Stat(bin)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() >= 20<<20 {
		t.Errorf("the binary has %d bytes, 20 MiB is the most", info.Size())
	}
	dir := t.TempDir()
	otherKey := write(t, dir, "other.key", []byte("elsewhere.example/log+7d7afd91+AcR9r5UZ/hkqbRxb6R5Fjt7U7ZcK0d+L3vDjRqg5UW7N\n"))
	raw := read(t, bundleFile)
	cut := write(t, dir, "cut.bundle", raw[:len(raw)/2])
	tests := []struct {
		name, lang string
		args       []string
		code       int
		out        []string // parts of standard output, or of standard error where code is usage or untold by a file
	}{
		{"good", "C", []string{"--key", keyFile, bundleFile}, 0, []string{"mps82-13", "at least sixty days", "met:", "412.5", "rests on ledger entries 8", "stated by the operator", "crashed", "good"}},
		{"good, key after the file", "", []string{bundleFile, "--key", keyFile}, 0, []string{"good"}},
		{"good in Chinese", "zh_CN.UTF-8", []string{"--key", keyFile, bundleFile}, 0, []string{"符合：", "青岚宽带", "崩溃", "通过"}},
		{"language asked for", "zh_CN.UTF-8", []string{"--lang", "en", "--key", keyFile, bundleFile}, 0, []string{"good"}},
		{"no key", "C", []string{bundleFile}, 3, []string{"met (claimed, not proven):", "consistent; origin not checked"}},
		{"no key in Chinese", "zh_CN.UTF-8", []string{bundleFile}, 3, []string{"来源未核验", "consistent; origin not checked"}},
		{"cut short", "C", []string{"--key", keyFile, cut}, 1, []string{"wrong: entry/", "too early"}},
		{"cut short, no key", "C", []string{cut}, 1, []string{"wrong: entry/"}},
		{"receipt", "C", []string{"--key", keyFile, "--entry", entryFile, receiptFile}, 0, []string{"good"}},
		{"receipt without key", "C", []string{"--entry", entryFile, receiptFile}, 3, []string{"origin not checked"}},
		{"receipt of another entry", "C", []string{"--key", keyFile, "--entry", keyFile, receiptFile}, 1, []string{"wrong: receipt"}},
		{"bundle as receipt", "C", []string{"--entry", entryFile, bundleFile}, 1, []string{"wrong: receipt"}},
		{"receipt as bundle", "C", []string{receiptFile}, 1, []string{"wrong: index"}},
		{"help", "C", []string{"--help"}, 0, []string{"usage:"}},
		{"nothing", "zh_CN.UTF-8", nil, 2, []string{"用法"}},
		{"two files", "C", []string{bundleFile, bundleFile}, 2, []string{"usage:"}},
		{"unknown flag", "C", []string{"--kye", keyFile, bundleFile}, 2, []string{"kye", "usage:"}},
		{"unknown language", "C", []string{"--lang", "fr", bundleFile}, 2, []string{"usage:"}},
		{"key file missing", "C", []string{"--key", "no-such-file", bundleFile}, 2, []string{"no-such-file"}},
		{"key file is something else", "C", []string{"--key", bundleFile, bundleFile}, 2, []string{"key"}},
		{"key malformed", "C", []string{"--key", otherKey, bundleFile}, 2, []string{"line 1"}},
		{"file missing", "C", []string{"no-such-file"}, 3, []string{"could not tell", "no-such-file"}},
		{"folder", "C", []string{dir}, 3, []string{"not a plain file"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, out, errs := call(t, bin, tt.lang, tt.args...)
			if code != tt.code {
				t.Errorf("exit %d, want %d\n%s%s", code, tt.code, out, errs)
			}
			for _, part := range tt.out {
				if !strings.Contains(squeeze(out+errs), squeeze(part)) {
					t.Errorf("does not say %q:\n%s%s", part, out, errs)
				}
			}
			if out != "" && code == 2 {
				t.Errorf("usage on standard output: %s", out)
			}
		})
	}
}

func squeeze(s string) string { return strings.NewReplacer(" ", "", "：", ":").Replace(s) }

// TestKeyOfAnotherLog: a well-formed key that did not sign is wrong, not unknown.
func TestKeyOfAnotherLog(t *testing.T) {
	// From the signed note format's own example, a public key of a public log.
	other := write(t, t.TempDir(), "other.key", []byte("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW\n"))
	code, rep := inProcess(t, "--json", "--key", other, bundleFile)
	if code != exitWrong || rep.Result != wrong || rep.Problems[0].Part != "checkpoint" || rep.OriginChecked {
		t.Errorf("exit %d, report %+v", code, rep)
	}
}

// inProcess runs the command without a process of its own and reads its JSON.
func inProcess(t *testing.T, args ...string) (int, report) {
	t.Helper()
	var out bytes.Buffer
	code := run(args, &out, io.Discard, func(string) string { return "" })
	var rep report
	if err := json.Unmarshal(out.Bytes(), &rep); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	return code, rep
}

func TestJSON(t *testing.T) {
	code, rep := inProcess(t, "--json", "--key", keyFile, bundleFile)
	if code != exitGood || rep.Result != good || !rep.OriginChecked || rep.Standing != evidence.Met || rep.Entries != 5 || rep.Samples != 2 || len(rep.Facts) != 5 || rep.Problems == nil {
		t.Errorf("exit %d, report %+v", code, rep)
	}
	code, rep = inProcess(t, "--json", bundleFile)
	if code != exitUntold || rep.Result != unchecked || rep.Text != "consistent; origin not checked" || rep.OriginChecked {
		t.Errorf("without key: exit %d, report %+v", code, rep)
	}
}

// TestEveryFlippedByteIsExit1 changes each byte of the example in turn. A stride of
// them also goes through the binary.
func TestEveryFlippedByteIsExit1(t *testing.T) {
	raw := read(t, bundleFile)
	path := filepath.Join(t.TempDir(), "flipped.bundle")
	write(t, filepath.Dir(path), filepath.Base(path), raw)
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	set := func(i int, b byte) {
		if _, err := f.WriteAt([]byte{b}, int64(i)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range raw {
		set(i, raw[i]^0x04)
		code, rep := inProcess(t, "--json", "--key", keyFile, path)
		if code != exitWrong || len(rep.Problems) == 0 || rep.Problems[0].Part == "" {
			t.Fatalf("byte %d flipped: exit %d, report %+v", i, code, rep)
		}
		set(i, raw[i])
	}
	bin := build(t)
	for i := 0; i < len(raw); i += 389 {
		set(i, raw[i]^0x80)
		if code, out, _ := call(t, bin, "C", "--key", keyFile, path); code != exitWrong || !strings.Contains(out, "wrong: ") {
			t.Fatalf("byte %d flipped: exit %d\n%s", i, code, out)
		}
		set(i, raw[i])
	}
	if code, rep := inProcess(t, "--json", "--key", keyFile, path); code != exitGood {
		t.Errorf("with every byte put back: exit %d, report %+v", code, rep)
	}
}

// TestEveryKeyHasATextInBothLanguages holds the texts against what evidence can say.
func TestEveryKeyHasATextInBothLanguages(t *testing.T) {
	for lang, say := range map[string]texts{"en": english(), "zh": chinese()} {
		for what, list := range map[string]struct {
			keys  []string
			texts map[string]string
		}{
			"reason":   {evidence.Reasons(), say.reasons},
			"problem":  {evidence.ProblemKeys(), say.problems},
			"clause":   {evidence.Answered(), say.clauses},
			"standing": {[]string{"unproven", "met", "unmet", "out_of_scope", "not_in_force"}, say.standings},
		} {
			for _, key := range list.keys {
				if list.texts[key] == "" {
					t.Errorf("%s: no text for %s %q", lang, what, key)
				}
			}
			for key := range list.texts {
				if !slices.Contains(list.keys, key) {
					t.Errorf("%s: text for %s %q, which does not exist", lang, what, key)
				}
			}
		}
	}
}

func TestHostileTextIsShownHarmless(t *testing.T) {
	got := clean("a\x1b[2J\u202eb\n\xff" + strings.Repeat("x", 1000))
	if strings.ContainsAny(got, "\x1b\n\u202e") || len(got) > 400 || !strings.HasPrefix(got, `a\u001b[2J\u202eb`) {
		t.Errorf("shown as %q", got)
	}
}

// TestImports keeps the command to what an outsider has to read.
func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"garrison/cmd/garrison-verify", "garrison/evidence", "golang.org/x/mod/sumdb/note", "golang.org/x/mod/sumdb/tlog"}
	got := strings.Fields(string(out))
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("depends on %q, want %q", got, want)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t *testing.T, dir, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
