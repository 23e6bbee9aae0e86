package main

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/serindev/serin/daemon"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/judge/choice"
	"github.com/serindev/serin/simulation"
	"github.com/serindev/serin/tell"
)

// simulating holds the flags of simulate.
type simulating struct {
	subject
	rate          float64
	base, effects []string
	worse         []string
	scenario      string
	from, limit   time.Duration
	releases      int
	earlier       int
	seed          uint64
	chart         string
}

// mostReleases bounds the cost of one call.
const mostReleases = 1_000_000

func (a *app) simulateCmd() *cobra.Command {
	s := &simulating{}
	var scenarios []string
	for _, sc := range simulation.Scenarios() {
		scenarios = append(scenarios, sc.Name)
	}
	s.scenario = scenarios[0]
	cmd := &cobra.Command{
		Use:   "simulate [PATH…]",
		Short: "Try a rollout on simulated users",
		Long: `Let simulated users meet a canary that is no worse, and canaries that are worse, and count what the rollout would do:
how often a good version is rolled back, how often and how soon a bad one is, and how many requests that costs. The
judge, the steps and the policies are the real ones; gates are approved at once, and a release that comes to ask a
person ends there. The same seed gives the same releases.

PATH are files and folders with a Rollout and its Analyses; without any, or with --weights, a gray release over the
weights, judged by the only Analysis or by the built-in one.

Windows and freezes are left out: a release is simulated as if it were open at all times.

Scenarios: ` + strings.Join(scenarios, ", ") + `.
docs/statistics.md says what they are.`,
		Example: `  serin simulate rollouts/ --rollout shop --rate 120 --base 0.5% --effect 2,5
  serin simulate --weights 5%,50% --rate 100 --scenario slow-drift --chart found.svg`,
		RunE: func(cmd *cobra.Command, paths []string) error { return a.simulate(cmd.Context(), s, paths) },
	}
	s.flags(cmd)
	f := cmd.Flags()
	f.Float64Var(&s.rate, "rate", 100, "requests a second, of both versions together")
	f.StringSliceVar(&s.base, "base", []string{"1%"},
		"the `SHARE` of bad requests at stable; NAME=SHARE for one metric (default, where\nthere is an objective: half of it)")
	f.StringSliceVar(&s.effects, "effect", []string{"1.5", "2", "5"}, "how many `TIMES` as bad the worse versions are")
	f.StringSliceVar(&s.worse, "worse", nil, "the `METRIC` that is worse (default the first); may be repeated")
	f.Var(&oneOf{&s.scenario, scenarios}, "scenario", "what the traffic is like")
	f.DurationVar(&s.from, "fault-after", 0, "when the fault begins, after the canary's first request")
	f.DurationVar(&s.limit, "limit", 24*time.Hour, "end a release that takes longer, as undecided")
	f.IntVar(&s.releases, "releases", 200, "how many are simulated of each kind")
	f.IntVar(&s.earlier, "earlier", 3,
		"how many good releases went before, of which noise is learned; 0 is a first release\nof which not even the past of stable is known")
	f.Uint64Var(&s.seed, "seed", 1, "the seed of all chance")
	f.StringVar(&s.chart, "chart", "", "draw the share of releases rolled back, over time, into this `FILE` (SVG)")
	_ = cmd.RegisterFlagCompletionFunc("scenario", cobra.FixedCompletions(scenarios, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (a *app) simulate(ctx context.Context, s *simulating, paths []string) error {
	plan, err := s.load(a, daemon.NewLoader(0), paths)
	if err != nil {
		return err
	}
	if !plan.Definition.Steps.Judges() {
		return errors.New("nothing is compared in this rollout, so there is nothing to simulate: whatever the version is like, it is released")
	}
	plan.Limit = s.limit
	world, effects, err := s.world(plan)
	if err != nil {
		return err
	}
	shown := a.progressBar("simulating", s.releases*len(effects))
	defer shown.end()
	pool, err := s.learn(ctx, plan, world, shown)
	if err != nil {
		return err
	}
	var out []simulated
	for _, effect := range effects {
		outcomes, err := s.run(ctx, plan, s.worsen(world, effect), pool, fmt.Sprint("release ", effect), s.releases, shown.step)
		if err != nil {
			return err
		}
		out = append(out, summarise(effect, outcomes))
	}
	shown.end()
	if err := s.draw(out, world); err != nil {
		return err
	}
	kept := tell.Kept(&plan.Definition)
	return a.print(struct {
		Rollout  string      `json:"rollout"`
		Rate     float64     `json:"rate"`
		Scenario string      `json:"scenario"`
		Earlier  int         `json:"earlier"`
		Seed     uint64      `json:"seed"`
		Kinds    []simulated `json:"kinds"`
		Kept     string      `json:"kept,omitempty"`
	}{plan.Definition.Name, s.rate, s.scenario, s.earlier, s.seed, out, kept}, func(w io.Writer) error {
		defer keptLine(w, kept)
		return a.simulatedTable(w, s, out)
	})
}

// world is the traffic that the flags describe, with nothing worse yet, and the effects to try, beginning with 1.
func (s *simulating) world(plan simulation.Plan) (simulation.World, []float64, error) {
	names := metricNames(plan)
	base, err := parseNumbers("base", s.base, parseShare)
	if err == nil {
		err = base.known("base", names)
	}
	if err != nil {
		return simulation.World{}, nil, err
	}
	if !(s.rate > 0 && s.rate <= 1e6) {
		return simulation.World{}, nil, fmt.Errorf("--rate %v: expected requests a second, above 0 and at most a million", s.rate)
	}
	if s.releases < 1 || s.releases > mostReleases || s.earlier < 0 || s.earlier > 20 {
		return simulation.World{}, nil, fmt.Errorf("--releases %d, --earlier %d: expected 1 to %d, and 0 to 20", s.releases, s.earlier, mostReleases)
	}
	if s.limit <= 0 || s.limit > 30*24*time.Hour || s.from < 0 {
		return simulation.World{}, nil,
			fmt.Errorf("--limit %s, --fault-after %s: expected a limit of at most 720h, and no negative time", s.limit, s.from)
	}
	if len(s.worse) == 0 && len(names) > 0 {
		s.worse = names[:1]
	}
	for _, name := range s.worse {
		if !slices.Contains(names, name) {
			return simulation.World{}, nil, fmt.Errorf("--worse %s: there is no such metric; there are: %s", name, strings.Join(names, ", "))
		}
	}
	effects := []float64{1}
	for _, text := range s.effects {
		e, err := parseEffect(text)
		if err != nil {
			return simulation.World{}, nil, fmt.Errorf("--effect %w", err)
		}
		effects = append(effects, e)
	}
	w := simulation.World{Rate: s.rate, Traffic: simulation.Wander{Correlation: 0.9, Deviation: 0.2}, From: s.from}
	for _, sc := range simulation.Scenarios() {
		if sc.Name == s.scenario {
			w.Scenario = sc
		}
	}
	seen := map[string]bool{}
	for _, scope := range plan.Definition.Scopes {
		for _, m := range judged(plan, scope.Name).Metrics {
			if !seen[m.Name] {
				seen[m.Name] = true
				w.Metrics = append(w.Metrics, behaviour(m, s.baseOf(base, m)))
			}
		}
	}
	return w, effects, nil
}

// baseOf is the share of bad requests at stable. Where a metric has an objective and the flags do not name it, stable
// uses half of it.
func (s *simulating) baseOf(base numbers, m judge.Metric) float64 {
	if _, named := base.named[m.Name]; !named && m.Kind == judge.Objective {
		return m.Objective / 2
	}
	return base.of(m.Name, 0.01)
}

// behaviour is how stable behaves in one metric. The mean of a gauge or of values is 1, without a unit; a gauge's wanders
// by 5%. For a histogram the base is the share above its middle bound: ten times as much lies above the lowest, a tenth
// above the highest.
func behaviour(m judge.Metric, base float64) simulation.Behaviour {
	b := simulation.Behaviour{Metric: m, Base: base}
	switch m.Kind {
	case judge.Gauge:
		b.Base, b.Spread = 1, simulation.Wander{Correlation: 0.5, Deviation: 0.05}
	case judge.Histogram:
		for i := range m.Bounds {
			far := 0.0
			if n := len(m.Bounds); n > 1 {
				far = 1 - 2*float64(i)/float64(n-1)
			}
			b.Above = append(b.Above, min(0.9, base*math.Pow(10, far)))
		}
	case judge.Mean:
		b.Base = 1
	case judge.Counts, judge.Objective:
	}
	return b
}

// worsen makes the chosen metrics worse: larger, or smaller if less is worse.
func (s *simulating) worsen(w simulation.World, effect float64) simulation.World {
	w.Metrics = slices.Clone(w.Metrics)
	for i := range w.Metrics {
		if slices.Contains(s.worse, w.Metrics[i].Metric.Name) {
			w.Metrics[i].Effect = effect
			if w.Metrics[i].Metric.Direction == judge.Decrease {
				w.Metrics[i].Effect = 1 / effect
			}
		}
	}
	return w
}

// taught is what the judge learned from one earlier release, by scope and metric.
type taught = map[string]map[string][]judge.Past

// learn simulates good releases first; each of the later releases then has some of them in its past.
func (s *simulating) learn(ctx context.Context, plan simulation.Plan, w simulation.World, shown *gauge) ([]taught, error) {
	if s.earlier == 0 {
		return nil, nil
	}
	n := max(s.earlier, min(24, s.releases))
	shown.more(n)
	outcomes, err := s.run(ctx, plan, w, nil, "earlier", n, shown.step)
	if err != nil {
		return nil, err
	}
	var pool []taught
	for _, o := range outcomes {
		if len(o.Learned) > 0 {
			pool = append(pool, o.Learned)
		}
	}
	return pool, nil
}

// run simulates n releases on all processors. Each has a source of randomness of its own, so the number of processors
// makes no difference.
func (s *simulating) run(ctx context.Context, plan simulation.Plan, w simulation.World, pool []taught, kind string,
	n int, step func()) ([]simulation.Outcome, error) {
	outcomes, errs := make([]simulation.Outcome, n), make([]error, n)
	var next atomic.Int64
	var group sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0)) {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				pasts := s.drawn(pool, kind, i)
				if errs[i] = s.remember(plan, w, pasts, s.source("history of "+kind, i)); errs[i] != nil {
					continue
				}
				outcomes[i], errs[i] = plan.Run(w, pasts, s.source(kind, i))
				step()
			}
		})
	}
	group.Wait()
	return outcomes, cmp.Or(errors.Join(errs...), ctx.Err())
}

