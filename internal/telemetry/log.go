package telemetry

import (
	"io"
	"log/slog"
	"strings"
)

// NewLogger returns the program's logger: text or JSON lines to w, secrets masked.
func NewLogger(w io.Writer, level string, json bool) *slog.Logger {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		l = slog.LevelInfo // config has refused unknown levels before
	}
	opts := &slog.HandlerOptions{Level: l, ReplaceAttr: mask}
	if json {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// secretNames are attribute names whose values never reach the log. A substring is
// enough: a name invented tomorrow is more likely to contain one than to equal one.
var secretNames = [...]string{"secret", "password", "token", "totp", "cookie", "authorization", "dsn", "passphrase"}

func mask(_ []string, a slog.Attr) slog.Attr {
	name := strings.ToLower(a.Key)
	for _, s := range secretNames {
		if strings.Contains(name, s) {
			return slog.String(a.Key, "[masked]")
		}
	}
	if s, ok := a.Value.Any().(string); ok {
		return slog.String(a.Key, oneLine(s))
	}
	return a
}

// oneLine keeps one event one line whatever came from outside (RELIABILITY S9).
func oneLine(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f || r == 0x2028 || r == 0x2029 }) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f || r == 0x2028 || r == 0x2029 {
			return ' '
		}
		return r
	}, s)
}
