// Package quicklook is one look at a web site, a mail domain, a zone or a page's
// links, without an installation: what "garrison check" runs.
//
// It always answers within its deadline. What has not settled by then is slow or
// unknown; a name that cannot be resolved is unknown, never a pass or a fail.
package quicklook
