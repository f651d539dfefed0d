package records

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"garrison"
	"garrison/evidence"
	"garrison/internal/records/segment"
	"garrison/internal/records/wal"
)

// unsealedSeconds is for how long after its second a chunk may miss in the ledger.
const unsealedSeconds = 3

// Verify recomputes everything under cfg.Dir and compares it with the ledger: the sums
// of all files, the root of every chunk from its rows, every frame of the write-ahead
// files, and that no chunk of the ledger is missing. It works on a running store and
// on one at rest, and changes nothing.
func Verify(ctx context.Context, cfg Config, entries EntryScan, report func(Damage)) (Summary, error) {
	v := &verifier{cfg: cfg, report: report, keys: newKeyring(cfg.KeyDir), now: time.Now()}
	if _, err := os.Stat(cfg.Dir); err != nil {
		return v.sum, fmt.Errorf("verify records: %w", err)
	}
	// The ledger first: what it holds now was durable in the store before.
	if err := v.readLedger(ctx, entries); err != nil {
		return v.sum, err
	}
	for attempt := 0; ; attempt++ {
		err := v.store(ctx)
		if errors.Is(err, errMoved) && attempt < 8 {
			v.sum.Running = true
			continue // the store replaced files meanwhile: again, from its new catalog
		}
		if err != nil {
			return v.sum, err
		}
		break
	}
	v.flush()
	return v.sum, nil
}

// errMoved says that a file went away that the catalog had named.
var errMoved = errors.New("the store replaced its files meanwhile")

type verifier struct {
	cfg    Config
	report func(Damage)
	keys   *keyring
	now    time.Time
	sum    Summary

	sealed  map[chunkAt]*sealedChunk
	expired []expiry
	found   []Damage // of this attempt; reported when the attempt stands
	present map[chunkAt]bool
	lastWAL int64
	gen     int64 // of the catalog of this attempt
	badKeys map[string]bool
}

// sealedChunk is what the ledger says about a chunk.
type sealedChunk struct {
	root    [32]byte
	rows    uint32
	index   uint64
	unequal bool // a later entry says something else
}

type expiry struct{ from, until int64 }

func (v *verifier) damage(file, rng string, records int64, format string, args ...any) {
	v.found = append(v.found, Damage{File: file, Range: rng, Records: records, What: fmt.Sprintf(format, args...)})
}

func (v *verifier) flush() {
	v.sum.Damages = len(v.found)
	for _, d := range v.found {
		v.report(d)
	}
}

