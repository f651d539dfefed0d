package probe

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	dnsTry     = 3 * time.Second // one question to one server
	dnsRounds  = 2
	maxServers = 3
	maxMessage = 64 << 10
	udpSize    = 1232 // what passes without fragments
	resolvConf = "/etc/resolv.conf"
)

// resolver asks recursive resolvers. Names in the system's hosts file are answered
// from there, as other programs on the machine would.
type resolver struct {
	servers []netip.AddrPort // empty: those of the system, read for each question
	now     func() time.Time
}

func newResolver(servers []netip.AddrPort, now func() time.Time) *resolver {
	return &resolver{servers: servers, now: now}
}

// Addrs returns the addresses of host; see [Resolver].
func (r *resolver) Addrs(ctx context.Context, host string) ([]netip.Addr, error) {
	if len(r.servers) == 0 {
		return r.systemAddrs(ctx, host)
	}
	var out []netip.Addr
	var first *Failure
	for _, t := range []RecordType{TypeA, TypeAAAA} {
		ans := r.Lookup(ctx, host, t)
		if ans.Err != nil {
			if first == nil || first.Kind == DNSNoData {
				first = ans.Err
			}
			if ans.Err.Kind == DNSNXDomain {
				break
			}
			continue
		}
		for _, v := range ans.Values {
			if a, err := netip.ParseAddr(v); err == nil {
				out = append(out, a.Unmap())
			}
		}
	}
	if len(out) == 0 && first != nil {
		return nil, first
	}
	return out, nil
}

// systemAddrs asks as the system is set up, hosts file included. The name is given
// as absolute, so that no search domain is appended.
func (r *resolver) systemAddrs(ctx context.Context, host string) ([]netip.Addr, error) {
	if invalidName(host) {
		return nil, &Failure{Kind: DNSNXDomain, Why: host + ": .invalid never exists (RFC 6761 §6.4)"}
	}
	res := net.Resolver{PreferGo: true}
	addrs, err := res.LookupNetIP(ctx, "ip", host+".")
	if err == nil {
		return addrs, nil
	}
	var dns *net.DNSError
	if !errors.As(err, &dns) {
		return nil, &Failure{Kind: DNSFailed, Why: trimErr(err), Sent: true}
	}
	switch {
	case dns.IsTimeout:
		return nil, &Failure{Kind: DNSTimeout, Why: host + ": the resolver did not answer in time", Sent: true}
	case dns.IsNotFound:
		// The library does not tell "no such name" from "no address"; ask again.
		if a := r.Lookup(ctx, host, TypeA); a.Err != nil {
			return nil, a.Err
		}
		return nil, &Failure{Kind: DNSFailed, Why: host + ": the resolver contradicts itself", Sent: true}
	}
	return nil, &Failure{Kind: DNSFailed, Why: trimErr(err), Sent: true}
}

// Lookup asks one question; see [Prober].
func (r *resolver) Lookup(ctx context.Context, name string, t RecordType) Answer {
	begun := time.Now()
	ans := Answer{Started: r.now().UTC(), Name: name, Type: t}
	defer func() { ans.Took = time.Since(begun) }()
	if invalidName(name) {
		ans.Code, ans.Err = "NXDOMAIN", &Failure{Kind: DNSNXDomain, Why: ".invalid never exists (RFC 6761 §6.4)"}
		return ans
	}
	query, id, err := question(name, t)
	if err != nil {
		ans.Err = &Failure{Kind: DNSFailed, Why: trimErr(err)}
		return ans
	}
	servers, err := r.list()
	if err != nil {
		ans.Err = &Failure{Kind: DNSFailed, Why: trimErr(err)}
		return ans
	}
	var last error
	for range dnsRounds {
		for _, s := range servers {
			reply, err := ask(ctx, s, query, id)
			if err != nil {
				last = err
				continue
			}
			ans.Server = s.String()
			if read(&ans, reply, t); ans.Code != "SERVFAIL" && ans.Code != "REFUSED" {
				return ans
			}
			last = ans.Err
		}
		if ctx.Err() != nil {
			break
		}
	}
	if ans.Err == nil {
		ans.Err = dnsFailure(name, last)
	}
	return ans
}

