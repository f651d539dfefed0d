package records

import (
	"context"
	"time"

	"garrison"
	"garrison/evidence"
)

// Appender takes entries for the ledger; they are durable when it returns.
type Appender interface {
	Append(ctx context.Context, entries ...[]byte) ([]garrison.EvidenceRef, error)
}

// EntryScan reads the ledger's entries in order, beginning at from.
type EntryScan interface {
	Scan(ctx context.Context, from uint64, yield func(index uint64, entry []byte) error) error
}

// SourceRef names the sender of a batch.
type SourceRef struct {
	ID   string // SourceID, stable
	Name string
	Kind string // syslog_udp | syslog_tcp | import | https | own
	Own  bool   // a record of our own doing, shown only on request
}

// Refusal is one line that gave no record.
type Refusal struct {
	Line string
	Why  string // begins with its code, see package dialect
}

// Batch is what one sender handed over at once: it is stored whole or not at all.
// Received, Shard and Source of the rows are set by the store. The store keeps
// nothing of a Batch after Append or Offer returned.
type Batch struct {
	Source  SourceRef
	Key     [32]byte // idempotency key; zero: none
	NAT     []evidence.NAT
	Refused []Refusal
	// MoreRefused counts refused lines beyond those in Refused, so that a flood of
	// bad lines need not be carried here to be counted.
	MoreRefused int64
	// MoreOther is how many of MoreRefused are known to tell of no translation
	// (dialect.Other); those in Refused tell it themselves. They count as refused, and
	// make no gap.
	MoreOther int64
	Lost      int64 // records known lost on the way to us since the last batch
}

// Ack is the answer to a batch.
type Ack struct {
	Stored  int
	Refused int
	Already bool // this key was answered before; nothing was stored now
}

// Forecast says how long records will be kept at today's intake.
type Forecast struct {
	Known       bool    // false: too little intake seen to tell
	DaysKept    float64 // days that fit on the disk, retention setting aside
	Floor       int     // days that the law demands
	Retention   int     // days set
	Oldest      time.Time
	BytesPerDay int64
	Free        int64 // bytes free on the record disk, less the reserve
	Bytes       int64 // bytes the records take now
	Records     int64
}

// Stats are the facts that duties are computed from.
type Stats struct {
	Records        int64 // held now
	RecordsLastDay int64 // stored in the last 24 h
	RefusedLastDay int64
	LostLastDay    int64
	Oldest         time.Time // reception of the oldest record held
	Newest         time.Time
	SealedUntil    time.Time // everything received before is in the ledger
	Unsealed       int64     // records not sealed yet
	SealDelayMax   time.Duration
	Sources        int
	SilentSources  int
	Segments       int
	Bytes          int64 // all files of the store
	WALBytes       int64
	Gaps           []garrison.Gap // of the last 60 days, own doing only (stopped, crashed, stalled)
	Expired        []Expired
	Health         Health
}

// Health says whether the store takes records and what is wrong with it.
type Health struct {
	Accepting bool
	Why       garrison.Reason // when it does not accept
	Since     time.Time
	Damage    []Damage // found by itself at start or while answering
}

// Expired is one expiry that was carried out.
type Expired struct {
	Shard    int                  `json:"shard"`
	From     int64                `json:"from"`  // received second, first
	Until    int64                `json:"until"` // received second, last
	Records  int64                `json:"records"`
	At       int64                `json:"at"`
	Evidence garrison.EvidenceRef `json:"evidence"`
}

// ProvenRecord is a record with everything that shows it was in its chunk.
type ProvenRecord struct {
	Record     evidence.NAT
	Salt       [16]byte
	Leaf       [32]byte
	Index      uint64 // place in the chunk's canonical order
	Size       uint64 // records in the chunk
	Proof      evidence.ChunkProof
	Root       [32]byte
	Chunk      garrison.ChunkID
	ChunkEntry garrison.EvidenceRef
}

// Damage is one thing on disk that is not what it was.
type Damage struct {
	File    string `json:"file"`    // relative to the record directory, or "ledger", or "key directory: NAME"
	Range   string `json:"range"`   // bytes, rows or seconds
	Records int64  `json:"records"` // affected; -1: cannot be told
	What    string `json:"what"`
}

// Summary says what a verification looked at.
type Summary struct {
	Segments  int   `json:"segments"`
	Files     int   `json:"files"`
	Chunks    int   `json:"chunks"`
	Records   int64 `json:"records"`
	Unsealed  int64 `json:"unsealed"`   // records of the last seconds, not sealed yet: not an error
	TornBytes int64 `json:"torn_bytes"` // unfinished write at the end of a write-ahead file after a crash
	Damages   int   `json:"damages"`
	Running   bool  `json:"running"` // the store changed while it was looked at
}
