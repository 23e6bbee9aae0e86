package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/calendar"
	"github.com/serindev/serin/engine"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/judge/sequential"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/share"
	"github.com/serindev/serin/store"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/traefik"
	"github.com/serindev/serin/workload"
)

// world is an engine in a bubble of time, in which hours pass at once: judge, state machine and store are real, while
// the gateway and the metrics of its users follow a script. Tests with a real gateway and a real Prometheus are in e2e.
type world struct {
	path string // of the store
	*engine.Engine
	t       *testing.T
	begun   time.Time
	store   *moody
	metrics *users
	calls   *calls
	jobs    *jobs // nil for a daemon without a cluster
	// workloads, if it is set, are in place of jobs.
	workloads engine.Workloads
	fuse      atomic.Bool // a judge of a metric called fuse panics
	series    *prometheus.Registry
	house     calendar.Calendar // of the daemon

	mu       sync.Mutex // guards gateways
	gateways map[string]*gateway

	stop func()
}

// inWorld runs a test in a world of its own.
func inWorld(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "serin.db")
		s, err := store.Open(t.Context(), "sqlite:"+path)
		require.NoError(t, err)
		w := &world{t: t, path: path, begun: time.Now(), store: &moody{Store: s}, calls: &calls{}, gateways: map[string]*gateway{}}
		w.metrics = &users{gateways: w.routers, broken: map[string]float64{}, counters: map[string]*counters{}}
		ctx, cancel := context.WithCancel(t.Context())
		var scraping sync.WaitGroup
		scraping.Go(func() { w.metrics.run(ctx) })
		w.begin()
		t.Cleanup(func() {
			w.stop()
			cancel()
			scraping.Wait()
			require.NoError(t, s.Close())
		})
		test(t, w)
	})
}

// begin starts a daemon's engine; the previous one has to be stopped first.
func (w *world) begin(plans ...record.Plan) {
	w.series = prometheus.NewRegistry()
	cluster := w.workloads
	if w.jobs != nil {
		cluster = w.jobs
	}
	w.Engine = engine.New(engine.Options{
		Workloads: cluster,
		Store:     w.store, Source: w.metrics, Log: slog.New(slog.NewTextHandler(w.t.Output(), nil)), Registerer: w.series,
		NewJudge:  w.judge,
		NewRouter: func(name string, _ record.Gateway) (engine.Router, error) { return w.gateway(name), nil },
		Call:      w.calls.call,
		House:     w.house,
		Behind:    w.metrics.offBy,
	})
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	w.stop = func() {
		cancel()
		require.NoError(w.t, <-done)
	}
	w.plan(plans...)
}

// plan declares rollouts.
func (w *world) plan(plans ...record.Plan) {
	named := map[string]record.Plan{}
	for _, p := range plans {
		named[p.Rollout.Name] = p
	}
	w.SetPlans(named)
	synctest.Wait()
}

// after lets time pass, with everything that happens in it.
func (w *world) after(d time.Duration) {
	time.Sleep(d) // of the bubble
	synctest.Wait()
}

func (w *world) gateway(name string) *gateway {
	w.mu.Lock()
	defer w.mu.Unlock()
	g, ok := w.gateways[name]
	if !ok {
		g = &gateway{name: name, begun: w.begun}
		w.gateways[name] = g
	}
	return g
}

func (w *world) routers() []*gateway {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []*gateway
	for _, g := range w.gateways {
		out = append(out, g)
	}
	return out
}

func (w *world) start(name, key string) record.Release {
	w.t.Helper()
	r, err := w.Start(w.t.Context(), name, rollout.StartRequest{Key: key, By: "ann"}, false)
	require.NoError(w.t, err)
	synctest.Wait()
	return r
}

func (w *world) view(name string) record.View {
	w.t.Helper()
	v, err := w.Rollout(name)
	require.NoError(w.t, err)
	return v
}

