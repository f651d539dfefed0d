package evidence

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"time"
)

// Bundle is everything an outsider needs to judge one clause: what the operator
// states, and the ledger entries, records and transcripts that it rests on, all
// under one checkpoint.
//
// To make one: fill in what is stated, append the entry that [Bundle.Seal] returns to
// the ledger, take a checkpoint that covers it, add Items, Samples and Transcripts
// with proofs under that checkpoint (the seal is one of the items), then Write.
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
	Digest [32]byte // its EntryHash
}

// ParseRef returns a Ref from an index and a digest in hexadecimal.
func ParseRef(index uint64, digest string) (Ref, error) {
	h, err := parseHex(digest)
	if err != nil {
		return Ref{}, fmt.Errorf("digest of entry %d: %w", index, err)
	}
	return Ref{index, h}, nil
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

// Problem is one thing that is wrong with a bundle, or the reason why it cannot be
// read at all.
type Problem struct {
	Part string `json:"part"` // "file", "index", "statement", "checkpoint", "entry/17", "sample/000002", "transcript/…"
	Key  string `json:"key"`  // stable name of the kind of problem, one of ProblemKeys
	What string `json:"what"` // in English, with particulars
}

func (p Problem) Error() string { return p.Part + ": " + p.What }

// Keys of problems.
const (
	BadFile          = "file"          // not a bundle, cut short, or something follows it
	BadLimit         = "limit"         // larger than a limit allows
	BadBytes         = "bytes"         // bytes of a part are not those that were written
	BadForm          = "form"          // a part cannot be read, or not in one way only
	BadCheckpoint    = "checkpoint"    // unreadable or not signed by a trusted key
	BadInclusion     = "inclusion"     // an entry is not in the log of the checkpoint
	BadSeal          = "seal"          // the ledger does not hold what is stated
	BadStanding      = "standing"      // the facts give another standing
	BadSupport       = "support"       // a fact names evidence that is not in the bundle
	BadSample        = "sample"        // a record is not in the chunk it is said to be in
	BadTranscript    = "transcript"    // no run names the transcript
	BadContradiction = "contradiction" // two things in the bundle exclude each other
)

// ProblemKeys returns every key a [Problem] can have.
func ProblemKeys() []string {
	return []string{BadFile, BadLimit, BadBytes, BadForm, BadCheckpoint, BadInclusion, BadSeal, BadStanding, BadSupport, BadSample, BadTranscript, BadContradiction}
}

// Write writes b. The same content gives the same bytes, in whatever order items,
// samples and transcripts stand in b.
func (b *Bundle) Write(w io.Writer) error {
	parts, err := b.parts()
	if err != nil {
		return fmt.Errorf("write bundle of %q: %w", b.Clause, err)
	}
	if err := writeArchive(w, parts); err != nil {
		return fmt.Errorf("write bundle of %q: %w", b.Clause, err)
	}
	return nil
}

// parts returns the files of the bundle in their order.
func (b *Bundle) parts() ([]part, error) {
	statement, err := b.statement()
	if err != nil {
		return nil, err
	}
	parts := []part{{"statement", statement}, {"checkpoint", b.Checkpoint}}
	for _, it := range sortedBy(b.Items, compareItems) {
		parts = append(parts, part{fmt.Sprintf("entry/%d", it.Index), it.text()})
	}
	for i, s := range sortedBy(b.Samples, compareSamples) {
		parts = append(parts, part{sampleName(i), s.text()})
	}
	for _, t := range sortedBy(b.Transcripts, compareTranscripts) {
		parts = append(parts, part{transcriptName(t), t})
	}
	for i, p := range parts {
		if i > 0 && p.name == parts[i-1].name {
			return nil, fmt.Errorf("%s is there twice", p.name)
		}
		if most := partLimit(p.name); len(p.data) > most {
			return nil, fmt.Errorf("%s has %d bytes, more than %d", p.name, len(p.data), most)
		}
	}
	return parts, nil
}

func sortedBy[T any](s []T, compare func(a, b T) int) []T {
	s = slices.Clone(s)
	slices.SortStableFunc(s, compare)
	return s
}

func compareItems(a, b Item) int { return cmp.Compare(a.Index, b.Index) }

func compareSamples(a, b RecordSample) int {
	return cmp.Or(cmp.Compare(a.Chunk, b.Chunk), cmp.Compare(a.Leaf, b.Leaf), bytes.Compare(a.Record, b.Record))
}

func compareTranscripts(a, b []byte) int {
	x, y := sha256.Sum256(a), sha256.Sum256(b)
	return bytes.Compare(x[:], y[:])
}

func sampleName(i int) string { return fmt.Sprintf("sample/%06d", i) }

func transcriptName(t []byte) string {
	h := sha256.Sum256(t)
	return "transcript/" + hex.EncodeToString(h[:])
}

// ReadBundle reads a bundle file of the given size. What is wrong with the file is
// returned as a [Problem]; any other error means that r could not be read. Nothing
// is believed yet: see [VerifyBundle].
func ReadBundle(r io.ReaderAt, size int64) (*Bundle, error) {
	b := new(Bundle)
	err := readArchive(r, size, func(p part) error {
		if err := b.addPart(p); err != nil {
			return Problem{p.name, BadForm, err.Error()}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return b, nil
}