func dnsFailure(name string, err error) *Failure {
	f := classify(err)
	f.Sent = true
	switch f.Kind {
	case Timeout:
		return &Failure{Kind: DNSTimeout, Why: name + ": the resolver did not answer in time", Sent: true}
	case DNSNXDomain, DNSNoData, DNSTimeout:
		return f
	}
	return &Failure{Kind: DNSFailed, Why: name + ": " + f.Why, Sent: true}
}

// list returns the servers to ask.
func (r *resolver) list() ([]netip.AddrPort, error) {
	if len(r.servers) > 0 {
		return r.servers[:min(len(r.servers), maxServers)], nil
	}
	f, err := os.Open(resolvConf)
	if err != nil {
		return nil, fmt.Errorf("find the resolver: %w", err)
	}
	defer f.Close()
	var out []netip.AddrPort
	lines := bufio.NewScanner(io.LimitReader(f, 64<<10))
	for lines.Scan() && len(out) < maxServers {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(fields[1]); err == nil {
			out = append(out, netip.AddrPortFrom(a, 53))
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("find the resolver: %s names none", resolvConf)
	}
	return out, nil
}

func invalidName(name string) bool {
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	return name == "invalid" || strings.HasSuffix(name, ".invalid")
}

// question builds a query with recursion desired, EDNS(0), and AD set so that the
// answer's AD bit means something (RFC 6840 §5.7).
func question(name string, t RecordType) ([]byte, uint16, error) {
	n, err := dnsmessage.NewName(strings.TrimSuffix(name, ".") + ".")
	if err != nil {
		return nil, 0, fmt.Errorf("name %.80q: %w", name, err)
	}
	qt, ok := recordTypes[t]
	if !ok {
		return nil, 0, fmt.Errorf("record type %q is not one this probe asks for", t)
	}
	var idBytes [2]byte
	if _, err := rand.Read(idBytes[:]); err != nil {
		return nil, 0, fmt.Errorf("query id: %w", err)
	}
	id := binary.BigEndian.Uint16(idBytes[:])
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: id, RecursionDesired: true, AuthenticData: true})
	var opt dnsmessage.ResourceHeader
	err = errors.Join(b.StartQuestions(),
		b.Question(dnsmessage.Question{Name: n, Type: qt, Class: dnsmessage.ClassINET}),
		b.StartAdditionals(), opt.SetEDNS0(udpSize, dnsmessage.RCodeSuccess, false),
		b.OPTResource(opt, dnsmessage.OPTResource{}))
	if err != nil {
		return nil, 0, fmt.Errorf("query for %.80q: %w", name, err)
	}
	msg, err := b.Finish()
	return msg, id, err
}

var recordTypes = map[RecordType]dnsmessage.Type{
	TypeA: dnsmessage.TypeA, TypeAAAA: dnsmessage.TypeAAAA, TypeNS: dnsmessage.TypeNS, TypeSOA: dnsmessage.TypeSOA,
	TypeMX: dnsmessage.TypeMX, TypeTXT: dnsmessage.TypeTXT, TypeCNAME: dnsmessage.TypeCNAME,
}

// ask sends one query over UDP, and again over TCP when the answer did not fit.
func ask(ctx context.Context, server netip.AddrPort, query []byte, id uint16) (*dnsmessage.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, dnsTry)
	defer cancel()
	m, err := exchangeUDP(ctx, server, query, id)
	if err == nil && m.Truncated {
		return exchangeTCP(ctx, server, query, id)
	}
	return m, err
}

func exchangeUDP(ctx context.Context, server netip.AddrPort, query []byte, id uint16) (*dnsmessage.Message, error) {
	conn, err := connectDNS(ctx, "udp", server)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if _, err := conn.Write(query); err != nil {
		return nil, fmt.Errorf("ask %s: %w", server, err)
	}
	buf := make([]byte, maxMessage)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, fmt.Errorf("ask %s: %w", server, err)
		}
		// What is not the answer to our question is somebody guessing: wait on.
		if m := unpack(buf[:n], query, id); m != nil {
			return m, nil
		}
	}
}

