// Package scrape reads metrics itself, from the addresses where Traefik and applications serve them, for the asks of
// package analysis: where there is no Prometheus, a few targets are enough for a release.
//
// It is no Prometheus. It keeps the samples of the last minutes in memory, and of each minute of a day the last one, also
// over a restart of Serin: no expressions, and no alerts. What it does count it counts as promsource does, by the
// same rules and with the same suite of tests (package sourcetest). Start reading at [Source.Run] and [Source.Fetch].
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

// Bounds on what is read and kept. Beyond them a Prometheus is the right thing to have.
const (
	// DefaultInterval between two scrapes of a target.
	DefaultInterval = 2 * time.Second
	// MaxTargets is how many addresses are read.
	MaxTargets = 32
	// MaxBody is how large one answer of a target may be, in bytes after decompression.
	MaxBody = 16 << 20
	// MaxValues is how many values the series of all targets may have at once: one for each plain series, one for each
	// bucket of a native histogram. With [raw] and [Kept] that is up to 200 MB of memory.
	MaxValues = 5_000
	// Kept is how far back samples go: the day that a release learns from, and some minutes before it.
	Kept = analysis.HistoryOver + 10*time.Minute
	// raw is how long every sample is kept; of older ones the last of each minute is, so that what was counted over a
	// minute stays.
	raw = 10 * time.Minute
	// The time that a target has to answer is the interval, within these bounds: one that is in trouble answers slowly,
	// and is what has to be seen then, however short the interval is.
	leastTimeout = 5 * time.Second
	maxTimeout   = 10 * time.Second
)

// Job is the value of the label job of all series, as Prometheus would give it; instance is the target's host and port.
const Job = "serin-scrape"

// Config says what is read, and how it is reached.
type Config struct {
	// Targets are the whole addresses of the metrics: http://127.0.0.1:8080/metrics.
	Targets []string
	// Services are further targets, which come and go.
	Services []Service
	// Interval between two scrapes of a target; 0 is [DefaultInterval].
	Interval time.Duration
	// HTTP is Prometheus's own configuration of a client, for all targets.
	HTTP config.HTTPClientConfig
	// Day keeps what was read over restarts; nil keeps nothing.
	Day Day
	Log *slog.Logger
}

// Source reads targets. It may be used by several goroutines.
type Source struct {
	services []*following
	day      Day   // nil: nothing is kept over restarts
	kept     int64 // up to when samples are kept, ms; it belongs to Run
	interval time.Duration
	client   *http.Client
	log      *slog.Logger
	metrics  metrics

	mu       sync.RWMutex // guards what follows, what targets have read and what services have said
	targets  []*target    // those included that are read no longer
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
			return nil, fmt.Errorf("scrape %s: another target has this host and port, and everything there would be counted twice", analysis.ShownURL(u))
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
		return nil, errors.New("scrape: an address cannot be read, and may have a secret in it: expected one such as http://127.0.0.1:8080/metrics")
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("scrape %q: expected the whole address, such as http://127.0.0.1:8080/metrics", analysis.ShownURL(u))
	}
	return u, nil
}

func (s *Source) register(r prometheus.Registerer) error {
	s.metrics = metrics{
		scrapes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "serin_scrapes_total", Help: "Scrapes of targets, where Serin reads metrics itself.",
		}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "serin_scrape_failures_total", Help: "Scrapes that gave nothing: the target did not answer, or not with metrics.",
		}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "serin_scrape_duration_seconds", Help: "Time from asking a target to having its samples.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 8),
		}),
		values: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "serin_scrape_values", Help: "Values that the last scrapes of all targets gave: plain series, and buckets of native histograms.",
		}),
		targets: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "serin_scrape_targets", Help: "Targets that are read, those included that do not answer.",
		}),
	}
	if err := s.metrics.register(r); err != nil {
		return err
	}
	s.metrics.targets.Add(float64(len(s.targets)))
	return nil
}

// register registers the metrics, or takes those that another source has registered: they are of all together.
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

// Run reads all targets until ctx ends, and returns its error.
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

// Probe reads every target with an address of its own once and keeps nothing: before [Source.Run], or in place of it. The
// error of each is a sentence about one target; those that can be read have none.
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

// now are the targets that there are.
func (s *Source) now() []*target {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Clone(s.targets)
}

// follow reads one target until ctx ends.
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

// read scrapes a target once, and keeps what it gave.
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
		return // Serin ends
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

// setBack is how far the clock has to be behind the last scrape to have been set back.
const setBack = 10 * time.Second

// begin gives a scrape its time: that of its beginning, so that what is counted at a time had happened by then, and
// after every window that was answered already. When the clock is set back, the times of samples go on from where they were,
// and windows are moved to them: counting takes no sample for new that is older than the last one.
func (s *Source) begin(t *target) (at int64, done chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	done = make(chan struct{})
	now := s.clock().UnixMilli()
	latest := max(s.answered, t.last())
	if behind := latest - now - s.ahead; behind > setBack.Milliseconds() {
		s.ahead += behind + s.interval.Milliseconds()
		s.log.Warn("the clock was set back; what is scraped is counted on", "by", time.Duration(behind)*time.Millisecond)
	}
	at = max(now+s.ahead, latest+1)
	t.busy, t.busyAt = done, at
	return at, done
}
