package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"garrison/evidence"
	"garrison/internal/records/storetest"
)

// benchSender writes generated translations as a Linux gateway logs them
// (conntrack -E -o timestamp through syslog), one line a session.
func (a *app) benchSender() *cobra.Command {
	var to, transport string
	var n, rate int
	var seed uint64
	c := &cobra.Command{
		Use:    "sender",
		Short:  "send generated lines",
		Hidden: true,
		Args:   a.exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := a.required(c, "to", "records"); err != nil {
				return err
			}
			conn, err := net.Dial(transport, to)
			if err != nil {
				return err
			}
			defer conn.Close()
			g := storetest.NewGenerator(seed, benchScale(n))
			var bytes int64
			if transport == "udp" {
				bytes, err = sendDatagrams(conn, g, n, rate)
			} else {
				bytes, err = sendStream(conn.(*net.TCPConn), g, n, rate)
			}
			if err != nil {
				return err
			}
			fmt.Fprintln(a.out, bytes)
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&to, "to", "", "host:port")
	f.StringVar(&transport, "transport", "tcp", "tcp or udp")
	f.IntVar(&n, "records", 0, "lines")
	f.IntVar(&rate, "rate", 0, "lines a second")
	f.Uint64Var(&seed, "seed", 1, "seed")
	return c
}

// benchScale is the network on which the record store's design was measured: ten
// thousand seconds of traffic, ending now.
func benchScale(n int) storetest.Scale {
	s := storetest.DefaultScale()
	s.PerSecond = max(2000, float64(n)/10_000)
	s.Subscribers, s.PublicIPs, s.Destinations = 200_000, 5_000, 300_000
	s.From = time.Now().Add(-time.Duration(float64(n)/s.PerSecond*1000) * time.Millisecond).UnixMilli()
	return s
}

// sendStream sends lines ended by a newline (RFC 6587 §3.4.2) and waits until the
// receiver, having committed, closes too.
func sendStream(conn *net.TCPConn, g *storetest.Generator, n, rate int) (int64, error) {
	w := bufio.NewWriterSize(conn, 256<<10)
	pace := newPace(rate)
	var total int64
	var rec evidence.NAT
	var line []byte
	for i := range n {
		g.Next(&rec)
		line = append(conntrackLine(line[:0], &rec), '\n')
		if _, err := w.Write(line); err != nil {
			return total, err
		}
		total += int64(len(line))
		if pace.due(i) {
			if err := w.Flush(); err != nil {
				return total, err
			}
			pace.wait(i)
		}
	}
	if err := w.Flush(); err != nil {
		return total, err
	}
	if err := conn.CloseWrite(); err != nil {
		return total, err
	}
	if _, err := io.Copy(io.Discard, conn); err != nil {
		return total, err
	}
	return total, nil
}

func sendDatagrams(conn net.Conn, g *storetest.Generator, n, rate int) (int64, error) {
	pace := newPace(rate)
	var total int64
	var rec evidence.NAT
	var line []byte
	for i := range n {
		g.Next(&rec)
		line = conntrackLine(line[:0], &rec)
		m, err := conn.Write(line)
		if err != nil {
			return total, err
		}
		total += int64(m)
		pace.wait(i)
	}
	return total, nil
}

// pace keeps to a number of lines a second; 0 is as fast as it goes.
type pace struct {
	rate  int
	begun time.Time
}

func newPace(rate int) pace { return pace{rate, time.Now()} }

func (p pace) due(i int) bool { return p.rate > 0 && i%64 == 63 }

func (p pace) wait(i int) {
	if !p.due(i) {
		return
	}
	time.Sleep(time.Until(p.begun.Add(time.Duration(i) * time.Second / time.Duration(p.rate))))
}

// conntrackLine appends the line of a session's end.
func conntrackLine(b []byte, r *evidence.NAT) []byte {
	zone := time.FixedZone("CST", 8*3600) // the receiver's default
	ended := time.UnixMilli(r.End)
	name := "udp      17"
	if r.Proto == 6 {
		name = "tcp      6"
	}
	b = append(b, "<30>"...)
	b = ended.In(zone).AppendFormat(b, time.Stamp)
	b = append(b, " "...)
	b = append(b, r.Device...)
	b = append(b, " conntrack: ["...)
	b = strconv.AppendInt(b, r.End/1000, 10)
	b = fmt.Appendf(b, ".%03d417]", r.End%1000)
	b = append(b, "\t[DESTROY] "...)
	b = append(b, name...)
	b = side(b, r.InsideIP.AppendTo, r.DstIP.AppendTo, r.InsidePort, r.DstPort)
	b = append(b, " packets=12 bytes=1480"...)
	b = side(b, r.DstIP.AppendTo, r.OutsideIP.AppendTo, r.DstPort, r.OutsidePort)
	b = append(b, " packets=15 bytes=18211 [ASSURED] delta-time="...)
	return strconv.AppendInt(b, (r.End-r.Start)/1000, 10)
}

func side(b []byte, src, dst func([]byte) []byte, sport, dport uint16) []byte {
	b = src(append(b, " src="...))
	b = dst(append(b, " dst="...))
	b = strconv.AppendUint(append(b, " sport="...), uint64(sport), 10)
	return strconv.AppendUint(append(b, " dport="...), uint64(dport), 10)
}
