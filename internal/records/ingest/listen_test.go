package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"garrison/evidence"
	"garrison/internal/records"
	"garrison/internal/testkit/natlines"
)

// memory is a store that keeps batches in memory, copied as the contract says.
type memory struct {
	mu      sync.Mutex // guards what follows
	nat     []evidence.NAT
	refused []records.Refusal
	by      map[string]*tally
	offers  int
	synced  int // lines that were offered before the last Sync
	block   chan struct{}
	fail    error
}

type tally struct{ stored, refused, lost int64 }

func newMemory() *memory { return &memory{by: map[string]*tally{}} }

func (m *memory) Append(_ context.Context, b *records.Batch) (records.Ack, error) {
	return records.Ack{}, m.Offer(b)
}

func (m *memory) Offer(b *records.Batch) error {
	m.mu.Lock()
	block, fail := m.block, m.fail
	m.mu.Unlock()
	if block != nil {
		<-block
	}
	if fail != nil {
		return fail
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.offers++
	m.nat = append(m.nat, b.NAT...)
	m.refused = append(m.refused, b.Refused...)
	t := m.by[b.Source.ID]
	if t == nil {
		t = &tally{}
		m.by[b.Source.ID] = t
	}
	t.stored += int64(len(b.NAT))
	t.refused += int64(len(b.Refused)) + b.MoreRefused
	t.lost += b.Lost
	return nil
}

func (m *memory) Sync(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.synced = 0
	for _, t := range m.by {
		m.synced += int(t.stored + t.refused)
	}
	return nil
}

func (m *memory) totals() (stored, refused, lost int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range m.by {
		stored, refused, lost = stored+t.stored, refused+t.refused, lost+t.lost
	}
	return
}

// await polls until ok or fails.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("gave up waiting for %s", what)
		}
	}
}

func start(t *testing.T, m *memory, change func(*Config, *Deps)) *Syslog {
	t.Helper()
	cfg := DefaultConfig()
	cfg.UDP, cfg.TCP = "127.0.0.1:0", "127.0.0.1:0"
	deps := Deps{Store: m}
	if change != nil {
		change(&cfg, &deps)
	}
	s, err := New(cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return s
}

func made(n, noise int) ([]string, int) {
	var out []string
	refused := 0
	for _, l := range natlines.New(natlines.Options{Seed: 11, Noise: noise}).Fill(n) {
		out = append(out, l.Text)
		if l.Refused {
			refused++
		}
	}
	return out, refused
}

// TestTCPCommitsThenCloses: when the sender has ended its stream, everything is
// durable before it sees the end of ours.
func TestTCPCommitsThenCloses(t *testing.T) {
	for _, framing := range []string{"lines", "counted", "mixed"} {
		t.Run(framing, func(t *testing.T) {
			m := newMemory()
			s := start(t, m, nil)
			lines, noise := made(20_000, 10)
			var b bytes.Buffer
			for i, l := range lines {
				if framing == "counted" || framing == "mixed" && i%3 == 0 {
					fmt.Fprintf(&b, "%d %s", len(l), l)
				} else {
					b.WriteString(l + "\n")
				}
			}
			if framing == "lines" {
				b.Truncate(b.Len() - 1) // the last line has no end
			}
			c, err := net.Dial("tcp", s.Addrs()["syslog_tcp"])
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := c.Write(b.Bytes()); err != nil {
				t.Fatal(err)
			}
			if err := c.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
				t.Fatalf("read %d bytes, err %v; want an orderly end", n, err)
			}
			m.mu.Lock()
			synced := m.synced
			m.mu.Unlock()
			stored, refused, _ := m.totals()
			if synced != len(lines) || stored != int64(len(lines)-noise) || refused != int64(noise) {
				t.Errorf("synced %d, stored %d, refused %d of %d lines with %d of noise", synced, stored, refused, len(lines), noise)
			}
			if m.by["syslog:127.0.0.1"] == nil {
				t.Errorf("sources %v", m.by)
			}
		})
	}
}

