// Exam answers the question how the sequential judge does where its assumptions do not hold: simulated users meet good and
// bad versions in such worlds, and it counts what the judge does.
//
// It prints a line for each cell as soon as it is measured. With a file to keep results in, it continues where an earlier
// run ended.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"os"
	"regexp"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/judge/sequential"
)

// cell is one row of the exam at one rate of requests.
type cell struct {
	group  string
	kind   kind
	rps    float64
	dt     float64 // seconds of a look; 0 means 10
	ramp   []stretch
	effect func(t float64) float64 // nil for a good version
	says   string                  // the effect in words
	from   float64                 // seconds at which the fault begins
	margin judge.Margin            // zero means the default
	hours  float64                 // of history; 0 means 24, negative means none
	after  float64                 // passAfter in seconds; 0 means the default
	ends   float64                 // a pass from this second on ends a good release; 0 means once the last weight was held long enough
	later  bool                    // whether three good releases came before
	warmly bool                    // whether these began warm, although this one may not
	within float64                 // the available time in seconds, which replaces the margin; 0 means the margin
}

// stretch is a period of time at one weight.
type stretch struct{ weight, seconds float64 }

var steps = []stretch{{0.01, 600}, {0.05, 600}, {0.20, 600}, {0.50, 1800}}

func constant(w float64) []stretch { return []stretch{{w, 3600}} }

func times(x float64) func(float64) float64 { return func(float64) float64 { return x } }

func (c *cell) id() string {
	s := fmt.Sprintf("%s|%s|%g rps|%s|%v", c.group, c.kind.name, c.rps, c.says, c.ramp)
	if c.later {
		s += "|later"
	}
	if c.warmly {
		s += "|after warm ones"
	}
	if c.within != 0 {
		s += fmt.Sprintf("|within %g s", c.within)
	}
	if c.hours != 0 {
		s += fmt.Sprintf("|%g h", c.hours)
	}
	return s
}

// result is the result of one release. Times are in seconds and negative for never.
type result struct {
	Fail, Pass float64
	Failed     float64 // the canary's bad requests until the fail or the pass
	Lean       float64 // seconds for which the judge leaned towards a fail
	Learned    bool
}

func (c *cell) weights() (w, e []float64) {
	dt := c.look()
	for _, s := range c.ramp {
		for range int(math.Round(s.seconds / dt)) {
			w = append(w, s.weight)
			x := 1.0
			if t := float64(len(w)-1) * dt; c.effect != nil && t >= c.from-1e-9 {
				x = c.effect(t - c.from)
			}
			e = append(e, x)
		}
	}
	return w, e
}

func (c *cell) look() float64 {
	if c.dt > 0 {
		return c.dt
	}
	return 10
}

func (c *cell) judge() (*sequential.Judge, error) {
	m := judge.Metric{
		Name: "m", Kind: judge.Counts, Weight: 1, Noise: 0.3, MinRequests: 100,
		Margin: judge.Margin{Relative: 0.25, Absolute: 0.001}, Cold: c.kind.cold, Users: c.kind.groups, Sticky: c.kind.sticky,
	}
	if c.margin.Relative > 0 {
		m.Margin = c.margin
	}
	s := judge.Settings{FalseRollback: 0.01, FalseAdvance: 0.05}
	if left := c.within; left > 0 {
		m.Budgeted = true
		for _, stretch := range c.ramp {
			d := math.Min(stretch.seconds, left)
			if left -= d; d > 0 {
				s.Budget = append(s.Budget, judge.Stretch{Weight: stretch.weight, Seconds: d})
			}
		}
	}
	if c.kind.values != (tail{}) {
		m.Kind, m.Margin = judge.Mean, judge.Margin{Relative: 0.2}
	}
	if c.kind.lower {
		m.Direction = judge.Decrease
	}
	if c.kind.routes {
		m.By, m.Values = "route", 20
	}
	s.Metrics = []judge.Metric{m}
	if c.after > 0 {
		d := time.Duration(c.after * 1e9)
		s.PassAfter = &d
	}
	return sequential.New(s)
}

func series(m minutes) judge.Sums { return judge.Sums{Bad: m.bad, Total: m.total} }

