package duties

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"garrison"
	"garrison/evidence"
)

const (
	maxSamples     = 256
	maxTranscripts = 256
	maxProofRounds = 8
)

// Proofs is the ledger as a bundle needs it. ledger.Ledger is one.
type Proofs interface {
	Append(ctx context.Context, entries ...[]byte) ([]garrison.EvidenceRef, error)
	Entry(ctx context.Context, index uint64) ([]byte, error)
	// Receipt waits until a checkpoint covers the entry, within bounds.
	Receipt(ctx context.Context, ref garrison.EvidenceRef) (evidence.Receipt, error)
}

// Samples gives records with their proofs, the same ones for the same period and
// the same store. The chunks they name are entries of the ledger.
type Samples interface {
	Sample(ctx context.Context, p garrison.Period, n int) ([]evidence.RecordSample, error)
}

// Transcripts gives back what was kept of a run. measures.Runner is one.
type Transcripts interface {
	Transcript(ctx context.Context, id garrison.RunID) ([]byte, error)
}

// Export writes the evidence bundle of a clause as it stands in the latest snapshot;
// call Refresh before for this very moment. The same snapshot on the same ledger gives
// the same bytes. The statement is sealed in the ledger before anything is written.
func (d *Duties) Export(ctx context.Context, id garrison.DutyID, w io.Writer) error {
	if _, err := d.Duty(ctx, id); err != nil {
		return err
	}
	if d.deps.Proofs == nil {
		return garrison.Refuse(garrison.Unavailable, "error.duties.no_ledger")
	}
	s, err := d.Snapshot(ctx)
	if err != nil {
		return err
	}
	a, _ := s.Of(id)
	b, err := statement(s, a)
	if err != nil {
		return err
	}
	p := &packing{b: b, proofs: d.deps.Proofs, want: map[uint64]string{}}
	for _, ref := range a.Evidence {
		if err := p.add(ref); err != nil {
			return err
		}
	}
	if err := d.standingEntry(ctx, id, p); err != nil {
		return err
	}
	if err := d.material(ctx, s, a, p); err != nil {
		return err
	}
	if err := d.seal(ctx, p); err != nil {
		return err
	}
	if err := p.prove(ctx); err != nil {
		return err
	}
	if err := b.Write(w); err != nil {
		return fmt.Errorf("export duty %q: %w", id, err)
	}
	return nil
}

// statement is what the bundle says, from the snapshot alone.
func statement(s Snapshot, a garrison.Assessment) (*evidence.Bundle, error) {
	facts := factsMap(a.Facts)
	standing, why, _ := evidence.Standing(string(a.Duty), facts)
	b := &evidence.Bundle{
		Clause: string(a.Duty), Period: evidence.Period{From: a.At.Add(-day), Until: a.At}, Made: a.At,
		Org:   map[string]string{"name": s.Profile.Name, "binds": strings.Join(s.Profile.Binds, ",")},
		Facts: facts, Support: map[string][]evidence.Ref{}, Standing: standing, Why: why,
		Population: evidence.Population{Attempted: int64(a.Population.Attempted), Succeeded: int64(a.Population.Succeeded),
			Failed: int64(a.Population.Failed), Unreachable: int64(a.Population.Unreachable)},
	}
	for _, g := range a.Gaps {
		if g.From.Before(b.Period.From) {
			b.Period.From = g.From // the bundle speaks about all it names
		}
		b.Gaps = append(b.Gaps, evidence.Gap{From: g.From, Until: g.Until, Source: g.Source, Cause: g.Cause, Explain: g.Explain, Lost: g.Lost})
	}
	for _, f := range a.Facts {
		for _, ref := range f.Evidence {
			r, err := evidence.ParseRef(ref.Index, ref.Digest)
			if err != nil {
				return nil, garrison.Errorf(garrison.Damaged, "fact %q of duty %q: %w", f.Name, a.Duty, err)
			}
			b.Support[f.Name] = append(b.Support[f.Name], r)
		}
	}
	return b, nil
}

// packing collects what a bundle carries beside its statement.
type packing struct {
	b      *evidence.Bundle
	proofs Proofs
	log    string            // origin of the ledger
	want   map[uint64]string // entries of it to carry: index to digest, "" where any entry at that place is meant
}

// add takes one entry along. All must be of one ledger: there is one checkpoint.
func (p *packing) add(ref garrison.EvidenceRef) error {
	if p.log == "" {
		p.log = ref.Log
	}
	if was := p.want[ref.Index]; p.log != ref.Log || was != "" && was != ref.Digest {
		return garrison.Errorf(garrison.Damaged, "ledger entry %d of %q with digest %s contradicts the other evidence of %q",
			ref.Index, ref.Log, ref.Digest, p.b.Clause)
	}
	p.want[ref.Index] = ref.Digest
	return nil
}

// standingEntry adds the entry that recorded the present standing.
func (d *Duties) standingEntry(ctx context.Context, id garrison.DutyID, p *packing) error {
	history, err := d.History(ctx, id, p.b.Made)
	if err != nil || len(history) == 0 {
		return err
	}
	if ref := history[len(history)-1].Evidence; !ref.Zero() {
		return p.add(ref)
	}
	return nil
}

