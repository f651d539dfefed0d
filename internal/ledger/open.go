package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"garrison"
	"garrison/internal/state/atomicfile"

	"github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/tessera/api/layout"
)

// examine compares the directory with the kept checkpoint before anything is written
// to it, and returns a sealer that knows what was verified. What it costs does not
// grow with the log: the path of tiles to the kept checkpoint, and the entries since.
func examine(cfg Config, k *keys, dir logDir, state treeState, deps Deps) (*sealer, error) {
	empty, err := newRange(0, nil)
	if err != nil {
		return nil, err
	}
	s := &sealer{dir: dir, keys: k, now: deps.Now, log: deps.Log, base: empty, changed: make(chan struct{})}
	c, err := k.readKept()
	if errors.Is(err, fs.ErrNotExist) {
		if state.Size > 0 {
			return nil, garrison.Errorf(garrison.Damaged,
				"the ledger has %d entries, but the kept copy of its last checkpoint %q is gone; put the key directory back from its backup",
				state.Size, filepath.Join(cfg.KeyDir, keptFile))
		}
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	if err := s.resume(c, state); err != nil {
		return nil, err
	}
	if err := s.checkPublished(c, dir.exists()); err != nil {
		return nil, err
	}
	return s, clearTail(dir, state.Size)
}

// resume takes up from the kept checkpoint.
func (s *sealer) resume(c kept, state treeState) error {
	cp, err := s.keys.parse([]byte(c.Latest))
	if err != nil {
		return garrison.Errorf(garrison.Damaged, "the kept copy of the last checkpoint %q is not a checkpoint of %q: %w",
			filepath.Join(s.keys.dir, keptFile), s.keys.origin, err)
	}
	if state.Size < cp.Size {
		return garrison.Errorf(garrison.Damaged,
			"the ledger in %q has %d entries, but a checkpoint over %d was signed: the directory is older than its key directory says; put the newer one back",
			string(s.dir), state.Size, cp.Size)
	}
	if s.base, err = s.verifiedBase(cp); err != nil {
		return err
	}
	s.last, s.raw = cp, []byte(c.Latest)
	// What was acknowledged after the last seal is checked now as it would be
	// before the next one.
	base, err := s.recompute(log.Checkpoint{Origin: cp.Origin, Size: state.Size, Hash: state.Root})
	if err != nil {
		return err
	}
	s.base = base
	return nil
}

// verifiedBase returns the range up to the last full bundle under a checkpoint, from
// tiles and the entries after it, having proved that they add up to its root.
func (s *sealer) verifiedBase(cp log.Checkpoint) (*compact.Range, error) {
	end := cp.Size - cp.Size%bundleWidth
	ids := compact.RangeNodes(0, end, nil)
	hashes := make([][]byte, 0, len(ids))
	for _, id := range ids {
		h, err := s.node(id, cp.Size)
		if err != nil {
			return nil, err
		}
		hashes = append(hashes, h)
	}
	base, err := newRange(end, hashes)
	if err != nil {
		return nil, fmt.Errorf("build the tree up to entry %d: %w", end, err)
	}
	probe := &sealer{dir: s.dir, keys: s.keys, base: base}
	_, full, err := probe.replay(cp.Size)
	if err != nil {
		return nil, err
	}
	root, err := rootOf(full)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(root, cp.Hash) {
		return nil, garrison.Errorf(garrison.Damaged,
			"the ledger in %q is not the one whose checkpoint over %d entries was signed (%s; run the verification for the place)",
			string(s.dir), cp.Size, probe.suspect(cp.Size))
	}
	return base, nil
}

// node returns one node of the tree from its tile.
func (s *sealer) node(id compact.NodeID, size uint64) ([]byte, error) {
	level, number, nodeLevel, nodeIndex := layout.NodeCoordsToTileAddress(uint64(id.Level), id.Index)
	hashes, name, err := s.dir.tile(level, number, size)
	if err != nil {
		return nil, err
	}
	first, last := nodeIndex<<nodeLevel, (nodeIndex+1)<<nodeLevel
	if last > uint64(len(hashes)) {
		return nil, garrison.Errorf(garrison.Damaged, "%s of the ledger has %d hashes, expected %d", name, len(hashes), last)
	}
	f := compact.RangeFactory{Hash: hasher.HashChildren}
	r := f.NewEmptyRange(0)
	for _, h := range hashes[first:last] {
		if err := r.Append(h, nil); err != nil {
			return nil, fmt.Errorf("hash %s: %w", name, err)
		}
	}
	return r.GetRootHash(nil)
}

// checkPublished looks at the checkpoint file. A crash can leave the one before the
// kept one, or none; any other was put there by somebody.
func (s *sealer) checkPublished(c kept, begun bool) error {
	path := s.dir.path(layout.CheckpointPath)
	raw, err := s.dir.read(layout.CheckpointPath)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if !begun {
			return nil
		}
		s.log.Warn("the ledger's checkpoint file was missing; its kept copy is put back", "file", path)
		return writeCheckpoint(s.dir, s.raw)
	case err != nil:
		return fmt.Errorf("read the checkpoint: %w", err)
	case string(raw) == c.Latest || string(raw) == c.Previous:
		return nil
	}
	what := "is not one that this ledger signed"
	if cp, err := s.keys.parse(raw); err == nil {
		what = fmt.Sprintf("covers %d entries; the last signed one covers %d", cp.Size, s.last.Size)
	}
	return garrison.Errorf(garrison.Damaged,
		"the checkpoint %q %s. The entries themselves agree with the kept copy in %q: find out who changed the file, then move it away and start again",
		path, what, s.keys.dir)
}