func (v *verifier) readLedger(ctx context.Context, entries EntryScan) error {
	v.sealed = map[chunkAt]*sealedChunk{}
	if entries == nil {
		return garrison.Errorf(garrison.Invalid, "verify records: no ledger to compare with")
	}
	chunkHead, expiryHead := []byte("garrison/"+evidence.TypeChunk+"/"), []byte("garrison/"+evidence.TypeExpiry+"/")
	err := entries.Scan(ctx, 0, func(index uint64, b []byte) error {
		isChunk := bytes.HasPrefix(b, chunkHead)
		if !isChunk && !bytes.HasPrefix(b, expiryHead) {
			return nil
		}
		e, err := evidence.ParseEntry(b)
		if err != nil {
			return nil // the ledger's own verification names it
		}
		if isChunk {
			v.ledgerChunk(index, e)
		} else {
			v.ledgerExpiry(e)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("verify records: read ledger: %w", err)
	}
	return nil
}

func (v *verifier) ledgerChunk(index uint64, e evidence.Entry) {
	c, err := evidence.ChunkOf(e)
	if err != nil || c.Kind != string(garrison.KindNAT) {
		return
	}
	at := chunkAt{c.Shard, uint32(c.Second)}
	switch old := v.sealed[at]; {
	case old == nil:
		v.sealed[at] = &sealedChunk{root: c.Root, rows: uint32(c.Records), index: index}
	case old.root != c.Root:
		old.unequal = true
	}
}

func (v *verifier) ledgerExpiry(e evidence.Entry) {
	from, err1 := strconv.ParseInt(e.Get("from"), 10, 64)
	until, err2 := strconv.ParseInt(e.Get("until"), 10, 64)
	if err1 == nil && err2 == nil && e.Get("kind") == string(garrison.KindNAT) {
		v.expired = append(v.expired, expiry{from, until})
	}
}

// store looks at everything on disk once.
func (v *verifier) store(ctx context.Context) error {
	v.found, v.present, v.badKeys = nil, map[chunkAt]bool{}, map[string]bool{}
	v.sum = Summary{Running: v.sum.Running}
	v.lastWAL = 0
	cat, err := v.catalog()
	if err != nil {
		return err
	}
	for i := range cat.Segments {
		if err := v.segment(ctx, &cat.Segments[i]); err != nil {
			return err
		}
	}
	if err := v.dayFiles(cat); err != nil {
		return err
	}
	if err := v.walFiles(ctx, cat); err != nil {
		return err
	}
	if err := v.unchanged(); err != nil {
		return err
	}
	v.keyFiles()
	v.known(cat)
	v.missing()
	return nil
}

// catalog reads catalog.json. When it cannot be believed, the segments describe
// themselves.
func (v *verifier) catalog() (*catalog, error) {
	c, _, err := readCatalog(v.cfg.Dir)
	if err == nil {
		v.sum.Files++
		v.gen = c.Gen
		return c, nil
	}
	found, n := v.selfDescribed()
	v.damage(catalogName, "all", n, "the list of what counts cannot be believed: %v; the %d segments found on disk hold %d records", err, len(found.Segments), n)
	return found, nil
}

func (v *verifier) selfDescribed() (*catalog, int64) {
	c, n := newCatalog(), int64(0)
	trees, _ := filepath.Glob(filepath.Join(v.cfg.Dir, segmentsDir, "*", "*.tree"))
	for _, path := range trees {
		t, err := segment.ReadTree(path)
		if err != nil {
			v.damage(v.rel(path), "all", -1, "%v", err)
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			continue
		}
		sum, err := fileSum(path)
		if err != nil {
			continue
		}
		c.Segments = append(c.Segments, segmentRef{Info: t.Info, Tree: segment.TreeFile{File: filepath.Base(path), Bytes: info.Size(), SHA256: sum}})
		n += t.Info.Rows
	}
	return c, n
}

func (v *verifier) rel(path string) string {
	if r, err := filepath.Rel(v.cfg.Dir, path); err == nil {
		return r
	}
	return path
}

func fileSum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// unchanged says whether the catalog still names what was looked at.
func (v *verifier) unchanged() error {
	if !v.moved() {
		return nil
	}
	v.sum.Running = true
	if len(v.found) > 0 {
		return errMoved // what looked wrong may only have been on its way
	}
	return nil
}

// segment checks one segment: the sums of its files, and its rows against the roots.
func (v *verifier) segment(ctx context.Context, ref *segmentRef) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	v.sum.Segments++
	v.sum.Records += ref.Rows
	dir := ref.dir(v.cfg.Dir)
	before := len(v.found)
	treePath := filepath.Join(dir, ref.Tree.File)
	tree, treeErr := v.tree(ref, treePath)
	if errors.Is(treeErr, errMoved) {
		return errMoved
	}
	readable := true
	for _, p := range ref.Parts {
		ok, err := v.part(ref, p, dir)
		if err != nil {
			return err
		}
		readable = readable && ok
	}
	if tree == nil {
		v.presentRange(ref)
		return nil
	}
	for i := range tree.Chunks {
		v.present[chunkAt{tree.Chunks[i].Shard, uint32(tree.Chunks[i].Second)}] = true
	}
	v.sum.Chunks += len(tree.Chunks)
	if !readable {
		return nil // named already, with all its rows
	}
	return v.segmentRoots(ctx, ref, dir, tree, len(v.found) > before)
}

// presentRange keeps chunks of a segment whose list cannot be read from being called
// missing as well.
func (v *verifier) presentRange(ref *segmentRef) {
	for at := range v.sealed {
		if int64(at.second) >= ref.From && int64(at.second) <= ref.Until {
			v.present[at] = true
		}
	}
}

func (v *verifier) tree(ref *segmentRef, path string) (*segment.Tree, error) {
	v.sum.Files++
	sum, err := fileSum(path)
	if errors.Is(err, fs.ErrNotExist) {
		if v.moved() {
			return nil, errMoved
		}
		v.damage(v.rel(path), "all", ref.Rows, "the file is gone")
		return nil, err
	}
	if err != nil {
		v.damage(v.rel(path), "all", ref.Rows, "%v", err)
		return nil, err
	}
	t, err := segment.ReadTree(path)
	switch {
	case err != nil:
		v.damage(v.rel(path), "all", ref.Rows, "%v", err)
	case sum != ref.Tree.SHA256:
		v.damage(v.rel(path), "all", ref.Rows, "its check sum is %.16s…, not %.16s…", sum, ref.Tree.SHA256)
	}
	return t, err
}

// moved says whether the store has replaced its catalog since this attempt read it;
// then a missing file proves nothing. Files go only after the catalog let them go.
func (v *verifier) moved() bool {
	c, _, err := readCatalog(v.cfg.Dir)
	return err == nil && c.Gen != v.gen
}

// young says that a chunk may not have been in the ledger yet when that was read.
func (v *verifier) young(second int64) bool { return second+unsealedSeconds >= v.now.Unix() }

func (v *verifier) part(ref *segmentRef, p segment.Part, dir string) (readable bool, err error) {
	v.sum.Files++
	path := filepath.Join(dir, p.File)
	sum, err := fileSum(path)
	if errors.Is(err, fs.ErrNotExist) {
		if v.moved() {
			return false, errMoved
		}
		v.damage(v.rel(path), "all", p.Rows, "the file is gone")
		return false, nil
	}
	if err != nil {
		v.damage(v.rel(path), "all", p.Rows, "%v", err)
		return false, nil
	}
	if sum == p.SHA256 {
		return true, nil
	}
	n, where := v.spoiledRows(dir, p)
	v.damage(v.rel(path), where, n, "its check sum is %.16s…, not %.16s…", sum, p.SHA256)
	return false, nil
}

// spoiledRows says which rows of a damaged file cannot be relied on: from the first
// batch that cannot be read to the end of its row group, or all when the indexes are
// wrong or everything can still be read.
func (v *verifier) spoiledRows(dir string, p segment.Part) (int64, string) {
	all := fmt.Sprintf("rows 0 to %d", p.Rows-1)
	r, err := segment.Open(dir, p)
	if err != nil {
		return p.Rows, all
	}
	defer r.Close()
	st := r.Stream()
	defer st.Close()
	for n := int64(0); ; {
		batch, _, err := st.Next()
		if errors.Is(err, io.EOF) {
			return p.Rows, all
		}
		if err != nil {
			end := min(p.Rows, (n/segment.RowsPerGroup+1)*segment.RowsPerGroup)
			return end - n, fmt.Sprintf("rows %d to %d", n, end-1)
		}
		n += int64(len(batch))
	}
}

// segmentRoots recomputes the root of every chunk from the rows and compares it with
// the .tree file and with the ledger.
func (v *verifier) segmentRoots(ctx context.Context, ref *segmentRef, dir string, tree *segment.Tree, named bool) error {
	name := filepath.Join(segmentsDir, ref.Day, ref.Name)
	h := newHasher(v.keys)
	err := scanSegment(ctx, ref, dir, h.add)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, fs.ErrNotExist) && v.moved() {
		return errMoved
	}
	if err != nil {
		v.damage(name, "all", ref.Rows, "its rows cannot be read: %v", err)
		return nil
	}
	rowsSeen := int64(0)
	for i := range tree.Chunks {
		c := &tree.Chunks[i]
		root, n, err := h.root(c.Shard, c.Second)
		rowsSeen += int64(n)
		where := fmt.Sprintf("second %d, shard %d", c.Second, c.Shard)
		switch {
		case err != nil:
			v.badKey(c.Second, err)
			continue
		case n != int(c.Rows) || root != c.Root:
			v.damage(name, where, max(int64(c.Rows), int64(n)), "its %d rows do not lead to the root of the %d that were sealed", n, c.Rows)
		}
		if !named {
			if _, err := tree.Nodes(*c); err != nil {
				v.damage(v.rel(filepath.Join(dir, ref.Tree.File)), where, int64(c.Rows), "%v", err)
			}
		}
		v.compare(name, c.Shard, c.Second, c.Root, int64(c.Rows), v.young(c.Second))
	}
	if len(h.chunks) != len(tree.Chunks) || rowsSeen != ref.Rows {
		v.damage(name, "all", ref.Rows, "it holds %d records of %d seconds, not %d of %d", rowsSeen, len(h.chunks), ref.Rows, len(tree.Chunks))
	}
	return nil
}

