package cases

import (
	"fmt"
	"time"

	"garrison"
)

// Policy says which findings become cases, of which kind, and by when they must end.
// It opens cases; it never closes one.
type Policy struct {
	MinSeverity garrison.Severity                        // findings below it open nothing
	Kind        garrison.CaseKind                        // unless Kinds says otherwise
	Kinds       map[garrison.MeasureID]garrison.CaseKind // by measure
	DueIn       map[garrison.Severity]time.Duration      // from opening to Due
}

// DefaultPolicy opens a rectification for every finding of medium severity or more.
// The terms are the house's own; no clause of the catalogue names a number of days
// for bad links (govqa-9b says in time).
func DefaultPolicy() Policy {
	const day = 24 * time.Hour
	return Policy{
		MinSeverity: garrison.Medium,
		Kind:        garrison.Rectification,
		DueIn: map[garrison.Severity]time.Duration{
			garrison.Critical: day,
			garrison.High:     3 * day,
			garrison.Medium:   15 * day,
			garrison.Low:      30 * day,
			garrison.Info:     60 * day,
		},
	}
}

// Validate reports every fault of the policy at once as one error each.
func (p Policy) Validate() []error {
	var errs []error
	kinds := []garrison.CaseKind{p.Kind}
	for _, k := range p.Kinds {
		kinds = append(kinds, k)
	}
	for _, k := range kinds {
		if FlowOf(k) == nil {
			errs = append(errs, fmt.Errorf("case kind %q has no flow", k))
		}
	}
	if p.MinSeverity > garrison.Critical {
		errs = append(errs, fmt.Errorf("no such severity %d", p.MinSeverity))
	}
	for s := p.MinSeverity; s <= garrison.Critical; s++ {
		if p.DueIn[s] <= 0 {
			errs = append(errs, fmt.Errorf("no term for severity %s", s))
		}
	}
	return errs
}

// Opens says whether a finding becomes a case, of which kind and due when.
func (p Policy) Opens(f garrison.Finding, now time.Time) (kind garrison.CaseKind, due time.Time, ok bool) {
	if f.Severity < p.MinSeverity {
		return "", time.Time{}, false
	}
	kind = p.Kind
	if k, special := p.Kinds[f.Measure]; special {
		kind = k
	}
	return kind, now.Add(p.DueIn[f.Severity]), true
}
