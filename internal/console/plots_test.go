package console

import (
	"strconv"
	"testing"
	"time"

	"garrison"
	"garrison/internal/locale"
)

var noon = time.Date(2026, 11, 22, 4, 0, 0, 0, time.UTC) // 12:00 on the operator's wall

func TestTimeBeforeTheFirstLineIsNeitherGapNorWall(t *testing.T) {
	from := noon.Add(-24 * time.Hour)
	gaps := []garrison.Gap{
		{Period: garrison.Period{From: from, Until: noon.Add(-6 * time.Hour)}, Cause: "not_installed", Lost: -1},
		{Period: garrison.Period{From: noon.Add(-2 * time.Hour), Until: noon.Add(-time.Hour)}, Cause: "crashed", Lost: -1},
		{Period: garrison.Period{From: noon.Add(-30 * time.Minute)}, Source: "other", Cause: "lost", Lost: 7},
	}
	w := watchOf(gaps, "mine", noon.Add(-5*time.Hour), from, noon)
	if w.cuts() != 1 || w.Total != time.Hour {
		t.Errorf("%d cuts of %s, want the one crash of an hour and nothing of another source", w.cuts(), w.Total)
	}
	if at, late := w.since(); !late || !at.Equal(noon.Add(-5*time.Hour)) {
		t.Errorf("watched since %s (%t), want five hours before noon", at, late)
	}
	for _, b := range w.bars(240, 16) {
		x, err := strconv.ParseFloat(b.X, 64)
		if b.Class == "cv-wall" && (err != nil || x < 190) {
			t.Errorf("a merlon at %s stands before the first line", b.X)
		}
	}
	if _, late := watchOf(nil, "mine", from.Add(-time.Hour), from, noon).since(); late {
		t.Error("a source heard throughout has a beginning")
	}
}

func testSource() sourceData {
	return sourceData{
		frame: frame{Lang: locale.EN, Now: noon.Add(30 * time.Minute)}, Href: "/sources/x", Hour: noon,
		Source: garrison.SourceStatus{First: noon.Add(-3 * time.Hour), Minutes: []garrison.MinuteTally{
			{Minute: noon.Add(-90*time.Minute).Unix() / 60, Stored: 10, Lost: -1},
			{Minute: noon.Unix() / 60, Stored: 100, Refused: 1},
			{Minute: noon.Add(time.Minute).Unix() / 60, Stored: 40, Lost: 60},
		}},
		Gaps: []garrison.Gap{{Period: garrison.Period{From: noon.Add(2 * time.Minute), Until: noon.Add(4 * time.Minute)}, Cause: "silent"}},
	}
}

func classes(p drawn) map[string]int {
	n := map[string]int{}
	for _, b := range p.Bars {
		n[b.Class]++
	}
	return n
}

func TestMinutesShowRefusedLostSilentAndNotYet(t *testing.T) {
	d := testSource()
	n := classes(d.hourPlot())
	if n["cv-bar"] != 2 || n["cv-lost"] != 2 || n["cv-silent"] != 2 {
		t.Errorf("bars %d, refused or lost %d, silent %d; want 2, 2, 2", n["cv-bar"], n["cv-lost"], n["cv-silent"])
	}
	if n["cv-none"] != 29 { // 12:31 to 12:59
		t.Errorf("%d minutes not due yet, want 29", n["cv-none"])
	}
}

func TestHoursLeadToTheirMinutesAndKeepUnknownLossUnknown(t *testing.T) {
	d := testSource()
	cols := d.hours()
	if len(cols) != 24 || !cols[23].On || cols[23].Stored != 140 || cols[23].Lost != 60 {
		t.Fatalf("last hour %+v of %d", cols[len(cols)-1], len(cols))
	}
	if cols[21].Lost != -1 {
		t.Errorf("an hour with a loss of unknown size says %d", cols[21].Lost)
	}
	if p := d.dayPlot(); len(p.Links) != 24 || p.Links[23].Href != "/sources/x?hour=2026-11-22T12#minutes" {
		t.Errorf("links %d, last %q", len(p.Links), p.Links[len(p.Links)-1].Href)
	}
}

func TestChosenHourStaysInTheLastDay(t *testing.T) {
	now := noon.Add(30 * time.Minute)
	for asked, want := range map[string]time.Time{
		"": noon, "2026-11-22T10": noon.Add(-2 * time.Hour), "2026-11-20T10": noon, "2027-01-01T00": noon, "<script>": noon,
	} {
		if got := chosenHour(asked, now); !got.Equal(want) {
			t.Errorf("hour %q is %s, want %s", asked, got, want)
		}
	}
}

func TestReasonsThatDoubtDoNotLookLikeReasonsThatHold(t *testing.T) {
	for key, want := range map[string]string{
		"trace.why.inside_time": "for", "trace.why.within_skew": "con", "trace.why.coverage_incomplete": "unk", "trace.why.clock_suspect": "unk",
		"trace.why.not_sealed_yet": "unk", "trace.why.open": "unk", "trace.why.never_heard_of": "unk",
	} {
		if got := whyMark(garrison.Reason{Key: key}); got != want {
			t.Errorf("%s is marked %q, want %q", key, got, want)
		}
	}
}

func TestTracePlotHasALaneForEveryCandidate(t *testing.T) {
	d := traceData{frame: frame{Lang: locale.ZH, Now: noon}, Skew: "5", asked: garrison.Question{At: noon, Skew: 5 * time.Second}}
	d.Candidates = []candidate{
		{Candidate: garrison.Candidate{Start: noon.Add(-time.Hour)}}, // no teardown seen: open to the right
		{Candidate: garrison.Candidate{Start: noon.Add(2 * time.Second), End: noon.Add(3 * time.Second)}},
	}
	n := classes(d.plot())
	if n["pl-a"] != 1 || n["pl-b"] != 1 || n["pl-asked"] != 1 || n["pl-now"] != 1 {
		t.Errorf("shapes %v", n)
	}
}
