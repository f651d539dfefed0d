// Package jsonl reads address translations written as one JSON object a line:
//
//	{"start":"2026-11-22T10:00:03.000+08:00","end":"2026-11-22T10:00:33.000+08:00","proto":"tcp",
//	 "inside_ip":"100.64.0.9","inside_port":51000,"outside_ip":"203.0.113.5","outside_port":40123,
//	 "line":"L-20881","device":"cgn1","dst_ip":"198.51.100.7","dst_port":443}
//
// "end" is left out while a translation is open; "outside_port_last" makes it a block
// of ports, for which "inside_port" may be missing; "line", "device", "dst_ip" and
// "dst_port" may be missing or null. Everything else is refused by name: a key that
// nobody knows is a value that nobody keeps.
//
// The object is read by hand in one pass: it is flat, and a general decoder takes
// twenty times as long.
package jsonl

import (
	"fmt"
	"unicode/utf8"

	"garrison/evidence"
	"garrison/internal/records/ingest/columns"
	"garrison/internal/records/ingest/dialect"
)

// Decoder reads JSON lines. Not safe for concurrent use.
type Decoder struct {
	texts columns.Texts
	buf   []byte // a string with escapes, taken apart
}

// NewDecoder returns a decoder.
func NewDecoder() *Decoder { return &Decoder{} }

const optional = columns.End | columns.InsidePort | columns.OutsidePortLast | columns.Line | columns.Device |
	columns.DstIP | columns.DstPort

// Decode reads one line into r and returns "", or the reason why it is refused.
func (d *Decoder) Decode(line []byte, r *evidence.NAT) string {
	s := scanner{b: line, d: d}
	s.blanks()
	if s.i == len(s.b) {
		return dialect.Empty
	}
	if !s.take('{') {
		return columns.BadJSON + ": a line is one object, beginning with {"
	}
	var seen, set int
	for first := true; ; first = false {
		s.blanks()
		if s.take('}') {
			break
		}
		if !first {
			if !s.take(',') {
				return s.unexpected("a comma or }")
			}
			s.blanks()
		}
		key, ok := s.str()
		if !ok {
			return s.unexpected("a key in quotes")
		}
		col := columns.ByName(key)
		if col == 0 {
			return fmt.Sprintf("%s: %q", columns.UnknownKey, head(key))
		}
		if seen&col != 0 {
			return fmt.Sprintf("%s: %q", columns.Repeated, key)
		}
		seen |= col
		s.blanks()
		if !s.take(':') {
			return s.unexpected("a colon")
		}
		given, why := s.value(col, r)
		if why != "" {
			return why
		}
		if given {
			set |= col
		}
	}
	s.blanks()
	if s.i < len(s.b) {
		return columns.BadJSON + ": more behind the object"
	}
	return columns.Finish(set, r)
}

type scanner struct {
	b []byte
	i int
	d *Decoder
}

func (s *scanner) blanks() {
	for s.i < len(s.b) && (s.b[s.i] == ' ' || s.b[s.i] == '\t' || s.b[s.i] == '\r' || s.b[s.i] == '\n') {
		s.i++
	}
}

func (s *scanner) take(c byte) bool {
	if s.i < len(s.b) && s.b[s.i] == c {
		s.i++
		return true
	}
	return false
}

func (s *scanner) unexpected(wanted string) string {
	if s.i >= len(s.b) {
		return columns.BadJSON + ": the line ends where " + wanted + " should follow"
	}
	return fmt.Sprintf("%s: at byte %d, wanted %s", columns.BadJSON, s.i+1, wanted)
}

