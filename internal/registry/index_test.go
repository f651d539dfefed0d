package registry

import (
	"errors"
	"net/netip"
	"testing"

	"garrison"
)

func sender(id string, version int, address string) garrison.Subject {
	return garrison.Subject{ID: garrison.SubjectID(id), Kind: garrison.Sender, Version: version, Attributes: map[string]string{"address": address}}
}

func (x *index) who(addr string) string {
	s, _ := x.find(garrison.Sender, netip.MustParseAddr(addr))
	return string(s.ID)
}

func TestIndexToldOutOfOrder(t *testing.T) {
	x := newIndex()
	x.set(sender("a", 2, "192.0.2.2"))
	x.set(sender("a", 1, "192.0.2.1")) // its commit was earlier
	if x.who("192.0.2.1") != "" || x.who("192.0.2.2") != "a" {
		t.Error("the earlier version replaced the later one")
	}
	// b got an address that a had given up, but is told of first.
	x.set(sender("b", 1, "192.0.2.2"))
	x.set(sender("a", 3, "192.0.2.3"))
	if x.who("192.0.2.2") != "b" || x.who("192.0.2.3") != "a" {
		t.Error("giving an address up took it from its new holder")
	}
	x.remove(sender("b", 1, "192.0.2.2"))
	x.set(sender("b", 1, "192.0.2.2"))
	if x.who("192.0.2.2") != "" {
		t.Error("what was removed came back")
	}
}

func TestIndexLoad(t *testing.T) {
	x := newIndex()
	x.set(sender("old", 1, "192.0.2.9"))
	err := x.load(func() ([]garrison.Subject, error) {
		x.set(sender("new", 1, "192.0.2.1")) // after the snapshot
		return []garrison.Subject{sender("a", 1, "192.0.2.2")}, nil
	})
	if err != nil || x.who("192.0.2.1") != "new" || x.who("192.0.2.2") != "a" || x.who("192.0.2.9") != "" {
		t.Errorf("%v, %q %q %q", err, x.who("192.0.2.1"), x.who("192.0.2.2"), x.who("192.0.2.9"))
	}
	boom := errors.New("on purpose")
	if err := x.load(func() ([]garrison.Subject, error) { return nil, boom }); !errors.Is(err, boom) || x.who("192.0.2.2") != "a" {
		t.Errorf("a load that failed: %v, %q", err, x.who("192.0.2.2"))
	}
}

func BenchmarkIndexFind(b *testing.B) {
	x := newIndex()
	addr := netip.MustParseAddr("10.0.0.0")
	for range 200_000 {
		addr = addr.Next()
		x.set(garrison.Subject{ID: garrison.SubjectID(garrison.NewID("sub")), Kind: garrison.Line, Version: 1, Attributes: map[string]string{"inside": addr.String()}})
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := x.find(garrison.Line, addr); !ok {
			b.Fatal("not found")
		}
	}
}
