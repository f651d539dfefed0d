package console

import (
	"net/url"

	"github.com/a-h/templ"

	"garrison"
)

// Addresses of the pages of work. Identifiers are escaped: some come from outside.

func caseURL(number string) templ.SafeURL { return templ.SafeURL("/cases/" + url.PathEscape(number)) }

func findingURL(id garrison.FindingID) templ.SafeURL {
	return templ.SafeURL("/findings/" + url.PathEscape(string(id)))
}

func measureURL(id garrison.MeasureID) templ.SafeURL {
	return templ.SafeURL("/measures/" + url.PathEscape(string(id)))
}

func runURL(id garrison.RunID) templ.SafeURL {
	return templ.SafeURL("/runs/" + url.PathEscape(string(id)))
}

func transcriptURL(id garrison.RunID) templ.SafeURL { return runURL(id) + "/transcript" }

func clauseURL(id garrison.DutyID) templ.SafeURL {
	return templ.SafeURL("/clauses/" + url.PathEscape(string(id)))
}

func subjectURL(id garrison.SubjectID) templ.SafeURL {
	return templ.SafeURL("/register/" + url.PathEscape(string(id)))
}

// chosen marks a filter that is on.
func chosen(is bool) templ.Attributes {
	if !is {
		return nil
	}
	return templ.Attributes{"aria-current": "true"}
}

// subjectFindings is the list of what is weak about a subject.
func subjectFindings(id garrison.SubjectID) templ.SafeURL {
	return templ.SafeURL("/findings?subject=" + url.QueryEscape(string(id)))
}

// ruleFindings is the list of what broke a rule.
func ruleFindings(id garrison.RuleID) templ.SafeURL {
	return templ.SafeURL("/findings?rule=" + url.QueryEscape(string(id)))
}