// TestTCPHandsOverWhileOpen: a line reaches the store although its connection stays
// open and silent.
func TestTCPHandsOverWhileOpen(t *testing.T) {
	m := newMemory()
	s := start(t, m, nil)
	c, err := net.Dial("tcp", s.Addrs()["syslog_tcp"])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	lines, _ := made(3, 0)
	fmt.Fprintf(c, "%s\n%s\n%s", lines[0], lines[1], lines[2][:20])
	await(t, "two lines", func() bool { n, _, _ := m.totals(); return n == 2 })
	fmt.Fprintf(c, "%s\n", lines[2][20:])
	await(t, "the third", func() bool { n, _, _ := m.totals(); return n == 3 })
}

func TestTCPLimits(t *testing.T) {
	m := newMemory()
	s := start(t, m, func(c *Config, _ *Deps) {
		c.MaxConns, c.MaxPerPeer, c.PartialLine, c.MaxLine = 2, 2, 50*time.Millisecond, 2048
	})
	addr := s.Addrs()["syslog_tcp"]
	dial := func() net.Conn {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	slow, other := dial(), dial()
	lines, _ := made(2, 0)
	fmt.Fprintln(other, lines[0])
	await(t, "the second connection", func() bool { n, _, _ := m.totals(); return n == 1 })
	fmt.Fprint(slow, "<14>never en")
	await(t, "the begun line to be refused", func() bool { _, n, _ := m.totals(); return n == 1 })
	if _, err := slow.Read(make([]byte, 1)); err == nil {
		t.Error("a connection that never ends its line stays open")
	}
	await(t, "a free place", func() bool {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return false
		}
		defer c.Close()
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		_, err = c.Read(make([]byte, 1))
		return errors.Is(err, os.ErrDeadlineExceeded) // admitted: nobody closed it
	})
	fmt.Fprintf(other, "<14>%s\n%s\n", strings.Repeat("y", 100_000), lines[1])
	await(t, "the line after the long one", func() bool { n, _, _ := m.totals(); return n == 2 })
	m.mu.Lock()
	defer m.mu.Unlock()
	last := m.refused[len(m.refused)-1]
	if last.Why != "too_long" || !strings.HasPrefix(last.Line, "<14>yyy") || len(last.Line) > 1100 {
		t.Errorf("refused %q: %.40q… (%d bytes)", last.Why, last.Line, len(last.Line))
	}
}

// TestTooManyConnections: the one beyond the limit is closed at once, the others work.
func TestTooManyConnections(t *testing.T) {
	m := newMemory()
	s := start(t, m, func(c *Config, _ *Deps) { c.MaxPerPeer = 1 })
	first, err := net.Dial("tcp", s.Addrs()["syslog_tcp"])
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	lines, _ := made(1, 0)
	fmt.Fprintln(first, lines[0])
	await(t, "the first line", func() bool { n, _, _ := m.totals(); return n == 1 })
	second, err := net.Dial("tcp", s.Addrs()["syslog_tcp"])
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if _, err := second.Read(make([]byte, 1)); err == nil {
		t.Error("the second connection was not closed")
	}
	fmt.Fprintln(first, lines[0])
	await(t, "the second line", func() bool { n, _, _ := m.totals(); return n == 2 })
}

// TestStopTakesInWhatArrived: lines that the kernel has when Stop is called are stored.
func TestStopTakesInWhatArrived(t *testing.T) {
	m := newMemory()
	cfg := DefaultConfig()
	cfg.UDP, cfg.TCP = "127.0.0.1:0", "127.0.0.1:0"
	s, err := New(cfg, Deps{Store: m})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	lines, _ := made(1000, 0)
	tcp, err := net.Dial("tcp", s.Addrs()["syslog_tcp"])
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	udp, err := net.Dial("udp", s.Addrs()["syslog_udp"])
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	for i, l := range lines {
		if fmt.Fprintln(tcp, l); i < 100 {
			fmt.Fprint(udp, l)
		}
	}
	fmt.Fprint(tcp, lines[0])
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // a stop that waits on and on is a fault
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if stored, refused, lost := m.totals(); stored != 1101 || refused != 0 || lost != 0 || m.synced != 1101 {
		t.Errorf("stored %d, refused %d, lost %d, synced %d; want 1101 stored", stored, refused, lost, m.synced)
	}
	if _, err := net.Dial("tcp", tcp.RemoteAddr().String()); err == nil {
		t.Error("still listening")
	}
}

