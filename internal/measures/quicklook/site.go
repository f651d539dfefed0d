package quicklook

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/html"
	"golang.org/x/net/html/charset"

	"garrison/internal/probe"
)

const (
	minValid = 14 * 24 * time.Hour  // a certificate that ends sooner is a finding
	minHSTS  = 180 * 24 * time.Hour // below half a year the header protects little
)

// Site looks at a web site: HTTPS, its certificate, the way from HTTP, HSTS, status
// and title.
func Site(ctx context.Context, target string, o Options) (Report, error) {
	u, err := webTarget(target)
	if err != nil {
		return Report{}, err
	}
	ctx, cancel, err := o.limit(ctx)
	if err != nil {
		return Report{}, err
	}
	defer cancel()
	rep := Report{Target: u.String(), Kind: "site"}
	p := o.probe(ctx, u.Hostname())
	secure, plain := ports(u)
	ex := p.Fetch(ctx, probe.Request{URL: secure, Robots: true, Own: true, MaxBody: 1 << 20})
	fact, offered := siteHTTPS(&rep, &ex)
	siteCertificate(&rep, &ex, fact, offered, time.Now())
	siteRedirect(&rep, p.Fetch(ctx, probe.Request{URL: plain, Robots: true, Own: true, NoFollow: true, MaxBody: 4096}), u)
	siteHSTS(&rep, &ex, offered)
	if offered == Fail && u.Scheme == "http" { // what there is stands on HTTP
		ex = p.Fetch(ctx, probe.Request{URL: u.String(), Robots: true, Own: true, MaxBody: 1 << 20})
	}
	sitePage(&rep, &ex)
	return rep, nil
}

// ports returns the target over HTTPS and over HTTP. A port belongs to the scheme it
// was given with.
func ports(u *url.URL) (secure, plain string) {
	s, h := *u, *u
	s.Scheme, h.Scheme = "https", "http"
	host := u.Hostname()
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if u.Scheme == "http" {
		s.Host = host
	} else {
		h.Host = host
	}
	return s.String(), h.String()
}

// tlsOf returns what the handshake with the first host showed; robots.txt counts.
func tlsOf(ex *probe.Exchange) *probe.TLSFact {
	for _, hops := range [][]probe.Hop{ex.Robots, ex.Hops} {
		if len(hops) > 0 && hops[0].TLS != nil {
			return hops[0].TLS
		}
	}
	return nil
}

// siteHTTPS says whether HTTPS is offered: pass, fail or unknown.
func siteHTTPS(rep *Report, ex *probe.Exchange) (*probe.TLSFact, string) {
	fact := tlsOf(ex)
	switch {
	case fact != nil && fact.Version != "":
		rep.add("https", Pass, "answers", "version", fact.Version, "cipher", fact.Cipher)
		return fact, Pass
	case ex.Err == nil:
		rep.add("https", Unknown, "no_handshake")
		return nil, Unknown
	case ex.Err.Kind == probe.Refused || ex.Err.Kind == probe.TLSFailed || ex.Err.Kind == probe.Protocol:
		rep.add("https", Fail, string(ex.Err.Kind), "detail", ex.Err.Why)
		return fact, Fail
	}
	rep.add("https", Unknown, string(ex.Err.Kind), "detail", ex.Err.Why)
	return nil, Unknown
}

func siteCertificate(rep *Report, ex *probe.Exchange, f *probe.TLSFact, offered string, now time.Time) {
	if f == nil || f.Digest == "" {
		out, why := Unknown, "not_seen"
		if offered == Fail {
			out, why = NotApplicable, "no_https"
		}
		rep.add("certificate", out, why)
		rep.add("certificate_expiry", out, why)
		return
	}
	kv := []string{"subject", f.Subject, "issuer", f.Issuer, "chain", strconv.Itoa(f.Chain), "sha256", f.Digest}
	if f.Verified {
		rep.add("certificate", Pass, "verified", kv...)
	} else {
		rep.add("certificate", Fail, "not_verified", append(kv, "detail", f.Why)...)
	}
	left := f.NotAfter.Sub(now)
	kv = []string{"not_after", f.NotAfter.Format(time.RFC3339), "days_left", strconv.Itoa(int(left.Hours() / 24))}
	switch {
	case left <= 0:
		rep.add("certificate_expiry", Fail, "expired", kv...)
	case left < minValid:
		rep.add("certificate_expiry", Fail, "expires_soon", kv...)
	default:
		rep.add("certificate_expiry", Pass, "valid", kv...)
	}
}

