package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"garrison"
	"garrison/client"
	"garrison/internal/identity"
	"garrison/internal/records"
	"garrison/internal/records/ingest"
)

const (
	maxDelivery  = 8 << 20
	maxLines     = 262_144 // of one delivery; each costs far more memory than its bytes
	maxRefusals  = 5000    // lines told back in one answer; a part of an import never has more
	maxNamed     = 100     // sources that one token can make by naming them
	bodyPatience = 60 * time.Second
)

type deliverIn struct {
	Kind    string `query:"kind" enum:"nat" default:"nat"`
	Format  string `query:"format" enum:"jsonl,csv,syslog" default:"jsonl"`
	Source  string `query:"source" maxLength:"120" doc:"name of the source the records are put down to"`
	Zone    string `query:"zone" maxLength:"60" doc:"IANA zone of times that carry none (syslog); Asia/Shanghai if not given"`
	Key     string `header:"Idempotency-Key" maxLength:"200" doc:"the same key stores nothing twice and gets the first answer"`
	RawBody []byte `contentType:"text/plain"`
}

func (a *API) declareRecords() {
	op(a, http.MethodPost, "/api/records", identity.PermDeliver, "Deliver records; answered when they are on stable storage", 200, a.deliver)
	op(a, http.MethodGet, "/api/trace", identity.PermTrace, "Who had a public address and port at a moment", 200, a.trace)
	op(a, http.MethodGet, "/api/coverage", identity.PermSources, "What is known about a stretch of time", 200, a.coverage)
	op(a, http.MethodGet, "/api/sources", identity.PermSources, "The senders of records and what came of it", 200, a.sources)
	op(a, http.MethodGet, "/api/sources/{id}/refused", identity.PermSources, "A sample of the lines that could not be parsed", 200, a.refused)
	op(a, http.MethodGet, "/api/forecast", identity.PermSources, "How many days of records fit", 200, a.forecast)
}