// TestSlowStoreMakesTCPWait: with a store that takes nothing the sender is stopped,
// and nothing is missing afterwards.
func TestSlowStoreMakesTCPWait(t *testing.T) {
	m := newMemory()
	m.block = make(chan struct{})
	s := start(t, m, nil)
	lines, _ := made(60_000, 0)
	c, err := net.Dial("tcp", s.Addrs()["syslog_tcp"])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	stream := []byte(strings.Join(lines, "\n"))
	_ = c.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
	n, err := c.Write(stream)
	if err == nil {
		t.Fatalf("all %d bytes went out although the store took nothing", n)
	}
	m.mu.Lock()
	close(m.block)
	m.block = nil
	m.mu.Unlock()
	_ = c.SetWriteDeadline(time.Time{})
	if _, err := c.Write(stream[n:]); err != nil {
		t.Fatal(err)
	}
	_ = c.(*net.TCPConn).CloseWrite()
	_, _ = c.Read(make([]byte, 1))
	if stored, refused, _ := m.totals(); stored != int64(len(lines)) || refused != 0 {
		t.Errorf("stored %d, refused %d of %d", stored, refused, len(lines))
	}
}

// TestUDPCountsWhatTheKernelDropped fills a small socket while the store takes
// nothing: stored, refused and lost together are what was sent.
func TestUDPCountsWhatTheKernelDropped(t *testing.T) {
	m := newMemory()
	m.block = make(chan struct{})
	s := start(t, m, func(c *Config, _ *Deps) { c.ReadBuffer, c.QueueBytes = 16<<10, 1<<20 })
	lines, _ := made(40_000, 0)
	c, err := net.Dial("udp", s.Addrs()["syslog_udp"])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, l := range lines {
		if _, err := c.Write([]byte(l)); err != nil {
			t.Fatal(err)
		}
	}
	m.mu.Lock()
	close(m.block)
	m.block = nil
	m.mu.Unlock()
	await(t, "every line to be accounted for", func() bool {
		stored, refused, lost := m.totals()
		return stored+refused+lost == int64(len(lines))
	})
	if _, _, lost := m.totals(); lost == 0 {
		t.Error("nothing was lost: the test did not fill the socket")
	}
}

func TestUDPDatagrams(t *testing.T) {
	m := newMemory()
	s := start(t, m, nil)
	c, err := net.Dial("udp", s.Addrs()["syslog_udp"])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	lines, _ := made(4, 0)
	for _, d := range []string{lines[0], lines[1] + "\n", lines[2] + "\n" + lines[3] + "\n", "", "\x00\xff\x1b[2J"} {
		if _, err := c.Write([]byte(d)); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "all datagrams", func() bool { a, b, _ := m.totals(); return a == 4 && b == 2 })
	m.mu.Lock()
	defer m.mu.Unlock()
	got := fmt.Sprint(m.refused)
	if want := `[{ empty_line} {\x00\xff\x1b[2J unknown_line}]`; got != want {
		t.Errorf("refused %s, want %s", got, want)
	}
}

// TestRegisterDecides: the register names the source and its zone, and is asked again.
func TestRegisterDecides(t *testing.T) {
	m := newMemory()
	var mu sync.Mutex
	set := SourceSettings{ID: "source-1", Name: "fw1", Zone: "UTC", Dialect: "cisco"}
	now := time.Date(2026, 11, 24, 2, 0, 5, 0, time.UTC)
	s := start(t, m, func(_ *Config, d *Deps) {
		d.Source = func(a netip.Addr) SourceSettings { mu.Lock(); defer mu.Unlock(); return set }
		d.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	})
	c, err := net.Dial("tcp", s.Addrs()["syslog_tcp"])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintln(c, "<166>Nov 24 02:00:03 fw1 %ASA-6-305011: Built dynamic TCP translation from inside:100.64.0.9/51000 to outside:203.0.113.5/40123")
	await(t, "the line", func() bool { n, _, _ := m.totals(); return n == 1 })
	m.mu.Lock()
	r := m.nat[0]
	m.mu.Unlock()
	if r.Source != "source-1" || r.Device != "fw1" || r.Flags != 0 || r.Start != now.UnixMilli()-2000 {
		t.Errorf("got %+v", r)
	}
}

