package probe

import (
	"fmt"
	"net/netip"
)

// never are addresses that no setting opens: they do not name one host elsewhere, or
// they hand out credentials to whoever asks from this machine.
var never = prefixes(
	"0.0.0.0/8", "224.0.0.0/4", "255.255.255.255/32", "::/128", "ff00::/8",
	"169.254.169.254/32", "169.254.170.2/32", "169.254.170.23/32", // metadata of several clouds
	"100.100.100.200/32", "168.63.129.16/32", // metadata, Alibaba and Azure
	"fd00:ec2::254/128", "fd20:ce::254/128", // metadata over IPv6
)

// private is what AllowPrivate opens.
var private = prefixes(
	"127.0.0.0/8", "::1/128", // loopback
	"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", // RFC 1918
	"100.64.0.0/10", // RFC 6598
	"fc00::/7",      // RFC 4193
)

// special is the rest of the IANA special-purpose registries (RFC 6890): only
// AllowPrefixes opens it.
var special = prefixes(
	"169.254.0.0/16", "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24",
	"192.88.99.0/24", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
	"240.0.0.0/4",
)

// carriers are IPv6 ranges that carry an IPv4 address inside, where the policy on
// IPv4 would be walked around; bit is where the inner address starts.
var carriers = []struct {
	prefix netip.Prefix
	byteAt int
	invert bool
	name   string
}{
	{netip.MustParsePrefix("64:ff9b::/96"), 12, false, "NAT64"},     // RFC 6052
	{netip.MustParsePrefix("64:ff9b:1::/48"), 12, false, "NAT64"},   // RFC 8215
	{netip.MustParsePrefix("2002::/16"), 2, false, "6to4"},          // RFC 3056
	{netip.MustParsePrefix("2001::/32"), 12, true, "Teredo"},        // RFC 4380
	{netip.MustParsePrefix("::/96"), 12, false, "IPv4-compatible"},  // RFC 4291 §2.5.5.1
	{netip.MustParsePrefix("::ffff:0:0:0/96"), 12, false, "SIIT"},   // RFC 2765
	{netip.MustParsePrefix("::ffff:0:0/96"), 12, false, "mapped"},   // RFC 4291 §2.5.5.2
	{netip.MustParsePrefix("2001:db8::/32"), 0, false, ""},          // documentation, carries nothing
	{netip.MustParsePrefix("2001:2::/48"), 0, false, ""},            // benchmarks
	{netip.MustParsePrefix("2001:10::/28"), 0, false, ""},           // ORCHID
	{netip.MustParsePrefix("2001:20::/28"), 0, false, ""},           // ORCHIDv2
	{netip.MustParsePrefix("3fff::/20"), 0, false, ""},              // documentation, RFC 9637
	{netip.MustParsePrefix("2620:4f:8000::/48"), 0, false, "AS112"}, // RFC 7534
}

// global is where IPv6 hosts of the Internet are (RFC 4291 §2.4).
var global = netip.MustParsePrefix("2000::/3")

// Policy decides which addresses may be connected to. The zero Policy allows what
// the public Internet can reach and nothing else.
type Policy struct {
	AllowPrivate  bool
	AllowPrefixes []netip.Prefix
}

// Check returns why a may not be connected to, nil when it may.
func (p Policy) Check(a netip.Addr) error {
	a = a.Unmap().WithZone("") // the canonical form is the only one compared
	if !a.IsValid() {
		return fmt.Errorf("not an address")
	}
	if in(never, a) {
		return fmt.Errorf("address %s is never contacted (metadata, multicast or unspecified)", a)
	}
	if in(p.AllowPrefixes, a) {
		return p.inner(a)
	}
	if in(private, a) {
		if p.AllowPrivate {
			return nil
		}
		return fmt.Errorf("address %s is private or loopback", a)
	}
	if in(special, a) {
		return fmt.Errorf("address %s is in a special-purpose range", a)
	}
	if a.Is6() {
		return check6(a)
	}
	return nil
}

// inner applies the policy to the IPv4 address that an allowed carrier holds.
func (p Policy) inner(a netip.Addr) error {
	v4, name, ok := carried(a)
	if !ok || name == "" {
		return nil
	}
	if err := p.Check(v4); err != nil {
		return fmt.Errorf("%s address %s: %w", name, a, err)
	}
	return nil
}

func check6(a netip.Addr) error {
	if _, name, ok := carried(a); ok {
		if name == "" {
			name = "special-purpose"
		}
		return fmt.Errorf("address %s is %s", a, name)
	}
	if !global.Contains(a) {
		return fmt.Errorf("address %s is not a global address", a)
	}
	return nil
}

// carried returns the IPv4 address inside a, if a is in a range that carries one.
// A range without a name carries nothing and is only refused.
func carried(a netip.Addr) (v4 netip.Addr, name string, ok bool) {
	if !a.Is6() {
		return netip.Addr{}, "", false
	}
	b := a.As16()
	for _, c := range carriers {
		if !c.prefix.Contains(a) {
			continue
		}
		if c.byteAt == 0 {
			return netip.Addr{}, "", true
		}
		var in [4]byte
		copy(in[:], b[c.byteAt:])
		if c.invert {
			for i := range in {
				in[i] = ^in[i]
			}
		}
		return netip.AddrFrom4(in), c.name, true
	}
	return netip.Addr{}, "", false
}

func in(ps []netip.Prefix, a netip.Addr) bool {
	for _, p := range ps {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

func prefixes(texts ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(texts))
	for i, t := range texts {
		out[i] = netip.MustParsePrefix(t)
	}
	return out
}

// badPorts are ports that other protocols live on; asking them in HTTP is at best
// useless and at worst understood (WHATWG Fetch §2.9, "bad port").
var badPorts = map[uint16]bool{
	1: true, 7: true, 9: true, 11: true, 13: true, 15: true, 17: true, 19: true, 20: true,
	21: true, 22: true, 23: true, 25: true, 37: true, 42: true, 43: true, 53: true, 69: true,
	77: true, 79: true, 87: true, 95: true, 101: true, 102: true, 103: true, 104: true,
	109: true, 110: true, 111: true, 113: true, 115: true, 117: true, 119: true, 123: true,
	135: true, 137: true, 139: true, 143: true, 161: true, 179: true, 389: true, 427: true,
	465: true, 512: true, 513: true, 514: true, 515: true, 526: true, 530: true, 531: true,
	532: true, 540: true, 548: true, 554: true, 556: true, 563: true, 587: true, 601: true,
	636: true, 989: true, 990: true, 993: true, 995: true, 1719: true, 1720: true, 1723: true,
	2049: true, 3659: true, 4045: true, 4190: true, 5060: true, 5061: true, 6000: true,
	6379: true, 6566: true, 6665: true, 6666: true, 6667: true, 6668: true, 6669: true,
	6679: true, 6697: true, 10080: true,
}
