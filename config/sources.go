package config

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/traffic/traefik"
)

// For returns l with what a daemon's document says about its sources.
func (l Loader) For(d *DaemonSpec) Loader {
	own := d.Prometheus.source()
	l.Settle, l.Series, l.Scraped = own.Settle, own.Series, own.Scraped
	if k := d.Kubernetes; k != nil && k.Resources != nil {
		l.Objects = Objects{Reach: map[string][]string{}, Hosts: k.Resources.Hosts}
		for from, to := range k.Resources.Reach {
			for _, namespace := range to {
				l.Objects.Reach[from] = append(l.Objects.Reach[from], string(namespace))
			}
		}
	}
	l.Receivers = d.receivers()
	l.Sources = make(map[string]Source, len(d.Sources))
	for name, p := range d.Sources {
		l.Sources[name] = p.source()
	}
	return l
}

func (p *PrometheusSpec) source() Source {
	return Source{
		Settle: long(p.ScrapeInterval, 0), Scraped: p.Scrape != nil,
		Series: traefik.Series{ServiceLabel: p.ServiceLabel, Match: string(p.Match)},
	}
}

// sourcing says where the metrics of a rollout come from. With a zero loader it knows only the documents: the revision is
// computed with that.
type sourcing struct {
	loader  Loader
	rollout string // the source of analyses that name none
}

// of returns a source by name.
func (s sourcing) of(name string) Source {
	if name == "" {
		return Source{Settle: s.loader.Settle, Series: s.loader.Series, Scraped: s.loader.Scraped}
	}
	return s.loader.Sources[name]
}

// builtIn returns the analysis traefik-web, with the tolerance left at zero, as in any document that does not set it.
func (s sourcing) builtIn() analysis.Definition {
	source := s.of(s.rollout)
	web := source.Series.Web()
	web.Settle, web.Split.Tolerance = source.Settle, 0
	web.Split.From = s.rollout
	for i := range web.Metrics {
		web.Metrics[i].From = s.rollout
	}
	return web
}

// series returns how an analysis finds the gateway's own series in a source.
func (s *AnalysisSpec) series(of Source) traefik.Series {
	return of.Series.And(s.ServiceLabel, string(s.Match))
}

// from returns the source of a metric, which may name its own.
func (s *AnalysisSpec) from(own string, sources sourcing) string {
	return cmp.Or(own, s.Prometheus, sources.rollout)
}

// settle is how long to wait for late samples: as long as the slowest of the sources needs.
func (s *AnalysisSpec) settle(sources sourcing) time.Duration {
	if s.Settle != nil {
		return time.Duration(*s.Settle)
	}
	var out time.Duration
	for i := range s.Metrics {
		out = max(out, sources.of(s.from(s.Metrics[i].Prometheus, sources)).Settle)
	}
	return out
}

// sourceName refuses an address in place of the name of one of the daemon's sources.
func (c *checker) sourceName(at place, name string) {
	if strings.Contains(name, "://") {
		c.fail(at, "expected the name of one of the daemon's sources, got an address: put that into the daemon's "+
			"document, spec.sources, where its credentials are")
	}
}

// sourceReference checks that a source exists, if the daemon's sources are known.
func (m *planner) sourceReference(at place, name string) {
	if name == "" || m.loader.Sources == nil {
		return
	}
	if _, ok := m.loader.Sources[name]; !ok {
		m.once(at, "the daemon has no source %s: %s", quote(name), meant(name, slices.Sorted(maps.Keys(m.loader.Sources))))
	}
}

// sources returns those that an analysis names, each once.
func (s *AnalysisSpec) sources() []string {
	out := []string{s.Prometheus}
	if s.SampleRatio != nil {
		out = append(out, s.SampleRatio.Prometheus)
	}
	for i := range s.Metrics {
		out = append(out, s.Metrics[i].Prometheus)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// along returns l with the sources of the daemon whose document is loaded together with the others, if there is exactly one
// and l knows no sources yet.
func (l Loader) along(daemons []*DaemonSpec) Loader {
	if l.Sources != nil || len(daemons) != 1 {
		return l
	}
	settle := l.Settle
	l = l.For(daemons[0])
	l.Settle = cmp.Or(settle, l.Settle)
	return l
}
