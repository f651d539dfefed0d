package ledger

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"garrison"
	"garrison/evidence"

	"github.com/google/go-cmp/cmp"
)

// causes returns what a list of gaps comes to.
func causes(gaps []garrison.Gap) []string {
	var all []string
	for _, g := range gaps {
		all = append(all, fmt.Sprintf("%s %v", g.Cause, g.Until.Sub(g.From).Round(time.Minute)))
	}
	return all
}

func TestGapsSayWhenAndWhyNobodyWatched(t *testing.T) {
	cfg := testConfig(t)
	c := &clock{}
	deps := testDeps(t)
	deps.Now = c.now
	begin := c.now()
	c.advance(30 * time.Minute)

	l := start(t, cfg, deps)
	stop(t, l)
	c.advance(10 * time.Minute)
	l = start(t, cfg, deps)
	c.advance(time.Minute)
	beatNow(t, l)
	fill(t, l, 600) // the last beat lies some bundles back
	crash(t, l)
	c.advance(20 * time.Minute)
	l = start(t, cfg, deps)
	c.advance(time.Minute)
	beatNow(t, l)
	c.advance(5 * time.Minute) // held up
	beatNow(t, l)
	c.advance(time.Minute)
	beatNow(t, l)

	want := []string{"not_installed 30m0s", "stopped 10m0s", "crashed 20m0s", "silent 5m0s"}
	whole := garrison.Period{From: begin}
	gaps, err := l.Gaps(t.Context(), whole)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, causes(gaps)); diff != "" {
		t.Errorf("gaps of the running life (-want +got):\n%s", diff)
	}

	// The next life knows the same from the log alone.
	stop(t, l)
	l = start(t, cfg, deps)
	gaps, err = l.Gaps(t.Context(), whole)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, causes(gaps)[:4]); diff != "" {
		t.Errorf("gaps of the next life (-want +got):\n%s", diff)
	}
	part := garrison.Period{From: gaps[1].From.Add(time.Minute), Until: gaps[1].From.Add(3 * time.Minute)}
	gaps, err = l.Gaps(t.Context(), part)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"stopped 2m0s"}, causes(gaps)); diff != "" {
		t.Errorf("gaps cut to a period (-want +got):\n%s", diff)
	}
	mustBeClean(t, cfg)
}

func TestSilenceNowIsAGap(t *testing.T) {
	c := &clock{}
	deps := testDeps(t)
	deps.Now = c.now
	l := start(t, testConfig(t), deps)
	from := c.now()
	c.advance(10 * time.Minute)
	gaps, err := l.Gaps(t.Context(), garrison.Period{From: from})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"silent 10m0s"}, causes(gaps)); diff != "" {
		t.Errorf("gaps (-want +got):\n%s", diff)
	}
}

func TestClockSetBackNeitherHidesAStopNorEndsBeforeItBegins(t *testing.T) {
	cfg := testConfig(t)
	c := &clock{}
	deps := testDeps(t)
	deps.Now = c.now
	l := start(t, cfg, deps)
	stop(t, l)
	c.advance(-time.Hour)
	l = start(t, cfg, deps)
	c.advance(2 * time.Hour)
	for _, g := range l.life.gaps {
		if g.Until.Before(g.From) {
			t.Errorf("gap %+v ends before it begins", g)
		}
	}
	if len(l.life.gaps) != 1 {
		t.Errorf("%d gaps on record, expected the stop", len(l.life.gaps))
	}
}

func beatNow(t *testing.T, l *Ledger) {
	t.Helper()
	if err := l.enterBeat(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestBeatsCarryTheirWindowAndWhatTheDaemonSays(t *testing.T) {
	cfg := testConfig(t)
	cfg.Beat = 100 * time.Millisecond
	deps := testDeps(t)
	deps.Beat = func() []evidence.Field {
		return []evidence.Field{{Name: "listener", Value: "syslog_udp"}, {Name: "to", Value: "a lie"}}
	}
	l := start(t, cfg, deps)
	var beats []evidence.Entry
	await(t, "two beats", func() bool {
		beats = nil
		err := l.Scan(t.Context(), 0, func(_ uint64, raw []byte) error {
			if e, ok := lifeEntry(raw); ok && e.Type == evidence.TypeBeat {
				beats = append(beats, e)
			}
			return nil
		})
		return err == nil && len(beats) >= 2
	})
	if beats[1].Get("from") != beats[0].Get("to") || beats[0].Get("listener") != "syslog_udp" || len(beats[0].All("to")) != 1 {
		t.Errorf("beats %+v", beats[:2])
	}
}

// The test binary itself is the program that is killed: with this variable set it
// appends to a ledger and prints every entry that was acknowledged.
const (
	killedDir   = "GARRISON_LEDGER_TEST_DIR"
	killedAfter = "GARRISON_LEDGER_TEST_APPENDS" // it ends by itself after as many; empty: never
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(killedDir); dir != "" {
		appendUntilKilled(dir)
		return
	}
	os.Exit(m.Run())
}

func TestKilledAtRandomLosesNothingAcknowledged(t *testing.T) {
	const rounds = 12
	cfg := testConfig(t)
	acknowledged := map[uint64]string{}
	for round := range rounds {
		for index, number := range killOnce(t, cfg, time.Duration(20+37*round)*time.Millisecond) {
			acknowledged[index] = number
		}
		began := time.Now()
		l := start(t, cfg, testDeps(t))
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("round %d: start took %v", round, took)
		}
		checkAcknowledged(t, l, acknowledged)
		stop(t, l)
		mustBeClean(t, cfg)
	}
	if len(acknowledged) < 50 {
		t.Errorf("only %d entries were acknowledged in %d rounds", len(acknowledged), rounds)
	}
}

func checkAcknowledged(t *testing.T, l *Ledger, acknowledged map[uint64]string) {
	t.Helper()
	for index, number := range acknowledged {
		raw, err := l.Entry(t.Context(), index)
		if err != nil {
			t.Fatalf("acknowledged entry %d: %v", index, err)
		}
		if e, err := evidence.ParseEntry(raw); err != nil || e.Get("number") != number {
			t.Fatalf("entry %d is %q, acknowledged was number %s", index, raw, number)
		}
	}
}

// killOnce runs the appending program and kills it some time after its first word.
func killOnce(t *testing.T, cfg Config, after time.Duration) map[uint64]string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), killedDir+"="+filepath.Dir(cfg.Dir))
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "the first checkpoint", func() bool {
		_, err := os.Stat(filepath.Join(cfg.Dir, "checkpoint"))
		return err == nil
	})
	time.Sleep(after) // the moment of the kill is meant to be arbitrary
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // says that it was killed
	if strings.Contains(errs.String(), "panic") {
		t.Errorf("the program said: %s", errs.String())
	}
	return readAcknowledged(out.String())
}

// readAcknowledged reads what the appending program printed, but for a torn last line.
func readAcknowledged(out string) map[uint64]string {
	got := map[uint64]string{}
	for line := range strings.Lines(out) {
		var index uint64
		var number string
		if n, err := fmt.Sscanf(line, "%d %s\n", &index, &number); err == nil && n == 2 && strings.HasSuffix(line, "\n") {
			got[index] = number
		}
	}
	return got
}
