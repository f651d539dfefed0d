// Package netfilter reads the translation lines of Linux: the events of conntrack -E
// (with -o timestamp or extended), the flows that ulogd2 prints (NFCT to PRINTFLOW),
// and the entries of /proc/net/nf_conntrack.
//
// A connection is described by two tuples, as it left the inside and as its answer
// comes back. Where the answer goes to another address or port than the first came
// from, the source was translated; where it comes from another than the first went
// to, the destination was. An entry whose tuples mirror each other tells of no
// translation.
package netfilter

import (
	"bytes"

	"garrison/evidence"
	"garrison/internal/records/ingest/dialect"

	"net/netip"
)

// Decoder reads netfilter's lines. The zero value is ready.
type Decoder struct{}

// NewDecoder returns a decoder.
func NewDecoder() *Decoder { return &Decoder{} }

type tuple struct {
	src, dst                  netip.Addr
	sport, dport, id          uint16
	hasSport, hasPorts, hasID bool // hasPorts: both
}

// flow is what one line says.
type flow struct {
	event  byte // 'N'ew, 'U'pdate, 'D'estroy, 0: an entry of the table
	proto  uint8
	known  bool // proto was named
	tuples [2]tuple
	n      int   // tuples begun
	lasted int64 // ms, -1: not said
}

// Decode implements dialect.Decoder.
func (*Decoder) Decode(l *dialect.Line, r *evidence.NAT) string {
	text := l.Text
	i := bytes.Index(text, []byte("src="))
	if i < 0 {
		if i = bytes.Index(text, []byte("SRC=")); i < 0 {
			return dialect.NotMine
		}
		if _, ok := dialect.After(text, "ORIG: "); !ok {
			return dialect.NotMine // a packet that a firewall rule logged
		}
	} else if bytes.IndexByte(text[:i], '"') >= 0 || (i > 0 && text[i-1] != ' ' && text[i-1] != '\t') {
		return dialect.NotMine
	}
	f := flow{lasted: -1}
	if why := f.read(text, l); why != "" {
		return why
	}
	return f.record(l, r)
}

// read goes through the words of text once.
func (f *flow) read(text []byte, l *dialect.Line) string {
	var tok []byte
	var why string
	for len(text) > 0 && why == "" {
		tok, text = dialect.Token(text)
		if len(tok) == 0 {
			continue
		}
		switch eq := bytes.IndexByte(tok, '='); {
		case tok[0] == '[':
			f.mark(tok, l)
		case eq > 0:
			why = f.pair(tok[:eq], tok[eq+1:])
		case f.n == 0 && !f.known:
			// "tcp      6": the number decides, the name is for people. "ipv4     2"
			// before it is the layer below. "conntrack:" is a TAG.
			next, _ := dialect.Token(text)
			n, ok := dialect.Uint(next)
			if ok && n <= 255 && string(tok) != "ipv4" && string(tok) != "ipv6" && tok[len(tok)-1] != ':' {
				f.proto, f.known = uint8(n), true
			}
		}
	}
	return why
}

// mark reads a word in brackets: an event or the time that conntrack prints.
func (f *flow) mark(tok []byte, l *dialect.Line) {
	switch string(tok) {
	case "[NEW]":
		f.event, f.known = 'N', false
	case "[UPDATE]":
		f.event, f.known = 'U', false
	case "[DESTROY]":
		f.event, f.known = 'D', false
	default:
		if f.n > 0 || len(tok) < 12 || tok[len(tok)-1] != ']' {
			return
		}
		dot := bytes.IndexByte(tok, '.')
		if dot < 2 || len(tok)-dot < 5 {
			return
		}
		sec, ok1 := dialect.Uint(tok[1:dot])
		ms, ok2 := dialect.Uint(tok[dot+1 : dot+4])
		if ok1 && ok2 && sec < 1<<36 {
			l.At = sec*1000 + ms
			l.Unsynced = false
		}
	}
}

func (f *flow) pair(key, val []byte) string {
	switch string(key) {
	case "src", "SRC":
		if f.n == 2 {
			return dialect.BadForm
		}
		f.n++
		return addr(val, &f.tuples[f.n-1].src)
	case "delta-time":
		if s, ok := dialect.Uint(val); ok && s < 1<<31 {
			f.lasted = s * 1000
			return ""
		}
		return dialect.BadDuration
	}
	if f.n == 0 {
		return ""
	}
	t := &f.tuples[f.n-1]
	switch string(key) {
	case "dst", "DST":
		return addr(val, &t.dst)
	case "sport", "SPT":
		t.hasSport = true
		return port(val, &t.sport)
	case "dport", "DPT":
		t.hasPorts = t.hasSport
		return port(val, &t.dport)
	case "id":
		// The id of an ICMP query; conntrack -o id puts its own at the end as well.
		if !t.hasSport && !t.hasID {
			t.hasID = true
			return port(val, &t.id)
		}
	case "PROTO":
		var ok bool
		if f.proto, ok = dialect.Protocol(val); !ok {
			return dialect.BadProtocol
		}
		f.known = true
	}
	return ""
}

func (f *flow) record(l *dialect.Line, r *evidence.NAT) string {
	a, b := &f.tuples[0], &f.tuples[1]
	switch {
	case f.n < 2 || !a.dst.IsValid() || !b.dst.IsValid():
		return dialect.Truncated
	case !f.known:
		return dialect.BadProtocol
	case a.hasPorts != b.hasPorts || (!b.hasPorts && portsOwed(f.proto)):
		return dialect.Truncated
	}
	if !a.hasPorts { // ICMP: the query's id stands where a port would
		a.sport, b.dport = a.id, b.id
	}
	switch {
	case a.src != b.dst || a.sport != b.dport: // the source was translated
		r.InsideIP, r.InsidePort = a.src, a.sport
		r.OutsideIP, r.OutsidePort = b.dst, b.dport
		r.DstIP, r.DstPort = b.src, b.sport
	case a.dst != b.src || a.dport != b.sport: // the destination was
		r.InsideIP, r.InsidePort = b.src, b.sport
		r.OutsideIP, r.OutsidePort = a.dst, a.dport
		r.DstIP, r.DstPort = a.src, a.sport
	default:
		return dialect.NotTranslation
	}
	r.OutsidePortLast, r.Proto = r.OutsidePort, f.proto
	switch f.event {
	case 'U':
		// A TCP connection has four of these. As records they would be four more
		// mappings of which nobody ever sees the end.
		return dialect.Repetition
	case 'N':
		l.Built(r)
	case 'D':
		l.Ended(r, f.lasted)
	default:
		l.Seen(r)
	}
	return ""
}

// portsOwed: a line of these protocols that has no ports has lost them.
func portsOwed(proto uint8) bool {
	return proto == 6 || proto == 17 || proto == 132 || proto == 33 || proto == 136
}

func addr(b []byte, to *netip.Addr) string {
	var ok bool
	if *to, ok = dialect.Addr(b); !ok {
		return dialect.BadAddress
	}
	return ""
}

func port(b []byte, to *uint16) string {
	var ok bool
	if *to, ok = dialect.Port(b); !ok {
		return dialect.BadPort
	}
	return ""
}
