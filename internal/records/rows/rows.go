package rows

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"

	"garrison/evidence"
)

// Address families of a row's addresses, two bits each in [Row.Fam].
const (
	FamNone = 0 // not known
	Fam4    = 4
	Fam6    = 6
)

// LongAfter is the length from which a mapping counts as long, in milliseconds. Long
// mappings live in files of their own so that they do not widen the time range of
// the others.
const LongAfter = 5 * 60 * 1000

// Row is one translation. Addresses are the IPv4 value or, for IPv6, the number in
// the row's [Table]; Line, Device and Source are numbers in it too.
type Row struct {
	Start, End                        int64
	Out, In, Dst                      uint32
	Line, Device, Source              uint32
	Received                          uint32
	OutPort, OutLast, InPort, DstPort uint16
	Proto, Event, Flags, Shard        uint8
	OutFam, InFam, DstFam             uint8
}

// Open says that the row's mapping has an end or a beginning that it does not name.
func (r *Row) Open() bool { return r.End == 0 || r.Flags&evidence.NATStartUnknown != 0 }

// Class tells which file of a segment the row belongs to.
func (r *Row) Class() Class {
	switch {
	case r.Open():
		return OpenEnded
	case r.OutPort != r.OutLast || r.End-r.Start > LongAfter || r.End < r.Start:
		return Long
	default:
		return Short
	}
}

// Class is the kind of file a row belongs to.
type Class uint8

const (
	Short     Class = iota // one port, at most five minutes
	Long                   // longer, or a block of ports
	OpenEnded              // the row does not name both ends
	Classes                // how many there are
)

func (c Class) String() string { return [...]string{"short", "long", "open"}[min(c, 2)] }

// Span returns the time in which the row says the mapping certainly stood; a row that
// names one end only is a moment.
func (r *Row) Span() (from, until int64) {
	switch {
	case r.Flags&evidence.NATStartUnknown != 0:
		return r.End, r.End
	case r.End == 0:
		return r.Start, r.Start
	case r.End < r.Start:
		return r.End, r.Start
	}
	return r.Start, r.End
}

// Table keeps what rows refer to by number.
type Table struct {
	texts   []string
	textIDs map[string]uint32
	addrs   []netip.Addr
	addrIDs map[netip.Addr]uint32
}

// NewTable returns an empty table.
func NewTable() *Table {
	return &Table{textIDs: map[string]uint32{}, addrIDs: map[netip.Addr]uint32{}}
}

// Reset forgets everything; rows made with the table mean nothing afterwards.
func (t *Table) Reset() {
	clear(t.textIDs)
	clear(t.addrIDs)
	t.texts, t.addrs = t.texts[:0], t.addrs[:0]
}

// Len returns how many texts and addresses the table holds.
func (t *Table) Len() int { return len(t.texts) + len(t.addrs) }

// Intern returns the number of s, which it keeps a copy of.
func (t *Table) Intern(s string) uint32 {
	id, ok := t.textIDs[s]
	if !ok {
		id = uint32(len(t.texts))
		s = strings.Clone(s)
		t.texts = append(t.texts, s)
		t.textIDs[s] = id
	}
	return id
}

// Text returns the text with the given number.
func (t *Table) Text(id uint32) string { return t.texts[id] }

// Addr returns the two halves of an address as a row holds it.
func (t *Table) Addr(a netip.Addr) (uint32, uint8) {
	switch {
	case !a.IsValid():
		return 0, FamNone
	case a.Is4() || a.Is4In6():
		b := a.As4()
		return binary.BigEndian.Uint32(b[:]), Fam4
	}
	a = a.WithZone("")
	id, ok := t.addrIDs[a]
	if !ok {
		id = uint32(len(t.addrs))
		t.addrs = append(t.addrs, a)
		t.addrIDs[a] = id
	}
	return id, Fam6
}

// IP returns the address that the two halves stand for.
func (t *Table) IP(v uint32, fam uint8) netip.Addr {
	switch fam {
	case Fam4:
		return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
	case Fam6:
		return t.addrs[v]
	}
	return netip.Addr{}
}

