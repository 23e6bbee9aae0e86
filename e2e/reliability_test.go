package e2e

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
)

var reliability = flag.String("reliability", "", "try every fault on the real servers, and write the table to this page")

// realFault is something that breaks while a release's canary goes bad.
type realFault struct {
	name string
	does string
	// begin breaks it; end repairs it, and is called once the canary gets no traffic.
	begin func(w *world, t *testing.T) (end func())
	// always: `make test` tries it too, not only `make reliability`.
	always bool
	// at is where the release stands meanwhile; nil is at 20%.
	at *place
	// tries are the kinds of canary; nil means [most] at 20%, and at other places [only] the one that fails every
	// request.
	tries []canary
	// mounts: the daemon has a mount namespace of its own, which ends with it.
	mounts bool
	// lasts: it is repaired only after the release has ended.
	lasts bool
	// blind is how long the fault keeps Serin from seeing anything or from writing, counted from its beginning.
	blind time.Duration
	// unbounded: no bound can be met. The page says why.
	unbounded bool
	// postgres: the store is PostgreSQL. again: it loses the rollback, which is written again.
	postgres, again bool
}

func (f realFault) place() *place { return cmp.Or(f.at, &shop) }

// bound is what the fault may add to the time that a bad canary has users without it.
func (f realFault) bound() time.Duration { return f.blind + 10*time.Second }

// canaries are the kinds that the fault is tried with; all: not only the one that fails every request.
func (f realFault) canaries(all bool) []canary {
	switch {
	case !all:
		return only
	case f.tries != nil:
		return f.tries
	case f.at == nil:
		return most
	}
	return only
}

// canary is what a version on trial does once something is broken.
type canary string

const (
	fails canary = "every request fails"
	// worse: of the canary's requests 15% fail, and of stable's 3%.
	worse canary = "five times the errors"
	// hangs: its users give up after a second.
	hangs canary = "it hangs"
	good  canary = "it is good"
)

var (
	kinds = []canary{fails, worse, hangs, good} // the columns of the table
	most  = []canary{fails, worse, good}
	only  = []canary{fails}
	// goodFirst is for samples from the future: they would also be about the version that was tried before.
	goodFirst = []canary{good, fails}
)

// is makes the versions behave as this kind of canary does; broken: it has begun to.
func (w *world) is(c canary, broken bool) {
	w.blue.Set(func(b *testbed.Behaviour) {
		if b.ErrorRate = 0; c == worse {
			b.ErrorRate = 0.03
		}
	})
	w.green.Set(func(b *testbed.Behaviour) {
		b.ErrorRate, b.Latency = 0, 0
		switch {
		case c == worse && broken:
			b.ErrorRate = 0.15
		case c == worse:
			b.ErrorRate = 0.03
		case c == fails && broken:
			b.ErrorRate = 1
		case c == hangs && broken:
			b.Latency = time.Minute
		}
	})
}

// place is a point in a release, with a rollout of its own.
type place struct {
	name    string // what the page calls it
	rollout string
	policy  string // the rollout's analysis
	steps   string
	// reach takes a release there from its first weight.
	reach func(w *world, t *testing.T, id string)
	// cohort: only a group of users gets the canary, by a route of its own.
	cohort bool
	// back: a person rolls the release back at the moment the fault begins.
	back bool
	// undone: a person answers the last gate at the moment the fault begins, and undoes the release once requests fail.
	undone bool
	// change edits the rollout's document: old, new, old, new.
	change []string
	// early: the canary is bad from its first request on.
	early bool
}

const (
	staysAt = `
    - gray: {weights: [%s], hold: 1h, decide: {max: 2h, inconclusive: gate}}
    - gate: {name: full-release}
    - promote: {}`
	compares = `
    - ab:
        cohort: {header: {name: X-User-Group, value: beta}}
        split: 50%
        decide: {min: 1h, max: 2h, inconclusive: gate}
    - promote: {}`
	advances = `
    - gray: {weights: [20%, 50%], hold: 4s, decide: {max: 2h, inconclusive: gate}}
    - gate: {name: full-release}
    - promote: {}`
	// breaker is the circuit breaker of examples/pipeline.yaml.
	breaker = `
  guards: {circuitBreaker: {expression: "NetworkErrorRatio() > 0.30 || ResponseCodeRatio(500, 600, 0, 600) > 0.25", fallback: 10s, recovery: 10s}}`
	asks = `
    - gray: {weights: [50%], hold: 1s, decide: {max: 2h, inconclusive: gate}}
    - gate: {name: full-release}
    - promote: {}`
)

