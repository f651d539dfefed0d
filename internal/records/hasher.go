package records

import (
	"crypto/aes"
	"crypto/cipher"
	"iter"
	"maps"

	"garrison"
	"garrison/evidence"
	"garrison/internal/records/rows"
)

// hasher recomputes the trees of many chunks from rows that come in canonical order,
// as they lie in a segment. It keeps the open node and the first level of each chunk.
type hasher struct {
	keys   *keyring
	chunks map[chunkAt]*chunkHash
	last   *chunkHash
	lastAt chunkAt
	nat    evidence.NAT
	buf    []byte
}

type chunkAt struct {
	shard  uint8
	second uint32
}

type chunkHash struct {
	err    error         // no key
	stream cipher.Stream // yields the leaf salts one after the other, as evidence.LeafSalts
	salts  [16 * evidence.NodeWidth]byte
	n      int
	leaves [][32]byte
	nodes  [][32]byte
}

func newHasher(keys *keyring) *hasher { return &hasher{keys: keys, chunks: map[chunkAt]*chunkHash{}} }

func (h *hasher) add(t *rows.Table, r *rows.Row) error {
	at := chunkAt{r.Shard, r.Received}
	c := h.last
	if c == nil || at != h.lastAt {
		c = h.chunks[at]
		if c == nil {
			c = &chunkHash{leaves: make([][32]byte, 0, evidence.NodeWidth)}
			c.start(h.keys, garrison.ChunkID{Kind: garrison.KindNAT, Shard: int(at.shard), Second: int64(at.second)})
			h.chunks[at] = c
		}
		h.last, h.lastAt = c, at
	}
	t.NAT(r, &h.nat)
	h.buf = h.nat.AppendCanonical(h.buf[:0])
	c.leaf(h.buf)
	return nil
}

func (c *chunkHash) start(keys *keyring, id garrison.ChunkID) {
	key, err := keys.chunk(id, false)
	if err != nil {
		c.err = err
	}
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic("records: AES-256 refuses a key of 32 bytes: " + err.Error())
	}
	c.stream = cipher.NewCTR(block, make([]byte, aes.BlockSize))
}

func (c *chunkHash) leaf(canonical []byte) {
	k := c.n % evidence.NodeWidth
	if k == 0 {
		clear(c.salts[:])
		c.stream.XORKeyStream(c.salts[:], c.salts[:])
	}
	c.leaves = append(c.leaves, evidence.LeafHash([16]byte(c.salts[16*k:]), canonical))
	c.n++
	if len(c.leaves) == evidence.NodeWidth {
		c.nodes = append(c.nodes, evidence.WideNode(c.leaves))
		c.leaves = c.leaves[:0]
	}
}

// root returns the root of a chunk and how many rows it has.
func (h *hasher) root(shard uint8, second int64) ([32]byte, int, error) {
	c := h.chunks[chunkAt{shard, uint32(second)}]
	if c == nil {
		return [32]byte{}, 0, nil
	}
	if c.err != nil {
		return [32]byte{}, c.n, c.err
	}
	nodes := c.nodes
	if len(c.leaves) > 0 {
		nodes = append(nodes[:len(nodes):len(nodes)], evidence.WideNode(c.leaves))
	}
	return evidence.RootFromNodes(uint64(c.n), nodes), c.n, nil
}

func keysOf[K comparable, V any](m map[K]V) iter.Seq[K] { return maps.Keys(m) }
