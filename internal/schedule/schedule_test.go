package schedule_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"garrison"
	"garrison/internal/schedule"
	"garrison/internal/state"
	"garrison/internal/state/statetest"
)

// clock is a clock that tests move.
type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.offset.Load())) }
func (c *clock) advance(d time.Duration) { c.offset.Add(int64(d)) }

func quick() schedule.Config {
	cfg := schedule.DefaultConfig()
	cfg.Poll, cfg.Renew = 3*time.Millisecond, 10*time.Millisecond
	cfg.BackOff, cfg.BackOffMax, cfg.Attempts = time.Millisecond, 5*time.Millisecond, 3
	return cfg
}

func build(t *testing.T, db *state.DB, cfg schedule.Config, now func() time.Time) *schedule.Scheduler {
	t.Helper()
	s, err := schedule.New(cfg, schedule.Deps{DB: db, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func start(t *testing.T, s *schedule.Scheduler) {
	t.Helper()
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

func put(t *testing.T, s *schedule.Scheduler, j schedule.Job) {
	t.Helper()
	if err := s.Put(t.Context(), j); err != nil {
		t.Fatal(err)
	}
}

func list(t *testing.T, s *schedule.Scheduler) []schedule.Job {
	t.Helper()
	jobs, err := s.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	return jobs
}

func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// receive waits for what a handler sends, but not for ever.
func receive[T any](t *testing.T, what string, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(20 * time.Second):
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

func TestJobs(t *testing.T) {
	statetest.Each(t, func(t *testing.T, open statetest.Open) {
		for _, c := range []struct {
			name string
			fn   func(t *testing.T, db *state.DB)
		}{
			{"once", testOnce},
			{"every", testEvery},
			{"failure, pause, given up, brought back", testFailure},
			{"panic", testPanic},
			{"put leaves what repeats alone", testPutAgain},
			{"put while it runs", testPutWhileRunning},
			{"stop interrupts, start goes on", testStop},
			{"a lost lease", testLostLease},
			{"two nodes share, none runs twice", testShare},
			{"refusals", testRefusals},
			{"put in a transaction that fails", testPutIn},
			{"audit names a changed job", testAudit},
		} {
			t.Run(c.name, func(t *testing.T) { c.fn(t, open(t)) })
		}
	})
}

func testOnce(t *testing.T, db *state.DB) {
	s := build(t, db, quick(), nil)
	got := make(chan schedule.Job, 10)
	s.Handle("mail", func(_ context.Context, j schedule.Job) error { got <- j; return nil })
	put(t, s, schedule.Job{Kind: "mail", Key: "1", Payload: json.RawMessage(`{"to": "a"}`)})
	put(t, s, schedule.Job{Kind: "mail", Key: "later", RunAt: time.Now().Add(time.Hour)})
	put(t, s, schedule.Job{Kind: "nobody", Key: "waits"})
	start(t, s)
	j := receive(t, "the job", got)
	if string(j.Payload) != `{"to": "a"}` || j.Key != "1" || j.Runs != 1 || !j.Running && j.LastStart.IsZero() {
		t.Errorf("the handler got %+v", j)
	}
	until(t, "the job to be gone", func() bool { return len(list(t, s)) == 2 })
	if err := s.Remove(t.Context(), "mail", "later"); err != nil {
		t.Fatal(err)
	}
	if jobs := list(t, s); len(jobs) != 1 || jobs[0].Kind != "nobody" || jobs[0].Runs != 0 {
		t.Errorf("left over: %+v", jobs)
	}
	if len(got) != 0 {
		t.Errorf("%d more runs", len(got))
	}
}

func testEvery(t *testing.T, db *state.DB) {
	c := &clock{}
	s := build(t, db, quick(), c.now)
	var runs atomic.Int64
	s.Handle("look", func(context.Context, schedule.Job) error { runs.Add(1); return nil })
	put(t, s, schedule.Job{Kind: "look", Key: "site", Every: time.Hour})
	start(t, s)
	until(t, "the first run", func() bool { j := list(t, s)[0]; return runs.Load() == 1 && !j.LastEnd.IsZero() })
	c.advance(10*time.Hour + time.Minute) // nine runs are missed and not made up for
	until(t, "the second run", func() bool { j := list(t, s)[0]; return j.Runs == 2 && !j.Running })
	j := list(t, s)[0]
	if wait := j.RunAt.Sub(c.now()); wait <= 0 || wait > time.Hour {
		t.Errorf("the next run is in %v", wait)
	}
	if runs.Load() != 2 || j.LastError != "" || j.Attempts != 0 {
		t.Errorf("%d runs, %+v", runs.Load(), j)
	}
}

func testFailure(t *testing.T, db *state.DB) {
	s := build(t, db, quick(), nil)
	var runs atomic.Int64
	s.Handle("mail", func(context.Context, schedule.Job) error {
		runs.Add(1)
		return errors.New("no route\x1b[2J\xff " + strings.Repeat("x", 1000))
	})
	put(t, s, schedule.Job{Kind: "mail", Key: "1"})
	start(t, s)
	until(t, "the job to be given up", func() bool { return list(t, s)[0].GivenUp })
	j := list(t, s)[0]
	if runs.Load() != 3 || j.Attempts != 3 || !strings.HasPrefix(j.LastError, "no route [2J") || len(j.LastError) > 600 {
		t.Errorf("%d runs, %+v", runs.Load(), j)
	}
	put(t, s, schedule.Job{Kind: "mail", Key: "1"})
	until(t, "new attempts", func() bool { return runs.Load() == 6 })
}

func testPanic(t *testing.T, db *state.DB) {
	s := build(t, db, quick(), nil)
	var after atomic.Bool
	s.Handle("bad", func(context.Context, schedule.Job) error { panic("on purpose") })
	s.Handle("good", func(context.Context, schedule.Job) error { after.Store(true); return nil })
	put(t, s, schedule.Job{Kind: "bad", Every: time.Hour})
	start(t, s)
	until(t, "the panic to be noted", func() bool { return strings.Contains(list(t, s)[0].LastError, "on purpose") })
	put(t, s, schedule.Job{Kind: "good"})
	until(t, "another job", after.Load)
}

func testPutAgain(t *testing.T, db *state.DB) {
	s := build(t, db, quick(), nil)
	at := time.Now().Add(30 * time.Minute).UTC().Truncate(time.Microsecond)
	put(t, s, schedule.Job{Kind: "look", Key: "1", Every: time.Hour, RunAt: at})
	put(t, s, schedule.Job{Kind: "look", Key: "1", Every: time.Hour})
	if j := list(t, s)[0]; !j.RunAt.Equal(at) {
		t.Errorf("putting the same again moved the run from %v to %v", at, j.RunAt)
	}
	var puts int
	err := db.Read(t.Context(), func(q state.Querier) error {
		return q.QueryRow(t.Context(), `SELECT put FROM job`).Scan(&puts)
	})
	if err != nil || puts != 1 {
		t.Errorf("the job was written %d times, %v", puts, err)
	}
	put(t, s, schedule.Job{Kind: "look", Key: "1", Every: time.Minute})
	if j := list(t, s)[0]; time.Until(j.RunAt) > time.Minute || j.Every != time.Minute {
		t.Errorf("a shorter rhythm: %+v", j)
	}
	put(t, s, schedule.Job{Kind: "look", Key: "1", Every: time.Minute, Payload: json.RawMessage(`1`), RunAt: at})
	if j := list(t, s); len(j) != 1 || !j[0].RunAt.Equal(at) || string(j[0].Payload) != "1" {
		t.Errorf("a given time: %+v", j)
	}
}

func testPutWhileRunning(t *testing.T, db *state.DB) {
	s := build(t, db, quick(), nil)
	running, goOn := make(chan string, 9), make(chan struct{})
	s.Handle("mail", func(_ context.Context, j schedule.Job) error {
		running <- string(j.Payload)
		<-goOn
		return nil
	})
	put(t, s, schedule.Job{Kind: "mail", Payload: json.RawMessage(`1`)})
	start(t, s)
	first := receive(t, "the first run", running)
	if j := list(t, s)[0]; !j.Running {
		t.Errorf("a job that runs reads %+v", j)
	}
	put(t, s, schedule.Job{Kind: "mail", Payload: json.RawMessage(`2`), RunAt: time.Now()})
	close(goOn)
	if second := receive(t, "the second run", running); first != "1" || second != "2" {
		t.Errorf("ran with %s and %s, want 1 and 2", first, second)
	}
	until(t, "the job to be gone", func() bool { return len(list(t, s)) == 0 })
}

func testStop(t *testing.T, db *state.DB) {
	s := build(t, db, quick(), nil)
	running := make(chan struct{}, 9)
	s.Handle("long", func(ctx context.Context, _ schedule.Job) error {
		running <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	})
	put(t, s, schedule.Job{Kind: "long"})
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	receive(t, "the run", running)
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	j := list(t, s)
	if len(j) != 1 || j[0].Running || j[0].Attempts != 0 || j[0].RunAt.After(time.Now()) {
		t.Fatalf("after the stop: %+v", j)
	}
	again := build(t, db, quick(), nil)
	done := make(chan struct{})
	again.Handle("long", func(context.Context, schedule.Job) error { close(done); return nil })
	start(t, again)
	receive(t, "the run after the stop", done)
}

func testLostLease(t *testing.T, db *state.DB) {
	ahead := &clock{}
	ahead.advance(time.Hour) // to this node every lease of the other has run out
	slow, other := build(t, db, quick(), nil), build(t, db, quick(), ahead.now)
	running, told := make(chan struct{}), make(chan struct{})
	slow.Handle("look", func(ctx context.Context, _ schedule.Job) error {
		close(running)
		<-ctx.Done()
		close(told)
		return nil
	})
	var runs atomic.Int64
	taken, goOn := make(chan struct{}), make(chan struct{})
	other.Handle("look", func(ctx context.Context, _ schedule.Job) error {
		if runs.Add(1) == 1 {
			close(taken)
			<-goOn
		}
		return nil
	})
	put(t, slow, schedule.Job{Kind: "look", Every: 10 * time.Hour})
	start(t, slow)
	receive(t, "the first node's run", running)
	start(t, other)
	receive(t, "the second node's run", taken)
	receive(t, "the first node's run to be told", told)
	if err := slow.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The first node has nothing more to say about a job that is the other's.
	if j := list(t, other)[0]; !j.Running || !j.LastEnd.IsZero() {
		t.Errorf("while the second node runs it: %+v", j)
	}
	close(goOn)
	until(t, "the second run to end", func() bool { j := list(t, other)[0]; return !j.Running && !j.LastEnd.IsZero() })
	if j := list(t, other)[0]; j.Runs != 2 || runs.Load() != 1 {
		t.Errorf("%+v, %d runs on the second node", j, runs.Load())
	}
}

func testShare(t *testing.T, db *state.DB) {
	const jobs = 60
	var mu sync.Mutex
	ran := map[string]int{}
	handler := func(_ context.Context, j schedule.Job) error {
		mu.Lock()
		defer mu.Unlock()
		ran[j.Key]++
		return nil
	}
	nodes := []*schedule.Scheduler{build(t, db, quick(), nil), build(t, db, quick(), nil)}
	for i := range jobs {
		j := schedule.Job{Kind: "mail", Key: garrison.NewID("k"), RunAt: time.Now().Add(-time.Duration(i) * time.Second)}
		if i%2 == 0 {
			j.Every = time.Hour
		}
		put(t, nodes[0], j)
	}
	for _, s := range nodes {
		s.Handle("mail", handler)
		start(t, s)
	}
	until(t, "all jobs to be done", func() bool {
		left := list(t, nodes[0])
		return len(left) == jobs/2 && !slices.ContainsFunc(left, func(j schedule.Job) bool { return j.LastEnd.IsZero() })
	})
	mu.Lock()
	defer mu.Unlock()
	if len(ran) != jobs {
		t.Errorf("%d jobs ran, want %d", len(ran), jobs)
	}
	for key, n := range ran {
		if n != 1 {
			t.Errorf("job %s ran %d times", key, n)
		}
	}
}

func testRefusals(t *testing.T, db *state.DB) {
	s := build(t, db, quick(), nil)
	for name, c := range map[string]struct {
		job  schedule.Job
		code garrison.Code
	}{
		"no kind":      {schedule.Job{}, garrison.Invalid},
		"long key":     {schedule.Job{Kind: "a", Key: strings.Repeat("x", 300)}, garrison.Invalid},
		"no JSON":      {schedule.Job{Kind: "a", Payload: json.RawMessage(`{`)}, garrison.Invalid},
		"huge payload": {schedule.Job{Kind: "a", Payload: json.RawMessage(`"` + strings.Repeat("x", 1<<17) + `"`)}, garrison.TooLarge},
		"backwards":    {schedule.Job{Kind: "a", Every: -1}, garrison.Invalid},
		"without end":  {schedule.Job{Kind: "a", Every: 1}, garrison.Invalid},
	} {
		if err := s.Put(t.Context(), c.job); garrison.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want code %q", name, err, c.code)
		}
	}
	cfg := quick()
	cfg.Workers, cfg.Lease = 0, 0
	if _, err := schedule.New(cfg, schedule.Deps{DB: db}); err == nil || !strings.Contains(err.Error(), "workers") || !strings.Contains(err.Error(), "lease") {
		t.Errorf("two faults in the configuration: %v", err)
	}
}

func testPutIn(t *testing.T, db *state.DB) {
	s := build(t, db, quick(), nil)
	boom := errors.New("on purpose")
	err := db.Write(t.Context(), func(tx *state.Tx) error {
		if err := s.PutIn(t.Context(), tx, schedule.Job{Kind: "mail"}); err != nil {
			return err
		}
		return boom
	})
	if !errors.Is(err, boom) || len(list(t, s)) != 0 {
		t.Errorf("%v; left over: %+v", err, list(t, s))
	}
}

func testAudit(t *testing.T, db *state.DB) {
	s := build(t, db, quick(), nil)
	put(t, s, schedule.Job{Kind: "look", Key: "site-1", Every: time.Hour})
	named := func() (all []state.Damage) {
		if err := db.Audit(t.Context(), &statetest.Ledger{}, func(d state.Damage) { all = append(all, d) }); err != nil {
			t.Fatal(err)
		}
		return all
	}
	if d := named(); len(d) != 0 {
		t.Errorf("nothing was touched: %+v", d)
	}
	err := db.Write(t.Context(), func(tx *state.Tx) error {
		_, err := tx.Exec(t.Context(), `UPDATE job SET run_at = run_at + 1`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if d := named(); len(d) != 1 || d[0].Object != "job/look/site-1" {
		t.Errorf("the run was put off by hand: %+v", d)
	}
}
