package records

import (
	"path/filepath"
	"sync"

	"garrison/internal/records/segment"
)

// readers keeps files of segments open between questions, with their indexes parsed.
// It is safe for concurrent use.
type readers struct {
	mu    sync.Mutex // guards what follows
	parts map[string]*openPart
	trees map[string]*segment.Tree
	clock int64
	pool  *segment.Pool
}

type openPart struct {
	r     *segment.Reader
	users int
	used  int64
	gone  bool // to be closed when nobody uses it
}

const (
	maxOpenParts = 256
	maxTrees     = 256
	poolBytes    = 96 << 20
)

func newReaders() *readers {
	return &readers{parts: map[string]*openPart{}, trees: map[string]*segment.Tree{}, pool: segment.NewPool(poolBytes)}
}

// part returns a reader that the caller gives back with the function.
func (o *readers) part(dir string, p segment.Part) (*segment.Reader, func(), error) {
	path := filepath.Join(dir, p.File)
	o.mu.Lock()
	if x := o.parts[path]; x != nil {
		o.clock++
		x.users, x.used = x.users+1, o.clock
		o.mu.Unlock()
		return x.r, func() { o.leave(x) }, nil
	}
	o.mu.Unlock()
	r, err := segment.Open(dir, p)
	if err != nil {
		return nil, nil, err
	}
	x := &openPart{r: r, users: 1}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.clock++
	x.used = o.clock
	if o.parts[path] != nil {
		x.gone = true // somebody was faster; this one lives for its caller only
	} else {
		o.parts[path] = x
		o.evict()
	}
	return r, func() { o.leave(x) }, nil
}

func (o *readers) leave(x *openPart) {
	o.mu.Lock()
	defer o.mu.Unlock()
	x.users--
	if x.gone && x.users == 0 {
		o.pool.Forget(x.r)
		x.r.Close()
	}
}

// evict closes the file that was not used for longest. The lock is held.
func (o *readers) evict() {
	if len(o.parts) <= maxOpenParts {
		return
	}
	var oldest string
	for path, x := range o.parts {
		if oldest == "" || x.used < o.parts[oldest].used {
			oldest = path
		}
	}
	o.drop(oldest)
}

// drop takes a file out. The lock is held.
func (o *readers) drop(path string) {
	x := o.parts[path]
	if x == nil {
		return
	}
	delete(o.parts, path)
	x.gone = true
	if x.users == 0 {
		o.pool.Forget(x.r)
		x.r.Close()
	}
}

// forget gives a file up that is about to be removed.
func (o *readers) forget(path string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.drop(path)
	delete(o.trees, path)
}

func (o *readers) closeAll() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for path := range o.parts {
		o.drop(path)
	}
	clear(o.trees)
}

// tree returns a segment's .tree file without its nodes.
func (o *readers) tree(dir string, ref *segmentRef) (*segment.Tree, error) {
	path := filepath.Join(dir, ref.Tree.File)
	o.mu.Lock()
	t := o.trees[path]
	o.mu.Unlock()
	if t != nil {
		return t, nil
	}
	t, err := segment.ReadTree(path)
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.trees) >= maxTrees {
		clear(o.trees)
	}
	o.trees[path] = t
	return t, nil
}
