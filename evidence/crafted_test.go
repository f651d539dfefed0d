package evidence

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
)

// TestCraftedFilesAreRefused makes files whose digests are all right but which Write
// would never make: a second spelling of the same bundle, parts at the wrong place.
func TestCraftedFilesAreRefused(t *testing.T) {
	// Places in the list: statement 0, checkpoint 1, entries 2-6, samples 7-8, transcript 9.
	tests := []struct {
		name, part, key string
		craft           func(p []part) []part
	}{
		{"no checkpoint", "index", BadBytes, func(p []part) []part { return slices.Delete(p, 1, 2) }},
		{"nothing but the index", "index", BadBytes, func([]part) []part { return nil }},
		{"statement twice", "index", BadBytes, func(p []part) []part { return slices.Insert(p, 2, p[0]) }},
		{"unknown part", "index", BadBytes, func(p []part) []part { return append(p, part{"readme", []byte("hello")}) }},
		{"unknown part in front", "index", BadBytes, func(p []part) []part { return slices.Insert(p, 2, part{"entry", nil}) }},
		{"name too long for its header", "index", BadBytes, func(p []part) []part { return append(p, part{"transcript/" + strings.Repeat("f", 99), nil}) }},
		{"sample before entries", "index", BadBytes, func(p []part) []part { return slices.Insert(slices.Delete(p, 7, 8), 2, p[7]) }},
		{"transcripts out of order", "index", BadBytes, func(p []part) []part {
			more := []part{p[9], {transcriptName([]byte("a")), []byte("a")}}
			slices.SortFunc(more, func(a, b part) int { return -strings.Compare(a.name, b.name) })
			return append(p[:9], more...)
		}},
		{"transcript twice", "index", BadBytes, func(p []part) []part { return append(p, p[9]) }},
		{"entries out of order", "entry/6", BadForm, func(p []part) []part { p[2], p[3] = p[3], p[2]; return p }},
		{"entry twice", "entry/6", BadForm, func(p []part) []part { return slices.Insert(p, 2, p[2]) }},
		{"entry under another name", "entry/5", BadForm, func(p []part) []part { p[2].name = "entry/5"; return p }},
		{"samples out of order", "sample/000001", BadForm, func(p []part) []part { p[7].data, p[8].data = p[8].data, p[7].data; return p }},
		{"sample number left out", "sample/000002", BadForm, func(p []part) []part { p[8].name = "sample/000002"; return p }},
		{"transcript under another name", "transcript/00", BadForm, func(p []part) []part { p[9].name = "transcript/00"; return p }},
		{"entry without proof", "entry/6", BadForm, func(p []part) []part { p[2].data = []byte("hello"); return p }},
		{"proof hash spelled otherwise", "entry/6", BadForm, replaceIn(2, "=\n", "\n")},
		{"sample field repeated", "sample/000000", BadForm, replaceIn(7, "leaf 2\n", "leaf 2\nleaf 2\n")},
		{"sample fields in another order", "sample/000000", BadForm, replaceIn(7, "chunk 6\nleaf 2\n", "leaf 2\nchunk 6\n")},
		{"sample of another type", "sample/000000", BadForm, replaceIn(7, "garrison/sample/", "garrison/simple/")},
		{"statement fields in another order", "statement", BadForm, replaceIn(0, "attempted 70\nsucceeded 70\n", "succeeded 70\nattempted 70\n")},
		{"statement field repeated", "statement", BadForm, replaceIn(0, "failed 0\n", "failed 0\nfailed 0\n")},
		{"statement with a field of its own", "statement", BadForm, replaceIn(0, "failed 0\n", "failed 0\ncolour red\n")},
		{"statement of another type", "statement", BadForm, replaceIn(0, "garrison/statement/", "garrison/beat/")},
		{"number spelled otherwise", "statement", BadForm, replaceIn(0, "failed 0\n", "failed 00\n")},
		{"time in another zone", "statement", BadForm, replaceIn(0, "made 2026-11-22T02:00:00Z", "made 2026-11-22T10:00:00+08:00")},
		{"time spelled otherwise", "statement", BadForm, replaceIn(0, "made 2026-11-22T02:00:00Z", "made 2026-11-22T02:00:00.0Z")},
		{"gap without beginning", "statement", BadForm, replaceIn(0, "gap.from", "gap.til")},
		{"support before its fact", "statement", BadForm, func(p []part) []part {
			return replaceIn(0, "fact.floor_days 60\n", "")(p)
		}},
		{"entry digest in capitals", "statement", BadForm, func(p []part) []part {
			at := bytes.Index(p[0].data, []byte("support.floor_days 8 ")) + len("support.floor_days 8 ")
			copy(p[0].data[at:], bytes.ToUpper(p[0].data[at:at+64]))
			return p
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, b := example(t)
			parts, err := b.parts()
			if err != nil {
				t.Fatal(err)
			}
			for i := range parts {
				parts[i].data = bytes.Clone(parts[i].data)
			}
			before := joined(parts)
			parts = tt.craft(parts)
			if joined(parts) == before {
				t.Fatal("nothing was changed")
			}
			var file bytes.Buffer
			if err := writeArchive(&file, parts); err != nil {
				t.Fatal(err)
			}
			p := firstProblem(file.Bytes(), l.keys(t))
			if p == nil || p.Part != tt.part || p.Key != tt.key {
				t.Errorf("problem %+v, want %s with key %q", p, tt.part, tt.key)
			}
		})
	}
}

