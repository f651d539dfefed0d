package rows

import (
	"cmp"
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"slices"
	"strings"
	"unsafe"

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

// Table keeps what rows refer to by number: texts, each behind its length, and IPv6
// addresses. The same text may stand in it more than once: only among recent ones is
// it looked for, because a full index would cost more than the bytes.
type Table struct {
	texts  []byte
	addrs  []netip.Addr
	recent []uint32 // number plus one of the last text with this hash
	seed   maphash.Seed
}

const recentTexts = 1 << 16

// NewTable returns an empty table.
func NewTable() *Table { return &Table{} }

// NewSharing returns an empty table for rows that repeat their texts.
func NewSharing() *Table {
	return &Table{recent: make([]uint32, recentTexts), seed: maphash.MakeSeed()}
}

// Bytes returns what the table takes in memory, about.
func (t *Table) Bytes() int { return len(t.texts) + 24*len(t.addrs) }

// Add keeps a copy of s and returns its number. A table numbers 4 GiB of texts; its
// owner starts another long before.
func (t *Table) Add(s []byte) uint32 {
	id := uint32(len(t.texts))
	if t.recent != nil {
		slot := &t.recent[maphash.Bytes(t.seed, s)%recentTexts]
		if *slot != 0 && t.Text(*slot-1) == string(s) {
			return *slot - 1
		}
		*slot = id + 1
	}
	if need := len(t.texts) + len(s) + binary.MaxVarintLen64; need > cap(t.texts) {
		t.texts = slices.Grow(t.texts, max(need, 2*cap(t.texts))-len(t.texts)) // append grows by a quarter and copies more often
	}
	t.texts = append(binary.AppendUvarint(t.texts, uint64(len(s))), s...)
	return id
}

// Text returns the text with the given number. It shares the table's memory, which is
// never written again.
func (t *Table) Text(id uint32) string {
	b := t.texts[id:]
	n, k := uint64(b[0]), 1
	if n >= 0x80 {
		n, k = binary.Uvarint(b)
	}
	return unsafe.String(unsafe.SliceData(b[k:]), n)
}

// Addr returns the two halves of an address as a row holds it.
func (t *Table) Addr(a netip.Addr) (uint32, uint8) {
	switch {
	case !a.IsValid():
		return 0, FamNone
	case a.Is4() || a.Is4In6():
		b := a.As4()
		return binary.BigEndian.Uint32(b[:]), Fam4
	}
	t.addrs = append(t.addrs, a.WithZone(""))
	return uint32(len(t.addrs) - 1), Fam6
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
		Line: t.Add([]byte(n.Line)), Device: t.Add([]byte(n.Device)), Source: t.Add([]byte(n.Source)),
	}
	r.Out, r.OutFam = t.Addr(n.OutsideIP)
	r.In, r.InFam = t.Addr(n.InsideIP)
	r.Dst, r.DstFam = t.Addr(n.DstIP)
	return r
}

// NAT fills n from a row of t. Its texts share t's memory.
func (t *Table) NAT(r *Row, n *evidence.NAT) {
	*n = evidence.NAT{
		Start: r.Start, End: r.End, Received: int64(r.Received),
		OutsideIP: t.IP(r.Out, r.OutFam), InsideIP: t.IP(r.In, r.InFam), DstIP: t.IP(r.Dst, r.DstFam),
		OutsidePort: r.OutPort, OutsidePortLast: r.OutLast, InsidePort: r.InPort, DstPort: r.DstPort,
		Proto: r.Proto, Event: r.Event, Flags: r.Flags, Shard: r.Shard,
		Line: t.Text(r.Line), Device: t.Text(r.Device), Source: t.Text(r.Source),
	}
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
	if a.OutLast != b.OutLast {
		return cmp.Compare(a.OutLast, b.OutLast)
	}
	if a.Proto != b.Proto {
		return cmp.Compare(a.Proto, b.Proto)
	}
	return cmp.Or(
		compareAddr(ta, a.In, a.InFam, tb, b.In, b.InFam),
		cmp.Compare(a.InPort, b.InPort),
		compareAddr(ta, a.Dst, a.DstFam, tb, b.Dst, b.DstFam),
		cmp.Compare(a.DstPort, b.DstPort),
		strings.Compare(ta.Text(a.Line), tb.Text(b.Line)),
		strings.Compare(ta.Text(a.Device), tb.Text(b.Device)),
		strings.Compare(ta.Text(a.Source), tb.Text(b.Source)),
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
func (t *Table) Sort(rs []Row) { copy(rs, t.Sorted(rs)) }

// sortKey is what decides nearly every comparison of two rows, small enough to be
// moved about instead of them.
type sortKey struct {
	outside uint64 // family, IPv4 address and port; of IPv6 the family only
	end     int64
	row     uint32
}

const sixKey = 2 << 62 // every row with an outside IPv6 address

func keyOf(r *Row, i int) sortKey {
	k := sortKey{end: r.End, row: uint32(i)}
	switch r.OutFam {
	case Fam6:
		k.outside = sixKey
	case Fam4:
		k.outside = 1<<62 | uint64(r.Out)<<16 | uint64(r.OutPort)
	default:
		k.outside = uint64(r.Out)<<16 | uint64(r.OutPort)
	}
	return k
}

// Sorted returns a copy of rows of t in canonical order.
func (t *Table) Sorted(rs []Row) []Row {
	keys := make([]sortKey, len(rs))
	for i := range rs {
		keys[i] = keyOf(&rs[i], i)
	}
	slices.SortFunc(keys, func(a, b sortKey) int {
		if a.outside != b.outside {
			return cmp.Compare(a.outside, b.outside)
		}
		if a.end != b.end && a.outside < sixKey {
			return cmp.Compare(a.end, b.end)
		}
		return Compare(t, &rs[a.row], t, &rs[b.row])
	})
	out := make([]Row, len(rs))
	for i := range keys {
		out[i] = rs[keys[i].row]
	}
	return out
}

// View returns the table as it is now, for reading only. It stays valid and right
// while the table grows; taking it needs the owner's lock, using it does not.
func (t *Table) View() *Table { return &Table{texts: t.texts, addrs: t.addrs} }
