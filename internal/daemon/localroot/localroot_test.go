package localroot

import (
	"crypto/x509"
	"testing"
	"time"
)

func TestCertificateIsKeptWhileItFitsAndRenewedWhenNot(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	first, err := Ensure(dir, []string{"console.example.net", "0.0.0.0"}, now)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Ensure(dir, []string{"console.example.net"}, now.Add(24*time.Hour))
	if err != nil || again.Fingerprint != first.Fingerprint {
		t.Errorf("restart made a new certificate (%v)", err)
	}
	late, err := Ensure(dir, []string{"console.example.net"}, now.Add(380*24*time.Hour))
	if err != nil || late.Fingerprint == first.Fingerprint {
		t.Errorf("certificate about to end was kept (%v)", err)
	}
	other, err := Ensure(dir, []string{"other.example.net"}, now.Add(380*24*time.Hour))
	if err != nil || other.Fingerprint == late.Fingerprint {
		t.Errorf("certificate lacking a name was kept (%v)", err)
	}
	same, err := Ensure(dir, []string{"other.example.net", "::ffff:127.0.0.1", "fe80::7%eth0"}, now.Add(380*24*time.Hour))
	if err != nil || same.Fingerprint == other.Fingerprint {
		t.Errorf("certificate lacking an address was kept (%v)", err)
	}
	if kept, err := Ensure(dir, []string{"other.example.net", "fe80::7%eth1"}, now.Add(380*24*time.Hour)); err != nil || kept.Fingerprint != same.Fingerprint {
		t.Errorf("one address in other spellings made a new certificate (%v)", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(first.RootPEM) {
		t.Fatal("root is not PEM")
	}
	leaf, err := x509.ParseCertificate(first.Certificate.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"localhost", "127.0.0.1", "console.example.net"} {
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: name}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
