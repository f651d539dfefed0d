package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"garrison/client"
	"garrison/evidence"
)

// arrival is how long before a kill a line must have been written to count as arrived
// longer ago than one group commit of 250 ms; what this machine was held up in the
// meantime is added.
const arrival = 400 * time.Millisecond

const (
	importLines = 4500 // of one import: two parts
	batchLines  = 40   // of one delivery over HTTPS
)

func killRounds(t *testing.T) int {
	if s := os.Getenv("GARRISON_KILL_ROUNDS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			t.Fatalf("GARRISON_KILL_ROUNDS=%q is no number of rounds", s)
		}
		return n
	}
	if testing.Short() {
		return 8
	}
	return 50
}

// mapping is the i-th translation behind a /24: no two have an end in common.
func mapping(prefix byte, i int) evidence.NAT {
	outside := map[byte][3]byte{'i': {192, 0, 2}, 'h': {198, 51, 100}, 't': {203, 0, 113}}[prefix]
	return evidence.NAT{
		Proto: 6, Start: time.Now().UnixMilli(),
		OutsideIP:   netip.AddrFrom4([4]byte{outside[0], outside[1], outside[2], byte(1 + i/60000)}),
		OutsidePort: uint16(1024 + i%60000),
		InsideIP:    netip.AddrFrom4([4]byte{100, 64 + byte(i>>20), byte(i >> 12), byte(i >> 4)}),
		InsidePort:  uint16(2000 + i&15),
	}
}

func jsonLine(w evidence.NAT) string {
	at := time.UnixMilli(w.Start).UTC()
	return fmt.Sprintf(`{"start":"%s","end":"%s","proto":"tcp","inside_ip":"%s","inside_port":%d,"outside_ip":"%s","outside_port":%d,"device":"e2e"}`+"\n",
		at.Format("2006-01-02T15:04:05.000Z"), at.Add(time.Second).Format("2006-01-02T15:04:05.000Z"), w.InsideIP, w.InsidePort, w.OutsideIP, w.OutsidePort)
}

// syslogLine is a new connection as conntrack logs it.
func syslogLine(w evidence.NAT) string {
	at := time.UnixMilli(w.Start)
	return fmt.Sprintf("<30>%s cgn1 conntrack: [%d.%03d000]\t    [NEW] tcp      6 120 SYN_SENT src=%s dst=198.51.100.1 sport=%d dport=443 [UNREPLIED] src=198.51.100.1 dst=%s sport=443 dport=%d\n",
		at.In(time.FixedZone("CST", 8*3600)).Format(time.Stamp), w.Start/1000, w.Start%1000, w.InsideIP, w.InsidePort, w.OutsideIP, w.OutsidePort)
}

// load is the three kinds of senders that go on while the installation is killed.
type load struct {
	t      *testing.T
	in     *instance
	token  string
	now    atomic.Pointer[life]
	stop   chan struct{}
	wait   sync.WaitGroup
	faults chan error

	// The rest belongs to the sender named, and to the test once wait is over.
	files    []string       // imports: what was imported, each to its end
	repeats  int            // imports: starts that were cut off
	acked    int            // HTTPS: deliveries answered
	again    int            // of these, after at least one attempt without an answer
	lastAck  []evidence.NAT // HTTPS: the last of each life
	streamed []sent         // TCP: written
	tried    int            // TCP: begun to be written
}

// life is one start of the installation, from ready to killed.
type life struct {
	ready  ready
	client *http.Client
}

// sent is one line written to a connection.
type sent struct {
	nat  evidence.NAT
	life *life
	at   time.Time
}

func (l *load) fail(err error) {
	select {
	case l.faults <- err:
	default:
	}
}

func (l *load) stopped() bool {
	select {
	case <-l.stop:
		return true
	default:
		return false
	}
}

// imports runs the import command on one file after the other; one that was cut off
// is repeated, as a person would.
func (l *load) imports(rnd *rand.Rand) {
	for n := 0; !l.stopped(); n++ {
		var b strings.Builder
		for i := range importLines {
			b.WriteString(jsonLine(mapping('i', n*importLines+i)))
		}
		file := l.in.file(fmt.Sprintf("import-%d.jsonl", n))
		if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
			l.fail(err)
			return
		}
		for !l.importOnce(file, rnd.IntN(4) == 0 && !l.stopped(), time.Duration(rnd.IntN(400))*time.Millisecond) {
			l.repeats++
			time.Sleep(30 * time.Millisecond)
		}
		l.files = append(l.files, file)
		time.Sleep(250 * time.Millisecond)
	}
}

