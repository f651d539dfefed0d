package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// Version is the version of the file format this program writes and reads.
const Version = 1

// FloorDays is how long records must be kept at least (Decree 82, art. 13).
const FloorDays = 60

// Config is everything an installation can be told.
type Config struct {
	Version int    `yaml:"version"`
	Data    string `yaml:"data"` // records, ledger, evidence and the embedded database live below it
	Keys    string `yaml:"keys"` // signing and record keys; best on another disk than Data

	Listen  Listen  `yaml:"listen"`
	TLS     TLS     `yaml:"tls"`
	State   State   `yaml:"state"`
	Records Records `yaml:"records"`
	Ledger  Ledger  `yaml:"ledger"`
	Probe   Probe   `yaml:"probe"`
	Log     Log     `yaml:"log"`
}

// Listen holds the addresses to listen on, host:port; empty switches one off.
type Listen struct {
	Console   string `yaml:"console"`    // HTTPS: console and API
	SyslogUDP string `yaml:"syslog_udp"` // RFC 3164, RFC 5424
	SyslogTCP string `yaml:"syslog_tcp"` // the same, octet-counted or newline-framed
	Metrics   string `yaml:"metrics"`    // plain HTTP: /metrics, /healthz, /readyz
}

// TLS names the certificate of the console. Both empty: the product makes its own
// local root and a certificate under it.
type TLS struct {
	Certificate string   `yaml:"certificate"`
	Key         string   `yaml:"key"`
	Names       []string `yaml:"names,omitempty"` // further names and addresses for the own certificate
}

// State chooses the relational database.
type State struct {
	Engine  string `yaml:"engine"`   // sqlite | postgres
	DSNFile string `yaml:"dsn_file"` // postgres: file holding the connection string
}

// Records sets how records are kept.
type Records struct {
	RetentionDays int      `yaml:"retention_days"` // never below FloorDays
	MinFree       Size     `yaml:"min_free"`       // intake stops, visibly, when less is free
	SegmentEvery  Duration `yaml:"segment_every"`  // how often sealed chunks become segment files
}

// Ledger sets the evidence log.
type Ledger struct {
	Origin     string   `yaml:"origin"`     // the log's name; empty: made at first start
	Checkpoint Duration `yaml:"checkpoint"` // longest time until an entry is under a signed checkpoint
	Beat       Duration `yaml:"beat"`       // how often a heartbeat is sealed
}

// Probe sets how the product looks at other people's systems.
type Probe struct {
	Contact string   `yaml:"contact"`         // address shown in the user agent
	Allow   []string `yaml:"allow,omitempty"` // private networks that may be visited, CIDR
}

// Log sets the program's own log.
type Log struct {
	Level string `yaml:"level"` // debug | info | warn | error
	JSON  bool   `yaml:"json"`
}

// Default returns the complete default configuration.
func Default() Config {
	return Config{
		Version: Version,
		Data:    "data",
		Listen: Listen{
			Console:   "127.0.0.1:8443",
			SyslogUDP: "127.0.0.1:5514",
			SyslogTCP: "127.0.0.1:5514",
			Metrics:   "127.0.0.1:9464",
		},
		State:   State{Engine: "sqlite"},
		Records: Records{RetentionDays: FloorDays, MinFree: 1 << 30, SegmentEvery: Duration(2 * time.Minute)},
		Ledger:  Ledger{Checkpoint: Duration(500 * time.Millisecond), Beat: Duration(5 * time.Second)},
		Log:     Log{Level: "info"},
	}
}

// Load reads and validates the file at path. Relative paths in it are taken from
// the file's own directory.
func Load(path string) (Config, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("read configuration: %w", err)
	}
	c, err := Parse(raw)
	if err != nil {
		return Config{}, fmt.Errorf("%s: %w", path, err)
	}
	base := filepath.Dir(path)
	for _, p := range []*string{&c.Data, &c.Keys, &c.TLS.Certificate, &c.TLS.Key, &c.State.DSNFile} {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(base, *p)
		}
	}
	return c, nil
}

