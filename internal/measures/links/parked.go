package links

import (
	"context"
	"net/url"
	"strings"

	"golang.org/x/net/publicsuffix"

	"garrison/internal/probe"
)

// A page that offers its own domain for sale is recognised by three kinds of signs.
// None of them is enough where an honest page could show it too: an article about
// the sale of domains, a registrar's own site, a shop with "for sale" in its title.
//
//	market  the exchange ended at the site of a domain market, coming from elsewhere
//	service the page loads the landing page of a parking service
//	phrase  title or text says that the domain is for sale
//	servers the domain's name servers are those of a parking service
//
// parked := market
//
//	or service and (phrase or little text)
//	or phrase in the title and little text
//	or phrase anywhere and servers
//
// "Little text" is less than maxParkedText runes: parking pages have little to say.
const (
	maxVisible    = 4000
	maxParkedText = 800
)

var markets = []string{
	"sedo.com", "dan.com", "afternic.com", "hugedomains.com", "buydomains.com", "undeveloped.com",
	"domainmarket.com", "brandbucket.com", "uniregistry.com", "efty.com", "squadhelp.com", "atom.com",
	"mi.aliyun.com", "juming.com", "am.22.cn", "yumi.com", "4.cn", "ename.com",
}

var services = []string{
	"sedoparking.com", "parkingcrew.net", "parking-lander", "bodis.com", "parklogic.com", "above.com/marketplace",
	"dsparking", "cashparking", "afternic.com/forsale", "hugedomains.com/domain_profile", "domainparking",
	"img.sedoparking.com", "d38psrni17bvxu.cloudfront.net", "dan.com/buy-domain", "mi.aliyun.com/detail",
}

var phrases = []string{
	"domain is for sale", "domain may be for sale", "domain name is for sale", "buy this domain",
	"domain for sale", "this domain is parked", "domain is parked", "make an offer on this domain",
	"域名正在出售", "域名出售", "域名可出售", "域名待售", "域名转让", "本域名可转让", "购买此域名", "购买该域名", "域名停放", "此域名已停放",
}

var parkingServers = []string{
	"sedoparking.com", "parkingcrew.net", "bodis.com", "parklogic.com", "above.com", "dan.com",
	"afternic.com", "smartname.com", "hugedomains.com", "cashparking.com", "fabulous.com", "dopa.com",
}

// parked returns why the page is one that offers its domain for sale, "" when it is
// not known to be.
func parked(ctx context.Context, p probe.Prober, asked, final *url.URL, body []byte, doc document) string {
	if under(final.Hostname(), markets) && !under(asked.Hostname(), markets) {
		return "market"
	}
	if under(final.Hostname(), markets) {
		return "" // a link to a market is a link to a market
	}
	title, text := strings.ToLower(doc.title), strings.ToLower(doc.text)
	raw := strings.ToLower(string(body[:min(len(body), 64<<10)]))
	little := len([]rune(text)) < maxParkedText
	service := holds(raw, services)
	inTitle := holds(title, phrases)
	phrase := inTitle || holds(text, phrases)
	switch {
	case service && (phrase || little):
		return "parking_service"
	case inTitle && little:
		return "for_sale"
	case phrase && parkedServers(ctx, p, final.Hostname()):
		return "parking_servers"
	}
	return ""
}

func parkedServers(ctx context.Context, p probe.Prober, host string) bool {
	ans := p.Lookup(ctx, registrable(host), probe.TypeNS)
	for _, ns := range ans.Values {
		if under(ns, parkingServers) {
			return true
		}
	}
	return false
}

func holds(text string, list []string) bool {
	for _, s := range list {
		if strings.Contains(text, s) {
			return true
		}
	}
	return false
}

// under says whether host is one of the domains or below one.
func under(host string, domains []string) bool {
	for _, d := range domains {
		if host == d || strings.HasSuffix(host, "."+d) {
			return true
		}
	}
	return false
}

// registrable is the domain somebody registered: example.gov.cn of
// www.example.gov.cn. An address, or a public suffix itself, is its own.
func registrable(host string) string {
	if d, err := publicsuffix.EffectiveTLDPlusOne(host); err == nil && !isAddress(host) {
		return d
	}
	return host
}