func (v *verifier) badKey(second int64, err error) {
	day := dayOf(second)
	if v.badKeys[day] {
		return
	}
	v.badKeys[day] = true
	v.damage("key directory: "+keyFile(day), "all", -1, "records of the day cannot be checked: %v", err)
}

// compare holds a chunk against the ledger. A young chunk may not be there yet.
func (v *verifier) compare(file string, shard uint8, second int64, root [32]byte, records int64, young bool) {
	s := v.sealed[chunkAt{shard, uint32(second)}]
	where := fmt.Sprintf("second %d, shard %d", second, shard)
	switch {
	case s == nil && young:
		v.sum.Unsealed += records
	case s == nil:
		v.damage(file, where, records, "the ledger has no entry for these records")
	case s.unequal:
		v.damage(file, where, records, "the ledger holds two different roots for these records (first in entry %d)", s.index)
	case s.root != root:
		v.damage(file, where, max(records, int64(s.rows)), "the %d records here are not the %d that entry %d of the ledger sealed", records, s.rows, s.index)
	}
}

func (v *verifier) dayFiles(cat *catalog) error {
	for _, d := range cat.Days {
		v.sum.Files++
		path := filepath.Join(v.cfg.Dir, daysDir, d.File)
		sum, err := fileSum(path)
		if errors.Is(err, fs.ErrNotExist) && v.moved() {
			return errMoved
		}
		switch {
		case err != nil:
			v.damage(v.rel(path), "all", 0, "the day's tallies and keys cannot be read: %v", err)
		case sum != d.SHA256:
			v.damage(v.rel(path), "all", 0, "the day's tallies and keys are not what was written; no record is affected")
		}
	}
	return nil
}

