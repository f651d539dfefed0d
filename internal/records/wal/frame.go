package wal

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// Type says what a frame is.
type Type uint8

const (
	Batch Type = 1 // rows, refused lines and losses of one source
	Watch Type = 2 // the second is over; somebody was there
	Seal  Type = 3 // a chunk's root is in the ledger
	Begin Type = 4 // the store started
	End   Type = 5 // the store stopped in order
)

const (
	// HeaderSize is the size of a frame's header.
	HeaderSize = 40
	// MaxBody is the most bytes a frame's body can have.
	MaxBody = 96 << 20

	frameMagic   = 0x46574731 // "1GWF"
	frameVersion = 1
)

// Header is what stands before a frame's body.
type Header struct {
	Type   Type
	Shard  uint16
	Length uint32 // of the body
	Rows   uint32 // records in the body, so that a damaged body still says how many it held
	Seq    uint64 // frames of the shard before this one
	Second int64  // received second
	Body   uint32 // CRC32C of the body
}

// Castagnoli returns the CRC32C of b.
func Castagnoli(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// Append appends the header's bytes to dst.
func (h Header) Append(dst []byte) []byte {
	at := len(dst)
	le := binary.LittleEndian
	dst = le.AppendUint32(dst, frameMagic)
	dst = append(dst, byte(h.Type), frameVersion)
	dst = le.AppendUint16(dst, h.Shard)
	dst = le.AppendUint32(dst, h.Length)
	dst = le.AppendUint32(dst, h.Rows)
	dst = le.AppendUint64(dst, h.Seq)
	dst = le.AppendUint64(dst, uint64(h.Second))
	dst = le.AppendUint32(dst, h.Body)
	return le.AppendUint32(dst, Castagnoli(dst[at:]))
}

// ParseHeader reads a frame's header.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderSize {
		return Header{}, fmt.Errorf("frame header has %d bytes, not %d", len(b), HeaderSize)
	}
	le := binary.LittleEndian
	if got, want := Castagnoli(b[:HeaderSize-4]), le.Uint32(b[HeaderSize-4:]); got != want {
		return Header{}, fmt.Errorf("frame header check sum is %08x, not %08x", got, want)
	}
	if le.Uint32(b) != frameMagic || b[5] != frameVersion {
		return Header{}, fmt.Errorf("frame header has magic %08x and version %d", le.Uint32(b), b[5])
	}
	h := Header{
		Type: Type(b[4]), Shard: le.Uint16(b[6:]), Length: le.Uint32(b[8:]), Rows: le.Uint32(b[12:]),
		Seq: le.Uint64(b[16:]), Second: int64(le.Uint64(b[24:])), Body: le.Uint32(b[32:]),
	}
	if h.Length > MaxBody {
		return Header{}, fmt.Errorf("frame body has %d bytes, more than %d", h.Length, MaxBody)
	}
	return h, nil
}

// FileHeader opens every write-ahead file.
type FileHeader struct {
	Shard uint16
	First uint64 // number of the first frame
}

const (
	// FileHeaderSize is the size of a file's header.
	FileHeaderSize = 24
	fileMagic      = "GARRWAL1"
)

// Append appends the header's bytes to dst.
func (h FileHeader) Append(dst []byte) []byte {
	at := len(dst)
	dst = append(dst, fileMagic...)
	dst = binary.LittleEndian.AppendUint16(dst, h.Shard)
	dst = append(dst, 0, 0)
	dst = binary.LittleEndian.AppendUint64(dst, h.First)
	return binary.LittleEndian.AppendUint32(dst, Castagnoli(dst[at:]))
}

// ParseFileHeader reads a file's header.
func ParseFileHeader(b []byte) (FileHeader, error) {
	if len(b) < FileHeaderSize {
		return FileHeader{}, fmt.Errorf("file has %d bytes, less than its header", len(b))
	}
	if string(b[:8]) != fileMagic {
		return FileHeader{}, fmt.Errorf("file begins with %q, not %q", b[:8], fileMagic)
	}
	le := binary.LittleEndian
	if got, want := Castagnoli(b[:20]), le.Uint32(b[20:]); got != want {
		return FileHeader{}, fmt.Errorf("file header check sum is %08x, not %08x", got, want)
	}
	return FileHeader{Shard: le.Uint16(b[8:]), First: le.Uint64(b[12:])}, nil
}

// FileName returns the name of the file of shard that begins with frame first.
func FileName(shard int, first uint64) string { return fmt.Sprintf("%02d-%016d.wal", shard, first) }

// ParseFileName takes a file's name apart.
func ParseFileName(name string) (shard int, first uint64, ok bool) {
	if _, err := fmt.Sscanf(name, "%02d-%016d.wal", &shard, &first); err != nil {
		return 0, 0, false
	}
	return shard, first, FileName(shard, first) == name
}