// material adds records and transcripts that the facts of the clause rest on.
func (d *Duties) material(ctx context.Context, s Snapshot, a garrison.Assessment, p *packing) error {
	records := slices.ContainsFunc(a.AnsweredBy, func(by string) bool { return strings.HasPrefix(by, "records.") })
	if records && d.deps.Samples != nil && d.cfg.Samples > 0 {
		samples, err := d.deps.Samples.Sample(ctx, garrison.Period{From: a.At.Add(-day), Until: a.At}, d.cfg.Samples)
		if err != nil {
			return fmt.Errorf("records for the bundle of %q: %w", a.Duty, err)
		}
		p.b.Samples = samples[:min(len(samples), d.cfg.Samples)]
		for _, sample := range p.b.Samples {
			if _, named := p.want[sample.Chunk]; !named {
				p.want[sample.Chunk] = ""
			}
		}
	}
	if d.deps.Transcripts == nil {
		return nil
	}
	return d.transcripts(ctx, s.answers[a.Duty].runs, p)
}

// transcripts adds what was kept of the runs whose entries the bundle carries.
func (d *Duties) transcripts(ctx context.Context, runs []garrison.Run, p *packing) error {
	seen := map[[32]byte]bool{}
	for _, run := range runs {
		if p.want[run.Evidence.Index] != run.Evidence.Digest || run.Evidence.Zero() || run.Transcript == "" || len(seen) == maxTranscripts {
			continue
		}
		t, err := d.deps.Transcripts.Transcript(ctx, run.ID)
		if garrison.CodeOf(err) == garrison.NotFound {
			continue // not kept any more; the entry still names it
		}
		if err != nil {
			return fmt.Errorf("transcript of run %q: %w", run.ID, err)
		}
		digest := sha256.Sum256(t)
		if hex.EncodeToString(digest[:]) != strings.TrimPrefix(run.Transcript, "sha256:") {
			return garrison.Errorf(garrison.Damaged, "transcript of run %q is not the one that was kept (%s)", run.ID, run.Transcript)
		}
		if len(t) > evidence.MaxTranscript || seen[digest] {
			continue // too large for a bundle; the entry still names its digest
		}
		seen[digest] = true
		p.b.Transcripts = append(p.b.Transcripts, t)
	}
	return nil
}

// seal enters the statement in the ledger. The same statement is entered once, so that
// exporting twice changes nothing.
func (d *Duties) seal(ctx context.Context, p *packing) error {
	entry, err := p.b.Seal()
	if err != nil {
		return err
	}
	text := entry.Marshal()
	d.mu.Lock()
	ref, known := d.seals[string(text)]
	d.mu.Unlock()
	if !known {
		refs, err := p.proofs.Append(ctx, text)
		if err != nil || len(refs) != 1 {
			return fmt.Errorf("seal bundle of %q (%d references): %w", p.b.Clause, len(refs), err)
		}
		ref = refs[0]
		d.remember(p.b.Clause, string(text), ref)
	}
	return p.add(ref)
}

// remember keeps the last seal of each clause.
func (d *Duties) remember(clause, text string, ref garrison.EvidenceRef) {
	d.mu.Lock()
	defer d.mu.Unlock()
	maps.DeleteFunc(d.seals, func(old string, _ garrison.EvidenceRef) bool {
		e, err := evidence.ParseEntry([]byte(old))
		return err != nil || e.Get("duty") == clause
	})
	d.seals[text] = ref
}

// prove brings every entry with a proof under one checkpoint. The ledger grows
// meanwhile, so proofs under an older checkpoint are asked for again.
func (p *packing) prove(ctx context.Context) error {
	items := map[uint64]evidence.Item{}
	sizes := map[uint64]uint64{}
	var size uint64
	for _, index := range slices.Sorted(maps.Keys(p.want)) {
		entry, err := p.proofs.Entry(ctx, index)
		if err != nil {
			return fmt.Errorf("ledger entry %d: %w", index, err)
		}
		hash := evidence.EntryHash(entry)
		digest := hex.EncodeToString(hash[:])
		if want := p.want[index]; want != "" && want != digest {
			return garrison.Errorf(garrison.Damaged, "ledger entry %d has digest %s, not %s", index, digest, want)
		}
		p.want[index] = digest
		items[index] = evidence.Item{Index: index, Entry: entry}
	}
	for range maxProofRounds {
		behind := 0
		for index, item := range items {
			if sizes[index] != 0 && sizes[index] == size {
				continue
			}
			r, err := p.proofs.Receipt(ctx, garrison.EvidenceRef{Log: p.log, Index: index, Digest: p.want[index]})
			if err != nil {
				return fmt.Errorf("proof of ledger entry %d: %w", index, err)
			}
			item.Proof, sizes[index] = r.Proof, r.Size
			items[index] = item
			if r.Size > size {
				size, p.b.Checkpoint = r.Size, r.Checkpoint
			}
			behind++
		}
		if behind == 0 {
			break
		}
	}
	for index := range items {
		if sizes[index] != size {
			return garrison.Errorf(garrison.Unavailable, "the ledger grew faster than %d proofs could be read", len(items))
		}
	}
	p.b.Items = slices.SortedFunc(maps.Values(items), func(a, b evidence.Item) int { return cmp.Compare(a.Index, b.Index) })
	return nil
}
