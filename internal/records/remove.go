package records

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"garrison"
	"garrison/internal/records/wal"
)

// Everything that takes a file away stands in this file: what is in segments and
// therefore no longer needed in write-ahead files, what never counted, and what a
// permit names.

// removeCovered removes the write-ahead files of a shard whose frames are all below
// the catalog's mark. The newest file is given up only when it is nobody's: the store
// has stopped and its last frame is covered.
func (s *Store) removeCovered(m mark, running bool) error {
	dir := filepath.Join(s.cfg.Dir, walDir)
	files, err := wal.List(dir)
	if err != nil {
		return err
	}
	list := byShard(files)[m.Shard]
	for i, f := range list {
		covered := i+1 < len(list) && list[i+1].First <= m.Frame
		if i+1 == len(list) {
			covered = !running && f.First <= m.Frame && s.endsBelow(f, m.Frame)
		}
		if !covered {
			continue
		}
		path := filepath.Join(dir, f.Name)
		if s.spoiled[f.Name] { // kept for whoever finds out what happened
			err = os.Rename(path, path+".damaged")
		} else {
			err = os.Remove(path)
		}
		if err != nil {
			return fmt.Errorf("remove write-ahead file: %w", err)
		}
	}
	return nil
}

func (s *Store) endsBelow(f wal.File, frame uint64) bool {
	clean := true
	res, err := wal.Scan(filepath.Join(s.cfg.Dir, walDir), f, false, func(wal.Frame) error { return nil }, func(wal.Fault) { clean = false })
	return err == nil && clean && res.Next <= frame
}

// freeName makes room for a new write-ahead file: one of the same name holds no whole
// frame, because a frame would have moved the number on.
func (s *Store) freeName(shard int, first uint64) error {
	err := os.Remove(filepath.Join(s.cfg.Dir, walDir, wal.FileName(shard, first)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove empty write-ahead file: %w", err)
	}
	return nil
}

// removeOrphans removes what a crash left between writing a file and naming it in the
// catalog, or between taking it out of the catalog and removing it.
func (s *Store) removeOrphans(cat *catalog) error {
	known := map[string]bool{}
	for i := range cat.Segments {
		r := &cat.Segments[i]
		known[filepath.Join(r.dir(s.cfg.Dir), r.Tree.File)] = true
		for _, p := range r.Parts {
			known[filepath.Join(r.dir(s.cfg.Dir), p.File)] = true
		}
	}
	for _, d := range cat.Days {
		known[filepath.Join(s.cfg.Dir, daysDir, d.File)] = true
	}
	for _, top := range []string{segmentsDir, daysDir} {
		err := filepath.WalkDir(filepath.Join(s.cfg.Dir, top), func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() || known[path] || !ours(e.Name()) {
				return err
			}
			s.log.Info("records: removed a file that no catalog names", "file", path)
			return os.Remove(path)
		})
		if err != nil {
			return fmt.Errorf("remove orphaned files: %w", err)
		}
	}
	return nil
}

func ours(name string) bool {
	for _, end := range []string{".parquet", ".tree", ".json", ".tmp"} {
		if strings.HasSuffix(name, end) {
			return true
		}
	}
	return false
}

// removeSegments removes files of segments that the catalog no longer names because
// they were merged into another.
func (s *Store) removeSegments(old []segmentRef) error {
	var errs []error
	for i := range old {
		dir := old[i].dir(s.cfg.Dir)
		for _, p := range old[i].Parts {
			s.open.forget(filepath.Join(dir, p.File))
			errs = append(errs, os.Remove(filepath.Join(dir, p.File)))
		}
		s.open.forget(filepath.Join(dir, old[i].Tree.File))
		errs = append(errs, os.Remove(filepath.Join(dir, old[i].Tree.File)))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove merged segments: %w", err)
	}
	return nil
}

// removeDays removes day files that a newer one replaced.
func (s *Store) removeDays(old []dayRef) error {
	for _, d := range old {
		if err := os.Remove(filepath.Join(s.cfg.Dir, daysDir, d.File)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove replaced day file: %w", err)
		}
	}
	return nil
}

// A Permit allows the removal of the segments it names. It is made only after the
// ledger holds their expiry; outside this package there is no way to make one.
type Permit struct {
	segments []segmentRef
	days     []string // whose keys go too, because nothing of them is left
	ref      garrison.EvidenceRef
}

// Expire removes what the permit names. It is the only way in which records leave the
// store.
func (s *Store) Expire(p Permit) error {
	if p.ref.Zero() {
		return garrison.Refuse(garrison.Held, "error.records.no_permit")
	}
	if err := s.removeSegments(p.segments); err != nil {
		return err
	}
	for _, day := range p.days {
		s.keys.forget(day)
		if err := os.Remove(filepath.Join(s.cfg.KeyDir, keyFile(day))); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove chunk key of day %s: %w", day, err)
		}
	}
	return nil
}

// removeFile removes a file that never counted.
func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// removeBench removes what a benchmark made in a directory of its own.
func removeBench(dir string) error { return os.RemoveAll(dir) }
