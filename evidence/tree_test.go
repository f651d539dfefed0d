package evidence

import (
	"crypto/aes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

func TestLeafSaltsAreCountersUnderTheKey(t *testing.T) {
	salts := LeafSalts(exampleKey(), 300)
	if salts.Len() != 300 {
		t.Fatalf("%d salts", salts.Len())
	}
	key := exampleKey()
	block, err := aes.NewCipher(key[:])
	if err != nil {
		t.Fatal(err)
	}
	for i := range salts.Len() {
		var in, want [16]byte
		binary.BigEndian.PutUint64(in[8:], uint64(i))
		block.Encrypt(want[:], in[:])
		if salts.At(i) != want {
			t.Fatalf("salt %d is %x, want %x", i, salts.At(i), want)
		}
	}
	other := exampleKey()
	other[31] ^= 1
	if LeafSalts(other, 1).At(0) == salts.At(0) {
		t.Error("another key gives the same salt")
	}
}

// TestBinaryLevelsAreThoseOfRFC6962 uses the inputs and roots that the reference
// implementation of Certificate Transparency publishes.
func TestBinaryLevelsAreThoseOfRFC6962(t *testing.T) {
	inputs := []string{"", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"}
	roots := []string{
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
		"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
		"aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
		"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
		"4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
		"76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
		"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
		"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
	}
	var leaves [][32]byte
	for n := range roots {
		if got := treeHash(leaves); hex.EncodeToString(got[:]) != roots[n] {
			t.Errorf("root of %d leaves is %x, want %s", n, got, roots[n])
		}
		if n < len(inputs) {
			in, err := hex.DecodeString(inputs[n])
			if err != nil {
				t.Fatal(err)
			}
			leaves = append(leaves, tlog.RecordHash(in))
		}
	}
}

func someLeaves(n int) [][32]byte {
	leaves := make([][32]byte, n)
	for i := range leaves {
		leaves[i] = sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
	}
	return leaves
}

var treeSizes = []int{1, 2, 63, 64, 65, 127, 128, 129, 64*3 + 1, 64 * 5, 64*7 + 33, 64*16 + 1}

func TestEveryLeafProvesAndNothingElse(t *testing.T) {
	for _, n := range treeSizes {
		leaves := someLeaves(n)
		tree := BuildChunkTree(leaves)
		root := tree.Root()
		step := max(1, n/40)
		for i := 0; i < n; i += step {
			p, err := tree.Prove(i)
			if err != nil {
				t.Fatal(err)
			}
			if err := VerifyChunkProof(root, uint64(n), uint64(i), leaves[i], p); err != nil {
				t.Fatalf("leaf %d of %d: %v", i, n, err)
			}
			for name, err := range wrongProofs(root, uint64(n), uint64(i), leaves, p) {
				if err == nil {
					t.Errorf("leaf %d of %d: accepted with %s", i, n, name)
				}
			}
		}
	}
}

// wrongProofs verifies what must not verify.
func wrongProofs(root [32]byte, n, i uint64, leaves [][32]byte, p ChunkProof) map[string]error {
	other := leaves[(i+1)%n]
	got := map[string]error{
		"a larger count":      VerifyChunkProof(root, n+1, i, leaves[i], p),
		"a larger count, 64":  VerifyChunkProof(root, n+64, i, leaves[i], p),
		"a place beyond":      VerifyChunkProof(root, n, n, leaves[i], p),
		"an endless tree":     VerifyChunkProof(root, 1<<63, i, leaves[i], p),
		"a longer path":       VerifyChunkProof(root, n, i, leaves[i], ChunkProof{p.Group, append(slices.Clone(p.Path), root)}),
		"a hash in the group": VerifyChunkProof(root, n, i, leaves[i], ChunkProof{append(slices.Clone(p.Group), root), p.Path}),
	}
	if n > 1 {
		got["another leaf"] = VerifyChunkProof(root, n, i, other, p)
		got["another place"] = VerifyChunkProof(root, n, (i+1)%n, leaves[i], p)
		got["a smaller count"] = VerifyChunkProof(root, n-1, i, leaves[i], p)
	}
	if len(p.Path) > 0 {
		got["a shorter path"] = VerifyChunkProof(root, n, i, leaves[i], ChunkProof{p.Group, p.Path[:len(p.Path)-1]})
	}
	if len(p.Group) > 0 {
		got["a smaller group"] = VerifyChunkProof(root, n, i, leaves[i], ChunkProof{p.Group[1:], p.Path})
	}
	return got
}

func TestProofFromKeptNodesIsTheSame(t *testing.T) {
	for _, n := range treeSizes {
		leaves := someLeaves(n)
		tree := BuildChunkTree(leaves)
		if RootFromNodes(uint64(n), tree.Nodes()) != tree.Root() {
			t.Errorf("%d leaves: root from nodes differs", n)
		}
		i := n - 1
		first := i - i%NodeWidth
		p, err := ProveFromNodes(uint64(n), tree.Nodes(), leaves[first:], uint64(i))
		if err != nil {
			t.Fatal(err)
		}
		if err := VerifyChunkProof(tree.Root(), uint64(n), uint64(i), leaves[i], p); err != nil {
			t.Error(err)
		}
		if _, err := ProveFromNodes(uint64(n)+64, tree.Nodes(), leaves[first:], uint64(i)); err == nil {
			t.Errorf("%d leaves: proof from too few nodes", n)
		}
	}
	if _, err := BuildChunkTree(nil).Prove(0); err == nil {
		t.Error("proof from an empty tree")
	}
}

func TestLeafDependsOnSaltAndRecord(t *testing.T) {
	recs := exampleNAT(3)
	salts := LeafSalts(exampleKey(), 3)
	leaves := NATLeaves(exampleKey(), recs)
	for i := range recs {
		canonical := recs[i].AppendCanonical(nil)
		want := sha256.Sum256(append(append([]byte{0}, salts[16*i:16*i+16]...), canonical...))
		if leaves[i] != want || LeafHash(salts.At(i), canonical) != want {
			t.Errorf("leaf %d is %x and %x, want %x", i, leaves[i], LeafHash(salts.At(i), canonical), want)
		}
	}
	if NATLeaves(ChunkKey{}, recs[:1])[0] == leaves[0] {
		t.Error("the key does not matter")
	}
}
