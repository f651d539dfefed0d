package evidence

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
)

// A bundle file is a tar archive (POSIX ustar) of which every byte is determined by
// the names and contents of its parts. So the reader needs no tar library: it makes
// each header itself and compares.

const (
	// MaxBundle is the most bytes a bundle file can have.
	MaxBundle = 256 << 20

	maxIndex = 32 << 20
	maxParts = 200_000
	block    = 512

	indexName = "index"
	indexHead = "garrison/bundle/v1\n"
)

// part is one file of a bundle.
type part struct {
	name string
	data []byte
}

// tarHeader returns the header block of a file: owner 0, mode 0644, time 0.
func tarHeader(name string, size int64) []byte {
	h := make([]byte, block)
	copy(h[0:100], name)
	copy(h[100:], "0000644\x000000000\x000000000\x00")
	copy(h[124:], fmt.Sprintf("%011o\x0000000000000\x00", size))
	copy(h[148:], "        ")
	h[156] = '0'
	copy(h[257:], "ustar\x0000")
	copy(h[329:], "0000000\x000000000\x00")
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	return h
}

func padding(size int64) int64 { return -size & (block - 1) }

// entrySize is what a file takes in the archive.
func entrySize(size int64) int64 { return block + size + padding(size) }

// listed is one line of the index.
type listed struct {
	name   string
	size   int64
	digest [32]byte
}

func indexText(list []listed) []byte {
	var b bytes.Buffer
	b.WriteString(indexHead)
	for _, l := range list {
		fmt.Fprintf(&b, "%x %d %s\n", l.digest, l.size, l.name)
	}
	fmt.Fprintf(&b, "%x %d %s\n", sha256.Sum256(b.Bytes()), b.Len(), indexName)
	return b.Bytes()
}

func writeArchive(w io.Writer, parts []part) error {
	if len(parts) > maxParts {
		return fmt.Errorf("%d parts, more than %d", len(parts), maxParts)
	}
	list := make([]listed, len(parts))
	total := int64(2 * block)
	for i, p := range parts {
		list[i] = listed{p.name, int64(len(p.data)), sha256.Sum256(p.data)}
		total += entrySize(list[i].size)
	}
	index := indexText(list)
	if total += entrySize(int64(len(index))); total > MaxBundle || len(index) > maxIndex {
		return fmt.Errorf("the bundle would have %d bytes, more than %d", total, MaxBundle)
	}
	for _, p := range append([]part{{indexName, index}}, parts...) {
		size := int64(len(p.data))
		for _, piece := range [][]byte{tarHeader(p.name, size), p.data, make([]byte, padding(size))} {
			if _, err := w.Write(piece); err != nil {
				return err
			}
		}
	}
	_, err := w.Write(make([]byte, 2*block))
	return err
}

// readArchive yields the parts of a bundle file in order. It reads nothing longer
// than the file and the limits allow, whatever is declared.
func readArchive(r io.ReaderAt, size int64, yield func(part) error) error {
	if size > MaxBundle {
		return Problem{"file", BadLimit, fmt.Sprintf("it has %d bytes, more than %d", size, MaxBundle)}
	}
	a := archive{r: r, size: size}
	list, err := a.index()
	if err != nil {
		return err
	}
	for _, l := range list {
		data, err := a.part(l)
		if err != nil {
			return err
		}
		if err := yield(part{l.name, data}); err != nil {
			return err
		}
	}
	return a.end()
}

// archive reads one file after the other.
type archive struct {
	r        io.ReaderAt
	size, at int64
}

// take returns the next n bytes; the caller has made sure that n is bounded.
func (a *archive) take(n int64, name string) ([]byte, error) {
	if n > a.size-a.at {
		return nil, Problem{name, BadFile, fmt.Sprintf("the file ends %d bytes too early", n-(a.size-a.at))}
	}
	b := make([]byte, n)
	got, err := a.r.ReadAt(b, a.at)
	if int64(got) < n {
		if err == nil || errors.Is(err, io.EOF) {
			return nil, Problem{name, BadFile, "the file ends too early"}
		}
		return nil, fmt.Errorf("read bundle: %w", err)
	}
	a.at += n
	return b, nil
}

