package ingest

import (
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"
)

// prepare asks for a large buffer and for the count of dropped datagrams, and returns
// the bytes of buffer that the kernel gave.
func (u *udpListener) prepare(want int) (got int) {
	_ = u.raw.Control(func(fd uintptr) {
		// The first needs CAP_NET_ADMIN and goes past net.core.rmem_max.
		if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, want) != nil {
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, want)
		}
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1)
		n, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF)
		if err == nil {
			got = n / 2 // socket(7): the kernel doubles it for its own use
		}
	})
	return got
}

// overflow reads the count of dropped datagrams that came with one (SO_RXQ_OVFL).
func overflow(oob []byte) (uint32, bool) {
	at := unix.CmsgLen(0)
	if len(oob) < at+4 {
		return 0, false
	}
	level := binary.NativeEndian.Uint32(oob[unix.SizeofCmsghdr-8:])
	kind := binary.NativeEndian.Uint32(oob[unix.SizeofCmsghdr-4:])
	if level != unix.SOL_SOCKET || kind != unix.SO_RXQ_OVFL {
		return 0, false
	}
	return binary.NativeEndian.Uint32(oob[at:]), true
}

// kernelDrops reads the same count without a datagram (SO_MEMINFO), so that losses at
// the end of a burst are not waited for until the next one. 0 where it cannot be read.
func (u *udpListener) kernelDrops() (drops uint32) {
	_ = u.raw.Control(func(fd uintptr) {
		var info [16]uint32
		size := uint32(unsafe.Sizeof(info))
		// No wrapper of this option exists; the kernel writes at most size bytes.
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_MEMINFO,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0) //nolint:gosec // two variables of this function, sized above
		if errno == 0 && size >= 9*4 {
			drops = info[8] // SK_MEMINFO_DROPS
		}
	})
	return drops
}
