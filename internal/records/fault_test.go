package records

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"garrison"
	"garrison/evidence"
	"garrison/internal/records/storetest"
)

// eventually polls until ok, at most for the time given.
func eventually(t testing.TB, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

// onSmallDisk makes w's record directory a file system of its own.
func onSmallDisk(t *testing.T, w *world, size string) {
	t.Helper()
	if err := os.MkdirAll(w.cfg.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", w.cfg.Dir, "tmpfs", 0, "size="+size); err != nil {
		if os.Getenv("CI") == "1" {
			t.Fatalf("a small file system is needed and cannot be mounted: %v", err)
		}
		t.Skipf("needs the right to mount: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(w.cfg.Dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

func TestFullDiskRefusesAndResumes(t *testing.T) {
	w := newWorld(t)
	onSmallDisk(t, w, "24m")
	w.cfg.MinFree, w.cfg.SegmentRows, w.cfg.SegmentEvery = 4<<20, math.MaxInt32, time.Hour
	ballast := filepath.Join(w.cfg.Dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 12<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	s := w.start()
	g := storetest.NewGenerator(5, storetest.DefaultScale())
	stored := 0
	var refused error
	for range 200 {
		ack, err := s.Append(context.Background(), fromDevice(g.Batch(2000)))
		if err != nil {
			refused = err
			break
		}
		stored += ack.Stored
	}
	if garrison.CodeOf(refused) != garrison.Unavailable || !strings.Contains(refused.Error(), "free space") {
		t.Fatalf("a full disk answers %v after %d records", refused, stored)
	}
	if h := s.Health(); h.Accepting || h.Why.Key != "error.records.disk_full" {
		t.Fatalf("health %+v", h)
	}
	if free, _, err := diskFree(w.cfg.Dir); err != nil || free < w.cfg.MinFree {
		t.Errorf("%d bytes are free, the reserve is %d (%v)", free, w.cfg.MinFree, err)
	}
	offered := make(chan error, 1)
	late := fromDevice(g.Batch(100))
	go func() { offered <- s.Offer(late) }()
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "intake resumes by itself", func() bool {
		ack, err := s.Append(context.Background(), fromDevice(g.Batch(10)))
		stored += ack.Stored
		return err == nil
	})
	if err := <-offered; err != nil {
		t.Fatal(err)
	}
	if err := s.Sync(context.Background()); err != nil {
		t.Fatal(err)
	}
	stored += 100
	if got := len(w.all(s)); got != stored {
		t.Fatalf("%d records, %d were acknowledged or offered", got, stored)
	}
	w.stop(s)
	if sum, found := w.verify(); len(found) > 0 || sum.Records != int64(stored) {
		t.Fatalf("%+v %+v", sum, found)
	}
}

// A disk that is full to the last byte, without a reserve that could soften it.
func TestNoSpaceInTheMiddleOfAWrite(t *testing.T) {
	w := newWorld(t)
	onSmallDisk(t, w, "6m")
	w.cfg.MinFree, w.cfg.SegmentRows, w.cfg.SegmentEvery = 0, math.MaxInt32, time.Hour
	ballast := filepath.Join(w.cfg.Dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 3<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	s := w.start()
	s.mu.Lock()
	s.reserve = -1 << 40 // as when others take the space between the question and the write
	s.mu.Unlock()
	g := storetest.NewGenerator(6, storetest.DefaultScale())
	stored := 0
	for range 400 {
		ack, err := s.Append(context.Background(), fromDevice(g.Batch(1999)))
		if err != nil {
			if garrison.CodeOf(err) != garrison.Unavailable {
				t.Fatal(err)
			}
			break
		}
		stored += ack.Stored
	}
	if s.Health().Accepting {
		t.Fatal("the disk never became full")
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "intake resumes by itself", func() bool {
		ack, err := s.Append(context.Background(), fromDevice(g.Batch(10)))
		stored += ack.Stored
		return err == nil
	})
	if _, found := w.verify(); len(found) > 0 {
		t.Fatalf("what was not written whole is still there: %+v", found)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.Stop(ctx)
	again := w.start()
	if got := len(w.all(again)); got != stored {
		t.Errorf("%d records after a restart, %d were acknowledged", got, stored)
	}
	_ = again.Stop(ctx)
}

func TestFailedSyncStopsAcknowledging(t *testing.T) {
	w := newWorld(t)
	s := w.start()
	g := storetest.NewGenerator(7, storetest.DefaultScale())
	if _, err := s.Append(context.Background(), fromDevice(g.Batch(10))); err != nil {
		t.Fatal(err)
	}
	s.shards[0].w.Break(errors.New("input/output error")) // as after a sync that answered EIO
	for range 3 {
		if _, err := s.Append(context.Background(), fromDevice(g.Batch(10))); garrison.CodeOf(err) != garrison.Unavailable {
			t.Fatalf("after a failed sync: %v", err)
		}
	}
	if h := s.Health(); h.Accepting || h.Why.Key != "error.records.sync_failed" {
		t.Fatalf("health %+v", h)
	}
	from := time.Now()
	eventually(t, 20*time.Second, "what came after is a gap", func() bool {
		c := w.coverage(s, from.Add(time.Second), from.Add(2*time.Second))
		return !c.Complete && strings.Contains(causes(c.Gaps), causeStalled)
	})
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = s.Stop(ctx)
	again := w.start()
	if got := len(w.all(again)); got != 10 {
		t.Fatalf("%d records after a restart, want the 10 that were acknowledged", got)
	}
	w.stop(again)
}

func TestLedgerThatFailsStopsAcknowledging(t *testing.T) {
	w := newWorld(t)
	w.cfg.SealPatience = 2 * time.Second
	s := w.start()
	g := storetest.NewGenerator(8, storetest.DefaultScale())
	w.ledger.SetFail(errors.New("the log is away"))
	eventually(t, 20*time.Second, "intake is refused", func() bool {
		_, err := s.Append(context.Background(), fromDevice(g.Batch(1)))
		return garrison.CodeOf(err) == garrison.Unavailable && strings.Contains(err.Error(), "the log is away")
	})
	w.ledger.SetFail(nil)
	eventually(t, 20*time.Second, "intake resumes", func() bool {
		_, err := s.Append(context.Background(), fromDevice(g.Batch(1)))
		return err == nil
	})
	w.stop(s)
	if _, found := w.verify(); len(found) > 0 {
		t.Fatalf("%+v", found)
	}
}

func TestSameKeyGetsTheFirstAnswer(t *testing.T) {
	w := newWorld(t)
	g := storetest.NewGenerator(9, storetest.DefaultScale())
	b := fromDevice(g.Batch(7))
	b.Key[3], b.Refused = 1, []Refusal{{Line: "x", Why: "y"}, {Line: "z", Why: "y"}}
	for round := range 4 {
		s := w.start()
		ack, err := s.Append(context.Background(), b)
		if want := (Ack{Stored: 7, Refused: 2, Already: round > 0}); err != nil || ack != want {
			t.Fatalf("round %d: %+v, %v; want %+v", round, ack, err, want)
		}
		if round == 1 {
			if err := s.Compact(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		src, err := s.Sources(context.Background())
		if err != nil || len(src) != 1 || src[0].Stored != 7 || src[0].Refused != 2 {
			t.Fatalf("round %d: %+v, %v", round, src, err)
		}
		lines, err := s.Samples(context.Background(), "src-1")
		if err != nil || len(lines) != 2 || lines[0].Line != "z" {
			t.Fatalf("round %d: %+v, %v", round, lines, err)
		}
		w.stop(s)
	}
}

func TestSecondStoreOnOneDirectoryIsRefused(t *testing.T) {
	w := newWorld(t)
	s := w.start()
	defer w.stop(s)
	two, err := New(w.cfg, Deps{Ledger: w.ledger})
	if err != nil {
		t.Fatal(err)
	}
	if err := two.Start(context.Background()); garrison.CodeOf(err) != garrison.Conflict {
		t.Fatalf("a second store starts: %v", err)
	}
}

// clock is a settable time; it has no monotonic part, as after a restart.
type clock struct{ offset time.Duration }

func (c *clock) now() time.Time { return time.Now().Add(c.offset) }

func TestRetentionRemovesOnlyWithAnEntry(t *testing.T) {
	w := newWorld(t)
	if _, err := New(Config{Dir: "x", KeyDir: "y", RetentionDays: FloorDays - 1}, Deps{}); garrison.CodeOf(err) != garrison.Held {
		t.Fatalf("a retention below the floor: %v", err)
	}
	w.cfg.RetentionDays = FloorDays
	c := &clock{}
	w.now = c.now
	days := []int{-FloorDays - 3, -FloorDays + 1, 0}
	for _, d := range days {
		c.offset = time.Duration(d) * 24 * time.Hour
		g := storetest.NewGenerator(10, storetest.Scale{Subscribers: 10, PublicIPs: 2, Destinations: 10, PerSecond: 1000, From: c.now().UnixMilli()})
		s := w.start()
		if _, err := s.Append(context.Background(), fromDevice(g.Batch(50))); err != nil {
			t.Fatal(err)
		}
		w.stop(s)
	}
	s := w.start()
	eventually(t, 20*time.Second, "the oldest segment expires", func() bool {
		st, err := s.Stats(context.Background())
		return err == nil && st.Records == 100 && len(st.Expired) == 1
	})
	if _, err := os.Stat(filepath.Join(w.cfg.KeyDir, keyFile(dayOf(time.Now().AddDate(0, 0, days[0]).Unix())))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the key of the expired day: %v", err)
	}
	w.stop(s)
	if _, found := w.verify(); len(found) > 0 {
		t.Fatalf("an expiry in order looks like damage: %+v", found)
	}
	if err := (&Store{}).Expire(Permit{}); garrison.CodeOf(err) != garrison.Held {
		t.Errorf("Expire without a permit: %v", err)
	}
	n := 0
	_ = w.ledger.Scan(context.Background(), 0, func(_ uint64, b []byte) error {
		if e, err := evidence.ParseEntry(b); err == nil && e.Type == evidence.TypeExpiry {
			n++
		}
		return nil
	})
	if n != 1 {
		t.Errorf("%d expiry entries, want 1", n)
	}
}

// crashed returns a world with what a kill would leave of w now.
func (w *world) crashed() *world {
	w.t.Helper()
	c := newWorld(w.t)
	// The ledger first: what it holds was in the store before.
	b, err := os.ReadFile(filepath.Join(w.dir, "ledger"))
	if err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(c.dir, "ledger"), b, 0o600); err != nil {
		w.t.Fatal(err)
	}
	for _, d := range []string{"records", "keys"} {
		if err := os.CopyFS(filepath.Join(c.dir, d), os.DirFS(filepath.Join(w.dir, d))); err != nil {
			w.t.Fatal(err)
		}
	}
	if c.ledger, err = storetest.OpenLedger(filepath.Join(c.dir, "ledger")); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.ledger.Close() })
	return c
}

func TestSameKeyAfterACrash(t *testing.T) {
	w := newWorld(t)
	s := w.start()
	b := fromDevice(storetest.NewGenerator(50, storetest.DefaultScale()).Batch(3))
	b.Key[0] = 7
	if _, err := s.Append(context.Background(), b); err != nil {
		t.Fatal(err)
	}
	c := w.crashed()
	w.stop(s)
	again := c.start()
	ack, err := again.Append(context.Background(), b)
	if err != nil || ack != (Ack{Stored: 3, Already: true}) || len(c.all(again)) != 3 {
		t.Fatalf("%+v, %v, %d records", ack, err, len(c.all(again)))
	}
	got := c.coverage(again, time.Now().Add(-time.Hour), time.Now())
	if !strings.Contains(causes(got.Gaps), "crashed") && !strings.Contains(causes(got.Gaps), "not_installed") {
		t.Errorf("%+v", got)
	}
	c.stop(again)
}

func TestTornTailIsCutAndTheRestKept(t *testing.T) {
	w := newWorld(t)
	s := w.start()
	g := storetest.NewGenerator(51, storetest.DefaultScale())
	if _, err := s.Append(context.Background(), fromDevice(g.Batch(30))); err != nil {
		t.Fatal(err)
	}
	c := w.crashed()
	w.stop(s)
	files, err := filepath.Glob(filepath.Join(c.cfg.Dir, walDir, "*.wal"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	f, err := os.OpenFile(files[0], os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("1GWF a frame that was only beg")); err != nil {
		t.Fatal(err)
	}
	f.Close()
	c.ledger.SetFail(errors.New("away")) // so that the old file stays
	again := c.start()
	if _, found := c.verify(); len(found) > 0 || len(again.Health().Damage) > 0 {
		t.Errorf("%+v %+v", found, again.Health())
	}
	if got := len(c.all(again)); got != 30 {
		t.Errorf("%d records", got)
	}
	c.ledger.SetFail(nil)
	c.stop(again)
	if _, found := c.verify(); len(found) > 0 {
		t.Errorf("%+v", found)
	}
}

// A tail that was whole and sealed is not an unfinished write, however it looks.
func TestCutOffFramesAreDamage(t *testing.T) {
	c := filled(t)
	files, _ := filepath.Glob(filepath.Join(c.cfg.Dir, walDir, "*.wal"))
	info, err := os.Stat(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(files[0], info.Size()/2); err != nil {
		t.Fatal(err)
	}
	if _, found := c.verify(); len(found) == 0 {
		t.Fatal("half of a write-ahead file is gone and nothing is found")
	}
	s := c.start()
	_, found := c.verify()
	if len(found) == 0 {
		t.Error("after a start the loss is forgotten")
	}
	c.stop(s)
}
