package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"garrison/client"
)

// chain drives an installation with the demonstration: a dead link, its finding, its
// case.
type chain struct {
	*instance
	site   client.Subject // the portal
	before client.Duty    // govqa-9b while the link is dead
}

// register lists a kind, or with "" all.
func (in *instance) register(kind string) []client.Subject {
	in.t.Helper()
	var s client.Subjects
	args := []string{"register", "list"}
	if kind != "" {
		args = append(args, kind)
	}
	in.must(&s, clean, args...)
	return s.Subjects
}

func (c *chain) finding(rule string) client.Finding {
	c.t.Helper()
	var all client.Findings
	c.must(&all, clean, "findings", "list")
	for _, f := range all.Findings {
		if f.Rule == rule {
			return f
		}
	}
	c.t.Fatalf("no finding of rule %s: %+v", rule, all)
	return client.Finding{}
}

func (c *chain) caseOf(f client.Finding) client.Case {
	c.t.Helper()
	if f.Case == "" {
		c.t.Fatalf("finding %s has no case", f.ID)
	}
	var k client.Case
	c.must(&k, clean, "cases", "show", f.Case)
	return k
}

func (c *chain) look(codes ...int) client.Run {
	c.t.Helper()
	args := []string{"measures", "run", "links", "--subject", c.site.ID, "--json"}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		got := c.garrison(args...)
		// A look that the claim asked for may be under way; the next one is ours.
		if strings.TrimSpace(got.out) == "" && time.Now().Before(deadline) {
			continue
		}
		var r client.Run
		if err := json.Unmarshal([]byte(got.out), &r); err != nil || !has(codes, got.code) {
			c.t.Fatalf("garrison %s: exit %d, want one of %v (%v)\n%s%s", strings.Join(args, " "), got.code, codes, err, got.out, got.err)
		}
		return r
	}
}

func newChain(t *testing.T, in *instance) *chain {
	t.Helper()
	sites := in.register("site")
	if len(sites) != 1 || !sites[0].Demo {
		t.Fatalf("the demonstration's site: %+v", sites)
	}
	return &chain{instance: in, site: sites[0], before: in.duty("govqa-9b")}
}

// opened demands an open finding with its open case.
func (c *chain) opened() {
	c.t.Helper()
	f := c.finding("links.dead")
	if f.State != "open" {
		c.t.Fatalf("the dead link's finding is %s", f.State)
	}
	k := c.caseOf(f)
	if k.State != "open" || !strings.Contains(k.Title, c.site.Name) || k.Due == "" || len(k.Steps) == 0 {
		c.t.Errorf("its case: %+v", k)
	}
	if c.before.Standing != "unmet" || c.before.Why == "" {
		c.t.Errorf("govqa-9b with a dead link is %s: %s", c.before.Standing, c.before.Why)
	}
}

// claimed demands that saying so closes nothing, and neither does a look that still
// sees it.
func (c *chain) claimed() {
	c.t.Helper()
	f := c.finding("links.dead")
	if r := c.garrison("cases", "act", f.Case, "--do", "close"); r.code != 1 {
		c.t.Errorf("a person closes a case: exit %d %s", r.code, r.out)
	}
	var k client.Case
	c.must(&k, clean, "cases", "act", f.Case, "--do", "claim", "--note", "link replaced")
	if k.State != "claimed" {
		c.t.Errorf("after a claim the case is %s", k.State)
	}
	run := c.look(1)
	if run.Outcome != "fail" {
		c.t.Errorf("a look at a dead link: %+v", run)
	}
	if k = c.caseOf(f); k.State == "closed" || k.Closed != "" {
		c.t.Errorf("the link is still dead and the case is %s", k.State)
	}
	if f = c.finding("links.dead"); f.State != "open" {
		c.t.Errorf("the link is still dead and the finding is %s", f.State)
	}
}

// repaired mends the stand-in and demands that one look closes everything.
func (c *chain) repaired() client.Run {
	c.t.Helper()
	resp, err := http.Post(strings.TrimSuffix(c.site.Attributes["url"], "/")+"/-/repair", "text/plain", nil)
	if err != nil {
		c.t.Fatal(err)
	}
	resp.Body.Close()
	run := c.look(0)
	if run.Outcome != "pass" || run.Evidence == nil && !c.sealed(run.ID) {
		c.t.Errorf("a look at the mended site: %+v", run)
	}
	for _, rule := range []string{"links.dead", "links.moved"} {
		f := c.finding(rule)
		if f.State != "fixed" {
			c.t.Errorf("mended, the finding of %s is %s", rule, f.State)
		}
		k := c.caseOf(f)
		if k.State != "closed" || k.Closed == "" {
			c.t.Errorf("mended, the case of %s is %s", rule, k.State)
		}
		if last := k.Steps[len(k.Steps)-1]; last.Run == "" || last.To != "closed" {
			c.t.Errorf("the last step does not name the run that closed it: %+v", last)
		}
	}
	after := c.duty("govqa-9b")
	if after.Standing != "met" || after.Why == "" || after.Why == c.before.Why || after.LastLook == "" {
		c.t.Errorf("govqa-9b was %s (%s) and is %s (%s)", c.before.Standing, c.before.Why, after.Standing, after.Why)
	}
	c.t.Logf("govqa-9b: %s (%s) → %s (%s)", c.before.Standing, c.before.Why, after.Standing, after.Why)
	return run
}

// sealed waits for the ledger entry of a run.
func (c *chain) sealed(id string) bool {
	api := c.api()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		var r client.Run
		if err := api.Do(context.Background(), "GET", "/api/runs/"+id, nil, &r); err == nil && r.Evidence != nil {
			return true
		}
	}
	return false
}

