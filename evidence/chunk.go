package evidence

import (
	"encoding/hex"
	"fmt"
	"strconv"
)

// Chunk is what a ledger entry of type "chunk" says: the root over everything one
// shard received of one kind in one second.
type Chunk struct {
	Kind    string // record kind: "nat"
	Shard   uint8
	Second  int64 // Unix second of reception
	Records uint64
	Root    [32]byte
}

// Entry returns the ledger entry of c. The writer may add fields after these.
func (c Chunk) Entry() Entry {
	return NewEntry(TypeChunk,
		"kind", c.Kind,
		"shard", strconv.Itoa(int(c.Shard)),
		"second", strconv.FormatInt(c.Second, 10),
		"records", strconv.FormatUint(c.Records, 10),
		"root", hex.EncodeToString(c.Root[:]))
}

// ChunkOf reads a ledger entry of type "chunk". Fields beyond its own are left alone.
func ChunkOf(e Entry) (Chunk, error) {
	if e.Type != TypeChunk {
		return Chunk{}, fmt.Errorf("entry is of type %q, not %q", e.Type, TypeChunk)
	}
	v := map[string]string{}
	for _, name := range []string{"kind", "shard", "second", "records", "root"} {
		value, err := e.one(name)
		if err != nil {
			return Chunk{}, err
		}
		v[name] = value
	}
	c := Chunk{Kind: v["kind"]}
	shard, err := strconv.ParseUint(v["shard"], 10, 8)
	if err != nil {
		return Chunk{}, fmt.Errorf("shard of chunk: %.80q is not a number below 256", v["shard"])
	}
	c.Shard = uint8(shard)
	if c.Second, err = strconv.ParseInt(v["second"], 10, 64); err != nil {
		return Chunk{}, fmt.Errorf("second of chunk: %.80q is not a number", v["second"])
	}
	if c.Records, err = parseNumber(v["records"]); err != nil {
		return Chunk{}, fmt.Errorf("records of chunk: %w", err)
	}
	if c.Root, err = parseHex(v["root"]); err != nil {
		return Chunk{}, fmt.Errorf("root of chunk: %w", err)
	}
	own := c.Entry().Fields
	for _, f := range own { // one spelling of each value
		if e.Get(f.Name) != f.Value {
			return Chunk{}, fmt.Errorf("%s of chunk: %.80q is not in its canonical form", f.Name, e.Get(f.Name))
		}
	}
	return c, nil
}

// parseHex reads a SHA-256 hash in lower-case hexadecimal.
func parseHex(s string) ([32]byte, error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 32 || hex.EncodeToString(b) != s {
		return [32]byte{}, fmt.Errorf("%.80q is not a SHA-256 hash in lower-case hexadecimal", s)
	}
	return [32]byte(b), nil
}
