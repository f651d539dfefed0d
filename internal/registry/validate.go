package registry

import (
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"garrison"
)

// Limits on what is registered.
const (
	maxName      = 200 // characters
	maxAttribute = 2000
	maxURL       = 2000
	maxGrade     = 5 // protection grades are one to five
	maxAddresses = 64

	defaultZone = "Asia/Shanghai"
)

// attribute is one thing known of subjects of a kind.
type attribute struct {
	name     string
	required bool
	clean    func(field, value string) (string, error) // nil: any text
}

// attributesOf lists what can be said of each kind. What is not in the list is
// refused: a mistyped name must not become an attribute that nobody reads.
func attributesOf(kind garrison.SubjectKind) ([]attribute, bool) {
	note := attribute{name: "note"}
	switch kind {
	case garrison.Unit:
		return []attribute{{name: "contact"}, note}, true
	case garrison.Person:
		return []attribute{{name: "post"}, {name: "contact"}, note}, true
	case garrison.Site:
		return []attribute{{"url", true, cleanURL}, note}, true
	case garrison.Sender:
		return []attribute{
			{"address", false, cleanPrefixes}, {"zone", false, cleanZone}, {"dialect", false, cleanWord},
			{"expected", false, cleanExpected}, note,
		}, true
	case garrison.Pool:
		return []attribute{{"prefix", true, cleanPrefixes}, {name: "device"}, note}, true
	case garrison.Line:
		return []attribute{{name: "number", required: true}, {"inside", false, cleanPrefixes}, note}, true
	}
	return nil, false
}

// clean returns s in the form that is stored, or why it cannot be.
func clean(s garrison.Subject) (garrison.Subject, error) {
	known, ok := attributesOf(s.Kind)
	if !ok {
		return s, refuse("kind", "kind", string(s.Kind))
	}
	var err error
	if s.Name, err = cleanText("name", s.Name, maxName); err != nil {
		return s, err
	}
	if s.Name == "" {
		return s, refuse("name_missing")
	}
	if s.Responsible, err = cleanText("responsible", s.Responsible, maxName); err != nil {
		return s, err
	}
	if s.Grade < 0 || s.Grade > maxGrade {
		return s, refuse("grade", "value", s.Grade, "max", maxGrade)
	}
	s.Attributes, err = cleanAttributes(known, s.Attributes)
	if err == nil && s.Kind == garrison.Sender && s.Attributes["zone"] == "" {
		s.Attributes["zone"] = defaultZone // the default for senders that name no zone
	}
	return s, err
}

func cleanAttributes(known []attribute, given map[string]string) (map[string]string, error) {
	for name := range given {
		if !slices.ContainsFunc(known, func(a attribute) bool { return a.name == name }) {
			return nil, refuse("attribute_unknown", "field", name)
		}
	}
	out := map[string]string{}
	for _, a := range known {
		value, err := cleanText(a.name, given[a.name], maxAttribute)
		if err != nil {
			return nil, err
		}
		if value == "" {
			if a.required {
				return nil, refuse("attribute_missing", "field", a.name)
			}
			continue
		}
		if a.clean != nil {
			if value, err = a.clean(a.name, value); err != nil {
				return nil, err
			}
		}
		out[a.name] = value
	}
	return out, nil
}

func cleanText(field, value string, most int) (string, error) {
	if !utf8.ValidString(value) {
		return "", refuse("text_unprintable", "field", field)
	}
	value = strings.TrimSpace(value)
	if utf8.RuneCountInString(value) > most {
		return "", refuse("text_too_long", "field", field, "max", most)
	}
	for _, r := range value {
		// Cf holds what turns text around or hides it; two names must not look alike
		// because of a sign that nobody sees.
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return "", refuse("text_unprintable", "field", field)
		}
	}
	return value, nil
}

