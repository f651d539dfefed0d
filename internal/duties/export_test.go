package duties

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"garrison"
	"garrison/evidence"
	"garrison/internal/ledger"
	"garrison/internal/state/statetest"
)

// office is an installation with a real ledger, sealed records and a kept run.
type office struct {
	*Duties
	w          *world
	log        *ledger.Ledger
	keys       evidence.Keys
	samples    []evidence.RecordSample
	transcript []byte
}

func newOffice(t *testing.T) *office {
	t.Helper()
	ctx := t.Context()
	cfg := ledger.DefaultConfig()
	cfg.Dir, cfg.KeyDir, cfg.Origin = t.TempDir(), t.TempDir(), "garrison.test/log"
	cfg.Beat = time.Minute // nothing grows by itself while bundles are compared
	log, err := ledger.New(cfg, ledger.Deps{Log: slog.New(slog.DiscardHandler), Now: time.Now})
	must(t, err)
	must(t, log.Start(ctx))
	t.Cleanup(func() { must(t, log.Stop(context.Background())) })
	keys, err := evidence.ParseKeys([]byte(log.PublicKey()))
	must(t, err)

	o := &office{w: good(), log: log, keys: keys, transcript: []byte(`{"exchanges":[]}`)}
	chunk := o.seal(t)
	digest := sha256.Sum256(o.transcript)
	refs, err := log.Append(ctx,
		evidence.NewEntry(evidence.TypeConfig, "what", "retention", "days", "60").Marshal(),
		evidence.NewEntry(evidence.TypeStart, "at", "2026-08-01T00:00:00Z").Marshal(),
		evidence.NewEntry(evidence.TypeMeasure, "measure", "links", "state", "on").Marshal(),
		evidence.NewEntry(evidence.TypeRun, "run", "run-1", "measure", "links", "transcript", hex.EncodeToString(digest[:])).Marshal())
	must(t, err)
	o.w.records.Evidence, o.w.records.Retention = []garrison.EvidenceRef{chunk}, refs[:1]
	o.w.ledger.Evidence, o.w.measures[0].Evidence = refs[1:2], refs[2]
	o.w.links.Runs = []garrison.Run{{ID: "run-1", Evidence: refs[3], Transcript: "sha256:" + hex.EncodeToString(digest[:])}}

	db := statetest.OpenSQLite(t)
	o.Duties, err = New(DefaultConfig(), Deps{DB: db, Profile: o.w, Records: o.w, Ledger: o.w, Measures: o.w, Now: o.w.clock,
		Proofs: log, Samples: o, Transcripts: o})
	must(t, err)
	must(t, o.migrate(ctx))
	refresh(t, o.Duties)
	_, err = db.Drain(ctx, log)
	must(t, err)
	return o
}

// seal puts a chunk of 200 records into the ledger and keeps three of them.
func (o *office) seal(t *testing.T) garrison.EvidenceRef {
	t.Helper()
	second := t0.Add(-time.Hour).Unix()
	records := make([]evidence.NAT, 200)
	for i := range records {
		records[i] = evidence.NAT{Start: second * 1000, Proto: 6, InsideIP: netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}),
			OutsideIP: netip.MustParseAddr("203.0.113.5"), InsidePort: 1000, OutsidePort: uint16(40000 + i), OutsidePortLast: uint16(40000 + i),
			Line: "line-1", Device: "nat-1", Source: "source-1", Received: second}
	}
	key := evidence.ChunkKey{1}
	tree := evidence.BuildChunkTree(evidence.NATLeaves(key, records))
	refs, err := o.log.Append(t.Context(), evidence.Chunk{Kind: "nat", Second: second, Records: uint64(len(records)), Root: tree.Root()}.Entry().Marshal())
	must(t, err)
	salts := evidence.LeafSalts(key, len(records))
	for _, i := range []int{0, 77, 199} {
		proof, err := tree.Prove(i)
		must(t, err)
		o.samples = append(o.samples, evidence.RecordSample{Chunk: refs[0].Index, Leaf: uint64(i),
			Record: records[i].AppendCanonical(nil), Salt: salts.At(i), Proof: proof})
	}
	return refs[0]
}

