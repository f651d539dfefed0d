package records

import (
	"sync"

	"garrison"
)

// maxSources bounds how many senders are told apart: each is kept for ever, so whoever
// can name senders (a forged address, a token) could fill memory and catalog with them.
const maxSources = 4096

// otherSource is what senders beyond the limit share: nothing of theirs is refused, but
// they are no longer told apart.
const otherSource = "other"

// senders are the names of all that ever sent.
type senders struct {
	mu    sync.Mutex // guards known
	known map[string]struct{}
}

func (s *senders) know(list []garrison.SourceStatus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known = make(map[string]struct{}, len(list))
	for _, x := range list {
		s.known[string(x.ID)] = struct{}{}
	}
}

// admit returns the sender a batch is put down to.
func (s *senders) admit(src SourceRef) SourceRef {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.known[src.ID]; ok {
		return src
	}
	if len(s.known) >= maxSources {
		return SourceRef{ID: otherSource, Name: otherSource, Kind: src.Kind}
	}
	s.known[src.ID] = struct{}{}
	return src
}
