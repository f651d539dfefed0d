package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"garrison/evidence"
	"garrison/internal/records/rows"
)

const (
	// MaxSamples is how many refused lines of one batch are kept.
	MaxSamples = 20
	// MaxSampleLine is how many bytes of a refused line are kept.
	MaxSampleLine = 1024
	maxWhy        = 200
	maxName       = 256
)

// Flags, the first byte of a Batch frame's body.
const (
	flagOwn   = 1 // a record of our own doing
	flagKeyed = 2 // an idempotency key follows
	flagOther = 4 // the number of refused lines of another matter follows the refused
)

// Sample is one refused line that is kept.
type Sample struct{ Line, Why string }

// Body is what a frame of type Batch says, rows apart.
type Body struct {
	SourceID, SourceName, SourceKind string
	Own                              bool
	Key                              [32]byte
	Stored                           uint32
	Refused                          int64
	Other                            int64 // of Refused, lines known to tell of no record
	Lost                             int64
	Samples                          []Sample
}

// Append appends the body of a Batch frame to dst: b, then the rows. Texts that rows
// share are written once.
func (b *Body) Append(dst []byte, nat []evidence.NAT) []byte {
	flags := byte(0)
	if b.Own {
		flags |= flagOwn
	}
	keyed := b.Key != [32]byte{}
	if keyed {
		flags |= flagKeyed
	}
	if b.Other != 0 {
		flags |= flagOther
	}
	dst = append(dst, flags)
	if keyed {
		dst = append(dst, b.Key[:]...)
	}
	for _, s := range []string{b.SourceID, b.SourceName, b.SourceKind} {
		dst = appendText(dst, s)
	}
	dst = binary.AppendUvarint(dst, uint64(b.Refused))
	if b.Other != 0 {
		dst = binary.AppendUvarint(dst, uint64(b.Other))
	}
	dst = binary.AppendUvarint(dst, uint64(b.Lost))
	dst = binary.AppendUvarint(dst, uint64(len(b.Samples)))
	for _, s := range b.Samples {
		dst = appendText(appendText(dst, s.Line), s.Why)
	}
	return appendRows(dst, nat)
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// A row names a text by its number plus one; zero is followed by a new text, which
// gets the next number.
func appendRows(dst []byte, nat []evidence.NAT) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(nat)))
	seen := make(map[string]uint64, min(2*len(nat), 1024))
	text := func(s string) uint64 {
		if n, ok := seen[s]; ok {
			dst = binary.AppendUvarint(dst, n)
			return n
		}
		n := uint64(len(seen) + 1)
		seen[s] = n
		dst = appendText(append(dst, 0), s)
		return n
	}
	device := uint64(0)
	le := binary.LittleEndian
	for i := range nat {
		r := &nat[i]
		dst = append(dst, family(r.OutsideIP)|family(r.InsideIP)<<2|family(r.DstIP)<<4, r.Proto, r.Event, r.Flags)
		dst = le.AppendUint64(dst, uint64(r.Start))
		dst = binary.AppendVarint(dst, r.End-r.Start)
		dst = appendAddr(appendAddr(appendAddr(dst, r.OutsideIP), r.InsideIP), r.DstIP)
		dst = le.AppendUint16(dst, r.OutsidePort)
		dst = binary.AppendUvarint(dst, uint64(r.OutsidePortLast-r.OutsidePort))
		dst = le.AppendUint16(dst, r.InsidePort)
		dst = le.AppendUint16(dst, r.DstPort)
		text(r.Line)
		// Rows of one batch nearly always name the same device.
		if i == 0 || r.Device != nat[i-1].Device {
			device = text(r.Device)
			continue
		}
		dst = binary.AppendUvarint(dst, device)
	}
	return dst
}

func family(a netip.Addr) byte {
	switch {
	case !a.IsValid():
		return 0
	case a.Is4() || a.Is4In6():
		return 1
	}
	return 2
}

func appendAddr(dst []byte, a netip.Addr) []byte {
	switch family(a) {
	case 0:
		return dst
	case 1:
		b := a.As4()
		return append(dst, b[:]...)
	}
	b := a.As16()
	return append(dst, b[:]...)
}

// reader takes a body apart; after the first error it yields zeros.
type reader struct {
	rest []byte
	err  error
}

var errShort = errors.New("the body ends too early")

