package ledger

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"garrison"

	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/api/layout"
	"golang.org/x/sys/unix"
)

// Names in a log's directory that the C2SP layout leaves open; they are Tessera's.
const (
	stateDir      = ".state"
	treeStateFile = stateDir + "/treeState"
	gcStateFile   = stateDir + "/gcState"
	versionFile   = stateDir + "/version"
	version       = "1"
	lockName      = "lock" // ours: one running ledger a directory
)

// bundleWidth is how many entries a full bundle and hashes a full tile have.
const bundleWidth = layout.EntryBundleWidth

var hasher = rfc6962.DefaultHasher

// logDir is a log's directory as files.
type logDir string

func (d logDir) path(name string) string { return filepath.Join(string(d), name) }

// read returns a file of the log, with a bound: no file of a log is larger than a
// full bundle of the largest entries.
func (d logDir) read(name string) ([]byte, error) {
	const limit = bundleWidth * (2 + 1<<16)
	path := d.path(name)
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > limit || !info.Mode().IsRegular() {
		return nil, garrison.Errorf(garrison.Damaged, "%q has %d bytes, more than any file of a log", path, info.Size())
	}
	return os.ReadFile(path)
}

// exists says whether a log was ever begun here.
func (d logDir) exists() bool {
	_, err := os.Stat(d.path(treeStateFile))
	return err == nil
}

// treeState is how far the tree on disk reaches: the library writes it last, after
// bundles and tiles, and acknowledges only then.
type treeState struct {
	Size uint64 `json:"size"`
	Root []byte `json:"root"`
}

func (d logDir) treeState() (treeState, error) {
	raw, err := d.read(treeStateFile)
	if errors.Is(err, fs.ErrNotExist) {
		return treeState{Root: hasher.EmptyRoot()}, nil
	}
	if err != nil {
		return treeState{}, fmt.Errorf("read the tree state: %w", err)
	}
	var s treeState
	if err := json.Unmarshal(raw, &s); err != nil {
		return treeState{}, garrison.Errorf(garrison.Damaged, "%s of the ledger cannot be read: %w", treeStateFile, err)
	}
	if again, err := json.Marshal(s); err != nil || !bytes.Equal(again, raw) || len(s.Root) != hasher.Size() {
		return treeState{}, garrison.Errorf(garrison.Damaged, "%s of the ledger is not in the form it was written in", treeStateFile)
	}
	return s, nil
}

// bundleName returns the name of the bundle of the given number in a log of the given
// size, in its partial form where it is not full.
func bundleName(number, size uint64) string {
	return layout.EntriesPath(number, layout.PartialTileSize(0, number, size))
}

