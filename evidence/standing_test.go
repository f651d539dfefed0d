package evidence

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// goodFacts returns facts with which a duty is met.
func goodFacts(duty string) Facts {
	return map[string]Facts{
		"mps82-8-2":  {"nat_records_24h": "1200000", "expected_sources": "3", "sources_heard": "3", "lost_24h": "0", "gap_seconds_24h": "12"},
		"mps82-13":   {"floor_days": "60", "forecast_known": "true", "forecast_days_kept": "60", "expired_early": "0"},
		"mps82-14-1": {"heartbeats_known": "true", "unapproved_gaps": "0", "unapproved_gaps_24h": "0", "crashes_24h": "0", "measures_expected": "2", "measures_on": "2"},
		"govqa-9b": {"sites_registered": "2", "sites_inventoried": "2", "oldest_run_seconds": "604800", "runs_unknown": "0",
			"links_unknown": "0", "open_bad_links": "0"},
	}[duty]
}

func TestStanding(t *testing.T) {
	tests := []struct {
		duty, set, standing, why string
	}{
		{"mps82-8-2", "", Met, "records.kept"},
		{"mps82-8-2", "gap_seconds_24h=300", Met, "records.kept"},
		{"mps82-8-2", "gap_seconds_24h=301", Unproven, "records.unwatched"},
		{"mps82-8-2", "lost_24h=1", Unmet, "records.lost"},
		{"mps82-8-2", "lost_24h=-1", Unproven, "records.loss_unknown"},
		{"mps82-8-2", "sources_heard=2", Unmet, "records.source_silent"},
		{"mps82-8-2", "sources_heard=2 nat_records_24h=0", Unmet, "records.source_silent"},
		{"mps82-8-2", "sources_heard=0 expected_sources=0", Unproven, "records.no_source"},
		{"mps82-8-2", "sources_heard=4", Unproven, WhyContradictory},
		{"mps82-8-2", "nat_records_24h=0", Unproven, "records.none"},
		{"mps82-8-2", "lost_24h=1 nat_records_24h=", Unmet, "records.lost"},
		{"mps82-13", "", Met, "retention.kept"},
		{"mps82-13", "floor_days=59", Unmet, "retention.floor_low"},
		{"mps82-13", "forecast_days_kept=59.999", Unmet, "retention.forecast_short"},
		{"mps82-13", "forecast_days_kept=60.5", Met, "retention.kept"},
		{"mps82-13", "forecast_known=false", Unproven, "retention.forecast_unknown"},
		{"mps82-13", "forecast_known=false forecast_days_kept=3", Unproven, "retention.forecast_unknown"},
		{"mps82-13", "forecast_known=false -forecast_days_kept", Unproven, "retention.forecast_unknown"},
		{"mps82-13", "expired_early=1", Unmet, "retention.expired_early"},
		{"mps82-14-1", "", Met, "watch.kept"},
		{"mps82-14-1", "heartbeats_known=false", Unproven, "watch.heartbeats_unknown"},
		{"mps82-14-1", "unapproved_gaps=1 unapproved_gaps_24h=1", Unmet, "watch.stopped"},
		{"mps82-14-1", "unapproved_gaps=1 unapproved_gaps_24h=1 crashes_24h=1", Unmet, "watch.crashed"},
		{"mps82-14-1", "unapproved_gaps=2 unapproved_gaps_24h=2 crashes_24h=1", Unmet, "watch.stopped"},
		{"mps82-14-1", "unapproved_gaps=1", Unproven, "watch.gap_in_period"},
		{"mps82-14-1", "measures_on=1", Unmet, "watch.measure_off"},
		{"mps82-14-1", "measures_on=3", Unproven, WhyContradictory},
		{"mps82-14-1", "crashes_24h=1", Unproven, WhyContradictory},
		{"mps82-14-1", "measures_on=0 measures_expected=0", Unproven, "watch.nothing_expected"},
		{"govqa-9b", "", Met, "links.checked"},
		{"govqa-9b", "oldest_run_seconds=604801", Unmet, "links.overdue"},
		{"govqa-9b", "open_bad_links=1", Unmet, "links.open"},
		{"govqa-9b", "sites_registered=0 sites_inventoried=0", Unproven, "links.no_site"},
		{"govqa-9b", "sites_inventoried=1", Unproven, "links.no_run"},
		{"govqa-9b", "sites_inventoried=0 -oldest_run_seconds", Unproven, "links.no_run"},
		{"govqa-9b", "sites_inventoried=3", Unproven, WhyContradictory},
		{"govqa-9b", "runs_unknown=1", Unproven, "links.run_unknown"},
		{"govqa-9b", "links_unknown=1", Unproven, "links.untold"},
		{"mps82-9-3", "", Unproven, WhyNothingAnswers},
		{"mps82-9-3", "profile=isp binds=isp,idc", Unproven, WhyNothingAnswers},
		{"mps82-9-3", "profile=content binds=isp,idc", OutOfScope, WhyNotBound},
		{"mps82-1", "profile=isp binds=authority", OutOfScope, WhyAuthorityOnly},
		{"mps82-13", "profile=", Unproven, WhyProfileNotSet},
		{"mps82-13", "profile=government,isp", Met, "retention.kept"},
		{"mps82-13", "profile=government", OutOfScope, WhyNotBound},
		{"mps82-13", "profile=government binds=government", OutOfScope, WhyNotBound}, // the rule knows better
		{"mps82-13", "in_force=true", Met, "retention.kept"},
		{"mps82-13", "in_force=false", NotInForce, WhyNotInForce},
	}
	given := map[string]bool{}
	for _, tt := range tests {
		t.Run(tt.duty+" "+tt.set, func(t *testing.T) {
			standing, why, err := Standing(tt.duty, change(goodFacts(tt.duty), tt.set))
			if standing != tt.standing || why != tt.why {
				t.Errorf("%s because %s, want %s because %s", standing, why, tt.standing, tt.why)
			}
			if (err != nil) != (strings.HasSuffix(tt.set, "=") && why == "records.lost") {
				t.Errorf("error %v", err)
			}
			given[why] = true
		})
	}
	for _, key := range Reasons() {
		if !given[key] && key != WhyMissing && key != WhyMalformed {
			t.Errorf("no case for reason %q", key)
		}
		delete(given, key)
	}
	if len(given) > 0 {
		t.Errorf("reasons not listed: %v", slices.Sorted(maps.Keys(given)))
	}
}

