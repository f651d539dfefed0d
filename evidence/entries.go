package evidence

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
)

// MaxEntry is the most bytes a ledger entry can have. Logs in the C2SP tlog-tiles
// layout store an entry's length in 16 bits.
const MaxEntry = 1<<16 - 1

// Types of ledger entries. The format carries any type; these are the ones in use.
const (
	TypeChunk    = "chunk"    // root of one second of records, see [Chunk]
	TypeBeat     = "beat"     // heartbeat: somebody was watching
	TypeStart    = "start"    // the product started
	TypeStop     = "stop"     // the product stopped in order
	TypeState    = "state"    // an object of the state database changed
	TypeRun      = "run"      // one run of a measure; "transcript" names what was kept of it
	TypeMeasure  = "measure"  // a measure was switched on, off or degraded
	TypeConfig   = "config"   // the configuration changed
	TypeStanding = "standing" // the standing on a duty changed
	TypeBundle   = "bundle"   // a bundle was made; seals its statement, see [Bundle.Seal]
	TypeExpiry   = "expiry"   // records reached the end of their time and were removed
)

// Field is one named value of an [Entry].
type Field struct{ Name, Value string }

// Entry is a small text that goes into the ledger. Entries hold salted digests and
// small facts, never personal data, because the ledger outlives what it vouches for.
type Entry struct {
	Type   string
	Fields []Field // in the order of the writer; a name may repeat
}

var (
	entryType = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)
	entryName = regexp.MustCompile(`^[a-z][a-z0-9_.]{0,63}$`)
)

// NewEntry returns an entry of the given type; kv are name, value pairs.
func NewEntry(typ string, kv ...string) Entry {
	e := Entry{Type: typ}
	for i := 0; i+1 < len(kv); i += 2 {
		e.Fields = append(e.Fields, Field{kv[i], kv[i+1]})
	}
	return e
}

// Check says why e has no byte form: a type or name outside its alphabet, or too
// many bytes. Values can hold anything.
func (e Entry) Check() error { return e.check(MaxEntry) }

func (e Entry) check(most int) error {
	if !entryType.MatchString(e.Type) {
		return fmt.Errorf("entry type %q is not a lower-case word of at most 64 characters", e.Type)
	}
	for _, f := range e.Fields {
		if !entryName.MatchString(f.Name) {
			return fmt.Errorf("field name %q of a %s entry is not lower-case letters, digits, _ and . (at most 64)", f.Name, e.Type)
		}
	}
	if n := len(e.text()); n > most {
		return fmt.Errorf("%s entry has %d bytes, more than %d", e.Type, n, most)
	}
	return nil
}

// Marshal returns the byte form of e, or nil where [Entry.Check] has an objection.
func (e Entry) Marshal() []byte {
	if e.Check() != nil {
		return nil
	}
	return e.text()
}

func (e Entry) text() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "garrison/%s/v1\n", e.Type)
	for _, f := range e.Fields {
		b.WriteString(f.Name)
		b.WriteByte(' ')
		b.WriteString(escape(f.Value))
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// Get returns the value of the first field called name, or "".
func (e Entry) Get(name string) string {
	for _, f := range e.Fields {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// All returns the values of every field called name, in order.
func (e Entry) All(name string) []string {
	var all []string
	for _, f := range e.Fields {
		if f.Name == name {
			all = append(all, f.Value)
		}
	}
	return all
}

// one returns the value of the only field called name. What a check rests on must
// not be ambiguous, so a repeated field is as bad as a missing one.
func (e Entry) one(name string) (string, error) {
	switch all := e.All(name); len(all) {
	case 1:
		return all[0], nil
	case 0:
		return "", fmt.Errorf("%s entry has no field %q", e.Type, name)
	default:
		return "", fmt.Errorf("%s entry has field %q %d times", e.Type, name, len(all))
	}
}

// ParseEntry reads the byte form of an entry. It accepts exactly what
// [Entry.Marshal] makes.
func ParseEntry(b []byte) (Entry, error) { return parseText(b, MaxEntry) }

// parseText reads a text in the form of an entry: bundles hold some that are longer
// than a ledger allows.
func parseText(b []byte, most int) (Entry, error) {
	if len(b) > most {
		return Entry{}, fmt.Errorf("entry has %d bytes, more than %d", len(b), most)
	}
	head, rest, ok := strings.Cut(string(b), "\n")
	typ, isEntry := strings.CutPrefix(head, "garrison/")
	typ, isV1 := strings.CutSuffix(typ, "/v1")
	if !ok || !isEntry || !isV1 {
		return Entry{}, fmt.Errorf("entry starts with %.80q, not with garrison/TYPE/v1", head)
	}
	e := Entry{Type: typ}
	for n := 2; rest != ""; n++ {
		var line string
		if line, rest, ok = strings.Cut(rest, "\n"); !ok {
			return Entry{}, fmt.Errorf("line %d of the entry does not end", n)
		}
		name, value, ok := strings.Cut(line, " ")
		if !ok {
			return Entry{}, fmt.Errorf("line %d of the entry has no value: %.80q", n, line)
		}
		value, err := unescape(value)
		if err != nil {
			return Entry{}, fmt.Errorf("line %d of the entry: %w", n, err)
		}
		e.Fields = append(e.Fields, Field{name, value})
	}
	// Whatever can be read in two ways is refused here once for all.
	if err := e.check(most); err != nil {
		return Entry{}, err
	}
	if !bytes.Equal(e.text(), b) {
		return Entry{}, fmt.Errorf("%s entry is not in its canonical form", e.Type)
	}
	return e, nil
}

const upperHex = "0123456789ABCDEF"

// escape writes every byte outside printable ASCII, and the percent sign, as %XX. No
// line break, terminal sequence or look-alike character survives it.
func escape(s string) string {
	plain := true
	for i := 0; i < len(s); i++ {
		plain = plain && isPlain(s[i])
	}
	if plain {
		return s
	}
	b := make([]byte, 0, 3*len(s))
	for i := 0; i < len(s); i++ {
		if c := s[i]; isPlain(c) {
			b = append(b, c)
		} else {
			b = append(b, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	return string(b)
}

func isPlain(c byte) bool { return c >= 0x20 && c <= 0x7e && c != '%' }

// unescape undoes escape and refuses what escape never makes.
func unescape(s string) (string, error) {
	var b []byte
	for i := 0; i < len(s); i++ {
		if isPlain(s[i]) {
			b = append(b, s[i])
			continue
		}
		if s[i] != '%' || i+2 >= len(s) {
			return "", fmt.Errorf("byte %#02x stands unescaped in %.80q", s[i], s)
		}
		hi, lo := strings.IndexByte(upperHex, s[i+1]), strings.IndexByte(upperHex, s[i+2])
		if hi < 0 || lo < 0 {
			return "", fmt.Errorf("%.3q is not an escape in %.80q", s[i:], s)
		}
		c := byte(hi<<4 | lo)
		if isPlain(c) {
			return "", fmt.Errorf("%.3q escapes a character that needs none", s[i:])
		}
		b = append(b, c)
		i += 2
	}
	return string(b), nil
}
