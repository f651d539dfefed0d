package probe

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"sort"
	"strings"
)

// Bounds of what transcripts keep of a head.
const (
	maxKeptHeader = 4 << 10
	maxKeptValue  = 512
)

// wanted are the fields that judgements are made from: they are kept first, so that a
// server cannot push them out with others.
var wanted = []string{"Content-Type", "Location", "Strict-Transport-Security", "Content-Encoding", "Content-Length", "Retry-After", "Server", "Date"}

// content is what was read of one answer's body.
type content struct {
	data  []byte
	wire  int64
	limit Limit // "": it is complete
}

// counter counts what is read through it.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// readBody reads through the limits; declared lengths are not believed. It never
// fails: what could not be read is a limit that was hit.
func readBody(resp *http.Response, limit int64) content {
	wire := &counter{r: io.LimitReader(resp.Body, limit+1)}
	var src io.Reader = wire
	var c content
	encoding := strings.ToLower(strings.TrimSpace(resp.Header.Get("Content-Encoding")))
	switch encoding {
	case "", "identity":
	case "gzip", "x-gzip":
		z, err := gzip.NewReader(wire)
		if err != nil {
			return content{wire: wire.n, limit: cutBy(err, LimitEncoding)}
		}
		src = z
	default:
		return content{limit: LimitEncoding}
	}
	var err error
	c.data, err = io.ReadAll(io.LimitReader(src, limit+1))
	c.wire = wire.n
	switch {
	case int64(len(c.data)) > limit && src != io.Reader(wire) && wire.n <= limit:
		c.data, c.limit = c.data[:limit], LimitDecoded
	case int64(len(c.data)) > limit:
		c.data, c.limit = c.data[:limit], LimitBody
	case wire.n > limit:
		c.limit = LimitBody
	case err != nil && src != io.Reader(wire):
		c.limit = cutBy(err, LimitEncoding)
	case err != nil:
		c.limit = cutBy(err, LimitIncomplete)
	}
	return c
}

// cutBy names what ended a body early: the clock, or else.
func cutBy(err error, otherwise Limit) Limit {
	var netErr net.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded),
		errors.Is(err, context.Canceled), errors.As(err, &netErr) && netErr.Timeout():
		return LimitTime
	case errors.Is(err, io.ErrUnexpectedEOF):
		return LimitIncomplete
	}
	return otherwise
}

// keepHeader returns h within bounds. Cookies are values that let somebody in, so
// only their presence is kept.
func keepHeader(h http.Header) http.Header {
	rest := make([]string, 0, len(h))
	for n := range h {
		rest = append(rest, n)
	}
	sort.Strings(rest)
	out, room := http.Header{}, maxKeptHeader
	for _, n := range append(slices.Clone(wanted), rest...) {
		if out[n] != nil {
			continue
		}
		for i, v := range h[n] {
			if n == "Set-Cookie" {
				v = "(not kept)"
			}
			v = strings.ToValidUTF8(v, "?")
			if len(v) > maxKeptValue {
				v = strings.ToValidUTF8(v[:maxKeptValue], "") + "…"
			}
			if room -= len(n) + len(v); room < 0 || i >= 8 {
				break
			}
			out[n] = append(out[n], v)
		}
	}
	return out
}
