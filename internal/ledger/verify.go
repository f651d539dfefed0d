package ledger

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"garrison"

	"github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/tessera/api/layout"
)

// Damage is one thing on disk that is not what was sealed. (The fields are those of
// the state database's Damage, so that one converts to the other.)
type Damage struct {
	File   string // relative to the ledger's directory; with the directory's path where it lies in KeyDir
	Range  string // "entries 256-511"
	Object string // always empty: entries have no names here
	What   string // what differs
}

// Summary is what a verification looked at.
type Summary struct {
	Origin    string
	Size      uint64 // entries found
	Sealed    uint64 // entries covered by the checkpoint
	Root      string // of the checkpoint, base64
	Files     int    // files read and compared
	Pending   uint64 // entries not sealed yet: being written, no error
	Leftovers int    // files of appends that were interrupted or are under way: no evidence, no error
	Damages   int
}

// verification is one pass over a directory. What is read first bounds what is judged:
// first the kept copy, then the checkpoint, then the tree state, then the rest; so
// whatever a running installation writes meanwhile is newer than all of it.
type verification struct {
	cfg    Config
	dir    logDir
	keys   *keys
	report func(Damage)
	sum    Summary
	state  treeState
	// roots are the statements to be proved: what the tree must come to at a size.
	roots []statement
	tree  *rebuilt
}

// statement is a root somebody signed or wrote for a size.
type statement struct {
	file string
	cp   log.Checkpoint
}

// Verify recomputes everything in a ledger's directory, whether an installation runs
// on it or not, and reports each difference: entries to leaf hashes, leaf hashes to
// tiles, tiles to the root, the root to the checkpoint, its signature, and the kept
// copy. Files that are no evidence are compared as well: the tree state says how far
// the tree reaches, the others have one possible content. Two things cannot be told
// from genuine: how far old partial tiles were removed (.state/gcState, if it names
// another possible place) and the bytes of interrupted appends, which nobody was told
// are there and which the next start removes.
//
// The error says what kept it from telling.
func Verify(ctx context.Context, cfg Config, report func(Damage)) (Summary, error) {
	v := &verification{cfg: cfg, dir: logDir(cfg.Dir)}
	v.report = func(d Damage) {
		v.sum.Damages++
		report(d)
	}
	if !v.dir.exists() {
		return v.nothingThere()
	}
	if err := v.statements(); err != nil {
		return v.sum, err
	}
	v.tree = newRebuilt(v)
	if err := v.tree.entries(ctx); err != nil {
		return v.sum, err
	}
	if err := v.tree.tiles(ctx); err != nil {
		return v.sum, err
	}
	return v.sum, v.otherFiles(ctx)
}

// nothingThere tells a ledger that is gone from one that never was.
func (v *verification) nothingThere() (Summary, error) {
	raw, err := readSmall(filepath.Join(v.cfg.KeyDir, keptFile))
	if errors.Is(err, fs.ErrNotExist) {
		return v.sum, garrison.Errorf(garrison.NotFound, "no ledger in %q and no trace of one in %q", v.cfg.Dir, v.cfg.KeyDir)
	}
	if err != nil {
		return v.sum, fmt.Errorf("read the kept copy of the last checkpoint: %w", err)
	}
	v.report(Damage{File: treeStateFile, What: fmt.Sprintf("missing, though a checkpoint was signed: %q", firstLines(raw))})
	return v.sum, nil
}

func firstLines(raw []byte) string { return string(raw[:min(len(raw), 200)]) }

// damaged reports an error that carries the code and returns all others.
func (v *verification) damaged(file, entries string, err error) error {
	var e *garrison.Error
	if !errors.As(err, &e) || e.Code != garrison.Damaged {
		return err
	}
	v.report(Damage{File: file, Range: entries, What: e.Err.Error()})
	return nil
}

