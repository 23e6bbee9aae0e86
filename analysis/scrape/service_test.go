package scrape_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/analysis/scrape"
	"github.com/serindev/serin/analysis/sourcetest"
	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/judge"
)

// service reports the targets that a test sets.
type service struct {
	scrape.Service
	said chan said
}

type said struct {
	targets []scrape.Target
	err     error
}

func newService(name string) *service {
	s := &service{said: make(chan said, 8)}
	s.Service = scrape.Service{Name: name, Follow: func(ctx context.Context, told func([]scrape.Target, error)) error {
		for {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case x := <-s.said:
				told(x.targets, x.err)
			}
		}
	}}
	return s
}

// now reports these as all targets.
func (s *service) now(exporters ...*sourcetest.Exporter) {
	var x said
	for _, e := range exporters {
		x.targets = append(x.targets, scrape.Target{Address: e.URL, Labels: map[string]string{"pod": "pod of " + e.Host()}})
	}
	s.said <- x
}

// read waits until the given number of targets is read.
func read(t *testing.T, r *prometheus.Registry, n int) {
	t.Helper()
	await.True(t, func() bool {
		return testutil.ToFloat64(gatherer{r, "serin_scrape_targets"}) == float64(n)
	})
}

// gatherer is one gauge of a registry.
type gatherer struct {
	*prometheus.Registry
	name string
}

// Collect implements prometheus.Collector.
func (g gatherer) Collect(out chan<- prometheus.Metric) {
	families, err := g.Gather()
	if err != nil {
		panic(err)
	}
	for _, f := range families {
		if f.GetName() == g.name {
			out <- prometheus.MustNewConstMetric(prometheus.NewDesc(g.name, "", nil, nil), prometheus.GaugeValue, f.GetMetric()[0].GetGauge().GetValue())
		}
	}
}

// running is a source that reads services.
func running(t *testing.T, services ...*service) (*scrape.Source, *prometheus.Registry) {
	t.Helper()
	c := scrape.Config{Interval: sourcetest.Interval}
	for _, s := range services {
		c.Services = append(c.Services, s.Service)
	}
	r := prometheus.NewRegistry()
	source, err := scrape.New(c, r)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- source.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.ErrorIs(t, <-ended, context.Canceled)
	})
	return source, r
}

func TestReplicasAreCountedWhileTheyComeAndGo(t *testing.T) {
	t.Parallel()
	a, b := sourcetest.NewExporter(t), sourcetest.NewExporter(t)
	of := newService("shop")
	of.now(a)
	s, r := running(t, of)
	a.Scraped(t, 1)
	f := sourcetest.Follow(t, s, sourcetest.Plan(t, 0, sourcetest.Errors()))
	a.Add(0, "canary", "200", 10)
	f.Until(a, 0, 0, 10)

	of.now(a, b)
	b.Scraped(t, 1)
	b.Add(0, "canary", "500", 3)
	f.Until(b, 0, 3, 13)

	a.Add(0, "canary", "200", 5)
	f.Until(a, 0, 3, 18)
	of.now(b)
	read(t, r, 1)
	b.Add(0, "canary", "500", 4)
	f.Until(b, 0, 7, 22)

	// It is back, like a pod whose readiness came and went: its counters continue.
	a.Add(0, "canary", "200", 6)
	of.now(a, b)
	f.Until(a, 0, 7, 28)
}

func TestATargetOfTwoServicesIsReadOnce(t *testing.T) {
	t.Parallel()
	a := sourcetest.NewExporter(t)
	one, two := newService("one"), newService("two")
	one.now(a)
	two.now(a)
	s, r := running(t, one, two)
	a.Scraped(t, 1)
	read(t, r, 1)
	f := sourcetest.Follow(t, s, sourcetest.Plan(t, 0, sourcetest.Errors()))
	a.Add(0, "canary", "200", 10)
	f.Until(a, 0, 0, 10)
	one.now()
	a.Add(0, "canary", "200", 10)
	f.Until(a, 0, 0, 20)
}

func TestAServiceWithoutReplicasIsExplained(t *testing.T) {
	t.Parallel()
	of := newService("http://shop.pro.svc:9100/metrics")
	s, r := running(t, of)
	says := func(want string) {
		t.Helper()
		f := sourcetest.Follow(t, s, sourcetest.Plan(t, 0, sourcetest.Errors()))
		var o judge.Observation
		await.True(t, func() bool {
			o = f.Look().Observations[0]
			return o.Absent == judge.Unreachable && o.Detail != "" && strings.Contains(o.Detail, "http://shop.pro.svc:9100/metrics: "+want)
		}, "%s", func() string { return o.Detail })
	}
	says("its targets are not known yet")
	of.said <- said{err: errors.New("endpointslices is forbidden")}
	says("endpointslices is forbidden")
	of.now()
	says("nothing is behind it")
	a := sourcetest.NewExporter(t)
	of.now(a)
	a.Scraped(t, 2)
	read(t, r, 1)
	of.said <- said{err: errors.New("the watch has ended")} // known targets continue to be read
	a.Scraped(t, 2)
	f := sourcetest.Follow(t, s, sourcetest.Plan(t, 0, sourcetest.Errors()))
	a.Add(0, "canary", "200", 10)
	f.Until(a, 0, 0, 10)
}

func TestMoreReplicasThanCanBeReadAreAnError(t *testing.T) {
	t.Parallel()
	of := newService("shop")
	var x said
	for i := range scrape.MaxTargets + 1 {
		x.targets = append(x.targets, scrape.Target{Address: fmt.Sprintf("http://127.0.%d.1:1/metrics", i)})
	}
	of.said <- x
	s, r := running(t, of)
	read(t, r, scrape.MaxTargets)
	answers := s.Fetch(t.Context(), sourcetest.Plan(t, 0, sourcetest.Errors()).Asks(analysis.NewCursor(time.Now()), time.Now()))
	require.ErrorContains(t, answers[0].Err, "there are more than 32 targets, and not all are read; for so many use a Prometheus")
}
