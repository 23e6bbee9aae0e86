// Package spinnaker answers the question whether a canary that Spinnaker runs may go on. It speaks Kayenta's API, so that
// Orca and Deck can use Serin in Kayenta's place, and serves as a remote judge for teams who keep Kayenta.
// docs/spinnaker.md lists the endpoints; section numbers in comments are those of spec/spinnaker.md.
//
// It has its own listener with its own rules, because its callers send no tokens: see [Listen]. It moves no traffic and
// knows nothing of releases. A run is stored before the caller gets its id, so that it continues after a restart.
//
// Start reading at [New]; canary.go takes requests, run.go works on them.
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

// Store keeps configs and runs. After an error nothing is half written. record.ErrNotFound means that something does not
// exist, record.ErrConflict that something else is in the way.
type Store interface {
	// CreateCanaryConfig returns ErrConflict if the id is taken, or the name in one of its applications; UpdateCanaryConfig
	// returns ErrNotFound, or ErrConflict for the name.
	CreateCanaryConfig(ctx context.Context, c kept.Config) error
	UpdateCanaryConfig(ctx context.Context, c kept.Config) error
	DeleteCanaryConfig(ctx context.Context, id string) error
	CanaryConfig(ctx context.Context, id string) (json.RawMessage, error)
	CanaryConfigs(ctx context.Context) ([]json.RawMessage, error)
	CreateCanaryRun(ctx context.Context, r kept.Run) error
	// UpdateCanaryRun writes a run with its samples and its evidence, all or nothing; both may be nil. It returns
	// ErrConflict if the run is complete already, or if the version of the evidence is not the next one.
	UpdateCanaryRun(ctx context.Context, r kept.Run, p *kept.Pairs, e *kept.Evidence) error
	CanaryRun(ctx context.Context, id string) (kept.Run, error)
	CanaryRuns(ctx context.Context, f kept.Filter) ([]kept.Run, error)
	// IncompleteCanaryRuns returns the unfinished runs, oldest first.
	IncompleteCanaryRuns(ctx context.Context) ([]kept.Run, error)
	KeepCanaryPairs(ctx context.Context, p kept.Pairs) error
	CanaryPairs(ctx context.Context, id string) (json.RawMessage, error)
	CanaryEvidence(ctx context.Context, id string) (kept.Evidence, error)
	// PruneCanary deletes complete runs last changed before a time, and samples and evidence of that age.
	PruneCanary(ctx context.Context, before time.Time) error
}

// Metrics is where samples come from.
type Metrics interface {
	// Range returns the values at each step, both ends included. A query that is refused would be refused again.
	Range(ctx context.Context, expression string, from, to time.Time, step time.Duration) analysis.Answer
	// MetricNames lists the names of metrics, sorted.
	MetricNames(ctx context.Context) ([]string, error)
}

// Options are what a service needs.
type Options struct {
	Store   Store
	Metrics Metrics
	// MetricsURL is shown to people in the list of accounts, so it must not contain secrets.
	MetricsURL string
	// MetricsNames and StorageNames are further names for the accounts prometheus and serin.
	MetricsNames, StorageNames []string
	// Rules are how queries are built.
	Rules metricset.Rules
	// Queries is how many queries may run at once; 0 means 8.
	Queries int
	// MaxRuns is how many runs and analyses may be open at once; 0 means 1,000. Further ones get 503, which Orca retries.
	MaxRuns int
	// Retention is how long runs are kept after their end; 0 means forever. The runs of an analysis are kept at least
	// until it has ended.
	Retention time.Duration
	Log       *slog.Logger
	Registry  prometheus.Registerer
}

// The defaults of [Options].
const (
	defaultQueries = 8
	defaultMaxRuns = 1000
)

// Service is Kayenta's API. It is safe for concurrent use.
type Service struct {
	o       Options
	handler http.Handler
	queries chan struct{}       // holds an element for each running query
	judging chan struct{}       // holds an element for each request with samples
	bodies  *semaphore.Weighted // the memory for all bodies, in bytes
	metrics serviceMetrics
	cached  nameCache

	started chan string // ids of new runs, for Run

	mu     sync.Mutex // guards what follows
	active map[string]*underWay
	open   map[string]bool // runs and analyses that are not complete
}

// underWay is a run that this process is working on.
type underWay struct {
	cancel context.CancelFunc
	done   chan struct{}
}

// New makes a service. It does not listen, and no run makes progress before [Service.Run].
func New(o Options) *Service {
	if o.Queries <= 0 {
		o.Queries = defaultQueries
	}
	if o.MaxRuns <= 0 {
		o.MaxRuns = defaultMaxRuns
	}
	s := &Service{
		o: o, queries: make(chan struct{}, o.Queries), judging: make(chan struct{}, judgeAtOnce),
		bodies: semaphore.NewWeighted(maxBodies), metrics: newMetrics(o.Registry),
		started: make(chan string, o.MaxRuns), active: map[string]*underWay{}, open: map[string]bool{},
	}
	s.handler = s.routes()
	return s
}

// Handler is the whole API, without the rules of the listener.
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
