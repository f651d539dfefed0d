package evidence

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// FactsDigest returns the SHA-256 hash of the canonical text of f, which is an entry
// of type "facts" with the facts in order of their names.
func FactsDigest(f Facts) [32]byte {
	e := Entry{Type: "facts"}
	for _, name := range slices.Sorted(maps.Keys(f)) {
		e.Fields = append(e.Fields, Field{name, f[name]})
	}
	return sha256.Sum256(e.text())
}

// StandingEntry returns the ledger entry for a change of standing.
func StandingEntry(duty, standing, why string, f Facts, at time.Time) Entry {
	digest := FactsDigest(f)
	return NewEntry(TypeStanding,
		"duty", duty, "standing", standing, "why", why,
		"facts", hex.EncodeToString(digest[:]), "at", formatTime(at))
}

// Seal returns the ledger entry that binds all that b states; Items, Samples,
// Transcripts and Checkpoint are not part of that.
func (b *Bundle) Seal() (Entry, error) {
	text, err := b.statement()
	if err != nil {
		return Entry{}, fmt.Errorf("seal bundle of %q: %w", b.Clause, err)
	}
	digest := sha256.Sum256(text)
	return NewEntry(TypeBundle,
		"duty", b.Clause, "standing", b.Standing, "why", b.Why, "made", formatTime(b.Made),
		"statement", hex.EncodeToString(digest[:])), nil
}

// statement returns the canonical text of all that b states.
func (b *Bundle) statement() ([]byte, error) {
	e := NewEntry("statement",
		"clause", b.Clause,
		"from", formatTime(b.Period.From), "until", formatTime(b.Period.Until), "made", formatTime(b.Made),
		"standing", b.Standing, "why", b.Why,
		"attempted", formatInt(b.Population.Attempted), "succeeded", formatInt(b.Population.Succeeded),
		"failed", formatInt(b.Population.Failed), "unreachable", formatInt(b.Population.Unreachable))
	for _, name := range slices.Sorted(maps.Keys(b.Org)) {
		e.Fields = append(e.Fields, Field{"org." + name, b.Org[name]})
	}
	for _, name := range slices.Sorted(maps.Keys(b.Facts)) {
		e.Fields = append(e.Fields, Field{"fact." + name, b.Facts[name]})
		for _, r := range sortedBy(b.Support[name], compareRefs) {
			e.Fields = append(e.Fields, Field{"support." + name, fmt.Sprintf("%d %x", r.Index, r.Digest)})
		}
	}
	for _, g := range b.Gaps {
		e.Fields = append(e.Fields,
			Field{"gap.from", formatTime(g.From)}, Field{"gap.until", formatTime(g.Until)},
			Field{"gap.source", g.Source}, Field{"gap.cause", g.Cause},
			Field{"gap.lost", formatInt(g.Lost)}, Field{"gap.explain", g.Explain})
	}
	for name := range b.Support {
		if _, ok := b.Facts[name]; !ok {
			return nil, fmt.Errorf("support is given for %q, which is no fact", name)
		}
	}
	if err := e.check(maxStatement); err != nil {
		return nil, err
	}
	return e.text(), nil
}

func compareRefs(a, b Ref) int {
	return cmp.Or(cmp.Compare(a.Index, b.Index), bytes.Compare(a.Digest[:], b.Digest[:]))
}

func formatInt(n int64) string { return strconv.FormatInt(n, 10) }

// formatTime writes t in UTC with as many digits as it needs; a zero time is "".
func formatTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func parseTime(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || !strings.HasSuffix(s, "Z") {
		return time.Time{}, fmt.Errorf("%.80q is not a time in UTC as in RFC 3339", s)
	}
	return t.UTC(), nil
}

// parseStatement fills b from the canonical text.
func (b *Bundle) parseStatement(text []byte) error {
	e, err := parseText(text, maxStatement)
	if err != nil {
		return err
	}
	if e.Type != "statement" {
		return fmt.Errorf("it is of type %q", e.Type)
	}
	b.Org, b.Facts, b.Support = map[string]string{}, Facts{}, map[string][]Ref{}
	for _, f := range e.Fields {
		if err := b.setStated(f.Name, f.Value); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	// Order, repetition and spelling are settled by this one comparison.
	if again, err := b.statement(); err != nil || !bytes.Equal(again, text) {
		return errors.New("statement is not in its canonical form")
	}
	return nil
}

func (b *Bundle) setStated(name, value string) (err error) {
	group, key, _ := strings.Cut(name, ".")
	switch group {
	case "org":
		b.Org[key] = value
		return nil
	case "fact":
		b.Facts[key] = value
		return nil
	case "support":
		index, digest, _ := strings.Cut(value, " ")
		n, err := parseNumber(index)
		if err != nil {
			return err
		}
		r, err := ParseRef(n, digest)
		b.Support[key] = append(b.Support[key], r)
		return err
	case "gap":
		return b.setGap(key, value)
	}
	switch name {
	case "clause":
		b.Clause = value
	case "standing":
		b.Standing = value
	case "why":
		b.Why = value
	case "from":
		b.Period.From, err = parseTime(value)
	case "until":
		b.Period.Until, err = parseTime(value)
	case "made":
		b.Made, err = parseTime(value)
	case "attempted":
		b.Population.Attempted, err = strconv.ParseInt(value, 10, 64)
	case "succeeded":
		b.Population.Succeeded, err = strconv.ParseInt(value, 10, 64)
	case "failed":
		b.Population.Failed, err = strconv.ParseInt(value, 10, 64)
	case "unreachable":
		b.Population.Unreachable, err = strconv.ParseInt(value, 10, 64)
	default:
		err = errors.New("no such field")
	}
	return err
}

// setGap takes one field of a gap; "gap.from" begins the next one.
func (b *Bundle) setGap(key, value string) (err error) {
	if key == "from" {
		b.Gaps = append(b.Gaps, Gap{})
	}
	if len(b.Gaps) == 0 {
		return errors.New("it stands before gap.from")
	}
	g := &b.Gaps[len(b.Gaps)-1]
	switch key {
	case "from":
		g.From, err = parseTime(value)
	case "until":
		g.Until, err = parseTime(value)
	case "source":
		g.Source = value
	case "cause":
		g.Cause = value
	case "lost":
		g.Lost, err = strconv.ParseInt(value, 10, 64)
	case "explain":
		g.Explain = value
	default:
		err = errors.New("no such field")
	}
	return err
}
