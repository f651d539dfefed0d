package records

import (
	"context"
	"testing"
	"time"

	"garrison"
	"garrison/evidence"
)

func causes(gaps []garrison.Gap) string {
	out := ""
	for _, g := range gaps {
		out += g.Cause + " "
	}
	return out
}

func (w *world) coverage(s *Store, from, until time.Time) garrison.Coverage {
	w.t.Helper()
	c, err := s.Coverage(context.Background(), garrison.Period{From: from, Until: until})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func TestCoverageTellsWhoWatched(t *testing.T) {
	w := newWorld(t)
	c := &clock{}
	w.now = c.now
	begun := c.now()
	s := w.start()
	fresh := func() evidence.NAT {
		n := nat(0, 0)
		n.Start, n.End = c.now().UnixMilli()-500, c.now().UnixMilli()
		return n
	}
	if _, err := s.Append(context.Background(), fromDevice([]evidence.NAT{fresh()})); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "a watched second is complete", func() bool {
		second := begun.Truncate(time.Second).Add(time.Second)
		return c.now().After(second.Add(2*time.Second)) && w.coverage(s, second, second.Add(time.Second)).Complete
	})
	if got := w.coverage(s, begun.Add(-time.Hour), begun.Add(-time.Minute)); got.Complete || causes(got.Gaps) != "not_installed " {
		t.Errorf("before the installation: %+v", got)
	}
	if got := w.coverage(s, c.now().Add(time.Hour), c.now().Add(2*time.Hour)); got.Complete || causes(got.Gaps) != "not_yet " {
		t.Errorf("the future: %+v", got)
	}
	w.stop(s)
	stopped := c.now()
	c.offset += time.Hour
	s = w.start()
	got := w.coverage(s, stopped.Add(10*time.Minute), stopped.Add(20*time.Minute))
	if got.Complete || causes(got.Gaps) != "stopped " || got.Lost != -1 || got.Gaps[0].Until.Sub(got.Gaps[0].From) != 10*time.Minute {
		t.Errorf("after a stop in order: %+v", got)
	}
	// An imported record of that time exists, but nobody watched.
	n := nat(0, 0)
	n.Start, n.End = stopped.Add(12*time.Minute).UnixMilli(), stopped.Add(13*time.Minute).UnixMilli()
	if _, err := s.Append(context.Background(), &Batch{Source: SourceRef{ID: "i", Kind: "import"}, NAT: []evidence.NAT{n}}); err != nil {
		t.Fatal(err)
	}
	if got := w.coverage(s, stopped.Add(10*time.Minute), stopped.Add(20*time.Minute)); got.Complete || got.Records != 1 {
		t.Errorf("an imported record: %+v", got)
	}
	if got := w.coverage(s, stopped.Add(20*time.Minute), stopped.Add(30*time.Minute)); got.Records != 0 {
		t.Errorf("a window without records: %+v", got)
	}
	lossy := fromDevice([]evidence.NAT{fresh()})
	lossy.Lost, lossy.MoreRefused = 5, 3
	if _, err := s.Append(context.Background(), lossy); err != nil {
		t.Fatal(err)
	}
	check := func(where string) {
		t.Helper()
		var got garrison.Coverage
		eventually(t, 5*time.Second, "the start is over", func() bool {
			got = w.coverage(s, c.now().Add(-time.Millisecond), c.now())
			return len(got.Gaps) == 0 || got.Gaps[0].Cause != "stopped"
		})
		if got.Complete || got.Lost != 5 || causes(got.Gaps) != "lost refused " {
			t.Errorf("a minute with losses, %s: %+v", where, got)
		}
	}
	check("from memory")
	if err := s.Compact(context.Background()); err != nil {
		t.Fatal(err)
	}
	check("from the catalog")
	w.stop(s)
}

