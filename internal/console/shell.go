package console

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/a-h/templ"

	"garrison"
)

func themeAttr(f frame) templ.Attributes {
	if f.Theme == "" {
		return nil
	}
	return templ.Attributes{"data-theme": f.Theme}
}

func current(is bool) templ.Attributes {
	if !is {
		return nil
	}
	return templ.Attributes{"aria-current": "page"}
}

func (f frame) unitName() string {
	if f.Unit == "" {
		return f.T("shell.no_unit")
	}
	return f.Unit
}

// initial is the first character of a name, for the avatar.
func initial(name string) string {
	r, n := utf8.DecodeRuneInString(name)
	if n == 0 || r == utf8.RuneError {
		return "·"
	}
	return string(r)
}

func viewBox(w, h int) string { return fmt.Sprintf("0 0 %d %d", w, h) }

// invalid marks a field as wrong and names its message, for readers of screens.
func invalid(field, id string) templ.Attributes {
	if field != id {
		return nil
	}
	return templ.Attributes{"aria-invalid": "true", "aria-describedby": id + "-err"}
}

func (d enrolData) problem(field string) string {
	if d.Field == field {
		return d.Problem
	}
	return ""
}

func asError(err error, e **garrison.Error) bool { return errors.As(err, e) }
