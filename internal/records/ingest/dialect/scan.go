package dialect

import (
	"bytes"
	"net/netip"
)

// Addr reads an address that fills b. IPv4 is read here, without making a string.
func Addr(b []byte) (netip.Addr, bool) {
	if a, ok := addr4(b); ok {
		return a, true
	}
	if len(b) > 45 || bytes.IndexByte(b, ':') < 0 || bytes.IndexByte(b, '%') >= 0 {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(string(b))
	return a.Unmap(), err == nil
}

func addr4(b []byte) (netip.Addr, bool) {
	var a [4]byte
	part, digits, n := 0, 0, 0
	for i := 0; i <= len(b); i++ {
		if i == len(b) || b[i] == '.' {
			if digits == 0 || n > 255 || part > 3 {
				return netip.Addr{}, false
			}
			a[part] = byte(n)
			part, digits, n = part+1, 0, 0
			continue
		}
		c := b[i]
		if c < '0' || c > '9' || digits == 3 || (digits > 0 && n == 0) { // no 010: octal or decimal?
			return netip.Addr{}, false
		}
		n, digits = n*10+int(c-'0'), digits+1
	}
	return netip.AddrFrom4(a), part == 4
}

// Port reads a number from 0 to 65535 that fills b.
func Port(b []byte) (uint16, bool) {
	n, ok := Uint(b)
	return uint16(n), ok && n <= 65535
}

// Uint reads a decimal number of up to 18 digits that fills b.
func Uint(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	var n int64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// Hex reads a hexadecimal number of up to 15 digits that fills b, "0x" or not.
func Hex(b []byte) (int64, bool) {
	if len(b) > 2 && b[0] == '0' && (b[1] == 'x' || b[1] == 'X') {
		b = b[2:]
	}
	if len(b) == 0 || len(b) > 15 {
		return 0, false
	}
	var n int64
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		n = n<<4 | int64(c)
	}
	return n, true
}

// Endpoint reads "address<sep>port" that fills b.
func Endpoint(b []byte, sep byte) (ip netip.Addr, port uint16, why string) {
	i := bytes.LastIndexByte(b, sep)
	if i < 0 {
		return ip, 0, BadForm
	}
	host := b[:i]
	if n := len(host); n > 1 && host[0] == '[' && host[n-1] == ']' {
		host = host[1 : n-1]
	}
	ip, ok := Addr(host)
	if !ok {
		return ip, 0, BadAddress
	}
	if port, ok = Port(b[i+1:]); !ok {
		return ip, 0, BadPort
	}
	return ip, port, ""
}

// Duration reads h:mm:ss, hours as many as there are, and returns milliseconds.
func Duration(b []byte) (int64, bool) {
	i := bytes.IndexByte(b, ':')
	if i < 1 || len(b) != i+6 || b[i+3] != ':' {
		return 0, false
	}
	h, ok1 := Uint(b[:i])
	m, ok2 := Uint(b[i+1 : i+3])
	s, ok3 := Uint(b[i+4 : i+6])
	if !ok1 || !ok2 || !ok3 || h > 1_000_000 || m > 59 || s > 59 {
		return 0, false
	}
	return (h*3600 + m*60 + s) * 1000, true
}

// Protocol reads a protocol by name (any case) or number.
func Protocol(b []byte) (uint8, bool) {
	if len(b) == 0 {
		return 0, false
	}
	if b[0] >= '0' && b[0] <= '9' {
		n, ok := Uint(b)
		return uint8(n), ok && n <= 255
	}
	if len(b) > 9 {
		return 0, false
	}
	var low [9]byte
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		low[i] = c
	}
	switch string(low[:len(b)]) {
	case "tcp":
		return 6, true
	case "udp":
		return 17, true
	case "icmp":
		return 1, true
	case "icmpv6", "icmp6", "ipv6-icmp":
		return 58, true
	case "gre":
		return 47, true
	case "esp":
		return 50, true
	case "ah":
		return 51, true
	case "sctp":
		return 132, true
	case "dccp":
		return 33, true
	case "udplite":
		return 136, true
	case "igmp":
		return 2, true
	}
	return 0, false
}

// Token returns the first run of b without blanks, and what follows it and the blanks
// after it.
func Token(b []byte) (tok, rest []byte) {
	i := 0
	for i < len(b) && b[i] != ' ' && b[i] != '\t' {
		i++
	}
	tok = b[:i]
	for i < len(b) && (b[i] == ' ' || b[i] == '\t') {
		i++
	}
	return tok, b[i:]
}

// After returns what follows the first occurrence of word in b.
func After(b []byte, word string) ([]byte, bool) {
	for i := 0; ; {
		k := bytes.IndexByte(b[i:], word[0])
		if k < 0 || i+k+len(word) > len(b) {
			return nil, false
		}
		i += k
		if string(b[i:i+len(word)]) == word {
			return b[i+len(word):], true
		}
		i++
	}
}
