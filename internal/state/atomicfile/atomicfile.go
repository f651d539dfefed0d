package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// WriteFile puts data at path, durable on return. An existing file is replaced; on
// an error it is as it was.
func WriteFile(path string, data []byte, mode fs.FileMode) error {
	f, err := Create(path, mode)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // after Commit it does nothing; else the first error is the one that counts
	if _, err := f.Write(data); err != nil {
		return fmt.Errorf("write %q: %w", path, err)
	}
	return f.Commit()
}

// File is a file that does not exist under its name until Commit.
type File struct {
	*os.File
	path string
	done bool
}

// Create starts a file that is to appear at path. Exactly one of Commit and Close
// decides: Close without Commit leaves nothing behind, Close after Commit does
// nothing, so "defer f.Close()" is right.
func Create(path string, mode fs.FileMode) (*File, error) {
	dir, base := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	f, err := os.CreateTemp(dir, "."+base+".*.tmp")
	if err != nil {
		return nil, fmt.Errorf("create %q: %w", path, err)
	}
	// CreateTemp gives 0600; the mode asked for is set before anything is in the file.
	if err := f.Chmod(mode); err != nil {
		return nil, errors.Join(fmt.Errorf("create %q: %w", path, err), f.Close(), os.Remove(f.Name()))
	}
	return &File{File: f, path: path}, nil
}

// Commit makes the file appear, durable on return. After an error nothing is left.
func (f *File) Commit() error {
	if f.done {
		return fmt.Errorf("commit %q: %w", f.path, fs.ErrClosed)
	}
	if err := f.Sync(); err != nil {
		return errors.Join(fmt.Errorf("sync %q: %w", f.path, err), f.Close())
	}
	f.done = true
	if err := f.File.Close(); err != nil {
		return errors.Join(fmt.Errorf("close %q: %w", f.path, err), os.Remove(f.Name()))
	}
	if err := os.Rename(f.Name(), f.path); err != nil {
		return errors.Join(fmt.Errorf("rename to %q: %w", f.path, err), os.Remove(f.Name()))
	}
	return SyncDir(filepath.Dir(f.path))
}

// Close gives the file up unless it was committed.
func (f *File) Close() error {
	if f.done {
		return nil
	}
	f.done = true
	return errors.Join(f.File.Close(), os.Remove(f.Name()))
}

// SyncDir makes the names in a directory durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync directory %q: %w", dir, err)
	}
	if err := d.Sync(); err != nil {
		return errors.Join(fmt.Errorf("sync directory %q: %w", dir, err), d.Close())
	}
	if err := d.Close(); err != nil {
		return fmt.Errorf("sync directory %q: %w", dir, err)
	}
	return nil
}
