// Package promsource answers the asks of package analysis with samples from Prometheus, or from anything that speaks
// its HTTP API.
//
// All asks of a slot are fetched together. Asks with the same template become one query, whose regular expression lists
// their services as alternatives, and each ask gets its own series. So the number of queries grows with the number of
// different metrics, not with the number of releases. Start reading at [Source.Fetch].
package promsource

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/api"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"golang.org/x/sync/errgroup"

	"github.com/serindev/serin/analysis"
)

// Bounds on queries and answers.
const (
	// DefaultTimeout of one query.
	DefaultTimeout = 10 * time.Second
	// maxValues is how many values of a label one query asks for; beyond it a template takes a further query. A
	// thousand releases with two arms are 2,000 services, about 60 kB of query.
	maxValues = 4000
	// maxBytes bounds one response in memory; the samples of 4,000 services in a window take a tenth of it.
	maxBytes = 256 << 20
	// maxSeries and maxPoints bound one answer, so that a selector that matches everything affects only its own
	// release.
	maxSeries = 10_000
	maxPoints = 1_000_000
	// parallel is how many queries run at once. It is low because Prometheus runs 20 at a time by default and serves
	// other clients too.
	parallel = 4
)

// Config is where the source is and how to reach it.
type Config struct {
	// URL is the base of the API: http://127.0.0.1:9090.
	URL string
	// Timeout of one query; 0 is [DefaultTimeout].
	Timeout time.Duration
	// HTTP is Prometheus's own client configuration: basic auth, bearer token files, TLS, headers.
	HTTP config.HTTPClientConfig
	// Frame is the clock that determines windows, the same for all sources of a daemon; nil is the daemon's own clock.
	// It follows the clock of the source that Leads.
	Frame *Frame
	Leads bool
}

// Source is a Prometheus. It may be used by several goroutines.
type Source struct {
	api     v1.API
	timeout time.Duration
	metrics metrics
	hinted  hints
	clock   *clock
}

type metrics struct {
	queries  prometheus.Counter
	errors   *prometheus.CounterVec
	warnings prometheus.Counter
	seconds  prometheus.Histogram
	skew     prometheus.Gauge
}

// The ways in which a query fails: label values of serin_prometheus_query_errors_total.
const (
	unreachable = "unreachable"
	refused     = "refused"
)

// New makes a source and registers its metrics. It sends no query yet.
func New(c Config, r prometheus.Registerer) (*Source, error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		return nil, fmt.Errorf("prometheus URL: %w", discreet(err))
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("prometheus URL %q: expected http:// or https:// and a host", analysis.ShownURL(u))
	}
	if err := c.HTTP.Validate(); err != nil {
		return nil, fmt.Errorf("prometheus client: %w", err)
	}
	transport, err := config.NewRoundTripperFromConfig(c.HTTP, "prometheus", config.WithUserAgent("serin"))
	if err != nil {
		return nil, fmt.Errorf("prometheus client: %w", err)
	}
	s := &Source{timeout: c.Timeout, metrics: newMetrics(), clock: &clock{frame: c.Frame, leads: c.Leads && c.Frame != nil}}
	if s.clock.frame == nil {
		s.clock.frame = &Frame{}
	}
	client, err := api.NewClient(api.Config{Address: c.URL, RoundTripper: bounded{transport, maxBytes, s.clock}})
	if err != nil {
		return nil, fmt.Errorf("prometheus client: %w", err)
	}
	s.api = v1.NewAPI(client)
	if s.timeout <= 0 {
		s.timeout = DefaultTimeout
	}
	if err := s.metrics.register(r); err != nil {
		return nil, fmt.Errorf("register metrics of the prometheus source: %w", err)
	}
	return s, nil
}

