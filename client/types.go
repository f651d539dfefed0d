package client

import (
	"time"

	"garrison"
)

// Candidate is one translation that fits a question, as the API shows it.
type Candidate struct {
	Line          string                `json:"line"`
	InsideIP      string                `json:"inside_ip"`
	InsidePort    uint16                `json:"inside_port"`
	OutsideIP     string                `json:"outside_ip"`
	OutsidePort   uint16                `json:"outside_port"`
	OutsideLast   uint16                `json:"outside_port_last"`
	Start         string                `json:"start"`
	End           string                `json:"end,omitempty"` // absent: no teardown was seen
	Device        string                `json:"device"`
	Source        string                `json:"source"`
	DstIP         string                `json:"dst_ip,omitempty"`
	DstPort       uint16                `json:"dst_port,omitempty"`
	Received      string                `json:"received"`
	Why           []string              `json:"why"`
	Reasons       []garrison.Reason     `json:"reasons"`
	Evidence      *garrison.EvidenceRef `json:"evidence"` // null: stored, not sealed yet
	Chunk         garrison.ChunkID      `json:"chunk"`
	Leaf          string                `json:"leaf,omitempty"`
	RegisteredFor string                `json:"registered_as,omitempty"` // name of the line in the register
}

// Gap is time nobody watched or records known lost.
type Gap struct {
	From   string `json:"from"`
	Until  string `json:"until,omitempty"`
	Source string `json:"source,omitempty"`
	Cause  string `json:"cause"`
	Lost   int64  `json:"lost"`
}

// Coverage says what is known about a window.
type Coverage struct {
	From     string  `json:"from"`
	Until    string  `json:"until"`
	Complete bool    `json:"complete"`
	Records  int64   `json:"records"`
	Lost     int64   `json:"lost"` // -1: unknown
	SilentS  float64 `json:"silent_s"`
	Gaps     []Gap   `json:"gaps"`
}

// Answer is what a trace found and how far it can be trusted.
type Answer struct {
	Candidates []Candidate `json:"candidates"`
	Coverage   Coverage    `json:"coverage"`
	Truncated  bool        `json:"truncated"`
	Summary    string      `json:"summary"`
}

// Source is one sender of records.
type Source struct {
	ID           string  `json:"id"`
	Name         string  `json:"name"`
	Kind         string  `json:"kind"`
	Stored       int64   `json:"stored"`
	Refused      int64   `json:"refused"`
	Lost         int64   `json:"lost"`
	First        string  `json:"first,omitempty"`
	Last         string  `json:"last,omitempty"`
	RatePerS     float64 `json:"rate_per_s"`
	ClockOffsetS float64 `json:"clock_offset_s"`
	ClockSuspect bool    `json:"clock_suspect"`
	Silent       bool    `json:"silent"`
	Own          bool    `json:"own,omitempty"`
	Registered   string  `json:"registered_as,omitempty"`
}

// Sources is the list of them.
type Sources struct {
	Sources []Source `json:"sources"`
}

// Duty is one clause and where we stand on it.
type Duty struct {
	ID         string              `json:"id"`
	Rule       string              `json:"rule"`
	Article    string              `json:"article"`
	Summary    garrison.Text       `json:"summary"`
	Standing   string              `json:"standing"` // met | unmet | unproven | out_of_scope | not_in_force
	Why        string              `json:"why"`
	Reason     garrison.Reason     `json:"reason"`
	AnsweredBy []string            `json:"answered_by"`
	Discharge  string              `json:"discharge"`
	Force      string              `json:"force"`
	Verified   string              `json:"verified"`
	Facts      []garrison.Fact     `json:"facts,omitempty"`
	Population garrison.Population `json:"population"`
	Gaps       []Gap               `json:"gaps,omitempty"`
	LastLook   string              `json:"last_look,omitempty"`
}

// Duties is the list of clauses.
type Duties struct {
	At     string         `json:"at"`
	Counts map[string]int `json:"counts"`
	Duties []Duty         `json:"duties"`
}