// remember adds what stable did on the day before, which the daemon queries before a release. A first release
// (--earlier 0) does not know even that.
func (s *simulating) remember(plan simulation.Plan, w simulation.World, pasts taught, src rand.Source) error {
	if s.earlier == 0 {
		return nil
	}
	day := w.History(minutesOfDay, src)
	for _, scope := range plan.Definition.Scopes {
		j, err := choice.New(judged(plan, scope.Name))
		if err != nil {
			return fmt.Errorf("analysis of %s: %w", scope.Name, err)
		}
		for metric, past := range j.History(day) {
			if pasts[scope.Name] == nil {
				pasts[scope.Name] = map[string][]judge.Past{}
			}
			pasts[scope.Name][metric] = append(pasts[scope.Name][metric], past)
		}
	}
	return nil
}

// minutesOfDay is how much of stable's history a release knows.
const minutesOfDay = 24 * 60

// source is the source of randomness of one release.
func (s *simulating) source(kind string, i int) rand.Source {
	h := fnv.New64a()
	_, _ = h.Write(binary.LittleEndian.AppendUint64([]byte(kind), uint64(i))) //nolint:gosec // i is not negative
	return rand.NewPCG(s.seed, h.Sum64())
}

// drawn picks some of the earlier releases at random, and returns what they taught.
func (s *simulating) drawn(pool []taught, kind string, i int) taught {
	out := taught{}
	order := rand.New(s.source("past of "+kind, i)).Perm(len(pool)) //nolint:gosec // a simulation
	for _, k := range order[:min(s.earlier, len(order))] {
		for scope, metrics := range pool[k] {
			if out[scope] == nil {
				out[scope] = map[string][]judge.Past{}
			}
			for _, metric := range slices.Sorted(maps.Keys(metrics)) {
				out[scope][metric] = append(out[scope][metric], metrics[metric]...)
			}
		}
	}
	return out
}
