package evidence

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// maxProblems bounds the list of a hopeless bundle.
const maxProblems = 1000

// Result is what checking a bundle came to. Only OriginChecked together with no
// Problems means that the bundle is what the log's owner sealed.
type Result struct {
	OriginChecked bool   // a trusted key signed the checkpoint
	Origin        string // of the log, as the checkpoint says
	Size          uint64 // entries the log had
	Clause        string
	Standing, Why string   // recomputed from the facts, not as stated
	Entries       int      // proven ledger entries
	Samples       int      // proven records
	Transcripts   int      // transcripts that a proven run names
	Supported     []string // facts that rest on proven entries, by name
	Problems      []Problem
}

// VerifyBundle checks all of b: the checkpoint's signature where keys are given, every
// entry, record and transcript up to the checkpoint, that the ledger sealed what is
// stated, and that the stated facts give the stated standing. The error is for a
// missing bundle only; all else is in the result.
func VerifyBundle(b *Bundle, keys Keys) (Result, error) {
	if b == nil {
		return Result{}, errors.New("verify bundle: there is none")
	}
	v := &verification{b: b, proven: map[uint64]Item{}, entries: map[uint64]Entry{}}
	v.res.Clause = b.Clause
	if c, ok := v.checkpoint(keys); ok {
		v.items(c)
	}
	v.seal()
	v.standing()
	v.support()
	v.samples()
	v.transcripts()
	return v.res, nil
}

// verification is the work on one bundle.
type verification struct {
	b       *Bundle
	proven  map[uint64]Item  // entries that are in the log
	entries map[uint64]Entry // the same, read
	res     Result
}

func (v *verification) wrong(part, key, format string, args ...any) {
	if len(v.res.Problems) < maxProblems {
		v.res.Problems = append(v.res.Problems, Problem{part, key, fmt.Sprintf(format, args...)})
	}
}

func (v *verification) checkpoint(keys Keys) (Checkpoint, bool) {
	c, err := OpenCheckpoint(v.b.Checkpoint, keys)
	switch {
	case errors.Is(err, ErrOriginNotChecked):
	case err != nil:
		v.wrong("checkpoint", BadCheckpoint, "%v", err)
		// The entries can still be checked against it, to name more of what is wrong.
		if c, err = ParseCheckpoint(v.b.Checkpoint); err != nil {
			return Checkpoint{}, false
		}
	default:
		v.res.OriginChecked = true
	}
	v.res.Origin, v.res.Size = c.Origin, c.Size
	return c, true
}

func (v *verification) items(c Checkpoint) {
	for _, it := range v.b.Items {
		name := fmt.Sprintf("entry/%d", it.Index)
		if err := VerifyInclusion(c, it.Index, EntryHash(it.Entry), it.Proof); err != nil {
			v.wrong(name, BadInclusion, "%v", err)
			continue
		}
		e, err := ParseEntry(it.Entry)
		if err != nil {
			v.wrong(name, BadForm, "%v", err)
			continue
		}
		v.proven[it.Index], v.entries[it.Index] = it, e
	}
	v.res.Entries = len(v.proven)
}

// seal looks for the entry that binds the statement.
func (v *verification) seal() {
	want, err := v.b.Seal()
	if err != nil {
		v.wrong("statement", BadForm, "%v", err)
		return
	}
	for _, it := range v.proven {
		if bytes.Equal(it.Entry, want.Marshal()) {
			return
		}
	}
	v.wrong("statement", BadSeal, "no proven ledger entry seals it (SHA-256 %s)", want.Get("statement"))
}

