// Package columns holds the columns of a translation record as files write them:
// their names, how each is read, and which belong together. JSON lines and CSV share
// them.
//
// Reasons begin with a code and say after a colon which column and what stood there.
package columns

import (
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"

	"garrison/evidence"
	"garrison/internal/records/ingest/dialect"
	"garrison/internal/records/ingest/syslog"
)

// Columns, as bits of a Row's set.
const (
	Start = 1 << iota
	End
	Proto
	InsideIP
	InsidePort
	OutsideIP
	OutsidePort
	OutsidePortLast
	Line
	Device
	DstIP
	DstPort
)

// Required are the columns that every record has; InsidePort too, unless the record
// is of a block of ports.
const Required = Start | Proto | InsideIP | OutsideIP | OutsidePort

// Names lists the columns in the order of their bits.
func Names() []string {
	return []string{"start", "end", "proto", "inside_ip", "inside_port", "outside_ip", "outside_port",
		"outside_port_last", "line", "device", "dst_ip", "dst_port"}
}

// ByName returns the bit of a column, 0 when there is no such column.
func ByName(name []byte) int {
	switch string(name) {
	case "start":
		return Start
	case "end":
		return End
	case "proto":
		return Proto
	case "inside_ip":
		return InsideIP
	case "inside_port":
		return InsidePort
	case "outside_ip":
		return OutsideIP
	case "outside_port":
		return OutsidePort
	case "outside_port_last":
		return OutsidePortLast
	case "line":
		return Line
	case "device":
		return Device
	case "dst_ip":
		return DstIP
	case "dst_port":
		return DstPort
	}
	return 0
}

// Numeric says whether a column holds a number.
func Numeric(column int) bool {
	return column&(InsidePort|OutsidePort|OutsidePortLast|DstPort) != 0
}

const maxText = 255 // bytes of a line's or a device's name

// Texts keeps the names that came before, so that a record costs none. The zero value
// is ready; not safe for concurrent use.
type Texts struct{ known map[string]string }

func (t *Texts) of(b []byte) string {
	if s, ok := t.known[string(b)]; ok {
		return s
	}
	s := string(b)
	if t.known == nil || len(t.known) >= 1<<16 {
		t.known = make(map[string]string)
	}
	t.known[s] = s
	return s
}

// Set reads one value into r and returns "" or a reason. An optional time or address
// that is empty is one that is not given: that is how programs write what they lack.
func (t *Texts) Set(column int, v []byte, r *evidence.NAT) string {
	if len(v) == 0 && column&(End|DstIP) != 0 {
		return ""
	}
	switch column {
	case Start:
		return setTime("start", v, &r.Start)
	case End:
		return setTime("end", v, &r.End)
	case Proto:
		var ok bool
		if r.Proto, ok = dialect.Protocol(v); !ok {
			return because(dialect.BadProtocol, "proto", v)
		}
	case InsideIP:
		return setAddr("inside_ip", v, &r.InsideIP)
	case OutsideIP:
		return setAddr("outside_ip", v, &r.OutsideIP)
	case DstIP:
		return setAddr("dst_ip", v, &r.DstIP)
	case InsidePort:
		return setPort("inside_port", v, &r.InsidePort)
	case OutsidePort:
		return setPort("outside_port", v, &r.OutsidePort)
	case OutsidePortLast:
		return setPort("outside_port_last", v, &r.OutsidePortLast)
	case DstPort:
		return setPort("dst_port", v, &r.DstPort)
	case Line:
		return t.setText("line", v, &r.Line)
	case Device:
		return t.setText("device", v, &r.Device)
	}
	return ""
}

// Finish checks what belongs together once all columns in set were read.
func Finish(set int, r *evidence.NAT) string {
	need := Required
	if set&OutsidePortLast == 0 {
		need |= InsidePort
		r.OutsidePortLast = r.OutsidePort
	}
	if missing := need &^ set; missing != 0 {
		return Missing + ": " + strings.Join(list(missing), ", ")
	}
	if r.OutsidePortLast < r.OutsidePort {
		return fmt.Sprintf("%s: outside_port_last %d is below outside_port %d", dialect.BadPort, r.OutsidePortLast, r.OutsidePort)
	}
	if set&End == 0 || r.End == 0 {
		r.Event = evidence.NATBuilt
		if r.OutsidePortLast > r.OutsidePort {
			r.Event = evidence.NATBlockGiven
		}
		return ""
	}
	if r.End < r.Start {
		return dialect.BadTime + ": end is before start"
	}
	r.Event = evidence.NATComplete
	return ""
}

// More reasons, with the same promise as those of package dialect.
const (
	Missing    = "missing_column"
	UnknownKey = "unknown_key"
	Repeated   = "repeated_key"
	BadValue   = "bad_value"
	BadJSON    = "bad_json"
	BadRow     = "bad_row"
	BadText    = "bad_text"
)

func list(set int) []string {
	var out []string
	for i, name := range Names() {
		if set&(1<<i) != 0 {
			out = append(out, name)
		}
	}
	return out
}

// because makes a reason. What stood there is quoted, so that it cannot write into a
// log or onto a screen, and cut.
func because(code, column string, v []byte) string {
	cut := ""
	if len(v) > 64 {
		v, cut = v[:64], "…"
	}
	return fmt.Sprintf("%s: %s %q%s", code, column, v, cut)
}

func setTime(name string, v []byte, to *int64) string {
	ms, ok := syslog.ParseTime(v)
	if !ok || ms <= 0 {
		return because(dialect.BadTime, name, v) + " (wanted: 2026-11-22T10:00:03.000+08:00)"
	}
	*to = ms
	return ""
}

func setAddr(name string, v []byte, to *netip.Addr) string {
	var ok bool
	if *to, ok = dialect.Addr(v); !ok {
		return because(dialect.BadAddress, name, v)
	}
	return ""
}

func setPort(name string, v []byte, to *uint16) string {
	var ok bool
	if *to, ok = dialect.Port(v); !ok {
		return because(dialect.BadPort, name, v)
	}
	return ""
}

func (t *Texts) setText(name string, v []byte, to *string) string {
	if len(v) > maxText {
		return fmt.Sprintf("%s: %s has %d bytes, more than %d", BadText, name, len(v), maxText)
	}
	if !utf8.Valid(v) {
		return because(BadText, name, v)
	}
	for _, c := range v {
		if c < 0x20 || c == 0x7f {
			return because(BadText, name, v)
		}
	}
	*to = t.of(v)
	return ""
}
