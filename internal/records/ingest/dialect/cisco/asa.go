package cisco

import (
	"bytes"
	"net/netip"

	"garrison/evidence"
	"garrison/internal/records/ingest/dialect"
)

// asa reads "ASA-6-305011: text" (also "ASA-session-6-302013", as a message list with
// a name writes it).
func (d *Decoder) asa(b []byte, l *dialect.Line, r *evidence.NAT) string {
	colon := bytes.IndexByte(b, ':')
	if colon < 0 {
		return dialect.Truncated
	}
	number, ok := dialect.Uint(b[bytes.LastIndexByte(b[:colon], '-')+1 : colon])
	if !ok {
		return dialect.BadForm
	}
	b = bytes.TrimLeft(b[colon+1:], " ")
	switch number {
	case 305011, 305009:
		return slot(b, false, number == 305009, l, r)
	case 305012, 305010:
		return slot(b, true, number == 305010, l, r)
	case 305014, 305015, 305017:
		return block(b, number, l, r)
	case 302013, 302015, 302303: // built TCP, UDP, SCTP
		return d.connection(b, false, l, r)
	case 302014, 302016, 302304:
		return d.connection(b, true, l, r)
	case 302020:
		return icmp(b, false, l, r)
	case 302021:
		return icmp(b, true, l, r)
	}
	return dialect.NotTranslation // 305006 (no translation came about) among them
}

// slot reads a translation slot:
//
//	Built dynamic TCP translation from inside(acl):10.0.0.8/51000(user) to outside:203.0.113.8/32000
//	Teardown dynamic translation from … to … duration 0:00:30
//
// Without ports (305009, 305010) the whole address was mapped.
func slot(b []byte, gone, whole bool, l *dialect.Line, r *evidence.NAT) string {
	i := bytes.Index(b, []byte(" translation from "))
	if i < 0 {
		return dialect.Truncated
	}
	verb := b[:i]
	b = b[i+len(" translation from "):]
	if !whole {
		var ok bool
		if r.Proto, ok = dialect.Protocol(verb[bytes.LastIndexByte(verb, ' ')+1:]); !ok {
			return dialect.BadProtocol
		}
	}
	to := bytes.Index(b, []byte(" to "))
	if to < 0 {
		return dialect.Truncated
	}
	var why string
	if r.InsideIP, r.InsidePort, why = interfaceEndpoint(b[:to], whole); why != "" {
		return why
	}
	b = b[to+4:]
	end := bytes.Index(b, []byte(" duration "))
	far := b
	if end >= 0 {
		far = b[:end]
	} else if gone {
		return dialect.Truncated
	}
	if r.OutsideIP, r.OutsidePort, why = interfaceEndpoint(far, whole); why != "" {
		return why
	}
	r.OutsidePortLast = r.OutsidePort
	if whole {
		r.OutsidePortLast = 65535
	}
	if r.InsideIP == r.OutsideIP && r.InsidePort == r.OutsidePort && !whole {
		return dialect.NotTranslation // an identity slot
	}
	if !gone {
		l.Built(r)
		return ""
	}
	return ended(b[end+len(" duration "):], l, r)
}

// ended reads h:mm:ss at the start of b and makes r a teardown.
func ended(b []byte, l *dialect.Line, r *evidence.NAT) string {
	tok, _ := dialect.Token(b)
	lasted, ok := dialect.Duration(tok)
	if !ok {
		return dialect.BadDuration
	}
	l.Ended(r, lasted)
	return ""
}

// interfaceEndpoint reads name(acl):address/port(user). The name is what stands
// before the first colon; the rest may be an IPv6 address.
func interfaceEndpoint(b []byte, whole bool) (netip.Addr, uint16, string) {
	i := bytes.IndexByte(b, ':')
	if i < 0 {
		return netip.Addr{}, 0, dialect.Truncated
	}
	b = b[i+1:]
	if j := bytes.IndexAny(b, "( "); j >= 0 {
		b = b[:j]
	}
	if whole {
		ip, ok := dialect.Addr(b)
		if !ok {
			return ip, 0, dialect.BadAddress
		}
		return ip, 0, ""
	}
	return dialect.Endpoint(b, '/')
}

