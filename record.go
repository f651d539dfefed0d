package garrison

import (
	"net/netip"
	"time"
)

// RecordKind names a typed table of records.
type RecordKind string

const (
	KindNAT         RecordKind = "nat"
	KindSession     RecordKind = "session"
	KindLease       RecordKind = "lease"
	KindDNS         RecordKind = "dns"
	KindFlow        RecordKind = "flow"
	KindAccess      RecordKind = "access"
	KindMail        RecordKind = "mail"
	KindPublish     RecordKind = "publish"
	KindMaintenance RecordKind = "maintenance"
	KindEvent       RecordKind = "event"
)

// ChunkID is everything one shard received of one kind in one second: the unit that
// is sealed in the ledger.
type ChunkID struct {
	Kind   RecordKind `json:"kind"`
	Shard  int        `json:"shard"`
	Second int64      `json:"second"` // Unix time of reception
}

// Question asks who had a public address and port at a moment.
type Question struct {
	IP    netip.Addr
	Port  uint16
	Proto uint8 // IANA number: 6 tcp, 17 udp, 1 icmp
	At    time.Time
	Skew  time.Duration // how far the two clocks may differ
}

// Candidate is one translation that fits a [Question].
type Candidate struct {
	Line       string
	InsideIP   netip.Addr
	InsidePort uint16
	OutsideIP  netip.Addr
	FirstPort  uint16
	LastPort   uint16
	Start      time.Time
	End        time.Time // zero: no teardown was seen
	Device     string
	Source     string
	DstIP      netip.Addr
	DstPort    uint16
	Received   time.Time
	Why        []Reason // for and against
	Chunk      ChunkID
	Evidence   EvidenceRef // zero: stored, not sealed yet
	Leaf       string      // hex digest of the record's salted leaf
}

// Coverage says what is known about a window: whether anybody watched, what was
// lost, which sources fell silent.
type Coverage struct {
	Window   Period
	Complete bool  // true only if watched throughout, by every expected source, with nothing lost
	Records  int64 // records of the window that exist at all, any address
	Lost     int64 // records known lost; -1: unknown
	Silent   time.Duration
	Gaps     []Gap
}

// Answer is all candidates and how far they can be trusted; never a silent first hit.
type Answer struct {
	Candidates []Candidate
	Coverage   Coverage
	Truncated  bool // the limit on candidates was hit
}

// SourceStatus is one sender as the record store knows it.
type SourceStatus struct {
	ID           SourceID
	Name         string
	Kind         string // syslog_udp | syslog_tcp | import | https | own
	Stored       int64  // accepted lines since installation
	Refused      int64
	Lost         int64 // known lost; -1: unknown
	First, Last  time.Time
	Rate         float64 // records a second over the last minute
	ClockOffset  time.Duration
	ClockSuspect bool
	Silent       bool
	Own          bool
	Minutes      []MinuteTally // newest last
}

// MinuteTally is one source's minute in the loss ledger.
type MinuteTally struct {
	Minute  int64 // Unix time / 60
	Stored  int64
	Refused int64
	Other   int64 `json:",omitempty"` // of Refused: lines known to tell of no record, which make no gap
	Lost    int64
}

// RefusedLine is one line that could not be parsed, from the bounded sample.
type RefusedLine struct {
	At     time.Time
	Source string
	Why    string
	Line   string
}