// statements collects what the tree must come to.
func (v *verification) statements() error {
	keys, err := openPublic(v.cfg.KeyDir, v.cfg.Origin)
	if err != nil {
		return v.damaged(filepath.Join(v.cfg.KeyDir, publicFile), "", err)
	}
	v.keys, v.sum.Origin = keys, keys.origin
	v.secret()
	keptCopy, err := v.keptCopy()
	if err != nil {
		return err
	}
	if err := v.checkpoint(keptCopy); err != nil {
		return err
	}
	if v.state, err = v.dir.treeState(); err != nil {
		if err := v.damaged(treeStateFile, "", err); err != nil {
			return err
		}
		v.state = v.furthest()
	} else {
		v.claim(treeStateFile, log.Checkpoint{Size: v.state.Size, Hash: v.state.Root})
		if !v.reaches(v.state.Size) {
			v.report(Damage{File: treeStateFile, What: fmt.Sprintf("says %d entries, and the log holds none so far on: this file was altered, or the entries were removed", v.state.Size)})
		}
	}
	v.sum.Files++
	v.sum.Size = v.state.Size
	for _, s := range v.roots {
		if s.cp.Size > v.state.Size {
			v.report(Damage{File: treeStateFile, Range: entryRange(v.state.Size, s.cp.Size),
				What: fmt.Sprintf("the log has %d entries, but %s signs for %d: it was rolled back", v.state.Size, s.file, s.cp.Size)})
		}
	}
	if v.sum.Sealed < v.state.Size {
		v.sum.Pending = v.state.Size - v.sum.Sealed
	}
	return nil
}

// reaches says whether the log has a bundle for its last entry at this size. The library
// writes the tree state after the bundles, and removes a partial one only for a full one.
func (v *verification) reaches(size uint64) bool {
	if size == 0 {
		return true
	}
	n := (size - 1) / layout.EntryBundleWidth
	for _, path := range []string{layout.EntriesPath(n, uint8(size%layout.EntryBundleWidth)), layout.EntriesPath(n, 0)} {
		if _, err := os.Stat(v.dir.path(path)); err == nil {
			return true
		}
	}
	return false
}

func (v *verification) claim(file string, cp log.Checkpoint) {
	v.roots = append(v.roots, statement{file, cp})
}

// furthest stands in for a tree state that cannot be read: the largest signed size.
func (v *verification) furthest() treeState {
	s := treeState{Root: hasher.EmptyRoot()}
	for _, r := range v.roots {
		if r.cp.Size >= s.Size {
			s = treeState{Size: r.cp.Size, Root: r.cp.Hash}
		}
	}
	return s
}

// secret compares the signing key with the public one, where it may be read.
func (v *verification) secret() {
	path := filepath.Join(v.cfg.KeyDir, secretFile)
	_, err := openKeys(v.cfg.KeyDir, v.keys.origin, false, true)
	var e *garrison.Error
	if errors.As(err, &e) && e.Code == garrison.Damaged {
		v.report(Damage{File: path, What: e.Err.Error()})
	}
	v.sum.Files += 2
}

// keptCopy checks both checkpoints that are kept apart from the log.
func (v *verification) keptCopy() (kept, error) {
	path := filepath.Join(v.cfg.KeyDir, keptFile)
	c, err := v.keys.readKept()
	if errors.Is(err, fs.ErrNotExist) {
		v.report(Damage{File: path, What: "missing: a rollback of the log could not be noticed"})
		return kept{}, nil
	}
	if err != nil {
		return kept{}, v.damaged(path, "", err)
	}
	v.sum.Files++
	for _, raw := range []string{c.Latest, c.Previous} {
		if raw == "" && raw != c.Latest {
			continue
		}
		cp, err := v.keys.parse([]byte(raw))
		if err != nil {
			v.report(Damage{File: path, What: fmt.Sprintf("holds something else than a checkpoint of %q: %v", v.keys.origin, err)})
			continue
		}
		v.claim(path, cp)
	}
	return c, nil
}

