package console

import (
	"fmt"
	"strconv"

	"github.com/a-h/templ"

	"garrison"
)

// icons returns the path of a line icon.
func icons(name string) string {
	switch name {
	case "alert":
		return "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM8 4.6v4.4M8 11v.1"
	case "bundle":
		return "M2.5 5 8 2.4 13.5 5v6L8 13.6 2.5 11zM2.5 5 8 7.6 13.5 5M8 7.6v6"
	case "cases":
		return "M2.5 4h4l1.2 1.7h5.8V13h-11z"
	case "check":
		return "M3 8.5l3 3 7-7"
	case "chev":
		return "M4.500 6.500 8 10l3.500-3.500"
	case "clauses":
		return "M8 4.2C6.5 3 4.8 2.8 2.8 3.2v9c2-.4 3.7-.2 5.2 1 1.5-1.2 3.2-1.4 5.2-1v-9c-2-.4-3.7-.2-5.2 1zM8 4.2v9"
	case "down":
		return "M8 2.5v7M5 7l3 3 3-3M3 13h10"
	case "edit":
		return "M3 13l.7-2.800L10.500 3.400l2.100 2.100-6.800 6.800zM9.400 4.500l2.100 2.100"
	case "findings":
		return "M5.2 6.5h5.6v4a2.8 2.8 0 0 1-5.6 0zM6 6.3a2 2 0 0 1 4 0M2.6 6l2.4 1.2M13.4 6 11 7.2M2.4 9.6h2.7M10.9 9.6h2.7M3 13.4l2.4-1.6M13 13.4l-2.4-1.6"
	case "info":
		return "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM8 7.2v4M8 4.8v.1"
	case "key":
		return "M10 9a3.2 3.2 0 1 0-3-2.2L2.5 11.3V13.5h2.2v-1.600h1.600v-1.600L8 8.600A3.200 3.200 0 0 0 10 9zM10.8 5.2v.1"
	case "ledger":
		return "M3.2 2.5h2.4v11H3.2zM6.8 2.5h2.4v11H6.8zM10.4 2.5h2.4v11h-2.4zM1.8 5.6h12.4M1.8 10.4h12.4"
	case "measures":
		return "M3 4.5h5.5M11.5 4.5H13M3 8h1.2M7.2 8H13M3 11.5h4.5M10.5 11.5H13M10 6a1.5 1.5 0 1 0 0-3 1.5 1.5 0 0 0 0 3zM5.7 9.5a1.5 1.5 0 1 0 0-3 1.5 1.5 0 0 0 0 3zM9 13a1.5 1.5 0 1 0 0-3 1.5 1.5 0 0 0 0 3z"
	case "menu":
		return "M2.8 3.2h10.4M2.8 6.4h10.4M2.8 9.6h10.4M2.8 12.8h6"
	case "moon":
		return "M12.8 9.6A5.3 5.3 0 0 1 6.4 3.2a5.3 5.3 0 1 0 6.4 6.4z"
	case "out":
		return "M6.5 3H3v10h3.5M7 8h6.5M11 5.5 13.5 8 11 10.5"
	case "overview":
		return "M4.2 14V7L3 6V2.6h2.1v1.3h1.8V2.6h2.2v1.3h1.8V2.6H13V6l-1.2 1v7z"
	case "plus":
		return "M8 3v10M3 8h10"
	case "records":
		return "M2.8 3.2h10.4M2.8 6.4h10.4M2.8 9.6h10.4M2.8 12.8h6"
	case "register":
		return "M2.5 3h11v10h-11zM2.5 6.4h11M6.2 6.4V13"
	case "run":
		return "M5 3.200v9.600L12.500 8z"
	case "settings":
		return "M8 10a2 2 0 1 0 0-4 2 2 0 0 0 0 4zM8 2v2M8 12v2M2 8h2M12 8h2M3.8 3.8l1.4 1.4M10.8 10.8l1.4 1.4M12.2 3.8l-1.4 1.4M5.2 10.8l-1.4 1.4"
	case "sources":
		return "M3 13V9.5M6.3 13V5M9.7 13V7.4M13 13V3"
	case "todo":
		return "M2.5 9.5 4 3h8l1.5 6.5v3.5h-11zM2.5 9.5h3.2l.8 1.6h3l.8-1.6h3.2"
	case "trace":
		return "M7 11.5a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9zM10.3 10.3l3.4 3.4"
	}
	return ""
}

func standingClass(s garrison.Standing) string {
	switch s {
	case garrison.Met:
		return "met"
	case garrison.Unmet:
		return "unmet"
	case garrison.OutOfScope, garrison.NotInForce:
		return "out"
	}
	return "unproven"
}

func standingMark(s garrison.Standing) string { return standingClass(s) }

func (f frame) standingName(s garrison.Standing) string {
	switch s {
	case garrison.Met:
		return f.T("standing.met")
	case garrison.Unmet:
		return f.T("standing.unmet")
	case garrison.OutOfScope:
		return f.T("standing.out_of_scope")
	case garrison.NotInForce:
		return f.T("standing.not_in_force")
	}
	return f.T("standing.unproven")
}

func (f frame) severityName(s garrison.Severity) string {
	switch s {
	case garrison.Low:
		return f.T("severity.low")
	case garrison.Medium:
		return f.T("severity.medium")
	case garrison.High:
		return f.T("severity.high")
	case garrison.Critical:
		return f.T("severity.critical")
	}
	return f.T("severity.info")
}

func levelBar(s garrison.Severity, i int) string {
	if int(s) > i {
		return "lv-on"
	}
	return "lv-off"
}

func levelX(i int) string { return strconv.Itoa(i * 6) }

func upperTeeth(digest string) string { u, _ := teeth(digest); return u }
func lowerTeeth(digest string) string { _, l := teeth(digest); return l }

// entryURL is the page of one ledger entry.
func entryURL(index uint64) templ.SafeURL {
	return templ.SafeURL(fmt.Sprintf("/ledger/%d", index))
}
