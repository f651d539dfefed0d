package garrison

import (
	"errors"
	"fmt"
	"net/http"
)

// Code tells a caller which kind of refusal an error is. An error without a code is
// internal: it is logged with an id, and the user sees only the id.
type Code string

const (
	Invalid      Code = "invalid"      // the request itself is wrong; saying it again will not help
	Unauthorized Code = "unauthorized" // nobody has said who is asking
	Denied       Code = "denied"       // known, but not allowed
	NotFound     Code = "notFound"     // no such thing, or none that the asker may know of
	Conflict     Code = "conflict"     // true of another state than the present one
	TooLarge     Code = "tooLarge"     // a limit was hit
	Unavailable  Code = "unavailable"  // cannot be done now; nothing was lost; try again
	Held         Code = "held"         // a floor set by law or a legal hold forbids it
	Damaged      Code = "damaged"      // what is on disk is not what was sealed
)

// Status is the HTTP status that says a code; 0 for none, which is an internal error.
func (c Code) Status() int {
	switch c {
	case Invalid:
		return http.StatusUnprocessableEntity
	case Unauthorized:
		return http.StatusUnauthorized
	case Denied:
		return http.StatusForbidden
	case NotFound:
		return http.StatusNotFound
	case Conflict, Held:
		return http.StatusConflict
	case TooLarge:
		return http.StatusRequestEntityTooLarge
	case Unavailable:
		return http.StatusServiceUnavailable
	case Damaged:
		return http.StatusInternalServerError
	}
	return 0
}

// Error is an error that a caller must be able to tell apart. Key names its text in
// the message catalogue, Args fill the placeholders of that text, Err is the cause.
type Error struct {
	Code Code
	Key  string // locale key, "error.registry.name_taken"; empty: the code's general text
	Args map[string]any
	Err  error
}

func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: %v", e.Code, e.Err)
	}
	return string(e.Code) + ": " + e.Key
}

func (e *Error) Unwrap() error { return e.Err }

// Refuse returns an [Error] with a catalogue text. kv are name, value pairs.
func Refuse(code Code, key string, kv ...any) *Error {
	e := &Error{Code: code, Key: key, Args: make(map[string]any, len(kv)/2)}
	for i := 0; i+1 < len(kv); i += 2 {
		e.Args[fmt.Sprint(kv[i])] = kv[i+1]
	}
	return e
}

// Errorf returns an [Error] with the given code and cause text (English, for logs,
// the command line and the detail of an API answer).
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Err: fmt.Errorf(format, args...)}
}

// CodeOf returns the code of err, or "" when it has none.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}