var (
	shop      = place{name: "20%", rollout: "shop", policy: "patiently", steps: fmt.Sprintf(staysAt, "20%")}
	hasty     = place{name: "20%", rollout: "impatient", policy: "impatiently", steps: fmt.Sprintf(staysAt, "20%")}
	wary      = place{name: "20%", rollout: "wary", policy: "warily", steps: fmt.Sprintf(staysAt, "20%")}
	halves    = place{name: "20%", rollout: "halves", policy: "patiently", steps: fmt.Sprintf(staysAt, "20%")}
	doubly    = place{name: "20%", rollout: "doubly", policy: "doubly", steps: fmt.Sprintf(staysAt, "20%")}
	guarded   = place{name: "50%", rollout: "guarded", policy: "patiently", steps: fmt.Sprintf(staysAt, "50%"), change: []string{"\n  rollback:", breaker + "\n  rollback:"}}
	opened    = place{name: "50%, from its first request", rollout: "opened", policy: "patiently", steps: fmt.Sprintf(staysAt, "50%"), change: []string{"\n  rollback:", breaker + "\n  rollback:"}, early: true}
	briefly   = place{name: "50%, from its first request", rollout: "briefly", policy: "patiently", steps: fmt.Sprintf(staysAt, "50%"), change: []string{"\n  rollback:", strings.Replace(breaker, "fallback: 10s", "fallback: 1s", 1) + "\n  rollback:"}, early: true}
	hanging   = place{name: "20%", rollout: "hanging", policy: "patiently", steps: fmt.Sprintf(staysAt, "20%")}
	returning = place{name: "20%, and a person sends it back", rollout: "returning", policy: "patiently", steps: fmt.Sprintf(staysAt, "20%"), back: true}
	ahead     = place{name: "20%", rollout: "ahead", policy: "patiently", steps: fmt.Sprintf(staysAt, "20%")}
	behind    = place{name: "20%", rollout: "behind", policy: "patiently", steps: fmt.Sprintf(staysAt, "20%")}
	between   = place{name: "between 20 and 50%", rollout: "between", policy: "patiently", steps: advances}
	half      = place{name: "50%", rollout: "half", policy: "patiently", steps: fmt.Sprintf(staysAt, "50%")}
	beta      = place{name: "A/B", rollout: "beta", policy: "patiently", steps: compares, cohort: true}
	promoting = place{name: "during promote, and a person undoes it", rollout: "promoting", policy: "patiently", steps: asks, undone: true, reach: gate("promoting")}
	paused    = place{name: "paused", rollout: "paused", policy: "patiently", steps: fmt.Sprintf(staysAt, "20%"), reach: (*world).pause}
	gated     = place{name: "at a gate", rollout: "gated", policy: "patiently", steps: asks, reach: gate("gated")}
)

var places = []*place{&halves, &doubly, &guarded, &opened, &briefly, &shop, &hasty, &wary, &hanging, &returning, &ahead, &behind, &between, &promoting, &half, &beta, &paused, &gated}

func gate(rollout string) func(*world, *testing.T, string) {
	return func(w *world, t *testing.T, _ string) { w.wait(t, rollout, "the gate is open", atGate) }
}

func (w *world) pause(t *testing.T, id string) {
	status, text := w.call(http.MethodPost, "/api/v1/releases/"+id+"/pause", map[string]string{"reason": "to look at it"}, nil)
	require.Equal(t, http.StatusOK, status, text)
}

// service is the Traefik service that splits the place's users.
func (p *place) service() string {
	if p.cohort {
		return p.rollout + "-ab"
	}
	return p.rollout
}

// served is the percentage of the place's users that Traefik sends to the canary.
func (w *world) served(p *place) (int, error) {
	percent, err := w.share(p.service())
	if err == nil || !p.cohort || !errors.Is(err, errNoService) {
		return percent, err
	}
	return w.share(p.rollout) // the group has no route of its own
}

