// Package garrison is the vocabulary of the product: the objects every part of it
// speaks about, and nothing that does anything.
//
// One chain runs through all of it. Something is seen (a [Record], or a run of a
// measure); what is wrong becomes a [Finding]; findings make a [Case]; a case ends
// only when the same measure looks again and no longer sees it; and what was seen,
// done and seen again is evidence from which the [Standing] on each clause ([Duty])
// is computed.
//
// The package promises: no input or output, no goroutines, no logger, standard
// library only. Zero values never look like success: the zero [Outcome] is Unknown
// and the zero [Standing] is Unproven.
package garrison
