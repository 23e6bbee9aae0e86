// Package scrape reads metrics from the addresses at which Traefik and applications serve them, and answers the asks of
// package analysis from them. Without a Prometheus, a few targets are enough for a release.
//
// It is no Prometheus: there are no expressions and no alerts. It keeps the samples of the last minutes in memory, and
// the last sample of each minute of a day, even across a restart of Serin. It counts by the same rules as promsource
// and passes the same suite of tests (package sourcetest). Start reading at [Source.Run] and [Source.Fetch].
package scrape

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/config"
	"golang.org/x/sync/errgroup"

	"github.com/serindev/serin/analysis"
)

// Bounds on what is read and kept. Beyond them, use a Prometheus.
const (
	// DefaultInterval between two scrapes of a target.
	DefaultInterval = 2 * time.Second
	// MaxTargets is the largest number of addresses.
	MaxTargets = 32
	// MaxBody is the largest answer of a target, in bytes after decompression.
	MaxBody = 16 << 20
	// MaxValues is the largest number of values in the series of all targets at once: one for each plain series, one
	// for each bucket of a native histogram. With [raw] and [Kept] that is up to 200 MB of memory.
	MaxValues = 5_000
	// Kept is how far back samples go: the day from which a release learns, and some minutes before it.
	Kept = analysis.HistoryOver + 10*time.Minute
	// raw is how long every sample is kept. Of older ones the last of each minute is kept, so that the counts of a
	// minute remain.
	raw = 10 * time.Minute
	// The timeout for a target is the interval, within these bounds: a target in trouble answers slowly, and its
	// metrics matter most then, however short the interval is.
	leastTimeout = 5 * time.Second
	maxTimeout   = 10 * time.Second
)

// Job is the value of the label job of all series, which Prometheus would add; instance is the target's host and port.
const Job = "serin-scrape"

// Config is what to read, and how to reach it.
type Config struct {
	// Targets are the full addresses of the metrics: http://127.0.0.1:8080/metrics.
	Targets []string
	// Services are further targets, which come and go.
	Services []Service
	// Interval between two scrapes of a target; 0 is [DefaultInterval].
	Interval time.Duration
	// HTTP is Prometheus's own client configuration, for all targets.
	HTTP config.HTTPClientConfig
	// Day stores samples across restarts; nil stores nothing.
	Day Day
	Log *slog.Logger
}

// Source reads targets. It may be used by several goroutines.
type Source struct {
	services []*following
	day      Day   // nil: nothing is stored across restarts
	kept     int64 // up to when samples are stored, ms; it belongs to Run
	interval time.Duration
	client   *http.Client
	log      *slog.Logger
	metrics  metrics

	mu       sync.RWMutex // guards the fields below, the samples of targets and the reports of services
	targets  []*target    // including those that are no longer read
	values   int          // of all targets, see [MaxValues]
	answered int64        // the latest end of a window that was answered, ms
	ahead    int64        // by how much the times of samples are ahead of the clock, ms
	clock    func() time.Time
}

type metrics struct {
	scrapes, failures prometheus.Counter
	seconds           prometheus.Histogram
	values, targets   prometheus.Gauge
}

// New makes a source and registers its metrics. It reads nothing before [Source.Run].
func New(c Config, r prometheus.Registerer) (*Source, error) {
	if n := len(c.Targets); n == 0 && len(c.Services) == 0 || n > MaxTargets {
		return nil, fmt.Errorf("scrape %d targets: expected 1 to %d; for more use a Prometheus", n, MaxTargets)
	}
	if err := c.HTTP.Validate(); err != nil {
		return nil, fmt.Errorf("scrape: %w", err)
	}
	client, err := config.NewClientFromConfig(c.HTTP, "scrape", config.WithUserAgent("serin"))
	if err != nil {
		return nil, fmt.Errorf("scrape: %w", err)
	}
	s := &Source{interval: c.Interval, client: client, log: c.Log, day: c.Day, clock: time.Now}
	if s.interval <= 0 {
		s.interval = DefaultInterval
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	seen := map[string]bool{}
	for _, address := range c.Targets {
		u, err := parseTarget(address)
		if err != nil {
			return nil, err
		}
		if seen[u.Host] {
			return nil, fmt.Errorf("scrape %s: another target has this host and port, and everything "+
				"there would be counted twice", analysis.ShownURL(u))
		}
		seen[u.Host] = true
		s.targets = append(s.targets, newTarget(u, nil))
	}
	for _, service := range c.Services {
		s.services = append(s.services, &following{Service: service})
	}
	return s, s.register(r)
}

func parseTarget(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("scrape: an address cannot be parsed, and is not shown because it may contain a " +
			"secret: expected one such as http://127.0.0.1:8080/metrics")
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("scrape %q: expected the full address, such as http://127.0.0.1:8080/metrics", analysis.ShownURL(u))
	}
	return u, nil
}

