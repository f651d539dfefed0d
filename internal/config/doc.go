// Package config reads, checks and shows the configuration file.
//
// The file is YAML with a version. It is decoded strictly: an unknown or repeated
// key, a value of the wrong kind or with the wrong unit is an error that names the
// key's path, and every fault is reported at once. [Default] is complete, so a file
// holds only what differs. Floors that law sets are checked here as constants beside
// their clause; a configuration below one is refused.
//
// The package knows no component: daemon takes from it what each of them needs.
// Values are read once at start and never change after; they are safe to share.
package config
