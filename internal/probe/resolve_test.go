package probe

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/dns/dnsmessage"
)

// dnsServer answers over UDP and TCP on one port, by the first label of the name.
func dnsServer(t *testing.T) netip.AddrPort {
	t.Helper()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.ListenPacket("udp", tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tcp.Close(); udp.Close() })
	go func() {
		buf := make([]byte, 4096)
		for {
			n, from, err := udp.ReadFrom(buf)
			if err != nil {
				return
			}
			for _, reply := range replies(buf[:n], false) {
				_, _ = udp.WriteTo(reply, from)
			}
		}
	}()
	go func() {
		for {
			c, err := tcp.Accept()
			if err != nil {
				return
			}
			var size [2]byte
			_, _ = io.ReadFull(c, size[:])
			q := make([]byte, binary.BigEndian.Uint16(size[:]))
			_, _ = io.ReadFull(c, q)
			for _, r := range replies(q, true) {
				_, _ = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(r))), r...))
			}
			c.Close()
		}
	}()
	return netip.MustParseAddrPort(tcp.Addr().String())
}

func replies(query []byte, tcp bool) [][]byte {
	var m dnsmessage.Message
	if m.Unpack(query) != nil {
		return nil
	}
	q := m.Questions[0]
	m.Response, m.Additionals = true, nil
	h := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 60, Type: q.Type}
	pack := func() []byte { b, _ := m.Pack(); return b }
	a := func() []dnsmessage.Resource {
		return []dnsmessage.Resource{{Header: h, Body: &dnsmessage.AResource{A: [4]byte{198, 51, 100, 7}}}}
	}
	switch label, _, _ := strings.Cut(q.Name.String(), "."); label {
	case "gone":
		m.RCode = dnsmessage.RCodeNameError
	case "broken":
		m.RCode = dnsmessage.RCodeServerFailure
	case "silent":
		return nil
	case "big":
		if m.Truncated = !tcp; tcp {
			m.Answers = a()
		}
	case "spoofed": // a wrong id, a wrong question, then the answer
		m.Answers = []dnsmessage.Resource{{Header: h, Body: &dnsmessage.AResource{A: [4]byte{6, 6, 6, 6}}}}
		m.ID++
		wrongID := pack()
		m.ID--
		m.Questions[0].Name = dnsmessage.MustNewName("other.example.")
		wrongName := pack()
		m.Questions[0].Name = q.Name
		m.Answers = a()
		return [][]byte{wrongID, wrongName, pack()}
	case "good":
		switch q.Type {
		case dnsmessage.TypeA:
			m.Answers = a()
		case dnsmessage.TypeMX:
			m.Answers = []dnsmessage.Resource{{Header: h, Body: &dnsmessage.MXResource{Pref: 10, MX: dnsmessage.MustNewName("Mail.Good.Example.")}}}
		case dnsmessage.TypeTXT:
			m.Answers = []dnsmessage.Resource{{Header: h, Body: &dnsmessage.TXTResource{TXT: []string{"v=spf1 ", "-all"}}}}
		}
	}
	return [][]byte{pack()}
}

func TestLookup(t *testing.T) {
	cfg := testConfig()
	cfg.Servers = []netip.AddrPort{dnsServer(t)}
	p := New(cfg, Deps{})
	cases := []struct {
		name   string
		t      RecordType
		values []string
		kind   FailureKind
	}{
		{"good.example", TypeA, []string{"198.51.100.7"}, ""},
		{"good.example", TypeMX, []string{"10 mail.good.example"}, ""},
		{"good.example", TypeTXT, []string{"v=spf1 -all"}, ""},
		{"good.example", TypeNS, nil, DNSNoData},
		{"gone.example", TypeA, nil, DNSNXDomain},
		{"broken.example", TypeA, nil, DNSFailed},
		{"big.example", TypeA, []string{"198.51.100.7"}, ""},
		{"spoofed.example", TypeA, []string{"198.51.100.7"}, ""},
		{"never.invalid", TypeA, nil, DNSNXDomain},
		{"too.long." + strings.Repeat("a", 300), TypeA, nil, DNSFailed},
		{"good.example", "LOC", nil, DNSFailed},
	}
	for _, c := range cases {
		ans := p.Lookup(t.Context(), c.name, c.t)
		var kind FailureKind
		if ans.Err != nil {
			kind = ans.Err.Kind
		}
		if d := cmp.Diff(ans.Values, c.values); d != "" || kind != c.kind {
			t.Errorf("%s %s: %v; values (-got +want)\n%s", c.name, c.t, ans.Err, d)
		}
	}
}

func TestASilentResolverIsATimeoutAndAnAbsentOneAFailure(t *testing.T) {
	cfg := testConfig()
	cfg.Servers = []netip.AddrPort{dnsServer(t)}
	ctx, cancel := timeout(t, 200*time.Millisecond)
	defer cancel()
	if ans := New(cfg, Deps{}).Lookup(ctx, "silent.example", TypeA); ans.Err == nil || ans.Err.Kind != DNSTimeout {
		t.Errorf("silent resolver: %v, want dns_timeout", ans.Err)
	}
	cfg.Servers = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1")}
	if ans := New(cfg, Deps{}).Lookup(t.Context(), "good.example", TypeA); ans.Err == nil || ans.Err.Kind != DNSFailed {
		t.Errorf("absent resolver: %v, want dns_failed", ans.Err)
	}
}

func TestAddressesThroughTheResolver(t *testing.T) {
	cfg := testConfig()
	cfg.Servers = []netip.AddrPort{dnsServer(t)}
	p := New(cfg, Deps{})
	got, err := p.res.Addrs(t.Context(), "good.example")
	if d := cmp.Diff(got, []netip.Addr{netip.MustParseAddr("198.51.100.7")}, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); err != nil || d != "" {
		t.Errorf("good: %v (-got +want)\n%s", err, d)
	}
	var f *Failure
	if _, err := p.res.Addrs(t.Context(), "gone.example"); !errors.As(err, &f) || f.Kind != DNSNXDomain {
		t.Errorf("gone: %v, want dns_nxdomain", err)
	}
	if ex := p.Fetch(t.Context(), Request{URL: "http://gone.example/", Robots: true}); ex.Err == nil || ex.Err.Kind != DNSNXDomain {
		t.Errorf("fetch of a name that does not exist: %v", ex.Err)
	}
}
