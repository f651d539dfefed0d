// Package browser drives the whole product through a real browser, as a person would:
// first run, sign-in, a trace, a case from open to closed, a clause down to its proof,
// in both languages, under the content policy that is shipped. It holds tests only.
//
// With GARRISON_SHOTS=DIR the same run also writes pictures of every page in both
// languages and themes, 1440 and 390 wide, for people to look at.
package browser
