package links

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"garrison"
	"garrison/internal/probe"
	"garrison/internal/testkit/site"
)

// realProbe keeps politeness by the real clock, as a check does.
func realProbe() *probe.Probe {
	cfg := probe.DefaultConfig()
	cfg.AllowPrefixes = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	cfg.OwnPerHost = 200 * time.Millisecond
	return probe.New(cfg, probe.Deps{})
}

func outcomes(r Report) map[string]string {
	out := map[string]string{}
	for _, l := range r.Links {
		out[l.URL] = l.Outcome + " " + l.Why
	}
	return out
}

func TestCheckListsInternalAndExternalLinks(t *testing.T) {
	s := startSite(t)
	s.SetPage("/", `<a href="/ok">in</a><a href="/dead">in</a><a href="{{1}}/ok">out</a><a href="{{2}}/gone">out</a><img src="{{3}}/ok">`)
	rep, err := Check(t.Context(), testProbe(nil), s.URL(), CheckOptions{Deadline: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{s.At("/ok"): "alive status_200", s.At("/dead"): "dead status_404", s.Foreign(1, "/ok"): "alive status_200",
		s.Foreign(2, "/gone"): "dead status_410", s.Foreign(3, "/ok"): "alive status_200"}
	got := outcomes(rep)
	for u, w := range want {
		if got[u] != w {
			t.Errorf("%s: %q, want %q", u, got[u], w)
		}
	}
	if len(got) != len(want) || !rep.Complete || !rep.Bad() || !rep.Told() {
		t.Errorf("report %+v", rep)
	}
	for _, l := range rep.Links {
		if l.Internal != strings.HasPrefix(l.URL, s.URL()) || l.Kind != map[bool]string{true: "image", false: "anchor"}[strings.HasPrefix(l.URL, s.Foreign(3, ""))] {
			t.Errorf("link %+v", l)
		}
	}
}

// The deadline here is a promise about real time, so it is measured in real time,
// with much room: what is asserted is that the answer comes at all before it.
func TestCheckAnswersBeforeItsDeadlineWhateverHappens(t *testing.T) {
	s := startSite(t)
	s.SetPage("/", `<a href="{{1}}/ok?1">1</a><a href="{{1}}/ok?2">2</a><a href="{{1}}/ok?3">3</a><a href="{{1}}/ok?4">4</a><a href="{{1}}/ok?5">5</a>
		<a href="{{2}}/hang">h</a><a href="{{3}}/drip">d</a><a href="{{4}}/endless">e</a>`)
	const deadline = 3 * time.Second
	begun := time.Now()
	rep, err := Check(t.Context(), realProbe(), s.URL(), CheckOptions{Deadline: deadline})
	if took := time.Since(begun); err != nil || took > deadline {
		t.Fatalf("answered after %s: %v", took, err)
	}
	got := outcomes(rep)
	if got[s.Foreign(2, "/hang")] != "slow timeout" || got[s.Foreign(3, "/drip")] != "slow body_timeout" || got[s.Foreign(4, "/endless")] != "alive status_200" {
		t.Errorf("hostile links: %v", got)
	}
	if got[s.Foreign(1, "/ok?1")] != "alive status_200" || got[s.Foreign(1, "/ok?5")] != "unknown deadline" {
		t.Errorf("five links on one foreign host in three seconds: %v", got)
	}
	for _, path := range []string{site.Hang, site.Drip, site.Endless, site.ManyLinks, site.Bomb, site.Loop, site.BigHead} {
		t.Run(strings.Trim(path, "/"), func(t *testing.T) {
			t.Parallel()
			begun := time.Now()
			rep, err := Check(t.Context(), realProbe(), s.Foreign(4, path), CheckOptions{Deadline: 1500 * time.Millisecond})
			if took := time.Since(begun); err != nil || took > 1500*time.Millisecond {
				t.Errorf("answered after %s: %v", took, err)
			}
			if rep.Told() {
				t.Errorf("the report claims to be whole: %+v", rep)
			}
		})
	}
}

// stubborn is a prober that does not obey its context.
type stubborn struct{ probe.Prober }

func (s stubborn) Fetch(ctx context.Context, r probe.Request) probe.Exchange {
	if strings.HasSuffix(r.URL, "/never") {
		select {} //nolint:staticcheck // it never answers: that is the point
	}
	return s.Prober.Fetch(ctx, r)
}

func TestCheckDoesNotDependOnTheProberObeyingIt(t *testing.T) {
	s := startSite(t)
	s.SetPage("/", `<a href="{{1}}/never">n</a><a href="{{2}}/ok">o</a>`)
	rep, err := Check(t.Context(), stubborn{realProbe()}, s.URL(), CheckOptions{Deadline: 2 * time.Second})
	if err != nil || outcomes(rep)[s.Foreign(1, "/never")] != "unknown deadline" || outcomes(rep)[s.Foreign(2, "/ok")] == "" {
		t.Errorf("report %+v, %v", rep, err)
	}
}

func TestCheckOfWhatCannotBeRead(t *testing.T) {
	s := startSite(t)
	rep, err := Check(t.Context(), probe.New(probe.DefaultConfig(), probe.Deps{}), s.URL(), CheckOptions{Deadline: 2 * time.Second})
	if err != nil || rep.Why != "policy" || rep.Told() || rep.Links == nil {
		t.Errorf("private target: %+v, %v", rep, err)
	}
	if _, err := Check(t.Context(), realProbe(), "mailto:x@y", CheckOptions{}); garrison.CodeOf(err) != garrison.Invalid {
		t.Errorf("no web address: %v", err)
	}
	if _, err := Check(t.Context(), realProbe(), s.URL(), CheckOptions{Deadline: time.Millisecond}); garrison.CodeOf(err) != garrison.Invalid {
		t.Errorf("a deadline of 1 ms: %v", err)
	}
}
