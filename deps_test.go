package garrison_test

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// policy says which of our packages may import which, one line a package (its
// sub-packages included); the layers are those of docs/design/0001-layout.md. A missing permission and an
// unused one both fail: changing the policy is a commit of its own.
const policy = `
.                       <
evidence                <
client                  < .
cmd/garrison            < . client evidence internal/api internal/config internal/daemon internal/ledger internal/locale internal/measures internal/records internal/state internal/telemetry
cmd/garrison-verify     < evidence
internal/config         <
internal/telemetry      <
internal/locale         < .
internal/testkit        < evidence
internal/state          < . evidence
internal/schedule       < . internal/state
internal/probe          < . internal/state
internal/ledger         < . evidence internal/state
internal/records        < . evidence internal/state
internal/registry       < . internal/state
internal/identity       < . internal/state
internal/measures       < . evidence internal/probe internal/schedule internal/state
internal/cases          < . internal/state
internal/duties         < . evidence internal/state
internal/api            < . client evidence internal/cases internal/duties internal/identity internal/ledger internal/measures internal/records internal/registry internal/state
internal/console        < . evidence internal/cases internal/duties internal/identity internal/ledger internal/locale internal/measures internal/probe internal/records internal/registry internal/state
internal/daemon         < . client evidence internal/api internal/cases internal/config internal/console internal/duties internal/identity internal/ledger internal/locale internal/measures internal/probe internal/records internal/registry internal/schedule internal/state internal/telemetry internal/testkit
`

// prohibitions are packages of others that only the named ones of ours may import,
// with the reason that a reviewer would give.
var prohibitions = []struct{ imported, only, why string }{
	{"database/sql", "internal/state", "state opens the relational database; the rest asks it"},
	{"modernc.org/sqlite", "internal/state", "one driver, one place"},
	{"github.com/jackc/pgx/v5", "internal/state", "one driver, one place"},
	{"github.com/transparency-dev/tessera", "internal/ledger", "the log library stands behind ledger"},
	{"github.com/parquet-go/parquet-go", "internal/records", "the record format stands behind records"},
	{"github.com/a-h/templ", "internal/console", "pages are the console's"},
	{"github.com/danielgtaylor/huma/v2", "internal/api", "the HTTP contract is the api's"},
	{"os/exec", "cmd/garrison internal/testkit internal/state/statetest", "the product runs no other program, but for benchmarks and test senders"},
	{"plugin", "", "nothing is loaded at run time"},
	{"unsafe", "internal/records", "no tricks; the record hot path may, with its reason"},
}

// calls are what only the named files may do, wherever the package that offers it may
// be imported: the three things to search for in a review.
var calls = []struct{ pattern, only, why string }{
	{`\bnet\.(Dial|DialTimeout|Dialer)\b|\btls\.Dial|\bhttp\.(Client\{|Get\(|Post\()`,
		"internal/probe/ client/client.go internal/ledger/append.go internal/daemon/demo/demo.go cmd/garrison/benchsend.go internal/testkit/",
		"probe is the way out; but for our own API's client, a client that refuses every call, the demonstration's devices and the benchmark's sender"},
	{`\bsql\.Open`, "internal/state/", "state opens the relational database"},
	{`\bos\.Remove`, "internal/records/remove.go internal/state/ internal/daemon/daemon.go internal/daemon/install.go internal/ledger/open.go cmd/garrison/bench.go",
		"records are removed in one file; the others remove what they have made themselves"},
}

func TestPolicyOfCalls(t *testing.T) {
	found := make([]int, len(calls))
	walk(t, func(path string) {
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range calls {
			if !regexp.MustCompile(c.pattern).Match(raw) {
				continue
			}
			found[i]++
			if !slices.ContainsFunc(strings.Fields(c.only), func(o string) bool { return path == o || strings.HasSuffix(o, "/") && strings.HasPrefix(path, o) }) {
				t.Errorf("%s has %s: %s", path, c.pattern, c.why)
			}
		}
	})
	for i, n := range found {
		if n == 0 {
			t.Errorf("%s is found nowhere; the pattern is wrong", calls[i].pattern)
		}
	}
}

type listed struct {
	ImportPath string
	Imports    []string
}

func listPackages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p listed
		if err := dec.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 20 {
		t.Fatalf("%d packages listed, expected at least 20", len(all))
	}
	return all
}

// room returns the policy line a package belongs to.
func room(path string, rooms map[string][]string) string {
	path = strings.TrimPrefix(strings.TrimPrefix(path, "garrison"), "/")
	if path == "" {
		return "."
	}
	for p := path; p != ""; {
		if _, ok := rooms[p]; ok {
			return p
		}
		i := strings.LastIndexByte(p, '/')
		if i < 0 {
			break
		}
		p = p[:i]
	}
	return path
}

func TestPolicyOfImports(t *testing.T) {
	rooms := map[string][]string{}
	for line := range strings.Lines(policy) {
		if name, allowed, ok := strings.Cut(line, "<"); ok {
			rooms[strings.TrimSpace(name)] = strings.Fields(allowed)
		}
	}
	used := map[string]map[string]bool{}
	for _, p := range listPackages(t) {
		from := room(p.ImportPath, rooms)
		allowed, ok := rooms[from]
		if !ok {
			t.Errorf("package %s stands in no line of the policy; a new top-level package is a design decision", p.ImportPath)
			continue
		}
		for _, imp := range p.Imports {
			if imp != "garrison" && !strings.HasPrefix(imp, "garrison/") {
				continue
			}
			to := room(imp, rooms)
			if to == from {
				continue
			}
			if used[from] == nil {
				used[from] = map[string]bool{}
			}
			used[from][to] = true
			if !slices.Contains(allowed, to) {
				t.Errorf("%s imports %s: the policy has no such permission", p.ImportPath, imp)
			}
		}
	}
	for from, allowed := range rooms {
		for _, to := range allowed {
			if !used[from][to] {
				t.Errorf("policy lets %s import %s, but nothing there does; take the permission back", from, to)
			}
		}
	}
}

func TestPolicyOfProhibitions(t *testing.T) {
	packages := listPackages(t)
	for _, rule := range prohibitions {
		only := strings.Fields(rule.only)
		for _, p := range packages {
			path := strings.TrimPrefix(p.ImportPath, "garrison/")
			if slices.ContainsFunc(only, func(o string) bool { return path == o || strings.HasPrefix(path, o+"/") }) {
				continue
			}
			for _, imp := range p.Imports {
				if imp == rule.imported || strings.HasPrefix(imp, rule.imported+"/") {
					t.Errorf("%s imports %s: %s", p.ImportPath, imp, rule.why)
				}
			}
		}
	}
}

func TestPolicyOfTheVerifier(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "./cmd/garrison-verify").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for dep := range strings.Lines(string(out)) {
		dep = strings.TrimSpace(dep)
		seen++
		if strings.HasPrefix(dep, "garrison/") && dep != "garrison/evidence" && dep != "garrison/cmd/garrison-verify" {
			t.Errorf("the verifier reaches %s; an outsider must be able to read it in an hour", dep)
		}
		if dep == "net" || strings.HasPrefix(dep, "net/http") {
			t.Errorf("the verifier reaches %s; it must not be able to use a network", dep)
		}
	}
	if seen < 10 {
		t.Fatalf("only %d dependencies listed", seen)
	}
}
