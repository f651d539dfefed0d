package console

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"garrison"
	"garrison/evidence"
	"garrison/internal/identity"
)

// proofPath is the way from what was seen to what vouches for it: record, chunk,
// entry, checkpoint, witnesses. A step that does not hold makes all below it "not
// checked".
type proofPath struct {
	Index  uint64
	Steps  []proofStep
	Fields []evidence.Field // of the entry
	Good   bool
	Part   bool   // good as far as it goes: the record itself could not be shown
	Fault  string // which step does not hold
	Run    garrison.RunID
}

// proofStep is one step of the path.
type proofStep struct {
	Name   string
	Line   string
	Digest string
	State  string // good | open | broken | unchecked
}

func (f frame) index(i uint64) string { return strconv.FormatUint(i, 10) }

// openProof opens the proof that stands in the address.
func (c *Console) openProof(p *page, v *clausePage) error {
	asked := p.r.URL.Query().Get("proof")
	if asked == "" {
		return nil
	}
	index, err := strconv.ParseUint(asked, 10, 64)
	if err != nil {
		return garrison.Refuse(garrison.Invalid, "error.api.index", "value", clip(asked, 40))
	}
	for _, x := range v.Assessment.Facts {
		for _, r := range x.Evidence {
			if r.Index == index {
				v.Proof = c.provePath(p, v.frame, r)
				return nil
			}
		}
	}
	status, err := c.deps.Ledger.Status(p.ctx())
	if err != nil {
		return err
	}
	if index >= status.Size {
		return garrison.Refuse(garrison.NotFound, "error.ledger.no_entry", "index", index, "size", status.Size)
	}
	entry, err := c.deps.Ledger.Entry(p.ctx(), index)
	if err != nil {
		return err
	}
	hash := evidence.EntryHash(entry)
	v.Proof = c.provePath(p, v.frame, garrison.EvidenceRef{Log: status.Origin, Index: index, Digest: hex.EncodeToString(hash[:])})
	return nil
}

// provePath recomputes a proof here and now.
func (c *Console) provePath(p *page, f frame, r garrison.EvidenceRef) *proofPath {
	out := &proofPath{Index: r.Index}
	raw, err := c.deps.Ledger.Entry(p.ctx(), r.Index)
	if err != nil {
		out.broken(f, f.T("clauses.path.entry"), err.Error(), r.Digest)
		return out
	}
	e, err := evidence.ParseEntry(raw)
	if err == nil {
		out.Fields = append([]evidence.Field{{Name: "type", Value: e.Type}}, e.Fields...)
		out.Run = garrison.RunID(map[bool]string{true: e.Get("run")}[e.Type == evidence.TypeRun])
	}
	if chunk, err := evidence.ChunkOf(e); err == nil {
		c.recordStep(p, f, out, chunk, r)
	}
	hash := evidence.EntryHash(raw)
	if hex.EncodeToString(hash[:]) != r.Digest {
		out.broken(f, f.T("clauses.path.entry"), f.T("clauses.path.entry_other", "n", f.Num(int64(r.Index))), r.Digest)
		return out
	}
	out.good(f.T("clauses.path.entry"), f.T("clauses.path.entry_line", "index", f.Num(int64(r.Index)), "type", f.known("entry.type.", e.Type)), r.Digest)
	c.checkpointStep(p, f, out, raw, r)
	return out
}

