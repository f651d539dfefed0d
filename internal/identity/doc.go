// Package identity knows who is asking: accounts of people, their second factors,
// console sessions, and tokens for machines.
//
// It promises:
//   - a session, an API token, an invitation and the first administrator's secret are
//     random values of 256 bits of which only a digest is stored;
//   - passwords are kept as argon2id strings, seeds of one-time codes sealed under a
//     key that lies outside the database;
//   - nobody signs in with a password alone: a one-time code belongs to it, and each
//     code works once; a passkey that verified its user stands for both;
//   - an unknown login costs and answers the same as a wrong password;
//   - wrong guesses lock the pair of account and address prefix they come from, so
//     that nobody can lock somebody else out, and a slow budget per account bounds
//     guessing from many addresses;
//   - what a role may do is one table in Go; a role has effect only between the dates
//     of its grant, and a disabled account has none;
//   - every change of an account, role, factor or token is a recorded object version
//     and a ledger entry, free of secrets and hashes.
//
// It leaves cookies and headers to the surfaces, and four-eyes approval to custody.
package identity
