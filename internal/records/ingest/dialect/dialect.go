package dialect

import (
	"strings"

	"garrison/evidence"
	"garrison/internal/records/ingest/syslog"
)

// Reasons for which a line is refused. They leave the process (the console has a text
// for each), so they are never reused for another meaning. The empty string means
// that the line was decoded.
const (
	NotTranslation = "not_a_translation" // a line that tells of no translation: a login, a link, a denial
	Truncated      = "truncated"         // ends before the translation is complete
	BadForm        = "unknown_form"      // names a translation in a form that is not known
	BadAddress     = "bad_address"
	BadPort        = "bad_port"
	BadProtocol    = "bad_protocol"
	BadDuration    = "bad_duration"
	BadTime        = "bad_time"     // its time cannot be read and there is no other
	NoTime         = "no_time"      // has no time at all, and came from a file
	Empty          = "empty_line"   // nothing but blanks
	TooLong        = "too_long"     // longer than a line may be; its head is kept
	Unfinished     = "unfinished"   // the sender began a line and did not end it in time
	NoMatch        = "no_match"     // teardown that does not name the translation, and no building was seen that would
	Repetition     = "repetition"   // a change of a connection whose building and end are lines of their own
	Several        = "several"      // tells of several translations at once, which is not read
	UnknownLine    = "unknown_line" // of no known family, and may tell of a translation
)

// Other says that a line refused for this reason is known to tell of no translation
// that another line does not tell: nothing was lost with it. For a reason that is not
// known the answer is no.
func Other(why string) bool {
	code, _, _ := strings.Cut(why, ":")
	return code == NotTranslation || code == Repetition || code == Empty
}

// NotMine is what a decoder answers to a line that is not of its family. It never
// leaves the process.
const NotMine = "-"

// Line is one line on its way through the decoders.
type Line struct {
	syslog.Message
	// At is when the device wrote the line, Unix ms. The caller sets it from the
	// header; a decoder that reads a better time in the text replaces it.
	At int64
}

// Decoder knows the lines of one family of devices. Decode fills r (Start, End,
// Proto, addresses, ports, Event, Flags) and returns "", or leaves r in any state and
// returns a reason. A decoder may remember lines to understand later ones, so it
// serves one source and is not safe for concurrent use.
type Decoder interface {
	Decode(l *Line, r *evidence.NAT) (why string)
}

// Built makes r a translation that began at l.At and is open.
func (l *Line) Built(r *evidence.NAT) {
	r.Event, r.Start, r.End = evidence.NATBuilt, l.At, 0
}

// Seen makes r a translation that was there at l.At and began no one knows when.
func (l *Line) Seen(r *evidence.NAT) {
	l.Built(r)
	r.Flags |= evidence.NATStartUnknown
}

// Ended makes r a translation that ended at l.At after so many milliseconds; less
// than zero: the line does not say. Start then is the end, the one moment at which
// the translation is known to have been there, and the flag says so.
func (l *Line) Ended(r *evidence.NAT, lasted int64) {
	r.Event, r.End = evidence.NATTeardown, l.At
	if lasted < 0 {
		r.Start = l.At
		r.Flags |= evidence.NATStartUnknown
		return
	}
	r.Start = l.At - lasted
}