// recordStep proves one record of a chunk. The record itself is shown to those who
// may trace; others see its digest.
func (c *Console) recordStep(p *page, f frame, out *proofPath, chunk evidence.Chunk, r garrison.EvidenceRef) {
	at := time.Unix(chunk.Second, 0)
	root := hex.EncodeToString(chunk.Root[:])
	list, err := c.deps.Records.Sample(p.ctx(), garrison.Period{From: at, Until: at.Add(time.Second)}, 64)
	record := proofStep{Name: f.T("clauses.path.record"), Line: f.T("clauses.path.record_gone"), State: "open"}
	for _, x := range list {
		if err != nil || x.ChunkEntry.Index != r.Index {
			continue
		}
		record.Digest = hex.EncodeToString(x.Leaf[:])
		record.Line = f.T("clauses.path.record_closed")
		if p.who.May(identity.PermTrace) {
			record.Line = f.T("clauses.path.record_line", "outside", fmt.Sprintf("%s:%d", x.Record.OutsideIP, x.Record.OutsidePort),
				"inside", fmt.Sprintf("%s:%d", x.Record.InsideIP, x.Record.InsidePort), "at", f.Clock(time.UnixMilli(x.Record.Start)))
		}
		record.State = "good"
		leaf := evidence.LeafHash(x.Salt, x.Record.AppendCanonical(nil))
		if leaf != x.Leaf || evidence.VerifyChunkProof(chunk.Root, chunk.Records, x.Index, leaf, x.Proof) != nil {
			record.State, record.Line = "broken", f.T("clauses.path.record_wrong")
			out.Fault = record.Name
		}
		break
	}
	out.Steps = append(out.Steps, record)
	out.good(f.T("clauses.path.chunk"), f.T("clauses.path.chunk_line", "n", f.Num(int64(chunk.Records)), "at", f.Clock(at)), root)
}

func (c *Console) checkpointStep(p *page, f frame, out *proofPath, raw []byte, r garrison.EvidenceRef) {
	name := f.T("clauses.path.checkpoint")
	receipt, err := c.deps.Ledger.Receipt(p.ctx(), r)
	if err != nil {
		out.Steps = append(out.Steps, proofStep{Name: name, Line: f.T("clauses.path.not_sealed"), State: "open"})
		out.witnesses(f, 0)
		return
	}
	keys, err := evidence.ParseKeys([]byte(c.deps.Ledger.PublicKey()))
	if err == nil {
		err = evidence.Verify(raw, receipt, keys)
	}
	if err != nil {
		out.broken(f, name, clip(strings.Join([]string{f.T("clauses.path.checkpoint_wrong"), err.Error()}, " "), 300), "")
		return
	}
	cp, err := evidence.OpenCheckpoint(receipt.Checkpoint, keys)
	if err != nil && !errors.Is(err, evidence.ErrOriginNotChecked) {
		out.broken(f, name, err.Error(), "")
		return
	}
	out.good(name, f.T("clauses.path.checkpoint_line", "origin", cp.Origin, "size", f.Num(int64(cp.Size))), hex.EncodeToString(cp.Root[:]))
	status, err := c.deps.Ledger.Status(p.ctx())
	if err != nil {
		status.Witnesses = 0
	}
	out.witnesses(f, status.Witnesses)
	out.Good = out.Fault == ""
	out.Part = slices.ContainsFunc(out.Steps[:len(out.Steps)-1], func(s proofStep) bool { return s.State == "open" })
}

// witnesses closes the path; without any, that is said.
func (x *proofPath) witnesses(f frame, n int) {
	s := proofStep{Name: f.T("clauses.path.witnesses"), Line: f.T("clauses.path.no_witness"), State: "open"}
	if n > 0 {
		s.Line, s.State = f.T("clauses.path.witness_line", "n", n), "good"
	}
	x.Steps = append(x.Steps, s)
}

func (x *proofPath) good(name, line, digest string) {
	s := proofStep{Name: name, Line: line, Digest: digest, State: "good"}
	if x.Fault != "" {
		s.State = "unchecked"
	}
	x.Steps = append(x.Steps, s)
}

func (x *proofPath) broken(f frame, name, line, digest string) {
	x.Steps = append(x.Steps, proofStep{Name: name, Line: line, Digest: digest, State: "broken"},
		proofStep{Name: f.T("clauses.path.rest"), Line: f.T("clauses.path.unchecked"), State: "unchecked"})
	if x.Fault == "" {
		x.Fault = name
	}
}

// tallyClass draws a step: joined, apart or shifted.
func (s proofStep) tallyClass() string {
	switch s.State {
	case "good":
		return ""
	case "broken":
		return "tally--broken"
	}
	return "tally--open"
}
