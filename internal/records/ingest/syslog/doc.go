// Package syslog takes syslog messages apart: frames of a byte stream (RFC 6587,
// both kinds, told apart frame by frame), the headers of RFC 5424 and of what RFC
// 3164 describes, and the time stamps that devices really write in them.
//
// It promises: no panic and no allocation on the way of a message, every slice of a
// [Message] points into the line it was taken from, and a header that cannot be read
// costs nothing but the header: the rest of the line stays as text. It leaves to
// others what the text means (package dialect) and where messages come from.
//
//	p := syslog.NewParser(shanghai)
//	var m syslog.Message
//	p.Parse(line, received, &m)
package syslog