func replaceIn(i int, old, new string) func([]part) []part {
	return func(p []part) []part {
		p[i].data = bytes.Replace(p[i].data, []byte(old), []byte(new), 1)
		return p
	}
}

func joined(parts []part) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(p.name + "\x00" + string(p.data) + "\x00")
	}
	return b.String()
}

// TestSampleMustFitItsChunk seals chunks that hold what they should not: the proof is
// right, the record is not one of that chunk.
func TestSampleMustFitItsChunk(t *testing.T) {
	good := exampleNAT(1)[0]
	chunk := Chunk{Kind: "nat", Shard: good.Shard, Second: good.Received, Records: 1}
	tests := []struct {
		name, says string // says: part of the problem, "" for none
		record     func() []byte
		chunk      func(c Chunk) Chunk
	}{
		{"fits", "", nil, nil},
		{"another second", "second", nil, func(c Chunk) Chunk { c.Second++; return c }},
		{"another shard", "shard", nil, func(c Chunk) Chunk { c.Shard++; return c }},
		{"another kind", "not of translations", nil, func(c Chunk) Chunk { c.Kind = "dns"; return c }},
		{"another count", "no such leaf", nil, func(c Chunk) Chunk { c.Records = 0; return c }},
		{"no record at all", "version", func() []byte { return []byte("hello") }, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, b := example(t)
			record := good.AppendCanonical(nil)
			if tt.record != nil {
				record = tt.record()
			}
			salt := LeafSalts(exampleKey(), 1).At(0)
			tree := BuildChunkTree([][32]byte{LeafHash(salt, record)})
			c := chunk
			c.Root = tree.Root()
			if tt.chunk != nil {
				c = tt.chunk(c)
			}
			at := l.add(t, c.Entry().Marshal())
			b.Samples = []RecordSample{{Chunk: at, Record: record, Salt: salt}}
			b.Items = append(b.Items, Item{Index: at})
			reseal(t, l, b)
			p := firstProblem(marshalBundle(t, b), l.keys(t))
			switch {
			case tt.says == "" && p != nil:
				t.Errorf("problem %+v", p)
			case tt.says != "" && (p == nil || p.Key != BadSample || !strings.Contains(p.What, tt.says)):
				t.Errorf("problem %+v, want one that says %q", p, tt.says)
			}
		})
	}
}

// TestOnlyTheRightEntryCounts puts the right fields into entries of another type.
func TestOnlyTheRightEntryCounts(t *testing.T) {
	l, b := example(t)
	for i := range b.Items { // the run becomes a beat
		if b.Items[i].Index == 7 {
			digest := sha256.Sum256(b.Transcripts[0])
			b.Items[i].Index = l.add(t, NewEntry(TypeBeat, "transcript", hex.EncodeToString(digest[:])).Marshal())
		}
	}
	reseal(t, l, b)
	if p := firstProblem(marshalBundle(t, b), l.keys(t)); p == nil || p.Key != BadTranscript {
		t.Errorf("transcript named by a beat: problem %+v", p)
	}

	l, b = example(t)
	seal, err := b.Seal()
	if err != nil {
		t.Fatal(err)
	}
	seal.Type = TypeState
	b.Items[4].Index = l.add(t, seal.Marshal())
	for i := range b.Items {
		b.Items[i] = l.item(t, b.Items[i].Index)
	}
	b.Checkpoint = l.checkpoint(t)
	if p := firstProblem(marshalBundle(t, b), l.keys(t)); p == nil || p.Key != BadSeal {
		t.Errorf("sealed by an entry of another type: problem %+v", p)
	}

	l, b = example(t)
	at := l.add(t, []byte("no entry of ours"))
	b.Items = append(b.Items, Item{Index: at})
	reseal(t, l, b)
	if p := firstProblem(marshalBundle(t, b), l.keys(t)); p == nil || p.Key != BadForm || p.Part != "entry/11" {
		t.Errorf("foreign bytes in the ledger: problem %+v", p)
	}
}

func TestReasonIsComparedToo(t *testing.T) {
	l, b := example(t)
	b.Why = "retention.forecast_short"
	reseal(t, l, b)
	if p := firstProblem(marshalBundle(t, b), l.keys(t)); p == nil || p.Key != BadStanding {
		t.Errorf("problem %+v", p)
	}
}
