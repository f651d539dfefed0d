package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/tessera/api/layout"
)

// rebuilt is the tree computed again from the entries on disk.
type rebuilt struct {
	v     *verification
	size  uint64
	rng   *compact.Range
	nodes map[uint64][][]byte // by tile level, from 1 on: the hashes of that level's tiles
	lost  bool                // entries and their hashes are gone: nothing after them can be computed
}

func newRebuilt(v *verification) *rebuilt {
	f := &compact.RangeFactory{Hash: hasher.HashChildren}
	return &rebuilt{v: v, size: v.state.Size, rng: f.NewEmptyRange(0), nodes: map[uint64][][]byte{}}
}

// visit keeps the nodes that stand in tiles above the lowest level.
func (t *rebuilt) visit(id compact.NodeID, hash []byte) {
	if id.Level > 0 && id.Level%layout.TileHeight == 0 {
		level := uint64(id.Level) / layout.TileHeight
		t.nodes[level] = append(t.nodes[level], hash)
	}
}

// entries reads all bundles with their lowest tiles and proves the statements on the
// way.
func (t *rebuilt) entries(ctx context.Context) error {
	t.prove()
	for number := uint64(0); number < bundlesOf(t.size) && !t.lost; number++ {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("verify the ledger: %w", err)
		}
		hashes, err := t.bundle(number)
		if err != nil {
			return err
		}
		for _, h := range hashes {
			if err := t.rng.Append(h, t.visit); err != nil {
				return fmt.Errorf("verify the ledger: %w", err)
			}
			t.prove()
		}
		if err := t.partials(number, hashes); err != nil {
			return err
		}
	}
	return nil
}

// prove compares the root with every statement about the present size.
func (t *rebuilt) prove() {
	size := t.rng.End()
	for _, s := range t.v.roots {
		if s.cp.Size != size {
			continue
		}
		root, err := rootOf(t.rng)
		if err != nil || !bytes.Equal(root, s.cp.Hash) {
			t.v.report(Damage{File: s.file, Range: entryRange(0, size),
				What: fmt.Sprintf("states the root %s over %d entries; the entries come to %s", base64Of(s.cp.Hash), size, base64Of(root))})
		}
	}
}

// bundle returns the leaf hashes of one bundle. Where bundle and tile differ it finds
// out which of them the rest of the tree agrees with, reports the other and goes on
// with the right one, so that one wrong byte is one damage and not a thousand.
func (t *rebuilt) bundle(number uint64) ([][]byte, error) {
	entries, bundleFile, errB := t.v.dir.bundle(number, t.size)
	if errB != nil {
		if err := t.v.damaged(bundleFile, rangeOf(number, t.size), errB); err != nil {
			return nil, err
		}
	}
	tile, tileFile, errT := t.v.dir.tile(0, number, t.size)
	if errT != nil {
		if err := t.v.damaged(tileFile, rangeOf(number, t.size), errT); err != nil {
			return nil, err
		}
	}
	t.v.sum.Files += 2
	switch {
	case errB != nil && errT != nil:
		t.lost = true
		t.v.report(Damage{File: bundleFile, Range: entryRange(number*bundleWidth, t.size), What: "gone with its tile: nothing from here on can be computed"})
		return nil, nil
	case errB != nil:
		return tile, nil
	}
	hashes := leafHashes(entries)
	if errT != nil {
		return hashes, nil
	}
	first, same := firstDifference(hashes, tile)
	if same {
		return hashes, nil
	}
	return t.judge(number, first, hashes, tile, bundleFile, tileFile), nil
}

func leafHashes(entries [][]byte) [][]byte {
	hashes := make([][]byte, len(entries))
	for i, e := range entries {
		hashes[i] = hasher.HashLeaf(e)
	}
	return hashes
}

func firstDifference(a, b [][]byte) (int, bool) {
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			return i, false
		}
	}
	return 0, true
}

