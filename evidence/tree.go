package evidence

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// NodeWidth is how many leaves the first level of a chunk tree joins in one node. It
// is wide so that hashing a record costs little and the level can be kept.
const NodeWidth = 64

// maxTree bounds every tree size and leaf number that comes from outside. It is far
// beyond what exists and keeps the arithmetic of proofs away from overflow.
const maxTree = 1 << 48

// First byte of what is hashed; leaf and node as in RFC 6962 §2.1, the other two ours.
const (
	prefixLeaf = 0x00
	prefixWide = 0x02
	prefixRoot = 0x03
)

// ChunkKey is the secret from which the salts of one chunk's leaves come. Destroying
// it makes the chunk's proofs say nothing about records nobody kept.
type ChunkKey [32]byte

// Salts holds the leaf salts of one chunk, 16 bytes each.
type Salts []byte

// LeafSalts returns the salts of leaves 0 to n-1: leaf i has the AES-256 encryption
// of i as a 128-bit big-endian number.
func LeafSalts(key ChunkKey, n int) Salts {
	s := make(Salts, 16*n)
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic("evidence: AES-256 refuses a key of 32 bytes: " + err.Error())
	}
	cipher.NewCTR(block, make([]byte, aes.BlockSize)).XORKeyStream(s, s)
	return s
}

// At returns the salt of leaf i.
func (s Salts) At(i int) [16]byte { return [16]byte(s[16*i:]) }

// Len returns the number of salts.
func (s Salts) Len() int { return len(s) / 16 }

// LeafHash returns the leaf of a record with the given canonical bytes.
func LeafHash(salt [16]byte, canonical []byte) [32]byte {
	var buf [512]byte
	b := append(buf[:0], prefixLeaf)
	b = append(b, salt[:]...)
	return sha256.Sum256(append(b, canonical...))
}

// NATLeaves returns the leaves of one chunk whose records stand in the order of
// [CompareNAT].
func NATLeaves(key ChunkKey, sorted []NAT) [][32]byte {
	salts := LeafSalts(key, len(sorted))
	leaves := make([][32]byte, len(sorted))
	var buf []byte
	for i := range sorted {
		buf = append(buf[:0], prefixLeaf)
		buf = append(buf, salts[16*i:16*i+16]...)
		buf = sorted[i].AppendCanonical(buf)
		leaves[i] = sha256.Sum256(buf)
	}
	return leaves
}

// ChunkTree is the tree over one chunk: nodes of up to [NodeWidth] leaves, above them
// a binary tree as in RFC 6962, and a root that also fixes the number of leaves.
type ChunkTree struct {
	leaves [][32]byte
	nodes  [][32]byte
}

// BuildChunkTree returns the tree over leaves, which it keeps and does not change.
func BuildChunkTree(leaves [][32]byte) *ChunkTree {
	t := &ChunkTree{leaves: leaves}
	for len(leaves) > 0 {
		n := min(NodeWidth, len(leaves))
		t.nodes = append(t.nodes, WideNode(leaves[:n]))
		leaves = leaves[n:]
	}
	return t
}

// WideNode joins up to [NodeWidth] leaves into one node of the first level.
func WideNode(leaves [][32]byte) [32]byte {
	var buf [1 + NodeWidth*32]byte
	buf[0] = prefixWide
	b := buf[:1]
	for i := range leaves {
		b = append(b, leaves[i][:]...)
	}
	return sha256.Sum256(b)
}

// Root returns the root of the tree.
func (t *ChunkTree) Root() [32]byte { return RootFromNodes(uint64(len(t.leaves)), t.nodes) }

// Nodes returns the first level: what is kept beside a segment.
func (t *ChunkTree) Nodes() [][32]byte { return t.nodes }

// Prove returns the proof of leaf i.
func (t *ChunkTree) Prove(i int) (ChunkProof, error) {
	if i < 0 || i >= len(t.leaves) {
		return ChunkProof{}, fmt.Errorf("prove leaf %d of %d: no such leaf", i, len(t.leaves))
	}
	first := i - i%NodeWidth
	group := t.leaves[first:min(first+NodeWidth, len(t.leaves))]
	return ProveFromNodes(uint64(len(t.leaves)), t.nodes, group, uint64(i))
}

