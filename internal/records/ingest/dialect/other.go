package dialect

import "bytes"

// MayTranslate says whether a line that no decoder knows can tell of a translation
// all the same. To tell of one a line names the inside and the outside address, or an
// address and the word for what it was done to. What a packet filter logs names two
// addresses and no translation; what is no text is not known to be anything.
func MayTranslate(l *Line) bool {
	addresses, word := 0, false
	for _, text := range [][]byte{l.Text, l.Data} {
		text = bytes.TrimRight(text, "\x00\r\n")
		if bytes.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\t' }) {
			return true
		}
		if filtered(text) {
			return false
		}
		n, w := count(text)
		addresses, word = addresses+n, word || w
	}
	return addresses > 1 || addresses == 1 && word
}

// filtered knows the line of the Linux kernel's LOG target: a packet before any
// translation, or after it, never both.
func filtered(text []byte) bool {
	for _, word := range []string{"IN=", " OUT=", " SRC=", " DST=", " LEN="} {
		if !bytes.Contains(text, []byte(word)) {
			return false
		}
	}
	return true
}

// count returns how many addresses stand in text, and whether a word for translation
// does.
func count(text []byte) (addresses int, word bool) {
	for len(text) > 0 {
		n := 0
		for n < len(text) && inWord(text[n]) {
			n++
		}
		if n == 0 {
			text = text[1:]
			continue
		}
		tok := text[:n]
		text = text[n:]
		if isAddress(tok) {
			addresses++
		} else if !word {
			word = translates(tok)
		}
	}
	return addresses, word
}

func inWord(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '.' || c == ':'
}

// isAddress takes "192.0.2.1", "192.0.2.1:443" and "2001:db8::1", each with what
// punctuation may follow.
func isAddress(tok []byte) bool {
	tok = bytes.TrimRight(tok, ".:")
	if len(tok) < 3 {
		return false
	}
	if _, ok := Addr(tok); ok {
		return true
	}
	i := bytes.LastIndexByte(tok, ':')
	if i < 0 {
		return false
	}
	if j := bytes.IndexByte(tok, ':'); j < i || bytes.IndexByte(tok[:i], '.') < 0 {
		i = j // "peer:192.0.2.1"
	}
	_, before := Addr(tok[:i])
	_, behind := Addr(tok[i+1:])
	return before || behind
}

var translation = [][]byte{[]byte("nat"), []byte("snat"), []byte("dnat"), []byte("napt"), []byte("cgn"), []byte("pat"), []byte("masquerade")}

func translates(tok []byte) bool {
	tok = bytes.ToLower(bytes.TrimRight(tok, "0123456789.:")) // NAT44, nat:
	if bytes.HasPrefix(tok, []byte("translat")) || bytes.HasPrefix(tok, []byte("xlate")) {
		return true
	}
	for _, w := range translation {
		if bytes.Equal(tok, w) {
			return true
		}
	}
	return false
}
