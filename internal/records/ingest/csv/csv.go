// Package csv reads address translations written as comma-separated values under one
// header row (RFC 4180, but that a field holds no line end). The header names the
// columns of package columns, in any order; an empty field is a value not known.
//
// A byte-order mark is passed over, and text that is not UTF-8 is read as GB18030,
// which spreadsheet programs here write. UTF-16, semicolons and tabulators are refused
// with what to do about it.
package csv

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/simplifiedchinese"

	"garrison"
	"garrison/evidence"
	"garrison/internal/records/ingest/columns"
	"garrison/internal/records/ingest/dialect"
)

// Decoder reads the rows under one header row. Not safe for concurrent use.
type Decoder struct {
	cols   []int
	texts  columns.Texts
	fields [][]byte
	buf    []byte
}

// NewDecoder reads the header row.
func NewDecoder(head []byte) (*Decoder, error) {
	if len(head) >= 2 && (head[0] == 0xff && head[1] == 0xfe || head[0] == 0xfe && head[1] == 0xff) {
		return nil, garrison.Errorf(garrison.Invalid, "csv: the file is in UTF-16; save it as \"CSV UTF-8\"")
	}
	head = bytes.TrimPrefix(head, []byte("\xef\xbb\xbf"))
	d := &Decoder{}
	if why := d.split(head); why != "" {
		return nil, garrison.Errorf(garrison.Invalid, "csv: header row: %s", why)
	}
	var seen int
	for _, f := range d.fields {
		name := bytes.ToLower(bytes.TrimSpace(f))
		col := columns.ByName(name)
		if col == 0 {
			return nil, unknownColumn(name, head)
		}
		if seen&col != 0 {
			return nil, garrison.Errorf(garrison.Invalid, "csv: header row: column %q stands twice", name)
		}
		seen |= col
		d.cols = append(d.cols, col)
	}
	if seen&columns.Required != columns.Required {
		return nil, garrison.Errorf(garrison.Invalid, "csv: header row: the columns %s are required, found %q",
			"start, proto, inside_ip, outside_ip, outside_port", clip(head))
	}
	return d, nil
}

func unknownColumn(name, head []byte) error {
	hint := "known are " + strings.Join(columns.Names(), ", ")
	if bytes.ContainsAny(head, ";\t") && !bytes.ContainsRune(head, ',') {
		hint = "columns are separated by commas"
	}
	return garrison.Errorf(garrison.Invalid, "csv: header row: column %q is not known; %s", clip(name), hint)
}

func clip(b []byte) []byte { return b[:min(len(b), 200)] }

// Decode reads one row into r and returns "", or the reason why it is refused.
func (d *Decoder) Decode(line []byte, r *evidence.NAT) string {
	if len(bytes.TrimSpace(line)) == 0 {
		return dialect.Empty
	}
	if !utf8.Valid(line) {
		out, err := simplifiedchinese.GB18030.NewDecoder().Bytes(line)
		if err != nil || bytes.ContainsRune(out, utf8.RuneError) {
			return columns.BadText + ": neither UTF-8 nor GB18030"
		}
		line = out
	}
	if why := d.split(line); why != "" {
		return columns.BadRow + ": " + why
	}
	if len(d.fields) != len(d.cols) {
		return fmt.Sprintf("%s: %d fields under %d columns", columns.BadRow, len(d.fields), len(d.cols))
	}
	set := 0
	for i, f := range d.fields {
		if f = trim(f); len(f) == 0 {
			continue
		}
		if why := d.texts.Set(d.cols[i], f, r); why != "" {
			return why
		}
		set |= d.cols[i]
	}
	return columns.Finish(set, r)
}

func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

const maxFields = 64

// split cuts a row into d.fields, which point into it or into d.buf.
func (d *Decoder) split(b []byte) string {
	d.fields, d.buf = d.fields[:0], d.buf[:0]
	if cap(d.buf) < len(b) {
		d.buf = make([]byte, 0, len(b)) // never grown below: fields point into it
	}
	for {
		if len(d.fields) == maxFields {
			return fmt.Sprintf("more than %d fields", maxFields)
		}
		if len(b) > 0 && b[0] == '"' {
			field, rest, ok := d.quoted(b[1:])
			if !ok {
				return "a quote is not closed or not followed by a comma"
			}
			d.fields = append(d.fields, field)
			if b = rest; len(b) == 0 {
				return ""
			}
			b = b[1:]
			continue
		}
		i := bytes.IndexByte(b, ',')
		if i < 0 {
			d.fields = append(d.fields, b)
			return ""
		}
		d.fields = append(d.fields, b[:i])
		b = b[i+1:]
	}
}

// quoted reads up to the closing quote; what follows begins with a comma or is empty.
func (d *Decoder) quoted(b []byte) (field, rest []byte, ok bool) {
	start := len(d.buf)
	for i := 0; i < len(b); i++ {
		if b[i] != '"' {
			d.buf = append(d.buf, b[i])
			continue
		}
		if i+1 < len(b) && b[i+1] == '"' {
			d.buf = append(d.buf, '"')
			i++
			continue
		}
		rest = b[i+1:]
		return d.buf[start:], rest, len(rest) == 0 || rest[0] == ','
	}
	return nil, nil, false
}
