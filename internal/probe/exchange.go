package probe

import (
	"context"
	"net/http"
	"net/netip"
	"time"
)

// Prober is what measures need of a [Probe]. A [Recorder] is one too.
type Prober interface {
	// Fetch performs one request and follows its redirects. Whatever went wrong
	// stands in Exchange.Err. It obeys ctx.
	Fetch(ctx context.Context, r Request) Exchange
	// Lookup asks the resolver one question. Whatever went wrong stands in
	// Answer.Err.
	Lookup(ctx context.Context, name string, t RecordType) Answer
}

// Request is what to fetch. The zero value of every option is the careful choice.
type Request struct {
	Method string // "GET" when empty; GET and HEAD only
	URL    string
	// Robots asks for robots.txt to be honoured, on every host on the way.
	Robots bool
	// Own says that the first host is the operator's own: its pace is
	// Config.OwnPerHost. Hosts that a redirect leads to are foreign.
	Own bool
	// MaxBody limits the decoded body; 0 or anything above Config.MaxBody means
	// Config.MaxBody.
	MaxBody int64
	// NoFollow returns the first answer even when it is a redirect.
	NoFollow bool
	// Timeout limits the whole exchange, waiting for the host's turn excluded; 0
	// means Config.Timeout.
	Timeout time.Duration
}

// Exchange is everything one [Request] led to. It is what transcripts keep; the body
// itself is not kept, its digest is.
type Exchange struct {
	Started   time.Time     `json:"started"`
	Took      time.Duration `json:"took_ns"`
	Method    string        `json:"method"`
	URL       string        `json:"url"`
	Hops      []Hop         `json:"hops,omitempty"`
	Robots    []Hop         `json:"robots,omitempty"` // requests for robots.txt this one caused
	FinalURL  string        `json:"final_url,omitempty"`
	Body      []byte        `json:"-"`
	Truncated bool          `json:"truncated,omitempty"`
	Limit     Limit         `json:"limit,omitempty"` // which limit cut the body short
	Err       *Failure      `json:"err,omitempty"`
}

// Status returns the last answer's status, 0 when there was no answer.
func (e *Exchange) Status() int {
	if len(e.Hops) == 0 {
		return 0
	}
	return e.Hops[len(e.Hops)-1].Status
}

// Header returns the last answer's (bounded) header, nil when there was no answer.
func (e *Exchange) Header() http.Header {
	if len(e.Hops) == 0 {
		return nil
	}
	return e.Hops[len(e.Hops)-1].Header
}

// Hop is one request and its answer.
type Hop struct {
	Method     string         `json:"method"`
	URL        string         `json:"url"`
	At         time.Time      `json:"at"`
	Addr       netip.AddrPort `json:"addr,omitzero"` // what was connected to
	Status     int            `json:"status,omitempty"`
	Header     http.Header    `json:"header,omitempty"` // bounded: see maxKeptHeader
	TLS        *TLSFact       `json:"tls,omitempty"`
	Took       time.Duration  `json:"took_ns"`
	WireBytes  int64          `json:"wire_bytes,omitempty"` // of the body, as received
	BodyBytes  int64          `json:"body_bytes,omitempty"` // after decompression
	BodyDigest string         `json:"body_sha256,omitempty"`
}

// TLSFact is what a TLS handshake showed, also one that was then refused.
type TLSFact struct {
	Version   string    `json:"version,omitempty"`
	Cipher    string    `json:"cipher,omitempty"`
	Subject   string    `json:"subject,omitempty"`
	Issuer    string    `json:"issuer,omitempty"`
	Names     []string  `json:"names,omitempty"`
	NotBefore time.Time `json:"not_before,omitzero"`
	NotAfter  time.Time `json:"not_after,omitzero"`
	Chain     int       `json:"chain,omitempty"` // certificates the server sent
	Digest    string    `json:"sha256,omitempty"`
	Verified  bool      `json:"verified"`
	Why       string    `json:"why,omitempty"` // why not verified
}

// Limit names a limit that cut an answer short.
type Limit string

const (
	LimitBody       Limit = "body_bytes"         // the body is longer than MaxBody
	LimitDecoded    Limit = "decompressed_bytes" // it only became so by decompression
	LimitTime       Limit = "time"               // the head came, the body did not end in time
	LimitIncomplete Limit = "incomplete"         // the connection ended before the body did
	LimitEncoding   Limit = "encoding"           // an encoding we did not ask for; the body is not decoded
)

// FailureKind tells failures apart. What each means is for the asker to judge.
type FailureKind string

const (
	DNSNXDomain      FailureKind = "dns_nxdomain" // the name does not exist, says the resolver
	DNSNoData        FailureKind = "dns_nodata"   // the name exists and has no address
	DNSTimeout       FailureKind = "dns_timeout"
	DNSFailed        FailureKind = "dns_failed" // SERVFAIL, REFUSED, no resolver, malformed answer
	Refused          FailureKind = "refused"    // connection refused
	NoRoute          FailureKind = "no_route"   // host or network unreachable
	Timeout          FailureKind = "timeout"    // asked, no answer in the time allowed
	Reset            FailureKind = "reset"      // the connection broke off
	TLSFailed        FailureKind = "tls"
	PolicyRefused    FailureKind = "policy"         // we may not connect there
	RobotsDenied     FailureKind = "robots"         // robots.txt forbids it
	RobotsUnknown    FailureKind = "robots_unknown" // robots.txt could not be had; RFC 9309 says: then do not
	TooManyRedirects FailureKind = "too_many_redirects"
	RedirectLoop     FailureKind = "redirect_loop"
	TooLarge         FailureKind = "too_large" // header beyond its limit
	Protocol         FailureKind = "protocol"  // not an answer in HTTP, or a redirect to nowhere
	Deadline         FailureKind = "deadline"  // the asker's time ran out before the request was sent
	Failed           FailureKind = "failed"    // anything else
)

// Failure says what kept an exchange or a lookup from an answer.
type Failure struct {
	Kind FailureKind `json:"kind"`
	Why  string      `json:"why"`
	// Sent says that a request (or query) had been sent: an answer did not come,
	// as against never having asked.
	Sent bool `json:"sent,omitempty"`
}

func (f *Failure) Error() string { return string(f.Kind) + ": " + f.Why }

// RecordType is a DNS record type by name.
type RecordType string

const (
	TypeA     RecordType = "A"
	TypeAAAA  RecordType = "AAAA"
	TypeNS    RecordType = "NS"
	TypeSOA   RecordType = "SOA"
	TypeMX    RecordType = "MX"
	TypeTXT   RecordType = "TXT"
	TypeCNAME RecordType = "CNAME"
)

// Answer is what the resolver said to one question.
type Answer struct {
	Started time.Time     `json:"started"`
	Took    time.Duration `json:"took_ns"`
	Name    string        `json:"name"`
	Type    RecordType    `json:"type"`
	Server  string        `json:"server,omitempty"`
	Code    string        `json:"code,omitempty"` // NOERROR, NXDOMAIN, SERVFAIL …
	// Values of the records of the type asked for, in presentation form, sorted;
	// MX as "10 mail.example", SOA as "mname rname serial".
	Values []string `json:"values,omitempty"`
	// Authenticated says that the resolver claims to have checked DNSSEC.
	Authenticated bool     `json:"ad,omitempty"`
	Err           *Failure `json:"err,omitempty"`
}
