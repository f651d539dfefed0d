package evidence

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Values of NAT.Event.
const (
	NATComplete      = 0 // a whole session: both ends known
	NATBuilt         = 1 // a translation was made; its end is not known
	NATTeardown      = 2 // a translation ended
	NATBlockGiven    = 3 // a block of ports was given to an inside address
	NATBlockReleased = 4 // the block was taken back
)

// Bits of NAT.Flags.
const (
	NATClockSuspect = 1 << 0 // the source's clock cannot be right
	NATStartUnknown = 1 << 1 // a teardown that does not say how long the session was
)

const (
	// MaxNATString is the most bytes Line, Device and Source may have each.
	MaxNATString = 1024
	// MaxNAT is the most bytes a canonical record can have.
	MaxNAT = 4096

	natVersion = 1
)

// NAT is one address translation, as it was recorded. It is the row that the record
// store keeps and the leaf that the ledger vouches for.
//
// Addresses are in canonical form: unmapped, without zone; the zero Addr means not
// known.
type NAT struct {
	Start, End                                        int64 // Unix ms UTC by the source's clock (corrected for zone and year only); End 0: open
	Proto                                             uint8 // IANA number
	InsideIP, OutsideIP, DstIP                        netip.Addr
	InsidePort, OutsidePort, OutsidePortLast, DstPort uint16 // OutsidePortLast == OutsidePort for a single port
	Line, Device, Source                              string // Source is the store's identifier of the sender
	Event, Flags                                      uint8
	Received                                          int64 // Unix second of reception by our clock
	Shard                                             uint8 // with Received: the chunk the record belongs to
}

// Check says why r cannot be sealed: an address in a form that has a second
// spelling, or a text beyond its limit. Intake refuses such records.
func (r *NAT) Check() error {
	for _, a := range []struct {
		name string
		ip   netip.Addr
	}{{"inside", r.InsideIP}, {"outside", r.OutsideIP}, {"destination", r.DstIP}} {
		if a.ip.Is4In6() || a.ip.Zone() != "" {
			return fmt.Errorf("%s address %q is not in canonical form", a.name, a.ip)
		}
	}
	for _, s := range []struct{ name, text string }{{"line", r.Line}, {"device", r.Device}, {"source", r.Source}} {
		if len(s.text) > MaxNATString {
			return fmt.Errorf("%s has %d bytes, more than %d", s.name, len(s.text), MaxNATString)
		}
	}
	return nil
}

// AppendCanonical appends the canonical bytes of r to dst: two records have the same
// bytes only if they are the same record. Mapped addresses and zones are taken off
// on the way, so that a careless spelling cannot make a second record of one.
func (r *NAT) AppendCanonical(dst []byte) []byte {
	dst = append(dst, natVersion)
	dst = binary.AppendVarint(dst, r.Start)
	dst = binary.AppendVarint(dst, r.End)
	dst = binary.AppendVarint(dst, r.Received)
	dst = append(dst, r.Shard, r.Proto, r.Event, r.Flags)
	dst = appendAddr(dst, r.OutsideIP)
	dst = binary.BigEndian.AppendUint16(dst, r.OutsidePort)
	dst = binary.BigEndian.AppendUint16(dst, r.OutsidePortLast)
	dst = appendAddr(dst, r.InsideIP)
	dst = binary.BigEndian.AppendUint16(dst, r.InsidePort)
	dst = appendAddr(dst, r.DstIP)
	dst = binary.BigEndian.AppendUint16(dst, r.DstPort)
	dst = appendText(dst, r.Line)
	dst = appendText(dst, r.Device)
	return appendText(dst, r.Source)
}

