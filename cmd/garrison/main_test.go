package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"garrison/internal/daemon"
	"garrison/internal/testkit/natlines"
)

// The scripts run the program as processes of its own, on real sockets.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"garrison": main})
}

func TestScripts(t *testing.T) {
	files, err := os.ReadDir("testdata/script")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 8 {
		t.Fatalf("%d scripts, expected at least 8", len(files))
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("GARRISON_DATA", e.WorkDir+"/data")
			e.Setenv("LANG", "en_US.UTF-8")
			e.Setenv("TZ", "Asia/Shanghai")
			return nil
		},
		Condition: func(c string) (bool, error) {
			if c == "root" {
				return os.Getuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %q", c)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":     cmdExits,
			"waitready": cmdWaitReady,
			"waitcount": cmdWaitCount,
			"json":      cmdJSON,
			"syslog":    cmdSyslog,
			"natlines":  cmdNatLines,
			"listen":    cmdListen,
			"site":      cmdSite,
			"server":    cmdServer,
			"flip":      cmdFlip,
		},
	})
}

// exits CODE COMMAND… runs a command that must end with that very code.
func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND…")
	}
	code := 0
	err := ts.Exec(args[1], args[2:]...)
	var e *exec.ExitError
	if errors.As(err, &e) {
		code = e.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if want, err := strconv.Atoi(args[0]); err != nil || code != want {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// waitready FILE waits for the ready file of a starting instance.
func cmdWaitReady(ts *testscript.TestScript, _ bool, args []string) {
	waitFor(ts, func() bool {
		raw, err := os.ReadFile(ts.MkAbs(args[0]))
		return err == nil && json.Valid(raw)
	})
}

func waitFor(ts *testscript.TestScript, ok func() bool) {
	for deadline := time.Now().Add(60 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			ts.Fatalf("waited too long")
		}
	}
}

// waitcount SOURCE-PATTERN N waits until a source has N lines stored and refused.
func cmdWaitCount(ts *testscript.TestScript, _ bool, args []string) {
	pattern := regexp.MustCompile(args[0])
	want, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	waitFor(ts, func() bool {
		ts.Check(ts.Exec("garrison", "sources", "list", "--json"))
		var s struct {
			Sources []struct {
				Name, Kind      string
				Stored, Refused int64
			}
		}
		ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &s))
		var n int64
		for _, x := range s.Sources {
			if pattern.MatchString(x.Kind) {
				n += x.Stored + x.Refused
			}
		}
		return n == want
	})
}

// json PATH WANT looks into the last standard output; count is a list's length.
func cmdJSON(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: json PATH WANT")
	}
	var v any
	dec := json.NewDecoder(strings.NewReader(ts.ReadFile("stdout")))
	dec.UseNumber()
	ts.Check(dec.Decode(&v))
	if _, err := dec.Token(); err != io.EOF {
		ts.Fatalf("more than one value on standard output")
	}
	for _, step := range strings.Split(args[0], ".") {
		switch x := v.(type) {
		case map[string]any:
			got, ok := x[step]
			if !ok {
				ts.Fatalf("no %q in %v", step, x)
			}
			v = got
		case []any:
			if step == "count" {
				v = len(x)
				break
			}
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(x) {
				ts.Fatalf("no element %q of %d", step, len(x))
			}
			v = x[i]
		default:
			ts.Fatalf("%q: cannot look into %v", step, v)
		}
	}
	if got := fmt.Sprint(v); regexp.MustCompile("^(?:"+args[1]+")$").MatchString(got) == neg {
		ts.Fatalf("%s is %q, want %q", args[0], got, args[1])
	}
}

// syslog udp|tcp FILE sends the lines of a file to the instance on data/.
func cmdSyslog(ts *testscript.TestScript, _ bool, args []string) {
	raw, err := os.ReadFile(daemon.ReadyPath(ts.MkAbs("data")))
	ts.Check(err)
	var r daemon.Ready
	ts.Check(json.Unmarshal(raw, &r))
	conn, err := net.Dial(args[0], r.Listeners["syslog_"+args[0]])
	ts.Check(err)
	defer conn.Close()
	text := ts.ReadFile(args[1])
	if args[0] == "udp" {
		for line := range strings.Lines(text) {
			_, err := io.WriteString(conn, strings.TrimSuffix(line, "\n"))
			ts.Check(err)
		}
		return
	}
	_, err = io.WriteString(conn, text)
	ts.Check(err)
	ts.Check(conn.(*net.TCPConn).CloseWrite())
	_, err = io.Copy(io.Discard, conn) // the server commits, then closes
	ts.Check(err)
}

// natlines N FILE writes generated lines of three dialects, one in 50 not a translation.
func cmdNatLines(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	var b bytes.Buffer
	for _, l := range natlines.New(natlines.Options{Seed: 1, Noise: 50, Start: time.Now().Add(-time.Duration(n) * time.Millisecond)}).Fill(n) {
		b.WriteString(l.Text + "\n")
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), b.Bytes(), 0o600))
}

// listen NAME takes a port and puts its address into $NAME.
func cmdListen(ts *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	ts.Setenv(args[0], l.Addr().String())
}

// site NAME serves a page with a link that works and one that does not.
func cmdSite(ts *testscript.TestScript, _ bool, args []string) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		dead := ""
		if len(args) > 1 {
			dead = `<a href="/gone">gone</a>`
		}
		fmt.Fprint(w, `<html><title>t</title><a href="/good">good</a>`+dead)
	})
	mux.HandleFunc("GET /good", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "good") })
	s := httptest.NewServer(mux)
	ts.Defer(s.Close)
	ts.Setenv(args[0], s.URL+"/")
}

// server NAME puts the address of the instance on data/ into $NAME.
func cmdServer(ts *testscript.TestScript, _ bool, args []string) {
	raw, err := os.ReadFile(daemon.ReadyPath(ts.MkAbs("data")))
	ts.Check(err)
	var r daemon.Ready
	ts.Check(json.Unmarshal(raw, &r))
	ts.Setenv(args[0], r.Console)
}

// flip DIR turns one bit in the middle of the largest data file below a directory.
func cmdFlip(ts *testscript.TestScript, _ bool, args []string) {
	var largest string
	var size int64
	ts.Check(filepath.WalkDir(ts.MkAbs(args[0]), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		st, err := e.Info()
		if err == nil && st.Size() > size {
			largest, size = path, st.Size()
		}
		return err
	}))
	raw, err := os.ReadFile(largest)
	ts.Check(err)
	raw[len(raw)/2] ^= 1
	ts.Check(os.WriteFile(largest, raw, 0o600))
	ts.Logf("flipped a bit of %s", largest)
}
