// Package dialect is what the decoders of devices' translation lines share: the line
// they are given, the reasons they may refuse it with, and readers of addresses,
// ports and durations that allocate nothing.
//
// There is one package for each family below it. A decoder turns the bytes of one
// line into one record and does nothing else: no clock, no store, no logging.
package dialect