// siteRedirect looks at where plain HTTP leads.
func siteRedirect(rep *Report, ex probe.Exchange, u *url.URL) {
	status := strconv.Itoa(ex.Status())
	switch {
	case ex.Err != nil && ex.Err.Kind == probe.Refused:
		rep.add("http_redirect", NotApplicable, "no_http")
		return
	case ex.Err != nil:
		rep.add("http_redirect", Unknown, string(ex.Err.Kind), "detail", ex.Err.Why)
		return
	case ex.Status() < 300 || ex.Status() > 399:
		rep.add("http_redirect", Fail, "no_redirect", "status", status)
		return
	}
	location := ex.Header().Get("Location")
	from, err := url.Parse(ex.FinalURL)
	if err != nil {
		rep.add("http_redirect", Unknown, "bad_address")
		return
	}
	to, err := probe.Canonical(from, location)
	switch {
	case err != nil:
		rep.add("http_redirect", Fail, "bad_redirect", "status", status)
	case to.Scheme != "https":
		rep.add("http_redirect", Fail, "redirect_to_http", "to", to.String(), "status", status)
	default:
		rep.add("http_redirect", Pass, "to_https", "to", to.String(), "status", status)
	}
}

func siteHSTS(rep *Report, ex *probe.Exchange, offered string) {
	switch {
	case offered == Fail:
		rep.add("hsts", NotApplicable, "no_https")
		return
	case offered != Pass || len(ex.Hops) == 0 || ex.Hops[0].Status == 0:
		rep.add("hsts", Unknown, "no_answer")
		return
	}
	value := ex.Hops[0].Header.Get("Strict-Transport-Security")
	age, ok := maxAge(value)
	switch {
	case value == "":
		rep.add("hsts", Fail, "absent")
	case !ok:
		rep.add("hsts", Fail, "unreadable", "value", value)
	case age < minHSTS:
		rep.add("hsts", Fail, "short", "value", value)
	default:
		rep.add("hsts", Pass, "present", "value", value)
	}
}

// maxAge reads the one directive that counts (RFC 6797 §6.1.1).
func maxAge(value string) (time.Duration, bool) {
	for d := range strings.SplitSeq(value, ";") {
		k, v, ok := strings.Cut(strings.TrimSpace(d), "=")
		if ok && strings.EqualFold(strings.TrimSpace(k), "max-age") {
			n, err := strconv.ParseInt(strings.Trim(strings.TrimSpace(v), `"`), 10, 32)
			return time.Duration(n) * time.Second, err == nil && n >= 0
		}
	}
	return 0, false
}

func sitePage(rep *Report, ex *probe.Exchange) {
	switch status := ex.Status(); {
	case ex.Err != nil:
		rep.add("status", Unknown, string(ex.Err.Kind), "detail", ex.Err.Why)
	case status >= 200 && status <= 299:
		rep.add("status", Pass, fmt.Sprintf("status_%d", status), "final", ex.FinalURL)
	case status == 404 || status == 410 || status >= 500:
		rep.add("status", Fail, fmt.Sprintf("status_%d", status), "final", ex.FinalURL)
	default:
		rep.add("status", Unknown, fmt.Sprintf("status_%d", status), "final", ex.FinalURL)
	}
	switch {
	case ex.Err != nil || ex.Status() < 200 || ex.Status() > 299:
		rep.add("title", Unknown, "no_page")
	case !strings.Contains(strings.ToLower(ex.Header().Get("Content-Type")), "html"):
		rep.add("title", NotApplicable, "not_html")
	default:
		t := title(ex.Header().Get("Content-Type"), ex.Body)
		switch {
		case t != "":
			rep.add("title", Pass, "present", "title", t)
		case ex.Truncated:
			rep.add("title", Unknown, "limit_"+string(ex.Limit))
		default:
			rep.add("title", Fail, "absent")
		}
	}
}

func title(contentType string, body []byte) string {
	r, err := charset.NewReader(bytes.NewReader(body), contentType)
	if err != nil {
		r = bytes.NewReader(body)
	}
	z := html.NewTokenizer(r)
	z.SetMaxBuf(256 << 10)
	for {
		switch z.Next() {
		case html.ErrorToken:
			return ""
		case html.StartTagToken:
			if name, _ := z.TagName(); string(name) == "title" && z.Next() == html.TextToken {
				t := strings.Join(strings.Fields(strings.ToValidUTF8(string(z.Text()), "")), " ")
				if r := []rune(t); len(r) > 120 {
					t = string(r[:120]) + "…"
				}
				return t
			}
		}
	}
}
