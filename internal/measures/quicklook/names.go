package quicklook

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/publicsuffix"

	"garrison/internal/probe"
)

// maxServers bounds how many name or mail servers are looked at.
const maxServers = 8

// Mail looks at a mail domain: MX, SPF (RFC 7208) and DMARC (RFC 7489).
func Mail(ctx context.Context, target string, o Options) (Report, error) {
	domain, err := nameTarget(target)
	if err != nil {
		return Report{}, err
	}
	ctx, cancel, err := o.limit(ctx)
	if err != nil {
		return Report{}, err
	}
	defer cancel()
	rep := Report{Target: domain, Kind: "mail"}
	p := o.probe(ctx, domain)
	mx := p.Lookup(ctx, domain, probe.TypeMX)
	if mx.Err != nil && mx.Err.Kind != probe.DNSNoData {
		for _, check := range []string{"mx", "mx_resolves", "spf", "dmarc"} {
			rep.add(check, Unknown, string(mx.Err.Kind), "detail", mx.Err.Why)
		}
		return rep, nil
	}
	mailMX(ctx, &rep, p, domain, mx)
	mailSPF(&rep, p.Lookup(ctx, domain, probe.TypeTXT))
	mailDMARC(ctx, &rep, p, domain)
	return rep, nil
}

func mailMX(ctx context.Context, rep *Report, p *probe.Probe, domain string, mx probe.Answer) {
	if mx.Err != nil { // the domain exists and has none
		a := p.Lookup(ctx, domain, probe.TypeA)
		switch {
		case a.Err == nil: // RFC 5321 §5.1: then mail goes to the address itself
			rep.add("mx", Fail, "no_mx", "address", strings.Join(a.Values, " "))
		case a.Err.Kind == probe.DNSNoData:
			rep.add("mx", NotApplicable, "takes_no_mail")
		default:
			rep.add("mx", Unknown, string(a.Err.Kind), "detail", a.Err.Why)
		}
		rep.add("mx_resolves", NotApplicable, "no_mx")
		return
	}
	if len(mx.Values) == 1 && strings.HasPrefix(mx.Values[0], "0 ") && strings.TrimSpace(mx.Values[0][2:]) == "" {
		rep.add("mx", NotApplicable, "null_mx") // RFC 7505
		rep.add("mx_resolves", NotApplicable, "null_mx")
		return
	}
	rep.add("mx", Pass, "present", "mx", strings.Join(mx.Values, ", "))
	var hosts []string
	for _, v := range mx.Values {
		_, host, _ := strings.Cut(v, " ")
		hosts = append(hosts, host)
	}
	resolves(ctx, rep, p, "mx_resolves", hosts)
}

// resolves says whether every host has an address.
func resolves(ctx context.Context, rep *Report, p *probe.Probe, check string, hosts []string) {
	var without, unsure []string
	looked := hosts[:min(len(hosts), maxServers)]
	for _, h := range looked {
		a := p.Lookup(ctx, h, probe.TypeA)
		if a.Err != nil && a.Err.Kind == probe.DNSNoData {
			a = p.Lookup(ctx, h, probe.TypeAAAA)
		}
		switch {
		case a.Err == nil:
		case a.Err.Kind == probe.DNSNoData || a.Err.Kind == probe.DNSNXDomain:
			without = append(without, h)
		default:
			unsure = append(unsure, h)
		}
	}
	switch {
	case len(without) > 0:
		rep.add(check, Fail, "no_address", "hosts", strings.Join(without, " "))
	case len(unsure) > 0:
		rep.add(check, Unknown, "dns_failed", "hosts", strings.Join(unsure, " "))
	case len(looked) < len(hosts):
		rep.add(check, Unknown, "limit_servers", "looked_at", strconv.Itoa(len(looked)))
	default:
		rep.add(check, Pass, "all", "hosts", strings.Join(hosts, " "))
	}
}

func mailSPF(rep *Report, txt probe.Answer) {
	if txt.Err != nil && txt.Err.Kind != probe.DNSNoData {
		rep.add("spf", Unknown, string(txt.Err.Kind), "detail", txt.Err.Why)
		return
	}
	var records []string
	for _, v := range txt.Values {
		if low := strings.ToLower(v); low == "v=spf1" || strings.HasPrefix(low, "v=spf1 ") {
			records = append(records, v)
		}
	}
	if len(records) != 1 {
		why := map[bool]string{true: "absent", false: "several"}[len(records) == 0] // RFC 7208 §4.5: several are an error
		rep.add("spf", Fail, why)
		return
	}
	terms := strings.Fields(strings.ToLower(records[0]))
	redirect := slices.ContainsFunc(terms, func(t string) bool { return strings.HasPrefix(t, "redirect=") })
	switch {
	case slices.Contains(terms, "-all"):
		rep.add("spf", Pass, "fail_all", "record", records[0])
	case slices.Contains(terms, "~all"):
		rep.add("spf", Pass, "softfail_all", "record", records[0])
	case slices.Contains(terms, "+all") || slices.Contains(terms, "all"):
		rep.add("spf", Fail, "allows_all", "record", records[0])
	case redirect: // what counts stands elsewhere; this look does not follow it
		rep.add("spf", Unknown, "redirect", "record", records[0])
	default:
		rep.add("spf", Fail, "neutral", "record", records[0])
	}
}