// run simulates one release.
func (c *cell) run(i int, seed uint64) result {
	j, err := c.judge()
	if err != nil {
		panic(err)
	}
	d, c := c.chance(i, seed)
	pasts := map[string][]judge.Past{}
	hours := c.hours
	if hours == 0 {
		hours = 24
	}
	if hours > 0 {
		m := c.kind.past(d, c.rps, hours)
		past := judge.History{Seconds: 60, Baseline: series(m)}
		for _, r := range m.replicas {
			past.Replicas = append(past.Replicas, series(r))
		}
		for _, r := range m.routes {
			past.Parts = append(past.Parts, series(r))
		}
		for name, p := range j.History(map[string]judge.History{"m": past}) {
			pasts[name] = append(pasts[name], p)
		}
	}
	if c.later {
		good := *c
		good.effect = nil
		if c.warmly {
			good.kind.amp = 0
		}
		for range 3 {
			looks := good.draw(d)
			_, taught := c.follow(j, pasts, looks[:len(looks)*2/3], 1e18)
			for name, p := range taught {
				pasts[name] = append(pasts[name], p)
			}
		}
	}
	r, taught := c.follow(j, pasts, c.draw(d), c.finish())
	r.Learned = len(taught) > 0
	return r
}

// chance returns the source of randomness for one release, and a copy of the cell with its users, which are drawn first.
func (c *cell) chance(i int, seed uint64) (dice, *cell) {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s %d", c.id(), i)
	d, own := dice{rand.New(rand.NewPCG(seed, h.Sum64()))}, *c
	if own.kind.heavy {
		own.kind.people = d.people()
	}
	return d, &own
}

// draw draws the looks of a release.
func (c *cell) draw(d dice) []look {
	w, e := c.weights()
	return c.kind.release(d, c.rps, c.look(), w, e)
}

// finish returns the second from which on a pass ends a good release: that at which the hold of the last weight is over.
func (c *cell) finish() float64 {
	if c.ends > 0 {
		return c.ends
	}
	ends := 0.0
	for _, s := range c.ramp {
		ends += math.Min(s.seconds, 600)
	}
	return ends
}

// follow judges the looks of a release to the first fail. Passes before the second ends do not count.
func (c *cell) follow(j *sequential.Judge, pasts map[string][]judge.Past, looks []look, ends float64) (result, map[string]judge.Past) {
	evidence := j.Begin(pasts)
	out := result{Fail: -1, Pass: -1}
	dt := c.look()
	for t, l := range looks {
		at := float64(t+1) * dt
		var v judge.Verdict
		evidence, v = j.Look(evidence, judge.Look{
			Number: t + 1, At: time.Unix(0, 0).Add(time.Duration(at * 1e9)), Length: time.Duration(dt * 1e9), Weight: l.weight,
			Observations: []judge.Observation{l.observation()},
		})
		m := v.Metrics[0]
		if math.IsNaN(m.LogEvidence.Worse + m.LogEvidence.NoWorse + m.LogEvidence.Beyond + m.Ratio + m.Lower + m.Upper) {
			panic(fmt.Sprintf("%s: look %d: %+v", c.id(), t, m))
		}
		if out.Pass < 0 {
			out.Failed += l.xc
		}
		if v.Leaning {
			out.Lean += dt
		}
		if trace {
			fmt.Printf("%4d w%.2f %g/%g %g/%g worse %.2f beyond %.2f nw %.2f r %.2f lead %.2f (%.2f %.2f) %s\n", t,
				l.weight, l.xc, l.nc, l.xb, l.nb, m.LogEvidence.Worse, m.LogEvidence.Beyond, m.LogEvidence.NoWorse,
				m.Ratio, m.Leading, m.Lower, m.Upper, v.Outcome)
		}
		if v.Outcome == judge.Fail {
			out.Fail = at
			return out, nil
		}
		if v.Outcome == judge.Pass && at >= ends-1e-9 && out.Pass < 0 {
			out.Pass = at
		}
	}
	return out, evidence.Learned()
}

// observation converts a look for the judge.
func (l *look) observation() judge.Observation {
	o := judge.Observation{Metric: "m", Canary: judge.Arm{Bad: l.xc, Total: l.nc}, Baseline: judge.Arm{Bad: l.xb, Total: l.nb}}
	for i, r := range l.routes {
		o.Parts = append(o.Parts, judge.Part{
			Value: fmt.Sprint("/", i), Canary: judge.Arm{Bad: r.xc, Total: r.nc}, Baseline: judge.Arm{Bad: r.xb, Total: r.nb}})
	}
	return o
}

// measured is the form in which a cell's results are kept.
type measured struct {
	ID      string
	Seed    uint64
	Results []result
}

var trace bool

