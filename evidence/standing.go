package evidence

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Standings, as texts. The zero value of anything that holds one must count as
// Unproven.
const (
	Unproven   = "unproven" // not shown either way
	Met        = "met"
	Unmet      = "unmet"
	OutOfScope = "out_of_scope"
	NotInForce = "not_in_force"
)

const (
	// FloorDays is how long translation records must be kept at least: Decree 82,
	// art. 13.
	FloorDays = 60
	// GapAllowance is how many seconds of a day may be unwatched, by a restart or an
	// update, before the day counts as not watched.
	GapAllowance = 300
	// CheckInterval is how many seconds old the newest look at a site's links may be.
	// The rule says "regularly" and names no interval; seven days is ours.
	CheckInterval = 7 * 24 * 3600
)

// Facts are the inputs of a standing, by name. Values are texts: counts in plain
// decimal, days in decimal with up to three digits after the point, flags "true" or
// "false". See [FactsOf] for the names each duty needs.
type Facts map[string]string

// FactKind is the form a fact's value must have.
type FactKind string

const (
	Count          FactKind = "count"            // 0, 1, 2, …
	CountOrUnknown FactKind = "count_or_unknown" // -1: unknown
	Days           FactKind = "days"             // 61.5
	Flag           FactKind = "flag"             // true | false
)

// FactSpec is one fact that a duty's rule reads.
type FactSpec struct {
	Name string
	Kind FactKind
}

// Facts about scope. They may be left out; where they are given they decide first.
const (
	FactProfile = "profile"  // who the operator is: ids of the binds vocabulary, comma-separated; "": nobody has said
	FactBinds   = "binds"    // whom the duty binds, likewise; the duties of [Answered] know it themselves
	FactInForce = "in_force" // flag; false: the rule takes effect later
)

// Keys of reasons that any duty can have.
const (
	WhyNothingAnswers = "nothing_here_answers"
	WhyProfileNotSet  = "profile_not_set"
	WhyNotBound       = "not_bound"
	WhyAuthorityOnly  = "authority_only"
	WhyNotInForce     = "not_in_force"
	WhyMissing        = "fact.missing"
	WhyMalformed      = "fact.malformed"
	WhyContradictory  = "fact.contradictory"
)

// rule is how one duty is judged. What is known to be wrong comes first, then what
// is not known; only when nothing objects is the duty met.
type rule struct {
	binds []string // as in the catalogue of duties
	facts []FactSpec
	wrong []objection
	open  []objection
	met   string
}

// objection stands when every fact it reads is there and when says so.
type objection struct {
	why   string
	reads []string
	when  func(v func(name string) int64) bool
}

// Standing returns where the operator stands on a duty, and the key of the reason. It
// is pure: the same facts give the same answer. Facts that are missing, malformed or
// contradict one another never give "met"; a malformed one is also returned as an
// error, beside an answer that holds.
func Standing(duty string, f Facts) (standing, why string, err error) {
	r, answered := ruleOf(duty)
	if standing, why, err = scope(r.binds, f); standing != "" || err != nil {
		return standing, why, err
	}
	if !answered {
		return Unproven, WhyNothingAnswers, nil
	}
	known, missing, err := readFacts(r.facts, f)
	if why := first(r.wrong, known); why != "" {
		return Unmet, why, err
	}
	if err != nil {
		return Unproven, WhyMalformed, err
	}
	if why := first(r.open, known); why != "" {
		return Unproven, why, nil
	}
	if missing {
		return Unproven, WhyMissing, nil
	}
	return Met, r.met, nil
}

// scope answers from facts about scope alone; "" means that they decide nothing.
func scope(binds []string, f Facts) (standing, why string, err error) {
	if profile, given := f[FactProfile]; given {
		if binds == nil {
			binds = list(f[FactBinds])
		}
		who := list(profile)
		switch {
		case len(who) == 0:
			return Unproven, WhyProfileNotSet, nil
		case slices.Equal(binds, []string{"authority"}):
			return OutOfScope, WhyAuthorityOnly, nil
		case len(binds) > 0 && !slices.ContainsFunc(binds, func(b string) bool { return slices.Contains(who, b) }):
			return OutOfScope, WhyNotBound, nil
		}
	}
	switch v, given := f[FactInForce]; {
	case !given || v == "true":
		return "", "", nil
	case v == "false":
		return NotInForce, WhyNotInForce, nil
	default:
		return Unproven, WhyMalformed, fmt.Errorf("fact %q is %.80q, not true or false", FactInForce, v)
	}
}

func list(s string) []string {
	var l []string
	for _, w := range strings.Split(s, ",") {
		if w = strings.TrimSpace(w); w != "" {
			l = append(l, w)
		}
	}
	return l
}

// first returns the reason of the first objection that stands. One that reads a fact
// which is not known cannot stand.
func first(all []objection, known map[string]int64) string {
	for _, o := range all {
		all := !slices.ContainsFunc(o.reads, func(n string) bool { _, ok := known[n]; return !ok })
		if all && o.when(func(n string) int64 { return known[n] }) {
			return o.why
		}
	}
	return ""
}

// readFacts returns the well-formed facts as numbers: days in thousandths, flags as 0
// and 1.
func readFacts(specs []FactSpec, f Facts) (known map[string]int64, missing bool, err error) {
	known = map[string]int64{}
	for _, s := range specs {
		text, given := f[s.Name]
		if !given {
			missing = true
			continue
		}
		n, ok := parseFact(s.Kind, text)
		if !ok {
			err = fmt.Errorf("fact %q is %.80q, which is not a %s", s.Name, text, s.Kind)
			continue
		}
		known[s.Name] = n
	}
	return known, missing, err
}

func parseFact(kind FactKind, s string) (n int64, ok bool) {
	switch kind {
	case Flag:
		return map[string]int64{"true": 1}[s], s == "true" || s == "false"
	case CountOrUnknown:
		if s == "-1" {
			return -1, true
		}
	case Days:
		whole, frac, point := strings.Cut(s, ".")
		n, ok = parseDigits(whole, 12)
		if !ok || !point {
			return n * 1000, ok
		}
		if len(frac) < 1 || len(frac) > 3 || strings.Trim(frac, "0123456789") != "" {
			return 0, false
		}
		part, _ := strconv.ParseInt(frac+strings.Repeat("0", 3-len(frac)), 10, 64)
		return n*1000 + part, true
	}
	return parseDigits(s, 18)
}

// parseDigits reads a number in plain decimal without needless zeroes.
func parseDigits(s string, most int) (int64, bool) {
	if s == "" || len(s) > most || strings.Trim(s, "0123456789") != "" || (s[0] == '0' && len(s) > 1) {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}
