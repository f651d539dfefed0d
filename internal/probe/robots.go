package probe

import (
	"fmt"
	"net/url"
	"strings"
)

// maxRobots is how much of a robots.txt is read (RFC 9309 §2.5: at least 500 KiB).
const maxRobots = 512 << 10

// maxRobotsRules bounds what one group may hold.
const maxRobotsRules = 10_000

// robots is the group of one robots.txt that applies to us. The zero value allows
// everything. We parse it ourselves: the libraries at hand order wildcard rules by
// the length of a compiled pattern, where RFC 9309 §2.2.2 counts octets of the rule.
type robots struct {
	rules []robotsRule
}

type robotsRule struct {
	allow bool
	path  string // with * and $ as they stand, percent-encoding normalised
}

// parseRobots returns the rules for the product token agent (RFC 9309 §2.2.1): all
// groups that name it, else all groups for "*".
func parseRobots(text, agent string) *robots {
	var own, any []robotsRule
	var named, forOwn, forAny, inRules bool
	for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
		key, value, ok := robotsLine(line)
		if !ok {
			continue
		}
		switch key {
		case "user-agent":
			if inRules { // a new group begins
				forOwn, forAny, inRules = false, false, false
			}
			if value == "*" {
				forAny = true
			} else if strings.EqualFold(agentToken(value), agent) {
				forOwn, named = true, true
			}
		case "allow", "disallow":
			inRules = true
			if value == "" {
				continue // an empty disallow allows everything, which is the default
			}
			r := robotsRule{allow: key == "allow", path: normalPath(value)}
			if forOwn && len(own) < maxRobotsRules {
				own = append(own, r)
			}
			if forAny && len(any) < maxRobotsRules {
				any = append(any, r)
			}
		}
	}
	if named {
		return &robots{own}
	}
	return &robots{any}
}

func robotsLine(line string) (key, value string, ok bool) {
	if i := strings.IndexByte(line, '#'); i >= 0 {
		line = line[:i]
	}
	key, value, ok = strings.Cut(line, ":")
	return strings.ToLower(strings.TrimSpace(key)), strings.TrimSpace(value), ok
}

// agentToken is the product token a user-agent line begins with.
func agentToken(s string) string {
	end := strings.IndexFunc(s, func(r rune) bool {
		return !('a' <= r|0x20 && r|0x20 <= 'z' || r == '-' || r == '_')
	})
	if end < 0 {
		return s
	}
	return s[:end]
}

// allowed says whether u may be fetched, and by which rule not. The longest matching
// rule wins, allow wins a tie (RFC 9309 §2.2.2).
func (r *robots) allowed(u *url.URL) (bool, string) {
	path := u.EscapedPath()
	if path == "/robots.txt" {
		return true, ""
	}
	if u.RawQuery != "" {
		path += "?" + u.RawQuery
	}
	path = normalPath(path)
	best := robotsRule{allow: true}
	for _, rule := range r.rules {
		longer := len(rule.path) > len(best.path) || len(rule.path) == len(best.path) && rule.allow
		if longer && matchRobots(rule.path, path) {
			best = rule
		}
	}
	if best.allow {
		return true, ""
	}
	return false, fmt.Sprintf("robots.txt: Disallow: %.120q", best.path)
}

// matchRobots matches a rule against the start of path; * is any run of octets, a $
// at the end anchors. Linear in both: no backtracking beyond the last *.
func matchRobots(rule, path string) bool {
	anchored := strings.HasSuffix(rule, "$")
	rule = strings.TrimSuffix(rule, "$")
	parts := strings.Split(rule, "*")
	if !strings.HasPrefix(path, parts[0]) {
		return false
	}
	rest := path[len(parts[0]):]
	for i, part := range parts[1:] {
		if anchored && i == len(parts)-2 {
			return strings.HasSuffix(rest, part)
		}
		at := strings.Index(rest, part)
		if at < 0 {
			return false
		}
		rest = rest[at+len(part):]
	}
	return !anchored || rest == ""
}

// normalPath brings percent-encoding to one form: what needs none is decoded, what
// is not ASCII is encoded, hexadecimal digits are upper-case (RFC 9309 §2.2.2).
func normalPath(s string) string {
	const hexDigits = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c, escaped := s[i], false
		if c == '%' && i+2 < len(s) {
			if hi, lo := unhex(s[i+1]), unhex(s[i+2]); hi >= 0 && lo >= 0 {
				c, escaped = byte(hi<<4|lo), true
				i += 2
			}
		}
		switch {
		case unreserved(c), !escaped && c > ' ' && c < 0x7f:
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
		}
	}
	return b.String()
}

func unreserved(c byte) bool { // RFC 3986 §2.3
	return 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}
