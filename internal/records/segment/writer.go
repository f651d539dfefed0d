package segment

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"path/filepath"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"garrison/internal/records/rows"
	"garrison/internal/state/atomicfile"
)

// Part is one Parquet file of a segment.
type Part struct {
	Class    string `json:"class"` // short | long | open
	File     string `json:"file"`  // name within the segment's folder
	Rows     int64  `json:"rows"`
	Bytes    int64  `json:"bytes"`
	SHA256   string `json:"sha256"`
	Tail     int64  `json:"tail"` // where page indexes and footer begin
	TailSHA  string `json:"tail_sha256"`
	MinStart int64  `json:"min_start"` // Unix ms, of the times in which rows are certain
	MaxEnd   int64  `json:"max_end"`
	MaxCount int    `json:"max_count"` // ports of the widest block beyond the first
	MinIP    int64  `json:"min_ip"`    // outside_ip
	MaxIP    int64  `json:"max_ip"`
}

// Builder writes the Parquet files of one segment.
type Builder struct {
	dir, stem string
	lag       bool
	parts     [rows.Classes]*partWriter
}

type partWriter struct {
	part Part
	file *atomicfile.File
	buf  *bufio.Writer
	sum  hash.Hash
	out  *parquet.GenericWriter[record]
	rows []record
}

// NewBuilder starts a segment whose files lie in dir and are called STEM-CLASS.parquet.
// lag says how reception is written, see [PreferLag].
func NewBuilder(dir, stem string, lag bool) *Builder {
	return &Builder{dir: dir, stem: stem, lag: lag}
}

// Add appends a row of t; all rows of a segment come in canonical order.
func (b *Builder) Add(t *rows.Table, r *rows.Row) error {
	class := r.Class()
	p := b.parts[class]
	if p == nil {
		var err error
		if p, err = b.create(class); err != nil {
			return err
		}
		b.parts[class] = p
	}
	p.note(t, r)
	p.rows = append(p.rows, record{})
	toRecord(t, r, b.lag, &p.rows[len(p.rows)-1])
	if len(p.rows) < cap(p.rows) {
		return nil
	}
	return p.flush()
}

func (b *Builder) create(class rows.Class) (*partWriter, error) {
	name := b.stem + "-" + class.String() + ".parquet"
	file, err := atomicfile.Create(filepath.Join(b.dir, name), 0o600)
	if err != nil {
		return nil, err
	}
	p := &partWriter{
		part: Part{Class: class.String(), File: name, MinStart: math.MaxInt64, MaxEnd: math.MinInt64, MinIP: math.MaxInt64, MaxIP: math.MinInt64},
		file: file, sum: sha256.New(), rows: make([]record, 0, 1024),
	}
	p.buf = bufio.NewWriterSize(io.MultiWriter(file, p.sum), 256<<10)
	received := receivedFull
	if b.lag {
		received = receivedLag
	}
	p.out = parquet.NewGenericWriter[record](p.buf,
		parquet.Compression(&zstd.Codec{Level: zstd.SpeedBetterCompression, Concurrency: 1}),
		parquet.MaxRowsPerRowGroup(RowsPerGroup),
		parquet.PageBufferSize(pageBytes),
		parquet.DictionaryMaxBytes(maxDict),
		parquet.BloomFilters(parquet.SplitBlockFilter(10, "line"), parquet.SplitBlockFilter(10, "dst_ip")),
		parquet.CreatedBy("garrison", "1", ""),
		parquet.KeyValueMetadata(metaKind, "nat"),
		parquet.KeyValueMetadata(metaClass, class.String()),
		parquet.KeyValueMetadata(metaReceived, received),
	)
	return p, nil
}

func (p *partWriter) note(t *rows.Table, r *rows.Row) {
	from, until := r.Span()
	ip := SortKey(t.IP(r.Out, r.OutFam))
	p.part.Rows++
	p.part.MinStart, p.part.MaxEnd = min(p.part.MinStart, from), max(p.part.MaxEnd, until)
	p.part.MinIP, p.part.MaxIP = min(p.part.MinIP, ip), max(p.part.MaxIP, ip)
	p.part.MaxCount = max(p.part.MaxCount, int(r.OutLast)-int(r.OutPort))
}

func (p *partWriter) flush() error {
	if len(p.rows) == 0 {
		return nil
	}
	_, err := p.out.Write(p.rows)
	p.rows = p.rows[:0]
	if err != nil {
		return fmt.Errorf("write %q: %w", p.part.File, err)
	}
	return nil
}

// Finish makes the files appear, durable on return, and describes them.
func (b *Builder) Finish() ([]Part, error) {
	var parts []Part
	for _, p := range b.parts {
		if p == nil {
			continue
		}
		if err := p.finish(b.dir); err != nil {
			return nil, errors.Join(err, b.Abort())
		}
		parts = append(parts, p.part)
	}
	return parts, nil
}

func (p *partWriter) finish(dir string) error {
	if err := errors.Join(p.flush(), p.out.Close(), p.buf.Flush()); err != nil {
		return fmt.Errorf("finish %q: %w", p.part.File, err)
	}
	p.part.SHA256 = hex.EncodeToString(p.sum.Sum(nil))
	if err := p.file.Commit(); err != nil {
		return err
	}
	f, err := openRaw(filepath.Join(dir, p.part.File))
	if err != nil {
		return err
	}
	defer f.close()
	p.part.Bytes = f.size
	p.part.Tail = f.tailOffset()
	p.part.TailSHA, err = f.tailSum(p.part.Tail)
	return err
}

// Abort leaves nothing unfinished behind; files that Finish made stay for the store
// to remove.
func (b *Builder) Abort() error {
	var errs []error
	for _, p := range b.parts {
		if p != nil {
			errs = append(errs, p.file.Close())
		}
	}
	return errors.Join(errs...)
}

// Reception counts how reception times spread, to choose how to write them.
type Reception struct {
	seconds, lags map[int64]struct{}
}

// NewReception returns an empty count.
func NewReception() *Reception {
	return &Reception{seconds: map[int64]struct{}{}, lags: map[int64]struct{}{}}
}

// Add counts one row.
func (c *Reception) Add(r *rows.Row) {
	const enough = 1 << 16
	if len(c.lags) < enough {
		c.lags[int64(r.Received)-lagBase(r.Start, r.End)] = struct{}{}
	}
	if len(c.seconds) < enough {
		c.seconds[int64(r.Received)] = struct{}{}
	}
}

// Lag says that fewer bytes are needed for the time between a mapping's end and its
// reception than for the reception: a live source sends within seconds, an import
// long afterwards.
func (c *Reception) Lag() bool { return len(c.lags) < len(c.seconds) }
