// Package locale holds every text a person reads, in zh-CN and en, and the glossary of
// legal terms.
//
// A text has a key that is never reused for another meaning. Both languages of a text
// stand side by side in one file per area (catalogue/*.yaml), so that a missing one is
// seen where it is missing. Placeholders are {{.name}}; a text whose English differs
// for one and many gives both forms and is counted by the argument n.
//
// Tests fail on a missing, unused or empty key and on placeholders that differ between
// the languages. Texts that belong to data (clauses, rules of measures) stay with the
// data. The catalogue is read once; everything here is safe for concurrent use.
package locale