// register registers the metrics, or uses those that another source has registered, since all sources share them.
func (m *metrics) register(r prometheus.Registerer) error {
	return errors.Join(shared(r, &m.queries), shared(r, &m.errors), shared(r, &m.warnings), shared(r, &m.seconds), shared(r, &m.skew))
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

func newMetrics() metrics {
	m := metrics{
		queries: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "serin_prometheus_queries_total", Help: "Queries sent to Prometheus.",
		}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "serin_prometheus_query_errors_total",
			Help: "Queries without a result: Prometheus was unreachable or too slow, or it refused the query.",
		}, []string{"kind"}),
		warnings: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "serin_prometheus_query_warnings_total", Help: "Warnings that came with results, such as partial data.",
		}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "serin_prometheus_query_duration_seconds", Help: "Time from sending a query to having its result.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 8),
		}),
		skew: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "serin_prometheus_clock_skew_seconds",
			Help: "By how much the clock of the Prometheus that answered last is behind Serin's own; negative if it is ahead.",
		}),
	}
	m.errors.WithLabelValues(unreachable)
	m.errors.WithLabelValues(refused)
	return m
}

// bounded limits the size of a response, after decompression.
type bounded struct {
	next  http.RoundTripper
	bytes int64
	clock *clock
}

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	sent := time.Now()
	resp, err := b.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	b.clock.hear(resp.Header.Get("Date"), sent, time.Now())
	resp.Body = &limited{resp.Body, b.bytes}
	return resp, nil
}

type limited struct {
	io.ReadCloser
	left int64
}

// Read implements io.Reader. It fails instead of truncating.
func (l *limited) Read(p []byte) (int, error) {
	n, err := l.ReadCloser.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, fmt.Errorf("the response is larger than %d MiB", int64(maxBytes>>20))
	}
	return n, err
}

// Fetch answers all asks, in order. An answer that could not be obtained carries its error; Fetch never fails as a whole.
// It returns at the latest when ctx is done. The number of queries depends on the number of distinct templates, ends of
// windows (one for a slot, one more for each offset) and classes of window length (at most three), but not on the
// number of asks, up to 4,000 services a template. In addition there is at most one query per end for the scrapes of
// targets.
func (s *Source) Fetch(ctx context.Context, asks []analysis.Ask) []analysis.Answer {
	answers := make([]analysis.Answer, len(asks))
	groups, frame := group(asks), s.clock.frame.Behind()
	var wait errgroup.Group
	wait.SetLimit(parallel)
	for _, g := range groups {
		wait.Go(func() error {
			s.answer(ctx, frame, g, asks, answers)
			return nil
		})
	}
	_ = wait.Wait() // errors are in the answers
	s.hints(ctx, asks, answers)
	for _, n := range scrapesNeeded(asks, answers) {
		wait.Go(func() error {
			s.scrapes(ctx, frame, n, answers)
			return nil
		})
	}
	_ = wait.Wait()
	return answers
}

// groupKey is what asks have to share to become one query.
type groupKey struct {
	template analysis.Template
	to       int64
	class    int
}

// query is one query and the asks that it answers, by index.
type query struct {
	groupKey
	from int64
	asks []int
}

// class separates the short windows of most asks from the long ones of a new release (it looks back five minutes for
// bases) and of one without answers for a long time: otherwise these would make the query long for all.
func class(window time.Duration) int {
	switch {
	case window <= 2*time.Minute:
		return 0
	case window <= 15*time.Minute:
		return 1
	}
	return 2
}

// group groups asks, in the order of their first one.
func group(asks []analysis.Ask) []*query {
	groups := map[groupKey]*query{}
	var out []*query
	for i, a := range asks {
		k := groupKey{template: a.Template, to: a.To.UnixMilli()}
		switch {
		case a.Template.Instant:
		case !a.From.Before(a.To):
			continue // an empty window: an empty answer
		default:
			k.class = class(a.To.Sub(a.From))
		}
		g := groups[k]
		if g == nil {
			g = &query{groupKey: k, from: a.From.UnixMilli()}
			groups[k] = g
			out = append(out, g)
		}
		g.from = min(g.from, a.From.UnixMilli())
		g.asks = append(g.asks, i)
	}
	return out
}

