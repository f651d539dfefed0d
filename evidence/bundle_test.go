package evidence

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBundleComesBackAsItWasWritten(t *testing.T) {
	l, b := example(t)
	raw := marshalBundle(t, b)
	got, err := ReadBundle(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(b, got); diff != "" {
		t.Errorf("bundle (-written +read):\n%s", diff)
	}
	res, err := VerifyBundle(got, l.keys(t))
	if err != nil {
		t.Fatal(err)
	}
	want := Result{OriginChecked: true, Origin: exampleOrigin, Size: 11, Clause: "mps82-13", Standing: Met, Why: "retention.kept",
		Entries: 5, Samples: 2, Transcripts: 1, Supported: []string{"floor_days", "forecast_days_kept"}}
	if diff := cmp.Diff(want, res); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
}

func TestBundleWithoutKeyIsOnlyConsistent(t *testing.T) {
	_, b := example(t)
	res, err := VerifyBundle(b, Keys{})
	if err != nil || len(res.Problems) > 0 {
		t.Fatalf("err %v, problems %v", err, res.Problems)
	}
	if res.OriginChecked {
		t.Error("origin counts as checked without any key")
	}
}

func TestBundleWithAnotherKeyIsRefused(t *testing.T) {
	_, b := example(t)
	for name, other := range map[string]*testLog{"other log": newTestLog(t, "elsewhere.example/ledger")} {
		res, err := VerifyBundle(b, other.keys(t))
		if err != nil {
			t.Fatal(err)
		}
		if res.OriginChecked || len(res.Problems) != 1 || res.Problems[0].Key != BadCheckpoint {
			t.Errorf("%s: origin checked %t, problems %v", name, res.OriginChecked, res.Problems)
		}
	}
}

func TestBundleIsDeterministic(t *testing.T) {
	_, b := example(t)
	want := marshalBundle(t, b)
	slices.Reverse(b.Items)
	slices.Reverse(b.Samples)
	slices.Reverse(b.Support["forecast_days_kept"])
	if !bytes.Equal(marshalBundle(t, b), want) {
		t.Error("the same content in another order gives other bytes")
	}
}

// TestBundleIsPlainTar makes sure that an outsider can take the file apart with any
// tar program.
func TestBundleIsPlainTar(t *testing.T) {
	_, b := example(t)
	parts, err := b.parts()
	if err != nil {
		t.Fatal(err)
	}
	r := tar.NewReader(bytes.NewReader(marshalBundle(t, b)))
	var names []string
	for {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
		if n := len(names); n > 1 && (h.Name != parts[n-2].name || !bytes.Equal(data, parts[n-2].data)) {
			t.Errorf("part %d is %q, want %q, or has other content", n, h.Name, parts[n-2].name)
		}
	}
	if len(names) != 11 || names[0] != "index" {
		t.Errorf("archive holds %q", names)
	}
}

// TestEveryFlippedByteIsNamed flips each byte of a bundle in turn.
func TestEveryFlippedByteIsNamed(t *testing.T) {
	l, b := example(t)
	raw := marshalBundle(t, b)
	keys := l.keys(t)
	where := partOfByte(t, b, len(raw))
	for i := range raw {
		for _, mask := range []byte{0x01, 0x20, 0xff} {
			raw[i] ^= mask
			got := firstProblem(raw, keys)
			raw[i] ^= mask
			if got == nil {
				t.Fatalf("byte %d (of %s) flipped by %#x: nothing is wrong", i, where[i], mask)
			}
			if got.Part != where[i] {
				t.Fatalf("byte %d flipped by %#x: reported %v, but it belongs to %s", i, mask, got, where[i])
			}
		}
	}
	if got := firstProblem(raw, keys); got != nil {
		t.Fatalf("the whole bundle is wrong afterwards: %v", got)
	}
}

// firstProblem returns the first thing wrong with a bundle file.
func firstProblem(raw []byte, keys Keys) *Problem {
	b, err := ReadBundle(bytes.NewReader(raw), int64(len(raw)))
	if p := (Problem{}); errors.As(err, &p) {
		return &p
	}
	if err != nil {
		return &Problem{Part: "error", What: err.Error()}
	}
	res, err := VerifyBundle(b, keys)
	if err != nil {
		return &Problem{Part: "error", What: err.Error()}
	}
	if len(res.Problems) > 0 {
		return &res.Problems[0]
	}
	return nil
}

// partOfByte tells for every byte of the file which part it belongs to.
func partOfByte(t *testing.T, b *Bundle, size int) []string {
	t.Helper()
	parts, err := b.parts()
	if err != nil {
		t.Fatal(err)
	}
	var list []listed
	for _, p := range parts {
		list = append(list, listed{name: p.name, size: int64(len(p.data))})
	}
	index := part{indexName, indexText(list)} // digests do not change its length
	where := make([]string, 0, size)
	for _, p := range append([]part{index}, parts...) {
		where = append(where, slices.Repeat([]string{p.name}, int(entrySize(int64(len(p.data)))))...)
	}
	return append(where, slices.Repeat([]string{"file"}, size-len(where))...)
}

// TestForgeryWithNewDigestsIsNamed changes content and makes the file consistent
// again: what then still speaks against it must be the ledger.
func TestForgeryWithNewDigestsIsNamed(t *testing.T) {
	tests := []struct {
		name, part, key string
		forge           func(b *Bundle)
	}{
		{"fact value", "statement", BadSeal, func(b *Bundle) { b.Facts["forecast_days_kept"] = "900" }},
		{"fact added", "statement", BadSeal, func(b *Bundle) { b.Facts["zeal"] = "1" }},
		{"organisation", "statement", BadSeal, func(b *Bundle) { b.Org["name"] = "Somebody Else" }},
		{"period", "statement", BadSeal, func(b *Bundle) { b.Period.From = b.Period.From.Add(-1) }},
		{"made", "statement", BadSeal, func(b *Bundle) { b.Made = b.Made.Add(1) }},
		{"population", "statement", BadSeal, func(b *Bundle) { b.Population.Failed++ }},
		{"gap removed", "statement", BadSeal, func(b *Bundle) { b.Gaps = nil }},
		{"gap explained away", "statement", BadSeal, func(b *Bundle) { b.Gaps[0].Explain = "planned" }},
		{"support removed", "statement", BadSeal, func(b *Bundle) { delete(b.Support, "floor_days") }},
		{"clause", "statement", BadSeal, func(b *Bundle) { b.Clause = "mps82-8-2" }},
		{"standing", "statement", BadSeal, func(b *Bundle) { b.Standing = Unmet }},
		{"seal left out", "statement", BadSeal, func(b *Bundle) { b.Items = b.Items[:4] }},
		{"entry", "entry/6", BadInclusion, func(b *Bundle) { b.Items[0].Entry = append(b.Items[0].Entry, "x 1\n"...) }},
		{"entry moved", "entry/5", BadInclusion, func(b *Bundle) { b.Items[0].Index = 5 }},
		{"entry proof", "entry/7", BadInclusion, func(b *Bundle) { b.Items[1].Proof[0][0] ^= 1 }},
		{"entry proof cut", "entry/7", BadInclusion, func(b *Bundle) { b.Items[1].Proof = b.Items[1].Proof[1:] }},
		{"supporting entry left out", "statement", BadSupport, func(b *Bundle) { b.Items = slices.Delete(b.Items, 2, 3) }},
		{"record", "sample/000000", BadSample, func(b *Bundle) { b.Samples[0].Record[9] ^= 1 }},
		{"record of another leaf", "sample/000001", BadSample, func(b *Bundle) { b.Samples[1].Leaf = 65 }},
		{"salt", "sample/000001", BadSample, func(b *Bundle) { b.Samples[1].Salt[0] ^= 1 }},
		{"neighbour", "sample/000000", BadSample, func(b *Bundle) { b.Samples[0].Proof.Group[5][0] ^= 1 }},
		{"path", "sample/000000", BadSample, func(b *Bundle) { b.Samples[0].Proof.Path[0][31] ^= 1 }},
		{"chunk", "sample/000000", BadSample, func(b *Bundle) { b.Samples[0].Chunk = 4 }},
		{"chunk is a run", "sample/000001", BadSample, func(b *Bundle) { b.Samples[1].Chunk = 7 }},
		{"transcript", "transcript/", BadTranscript, func(b *Bundle) { b.Transcripts[0] = []byte("{}") }},
		{"checkpoint root", "checkpoint", BadCheckpoint, func(b *Bundle) {
			c, _ := ParseCheckpoint(b.Checkpoint)
			old := c.Text()
			c.Root[3] ^= 1
			b.Checkpoint = bytes.Replace(b.Checkpoint, []byte(old), []byte(c.Text()), 1)
		}},
		{"checkpoint size", "checkpoint", BadCheckpoint, func(b *Bundle) { b.Checkpoint = bytes.Replace(b.Checkpoint, []byte("\n11\n"), []byte("\n12\n"), 1) }},
		{"checkpoint unsigned", "checkpoint", BadCheckpoint, func(b *Bundle) { b.Checkpoint = b.Checkpoint[:bytes.Index(b.Checkpoint, []byte("— "))] }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, b := example(t)
			tt.forge(b)
			p := firstProblem(marshalBundle(t, b), l.keys(t))
			if p == nil || !strings.HasPrefix(p.Part, tt.part) || p.Key != tt.key {
				t.Errorf("problem %+v, want one of %s with key %q", p, tt.part, tt.key)
			}
		})
	}
}

