package records

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"garrison"
	"garrison/evidence"
)

// sameStart is how far the beginnings that a "built" and a "teardown" record tell may
// differ for one mapping: devices that give durations give them in whole seconds.
const sameStart = 2000

// endpoint is what a translation maps to a public port. Two records with different
// endpoints are never told as one.
type endpoint struct {
	inside       netip.Addr
	insidePort   uint16
	outside      netip.Addr
	first, last  uint16
	proto        uint8
	line, device string
}

func endpointOf(n *evidence.NAT) endpoint {
	return endpoint{n.InsideIP, n.InsidePort, n.OutsideIP, n.OutsidePort, n.OutsidePortLast, n.Proto, n.Line, n.Device}
}

// sameInside says that two records name the same user of the port, as far as both
// tell.
func sameInside(a, b *evidence.NAT) bool {
	return a.InsideIP == b.InsideIP && a.InsidePort == b.InsidePort && a.Line == b.Line
}

func startUnknown(n *evidence.NAT) bool { return n.Flags&evidence.NATStartUnknown != 0 }

// closes says that x can be the end of the mapping that b began.
func closes(b, x *evidence.NAT) bool {
	if x.End == 0 || x.End < b.Start || endpointOf(b) != endpointOf(x) {
		return false
	}
	if b.DstIP.IsValid() && x.DstIP.IsValid() && (b.DstIP != x.DstIP || b.DstPort != x.DstPort) {
		return false
	}
	return startUnknown(x) || (x.Event != evidence.NATComplete && max(x.Start-b.Start, b.Start-x.Start) <= sameStart)
}

// closers returns, for hits without an end, the hit that tells it. An end without a
// beginning belongs to the last beginning before it, and to no other.
func closers(hits []hit) map[int]int {
	var opens, ends []int
	for i := range hits {
		switch n := &hits[i].nat; {
		case n.End == 0:
			opens = append(opens, i)
		case n.Event != evidence.NATComplete || startUnknown(n):
			ends = append(ends, i)
		}
	}
	slices.SortFunc(opens, func(a, b int) int { return cmp.Compare(hits[b].nat.Start, hits[a].nat.Start) })
	slices.SortFunc(ends, func(a, b int) int { return cmp.Compare(hits[a].nat.End, hits[b].nat.End) })
	closed := map[int]int{}
	for _, e := range ends {
		for _, o := range opens {
			if _, taken := closed[o]; !taken && closes(&hits[o].nat, &hits[e].nat) {
				closed[o] = e
				break
			}
		}
	}
	return closed
}

// sighting is one mapping as one or two records tell it.
type sighting struct {
	hit      *hit // the record that is shown
	closer   *hit
	from     int64
	until    int64 // 0: open
	noStart  bool
	records  int
	replaced int64 // when the port was given to somebody else; 0: never seen
	dsts     bool  // more than one destination
	suspect  bool
}

// judge makes candidates of rows: it joins what belongs together, drops what cannot
// have been at the moment asked for, says why for the rest and orders by likelihood.
func judge(hits []hit, at, skew int64) []garrison.Candidate {
	hits = distinct(hits)
	closed := closers(hits)
	absorbed := map[int]bool{}
	for _, e := range closed {
		absorbed[e] = true
	}
	var seen []*sighting
	for i := range hits {
		if absorbed[i] {
			continue
		}
		n := &hits[i].nat
		g := &sighting{hit: &hits[i], from: n.Start, until: n.End, noStart: startUnknown(n), records: 1, suspect: n.Flags&evidence.NATClockSuspect != 0}
		if e, ok := closed[i]; ok {
			g.closer, g.until = &hits[e], hits[e].nat.End
			g.suspect = g.suspect || hits[e].nat.Flags&evidence.NATClockSuspect != 0
		}
		if g.from > at+skew && !g.noStart || g.until != 0 && g.until < at-skew {
			continue
		}
		if g.noStart && reusedBetween(hits, n, at, n.End) {
			continue // another user had the port after the moment, so this one came later
		}
		if g.until == 0 {
			g.replaced = replacedAt(hits, n, at)
		}
		seen = append(seen, g)
	}
	seen = join(seen)
	slices.SortStableFunc(seen, func(a, b *sighting) int { return compareSightings(a, b, at) })
	out := make([]garrison.Candidate, len(seen))
	for i, g := range seen {
		out[i] = g.candidate(at)
	}
	return out
}

// distinct drops rows that were found twice.
func distinct(hits []hit) []hit {
	slices.SortStableFunc(hits, func(a, b hit) int { return evidence.CompareNAT(&a.nat, &b.nat) })
	return hits
}

// reusedBetween says that a record shows another user of n's port between two moments.
func reusedBetween(hits []hit, n *evidence.NAT, from, until int64) bool {
	for i := range hits {
		x := &hits[i].nat
		if sameInside(n, x) || !overlap(n, x) {
			continue
		}
		begun, ended := x.Start, x.End
		if startUnknown(x) {
			begun = x.End
		}
		if ended == 0 {
			ended = begun
		}
		if ended > from && begun < until && begun > from {
			return true
		}
	}
	return false
}

