package telemetry

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Sample is one figure at one moment.
type Sample struct {
	Name   string // "garrison_records_stored_total"
	Help   string
	Total  bool // only grows since installation; else a gauge
	Labels map[string]string
	Value  float64
}

// Metrics serves samples in Prometheus' text format. Components hand in functions
// that read figures they keep anyway, so nothing is counted twice.
type Metrics struct {
	registry *prometheus.Registry
}

// NewMetrics returns metrics that already hold those of the process and the runtime.
func NewMetrics() *Metrics {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return &Metrics{registry: r}
}

// Add registers a function that is called at each scrape. It must be quick and may
// be called concurrently.
func (m *Metrics) Add(read func() []Sample) error {
	return m.registry.Register(reader(read))
}

// Handler serves the metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

type reader func() []Sample

// Describe sends nothing, which makes it an unchecked collector: the set of labels
// (sources) is known only at scrape time.
func (reader) Describe(chan<- *prometheus.Desc) {}

func (r reader) Collect(out chan<- prometheus.Metric) {
	for _, s := range r() {
		kind := prometheus.GaugeValue
		if s.Total {
			kind = prometheus.CounterValue
		}
		desc := prometheus.NewDesc(s.Name, s.Help, nil, s.Labels)
		m, err := prometheus.NewConstMetric(desc, kind, s.Value)
		if err != nil {
			m = prometheus.NewInvalidMetric(desc, err)
		}
		out <- m
	}
}
