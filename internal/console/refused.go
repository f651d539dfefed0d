package console

import "strings"

// refusedWhy writes out why a line was refused; what the decoder adds after its code
// is kept, and a code that has no text yet is shown as it is.
func (f frame) refusedWhy(why string) string {
	code, more, _ := strings.Cut(why, ":")
	text := f.refusedText(code)
	if more = strings.TrimSpace(more); more != "" {
		return text + " · " + more
	}
	return text
}

func (f frame) refusedText(code string) string {
	switch code {
	case "not_a_translation":
		return f.T("refused.not_a_translation")
	case "truncated":
		return f.T("refused.truncated")
	case "unknown_form":
		return f.T("refused.unknown_form")
	case "bad_address":
		return f.T("refused.bad_address")
	case "bad_port":
		return f.T("refused.bad_port")
	case "bad_protocol":
		return f.T("refused.bad_protocol")
	case "bad_duration":
		return f.T("refused.bad_duration")
	case "bad_time":
		return f.T("refused.bad_time")
	case "no_time":
		return f.T("refused.no_time")
	case "empty_line":
		return f.T("refused.empty_line")
	case "too_long":
		return f.T("refused.too_long")
	case "unfinished":
		return f.T("refused.unfinished")
	case "no_match":
		return f.T("refused.no_match")
	case "repetition":
		return f.T("refused.repetition")
	case "several":
		return f.T("refused.several")
	case "unknown_line":
		return f.T("refused.unknown_line")
	}
	return code
}
