package probe

import (
	"errors"
	"net/netip"
	"net/url"
	"testing"
)

func TestPolicyRefusesWhatThePublicInternetCannotReach(t *testing.T) {
	refused := []string{
		"127.0.0.1", "127.255.255.254", "::1", "0.0.0.0", "0.1.2.3", "::",
		"10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "100.127.255.255",
		"169.254.1.1", "169.254.169.254", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12:3456::1",
		"fec0::1", "fd00:ec2::254", "100.100.100.200", "168.63.129.16",
		"192.0.0.1", "192.0.2.1", "198.51.100.7", "203.0.113.9", "198.18.0.1", "198.19.255.255",
		"192.88.99.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "ff02::1",
		"::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "::ffff:0:127.0.0.1",
		"64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::a00:1", "2002:7f00:1::", "2002:808:808::",
		"2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1", "2001:2::1", "2001:10::1", "2001:20::1",
		"3fff::1", "100::1", "4000::1", "5f00::1", "2620:4f:8000::1",
	}
	for _, text := range refused {
		a := netip.MustParseAddr(text)
		if err := (Policy{}).Check(a); err == nil {
			t.Errorf("default policy lets %s through", text)
		}
	}
	for _, text := range []string{"8.8.8.8", "114.114.114.114", "172.32.0.1", "100.128.0.1", "2400:3200::1", "::ffff:8.8.8.8"} {
		if err := (Policy{}).Check(netip.MustParseAddr(text)); err != nil {
			t.Errorf("default policy refuses %s: %v", text, err)
		}
	}
	if err := (Policy{}).Check(netip.Addr{}); err == nil {
		t.Error("the zero address passes")
	}
}

func TestPolicyAllowances(t *testing.T) {
	all := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	nat64 := []netip.Prefix{netip.MustParsePrefix("64:ff9b::/96")}
	cases := []struct {
		name string
		p    Policy
		addr string
		ok   bool
	}{
		{"private opens loopback", Policy{AllowPrivate: true}, "127.0.0.1", true},
		{"private opens RFC 1918", Policy{AllowPrivate: true}, "10.1.2.3", true},
		{"private does not open link-local", Policy{AllowPrivate: true}, "169.254.1.1", false},
		{"private does not open metadata", Policy{AllowPrivate: true}, "169.254.169.254", false},
		{"private does not open metadata in shared space", Policy{AllowPrivate: true}, "100.100.100.200", false},
		{"private does not open documentation", Policy{AllowPrivate: true}, "192.0.2.1", false},
		{"nothing opens metadata", Policy{AllowPrefixes: all}, "169.254.169.254", false},
		{"nothing opens metadata over IPv6", Policy{AllowPrefixes: all}, "fd00:ec2::254", false},
		{"nothing opens multicast", Policy{AllowPrefixes: all}, "224.0.0.1", false},
		{"prefix opens link-local", Policy{AllowPrefixes: all}, "169.254.1.1", true},
		{"NAT64 prefix opens a public address", Policy{AllowPrefixes: nat64}, "64:ff9b::808:808", true},
		{"NAT64 prefix does not open a private one", Policy{AllowPrefixes: nat64}, "64:ff9b::a00:1", false},
		{"NAT64 prefix does not open metadata", Policy{AllowPrefixes: nat64}, "64:ff9b::a9fe:a9fe", false},
		{"mapped form is the same address", Policy{AllowPrefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}, "::ffff:10.0.0.1", true},
	}
	for _, c := range cases {
		if err := c.p.Check(netip.MustParseAddr(c.addr)); (err == nil) != c.ok {
			t.Errorf("%s: Check(%s) = %v", c.name, c.addr, err)
		}
	}
}

func TestCanonical(t *testing.T) {
	base, err := url.Parse("https://www.portal.example/a/b?x=1")
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct{ in, want string }{ // want "": refused
		{"HTTP://WWW.Example.COM:80", "http://www.example.com/"},
		{"https://example.com:443/x#frag", "https://example.com/x"},
		{"https://example.com:8443/", "https://example.com:8443/"},
		{"//other.example/x", "https://other.example/x"},
		{"c.html", "https://www.portal.example/a/c.html"},
		{"/c", "https://www.portal.example/c"},
		{"?y", "https://www.portal.example/a/b?y"},
		{" \thttp://exa\nmple.com/ ", "http://example.com/"},
		{"http://青檀.example/", "http://xn--lfw196g.example/"},
		{"http://EXAMPLE.com./", "http://example.com/"},
		{`http:\\other.example\x`, "http://other.example/x"},
		{`http://good.example\@evil.example/`, "http://good.example/@evil.example/"},
		{"http://good.example@evil.example/", "http://good.example@evil.example/"}, // Fetch refuses it
		{"http://2130706433/", "http://127.0.0.1/"},
		{"http://0x7f000001/", "http://127.0.0.1/"},
		{"http://0177.0.0.1/", "http://127.0.0.1/"},
		{"http://0x7f.1/", "http://127.0.0.1/"},
		{"http://127.1/", "http://127.0.0.1/"},
		{"http://127.0.1/", "http://127.0.0.1/"},
		{"http://127.0.0.1./", "http://127.0.0.1/"},
		{"http://１２７.0.0.1/", "http://127.0.0.1/"},
		{"http://[::ffff:127.0.0.1]/", "http://127.0.0.1/"},
		{"http://[::1]:8080/", "http://[::1]:8080/"},
		{"http://[fe80::1%25eth0]/", ""},
		{"http://256.256.256.256/", ""},
		{"http://1.2.3.4.5/", ""},
		{"http://99999999999/", ""},
		{"http://127.0.0.08/", ""},
		{"http://example.com:99999/", ""},
		{"http://example.com:0/", ""},
		{"http://a..b/", ""},
		{"http://exa mple.com/", ""},
		{"http:///path", ""},
		{"http://host.1/", ""},
		{"mailto:a@b.example", ""},
		{"javascript:alert(1)", ""},
		{"data:text/html,x", ""},
		{"ftp://example.com/", ""},
	}
	for _, c := range cases {
		got, err := Canonical(base, c.in)
		if err != nil {
			if c.want != "" {
				t.Errorf("Canonical(%q): %v", c.in, err)
			}
			continue
		}
		if got.String() != c.want {
			t.Errorf("Canonical(%q) = %q, want %q", c.in, got, c.want)
		}
	}
	if _, err := Canonical(base, "mailto:x@y.example"); !errors.Is(err, ErrScheme) {
		t.Errorf("mailto: %v, want ErrScheme", err)
	}
}

func FuzzCanonical(f *testing.F) {
	for _, s := range []string{"http://a/", "//x\\y", "http://0x7f.1:80/a?b#c", "http://[::1]/", "?q", "http://xn--a/"} {
		f.Add(s)
	}
	base := &url.URL{Scheme: "http", Host: "base.example", Path: "/"}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := Canonical(base, raw)
		if err != nil {
			return
		}
		again, err := Canonical(nil, u.String())
		if err != nil {
			t.Fatalf("Canonical(%q) = %q, which is refused: %v", raw, u, err)
		}
		if again.String() != u.String() {
			t.Fatalf("Canonical(%q) = %q, whose canonical form is %q", raw, u, again)
		}
	})
}
