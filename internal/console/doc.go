// Package console serves the web pages.
//
// It holds no rules: every page is one struct, one template and one handler that calls
// a capability; what a page can do the API can do. Pages are rendered on the server in
// zh-CN and en, read without script, and run under a content policy that allows nothing
// from elsewhere and nothing inline. Every change is a form post that is checked for
// its origin and answered with a redirect.
//
// What it promises a reader: "could not tell" is never shown as fine; every number
// opens to its rows and proofs; a filter, sort or open drawer stands in the address.
// It leaves who may do what to identity's permission table, and the words to locale.
// The style sheets and the script are embedded and served under addresses that carry
// their digest. Everything here is safe for concurrent use.
package console
