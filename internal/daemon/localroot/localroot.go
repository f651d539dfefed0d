// Package localroot makes and keeps the installation's own certificate authority and
// the console's certificate under it, for operators who bring none of their own.
//
// The root is made once and lives in the key directory; it may sign certificates for
// servers only and no further authorities. Whoever trusts it in a browser trusts that
// directory, so keep it as closed as the signing keys. The certificate is renewed at start when a name is
// missing or fewer than thirty days are left. Not safe for two processes at once;
// the daemon's directory lock sees to that.
package localroot

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"garrison/internal/state/atomicfile"
)

const (
	rootLife   = 10 * 365 * 24 * time.Hour
	leafLife   = 397 * 24 * time.Hour // the longest that browsers accept
	renewUntil = 30 * 24 * time.Hour
)

// Root is the local certificate authority and the console's certificate.
type Root struct {
	Certificate tls.Certificate
	RootPEM     []byte // for clients that should trust this console
	Fingerprint string // SHA-256 of the console's certificate, colon-separated
}

// Ensure returns the certificate for names (host names and addresses), making the
// root and the certificate in dir where they are missing or about to end.
func Ensure(dir string, names []string, now time.Time) (Root, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Root{}, fmt.Errorf("make key directory: %w", err)
	}
	rootCert, rootKey, err := ensureRoot(dir, now)
	if err != nil {
		return Root{}, err
	}
	names = normalise(names)
	leafPath, keyPath := filepath.Join(dir, "console.pem"), filepath.Join(dir, "console.key")
	leaf, err := tls.LoadX509KeyPair(leafPath, keyPath)
	if err != nil || !fits(leaf, rootCert, names, now) {
		if leaf, err = issue(leafPath, keyPath, rootCert, rootKey, names, now); err != nil {
			return Root{}, err
		}
	}
	sum := sha256.Sum256(leaf.Certificate[0])
	return Root{
		Certificate: leaf,
		RootPEM:     pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rootCert.Raw}),
		Fingerprint: Fingerprint(sum),
	}, nil
}

// Fingerprint writes a SHA-256 sum as browsers show it.
func Fingerprint(sum [32]byte) string {
	parts := make([]string, len(sum))
	for i, b := range sum {
		parts[i] = fmt.Sprintf("%02X", b)
	}
	return strings.Join(parts, ":")
}

func normalise(names []string) []string {
	all := append([]string{"localhost", "127.0.0.1", "::1"}, names...)
	for i, n := range all {
		if ip, err := netip.ParseAddr(n); err == nil {
			all[i] = ip.Unmap().WithZone("").String()
		}
	}
	all = slices.DeleteFunc(all, func(n string) bool {
		ip, err := netip.ParseAddr(n)
		return n == "" || (err == nil && ip.IsUnspecified())
	})
	slices.Sort(all)
	return slices.Compact(all)
}

func fits(leaf tls.Certificate, root *x509.Certificate, names []string, now time.Time) bool {
	c, err := x509.ParseCertificate(leaf.Certificate[0])
	if err != nil || now.Add(renewUntil).After(c.NotAfter) || c.CheckSignatureFrom(root) != nil {
		return false
	}
	for _, n := range names {
		if c.VerifyHostname(n) != nil {
			return false
		}
	}
	return true
}

func ensureRoot(dir string, now time.Time) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	certPath, keyPath := filepath.Join(dir, "root.pem"), filepath.Join(dir, "root.key")
	pair, err := tls.LoadX509KeyPair(certPath, keyPath)
	if err == nil {
		cert, err := x509.ParseCertificate(pair.Certificate[0])
		if err != nil {
			return nil, nil, fmt.Errorf("read local root %q: %w", certPath, err)
		}
		key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
		if !ok {
			return nil, nil, fmt.Errorf("local root %q: not an ECDSA key", keyPath)
		}
		if now.Before(cert.NotAfter) {
			return cert, key, nil
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, nil, fmt.Errorf("read local root in %q: %w; move root.pem and root.key away to have new ones made", dir, err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make local root key: %w", err)
	}
	host, _ := os.Hostname()
	tpl := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: "Garrison local root " + host, Organization: []string{"Garrison"}},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(rootLife),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, &key.PublicKey, key)
	if err != nil {
		return nil, nil, fmt.Errorf("make local root: %w", err)
	}
	if err := writePair(certPath, keyPath, der, key); err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return cert, key, err
}

func issue(certPath, keyPath string, root *x509.Certificate, rootKey *ecdsa.PrivateKey, names []string, now time.Time) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make console key: %w", err)
	}
	tpl := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{CommonName: "Garrison console", Organization: []string{"Garrison"}},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(leafLife),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, n := range names {
		if ip, err := netip.ParseAddr(n); err == nil {
			tpl.IPAddresses = append(tpl.IPAddresses, ip.AsSlice())
		} else {
			tpl.DNSNames = append(tpl.DNSNames, n)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, tpl, root, &key.PublicKey, rootKey)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make console certificate: %w", err)
	}
	if err := writePair(certPath, keyPath, der, key); err != nil {
		return tls.Certificate{}, err
	}
	return tls.LoadX509KeyPair(certPath, keyPath)
}

func writePair(certPath, keyPath string, der []byte, key *ecdsa.PrivateKey) error {
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode key %q: %w", keyPath, err)
	}
	if err := atomicfile.WriteFile(keyPath, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), 0o600); err != nil {
		return err
	}
	return atomicfile.WriteFile(certPath, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
}

func serial() *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		panic("localroot: no randomness: " + err.Error())
	}
	return n
}
