package main

import (
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"garrison/client"
)

func (a *app) traceCommand() *cobra.Command {
	var ip, port, proto, at string
	var skew time.Duration
	c := asking(&cobra.Command{
		Use:     "trace --ip A --port P --proto tcp|udp|icmp --at TIME",
		Short:   a.t("cli.short.trace"),
		Example: "  garrison trace --ip 203.0.113.5 --port 40123 --proto tcp --at 2026-11-22T10:00:03+08:00 --skew 5s",
		Args:    a.exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := a.required(c, "ip", "port", "at"); err != nil {
				return err
			}
			if err := a.checkQuestion(ip, port, proto, at, skew); err != nil {
				return err
			}
			api, err := a.connect()
			if err != nil {
				return err
			}
			ans, err := api.Trace(c.Context(), ip, port, proto, at, skew)
			if err != nil {
				return err
			}
			return a.show(ans, func(w io.Writer) { a.printAnswer(w, ans) })
		},
	})
	f := c.Flags()
	f.StringVar(&ip, "ip", "", a.t("cli.flag.ip"))
	f.StringVar(&port, "port", "", a.t("cli.flag.port"))
	f.StringVar(&proto, "proto", "tcp", a.t("cli.flag.proto"))
	f.StringVar(&at, "at", "", a.t("cli.flag.at"))
	f.DurationVar(&skew, "skew", 0, a.t("cli.flag.skew"))
	return c
}

func (a *app) checkQuestion(ip, port, proto, at string, skew time.Duration) error {
	if addr, err := netip.ParseAddr(ip); err != nil || addr.Zone() != "" {
		return a.usage("error.trace.ip", "value", ip)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return a.usage("cli.usage.port", "value", port)
	}
	if err := a.oneOf("--proto", proto, "tcp", "udp", "icmp"); err != nil {
		return err
	}
	if _, err := time.Parse(time.RFC3339Nano, at); err != nil {
		return a.usage("error.trace.at", "value", at)
	}
	if skew < 0 || skew > time.Hour {
		return a.usage("error.trace.skew", "value", skew.String())
	}
	return nil
}

func (a *app) printAnswer(w io.Writer, ans client.Answer) {
	fmt.Fprintln(w, clean(ans.Summary))
	if len(ans.Candidates) > 0 {
		fmt.Fprintln(w)
		t := newTable(a.t("cli.head.line"), a.t("cli.head.inside"), a.t("cli.head.outside"), a.t("cli.head.start"), a.t("cli.head.end"),
			a.t("cli.head.device"), a.t("cli.head.evidence"))
		for _, c := range ans.Candidates {
			proof := a.t("cli.not_sealed")
			if c.Evidence != nil {
				proof = "#" + strconv.FormatUint(c.Evidence.Index, 10)
			}
			t.add(firstOf(c.Line, c.RegisteredFor, "—"), hostPort(c.InsideIP, c.InsidePort, c.InsidePort), hostPort(c.OutsideIP, c.OutsidePort, c.OutsideLast),
				firstOf(local(c.Start), "—"), firstOf(local(c.End), "—"), firstOf(c.Device, "—"), proof)
		}
		t.print(w)
		for i, c := range ans.Candidates {
			if len(c.Why) > 0 {
				fmt.Fprintf(w, "  %d  %s\n", i+1, line(strings.Join(c.Why, "; ")))
			}
		}
	}
	if ans.Truncated {
		fmt.Fprintln(w, a.t("cli.trace.truncated"))
	}
	fmt.Fprintln(w)
	a.printCoverage(w, ans.Coverage)
}

func (a *app) printCoverage(w io.Writer, c client.Coverage) {
	if c.Complete {
		fmt.Fprintln(w, a.paint(a.t("cli.coverage.complete", "records", c.Records), "good"))
	} else {
		fmt.Fprintln(w, a.paint(a.t("cli.coverage.incomplete", "records", c.Records, "lost", a.count(c.Lost), "silent", fmt.Sprintf("%.1f", c.SilentS)), "unsure"))
	}
	for _, g := range c.Gaps {
		fmt.Fprintf(w, "  %s – %s  %s %s\n", local(g.From), firstOf(local(g.Until), "…"), line(g.Cause), line(g.Source))
	}
}

// count writes a number that may be unknown.
func (a *app) count(n int64) string {
	if n < 0 {
		return a.t("cli.unknown")
	}
	return strconv.FormatInt(n, 10)
}

func hostPort(ip string, first, last uint16) string {
	if ip == "" {
		return "—"
	}
	if strings.Contains(ip, ":") {
		ip = "[" + ip + "]"
	}
	s := ip + ":" + strconv.Itoa(int(first))
	if last > first {
		s += "-" + strconv.Itoa(int(last))
	}
	return s
}

// local shows a time of the API in the reader's zone.
func local(stamp string) string {
	t, err := time.Parse(time.RFC3339Nano, stamp)
	if err != nil {
		return stamp
	}
	return t.Local().Format("2006-01-02 15:04:05.000 -07:00")
}
