package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"garrison/client"
	"garrison/evidence"
	"garrison/internal/testkit/natlines"
)

// The addresses that our senders send from: one a transport, so that each has its own
// account.
const (
	overTCP = "127.0.0.21"
	overUDP = "127.0.0.22"
)

func TestReadyFileHoldsWhatScriptsNeed(t *testing.T) {
	in := up(t)
	for _, key := range []string{"console", "api", "token_file", "public_key_file", "listeners"} {
		if len(in.raw[key]) == 0 {
			t.Errorf("no %q in the ready file", key)
		}
	}
	for _, name := range []string{"syslog_udp", "syslog_tcp"} {
		if _, port, err := net.SplitHostPort(in.ready.Listeners[name]); err != nil || port == "0" {
			t.Errorf("listener %s is %q", name, in.ready.Listeners[name])
		}
	}
	if !strings.HasPrefix(in.ready.Console, "https://localhost:") || in.ready.API != in.ready.Console+"/api" {
		t.Errorf("console %q, api %q", in.ready.Console, in.ready.API)
	}
	for file, mode := range map[string]os.FileMode{in.ready.Token: 0o600, in.file("secret"): 0o600, in.ready.PublicKey: 0o644} {
		st, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if st.Size() == 0 || st.Mode().Perm()&^mode != 0 {
			t.Errorf("%s has %d bytes and mode %04o", file, st.Size(), st.Mode().Perm())
		}
	}
	secret, err := os.ReadFile(in.file("secret"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{in.ready.Console, strings.TrimSpace(string(secret)), "SHA-256"} {
		if !strings.Contains(in.out.String(), want) {
			t.Errorf("the terminal does not show %q:\n%s", want, in.out)
		}
	}
	if strings.Contains(in.err.String(), strings.TrimSpace(string(secret))) {
		t.Error("the secret stands in the log")
	}

	// The same secret is good after a restart, as long as nobody has used it.
	in.stop()
	if r := in.garrison("sources", "list"); r.code != 3 || !strings.Contains(r.err, "garrison up") {
		t.Errorf("asked while it does not run: exit %d %s", r.code, r.err)
	}
	in.start()
	again, err := os.ReadFile(in.file("secret"))
	if err != nil || string(again) != string(secret) {
		t.Errorf("after a restart the secret is another one (%v)", err)
	}
}

func TestLinesOfThreeDialectsAreStoredAndTraced(t *testing.T) {
	rnd := seeded(t)
	n := 100_000
	if testing.Short() {
		n = 10_000
	}
	in := up(t)
	in.must(nil, clean, "register", "add", "line", "--name", "Line Seven", "--number", "TX-7", "--inside", "100.64.0.7")
	step := time.Millisecond
	g := natlines.New(natlines.Options{Seed: rnd.Uint64(), Start: time.Now().Add(-time.Duration(n) * step), Step: step, Noise: 400})
	lines := g.Fill(n)
	byTools, rest := lines[:0:0], lines[n/50:]
	for _, l := range lines[:n/50] { // one family is what the machine's own tools can say
		if strings.Contains(l.Text, " conntrack: ") {
			byTools = append(byTools, l)
		} else {
			rest = append(rest, l)
		}
	}
	tools := bySyslogTools(t, in, byTools)
	split := len(rest) * 7 / 10
	began := time.Now()
	if err := sendTCP(in.ready.Listeners["syslog_tcp"], rest[:split]); err != nil {
		t.Fatal(err)
	}
	if err := sendUDP(in.ready.Listeners["syslog_udp"], rest[split:]); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d lines written over TCP and UDP in %s", len(rest), time.Since(began).Round(time.Millisecond))

	want := map[string]int{"tcp": split, "udp": len(rest) - split, "tools": tools}
	got := map[string]client.Source{}
	count := func() bool {
		got = map[string]client.Source{}
		for _, s := range in.sources().Sources {
			switch s.ID {
			case "syslog:" + overTCP:
				got["tcp"] = s
			case "syslog:" + overUDP:
				got["udp"] = s
			case "syslog:127.0.0.1":
				got["tools"] = s
			}
		}
		for name, n := range want {
			if s := got[name]; s.Stored+s.Refused+max(s.Lost, 0) < int64(n) {
				return false
			}
		}
		return true
	}
	for end := time.Now().Add(time.Minute); !count() && time.Now().Before(end); {
		time.Sleep(100 * time.Millisecond)
	}
	for name, n := range want {
		s := got[name]
		t.Logf("%s: sent %d, stored %d, refused %d, lost %d", name, n, s.Stored, s.Refused, s.Lost)
		if s.Stored+s.Refused+s.Lost != int64(n) || name != "udp" && s.Lost != 0 {
			t.Errorf("%s: sent %d, stored %d + refused %d + lost %d = %d", name, n, s.Stored, s.Refused, s.Lost, s.Stored+s.Refused+s.Lost)
		}
	}
	noise := 0
	for _, l := range rest[:split] {
		if l.Refused {
			noise++
		}
	}
	if s := got["tcp"]; s.Refused != int64(noise) {
		t.Errorf("over TCP %d lines tell of no translation, %d were refused", noise, s.Refused)
	}

	known := slices.DeleteFunc(append(slices.Clone(rest[:split]), byTools[:tools]...), func(l natlines.Line) bool { return l.Refused })
	rnd.Shuffle(len(known), func(i, j int) { known[i], known[j] = known[j], known[i] })
	traceAll(t, in, known[:200])
	traceByCommand(t, in, known[0].Want)
	traceRegistered(t, in, known)
	in.verify()
	in.stop()
	v := in.verify()
	if sum := got["tcp"].Stored + got["udp"].Stored + got["tools"].Stored; v.Records != sum {
		t.Errorf("the sources stored %d records, verify counts %d", sum, v.Records)
	}
	in.start()
	t.Logf("start with %d records: %s", v.Records, in.took.Round(time.Millisecond))
	traceAll(t, in, known[200:250])
}

func sendTCP(to string, lines []natlines.Line) error {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(overTCP)}}
	conn, err := d.Dial("tcp", to)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(conn)
	for i, l := range lines {
		if i%2 == 0 { // both framings of RFC 6587, line by line
			fmt.Fprintf(w, "%d %s", len(l.Text), l.Text)
		} else {
			fmt.Fprintf(w, "%s\n", l.Text)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	// The server commits, then closes: what it has closed on is on disk.
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("after our end of stream the server did not close: %v", err)
	}
	return conn.Close()
}

func sendUDP(to string, lines []natlines.Line) error {
	d := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(overUDP)}}
	conn, err := d.Dial("udp", to)
	if err != nil {
		return err
	}
	defer conn.Close()
	for i, l := range lines {
		if _, err := conn.Write([]byte(l.Text)); err != nil {
			return err
		}
		if i%200 == 199 {
			time.Sleep(2 * time.Millisecond) // a device's pace; what the kernel drops even so is counted as lost
		}
	}
	return nil
}

