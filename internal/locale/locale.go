package locale

import (
	"embed"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/nicksnyder/go-i18n/v2/i18n"
	"go.yaml.in/yaml/v4"
	"golang.org/x/text/language"

	"garrison"
)

// The languages of the product. Chinese is designed first.
const (
	ZH = "zh-CN"
	EN = "en"
)

// Langs lists them, the default first.
func Langs() []string { return []string{ZH, EN} }

//go:embed catalogue/*.yaml
var files embed.FS

// entry is one text of the catalogue.
type entry struct {
	ZH string `yaml:"zh"`
	EN form   `yaml:"en"`
}

// form is an English text, or its two forms for one and many.
type form struct{ One, Other string }

// UnmarshalYAML reads "text" or {one: text, other: text}.
func (f *form) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		return n.Decode(&f.Other)
	}
	var both struct {
		One   string `yaml:"one"`
		Other string `yaml:"other"`
	}
	if err := n.Decode(&both); err != nil {
		return err
	}
	f.One, f.Other = both.One, both.Other
	return nil
}

type catalogue struct {
	entries map[string]entry
	locals  map[string]*i18n.Localizer
}

// load reads the embedded catalogue once. A broken catalogue is a programming mistake
// that no start survives; the tests find it first.
var load = sync.OnceValue(func() *catalogue {
	c, err := read(files)
	if err != nil {
		panic("locale: " + err.Error())
	}
	return c
})

func read(fsys fs.FS) (*catalogue, error) {
	paths, err := fs.Glob(fsys, "catalogue/*.yaml")
	if err != nil {
		return nil, err
	}
	c := &catalogue{entries: map[string]entry{}, locals: map[string]*i18n.Localizer{}}
	bundle := i18n.NewBundle(language.MustParse(ZH))
	for _, p := range paths {
		raw, err := fs.ReadFile(fsys, p)
		if err != nil {
			return nil, err
		}
		var file map[string]entry
		if err := yaml.Load(raw, &file, yaml.WithKnownFields(), yaml.WithUniqueKeys()); err != nil {
			return nil, fmt.Errorf("%s: %w", p, err)
		}
		for key, e := range file {
			if _, twice := c.entries[key]; twice {
				return nil, fmt.Errorf("%s: key %q stands in another file as well", p, key)
			}
			c.entries[key] = e
			one := e.EN.One
			if one == "" {
				one = e.EN.Other
			}
			if err := bundle.AddMessages(language.MustParse(ZH), &i18n.Message{ID: key, Other: e.ZH}); err != nil {
				return nil, fmt.Errorf("%s: key %q: %w", p, key, err)
			}
			if err := bundle.AddMessages(language.English, &i18n.Message{ID: key, One: one, Other: e.EN.Other}); err != nil {
				return nil, fmt.Errorf("%s: key %q: %w", p, key, err)
			}
		}
	}
	for _, l := range Langs() {
		c.locals[l] = i18n.NewLocalizer(bundle, l)
	}
	return c, nil
}

// T returns the text of a key in a language. A key that is not in the catalogue comes
// back as it is, which the tests do not let happen for keys written in the sources.
func T(lang, key string, args map[string]any) string {
	if t, ok := Lookup(lang, key, args); ok {
		return t
	}
	return key
}

// Lookup is T that says whether the key is in the catalogue.
func Lookup(lang, key string, args map[string]any) (string, bool) {
	c := load()
	if _, ok := c.entries[key]; !ok {
		return "", false
	}
	local, ok := c.locals[lang]
	if !ok {
		local = c.locals[ZH]
	}
	cfg := &i18n.LocalizeConfig{MessageID: key, TemplateData: args}
	if n, ok := args["n"]; ok {
		cfg.PluralCount = plural(n)
	}
	t, err := local.Localize(cfg)
	if err != nil {
		return key, true
	}
	return strings.ReplaceAll(t, "<no value>", "—"), true
}

func plural(n any) any {
	switch v := n.(type) {
	case int, int8, int16, int32, int64:
		return v
	case string: // a number written for people, "1,204", or the word for unknown
		if n, err := strconv.ParseInt(strings.ReplaceAll(v, ",", ""), 10, 64); err == nil {
			return n
		}
	case uint64:
		return int64(v)
	case float64:
		return int64(v)
	}
	return 2
}

// Args makes the arguments of a text from name, value pairs.
func Args(kv ...any) map[string]any {
	args := make(map[string]any, len(kv)/2)
	for i := 0; i+1 < len(kv); i += 2 {
		args[kv[i].(string)] = kv[i+1]
	}
	return args
}

// Reason writes out a reason.
func Reason(lang string, r garrison.Reason) string {
	if r.Key == "" {
		return ""
	}
	return T(lang, r.Key, r.Args)
}

// Match chooses the language for an Accept-Language header; Chinese unless English is
// asked for first.
func Match(accept string) string {
	tags, _, err := language.ParseAcceptLanguage(accept)
	if err != nil || len(tags) == 0 {
		return ZH
	}
	m := language.NewMatcher([]language.Tag{language.MustParse(ZH), language.English})
	_, i, conf := m.Match(tags...)
	if i == 1 && conf > language.No {
		return EN
	}
	return ZH
}

// Keys lists all keys, sorted.
func Keys() []string { return slices.Sorted(maps.Keys(load().entries)) }
