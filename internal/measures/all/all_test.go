package all

import (
	"context"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"garrison"
	"garrison/internal/measures"
	"garrison/internal/probe"
	"garrison/internal/probe/transcript"
	"garrison/internal/state/statetest"
	"garrison/internal/testkit/site"
)

func TestEveryMeasureIsOnTheList(t *testing.T) {
	files, err := filepath.Glob("../*/measure.yaml")
	if err != nil {
		t.Fatal(err)
	}
	list, err := Measures(DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	const want = 1
	if len(files) != want || len(list) != want {
		t.Fatalf("%d measure.yaml, %d measures on the list, want %d of both", len(files), len(list), want)
	}
	for i, f := range files {
		if id := filepath.Base(filepath.Dir(f)); string(list[i].Definition().ID) != id {
			t.Errorf("%s has the id %q", f, list[i].Definition().ID)
		}
	}
}

// portal is a register with one site.
type portal struct{ s garrison.Subject }

func (p portal) Get(_ context.Context, id garrison.SubjectID) (garrison.Subject, error) {
	if id != p.s.ID {
		return garrison.Subject{}, garrison.Errorf(garrison.NotFound, "no subject %q", id)
	}
	return p.s, nil
}

func (p portal) Of(context.Context, garrison.SubjectKind) ([]garrison.Subject, error) {
	return []garrison.Subject{p.s}, nil
}

// matter remembers which findings are in a case.
type matter struct {
	mu   sync.Mutex
	open map[garrison.FindingID]bool
}

func (m *matter) set(id garrison.FindingID, open bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open[id] = open
}

func (m *matter) Confirmed(_ context.Context, id garrison.FindingID, _ garrison.Finding, _ garrison.Run) (garrison.CaseID, error) {
	m.set(id, true)
	return "case-1", nil
}

func (m *matter) Rechecked(_ context.Context, id garrison.FindingID, _ garrison.Run, gone bool) error {
	m.set(id, !gone)
	return nil
}

func (m *matter) RunEnded(context.Context, garrison.Run, map[string]string) error { return nil }

func (m *matter) Refuted(context.Context, garrison.FindingID, string, garrison.Actor) error {
	return nil
}

// The chain as a user sees it: the portal's dead link becomes a finding in one look,
// the moved one in two, and repairing and looking again ends both.
func TestADeadLinkBecomesAFindingAndItsRepairEndsIt(t *testing.T) {
	s := site.New(site.DefaultConfig())
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	cfg := probe.DefaultConfig()
	cfg.AllowPrefixes = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	list, err := Measures(DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	cases := &matter{open: map[garrison.FindingID]bool{}}
	var hurry atomic.Int64 // a clock that sleeping advances: the pace has its own tests
	now := func() time.Time { return time.Now().Add(time.Duration(hurry.Load())) }
	quick := func(_ context.Context, d time.Duration) error { hurry.Add(int64(d)); return nil }
	r, err := measures.New(measures.DefaultConfig(), measures.Deps{DB: statetest.OpenSQLite(t), Measures: list,
		Probe: probe.New(cfg, probe.Deps{Now: now, Sleep: quick}), Cases: cases,
		Subjects: portal{garrison.Subject{ID: "subject-1", Kind: garrison.Site, Name: site.TownName, Attributes: map[string]string{"url": s.URL()}}},
		Keeper:   transcript.New(transcript.Config{Dir: t.TempDir()})})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	look := func(want garrison.Outcome, dead, moved measures.FindingState) {
		t.Helper()
		run, err := r.RunNow(t.Context(), "links", "subject-1", garrison.System("test"))
		if err != nil || run.Outcome != want {
			t.Fatalf("outcome %s (%s), %v; want %s", run.Outcome, run.Why, err, want)
		}
		rows, _, err := r.Findings(t.Context(), measures.FindingFilter{})
		if err != nil || len(rows) != 2 || rows[0].Finding.Locus != s.DeadURL() || rows[0].State != dead || rows[1].State != moved {
			t.Fatalf("findings %+v, %v; want %s and %s", rows, err, dead, moved)
		}
		for _, f := range rows {
			if cases.open[f.ID] != (f.State == measures.Open) {
				t.Errorf("%s is %s, in a case: %v", f.Finding.Rule, f.State, cases.open[f.ID])
			}
		}
	}
	look(garrison.Fail, measures.Open, measures.Suspected)
	look(garrison.Fail, measures.Open, measures.Open)
	s.Repair()
	look(garrison.Pass, measures.Fixed, measures.Fixed)
	stands, err := r.Stands(t.Context(), "links")
	if err != nil || len(stands) != 1 || len(stands[0].Open) != 0 || stands[0].Verdicts["alive"] != stands[0].Inventory || stands[0].Inventory == 0 {
		t.Errorf("stands %+v, %v", stands, err)
	}
}