func TestUnknownSendersAreBounded(t *testing.T) {
	cfg := DefaultConfig()
	cfg.MaxSources = 2
	src := newSources(cfg, Deps{Source: func(netip.Addr) SourceSettings { return SourceSettings{} }})
	var ids []string
	for _, a := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.1"} {
		ids = append(ids, src.settings(netip.MustParseAddr(a)).ID)
	}
	if got, want := fmt.Sprint(ids), "[syslog:192.0.2.1 syslog:192.0.2.2 syslog:other syslog:192.0.2.1]"; got != want {
		t.Errorf("sources %s, want %s", got, want)
	}
}

func TestPortInUse(t *testing.T) {
	m := newMemory()
	s := start(t, m, nil)
	cfg := DefaultConfig()
	cfg.UDP, cfg.TCP = "127.0.0.1:0", s.Addrs()["syslog_tcp"]
	second, err := New(cfg, Deps{Store: m})
	if err != nil {
		t.Fatal(err)
	}
	err = second.Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "another program uses this port") {
		t.Errorf("err %v", err)
	}
	if len(second.Addrs()) != 0 {
		t.Errorf("addresses after a failed start: %v", second.Addrs())
	}
}

func need(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		for _, dir := range []string{"/usr/sbin", "/sbin"} {
			if path, err = exec.LookPath(filepath.Join(dir, program)); err == nil {
				return path
			}
		}
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is needed: %v", program, err)
		}
		t.Skipf("%s is not installed", program)
	}
	return path
}

const builtText = "%ASA-6-305011: Built dynamic TCP translation from inside:100.64.0.9/51000 to outside:203.0.113.5/40123"

// TestLogger sends with util-linux's logger in each of its formats and framings.
func TestLogger(t *testing.T) {
	logger := need(t, "logger")
	m := newMemory()
	s := start(t, m, func(c *Config, _ *Deps) { c.Zone = "UTC" })
	n := int64(0)
	for _, proto := range []string{"-d", "-T"} {
		for _, args := range [][]string{{"--rfc3164"}, {"--rfc5424"}, {"--rfc5424=notime,nohost"}, {"--rfc3164", "--octet-count"}, {"--rfc5424", "--octet-count"}} {
			if proto == "-d" && len(args) == 2 {
				continue
			}
			addr := s.Addrs()[map[string]string{"-d": "syslog_udp", "-T": "syslog_tcp"}[proto]]
			_, port, _ := net.SplitHostPort(addr)
			cmd := exec.Command(logger, append(args, "-n", "127.0.0.1", "-P", port, proto, "-p", "local4.info", "-t", "fw", builtText)...)
			cmd.Env = append(os.Environ(), "TZ=UTC")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
			}
			n++
			await(t, strings.Join(cmd.Args, " "), func() bool { a, b, _ := m.totals(); return a+b == n })
			m.mu.Lock()
			if len(m.refused) > 0 {
				t.Fatalf("%v: refused %v", cmd.Args, m.refused)
			}
			r := m.nat[len(m.nat)-1]
			m.mu.Unlock()
			if r.Device == "" || r.OutsidePort != 40123 || r.Flags != 0 {
				t.Errorf("%v: became %+v", cmd.Args, r)
			}
		}
	}
	if n != 8 {
		t.Errorf("%d combinations tried, expected 8", n)
	}
}

