package evidence

// Answered lists the duties that have a rule here.
func Answered() []string {
	return []string{"mps82-8-2", "mps82-13", "mps82-14-1", "govqa-9b"}
}

// FactsOf returns the facts that the rule of a duty reads; none for a duty without.
func FactsOf(duty string) []FactSpec {
	r, _ := ruleOf(duty)
	return r.facts
}

// Reasons returns every key that [Standing] can give as the reason.
func Reasons() []string {
	keys := []string{WhyNothingAnswers, WhyProfileNotSet, WhyNotBound, WhyAuthorityOnly, WhyNotInForce, WhyMissing, WhyMalformed, WhyContradictory}
	for _, d := range Answered() {
		r, _ := ruleOf(d)
		for _, o := range append(r.wrong, r.open...) {
			if o.why != WhyContradictory {
				keys = append(keys, o.why)
			}
		}
		keys = append(keys, r.met)
	}
	return keys
}

func ruleOf(duty string) (r rule, answered bool) {
	switch duty {
	case "mps82-8-2":
		return translationsKept(), true
	case "mps82-13":
		return sixtyDays(), true
	case "mps82-14-1":
		return measuresRun(), true
	case "govqa-9b":
		return linksChecked(), true
	}
	return rule{}, false
}

// translationsKept judges Decree 82, art. 8(2): record and keep which public address
// matched which inside address. It looks at the last 24 hours.
func translationsKept() rule {
	const (
		records  = "nat_records_24h"  // translations recorded
		expected = "expected_sources" // registered sources that should send them
		heard    = "sources_heard"    // of these, heard in their own rhythm
		lost     = "lost_24h"         // records known lost
		gap      = "gap_seconds_24h"  // nobody watched
	)
	return rule{
		binds: []string{"isp"},
		facts: []FactSpec{{records, Count}, {expected, Count}, {heard, Count}, {lost, CountOrUnknown}, {gap, Count}},
		wrong: []objection{
			{"records.lost", []string{lost}, func(v func(string) int64) bool { return v(lost) > 0 }},
			{"records.source_silent", []string{expected, heard}, func(v func(string) int64) bool { return v(heard) < v(expected) }},
		},
		open: []objection{
			{"records.no_source", []string{expected}, func(v func(string) int64) bool { return v(expected) == 0 }},
			{WhyContradictory, []string{expected, heard}, func(v func(string) int64) bool { return v(heard) > v(expected) }},
			{"records.none", []string{records}, func(v func(string) int64) bool { return v(records) == 0 }},
			{"records.loss_unknown", []string{lost}, func(v func(string) int64) bool { return v(lost) < 0 }},
			{"records.unwatched", []string{gap}, func(v func(string) int64) bool { return v(gap) > GapAllowance }},
		},
		met: "records.kept",
	}
}

// sixtyDays judges Decree 82, art. 13: able to keep records for at least sixty days.
func sixtyDays() rule {
	const (
		floor   = "floor_days"         // nothing younger can be removed
		known   = "forecast_known"     // the forecast means something
		days    = "forecast_days_kept" // at today's intake, on today's disk
		expired = "expired_early"      // removals of records before their floor, ever
	)
	return rule{
		binds: []string{"isp", "idc", "content", "access_place", "connected_unit"},
		facts: []FactSpec{{floor, Count}, {known, Flag}, {days, Days}, {expired, Count}},
		wrong: []objection{
			{"retention.expired_early", []string{expired}, func(v func(string) int64) bool { return v(expired) > 0 }},
			{"retention.floor_low", []string{floor}, func(v func(string) int64) bool { return v(floor) < FloorDays }},
			{"retention.forecast_short", []string{known, days}, func(v func(string) int64) bool { return v(known) == 1 && v(days) < FloorDays*1000 }},
		},
		open: []objection{
			{"retention.forecast_unknown", []string{known}, func(v func(string) int64) bool { return v(known) == 0 }},
		},
		met: "retention.kept",
	}
}

// measuresRun judges Decree 82, art. 14(1): protective measures are not stopped, in
// whole or in part, without authority. A crash is a gap like any other, only with a
// cause of its own: nobody was protected while it lasted.
func measuresRun() rule {
	const (
		known    = "heartbeats_known"    // heartbeats and gaps account for the whole period
		gaps     = "unapproved_gaps"     // stops and gaps nobody approved, in the period
		recent   = "unapproved_gaps_24h" // of these, in the last 24 hours
		crashes  = "crashes_24h"         // of these, by a crash
		expected = "measures_expected"   // that should be on
		on       = "measures_on"         // of these, on
	)
	return rule{
		binds: []string{"isp", "idc", "content", "access_place", "connected_unit"},
		facts: []FactSpec{{known, Flag}, {gaps, Count}, {recent, Count}, {crashes, Count}, {expected, Count}, {on, Count}},
		wrong: []objection{
			{"watch.crashed", []string{recent, crashes}, func(v func(string) int64) bool { return v(recent) > 0 && v(crashes) >= v(recent) }},
			{"watch.stopped", []string{recent}, func(v func(string) int64) bool { return v(recent) > 0 }},
			{"watch.measure_off", []string{expected, on}, func(v func(string) int64) bool { return v(on) < v(expected) }},
		},
		open: []objection{
			{"watch.heartbeats_unknown", []string{known}, func(v func(string) int64) bool { return v(known) == 0 }},
			{"watch.nothing_expected", []string{expected}, func(v func(string) int64) bool { return v(expected) == 0 }},
			{WhyContradictory, []string{expected, on}, func(v func(string) int64) bool { return v(on) > v(expected) }},
			{WhyContradictory, []string{recent, crashes}, func(v func(string) int64) bool { return v(crashes) > v(recent) }},
			{"watch.gap_in_period", []string{gaps}, func(v func(string) int64) bool { return v(gaps) > 0 }},
		},
		met: "watch.kept",
	}
}

// linksChecked judges the official explanation of the 2024 provisions, question 9
// (art. 15): keep a list of links, check regularly that they work, handle bad ones.
func linksChecked() rule {
	const (
		sites   = "sites_registered"
		listed  = "sites_inventoried"  // of these, with a list of links that a run made
		age     = "oldest_run_seconds" // age of the newest run of the site whose newest is oldest
		unknown = "runs_unknown"       // sites whose newest run could not tell
		untold  = "links_unknown"      // links of the lists that could not be told
		bad     = "open_bad_links"     // findings that are open
	)
	return rule{
		binds: []string{"government"},
		facts: []FactSpec{{sites, Count}, {listed, Count}, {age, Count}, {unknown, Count}, {untold, Count}, {bad, Count}},
		wrong: []objection{
			{"links.open", []string{bad}, func(v func(string) int64) bool { return v(bad) > 0 }},
			{"links.overdue", []string{listed, age}, func(v func(string) int64) bool { return v(listed) > 0 && v(age) > CheckInterval }},
		},
		open: []objection{
			{"links.no_site", []string{sites}, func(v func(string) int64) bool { return v(sites) == 0 }},
			{"links.no_run", []string{sites, listed}, func(v func(string) int64) bool { return v(listed) < v(sites) }},
			{WhyContradictory, []string{sites, listed}, func(v func(string) int64) bool { return v(listed) > v(sites) }},
			{"links.run_unknown", []string{unknown}, func(v func(string) int64) bool { return v(unknown) > 0 }},
			{"links.untold", []string{untold}, func(v func(string) int64) bool { return v(untold) > 0 }},
		},
		met: "links.checked",
	}
}
