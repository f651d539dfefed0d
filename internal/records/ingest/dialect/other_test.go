package dialect

import "testing"

func TestOnlyKnownReasonsAreOfAnotherMatter(t *testing.T) {
	for why, want := range map[string]bool{
		NotTranslation: true, Repetition: true, Empty: true, Empty + ": of blanks": true,
		"": false, BadForm: false, UnknownLine: false, NoMatch: false, Several: false, Truncated: false, TooLong: false,
		"bad_address: not_a_translation": false, "made_up": false,
	} {
		if got := Other(why); got != want {
			t.Errorf("%q: %v, want %v", why, got, want)
		}
	}
}

func TestLinesOfUnknownFamilies(t *testing.T) {
	for text, want := range map[string]bool{
		// may tell of a translation
		"%%01SECLOG/6/SESSION_NAT(l): IPVer=4, Protocol(TCP), SrcIp=10.1.1.7 SrcPort=5000 NatIp=203.0.113.9": true,
		"NAT444: user alice was given 203.0.113.9 ports 1024-2047":                                           true,
		"session 10.0.0.1:5000->203.0.113.9:1024":                                                            true,
		"map from 2001:db8::1 to 2001:db8:1::2":                                                              true,
		"a\x00\x01b":                                                                                         true,
		// cannot
		"Accepted password for root from 192.0.2.1 port 22 ssh2":                                             false,
		"link ge-0/0/1 went down at 10:00:03, mac 00:11:22:33:44:55":                                         false,
		"UFW BLOCK IN=eth0 OUT= MAC=00:11:22:33:44:55 SRC=192.0.2.1 DST=198.51.100.2 LEN=40 PROTO=TCP SPT=1": false,
		"signature update terminated: destination 192.0.2.1 does not answer":                                 false,
		"version 1.2.3 of the translation table":                                                             false,
		"":                                                                                                   false,
	} {
		l := &Line{}
		l.Text = []byte(text)
		if got := MayTranslate(l); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}