// Row returns n as a row of t.
func (t *Table) Row(n *evidence.NAT) Row {
	r := Row{
		Start: n.Start, End: n.End, Received: uint32(n.Received),
		OutPort: n.OutsidePort, OutLast: n.OutsidePortLast, InPort: n.InsidePort, DstPort: n.DstPort,
		Proto: n.Proto, Event: n.Event, Flags: n.Flags, Shard: n.Shard,
		Line: t.Intern(n.Line), Device: t.Intern(n.Device), Source: t.Intern(n.Source),
	}
	r.Out, r.OutFam = t.Addr(n.OutsideIP)
	r.In, r.InFam = t.Addr(n.InsideIP)
	r.Dst, r.DstFam = t.Addr(n.DstIP)
	return r
}

// NAT fills n from a row of t.
func (t *Table) NAT(r *Row, n *evidence.NAT) {
	*n = evidence.NAT{
		Start: r.Start, End: r.End, Received: int64(r.Received),
		OutsideIP: t.IP(r.Out, r.OutFam), InsideIP: t.IP(r.In, r.InFam), DstIP: t.IP(r.Dst, r.DstFam),
		OutsidePort: r.OutPort, OutsidePortLast: r.OutLast, InsidePort: r.InPort, DstPort: r.DstPort,
		Proto: r.Proto, Event: r.Event, Flags: r.Flags, Shard: r.Shard,
		Line: t.texts[r.Line], Device: t.texts[r.Device], Source: t.texts[r.Source],
	}
}

// Move returns a row of t as a row of to.
func (t *Table) Move(r Row, to *Table) Row {
	r.Line, r.Device, r.Source = to.Intern(t.texts[r.Line]), to.Intern(t.texts[r.Device]), to.Intern(t.texts[r.Source])
	if r.OutFam == Fam6 {
		r.Out, _ = to.Addr(t.addrs[r.Out])
	}
	if r.InFam == Fam6 {
		r.In, _ = to.Addr(t.addrs[r.In])
	}
	if r.DstFam == Fam6 {
		r.Dst, _ = to.Addr(t.addrs[r.Dst])
	}
	return r
}

// Compare orders a row of ta and a row of tb as [evidence.CompareNAT] orders the
// records they stand for.
func Compare(ta *Table, a *Row, tb *Table, b *Row) int {
	if c := compareAddr(ta, a.Out, a.OutFam, tb, b.Out, b.OutFam); c != 0 {
		return c
	}
	if a.OutPort != b.OutPort {
		return cmp.Compare(a.OutPort, b.OutPort)
	}
	if a.End != b.End {
		return cmp.Compare(a.End, b.End)
	}
	if a.Start != b.Start {
		return cmp.Compare(a.Start, b.Start)
	}
	return compareRest(ta, a, tb, b)
}

func compareRest(ta *Table, a *Row, tb *Table, b *Row) int {
	return cmp.Or(
		cmp.Compare(a.OutLast, b.OutLast),
		cmp.Compare(a.Proto, b.Proto),
		compareAddr(ta, a.In, a.InFam, tb, b.In, b.InFam),
		cmp.Compare(a.InPort, b.InPort),
		compareAddr(ta, a.Dst, a.DstFam, tb, b.Dst, b.DstFam),
		cmp.Compare(a.DstPort, b.DstPort),
		strings.Compare(ta.texts[a.Line], tb.texts[b.Line]),
		strings.Compare(ta.texts[a.Device], tb.texts[b.Device]),
		strings.Compare(ta.texts[a.Source], tb.texts[b.Source]),
		cmp.Compare(a.Event, b.Event),
		cmp.Compare(a.Flags, b.Flags),
		cmp.Compare(a.Received, b.Received),
		cmp.Compare(a.Shard, b.Shard),
	)
}

func compareAddr(ta *Table, a uint32, fa uint8, tb *Table, b uint32, fb uint8) int {
	if fa != fb {
		return cmp.Compare(fa, fb)
	}
	if fa == Fam6 {
		return ta.addrs[a].Compare(tb.addrs[b])
	}
	return cmp.Compare(a, b)
}

// Sort puts rows of t in canonical order.
func (t *Table) Sort(rs []Row) {
	slices.SortFunc(rs, func(a, b Row) int { return Compare(t, &a, t, &b) })
}

// View returns the table as it is now, for reading only. It stays valid and right
// while the table grows; taking it needs the owner's lock, using it does not.
func (t *Table) View() *Table { return &Table{texts: t.texts, addrs: t.addrs} }
