// Package ingest takes address-translation records in: over syslog (UDP and TCP) and
// from files.
//
// What it promises: no line is dropped. Each is decoded into a record or refused with
// a reason, and counted either way; what the kernel dropped before we could read it
// is counted as lost and put down to its sender. Everything received is handed to the
// store within [Config.HandOver], long before anybody waits for it, and of a TCP
// stream everything is durable before the connection is closed. A sender that is too
// fast is made to wait (TCP) or shows as lost (UDP); memory does not grow with it.
//
// What it leaves to others: keeping records (package records), what devices there are
// (the resolver that [Deps] carries), and what a line means (the packages under
// dialect, jsonl and csv).
//
//	l, err := ingest.New(cfg, ingest.Deps{Store: store, Source: resolve, Log: log})
//	err = l.Start(ctx)
//	fmt.Println(l.Addrs()["syslog_udp"])
//	err = l.Stop(ctx)
package ingest