func (o *office) Sample(_ context.Context, _ garrison.Period, n int) ([]evidence.RecordSample, error) {
	return o.samples[:min(n, len(o.samples))], nil
}

func (o *office) Transcript(context.Context, garrison.RunID) ([]byte, error) {
	return o.transcript, o.w.errs["transcript"]
}

func (o *office) export(t *testing.T, id garrison.DutyID) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := o.Export(t.Context(), id, &b); err != nil {
		t.Fatalf("export %s: %v", id, err)
	}
	return b.Bytes()
}

func verify(t *testing.T, raw []byte, keys evidence.Keys) (*evidence.Bundle, evidence.Result) {
	t.Helper()
	b, err := evidence.ReadBundle(bytes.NewReader(raw), int64(len(raw)))
	must(t, err)
	res, err := evidence.VerifyBundle(b, keys)
	must(t, err)
	return b, res
}

func TestExportVerifies(t *testing.T) {
	o := newOffice(t)
	tests := []struct {
		id                          garrison.DutyID
		standing                    string
		samples, transcripts, facts int
	}{
		{"mps82-8-2", evidence.Met, 3, 0, 2},
		{"mps82-13", evidence.Met, 3, 0, 3},
		{"mps82-14-1", evidence.Met, 0, 0, 6},
		{"govqa-9b", evidence.Met, 0, 1, 5},
		{"mps82-9-3", evidence.OutOfScope, 0, 0, 0},
		{"mps82-15", evidence.OutOfScope, 0, 0, 0},
		{"mps82-7-3", evidence.Unproven, 0, 0, 0},
	}
	for _, tt := range tests {
		raw := o.export(t, tt.id)
		b, res := verify(t, raw, o.keys)
		if len(res.Problems) != 0 || !res.OriginChecked {
			t.Errorf("%s: origin checked %v, problems %v", tt.id, res.OriginChecked, res.Problems)
		}
		if res.Standing != tt.standing || res.Samples != tt.samples || res.Transcripts != tt.transcripts || len(res.Supported) != tt.facts {
			t.Errorf("%s: %s with %d samples, %d transcripts, supported %v; want %+v", tt.id, res.Standing, res.Samples, res.Transcripts, res.Supported, tt)
		}
		if a, _ := o.AssessOne(t.Context(), tt.id, time.Time{}); a.Standing.String() != b.Standing || !b.Made.Equal(a.At) {
			t.Errorf("%s: the page says %s at %v, the bundle %s at %v", tt.id, a.Standing, a.At, b.Standing, b.Made)
		}
		if again := o.export(t, tt.id); !bytes.Equal(raw, again) {
			t.Errorf("%s: the same state gave other bytes", tt.id)
		}
	}
}

// TestExportCarriesTheStanding: what was entered when the standing changed goes along.
func TestExportCarriesTheStanding(t *testing.T) {
	o := newOffice(t)
	b, _ := verify(t, o.export(t, "govqa-9b"), o.keys)
	types := map[string]int{}
	for _, it := range b.Items {
		e, err := evidence.ParseEntry(it.Entry)
		must(t, err)
		types[e.Type]++
	}
	if types[evidence.TypeStanding] != 1 || types[evidence.TypeRun] != 1 || types[evidence.TypeBundle] != 1 {
		t.Errorf("entries by type: %v", types)
	}
	if b.Org["name"] != "青檀县" || b.Org["binds"] != "government,isp" {
		t.Errorf("organisation: %v", b.Org)
	}
}