func mailDMARC(ctx context.Context, rep *Report, p *probe.Probe, domain string) {
	names := []string{domain}
	if org, err := publicsuffix.EffectiveTLDPlusOne(domain); err == nil && org != domain {
		names = append(names, org) // RFC 7489 §6.6.3
	}
	for _, n := range names {
		txt := p.Lookup(ctx, "_dmarc."+n, probe.TypeTXT)
		if txt.Err != nil && txt.Err.Kind != probe.DNSNoData && txt.Err.Kind != probe.DNSNXDomain {
			rep.add("dmarc", Unknown, string(txt.Err.Kind), "detail", txt.Err.Why)
			return
		}
		var records []string
		for _, v := range txt.Values {
			if strings.HasPrefix(strings.ToLower(strings.ReplaceAll(v, " ", "")), "v=dmarc1") {
				records = append(records, v)
			}
		}
		if len(records) == 0 {
			continue
		}
		if len(records) > 1 {
			rep.add("dmarc", Fail, "several", "at", n)
			return
		}
		policy := dmarcPolicy(records[0], n != domain)
		outcome := Fail
		if policy == "reject" || policy == "quarantine" {
			outcome = Pass
		}
		rep.add("dmarc", outcome, "policy_"+map[bool]string{true: policy, false: "unreadable"}[outcome == Pass || policy == "none"], "record", records[0], "at", n)
		return
	}
	rep.add("dmarc", Fail, "absent")
}

// dmarcPolicy returns what is asked for: sp where the record is the organisation's
// and it has one, else p.
func dmarcPolicy(record string, inherited bool) string {
	tags := map[string]string{}
	for part := range strings.SplitSeq(record, ";") {
		k, v, ok := strings.Cut(part, "=")
		if ok {
			tags[strings.ToLower(strings.TrimSpace(k))] = strings.ToLower(strings.TrimSpace(v))
		}
	}
	if inherited && tags["sp"] != "" {
		return tags["sp"]
	}
	return tags["p"]
}

// DNS looks at a name and its zone, through the resolver.
func DNS(ctx context.Context, target string, o Options) (Report, error) {
	name, err := nameTarget(target)
	if err != nil {
		return Report{}, err
	}
	ctx, cancel, err := o.limit(ctx)
	if err != nil {
		return Report{}, err
	}
	defer cancel()
	rep := Report{Target: name, Kind: "dns"}
	p := o.probe(ctx, name)
	dnsAddress(ctx, &rep, p, name)
	zone, soa := zoneOf(ctx, p, name)
	if soa.Err != nil {
		why := string(soa.Err.Kind)
		for _, check := range []string{"soa", "ns", "ns_resolve", "ns_not_alias"} {
			rep.add(check, Unknown, why, "detail", soa.Err.Why)
		}
		return rep, nil
	}
	rep.add("soa", Pass, "present", "zone", zone, "soa", strings.Join(soa.Values, ", "), "authenticated", strconv.FormatBool(soa.Authenticated))
	ns := p.Lookup(ctx, zone, probe.TypeNS)
	switch {
	case ns.Err != nil && ns.Err.Kind == probe.DNSNoData:
		rep.add("ns", Fail, "absent", "zone", zone)
	case ns.Err != nil:
		rep.add("ns", Unknown, string(ns.Err.Kind), "detail", ns.Err.Why)
	case len(ns.Values) < 2:
		rep.add("ns", Fail, "only_one", "ns", strings.Join(ns.Values, " ")) // RFC 1034 §4.1
	default:
		rep.add("ns", Pass, "present", "ns", strings.Join(ns.Values, " "))
	}
	if ns.Err != nil {
		rep.add("ns_resolve", Unknown, "no_ns")
		rep.add("ns_not_alias", Unknown, "no_ns")
		return rep, nil
	}
	resolves(ctx, &rep, p, "ns_resolve", ns.Values)
	notAlias(ctx, &rep, p, ns.Values)
	return rep, nil
}

func dnsAddress(ctx context.Context, rep *Report, p *probe.Probe, name string) {
	var found []string
	for _, t := range []probe.RecordType{probe.TypeA, probe.TypeAAAA} {
		a := p.Lookup(ctx, name, t)
		if a.Err != nil && a.Err.Kind != probe.DNSNoData {
			rep.add("address", Unknown, string(a.Err.Kind), "detail", a.Err.Why)
			return
		}
		found = append(found, a.Values...)
	}
	if len(found) == 0 {
		rep.add("address", NotApplicable, "none")
		return
	}
	rep.add("address", Pass, "present", "addresses", strings.Join(found, " "))
}

// zoneOf finds the zone that name is in: the nearest name upwards that has an SOA.
func zoneOf(ctx context.Context, p *probe.Probe, name string) (string, probe.Answer) {
	top, err := publicsuffix.EffectiveTLDPlusOne(name)
	if err != nil {
		top = name
	}
	at := name
	for {
		soa := p.Lookup(ctx, at, probe.TypeSOA)
		if soa.Err == nil || soa.Err.Kind != probe.DNSNoData || at == top {
			return at, soa
		}
		_, at, _ = strings.Cut(at, ".")
	}
}

// notAlias: a name server's name must not be an alias (RFC 2181 §10.3).
func notAlias(ctx context.Context, rep *Report, p *probe.Probe, servers []string) {
	var aliases []string
	for _, s := range servers[:min(len(servers), maxServers)] {
		c := p.Lookup(ctx, s, probe.TypeCNAME)
		switch {
		case c.Err == nil:
			aliases = append(aliases, s)
		case c.Err.Kind != probe.DNSNoData && c.Err.Kind != probe.DNSNXDomain:
			rep.add("ns_not_alias", Unknown, string(c.Err.Kind), "detail", c.Err.Why)
			return
		}
	}
	if len(aliases) > 0 {
		rep.add("ns_not_alias", Fail, "alias", "hosts", strings.Join(aliases, " "))
		return
	}
	rep.add("ns_not_alias", Pass, "none_is")
}
