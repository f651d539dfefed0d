package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Duration is a time with its unit, "500ms", "2m", "36h".
type Duration time.Duration

// UnmarshalText reads a duration; a number without unit is refused, because nobody
// can tell seconds from minutes by looking.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is not a time with its unit, such as 500ms, 5s or 2m", text)
	}
	*d = Duration(v)
	return nil
}

// MarshalText writes the duration with its unit.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// Size is a number of bytes with its unit, "512MiB", "10GiB".
type Size int64

var sizeUnits = []struct {
	name  string
	bytes int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

// UnmarshalText reads a size; the units are B, KiB, MiB, GiB and TiB.
func (s *Size) UnmarshalText(text []byte) error {
	for _, u := range sizeUnits {
		num, ok := strings.CutSuffix(string(text), u.name)
		if !ok {
			continue
		}
		v, err := strconv.ParseInt(strings.TrimSpace(num), 10, 64)
		if err != nil || v < 0 || v > (1<<62)/u.bytes {
			break
		}
		*s = Size(v * u.bytes)
		return nil
	}
	return fmt.Errorf("%q is not a size with its unit (B, KiB, MiB, GiB, TiB), such as 10GiB", text)
}

// MarshalText writes the size in its largest whole unit.
func (s Size) MarshalText() ([]byte, error) {
	for _, u := range sizeUnits {
		if int64(s)%u.bytes == 0 && int64(s) >= u.bytes {
			return fmt.Appendf(nil, "%d%s", int64(s)/u.bytes, u.name), nil
		}
	}
	return []byte("0B"), nil
}