// Parse decodes and validates the text of a configuration file.
func Parse(raw []byte) (Config, error) {
	c := Default()
	c.Version = 0
	if len(strings.TrimSpace(string(raw))) == 0 {
		return Config{}, errors.New("the file is empty; the smallest one is: version: 1")
	}
	if err := yaml.Load(raw, &c, yaml.WithKnownFields(), yaml.WithUniqueKeys(), yaml.WithSingleDocument()); err != nil {
		return Config{}, readable(err)
	}
	if err := c.Validate(); err != nil {
		return Config{}, err
	}
	return c, nil
}

// readable turns the decoder's message into one that names keys, not Go types.
func readable(err error) error {
	text := err.Error()
	for _, cut := range []string{"yaml: unmarshal errors:", "yaml: construct errors:", "yaml:"} {
		text = strings.ReplaceAll(text, cut, "")
	}
	for _, t := range []string{"Config", "Listen", "TLS", "State", "Records", "Ledger", "Probe", "Log"} {
		text = strings.ReplaceAll(text, " in type config."+t, "")
	}
	text = strings.ReplaceAll(text, " not found", " is not a key of the configuration (see garrison config show)")
	var lines []string
	for l := range strings.Lines(text) {
		if l = strings.TrimSpace(l); l != "" {
			lines = append(lines, l)
		}
	}
	return errors.New(strings.Join(lines, "; "))
}

// Validate reports every fault at once.
func (c Config) Validate() error {
	var faults []error
	bad := func(path, format string, args ...any) {
		faults = append(faults, fmt.Errorf("%s: %s", path, fmt.Sprintf(format, args...)))
	}
	if c.Version != Version {
		bad("version", "is %d; this program reads version %d", c.Version, Version)
	}
	if c.Data == "" {
		bad("data", "is empty; name the directory that keeps the records")
	}
	for name, addr := range map[string]string{
		"listen.console": c.Listen.Console, "listen.syslog_udp": c.Listen.SyslogUDP,
		"listen.syslog_tcp": c.Listen.SyslogTCP, "listen.metrics": c.Listen.Metrics,
	} {
		if addr == "" && name != "listen.console" {
			continue
		}
		if _, _, err := net.SplitHostPort(addr); err != nil {
			bad(name, "%q is not host:port", addr)
		}
	}
	if (c.TLS.Certificate == "") != (c.TLS.Key == "") {
		bad("tls", "certificate and key go together; give both or neither")
	}
	switch c.State.Engine {
	case "sqlite":
	case "postgres":
		if c.State.DSNFile == "" {
			bad("state.dsn_file", "is empty; put the connection string of PostgreSQL in a file and name it here")
		}
	default:
		bad("state.engine", "%q is neither sqlite nor postgres", c.State.Engine)
	}
	if c.Records.RetentionDays < FloorDays {
		bad("records.retention_days", "%d is below the %d days that Decree 82, art. 13 demands", c.Records.RetentionDays, FloorDays)
	}
	if d := time.Duration(c.Records.SegmentEvery); d < time.Second || d > time.Hour {
		bad("records.segment_every", "%s is not between 1s and 1h", d)
	}
	if d := time.Duration(c.Ledger.Checkpoint); d < 100*time.Millisecond || d > 2*time.Second {
		bad("ledger.checkpoint", "%s is not between 100ms and 2s (records must be sealed within 2 s)", d)
	}
	if d := time.Duration(c.Ledger.Beat); d < time.Second || d > time.Minute {
		bad("ledger.beat", "%s is not between 1s and 1m", d)
	}
	for i, p := range c.Probe.Allow {
		if _, err := netip.ParsePrefix(p); err != nil {
			bad(fmt.Sprintf("probe.allow[%d]", i), "%q is not a network such as 192.0.2.0/24", p)
		}
	}
	switch c.Log.Level {
	case "debug", "info", "warn", "error":
	default:
		bad("log.level", "%q is none of debug, info, warn, error", c.Log.Level)
	}
	return errors.Join(faults...)
}

// KeyDir returns where keys are kept: Keys, or a directory below Data.
func (c Config) KeyDir() string {
	if c.Keys != "" {
		return c.Keys
	}
	return filepath.Join(c.Data, "keys")
}

// AnyPort makes every listener take a free port on host.
func (c *Config) AnyPort(host string) {
	any := net.JoinHostPort(host, "0")
	c.Listen = Listen{Console: any, SyslogUDP: any, SyslogTCP: any, Metrics: any}
}

// Show returns the configuration in effect as YAML.
func (c Config) Show() ([]byte, error) {
	return yaml.Dump(c)
}
