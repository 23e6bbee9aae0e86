package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/rest"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/analysis/promsource"
	"github.com/serindev/serin/analysis/scrape"
	"github.com/serindev/serin/config"
	"github.com/serindev/serin/store"
)

// metrics holds the sources of metrics by name: those with Prometheus's API, and targets that Serin reads itself.
type metrics struct {
	promsource.Sources
	prometheus *promsource.Source                // the daemon's own; nil where it reads targets
	frame      *promsource.Frame                 // the clock that windows are asked by
	reads      bool                              // targets are read, by the daemon's clock: it stays that of all windows
	run        []func(ctx context.Context) error // the readers of targets
	cluster    *rest.Config
	kept       *store.Store
}

// day keeps what a source has read itself in the store.
type day struct {
	store  *store.Store
	source string
}

// Load implements [scrape.Day].
func (d day) Load(ctx context.Context) ([][]byte, error) { return d.store.Scraped(ctx, d.source) }

// Keep implements [scrape.Day].
func (d day) Keep(ctx context.Context, at time.Time, part []byte, before time.Time) error {
	return d.store.KeepScraped(ctx, d.source, at, part, before)
}

// newMetrics makes the sources; kept is where those that Serin reads itself keep their day.
func newMetrics(o Options, kept *store.Store, r prometheus.Registerer) (metrics, error) {
	spec, log := o.Spec, o.Log
	cluster, err := clusterConfig(o)
	if err != nil {
		return metrics{}, err
	}
	m := metrics{Sources: promsource.Sources{}, frame: &promsource.Frame{}, cluster: cluster, kept: kept}
	for _, p := range spec.Sources {
		m.reads = m.reads || p.Scrape != nil
	}
	if err := m.add("", &spec.Prometheus, log, r); err != nil {
		return metrics{}, err
	}
	m.prometheus, _ = m.Sources[""].(*promsource.Source)
	for name, p := range spec.Sources {
		if err := m.add(name, &p, log, r); err != nil {
			return metrics{}, fmt.Errorf("source %s: %w", name, err)
		}
	}
	if len(m.run) == 0 { // otherwise a reader does it
		m.run = append(m.run, func(ctx context.Context) error { return forgetDay(ctx, kept, log) })
	}
	return m, nil
}

// forgetDay removes what a daemon that read targets itself has kept, once it is older than a day: this one reads none.
func forgetDay(ctx context.Context, kept *store.Store, log *slog.Logger) error {
	for {
		if err := kept.ForgetScraped(ctx, time.Now().Add(-scrape.Kept)); err != nil && ctx.Err() == nil {
			log.Warn("what was read from targets could not be forgotten", "err", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(scrape.Kept):
		}
	}
}

func (m *metrics) add(name string, p *config.PrometheusSpec, log *slog.Logger, r prometheus.Registerer) error {
	if p.Scrape == nil {
		s, err := openSource(p, m.frame, name == "" && !m.reads, r)
		m.Sources[name] = s
		return err
	}
	client, err := p.HTTPClient()
	if err != nil {
		return err
	}
	c := scrape.Config{Interval: time.Duration(*p.Scrape.Interval), HTTP: client, Day: day{m.kept, name}, Log: log, Targets: addresses(p.Scrape)}
	for _, address := range p.Scrape.Service {
		service, err := m.service(address)
		if err != nil {
			return fmt.Errorf("scrape.service %s: %w", analysis.ShownAddress(address), err)
		}
		c.Services = append(c.Services, service)
	}
	s, err := scrape.New(c, r)
	if err != nil {
		return err
	}
	m.Sources[name], m.run = s, append(m.run, s.Run)
	return nil
}

func addresses(p *config.ScrapeSpec) (out []string) {
	for _, t := range p.Targets {
		out = append(out, string(t))
	}
	return out
}

// Probe reads the targets of a daemon that reads metrics itself once, and says in sentences which of them cannot be read.
// The replicas behind its Services are not among them: they are known only to a daemon, which watches them.
func Probe(ctx context.Context, p *config.PrometheusSpec) (wrong []string, err error) {
	client, err := p.HTTPClient()
	if err != nil || len(p.Scrape.Targets) == 0 {
		return nil, err
	}
	s, err := scrape.New(scrape.Config{HTTP: client, Targets: addresses(p.Scrape)}, prometheus.NewRegistry())
	if err != nil {
		return nil, err
	}
	for _, err := range s.Probe(ctx) {
		wrong = append(wrong, err.Error())
	}
	return wrong, nil
}

// OpenSource makes the source of one Prometheus.
func OpenSource(p *config.PrometheusSpec, r prometheus.Registerer) (*promsource.Source, error) {
	return openSource(p, nil, false, r)
}

// openSource makes a source whose windows are asked by the clock of frame; one that leads moves it.
func openSource(p *config.PrometheusSpec, frame *promsource.Frame, leads bool, r prometheus.Registerer) (*promsource.Source, error) {
	client, err := p.HTTPClient()
	if err != nil {
		return nil, err
	}
	c := promsource.Config{URL: string(p.URL), Timeout: time.Duration(*p.Timeout), HTTP: client, Frame: frame, Leads: leads}
	source, err := promsource.New(c, r)
	if err != nil {
		return nil, fmt.Errorf("prometheus: %w", err)
	}
	return source, nil
}

// OpenSources returns the daemon's sources that have a history: its own, and the further ones that its document names.
// Targets that it reads itself are not among them.
func OpenSources(spec *config.DaemonSpec, own *promsource.Source, r prometheus.Registerer) (promsource.Sources, error) {
	out := promsource.Sources{"": own}
	for name, p := range spec.Sources {
		if p.Scrape != nil {
			continue
		}
		s, err := OpenSource(&p, r)
		if err != nil {
			return nil, fmt.Errorf("source %s: %w", name, err)
		}
		out[name] = s
	}
	return out, nil
}