// replacedAt returns when the port of an open mapping was first given to another
// user, at the latest at the moment asked for; 0: not as far as records tell.
func replacedAt(hits []hit, n *evidence.NAT, at int64) int64 {
	first := int64(0)
	for i := range hits {
		x := &hits[i].nat
		if startUnknown(x) || x.Start <= n.Start || x.Start > at || sameInside(n, x) || !overlap(n, x) {
			continue
		}
		if first == 0 || x.Start < first {
			first = x.Start
		}
	}
	return first
}

// overlap says that two records cannot both hold: same protocol and common ports.
func overlap(a, b *evidence.NAT) bool {
	return (a.Proto == b.Proto || a.Proto == 0 || b.Proto == 0) && a.OutsidePort <= b.OutsidePortLast && b.OutsidePort <= a.OutsidePortLast
}

// join makes one sighting of records of the same endpoint that touch in time, such as
// connections of one mapping to several destinations.
func join(seen []*sighting) []*sighting {
	groups := map[endpoint][]*sighting{}
	var order []endpoint
	for _, g := range seen {
		k := endpointOf(&g.hit.nat)
		if groups[k] == nil {
			order = append(order, k)
		}
		groups[k] = append(groups[k], g)
	}
	var out []*sighting
	for _, k := range order {
		list := groups[k]
		slices.SortStableFunc(list, func(a, b *sighting) int { return cmp.Compare(a.from, b.from) })
		cur := list[0]
		for _, g := range list[1:] {
			if cur.noStart || g.noStart || cur.until != 0 && g.from > cur.until {
				out = append(out, cur)
				cur = g
				continue
			}
			cur = cur.with(g)
		}
		out = append(out, cur)
	}
	return out
}

// with joins a later sighting of the same endpoint.
func (g *sighting) with(x *sighting) *sighting {
	j := *x // the later record is nearer to the moment
	j.from, j.records = min(g.from, x.from), g.records+x.records
	if g.until == 0 || x.until != 0 && g.until > x.until {
		j.until, j.closer = g.until, g.closer
	}
	j.suspect = g.suspect || x.suspect
	j.dsts = g.dsts || x.dsts || g.hit.nat.DstIP != x.hit.nat.DstIP || g.hit.nat.DstPort != x.hit.nat.DstPort
	return &j
}

// rank orders by how well a sighting answers.
func (g *sighting) rank(at int64) int {
	switch {
	case g.replaced != 0:
		return 4
	case g.noStart:
		return 3
	case g.from > at || g.until != 0 && g.until < at:
		return 2
	case g.until == 0:
		return 1
	}
	return 0
}

func compareSightings(a, b *sighting, at int64) int {
	return cmp.Or(cmp.Compare(a.rank(at), b.rank(at)), cmp.Compare(b.from, a.from), evidence.CompareNAT(&a.hit.nat, &b.hit.nat))
}

func (g *sighting) candidate(at int64) garrison.Candidate {
	n := &g.hit.nat
	c := garrison.Candidate{
		Line: strings.Clone(n.Line), InsideIP: n.InsideIP, InsidePort: n.InsidePort, OutsideIP: n.OutsideIP,
		FirstPort: n.OutsidePort, LastPort: n.OutsidePortLast, Device: strings.Clone(n.Device), Source: strings.Clone(n.Source),
		Received: time.Unix(n.Received, 0).UTC(), Chunk: g.hit.chunk, Evidence: g.hit.ref, Leaf: g.hit.leaf, Why: g.why(at),
	}
	if !g.dsts {
		c.DstIP, c.DstPort = n.DstIP, n.DstPort
	}
	if !g.noStart {
		c.Start = time.UnixMilli(g.from).UTC()
	}
	if g.until != 0 {
		c.End = time.UnixMilli(g.until).UTC()
	}
	return c
}

func (g *sighting) why(at int64) []garrison.Reason {
	var why []garrison.Reason
	say := func(key string, kv ...any) {
		r := garrison.Reason{Key: "trace.why." + key}
		for i := 0; i+1 < len(kv); i += 2 {
			if r.Args == nil {
				r.Args = map[string]any{}
			}
			r.Args[kv[i].(string)] = kv[i+1]
		}
		why = append(why, r)
	}
	stamp := func(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339Nano) }
	n := &g.hit.nat
	switch {
	case g.noStart:
		say("start_unknown", "end", stamp(g.until))
	case g.from > at:
		say("within_skew", "ms", g.from-at)
	case g.until != 0 && g.until < at:
		say("within_skew", "ms", at-g.until)
	case g.until == 0:
		say("open", "since", stamp(g.from))
	default:
		say("inside_time")
	}
	if g.closer != nil {
		say("closed_by", "end", stamp(g.closer.nat.End), "entry", g.closer.ref.Index)
	}
	if g.replaced != 0 {
		say("superseded", "at", stamp(g.replaced))
	}
	if n.OutsidePort != n.OutsidePortLast {
		say("block", "first", n.OutsidePort, "last", n.OutsidePortLast)
	}
	if g.records > 1 {
		say("merged", "records", g.records)
	}
	if g.suspect {
		say("clock_suspect")
	}
	return why
}
