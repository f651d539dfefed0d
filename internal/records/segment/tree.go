package segment

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sort"

	"garrison/evidence"
	"garrison/internal/state/atomicfile"
)

// Info describes a segment. It stands in the .tree file, so that a segment explains
// itself, and in the store's catalog.
type Info struct {
	Kind     string `json:"kind"`
	Name     string `json:"name"`         // stem of its file names, unique in the store
	Day      string `json:"day"`          // folder
	From     int64  `json:"from"`         // received second, first and last
	Until    int64  `json:"until"`        //
	MinStart int64  `json:"min_start"`    // Unix ms
	MaxEnd   int64  `json:"max_end"`      //
	Rows     int64  `json:"rows"`         //
	Chunks   int    `json:"chunks"`       //
	Log      string `json:"log"`          // origin of the ledger that holds the chunks
	Parts    []Part `json:"parts"`        //
	Level    int    `json:"level"`        // 0: cut from the write-ahead file, 1: merged
	Made     int64  `json:"made"`         // Unix second
	Replaces int    `json:"of,omitempty"` // segments this one was merged from
}

// Chunk is one chunk of a segment.
type Chunk struct {
	Shard  uint8
	Second int64
	Rows   uint32
	Root   [32]byte
	Index  uint64     // of its ledger entry
	Digest [32]byte   // of its ledger entry
	Nodes  [][32]byte // first level; not filled by ReadTree
	first  uint64     // number of the first node in the file
}

// Minute counts the records that began and ended in one minute of the sources' time.
type Minute struct {
	Minute       int64 // Unix time / 60
	Begun, Ended uint32
}

const (
	treeMagic  = "GARTREE1"
	chunkBytes = 96
	maxTree    = 1 << 31
)