// trace lists the events of a release, one a line with the time since the world began.
func (w *world) trace(id string) []string {
	w.t.Helper()
	events, err := w.store.Store.Events(w.t.Context(), id, 0)
	require.NoError(w.t, err)
	var out []string
	for i, e := range events {
		require.Equal(w.t, i+1, e.Head().Seq)
		line := fmt.Sprintf("%v %s", e.Head().At.Sub(w.begun).Round(time.Second), rollout.Kind(e))
		switch e := e.(type) {
		case rollout.StepEntered:
			line += fmt.Sprintf(" %s %d", e.Name, e.Stage)
		case rollout.LookTaken:
			line += " " + string(e.Verdict.Outcome)
			if e.Verdict.Reason != "" {
				line += ": " + string(e.Verdict.Reason)
			}
		case rollout.DeadlinePassed:
			line += fmt.Sprintf(" %s, %s", e.Which, e.Then)
		case rollout.NotInForce:
			line += ": " + strings.Join(e.Why, "; ")
		case rollout.Ended:
			line += " " + string(e.Outcome)
		}
		out = append(out, line)
	}
	return out
}

func (w *world) looksOf(id string) []record.LookRecord {
	w.t.Helper()
	records, err := w.store.Store.Looks(w.t.Context(), id, "gray", 0, 100_000)
	require.NoError(w.t, err)
	return records
}

// value is one of the engine's own series, over all its labels.
func (w *world) value(name string) (sum float64) {
	w.t.Helper()
	families, err := w.series.Gather()
	require.NoError(w.t, err)
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// Times of the plans of these tests.
const (
	interval = 30 * time.Second
	hold     = 5 * time.Minute
	patience = 3 * time.Minute
)

// gray is a plan with weights of 10 and 50%, followed by the given steps.
func gray(name string, then ...rollout.Step) record.Plan {
	steps := rollout.Steps{rollout.Gray{
		Name: "gray", Weights: []share.Share{0.1, 0.5}, Scope: "gray", Hold: hold,
		Decide: rollout.Decide{Max: 24 * time.Hour, Inconclusive: rollout.PolicyGate},
	}}
	return record.Plan{
		Rollout: rollout.Definition{
			Name: name, Revision: "a1",
			Stable: traffic.Backend{Servers: []string{"http://blue"}}, Canary: traffic.Backend{Servers: []string{"http://green"}},
			Steps: append(append(steps, then...), rollout.Promote{Name: "promote"}),
			Scopes: []rollout.Scope{{
				Name:        "gray",
				NoData:      rollout.Patience{For: patience, Then: rollout.PolicyHold},
				Unreachable: rollout.Patience{For: patience, Then: rollout.PolicyHold},
			}},
			Verify:   rollout.Verify{For: time.Minute},
			Rollback: rollout.Rollback{Drain: 10 * time.Second, Deadline: time.Hour},
		},
		Analyses: map[string]analysis.Definition{"gray": {
			Name: "errors", Interval: interval, Settle: scrape, WarmUp: new(time.Duration(scrape)), Split: analysis.Split{Requests: traefik.Series{}.Requests()},
			Metrics: []analysis.Metric{{Name: "errors", Source: traefik.Series{}.Errors()}},
		}},
	}
}

// judge is the real one, with a fuse.
func (w *world) judge(s judge.Settings) (judge.Judge, error) {
	j, err := sequential.New(s)
	if err == nil && slices.ContainsFunc(s.Metrics, func(m judge.Metric) bool { return m.Name == "fuse" }) {
		return fused{j, &w.fuse}, nil
	}
	return j, err
}

type fused struct {
	judge.Judge
	fuse *atomic.Bool
}

// Look implements judge.Judge.
func (f fused) Look(e judge.Evidence, l judge.Look) (judge.Evidence, judge.Verdict) {
	if f.fuse.Load() {
		panic("no such evidence")
	}
	return f.Judge.Look(e, l)
}

// gateway serves every target of a rollout at once.
type gateway struct {
	name  string
	begun time.Time

	mu       sync.Mutex // guards what follows
	serves   *traffic.Target
	watched  bool // the engine is notified of changes
	writes   []string
	wrote    time.Duration // since the world began
	refuses  error
	silent   bool  // its API does not answer
	half     bool  // of two replicas one does not answer
	panics   int   // how many further observations panic
	hangs    bool  // it accepts requests without answering
	broken   error // why the configuration cannot be served
	observed int
	lately   time.Time // of the newest observation
}

// hang waits until the gateway answers again, or ctx is done.
func (g *gateway) hang(ctx context.Context) error {
	for {
		g.mu.Lock()
		hangs := g.hangs
		g.mu.Unlock()
		if !hangs {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Apply implements engine.Router.
func (g *gateway) Apply(ctx context.Context, t traffic.Target) error {
	if err := g.hang(ctx); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.refuses != nil {
		return g.refuses
	}
	if g.broken != nil && t.Weight > 0 {
		return g.broken
	}
	if before := g.serves; before == nil || before.Weight != t.Weight || before.Stable.Servers[0] != t.Stable.Servers[0] {
		g.wrote = time.Since(g.begun)
		g.writes = append(g.writes, fmt.Sprintf("%v %s, stable %s", g.wrote.Round(100*time.Millisecond), t.Weight, t.Stable.Servers[0]))
	}
	g.serves = &t
	return nil
}

// Observe implements engine.Router.
func (g *gateway) Observe(ctx context.Context) (traffic.Observed, error) {
	if err := g.hang(ctx); err != nil {
		return traffic.Observed{}, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.panics > 0 {
		g.panics--
		panic("no such observation")
	}
	g.observed++
	g.lately = time.Now()
	if g.serves == nil {
		return traffic.Observed{}, nil
	}
	served, err := traffic.Serves(*g.serves)
	o := traffic.Observed{Configured: &traffic.Configured{Served: served}, Replicas: []traffic.Replica{{Name: "traefik", Served: served}}}
	if g.broken != nil && g.serves.Weight > 0 {
		main := *served.Main
		main.Enabled, main.Problem = false, g.broken.Error()
		o.Configured.Main = &main
	}
	if g.half {
		o.Replicas = append(o.Replicas, traffic.Replica{Name: "traefik-2", Err: "no answer"})
	}
	if g.silent {
		o.Replicas[0] = traffic.Replica{Name: "traefik", Err: "no answer"}
	}
	return o, err
}

// Labels implements engine.Router.
func (g *gateway) Labels(on traffic.Lane) (canary, stable string) {
	if on == traffic.MirrorLane {
		return g.name + "-mirrored-canary@file", g.name + "-mirrored-stable@file"
	}
	return g.name + "-canary@file", g.name + "-stable@file"
}

// Watched implements engine.Router.
func (g *gateway) Watched() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.watched
}

// asked is how often it was observed.
func (g *gateway) asked() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.observed
}

func (g *gateway) askedAt() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.lately
}

func (g *gateway) change(f func(*gateway)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f(g)
}

func (g *gateway) target() traffic.Target {
	g.mu.Lock()
	defer g.mu.Unlock()
	return *g.serves
}

// last is the time of the last write with a change.
func (g *gateway) last() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.wrote
}

func (g *gateway) log() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.writes)
}

