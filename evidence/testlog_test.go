package evidence

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// testLog is a ledger in memory with a key that is the same in every run.
type testLog struct {
	origin  string
	signer  note.Signer
	vkey    string
	entries [][]byte
	hashes  []tlog.Hash
}

func newTestLog(t testing.TB, origin string) *testLog {
	t.Helper()
	seed := sha256.Sum256([]byte("garrison test key of " + origin))
	key := ed25519.NewKeyFromSeed(seed[:])
	vkey, err := note.NewEd25519VerifierKey(origin, key.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	hash := strings.Split(vkey, "+")[1]
	signer, err := note.NewSigner("PRIVATE+KEY+" + origin + "+" + hash + "+" + base64.StdEncoding.EncodeToString(append([]byte{1}, seed[:]...)))
	if err != nil {
		t.Fatal(err)
	}
	return &testLog{origin: origin, signer: signer, vkey: vkey}
}

func (l *testLog) reader() tlog.HashReaderFunc {
	return func(idx []int64) ([]tlog.Hash, error) {
		var out []tlog.Hash
		for _, i := range idx {
			if i >= int64(len(l.hashes)) {
				return nil, fmt.Errorf("no hash %d", i)
			}
			out = append(out, l.hashes[i])
		}
		return out, nil
	}
}

func (l *testLog) add(t testing.TB, entry []byte) uint64 {
	t.Helper()
	n := int64(len(l.entries))
	h, err := tlog.StoredHashes(n, entry, l.reader())
	if err != nil {
		t.Fatal(err)
	}
	l.hashes = append(l.hashes, h...)
	l.entries = append(l.entries, entry)
	return uint64(n)
}

func (l *testLog) checkpointAt(t testing.TB, size int) Checkpoint {
	t.Helper()
	root, err := tlog.TreeHash(int64(size), l.reader())
	if err != nil {
		t.Fatal(err)
	}
	return Checkpoint{Origin: l.origin, Size: uint64(size), Root: root}
}

func (l *testLog) sign(t testing.TB, c Checkpoint) []byte {
	t.Helper()
	signed, err := note.Sign(&note.Note{Text: c.Text()}, l.signer)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func (l *testLog) checkpoint(t testing.TB) []byte {
	return l.sign(t, l.checkpointAt(t, len(l.entries)))
}

func (l *testLog) proof(t testing.TB, i uint64) [][32]byte {
	t.Helper()
	p, err := tlog.ProveRecord(int64(len(l.entries)), int64(i), l.reader())
	if err != nil {
		t.Fatal(err)
	}
	var out [][32]byte
	for _, h := range p {
		out = append(out, h)
	}
	return out
}

func (l *testLog) item(t testing.TB, i uint64) Item {
	return Item{Index: i, Entry: l.entries[i], Proof: l.proof(t, i)}
}

func (l *testLog) receipt(t testing.TB, i uint64) Receipt {
	return Receipt{Origin: l.origin, Index: i, Size: uint64(len(l.entries)), Proof: l.proof(t, i), Checkpoint: l.checkpoint(t)}
}

func (l *testLog) keys(t testing.TB) Keys {
	t.Helper()
	k, err := ParseKeys([]byte("# the log's key\n" + l.vkey + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

const exampleOrigin = "garrison.example.net/ledger"

var exampleTime = time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)

// exampleNAT returns n records of one chunk, in canonical order.
func exampleNAT(n int) []NAT {
	recs := make([]NAT, n)
	start := exampleTime.Add(-90 * time.Second).UnixMilli()
	for i := range recs {
		port := uint16(40000 + i)
		recs[i] = NAT{
			Start: start + int64(i)*7, End: start + int64(i)*7 + 61_250, Proto: 6,
			OutsideIP: netip.MustParseAddr("203.0.113.5"), OutsidePort: port, OutsidePortLast: port,
			InsideIP: netip.AddrFrom4([4]byte{100, 64, byte(i >> 8), byte(i)}), InsidePort: 51000,
			DstIP: netip.MustParseAddr("198.51.100.7"), DstPort: 443,
			Line: fmt.Sprintf("line-%04d", i), Device: "cgn-01", Source: "source-7",
			Received: exampleTime.Unix() - 20, Shard: 3,
		}
	}
	return recs
}

func exampleKey() ChunkKey { return ChunkKey(sha256.Sum256([]byte("garrison test chunk key"))) }

// example is a complete bundle with its log.
func example(t testing.TB) (*testLog, *Bundle) {
	t.Helper()
	l := newTestLog(t, exampleOrigin)
	recs := exampleNAT(70)
	leaves := NATLeaves(exampleKey(), recs)
	tree := BuildChunkTree(leaves)
	transcript := []byte(`{"exchanges":[]}`)
	digest := sha256.Sum256(transcript)

	l.add(t, NewEntry(TypeStart, "version", "0.1.0", "at", formatTime(exampleTime.Add(-time.Hour))).Marshal())
	for i := range 5 {
		l.add(t, NewEntry(TypeBeat, "at", formatTime(exampleTime.Add(time.Duration(i-5)*5*time.Second))).Marshal())
	}
	chunk := l.add(t, Chunk{Kind: "nat", Shard: 3, Second: exampleTime.Unix() - 20, Records: 70, Root: tree.Root()}.Entry().Marshal())
	run := l.add(t, NewEntry(TypeRun, "measure", "links", "outcome", "pass", "attempted", "12", "transcript", hex.EncodeToString(digest[:])).Marshal())
	config := l.add(t, NewEntry(TypeConfig, "retention_days", "180", "by", "张伟").Marshal())

	b := &Bundle{
		Clause: "mps82-13", Made: exampleTime,
		Period: Period{exampleTime.Add(-24 * time.Hour), exampleTime},
		Org:    map[string]string{"name": "青岚宽带 Qinglan Broadband", "binds": "isp,government"},
		Facts: Facts{
			"floor_days": "60", "forecast_known": "true", "forecast_days_kept": "412.5", "expired_early": "0",
			FactProfile: "isp,government",
		},
		Population: Population{Attempted: 70, Succeeded: 70},
		Gaps: []Gap{{From: exampleTime.Add(-2 * time.Hour), Until: exampleTime.Add(-2*time.Hour + 8*time.Second),
			Source: "source-7", Cause: "crashed", Lost: -1, Explain: "power test"}},
		Standing: Met, Why: "retention.kept",
	}
	b.Support = map[string][]Ref{
		"floor_days":         {{config, EntryHash(l.entries[config])}},
		"forecast_days_kept": {{chunk, EntryHash(l.entries[chunk])}, {config, EntryHash(l.entries[config])}},
	}
	standing := l.add(t, StandingEntry(b.Clause, b.Standing, b.Why, b.Facts, exampleTime).Marshal())
	sealEntry, err := b.Seal()
	if err != nil {
		t.Fatal(err)
	}
	seal := l.add(t, sealEntry.Marshal())

	salts := LeafSalts(exampleKey(), len(recs))
	for _, i := range []int{2, 66} {
		p, err := tree.Prove(i)
		if err != nil {
			t.Fatal(err)
		}
		b.Samples = append(b.Samples, RecordSample{Chunk: chunk, Leaf: uint64(i), Record: recs[i].AppendCanonical(nil), Salt: salts.At(i), Proof: p})
	}
	for _, i := range []uint64{chunk, run, config, standing, seal} {
		b.Items = append(b.Items, l.item(t, i))
	}
	b.Transcripts = [][]byte{transcript}
	b.Checkpoint = l.checkpoint(t)
	return l, b
}

func marshalBundle(t testing.TB, b *Bundle) []byte {
	t.Helper()
	var buf bytes.Buffer
	if err := b.Write(&buf); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}
