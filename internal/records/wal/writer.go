package wal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"garrison/internal/state/atomicfile"
)

// Writer appends frames to the newest file of one shard. It is not safe for
// concurrent use.
type Writer struct {
	dir    string
	shard  int
	file   *os.File
	path   string
	next   uint64 // number of the next frame
	size   int64  // bytes of whole frames in the file
	dirty  bool   // written since the last sync
	broken error  // a write could not be undone or a sync failed: nothing more is written
}

// Create starts a new file whose first frame has number first.
func Create(dir string, shard int, first uint64) (*Writer, error) {
	w := &Writer{dir: dir, shard: shard, next: first}
	if err := w.open(); err != nil {
		return nil, err
	}
	return w, nil
}

func (w *Writer) open() error {
	path := filepath.Join(w.dir, FileName(w.shard, w.next))
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("create write-ahead file: %w", err)
	}
	head := FileHeader{Shard: uint16(w.shard), First: w.next}.Append(nil)
	_, err = f.Write(head)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = atomicfile.SyncDir(w.dir)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("create write-ahead file %q: %w", path, err), f.Close())
	}
	w.file, w.path, w.size, w.dirty = f, path, int64(len(head)), false
	return nil
}

// Next returns the number that the next frame will have.
func (w *Writer) Next() uint64 { return w.next }

// Size returns the bytes in the current file.
func (w *Writer) Size() int64 { return w.size }

// Path returns the path of the current file.
func (w *Writer) Path() string { return w.path }

// Frame appends a frame with the writer's next number to dst; nothing is written yet.
// The frame must be given to Write in the same order.
func (w *Writer) Frame(dst []byte, h Header, body []byte, ahead uint64) []byte {
	h.Shard, h.Seq, h.Length = uint16(w.shard), w.next+ahead, uint32(len(body))
	if h.Body == 0 {
		h.Body = Castagnoli(body)
	}
	return append(h.Append(dst), body...)
}

// Write writes n whole frames. On an error nothing of them stays in the file; when
// even that cannot be had, the writer is broken for good.
func (w *Writer) Write(frames []byte, n uint64) error {
	if w.broken != nil {
		return w.broken
	}
	_, err := w.file.Write(frames)
	if err == nil {
		w.size += int64(len(frames))
		w.next += n
		w.dirty = true
		return nil
	}
	err = fmt.Errorf("write %q: %w", w.path, err)
	if undo := w.undo(); undo != nil {
		w.broken = fmt.Errorf("take back an unfinished write: %w", errors.Join(undo, err))
		return w.broken
	}
	return err
}

func (w *Writer) undo() error {
	if err := w.file.Truncate(w.size); err != nil {
		return err
	}
	_, err := w.file.Seek(w.size, io.SeekStart)
	return err
}

// Sync makes everything written durable. After a failure the kernel may have dropped
// what it could not write and report success next time, so the writer is broken for
// good and a new start must read what is really there.
func (w *Writer) Sync() error {
	if w.broken != nil {
		return w.broken
	}
	if !w.dirty {
		return nil
	}
	if err := w.file.Sync(); err != nil {
		w.broken = fmt.Errorf("sync %q: %w", w.path, err)
		return w.broken
	}
	w.dirty = false
	return nil
}

// Rotate syncs and closes the file and starts the next one.
func (w *Writer) Rotate() error {
	if err := w.Sync(); err != nil {
		return err
	}
	old := w.file
	if err := w.open(); err != nil {
		return err
	}
	if err := old.Close(); err != nil {
		return fmt.Errorf("close write-ahead file: %w", err)
	}
	return nil
}

// Close syncs and closes the file.
func (w *Writer) Close() error {
	err := w.Sync()
	return errors.Join(err, w.file.Close())
}

// Break puts the writer in the state that a failed sync leaves. Tests of the states
// above it use it where no disk can be made to fail.
func (w *Writer) Break(err error) { w.broken = err }
