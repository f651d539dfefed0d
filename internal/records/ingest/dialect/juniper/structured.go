package juniper

import (
	"net/netip"

	"garrison/evidence"
	"garrison/internal/records/ingest/dialect"
	"garrison/internal/records/ingest/syslog"
)

type endpoint struct {
	ip   netip.Addr
	port uint16
}

// params goes through name="value" pairs of structured data (RFC 5424 §6.3.3). A
// value with an escape in it is given as it stands; none that we read has any.
type params struct{ rest []byte }

func newParams(b []byte) params {
	if len(b) > 0 && b[0] == '[' {
		b = b[1:]
	}
	return params{b}
}

// next returns the next pair; ok is false at the end, and whole says whether the end
// was the closing bracket.
func (p *params) next() (name, value []byte, ok, whole bool) {
	b := p.rest
	for {
		for len(b) > 0 && b[0] == ' ' {
			b = b[1:]
		}
		i := 0
		for i < len(b) && b[i] != '=' && b[i] != ' ' && b[i] != ']' {
			i++
		}
		switch {
		case i == len(b):
			return nil, nil, false, false
		case b[i] == ']':
			return nil, nil, false, true
		case b[i] == ' ': // the element's own name
			b = b[i:]
			continue
		}
		if i+1 >= len(b) || b[i+1] != '"' {
			return nil, nil, false, false
		}
		name, b = b[:i], b[i+2:]
		n := syslog.ClosingQuote(b)
		if n < 0 {
			return nil, nil, false, false
		}
		p.rest = b[n+1:]
		return name, b[:n], true, false
	}
}

func sessionStructured(b []byte, gone bool, l *dialect.Line, r *evidence.NAT) string {
	var f flow
	var haveSrc, haveDst, haveProto, ended bool
	for p := newParams(b); ; {
		name, v, ok, whole := p.next()
		if !ok {
			ended = whole
			break
		}
		good, what := true, dialect.BadPort
		switch string(name) {
		case "source-address":
			f.src.ip, good = dialect.Addr(v)
			haveSrc, what = good, dialect.BadAddress
		case "source-port":
			f.src.port, good = dialect.Port(v)
		case "destination-address":
			f.dst.ip, good = dialect.Addr(v)
			haveDst, what = good, dialect.BadAddress
		case "destination-port":
			f.dst.port, good = dialect.Port(v)
		case "nat-source-address":
			f.natSrc.ip, good = dialect.Addr(v)
			f.hasNATSrc, what = good, dialect.BadAddress
		case "nat-source-port":
			f.natSrc.port, good = dialect.Port(v)
		case "nat-destination-address":
			f.natDst.ip, good = dialect.Addr(v)
			f.hasNATDst, what = good, dialect.BadAddress
		case "nat-destination-port":
			f.natDst.port, good = dialect.Port(v)
		case "protocol-id":
			r.Proto, good = dialect.Protocol(v)
			haveProto, what = good, dialect.BadProtocol
		case "elapsed-time":
			f.lasted, good = dialect.Uint(v)
			good = good && f.lasted < 1<<31
			f.hasEnd, what = good, dialect.BadDuration
		}
		if !good {
			return what
		}
	}
	switch {
	case !haveSrc || !haveDst || !f.hasNATSrc || !f.hasNATDst || !ended:
		return dialect.Truncated
	case !haveProto:
		return dialect.BadProtocol
	}
	return f.record(gone, l, r)
}

// blockRT reads the allocation, the reminder and the release of a block of ports:
//
//	Subscriber 100.64.60.74 used/maximum [10/15] blocks, allocates port block [24064-24191] from 203.0.113.100 in source pool P lsys_id: 0 epoch 0x6a44007a
//	[internal-ip="…" block-port-low="…" block-port-high="…" reflexive-ip="…" epoch-time-64="624b0492"]
//
// The epoch of an allocation and of a reminder is when the block was given, that of a
// release when it was taken back; it is in UTC whatever the header's zone.
func blockRT(kind, b []byte, l *dialect.Line, r *evidence.NAT) string {
	var epoch int64
	var why string
	if len(b) > 0 && b[0] == '[' {
		epoch, why = blockStructured(b, r)
	} else {
		epoch, why = blockPlain(b, r)
	}
	if why != "" {
		return why
	}
	if epoch != 0 && string(kind) != "INTERIM" {
		l.At = epoch * 1000
	}
	switch string(kind) {
	case "ALLOC":
		l.Built(r)
		r.Event = evidence.NATBlockGiven
	case "INTERIM":
		if l.Seen(r); epoch != 0 {
			r.Start, r.Flags = epoch*1000, r.Flags&^evidence.NATStartUnknown
		}
		r.Event = evidence.NATBlockGiven
	case "RELEASE":
		l.Ended(r, -1)
		r.Event = evidence.NATBlockReleased
	default:
		return dialect.BadForm
	}
	return ""
}

func blockStructured(b []byte, r *evidence.NAT) (epoch int64, why string) {
	var have int
	for p := newParams(b); ; {
		name, v, ok, whole := p.next()
		if !ok {
			if have != 15 || !whole {
				return 0, dialect.Truncated
			}
			break
		}
		good, what := true, dialect.BadAddress
		switch string(name) {
		case "internal-ip":
			r.InsideIP, good = dialect.Addr(v)
			have |= 1
		case "reflexive-ip":
			r.OutsideIP, good = dialect.Addr(v)
			have |= 2
		case "block-port-low":
			r.OutsidePort, good = dialect.Port(v)
			have, what = have|4, dialect.BadPort
		case "block-port-high":
			r.OutsidePortLast, good = dialect.Port(v)
			have, what = have|8, dialect.BadPort
		case "epoch-time-64":
			epoch, good = dialect.Hex(v)
			good, what = good && epoch < 1<<36, dialect.BadTime
		}
		if !good {
			return 0, what
		}
	}
	if r.OutsidePortLast < r.OutsidePort {
		return 0, dialect.BadPort
	}
	return epoch, ""
}
