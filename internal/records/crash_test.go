package records

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"garrison/evidence"
	"garrison/internal/records/storetest"
)

func crashConfig(dir string) Config {
	cfg := DefaultConfig()
	cfg.Dir, cfg.KeyDir, cfg.MinFree = filepath.Join(dir, "records"), filepath.Join(dir, "keys"), 1<<20
	cfg.SegmentEvery, cfg.SegmentRows, cfg.Maintain = time.Second, 3000, 500*time.Millisecond
	return cfg
}

// numbered returns the record that batch b of a writer holds in place i.
func numbered(writer, b, i int) evidence.NAT {
	id := uint32(writer)<<24 | uint32(b)<<8 | uint32(i)
	at := int64(1_790_000_000_000) + int64(b)*100
	return evidence.NAT{
		Start: at - 1000, End: at, Proto: 6,
		InsideIP: netip.AddrFrom4([4]byte{10, byte(id >> 16), byte(id >> 8), byte(id)}), InsidePort: uint16(i + 1),
		OutsideIP: netip.AddrFrom4([4]byte{203, 0, 113, byte(b)}), OutsidePort: uint16(1024 + id%60000), OutsidePortLast: uint16(1024 + id%60000),
		Line: "line-" + strconv.Itoa(int(id)), Device: "d",
	}
}

const crashRows = 37

func crashKey(writer, b int) (k [32]byte) {
	binary.BigEndian.PutUint32(k[:], uint32(writer)+1)
	binary.BigEndian.PutUint32(k[4:], uint32(b)+1)
	return k
}

// crashChild appends batches with keys, from the first that was not acknowledged on,
// and prints each acknowledgement after it came.
func crashChild() int {
	dir := os.Getenv("GARRISON_CRASH_CHILD")
	l, err := storetest.OpenLedger(filepath.Join(dir, "ledger"))
	if err != nil {
		fmt.Println("error", err)
		return 1
	}
	s, err := New(crashConfig(dir), Deps{Ledger: l, Entries: l})
	if err == nil {
		err = s.Start(context.Background())
	}
	if err != nil {
		fmt.Println("error", err)
		return 1
	}
	fmt.Println("ready")
	var wg sync.WaitGroup
	var mu sync.Mutex
	for w, from := range strings.Split(os.Getenv("GARRISON_CRASH_FROM"), ",") {
		first, _ := strconv.Atoi(from)
		wg.Go(func() {
			for b := first; ; b++ {
				batch := &Batch{Source: SourceRef{ID: fmt.Sprintf("w%d", w), Name: "w", Kind: "https"}, Key: crashKey(w, b)}
				for i := range crashRows {
					batch.NAT = append(batch.NAT, numbered(w, b, i))
				}
				if b%5 == 0 {
					batch.Refused = []Refusal{{Line: "nonsense", Why: "no address"}}
				}
				ack, err := s.Append(context.Background(), batch)
				if err != nil || ack.Stored != crashRows {
					fmt.Println("error", ack, err)
					os.Exit(1)
				}
				mu.Lock()
				fmt.Printf("ack %d %d %v\n", w, b, ack.Already)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return 0
}

// TestAcknowledgedSurvivesKill kills a writing process at random moments and judges by
// what its client had been told: every acknowledged batch is there exactly once, no
// batch is there in part, counters agree, and verify finds nothing.
func TestAcknowledgedSurvivesKill(t *testing.T) {
	rounds := 20
	if testing.Short() {
		rounds = 5
	}
	seed := uint64(time.Now().UnixNano())
	if v := os.Getenv("GARRISON_CRASH_SEED"); v != "" {
		seed, _ = strconv.ParseUint(v, 10, 64)
	}
	t.Logf("seed %d (set GARRISON_CRASH_SEED to repeat)", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	dir := t.TempDir()
	const writers = 3
	next := make([]int, writers)
	for round := range rounds {
		crashRound(t, dir, next, time.Duration(20+r.IntN(2500))*time.Millisecond)
		judgeCrash(t, dir, next, round%4 == 3 || round == rounds-1)
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	total := 0
	for _, n := range next {
		total += n
	}
	if total == 0 {
		t.Fatal("nothing was ever acknowledged")
	}
	t.Logf("%d batches of %d records acknowledged over %d kills", total, crashRows, rounds)
}

// crashRound runs the child, kills it after a while and advances next to what it was
// told.
func crashRound(t *testing.T, dir string, next []int, after time.Duration) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	from := make([]string, len(next))
	for i, n := range next {
		from[i] = strconv.Itoa(n)
	}
	cmd.Env = append(os.Environ(), "GARRISON_CRASH_CHILD="+dir, "GARRISON_CRASH_FROM="+strings.Join(from, ","))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	var once sync.Once
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		switch {
		case len(f) > 0 && f[0] == "ready":
			if d := time.Since(begun); d > 10*time.Second {
				t.Errorf("start took %v", d)
			}
			once.Do(func() { time.AfterFunc(after, func() { cmd.Process.Kill() }) })
		case len(f) == 4 && f[0] == "ack":
			w, _ := strconv.Atoi(f[1])
			b, _ := strconv.Atoi(f[2])
			if b != next[w] {
				t.Errorf("writer %d: acknowledged %d, expected %d", w, b, next[w])
			}
			next[w] = b + 1
		default:
			t.Errorf("child: %s", lines.Text())
		}
	}
	_ = cmd.Wait()
}

// judgeCrash looks at the store without and, at times, with starting it.
func judgeCrash(t *testing.T, dir string, next []int, start bool) {
	t.Helper()
	l, err := storetest.OpenLedger(filepath.Join(dir, "ledger"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg := crashConfig(dir)
	sum, err := Verify(context.Background(), cfg, l, func(d Damage) { t.Errorf("after the kill: %+v", d) })
	if err != nil {
		t.Fatal(err)
	}
	if !start {
		return
	}
	w := &world{t: t, dir: dir, cfg: cfg, ledger: l, now: time.Now}
	s := w.start()
	seen := map[string]int{}
	stored := map[string]int64{}
	for _, n := range w.all(s) {
		seen[n.Line]++
		stored[n.Source]++
	}
	for wr, n := range next {
		for b := range n + 1 { // the one after the last acknowledged may be there, whole
			have := 0
			for i := range crashRows {
				k := numbered(wr, b, i).Line
				if seen[k] > 1 {
					t.Errorf("writer %d batch %d: record %d is there %d times", wr, b, i, seen[k])
				}
				have += seen[k]
				delete(seen, k)
			}
			if have != crashRows && (b < n || have != 0) {
				t.Errorf("writer %d batch %d of %d acknowledged: %d of %d records are there", wr, b, n, have, crashRows)
			}
		}
	}
	if len(seen) > 0 {
		t.Errorf("%d records nobody sent", len(seen))
	}
	list, err := s.Sources(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, src := range list {
		batches := src.Stored / crashRows
		if src.Stored != stored[string(src.ID)] || src.Refused != (batches+4)/5 {
			t.Errorf("source %s counts %d stored and %d refused, %d are there", src.ID, src.Stored, src.Refused, stored[string(src.ID)])
		}
	}
	if h := s.Health(); !h.Accepting || len(h.Damage) > 0 {
		t.Errorf("health %+v", h)
	}
	w.stop(s)
	if _, err := Verify(context.Background(), cfg, l, func(d Damage) { t.Errorf("after a clean stop: %+v", d) }); err != nil {
		t.Fatal(err)
	}
	t.Logf("verified %+v", sum)
}
