// Package cisco reads the translation lines of ASA and FTD (message numbers 3020xx
// and 3050xx), of IOS and IOS XE (%IPNAT and %NAT-6-LOG_TRANSLATION), and of the
// carrier-grade NAT of IOS XR (NAT44 - […]).
//
// The ASA's teardown of a connection (302014, 302016) does not say which public
// address the connection had; the line that told of its building (302013, 302015)
// did. The decoder remembers that, within limits, so that the end of a connection
// becomes a record too. The number of the connection and the inside address must both
// agree, so a number used again cannot put a session down to somebody else.
package cisco

import (
	"bytes"

	"garrison/evidence"
	"garrison/internal/records/ingest/dialect"
)

// Decoder reads Cisco's lines of one source.
type Decoder struct {
	conns connections
}

// NewDecoder returns a decoder.
func NewDecoder() *Decoder { return &Decoder{} }

// Decode implements dialect.Decoder.
func (d *Decoder) Decode(l *dialect.Line, r *evidence.NAT) string {
	text := l.Text
	for {
		i := bytes.IndexByte(text, '%')
		if i < 0 {
			break
		}
		text = text[i+1:]
		switch {
		case hasPrefix(text, "ASA-"), hasPrefix(text, "FTD-"), hasPrefix(text, "PIX-"), hasPrefix(text, "FWSM-"):
			return d.asa(text, l, r)
		case hasPrefix(text, "NAT-"), hasPrefix(text, "IPNAT-"):
			return ios(text, l, r)
		}
	}
	if rest, ok := dialect.After(l.Text, "NAT44 - ["); ok {
		return xr(rest, l, r)
	}
	return dialect.NotMine
}

func hasPrefix(b []byte, s string) bool { return len(b) >= len(s) && string(b[:len(s)]) == s }

// ios reads "IPNAT-6-CREATED: tcp a b c d", "IPNAT-6-NAT_CREATED: Created tcp a b c d"
// and "NAT-6-LOG_TRANSLATION: Created Translation TCP a b c d 0": the inside local,
// inside global, outside local and outside global addresses with their ports.
func ios(b []byte, l *dialect.Line, r *evidence.NAT) string {
	colon := bytes.IndexByte(b, ':')
	if colon < 0 {
		return dialect.Truncated
	}
	name, b := b[:colon], bytes.TrimLeft(b[colon+1:], " ")
	var gone bool
	switch string(name[bytes.LastIndexByte(name, '-')+1:]) {
	case "CREATED", "NAT_CREATED":
	case "DELETED", "NAT_DELETED":
		gone = true
	case "LOG_TRANSLATION":
		if !hasPrefix(b, "Created") && !hasPrefix(b, "Deleted") {
			return dialect.BadForm
		}
		gone = b[0] == 'D'
	default:
		return dialect.NotTranslation // pools running dry, pool changes, licences
	}
	tok, b := dialect.Token(b)
	if string(tok) == "Created" || string(tok) == "Deleted" {
		if tok, b = dialect.Token(b); string(tok) == "Translation" {
			tok, b = dialect.Token(b)
		}
	}
	if len(tok) == 0 {
		return dialect.Truncated
	}
	var ok bool
	if r.Proto, ok = dialect.Protocol(tok); !ok {
		return dialect.BadProtocol
	}
	if why := iosAddresses(b, r); why != "" {
		return why
	}
	if gone {
		l.Ended(r, -1)
	} else {
		l.Built(r)
	}
	return ""
}

func iosAddresses(b []byte, r *evidence.NAT) string {
	var t [4][]byte
	for i := range t {
		t[i], b = dialect.Token(b)
	}
	if len(t[1]) == 0 {
		return dialect.Truncated
	}
	var why string
	if r.InsideIP, r.InsidePort, why = dialect.Endpoint(t[0], ':'); why != "" {
		return why
	}
	if r.OutsideIP, r.OutsidePort, why = dialect.Endpoint(t[1], ':'); why != "" {
		return why
	}
	far := t[3] // the outside global address is the one the internet knows
	if len(far) == 0 {
		if far = t[2]; len(far) == 0 {
			return dialect.Truncated
		}
	}
	if string(far) != "---" {
		if r.DstIP, r.DstPort, why = dialect.Endpoint(far, ':'); why != "" {
			return why
		}
	}
	r.OutsidePortLast = r.OutsidePort
	if r.InsideIP == r.OutsideIP && r.InsidePort == r.OutsidePort {
		return dialect.NotTranslation
	}
	return ""
}

// xr reads one event of IOS XR's NAT44, after its opening bracket:
//
//	EventName L4 source VRF source6 translated port first last destination port]
//
// A line may carry several; such a line is refused rather than read in part, because
// a line is one record or one refusal.
func xr(b []byte, l *dialect.Line, r *evidence.NAT) string {
	end := bytes.IndexByte(b, ']')
	if end < 0 {
		return dialect.Truncated
	}
	if bytes.IndexByte(b[end:], '[') >= 0 {
		return dialect.Several
	}
	var f [11][]byte
	rest := b[:end]
	for i := range f {
		f[i], rest = dialect.Token(rest)
	}
	gone, block := false, false
	switch string(f[0]) {
	case "UserbasedA":
		block = true
	case "UserbasedW":
		block, gone = true, true
	case "SessionbasedA", "SessionbasedAD":
	case "SessionbasedW", "SessionbasedWD":
		gone = true
	default:
		return dialect.NotTranslation
	}
	if len(f[7]) == 0 {
		return dialect.Truncated
	}
	if why := xrFields(&f, block, r); why != "" {
		return why
	}
	switch {
	case gone:
		l.Ended(r, -1)
		if block {
			r.Event = evidence.NATBlockReleased
		}
	default:
		l.Built(r)
		if block {
			r.Event = evidence.NATBlockGiven
		}
	}
	return ""
}

func xrFields(f *[11][]byte, block bool, r *evidence.NAT) string {
	var ok1, ok2 bool
	if string(f[1]) != "-" {
		if r.Proto, ok1 = dialect.Protocol(f[1]); !ok1 {
			return dialect.BadProtocol
		}
	}
	inside := f[2]
	if string(inside) == "-" {
		inside = f[4] // DS-Lite: the IPv6 address of the subscriber
	}
	r.InsideIP, ok1 = dialect.Addr(inside)
	r.OutsideIP, ok2 = dialect.Addr(f[5])
	if !ok1 || !ok2 {
		return dialect.BadAddress
	}
	// A block of ports has no port of its own at the first place; the syntax shows
	// "-" there, and samples leave it out, which moves the rest by one.
	ports := f[6:9]
	if block && string(f[6]) != "-" && string(f[8]) == "-" {
		ports = [][]byte{[]byte("-"), f[6], f[7]}
	}
	if string(ports[0]) != "-" {
		if r.InsidePort, ok1 = dialect.Port(ports[0]); !ok1 {
			return dialect.BadPort
		}
	}
	if r.OutsidePort, ok1 = dialect.Port(ports[1]); !ok1 {
		return dialect.BadPort
	}
	r.OutsidePortLast = r.OutsidePort
	if string(ports[2]) != "-" && len(ports[2]) > 0 {
		if r.OutsidePortLast, ok1 = dialect.Port(ports[2]); !ok1 || r.OutsidePortLast < r.OutsidePort {
			return dialect.BadPort
		}
	}
	if len(f[10]) > 0 && string(f[9]) != "-" {
		r.DstIP, ok1 = dialect.Addr(f[9])
		r.DstPort, ok2 = dialect.Port(f[10])
		if !ok1 || !ok2 {
			return dialect.BadAddress
		}
	}
	return ""
}