// RootFromNodes returns the root of a tree of n leaves from its first level.
func RootFromNodes(n uint64, nodes [][32]byte) [32]byte {
	return rootHash(n, treeHash(nodes))
}

func rootHash(n uint64, top [32]byte) [32]byte {
	var b [1 + 8 + 32]byte
	b[0] = prefixRoot
	binary.BigEndian.PutUint64(b[1:], n)
	copy(b[9:], top[:])
	return sha256.Sum256(b[:])
}

// treeHash is MTH of RFC 6962 §2.1 over hashes that are already made.
func treeHash(nodes [][32]byte) [32]byte {
	switch len(nodes) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return nodes[0]
	}
	k := split(len(nodes))
	return tlog.NodeHash(treeHash(nodes[:k]), treeHash(nodes[k:]))
}

// split returns the largest power of two below n.
func split(n int) int {
	k := 1
	for 2*k < n {
		k *= 2
	}
	return k
}

// ChunkProof shows that a leaf stands at a place of a chunk: the other leaves of its
// node, and the path from that node to the top (nearest first).
type ChunkProof struct {
	Group [][32]byte
	Path  [][32]byte
}

// ProveFromNodes returns the proof of leaf i of n from what a store keeps: the first
// level of the tree, and the leaves of i's own node.
func ProveFromNodes(n uint64, nodes, group [][32]byte, i uint64) (ChunkProof, error) {
	if i >= n || uint64(len(nodes)) != nodesOf(n) || uint64(len(group)) != groupSize(n, i) {
		return ChunkProof{}, fmt.Errorf("prove leaf %d of %d from %d nodes and %d neighbours: they do not fit", i, n, len(nodes), len(group))
	}
	var p ChunkProof
	own := int(i % NodeWidth)
	p.Group = append(p.Group, group[:own]...)
	p.Group = append(p.Group, group[own+1:]...)
	p.Path = treePath(nodes, int(i/NodeWidth))
	return p, nil
}

// treePath is PATH of RFC 6962 §2.1.1.
func treePath(nodes [][32]byte, m int) [][32]byte {
	if len(nodes) <= 1 {
		return nil
	}
	k := split(len(nodes))
	if m < k {
		return append(treePath(nodes[:k], m), treeHash(nodes[k:]))
	}
	return append(treePath(nodes[k:], m-k), treeHash(nodes[:k]))
}

func nodesOf(n uint64) uint64      { return (n + NodeWidth - 1) / NodeWidth }
func groupSize(n, i uint64) uint64 { return min(NodeWidth, n-(i-i%NodeWidth)) }

// VerifyChunkProof checks that leaf is number i of the n leaves of the chunk with
// the given root.
func VerifyChunkProof(root [32]byte, n, i uint64, leaf [32]byte, p ChunkProof) error {
	if n > maxTree || i >= n {
		return fmt.Errorf("leaf %d of %d: no such leaf", i, n)
	}
	if uint64(len(p.Group))+1 != groupSize(n, i) {
		return fmt.Errorf("leaf %d of %d: proof has %d neighbours, not %d", i, n, len(p.Group), groupSize(n, i)-1)
	}
	own := int(i % NodeWidth)
	group := make([][32]byte, 0, NodeWidth)
	group = append(group, p.Group[:own]...)
	group = append(group, leaf)
	group = append(group, p.Group[own:]...)
	top, err := climb(p.Path, nodesOf(n), i/NodeWidth, WideNode(group))
	if err != nil {
		return fmt.Errorf("leaf %d of %d: %w", i, n, err)
	}
	if rootHash(n, top) != root {
		return fmt.Errorf("leaf %d of %d: the proof does not lead to the root", i, n)
	}
	return nil
}

// climb returns the top that the path leads to from node i of n. It follows RFC 9162
// §2.1.3.2, a different route from the one that makes the paths.
func climb(path [][32]byte, n, i uint64, node [32]byte) ([32]byte, error) {
	last := n - 1
	for _, p := range path {
		if last == 0 {
			return node, errors.New("the proof is too long")
		}
		if i&1 == 1 || i == last {
			node = tlog.NodeHash(p, node)
			for i&1 == 0 && i != 0 {
				i, last = i>>1, last>>1
			}
		} else {
			node = tlog.NodeHash(node, p)
		}
		i, last = i>>1, last>>1
	}
	if last != 0 {
		return node, errors.New("the proof is too short")
	}
	return node, nil
}