func exchangeTCP(ctx context.Context, server netip.AddrPort, query []byte, id uint16) (*dnsmessage.Message, error) {
	conn, err := connectDNS(ctx, "tcp", server)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	framed := binary.BigEndian.AppendUint16(nil, uint16(len(query)))
	if _, err := conn.Write(append(framed, query...)); err != nil {
		return nil, fmt.Errorf("ask %s: %w", server, err)
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, fmt.Errorf("ask %s: %w", server, err)
	}
	buf := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, buf); err != nil {
		return nil, fmt.Errorf("ask %s: %w", server, err)
	}
	m := unpack(buf, query, id)
	if m == nil {
		return nil, fmt.Errorf("ask %s: the answer is not to our question", server)
	}
	return m, nil
}

func connectDNS(ctx context.Context, network string, server netip.AddrPort) (net.Conn, error) {
	var d net.Dialer // the operator's own resolver: the address policy is about targets
	conn, err := d.DialContext(ctx, network, server.String())
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", server, err)
	}
	if end, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(end); err != nil {
			conn.Close()
			return nil, fmt.Errorf("ask %s: %w", server, err)
		}
	}
	return conn, nil
}

// unpack returns the message if it answers our query: same id, same question.
func unpack(reply, query []byte, id uint16) *dnsmessage.Message {
	var m, q dnsmessage.Message
	if m.Unpack(reply) != nil || q.Unpack(query) != nil || !m.Response || m.ID != id || len(m.Questions) != 1 {
		return nil
	}
	got, want := m.Questions[0], q.Questions[0]
	if got.Type != want.Type || got.Class != want.Class || !strings.EqualFold(got.Name.String(), want.Name.String()) {
		return nil
	}
	return &m
}

// read fills ans from a reply.
func read(ans *Answer, m *dnsmessage.Message, t RecordType) {
	ans.Err, ans.Authenticated = nil, m.AuthenticData
	ans.Code = rcode(m.RCode)
	switch m.RCode {
	case dnsmessage.RCodeSuccess:
	case dnsmessage.RCodeNameError:
		ans.Err = &Failure{Kind: DNSNXDomain, Why: ans.Name + " does not exist", Sent: true}
		return
	default:
		ans.Err = &Failure{Kind: DNSFailed, Why: ans.Name + ": the resolver says " + ans.Code, Sent: true}
		return
	}
	for _, a := range m.Answers {
		if a.Header.Type == recordTypes[t] {
			ans.Values = append(ans.Values, value(a.Body))
		}
	}
	slices.Sort(ans.Values)
	if len(ans.Values) == 0 {
		ans.Err = &Failure{Kind: DNSNoData, Why: fmt.Sprintf("%s has no %s record", ans.Name, t), Sent: true}
	}
}

func rcode(c dnsmessage.RCode) string {
	names := [...]string{"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"}
	if int(c) < len(names) {
		return names[c]
	}
	return fmt.Sprintf("RCODE%d", c)
}

func value(b dnsmessage.ResourceBody) string {
	host := func(n dnsmessage.Name) string { return short(strings.ToLower(strings.TrimSuffix(n.String(), "."))) }
	switch r := b.(type) {
	case *dnsmessage.AResource:
		return netip.AddrFrom4(r.A).String()
	case *dnsmessage.AAAAResource:
		return netip.AddrFrom16(r.AAAA).Unmap().String()
	case *dnsmessage.NSResource:
		return host(r.NS)
	case *dnsmessage.CNAMEResource:
		return host(r.CNAME)
	case *dnsmessage.MXResource:
		return fmt.Sprintf("%d %s", r.Pref, host(r.MX))
	case *dnsmessage.SOAResource:
		return fmt.Sprintf("%s %s %d", host(r.NS), host(r.MBox), r.Serial)
	case *dnsmessage.TXTResource:
		s := strings.ToValidUTF8(strings.Join(r.TXT, ""), "?")
		return s[:min(len(s), 4096)]
	}
	return ""
}