// off waits until Traefik sends nobody to the canary, and returns how long that took.
func (w *world) off(t *testing.T, p *place) time.Duration {
	begin := time.Now()
	await.Until(t, "nobody is served by the canary in Traefik", func() string {
		switch percent, err := w.served(p); {
		case err != nil:
			return err.Error()
		case percent > 0:
			return fmt.Sprint(percent)
		}
		return ""
	})
	return time.Since(begin)
}

// everywhere tries a fault at several places.
func everywhere(f realFault, at ...*place) (out []realFault) {
	for _, p := range at {
		f.at = p
		out = append(out, f)
	}
	return out
}

// realFaults has a list for each world. The worlds run in parallel, the faults of a world one after the other.
var realFaults = [][]realFault{slices.Concat([]realFault{
	{name: "nothing", does: "goes back when the evidence is there", begin: nothingBroken, always: true, tries: kinds},
	{name: "the daemon is killed, and started again after two seconds", does: "goes on where it was", begin: (*world).killDaemon, tries: kinds},
	{name: "the daemon is stopped by SIGSTOP for ten seconds", does: "goes on where it was", begin: stopDaemon(10 * time.Second), blind: 10 * time.Second, always: true},
	{name: "the daemon is stopped by SIGSTOP for a minute", does: "goes on where it was", begin: stopDaemon(time.Minute), blind: time.Minute, tries: only},
	{name: "the database is locked by another process", does: "brings the traffic back first, and writes that when it can", begin: (*world).lock},
}, prometheusAhead), slices.Concat([]realFault{
	{name: "Traefik's API answers with errors", does: "judges what is written", begin: apiAnswers(broken)},
	{name: "Traefik's API is silent", does: "judges what is written", begin: apiAnswers(silent), always: true, tries: kinds},
	{name: "half of Traefik's replicas are silent", does: "judges what is served", begin: (*world).halfSilent, at: &halves, tries: most},
	{name: "Traefik's folder is read-only for ten seconds", does: "goes back as soon as it can write", begin: (*world).readOnly, blind: 10 * time.Second, mounts: true, always: true},
	{name: "Traefik's folder is on a disk that is full for ten seconds", does: "goes back as soon as it can write", begin: (*world).full, blind: 10 * time.Second, mounts: true, always: true, tries: kinds},
	{name: "somebody has added a router to Serin's file", does: "goes back, leaves the router, and says so", begin: (*world).addRouter},
	{name: "a foreign file is in the place of Serin's for ten seconds", does: "leaves it alone, says so, and goes back as soon as it is gone", begin: (*world).takePlace, blind: 10 * time.Second},
	{name: "the store is on a disk that is full", does: "brings the traffic back first, and writes that when it can", begin: (*world).fill, mounts: true},
	{name: "strangers hold a thousand of the daemon's connections", does: "needs none of them", begin: (*world).crowd},
	{name: "a circuit breaker on the route opens", does: "counts what reached the canary before", begin: nothingBroken, at: &guarded},
	{name: "a circuit breaker on the route opens", does: "counts what it lets through", begin: nothingBroken, at: &opened, tries: only, unbounded: true},
	{name: "a circuit breaker with `fallback: 1s` opens", does: "counts what it lets through", begin: nothingBroken, at: &briefly, blind: 20 * time.Second, tries: only},
}, prometheusBehind), {
	{name: "Prometheus takes 800 ms of the second that it has", does: "looks as often", begin: (*world).slowPrometheus, always: true, tries: kinds},
	{name: "Prometheus is killed and started again after three seconds", does: "judges what came in between", begin: (*world).restartPrometheus, blind: 3 * time.Second, tries: kinds},
	{name: "either of two Prometheus behind one address answers", does: "counts no restart where there was none", begin: (*world).pair, always: true},
	{name: "one of two metrics cannot be asked", does: "judges the other one; says which, at once", begin: latency(noAnswer), at: &doubly, always: true, tries: most},
	{name: "one of two metrics takes 800 ms of the second that it has", does: "looks as often", begin: latency(late), at: &doubly, tries: most},
	{name: "one of two metrics is refused by Prometheus", does: "judges the other one; says why", begin: latency(refused), at: &doubly, tries: most},
	{name: "one of two metrics has no series", does: "judges the other one; says which", begin: latency(withoutSeries), at: &doubly, tries: most},
	{name: "another rollout's counters are garbage", does: "says so of that one; no other release is affected", begin: (*world).garbage},
	{name: "the rollout's document is deleted", does: "keeps the release's plan", begin: (*world).deleteDocument},
	{name: "the rollout's document is broken", does: "keeps the release's plan", begin: (*world).breakDocument},
	{name: "Prometheus is gone, and its policy is rollback after three seconds", does: "goes back by its policy", begin: (*world).endPrometheus, blind: 3 * time.Second, at: &hasty},
	{name: "samples are dated a minute late, and its policy is rollback after eight seconds", does: "goes back by its policy", begin: dated(-time.Minute), blind: 8 * time.Second, at: &wary},
}, {
	// It has a world of its own: after the dates are right again, Prometheus accepts no sample for a minute.
	{name: "samples are dated a minute ahead", does: "judges them when their time has come", begin: dated(time.Minute), blind: time.Minute, tries: goodFirst},
}, slices.Concat(
	everywhere(realFault{name: "nothing", does: "goes back when the evidence is there", begin: nothingBroken}, &between, &half, &beta, &paused, &gated),
	everywhere(realFault{name: "Traefik's API is silent", does: "judges what is written", begin: apiAnswers(silent)}, &between, &half, &beta, &paused, &gated, &returning, &promoting),
	everywhere(realFault{
		name: "Traefik's folder is on a disk that is full for ten seconds", does: "goes back as soon as it can write", begin: (*world).full, blind: 10 * time.Second, mounts: true,
	}, &between, &half, &beta, &paused, &gated, &returning, &promoting),
), clockFaults, slices.Concat(
	everywhere(realFault{name: "the daemon is killed, and started again after two seconds", does: "goes on where it was", begin: (*world).killDaemon}, &between, &half, &beta, &paused, &gated, &returning, &promoting),
	everywhere(realFault{
		name: "Prometheus is killed and started again after three seconds", does: "judges what came in between", begin: (*world).restartPrometheus, blind: 3 * time.Second,
	}, &between, &half, &beta, &paused, &gated, &returning, &promoting),
), {
	{name: "PostgreSQL is killed, and started again once the traffic is back", does: "brings the traffic back first, and writes that when it can", begin: (*world).kill, postgres: true},
	{name: "PostgreSQL hangs", does: "brings the traffic back first, and writes that when it can", begin: (*world).freeze, postgres: true},
	{name: "PostgreSQL is failed over to a standby that has lost the rollback", does: "stays on stable, and writes the rollback again", begin: (*world).failOver, postgres: true, again: true, tries: only},
}}