// value reads the value of a column; given is false for null.
func (s *scanner) value(col int, r *evidence.NAT) (given bool, why string) {
	s.blanks()
	if s.i >= len(s.b) {
		return false, s.unexpected("a value")
	}
	name := func() string {
		for i, n := range columns.Names() {
			if col == 1<<i {
				return n
			}
		}
		return ""
	}
	switch c := s.b[s.i]; {
	case c == '"':
		v, ok := s.str()
		if !ok {
			return false, s.unexpected("the end of the string")
		}
		if columns.Numeric(col) {
			return false, fmt.Sprintf("%s: %s is a number, without quotes", columns.BadValue, name())
		}
		return true, s.d.texts.Set(col, v, r)
	case c == '-' || (c >= '0' && c <= '9'):
		start := s.i
		for s.i < len(s.b) && number(s.b[s.i]) {
			s.i++
		}
		v := s.b[start:s.i]
		if !columns.Numeric(col) {
			return false, fmt.Sprintf("%s: %s is a string, in quotes", columns.BadValue, name())
		}
		if len(v) > 1 && v[0] == '0' { // RFC 8259 §6
			return false, fmt.Sprintf("%s: %s has a leading zero", columns.BadValue, name())
		}
		return true, s.d.texts.Set(col, v, r)
	case c == 'n' && s.i+4 <= len(s.b) && string(s.b[s.i:s.i+4]) == "null":
		s.i += 4
		if col&optional == 0 {
			return false, fmt.Sprintf("%s: %s cannot be null", columns.BadValue, name())
		}
		return false, ""
	}
	return false, fmt.Sprintf("%s: %s must be a string, a number or null", columns.BadValue, name())
}

func number(c byte) bool {
	return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E'
}

// str reads a string. Without escapes it is a piece of the line; with them it is
// valid until the next call.
func (s *scanner) str() ([]byte, bool) {
	if !s.take('"') {
		return nil, false
	}
	start := s.i
	for ; s.i < len(s.b); s.i++ {
		switch c := s.b[s.i]; {
		case c == '"':
			s.i++
			return s.b[start : s.i-1], true
		case c == '\\':
			return s.escaped(start)
		case c < 0x20:
			return nil, false
		}
	}
	return nil, false
}

func (s *scanner) escaped(start int) ([]byte, bool) {
	out := append(s.d.buf[:0], s.b[start:s.i]...)
	defer func() { s.d.buf = out[:0] }()
	for ; s.i < len(s.b); s.i++ {
		c := s.b[s.i]
		switch {
		case c == '"':
			s.i++
			return out, true
		case c < 0x20:
			return nil, false
		case c != '\\':
			out = append(out, c)
			continue
		}
		s.i++
		if s.i >= len(s.b) {
			return nil, false
		}
		switch c = s.b[s.i]; c {
		case '"', '\\', '/':
			out = append(out, c)
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r, ok := s.unicode()
			if !ok {
				return nil, false
			}
			out = utf8.AppendRune(out, r)
		default:
			return nil, false
		}
	}
	return nil, false
}

// unicode reads the four digits after \u, and the second half of a pair. A half
// alone is refused: it is no character.
func (s *scanner) unicode() (rune, bool) {
	hi, ok := s.hex4(s.i + 1)
	if !ok {
		return 0, false
	}
	s.i += 4
	if hi < 0xd800 || hi > 0xdfff {
		return hi, true
	}
	if hi > 0xdbff || s.i+2 >= len(s.b) || s.b[s.i+1] != '\\' || s.b[s.i+2] != 'u' {
		return 0, false
	}
	lo, ok := s.hex4(s.i + 3)
	if !ok || lo < 0xdc00 || lo > 0xdfff {
		return 0, false
	}
	s.i += 6
	return 0x10000 + (hi-0xd800)<<10 + (lo - 0xdc00), true
}

func (s *scanner) hex4(at int) (rune, bool) {
	if at+4 > len(s.b) || s.b[at] == '0' && s.b[at+1] == 'x' {
		return 0, false
	}
	n, ok := dialect.Hex(s.b[at : at+4])
	return rune(n), ok
}

func head(b []byte) []byte { return b[:min(len(b), 64)] }
