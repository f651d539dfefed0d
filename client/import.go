package client

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"garrison"
)

// One part of an import: small enough to be stored in one piece, large enough that
// the round trip does not count.
const (
	partLines = 4000
	partBytes = 4 << 20
	lineHead  = 128 << 10 // what is sent of a line that no format allows; the server refuses it as too long
)

// retryFor is how long an import waits for a server that does not answer.
const retryFor = 60 * time.Second

// ImportOptions says what is imported.
type ImportOptions struct {
	Kind, Format string
	Source       string // name of the source the records are put down to; empty: "import"
	Zone         string // IANA zone of times that carry none; empty: Asia/Shanghai
	// Refused takes one JSON line for every line that was not stored.
	Refused io.Writer
	// Progress is told after every part; may be nil.
	Progress func(ImportSum)
}

// ImportSum is the account of an import: Read = Stored + Refused.
type ImportSum struct {
	Read    int `json:"read"`
	Stored  int `json:"stored"`
	Refused int `json:"refused"`
	Already int `json:"already"` // of Stored: were there from an earlier import of the same lines
}

// refusedLine is one line of the refused file.
type refusedLine struct {
	Number int    `json:"number"`
	Why    string `json:"why"`
	Line   string `json:"line"`
}

// Import reads lines from r and stores them part by part. Every part has an
// idempotency key made from what it is and where it stands, so that an import which
// was cut off can be repeated from the start: what is stored already is recognised.
// The sum is right also when an error is returned.
func (c *Client) Import(ctx context.Context, r io.Reader, o ImportOptions) (ImportSum, error) {
	var sum ImportSum
	in := bufio.NewReaderSize(r, 256<<10)
	var header []byte
	if o.Format == "csv" {
		line, err := readLine(in)
		if err != nil && !errors.Is(err, io.EOF) {
			return sum, fmt.Errorf("read header: %w", err)
		}
		header = line
	}
	for part, line := 0, 1; ; part++ {
		body, lines, readErr := readPart(in)
		if lines > 0 {
			d, err := c.deliver(ctx, o, part, append(append([]byte(nil), header...), body...))
			if err != nil {
				return sum, fmt.Errorf("lines from %d on were not stored: %w; repeat the import, what is stored will be recognised", line, err)
			}
			if err := sum.add(d, o.Refused, line); err != nil {
				return sum, err
			}
			if o.Progress != nil {
				o.Progress(sum)
			}
		}
		line += lines
		if errors.Is(readErr, io.EOF) {
			return sum, nil
		} else if readErr != nil {
			return sum, fmt.Errorf("read from line %d: %w", line, readErr)
		}
	}
}

func (s *ImportSum) add(d Delivery, refused io.Writer, first int) error {
	s.Read += d.Read
	s.Stored += d.Stored
	s.Refused += d.Refused
	if d.Already {
		s.Already += d.Stored
	}
	if d.Read != d.Stored+d.Refused {
		return fmt.Errorf("the server's account does not balance: read %d, stored %d, refused %d", d.Read, d.Stored, d.Refused)
	}
	if refused == nil {
		return nil
	}
	enc := json.NewEncoder(refused)
	for _, f := range d.Refusals {
		n := first + f.Number - 1 // of CSV the header row is line 1 of every part, and of the file
		if err := enc.Encode(refusedLine{Number: n, Why: f.Why, Line: f.Line}); err != nil {
			return fmt.Errorf("write refused line %d: %w", n, err)
		}
	}
	return nil
}

// readPart reads whole lines up to the limits of a part.
func readPart(in *bufio.Reader) (body []byte, lines int, err error) {
	for lines < partLines && len(body) < partBytes {
		line, err := readLine(in)
		if len(line) > 0 {
			body = append(body, line...)
			lines++
		}
		if err != nil {
			return body, lines, err
		}
	}
	return body, lines, nil
}

// readLine reads one line with its end; of one that is too long, the head and an end.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	cut := false
	for {
		piece, err := in.ReadSlice('\n')
		if room := lineHead - len(line); len(piece) > room {
			piece, cut = piece[:room], true
		}
		line = append(line, piece...)
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if cut {
			line = append(line, '\n')
		}
		return line, err
	}
}

// deliver sends one part and waits, for a while, for a server that is away.
func (c *Client) deliver(ctx context.Context, o ImportOptions, part int, body []byte) (Delivery, error) {
	h := sha256.New()
	fmt.Fprintf(h, "garrison-import/1\n%s\n%s\n%s\n%s\n%d\n", o.Kind, o.Format, o.Source, o.Zone, part)
	h.Write(body)
	r := request{
		method:      "POST",
		path:        "/api/records",
		query:       url.Values{"kind": {o.Kind}, "format": {o.Format}, "source": {o.Source}, "zone": {o.Zone}},
		body:        body,
		contentType: "text/plain; charset=utf-8",
		header:      map[string]string{"Idempotency-Key": hex.EncodeToString(h.Sum(nil))},
	}
	deadline := time.Now().Add(retryFor)
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 3*time.Second) {
		var d Delivery
		err := c.call(ctx, r, &d)
		if garrison.CodeOf(err) != garrison.Unavailable || time.Now().After(deadline) {
			return d, err
		}
		c.find()
		select {
		case <-ctx.Done():
			return d, ctx.Err()
		case <-time.After(pause):
		}
	}
}
