package evidence

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEntryComesBackAsItWas(t *testing.T) {
	tests := []struct {
		name  string
		entry Entry
		text  string
	}{
		{"no fields", Entry{Type: "beat"}, "garrison/beat/v1\n"},
		{"plain", NewEntry("run", "measure", "links", "attempted", "12"), "garrison/run/v1\nmeasure links\nattempted 12\n"},
		{"empty value", NewEntry("config", "by", ""), "garrison/config/v1\nby \n"},
		{"repeated name", NewEntry("beat", "on", "links", "on", "nat"), "garrison/beat/v1\non links\non nat\n"},
		{"spaces kept", NewEntry("config", "x", " a  b "), "garrison/config/v1\nx  a  b \n"},
		{"line break and percent", NewEntry("state", "what", "100%\nduty other"), "garrison/state/v1\nwhat 100%25%0Aduty other\n"},
		{"chinese", NewEntry("state", "by", "张伟"), "garrison/state/v1\nby %E5%BC%A0%E4%BC%9F\n"},
		{"terminal sequence and broken text", NewEntry("state", "x", "\x1b[2J\xff\x7f"), "garrison/state/v1\nx %1B[2J%FF%7F\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := string(tt.entry.Marshal()); got != tt.text {
				t.Errorf("text %q, want %q", got, tt.text)
			}
			got, err := ParseEntry([]byte(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.entry, got); diff != "" {
				t.Errorf("entry (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseEntryRefusesSecondSpellings(t *testing.T) {
	tests := map[string]string{
		"empty":                    "",
		"no end of first line":     "garrison/beat/v1",
		"other version":            "garrison/beat/v2\n",
		"other product":            "citadel/beat/v1\n",
		"capital type":             "garrison/Beat/v1\n",
		"no type":                  "garrison//v1\n",
		"type with a slash":        "garrison/a/b/v1\n",
		"overlapping head":         "garrison/v1\n",
		"carriage return":          "garrison/beat/v1\r\n",
		"last line open":           "garrison/beat/v1\na 1",
		"empty line":               "garrison/beat/v1\n\n",
		"no value":                 "garrison/beat/v1\na\n",
		"capital name":             "garrison/beat/v1\nA 1\n",
		"no name":                  "garrison/beat/v1\n 1\n",
		"name starts with a digit": "garrison/beat/v1\n1a 1\n",
		"lower-case escape":        "garrison/beat/v1\na %0a\n",
		"needless escape":          "garrison/beat/v1\na %41\n",
		"cut escape":               "garrison/beat/v1\na %0\n",
		"bare percent":             "garrison/beat/v1\na 100%\n",
		"not an escape":            "garrison/beat/v1\na %zz\n",
		"unescaped byte":           "garrison/beat/v1\na \x80\n",
		"unescaped tab":            "garrison/beat/v1\na \t\n",
		"beyond the limit":         "garrison/beat/v1\na " + strings.Repeat("x", MaxEntry) + "\n",
		"name of 65 characters":    "garrison/beat/v1\n" + strings.Repeat("n", 65) + " 1\n",
	}
	for name, text := range tests {
		if e, err := ParseEntry([]byte(text)); err == nil {
			t.Errorf("%s: read as %+v", name, e)
		}
	}
}

func TestEntryThatCannotBeWrittenIsNil(t *testing.T) {
	for name, e := range map[string]Entry{
		"type":     {Type: "two words"},
		"name":     NewEntry("beat", "a b", "1"),
		"too long": NewEntry("beat", "a", strings.Repeat("x", MaxEntry)),
	} {
		if e.Check() == nil || e.Marshal() != nil {
			t.Errorf("%s: check %v, %d bytes", name, e.Check(), len(e.Marshal()))
		}
	}
}

func TestRepeatedFieldIsNotBelieved(t *testing.T) {
	c := Chunk{Kind: "nat", Records: 1}
	e := c.Entry()
	if got, err := ChunkOf(e); err != nil || got != c {
		t.Fatalf("chunk %+v, error %v", got, err)
	}
	e.Fields = append(e.Fields, Field{"first", "something else is fine"})
	if _, err := ChunkOf(e); err != nil {
		t.Errorf("a further field: %v", err)
	}
	e.Fields = append(e.Fields, Field{"records", "2"})
	if got, err := ChunkOf(e); err == nil {
		t.Errorf("two counts read as %+v", got)
	}
	for _, bad := range []Field{{"shard", "256"}, {"shard", "01"}, {"second", "+5"}, {"records", "-1"}, {"root", "00"}} {
		e := c.Entry()
		for i := range e.Fields {
			if e.Fields[i].Name == bad.Name {
				e.Fields[i] = bad
			}
		}
		if got, err := ChunkOf(e); err == nil {
			t.Errorf("%+v read as %+v", bad, got)
		}
	}
}

func FuzzParseEntry(f *testing.F) {
	f.Add([]byte("garrison/state/v1\nwhat 100%25%0Aduty other\n"))
	f.Add(Chunk{Kind: "nat"}.Entry().Marshal())
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := ParseEntry(b)
		if err != nil {
			return
		}
		if !bytes.Equal(e.Marshal(), b) {
			t.Errorf("%q came back as %q", b, e.Marshal())
		}
		c, err := ChunkOf(e)
		if err != nil {
			return
		}
		if again, err := ChunkOf(c.Entry()); err != nil || again != c {
			t.Errorf("chunk %+v came back as %+v, %v", c, again, err)
		}
	})
}

func FuzzEntryValue(f *testing.F) {
	f.Add("a\x00%\n张")
	f.Fuzz(func(t *testing.T, v string) {
		e := NewEntry("state", "v", v)
		b := e.Marshal()
		if b == nil {
			return
		}
		got, err := ParseEntry(b)
		if err != nil || got.Get("v") != v {
			t.Errorf("value %q came back as %q, %v", v, got.Get("v"), err)
		}
	})
}