// importOnce says whether the command came to its end. Some are killed themselves.
func (l *load) importOnce(file string, kill bool, after time.Duration) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(programs, "garrison"), "import", "--kind", "nat", "--format", "jsonl", "--json", "--data", l.in.data, file)
	var out, errs bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = environment(), &out, &errs
	if kill {
		timer := time.AfterFunc(after, cancel)
		defer timer.Stop()
	}
	if err := cmd.Run(); err != nil {
		return false
	}
	var sum struct{ Read, Stored, Refused int }
	if err := json.Unmarshal(out.Bytes(), &sum); err != nil || sum.Stored != importLines || sum.Read != importLines {
		l.fail(fmt.Errorf("import of %s: %v %s%s", file, err, &out, &errs))
	}
	return true
}

// deliveries sends small batches with a key each and repeats every one, with its key,
// until it is answered.
func (l *load) deliveries() {
	var last *life
	for n := 0; !l.stopped(); n++ {
		var b strings.Builder
		for i := range batchLines {
			b.WriteString(jsonLine(mapping('h', n*batchLines+i)))
		}
		for try := 0; ; try++ {
			at := l.now.Load()
			err := l.deliver(at, fmt.Sprintf("e2e-%d", n), b.String())
			if err == nil {
				if try > 0 {
					l.again++
				}
				if at != last && last != nil {
					l.lastAck = append(l.lastAck, mapping('h', n*batchLines-1))
				}
				last = at
				break
			}
			if errors.Is(err, errRefused) {
				l.fail(err)
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		l.acked++
	}
}

var errRefused = errors.New("refused")

func (l *load) deliver(at *life, key, body string) error {
	req, err := http.NewRequest(http.MethodPost, at.ready.API+"/records?kind=nat&format=jsonl", strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+l.token)
	req.Header.Set("Content-Type", "text/plain")
	req.Header.Set("Idempotency-Key", key)
	resp, err := at.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return err // no whole answer is no acknowledgement
	}
	if resp.StatusCode == http.StatusServiceUnavailable {
		return fmt.Errorf("%s: %s", resp.Status, raw)
	}
	var d client.Delivery
	if err := json.Unmarshal(raw, &d); err != nil || resp.StatusCode != http.StatusOK || d.Stored != batchLines {
		return fmt.Errorf("%w: %s: %s", errRefused, resp.Status, raw)
	}
	return nil
}

// stream writes lines to a connection as a device does, never the same twice.
func (l *load) stream() {
	n := 0
	for !l.stopped() {
		at := l.now.Load()
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(overTCP)}}
		conn, err := d.Dial("tcp", at.ready.Listeners["syslog_tcp"])
		if err != nil {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		for !l.stopped() {
			var b strings.Builder
			first := n
			var nats []evidence.NAT
			for ; n < first+5; n++ {
				w := mapping('t', n)
				nats = append(nats, w)
				b.WriteString(syslogLine(w))
			}
			l.tried = n
			if _, err = conn.Write([]byte(b.String())); err != nil {
				break
			}
			now := time.Now()
			for _, w := range nats {
				l.streamed = append(l.streamed, sent{w, at, now})
			}
			time.Sleep(3 * time.Millisecond)
		}
		if err == nil { // the end of it all: the server commits, then closes
			err = errors.Join(conn.(*net.TCPConn).CloseWrite(), conn.SetReadDeadline(time.Now().Add(time.Minute)))
			if _, rerr := conn.Read(make([]byte, 1)); !errors.Is(rerr, io.EOF) || err != nil {
				l.fail(fmt.Errorf("end of the stream: %v %v", err, rerr))
			}
		}
		conn.Close()
	}
}

// holdUps notes how late this machine lets a sleeper wake, for the slack of kills.
type holdUps struct {
	mu   sync.Mutex // guards late
	late []struct {
		at time.Time
		by time.Duration
	}
}

func (h *holdUps) watch(stop <-chan struct{}) {
	const pause = 10 * time.Millisecond
	for last := time.Now(); ; {
		select {
		case <-stop:
			return
		case <-time.After(pause):
		}
		now := time.Now()
		if by := now.Sub(last) - pause; by > 10*time.Millisecond {
			h.mu.Lock()
			h.late = append(h.late, struct {
				at time.Time
				by time.Duration
			}{now, by})
			h.mu.Unlock()
		}
		last = now
	}
}

