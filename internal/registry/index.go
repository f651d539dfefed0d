package registry

import (
	"maps"
	"math"
	"net/netip"
	"slices"
	"sync"

	"garrison"
)

// index finds subjects by address, in memory: intake asks it for every packet.
type index struct {
	mu       sync.RWMutex // guards all below
	versions map[garrison.SubjectID]int
	subjects map[garrison.SubjectID]garrison.Subject // those with addresses
	tables   map[garrison.SubjectKind]*prefixes
	loading  bool
	recent   []told // while loading: what the snapshot that is read may not have yet
}

// told is one change as index was told of it.
type told struct {
	subject garrison.Subject
	version int
}

// prefixes finds the narrowest prefix around an address.
type prefixes struct {
	subject map[netip.Prefix]garrison.Subject
	lengths [2][129]int // how many prefixes of each length: IPv4, IPv6
}

func newIndex() *index {
	return &index{
		versions: map[garrison.SubjectID]int{},
		subjects: map[garrison.SubjectID]garrison.Subject{},
		tables: map[garrison.SubjectKind]*prefixes{
			garrison.Sender: {subject: map[netip.Prefix]garrison.Subject{}},
			garrison.Pool:   {subject: map[netip.Prefix]garrison.Subject{}},
			garrison.Line:   {subject: map[netip.Prefix]garrison.Subject{}},
		},
	}
}

// set takes over a subject as it is now. Commits can be told out of order; the
// higher version is the truth.
func (x *index) set(s garrison.Subject) { x.tell(told{s, s.Version}) }

// remove forgets a subject for good: identifiers are never used again.
func (x *index) remove(s garrison.Subject) {
	s.Retired = true
	x.tell(told{s, math.MaxInt})
}

func (x *index) tell(c told) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.change(c)
	if x.loading {
		x.recent = append(x.recent, c)
	}
}

func (x *index) change(c told) {
	s := c.subject
	table := x.tables[s.Kind]
	if table == nil || c.version <= x.versions[s.ID] {
		return
	}
	x.versions[s.ID] = c.version
	if old, ok := x.subjects[s.ID]; ok {
		for _, p := range prefixesOf(old) {
			table.drop(p, s.ID)
		}
		delete(x.subjects, s.ID)
	}
	if s.Retired {
		return
	}
	s.Attributes = maps.Clone(s.Attributes) // the caller goes on with its own
	for _, p := range prefixesOf(s) {
		table.add(p, s)
		x.subjects[s.ID] = s
	}
}

// load replaces everything with what read returns from the database; changes told
// while it reads are not lost.
func (x *index) load(read func() ([]garrison.Subject, error)) error {
	x.mu.Lock()
	x.loading, x.recent = true, nil
	x.mu.Unlock()
	all, err := read()
	x.mu.Lock()
	defer x.mu.Unlock()
	recent := x.recent
	x.loading, x.recent = false, nil
	if err != nil {
		return err
	}
	fresh := newIndex()
	for _, s := range all {
		fresh.change(told{s, s.Version})
	}
	for _, c := range recent {
		fresh.change(c)
	}
	x.versions, x.subjects, x.tables = fresh.versions, fresh.subjects, fresh.tables
	return nil
}

func (x *index) find(kind garrison.SubjectKind, addr netip.Addr) (garrison.Subject, bool) {
	if !addr.IsValid() {
		return garrison.Subject{}, false
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	s, ok := x.tables[kind].find(addr.Unmap().WithZone(""))
	if ok {
		s.Attributes = maps.Clone(s.Attributes)
	}
	return s, ok
}

func family(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

func (t *prefixes) add(p netip.Prefix, s garrison.Subject) {
	if _, taken := t.subject[p]; !taken {
		t.lengths[family(p.Addr())][p.Bits()]++
	}
	t.subject[p] = s
}

// drop takes a prefix away unless it has passed to another subject meanwhile.
func (t *prefixes) drop(p netip.Prefix, id garrison.SubjectID) {
	if s, ok := t.subject[p]; ok && s.ID == id {
		delete(t.subject, p)
		t.lengths[family(p.Addr())][p.Bits()]--
	}
}

func (t *prefixes) find(addr netip.Addr) (garrison.Subject, bool) {
	lengths := t.lengths[family(addr)][:addr.BitLen()+1]
	for bits, n := range slices.Backward(lengths) {
		if n == 0 {
			continue
		}
		p, err := addr.Prefix(bits)
		if err != nil {
			return garrison.Subject{}, false // bits never exceed the address
		}
		if s, ok := t.subject[p]; ok {
			return s, true
		}
	}
	return garrison.Subject{}, false
}
