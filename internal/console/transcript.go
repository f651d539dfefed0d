package console

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"garrison"
	"garrison/internal/measures"
	"garrison/internal/probe"
)

// transcriptPage is what was exchanged in one run, so that a person can read it.
type transcriptPage struct {
	frame
	Run       measures.RunRow
	Subject   garrison.Subject
	Measure   *measures.Definition
	Digest    string // recomputed here
	Same      bool   // with what the run recorded
	Bytes     int64
	Exchanges []exchangeView
	Lookups   []probe.Answer
	Total     int
	From      int
	Dropped   int
	Older     string
	First     string
}

// exchangeView is one exchange with its place in the transcript.
type exchangeView struct {
	probe.Exchange
	N int
}

// kept is the part of a transcript that this page reads.
type kept struct {
	probe.Recorded
}

const exchangesAPage = 50

func (c *Console) transcript(p *page) error {
	id := garrison.RunID(p.r.PathValue("id"))
	raw, row, err := c.transcriptOf(p, id)
	if err != nil {
		return err
	}
	v := transcriptPage{frame: c.frame(p, "measures", p.T("measures.transcript")), Run: row, Bytes: int64(len(raw))}
	v.Question = p.T("measures.transcript_question")
	sum := sha256.Sum256(raw)
	v.Digest = hex.EncodeToString(sum[:])
	v.Same = v.Digest == row.Transcript
	var t kept
	if err := json.Unmarshal(raw, &t); err != nil {
		return garrison.Errorf(garrison.Damaged, "read the transcript of run %q: %w", id, err)
	}
	v.Measure = c.definitions(p.ctx())[row.Measure]
	v.Subject = c.subjects(p.ctx(), row.Subject)[row.Subject]
	v.Total, v.Dropped = len(t.Exchanges), t.Dropped
	if n, err := strconv.Atoi(p.r.URL.Query().Get("from")); err == nil {
		v.From = min(max(n, 0), v.Total)
	}
	if v.From == 0 {
		v.Lookups = t.Lookups[:min(len(t.Lookups), 200)]
	} else {
		v.First = string(transcriptURL(id))
	}
	until := min(v.From+exchangesAPage, v.Total)
	for i, ex := range t.Exchanges[v.From:until] {
		v.Exchanges = append(v.Exchanges, exchangeView{ex, v.From + i + 1})
	}
	if until < v.Total {
		v.Older = fmt.Sprintf("%s?from=%d", transcriptURL(id), until)
	}
	return c.render(p, http.StatusOK, transcriptView(v))
}

func (c *Console) transcriptOf(p *page, id garrison.RunID) ([]byte, measures.RunRow, error) {
	row, _, err := c.deps.Measures.Run(p.ctx(), id)
	if err != nil {
		return nil, row, err
	}
	raw, err := c.deps.Measures.Transcript(p.ctx(), id)
	return raw, row, err
}

// transcriptFile gives the transcript as it is kept, byte for byte: its digest is the
// one in the ledger.
func (c *Console) transcriptFile(p *page) error {
	id := garrison.RunID(p.r.PathValue("id"))
	raw, row, err := c.transcriptOf(p, id)
	if err != nil {
		return err
	}
	p.w.Header().Set("Content-Type", "application/json")
	p.w.Header().Set("Content-Disposition", `attachment; filename="`+short(row.Transcript)+`.transcript.json"`)
	_, err = p.w.Write(raw)
	if err != nil {
		c.deps.Log.Debug("transcript not delivered", "run", id, "error", err)
	}
	return nil
}

// hops are the requests of an exchange, those for robots.txt first.
func (x exchangeView) hops() []probe.Hop { return append(slices.Clone(x.Robots), x.Hops...) }

// lasted is how long an exchange took; where it does not say, as long as its requests.
func (x exchangeView) lasted() time.Duration {
	if x.Took > 0 {
		return x.Took
	}
	var all time.Duration
	for _, h := range x.hops() {
		all += h.Took
	}
	return all
}

// failure says what kept an exchange from an answer.
func (f frame) failure(e *probe.Failure) string {
	if e == nil {
		return ""
	}
	return f.whyWord(string(e.Kind))
}

// hopAddr is what was connected to.
func hopAddr(h probe.Hop) string {
	if !h.Addr.IsValid() {
		return "—"
	}
	return h.Addr.String()
}

func hopStatus(h probe.Hop) string {
	if h.Status == 0 {
		return "—"
	}
	return strconv.Itoa(h.Status)
}

// header is the head of an answer as lines, in order.
func header(h http.Header) []string {
	var out []string
	for name, values := range h {
		for _, value := range values {
			out = append(out, name+": "+value)
		}
	}
	slices.Sort(out)
	return out
}

func (f frame) tlsLine(t *probe.TLSFact) string {
	if t.Verified {
		return f.T("measures.tls_good", "version", t.Version, "issuer", t.Issuer, "until", t.NotAfter.In(zone).Format(time.DateOnly))
	}
	return f.T("measures.tls_bad", "version", t.Version, "why", t.Why)
}
