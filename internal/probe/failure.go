package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
)

// errPolicy marks a refusal by our own policy inside errors of the dialer.
type errPolicy struct{ why error }

func (e *errPolicy) Error() string { return "policy: " + e.why.Error() }

func (e *errPolicy) Unwrap() error { return e.why }

// classify turns an error of a connection or an exchange into a [Failure].
func classify(err error) *Failure {
	var f *Failure
	if errors.As(err, &f) {
		return f
	}
	var pol *errPolicy
	if errors.As(err, &pol) {
		return &Failure{Kind: PolicyRefused, Why: pol.why.Error()}
	}
	kind := kindOf(err)
	return &Failure{Kind: kind, Why: trimErr(err), Sent: kind != Failed}
}

func kindOf(err error) FailureKind {
	var netErr net.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return Timeout
	case errors.As(err, &netErr) && netErr.Timeout():
		return Timeout
	case isTLS(err):
		return TLSFailed
	case errors.Is(err, syscall.ECONNREFUSED):
		return Refused
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH),
		errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return NoRoute
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNABORTED):
		return Reset
	}
	// net/http has no values for these; its texts have not changed in years, and a
	// change only makes the answer less exact.
	text := err.Error()
	switch {
	case strings.Contains(text, "server response headers exceeded"):
		return TooLarge
	case strings.Contains(text, "EOF"), strings.Contains(text, "connection reset"),
		strings.Contains(text, "server closed idle"), strings.Contains(text, "transport connection broken"):
		if strings.Contains(text, "malformed") {
			return Protocol
		}
		return Reset
	case strings.Contains(text, "malformed"), strings.Contains(text, "invalid"),
		strings.Contains(text, "too many 1xx"), strings.Contains(text, "server gave HTTP response"),
		strings.Contains(text, "unsupported"):
		return Protocol
	}
	return Failed
}

func isTLS(err error) bool {
	var (
		record  tls.RecordHeaderError
		alert   tls.AlertError
		verify  *tls.CertificateVerificationError
		unknown x509.UnknownAuthorityError
		host    x509.HostnameError
		invalid x509.CertificateInvalidError
		opErr   *net.OpError
	)
	if errors.As(err, &opErr) && opErr.Op == "remote error" {
		return true // an alert from the other side
	}
	return errors.As(err, &record) || errors.As(err, &alert) || errors.As(err, &verify) ||
		errors.As(err, &unknown) || errors.As(err, &host) || errors.As(err, &invalid) ||
		strings.Contains(err.Error(), "tls: ")
}

// trimErr bounds an error text, part of which the other side may have chosen.
func trimErr(err error) string {
	s := strings.ToValidUTF8(err.Error(), "?")
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	if len(s) > 300 {
		s = strings.ToValidUTF8(s[:300], "") + "…"
	}
	return s
}