// TestStandingNotFromFactsIsNamed seals a lie properly: only recomputing shows it.
func TestStandingNotFromFactsIsNamed(t *testing.T) {
	tests := []struct {
		name, key string
		lie       func(b *Bundle)
	}{
		{"met though the forecast is short", BadStanding, func(b *Bundle) { b.Facts["forecast_days_kept"] = "59.999" }},
		{"met though a fact is missing", BadStanding, func(b *Bundle) { delete(b.Facts, "expired_early") }},
		{"met though a fact is malformed", BadStanding, func(b *Bundle) { b.Facts["floor_days"] = "sixty" }},
		{"met by word alone", BadSupport, func(b *Bundle) { b.Support = nil }},
		{"bound as somebody else", BadContradiction, func(b *Bundle) { b.Org["binds"] = "isp" }},
		{"period backwards", BadContradiction, func(b *Bundle) { b.Period.Until = b.Period.From.Add(-1) }},
		{"fact rests on an entry with another digest", BadSupport, func(b *Bundle) { b.Support["floor_days"][0].Digest[0] ^= 1 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, b := example(t)
			tt.lie(b)
			for name := range b.Support { // Write refuses support of no fact
				if _, ok := b.Facts[name]; !ok {
					delete(b.Support, name)
				}
			}
			reseal(t, l, b)
			p := firstProblem(marshalBundle(t, b), l.keys(t))
			if p == nil || p.Part != "statement" || p.Key != tt.key {
				t.Errorf("problem %+v, want key %q", p, tt.key)
			}
		})
	}
}