// cleanURL accepts the address of a site: http or https, a host, nothing secret.
func cleanURL(field, value string) (string, error) {
	bad := refuse("url", "field", field, "value", value)
	u, err := url.Parse(value)
	if err != nil || len(value) > maxURL || u.Opaque != "" || u.User != nil || u.Host == "" {
		return "", bad
	}
	u.Scheme = strings.ToLower(u.Scheme)
	if u.Scheme != "http" && u.Scheme != "https" {
		return "", bad
	}
	host, ok := cleanHost(u.Hostname())
	if !ok {
		return "", bad
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return "", bad
		}
		if usual := map[string]string{"http": "80", "https": "443"}; port != usual[u.Scheme] {
			host += ":" + port
		}
	} else if strings.HasSuffix(u.Host, ":") {
		return "", bad
	}
	u.Host = host
	u.Fragment, u.RawFragment = "", ""
	if u.Path == "" {
		u.Path = "/"
	}
	return u.String(), nil
}

// cleanHost returns a host as lower-case A-labels, an IPv6 address in brackets.
func cleanHost(host string) (string, bool) {
	if addr, err := netip.ParseAddr(host); err == nil {
		if addr.Zone() != "" {
			return "", false
		}
		addr = addr.Unmap()
		if addr.Is6() {
			return "[" + addr.String() + "]", true
		}
		return addr.String(), true
	}
	ascii, err := idna.Lookup.ToASCII(strings.TrimSuffix(host, "."))
	if err != nil || ascii == "" || len(ascii) > 253 {
		return "", false
	}
	return strings.ToLower(ascii), true
}

// cleanPrefixes accepts addresses and prefixes, separated by commas or spaces.
func cleanPrefixes(field, value string) (string, error) {
	list := strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == '，' || unicode.IsSpace(r) })
	if len(list) > maxAddresses {
		return "", refuse("addresses_too_many", "field", field, "max", maxAddresses)
	}
	var out []string
	for _, text := range list {
		p, ok := parsePrefix(text)
		if !ok {
			return "", refuse("address", "field", field, "value", text)
		}
		if s := prefixText(p); !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	if len(out) == 0 {
		return "", refuse("address", "field", field, "value", value)
	}
	return strings.Join(out, ","), nil
}

// parsePrefix reads an address or a prefix without host bits. A prefix with host
// bits is more often a mistake than a way of writing.
func parsePrefix(text string) (netip.Prefix, bool) {
	if addr, err := netip.ParseAddr(text); err == nil {
		if addr.Zone() != "" || addr.IsUnspecified() {
			return netip.Prefix{}, false
		}
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), true
	}
	p, err := netip.ParsePrefix(text)
	if err != nil || p != p.Masked() || p.Bits() == 0 || p.Addr().Is4In6() {
		return netip.Prefix{}, false
	}
	return p, true
}

func prefixText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// cleanZone accepts a name of the IANA time zone database.
func cleanZone(field, value string) (string, error) {
	if value == "Local" { // whatever this machine is set to: another answer on another machine
		return "", refuse("zone", "field", field, "value", value)
	}
	loc, err := time.LoadLocation(value)
	if err != nil {
		return "", refuse("zone", "field", field, "value", value)
	}
	return loc.String(), nil
}

var word = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,31}$`)

func cleanWord(field, value string) (string, error) {
	value = strings.ToLower(value)
	if !word.MatchString(value) {
		return "", refuse("word", "field", field, "value", value)
	}
	return value, nil
}

// cleanExpected says whether a sender must be heard: "true" or "false".
func cleanExpected(field, value string) (string, error) {
	b, err := strconv.ParseBool(strings.ToLower(value))
	if err != nil {
		return "", refuse("expected", "field", field, "value", value)
	}
	return strconv.FormatBool(b), nil
}

// prefixesOf returns the addresses by which a subject is found.
func prefixesOf(s garrison.Subject) []netip.Prefix {
	field := map[garrison.SubjectKind]string{garrison.Sender: "address", garrison.Pool: "prefix", garrison.Line: "inside"}[s.Kind]
	var out []netip.Prefix
	for text := range strings.SplitSeq(s.Attributes[field], ",") {
		if p, ok := parsePrefix(text); ok {
			out = append(out, p)
		}
	}
	return out
}

func refuse(key string, kv ...any) error {
	return garrison.Refuse(garrison.Invalid, "error.registry."+key, kv...)
}

func conflict(key string, kv ...any) error {
	return garrison.Refuse(garrison.Conflict, "error.registry."+key, kv...)
}