// file reads one file of the archive whose size is known.
func (a *archive) file(name string, size int64) ([]byte, error) {
	head, err := a.take(block, name)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(head, tarHeader(name, size)) {
		return nil, Problem{name, BadBytes, "its header in the archive was changed"}
	}
	data, err := a.take(size+padding(size), name)
	if err != nil {
		return nil, err
	}
	if len(bytes.Trim(data[size:], "\x00")) > 0 {
		return nil, Problem{name, BadBytes, "the filling after it was changed"}
	}
	return data[:size:size], nil
}

// part reads one part and compares it with the index.
func (a *archive) part(l listed) ([]byte, error) {
	if most := int64(partLimit(l.name)); l.size > most {
		return nil, Problem{l.name, BadLimit, fmt.Sprintf("it has %d bytes, more than %d", l.size, most)}
	}
	data, err := a.file(l.name, l.size)
	if err != nil {
		return nil, err
	}
	if sha256.Sum256(data) != l.digest {
		return nil, Problem{l.name, BadBytes, "its bytes are not those that the index lists"}
	}
	return data, nil
}

// index reads the first file, which lists the others.
func (a *archive) index() ([]listed, error) {
	head, err := a.take(block, indexName)
	if err != nil {
		return nil, err
	}
	var size int64
	_, err = fmt.Sscanf(string(head[124:135]), "%o", &size)
	if err != nil || size < 0 || !bytes.Equal(head, tarHeader(indexName, size)) {
		return nil, Problem{indexName, BadFile, "this is not a bundle, or the header of its index was changed"}
	}
	if size > maxIndex {
		return nil, Problem{indexName, BadLimit, fmt.Sprintf("it has %d bytes, more than %d", size, maxIndex)}
	}
	a.at = 0
	data, err := a.file(indexName, size)
	if err != nil {
		return nil, err
	}
	list, err := parseIndex(string(data))
	if err != nil {
		return nil, Problem{indexName, BadBytes, err.Error()}
	}
	return list, nil
}

func parseIndex(text string) ([]listed, error) {
	rest, ok := strings.CutPrefix(text, indexHead)
	if !ok {
		return nil, fmt.Errorf("it does not start with %q", indexHead)
	}
	if strings.Count(rest, "\n") > maxParts+1 {
		return nil, fmt.Errorf("it lists more than %d parts", maxParts)
	}
	var list []listed
	for rest != "" {
		var line string
		line, rest, _ = strings.Cut(rest, "\n")
		digest, tail, _ := strings.Cut(line, " ")
		size, name, _ := strings.Cut(tail, " ")
		h, err := parseHex(digest)
		if err != nil {
			return nil, err
		}
		n, err := parseNumber(size)
		if err != nil {
			return nil, err
		}
		list = append(list, listed{name, int64(n), h})
	}
	if len(list) == 0 {
		return nil, errors.New("it lists nothing")
	}
	list = list[:len(list)-1] // the last line is about the lines before it
	if string(indexText(list)) != text {
		return nil, errors.New("its last line does not fit the lines before it")
	}
	return list, checkOrder(list)
}

// checkOrder checks that the parts are those of a bundle, each kind at its place.
func checkOrder(list []listed) error {
	if len(list) < 2 || list[0].name != "statement" || list[1].name != "checkpoint" {
		return errors.New("it does not list statement and checkpoint first")
	}
	for i, l := range list[2:] {
		before, rank := list[i+1], partRank(l.name)
		switch {
		case rank < 2 || len(l.name) > 100:
			return fmt.Errorf("it lists %.120q, which is no part to stand here", l.name)
		// Order within entries and samples shows in their content, see addPart.
		case rank < partRank(before.name), rank == partRank("transcript/x") && l.name <= before.name:
			return fmt.Errorf("it lists %q after %q", l.name, before.name)
		}
	}
	return nil
}

// end checks what follows the last part: two blocks of zeroes and nothing else.
func (a *archive) end() error {
	b, err := a.take(2*block, "file")
	if err != nil {
		return err
	}
	if len(bytes.Trim(b, "\x00")) > 0 {
		return Problem{"file", BadBytes, "the end of the archive was changed"}
	}
	if a.at != a.size {
		return Problem{"file", BadFile, fmt.Sprintf("%d bytes follow the end of the archive", a.size-a.at)}
	}
	return nil
}