// scrape is the interval at which the users' requests appear in the metrics, and rate is their number per second for
// each rollout.
const (
	scrape = 10 * time.Second
	rate   = 200.0
)

// users are the users' requests, and the Prometheus that has scraped them.
type users struct {
	gateways func() []*gateway

	mu       sync.Mutex // guards what follows
	broken   map[string]float64
	counters map[string]*counters
	scrapes  []int64
	fetched  [][]analysis.Ask
	late     time.Duration // the delay of the next answer
	slow     time.Duration // the delay of every answer
	pair     bool          // of two servers either answers, and one is behind
	answers  int
	instead  error            // in place of every answer
	refused  bool             // what fails is refused
	empty    map[string]bool  // metrics without any series, by their names
	failing  map[string]error // by the name of the template's metric
	garbage  map[string]bool  // by service
	swapped  map[string]bool  // metrics whose labels name the other arm
	hanging  map[string]int   // scrapes, by service, until the first user gives up
	behind   time.Duration    // the delay of samples
	off      time.Duration    // how far the source's clock is behind
}

// counters of one arm: the samples of its two series, and the fractions left over from rounding.
type counters struct {
	all, bad float64
	samples  [2][]analysis.Sample
}

func (u *users) run(ctx context.Context) {
	tick := time.NewTicker(scrape)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			u.scrape(now)
		}
	}
}