// bySyslogTools sends lines through the machine's own programs, where there are any,
// and returns how many.
func bySyslogTools(t *testing.T, in *instance, lines []natlines.Line) int {
	t.Helper()
	logger, err := exec.LookPath("logger")
	if err != nil {
		t.Log("SKIPPED: no logger(1) on this machine")
		return 0
	}
	bodies := make([]string, 0, len(lines)) // without the header that logger writes itself
	for _, l := range lines {
		_, body, _ := strings.Cut(l.Text, " conntrack: ")
		bodies = append(bodies, body)
	}
	third := len(bodies) / 3
	file := func(name string, lines []string) string {
		path := in.file(name)
		if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	_, port, _ := net.SplitHostPort(in.ready.Listeners["syslog_tcp"])
	call := func(args ...string) {
		if out, err := exec.Command(logger, args...).CombinedOutput(); err != nil {
			t.Fatalf("logger %v: %v\n%s", args, err, out)
		}
	}
	call("--tcp", "--server", "127.0.0.1", "--port", port, "--tag", "conntrack", "--file", file("a", bodies[:third]))
	call("--tcp", "--octet-count", "--rfc3164", "--server", "127.0.0.1", "--port", port, "--tag", "conntrack", "--file", file("b", bodies[third:2*third]))
	if !throughRsyslog(t, in, logger, file("c", bodies[2*third:])) {
		return 2 * third
	}
	return len(bodies)
}

// throughRsyslog sends the lines of a file to a relay as operators run it.
func throughRsyslog(t *testing.T, in *instance, logger, file string) bool {
	t.Helper()
	rsyslogd, err := exec.LookPath("rsyslogd")
	if err != nil {
		if _, err = os.Stat("/usr/sbin/rsyslogd"); err != nil {
			t.Log("SKIPPED: no rsyslogd on this machine")
			return false
		}
		rsyslogd = "/usr/sbin/rsyslogd"
	}
	dir, err := os.MkdirTemp("", "rs") // a socket's name must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	host, port, _ := net.SplitHostPort(in.ready.Listeners["syslog_tcp"])
	conf := fmt.Sprintf(`global(workDirectory=%q)
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket=%q RateLimit.Interval="0" CreatePath="on")
action(type="omfwd" target=%q port=%q protocol="tcp" TCP_Framing="octet-counted" action.resumeRetryCount="-1")
`, dir, filepath.Join(dir, "log"), host, port)
	if err := os.WriteFile(filepath.Join(dir, "conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, rsyslogd, "-n", "-f", filepath.Join(dir, "conf"), "-i", filepath.Join(dir, "pid"))
	var out output
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = cmd.Wait() })
	within(t, 20*time.Second, "rsyslogd listens", func() bool {
		_, err := os.Stat(filepath.Join(dir, "log"))
		return err == nil
	})
	if got, err := exec.Command(logger, "--socket", filepath.Join(dir, "log"), "--tag", "conntrack", "--file", file).CombinedOutput(); err != nil {
		t.Fatalf("logger to rsyslogd: %v\n%s%s", err, got, &out)
	}
	return true
}

// traceAll asks who had what, and demands the right inside end with its proof.
func traceAll(t *testing.T, in *instance, lines []natlines.Line) {
	t.Helper()
	api := in.api()
	var took []time.Duration
	for _, l := range lines {
		var ans client.Answer
		var c *client.Candidate
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
			began := time.Now()
			ans = trace(t, api, l.Want)
			took = append(took, time.Since(began))
			if c = match(ans, l.Want); c != nil && c.Evidence != nil || time.Now().After(end) {
				break
			}
		}
		switch {
		case c == nil:
			t.Errorf("nobody found for\n%s\n%+v", l.Text, ans)
		case c.Evidence == nil:
			t.Errorf("no evidence for\n%s", l.Text)
		case c.Device != l.Want.Device && !strings.Contains(l.Text, " conntrack: "): // logger puts its own host name there
			t.Errorf("device %q, want %q, for\n%s", c.Device, l.Want.Device, l.Text)
		case len(c.Why) == 0:
			t.Errorf("no reason for\n%s", l.Text)
		}
	}
	slices.Sort(took)
	t.Logf("trace over HTTPS, %d questions: median %s, 99th of 100 %s, longest %s", len(took), took[len(took)/2].Round(10*time.Microsecond),
		took[len(took)*99/100].Round(10*time.Microsecond), took[len(took)-1].Round(10*time.Microsecond))
	if took[len(took)-1] > 5*time.Second {
		t.Errorf("a trace took %s", took[len(took)-1])
	}
}

