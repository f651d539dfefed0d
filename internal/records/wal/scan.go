package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// Fault is something in a file that is not a whole frame.
type Fault struct {
	File   string // name
	From   int64  // first byte
	Until  int64  // first byte behind
	Rows   int64  // records affected; -1: cannot be told
	What   string
	Torn   bool // an unfinished write at the end, not damage
	Frames int64
}

// Frame is one whole frame as Scan yields it; Body is valid until yield returns.
type Frame struct {
	Header
	File   string
	Offset int64
	Body   []byte
}

// File is one write-ahead file of a directory.
type File struct {
	Name  string
	Shard int
	First uint64
	Size  int64
}

// List returns the write-ahead files of a directory by shard and number. A missing
// directory has none.
func List(dir string) ([]File, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list write-ahead files: %w", err)
	}
	var files []File
	for _, e := range entries {
		shard, first, ok := ParseFileName(e.Name())
		if !ok {
			continue
		}
		f := File{Name: e.Name(), Shard: shard, First: first}
		if info, err := e.Info(); err == nil {
			f.Size = info.Size()
		}
		files = append(files, f)
	}
	slices.SortFunc(files, func(a, b File) int {
		if a.Shard != b.Shard {
			return a.Shard - b.Shard
		}
		if a.First < b.First {
			return -1
		}
		return 1
	})
	return files, nil
}

// Result is what Scan found in one file.
type Result struct {
	Next  uint64 // number behind the last whole frame; 0: no frame
	Above uint64 // no frame of the file, whole or damaged, has this number or a higher one
	Good  int64  // bytes up to the end of the last whole frame
	Empty bool   // not even the file's header is whole: a file that was only begun
}

// Scan reads one file and yields its frames in order. Whatever is not a whole frame
// is given to fault; newest says that the file may end in a torn tail. Scan stops at
// the first error of yield.
func Scan(dir string, f File, newest bool, yield func(Frame) error, fault func(Fault)) (Result, error) {
	path := filepath.Join(dir, f.Name)
	file, err := os.Open(path)
	if err != nil {
		return Result{}, fmt.Errorf("open write-ahead file: %w", err)
	}
	defer file.Close()
	s := &scanner{in: file, file: f, newest: newest, yield: yield, fault: fault, expect: f.First}
	if info, err := file.Stat(); err == nil {
		s.size = info.Size()
	}
	res, err := s.run()
	if err != nil {
		return res, fmt.Errorf("read write-ahead file %q: %w", f.Name, err)
	}
	return res, nil
}

type scanner struct {
	in     *os.File
	file   File
	size   int64
	newest bool
	yield  func(Frame) error
	fault  func(Fault)
	expect uint64
	lost   uint64 // at most so many frames were in bytes that cannot be read
	body   []byte
}

func (s *scanner) run() (Result, error) {
	head := make([]byte, FileHeaderSize)
	if n, err := s.in.ReadAt(head, 0); err != nil && n < FileHeaderSize {
		if !errors.Is(err, io.EOF) {
			return Result{}, err
		}
		s.fault(Fault{File: s.file.Name, Until: int64(n), Rows: 0, Torn: s.newest, What: "the file ends inside its header"})
		return Result{Empty: true}, nil
	}
	if h, err := ParseFileHeader(head); err != nil || h.First != s.file.First || int(h.Shard) != s.file.Shard {
		if err == nil {
			err = fmt.Errorf("the header is of shard %d, frame %d", h.Shard, h.First)
		}
		s.fault(Fault{File: s.file.Name, Until: FileHeaderSize, Rows: 0, What: err.Error()})
	}
	return s.frames()
}