// checkpoint checks the published checkpoint: it is the kept one, or the one before
// it (whose replacement was interrupted or is under way), or newer than the kept copy
// was when it was read.
func (v *verification) checkpoint(c kept) error {
	raw, err := v.dir.read(layout.CheckpointPath)
	if errors.Is(err, fs.ErrNotExist) {
		v.report(Damage{File: layout.CheckpointPath, What: "missing"})
		return nil
	}
	if err != nil {
		return v.damaged(layout.CheckpointPath, "", err)
	}
	v.sum.Files++
	cp, err := v.keys.parse(raw)
	if err != nil {
		v.report(Damage{File: layout.CheckpointPath, What: fmt.Sprintf("is not a checkpoint that %q signed: %v", v.keys.origin, err)})
		return nil
	}
	v.claim(layout.CheckpointPath, cp)
	v.sum.Sealed, v.sum.Root = cp.Size, base64Of(cp.Hash)
	latest, err := v.keys.parse([]byte(c.Latest))
	if err != nil || string(raw) == c.Latest || string(raw) == c.Previous || cp.Size > latest.Size {
		return nil
	}
	v.report(Damage{File: layout.CheckpointPath, Range: entryRange(cp.Size, latest.Size),
		What: fmt.Sprintf("covers %d entries, the last signed one %d: an older checkpoint was put back", cp.Size, latest.Size)})
	return nil
}

// otherFiles walks the directory for what was not looked at yet.
func (v *verification) otherFiles(ctx context.Context) error {
	return filepath.WalkDir(v.cfg.Dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed while we looked: the library tidies up
		}
		if err != nil {
			return fmt.Errorf("list the ledger: %w", err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if d.IsDir() {
			return nil
		}
		name, err := filepath.Rel(v.cfg.Dir, path)
		if err != nil {
			return err
		}
		return v.otherFile(filepath.ToSlash(name))
	})
}

func (v *verification) otherFile(name string) error {
	switch name {
	case layout.CheckpointPath, treeStateFile:
		return nil
	case versionFile:
		return v.content(name, []byte(version))
	case lockName, treeStateFile + ".lock", gcStateFile + ".lock", stateDir + "/publish.lock":
		return v.content(name, nil)
	case gcStateFile:
		return v.gcState()
	}
	if unfinished(name) {
		v.sum.Leftovers++
		return nil
	}
	if rest, ok := strings.CutPrefix(name, "tile/"); ok {
		return v.tree.lookedAt(name, rest)
	}
	v.report(Damage{File: name, What: "does not belong into a ledger"})
	return nil
}

// content compares a file that has one possible content.
func (v *verification) content(name string, want []byte) error {
	raw, err := v.dir.read(name)
	if err != nil {
		return v.damaged(name, "", err)
	}
	v.sum.Files++
	if !bytes.Equal(raw, want) {
		v.report(Damage{File: name, What: fmt.Sprintf("holds %q, expected %q", firstLines(raw), want)})
	}
	return nil
}

// gcState says how far obsolete partial tiles were removed.
func (v *verification) gcState() error {
	raw, err := v.dir.read(gcStateFile)
	if err != nil {
		return v.damaged(gcStateFile, "", err)
	}
	v.sum.Files++
	var s struct {
		FromSize uint64 `json:"fromSize"`
	}
	if err := json.Unmarshal(raw, &s); err == nil {
		again, err := json.Marshal(s)
		if err == nil && bytes.Equal(again, raw) && s.FromSize%bundleWidth == 0 && s.FromSize <= v.upperBound() {
			return nil
		}
	}
	v.report(Damage{File: gcStateFile, What: fmt.Sprintf("holds %q, which nothing here writes", firstLines(raw))})
	return nil
}

// upperBound is the size of the log now, which may have grown since we began.
func (v *verification) upperBound() uint64 {
	if s, err := v.dir.treeState(); err == nil {
		return max(s.Size, v.state.Size)
	}
	return v.state.Size
}

// unfinished recognises the temporary files of the log library (a final name with a
// random number behind it) and of atomicfile. An interrupted write leaves them; they
// are never read.
func unfinished(name string) bool {
	base := name[strings.LastIndexByte(name, '/')+1:]
	if strings.HasPrefix(base, ".") && strings.HasSuffix(base, ".tmp") {
		return true
	}
	for _, known := range []string{"checkpoint", "treeState", "gcState", "version"} {
		if digits, ok := strings.CutPrefix(base, known); ok && isDigits(digits) {
			return true
		}
	}
	return strings.HasPrefix(name, "tile/") && isDigits(base) && len(base) > 3
}

func isDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
