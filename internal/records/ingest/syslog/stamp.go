package syslog

import (
	"time"
)

// stamp is a time as written.
type stamp struct {
	year             int // 0: not written
	month, day       int
	hour, min        int
	sec, ms          int
	offset           int // seconds east of UTC; only with hasOffset
	hasOffset        bool
	zone             []byte // an abbreviation, as written
	unsynced, closed bool   // a leading * or .; a colon after it
	iso              bool
}

// hourCache remembers one hour of one zone: asking the zone's table for every
// message costs more than reading the message.
type hourCache struct {
	year, month, day, hour int
	offset                 int
	hasOffset              bool
	zone                   string
	received               int64 // hour of reception, for times without a year
	unix                   int64
	valid                  bool
}

// parseStamp reads any time that devices write at the start of b and returns its
// length, 0 when there is none. With it goes a zone and a colon, where they follow:
//
//	Nov 24 10:00:03            RFC 3164
//	Nov 24 10:00:03.123 2026   Junos, time-format year millisecond
//	Nov 24 2026 10:00:03.123 CST:   ASA, IOS and IOS XE
//	2026 Nov 24 10:00:03 CST:  NX-OS and IOS XR
//	2026-11-24T10:00:03.123+08:00   RFC 3339, relays
//	2026-11-24 02:00:03:       services cards of the MX
func parseStamp(b []byte, st *stamp) int {
	*st = stamp{}
	i := 0
	if len(b) > 0 && (b[0] == '*' || b[0] == '.') {
		st.unsynced, i = true, 1
	}
	var n int
	switch {
	case i >= len(b):
		return 0
	case isDigit(b[i]):
		if n = parseISO(b[i:], st); n == 0 {
			n = parseYearFirst(b[i:], st)
		}
	case isUpper(b[i]):
		n = parseMonthFirst(b[i:], st)
	}
	if n == 0 {
		return 0
	}
	return i + n + stampTail(b[i+n:], st)
}

// stampTail reads " CST:" or ":" after a time.
func stampTail(b []byte, st *stamp) int {
	if len(b) > 0 && b[0] == ':' {
		st.closed = true
		return 1
	}
	if st.hasOffset || len(b) < 3 || b[0] != ' ' {
		return 0
	}
	k := 1
	for k < len(b) && k <= 8 && (isLetter(b[k]) || isDigit(b[k]) || b[k] == '+' || b[k] == '-') {
		k++
	}
	if k < 3 || k >= len(b) || b[k] != ':' || !isLetter(b[1]) {
		return 0
	}
	if k+1 < len(b) && b[k+1] != ' ' {
		return 0
	}
	// "Nov 24 10:00:03 kernel: …" has a TAG where a zone could stand.
	if !zoneLike(b[1:k]) {
		return 0
	}
	st.zone, st.closed = b[1:k], true
	return k + 1
}

// zoneLike tells a zone's abbreviation from a TAG: capitals (CST, UTC, GMT+8), or
// one of the names that offices here give theirs.
func zoneLike(b []byte) bool {
	upper := true
	for _, c := range b {
		if !isUpper(c) && !isDigit(c) && c != '+' && c != '-' {
			upper = false
		}
	}
	if upper && len(b) <= 5 {
		return true
	}
	_, known := zoneOffset(b)
	return known
}

// parseISO reads yyyy-mm-ddThh:mm:ss[.f…][Z|±hh:mm|±hhmm], the T may be a blank.
func parseISO(b []byte, st *stamp) int {
	if len(b) < 19 || b[4] != '-' || b[7] != '-' || (b[10] != 'T' && b[10] != ' ' && b[10] != 't') {
		return 0
	}
	y1, ok1 := two(b[0:])
	y2, ok2 := two(b[2:])
	mo, ok3 := two(b[5:])
	d, ok4 := two(b[8:])
	if !ok1 || !ok2 || !ok3 || !ok4 {
		return 0
	}
	n := parseClock(b[11:], st)
	if n == 0 {
		return 0
	}
	st.year, st.month, st.day, st.iso = y1*100+y2, mo, d, b[10] == ' '
	if st.year == 0 {
		st.month = 0 // the year 0 is none, and 0 stands for "not written" here
	}
	return 11 + n + parseOffset(b[11+n:], st)
}

func parseOffset(b []byte, st *stamp) int {
	switch {
	case len(b) > 0 && (b[0] == 'Z' || b[0] == 'z'):
		st.hasOffset = true
		return 1
	case len(b) >= 5 && (b[0] == '+' || b[0] == '-'):
		h, ok := two(b[1:])
		at := 3
		if b[at] == ':' {
			at++
		}
		if !ok || at+2 > len(b) {
			return 0
		}
		mi, ok := two(b[at:])
		if !ok || h > 23 || mi > 59 {
			return 0
		}
		st.hasOffset, st.offset = true, h*3600+mi*60
		if b[0] == '-' {
			st.offset = -st.offset
		}
		return at + 2
	}
	return 0
}

