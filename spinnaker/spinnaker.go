// Package spinnaker answers what Spinnaker asks: it speaks Kayenta's API, so that Orca and Deck take Serin for
// Kayenta, and it is a remote judge for a Kayenta that stays. docs/spinnaker.md says which endpoints there are;
// the section numbers in comments are those of spec/spinnaker.md.
//
// It has a listener of its own with rules of its own, because its callers send no tokens: see [Listen]. It moves no
// traffic and knows no releases. A run is written before it is answered, so that it goes on after a restart.
//
// Start reading at [New], then canary.go for what is asked, run.go for what follows.
package spinnaker

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/spinnaker/kept"
	"github.com/serindev/serin/spinnaker/metricset"
)

// Store keeps configs and runs. After an error nothing is half written. record.ErrNotFound says that something does not
// exist, record.ErrConflict that it is in the way.
type Store interface {
	// CreateCanaryConfig returns ErrConflict if the id is taken, or the name in one of its applications; UpdateCanaryConfig
	// returns ErrNotFound, or ErrConflict for the name.
	CreateCanaryConfig(ctx context.Context, c kept.Config) error
	UpdateCanaryConfig(ctx context.Context, c kept.Config) error
	DeleteCanaryConfig(ctx context.Context, id string) error
	CanaryConfig(ctx context.Context, id string) (json.RawMessage, error)
	CanaryConfigs(ctx context.Context) ([]json.RawMessage, error)
	CreateCanaryRun(ctx context.Context, r kept.Run) error
	// UpdateCanaryRun writes a run with what was measured and what follows from it, all or nothing; both may be nil. It
	// returns ErrConflict if the run is complete already, and if the evidence's version is not the next one.
	UpdateCanaryRun(ctx context.Context, r kept.Run, p *kept.Pairs, e *kept.Evidence) error
	CanaryRun(ctx context.Context, id string) (kept.Run, error)
	CanaryRuns(ctx context.Context, f kept.Filter) ([]kept.Run, error)
	// IncompleteCanaryRuns are those that have to go on, oldest first.
	IncompleteCanaryRuns(ctx context.Context) ([]kept.Run, error)
	KeepCanaryPairs(ctx context.Context, p kept.Pairs) error
	CanaryPairs(ctx context.Context, id string) (json.RawMessage, error)
	CanaryEvidence(ctx context.Context, id string) (kept.Evidence, error)
	// PruneCanary forgets complete runs and what belongs to them that were last changed before a time.
	PruneCanary(ctx context.Context, before time.Time) error
}

// Metrics is where samples come from.
type Metrics interface {
	// Range asks for the values at each step, both ends included. An answer that is refused stays so when asked again.
	Range(ctx context.Context, expression string, from, to time.Time, step time.Duration) analysis.Answer
	// MetricNames lists the names of metrics, sorted.
	MetricNames(ctx context.Context) ([]string, error)
}

// Options is what a service is made of.
type Options struct {
	Store   Store
	Metrics Metrics
	// MetricsURL is shown to people in the list of accounts, without secrets.
	MetricsURL string
	// MetricsNames and StorageNames are further names of the accounts prometheus and serin.
	MetricsNames, StorageNames []string
	// Rules are how queries are built.
	Rules metricset.Rules
	// Queries is how many queries may be under way at once; 0 is 8.
	Queries int
	// MaxRuns is how many runs and analyses may be open at once; 0 is 1,000. More get 503, which Orca tries again.
	MaxRuns int
	// Retention is how long runs are kept after their end, and those of an analysis until it has ended; 0 is forever.
	Retention time.Duration
	Log       *slog.Logger
	Registry  prometheus.Registerer
}

// The defaults of [Options].
const (
	defaultQueries = 8
	defaultMaxRuns = 1000
)

// Service is Kayenta's API. It may be used by several goroutines.
type Service struct {
	o       Options
	handler http.Handler
	queries chan struct{}       // a place for each query under way
	judging chan struct{}       // a place for each request of the remote judge
	bodies  *semaphore.Weighted // the memory of all bodies, in bytes
	metrics serviceMetrics
	cached  nameCache

	started chan string // ids for Run to take up

	mu     sync.Mutex // guards what follows
	active map[string]*underWay
	open   map[string]bool // runs and analyses that are not complete
}

// underWay is a run that this process works at.
type underWay struct {
	cancel context.CancelFunc
	done   chan struct{}
}

// New makes a service. It listens on nothing and runs nothing before [Service.Run].
func New(o Options) *Service {
	if o.Queries <= 0 {
		o.Queries = defaultQueries
	}
	if o.MaxRuns <= 0 {
		o.MaxRuns = defaultMaxRuns
	}
	s := &Service{
		o: o, queries: make(chan struct{}, o.Queries), judging: make(chan struct{}, judgeAtOnce), bodies: semaphore.NewWeighted(maxBodies), metrics: newMetrics(o.Registry),
		started: make(chan string, o.MaxRuns), active: map[string]*underWay{}, open: map[string]bool{},
	}
	s.handler = s.routes()
	return s
}

// Handler is the whole API at its root, without the rules of a listener.
func (s *Service) Handler() http.Handler { return s.handler }

type serviceMetrics struct {
	runs *prometheus.CounterVec
	open prometheus.Gauge
	late prometheus.Counter
}

func newMetrics(r prometheus.Registerer) serviceMetrics {
	m := serviceMetrics{
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "serin_spinnaker_runs_total", Help: "Runs and analyses of Kayenta's API that have ended, by how.",
		}, []string{"kind", "status"}),
		open: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "serin_spinnaker_runs_open", Help: "Runs and analyses of Kayenta's API that have not ended.",
		}),
		late: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "serin_spinnaker_intervals_late_total", Help: "Intervals of analyses that were judged later than planned by more than a minute.",
		}),
	}
	for _, kind := range []string{kindCanary, kindAnalysis} {
		for _, status := range []string{statusSucceeded, statusTerminal, statusCanceled} {
			m.runs.WithLabelValues(kind, status)
		}
	}
	r.MustRegister(m.runs, m.open, m.late)
	return m
}