// Subject is one entry of the register.
type Subject struct {
	ID          string            `json:"id,omitempty"`
	Kind        string            `json:"kind"`
	Name        string            `json:"name"`
	Owner       string            `json:"owner,omitempty"`
	Responsible string            `json:"responsible,omitempty"`
	Grade       int               `json:"grade,omitempty"`
	Attributes  map[string]string `json:"attributes,omitempty"`
	Demo        bool              `json:"demo,omitempty"`
	Version     int               `json:"version,omitempty"`
	Retired     bool              `json:"retired,omitempty"`
	Changed     string            `json:"changed,omitempty"`
}

// Subjects is a page of the register.
type Subjects struct {
	Subjects []Subject `json:"subjects"`
	Next     string    `json:"next,omitempty"`
}

// Profile is who we are, in the catalogue's words.
type Profile struct {
	Name  string   `json:"name"`
	Binds []string `json:"binds"`
	Set   bool     `json:"set"`
}

// Measure is one measure and whether it runs.
type Measure struct {
	ID       string        `json:"id"`
	Title    garrison.Text `json:"title"`
	Mode     string        `json:"mode"`
	Reason   string        `json:"reason"`
	Since    string        `json:"since,omitempty"`
	Subjects int           `json:"subjects"`
	Looked   int           `json:"looked"`
	LastRun  string        `json:"last_run,omitempty"`
}

// Measures is the list of them.
type Measures struct {
	Measures []Measure `json:"measures"`
}

// Run is one execution of a measure.
type Run struct {
	ID         string                `json:"id"`
	Measure    string                `json:"measure"`
	Subject    string                `json:"subject"`
	Started    string                `json:"started"`
	Ended      string                `json:"ended,omitempty"`
	Outcome    string                `json:"outcome"`
	Why        string                `json:"why,omitempty"`
	Population garrison.Population   `json:"population"`
	Transcript string                `json:"transcript,omitempty"`
	Evidence   *garrison.EvidenceRef `json:"evidence"`
	Running    bool                  `json:"running,omitempty"`
	Items      []RunItem             `json:"items,omitempty"`
}

// RunItem is one place a run looked at.
type RunItem struct {
	Locus   string            `json:"locus"`
	Outcome string            `json:"outcome"`
	Verdict string            `json:"verdict"`
	Why     string            `json:"why,omitempty"`
	Facts   map[string]string `json:"facts,omitempty"`
}

// Runs is a page of runs, newest first.
type Runs struct {
	Runs []Run  `json:"runs"`
	Next string `json:"next,omitempty"`
}

// Finding is one thing wrong with one subject.
type Finding struct {
	ID        string            `json:"id"`
	Measure   string            `json:"measure"`
	Rule      string            `json:"rule"`
	Subject   string            `json:"subject"`
	Locus     string            `json:"locus"`
	Severity  string            `json:"severity"`
	State     string            `json:"state"`
	Facts     map[string]string `json:"facts,omitempty"`
	Looks     int               `json:"looks"`
	FirstSeen string            `json:"first_seen"`
	LastSeen  string            `json:"last_seen"`
	LastRun   string            `json:"last_run,omitempty"`
	Case      string            `json:"case,omitempty"`
	Why       string            `json:"why,omitempty"`
}

// Findings is a page of findings, worst first.
type Findings struct {
	Findings []Finding `json:"findings"`
	Next     string    `json:"next,omitempty"`
}

// Case is a matter somebody must bring to an end.
type Case struct {
	ID       string     `json:"id"`
	Number   string     `json:"number"`
	Kind     string     `json:"kind"`
	State    string     `json:"state"`
	Title    string     `json:"title"`
	Subject  string     `json:"subject"`
	Measure  string     `json:"measure"`
	Severity string     `json:"severity"`
	Owner    string     `json:"owner,omitempty"`
	Opened   string     `json:"opened"`
	Due      string     `json:"due,omitempty"`
	Closed   string     `json:"closed,omitempty"`
	Late     bool       `json:"late"`
	Findings []string   `json:"findings,omitempty"`
	Version  int        `json:"version"`
	Steps    []CaseStep `json:"steps,omitempty"`
}