// reseal puts what b now states into the log and proves everything anew.
func reseal(t *testing.T, l *testLog, b *Bundle) {
	t.Helper()
	e, err := b.Seal()
	if err != nil {
		t.Fatal(err)
	}
	b.Items = append(b.Items, Item{Index: l.add(t, e.Marshal())})
	for i := range b.Items {
		b.Items[i] = l.item(t, b.Items[i].Index)
	}
	b.Checkpoint = l.checkpoint(t)
}

func TestEarlierStandingFromSameFactsIsCompared(t *testing.T) {
	l, b := example(t)
	at := l.add(t, StandingEntry(b.Clause, Unmet, "retention.forecast_short", b.Facts, exampleTime).Marshal())
	b.Items = append(b.Items, Item{Index: at})
	reseal(t, l, b)
	p := firstProblem(marshalBundle(t, b), l.keys(t))
	if p == nil || p.Part != fmt.Sprintf("entry/%d", at) || p.Key != BadContradiction {
		t.Errorf("problem %+v, want a contradiction of entry %d", p, at)
	}
}

func TestWriteRefusesWhatCannotBeRead(t *testing.T) {
	tests := map[string]func(b *Bundle){
		"entry twice":              func(b *Bundle) { b.Items = append(b.Items, b.Items[0]) },
		"transcript twice":         func(b *Bundle) { b.Transcripts = append(b.Transcripts, b.Transcripts[0]) },
		"transcript too long":      func(b *Bundle) { b.Transcripts[0] = make([]byte, MaxTranscript+1) },
		"support of no fact":       func(b *Bundle) { b.Support["nothing"] = []Ref{{}} },
		"fact with a name to hide": func(b *Bundle) { b.Facts["a b"] = "1" },
	}
	for name, spoil := range tests {
		_, b := example(t)
		spoil(b)
		if err := b.Write(io.Discard); err == nil {
			t.Errorf("%s: written without complaint", name)
		}
	}
}

