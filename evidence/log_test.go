package evidence

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// TestPublishedLogVerifies checks our use of the proofs against a public log.
func TestPublishedLogVerifies(t *testing.T) {
	raw, err := os.ReadFile("testdata/argon2020.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Size        uint64
		Root        tlog.Hash
		Index       uint64
		LeafInput   []byte `json:"leaf_input"`
		Proof       []tlog.Hash
		OldSize     uint64    `json:"old_size"`
		OldRoot     tlog.Hash `json:"old_root"`
		Consistency []tlog.Hash
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	newer := Checkpoint{Origin: "argon", Size: v.Size, Root: v.Root}
	if err := VerifyInclusion(newer, v.Index, EntryHash(v.LeafInput), plain(v.Proof)); err != nil {
		t.Error(err)
	}
	if VerifyInclusion(newer, v.Index+1, EntryHash(v.LeafInput), plain(v.Proof)) == nil {
		t.Error("entry proven at another place")
	}
	older := Checkpoint{Origin: "argon", Size: v.OldSize, Root: v.OldRoot}
	if err := VerifyConsistency(older, newer, plain(v.Consistency)); err != nil {
		t.Error(err)
	}
	older.Root[0] ^= 1
	if VerifyConsistency(older, newer, plain(v.Consistency)) == nil {
		t.Error("another history is consistent too")
	}
}

func plain(hs []tlog.Hash) [][32]byte {
	var out [][32]byte
	for _, h := range hs {
		out = append(out, h)
	}
	return out
}

func TestReceiptVerifies(t *testing.T) {
	l, _ := example(t)
	for i := range l.entries {
		r := l.receipt(t, uint64(i))
		text, err := r.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var back Receipt
		if err := back.UnmarshalText(text); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(r, back); diff != "" {
			t.Errorf("receipt (-was +read):\n%s", diff)
		}
		if err := Verify(l.entries[i], back, l.keys(t)); err != nil {
			t.Error(err)
		}
		if err := Verify(l.entries[i], back, Keys{}); !errors.Is(err, ErrOriginNotChecked) {
			t.Errorf("without keys: %v", err)
		}
	}
}

func TestReceiptOfOneEntryLog(t *testing.T) {
	l := newTestLog(t, "one.example/log")
	l.add(t, []byte("only"))
	r := l.receipt(t, 0)
	text, err := r.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	var back Receipt
	if err := back.UnmarshalText(text); err != nil {
		t.Fatal(err)
	}
	if err := Verify([]byte("only"), back, l.keys(t)); err != nil {
		t.Error(err)
	}
}

func TestWrongReceiptsAreRefused(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(l *testLog, r *Receipt)
	}{
		{"another index", func(_ *testLog, r *Receipt) { r.Index = 4 }},
		{"index beyond", func(_ *testLog, r *Receipt) { r.Index = 1 << 40 }},
		{"proof changed", func(_ *testLog, r *Receipt) { r.Proof[1][7] ^= 1 }},
		{"proof longer", func(_ *testLog, r *Receipt) { r.Proof = append(r.Proof, [32]byte{}) }},
		{"proof missing", func(_ *testLog, r *Receipt) { r.Proof = nil }},
		{"size", func(_ *testLog, r *Receipt) { r.Size++ }},
		{"origin", func(_ *testLog, r *Receipt) { r.Origin += "x" }},
		{"checkpoint of another log", func(_ *testLog, r *Receipt) {
			r.Checkpoint = bytes.ReplaceAll(r.Checkpoint, []byte(exampleOrigin), []byte("elsewhere.example/ledger"))
			r.Origin = "elsewhere.example/ledger"
		}},
		{"unsigned", func(_ *testLog, r *Receipt) { r.Checkpoint = r.Checkpoint[:bytes.Index(r.Checkpoint, []byte("— "))] }},
		{"no checkpoint", func(_ *testLog, r *Receipt) { r.Checkpoint = nil }},
	}
	for _, tt := range tests {
		l, _ := example(t)
		r := l.receipt(t, 3)
		tt.spoil(l, &r)
		if err := Verify(l.entries[3], r, l.keys(t)); err == nil {
			t.Errorf("%s: accepted", tt.name)
		}
		if err := Verify(l.entries[3], r, Keys{}); err == nil {
			t.Errorf("%s: accepted without key", tt.name)
		}
	}
	l, _ := example(t)
	if err := Verify([]byte("another entry"), l.receipt(t, 3), l.keys(t)); err == nil {
		t.Error("another entry: accepted")
	}
}

// TestKeyOfOneLogDoesNotVouchForAnother: a trusted key signs, but under a checkpoint
// whose origin is not its name.
func TestKeyOfOneLogDoesNotVouchForAnother(t *testing.T) {
	l := newTestLog(t, "a.example/log")
	l.add(t, []byte("x"))
	c := l.checkpointAt(t, 1)
	c.Origin = "b.example/log"
	if _, err := OpenCheckpoint(l.sign(t, c), l.keys(t)); err == nil {
		t.Error("accepted")
	}
}