// judge decides between a bundle and its tile.
func (t *rebuilt) judge(number uint64, first int, hashes, tile [][]byte, bundleFile, tileFile string) [][]byte {
	entry := number*bundleWidth + uint64(first)
	switch {
	case t.agrees(number, tile):
		t.v.report(Damage{File: bundleFile, Range: differing(number, hashes, tile), What: fmt.Sprintf("entry %d is not the one that was sealed", entry)})
		return tile
	case t.agrees(number, hashes):
		t.v.report(Damage{File: tileFile, Range: differing(number, hashes, tile), What: fmt.Sprintf("the hash of entry %d is not that of the entry, which agrees with the rest of the tree", entry)})
		return hashes
	}
	t.v.report(Damage{File: bundleFile, Range: differing(number, hashes, tile), What: fmt.Sprintf("entry %d and its hash in %s differ, and neither agrees with the rest of the tree", entry, tileFile)})
	t.v.report(Damage{File: tileFile, Range: differing(number, hashes, tile), What: fmt.Sprintf("see %s", bundleFile)})
	return tile
}

// differing names the entries whose hashes differ, from the first to the last.
func differing(number uint64, a, b [][]byte) string {
	first, last := -1, -1
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			if first < 0 {
				first = i
			}
			last = i
		}
	}
	base := number * bundleWidth
	return entryRange(base+uint64(first), base+uint64(last)+1)
}

// agrees says whether leaf hashes fit what stands above them: the tile one level up
// for a full bundle, else the root that the tree state or a checkpoint gives.
func (t *rebuilt) agrees(number uint64, leaves [][]byte) bool {
	if len(leaves) == bundleWidth {
		sub, err := subtree(leaves)
		parents, _, errT := t.v.dir.tile(1, number/bundleWidth, t.size)
		at := number % bundleWidth
		return err == nil && errT == nil && at < uint64(len(parents)) && bytes.Equal(parents[at], sub)
	}
	trial, err := newRange(t.rng.End(), append([][]byte(nil), t.rng.Hashes()...))
	if err != nil {
		return false
	}
	// One statement may be about the entries before the wrong one, so all must hold.
	held := false
	for _, h := range leaves {
		if err := trial.Append(h, nil); err != nil {
			return false
		}
		stated, holds := t.stated(trial)
		if stated && !holds {
			return false
		}
		held = held || holds
	}
	return held
}

// stated says whether anybody stated a root for this size, and whether it is this one.
func (t *rebuilt) stated(r *compact.Range) (stated, holds bool) {
	root, err := rootOf(r)
	if err != nil {
		return true, false
	}
	holds = true
	for _, s := range t.v.roots {
		if s.cp.Size == r.End() {
			stated = true
			holds = holds && bytes.Equal(s.cp.Hash, root)
		}
	}
	return stated, stated && holds
}

func subtree(leaves [][]byte) ([]byte, error) {
	r, err := newRange(0, nil)
	if err != nil {
		return nil, err
	}
	for _, h := range leaves {
		if err := r.Append(h, nil); err != nil {
			return nil, err
		}
	}
	return r.GetRootHash(nil)
}

// partials compares the older, shorter forms of a bundle and of its tile, which stay
// until the library tidies up, with what was proved.
func (t *rebuilt) partials(number uint64, hashes [][]byte) error {
	if hashes == nil {
		return nil
	}
	present := int(layout.PartialTileSize(0, number, t.size))
	err := t.eachPartial(layout.EntriesPath(number, 0), present, func(name string, raw []byte, n int) error {
		entries, err := parseBundle(raw)
		if err != nil || len(entries) != n {
			t.v.report(Damage{File: name, Range: rangeOf(number, number*bundleWidth+uint64(n)), What: "is not a bundle of as many entries as its name says"})
			return nil
		}
		t.older(name, number, leafHashes(entries), hashes)
		return nil
	})
	if err != nil {
		return err
	}
	return t.olderTiles(0, number, hashes)
}

// olderTiles compares the shorter forms of one tile.
func (t *rebuilt) olderTiles(level, number uint64, hashes [][]byte) error {
	present := int(layout.PartialTileSize(level, number, t.size))
	return t.eachPartial(layout.TilePath(level, number, 0), present, func(name string, raw []byte, n int) error {
		tile, err := parseTile(raw)
		if err != nil || len(tile) != n {
			t.v.report(Damage{File: name, What: "is not a tile of as many hashes as its name says"})
			return nil
		}
		t.older(name, number, tile, hashes)
		return nil
	})
}

