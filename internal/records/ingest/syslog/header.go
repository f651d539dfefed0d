package syslog

import (
	"bytes"
	"time"
)

// Message is one message taken apart. Every slice points into the parsed line.
type Message struct {
	Priority int    // 0 to 191; -1: the line carried none
	Version  int    // 1: RFC 5424; 0: anything else
	Time     int64  // Unix milliseconds; only with HasTime
	HasTime  bool   // a time was written and could be read
	BadTime  bool   // something stands where the time should, but it is none (30 February)
	Unsynced bool   // the device itself says that its clock is not set (IOS: leading * or .)
	Host     []byte // HOSTNAME; empty: not given
	App      []byte // APP-NAME, RFC 5424 only
	MsgID    []byte // MSGID, RFC 5424 only
	Data     []byte // STRUCTURED-DATA with its brackets, RFC 5424 only
	Text     []byte // everything after the header
}

// Parser reads headers of one source. It keeps the last hour it computed, so it is
// not safe for concurrent use; make one for each goroutine.
type Parser struct {
	zone  *time.Location
	hours [2]hourCache // the outer header's and the device's own
}

// NewParser returns a parser that reads times without a zone in the given one.
func NewParser(zone *time.Location) *Parser {
	if zone == nil {
		zone = time.UTC
	}
	return &Parser{zone: zone}
}

// Parse takes line apart into m. It cannot fail: RFC 3164 §4.3.3 makes a message of
// any bytes. The year of a time that has none is the one nearest to received.
func (p *Parser) Parse(line []byte, received time.Time, m *Message) {
	*m = Message{Priority: -1}
	rest := Trim(line)
	rest = priority(rest, m)
	if m.Priority >= 0 && len(rest) > 2 && rest[0] == '1' && rest[1] == ' ' {
		if p.rfc5424(rest[2:], received, m) {
			p.inner(received, m)
			return
		}
	}
	m.Text = rest
	p.bsd(received, m)
	p.inner(received, m)
}

// Trim removes what senders put around a message: line ends, NUL trailers (RFC 6587
// §3.4.2) and blanks.
func Trim(line []byte) []byte {
	for len(line) > 0 {
		switch line[len(line)-1] {
		case '\n', '\r', 0, ' ', '\t':
			line = line[:len(line)-1]
			continue
		}
		break
	}
	for len(line) > 0 && (line[0] == ' ' || line[0] == '\t' || line[0] == 0) {
		line = line[1:]
	}
	return line
}

// priority reads "<n>". Anything else leaves the line as it is.
func priority(b []byte, m *Message) []byte {
	if len(b) < 3 || b[0] != '<' {
		return b
	}
	n := 0
	for i := 1; i < len(b) && i <= 4; i++ {
		c := b[i]
		if c == '>' && i > 1 && n <= 191 {
			m.Priority = n
			return b[i+1:]
		}
		if c < '0' || c > '9' {
			break
		}
		n = n*10 + int(c-'0')
	}
	return b
}

// rfc5424 reads TIMESTAMP HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA [MSG].
func (p *Parser) rfc5424(b []byte, received time.Time, m *Message) bool {
	var st stamp
	switch {
	case len(b) > 1 && b[0] == '-' && b[1] == ' ':
		b = b[2:]
	default:
		n := parseISO(b, &st)
		if n == 0 || !st.hasOffset || n >= len(b) || b[n] != ' ' {
			return false
		}
		b = b[n+1:]
		p.setTime(&st, received, m, 0)
	}
	var f [4][]byte // HOSTNAME, APP-NAME, PROCID, MSGID
	for i := range f {
		n := bytes.IndexByte(b, ' ')
		if n <= 0 {
			*m = Message{Priority: m.Priority}
			return false
		}
		if f[i] = b[:n]; n == 1 && b[0] == '-' {
			f[i] = nil
		}
		b = b[n+1:]
	}
	sd, text, ok := structuredData(b)
	if !ok {
		*m = Message{Priority: m.Priority}
		return false
	}
	m.Version, m.Host, m.App, m.MsgID, m.Data, m.Text = 1, f[0], f[1], f[3], sd, text
	return true
}

// structuredData splits STRUCTURED-DATA from MSG. A "]" inside a quoted value does
// not end an element unless it is bare (RFC 5424 §6.3.3: it must be escaped).
func structuredData(b []byte) (sd, text []byte, ok bool) {
	if len(b) > 0 && b[0] == '-' {
		return nil, afterBOM(b[1:]), len(b) == 1 || b[1] == ' '
	}
	i := 0
	for i < len(b) && b[i] == '[' {
		for i++; ; i++ {
			for i < len(b) && b[i] != '"' && b[i] != ']' {
				i++
			}
			if i >= len(b) {
				return nil, nil, false
			}
			if b[i] == ']' {
				break
			}
			n := ClosingQuote(b[i+1:])
			if n < 0 {
				return nil, nil, false
			}
			i += n + 1
		}
		i++
	}
	if i == 0 || (i < len(b) && b[i] != ' ') {
		return nil, nil, false
	}
	return b[:i], afterBOM(b[i:]), true
}