// change applies "name=value" and "-name" words to facts.
func change(f Facts, words string) Facts {
	f = maps.Clone(f)
	if f == nil {
		f = Facts{}
	}
	for _, w := range strings.Fields(words) {
		if name, gone := strings.CutPrefix(w, "-"); gone {
			delete(f, name)
			continue
		}
		name, value, _ := strings.Cut(w, "=")
		f[name] = value
	}
	return f
}

// TestDamagedFactsNeverGiveMet takes each fact away and spoils it in many ways.
func TestDamagedFactsNeverGiveMet(t *testing.T) {
	spoiled := []string{"", " ", "-1", "-2", "+1", "01", "1.", ".5", "1.2345", "1e3", "NaN", "Inf", "0x1", "１", "TRUE", "True", "yes", "1 ", " 1", "1\n",
		"99999999999999999999", "unknown", "null"}
	cases := 0
	for _, duty := range Answered() {
		good := goodFacts(duty)
		if s, _, err := Standing(duty, good); s != Met || err != nil {
			t.Fatalf("%s: %s, %v with good facts", duty, s, err)
		}
		if len(FactsOf(duty)) != len(good) {
			t.Errorf("%s: %d facts tested, %d needed", duty, len(good), len(FactsOf(duty)))
		}
		for _, spec := range FactsOf(duty) {
			f := maps.Clone(good)
			delete(f, spec.Name)
			if s, why, err := Standing(duty, f); s != Unproven || why != WhyMissing || err != nil {
				t.Errorf("%s without %s: %s because %s, %v", duty, spec.Name, s, why, err)
			}
			for _, bad := range spoiled {
				f[spec.Name] = bad
				if s, why, err := Standing(duty, f); s == Met || (err == nil && why == WhyMalformed) {
					t.Errorf("%s with %s=%q: %s because %s, %v", duty, spec.Name, bad, s, why, err)
				}
				cases++
			}
		}
		if s, _, err := Standing(duty, change(good, "in_force=perhaps")); s == Met || err == nil {
			t.Errorf("%s: %s, %v though it is not clear whether it is in force", duty, s, err)
		}
		if s, _, _ := Standing(duty, nil); s != Unproven {
			t.Errorf("%s: %s from nothing", duty, s)
		}
	}
	if want := 21 * len(spoiled); cases != want {
		t.Errorf("%d cases, want %d", cases, want)
	}
}

// TestRulesBindWhomTheCatalogueBinds compares with the catalogue that the product
// ships, where this tree has it.
func TestRulesBindWhomTheCatalogueBinds(t *testing.T) {
	raw, err := os.ReadFile("../internal/duties/catalogue/duties.yaml")
	if os.IsNotExist(err) && os.Getenv("CI") != "1" {
		t.Skip("no catalogue in this tree")
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, duty := range Answered() {
		r, _ := ruleOf(duty)
		m := regexp.MustCompile(`- id: ` + duty + `\n(?:    .*\n)*?    binds: \[(.*)\]`).FindSubmatch(raw)
		if m == nil || !slices.Equal(list(string(m[1])), r.binds) {
			t.Errorf("%s binds %v here, %q in the catalogue", duty, r.binds, m)
		}
	}
}

func FuzzStanding(f *testing.F) {
	f.Add("mps82-13", "forecast_days_kept", "60")
	f.Add("govqa-9b", "profile", "government")
	f.Fuzz(func(t *testing.T, duty, name, value string) {
		facts := change(goodFacts(duty), "")
		facts[name] = value
		standing, why, err := Standing(duty, facts)
		if !slices.Contains(Reasons(), why) || !slices.Contains([]string{Unproven, Met, Unmet, OutOfScope, NotInForce}, standing) {
			t.Errorf("%q because %q", standing, why)
		}
		if standing == Met && err != nil {
			t.Errorf("met with error %v", err)
		}
		again, whyAgain, _ := Standing(duty, facts)
		if again != standing || whyAgain != why {
			t.Error("the same facts give another answer")
		}
	})
}
