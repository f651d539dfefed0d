// Package juniper reads the translation lines of Junos: sessions and port blocks of
// the SRX and of MX-SPC3 cards (RT_FLOW and RT_NAT, in plain text and in structured
// data), and of MS-MPC and MS-MIC services cards (JSERVICES).
package juniper

import (
	"bytes"

	"garrison/evidence"
	"garrison/internal/records/ingest/dialect"
)

// Decoder reads Junos' lines. The zero value is ready.
type Decoder struct{}

// NewDecoder returns a decoder.
func NewDecoder() *Decoder { return &Decoder{} }

// Decode implements dialect.Decoder.
func (*Decoder) Decode(l *dialect.Line, r *evidence.NAT) string {
	name, body := l.MsgID, l.Data
	if !known(name) || len(body) == 0 {
		if name, body = mnemonic(l.Text); name == nil {
			if !known(l.MsgID) {
				return dialect.NotMine
			}
			name, body = l.MsgID, l.Text
		}
	}
	switch {
	case !known(name):
		return dialect.NotMine
	case hasPrefix(name, "RT_FLOW_SESSION_CREATE"): // also …_USF, …_LS
		return session(body, false, l, r)
	case hasPrefix(name, "RT_FLOW_SESSION_CLOSE"):
		return session(body, true, l, r)
	case hasPrefix(name, "RT_SRC_NAT_PBA_"):
		return blockRT(name[len("RT_SRC_NAT_PBA_"):], body, l, r)
	case hasPrefix(name, "JSERVICES_SESSION_OPEN"):
		return services(body, false, l, r)
	case hasPrefix(name, "JSERVICES_SESSION_CLOSE"):
		return services(body, true, l, r)
	case hasPrefix(name, "JSERVICES_NAT_PORT_BLOCK_"):
		return blockServices(name[len("JSERVICES_NAT_PORT_BLOCK_"):], body, l, r)
	}
	return dialect.NotTranslation // RT_FLOW_SESSION_DENY, pool alarms, rule matches
}

func hasPrefix(b []byte, s string) bool { return len(b) >= len(s) && string(b[:len(s)]) == s }

func known(name []byte) bool { return hasPrefix(name, "RT_") || hasPrefix(name, "JSERVICES_") }

// mnemonic finds the name of the message in text and what follows it. Names stand
// alone, so the daemon's own ("RT_FLOW: ", "RT_FLOW - ") is passed over.
func mnemonic(text []byte) (name, body []byte) {
	for i := 0; i < len(text); {
		c := text[i]
		if (c == 'R' && hasPrefix(text[i:], "RT_")) || (c == 'J' && hasPrefix(text[i:], "JSERVICES_")) {
			n := i
			for n < len(text) && (text[n] == '_' || (text[n] >= 'A' && text[n] <= 'Z') || (text[n] >= '0' && text[n] <= '9')) {
				n++
			}
			name = text[i:n]
			if string(name) != "RT_FLOW" && string(name) != "RT_NAT" {
				return name, bytes.TrimLeft(text[n:], ": ")
			}
			i = n
			continue
		}
		if c == '"' {
			break // quoted text is not ours to search
		}
		for i < len(text) && text[i] != ' ' && text[i] != ':' && text[i] != ']' && text[i] != '"' { // to the next word
			i++
		}
		for i < len(text) && (text[i] == ' ' || text[i] == ':' || text[i] == ']') {
			i++
		}
	}
	return nil, nil
}

// session reads a session in either form.
func session(b []byte, gone bool, l *dialect.Line, r *evidence.NAT) string {
	if len(b) > 0 && b[0] == '[' {
		return sessionStructured(b, gone, l, r)
	}
	return sessionPlain(b, gone, l, r)
}

// flow is a session before and after translation.
type flow struct {
	src, dst, natSrc, natDst     endpoint
	hasNATSrc, hasNATDst, hasEnd bool
	lasted                       int64
}

// record finds which side was translated: the source, or else the destination.
func (f *flow) record(gone bool, l *dialect.Line, r *evidence.NAT) string {
	switch {
	case f.natSrc != f.src:
		r.InsideIP, r.InsidePort = f.src.ip, f.src.port
		r.OutsideIP, r.OutsidePort = f.natSrc.ip, f.natSrc.port
		r.DstIP, r.DstPort = f.natDst.ip, f.natDst.port
	case f.natDst != f.dst:
		r.InsideIP, r.InsidePort = f.natDst.ip, f.natDst.port
		r.OutsideIP, r.OutsidePort = f.dst.ip, f.dst.port
		r.DstIP, r.DstPort = f.src.ip, f.src.port
	default:
		return dialect.NotTranslation
	}
	r.OutsidePortLast = r.OutsidePort
	switch {
	case !gone:
		l.Built(r)
	case f.hasEnd:
		l.Ended(r, f.lasted*1000)
	default:
		l.Ended(r, -1)
	}
	return ""
}