// ClosingQuote finds the quote that ends a value of structured data
// (RFC 5424 §6.3.3), or returns -1; one behind an odd number of
// backslashes belongs to the value.
func ClosingQuote(b []byte) int {
	for at := 0; ; {
		k := bytes.IndexByte(b[at:], '"')
		if k < 0 {
			return -1
		}
		at += k
		escapes := 0
		for i := at - 1; i >= 0 && b[i] == '\\'; i-- {
			escapes++
		}
		if escapes%2 == 0 {
			return at
		}
		at++
	}
}

func afterBOM(b []byte) []byte {
	b = bytes.TrimLeft(b, " ")
	return bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
}

// bsd reads the header that RFC 3164 describes, in the forms that exist: the time
// before the host, the host before the time (IOS with origin-id), neither.
func (p *Parser) bsd(received time.Time, m *Message) {
	b := m.Text
	st, host, n := leading(b)
	if n == 0 {
		return
	}
	b = b[n:]
	if h := servicesHost(b, &st); h != nil {
		host = h
	}
	p.setTime(&st, received, m, 0)
	m.Unsynced = st.unsynced
	m.Host = host
	if st.closed { // "Nov 24 2026 10:00:03: %ASA-…": the colon ends the header
		m.Text = bytes.TrimLeft(b, " ")
		return
	}
	b = bytes.TrimLeft(b, " ")
	m.Text = b
	if len(host) > 0 {
		return
	}
	end := bytes.IndexByte(b, ' ')
	if end < 0 {
		end = len(b)
	}
	tok := b[:end]
	if len(tok) == 0 || tok[0] == '%' || tok[0] == '[' || tok[end-1] == ':' {
		return // no host: a Cisco mnemonic, an event or a TAG stands in its place
	}
	if isDigit(tok[0]) && parseStamp(b, &st) > 0 {
		return // a second time, see inner
	}
	m.Host, b = tok, bytes.TrimLeft(b[end:], " ")
	if len(b) > 1 && b[0] == ':' && b[1] == ' ' { // ASA with device-id: "fw1 : %ASA-…"
		b = b[2:]
	}
	m.Text = b
}

// inner looks for a second header: a device's own time (and host) that a relay has
// put its header before. The device's time is the better one.
func (p *Parser) inner(received time.Time, m *Message) {
	b := m.Text
	if len(b) < 15 || !(isDigit(b[0]) || b[0] == '*' || b[0] == '.' || isUpper(b[0])) {
		return
	}
	st, host, n := leading(b)
	if n == 0 || !st.closed {
		return
	}
	b = bytes.TrimLeft(b[n:], " ")
	if h := servicesHost(b, &st); h != nil {
		host = h
	}
	p.setTime(&st, received, m, 1)
	m.Unsynced = m.Unsynced || st.unsynced
	if len(host) > 0 {
		m.Host = host
	}
	m.Text = b
}

// servicesHost returns the host of "2026-11-24 02:00:03: host{set}[…]", as services
// cards of the MX write it, and marks the time as the UTC that it is.
func servicesHost(b []byte, st *stamp) []byte {
	if !st.iso || !st.closed {
		return nil
	}
	b = bytes.TrimLeft(b, " ")
	i := bytes.IndexByte(b, '{')
	if i <= 0 || i > 255 || bytes.IndexByte(b[:i], ' ') >= 0 {
		return nil
	}
	st.hasOffset = true
	return b[:i]
}

// leading reads [seq:] [HOST:] [*|.] time at the start of b and returns how many
// bytes it took, 0 when there is no time.
func leading(b []byte) (st stamp, host []byte, n int) {
	i := 0
	for range 3 { // a message counter, a sequence number, the host
		if k := parseStamp(b[i:], &st); k > 0 {
			return st, host, i + k
		}
		k := i
		for k < len(b) && k-i < 64 && b[k] != ':' && b[k] != ' ' {
			k++
		}
		if k == i || k+1 >= len(b) || b[k] != ':' || b[k+1] != ' ' {
			break
		}
		if !allDigits(b[i:k]) {
			host = b[i:k]
		}
		for k++; k < len(b) && b[k] == ' '; k++ {
		}
		i = k
	}
	if k := parseStamp(b[i:], &st); i > 0 && k > 0 {
		return st, host, i + k
	}
	return st, nil, 0
}

func (p *Parser) setTime(st *stamp, received time.Time, m *Message, slot int) {
	ms, ok := p.resolve(st, received, slot)
	if ok {
		m.Time, m.HasTime, m.BadTime = ms, true, false
	} else if !m.HasTime {
		m.BadTime = true
	}
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isUpper(c byte) bool { return c >= 'A' && c <= 'Z' }
func isLetter(c byte) bool {
	return isUpper(c) || (c >= 'a' && c <= 'z')
}

func allDigits(b []byte) bool {
	for _, c := range b {
		if !isDigit(c) {
			return false
		}
	}
	return len(b) > 0
}