// keyFiles checks that every key file is what was written.
func (v *verifier) keyFiles() {
	files, _ := filepath.Glob(filepath.Join(v.cfg.KeyDir, "records-*.key"))
	for _, path := range files {
		v.sum.Files++
		day := filepath.Base(path)[len("records-") : len(filepath.Base(path))-len(".key")]
		if _, err := v.keys.day(day, false); err != nil && !v.badKeys[day] {
			v.badKeys[day] = true
			v.damage("key directory: "+filepath.Base(path), "all", -1, "%v", err)
		}
	}
}

// known repeats what the store itself found earlier and could not mend.
func (v *verifier) known(cat *catalog) {
	for _, d := range cat.Damage {
		d.What = "found before: " + d.What
		v.found = append(v.found, d)
	}
}

// missing names what the ledger holds and the store does not.
func (v *verifier) missing() {
	type hole struct {
		shard       uint8
		from, until uint32
		rows        int64
		n           int
	}
	var gone []chunkAt
	for at := range v.sealed {
		if !v.present[at] && !v.wasExpired(int64(at.second)) {
			gone = append(gone, at)
		}
	}
	slices.SortFunc(gone, func(a, b chunkAt) int {
		return cmp.Or(cmp.Compare(a.shard, b.shard), cmp.Compare(a.second, b.second))
	})
	var holes []hole
	for _, at := range gone {
		n := len(holes)
		if n == 0 || holes[n-1].shard != at.shard || at.second > holes[n-1].until+60 {
			holes = append(holes, hole{shard: at.shard, from: at.second})
			n++
		}
		h := &holes[n-1]
		h.until, h.rows, h.n = at.second, h.rows+int64(v.sealed[at].rows), h.n+1
	}
	for _, h := range holes {
		v.damage("ledger", fmt.Sprintf("seconds %d to %d, shard %d", h.from, h.until, h.shard), h.rows,
			"%d records of %d seconds are sealed in the ledger but not in the store", h.rows, h.n)
	}
}