// block reads a block of ports:
//
//	Allocated 512 block of ports for translation from inside:10.0.0.8 to outside:203.0.113.8/1024-1535
func block(b []byte, number int64, l *dialect.Line, r *evidence.NAT) string {
	b, ok := dialect.After(b, " block of ports for translation from ")
	if !ok {
		return dialect.Truncated
	}
	to := bytes.Index(b, []byte(" to "))
	if to < 0 {
		return dialect.Truncated
	}
	var why string
	if r.InsideIP, _, why = interfaceEndpoint(b[:to], true); why != "" {
		return why
	}
	tok, _ := dialect.Token(b[to+4:])
	tok = bytes.TrimRight(tok, ".")
	dash := bytes.LastIndexByte(tok, '-')
	if dash < 0 {
		return dialect.Truncated
	}
	if r.OutsidePortLast, ok = dialect.Port(tok[dash+1:]); !ok {
		return dialect.BadPort
	}
	if r.OutsideIP, r.OutsidePort, why = interfaceEndpoint(tok[:dash], false); why != "" {
		return why
	}
	if r.OutsidePortLast < r.OutsidePort {
		return dialect.BadPort
	}
	switch number {
	case 305015:
		l.Ended(r, -1)
		r.Event = evidence.NATBlockReleased
	case 305017: // a reminder that the block is still given
		l.Seen(r)
		r.Event = evidence.NATBlockGiven
	default:
		l.Built(r)
		r.Event = evidence.NATBlockGiven
	}
	return ""
}

// end is one side of a connection: its own address and the one it was mapped to.
type end struct {
	ip, mapped         netip.Addr
	port, mappedPort   uint16
	hasMapped, changed bool
}

// connection reads
//
//	Built outbound TCP connection 42 for outside:198.51.100.7/443 (198.51.100.7/443)(user) to inside:10.0.0.8/51000 (203.0.113.8/32000)
//	Teardown TCP connection 42 for outside:198.51.100.7/443 to inside:10.0.0.8/51000 duration 0:00:30 bytes 612 TCP FINs
//	Built outbound TCP connection 42 for faddr 198.51.100.7/443 gaddr 203.0.113.8/32000 laddr 10.0.0.8/51000
func (d *Decoder) connection(b []byte, gone bool, l *dialect.Line, r *evidence.NAT) string {
	i := bytes.Index(b, []byte(" connection "))
	if i < 0 {
		return dialect.Truncated
	}
	verb := b[:i]
	var ok bool
	if r.Proto, ok = dialect.Protocol(verb[bytes.LastIndexByte(verb, ' ')+1:]); !ok {
		return dialect.BadProtocol
	}
	tok, b := dialect.Token(b[i+len(" connection "):])
	id, ok := dialect.Uint(tok)
	if !ok {
		return dialect.BadForm
	}
	if !hasPrefix(b, "for ") {
		return dialect.Truncated
	}
	b = b[len("for "):]
	var first, second end
	var why string
	if hasPrefix(b, "faddr ") {
		if b, why = threeAddresses(b, '/', r); why != "" {
			return why
		}
	} else {
		if b, why = first.read(b); why != "" {
			return why
		}
		if b, ok = cutWord(b, "to"); !ok {
			return dialect.Truncated
		}
		if b, why = second.read(b); why != "" {
			return why
		}
		if gone {
			return d.torn(id, &first, &second, b, l, r)
		}
		if why = sides(&first, &second, r); why != "" {
			return why
		}
	}
	if gone {
		if b, ok = dialect.After(b, "duration "); !ok {
			return dialect.Truncated
		}
		return ended(b, l, r)
	}
	d.conns.put(connKey(l.Host, id), r)
	l.Built(r)
	return ""
}

// sides finds the translated side: the second, which is the inside, or else the first.
func sides(first, second *end, r *evidence.NAT) string {
	if !first.hasMapped || !second.hasMapped {
		return dialect.Truncated
	}
	in, out := second, first
	if !in.changed {
		in, out = first, second
	}
	if !in.changed {
		return dialect.NotTranslation
	}
	r.InsideIP, r.InsidePort = in.ip, in.port
	r.OutsideIP, r.OutsidePort = in.mapped, in.mappedPort
	r.DstIP, r.DstPort = out.mapped, out.mappedPort
	r.OutsidePortLast = r.OutsidePort
	return ""
}