// transcript demands that what was exchanged can be read.
func (c *chain) transcript(run client.Run) {
	c.t.Helper()
	raw, err := c.api().Raw(context.Background(), "/api/runs/"+run.ID+"/transcript", nil)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, want := range []string{"/maybe-dead", "200"} {
		if !strings.Contains(string(raw), want) {
			c.t.Errorf("the transcript does not hold %q: %.300s", want, raw)
		}
	}
	if digest := strings.TrimPrefix(run.Transcript, "sha256:"); len(digest) < 64 {
		c.t.Errorf("transcript digest %q", run.Transcript)
	}
}

func TestDeadLinkBecomesACaseThatOnlyALookCloses(t *testing.T) {
	in := up(t, "--demo")
	c := newChain(t, in)
	c.opened()
	seen := map[string]bool{}
	for _, s := range in.sources().Sources {
		if seen[s.Name] || s.Kind == "registered" && s.Stored > 0 {
			t.Errorf("source %s is listed twice", s.Name)
		}
		seen[s.Name] = true
	}
	c.claimed()
	c.transcript(c.repaired())
	in.verify()
	// All of it is there after a restart, the mended stand-in apart, which begins anew.
	in.kill()
	in.start()
	if f := c.finding("links.dead"); f.State != "fixed" {
		t.Errorf("after a kill the finding is %s", f.State)
	}
	in.verify()
	bundles(t, in)
}

// bundles exports the clauses that running code answers, and lets an outsider judge.
func bundles(t *testing.T, in *instance) {
	t.Helper()
	within(t, 30*time.Second, "records of the demonstration", func() bool { return in.verify().Records > 20 })
	for _, clause := range []string{"mps82-8-2", "mps82-13", "mps82-14-1", "govqa-9b"} {
		file := in.file(clause + ".bundle")
		in.must(nil, clean, "export", "clause", clause, "--out", file)
		check := func(codes int, what string, args ...string) result {
			r := run(t, "garrison-verify", append(args, file)...)
			if r.code != codes {
				t.Errorf("%s, %s: exit %d, want %d\n%s%s", clause, what, r.code, codes, r.out, r.err)
			}
			return r
		}
		check(0, "as it is", "--key", in.ready.PublicKey)
		if r := check(3, "without the key"); !strings.Contains(r.out+r.err, "origin not checked") {
			t.Errorf("%s without the key: %s%s", clause, r.out, r.err)
		}
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		step := 37
		if testing.Short() {
			step = len(raw)/20 + 1
		}
		n, silent := 0, 0
		for at := 0; at < len(raw); at += step {
			bad := bytes.Clone(raw)
			bad[at] ^= 0x20
			if err := os.WriteFile(file, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			r := run(t, "garrison-verify", "--key", in.ready.PublicKey, file)
			if n++; r.code != 1 || strings.TrimSpace(r.out+r.err) == "" {
				if silent++; silent <= 3 {
					t.Errorf("%s with byte %d of %d altered: exit %d %s%s", clause, at, len(raw), r.code, r.out, r.err)
				}
			}
		}
		if err := os.WriteFile(file, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		d := in.duty(clause)
		t.Logf("%s: %s (%s); bundle of %d bytes, %d altered bytes refused, %d not", clause, d.Standing, d.Why, len(raw), n-silent, silent)
	}
}

func TestDemonstrationIsRemovedInOneCommand(t *testing.T) {
	in := up(t)
	in.must(nil, clean, "demo")
	if r := in.garrison("demo"); r.code != 1 || !strings.Contains(r.err, "empty") {
		t.Errorf("filled twice: exit %d %s", r.code, r.err)
	}
	if len(in.register("")) < 10 {
		t.Error("the demonstration entered next to nothing")
	}
	stored := func() (n int64) {
		for _, s := range in.sources().Sources {
			n += s.Stored
		}
		return n
	}
	within(t, 20*time.Second, "records of the demonstration", func() bool { return stored() > 10 })
	in.must(nil, clean, "demo", "remove")
	gone := func(when string) {
		t.Helper()
		var f client.Findings
		in.must(&f, clean, "findings", "list")
		var k client.Cases
		in.must(&k, clean, "cases", "list")
		if s := in.register(""); len(s) > 0 || len(f.Findings) > 0 || len(k.Cases) > 0 {
			t.Errorf("%s %d subjects, %d findings, %d cases are left: %v", when, len(s), len(f.Findings), len(k.Cases), fmt.Sprint(s, f, k))
		}
		var p client.Profile
		in.must(&p, clean, "profile", "show")
		if p.Set {
			t.Errorf("%s the profile is still %+v", when, p)
		}
		in.verify()
	}
	gone("after the removal")
	n := stored()
	in.stop()
	in.start()
	gone("after a restart")
	if got := stored(); got != n {
		t.Errorf("records are removed by retention alone; there were %d, there are %d", n, got)
	}
	in.must(nil, clean, "demo") // an empty installation can be filled again
}

func TestKeysElsewhereAreNeverMadeAnew(t *testing.T) {
	keys := filepath.Join(t.TempDir(), "keys")
	in := up(t, "--keys", keys)
	in.verify()
	in.stop()
	in.verify()
	if err := os.Rename(keys, keys+".away"); err != nil {
		t.Fatal(err)
	}
	if r := in.garrison("verify"); r.code == 0 {
		t.Errorf("verify without the keys: exit %d %s", r.code, r.out)
	}
	in.launch()
	<-in.done
	if code := in.cmd.ProcessState.ExitCode(); code == 0 || !strings.Contains(in.err.String(), keys) {
		t.Errorf("a start without the keys: exit %d %s", code, in.err)
	}
	in.cmd = nil
}