// answer sends the queries of one group and gives each ask its own series.
func (s *Source) answer(ctx context.Context, frame time.Duration, q *query, asks []analysis.Ask, answers []analysis.Answer) {
	byValue := map[string][]int{}
	for _, i := range q.asks {
		byValue[asks[i].Value] = append(byValue[asks[i].Value], i)
	}
	values := make([]string, 0, len(byValue))
	for v := range byValue {
		values = append(values, v)
	}
	slices.Sort(values)
	for part := range slices.Chunk(values, maxValues) {
		series, err := s.query(ctx, frame, q.template.Query(part, time.Duration(q.to-q.from)*time.Millisecond), q.to, q.template.By)
		for _, v := range part {
			for _, i := range byValue[v] {
				if err != nil {
					answers[i] = failed(err)
					continue
				}
				answers[i] = cut(series[v], asks[i])
			}
		}
	}
}

// cut takes an ask's window out of series that may be longer.
func cut(series []analysis.Series, a analysis.Ask) analysis.Answer {
	if a.Template.Instant {
		return limit(analysis.Answer{Series: series}, len(series))
	}
	from, to := a.From.UnixMilli(), a.To.UnixMilli()
	out := make([]analysis.Series, 0, len(series))
	points := 0
	for _, x := range series {
		after := func(t int64) int {
			i, _ := slices.BinarySearchFunc(x.Samples, t+1, func(s analysis.Sample, t int64) int { return int(s.T - t) })
			return i
		}
		if i, j := after(from), after(to); i < j {
			out = append(out, analysis.Series{Labels: x.Labels, Samples: x.Samples[i:j:j]})
			points += j - i
		}
	}
	return limit(analysis.Answer{Series: out}, points)
}

func limit(a analysis.Answer, points int) analysis.Answer {
	if len(a.Series) > maxSeries || points > maxPoints {
		return failed(refusal{fmt.Errorf("%d series with %d samples are too much: at most %d with %d are taken",
			len(a.Series), points, maxSeries, maxPoints)})
	}
	return a
}

// refusal is an error that will not change when the query is repeated.
type refusal struct{ error }

// Unwrap returns the reason.
func (r refusal) Unwrap() error { return r.error }

func failed(err error) analysis.Answer {
	var r refusal
	return analysis.Answer{Err: err, Refused: errors.As(err, &r)}
}

// query sends one query and returns its series by the value of a label, or all under "" if by is empty.
// The window is over by the clock of frame, see [Frame.Behind].
func (s *Source) query(ctx context.Context, frame time.Duration, text string, at int64, by string) (map[string][]analysis.Series, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	begin := time.Now()
	s.metrics.queries.Inc()
	value, warnings, _, err := s.api.Query(ctx, text, time.UnixMilli(at), v1.WithTimeout(s.timeout))
	s.metrics.seconds.Observe(time.Since(begin).Seconds())
	s.metrics.warnings.Add(float64(len(warnings)))
	behind := s.clock.skew()
	s.metrics.skew.Set(behind.Seconds())
	if err == nil && behind-frame > maxOff {
		err = &behindError{behind}
	}
	if err == nil {
		var series map[string][]analysis.Series
		if series, err = convert(value, model.LabelName(by)); err == nil {
			return series, nil
		}
	}
	return nil, s.fail(err, text).Err
}

// classify distinguishes a refused query from an unreachable source. Unknown errors count as the latter.
func classify(err error, text string) error {
	if len(text) > 200 {
		text = strings.ToValidUTF8(text[:200], "") + "…"
	}
	var e *v1.Error
	var r refusal
	switch {
	case errors.As(err, &r):
		return refusal{fmt.Errorf("query %s: %w", text, r.error)}
	case errors.As(err, &e) && (e.Type == v1.ErrBadData || e.Type == v1.ErrExec):
		return refusal{fmt.Errorf("query %s: %w", text, err)}
	}
	return fmt.Errorf("ask prometheus: %w", discreet(err))
}

// discreet is an error whose address contains nothing that may be a secret.
func discreet(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return &url.Error{Op: u.Op, URL: analysis.ShownAddress(u.URL), Err: u.Err}
	}
	return err
}
