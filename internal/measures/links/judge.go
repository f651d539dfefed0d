package links

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"garrison/internal/probe"
)

// The words the measure says about one link; measure.yaml says what they mean.
const (
	alive       = "alive"
	dead        = "dead"
	forbidden   = "forbidden"
	slow        = "slow"
	unreachable = "unreachable"
	moved       = "moved"
	parkedLink  = "parked"
	unknown     = "unknown"
)

// lookBody is how much of a link's target is read: enough for a parking page.
const lookBody = 256 << 10

// look is what one look at one link came to. The zero look is unknown.
type look struct {
	verdict string
	why     string
	status  int
	to      string // where a moved link leads
	sure    bool   // the other side itself said so
}

// lookAt asks for one link and judges the answer. HEAD is not used: many servers
// answer it differently.
func lookAt(ctx context.Context, p probe.Prober, l *link, own bool, timeout time.Duration) look {
	if l.bad != "" {
		return look{verdict: unknown, why: "bad_address"}
	}
	ex := p.Fetch(ctx, probe.Request{URL: l.url.String(), Robots: true, Own: own, MaxBody: lookBody, Timeout: timeout})
	v := judge(ctx, p, l.url, &ex)
	v.status = ex.Status()
	if v.verdict == dead && l.kind == kindFormPost {
		// A form that is sent by POST may answer GET with anything.
		return look{verdict: unknown, why: "form_post", status: v.status}
	}
	return v
}

func judge(ctx context.Context, p probe.Prober, asked *url.URL, ex *probe.Exchange) look {
	if ex.Err != nil {
		return judgeFailure(ctx, p, ex)
	}
	status := ex.Status()
	switch {
	case status == 404 || status == 410:
		return look{verdict: dead, why: fmt.Sprintf("status_%d", status), sure: true}
	case status == 401 || status == 403 || status == 407 || status == 451:
		return look{verdict: forbidden, why: fmt.Sprintf("status_%d", status)}
	case status == 408 || status == 504:
		return look{verdict: slow, why: fmt.Sprintf("status_%d", status)}
	case status >= 500:
		return look{verdict: unreachable, why: fmt.Sprintf("status_%d", status)}
	case status == 405: // there is something, only not for GET
		return look{verdict: alive, why: "status_405"}
	case status < 200 || status > 299:
		return look{verdict: unknown, why: fmt.Sprintf("status_%d", status)}
	case ex.Limit == probe.LimitTime:
		return look{verdict: slow, why: "body_timeout"}
	}
	return judgePage(ctx, p, asked, ex)
}

func judgePage(ctx context.Context, p probe.Prober, asked *url.URL, ex *probe.Exchange) look {
	final, err := url.Parse(ex.FinalURL)
	if err != nil {
		return look{verdict: unknown, why: "bad_address"}
	}
	doc := document{}
	if isHTML(ex) {
		doc = extract(final, ex.Header().Get("Content-Type"), ex.Body, 1000)
		if why := parked(ctx, p, asked, final, ex.Body, doc); why != "" {
			return look{verdict: parkedLink, why: why, to: elsewhere(asked, final)}
		}
	}
	if to := elsewhere(asked, final); to != "" {
		return look{verdict: moved, why: "redirect", to: to}
	}
	if doc.refresh != nil {
		if to := elsewhere(asked, doc.refresh); to != "" {
			return look{verdict: moved, why: "refresh", to: to}
		}
	}
	if ex.Limit != "" && ex.Limit != probe.LimitBody {
		// It answered; what it said is cut at a limit, and that is said too.
		return look{verdict: alive, why: "limit_" + string(ex.Limit)}
	}
	return look{verdict: alive, why: fmt.Sprintf("status_%d", ex.Status())}
}

func judgeFailure(ctx context.Context, p probe.Prober, ex *probe.Exchange) look {
	kind := ex.Err.Kind
	switch kind {
	case probe.DNSNXDomain:
		return judgeNoDomain(ctx, p, ex)
	case probe.Timeout, probe.DNSTimeout:
		return look{verdict: slow, why: string(kind)}
	case probe.Refused, probe.NoRoute, probe.Reset, probe.TLSFailed, probe.DNSNoData:
		return look{verdict: unreachable, why: string(kind)}
	case probe.Protocol:
		if ex.Status() == 0 && ex.Err.Sent {
			return look{verdict: unreachable, why: string(kind)}
		}
		return look{verdict: unknown, why: "bad_redirect"}
	}
	return look{verdict: unknown, why: string(kind)}
}

// judgeNoDomain asks again before it says that a domain no longer exists, and asks
// for the root as a control: a resolver that knows nothing says no to everything.
func judgeNoDomain(ctx context.Context, p probe.Prober, ex *probe.Exchange) look {
	last, err := url.Parse(ex.URL)
	if n := len(ex.Hops); err == nil && n > 0 {
		last, err = url.Parse(ex.Hops[n-1].URL)
	} else if n := len(ex.Robots); err == nil && n > 0 {
		last, err = url.Parse(ex.Robots[n-1].URL)
	}
	if err != nil {
		return look{verdict: unknown, why: string(probe.DNSNXDomain)}
	}
	again := p.Lookup(ctx, last.Hostname(), probe.TypeA)
	if again.Err == nil || again.Err.Kind != probe.DNSNXDomain {
		return look{verdict: unknown, why: "dns_disagrees"}
	}
	if strings.HasSuffix(last.Hostname(), ".invalid") { // RFC 6761 §6.4: never exists
		return look{verdict: dead, why: "nxdomain"}
	}
	if root := p.Lookup(ctx, ".", probe.TypeNS); root.Err != nil {
		return look{verdict: unknown, why: "dns_untrusted"}
	}
	return look{verdict: dead, why: "nxdomain"}
}

// elsewhere returns where a link leads when that is another registrable domain.
func elsewhere(asked, final *url.URL) string {
	if registrable(asked.Hostname()) == registrable(final.Hostname()) {
		return ""
	}
	return squeeze(final.String(), 500)
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

func isHTML(ex *probe.Exchange) bool {
	ct := strings.ToLower(ex.Header().Get("Content-Type"))
	return ct == "" || strings.Contains(ct, "html")
}
