package juniper

import (
	"bytes"

	"garrison/evidence"
	"garrison/internal/records/ingest/dialect"
)

// sessionPlain reads
//
//	session created 10.0.0.8/51000->198.51.100.7/443 0x0 junos-https 203.0.113.5/40123->198.51.100.7/443 0x0 source rule r1 N/A N/A 6 …
//	session closed TCP FIN: … 6 permit trust untrust 12345 10(550) 9(709) 30 …
//
// Releases before connection tags leave out 0x0, and name the two rules without
// their types.
func sessionPlain(b []byte, gone bool, l *dialect.Line, r *evidence.NAT) string {
	var f flow
	before, b, ok := arrow(b)
	if !ok {
		return dialect.Truncated
	}
	after, b, ok := arrow(b)
	if !ok {
		return dialect.Truncated
	}
	var why string
	if f.src, f.dst, why = pair(before); why != "" {
		return why
	}
	if f.natSrc, f.natDst, why = pair(after); why != "" {
		return why
	}
	if b, why = pastRules(b, r); why != "" {
		return why
	}
	if gone {
		f.lasted, f.hasEnd = elapsed(b)
	}
	return f.record(gone, l, r)
}

// arrow returns the next word of b that has "->" in it, and the rest.
func arrow(b []byte) (tok, rest []byte, ok bool) {
	i := bytes.Index(b, []byte("->"))
	if i < 0 {
		return nil, nil, false
	}
	start := bytes.LastIndexAny(b[:i], " \t") + 1
	tok, rest = dialect.Token(b[start:])
	return tok, rest, true
}

// pair reads address/port->address/port.
func pair(b []byte) (from, to endpoint, why string) {
	i := bytes.Index(b, []byte("->"))
	if i < 0 {
		return from, to, dialect.BadForm
	}
	if from.ip, from.port, why = dialect.Endpoint(b[:i], '/'); why != "" {
		return from, to, why
	}
	to.ip, to.port, why = dialect.Endpoint(b[i+2:], '/')
	return from, to, why
}

// pastRules skips [tag] and the two rules, reads the protocol and returns the rest.
func pastRules(b []byte, r *evidence.NAT) ([]byte, string) {
	if hasPrefix(b, "0x") {
		_, b = dialect.Token(b)
	}
	for range 2 {
		tok, rest := dialect.Token(b)
		next, afterNext := dialect.Token(rest)
		switch {
		case string(next) == "rule": // "source rule NAME"
			_, rest = dialect.Token(afterNext)
		case string(tok) == "N/A" && string(next) == "N/A":
			rest = afterNext
		}
		b = rest
	}
	tok, b := dialect.Token(b)
	if len(tok) == 0 {
		return nil, dialect.Truncated
	}
	var ok bool
	if r.Proto, ok = dialect.Protocol(tok); !ok {
		return nil, dialect.BadProtocol
	}
	return b, ""
}

// elapsed finds the seconds after the two counts "packets(bytes)" of a closed session.
func elapsed(b []byte) (int64, bool) {
	counts := 0
	for len(b) > 0 {
		var tok []byte
		tok, b = dialect.Token(b)
		if count(tok) {
			counts++
			continue
		}
		if counts >= 2 {
			s, ok := dialect.Uint(tok)
			return s, ok && s < 1<<31
		}
		counts = 0
	}
	return 0, false
}

// count says whether tok is digits(digits).
func count(tok []byte) bool {
	i := bytes.IndexByte(tok, '(')
	if i < 1 || tok[len(tok)-1] != ')' {
		return false
	}
	_, ok1 := dialect.Uint(tok[:i])
	_, ok2 := dialect.Uint(tok[i+1 : len(tok)-1])
	return ok1 && ok2
}

// blockPlain reads the text form of a block, see blockRT.
func blockPlain(b []byte, r *evidence.NAT) (epoch int64, why string) {
	b, ok := dialect.After(b, "Subscriber ")
	if !ok {
		return 0, dialect.BadForm
	}
	tok, b := dialect.Token(b)
	if r.InsideIP, ok = dialect.Addr(tok); !ok {
		return 0, dialect.BadAddress
	}
	if b, ok = dialect.After(b, "port block ["); !ok {
		return 0, dialect.Truncated
	}
	end := bytes.IndexByte(b, ']')
	if end < 0 {
		return 0, dialect.Truncated
	}
	if r.OutsidePort, r.OutsidePortLast, ok = portRange(b[:end]); !ok {
		return 0, dialect.BadPort
	}
	if b, ok = dialect.After(b[end:], "from "); !ok {
		return 0, dialect.Truncated
	}
	tok, b = dialect.Token(b)
	if r.OutsideIP, ok = dialect.Addr(tok); !ok {
		return 0, dialect.BadAddress
	}
	if b, ok = dialect.After(b, "epoch "); ok {
		tok, _ = dialect.Token(b)
		if epoch, ok = dialect.Hex(tok); !ok || epoch >= 1<<36 {
			return 0, dialect.BadTime
		}
	}
	return epoch, ""
}

