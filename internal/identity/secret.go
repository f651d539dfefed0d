package identity

import "log/slog"

// Secret is a value that must never reach a log, a page or a file by accident:
// printing it in any way gives a mask. Reveal gives the value.
type Secret string

const mask = "[secret]"

// String returns a mask.
func (Secret) String() string { return mask }

// GoString returns a mask.
func (Secret) GoString() string { return mask }

// LogValue returns a mask.
func (Secret) LogValue() slog.Value { return slog.StringValue(mask) }

// MarshalText returns a mask.
func (Secret) MarshalText() ([]byte, error) { return []byte(mask), nil }

// Reveal returns the value itself.
func (s Secret) Reveal() string { return string(s) }