func TestHostileFilesAreCutOff(t *testing.T) {
	_, b := example(t)
	raw := marshalBundle(t, b)
	huge := bytes.Clone(raw)
	copy(huge, tarHeader(indexName, 8<<30-1))
	long := indexText([]listed{{name: "statement", size: 10 << 30}, {name: "checkpoint", size: 5}})
	declared := append(append(tarHeader(indexName, int64(len(long))), long...), make([]byte, padding(int64(len(long))))...)
	long = indexText([]listed{{name: "statement", size: 4 << 20}, {name: "checkpoint", size: 5}})
	short := append(append(tarHeader(indexName, int64(len(long))), long...), make([]byte, padding(int64(len(long))))...)
	short = append(short, tarHeader("statement", 4<<20)...)
	tests := []struct {
		name, part, key string
		raw             []byte
	}{
		{"empty", "index", BadFile, nil},
		{"not a bundle", "index", BadFile, bytes.Repeat([]byte("hello "), 1000)},
		{"index of 8 GiB declared", "index", BadLimit, huge},
		{"statement of 10 GiB declared", "statement", BadLimit, declared},
		{"statement longer than the file", "statement", BadFile, short},
		{"cut short", "file", BadFile, raw[:len(raw)-1]},
		{"something follows", "file", BadFile, append(bytes.Clone(raw), 0)},
	}
	for _, tt := range tests {
		p := firstProblem(tt.raw, Keys{})
		if p == nil || p.Part != tt.part || p.Key != tt.key {
			t.Errorf("%s: problem %+v, want part %q with key %q", tt.name, p, tt.part, tt.key)
		}
	}
	// A size beyond the limit is refused without reading a byte.
	_, err := ReadBundle(unreadable{}, MaxBundle+1)
	if p := (Problem{}); !errors.As(err, &p) || p.Key != BadLimit {
		t.Errorf("file beyond the limit: %v", err)
	}
	// A disk error is not the bundle's fault.
	_, err = ReadBundle(unreadable{}, 10_000)
	if p := (Problem{}); err == nil || errors.As(err, &p) {
		t.Errorf("unreadable file: %v, want an error that is no Problem", err)
	}
}

type unreadable struct{}

func (unreadable) ReadAt([]byte, int64) (int, error) { return 0, errors.New("disk gone") }

func FuzzReadBundle(f *testing.F) {
	l, b := example(f)
	f.Add(marshalBundle(f, b))
	b.Items, b.Samples, b.Transcripts = nil, nil, nil
	f.Add(marshalBundle(f, b))
	keys := l.keys(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := ReadBundle(bytes.NewReader(raw), int64(len(raw)))
		if err != nil {
			return
		}
		if !bytes.Equal(marshalBundle(t, b), raw) {
			t.Error("what was read is not what would be written")
		}
		if _, err := VerifyBundle(b, keys); err != nil {
			t.Error(err)
		}
	})
}

// FuzzParts reaches the parsers behind the digests.
func FuzzParts(f *testing.F) {
	_, b := example(f)
	parts, err := b.parts()
	if err != nil {
		f.Fatal(err)
	}
	for _, p := range parts {
		f.Add(p.name, p.data)
	}
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		if partRank(name) < 0 {
			return
		}
		var b Bundle
		if err := b.addPart(part{name, data}); err != nil {
			return
		}
		parts, err := b.parts()
		if err != nil {
			t.Fatalf("%s was read but cannot be written: %v", name, err)
		}
		at := slices.IndexFunc(parts, func(p part) bool { return p.name == name })
		if at < 0 || !bytes.Equal(parts[at].data, data) {
			t.Errorf("%s was read from other bytes than would be written", name)
		}
		if _, err := VerifyBundle(&b, Keys{}); err != nil {
			t.Error(err)
		}
	})
}
