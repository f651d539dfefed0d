package probe

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// maxURL bounds an address; longer ones are refused, not shortened.
const maxURL = 8 << 10

// ErrScheme says that an address is not one of the web (mailto:, javascript:, …).
var ErrScheme = errors.New("not an http or https address")

// Canonical resolves raw against base (nil: raw is absolute) as browsers do and
// returns its one canonical form: lower-case scheme, host as A-labels, addresses in
// their usual spelling, no default port, no fragment, no empty path. Everything that
// compares or connects uses this form, so that no spelling of an address means one
// thing to a check and another to a connection.
func Canonical(base *url.URL, raw string) (*url.URL, error) {
	if len(raw) > maxURL {
		return nil, fmt.Errorf("address of %d bytes is longer than %d", len(raw), maxURL)
	}
	u, err := parse(base, clean(raw))
	if err != nil {
		return nil, err
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%w: %.20q", ErrScheme, u.Scheme)
	}
	host, err := canonicalHost(u.Hostname())
	if err != nil {
		return nil, err
	}
	port, err := canonicalPort(u.Scheme, u.Port())
	if err != nil {
		return nil, err
	}
	u.Host = joinHost(host, port)
	u.Fragment, u.RawFragment = "", ""
	if u.Path == "" {
		u.Path, u.RawPath = "/", ""
	}
	if len(u.String()) > maxURL {
		return nil, fmt.Errorf("address is longer than %d bytes", maxURL)
	}
	return u, nil
}

func parse(base *url.URL, raw string) (*url.URL, error) {
	if base == nil {
		u, err := url.Parse(raw)
		if err != nil {
			return nil, fmt.Errorf("address %.80q: %w", raw, errors.Unwrap(err))
		}
		u.Scheme = strings.ToLower(u.Scheme)
		return u, nil
	}
	u, err := base.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("address %.80q: %w", raw, errors.Unwrap(err))
	}
	return u, nil
}

// clean does to raw what browsers do before they parse (WHATWG URL §4.4): ends
// trimmed, tabs and line ends removed, backslashes before the query read as slashes.
func clean(raw string) string {
	raw = strings.TrimFunc(raw, func(r rune) bool { return r <= ' ' })
	raw = strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(raw)
	end := strings.IndexAny(raw, "?#")
	if end < 0 {
		end = len(raw)
	}
	head := raw[:end]
	if i := strings.IndexByte(head, ':'); i > 0 && !webScheme(head[:i]) && schemeLike(head[:i]) {
		return raw // mailto:, data: …: not ours to rewrite
	}
	return strings.ReplaceAll(head, `\`, "/") + escapeSpaces(raw[end:])
}

func escapeSpaces(s string) string { return strings.ReplaceAll(s, " ", "%20") }

func webScheme(s string) bool {
	s = strings.ToLower(s)
	return s == "http" || s == "https"
}

func schemeLike(s string) bool {
	for _, c := range []byte(s) {
		if !('a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || c == '+' || c == '-' || c == '.') {
			return false
		}
	}
	return true
}

func canonicalHost(h string) (string, error) {
	if h == "" {
		return "", errors.New("address has no host")
	}
	if strings.Contains(h, ":") {
		a, err := netip.ParseAddr(h)
		if err != nil || a.Zone() != "" {
			return "", fmt.Errorf("host %.80q is not an IPv6 address", h)
		}
		return a.Unmap().String(), nil
	}
	ascii, err := idna.Lookup.ToASCII(h)
	if err != nil {
		// Names such as _dmarc.example or a--b.example are refused by the strict
		// profile and do exist.
		if ascii, err = idna.Punycode.ToASCII(strings.ToLower(h)); err != nil {
			return "", fmt.Errorf("host %.80q: %w", h, err)
		}
	}
	ascii = strings.TrimSuffix(strings.ToLower(ascii), ".")
	if a, isNumber, err := looseIPv4(ascii); isNumber {
		if err != nil {
			return "", err
		}
		return a.String(), nil
	}
	if err := checkName(ascii); err != nil {
		return "", err
	}
	return ascii, nil
}

func checkName(h string) error {
	if len(h) > 253 {
		return fmt.Errorf("host %.80q is longer than 253 bytes", h)
	}
	for label := range strings.SplitSeq(h, ".") {
		if label == "" || len(label) > 63 {
			return fmt.Errorf("host %.80q has an empty or overlong label", h)
		}
		for _, c := range []byte(label) {
			if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
				return fmt.Errorf("host %.80q has a character that no name has", h)
			}
		}
	}
	return nil
}

// looseIPv4 reads the spellings of an IPv4 address that resolvers of other systems
// accept: one to four parts, decimal, octal (0177) or hexadecimal (0x7f), the last
// part filling what is left (WHATWG URL §3.5). isNumber says that h must be an
// address because its last label is a number; it is then never a name.
func looseIPv4(h string) (a netip.Addr, isNumber bool, err error) {
	parts := strings.Split(h, ".")
	if _, ok := looseNumber(parts[len(parts)-1]); !ok && !digits(parts[len(parts)-1]) {
		return netip.Addr{}, false, nil
	}
	bad := fmt.Errorf("host %.80q is not an IPv4 address", h)
	if len(parts) > 4 {
		return netip.Addr{}, true, bad
	}
	var sum uint64
	for i, p := range parts {
		n, ok := looseNumber(p)
		last := i == len(parts)-1
		if !ok || !last && n > 255 || last && n >= 1<<(8*uint(5-len(parts))) {
			return netip.Addr{}, true, bad
		}
		if last {
			sum += n
		} else {
			sum += n << (8 * uint(3-i))
		}
	}
	return netip.AddrFrom4([4]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)}), true, nil
}

func looseNumber(p string) (uint64, bool) {
	if p == "" {
		return 0, false
	}
	base := 10
	switch {
	case strings.HasPrefix(p, "0x"):
		p, base = p[2:], 16
	case len(p) > 1 && p[0] == '0':
		p, base = p[1:], 8
	}
	if p == "" {
		return 0, true // "0x"
	}
	if p[0] == '+' || p[0] == '-' {
		return 0, false
	}
	n, err := strconv.ParseUint(p, base, 40)
	return n, err == nil
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

func canonicalPort(scheme, port string) (string, error) {
	if port == "" {
		return "", nil
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return "", fmt.Errorf("port %.20q is not 1 to 65535", port)
	}
	if scheme == "http" && n == 80 || scheme == "https" && n == 443 {
		return "", nil
	}
	return strconv.FormatUint(n, 10), nil
}

func joinHost(host, port string) string {
	if port != "" {
		return net.JoinHostPort(host, port)
	}
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}