func (s *scanner) frames() (res Result, err error) {
	res = Result{Good: FileHeaderSize}
	defer func() { res.Above = s.expect + s.lost }()
	at := int64(FileHeaderSize)
	for at < s.size {
		h, whole, why, err := s.read(at)
		if err != nil {
			return res, err
		}
		if !whole {
			next, err := s.resync(at)
			if err != nil {
				return res, err
			}
			s.bad(at, next, h, why)
			at = next
			continue
		}
		if h.Seq != s.expect {
			s.fault(Fault{File: s.file.Name, From: at, Until: at, Rows: -1, Frames: int64(h.Seq - s.expect),
				What: fmt.Sprintf("frame %d follows frame %d: frames are missing", h.Seq, int64(s.expect)-1)})
		}
		f := Frame{Header: h, File: s.file.Name, Offset: at, Body: s.body}
		if err := s.yield(f); err != nil {
			return res, err
		}
		s.expect = h.Seq + 1
		at += HeaderSize + int64(h.Length)
		res.Next, res.Good = h.Seq+1, at
	}
	return res, nil
}

// bad reports the bytes from at to next, which are not a frame, and steps the
// expected number over the frame they were where that can be told.
func (s *scanner) bad(at, next int64, h Header, why string) {
	f := Fault{File: s.file.Name, From: at, Until: next, Rows: -1, What: why}
	if h.Type != 0 {
		f.Rows = int64(h.Rows)
		if at+HeaderSize+int64(h.Length) == next {
			s.expect = h.Seq + 1 // exactly this frame is bad, no other is missing
		}
	}
	f.Torn = s.newest && next == s.size && s.torn(at, h)
	if !f.Torn {
		s.lost += uint64(next-at)/HeaderSize + 1
	}
	s.fault(f)
}

// read reads the frame at the given place into s.body. A header that could be read is
// returned even when the body is not whole.
func (s *scanner) read(at int64) (h Header, whole bool, why string, err error) {
	var head [HeaderSize]byte
	if n, err := s.in.ReadAt(head[:], at); n < HeaderSize {
		if errors.Is(err, io.EOF) {
			return h, false, "the file ends inside a frame's header", nil
		}
		return h, false, "", err
	}
	h, err = ParseHeader(head[:])
	if err != nil {
		return Header{}, false, err.Error(), nil
	}
	if at+HeaderSize+int64(h.Length) > s.size {
		return h, false, "the file ends inside a frame", nil
	}
	s.body = slices.Grow(s.body[:0], int(h.Length))[:h.Length]
	if n, err := s.in.ReadAt(s.body, at+HeaderSize); n < int(h.Length) {
		return h, false, "", err
	}
	if got := Castagnoli(s.body); got != h.Body {
		return h, false, fmt.Sprintf("frame %d: check sum is %08x, not %08x", h.Seq, got, h.Body), nil
	}
	return h, true, "", nil
}

// torn says whether what begins at the given place can be an unfinished write: it
// ends with the file, or in zeros that never got their content. A whole frame with a
// wrong check sum cannot.
func (s *scanner) torn(at int64, h Header) bool {
	end := at + HeaderSize
	if h.Type != 0 {
		end += int64(h.Length)
	}
	if end > s.size {
		return true
	}
	const sector = 512
	from := max(at, s.size-sector)
	tail := make([]byte, s.size-from)
	if _, err := s.in.ReadAt(tail, from); err != nil {
		return false
	}
	zeros := make([]byte, len(tail))
	return bytes.Equal(tail, zeros) && (len(tail) == sector || from == at)
}

// resync returns the place of the next whole frame behind a bad one, or the end of
// the file.
func (s *scanner) resync(bad int64) (int64, error) {
	var magic [4]byte
	binary.LittleEndian.PutUint32(magic[:], frameMagic)
	buf := make([]byte, 1<<20)
	for at := bad + 1; at < s.size; {
		n, err := s.in.ReadAt(buf, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		for i := 0; ; {
			j := bytes.Index(buf[i:n], magic[:])
			if j < 0 {
				break
			}
			if _, whole, _, err := s.read(at + int64(i+j)); err != nil {
				return 0, err
			} else if whole {
				return at + int64(i+j), nil
			}
			i += j + 1
		}
		if n < len(buf) {
			break
		}
		at += int64(n) - int64(len(magic)) + 1
	}
	return s.size, nil
}
