package evidence

import (
	"errors"
	"io"
	"time"
)

// Bundle is everything an outsider needs to judge one clause.
type Bundle struct {
	Clause     string // duty id
	Period     Period
	Made       time.Time
	Org        map[string]string // "name", "binds" (comma-separated), …
	Facts      Facts
	Support    map[string][]Ref // by name of fact: the ledger entries it rests on
	Population Population
	Gaps       []Gap
	Standing   string
	Why        string // key of the reason, as Standing() gives it

	Items       []Item         // ledger entries, all proven under Checkpoint
	Samples     []RecordSample // records, proven under a chunk entry among Items
	Transcripts [][]byte       // each named by the field "transcript" of a run among Items
	Checkpoint  []byte         // signed
}

// Period is a stretch of time, From included, Until not; a zero Until is open.
type Period struct{ From, Until time.Time }

// Ref points at one ledger entry.
type Ref struct {
	Index  uint64
	Digest [32]byte // EntryHash of it
}

// Population says how many were looked at and how that went.
type Population struct{ Attempted, Succeeded, Failed, Unreachable int64 }

// Gap is time that nobody watched, or records known to be missing.
type Gap struct {
	From, Until            time.Time
	Source, Cause, Explain string
	Lost                   int64 // -1: unknown
}

// Item is one ledger entry and its inclusion proof under the bundle's checkpoint.
type Item struct {
	Index uint64
	Entry []byte
	Proof [][32]byte
}

// RecordSample is one record with its proof.
type RecordSample struct {
	Chunk  uint64 // ledger index of the chunk entry, which is among Items
	Leaf   uint64 // place of the record in its chunk
	Record []byte // canonical bytes
	Salt   [16]byte
	Proof  ChunkProof
}

// Seal returns the ledger entry that binds all that b states (not Items, Samples,
// Transcripts and Checkpoint). Append it to the ledger, then add it to Items.
func (b *Bundle) Seal() (Entry, error) { return Entry{}, errors.New("not written yet") }

// Write writes b; the same b gives the same bytes.
func (b *Bundle) Write(w io.Writer) error { return errors.New("not written yet") }

// ReadBundle reads a bundle file. What is wrong with it is a [Problem].
func ReadBundle(r io.ReaderAt, size int64) (*Bundle, error) {
	return nil, errors.New("not written yet")
}

// Problem is one thing that is wrong with a bundle.
type Problem struct {
	Part string // "checkpoint", "statement", "entry/17", "sample/000002", …
	Key  string // stable name of the kind of problem
	What string // in English, with particulars
}

func (p Problem) Error() string { return p.Part + ": " + p.What }

// Result is what checking a bundle came to.
type Result struct {
	OriginChecked bool // a trusted key signed the checkpoint
	Origin        string
	Size          uint64
	Clause        string
	Standing, Why string
	Problems      []Problem
}

// VerifyBundle checks all of b; keys may be empty.
func VerifyBundle(b *Bundle, keys Keys) (Result, error) {
	return Result{}, errors.New("not written yet")
}
