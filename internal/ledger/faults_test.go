package ledger

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestKilledOrFailedAtSystemCalls runs the appending program under strace, which kills
// it at the N-th call of a kind or makes that call fail; then the verifier and the next
// start judge what is on disk. GARRISON_SWEEP=1 tries every N up to 120.
func TestKilledOrFailedAtSystemCalls(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("strace is not installed")
		}
		t.Skip("strace is not installed")
	}
	step := 23
	if os.Getenv("GARRISON_SWEEP") != "" {
		step = 1
	}
	cases := 0
	for _, fault := range []string{"signal=KILL", "error=EIO", "error=ENOSPC"} {
		for _, call := range []string{"renameat", "fsync", "write"} {
			for n := 1 + step/2; n <= 120; n += step {
				name := fmt.Sprintf("%s at %s %d", fault, call, n)
				sweepOnce(t, name, strace, fmt.Sprintf("%s:%s:when=%d", call, fault, n))
				cases++
			}
		}
	}
	if cases < 40 {
		t.Errorf("%d cases, expected at least 40", cases)
	}
}

func sweepOnce(t *testing.T, name, strace, inject string) {
	t.Helper()
	cfg := testConfig(t)
	call, _, _ := strings.Cut(inject, ":")
	cmd := exec.CommandContext(t.Context(), strace, "-f", "-qqq", "-o", "/dev/null", "-e", "trace="+call,
		"-e", "inject="+inject, os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), killedDir+"="+filepath.Dir(cfg.Dir), killedAfter+"=40")
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run() // killed, stopped by the fault, or done
	// The runtime wakes itself by a write too, and ends when that one is made to fail.
	if strings.Contains(errs.String(), "goroutine ") && !strings.Contains(errs.String(), "netpollBreak write failed") {
		t.Errorf("%s: the program panicked (%v): %s", name, err, errs.String())
	}
	acknowledged := readAcknowledged(out.String())
	began := time.Now()
	l, err := New(cfg, testDeps(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Start(t.Context()); err != nil {
		t.Errorf("%s: start: %v", name, err)
		return
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("%s: start took %v", name, took)
	}
	checkAcknowledged(t, l, acknowledged)
	stop(t, l)
	damages, _ := damagesOf(t, cfg)
	for _, d := range damages {
		t.Errorf("%s: verification found %+v", name, d)
	}
}