func writeCheckpoint(dir logDir, raw []byte) error {
	if err := atomicfile.WriteFile(dir.path(layout.CheckpointPath), raw, 0o644); err != nil {
		return garrison.Errorf(garrison.Unavailable, "put the checkpoint back: %w", err)
	}
	return nil
}

// clearTail removes what a crash left beyond the tree state: bundles and tiles of an
// append that was never acknowledged. Left alone they would lie beside the true ones
// later and look like forgeries.
func clearTail(dir logDir, size uint64) error {
	levels, err := os.ReadDir(dir.path("tile"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list the ledger's tiles: %w", err)
	}
	for _, l := range levels {
		level := uint64(0)
		if l.Name() != "entries" {
			if level, err = layout.ParseTileLevel(l.Name()); err != nil {
				continue
			}
		}
		if err := clearLevel(dir, l.Name(), size>>(layout.TileHeight*level)); err != nil {
			return err
		}
	}
	return nil
}

// clearLevel removes tiles of one level that hold more than count hashes (or entries).
// An append spans few tiles, so only the neighbourhood of the end is looked at.
func clearLevel(dir logDir, level string, count uint64) error {
	const neighbourhood = 64
	for number := count / bundleWidth; number < count/bundleWidth+neighbourhood; number++ {
		name := "tile/" + level + "/" + layout.NWithSuffix(0, number, 0)
		if err := removeFile(dir.path(name)); err != nil {
			return err
		}
		have := uint64(0)
		if count > number*bundleWidth {
			have = count - number*bundleWidth
		}
		if err := clearPartials(dir.path(name+".p"), have); err != nil {
			return err
		}
	}
	return nil
}

func clearPartials(dir string, have uint64) error {
	files, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list the ledger's tiles: %w", err)
	}
	for _, f := range files {
		n, err := strconv.ParseUint(f.Name(), 10, 64)
		if err != nil || strings.HasPrefix(f.Name(), "0") || n > have {
			if err := removeFile(filepath.Join(dir, f.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return garrison.Errorf(garrison.Unavailable, "remove %q, left by an interrupted append: %w", path, err)
	}
	return nil
}

// adopt takes over what another sealer verified, after the directory was examined anew.
func (s *sealer) adopt(fresh *sealer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.base, s.last, s.raw, s.refused = fresh.base, fresh.last, fresh.raw, nil
}