// torn completes a teardown with what the building of the connection told.
func (d *Decoder) torn(id int64, first, second *end, b []byte, l *dialect.Line, r *evidence.NAT) string {
	b, ok := dialect.After(b, "duration ")
	if !ok {
		return dialect.Truncated
	}
	proto := r.Proto
	if !d.conns.take(connKey(l.Host, id), r) || r.Proto != proto ||
		!(r.InsideIP == second.ip && r.InsidePort == second.port || r.InsideIP == first.ip && r.InsidePort == first.port) {
		if first.hasMapped && second.hasMapped { // some releases do name both
			r.Proto = proto
			if why := sides(first, second, r); why != "" {
				return why
			}
			return ended(b, l, r)
		}
		return dialect.NoMatch
	}
	return ended(b, l, r)
}

// read reads "name:address/port [(mapped/port)] [(user)]" and stops before what
// follows. Names may have blanks ("NP Identity Ifc").
func (e *end) read(b []byte) (rest []byte, why string) {
	i := bytes.IndexByte(b, ':')
	if i < 0 {
		return nil, dialect.Truncated
	}
	b = b[i+1:]
	n := bytes.IndexAny(b, " (")
	if n < 0 {
		n = len(b)
	}
	if e.ip, e.port, why = dialect.Endpoint(b[:n], '/'); why != "" {
		return nil, why
	}
	for b = bytes.TrimLeft(b[n:], " "); len(b) > 0 && b[0] == '('; b = bytes.TrimLeft(b, " ") {
		n := bytes.IndexByte(b, ')')
		if n < 0 {
			return nil, dialect.Truncated
		}
		ip, port, why := dialect.Endpoint(b[1:n], '/')
		if b = b[n+1:]; why != "" || e.hasMapped {
			continue // the user's name
		}
		e.mapped, e.mappedPort, e.hasMapped = ip, port, true
		e.changed = ip != e.ip || port != e.port
	}
	return b, ""
}

func cutWord(b []byte, word string) ([]byte, bool) {
	tok, rest := dialect.Token(b)
	return rest, string(tok) == word
}

// icmp reads "… ICMP connection for faddr 198.51.100.7/0 gaddr 203.0.113.8/512 laddr
// 10.0.0.8/512 type 8 code 0"; the numbers after the slash are the query's.
func icmp(b []byte, gone bool, l *dialect.Line, r *evidence.NAT) string {
	i := bytes.Index(b, []byte("faddr "))
	if i < 0 {
		return dialect.Truncated
	}
	r.Proto = 1
	if bytes.Contains(b[:i], []byte("ICMPv6")) {
		r.Proto = 58
	}
	if _, why := threeAddresses(b[i:], '/', r); why != "" {
		return why
	}
	r.DstPort = 0
	if gone {
		l.Ended(r, -1)
	} else {
		l.Built(r)
	}
	return ""
}

// threeAddresses reads "faddr F gaddr G laddr L", each with a port and maybe a user.
func threeAddresses(b []byte, sep byte, r *evidence.NAT) (rest []byte, why string) {
	for _, side := range []struct {
		word string
		ip   *netip.Addr
		port *uint16
	}{{"faddr", &r.DstIP, &r.DstPort}, {"gaddr", &r.OutsideIP, &r.OutsidePort}, {"laddr", &r.InsideIP, &r.InsidePort}} {
		var ok bool
		if b, ok = cutWord(b, side.word); !ok {
			return nil, dialect.Truncated
		}
		n := bytes.IndexAny(b, " (")
		if n < 0 {
			n = len(b)
		}
		if *side.ip, *side.port, why = dialect.Endpoint(b[:n], sep); why != "" {
			return nil, why
		}
		for b = bytes.TrimLeft(b[n:], " "); len(b) > 0 && b[0] == '('; b = bytes.TrimLeft(b, " ") {
			if n = bytes.IndexByte(b, ')'); n < 0 {
				return nil, dialect.Truncated
			}
			b = b[n+1:]
		}
	}
	r.OutsidePortLast = r.OutsidePort
	if r.InsideIP == r.OutsideIP && r.InsidePort == r.OutsidePort {
		return nil, dialect.NotTranslation
	}
	return b, ""
}