// CaseStep is one thing that happened to a case.
type CaseStep struct {
	Seq      int                   `json:"seq"`
	At       string                `json:"at"`
	By       string                `json:"by"`
	Do       string                `json:"do"`
	From     string                `json:"from,omitempty"`
	To       string                `json:"to"`
	Note     string                `json:"note,omitempty"`
	Run      string                `json:"run,omitempty"`
	Evidence *garrison.EvidenceRef `json:"evidence"`
}

// Cases is a page of cases.
type Cases struct {
	Cases []Case `json:"cases"`
	Next  string `json:"next,omitempty"`
}

// Refused is one line of a delivery that was not stored.
type Refused struct {
	Number int    `json:"number"` // 1-based line of the part it came in
	Why    string `json:"why"`
	Line   string `json:"line"`
}

// Delivery is the answer to one delivery of records: Read = Stored + Refused.
type Delivery struct {
	Read     int       `json:"read"`
	Stored   int       `json:"stored"`
	Refused  int       `json:"refused"`
	Already  bool      `json:"already"` // this very delivery was stored before; nothing was stored twice
	Refusals []Refused `json:"refusals,omitempty"`
}

// Ledger is the state of the log.
type Ledger struct {
	Origin      string `json:"origin"`
	Size        uint64 `json:"size"`
	Root        string `json:"root"`
	SealedUntil string `json:"sealed_until"`
	PublicKey   string `json:"public_key"`
	Checkpoint  string `json:"checkpoint"`
	SameDisk    bool   `json:"keys_share_disk"`
}

// LedgerEntry is one entry with what proves it.
type LedgerEntry struct {
	Index   uint64 `json:"index"`
	Entry   string `json:"entry"`
	Receipt string `json:"receipt,omitempty"` // C2SP tlog-proof text
}

// LedgerEntries is a page of entries.
type LedgerEntries struct {
	Entries []LedgerEntry `json:"entries"`
	Size    uint64        `json:"size"`
}

// Token is an API token; Secret only in the answer to its creation.
type Token struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Role     string    `json:"role"`
	Created  time.Time `json:"created"`
	Expires  time.Time `json:"expires,omitzero"`
	LastUsed time.Time `json:"last_used,omitzero"`
	Revoked  time.Time `json:"revoked,omitzero"`
	Secret   string    `json:"secret,omitempty"`
}

// Tokens is the list of them.
type Tokens struct {
	Tokens []Token `json:"tokens"`
}

// Condition is what one check of the installation said.
type Condition struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	Why  string `json:"why,omitempty"`
}

// Doctor is the state of the installation.
type Doctor struct {
	Version string      `json:"version"`
	Checks  []Condition `json:"checks"`
}

// Me is who is asking.
type Me struct {
	Kind  string   `json:"kind"`
	Name  string   `json:"name"`
	Roles []string `json:"roles"`
}

// Damage is one thing on disk that is not what was sealed.
type Damage struct {
	Part    string `json:"part"` // records | ledger | evidence | state
	File    string `json:"file"`
	Range   string `json:"range,omitempty"`
	Object  string `json:"object,omitempty"`
	Records int64  `json:"records"` // affected; -1: cannot be told
	What    string `json:"what"`
}

// Verification is what looking at the whole installation came to.
type Verification struct {
	Clean       bool     `json:"clean"`
	CouldNot    []string `json:"could_not_tell,omitempty"`
	Damages     []Damage `json:"damages"`
	Segments    int      `json:"segments"`
	Chunks      int      `json:"chunks"`
	Records     int64    `json:"records"`
	Unsealed    int64    `json:"not_sealed_yet"`
	Entries     uint64   `json:"ledger_entries"`
	Transcripts int      `json:"transcripts"`
}

// Problem is an error as the API answers it (RFC 9457).
type Problem struct {
	Status int    `json:"status"`
	Code   string `json:"code,omitempty"`
	Key    string `json:"key,omitempty"`
	Title  string `json:"title"`
	Detail string `json:"detail,omitempty"`
	ID     string `json:"id,omitempty"` // of an internal error, for the log
}
