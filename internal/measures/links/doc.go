// Package links looks at the links of a web site: it fetches the pages of a
// registered site within limits, lists every link that leaves it, and looks at each.
// It carries out item 9 of the official questions and answers on the provisions for
// government applications (keep a link list, check validity regularly, handle bad
// links in time).
//
// What it says about one link, in its words (measure.yaml has them for people):
//
//	alive        it answered, at its own registrable domain
//	dead         the server says 404 or 410, or the domain no longer exists
//	forbidden    the server says 401, 403 or 451: it lives, we may not look
//	slow         it did not answer in the time allowed. Never dead
//	unreachable  refused, broken off, no route, bad certificate, 5xx. Not dead
//	moved        it leads to another registrable domain
//	parked       it answers with a page that offers the domain for sale
//	unknown      we did not look, or may not, or could not tell
//
// An inventory that a limit cut short is reported as such, and the run is then at
// best Unknown. [Check] is the same look without an installation.
package links
