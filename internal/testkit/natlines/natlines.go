// Package natlines makes address-translation lines as devices of three families send
// them, each with the record that it tells of. The same seed makes the same lines.
//
//	g := natlines.New(natlines.Options{Seed: 1, Start: start})
//	for _, l := range g.Fill(100_000) {
//		fmt.Println(l.Text)
//	}
package natlines

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"garrison/evidence"
)

// Families of lines.
const (
	Netfilter = "netfilter"
	Cisco     = "cisco"
	Juniper   = "juniper"
)

// Options say which lines to make.
type Options struct {
	Seed     uint64
	Start    time.Time      // when the first line was written; zero: 2026-11-22 10:00 in Shanghai
	Step     time.Duration  // from one line to the next; zero: 1 ms
	Zone     *time.Location // in which devices write times; nil: Asia/Shanghai
	Dialects []string       // zero: all three in turn
	Inside   netip.Prefix   // of inside addresses; zero: 100.64.0.0/16
	Outside  netip.Prefix   // of public addresses; zero: 203.0.113.0/24
	Noise    int            // one line in so many tells of no translation; 0: none
}

// Line is one line and what it tells of.
type Line struct {
	Text    string // with <PRI>, without a line end
	Dialect string
	Refused bool         // tells of no translation; Want is empty
	Want    evidence.NAT // but for Line, Source, Received and Shard
}

// Generator makes lines. Not safe for concurrent use.
type Generator struct {
	o    Options
	rnd  *rand.Rand
	n    int64
	open [3][]evidence.NAT // translations that were built and not torn down yet
}

// New returns a generator.
func New(o Options) *Generator {
	if o.Zone == nil {
		o.Zone = time.FixedZone("CST", 8*3600)
	}
	if o.Start.IsZero() {
		o.Start = time.Date(2026, 11, 22, 10, 0, 0, 0, o.Zone)
	}
	if o.Step == 0 {
		o.Step = time.Millisecond
	}
	if len(o.Dialects) == 0 {
		o.Dialects = []string{Netfilter, Cisco, Juniper}
	}
	if !o.Inside.IsValid() {
		o.Inside = netip.MustParsePrefix("100.64.0.0/16")
	}
	if !o.Outside.IsValid() {
		o.Outside = netip.MustParsePrefix("203.0.113.0/24")
	}
	return &Generator{o: o, rnd: rand.New(rand.NewPCG(o.Seed, 0x6761727269736f6e))}
}

// Fill returns the next n lines.
func (g *Generator) Fill(n int) []Line {
	out := make([]Line, n)
	for i := range out {
		out[i] = g.Next()
	}
	return out
}

// Next returns the next line.
func (g *Generator) Next() Line {
	at := g.o.Start.Add(time.Duration(g.n) * g.o.Step)
	name := g.o.Dialects[int(g.n)%len(g.o.Dialects)]
	g.n++
	if g.o.Noise > 0 && g.rnd.IntN(g.o.Noise) == 0 {
		return g.noise(name, at)
	}
	family := map[string]int{Netfilter: 0, Cisco: 1, Juniper: 2}[name]
	open := &g.open[family]
	var r evidence.NAT
	built := len(*open) == 0 || (len(*open) < 2000 && g.rnd.IntN(100) < 55)
	if built {
		r = g.translation(at)
		*open = append(*open, r)
	} else {
		i := g.rnd.IntN(len(*open))
		r = (*open)[i]
		(*open)[i] = (*open)[len(*open)-1]
		*open = (*open)[:len(*open)-1]
	}
	var l Line
	switch name {
	case Cisco:
		l = g.cisco(r, built, at)
	case Juniper:
		l = g.juniper(r, built, at)
	default:
		l = g.netfilter(r, built, at)
	}
	l.Dialect = name
	return l
}

// translation makes up who talks to whom through which public address.
func (g *Generator) translation(at time.Time) evidence.NAT {
	r := evidence.NAT{
		Start: at.UnixMilli(), Proto: 6, Event: evidence.NATBuilt,
		InsideIP: g.pick(g.o.Inside), InsidePort: uint16(32768 + g.rnd.IntN(28000)),
		OutsideIP: g.pick(g.o.Outside), OutsidePort: uint16(1024 + g.rnd.IntN(64512)),
		DstIP: netip.AddrFrom4([4]byte{198, 51, 100, byte(1 + g.rnd.IntN(254))}), DstPort: 443,
	}
	switch g.rnd.IntN(10) {
	case 0, 1:
		r.Proto, r.DstPort = 17, 53
	case 2:
		r.Proto = 17
	case 3:
		r.DstPort = 80
	}
	r.OutsidePortLast = r.OutsidePort
	return r
}