func portRange(b []byte) (low, high uint16, ok bool) {
	i := bytes.IndexByte(b, '-')
	if i < 0 {
		return 0, 0, false
	}
	low, ok1 := dialect.Port(b[:i])
	high, ok2 := dialect.Port(b[i+1:])
	return low, high, ok1 && ok2 && low <= high
}

// blockServices reads what follows ALLOC, RELEASE or ACTIVE of a services card:
//
//	10.0.0.8 -> 203.0.113.5:1024-1151 0x6a44007a
//
// The number at the end is a time in UTC; in a release it is taken for the time of
// allocation only if it lies before the release.
func blockServices(kind, b []byte, l *dialect.Line, r *evidence.NAT) string {
	tok, b := dialect.Token(b)
	arrow, b := dialect.Token(b)
	outside, b := dialect.Token(b)
	if len(outside) == 0 || string(arrow) != "->" {
		return dialect.Truncated
	}
	var ok bool
	if r.InsideIP, ok = dialect.Addr(tok); !ok {
		return dialect.BadAddress
	}
	i := bytes.LastIndexByte(outside, ':')
	if i < 0 {
		return dialect.Truncated
	}
	if r.OutsideIP, ok = dialect.Addr(outside[:i]); !ok {
		return dialect.BadAddress
	}
	if r.OutsidePort, r.OutsidePortLast, ok = portRange(outside[i+1:]); !ok {
		return dialect.BadPort
	}
	tok, _ = dialect.Token(b)
	epoch, hasEpoch := dialect.Hex(tok)
	hasEpoch = hasEpoch && epoch > 0 && epoch < 1<<36
	switch string(kind) {
	case "ALLOC":
		l.Built(r)
		r.Event = evidence.NATBlockGiven
	case "ACTIVE":
		if l.Seen(r); hasEpoch {
			r.Start, r.Flags = epoch*1000, r.Flags&^evidence.NATStartUnknown
		}
		r.Event = evidence.NATBlockGiven
	case "RELEASE":
		lasted := int64(-1)
		if hasEpoch && l.At-epoch*1000 >= 1000 {
			lasted = l.At - epoch*1000
		}
		l.Ended(r, lasted)
		r.Event = evidence.NATBlockReleased
	default:
		return dialect.BadForm
	}
	return ""
}

// services reads a session of a services card:
//
//	application:none, xe-3/1/1.0 10.0.0.8:18575 [203.0.113.17:1048] -> 198.51.100.2:63 (UDP)
//
// The public endpoint stands in brackets behind the side that it replaces. A relay
// may have written a line feed in the middle as #012.
func services(b []byte, gone bool, l *dialect.Line, r *evidence.NAT) string {
	i := bytes.Index(b, []byte(" -> "))
	if i < 0 {
		return dialect.Truncated
	}
	left, right := b[:i], b[i+4:]
	from, public, why := side(left)
	if why != "" {
		return why
	}
	close := bytes.LastIndexByte(right, '(')
	if close < 0 {
		return dialect.Truncated
	}
	name := right[close+1:]
	end := bytes.IndexByte(name, ')')
	if end < 0 {
		return dialect.Truncated
	}
	var ok bool
	if r.Proto, ok = dialect.Protocol(name[:end]); !ok {
		return dialect.BadProtocol
	}
	to, real, why := side(bytes.TrimRight(right[:close], " "))
	if why != "" {
		return why
	}
	f := flow{src: from, natSrc: from, dst: to, natDst: to}
	if public.ip.IsValid() {
		f.natSrc = public
	}
	if real.ip.IsValid() {
		f.natDst = real
	}
	return f.record(gone, l, r)
}

// side reads "… address:port [address:port]", the bracket may be missing.
func side(b []byte) (own, other endpoint, why string) {
	b = bytes.TrimRight(b, " ")
	if n := len(b); n > 0 && b[n-1] == ']' {
		open := bytes.LastIndexByte(b, '[')
		if open < 0 {
			return own, other, dialect.Truncated
		}
		if other.ip, other.port, why = dialect.Endpoint(b[open+1:n-1], ':'); why != "" {
			return own, other, why
		}
		b = bytes.TrimRight(b[:open], " ")
	}
	b = b[bytes.LastIndexByte(b, ' ')+1:]
	if k := bytes.LastIndex(b, []byte("#012")); k >= 0 {
		b = b[k+4:]
	}
	own.ip, own.port, why = dialect.Endpoint(b, ':')
	return own, other, why
}