func (v *verification) standing() {
	standing, why, err := Standing(v.b.Clause, v.b.Facts)
	v.res.Standing, v.res.Why = standing, why
	if err != nil {
		v.wrong("statement", BadStanding, "%v", err)
	}
	if standing != v.b.Standing || why != v.b.Why {
		v.wrong("statement", BadStanding, "it says %q because of %q, the facts give %q because of %q", v.b.Standing, v.b.Why, standing, why)
	}
	if p := v.b.Period; !p.Until.IsZero() && p.Until.Before(p.From) {
		v.wrong("statement", BadContradiction, "the period ends before it begins")
	}
	profile, given := v.b.Facts[FactProfile]
	if binds, ok := v.b.Org["binds"]; ok && given && !sameWords(profile, binds) {
		v.wrong("statement", BadContradiction, "the organisation is bound as %q, the facts say %q", binds, profile)
	}
	digest := FactsDigest(v.b.Facts)
	for _, i := range slices.Sorted(maps.Keys(v.entries)) {
		e := v.entries[i]
		same := e.Type == TypeStanding && e.Get("duty") == v.b.Clause && e.Get("facts") == hex.EncodeToString(digest[:])
		if same && (e.Get("standing") != standing || e.Get("why") != why) {
			v.wrong(fmt.Sprintf("entry/%d", i), BadContradiction, "from the same facts it once gave %q because of %q", e.Get("standing"), e.Get("why"))
		}
	}
}

func sameWords(a, b string) bool {
	x, y := list(a), list(b)
	slices.Sort(x)
	slices.Sort(y)
	return slices.Equal(slices.Compact(x), slices.Compact(y))
}

// support checks that every entry a fact names is in the bundle and proven.
func (v *verification) support() {
	for _, name := range slices.Sorted(maps.Keys(v.b.Support)) {
		good := len(v.b.Support[name]) > 0
		for _, r := range v.b.Support[name] {
			if it, ok := v.proven[r.Index]; !ok || EntryHash(it.Entry) != r.Digest {
				v.wrong("statement", BadSupport, "fact %q rests on ledger entry %d (%x), which is not proven in this bundle", name, r.Index, r.Digest)
				good = false
			}
		}
		if good {
			v.res.Supported = append(v.res.Supported, name)
		}
	}
	// An operator's word alone never shows that a duty is met.
	if v.b.Standing == Met && len(v.res.Supported) == 0 {
		v.wrong("statement", BadSupport, "it says %q, but no fact rests on an entry of the ledger", Met)
	}
}

func (v *verification) samples() {
	for i, s := range sortedBy(v.b.Samples, compareSamples) {
		if err := v.sample(s); err != nil {
			v.wrong(sampleName(i), BadSample, "%v", err)
			continue
		}
		v.res.Samples++
	}
}

func (v *verification) sample(s RecordSample) error {
	e, ok := v.entries[s.Chunk]
	if !ok {
		return fmt.Errorf("its chunk, ledger entry %d, is not proven in this bundle", s.Chunk)
	}
	c, err := ChunkOf(e)
	if err != nil {
		return fmt.Errorf("ledger entry %d: %w", s.Chunk, err)
	}
	if c.Kind != "nat" {
		return fmt.Errorf("ledger entry %d is a chunk of %.80q records, not of translations", s.Chunk, c.Kind)
	}
	r, err := ParseNAT(s.Record)
	if err != nil {
		return err
	}
	if r.Received != c.Second || r.Shard != c.Shard {
		return fmt.Errorf("it was received by shard %d in second %d, its chunk is of shard %d and second %d", r.Shard, r.Received, c.Shard, c.Second)
	}
	return VerifyChunkProof(c.Root, c.Records, s.Leaf, LeafHash(s.Salt, s.Record), s.Proof)
}

func (v *verification) transcripts() {
	named := map[string]bool{}
	for _, e := range v.entries {
		if e.Type == TypeRun {
			named[strings.TrimPrefix(e.Get("transcript"), "sha256:")] = true
		}
	}
	for _, t := range v.b.Transcripts {
		h := sha256.Sum256(t)
		if !named[hex.EncodeToString(h[:])] {
			v.wrong(transcriptName(t), BadTranscript, "no proven run names it")
			continue
		}
		v.res.Transcripts++
	}
}
