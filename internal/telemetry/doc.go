// Package telemetry holds the program's own log handler, its metrics and its health.
//
// It promises that no secret and no subscriber reaches the log: values under names
// that carry secrets are masked by one handler that every component's logger ends
// in, and types that hold secrets mask themselves (slog.LogValuer). Health is a set
// of named checks; readiness fails while any of them cannot tell. The package has no
// other duty and knows no component. Everything here is safe for concurrent use.
package telemetry