func (v *verifier) wasExpired(second int64) bool {
	return slices.ContainsFunc(v.expired, func(e expiry) bool { return second >= e.from && second <= e.until })
}

// walFiles checks every frame of the write-ahead files and the chunks in them.
func (v *verifier) walFiles(ctx context.Context, cat *catalog) error {
	files, err := wal.List(filepath.Join(v.cfg.Dir, walDir))
	if err != nil {
		return err
	}
	if len(files) == 0 && len(cat.Book.Spans) > 0 && cat.Book.Spans[len(cat.Book.Spans)-1].Cause == "" {
		if v.moved() {
			return errMoved
		}
		v.damage(walDir, "all", -1, "the last run did not stop in order, but its write-ahead file is gone")
	}
	for shard, list := range byShard(files) {
		if err := v.walShard(ctx, cat.mark(shard), shard, list); err != nil {
			return err
		}
	}
	return nil
}

func (v *verifier) walShard(ctx context.Context, m mark, shard int, files []wal.File) error {
	g := newGeneration(shard, m.Frame, v.now)
	next := m.Frame
	if files[0].First > m.Frame {
		v.damage(filepath.Join(walDir, files[0].Name), fmt.Sprintf("frames %d to %d", m.Frame, files[0].First-1), -1, "the file with these frames is gone")
	}
	torn := int64(0)
	for i, f := range files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if i > 0 && f.First != next {
			v.damage(filepath.Join(walDir, f.Name), fmt.Sprintf("frames %d to %d", next, int64(f.First)-1), -1, "these frames are gone")
		}
		v.sum.Files++
		res, err := wal.Scan(filepath.Join(v.cfg.Dir, walDir), f, i == len(files)-1, func(fr wal.Frame) error {
			v.lastWAL = max(v.lastWAL, fr.Second)
			if fr.Seq < m.Frame || fr.Type != wal.Batch {
				return nil
			}
			if _, err := g.batch(fr.Header, fr.Body, v.now); err != nil {
				v.damage(filepath.Join(walDir, f.Name), fmt.Sprintf("bytes %d to %d", fr.Offset, fr.Offset+wal.HeaderSize+int64(fr.Length)), int64(fr.Rows), "%v", err)
			}
			return nil
		}, func(x wal.Fault) {
			if x.Torn {
				torn += x.Until - x.From
				return
			}
			v.damage(filepath.Join(walDir, x.File), fmt.Sprintf("bytes %d to %d", x.From, x.Until), x.Rows, "%s", x.What)
		})
		if errors.Is(err, fs.ErrNotExist) {
			return errMoved
		}
		if err != nil {
			return err
		}
		next = max(f.First, res.Next)
	}
	v.sum.TornBytes += torn
	v.walChunks(g)
	return nil
}

func (v *verifier) walChunks(g *generation) {
	for _, c := range g.chunks {
		v.sum.Records += int64(len(c.rows))
		v.sum.Chunks++
		v.present[chunkAt{c.shard, uint32(c.second)}] = true
		// The last seconds of a run, stopped or not, are sealed by the next beat of the
		// sealer or by the next start.
		young := c.second+unsealedSeconds >= v.lastWAL || v.young(c.second)
		g.table.Sort(c.rows)
		if v.sealed[chunkAt{c.shard, uint32(c.second)}] == nil && young {
			v.sum.Unsealed += int64(len(c.rows))
			continue
		}
		if _, err := v.keys.chunk(c.id(), false); err != nil {
			v.badKey(c.second, err)
			continue
		}
		if err := c.seal(g.table, v.keys); err != nil {
			v.badKey(c.second, err)
			continue
		}
		v.compare(walDir, c.shard, c.second, c.root, int64(len(c.rows)), young)
	}
}
