package segment

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/parquet-go/parquet-go"

	"garrison/internal/records/rows"
)

// record is one row of a file. Names and meanings are part of the published format:
//
//	outside_ip …  IPv4 as a number; ipNone: not known; ipSix: see the column of 16 bytes
//	end_ms        Unix ms; 0: open
//	duration_ms   end_ms - start_ms, so start_ms is end_ms - duration_ms always
//	port_count    ports in the block beyond the first
//	received_s    Unix second of reception; in files whose key "garrison.received" is
//	              "lag": the second less the last full second of end_ms (of the start
//	              where end_ms is 0)
type record struct {
	OutsideIP   int64    `parquet:"outside_ip,dict"`
	OutsideIP6  [16]byte `parquet:"outside_ip6,dict"`
	OutsidePort int32    `parquet:"outside_port,delta"`
	EndMS       int64    `parquet:"end_ms,delta"`
	DurationMS  int64    `parquet:"duration_ms,delta"`
	PortCount   int32    `parquet:"port_count,dict"`
	Proto       int32    `parquet:"proto,dict"`
	InsideIP    int64    `parquet:"inside_ip,dict"`
	InsideIP6   [16]byte `parquet:"inside_ip6,dict"`
	InsidePort  int32    `parquet:"inside_port,delta"`
	DstIP       int64    `parquet:"dst_ip,dict"`
	DstIP6      [16]byte `parquet:"dst_ip6,dict"`
	DstPort     int32    `parquet:"dst_port,dict"`
	Line        string   `parquet:"line,dict"`
	Device      string   `parquet:"device,dict"`
	Source      string   `parquet:"source,dict"`
	Event       int32    `parquet:"event,dict"`
	Flags       int32    `parquet:"flags,dict"`
	ReceivedS   int64    `parquet:"received_s,dict"`
	Shard       int32    `parquet:"shard,dict"`
}

// The columns in the order of record.
const (
	colOutIP = iota
	colOutIP6
	colOutPort
	colEnd
	colDuration
	colPortCount
	colProto
	colInIP
	colInIP6
	colInPort
	colDstIP
	colDstIP6
	colDstPort
	colLine
	colDevice
	colSource
	colEvent
	colFlags
	colReceived
	colShard
	columns
)

// RowsPerGroup is how many rows a row group has at the most.
const RowsPerGroup = 250_000

const (
	ipNone = -1
	ipSix  = 1 << 32

	pageBytes = 32 << 10
	maxDict   = 32 << 20

	metaKind     = "garrison.kind"
	metaReceived = "garrison.received"
	metaClass    = "garrison.class"
	receivedLag  = "lag"
	receivedFull = "second"
)

// floorSecond returns the last full second of a time in ms, also before 1970.
func floorSecond(ms int64) int64 {
	s := ms / 1000
	if ms%1000 < 0 {
		s--
	}
	return s
}

func lagBase(start, end int64) int64 {
	if end == 0 {
		return floorSecond(start)
	}
	return floorSecond(end)
}

func splitIP(t *rows.Table, v uint32, fam uint8) (int64, [16]byte) {
	switch fam {
	case rows.Fam4:
		return int64(v), [16]byte{}
	case rows.Fam6:
		return ipSix, t.IP(v, fam).As16()
	}
	return ipNone, [16]byte{}
}

// joinIP is the reverse of splitIP.
func joinIP(t *rows.Table, v int64, six [16]byte) (uint32, uint8, error) {
	switch {
	case v == ipNone:
		return 0, rows.FamNone, nil
	case v == ipSix:
		id, fam := t.Addr(netip.AddrFrom16(six))
		if fam != rows.Fam6 {
			return 0, 0, fmt.Errorf("%v stands in a column for IPv6", netip.AddrFrom16(six))
		}
		return id, fam, nil
	case v < 0 || v > ipSix:
		return 0, 0, fmt.Errorf("address column holds %d", v)
	}
	return uint32(v), rows.Fam4, nil
}

// SortKey returns what outside_ip holds for an address.
func SortKey(a netip.Addr) int64 {
	switch {
	case !a.IsValid():
		return ipNone
	case a.Is4():
		b := a.As4()
		return int64(binary.BigEndian.Uint32(b[:]))
	}
	return ipSix
}

func toRecord(t *rows.Table, r *rows.Row, lag bool, out *record) {
	out.OutsideIP, out.OutsideIP6 = splitIP(t, r.Out, r.OutFam)
	out.InsideIP, out.InsideIP6 = splitIP(t, r.In, r.InFam)
	out.DstIP, out.DstIP6 = splitIP(t, r.Dst, r.DstFam)
	out.OutsidePort, out.PortCount = int32(r.OutPort), int32(r.OutLast)-int32(r.OutPort)
	out.EndMS, out.DurationMS = r.End, r.End-r.Start
	out.Proto, out.InsidePort, out.DstPort = int32(r.Proto), int32(r.InPort), int32(r.DstPort)
	out.Line, out.Device, out.Source = t.Text(r.Line), t.Text(r.Device), t.Text(r.Source)
	out.Event, out.Flags, out.Shard = int32(r.Event), int32(r.Flags), int32(r.Shard)
	out.ReceivedS = int64(r.Received)
	if lag {
		out.ReceivedS -= lagBase(r.Start, r.End)
	}
}

// checkSchema refuses a file whose columns are not those of record.
func checkSchema(f *parquet.File) error {
	want, got := parquet.SchemaOf(record{}).Columns(), f.Schema().Columns()
	if len(want) != len(got) {
		return fmt.Errorf("the file has %d columns, not %d", len(got), len(want))
	}
	for i := range want {
		if want[i][0] != got[i][0] {
			return fmt.Errorf("column %d is %q, not %q", i, got[i][0], want[i][0])
		}
	}
	return nil
}