func (g *Generator) pick(p netip.Prefix) netip.Addr {
	if !p.Addr().Is4() {
		return p.Addr()
	}
	b := p.Masked().Addr().As4()
	host := uint32(0)
	switch bits := 32 - p.Bits(); {
	case bits == 1:
		host = g.rnd.Uint32N(2)
	case bits > 1: // neither the network's address nor the broadcast
		host = 1 + g.rnd.Uint32N(1<<min(bits, 31)-2)
	}
	n := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3]) | host
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

// ended makes of the open r the record of its teardown, of which lines say how many
// whole seconds it lasted.
func ended(r evidence.NAT, end int64) (evidence.NAT, int64) {
	lasted := (end - r.Start) / 1000
	r.Event, r.End, r.Start = evidence.NATTeardown, end, end-lasted*1000
	return r, lasted
}

func proto(r evidence.NAT, tcp, udp string) string {
	if r.Proto == 6 {
		return tcp
	}
	return udp
}

// netfilter: conntrack -E -o timestamp piped into logger, times to the microsecond.
func (g *Generator) netfilter(r evidence.NAT, built bool, at time.Time) Line {
	r.Device = "cgn1"
	ms := at.UnixMilli()
	stamp := fmt.Sprintf("[%d.%03d417]", ms/1000, ms%1000)
	name := proto(r, "tcp      6", "udp      17")
	head := fmt.Sprintf("<30>%s cgn1 conntrack: %s\t", at.In(g.o.Zone).Format(time.Stamp), stamp)
	orig := fmt.Sprintf("src=%s dst=%s sport=%d dport=%d", r.InsideIP, r.DstIP, r.InsidePort, r.DstPort)
	reply := fmt.Sprintf("src=%s dst=%s sport=%d dport=%d", r.DstIP, r.OutsideIP, r.DstPort, r.OutsidePort)
	if built {
		state := proto(r, "120 SYN_SENT ", "30 ")
		return Line{Text: head + "    [NEW] " + name + " " + state + orig + " [UNREPLIED] " + reply, Want: r}
	}
	r, lasted := ended(r, ms)
	return Line{Text: fmt.Sprintf("%s[DESTROY] %s %s packets=%d bytes=%d %s packets=%d bytes=%d [ASSURED] delta-time=%d",
		head, name, orig, 3+g.rnd.IntN(90), 300+g.rnd.IntN(9000), reply, 2+g.rnd.IntN(90), 200+g.rnd.IntN(90000), lasted), Want: r}
}

// cisco: ASA translation slots, and IOS XE translations one time in two. ASA times
// are whole seconds, and name no destination.
func (g *Generator) cisco(r evidence.NAT, built bool, at time.Time) Line {
	local := at.In(g.o.Zone)
	if r.InsidePort%2 == 0 { // one device or the other, for both ends of a translation
		r.Device = "asr1"
		verb, want := "Created", r
		if !built {
			verb = "Deleted"
			want.Event, want.End, want.Start = evidence.NATTeardown, at.UnixMilli(), at.UnixMilli()
			want.Flags |= evidence.NATStartUnknown
		}
		text := fmt.Sprintf("<190>%d: asr1: %s CST: %%NAT-6-LOG_TRANSLATION: %s Translation %s %s:%d %s:%d %s:%d %s:%d 0",
			g.n, local.Format("Jan _2 2006 15:04:05.000"), verb, proto(r, "TCP", "UDP"), r.InsideIP, r.InsidePort,
			r.OutsideIP, r.OutsidePort, r.DstIP, r.DstPort, r.DstIP, r.DstPort)
		return Line{Text: text, Want: want}
	}
	r.Device, r.DstIP, r.DstPort = "fw1", netip.Addr{}, 0
	second := at.Truncate(time.Second).UnixMilli()
	head := fmt.Sprintf("<166>%s fw1 : ", local.Format("Jan 02 2006 15:04:05"))
	slot := fmt.Sprintf("dynamic %s translation from inside:%s/%d to outside:%s/%d", proto(r, "TCP", "UDP"),
		r.InsideIP, r.InsidePort, r.OutsideIP, r.OutsidePort)
	if built {
		r.Start = second
		return Line{Text: head + "%ASA-6-305011: Built " + slot, Want: r}
	}
	r.Start -= r.Start % 1000
	r, lasted := ended(r, second)
	return Line{Text: fmt.Sprintf("%s%%ASA-6-305012: Teardown %s duration %d:%02d:%02d", head, slot,
		lasted/3600, lasted/60%60, lasted%60), Want: r}
}