// scrape makes the requests of a tick, and their samples.
func (u *users) scrape(now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.scrapes = append(u.scrapes, now.UnixMilli())
	for _, g := range u.gateways() {
		g.mu.Lock()
		serves := g.serves
		g.mu.Unlock()
		if serves == nil {
			continue
		}
		canary, stable := g.Labels(traffic.MainLane)
		weight := float64(serves.Weight)
		if serves.Cohort != nil && weight == 0 {
			weight = float64(serves.Cohort.Split) // the whole world is of the cohort
		}
		parts := map[string]float64{canary: weight, stable: 1 - weight}
		if m := serves.Mirror; m != nil {
			canary, stable := g.Labels(traffic.MirrorLane)
			parts = map[string]float64{canary: float64(m.Share), stable: 1} // in addition to the requests that stable answers
		}
		for service, part := range parts {
			c := u.counters[service]
			if c == nil {
				c = &counters{}
				u.counters[service] = c
			}
			n := rate * scrape.Seconds() * part
			if u.hanging[service] > 0 { // nobody has given up yet
				u.hanging[service]--
				n = 0
			}
			c.all += n
			c.bad += n * u.broken[service]
			for i, v := range []float64{float64(int(c.all)) - float64(int(c.bad)), float64(int(c.bad))} {
				c.samples[i] = append(c.samples[i], analysis.Sample{T: now.UnixMilli(), V: v})
			}
		}
	}
}

// breaks sets the share of an arm's requests that fail.
func (u *users) breaks(service string, part float64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.broken[service] = part
}

// counted is how many requests an arm has had in the scrapes of a window with an exclusive start.
func (u *users) counted(service string, from, to time.Time) float64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	at := func(t time.Time) (sum float64) {
		for _, samples := range u.counters[service].samples {
			last := 0.0
			for _, x := range samples {
				if x.T <= t.UnixMilli() {
					last = x.V
				}
			}
			sum += last
		}
		return sum
	}
	return at(to) - at(from)
}

func (u *users) change(f func(*users)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	f(u)
}

func (u *users) offBy() time.Duration {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.off
}