// Traefik stops sending users to a failing canary whatever else is broken, and the release's outcome says so. The page
// shows how long that took, which depends on the machine.
func TestABadVersionNeverStaysOnTheRealServers(t *testing.T) {
	took := make([][]map[canary]time.Duration, len(realFaults))
	for i, faults := range realFaults {
		took[i] = make([]map[canary]time.Duration, len(faults))
		if *reliability == "" && !slices.ContainsFunc(faults, func(f realFault) bool { return f.always }) {
			continue
		}
		t.Run("world "+strconv.Itoa(i+1), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, setupFor(t, faults))
			for k, f := range faults {
				if !f.always && *reliability == "" {
					continue
				}
				times, passed := map[canary]time.Duration{}, true
				for _, c := range f.canaries(*reliability != "") {
					passed = t.Run(f.name+", "+f.place().name+": "+string(c), func(t *testing.T) { times[c] = w.brave(t, f, c) }) && passed
				}
				if passed {
					took[i][k] = times
				}
			}
		})
	}
	t.Cleanup(func() {
		if *reliability != "" {
			writeTable(t, took)
			withinBounds(t, took)
		}
	})
}

// withinBounds checks the times against the bounds on the page. How long it takes until five times the errors cannot be
// chance varies between releases by more than a fault adds, so that has no bound.
func withinBounds(t *testing.T, took [][]map[canary]time.Duration) {
	nothing := took[0][0]
	for i, faults := range realFaults {
		for k, f := range faults {
			for _, c := range []canary{fails, hangs} {
				without, known := nothing[c]
				if d := took[i][k][c]; known && !f.unbounded && d > without+f.bound() {
					t.Errorf("%s, %s: %s: %v, longer than %v without the fault and %v", f.name, f.place().name, c, d, without, f.bound())
				}
			}
		}
	}
}

