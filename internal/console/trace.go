package console

import (
	"encoding/hex"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"garrison"
	"garrison/internal/records"
)

// traceData is the trace page: a question, all candidates, how far they can be trusted.
type traceData struct {
	frame
	IP, Port, Proto, At, Skew string
	Problem                   string
	Asked                     bool
	Answer                    garrison.Answer
	Candidates                []candidate
	Took                      time.Duration
	Open                      int // candidate whose evidence is open, from 1; 0: none
	Proof                     *records.ProvenRecord
	ProofProblem              string
	asked                     garrison.Question
}

type candidate struct {
	garrison.Candidate
	Registered string
	Href       string
}

const maxSkew = time.Hour

func (c *Console) tracePage(p *page) error {
	d := traceData{frame: c.frame(p, "trace", "")}
	d.Question = p.T("trace.question")
	q := p.r.URL.Query()
	d.IP, d.Port, d.Proto, d.At, d.Skew = strings.TrimSpace(q.Get("ip")), q.Get("port"), q.Get("proto"), q.Get("at"), q.Get("skew")
	if d.Proto == "" {
		d.Proto = "tcp"
	}
	if d.Skew == "" {
		d.Skew = "5"
	}
	if d.IP == "" && d.Port == "" {
		d.At = c.deps.Now().In(zone).Add(-time.Minute).Format("2006-01-02 15:04:05")
		return c.render(p, 200, traceTempl(d))
	}
	question, err := d.question()
	if err != nil {
		said, status := c.say(p.lang, err)
		d.Problem = said.Detail
		return c.render(p, status, traceTempl(d))
	}
	began := time.Now()
	d.Answer, err = c.deps.Records.Trace(p.ctx(), question)
	if err != nil {
		return err
	}
	d.Took, d.Asked, d.asked = time.Since(began), true, question
	for i, x := range d.Answer.Candidates {
		k := candidate{Candidate: x, Href: d.with("open", strconv.Itoa(i+1))}
		if l, ok := c.deps.Registry.LineFor(p.ctx(), x.InsideIP); ok {
			k.Registered = l.Name
			if k.Line == "" {
				k.Line = l.Attributes["number"]
			}
		}
		d.Candidates = append(d.Candidates, k)
	}
	if n, err := strconv.Atoi(q.Get("open")); err == nil && n >= 1 && n <= len(d.Candidates) {
		d.Open = n
		proof, err := c.deps.Records.Prove(p.ctx(), d.Candidates[n-1].Candidate)
		if err != nil {
			said, _ := c.say(p.lang, err)
			d.ProofProblem = said.Title + " " + said.Detail
		} else {
			d.Proof = &proof
		}
	}
	return c.render(p, 200, traceTempl(d))
}

// question reads the form. A time without a zone is the operator's own.
func (d traceData) question() (garrison.Question, error) {
	var q garrison.Question
	ip, err := netip.ParseAddr(strings.Trim(d.IP, "[]"))
	if err != nil || ip.Zone() != "" {
		return q, garrison.Refuse(garrison.Invalid, "error.trace.ip", "value", d.IP)
	}
	port, err := strconv.ParseUint(strings.TrimSpace(d.Port), 10, 16)
	if err != nil {
		return q, garrison.Refuse(garrison.Invalid, "error.trace.port", "value", d.Port)
	}
	at, err := readTime(d.At)
	if err != nil {
		return q, garrison.Refuse(garrison.Invalid, "error.trace.at", "value", d.At)
	}
	skew, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(d.Skew), "s"), 64)
	if err != nil || skew < 0 || skew > maxSkew.Seconds() {
		return q, garrison.Refuse(garrison.Invalid, "error.trace.skew", "value", d.Skew)
	}
	proto := map[string]uint8{"tcp": 6, "udp": 17, "icmp": 1}[d.Proto]
	if proto == 0 {
		return q, garrison.Refuse(garrison.Invalid, "error.trace.proto", "value", d.Proto)
	}
	return garrison.Question{IP: ip.Unmap(), Port: uint16(port), Proto: proto, At: at, Skew: time.Duration(skew * float64(time.Second))}, nil
}

// readTime reads what people and browsers write; without a zone it is the operator's.
func readTime(s string) (time.Time, error) {
	s = strings.TrimSpace(s)
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t.UTC(), nil
	}
	var err error
	for _, form := range []string{"2006-01-02 15:04:05.999", "2006-01-02T15:04:05.999", "2006-01-02 15:04", "2006-01-02T15:04"} {
		var t time.Time
		if t, err = time.ParseInLocation(form, s, zone); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, err
}

// with is the page's address with one value changed.
func (d traceData) with(name, value string) string {
	q := url.Values{"ip": {d.IP}, "port": {d.Port}, "proto": {d.Proto}, "at": {d.At}, "skew": {d.Skew}}
	if value == "" {
		q.Del(name)
	} else {
		q.Set(name, value)
	}
	return "/trace?" + q.Encode()
}

func (d traceData) verdict() string {
	n := len(d.Candidates)
	switch {
	case n == 0 && d.Answer.Coverage.Records == 0:
		return d.T("trace.summary.no_records")
	case n == 0:
		return d.T("trace.summary.none", "records", d.Num(d.Answer.Coverage.Records))
	case n == 1:
		return d.T("trace.summary.one")
	}
	return d.T("trace.summary.many", "n", n)
}

func (d traceData) candidateTime(x candidate) string {
	if x.End.IsZero() {
		return d.Millis(x.Start) + " – " + d.T("trace.still_open")
	}
	return d.Millis(x.Start) + " – " + d.Millis(x.End)
}

func port(first, last uint16) string {
	if last > first {
		return strconv.Itoa(int(first)) + "–" + strconv.Itoa(int(last))
	}
	return strconv.Itoa(int(first))
}

func address(a netip.Addr, p string) string {
	if !a.IsValid() {
		return "—"
	}
	if a.Is6() {
		return "[" + a.String() + "]:" + p
	}
	return a.String() + ":" + p
}

func rank(i int) string {
	return map[int]string{0: "cand__rank cand__rank--a", 1: "cand__rank cand__rank--b"}[min(i, 1)]
}

func hexOf(b [32]byte) string { return hex.EncodeToString(b[:]) }