// parseMonthFirst reads Mmm dd [yyyy] hh:mm:ss[.f…] [yyyy].
func parseMonthFirst(b []byte, st *stamp) int {
	n := parseMonthDay(b, st)
	if n == 0 {
		return 0
	}
	if y := fourDigits(b[n:]); y > 0 && len(b) > n+4 && b[n+4] == ' ' {
		st.year, n = y, n+5
	}
	k := parseClock(b[n:], st)
	if k == 0 {
		return 0
	}
	n += k
	if st.year == 0 && len(b) >= n+5 && b[n] == ' ' {
		if y := fourDigits(b[n+1:]); y >= 1970 && (len(b) == n+5 || b[n+5] == ' ' || b[n+5] == ':') {
			st.year, n = y, n+5
		}
	}
	return n
}

// parseYearFirst reads yyyy Mmm dd hh:mm:ss[.f…].
func parseYearFirst(b []byte, st *stamp) int {
	y := fourDigits(b)
	if y == 0 || len(b) < 20 || b[4] != ' ' {
		return 0
	}
	n := parseMonthDay(b[5:], st)
	if n == 0 {
		return 0
	}
	k := parseClock(b[5+n:], st)
	if k == 0 {
		return 0
	}
	st.year = y
	return 5 + n + k
}

// parseMonthDay reads "Nov 24 ", "Nov  4 " or "Nov 4 ".
func parseMonthDay(b []byte, st *stamp) int {
	if len(b) < 6 || b[3] != ' ' {
		return 0
	}
	if st.month = month(b); st.month == 0 {
		return 0
	}
	i := 4
	if b[i] == ' ' {
		i++
	}
	d, n := 0, 0
	for n < 2 && i < len(b) && isDigit(b[i]) {
		d, n, i = d*10+int(b[i]-'0'), n+1, i+1
	}
	if n == 0 || i >= len(b) || b[i] != ' ' {
		return 0
	}
	st.day = d
	return i + 1
}

// parseClock reads hh:mm:ss[.f…]; of a fraction, milliseconds are kept.
func parseClock(b []byte, st *stamp) int {
	if len(b) < 8 || b[2] != ':' || b[5] != ':' {
		return 0
	}
	h, ok1 := two(b)
	mi, ok2 := two(b[3:])
	s, ok3 := two(b[6:])
	if !ok1 || !ok2 || !ok3 {
		return 0
	}
	st.hour, st.min, st.sec = h, mi, s
	if len(b) < 10 || (b[8] != '.' && b[8] != ',') || !isDigit(b[9]) {
		return 8
	}
	i, scale := 9, 100
	for ; i < len(b) && i < 19 && isDigit(b[i]); i++ {
		st.ms += int(b[i]-'0') * scale
		scale /= 10
	}
	return i
}

// resolve turns st into Unix milliseconds.
func (p *Parser) resolve(st *stamp, received time.Time, slot int) (int64, bool) {
	if st.month < 1 || st.month > 12 || st.day < 1 || st.day > 31 || st.hour > 23 || st.min > 59 || st.sec > 60 {
		return 0, false
	}
	c := &p.hours[slot]
	hour := received.Unix() / 3600
	if !c.valid || c.month != st.month || c.day != st.day || c.hour != st.hour || c.year != st.year ||
		c.hasOffset != st.hasOffset || c.offset != st.offset || c.zone != string(st.zone) ||
		(st.year == 0 && c.received != hour) {
		unix, ok := p.hourOf(st, received)
		if !ok {
			return 0, false
		}
		*c = hourCache{year: st.year, month: st.month, day: st.day, hour: st.hour, offset: st.offset,
			hasOffset: st.hasOffset, zone: string(st.zone), received: hour, unix: unix, valid: true}
	}
	return (c.unix+int64(st.min)*60+int64(st.sec))*1000 + int64(st.ms), true
}

// hourOf returns the Unix time at which st's hour began.
func (p *Parser) hourOf(st *stamp, received time.Time) (int64, bool) {
	if st.year != 0 {
		return p.inYear(st, st.year)
	}
	// RFC 3164 writes no year: take the one that brings the time nearest to its
	// reception. 29 February is tried over two leap years, for clocks far off.
	y, best, found := received.In(p.zone).Year(), int64(0), false
	span := 1
	if st.month == 2 && st.day == 29 {
		span = 8
	}
	for c := y - span; c <= y+span; c++ {
		u, ok := p.inYear(st, c)
		if ok && (!found || abs(u-received.Unix()) < abs(best-received.Unix())) {
			best, found = u, true
		}
	}
	return best, found
}

