package ingest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"garrison"
	"garrison/evidence"
	"garrison/internal/records/ingest/csv"
	"garrison/internal/records/ingest/dialect"
	"garrison/internal/records/ingest/jsonl"
)

// Formats of files that [Read] understands.
const (
	FormatJSONL  = "jsonl"
	FormatCSV    = "csv"
	FormatSyslog = "syslog"
)

// FileOptions say how to read what a file leaves open.
type FileOptions struct {
	Source    string    // Source of every record
	Zone      string    // of times that carry none; empty: Asia/Shanghai
	Dialect   string    // tried first, see SourceSettings
	Reference time.Time // a time without a year is taken nearest to this; zero: now
	MaxLine   int       // bytes a line may have; 0: 64 KiB
}

// Item is one line of a file: a record, or the reason why it is none. It is valid
// until yield returns.
type Item struct {
	Line int           // number of the line, from 1; the header row of a CSV file is counted
	Text []byte        // the line; of one that is too long, its head
	NAT  *evidence.NAT // nil: refused
	Why  string        // the reason, beginning with its code ("bad_address: …")
}

// Read gives every line of r to yield, in order, as a record or refused: there is no
// third way. It stops at yield's first error. A line of a file is never marked for a
// wrong clock: that it is older than its reading says nothing.
func Read(ctx context.Context, r io.Reader, format string, o FileOptions, yield func(Item) error) error {
	if o.MaxLine == 0 {
		o.MaxLine = 64 << 10
	}
	lines := &lineReader{r: bufio.NewReaderSize(r, max(o.MaxLine+1, 256<<10)), max: o.MaxLine}
	decode, err := fileDecoder(lines, format, o)
	if err != nil {
		return err
	}
	var rec evidence.NAT
	for {
		line, tooLong, err := lines.next()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read line %d: %w", lines.n+1, err)
		}
		if lines.n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		it := Item{Line: lines.n, Text: line, Why: dialect.TooLong}
		if !tooLong {
			rec = evidence.NAT{Source: o.Source}
			it.Why = decode(line, &rec)
		}
		if it.Why == "" {
			it.NAT = &rec
		}
		if err := yield(it); err != nil {
			return err
		}
	}
}

func fileDecoder(lines *lineReader, format string, o FileOptions) (func([]byte, *evidence.NAT) string, error) {
	switch format {
	case FormatJSONL:
		d := jsonl.NewDecoder()
		return d.Decode, nil
	case FormatCSV:
		head, _, err := lines.next()
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read the header row: %w", err)
		}
		d, err := csv.NewDecoder(head)
		if err != nil {
			return nil, err
		}
		return d.Decode, nil
	case FormatSyslog:
		zone, err := loadZone(o.Zone, "Asia/Shanghai")
		if err != nil {
			return nil, err
		}
		if o.Reference.IsZero() {
			o.Reference = time.Now()
		}
		d := newLineDecoder(zone, o.Dialect)
		return func(line []byte, r *evidence.NAT) string { return d.fromFile(line, o.Reference, r) }, nil
	}
	return nil, garrison.Errorf(garrison.Invalid, "format %q is none of jsonl, csv, syslog", format)
}

func loadZone(name, otherwise string) (*time.Location, error) {
	if name == "" {
		name = otherwise
	}
	z, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		return nil, garrison.Errorf(garrison.Invalid, "time zone %q is not known (example: Asia/Shanghai)", name)
	}
	return z, nil
}

// lineReader cuts a stream into lines; of one that is too long it keeps the head.
type lineReader struct {
	r   *bufio.Reader
	max int
	n   int // lines given out
}

func (l *lineReader) next() (line []byte, tooLong bool, err error) {
	line, err = l.r.ReadSlice('\n')
	if len(line) == 0 {
		return nil, false, err
	}
	l.n++
	if err == nil || errors.Is(err, io.EOF) { // a last line without its end is a line
		if len(line) > 0 && line[len(line)-1] == '\n' {
			line = line[:len(line)-1]
		}
		if len(line) > 0 && line[len(line)-1] == '\r' {
			line = line[:len(line)-1]
		}
		return line[:min(len(line), l.max)], len(line) > l.max, nil
	}
	if !errors.Is(err, bufio.ErrBufferFull) {
		return nil, false, err
	}
	head := append([]byte(nil), line[:l.max]...)
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = l.r.ReadSlice('\n')
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, false, err
	}
	return head, true, nil
}
