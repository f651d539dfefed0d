package ingest

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"garrison"
	"garrison/evidence"
	"garrison/internal/records"
)

// TestImportOfOldTimesIsAnsweredAndIncomplete imports JSON lines of three days ago into
// a store that was not installed then: the answer names the line, says that nobody
// watched, and an empty answer tells whether the window has records at all. From memory
// and from a segment.
func TestImportOfOldTimesIsAnsweredAndIncomplete(t *testing.T) {
	cfg := records.DefaultConfig()
	cfg.Dir, cfg.KeyDir = t.TempDir(), t.TempDir()
	store, err := records.New(cfg, records.Deps{Ledger: &sealed{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Stop(context.Background()) }()

	from := time.Now().Add(-72 * time.Hour).Truncate(time.Minute).UTC()
	text := fmt.Sprintf(`{"start":%q,"end":%q,"proto":"tcp","inside_ip":"100.64.0.9","inside_port":51000,"outside_ip":"203.0.113.5","outside_port":40123,"line":"L-20881","device":"cgn1"}`+"\n",
		from.Add(10*time.Second).Format(time.RFC3339), from.Add(40*time.Second).Format(time.RFC3339))
	b := records.Batch{Source: records.SourceRef{ID: "import:old", Name: "old", Kind: "import"}}
	err = Read(t.Context(), strings.NewReader(text), FormatJSONL, FileOptions{Source: b.Source.ID}, func(it Item) error {
		if it.NAT == nil {
			return fmt.Errorf("refused: %s", it.Why)
		}
		b.NAT = append(b.NAT, *it.NAT)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Append(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	for _, where := range []string{"memory", "segment"} {
		for name, q := range map[string]struct {
			port    uint16
			after   time.Duration
			line    string
			records int64
		}{
			"inside":                       {40123, 20 * time.Second, "L-20881", 1},
			"another port, records exist":  {40124, 20 * time.Second, "", 1},
			"another time, nothing exists": {40123, 10 * time.Minute, "", 0},
		} {
			a, err := store.Trace(t.Context(), garrison.Question{IP: netip.MustParseAddr("203.0.113.5"), Port: q.port, Proto: 6, At: from.Add(q.after)})
			if err != nil {
				t.Fatal(err)
			}
			line := ""
			for _, c := range a.Candidates {
				line += c.Line
				if c.Source != "import:old" || !slices.ContainsFunc(c.Why, func(r garrison.Reason) bool { return r.Key == "trace.why.coverage_incomplete" }) {
					t.Errorf("%s, %s: candidate %+v", where, name, c)
				}
			}
			gaps := a.Coverage.Gaps
			if line != q.line || a.Coverage.Records != q.records || a.Coverage.Complete || a.Coverage.Lost != -1 || len(gaps) != 1 || gaps[0].Cause != "not_installed" {
				t.Errorf("%s, %s: line %q, coverage %+v", where, name, line, a.Coverage)
			}
		}
		if err := store.Compact(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if b.NAT[0].Flags&evidence.NATClockSuspect != 0 {
		t.Error("an imported record is marked for its clock")
	}
}