func (p *Parser) inYear(st *stamp, year int) (int64, bool) {
	zone := p.zone
	offset, fixed := st.offset, st.hasOffset
	if !fixed && len(st.zone) > 0 {
		offset, fixed = p.abbreviation(st, year)
	}
	if fixed {
		zone = time.UTC
	}
	t := time.Date(year, time.Month(st.month), st.day, st.hour, 0, 0, 0, zone)
	if t.Day() != st.day && t.Hour() == st.hour { // 31 November
		return 0, false
	}
	if fixed {
		return t.Unix() - int64(offset), true
	}
	return t.Unix(), true
}

// abbreviation gives a zone's name its meaning. One that the source's own zone uses
// means that (CST of a source in Shanghai is China's time, not Chicago's); a few are
// the same everywhere; anything else is read in the source's zone, and the check of
// its clock tells when that was wrong.
func (p *Parser) abbreviation(st *stamp, year int) (int, bool) {
	t := time.Date(year, time.Month(st.month), st.day, st.hour, 0, 0, 0, p.zone)
	if name, off := t.Zone(); name == string(st.zone) {
		return off, true
	}
	return zoneOffset(st.zone)
}

func zoneOffset(b []byte) (int, bool) {
	switch string(b) {
	case "UTC", "GMT", "Z", "utc", "gmt", "WET":
		return 0, true
	case "BJT", "BJ", "Beijing", "BEIJING", "beijing", "China", "CHN", "PRC", "HKT", "SGT", "UTC+8", "GMT+8", "UTC+08", "GMT+08":
		return 8 * 3600, true
	case "JST", "KST":
		return 9 * 3600, true
	case "ICT", "WIB":
		return 7 * 3600, true
	case "MSK":
		return 3 * 3600, true
	case "CET":
		return 3600, true
	case "CEST", "EET":
		return 2 * 3600, true
	case "EST":
		return -5 * 3600, true
	case "EDT":
		return -4 * 3600, true
	case "CDT":
		return -5 * 3600, true
	case "MST":
		return -7 * 3600, true
	case "MDT":
		return -6 * 3600, true
	case "PST":
		return -8 * 3600, true
	case "PDT":
		return -7 * 3600, true
	}
	return 0, false
}

// ParseTime reads an RFC 3339 time that fills b: date, time and offset, all of them.
func ParseTime(b []byte) (unixMilli int64, ok bool) {
	var st stamp
	n := parseISO(b, &st)
	if n != len(b) || n == 0 || st.iso || !st.hasOffset {
		return 0, false
	}
	if st.month < 1 || st.month > 12 || st.day < 1 || st.day > daysIn(st.year, st.month) ||
		st.hour > 23 || st.min > 59 || st.sec > 60 {
		return 0, false
	}
	days := daysSinceEpoch(st.year, st.month, st.day)
	sec := days*86400 + int64(st.hour)*3600 + int64(st.min)*60 + int64(st.sec) - int64(st.offset)
	return sec*1000 + int64(st.ms), true
}

// daysSinceEpoch counts days from 1970-01-01 in the Gregorian calendar.
func daysSinceEpoch(y, m, d int) int64 {
	if m <= 2 {
		y--
		m += 12
	}
	era := y / 400
	yoe := y - era*400
	doy := (153*(m-3)+2)/5 + d - 1
	doe := yoe*365 + yoe/4 - yoe/100 + doy
	return int64(era)*146097 + int64(doe) - 719468
}

func daysIn(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

func month(b []byte) int {
	switch string(b[:3]) {
	case "Jan":
		return 1
	case "Feb":
		return 2
	case "Mar":
		return 3
	case "Apr":
		return 4
	case "May":
		return 5
	case "Jun":
		return 6
	case "Jul":
		return 7
	case "Aug":
		return 8
	case "Sep":
		return 9
	case "Oct":
		return 10
	case "Nov":
		return 11
	case "Dec":
		return 12
	}
	return 0
}

func two(b []byte) (int, bool) {
	if len(b) < 2 || !isDigit(b[0]) || !isDigit(b[1]) {
		return 0, false
	}
	return int(b[0]-'0')*10 + int(b[1]-'0'), true
}

func fourDigits(b []byte) int {
	if len(b) < 4 {
		return 0
	}
	hi, ok1 := two(b)
	lo, ok2 := two(b[2:])
	if !ok1 || !ok2 {
		return 0
	}
	return hi*100 + lo
}

func abs(n int64) int64 {
	if n < 0 {
		return -n
	}
	return n
}
