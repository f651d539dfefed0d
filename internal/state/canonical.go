package state

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// Micros is a time as it is stored; 0 for the zero time.
func Micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// Time is the inverse of Micros.
func Time(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// canonical returns doc as JSON with sorted keys and no white space, the one form
// that is stored, hashed and compared. nil is "null".
func canonical(doc any) ([]byte, error) {
	raw, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber() // a number stays the digits it was
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil { // maps come out with sorted keys
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// Sum is the checksum of a row that has no history: the owner stores it with every
// write and compares it in its [Check]. fields are strings, integers, booleans and
// byte slices. It guards against damage and careless hands, not against somebody
// who can compute it too.
func Sum(fields ...any) string {
	h := sha256.New()
	for _, f := range fields {
		var s string
		switch v := f.(type) {
		case []byte:
			s = string(v)
		default:
			s = fmt.Sprint(v)
		}
		fmt.Fprintf(h, "%d:%s,", len(s), s) // length first, so that no two rows look alike
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
