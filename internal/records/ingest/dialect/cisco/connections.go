package cisco

import (
	"net/netip"

	"garrison/evidence"
)

// maxConnections bounds what is remembered of one source: the oldest is forgotten
// first. A teardown whose building was forgotten is refused and counted, the open
// record of its building stays.
const maxConnections = 16384

type connection struct {
	inside, outside, dst             netip.Addr
	insidePort, outsidePort, dstPort uint16
	proto                            uint8
}

// connections remembers the latest connections that were built.
type connections struct {
	byKey map[uint64]connection
	ring  []uint64 // keys in the order of their building; a key taken may still stand here
	next  int
}

func (c *connections) put(key uint64, r *evidence.NAT) {
	if c.byKey == nil {
		c.byKey = make(map[uint64]connection)
	}
	if len(c.ring) < maxConnections {
		c.ring = append(c.ring, key)
	} else {
		delete(c.byKey, c.ring[c.next])
		c.ring[c.next] = key
		c.next = (c.next + 1) % maxConnections
	}
	c.byKey[key] = connection{r.InsideIP, r.OutsideIP, r.DstIP, r.InsidePort, r.OutsidePort, r.DstPort, r.Proto}
}

func (c *connections) take(key uint64, r *evidence.NAT) bool {
	k, ok := c.byKey[key]
	if !ok {
		return false
	}
	delete(c.byKey, key)
	r.InsideIP, r.OutsideIP, r.DstIP = k.inside, k.outside, k.dst
	r.InsidePort, r.OutsidePort, r.OutsidePortLast, r.DstPort = k.insidePort, k.outsidePort, k.outsidePort, k.dstPort
	r.Proto = k.proto
	return true
}

// connKey makes one number of a device's name and its number of a connection
// (FNV-1a). Two that collide cannot be taken for each other: addresses must agree.
func connKey(host []byte, id int64) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range host {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return (h ^ uint64(id)) * 1099511628211
}