func protoName(p uint8) string {
	if p == 17 {
		return "udp"
	}
	return "tcp"
}

// moment is one at which the mapping stood.
func moment(w evidence.NAT) time.Time {
	if w.Flags&evidence.NATStartUnknown != 0 {
		return time.UnixMilli(w.End)
	}
	return time.UnixMilli(w.Start)
}

func trace(t *testing.T, api *client.Client, w evidence.NAT) client.Answer {
	t.Helper()
	ans, err := api.Trace(context.Background(), w.OutsideIP.String(), strconv.Itoa(int(w.OutsidePort)), protoName(w.Proto),
		moment(w).UTC().Format(time.RFC3339Nano), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return ans
}

func match(ans client.Answer, w evidence.NAT) *client.Candidate {
	for i := range ans.Candidates {
		c := &ans.Candidates[i]
		if c.InsideIP == w.InsideIP.String() && c.InsidePort == w.InsidePort {
			return c
		}
	}
	return nil
}

// traceByCommand asks as a person does, in the zone of Shanghai.
func traceByCommand(t *testing.T, in *instance, w evidence.NAT) {
	t.Helper()
	var ans client.Answer
	began := time.Now()
	in.must(&ans, clean, "trace", "--ip", w.OutsideIP.String(), "--port", strconv.Itoa(int(w.OutsidePort)), "--proto", protoName(w.Proto),
		"--at", moment(w).In(time.FixedZone("CST", 8*3600)).Format("2006-01-02T15:04:05.000-07:00"), "--skew", "5s")
	t.Logf("garrison trace, program start included: %s", time.Since(began).Round(time.Millisecond))
	if match(ans, w) == nil {
		t.Errorf("garrison trace does not find %+v: %+v", w, ans)
	}
	var none client.Answer
	in.must(&none, clean, "trace", "--ip", "192.0.2.1", "--port", "9", "--at", time.Now().Add(-72*time.Hour).Format(time.RFC3339))
	if len(none.Candidates) > 0 || none.Coverage.Complete || none.Coverage.Records > 0 || len(none.Coverage.Gaps) == 0 {
		t.Errorf("of a day before the installation it says %+v", none)
	}
}

// traceRegistered asks for a translation of the one line that the register knows.
func traceRegistered(t *testing.T, in *instance, lines []natlines.Line) {
	t.Helper()
	for _, l := range lines {
		if l.Want.InsideIP.String() != "100.64.0.7" {
			continue
		}
		if c := match(trace(t, in.api(), l.Want), l.Want); c == nil || c.Line != "TX-7" {
			t.Errorf("the line of 100.64.0.7 is not named: %+v", c)
		}
		return
	}
	t.Log("no translation of the registered line this time")
}
