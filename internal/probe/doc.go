// Package probe is the product's only way out to the network. Whatever wants to
// look at something outside asks here, and gets back what was exchanged, not what
// it means.
//
// It promises:
//
//   - It connects only to addresses its policy allows. The policy is applied to the
//     address of every single connection, in the dialer, after names are resolved:
//     redirects, names that answer differently the second time, unusual spellings
//     of addresses and names with several addresses all pass the same gate.
//     Private, loopback, link-local, shared, documentation, benchmark and multicast
//     ranges and addresses that carry another inside them (NAT64, 6to4, Teredo) are
//     refused unless the configuration allows them; cloud metadata addresses always.
//   - Everything that comes back has a limit: bytes on the wire, bytes after
//     decompression, header bytes, redirects, time. A limit that was hit is named in
//     [Exchange.Limit]; it is never mistaken for a complete answer.
//   - It is polite: one request at a time to one host, at least [Config.PerHost]
//     between two of them, robots.txt honoured (RFC 9309), a User-Agent that names
//     the product and whom to ask.
//   - It uses no proxy from the environment, keeps no cookies, sends no credentials
//     and refuses addresses that carry any.
//   - Every kind of failure is told apart ([FailureKind]). The zero [Exchange] is not
//     a success.
//
// What an exchange means (dead, slow, moved) is for the measure that asked.
// [Recorder] keeps every exchange of one run for the transcript; the transcript
// store is in the sub-package transcript.
package probe
