package probe

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sort"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// maxAddrs bounds how many addresses of one name are tried.
const maxAddrs = 4

// wire is what the dialer learns about one hop. The transport may still be dialing
// when the hop is given up, hence the lock.
type wire struct {
	mu   sync.Mutex // guards the rest
	addr netip.AddrPort
	tls  *TLSFact
}

type wireKey struct{}

func (w *wire) facts() (netip.AddrPort, *TLSFact) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.addr, w.tls
}

// newTransport builds the one transport. No proxy, no kept connections (each hop is
// one connection whose address was checked), no transparent decompression, HTTP/1.1.
func (p *Probe) newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  nil, // never from the environment
		DialContext:            p.dial,
		DialTLSContext:         p.dialTLS,
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: p.cfg.MaxHeader,
		TLSNextProto:           map[string]func(string, *tls.Conn) http.RoundTripper{},
	}
}

// dial connects to the first address of the host that the policy allows.
func (p *Probe) dial(ctx context.Context, _, hostport string) (net.Conn, error) {
	host, portText, err := net.SplitHostPort(hostport)
	if err != nil {
		return nil, fmt.Errorf("dial %q: %w", hostport, err)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("dial %q: %w", hostport, err)
	}
	addrs, err := p.addrs(ctx, host)
	if err != nil {
		return nil, err
	}
	var last error
	for _, a := range addrs {
		conn, err := p.dialOne(ctx, netip.AddrPortFrom(a, uint16(port)))
		if err == nil {
			return conn, nil
		}
		if last = err; ctx.Err() != nil {
			break
		}
	}
	return nil, last
}

// addrs resolves host and leaves out what the policy refuses; the dialer's control
// checks again what is really connected to.
func (p *Probe) addrs(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a.Unmap()}, nil
	}
	all, err := p.res.Addrs(ctx, host)
	if err != nil {
		return nil, err
	}
	var ok []netip.Addr
	var refused error
	for _, a := range all {
		if err := p.policy.Check(a); err != nil {
			refused = err
			continue
		}
		ok = append(ok, a.Unmap())
	}
	if len(ok) == 0 && refused != nil {
		return nil, &errPolicy{fmt.Errorf("%s: %w", host, refused)}
	}
	if len(ok) == 0 {
		return nil, &Failure{Kind: DNSNoData, Why: fmt.Sprintf("%s has no address", host)}
	}
	// IPv4 first: on machines without IPv6 that costs nothing, and the order is
	// the same every time.
	sort.SliceStable(ok, func(i, j int) bool { return ok[i].Is4() && !ok[j].Is4() })
	return ok[:min(len(ok), maxAddrs)], nil
}

func (p *Probe) dialOne(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{Timeout: p.cfg.Connect, KeepAlive: -1, FallbackDelay: -1, Control: p.control}
	if w, ok := ctx.Value(wireKey{}).(*wire); ok {
		w.mu.Lock()
		w.addr = to
		w.mu.Unlock()
	}
	conn, err := d.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return conn, nil
}

// control is called with the address of every connection just before it is made. It
// is the last word, whatever was resolved or checked before.
func (p *Probe) control(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return &errPolicy{fmt.Errorf("address %q: %w", address, err)}
	}
	if err := p.policy.Check(ap.Addr()); err != nil {
		return &errPolicy{err}
	}
	if badPorts[ap.Port()] {
		return &errPolicy{fmt.Errorf("port %d belongs to another protocol", ap.Port())}
	}
	return nil
}

func (p *Probe) dialTLS(ctx context.Context, network, hostport string) (net.Conn, error) {
	conn, err := p.dial(ctx, network, hostport)
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		return nil, fmt.Errorf("dial %q: %w", hostport, err)
	}
	fact := &TLSFact{}
	tc := tls.Client(conn, p.tlsConfig(host, fact))
	hctx, cancel := context.WithTimeout(ctx, p.cfg.Connect)
	defer cancel()
	err = tc.HandshakeContext(hctx)
	if w, ok := ctx.Value(wireKey{}).(*wire); ok {
		w.mu.Lock()
		w.tls = fact
		w.mu.Unlock()
	}
	if err != nil {
		if fact.Why == "" {
			fact.Why = trimErr(err)
		}
		conn.Close()
		return nil, fmt.Errorf("tls: %w", err)
	}
	return tc, nil
}

// tlsConfig verifies as usual, and keeps what the handshake showed also when it is
// refused: verification is done in VerifyConnection, not skipped.
func (p *Probe) tlsConfig(host string, fact *TLSFact) *tls.Config {
	return &tls.Config{
		ServerName:         host,
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, // see VerifyConnection
		NextProtos:         []string{"http/1.1"},
		VerifyConnection: func(cs tls.ConnectionState) error {
			fill(fact, cs)
			if err := p.verify(host, cs); err != nil {
				fact.Why = trimErr(err)
				return err
			}
			fact.Verified = true
			return nil
		},
	}
}

func (p *Probe) verify(host string, cs tls.ConnectionState) error {
	if len(cs.PeerCertificates) == 0 {
		return fmt.Errorf("tls: no certificate")
	}
	opts := x509.VerifyOptions{DNSName: host, Roots: p.roots, Intermediates: x509.NewCertPool()}
	for _, c := range cs.PeerCertificates[1:] {
		opts.Intermediates.AddCert(c)
	}
	if _, err := cs.PeerCertificates[0].Verify(opts); err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: cs.PeerCertificates, Err: err}
	}
	return nil
}

func fill(f *TLSFact, cs tls.ConnectionState) {
	f.Version, f.Cipher = tls.VersionName(cs.Version), tls.CipherSuiteName(cs.CipherSuite)
	f.Chain = len(cs.PeerCertificates)
	if f.Chain == 0 {
		return
	}
	leaf := cs.PeerCertificates[0]
	sum := sha256.Sum256(leaf.Raw)
	f.Digest = hex.EncodeToString(sum[:])
	f.Subject, f.Issuer = short(leaf.Subject.String()), short(leaf.Issuer.String())
	f.NotBefore, f.NotAfter = leaf.NotBefore.UTC().Truncate(time.Second), leaf.NotAfter.UTC().Truncate(time.Second)
	for _, n := range leaf.DNSNames[:min(len(leaf.DNSNames), 20)] {
		f.Names = append(f.Names, short(n))
	}
}

// short bounds a text that the other side chose.
func short(s string) string { return trimErr(fmt.Errorf("%s", s)) }