func (r *reader) take(n uint64) []byte {
	if r.err != nil || n > uint64(len(r.rest)) {
		if r.err == nil {
			r.err = errShort
		}
		return make([]byte, min(n, 32))
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.take(uint64(len(r.rest)) + 1)
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.take(uint64(len(r.rest)) + 1)
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) text(limit uint64) []byte {
	n := r.uvarint()
	if n > limit {
		r.take(uint64(len(r.rest)) + 1)
		return nil
	}
	b := r.take(n)
	if r.err != nil {
		return nil
	}
	return b
}

func (r *reader) u16() uint16 { return binary.LittleEndian.Uint16(r.take(2)) }

// ParseBody reads the body of a Batch frame up to its rows.
func ParseBody(data []byte) (Body, []byte, error) {
	var b Body
	r := reader{rest: data}
	flags := r.take(1)[0]
	if unknown := flags &^ (flagOwn | flagKeyed | flagOther); unknown != 0 {
		return b, nil, fmt.Errorf("batch has flags %#x that are not known", unknown)
	}
	b.Own = flags&flagOwn != 0
	if flags&flagKeyed != 0 {
		copy(b.Key[:], r.take(32))
	}
	b.SourceID, b.SourceName, b.SourceKind = string(r.text(maxName)), string(r.text(maxName)), string(r.text(maxName))
	b.Refused = int64(r.uvarint())
	if flags&flagOther != 0 {
		b.Other = int64(r.uvarint())
	}
	b.Lost = int64(r.uvarint())
	if b.Other < 0 || b.Other > b.Refused {
		return b, nil, fmt.Errorf("batch says that %d of %d refused lines are of another matter", b.Other, b.Refused)
	}
	n := r.uvarint()
	if n > MaxSamples {
		return b, nil, fmt.Errorf("batch keeps %d refused lines, more than %d", n, MaxSamples)
	}
	for range n {
		b.Samples = append(b.Samples, Sample{Line: string(r.text(MaxSampleLine)), Why: string(r.text(maxWhy))})
	}
	if r.err == nil {
		peek := reader{rest: r.rest}
		b.Stored = uint32(peek.uvarint())
	}
	return b, r.rest, r.err
}

// AppendRows appends the rows of a Batch frame to dst as rows of t, with the given
// source, second and shard.
func AppendRows(dst []rows.Row, data []byte, t *rows.Table, source string, second int64, shard uint8) ([]rows.Row, error) {
	r := reader{rest: data}
	n := r.uvarint()
	if n > uint64(len(data)) {
		return dst, fmt.Errorf("batch says %d rows in %d bytes", n, len(data))
	}
	src := t.Add([]byte(source))
	texts := make([]uint32, 0, 16)
	text := func() uint32 {
		id := r.uvarint()
		if id == 0 {
			texts = append(texts, t.Add(r.text(evidence.MaxNATString)))
			return texts[len(texts)-1]
		}
		if id > uint64(len(texts)) {
			r.take(uint64(len(r.rest)) + 1)
			return 0
		}
		return texts[id-1]
	}
	addr := func(family byte) (uint32, uint8) {
		switch family & 3 {
		case 0:
			return 0, rows.FamNone
		case 1:
			return binary.BigEndian.Uint32(r.take(4)), rows.Fam4
		}
		return t.Addr(netip.AddrFrom16([16]byte(r.take(16))))
	}
	for range n {
		head := r.take(4)
		row := rows.Row{Proto: head[1], Event: head[2], Flags: head[3], Received: uint32(second), Shard: shard, Source: src}
		row.Start = int64(binary.LittleEndian.Uint64(r.take(8)))
		row.End = row.Start + r.varint()
		row.Out, row.OutFam = addr(head[0])
		row.In, row.InFam = addr(head[0] >> 2)
		row.Dst, row.DstFam = addr(head[0] >> 4)
		row.OutPort = r.u16()
		row.OutLast = row.OutPort + uint16(r.uvarint())
		row.InPort, row.DstPort = r.u16(), r.u16()
		row.Line, row.Device = text(), text()
		if r.err != nil {
			return dst, r.err
		}
		dst = append(dst, row)
	}
	if len(r.rest) > 0 {
		return dst, fmt.Errorf("%d bytes follow the rows", len(r.rest))
	}
	return dst, r.err
}