// TestSecondSignatureDoesNotHurt: witnesses add lines that we have no key for.
func TestSecondSignatureDoesNotHurt(t *testing.T) {
	l, w := newTestLog(t, "a.example/log"), newTestLog(t, "witness.example")
	l.add(t, []byte("x"))
	c := l.checkpointAt(t, 1)
	signed, err := note.Sign(&note.Note{Text: c.Text()}, w.signer, l.signer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenCheckpoint(signed, l.keys(t)); err != nil {
		t.Error(err)
	}
	if _, err := OpenCheckpoint(signed, w.keys(t)); err == nil {
		t.Error("the witness alone stands for the log")
	}
}

func TestParseCheckpointRefuses(t *testing.T) {
	l := newTestLog(t, "a.example/log")
	root := base64.StdEncoding.EncodeToString(make([]byte, 32))
	tests := map[string]string{
		"no root":          "a.example/log\n1\n",
		"no origin":        "\n1\n" + root + "\n",
		"leading zero":     "a.example/log\n01\n" + root + "\n",
		"negative":         "a.example/log\n-1\n" + root + "\n",
		"beyond 2^48":      "a.example/log\n281474976710657\n" + root + "\n",
		"short root":       "a.example/log\n1\nAAAA\n",
		"loose root":       "a.example/log\n1\n" + root[:42] + "B=\n",
		"empty extension":  "a.example/log\n1\n" + root + "\n\nx\n",
		"spaces at number": "a.example/log\n 1\n" + root + "\n",
	}
	for name, text := range tests {
		signed, err := note.Sign(&note.Note{Text: text}, l.signer)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if c, err := ParseCheckpoint(signed); err == nil {
			t.Errorf("%s: read as %+v", name, c)
		}
	}
	if _, err := ParseCheckpoint(make([]byte, MaxCheckpoint+1)); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("beyond the limit: %v", err)
	}
}

func TestConsistencyOfTwoCheckpoints(t *testing.T) {
	l, _ := example(t)
	n := len(l.entries)
	newer := l.checkpointAt(t, n)
	for m := 1; m <= n; m++ {
		p, err := tlog.ProveTree(int64(n), int64(m), l.reader())
		if err != nil {
			t.Fatal(err)
		}
		if err := VerifyConsistency(l.checkpointAt(t, m), newer, plain(p)); err != nil {
			t.Error(err)
		}
		if m < n && VerifyConsistency(newer, l.checkpointAt(t, m), plain(p)) == nil {
			t.Errorf("the log may shrink from %d to %d", n, m)
		}
	}
	if err := VerifyConsistency(Checkpoint{Origin: l.origin}, newer, nil); err != nil {
		t.Errorf("from the empty log: %v", err)
	}
	other := newer
	other.Origin = "b.example/log"
	if VerifyConsistency(newer, other, nil) == nil {
		t.Error("two logs are consistent")
	}
}

func TestParseKeysRefuses(t *testing.T) {
	l := newTestLog(t, "a.example/log")
	tests := map[string]string{
		"empty":       "",
		"comments":    "# nothing\n\n",
		"not a key":   "hello\n",
		"changed key": strings.Replace(l.vkey, "+", "+0", 1),
		"same twice":  l.vkey + "\n" + l.vkey,
		"private key": "PRIVATE+KEY+" + l.vkey,
		"too long":    strings.Repeat("#\n", MaxCheckpoint),
		"and more":    l.vkey + " " + l.vkey,
	}
	for name, text := range tests {
		if _, err := ParseKeys([]byte(text)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if !(Keys{}).Empty() || l.keys(t).Empty() {
		t.Error("Empty does not tell")
	}
}

func FuzzReceipt(f *testing.F) {
	l, _ := example(f)
	text, err := l.receipt(f, 3).MarshalText()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	keys := l.keys(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Receipt
		if r.UnmarshalText(b) != nil {
			return
		}
		again, err := r.MarshalText()
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("%q came back as %q, %v", b, again, err)
		}
		_ = Verify([]byte("entry"), r, keys)
	})
}

func FuzzParseCheckpoint(f *testing.F) {
	l, b := example(f)
	f.Add(b.Checkpoint)
	keys := l.keys(f)
	f.Fuzz(func(t *testing.T, signed []byte) {
		c, err := ParseCheckpoint(signed)
		if err != nil {
			return
		}
		if !bytes.HasPrefix(signed, []byte(c.Text()+"\n")) {
			t.Errorf("%q does not start with %q", signed, c.Text())
		}
		if got, err := OpenCheckpoint(signed, keys); err == nil && got.Origin != exampleOrigin {
			t.Errorf("accepted for %q", got.Origin)
		}
	})
}

func FuzzParseKeys(f *testing.F) {
	l, _ := example(f)
	f.Add([]byte(l.vkey))
	f.Fuzz(func(t *testing.T, b []byte) {
		if k, err := ParseKeys(b); err == nil && k.Empty() {
			t.Error("keys without a key")
		}
	})
}
