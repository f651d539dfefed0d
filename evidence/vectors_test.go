package evidence

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the test vectors into docs/formats")

const formats = "../docs/formats"

// TestVectorsInDocsAreCurrent regenerates every worked example of docs/formats and
// compares. Run with -update after a change of format, and then ask yourself who has
// the old files.
func TestVectorsInDocsAreCurrent(t *testing.T) {
	want := vectors(t)
	block := regexp.MustCompile("(?s)<!-- vector ([a-z0-9-]+) -->\n```text\n(.*?)```\n")
	files, err := filepath.Glob(formats + "/*.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		fresh := block.ReplaceAllFunc(raw, func(b []byte) []byte {
			m := block.FindSubmatch(b)
			name := string(m[1])
			text, ok := want[name]
			if !ok || seen[name] {
				t.Errorf("%s: vector %q is unknown or there twice", file, name)
			}
			seen[name] = true
			if string(m[2]) != text && !*update {
				t.Errorf("%s: vector %q is\n%swant\n%s", file, name, m[2], text)
			}
			return fmt.Appendf(nil, "<!-- vector %s -->\n```text\n%s```\n", name, text)
		})
		if *update && !bytes.Equal(fresh, raw) {
			if err := os.WriteFile(file, fresh, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if !seen[name] {
			t.Errorf("no page of docs/formats shows vector %q", name)
		}
	}
	if len(want) != 23 {
		t.Errorf("%d vectors, want 23", len(want))
	}
}

// TestExampleFilesAreCurrent keeps a whole bundle, its key and a receipt in the tree,
// for other implementers and for the test of the command.
func TestExampleFilesAreCurrent(t *testing.T) {
	l, b := example(t)
	receipt, err := l.receipt(t, 8).MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]byte{
		"example.bundle":     marshalBundle(t, b),
		"example.key":        []byte("# public key of the ledger in example.bundle; the private one is known to everybody\n" + l.vkey + "\n"),
		"example.entry":      l.entries[8],
		"example.tlog-proof": receipt,
	} {
		path := filepath.Join(formats, "vectors", name)
		if *update {
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what this code makes", path)
		}
	}
}

func vectors(t *testing.T) map[string]string {
	v := map[string]string{}
	l, b := example(t)
	entryVectors(v, l)
	natVectors(v)
	chunkVectors(v)

	receipt, err := l.receipt(t, 8).MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	v["receipt"], v["receipt-key"], v["receipt-entry"] = string(receipt), l.vkey+"\n", string(l.entries[8])
	parts, err := b.parts()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range parts {
		switch p.name {
		case "statement":
			v["bundle-statement"] = string(p.data)
		case "entry/10":
			v["bundle-seal"] = string(p.data)
		case "sample/000001":
			v["bundle-sample"] = string(p.data)
		}
	}
	r := archive{r: bytes.NewReader(marshalBundle(t, b)), size: int64(len(marshalBundle(t, b)))}
	list, err := r.index()
	if err != nil {
		t.Fatal(err)
	}
	v["bundle-index"] = string(indexText(list))
	v["bundle-header"] = hexLines(tarHeader("statement", 1234))
	standingVectors(v)
	return v
}

func entryVectors(v map[string]string, l *testLog) {
	e := NewEntry("state", "what", "100%\nduty other", "by", "张伟")
	v["entry-escapes"] = string(e.Marshal())
	v["entry-hash"] = fmt.Sprintf("%x\n", EntryHash(e.Marshal()))
	v["entry-chunk"] = string(l.entries[6])
	f := Facts{"floor_days": "60", "expired_early": "0"}
	v["facts-digest"] = fmt.Sprintf("%x\n", FactsDigest(f))
}

func natVectors(v map[string]string) {
	r := exampleNAT(1)[0]
	v["nat-record"] = fmt.Sprintf("start %d\nend %d\nreceived %d\nshard %d, protocol %d, event %d, flags %d\noutside %v port %d to %d\ninside %v port %d\ndestination %v port %d\nline %s, device %s, source %s\n",
		r.Start, r.End, r.Received, r.Shard, r.Proto, r.Event, r.Flags, r.OutsideIP, r.OutsidePort, r.OutsidePortLast,
		r.InsideIP, r.InsidePort, r.DstIP, r.DstPort, r.Line, r.Device, r.Source)
	v["nat-canonical"] = hexLines(r.AppendCanonical(nil))
	v["nat-zero"] = hexLines((&NAT{}).AppendCanonical(nil))
	block := NAT{Start: -1, Received: 1, Event: NATBlockGiven, Flags: NATClockSuspect, OutsideIP: netip.MustParseAddr("2001:db8::5"),
		OutsidePort: 1024, OutsidePortLast: 1535, Line: "a"}
	v["nat-block"] = hexLines(block.AppendCanonical(nil))
}

func chunkVectors(v map[string]string) {
	key := exampleKey()
	salts := LeafSalts(key, 70)
	v["chunk-salts"] = fmt.Sprintf("key     %x\nsalt 0  %x\nsalt 1  %x\nsalt 69 %x\n", key, salts.At(0), salts.At(1), salts.At(69))
	leaves := NATLeaves(key, exampleNAT(70))
	tree := BuildChunkTree(leaves)
	v["chunk-tree"] = fmt.Sprintf("leaf 0  %x\nleaf 69 %x\nnode 0  %x\nnode 1  %x\nroot    %x\n", leaves[0], leaves[69], tree.Nodes()[0], tree.Nodes()[1], tree.Root())
	var text strings.Builder
	for _, n := range []int{0, 1, 64, 65, 193} {
		fmt.Fprintf(&text, "%3d leaves %x\n", n, BuildChunkTree(make([][32]byte, n)).Root())
	}
	v["chunk-roots"] = text.String()
}

func standingVectors(v map[string]string) {
	for _, duty := range Answered() {
		r, _ := ruleOf(duty)
		var text strings.Builder
		fmt.Fprintf(&text, "binds %s\n", strings.Join(r.binds, ","))
		for _, f := range r.facts {
			fmt.Fprintf(&text, "fact  %-22s %s\n", f.Name, f.Kind)
		}
		for _, o := range r.wrong {
			fmt.Fprintf(&text, "unmet     %-28s reads %s\n", o.why, strings.Join(o.reads, ", "))
		}
		for _, o := range r.open {
			fmt.Fprintf(&text, "unproven  %-28s reads %s\n", o.why, strings.Join(o.reads, ", "))
		}
		fmt.Fprintf(&text, "met       %s\n", r.met)
		v["standing-"+duty] = text.String()
	}
}

func hexLines(b []byte) string {
	var text strings.Builder
	for len(b) > 0 {
		n := min(32, len(b))
		text.WriteString(hex.EncodeToString(b[:n]) + "\n")
		b = b[n:]
	}
	return text.String()
}
