package storetest

import (
	"math"
	"math/rand/v2"
	"net/netip"
	"strconv"

	"garrison/evidence"
)

// Generator makes address translations as a carrier's device logs them: sticky public
// address per subscriber, random ports, Zipf destinations, log-normal durations,
// millisecond times, in the order of their ends. The same seed makes the same records.
type Generator struct {
	r     *rand.Rand
	zipf  *rand.Zipf
	now   float64 // ms
	step  float64
	lines []line
	dsts  []netip.Addr
}

type line struct {
	name            string
	inside, outside netip.Addr
}

// Scale is how large the network is that a Generator imitates.
type Scale struct {
	Subscribers, PublicIPs, Destinations int
	PerSecond                            float64
	From                                 int64 // Unix ms
}

// DefaultScale is a tenth of the network on which the record store's design was
// measured.
func DefaultScale() Scale {
	return Scale{Subscribers: 20_000, PublicIPs: 500, Destinations: 30_000, PerSecond: 2_000, From: 1_790_000_000_000}
}

// NewGenerator returns a generator.
func NewGenerator(seed uint64, s Scale) *Generator {
	r := rand.New(rand.NewPCG(seed, 0x6741))
	g := &Generator{r: r, zipf: rand.NewZipf(r, 1.1, 1, uint64(s.Destinations-1)), now: float64(s.From), step: 1000 / s.PerSecond}
	for i := range s.Subscribers {
		g.lines = append(g.lines, line{
			name:    "ADSL" + strconv.FormatUint(10_000_000_000_000+uint64(i)*7919, 10) + "@isp",
			inside:  netip.AddrFrom4([4]byte{100, 64 + byte(i>>16), byte(i >> 8), byte(i)}),
			outside: netip.AddrFrom4([4]byte{203, byte(i % s.PublicIPs >> 8), byte(i % s.PublicIPs), 1}),
		})
	}
	for range s.Destinations {
		g.dsts = append(g.dsts, netip.AddrFrom4([4]byte{byte(1 + r.IntN(200)), byte(r.IntN(256)), byte(r.IntN(256)), byte(r.IntN(256))}))
	}
	return g
}

// Next fills n with the next record.
func (g *Generator) Next(n *evidence.NAT) {
	g.now += g.step * g.r.ExpFloat64()
	// Log-normal activity: few lines make most sessions.
	k := int(math.Abs(g.r.NormFloat64()) / 4 * float64(len(g.lines)))
	l := &g.lines[min(k, len(g.lines)-1)]
	dur := math.Min(math.Exp(g.r.NormFloat64()*1.6+9.2), 6*3600*1000) // median 10 s
	dst := g.dsts[g.zipf.Uint64()]
	if g.r.IntN(100) < 7 {
		dst = netip.AddrFrom4([4]byte{byte(1 + g.r.IntN(200)), byte(g.r.IntN(256)), byte(g.r.IntN(256)), byte(g.r.IntN(256))})
	}
	proto, dport := uint8(6), uint16(443)
	if g.r.IntN(100) < 47 {
		proto = 17
		if g.r.IntN(3) == 0 {
			dport, dur = 53, 5000
		}
	} else if g.r.IntN(5) == 0 {
		dport = 80
	}
	port := uint16(1024 + g.r.IntN(64512))
	*n = evidence.NAT{
		Start: int64(g.now - dur), End: int64(g.now), Proto: proto,
		InsideIP: l.inside, InsidePort: uint16(1024 + g.r.IntN(64512)),
		OutsideIP: l.outside, OutsidePort: port, OutsidePortLast: port,
		DstIP: dst, DstPort: dport, Line: l.name, Device: "cgn-1",
	}
}

// Batch returns the next n records.
func (g *Generator) Batch(n int) []evidence.NAT {
	rs := make([]evidence.NAT, n)
	for i := range rs {
		g.Next(&rs[i])
	}
	return rs
}
