package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"garrison/client"
)

// startLimit is how long a start may take until everything listens, whatever was
// left behind by the life before (issue 2, "start-up under 10 s").
const startLimit = 10 * time.Second

// programs is the directory of the two programs under test.
var programs string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "garrison-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // some programs are run as another user
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	build := exec.Command("go", "build", "-o", dir+"/", "garrison/cmd/garrison", "garrison/cmd/garrison-verify")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the programs: %v\n%s", err, out)
		return 1
	}
	programs = dir
	return m.Run()
}

// seeded returns the randomness of a test, and says how to repeat it.
func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("GARRISON_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("GARRISON_SEED: %v", err)
		}
		seed = n
	}
	t.Logf("GARRISON_SEED=%d repeats the choices of this run", seed)
	return rand.New(rand.NewPCG(seed, 2))
}

// missing ends a test for want of something on this machine.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is missing and CI is set", what)
	}
	t.Skipf("%s is missing", what)
}

// within polls until ok, and fails the test when that takes too long.
func within(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %s", what, limit)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// environment is that of a stranger: nothing of ours in it.
func environment() []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "GARRISON_") && !strings.HasPrefix(e, "LC_") && !strings.HasPrefix(e, "LANG") {
			env = append(env, e)
		}
	}
	return append(env, "LANG=en_US.UTF-8", "GOTRACEBACK=all")
}

// output of a program that may still be running.
type output struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// result is what a program came to.
type result struct {
	out, err string
	code     int
}

// run runs a program to its end.
func run(t testing.TB, program string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(programs, program), args...)
	return finish(t, cmd)
}

func finish(t testing.TB, cmd *exec.Cmd) result {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = environment(), &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%v: %v", cmd.Args, err)
	}
	r := result{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
	if r.code < 0 || strings.Contains(r.err, "goroutine ") {
		t.Errorf("%v ended with %s:\n%s", cmd.Args, cmd.ProcessState, r.err)
	}
	return r
}

// ready is the object of the ready file, by the names of the contract.
type ready struct {
	Console   string            `json:"console"`
	API       string            `json:"api"`
	Token     string            `json:"token_file"`
	PublicKey string            `json:"public_key_file"`
	CA        string            `json:"ca_file"`
	Listeners map[string]string `json:"listeners"`
	PID       int               `json:"pid"`
}

// instance is one installation; it lives and dies many times.
type instance struct {
	t        *testing.T
	data     string   // data directory
	files    string   // ready file and secret
	args     []string // how it is started
	cmd      *exec.Cmd
	done     chan struct{} // closed when cmd has ended
	out, err *output
	ready    ready
	raw      map[string]json.RawMessage // the ready file as it stands there
	took     time.Duration              // of the last start
}

// newInstance prepares an installation; args follow the flags every one gets.
func newInstance(t *testing.T, args ...string) *instance {
	t.Helper()
	dir := t.TempDir()
	in := &instance{t: t, data: filepath.Join(dir, "data"), files: dir}
	in.args = append([]string{"up", "--data", in.data, "--listen", "127.0.0.1:0"}, args...)
	t.Cleanup(func() {
		in.kill()
		if t.Failed() && in.err != nil {
			t.Logf("last words of the installation:\n%s", tail(in.err.String(), 4000))
		}
	})
	return in
}

func tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}

func up(t *testing.T, args ...string) *instance {
	t.Helper()
	in := newInstance(t, args...)
	in.start()
	return in
}

func (in *instance) file(name string) string { return filepath.Join(in.files, name) }

// launch starts the program and does not wait for it.
func (in *instance) launch() {
	in.t.Helper()
	if err := os.Remove(in.file("ready.json")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		in.t.Fatal(err)
	}
	args := append(append([]string(nil), in.args...), "--ready-file", in.file("ready.json"), "--admin-secret-file", in.file("secret"))
	cmd := exec.Command(filepath.Join(programs, "garrison"), args...)
	in.out, in.err = &output{}, &output{}
	cmd.Env, cmd.Stdout, cmd.Stderr = environment(), in.out, in.err
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		in.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	in.cmd, in.done = cmd, done
}

// start starts it and waits until it says that it is ready.
func (in *instance) start() {
	in.t.Helper()
	began := time.Now()
	in.launch()
	for !in.isReady() {
		select {
		case <-in.done:
			in.t.Fatalf("ended before it was ready: %s\n%s%s", in.cmd.ProcessState, in.out, in.err)
		case <-time.After(5 * time.Millisecond):
		}
		if time.Since(began) > startLimit {
			in.t.Fatalf("not ready within %s\n%s%s", startLimit, in.out, in.err)
		}
	}
	in.took = time.Since(began)
}