func TestExportAnyByteCounts(t *testing.T) {
	o := newOffice(t)
	raw := o.export(t, "mps82-13")
	tries := 400
	if testing.Short() {
		tries = 40
	}
	step := max(1, len(raw)/tries)
	for i := 0; i < len(raw); i += step {
		bad := bytes.Clone(raw)
		bad[i] ^= 1
		b, err := evidence.ReadBundle(bytes.NewReader(bad), int64(len(bad)))
		if err != nil {
			continue
		}
		if res, err := evidence.VerifyBundle(b, o.keys); err == nil && len(res.Problems) == 0 {
			t.Errorf("byte %d of %d changed, and nobody noticed", i, len(raw))
		}
	}
}

func TestExportRefuses(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(*office)
		duty  garrison.DutyID
		code  garrison.Code
	}{
		{"no ledger", func(o *office) { o.deps.Proofs = nil }, "mps82-13", garrison.Unavailable},
		{"transcript is another", func(o *office) { o.transcript = []byte("{}") }, "govqa-9b", garrison.Damaged},
		{"evidence is another entry", func(o *office) {
			o.w.records.Retention = []garrison.EvidenceRef{{Log: "garrison.test/log", Index: 0, Digest: strings.Repeat("ab", 32)}}
		}, "mps82-13", garrison.Damaged},
		{"evidence of another ledger", func(o *office) {
			same := o.w.records.Retention[0]
			same.Log = "elsewhere.test/log"
			o.w.records.Retention = []garrison.EvidenceRef{same}
		}, "mps82-13", garrison.Damaged},
		{"evidence without a digest that is one", func(o *office) {
			o.w.records.Retention = []garrison.EvidenceRef{{Log: "garrison.test/log", Index: 0, Digest: "xyz"}}
		}, "mps82-13", garrison.Damaged},
	}
	for _, tt := range tests {
		o := newOffice(t)
		o.w.change(func(*world) { tt.spoil(o) })
		refresh(t, o.Duties)
		var b bytes.Buffer
		if err := o.Export(t.Context(), tt.duty, &b); garrison.CodeOf(err) != tt.code || b.Len() != 0 {
			t.Errorf("%s: %v with %d bytes written, want %s and none", tt.name, err, b.Len(), tt.code)
		}
	}
}

func TestExportWithoutATranscript(t *testing.T) {
	o := newOffice(t)
	o.w.change(func(w *world) { w.errs["transcript"] = garrison.Errorf(garrison.NotFound, "not kept any more") })
	if _, res := verify(t, o.export(t, "govqa-9b"), o.keys); len(res.Problems) != 0 || res.Transcripts != 0 {
		t.Errorf("problems %v, transcripts %d", res.Problems, res.Transcripts)
	}
	o.w.change(func(w *world) { w.errs["transcript"] = errors.New("disk") })
	if err := o.Export(t.Context(), "govqa-9b", &bytes.Buffer{}); err == nil {
		t.Error("a transcript that could not be read was left out in silence")
	}
}

// TestExportWhileTheLedgerGrows: all proofs end up under one checkpoint.
func TestExportWhileTheLedgerGrows(t *testing.T) {
	o := newOffice(t)
	o.deps.Proofs = &growing{Proofs: o.log, t: t}
	if _, res := verify(t, o.export(t, "mps82-14-1"), o.keys); len(res.Problems) != 0 {
		t.Errorf("problems: %v", res.Problems)
	}
}

// growing is a ledger that gets an entry, and a checkpoint over it, before each of
// the first proofs.
type growing struct {
	Proofs
	t     *testing.T
	times int
}

func (g *growing) Receipt(ctx context.Context, ref garrison.EvidenceRef) (evidence.Receipt, error) {
	if g.times++; g.times <= 4 {
		refs, err := g.Append(ctx, evidence.NewEntry("beat", "n", string(rune('0'+g.times))).Marshal())
		must(g.t, err)
		if _, err := g.Proofs.Receipt(ctx, refs[0]); err != nil {
			return evidence.Receipt{}, err
		}
	}
	return g.Proofs.Receipt(ctx, ref)
}