func appendAddr(dst []byte, a netip.Addr) []byte {
	switch {
	case !a.IsValid():
		return append(dst, 0)
	case a.Is4() || a.Is4In6():
		b := a.As4()
		return append(append(dst, 4), b[:]...)
	default:
		b := a.As16()
		return append(append(dst, 16), b[:]...)
	}
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// ParseNAT reads the canonical bytes of one record. It accepts exactly what
// [NAT.AppendCanonical] makes of a record that passes [NAT.Check].
func ParseNAT(b []byte) (NAT, error) {
	if len(b) > MaxNAT {
		return NAT{}, fmt.Errorf("record has %d bytes, more than %d", len(b), MaxNAT)
	}
	var r NAT
	p := natReader{rest: b}
	if v := p.byte(); v != natVersion {
		return NAT{}, fmt.Errorf("record is of version %d, known is %d", v, natVersion)
	}
	r.Start, r.End, r.Received = p.varint(), p.varint(), p.varint()
	r.Shard, r.Proto, r.Event, r.Flags = p.byte(), p.byte(), p.byte(), p.byte()
	r.OutsideIP, r.OutsidePort, r.OutsidePortLast = p.addr(), p.port(), p.port()
	r.InsideIP, r.InsidePort = p.addr(), p.port()
	r.DstIP, r.DstPort = p.addr(), p.port()
	r.Line, r.Device, r.Source = p.text(), p.text(), p.text()
	if p.err != nil {
		return NAT{}, fmt.Errorf("read record: %w", p.err)
	}
	if len(p.rest) > 0 {
		return NAT{}, fmt.Errorf("%d bytes follow the record", len(p.rest))
	}
	if err := r.Check(); err != nil {
		return NAT{}, fmt.Errorf("read record: %w", err)
	}
	// Catches what the reader lets through: numbers longer than needed.
	if !bytes.Equal(r.AppendCanonical(nil), b) {
		return NAT{}, errors.New("record is not in its canonical form")
	}
	return r, nil
}

// natReader takes a record apart; after the first error it yields zeroes.
type natReader struct {
	rest []byte
	err  error
}

func (p *natReader) take(n int) []byte {
	if p.err == nil && n > len(p.rest) {
		p.err = errors.New("it ends too early")
	}
	if p.err != nil {
		return make([]byte, min(n, 16))
	}
	b := p.rest[:n]
	p.rest = p.rest[n:]
	return b
}

func (p *natReader) byte() byte   { return p.take(1)[0] }
func (p *natReader) port() uint16 { return binary.BigEndian.Uint16(p.take(2)) }

func (p *natReader) varint() int64 {
	v, n := binary.Varint(p.rest)
	if n <= 0 {
		p.take(len(p.rest) + 1)
		return 0
	}
	p.take(n)
	return v
}

func (p *natReader) addr() netip.Addr {
	switch n := p.byte(); n {
	case 0:
		return netip.Addr{}
	case 4:
		return netip.AddrFrom4([4]byte(p.take(4)))
	case 16:
		return netip.AddrFrom16([16]byte(p.take(16)))
	default:
		if p.err == nil {
			p.err = fmt.Errorf("an address has %d bytes", n)
		}
		return netip.Addr{}
	}
}

func (p *natReader) text() string {
	v, n := binary.Uvarint(p.rest)
	if n <= 0 || v > MaxNATString {
		p.take(len(p.rest) + 1)
		return ""
	}
	p.take(n)
	if p.err != nil {
		return ""
	}
	return string(p.take(int(v)))
}

// CompareNAT orders records as chunks and segments are sorted: outside address,
// outside port, end, start, then every other field, so that equal means the same
// record. Addresses must be in canonical form; not known comes first, then IPv4.
func CompareNAT(a, b *NAT) int {
	if c := a.OutsideIP.Compare(b.OutsideIP); c != 0 {
		return c
	}
	if a.OutsidePort != b.OutsidePort {
		return cmp.Compare(a.OutsidePort, b.OutsidePort)
	}
	if a.End != b.End {
		return cmp.Compare(a.End, b.End)
	}
	if a.Start != b.Start {
		return cmp.Compare(a.Start, b.Start)
	}
	return cmp.Or(
		cmp.Compare(a.OutsidePortLast, b.OutsidePortLast),
		cmp.Compare(a.Proto, b.Proto),
		a.InsideIP.Compare(b.InsideIP),
		cmp.Compare(a.InsidePort, b.InsidePort),
		a.DstIP.Compare(b.DstIP),
		cmp.Compare(a.DstPort, b.DstPort),
		strings.Compare(a.Line, b.Line),
		strings.Compare(a.Device, b.Device),
		strings.Compare(a.Source, b.Source),
		cmp.Compare(a.Event, b.Event),
		cmp.Compare(a.Flags, b.Flags),
		cmp.Compare(a.Received, b.Received),
		cmp.Compare(a.Shard, b.Shard),
	)
}