// setupFor returns the setup that these faults need.
func setupFor(t *testing.T, faults []realFault) setup {
	s := setup{documents: func(w *world) string {
		text := counting(quick("patiently", patient)) + counting(quick("impatiently", impatient)) + counting(quick("warily", noSamples)) +
			strings.Replace(counting(quick("doubly", patient)), "\n---", slowToo+"\n---", 1)
		w.twin = newProxy(t, w.traefik.API)
		for _, p := range places {
			document := strings.NewReplacer(p.change...).Replace(w.document(p.rollout, p.policy, p.steps))
			if p == &halves {
				document = strings.Replace(document, `api: "`+w.api.URL+`"`, fmt.Sprintf(`api: ["%s", "%s"]`, w.api.URL, w.twin.URL), 1)
			}
			text += document
		}
		return text
	}}
	s.postgres = slices.ContainsFunc(faults, func(f realFault) bool { return f.postgres })
	if slices.ContainsFunc(faults, func(f realFault) bool { return f.mounts }) {
		s.tmpfs = "64m"
	}
	return s
}

// noSamples is a policy that rolls back when no samples come.
const noSamples = `  unreachable: {for: 10m, then: hold}
  noData: {for: 8s, then: rollback}`

// counting makes an analysis count clients that gave up as errors, and lets it find five times the errors without a
// past: two versions on one machine differ by less than is otherwise assumed.
func counting(document string) string {
	return strings.NewReplacer("preset: traefik-errors", "preset: traefik-errors\n      codes: [5xx, 499]\n      noise: 10%",
		"margin: {relative: 100%, absolute: 10%}", "margin: {relative: 50%, absolute: 1%}").Replace(document)
}

// usersOf are the place's users. Those of a canary that hangs give up after a second; all others are patient, since
// requests that wait on a busy machine would count as failures of both arms.
func (w *world) usersOf(t *testing.T, p *place) *testbed.Load {
	c := testbed.LoadConfig{URL: w.traefik.URL("web") + "/" + p.rollout, Rate: 150, Workers: 100, Timeout: 20 * time.Second}
	if p == &hanging {
		c.Timeout = time.Second
	}
	if p.cohort {
		c.Header = http.Header{"X-User-Group": {"beta"}}
	}
	return testbed.NewLoad(t, c)
}

// brave makes the canary bad while something is broken, and returns how long it took until Traefik sent nobody to it. A
// good canary stays.
func (w *world) brave(t *testing.T, f realFault, c canary) time.Duration {
	p := f.place()
	if c == hangs {
		p = &hanging
	}
	w.is(c, p.early)
	w.wait(t, p.rollout, "stable is served", settled)
	load := w.usersOf(t, p)
	defer load.Stop()
	begin := time.Now()
	id := w.start(t, p.rollout)
	if !p.early {
		w.arrived(t, p, id)
	}
	end := f.begin(w, t)
	if c == good {
		w.stays(t, p, id, end)
		return 0
	}
	w.is(c, true)
	var took time.Duration
	switch {
	case p.early:
		v := w.wait(t, p.rollout, "it goes back", func(v view) bool { return v.Release.ID == id && v.State.Phase != "active" })
		t.Logf("%+v; users: %+v", v.State, load.Counts())
		w.off(t, p)
		took = time.Since(begin)
	case p.undone:
		took = w.undone(t, p, id, load)
	case p.back:
		go w.sendBack(id)
		fallthrough
	default:
		took = w.off(t, p)
	}
	t.Logf("%v until nobody is served by the canary", took)
	if f.lasts {
		defer end()
	} else {
		end()
	}
	w.is(c, false)
	w.wentBack(t, p, id, f.again)
	return took
}

// arrived waits until a release is at its place, where users get the canary.
func (w *world) arrived(t *testing.T, p *place, id string) {
	w.wait(t, p.rollout, "the weight is in force", func(v view) bool { return at(0, 0)(v) && v.State.InForce })
	w.looks(t, 3)
	if p.reach != nil {
		p.reach(w, t, id)
	}
	percent, err := w.served(p)
	require.NoError(t, err)
	require.NotZero(t, percent, "users get the canary")
}

