package records

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"garrison"
	"garrison/internal/records/segment"
	"garrison/internal/state/atomicfile"
)

const (
	catalogName    = "catalog.json"
	catalogVersion = 1
)

// catalog says which files count and up to which frame. It is replaced whole, as the
// last step of whatever changes the files.
type catalog struct {
	Version  int          `json:"version"`
	Gen      int64        `json:"gen"` // counts replacements
	Shards   []mark       `json:"shards"`
	Segments []segmentRef `json:"segments"`
	Days     []dayRef     `json:"days"`
	Book     *book        `json:"book"`
	Expired  []Expired    `json:"expired,omitempty"`
	Damage   []Damage     `json:"damage,omitempty"`
	Log      string       `json:"log,omitempty"` // origin of the ledger
	Entry    uint64       `json:"entry"`         // ledger entries before this one are accounted for
	NextName int64        `json:"next_name"`     // number of the next segment
}

// mark says how far one shard's frames are in segments.
type mark struct {
	Shard  int    `json:"shard"`
	Frame  uint64 `json:"frame"`  // first frame that is not
	Second int64  `json:"second"` // last second used
}

type segmentRef struct {
	segment.Info
	Tree segment.TreeFile `json:"tree"`
}

// dir returns the segment's folder.
func (s *segmentRef) dir(root string) string { return filepath.Join(root, segmentsDir, s.Day) }

// bytes returns what the segment takes on disk.
func (s *segmentRef) bytes() int64 {
	n := s.Tree.Bytes
	for i := range s.Parts {
		n += s.Parts[i].Bytes
	}
	return n
}

type dayRef struct {
	Day    int64  `json:"day"`
	File   string `json:"file"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
	Keys   int    `json:"keys"`
}

// sealedFile is how catalog.json stands on disk: every byte is covered by the sum.
type sealedFile struct {
	SHA256 string          `json:"sha256"`
	Body   json.RawMessage `json:"catalog"`
}

func newCatalog() *catalog { return &catalog{Version: catalogVersion, Book: newBook()} }

func (c *catalog) marshal() ([]byte, error) {
	body, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("marshal catalog: %w", err)
	}
	return sealFile(body), nil
}

func sealFile(body []byte) []byte {
	sum := sha256.Sum256(body)
	return slices.Concat([]byte(`{"sha256":"`+hex.EncodeToString(sum[:])+`","catalog":`), body, []byte("}\n"))
}

// errCatalog says that catalog.json is not what was written.
var errCatalog = errors.New("its check sum is wrong")

func parseCatalog(b []byte) (*catalog, error) {
	var f sealedFile
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, errCatalog
	}
	if !bytes.Equal(sealFile(f.Body), b) {
		return nil, errCatalog
	}
	c := newCatalog()
	if err := json.Unmarshal(f.Body, c); err != nil {
		return nil, fmt.Errorf("read catalog: %w", err)
	}
	if c.Version != catalogVersion {
		return nil, fmt.Errorf("catalog is of version %d, known is %d", c.Version, catalogVersion)
	}
	if c.Book.days == nil {
		c.Book.days = map[int64]*dayBook{}
	}
	return c, nil
}

// readCatalog returns the catalog of a record directory; without one the directory is
// new.
func readCatalog(dir string) (*catalog, bool, error) {
	b, err := os.ReadFile(filepath.Join(dir, catalogName))
	if errors.Is(err, fs.ErrNotExist) {
		return newCatalog(), true, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read catalog: %w", err)
	}
	c, err := parseCatalog(b)
	return c, false, err
}

func (c *catalog) write(dir string) error {
	b, err := c.marshal()
	if err != nil {
		return err
	}
	return atomicfile.WriteFile(filepath.Join(dir, catalogName), b, 0o600)
}

func (c *catalog) mark(shard int) mark {
	for _, m := range c.Shards {
		if m.Shard == shard {
			return m
		}
	}
	return mark{Shard: shard}
}

func (c *catalog) setMark(m mark) {
	for i := range c.Shards {
		if c.Shards[i].Shard == m.Shard {
			c.Shards[i] = m
			return
		}
	}
	c.Shards = append(c.Shards, m)
}

// clone returns a copy whose lists may be changed; books and days are shared, see
// commit.
func (c *catalog) clone() *catalog {
	n := *c
	n.Shards = slices.Clone(c.Shards)
	n.Segments = slices.Clone(c.Segments)
	n.Days = slices.Clone(c.Days)
	n.Expired = slices.Clone(c.Expired)
	n.Damage = slices.Clone(c.Damage)
	n.Book = &book{Sources: map[string]*sourceBook{}, days: map[int64]*dayBook{}}
	n.Book.add(&book{Sources: c.Book.Sources, Spans: c.Book.Spans})
	return &n
}

func readDay(dir string, ref dayRef) (*dayBook, error) {
	b, err := os.ReadFile(filepath.Join(dir, daysDir, ref.File))
	if err != nil {
		return nil, fmt.Errorf("read day file: %w", err)
	}
	if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != ref.SHA256 {
		return nil, garrison.Errorf(garrison.Damaged, "day file %q is not what was written", ref.File)
	}
	d := newDay(ref.Day)
	if err := json.Unmarshal(b, d); err != nil {
		return nil, fmt.Errorf("read day file %q: %w", ref.File, err)
	}
	return d, nil
}

func writeDay(dir string, d *dayBook, gen int64) (dayRef, error) {
	b, err := json.Marshal(d)
	if err != nil {
		return dayRef{}, fmt.Errorf("marshal day %d: %w", d.Day, err)
	}
	sum := sha256.Sum256(b)
	ref := dayRef{Day: d.Day, File: fmt.Sprintf("%s-%08d.json", dayOf(d.Day*86400), gen), Bytes: int64(len(b)), SHA256: hex.EncodeToString(sum[:]), Keys: len(d.Keys)}
	return ref, atomicfile.WriteFile(filepath.Join(dir, daysDir, ref.File), b, 0o600)
}