// Fetch implements engine.Source.
func (u *users) Fetch(ctx context.Context, asks []analysis.Ask) []analysis.Answer {
	u.mu.Lock()
	late := u.late
	late += u.slow
	u.late = 0
	u.answers++
	u.fetched = append(u.fetched, asks)
	u.mu.Unlock()
	select {
	case <-time.After(late):
	case <-ctx.Done():
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	out := make([]analysis.Answer, len(asks))
	for i, a := range asks {
		out[i] = u.answer(a)
	}
	return out
}

func (u *users) answer(a analysis.Ask) analysis.Answer {
	if u.instead != nil {
		return analysis.Answer{Err: u.instead}
	}
	if err := u.failing[a.Template.Name]; err != nil {
		return analysis.Answer{Err: err, Refused: u.refused}
	}
	target := analysis.Target{Job: "traefik", Instance: "a"}
	scrapes := slices.Clone(u.scrapes)
	for i := range scrapes {
		scrapes[i] -= u.off.Milliseconds()
	}
	out := analysis.Answer{Scrapes: map[analysis.Target][]int64{target: scrapes}}
	c := u.counters[a.Value]
	if other := map[string]string{canary: stable, stable: canary}[a.Value]; u.swapped[a.Template.Name] {
		c = u.counters[other]
	}
	if c == nil || u.empty[a.Template.Name] {
		return out
	}
	view := u.view(c)
	for i, code := range []string{"200", "500"} {
		var in []analysis.Sample
		for _, x := range view[i] {
			x.T -= u.off.Milliseconds()
			if x.T > a.From.UnixMilli() && x.T <= a.To.UnixMilli() && x.T <= time.Now().Add(-u.behind-u.off).UnixMilli() {
				in = append(in, x)
			}
		}
		if u.garbage[a.Value] {
			for k := range in {
				in[k].V = 1.7e308
			}
		}
		labels := analysis.Labels{{Name: "code", Value: code}, {Name: "instance", Value: "a"}, {Name: "job", Value: "traefik"}, {Name: "service", Value: a.Value}}
		out.Series = append(out.Series, analysis.Series{Labels: labels, Samples: in})
	}
	return out
}

// view is the data of the answering server: the second one of a pair scrapes a little later, with values from a moment
// before.
func (u *users) view(c *counters) [2][]analysis.Sample {
	if !u.pair || u.answers%2 == 0 {
		return c.samples
	}
	var out [2][]analysis.Sample
	for i, samples := range c.samples {
		for k := 1; k < len(samples); k++ {
			out[i] = append(out[i], analysis.Sample{T: samples[k].T + 3000, V: samples[k-1].V})
		}
	}
	return out
}

// moody is a real store that may refuse requests, or not answer.
type moody struct {
	engine.Store

	mu      sync.Mutex // guards what follows
	refuses error
	hangs   bool
	lost    bool          // the next Create or Append is written, and its answer lost
	barren  bool          // no release can be created
	blind   string        // what cannot be read
	unfit   error         // why the contents of looks cannot be written
	slowEnd time.Duration // an Ended takes so long
	reads   int
	forgets int // events that a failover has lost
}

var errFull = errors.New("no space left on device")

func (m *moody) change(f func(*moody)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(m)
}

// mood reports whether the store works; if it hangs, it does so only once ctx is done.
func (m *moody) mood(ctx context.Context) error {
	m.mu.Lock()
	refuses, hangs := m.refuses, m.hangs
	m.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	return refuses
}

// Create implements engine.Store.
func (m *moody) Create(ctx context.Context, r record.Release, events ...rollout.Event) error {
	if err := m.mood(ctx); err != nil {
		return err
	}
	m.mu.Lock()
	barren := m.barren
	m.mu.Unlock()
	if barren {
		return errFull
	}
	return m.lose(m.Store.Create(ctx, r, events...))
}

var errLost = errors.New("the connection broke")

func (m *moody) lose(err error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil && m.lost {
		m.lost = false
		return errLost
	}
	return err
}

func (m *moody) sees(what string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.blind == what {
		return errLost
	}
	return nil
}

// Started implements engine.Store.
func (m *moody) Started(ctx context.Context, id string) (rollout.Started, error) {
	if err := m.sees("beginnings"); err != nil {
		return rollout.Started{}, err
	}
	return m.Store.Started(ctx, id)
}

// Events implements engine.Store.
func (m *moody) Events(ctx context.Context, id string, after int) ([]rollout.Event, error) {
	if err := m.sees("events"); err != nil {
		return nil, err
	}
	events, err := m.Store.Events(ctx, id, after)
	return events[:len(events)-m.forgets], err
}

// Swapped implements engine.Store.
func (m *moody) Swapped(ctx context.Context, rolloutName string) (bool, error) {
	if err := m.sees("roles"); err != nil {
		return false, err
	}
	return m.Store.Swapped(ctx, rolloutName)
}

// Append implements engine.Store.
func (m *moody) Append(ctx context.Context, r record.Release, version int, events ...rollout.Event) error {
	if err := m.mood(ctx); err != nil {
		return err
	}
	if m.forgets > 0 {
		return record.ErrConflict
	}
	if _, ok := events[0].(rollout.Ended); ok {
		time.Sleep(m.slowEnd)
	}
	return m.lose(m.Store.Append(ctx, r, version, events...))
}

// SaveLooks implements engine.Store.
func (m *moody) SaveLooks(ctx context.Context, looks []record.LookRecord) error {
	if err := m.mood(ctx); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.unfit != nil {
		bad := &record.LooksError{Err: m.unfit}
		for _, l := range looks {
			bad.Releases = append(bad.Releases, l.Release)
		}
		return bad
	}
	return m.Store.SaveLooks(ctx, looks)
}

// Release implements engine.Store.
func (m *moody) Release(ctx context.Context, id string) (record.Release, error) {
	if err := m.mood(ctx); err != nil {
		return record.Release{}, err
	}
	m.mu.Lock()
	m.reads++
	m.mu.Unlock()
	return m.Store.Release(ctx, id)
}

// jobs is a cluster in which Jobs run forever or are done at once, and which may refuse requests.
type jobs struct {
	engine.Workloads

	mu      sync.Mutex // guards what follows
	refuses error
	holds   bool // what a release that has ended leaves cannot be written
	done    bool // each Job has succeeded
	made    []string
	stopped []string
	images  []string      // that Deployments were asked to have, without repetitions
	old     []string      // the orders for the Deployment of the previous version
	last    string        // the last order
	ready   []time.Time   // when the pods of each Deployment became ready
	notes   []string      // the notes about it
	slow    time.Duration // how long an order for that Deployment takes
	busy    int           // how many are under way
}

func (j *jobs) underWay() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.busy > 0
}