// bundle reads the entries of one bundle as far as a log of the given size has them,
// and the name of the file they came from: a partial file disappears some time after
// the full one exists.
func (d logDir) bundle(number, size uint64) (entries [][]byte, name string, err error) {
	name = bundleName(number, size)
	raw, err := d.read(name)
	if full := layout.EntriesPath(number, 0); errors.Is(err, fs.ErrNotExist) && name != full {
		if raw, err = d.read(full); err == nil {
			name = full
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, name, garrison.Errorf(garrison.Damaged, "%s of the ledger is missing (%s)", name, rangeOf(number, size))
	}
	if err != nil {
		return nil, name, fmt.Errorf("read %s: %w", name, err)
	}
	entries, err = parseBundle(raw)
	if want := countIn(number, size); err == nil && uint64(len(entries)) < want {
		err = fmt.Errorf("%d entries, expected %d", len(entries), want)
	}
	if err != nil {
		return nil, name, garrison.Errorf(garrison.Damaged, "%s of the ledger is not a bundle of entries (%s): %w", name, rangeOf(number, size), err)
	}
	return entries[:countIn(number, size)], name, nil
}

func parseBundle(raw []byte) ([][]byte, error) {
	var b api.EntryBundle
	if err := b.UnmarshalText(raw); err != nil {
		return nil, err
	}
	if len(b.Entries) > bundleWidth {
		return nil, fmt.Errorf("%d entries, more than %d", len(b.Entries), bundleWidth)
	}
	return b.Entries, nil
}

// tile reads the hashes of one tile as far as a log of the given size has them.
func (d logDir) tile(level, number, size uint64) (hashes [][]byte, name string, err error) {
	partial := layout.PartialTileSize(level, number, size)
	name = layout.TilePath(level, number, partial)
	raw, err := d.read(name)
	if full := layout.TilePath(level, number, 0); errors.Is(err, fs.ErrNotExist) && partial > 0 {
		if raw, err = d.read(full); err == nil {
			name = full
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, name, garrison.Errorf(garrison.Damaged, "%s of the ledger is missing", name)
	}
	if err != nil {
		return nil, name, fmt.Errorf("read %s: %w", name, err)
	}
	want := min(bundleWidth, size>>(layout.TileHeight*level)-number*bundleWidth)
	hashes, err = parseTile(raw)
	if err == nil && uint64(len(hashes)) < want {
		err = fmt.Errorf("%d hashes, expected %d", len(hashes), want)
	}
	if err != nil {
		return nil, name, garrison.Errorf(garrison.Damaged, "%s of the ledger is not a tile: %w", name, err)
	}
	return hashes[:want], name, nil
}

func parseTile(raw []byte) ([][]byte, error) {
	var t api.HashTile
	if err := t.UnmarshalText(raw); err != nil {
		return nil, err
	}
	if len(t.Nodes) > bundleWidth {
		return nil, fmt.Errorf("%d hashes, more than %d", len(t.Nodes), bundleWidth)
	}
	return t.Nodes, nil
}

// countIn returns how many entries the bundle of the given number has in a log of
// the given size.
func countIn(number, size uint64) uint64 {
	if size <= number*bundleWidth {
		return 0
	}
	return min(bundleWidth, size-number*bundleWidth)
}

func bundlesOf(size uint64) uint64 { return (size + bundleWidth - 1) / bundleWidth }

func rangeOf(number, size uint64) string {
	return entryRange(number*bundleWidth, number*bundleWidth+countIn(number, size))
}

// entryRange names the entries [from, until).
func entryRange(from, until uint64) string {
	switch {
	case until <= from:
		return ""
	case until == from+1:
		return fmt.Sprintf("entry %d", from)
	default:
		return fmt.Sprintf("entries %d-%d", from, until-1)
	}
}

func base64Of(root []byte) string { return base64.StdEncoding.EncodeToString(root) }

// lockDir keeps a second running ledger off the directory. The kernel lets go of the
// lock when the process ends, however it ends.
func lockDir(dir string) (*os.File, error) {
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, garrison.Errorf(garrison.Unavailable, "lock the ledger: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(garrison.Errorf(garrison.Conflict,
			"another running installation uses the ledger in %q; stop it first", dir), f.Close())
	}
	return f, nil
}

// suitable refuses file systems on which rename and fsync do not mean what the log
// needs them to mean.
func suitable(dir string) error {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return fmt.Errorf("look at the file system of %q: %w", dir, err)
	}
	switch s.Type {
	case unix.NFS_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC:
		return garrison.Errorf(garrison.Invalid, "the ledger's directory %q is on a network share, which cannot promise that written means kept; use a local disk", dir)
	}
	return nil
}

// sameDevice says whether two directories lie on one device; when it cannot be told
// they are said to, because that is the answer that warns.
func sameDevice(a, b string) bool {
	var sa, sb unix.Stat_t
	if unix.Stat(a, &sa) != nil || unix.Stat(b, &sb) != nil {
		return true
	}
	return sa.Dev == sb.Dev
}

// rejuvenate gives a checkpoint file from the future, left behind when the clock was
// set back, the present date.
func (d logDir) rejuvenate() error {
	path := d.path(layout.CheckpointPath)
	info, err := os.Stat(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	now := time.Now() // the library compares with the real clock, whatever ours says
	if !info.ModTime().After(now.Add(time.Second)) {
		return nil
	}
	return os.Chtimes(path, now, now)
}