// TestRsyslog forwards a file through rsyslogd over UDP and over both TCP framings.
func TestRsyslog(t *testing.T) {
	rsyslogd := need(t, "rsyslogd")
	lines, _ := made(3000, 0)
	for _, c := range []struct{ name, action string }{
		{"udp", `protocol="udp"`},
		{"tcp lines", `protocol="tcp"`},
		{"tcp counted", `protocol="tcp" TCP_Framing="octet-counted"`},
		{"tcp forward format", `protocol="tcp" template="RSYSLOG_ForwardFormat"`},
		{"tcp 5424", `protocol="tcp" TCP_Framing="octet-counted" template="RSYSLOG_SyslogProtocol23Format"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMemory()
			s := start(t, m, func(c *Config, _ *Deps) { c.MaxSkew = 100 * 365 * 24 * time.Hour })
			dir := t.TempDir()
			addr := s.Addrs()["syslog_tcp"]
			if strings.HasPrefix(c.name, "udp") {
				addr = s.Addrs()["syslog_udp"]
			}
			_, port, _ := net.SplitHostPort(addr)
			in := freeUDP(t)
			conf := fmt.Sprintf(`global(workDirectory="%s")
module(load="imptcp")
input(type="imptcp" address="127.0.0.1" port="%s" ruleset="out")
ruleset(name="out") {
 action(type="omfwd" target="127.0.0.1" port="%s" %s)
}
`, dir, in, port, c.action)
			file := filepath.Join(dir, "rsyslog.conf")
			if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(rsyslogd, "-n", "-f", file, "-i", filepath.Join(dir, "pid"))
			cmd.Env = append(os.Environ(), "TZ=Asia/Shanghai")
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
			var conn net.Conn
			await(t, "rsyslogd to listen", func() (ok bool) {
				var err error
				conn, err = net.Dial("tcp", "127.0.0.1:"+in)
				return err == nil
			})
			defer conn.Close()
			for i, l := range lines {
				fmt.Fprintln(conn, l)
				if c.name == "udp" && i%100 == 99 { // rsyslog's queue, not ours, is what a burst would fill
					await(t, "the burst", func() bool { a, b, l := m.totals(); return a+b+l >= int64(i) })
				}
			}
			await(t, "all lines", func() bool { a, b, _ := m.totals(); return a+b >= int64(len(lines)) })
			// rsyslog's templates of the old format leave structured data out: nothing is
			// left of such a line, and it must be refused, not vanish.
			var bare int64
			for _, l := range lines {
				if !strings.Contains(c.name, "5424") && strings.HasPrefix(l, "<14>1 ") {
					bare++
				}
			}
			if stored, refused, lost := m.totals(); stored != int64(len(lines))-bare || refused != bare || lost != 0 {
				m.mu.Lock()
				defer m.mu.Unlock()
				t.Errorf("stored %d, refused %d, lost %d of %d: %v\n%s", stored, refused, lost, len(lines), m.refused[:min(3, len(m.refused))], out.String())
			}
		})
	}
}

func freeUDP(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// BenchmarkTCP measures lines from a socket to the store's Offer, sender included.
func BenchmarkTCP(b *testing.B) {
	m := &discard{}
	cfg := DefaultConfig()
	cfg.TCP = "127.0.0.1:0"
	s, err := New(cfg, Deps{Store: m})
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Stop(context.Background()) }()
	lines, _ := made(30_000, 0)
	stream := []byte(strings.Join(lines, "\n") + "\n")
	b.SetBytes(int64(len(stream) / len(lines)))
	b.ResetTimer()
	c, err := net.Dial("tcp", s.Addrs()["syslog_tcp"])
	if err != nil {
		b.Fatal(err)
	}
	for sent := 0; sent < b.N; sent += len(lines) {
		if _, err := c.Write(stream); err != nil {
			b.Fatal(err)
		}
		m.sent += int64(len(lines))
	}
	_ = c.(*net.TCPConn).CloseWrite()
	_, _ = c.Read(make([]byte, 1))
	c.Close()
	b.StopTimer()
	if m.n != m.sent {
		b.Fatalf("%d of %d lines", m.n, m.sent)
	}
	b.ReportMetric(float64(m.n)/b.Elapsed().Seconds(), "lines/s")
}

type discard struct{ n, sent int64 }

func (d *discard) Append(context.Context, *records.Batch) (records.Ack, error) {
	return records.Ack{}, nil
}
func (d *discard) Offer(b *records.Batch) error {
	d.n += int64(len(b.NAT)+len(b.Refused)) + b.MoreRefused
	return nil
}
func (d *discard) Sync(context.Context) error { return nil }
