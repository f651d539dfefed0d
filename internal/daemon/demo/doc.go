// Package demo fills an empty installation with a fictional operator, so that every
// page has something true to show: a small access provider, 檀溪宽带, that also runs a
// town's web portal.
//
// Nothing in it is a mock of the product: a real web site with defects listens on this
// machine and is looked at by the real measure; three real senders write
// address-translation lines of three families to the real syslog listener, from
// loopback addresses of their own. All names and addresses are invented or of
// documentation ranges.
//
// What it enters in the register is marked and goes in one step ([Demo.Clear]); the
// records it sent stay until their retention ends, as any record does, under sources
// whose names say 演示. It refuses an installation that already holds something.
package demo
