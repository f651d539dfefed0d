package ingest

import (
	"time"
	"unicode/utf8"

	"garrison/evidence"
	"garrison/internal/records/ingest/dialect"
	"garrison/internal/records/ingest/dialect/cisco"
	"garrison/internal/records/ingest/dialect/juniper"
	"garrison/internal/records/ingest/dialect/netfilter"
	"garrison/internal/records/ingest/syslog"
)

// lineDecoder turns the lines of one source into records. Not safe for concurrent use.
type lineDecoder struct {
	parser   *syslog.Parser
	decoders []dialect.Decoder
	line     dialect.Line
	names    names
}

// newLineDecoder tries the named family first; an unknown name changes nothing.
func newLineDecoder(zone *time.Location, first string) *lineDecoder {
	d := &lineDecoder{parser: syslog.NewParser(zone)}
	nf, ci, ju := netfilter.NewDecoder(), cisco.NewDecoder(), juniper.NewDecoder()
	switch first {
	case "cisco":
		d.decoders = []dialect.Decoder{ci, ju, nf}
	case "juniper":
		d.decoders = []dialect.Decoder{ju, ci, nf}
	default:
		d.decoders = []dialect.Decoder{nf, ci, ju}
	}
	return d
}

// live decodes a line that arrived now. A clock further off than skew is marked.
func (d *lineDecoder) live(line []byte, received time.Time, skew time.Duration, peer string, r *evidence.NAT) string {
	l := &d.line
	d.parser.Parse(line, received, &l.Message)
	now := received.UnixMilli()
	l.At = now
	if l.HasTime {
		l.At = l.Time
	}
	if why := d.decode(l, r); why != "" {
		return why
	}
	if off := l.At - now; l.Unsynced || l.BadTime || off > skew.Milliseconds() || -off > skew.Milliseconds() {
		r.Flags |= evidence.NATClockSuspect
	}
	if r.Device == "" {
		r.Device = peer
	}
	r.Received = received.Unix()
	return ""
}

// fromFile decodes a line of a file; one that has no time of its own is refused,
// because the time of reading says nothing about it.
func (d *lineDecoder) fromFile(line []byte, reference time.Time, r *evidence.NAT) string {
	l := &d.line
	d.parser.Parse(line, reference, &l.Message)
	const none = -1 << 62
	l.At = none
	if l.HasTime {
		l.At = l.Time
	}
	if why := d.decode(l, r); why != "" {
		return why
	}
	if l.At == none && l.BadTime {
		return dialect.BadTime
	} else if l.At == none {
		return dialect.NoTime
	}
	if l.Unsynced {
		r.Flags |= evidence.NATClockSuspect
	}
	return ""
}

func (d *lineDecoder) decode(l *dialect.Line, r *evidence.NAT) string {
	if len(l.Text) == 0 && len(l.Data) == 0 && len(l.Host) == 0 {
		return dialect.Empty
	}
	for _, dec := range d.decoders {
		switch why := dec.Decode(l, r); why {
		case "":
			r.Device = d.names.of(l.Host)
			return ""
		case dialect.NotMine:
		default:
			return why
		}
	}
	if dialect.MayTranslate(l) {
		return dialect.UnknownLine
	}
	return dialect.NotTranslation
}

// names gives every host name one string, so that a record costs none.
type names struct {
	known map[string]string
}

const maxNames = 4096 // a relay has so many hosts at most; more are made as they come

func (n *names) of(b []byte) string {
	if s, ok := n.known[string(b)]; ok {
		return s
	}
	s := Escape(b, 255)
	if n.known == nil {
		n.known = make(map[string]string)
	}
	if len(n.known) < maxNames && len(b) <= 255 {
		n.known[string(b)] = s
	}
	return s
}

// Escape makes the first limit bytes of b fit to be kept and shown: control
// characters, line separators and what is no UTF-8 become \xNN, a backslash before
// them is not ambiguous because it becomes \x5c.
func Escape(b []byte, limit int) string {
	cut := len(b) > limit
	if cut {
		b = b[:limit]
	}
	plain := true
	for _, c := range b {
		if c < 0x20 || c >= 0x7f || c == '\\' {
			plain = false
			break
		}
	}
	if plain {
		if cut {
			return string(b) + "…"
		}
		return string(b)
	}
	return escape(b, cut)
}

func escape(b []byte, cut bool) string {
	const hex = "0123456789abcdef"
	out := make([]byte, 0, len(b)+16)
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError || r < 0x20 || r == '\\' || (r >= 0x7f && r < 0xa0) || hidden(r) {
			for _, c := range b[i : i+n] {
				out = append(out, '\\', 'x', hex[c>>4], hex[c&15])
			}
		} else {
			out = append(out, b[i:i+n]...)
		}
		i += n
	}
	if cut {
		out = append(out, "…"...)
	}
	return string(out)
}

// hidden says whether r would move or hide other text on a screen: line and paragraph
// separators, marks of direction, zero-width characters, the byte-order mark.
func hidden(r rune) bool {
	return (r >= 0x200b && r <= 0x200f) || (r >= 0x2028 && r <= 0x202e) || (r >= 0x2060 && r <= 0x2069) || r == 0xfeff
}
