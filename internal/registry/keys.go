package registry

import (
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"sync"

	"golang.org/x/text/cases"
	"golang.org/x/text/collate"
	"golang.org/x/text/language"
	"golang.org/x/text/unicode/norm"

	"garrison"
)

// keyVersion counts changes of what this file computes; rows of another version are
// computed anew at start. Raise it with the text library too: its order can change.
const keyVersion = 1

const maxSortKey = 256

// derived are the columns that follow from a subject: they make it found and sorted.
type derived struct{ nameKey, sortKey, search string }

// deriver computes them. A collator is not safe for concurrent use, hence the lock.
type deriver struct {
	mu  sync.Mutex // guards col and buf
	col *collate.Collator
	buf collate.Buffer
}

func newDeriver() *deriver {
	// Chinese by pinyin, everything else as people expect it; line 2 before line 10.
	return &deriver{col: collate.New(language.MustParse("zh"), collate.Numeric)}
}

func (d *deriver) of(s garrison.Subject) derived {
	return derived{nameKey: fold(s.Name), sortKey: d.sortKey(s.Name), search: searchText(s)}
}

// sortKey is a text of [0-9a-f], which every engine and every collation sorts alike.
func (d *deriver) sortKey(name string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := hex.EncodeToString(d.col.KeyFromString(&d.buf, norm.NFKC.String(name)))
	d.buf.Reset()
	return key[:min(len(key), maxSortKey)]
}

// fold makes names equal that people take for the same: width, case, spaces.
func fold(s string) string {
	s = cases.Fold().String(norm.NFKC.String(s))
	return strings.Join(strings.Fields(s), " ")
}

// searchText is what a search looks in, parts kept apart by line breaks, which no
// part and no question has.
func searchText(s garrison.Subject) string {
	parts := []string{fold(s.Name), fold(s.Responsible)}
	for _, name := range slices.Sorted(maps.Keys(s.Attributes)) {
		parts = append(parts, fold(s.Attributes[name]))
	}
	return strings.Join(parts, "\n")
}

// likeText is a part to look for with LIKE … ESCAPE '\'.
func likeText(query string) string {
	return "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(fold(query)) + "%"
}
