package syslog

import "bytes"

// Kind says what [Framer.Next] found.
type Kind uint8

const (
	More  Kind = iota // nothing whole yet
	Whole             // a frame
	Long              // the head of a frame that is longer than a frame may be; its rest is passed over
)

const (
	headBytes  = 1024     // kept of a frame that is too long
	maxCounted = 16 << 20 // a larger count is no count
	firstSpace = 16 << 10
)

// Framer cuts a stream into frames. Both framings of RFC 6587 are told apart at the
// start of each frame: a number, a blank and "<" is an octet count (§3.4.1), anything
// else ends with a line feed (§3.4.2). After a frame that is too long or broken it
// finds its place again at the next frame or line.
type Framer struct {
	buf       []byte
	r, w      int
	max       int
	skip      int  // bytes of a counted frame still to pass over
	skipLine  bool // up to the next line feed
	afterward bool // a counted frame has just ended: a line feed after it is slack
}

// NewFramer returns a framer for frames of up to max bytes.
func NewFramer(max int) *Framer {
	return &Framer{max: max, buf: make([]byte, min(firstSpace, max+64))}
}

// Space returns where to read the stream into; it is never empty once Next has
// answered More. Frames given out before are no longer valid.
func (f *Framer) Space() []byte {
	if f.r > 0 {
		copy(f.buf, f.buf[f.r:f.w])
		f.w -= f.r
		f.r = 0
	}
	if f.w == len(f.buf) || (len(f.buf) < f.max+64 && f.w > len(f.buf)/2) {
		next := make([]byte, min(len(f.buf)*2, f.max+headBytes+64))
		if len(next) > len(f.buf) {
			copy(next, f.buf[:f.w])
			f.buf = next
		}
	}
	return f.buf[f.w:]
}

// Wrote says that n bytes were read into Space.
func (f *Framer) Wrote(n int) { f.w += n }

// Pending says whether a frame was begun and has not ended.
func (f *Framer) Pending() bool { return f.w > f.r || f.skip > 0 || f.skipLine }

// Next returns the next frame without its framing. It is valid until Space.
func (f *Framer) Next() ([]byte, Kind) {
	for {
		if !f.passOver() {
			return nil, More
		}
		b := f.buf[f.r:f.w]
		if f.afterward && (b[0] == '\n' || b[0] == '\r') {
			f.r++
			continue
		}
		f.afterward = false
		n, head, st := octetCount(b)
		switch st {
		case undecided:
			return nil, More
		case counted:
			return f.counted(b[head:], n, head)
		}
		i := bytes.IndexByte(b, '\n')
		switch {
		case i >= 0 && i <= f.max:
			f.r += i + 1
			return b[:i], Whole
		case i >= 0:
			f.r += i + 1
			return b[:headBytes], Long
		case len(b) > f.max:
			f.r, f.skipLine = f.w, true
			return b[:headBytes], Long
		}
		return nil, More
	}
}

// passOver drops what belongs to a frame that was too long; false: more is needed.
func (f *Framer) passOver() bool {
	if f.skip > 0 {
		n := min(f.skip, f.w-f.r)
		f.r += n
		f.skip -= n
		f.afterward = true
	}
	if f.skipLine {
		i := bytes.IndexByte(f.buf[f.r:f.w], '\n')
		if i < 0 {
			f.r = f.w
			return false
		}
		f.r, f.skipLine = f.r+i+1, false
	}
	return f.r < f.w
}

func (f *Framer) counted(b []byte, n, head int) ([]byte, Kind) {
	switch {
	case n > f.max && len(b) >= min(n, headBytes):
		keep := min(n, headBytes)
		f.r += head + keep
		f.skip, f.afterward = n-keep, true
		return b[:keep], Long
	case n <= f.max && len(b) >= n:
		f.r += head + n
		f.afterward = true
		return b[:n], Whole
	}
	return nil, More
}

// Rest returns what is left when the stream has ended: a line without its line feed
// is a line. Nothing is left of a frame whose head was given out as Long.
func (f *Framer) Rest() []byte {
	b := f.buf[f.r:f.w]
	f.r = f.w
	if f.skip > 0 || f.skipLine {
		return nil
	}
	if f.afterward {
		b = bytes.TrimLeft(b, "\r\n")
	}
	if _, head, st := octetCount(b); st == counted {
		b = b[head:]
	}
	return b
}

type countState uint8

const (
	lined countState = iota
	counted
	undecided
)

// octetCount reads MSG-LEN SP and looks for the "<" that a syslog message begins with.
func octetCount(b []byte) (n, head int, st countState) {
	if len(b) == 0 || b[0] < '1' || b[0] > '9' {
		return 0, 0, lined
	}
	for i, c := range b {
		switch {
		case isDigit(c) && i < 8:
			n = n*10 + int(c-'0')
			continue
		case c != ' ' || n > maxCounted:
			return 0, 0, lined
		case i+1 == len(b):
			return 0, 0, undecided
		case b[i+1] != '<':
			return 0, 0, lined
		}
		return n, i + 1, counted
	}
	return 0, 0, undecided
}