// wentBack waits for the end of a release that is rolled back, or is promoted and then undone. again: a rollback that
// was lost is written again as if it had been requested.
func (w *world) wentBack(t *testing.T, p *place, id string, again bool) {
	v := w.wait(t, p.rollout, "the release has ended", func(v view) bool { return (v.Release.ID == id || p.undone) && ended(v) })
	if v.Release.ID != id { // it was fully promoted, and then undone
		require.Equal(t, "released", v.State.Outcome, v.State.Why)
		require.Equal(t, 1, count(w.events(t, id), "ended"))
		return
	}
	require.Equal(t, "rolledBack", v.State.Outcome, v.State.Why)
	if v.Verdict != nil {
		t.Logf("the last look: %+v", *v.Verdict)
	}
	asked := count(w.events(t, id), "rollbackRequested")
	require.LessOrEqual(t, asked, 1)
	require.True(t, p.back || p.undone || again || asked == 0, "nobody has requested it")
}

// stays checks that a good canary keeps its users while something is broken and afterwards. Then it rolls the release
// back.
func (w *world) stays(t *testing.T, p *place, id string, end func()) {
	time.Sleep(3 * time.Second) // while the fault lasts
	end()
	w.ready(t)
	w.looks(t, 5)
	v, err := w.view(p.rollout)
	require.NoError(t, err)
	require.Equal(t, id, v.Release.ID)
	require.Equal(t, "active", v.State.Phase, v.State.Why)
	percent, err := w.served(p)
	require.NoError(t, err)
	require.NotZero(t, percent, "users still get the canary")
	status, text := w.rollback(id)
	require.Equal(t, http.StatusOK, status, text)
	v = w.wait(t, p.rollout, "the release has ended", ended)
	require.Equal(t, 1, count(w.events(t, id), "rollbackRequested"), v.State.Why)
}

// sendBack acts as a person who asks for a rollback until the daemon answers.
func (w *world) sendBack(id string) {
	for end := time.Now().Add(await.Patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if status, _ := w.rollback(id); status != 0 {
			return
		}
	}
}

// undone acts as a person who approves the promotion of a version that then fails, and undoes it as soon as the daemon
// allows that. It returns how long it took until all users got the previous version. The promotion swaps the versions
// behind the names, so undone goes by the answers that users get.
func (w *world) undone(t *testing.T, p *place, id string, load *testbed.Load) time.Duration {
	begin := time.Now()
	await.Until(t, "the promotion is approved", func() string {
		status, text := w.approve(id, "full-release")
		if status == http.StatusOK || status == http.StatusConflict {
			return ""
		}
		return text
	})
	await.Until(t, "no user gets the version that fails", func() string {
		said, _ := w.rollback(id)
		if said == http.StatusConflict { // it has ended: the new version is in service
			w.call(http.MethodPost, "/api/v1/rollouts/"+p.rollout+"/undo", map[string]string{"reason": "it fails", "key": id}, nil)
		}
		before := load.Counts()
		time.Sleep(200 * time.Millisecond)
		now := load.Counts()
		if now.Answered("green") > before.Answered("green") || now.Answered("blue") == before.Answered("blue") {
			return fmt.Sprintf("%d answers by the version that fails", now.Answered("green")-before.Answered("green"))
		}
		return ""
	})
	return time.Since(begin)
}

func nothingBroken(*world, *testing.T) func() { return func() {} }

func (w *world) killDaemon(t *testing.T) func() {
	require.NoError(t, w.daemon.Kill())
	return later(t, 2*time.Second, func() error { return w.daemon.Restart(t.Context()) })
}

func stopDaemon(d time.Duration) func(w *world, t *testing.T) func() {
	return func(w *world, t *testing.T) func() {
		require.NoError(t, w.daemon.Signal(syscall.SIGSTOP))
		return later(t, d, func() error { return w.daemon.Signal(syscall.SIGCONT) })
	}
}

// later calls right after d; the function it returns waits until that is done.
func later(t *testing.T, d time.Duration, right func() error) func() {
	done := make(chan error, 1)
	time.AfterFunc(d, func() { done <- right() })
	return func() { require.NoError(t, <-done) }
}

func apiAnswers(instead http.HandlerFunc) func(w *world, t *testing.T) func() {
	return func(w *world, _ *testing.T) func() {
		w.api.answer(instead)
		return func() { w.api.answer(nil) }
	}
}

func (w *world) slowPrometheus(t *testing.T) func() {
	through := newProxy(t, w.prometheus.URL).Config.Handler
	w.metrics.answer(func(out http.ResponseWriter, r *http.Request) { late(out, r, nil, through) })
	return func() { w.metrics.answer(nil) }
}