func main() {
	releases := flag.Int("releases", 400, "number of releases for each cell with a good version; cells with a fault to find have a quarter of that")
	seed := flag.Uint64("seed", 1, "seed of all randomness")
	match := flag.String("run", "", "only cells whose name matches this expression")
	keep := flag.String("keep", "", "file in which results are kept")
	others := flag.Bool("rivals", false,
		"run other rules on the same releases: a rank test, a plain sequential test, and the documented ones of Flagger and Argo Rollouts")
	list := flag.Bool("list", false, "print the names of the cells and measure nothing")
	one := flag.Int("trace", -1, "print the looks of one release of each cell")
	workers := flag.Int("workers", runtime.GOMAXPROCS(0), "number of releases to simulate at once")
	flag.Parse()
	trace = *one >= 0
	known := kept(*keep)
	re := regexp.MustCompile(*match)
	for _, c := range cells() {
		if !re.MatchString(c.id()) {
			continue
		}
		if *list {
			fmt.Println(c.id())
			continue
		}
		if trace {
			fmt.Println(c.id())
			c.run(*one, *seed)
			continue
		}
		n := *releases
		if *others {
			for _, r := range rivals() {
				fmt.Println(c.race(r, n, *seed))
			}
			continue
		}
		if c.effect != nil && c.says != "x1.2" && c.group != "margin" && c.group != "ramp" && c.group != "within" {
			n = max(n/4, 10)
		}
		m, ok := known[fmt.Sprint(c.id(), *seed)]
		begun := time.Now()
		if !ok || len(m.Results) < n {
			m = measured{c.id(), *seed, c.all(n, *seed, *workers)}
			if err := m.keep(*keep); err != nil {
				fmt.Fprintln(os.Stderr, "exam:", err)
				os.Exit(1)
			}
		}
		fmt.Println(c.line(m.Results), fmt.Sprintf("%.1fs", time.Since(begun).Seconds()))
	}
}

func (c *cell) all(n int, seed uint64, workers int) []result {
	out := make([]result, n)
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for i := w; i < n; i += workers {
				out[i] = c.run(i, seed)
			}
		})
	}
	group.Wait()
	return out
}

// line summarises a cell's results.
func (c *cell) line(rs []result) string {
	back, passed, learned := 0, 0, 0
	var found, took, failed []float64
	for _, r := range rs {
		if r.Fail >= 0 && (r.Pass < 0 || r.Fail <= r.Pass) {
			back++
		}
		if r.Learned {
			learned++
		}
		f := math.Inf(1)
		if r.Fail >= 0 && r.Fail > c.from {
			f = r.Fail - c.from
		}
		found = append(found, f)
		p := math.Inf(1)
		if r.Pass >= 0 {
			passed++
			p = r.Pass
		}
		took = append(took, p)
		failed = append(failed, r.Failed)
	}
	slices.Sort(found)
	slices.Sort(took)
	slices.Sort(failed)
	n := len(rs)
	fails := 0
	for _, f := range found {
		if !math.IsInf(f, 1) {
			fails++
		}
	}
	return fmt.Sprintf("%-60s n=%d back %s | found %.0f%% median %.2f min, 90%% %.2f | failed requests %.0f, 90%% "+
		"%.0f | passes %s median %.1f | learned %d",
		c.id(), n, percent(back, n), 100*float64(fails)/float64(n), found[n/2]/60, found[n*9/10]/60, failed[n/2],
		failed[n*9/10], percent(passed, n), took[n/2]/60, learned)
}

// percent formats a share with its 95% interval. Wilson, J. Am. Stat. Assoc. 22 (1927), 209–212.
func percent(k, n int) string {
	const z = 1.959963984540054
	p, m := float64(k)/float64(n), float64(n)
	scale := 1 + z*z/m
	middle, half := (p+z*z/(2*m))/scale, z*math.Sqrt(p*(1-p)/m+z*z/(4*m*m))/scale
	return fmt.Sprintf("%.1f%% (%.1f–%.1f)", 100*p, 100*math.Max(0, middle-half), 100*math.Min(1, middle+half))
}

// kept reads earlier results by cell and seed, so that an interrupted exam continues.
func kept(file string) map[string]measured {
	known := map[string]measured{}
	b, err := os.ReadFile(file) //nolint:gosec // the user's own
	if err != nil {
		return known
	}
	for line := range bytes.Lines(b) {
		var m measured
		if json.Unmarshal(line, &m) == nil {
			known[fmt.Sprint(m.ID, m.Seed)] = m
		}
	}
	return known
}

// keep appends results to the file, if there is one.
func (m measured) keep(file string) error {
	if file == "" {
		return nil
	}
	line, err := json.Marshal(m)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600) //nolint:gosec // the user's own
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}