// older reports where a shorter form differs; what it has beyond the tree is an append
// under way or interrupted.
func (t *rebuilt) older(name string, number uint64, got, want [][]byte) {
	got = got[:min(len(got), len(want))]
	for i := range got {
		if !bytes.Equal(got[i], want[i]) {
			t.v.report(Damage{File: name, Range: entryRange(number*bundleWidth+uint64(i), number*bundleWidth+uint64(i)+1),
				What: fmt.Sprintf("an older form differs from the present one at place %d", i)})
			return
		}
	}
}

// eachPartial calls fn for the partial forms of a file, except the one the present
// size reads, which was compared already, and unfinished ones.
func (t *rebuilt) eachPartial(full string, present int, fn func(name string, raw []byte, n int) error) error {
	files, err := os.ReadDir(t.v.dir.path(full + ".p"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list the ledger: %w", err)
	}
	for _, f := range files {
		n, err := strconv.Atoi(f.Name())
		if err != nil || n < 1 || n >= bundleWidth || n == present || strconv.Itoa(n) != f.Name() {
			continue
		}
		name := path.Join(full+".p", f.Name())
		raw, err := t.v.dir.read(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			if err := t.v.damaged(name, "", err); err != nil {
				return err
			}
			continue
		}
		t.v.sum.Files++
		if err := fn(name, raw, n); err != nil {
			return err
		}
	}
	return nil
}

// tiles compares all tiles above the lowest level with the tree.
func (t *rebuilt) tiles(ctx context.Context) error {
	for level := uint64(1); t.size>>(layout.TileHeight*level) > 0 && !t.lost; level++ {
		nodes := t.nodes[level]
		for number := uint64(0); number*bundleWidth < uint64(len(nodes)); number++ {
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("verify the ledger: %w", err)
			}
			want := nodes[number*bundleWidth : min(uint64(len(nodes)), (number+1)*bundleWidth)]
			if err := t.compareTile(level, number, want); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *rebuilt) compareTile(level, number uint64, want [][]byte) error {
	got, name, err := t.v.dir.tile(level, number, t.size)
	if err != nil {
		return t.v.damaged(name, t.span(level, number*bundleWidth, uint64(len(want))), err)
	}
	t.v.sum.Files++
	if i, same := firstDifference(want, got); !same {
		t.v.report(Damage{File: name, Range: t.span(level, number*bundleWidth+uint64(i), 1), What: "a hash is not that of the entries below it"})
	}
	return t.olderTiles(level, number, want)
}

// span names the entries under count nodes of a tile level.
func (t *rebuilt) span(level, first, count uint64) string {
	width := uint64(1) << (layout.TileHeight * level)
	return entryRange(first*width, min(t.size, (first+count)*width))
}

// lookedAt says of a file under tile/ whether it had its turn. What lies beyond the
// end is an append under way or interrupted; what has no place in the layout was put
// there by somebody.
func (t *rebuilt) lookedAt(name, rest string) error {
	first, index, _ := strings.Cut(rest, "/")
	level, err := uint64(0), error(nil)
	if first != "entries" {
		level, err = layout.ParseTileLevel(first)
	}
	number, partial, errIndex := layout.ParseTileIndexPartial(index)
	canonical := layout.TilePath(level, number, partial)
	if first == "entries" {
		canonical = layout.EntriesPath(number, partial)
	}
	if err != nil || errIndex != nil || canonical != name {
		t.v.report(Damage{File: name, What: "does not belong into a ledger"})
		return nil
	}
	count := t.size >> (layout.TileHeight * level)
	have := uint64(0)
	if count > number*bundleWidth {
		have = min(bundleWidth, count-number*bundleWidth)
	}
	holds := uint64(partial)
	if partial == 0 {
		holds = bundleWidth
	}
	if holds <= have {
		return nil // compared
	}
	// An append can reach a few bundles beyond the end; more is no append.
	const reach = 2 * maxGroup
	if grown := t.v.upperBound() + reach; (number*bundleWidth)<<(layout.TileHeight*level) > grown {
		t.v.report(Damage{File: name, What: "lies beyond the end of the log, where nothing here writes"})
		return nil
	}
	t.v.sum.Leftovers++
	return nil
}