func (w *world) restartPrometheus(t *testing.T) func() {
	require.NoError(t, w.prometheus.Kill())
	return later(t, 3*time.Second, func() error { return w.prometheus.Restart(t.Context()) })
}

func (w *world) endPrometheus(t *testing.T) func() {
	require.NoError(t, w.prometheus.Kill())
	return func() { require.NoError(t, w.prometheus.Restart(t.Context())) }
}

// pair puts a second Prometheus with the same targets behind the same address. They answer in turn, and scrape at
// different times.
func (w *world) pair(t *testing.T) func() {
	second := testbed.NewPrometheus(t, testbed.PrometheusConfig{ScrapeInterval: scrapeInterval, Jobs: w.jobs()})
	w.looks(t, 3)
	handlers := []http.Handler{newProxy(t, w.prometheus.URL).Config.Handler, newProxy(t, second.URL).Config.Handler}
	var asked atomic.Int64
	w.metrics.answer(func(out http.ResponseWriter, r *http.Request) {
		handlers[asked.Add(1)%2].ServeHTTP(out, r)
	})
	return func() { w.metrics.answer(nil) }
}

// dated gives Traefik's samples timestamps that are off by d, like an exporter whose clock is wrong.
func dated(d time.Duration) func(w *world, t *testing.T) func() {
	return func(w *world, t *testing.T) func() {
		w.rewrite(t, func(text string) string {
			at := strconv.FormatInt(time.Now().Add(d).UnixMilli(), 10)
			var out strings.Builder
			for line := range strings.Lines(text) {
				if line[0] != '#' && line[0] != '\n' {
					line = strings.TrimSuffix(line, "\n") + " " + at + "\n"
				}
				out.WriteString(line)
			}
			return out.String()
		})
		return func() { w.exposition.answer(nil) }
	}
}

// enter runs a program in the daemon's mount namespace.
func (w *world) enter(args ...string) error {
	out, err := exec.Command("nsenter", append([]string{"-m", "-t", strconv.Itoa(w.daemon.PID())}, args...)...).CombinedOutput() //nolint:noctx,gosec // it ends at once
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// readOnly makes Traefik's folder read-only for the daemon, like a failed file system, but not for Traefik.
func (w *world) readOnly(t *testing.T) func() {
	folder := w.traefik.Directory
	require.NoError(t, w.enter("mount", "--bind", folder, folder))
	require.NoError(t, w.enter("mount", "-o", "remount,bind,ro", folder))
	// -l: the daemon may have a file open at that moment.
	return later(t, 10*time.Second, func() error { return w.enter("umount", "-l", folder) })
}

// full puts Traefik's folder on a small, full file system for the daemon, but not for Traefik.
func (w *world) full(t *testing.T) func() {
	const fill = `mount -t tmpfs -o size=512k full "$1" && cp "$2"/* "$1" && ! cat /dev/zero 2>/dev/null >"$1/external"`
	folder, copied := w.traefik.Directory, t.TempDir()
	require.NoError(t, os.CopyFS(copied, os.DirFS(folder)))
	require.NoError(t, w.enter("sh", "-c", fill, "sh", folder, copied))
	return later(t, 10*time.Second, func() error { return w.enter("umount", "-l", folder) })
}

// addRouter adds a foreign router to shop's file, and checks that it is still there in the end.
func (w *world) addRouter(t *testing.T) func() {
	before, err := os.ReadFile(w.file("shop"))
	require.NoError(t, err)
	const theirs = "\n    theirs: {rule: \"Path(`/theirs`)\", service: noop@internal}"
	require.NoError(t, os.WriteFile(w.file("shop"), []byte(strings.Replace(string(before), "\n  routers:", "\n  routers:"+theirs, 1)), 0o600))
	w.wait(t, "shop", "it is reported", func(v view) bool { return strings.Contains(strings.Join(v.Trouble, " "), "theirs") })
	return func() {
		after, err := os.ReadFile(w.file("shop"))
		require.NoError(t, err)
		require.Contains(t, string(after), "theirs: {rule: \"Path(`/theirs`)\", service: noop@internal}")
		require.NoError(t, os.Remove(w.file("shop"))) // a person repairs it
	}
}

// crowd holds connections to the daemon open, and sends nothing.
func (w *world) crowd(t *testing.T) func() {
	var held []net.Conn
	dialer := net.Dialer{Timeout: time.Second}
	for range 1000 {
		c, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(w.url, "http://"))
		if err != nil {
			break // it accepts no more
		}
		held = append(held, c)
	}
	require.NotEmpty(t, held)
	return func() {
		for _, c := range held {
			_ = c.Close()
		}
	}
}