func (in *instance) isReady() bool {
	raw, err := os.ReadFile(in.file("ready.json"))
	if err != nil {
		return false
	}
	in.ready, in.raw = ready{}, nil
	if err := errors.Join(json.Unmarshal(raw, &in.ready), json.Unmarshal(raw, &in.raw)); err != nil {
		in.t.Fatalf("the ready file is there but cannot be read: %v\n%s", err, raw)
	}
	return true
}

// kill ends it at once, as a power cut would.
func (in *instance) kill() {
	if in.cmd == nil {
		return
	}
	_ = in.cmd.Process.Signal(syscall.SIGKILL) // may have ended by itself
	<-in.done
	in.cmd = nil
}

// stop asks it to end and demands that it does so in good order.
func (in *instance) stop() {
	in.t.Helper()
	if err := in.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		in.t.Fatalf("ask it to stop: %v", err)
	}
	select {
	case <-in.done:
	case <-time.After(time.Minute):
		in.t.Fatalf("does not stop within a minute\n%s", in.err)
	}
	if code := in.cmd.ProcessState.ExitCode(); code != 0 {
		in.t.Errorf("asked to stop, it ended with %d\n%s", code, tail(in.err.String(), 2000))
	}
	in.cmd = nil
}

// garrison runs a command on the installation.
func (in *instance) garrison(args ...string) result {
	in.t.Helper()
	return run(in.t, "garrison", append(args, "--data", in.data)...)
}

// must runs a command and decodes what it prints; any other exit code than the ones
// wanted fails the test.
func (in *instance) must(into any, codes []int, args ...string) result {
	in.t.Helper()
	r := in.garrison(append(args, "--json")...)
	if !has(codes, r.code) {
		in.t.Fatalf("garrison %s: exit %d, want one of %v\n%s%s", strings.Join(args, " "), r.code, codes, r.out, r.err)
	}
	if into != nil {
		if err := json.Unmarshal([]byte(r.out), into); err != nil {
			in.t.Fatalf("garrison %s: %v\n%s", strings.Join(args, " "), err, r.out)
		}
	}
	return r
}

func has(list []int, n int) bool {
	for _, x := range list {
		if x == n {
			return true
		}
	}
	return false
}

var clean = []int{0}

func (in *instance) sources() client.Sources {
	in.t.Helper()
	var s client.Sources
	in.must(&s, clean, "sources", "list")
	return s
}

func (in *instance) duty(id string) client.Duty {
	in.t.Helper()
	var all client.Duties
	in.must(&all, clean, "duties", "list")
	for _, d := range all.Duties {
		if d.ID == id {
			return d
		}
	}
	in.t.Fatalf("duties list does not know %s", id)
	return client.Duty{}
}

// verify demands that everything is as it was sealed.
func (in *instance) verify() client.Verification {
	in.t.Helper()
	var v client.Verification
	in.must(&v, clean, "verify")
	if !v.Clean || len(v.Damages) > 0 || len(v.CouldNot) > 0 {
		in.t.Fatalf("verify ended with 0 and says %+v", v)
	}
	return v
}

// api is a client with the local token.
func (in *instance) api() *client.Client {
	in.t.Helper()
	token, err1 := os.ReadFile(in.ready.Token)
	roots, err2 := os.ReadFile(in.ready.CA)
	if err := errors.Join(err1, err2); err != nil {
		in.t.Fatal(err)
	}
	c, err := client.New(client.Config{Server: in.ready.Console, Token: strings.TrimSpace(string(token)), Roots: roots, Lang: "en"})
	if err != nil {
		in.t.Fatal(err)
	}
	return c
}

// copyTree copies a directory, files and modes.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		at := filepath.Join(to, rel)
		if e.IsDir() {
			return os.MkdirAll(at, info.Mode().Perm())
		}
		src, err := os.Open(path)
		if err != nil {
			return err
		}
		defer src.Close()
		dst, err := os.OpenFile(at, os.O_CREATE|os.O_EXCL|os.O_WRONLY, info.Mode().Perm())
		if err != nil {
			return err
		}
		if _, err := io.Copy(dst, src); err != nil {
			return errors.Join(err, dst.Close())
		}
		return dst.Close()
	})
	if err != nil {
		t.Fatal(err)
	}
}