// TreeFile names a .tree file and says what is in it.
type TreeFile struct {
	File   string `json:"file"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Tree is a .tree file without its nodes.
type Tree struct {
	Info    Info
	Chunks  []Chunk // by second and shard
	Minutes []Minute
	nodesAt int64
	path    string
}

// OrderChunks sorts chunks as a .tree file has them.
func OrderChunks(cs []Chunk) {
	slices.SortFunc(cs, func(a, b Chunk) int {
		return cmp.Or(cmp.Compare(a.Second, b.Second), cmp.Compare(a.Shard, b.Shard))
	})
}

// WriteTree writes the .tree file of a segment; chunks carry their nodes and are in
// order.
func WriteTree(dir string, info Info, chunks []Chunk, minutes []Minute) (TreeFile, error) {
	meta, err := json.Marshal(info)
	if err != nil {
		return TreeFile{}, fmt.Errorf("describe segment %q: %w", info.Name, err)
	}
	le := binary.LittleEndian
	b := append([]byte(treeMagic), le.AppendUint32(nil, uint32(len(meta)))...)
	b = append(b, meta...)
	b = le.AppendUint32(b, uint32(len(chunks)))
	first := uint64(0)
	for i := range chunks {
		c := &chunks[i]
		b = append(b, c.Shard, 0, 0, 0)
		b = le.AppendUint32(b, c.Rows)
		b = le.AppendUint64(b, uint64(c.Second))
		b = append(b, c.Root[:]...)
		b = le.AppendUint64(b, c.Index)
		b = append(b, c.Digest[:]...)
		b = le.AppendUint64(b, first)
		first += uint64(len(c.Nodes))
	}
	b = le.AppendUint32(b, uint32(len(minutes)))
	for _, m := range minutes {
		b = le.AppendUint64(b, uint64(m.Minute))
		b = le.AppendUint32(b, m.Begun)
		b = le.AppendUint32(b, m.Ended)
	}
	sum := sha256.Sum256(b)
	b = append(b, sum[:]...)
	for i := range chunks {
		for j := range chunks[i].Nodes {
			b = append(b, chunks[i].Nodes[j][:]...)
		}
	}
	name := info.Name + ".tree"
	if err := atomicfile.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
		return TreeFile{}, err
	}
	sum = sha256.Sum256(b)
	return TreeFile{File: name, Bytes: int64(len(b)), SHA256: fmt.Sprintf("%x", sum)}, nil
}

// ReadTree reads a .tree file up to its nodes, which it leaves on disk.
func ReadTree(path string) (*Tree, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open tree: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("open tree: %w", err)
	}
	t := &Tree{path: path}
	if err := t.read(&limited{in: f, left: min(info.Size(), maxTree)}); err != nil {
		return nil, &DamagedError{filepath.Base(path), err.Error()}
	}
	return t, nil
}

// limited reads sections of a file whose lengths the file itself names, never more
// than the file has.
type limited struct {
	in   io.ReaderAt
	at   int64
	left int64
	all  bytes.Buffer
}

func (l *limited) take(n int64) ([]byte, error) {
	if n < 0 || n > l.left {
		return nil, fmt.Errorf("a section of %d bytes at %d is beyond its end", n, l.at)
	}
	b := make([]byte, n)
	if _, err := l.in.ReadAt(b, l.at); err != nil {
		return nil, err
	}
	l.at, l.left = l.at+n, l.left-n
	l.all.Write(b)
	return b, nil
}

func (l *limited) count() (int64, error) {
	b, err := l.take(4)
	if err != nil {
		return 0, err
	}
	return int64(binary.LittleEndian.Uint32(b)), nil
}

func (t *Tree) read(l *limited) error {
	magic, err := l.take(int64(len(treeMagic)))
	if err != nil {
		return err
	}
	if string(magic) != treeMagic {
		return fmt.Errorf("it begins with %q", magic)
	}
	sections := [3][]byte{}
	for i, size := range []int64{1, chunkBytes, 16} {
		n, err := l.count()
		if err != nil {
			return err
		}
		if sections[i], err = l.take(n * size); err != nil {
			return err
		}
	}
	want := sha256.Sum256(l.all.Bytes())
	sum, err := l.take(32)
	if err != nil {
		return err
	}
	if !bytes.Equal(sum, want[:]) {
		return fmt.Errorf("the check sum of bytes 0-%d is wrong", l.at-32)
	}
	t.nodesAt = l.at
	return t.parse(sections)
}

func (t *Tree) parse(sections [3][]byte) error {
	if err := json.Unmarshal(sections[0], &t.Info); err != nil {
		return err
	}
	le := binary.LittleEndian
	for b := sections[1]; len(b) > 0; b = b[chunkBytes:] {
		c := Chunk{Shard: b[0], Rows: le.Uint32(b[4:]), Second: int64(le.Uint64(b[8:])), Root: [32]byte(b[16:]),
			Index: le.Uint64(b[48:]), Digest: [32]byte(b[56:]), first: le.Uint64(b[88:])}
		t.Chunks = append(t.Chunks, c)
	}
	for b := sections[2]; len(b) > 0; b = b[16:] {
		t.Minutes = append(t.Minutes, Minute{Minute: int64(le.Uint64(b)), Begun: le.Uint32(b[8:]), Ended: le.Uint32(b[12:])})
	}
	return nil
}

// Find returns the chunk of a shard and second.
func (t *Tree) Find(shard uint8, second int64) (Chunk, bool) {
	i := sort.Search(len(t.Chunks), func(i int) bool {
		c := &t.Chunks[i]
		return c.Second > second || c.Second == second && c.Shard >= shard
	})
	if i == len(t.Chunks) || t.Chunks[i].Second != second || t.Chunks[i].Shard != shard {
		return Chunk{}, false
	}
	return t.Chunks[i], true
}

// Nodes reads the first level of a chunk's tree and checks that it leads to the root.
func (t *Tree) Nodes(c Chunk) ([][32]byte, error) {
	f, err := os.Open(t.path)
	if err != nil {
		return nil, fmt.Errorf("open tree: %w", err)
	}
	defer f.Close()
	n := (int64(c.Rows) + evidence.NodeWidth - 1) / evidence.NodeWidth
	b := make([]byte, 32*n)
	if _, err := f.ReadAt(b, t.nodesAt+32*int64(c.first)); err != nil {
		return nil, &DamagedError{filepath.Base(t.path), err.Error()}
	}
	nodes := make([][32]byte, n)
	for i := range nodes {
		nodes[i] = [32]byte(b[32*i:])
	}
	if evidence.RootFromNodes(uint64(c.Rows), nodes) != c.Root {
		return nil, &DamagedError{filepath.Base(t.path), fmt.Sprintf("the nodes of second %d, shard %d do not lead to its root", c.Second, c.Shard)}
	}
	return nodes, nil
}