func (w *world) rollouts() string { return filepath.Join(w.dir, "rollouts", "rollouts.yaml") }

// change changes the documents, waits until the daemon has read them, and returns a function that restores them.
func (w *world) change(t *testing.T, change func(text string) string, read string) func() {
	before, err := os.ReadFile(w.rollouts())
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(w.rollouts(), []byte(change(string(before))), 0o600))
	await.Until(t, "the daemon has read it", func() string {
		_, text := w.get("/api/v1/config/problems", nil)
		_, shop := w.get("/api/v1/rollouts/shop", nil)
		if strings.Contains(text+shop, read) {
			return ""
		}
		return text + shop
	})
	return func() { require.NoError(t, os.WriteFile(w.rollouts(), before, 0o600)) }
}

func (w *world) deleteDocument(t *testing.T) func() {
	document := w.document(shop.rollout, shop.policy, shop.steps)
	return w.change(t, func(text string) string { return strings.Replace(text, document, "", 1) }, `"declared":false`)
}

func (w *world) breakDocument(t *testing.T) func() {
	return w.change(t, func(text string) string { return strings.ReplaceAll(text, "hold: 1h", "hold: many") }, "many")
}

// writeTable replaces the rows of the faults that were tried and passed, and keeps the others: worlds can be tried
// again one by one.
func writeTable(t *testing.T, took [][]map[canary]time.Duration) {
	const begin, end = "## On the real servers\n", "\n## "
	b, err := os.ReadFile(*reliability)
	require.NoError(t, err)
	head, rest, found := strings.Cut(string(b), begin)
	require.True(t, found)
	before, rest, found := strings.Cut(rest, end)
	require.True(t, found)
	var table strings.Builder
	table.WriteString("\n| what is broken | where it stands | what Serin does | every request fails | five times the errors | it hangs | it is good | bound |\n|---|---|---|---|---|---|---|---|\n")
	for i, faults := range realFaults {
		for k, f := range faults {
			start := fmt.Sprintf("| %s | %s |", f.name, f.place().name)
			if took[i][k] != nil {
				bound := f.bound().String()
				if f.unbounded {
					bound = "[none](#what-cannot-be-met)"
				}
				fmt.Fprintf(&table, "%s %s |%s %s |\n", start, f.does, cells(took[i][k]), bound)
				continue
			}
			for line := range strings.Lines(before) {
				if strings.HasPrefix(line, start) {
					table.WriteString(line)
				}
			}
		}
	}
	intro := "\nThe built binary, a real Traefik, a real Prometheus, which scrapes every 250 ms, and SQLite or PostgreSQL; 150 requests a " +
		"second, of which a fifth get the canary unless it says otherwise, and a look a second, so that the times are shorter than above. " +
		"They are those from the moment that the fault begins, and the canary with it, until Traefik itself says that nobody gets it. " +
		"Five times the errors are 15% of the canary's requests and 3% of stable's. Users of a canary that hangs give up after a second. " +
		"A good canary stays as long as the fault does, and afterwards. A dash was not tried.\n\n" +
		"The bound is what the fault may add to the time of the first row: how long it keeps Serin from seeing or writing anything, and ten " +
		"seconds. `make reliability` holds canaries that fail every request or hang to it. How long it takes until five times the errors " +
		"are no chance any more differs between two releases by more than a fault adds.\n"
	require.NoError(t, os.WriteFile(*reliability, []byte(head+begin+intro+table.String()+end+rest), 0o600))
}

// cells says how long each kind of canary had users.
func cells(took map[canary]time.Duration) string {
	var out strings.Builder
	for _, c := range kinds {
		switch d, tried := took[c]; {
		case !tried:
			out.WriteString(" – |")
		case c == good:
			out.WriteString(" stays |")
		default:
			fmt.Fprintf(&out, " %s |", d.Round(100*time.Millisecond))
		}
	}
	return out.String()
}