func TestSilenceIsMeasuredAgainstTheOwnRhythm(t *testing.T) {
	w := newWorld(t)
	c := &clock{offset: -10 * time.Hour}
	w.now = c.now
	expected := []string{}
	s, err := New(w.cfg, Deps{Ledger: w.ledger, Now: w.now, Expected: func() []string { return expected }})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	now := c.now().Truncate(time.Second)
	// Three hours in which one source sends every minute and another every twenty; then
	// the first falls silent. Watched throughout.
	s.mu.Lock()
	g := s.shards[0].gen
	first := now.Add(-4 * time.Hour).Unix()
	g.book.Spans = []span{{From: first, Until: now.Unix(), Run: s.run}}
	for m := first / 60; m < now.Unix()/60; m++ {
		for id, every := range map[string]int64{"busy": 1, "slow": 20} {
			if m%every != 0 || id == "busy" && m > now.Unix()/60-60 {
				continue
			}
			if g.book.Sources[id] == nil {
				g.book.Sources[id] = &sourceBook{Name: id, Kind: "syslog", First: m * 60}
			}
			g.book.Sources[id].Last = m * 60
			g.book.day(m*60).tally(id, garrison.MinuteTally{Minute: m, Stored: 1})
		}
	}
	s.mu.Unlock()
	got := w.coverage(s, now.Add(-3*time.Minute), now)
	if got.Complete || causes(got.Gaps) != "silent " || got.Gaps[0].Source != "busy" || got.Silent != 3*time.Minute {
		t.Errorf("a source that fell silent: %+v", got)
	}
	if got := w.coverage(s, now.Add(-2*time.Hour), now.Add(-90*time.Minute)); !got.Complete {
		t.Errorf("while all sent: %+v", got)
	}
	expected = []string{"never-heard"}
	if got := w.coverage(s, now.Add(-2*time.Hour), now.Add(-90*time.Minute)); got.Complete || causes(got.Gaps) != "silent " {
		t.Errorf("an expected source that never sent: %+v", got)
	}
	list, err := s.Sources(context.Background())
	if err != nil || len(list) != 2 || !list[0].Silent || list[1].Silent {
		t.Errorf("sources %+v, %v", list, err)
	}
	w.stop(s)
}

// TestLinesOfAnotherMatterMakeNoGap: a firewall mixes logins and denials into its
// syslog; they are refused and counted, and take nothing away from what is known.
func TestLinesOfAnotherMatterMakeNoGap(t *testing.T) {
	w := newWorld(t)
	c := &clock{}
	w.now = c.now
	s := w.start()
	b := fromDevice(nil)
	b.Refused = []Refusal{{Line: "login", Why: "not_a_translation"}, {Line: "update", Why: "repetition"}, {Line: "", Why: "empty_line"}}
	b.MoreRefused, b.MoreOther = 4, 4
	if ack, err := s.Append(context.Background(), b); err != nil || ack.Refused != 7 {
		t.Fatalf("%+v, %v", ack, err)
	}
	told := c.now()
	check := func(where string, want string, refused int64) {
		t.Helper()
		second := told.Truncate(time.Second)
		eventually(t, 10*time.Second, "the second is over", func() bool {
			return c.now().After(second.Add(2*time.Second)) && causes(w.coverage(s, told, told.Add(time.Millisecond)).Gaps) == want
		})
		list, err := s.Sources(context.Background())
		if err != nil || len(list) != 1 || list[0].Refused != refused {
			t.Errorf("%s: sources %+v, %v", where, list, err)
		}
	}
	check("in memory", "", 7)
	if lines, err := s.Samples(context.Background(), b.Source.ID); err != nil || len(lines) != 3 {
		t.Errorf("samples %v, %v", lines, err)
	}
	w.stop(s)
	s = w.start()
	check("after a restart", "", 7)
	if err := s.Compact(context.Background()); err != nil {
		t.Fatal(err)
	}
	check("from the catalog", "", 7)
	w.stop(s)
	s = w.start()
	// One line among them that could not be read makes the minute incomplete, counted alone.
	b.Refused = append(b.Refused, Refusal{Line: "nat", Why: "bad_address: inside"})
	if _, err := s.Append(context.Background(), b); err != nil {
		t.Fatal(err)
	}
	told = c.now()
	check("with one that was lost", "refused ", 15)
	if g := w.coverage(s, told, told.Add(time.Millisecond)).Gaps; len(g) != 1 || g[0].Lost != 1 {
		t.Errorf("gaps %+v", g)
	}
	b.MoreOther = 5
	if _, err := s.Append(context.Background(), b); err == nil {
		t.Error("more lines of another matter than lines were taken")
	}
	w.stop(s)
}