func (a *API) deliver(ctx context.Context, in *deliverIn) (*body[client.Delivery], error) {
	name := strings.TrimSpace(in.Source)
	if name == "" {
		name = "import"
	}
	p := who(ctx)
	src := records.SourceRef{ID: "import:" + name, Name: name, Kind: "import"}
	if p.Token != nil && p.Token.Role != identity.RoleLocal {
		src = records.SourceRef{ID: "https:" + string(p.Token.ID), Name: p.Token.Name, Kind: "https"}
		if in.Source != "" {
			of := src.ID + ":"
			src.ID, src.Name = of+name, name
			if err := a.mayName(ctx, of, src.ID); err != nil {
				return nil, err
			}
		}
	}
	b := records.Batch{Source: src}
	if in.Key != "" {
		// Bound to who delivers: nobody can use up somebody else's keys.
		// The local token is made anew from time to time and stays the same sender.
		who := p.Actor.ID
		if p.Token != nil && p.Token.Role == identity.RoleLocal {
			who = string(identity.RoleLocal)
		}
		b.Key = sha256.Sum256([]byte("delivery\x00" + who + "\x00" + in.Key))
	}
	d := client.Delivery{}
	err := ingest.Read(ctx, bytes.NewReader(in.RawBody), in.Format, ingest.FileOptions{Source: src.ID, Zone: in.Zone}, func(it ingest.Item) error {
		if d.Read++; d.Read > maxLines {
			return garrison.Refuse(garrison.TooLarge, "error.records.batch_too_large", "rows", d.Read, "limit", maxLines)
		}
		if it.NAT != nil {
			b.NAT = append(b.NAT, *it.NAT)
			return nil
		}
		text := ingest.Escape(it.Text, 2048)
		b.Refused = append(b.Refused, records.Refusal{Line: text, Why: it.Why})
		if len(d.Refusals) < maxRefusals {
			d.Refusals = append(d.Refusals, client.Refused{Number: it.Line, Why: it.Why, Line: text})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if d.Read == 0 {
		return nil, garrison.Refuse(garrison.Invalid, "error.api.empty_delivery")
	}
	ack, err := a.deps.Records.Append(ctx, &b)
	if err != nil {
		return nil, err
	}
	d.Stored, d.Refused, d.Already = ack.Stored, ack.Refused, ack.Already
	return answer(d), nil
}

// named are the sources that tokens have made by naming them.
type named struct {
	mu    sync.Mutex                 // guards known
	known map[string]map[string]bool // by the part of the id that stands for the token
}

// mayName bounds the sources of one token. A source is kept for ever, in memory too,
// and whoever can only deliver must not be able to fill either.
func (a *API) mayName(ctx context.Context, of, id string) error {
	a.named.mu.Lock()
	defer a.named.mu.Unlock()
	mine := a.named.known[of]
	if mine == nil {
		list, err := a.deps.Records.Sources(ctx)
		if err != nil {
			return err
		}
		mine = map[string]bool{}
		for _, s := range list {
			if strings.HasPrefix(string(s.ID), of) {
				mine[string(s.ID)] = true
			}
		}
		a.named.known[of] = mine
	}
	if !mine[id] && len(mine) >= maxNamed {
		return garrison.Refuse(garrison.TooLarge, "error.api.too_many_sources", "max", maxNamed)
	}
	mine[id] = true
	return nil
}

type traceIn struct {
	IP    string `query:"ip" required:"true" maxLength:"60"`
	Port  int    `query:"port" required:"true" minimum:"0" maximum:"65535"`
	Proto string `query:"proto" default:"tcp" enum:"tcp,udp,icmp"`
	At    string `query:"at" required:"true" doc:"RFC 3339 with zone" maxLength:"40"`
	Skew  string `query:"skew" default:"0s" doc:"how far the two clocks may differ, such as 5s" maxLength:"20"`
	Proof bool   `query:"proof" doc:"give the leaf of every candidate too; reads whole chunks, which takes longer"`
}

// maxSkew bounds a question: a wider window is a search, not a trace.
const maxSkew = time.Hour

func (in *traceIn) question() (garrison.Question, error) {
	var q garrison.Question
	ip, err := netip.ParseAddr(strings.Trim(strings.TrimSpace(in.IP), "[]"))
	if err != nil || ip.Zone() != "" {
		return q, garrison.Refuse(garrison.Invalid, "error.trace.ip", "value", in.IP)
	}
	at, err := time.Parse(time.RFC3339Nano, strings.TrimSpace(in.At))
	if err != nil {
		return q, garrison.Refuse(garrison.Invalid, "error.trace.at", "value", in.At)
	}
	skew, err := time.ParseDuration(in.Skew)
	if err != nil || skew < 0 || skew > maxSkew {
		return q, garrison.Refuse(garrison.Invalid, "error.trace.skew", "value", in.Skew)
	}
	proto := map[string]uint8{"tcp": 6, "udp": 17, "icmp": 1}[in.Proto]
	return garrison.Question{IP: ip.Unmap(), Port: uint16(in.Port), Proto: proto, At: at.UTC(), Skew: skew}, nil
}

func (a *API) trace(ctx context.Context, in *traceIn) (*body[client.Answer], error) {
	q, err := in.question()
	if err != nil {
		return nil, err
	}
	ans, err := a.deps.Records.Trace(ctx, q)
	if err != nil {
		return nil, err
	}
	return answer(a.showAnswer(ctx, ans, in.Proof)), nil
}

func (a *API) showAnswer(ctx context.Context, ans garrison.Answer, proof bool) client.Answer {
	out := client.Answer{Candidates: []client.Candidate{}, Coverage: showCoverage(ans.Coverage), Truncated: ans.Truncated}
	for _, c := range ans.Candidates {
		s := client.Candidate{
			Line: c.Line, InsideIP: addr(c.InsideIP), InsidePort: c.InsidePort, OutsideIP: addr(c.OutsideIP),
			OutsidePort: c.FirstPort, OutsideLast: c.LastPort, Start: stamp(c.Start), End: stamp(c.End),
			Device: c.Device, Source: c.Source, DstIP: addr(c.DstIP), DstPort: c.DstPort, Received: stamp(c.Received),
			Reasons: c.Why, Why: []string{}, Evidence: ref(c.Evidence), Chunk: c.Chunk, Leaf: c.Leaf,
		}
		if l, ok := a.deps.Registry.LineFor(ctx, c.InsideIP); ok {
			s.RegisteredFor = l.Name
			if s.Line == "" {
				s.Line = l.Attributes["number"]
			}
		}
		for _, r := range c.Why {
			s.Why = append(s.Why, a.text(lang(ctx), r.Key, r.Args))
		}
		if proof && s.Leaf == "" && s.Evidence != nil {
			if p, err := a.deps.Records.Prove(ctx, c); err == nil {
				s.Leaf = hex.EncodeToString(p.Leaf[:])
			}
		}
		out.Candidates = append(out.Candidates, s)
	}
	key := "trace.summary.many"
	switch {
	case len(ans.Candidates) == 1:
		key = "trace.summary.one"
	case len(ans.Candidates) == 0 && ans.Coverage.Records == 0:
		key = "trace.summary.no_records"
	case len(ans.Candidates) == 0:
		key = "trace.summary.none"
	}
	out.Summary = a.text(lang(ctx), key, map[string]any{"n": len(ans.Candidates), "records": ans.Coverage.Records})
	return out
}

func (a *API) coverage(ctx context.Context, in *struct {
	From  string `query:"from" required:"true" maxLength:"40"`
	Until string `query:"until" required:"true" maxLength:"40"`
}) (*body[client.Coverage], error) {
	from, err1 := time.Parse(time.RFC3339Nano, in.From)
	until, err2 := time.Parse(time.RFC3339Nano, in.Until)
	if err1 != nil || err2 != nil || !from.Before(until) {
		return nil, garrison.Refuse(garrison.Invalid, "error.api.period", "from", in.From, "until", in.Until)
	}
	c, err := a.deps.Records.Coverage(ctx, garrison.Period{From: from.UTC(), Until: until.UTC()})
	if err != nil {
		return nil, err
	}
	return answer(showCoverage(c)), nil
}

func (a *API) sources(ctx context.Context, in *struct {
	Own bool `query:"own" doc:"also what the product records about itself"`
}) (*body[client.Sources], error) {
	list, err := a.deps.Records.Sources(ctx)
	if err != nil {
		return nil, err
	}
	out := client.Sources{Sources: []client.Source{}}
	for _, s := range list {
		if s.Own && !in.Own {
			continue
		}
		out.Sources = append(out.Sources, client.Source{
			ID: string(s.ID), Name: s.Name, Kind: s.Kind, Stored: s.Stored, Refused: s.Refused, Lost: s.Lost,
			First: stamp(s.First), Last: stamp(s.Last), RatePerS: s.Rate, ClockOffsetS: s.ClockOffset.Seconds(),
			ClockSuspect: s.ClockSuspect, Silent: s.Silent, Own: s.Own,
		})
	}
	return answer(a.withUnheard(ctx, out)), nil
}

func (a *API) refused(ctx context.Context, in *struct {
	ID string `path:"id" maxLength:"200"`
}) (*body[struct {
	Lines []refusedLine `json:"lines"`
}], error) {
	list, err := a.deps.Records.Samples(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	out := struct {
		Lines []refusedLine `json:"lines"`
	}{Lines: []refusedLine{}}
	for _, l := range list {
		out.Lines = append(out.Lines, refusedLine{At: stamp(l.At), Why: l.Why, Line: l.Line})
	}
	return answer(out), nil
}

type refusedLine struct {
	At   string `json:"at"`
	Why  string `json:"why"`
	Line string `json:"line"`
}

type forecast struct {
	Known     bool    `json:"known"`
	DaysKept  float64 `json:"days_kept"`
	Floor     int     `json:"floor_days"`
	Retention int     `json:"retention_days"`
	Oldest    string  `json:"oldest,omitempty"`
	Free      int64   `json:"free_bytes"`
	Bytes     int64   `json:"bytes"`
	PerDay    int64   `json:"bytes_per_day"`
	Records   int64   `json:"records"`
}

func (a *API) forecast(ctx context.Context, _ *struct{}) (*body[forecast], error) {
	f, err := a.deps.Records.Forecast(ctx)
	if err != nil {
		return nil, err
	}
	return answer(forecast{Known: f.Known, DaysKept: f.DaysKept, Floor: f.Floor, Retention: f.Retention,
		Oldest: stamp(f.Oldest), Free: f.Free, Bytes: f.Bytes, PerDay: f.BytesPerDay, Records: f.Records}), nil
}

func showCoverage(c garrison.Coverage) client.Coverage {
	return client.Coverage{
		From: stamp(c.Window.From), Until: stamp(c.Window.Until), Complete: c.Complete, Records: c.Records,
		Lost: c.Lost, SilentS: c.Silent.Seconds(), Gaps: showGaps(c.Gaps),
	}
}

func showGaps(gaps []garrison.Gap) []client.Gap {
	out := []client.Gap{}
	for _, g := range gaps {
		out = append(out, client.Gap{From: stamp(g.From), Until: stamp(g.Until), Source: g.Source, Cause: g.Cause, Lost: g.Lost})
	}
	return out
}

// stamp writes a time as RFC 3339 with milliseconds in UTC; the zero time is "".
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

func addr(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func ref(r garrison.EvidenceRef) *garrison.EvidenceRef {
	if r.Zero() {
		return nil
	}
	return &r
}

func index(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, garrison.Refuse(garrison.Invalid, "error.api.index", "value", s)
	}
	return n, nil
}