// dawdle delays an order for the Deployment of the previous version, as a slow cluster would.
func (j *jobs) dawdle(t workload.Target) {
	var slow time.Duration
	j.change(func(j *jobs) {
		if slow = j.slow; slow > 0 && t.Release == "" {
			j.busy++
		}
	})
	if slow > 0 && t.Release == "" {
		time.Sleep(slow)
		j.change(func(j *jobs) { j.busy-- })
	}
}

// Run implements engine.Workloads.
func (j *jobs) Run(_ context.Context, job workload.Job) (workload.Status, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !slices.Contains(j.made, job.Key) {
		j.made = append(j.made, job.Key)
	}
	if j.done {
		return workload.Status{Phase: workload.Ready}, nil
	}
	return workload.Status{Phase: workload.Progressing}, nil
}

// Apply implements engine.Workloads.
func (j *jobs) Apply(_ context.Context, t workload.Target) (workload.Observed, error) {
	j.dawdle(t)
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.refuses != nil:
		return workload.Observed{}, j.refuses
	case j.holds && t.Forget:
		return workload.Observed{}, errors.New("not yet")
	}
	for _, s := range t.Stop {
		j.stopped = append(j.stopped, s.Key)
	}
	var observed workload.Observed
	for _, d := range t.Deployments {
		observed.Deployments = append(observed.Deployments, workload.Status{Name: d.Name, Phase: workload.Ready, Ready: slices.Clone(j.ready)})
		if strings.HasSuffix(d.Name.Name, "-previous") {
			what := "no pods"
			if d.Replicas.Of != nil {
				what = d.Replicas.Share.String() + " of " + d.Replicas.Of.Name + " before " + d.Previous
			}
			if t.Release != "" {
				what = "undo: " + what
			}
			if j.last != what {
				j.last, j.old = what, append(j.old, what)
			}
			observed.Notes = j.notes
		}
		for container, image := range d.Images {
			if what := d.Name.String() + " " + container + "=" + image; !slices.Contains(j.images, what) {
				j.images = append(j.images, what)
			}
		}
	}
	return observed, nil
}

// Tell implements engine.Workloads.
func (*jobs) Tell(context.Context, string, []workload.Name, workload.Notice) {}

// Watch implements engine.Workloads.
func (*jobs) Watch(ctx context.Context, _ func([]workload.Name)) { <-ctx.Done() }

func (j *jobs) change(f func(*jobs)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	f(j)
}

// calls are the webhooks that were called.
type calls struct {
	mu     sync.Mutex // guards what follows
	keys   []string
	answer error
	slow   time.Duration
	ended  int // that were given up before they had an answer
}

func (c *calls) change(f func(*calls)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(c)
}

func (c *calls) call(ctx context.Context, call engine.Call) error {
	c.mu.Lock()
	c.keys = append(c.keys, call.Key)
	answer, slow := c.answer, c.slow
	c.mu.Unlock()
	select {
	case <-time.After(slow):
		return answer
	case <-ctx.Done():
		c.mu.Lock()
		defer c.mu.Unlock()
		c.ended++
		return ctx.Err()
	}
}

func (c *calls) told() (keys []string, ended int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.keys), c.ended
}

func contains(line, what string) bool { return strings.Contains(line, what) }

func joined(lines []string) string { return strings.Join(lines, "\n") }
