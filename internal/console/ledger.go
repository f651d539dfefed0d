package console

import (
	"encoding/hex"
	"strconv"

	"garrison"
	"garrison/evidence"
	"garrison/internal/ledger"
)

// ledgerData is the ledger page: is the log whole, witnessed, growing?
type ledgerData struct {
	frame
	Status     ledger.Status
	Checkpoint string
	Key        string
	Entries    []entryRow
	First      string
	Next       string
	Verified   *Verification
	VerifyFail string
}

type entryRow struct {
	Index  uint64
	Type   string
	Fields []evidence.Field
	Digest string
	Sealed bool
	Raw    string
}

const entriesShown = 50

func (c *Console) ledgerPage(p *page) error {
	d, err := c.ledgerFrame(p)
	if err != nil {
		return err
	}
	return c.render(p, 200, ledgerTempl(d))
}

func (c *Console) ledgerFrame(p *page) (ledgerData, error) {
	d := ledgerData{frame: c.frame(p, "ledger", ""), Key: c.deps.Ledger.PublicKey()}
	d.Question = p.T("ledger.question")
	var err error
	if d.Status, err = c.deps.Ledger.Status(p.ctx()); err != nil {
		return d, err
	}
	cp, err := c.deps.Ledger.Checkpoint(p.ctx())
	if err != nil {
		return d, err
	}
	d.Checkpoint = string(cp)
	from := d.Status.Size
	if v := p.r.URL.Query().Get("before"); v != "" {
		n, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			return d, garrison.Refuse(garrison.Invalid, "error.api.index", "value", v)
		}
		from, d.First = min(n, d.Status.Size), "/ledger#entries"
	}
	for i := from; i > 0 && len(d.Entries) < entriesShown; i-- {
		e, err := c.entry(p, d.Status, i-1)
		if err != nil {
			return d, err
		}
		d.Entries = append(d.Entries, e)
	}
	if n := len(d.Entries); n > 0 && d.Entries[n-1].Index > 0 {
		d.Next = "/ledger?before=" + strconv.FormatUint(d.Entries[n-1].Index, 10) + "#entries"
	}
	return d, nil
}

func (c *Console) entry(p *page, st ledger.Status, index uint64) (entryRow, error) {
	raw, err := c.deps.Ledger.Entry(p.ctx(), index)
	if err != nil {
		return entryRow{}, err
	}
	h := evidence.EntryHash(raw)
	row := entryRow{Index: index, Digest: hex.EncodeToString(h[:]), Sealed: index < st.Sealed, Raw: string(raw)}
	if e, err := evidence.ParseEntry(raw); err == nil {
		row.Type, row.Fields = e.Type, e.Fields
	}
	return row, nil
}

func (c *Console) verifyPost(p *page) error {
	v, err := c.deps.Verify(p.ctx())
	d, ferr := c.ledgerFrame(p)
	if ferr != nil {
		return ferr
	}
	if err != nil {
		said, _ := c.say(p.lang, err)
		d.VerifyFail = said.Title + " " + said.Detail
	} else {
		d.Verified = &v
	}
	return c.render(p, 200, ledgerTempl(d))
}

// entryData is one entry with what proves it.
type entryData struct {
	frame
	Entry   entryRow
	Status  ledger.Status
	Receipt string
	Problem string
}

func (c *Console) entryPage(p *page) error {
	v := p.r.PathValue("index")
	i, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		return garrison.Refuse(garrison.Invalid, "error.api.index", "value", v)
	}
	st, err := c.deps.Ledger.Status(p.ctx())
	if err != nil {
		return err
	}
	if i >= st.Size {
		return garrison.Refuse(garrison.NotFound, "error.ledger.no_entry", "index", i, "size", st.Size)
	}
	d := entryData{frame: c.frame(p, "ledger", p.T("entry.title", "index", text(p.lang, "entry.number", "index", i))), Status: st}
	d.Question = p.T("entry.question")
	if d.Entry, err = c.entry(p, st, i); err != nil {
		return err
	}
	r, err := c.deps.Ledger.Receipt(p.ctx(), garrison.EvidenceRef{Log: st.Origin, Index: i, Digest: d.Entry.Digest})
	if err == nil {
		var txt []byte
		if txt, err = r.MarshalText(); err == nil {
			d.Receipt = string(txt)
		}
	}
	if err != nil {
		said, _ := c.say(p.lang, err)
		d.Problem = said.Title + " " + said.Detail
	}
	if p.r.URL.Query().Get("get") == "receipt" && d.Receipt != "" {
		return c.plain(p, "entry-"+v+".tlog-proof", []byte(d.Receipt))
	}
	return c.render(p, 200, entryTempl(d))
}

// entryType is what an entry is about.
func (f frame) entryType(t string) string {
	switch t {
	case evidence.TypeChunk:
		return f.T("entry.type.chunk")
	case evidence.TypeBeat:
		return f.T("entry.type.beat")
	case evidence.TypeStart:
		return f.T("entry.type.start")
	case evidence.TypeStop:
		return f.T("entry.type.stop")
	case evidence.TypeState:
		return f.T("entry.type.state")
	case evidence.TypeRun:
		return f.T("entry.type.run")
	case evidence.TypeMeasure:
		return f.T("entry.type.measure")
	case evidence.TypeConfig:
		return f.T("entry.type.config")
	case evidence.TypeStanding:
		return f.T("entry.type.standing")
	case evidence.TypeBundle:
		return f.T("entry.type.bundle")
	case evidence.TypeExpiry:
		return f.T("entry.type.expiry")
	case "":
		return f.T("word.unknown")
	}
	return t
}

// summary is the first fields of an entry, for a row.
func (e entryRow) summary() string {
	s := ""
	for i, f := range e.Fields {
		if i == 5 {
			break
		}
		v := f.Value
		if len(v) > 40 {
			v = v[:12] + "…"
		}
		s += f.Name + "=" + v + " "
	}
	return s
}

// recent are the last checkpoints, few enough to be read.
func (d ledgerData) recent() []ledger.CheckpointInfo {
	return d.Status.Checkpoints[:min(5, len(d.Status.Checkpoints))]
}