// before is how long the sleeper was held up in all in the second before at.
func (h *holdUps) before(at time.Time) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	var sum time.Duration
	for _, x := range h.late {
		if x.at.After(at.Add(-time.Second)) && x.at.Before(at.Add(time.Second)) {
			sum += x.by
		}
	}
	return sum
}

func (in *instance) life() *life {
	in.t.Helper()
	roots, err := os.ReadFile(in.ready.CA)
	if err != nil {
		in.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(roots)
	return &life{ready: in.ready, client: &http.Client{Timeout: 30 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}}
}

func TestKillAtAnyMomentLosesNothingAcknowledged(t *testing.T) {
	rnd, rounds := seeded(t), killRounds(t)
	in := up(t)
	var token client.Token
	in.must(&token, clean, "token", "create", "--role", "intake", "--name", "collector")
	l := &load{t: t, in: in, token: token.Secret, stop: make(chan struct{}), faults: make(chan error, 1)}
	l.now.Store(in.life())
	var h holdUps
	own := rand.New(rand.NewPCG(rnd.Uint64(), 1)) // the importer's: rnd is the killer's
	for _, sender := range []func(){func() { l.imports(own) }, l.deliveries, l.stream, func() { h.watch(l.stop) }} {
		l.wait.Go(sender)
	}
	kills := map[*life]time.Time{} // when
	var starts []time.Duration
	for round := range rounds {
		time.Sleep(time.Duration(rnd.IntN(1300)) * time.Millisecond)
		at := time.Now()
		in.kill()
		kills[l.now.Load()] = at
		if round%5 == 4 { // and once more, before it is ready
			in.launch()
			time.Sleep(time.Duration(rnd.IntN(300)) * time.Millisecond)
			in.kill()
		}
		in.start()
		starts = append(starts, in.took)
		l.now.Store(in.life())
		select {
		case err := <-l.faults:
			t.Fatalf("round %d: %v", round, err)
		default:
		}
	}
	time.Sleep(300 * time.Millisecond)
	close(l.stop)
	l.wait.Wait()
	select {
	case err := <-l.faults:
		t.Fatal(err)
	default:
	}
	slices.Sort(starts)
	t.Logf("%d kills; start after a kill: median %s, longest %s", rounds, starts[len(starts)/2].Round(time.Millisecond), starts[len(starts)-1].Round(time.Millisecond))
	t.Logf("imports: %d files of %d lines, %d starts of the command cut off; deliveries: %d acknowledged, %d of them after a retry; stream: %d lines",
		len(l.files), importLines, l.repeats, l.acked, l.again, len(l.streamed))
	l.judge(kills, &h, rnd)
}

// due are the lines of the stream that must be there.
func (l *load) due(kills map[*life]time.Time, h *holdUps) (due, edge []sent) {
	byLife := map[*life][]sent{}
	for _, s := range l.streamed {
		killed, was := kills[s.life]
		if was && s.at.After(killed.Add(-arrival-h.before(killed))) {
			continue
		}
		due = append(due, s)
		byLife[s.life] = append(byLife[s.life], s)
	}
	for _, list := range byLife { // the last ones before each kill
		edge = append(edge, list[max(0, len(list)-20):]...)
	}
	return due, edge
}

func (l *load) judge(kills map[*life]time.Time, h *holdUps, rnd *rand.Rand) {
	l.t.Helper()
	due, edge := l.due(kills, h)
	stored := l.account(due)
	l.t.Logf("stream: %d lines were due, %d are stored of %d written", len(due), stored["syslog:"+overTCP], l.tried)
	// One by one: what stood nearest to a kill, and some of everything.
	ask := slices.Clone(l.lastAck)
	for _, s := range edge {
		ask = append(ask, s.nat)
	}
	for range 150 {
		ask = append(ask, mapping('i', rnd.IntN(len(l.files)*importLines)), mapping('h', rnd.IntN(l.acked*batchLines)), due[rnd.IntN(len(due))].nat)
	}
	api := l.in.api()
	wrong := 0
	for _, w := range ask {
		ans, err := api.Trace(context.Background(), w.OutsideIP.String(), strconv.Itoa(int(w.OutsidePort)), "tcp", time.Now().UTC().Format(time.RFC3339), time.Hour)
		if err != nil {
			l.t.Fatal(err)
		}
		if n := len(ans.Candidates); n != 1 || match(ans, w) == nil {
			if wrong++; wrong <= 5 {
				l.t.Errorf("%s:%d is there %d times", w.OutsideIP, w.OutsidePort, n)
			}
		}
	}
	l.t.Logf("%d asked one by one, %d not there exactly once", len(ask), wrong)
	l.in.verify()
	l.reimport(rnd, stored)
	l.in.stop()
	total := int64(0)
	for _, n := range stored {
		total += n
	}
	began := time.Now()
	if v := l.in.verify(); v.Records != total {
		l.t.Errorf("the sources stored %d, verify finds %d records", total, v.Records)
	}
	l.t.Logf("verify of %d records: %s", total, time.Since(began).Round(time.Millisecond))
}

// account compares what the sources say with what was acknowledged.
func (l *load) account(due []sent) map[string]int64 {
	l.t.Helper()
	stored := map[string]int64{}
	for _, s := range l.in.sources().Sources {
		stored[s.ID] = s.Stored
		if s.Refused != 0 || s.Lost != 0 {
			l.t.Errorf("source %s: %d refused, %d lost", s.Name, s.Refused, s.Lost)
		}
		if s.Kind == "https" && s.Stored != int64(l.acked*batchLines) {
			l.t.Errorf("over HTTPS %d lines were acknowledged, %d are stored", l.acked*batchLines, s.Stored)
		}
	}
	if n := stored["import:import"]; n != int64(len(l.files)*importLines) {
		l.t.Errorf("%d lines were imported, %d are stored", len(l.files)*importLines, n)
	}
	if n := stored["syslog:"+overTCP]; n < int64(len(due)) || n > int64(l.tried) {
		l.t.Errorf("of the stream %d lines were due and %d written, %d are stored", len(due), len(l.streamed), n)
	}
	return stored
}

// reimport repeats some imports: nothing may be stored twice.
func (l *load) reimport(rnd *rand.Rand, stored map[string]int64) {
	l.t.Helper()
	for range 5 {
		var sum struct{ Read, Stored, Refused, Already int }
		l.in.must(&sum, clean, "import", "--kind", "nat", "--format", "jsonl", l.files[rnd.IntN(len(l.files))])
		if sum.Stored != importLines || sum.Already != importLines {
			l.t.Errorf("imported again: %+v", sum)
		}
	}
	for _, s := range l.in.sources().Sources {
		if s.Stored != stored[s.ID] {
			l.t.Errorf("after repeated imports %s has %d, had %d", s.Name, s.Stored, stored[s.ID])
		}
	}
}

func TestDowntimeIsAGapWithItsCause(t *testing.T) {
	in := up(t)
	in.must(nil, clean, "profile", "set", "--name", "E2E", "--binds", "isp")
	within(t, 30*time.Second, "mps82-14-1 is met while nothing stops", func() bool { return in.duty("mps82-14-1").Standing == "met" })
	began := time.Now()
	in.kill()
	time.Sleep(1500 * time.Millisecond) // a downtime to see
	in.start()
	d := in.duty("mps82-14-1")
	if d.Standing != "unmet" || d.Why == "" || !strings.Contains(d.Reason.Key, "crashed") {
		t.Errorf("after a kill mps82-14-1 is %s: %s (%s)", d.Standing, d.Why, d.Reason.Key)
	}
	found := false
	for _, g := range in.gaps(began) {
		found = found || g.Cause == "crashed"
	}
	if !found {
		t.Errorf("no gap with cause crashed: %+v", in.gaps(began))
	}
	began = time.Now()
	in.stop()
	time.Sleep(1500 * time.Millisecond)
	in.start()
	found = false
	for _, g := range in.gaps(began) {
		found = found || g.Cause == "stopped"
	}
	if !found {
		t.Errorf("no gap with cause stopped: %+v", in.gaps(began))
	}
	in.verify()
}

// gaps are those of the coverage from a moment on, by way of a question.
func (in *instance) gaps(from time.Time) []client.Gap {
	in.t.Helper()
	var ans client.Answer
	in.must(&ans, clean, "trace", "--ip", "203.0.113.1", "--port", "1", "--at", from.UTC().Format(time.RFC3339), "--skew", "10s")
	return ans.Coverage.Gaps
}