// juniper: SRX sessions, structured and plain.
func (g *Generator) juniper(r evidence.NAT, built bool, at time.Time) Line {
	r.Device = "srx1"
	session := int64(r.OutsidePort)*65536 + int64(r.InsidePort)
	var lasted int64
	plain := r.InsidePort%2 == 0
	want := r
	if plain { // RFC 3164 times are whole seconds
		want.Start = at.Truncate(time.Second).UnixMilli()
	}
	if !built {
		end := at.UnixMilli()
		if plain {
			end = at.Truncate(time.Second).UnixMilli()
			r.Start -= r.Start % 1000
		}
		want, lasted = ended(r, end)
	}
	if plain {
		return Line{Text: g.srxPlain(r, built, at, session, lasted), Want: want}
	}
	return Line{Text: g.srxStructured(r, built, at, session, lasted), Want: want}
}

func (g *Generator) srxPlain(r evidence.NAT, built bool, at time.Time, session, lasted int64) string {
	head := fmt.Sprintf("<14>%s srx1 RT_FLOW: ", at.In(g.o.Zone).Format(time.Stamp))
	flow := fmt.Sprintf("%s/%d->%s/%d 0x0 %s %s/%d->%s/%d 0x0 source rule cgn N/A N/A %d permit trust untrust %d",
		r.InsideIP, r.InsidePort, r.DstIP, r.DstPort, service(r), r.OutsideIP, r.OutsidePort, r.DstIP, r.DstPort, r.Proto, session)
	if built {
		return head + "RT_FLOW_SESSION_CREATE: session created " + flow + " N/A(N/A) ge-0/0/0.0 UNKNOWN UNKNOWN UNKNOWN N/A N/A -1"
	}
	return fmt.Sprintf("%sRT_FLOW_SESSION_CLOSE: session closed TCP FIN: %s %d(%d) %d(%d) %d UNKNOWN UNKNOWN N/A(N/A) ge-0/0/0.0 UNKNOWN",
		head, flow, 3+g.rnd.IntN(90), 300+g.rnd.IntN(9000), 2+g.rnd.IntN(90), 200+g.rnd.IntN(90000), lasted)
}

func (g *Generator) srxStructured(r evidence.NAT, built bool, at time.Time, session, lasted int64) string {
	event, reason, tail := "RT_FLOW_SESSION_CREATE", "", ""
	if !built {
		event, reason = "RT_FLOW_SESSION_CLOSE", `reason="TCP FIN" `
		tail = fmt.Sprintf(` packets-from-client="%d" bytes-from-client="%d" packets-from-server="%d" bytes-from-server="%d" elapsed-time="%d"`,
			3+g.rnd.IntN(90), 300+g.rnd.IntN(9000), 2+g.rnd.IntN(90), 200+g.rnd.IntN(90000), lasted)
	}
	return fmt.Sprintf(`<14>1 %s srx1 RT_FLOW - %s [junos@2636.1.1.1.2.129 %ssource-address="%s" source-port="%d" `+
		`destination-address="%s" destination-port="%d" connection-tag="0" service-name="%s" nat-source-address="%s" nat-source-port="%d" `+
		`nat-destination-address="%s" nat-destination-port="%d" nat-connection-tag="0" src-nat-rule-type="source rule" src-nat-rule-name="cgn" `+
		`dst-nat-rule-type="N/A" dst-nat-rule-name="N/A" protocol-id="%d" policy-name="permit" source-zone-name="trust" `+
		`destination-zone-name="untrust" session-id="%d"%s username="N/A" roles="N/A" packet-incoming-interface="ge-0/0/0.0"]`,
		at.In(g.o.Zone).Format("2006-01-02T15:04:05.000-07:00"), event, reason, r.InsideIP, r.InsidePort, r.DstIP, r.DstPort, service(r),
		r.OutsideIP, r.OutsidePort, r.DstIP, r.DstPort, r.Proto, session, tail)
}

func service(r evidence.NAT) string {
	switch {
	case r.Proto == 17 && r.DstPort == 53:
		return "junos-dns-udp"
	case r.Proto == 6 && r.DstPort == 443:
		return "junos-https"
	case r.Proto == 6 && r.DstPort == 80:
		return "junos-http"
	}
	return "None"
}

// noise is what else such devices say.
func (g *Generator) noise(name string, at time.Time) Line {
	stamp := at.In(g.o.Zone).Format(time.Stamp)
	text := map[string]string{
		Netfilter: "<38>" + stamp + " cgn1 sshd[811]: Accepted publickey for ops from 192.0.2.10 port 50022",
		Cisco:     "<165>" + at.In(g.o.Zone).Format("Jan 02 2006 15:04:05") + " fw1 : %ASA-5-111008: User 'enable_15' executed the 'write memory' command.",
		Juniper:   "<14>" + stamp + " srx1 RT_FLOW: RT_FLOW_SESSION_DENY: session denied 192.0.2.77/50311->203.0.113.9/22 0x0 junos-ssh 6(0) deny-all untrust trust UNKNOWN UNKNOWN N/A(N/A) ge-0/0/1.0",
	}[name]
	return Line{Text: text, Dialect: name, Refused: true}
}

// Options returns the options in effect.
func (g *Generator) Options() Options { return g.o }