func (s *Source) register(r prometheus.Registerer) error {
	s.metrics = metrics{
		scrapes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "serin_scrapes_total", Help: "Scrapes of targets, if Serin reads metrics itself.",
		}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "serin_scrape_failures_total", Help: "Scrapes without samples: the target did not answer, or not with metrics.",
		}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "serin_scrape_duration_seconds", Help: "Time from requesting a target's metrics to having its samples.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 8),
		}),
		values: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "serin_scrape_values", Help: "Values in the last scrapes of all targets: plain series, and buckets of native histograms.",
		}),
		targets: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "serin_scrape_targets", Help: "Targets that are read, including those that do not answer.",
		}),
	}
	if err := s.metrics.register(r); err != nil {
		return err
	}
	s.metrics.targets.Add(float64(len(s.targets)))
	return nil
}

// register registers the metrics, or uses those that another source has registered, since all sources share them.
func (m *metrics) register(r prometheus.Registerer) error {
	return errors.Join(shared(r, &m.scrapes), shared(r, &m.failures), shared(r, &m.seconds), shared(r, &m.values), shared(r, &m.targets))
}

func shared[T prometheus.Collector](r prometheus.Registerer, m *T) error {
	err := r.Register(*m)
	if already, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		if other, ok := already.ExistingCollector.(T); ok {
			*m = other
			return nil
		}
	}
	return err
}

// Run reads all targets until ctx is done, and returns its error.
func (s *Source) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	if s.day != nil {
		s.recall(ctx)
		group.Go(func() error { return s.days(ctx) })
	}
	for _, t := range s.now() {
		if !t.gone {
			group.Go(func() error { return s.follow(ctx, t) })
		}
	}
	for _, f := range s.services {
		group.Go(func() error {
			return f.Follow(ctx, func(targets []Target, err error) { s.found(ctx, group, f, targets, err) })
		})
	}
	return group.Wait()
}

// Probe reads every target that is not from a service once and keeps nothing: before [Source.Run], or instead of it.
// Each error is a sentence about one target that cannot be read.
func (s *Source) Probe(ctx context.Context) (errs []error) {
	ctx, cancel := context.WithTimeout(ctx, maxTimeout)
	defer cancel()
	targets := s.now()
	errs = make([]error, len(targets))
	var reading sync.WaitGroup
	for i, t := range targets {
		reading.Go(func() {
			if _, err := t.scrape(ctx, s.client); err != nil {
				errs[i] = fmt.Errorf("%s cannot be read: %w", t.shown, err)
			}
		})
	}
	reading.Wait()
	return slices.DeleteFunc(errs, func(err error) bool { return err == nil })
}

// now returns the current targets.
func (s *Source) now() []*target {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Clone(s.targets)
}

// follow reads one target until ctx is done.
func (s *Source) follow(ctx context.Context, t *target) error {
	tick := time.NewTicker(s.interval)
	defer tick.Stop()
	for {
		s.read(ctx, t)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// read scrapes a target once, and keeps the samples.
func (s *Source) read(ctx context.Context, t *target) {
	ctx, cancel := context.WithTimeout(ctx, min(max(s.interval, leastTimeout), maxTimeout))
	defer cancel()
	at, done := s.begin(t)
	defer close(done)
	began := time.Now()
	families, err := t.scrape(ctx, s.client)
	s.metrics.scrapes.Inc()
	s.metrics.seconds.Observe(time.Since(began).Seconds())
	if err == nil {
		err = s.keep(t, at, families)
	}
	if ctx.Err() != nil && errors.Is(ctx.Err(), context.Canceled) {
		return // Serin is stopping
	}
	s.mu.Lock()
	t.scrapes = append(t.scrapes, scraped{at, err == nil})
	said := t.err
	t.err = err
	s.mu.Unlock()
	if err != nil {
		s.metrics.failures.Inc()
	}
	switch {
	case err != nil && (said == nil || said.Error() != err.Error()):
		s.log.Warn("a target cannot be read", "target", t.shown, "err", err)
	case err == nil && said != nil:
		s.log.Info("a target can be read again", "target", t.shown)
	}
}

// setBack is how far behind the last scrape the clock has to be to count as set back.
const setBack = 10 * time.Second

// begin gives a scrape its time: that of its start, so that everything counted at a time had happened by then, and
// after every window that was already answered. When the clock is set back, the times of samples go on from where they
// were, and windows are moved accordingly, because counting ignores samples older than the last one.
func (s *Source) begin(t *target) (at int64, done chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	done = make(chan struct{})
	now := s.clock().UnixMilli()
	latest := max(s.answered, t.last())
	if behind := latest - now - s.ahead; behind > setBack.Milliseconds() {
		s.ahead += behind + s.interval.Milliseconds()
		s.log.Warn("the clock was set back; counting continues", "by", time.Duration(behind)*time.Millisecond)
	}
	at = max(now+s.ahead, latest+1)
	t.busy, t.busyAt = done, at
	return at, done
}
