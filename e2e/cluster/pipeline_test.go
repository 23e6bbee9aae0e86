package cluster

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/internal/testbed/testcluster"
)

// beta are the users of the pipeline's cohort.
var beta = http.Header{"X-User-Group": {"beta"}}

func TestThePipelineRunsToTheEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pipeline)
	loads := w.users(t, beta)
	id := w.start(t, image2)
	w.wait(t, "the first gate is open", atGate("start-ab-test"))
	require.Equal(t, image2, imageOf(w.deployment(t, w.dev, "k8s-flask-nodeport")), "pre-release runs the new version")
	w.approve(t, id, "start-ab-test")
	w.wait(t, "the A/B test is in force", at("ab", 0))
	w.wait(t, "half of the traffic is on the canary", at("gray", 3))
	w.wait(t, "the second gate is open", atGate("full-release"))
	w.approve(t, id, "full-release")
	v := w.wait(t, "the release has ended", ended)
	require.Equal(t, "released", v.State.Outcome, v.State.Why)

	require.Equal(t, image2, imageOf(w.deployment(t, w.pro, "k8s-flask")), "stable is the new version")
	require.EqualValues(t, 4, *w.deployment(t, w.pro, "k8s-flask").Spec.Replicas)
	require.Zero(t, *w.deployment(t, w.pro, "k8s-flask-canary").Spec.Replicas)
	noRequestFailed(t, loads)
	require.Positive(t, loads[1].Counts().Answered("2"), "users of the cohort were on the canary")
	for _, e := range w.events(t, id) {
		t.Logf("%s %s %s", e.At.Format("15:04:05.000"), e.Kind, e.By)
	}
}

func TestAFailedMigrationEndsTheReleaseBeforeAnyTrafficMoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pipeline)
	loads := w.users(t, beta)
	w.c.SetImage(w.pro, image2, testcluster.Image{Fate: testcluster.Fail, Log: "connecting\ncolumn exists already\n"})
	id := w.start(t, image2)
	v := w.wait(t, "the release has ended", ended)
	require.Equal(t, "cancelled", v.State.Outcome)
	require.Contains(t, v.State.Why, "migrate-database")
	var log []string
	for _, e := range w.events(t, id) {
		log = append(log, e.Log...)
	}
	require.Contains(t, log, "column exists already")
	noRequestFailed(t, loads)
	for _, l := range loads {
		require.Zero(t, l.Counts().Answered("2"))
	}
	require.Equal(t, image1, imageOf(w.deployment(t, w.dev, "k8s-flask-nodeport")))
}

// worse is a version that fails often.
func worse() http.Handler {
	return testbed.Unserved(testbed.Behaviour{Version: "2", ErrorRate: 0.3}, 1)
}

func TestABadVersionGoesBackByItself(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		step  string
		stage int
	}{
		"in A-B":  {"ab", 0},
		"in gray": {"gray", 1}, // at its first weight the cohort's route is still there for a moment
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, pipeline.with("min: 1s", "min: 10s", "hold: 1s", "hold: 10s",
				// The breaker's own window is short: at a handful of errors it would close the cohort's route for both arms.
				"> 0.25", "> 0.90"))
			loads := w.users(t, beta)
			id := w.start(t, image2)
			w.wait(t, "the first gate is open", atGate("start-ab-test"))
			w.approve(t, id, "start-ab-test")
			w.wait(t, "the canary is tried", at(c.step, c.stage))
			w.c.SetImage(w.pro, image2, testcluster.Image{Handler: worse()})
			v := w.wait(t, "the release has ended", ended)
			require.Equal(t, "rolledBack", v.State.Outcome, v.State.Why)
			w.logRollback(t, id)
			w.stableAgain(t, loads)
		})
	}
}

// logRollback tells how long it took from the decision to go back until that was in force in Traefik.
func (w *world) logRollback(t *testing.T, id string) {
	t.Helper()
	var decided, force time.Time
	for _, e := range w.events(t, id) {
		switch e.Kind {
		case "lookTaken", "rollbackRequested":
			decided = e.At
		case "inForce":
			force = e.At
		case "drained":
			t.Logf("%v from the decision to go back until stable at 100%% is in force", force.Sub(decided))
			return
		}
	}
}

// stableAgain: everything is as before the release, and nobody is served by the canary.
func (w *world) stableAgain(t *testing.T, loads []*testbed.Load) {
	t.Helper()
	require.Equal(t, image1, imageOf(w.deployment(t, w.pro, "k8s-flask")))
	require.Zero(t, *w.deployment(t, w.pro, "k8s-flask-canary").Spec.Replicas)
	noRequestFailed(t, loads)
	before := loads[0].Counts().Answered("2") + loads[1].Counts().Answered("2")
	sent := loads[0].Counts().Sent
	until(t, "more requests", func() string {
		if loads[0].Counts().Sent > sent+50 {
			return ""
		}
		return "not yet"
	})
	require.Equal(t, before, loads[0].Counts().Answered("2")+loads[1].Counts().Answered("2"))
}

func TestAPersonGoesBackFromTheSecondGate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pipeline)
	loads := w.users(t, beta)
	id := w.start(t, image2)
	w.wait(t, "the first gate is open", atGate("start-ab-test"))
	w.approve(t, id, "start-ab-test")
	w.wait(t, "the second gate is open", atGate("full-release"))
	begin := time.Now()
	status, text := w.call(http.MethodPost, "/api/v1/releases/"+id+"/rollback", map[string]string{"reason": "by hand"}, nil)
	require.Equal(t, http.StatusOK, status, text)
	w.wait(t, "stable at 100% is in force", func(v view) bool { return v.State.Phase == "rollingBack" && v.State.InForce || ended(v) })
	t.Logf("%v from a person's rollback until it is in force in Traefik", time.Since(begin))
	v := w.wait(t, "the release has ended", ended)
	require.Equal(t, "rolledBack", v.State.Outcome)
	w.stableAgain(t, loads)
}

func TestTheFiveStepsRunToTheEnd(t *testing.T) {
	t.Parallel()
	// Without TLS: the users of these tests speak plain HTTP. With Traefik's API: without it each weight takes a minute.
	w := newWorld(t, fiveSteps.with("entryPoints: [websecure], tls: {secretName: feed-tls}}", "entryPoints: [web]}, verify: {api: TRAEFIK}"))
	employees := http.Header{"X-Employee": {"yes"}}
	payers := http.Header{"X-Country": {"NZ"}, "Cookie": {"tier=premium"}}
	loads := w.users(t, employees, payers)
	id := w.start(t, image2)
	w.wait(t, "employees have the canary", at("company", 0))
	w.wait(t, "the gate is open", atGate("company-happy"))
	w.approve(t, id, "company-happy")
	w.wait(t, "those it was made for try it", at("targeted", 0))
	v := w.wait(t, "the release has ended", ended)
	require.Equal(t, "released", v.State.Outcome, v.State.Why)
	require.Equal(t, image2, imageOf(w.deployment(t, w.pro, "feed")))
	require.Zero(t, *w.deployment(t, w.pro, "feed-canary").Spec.Replicas)
	noRequestFailed(t, loads)
	for _, l := range loads[1:] {
		require.Positive(t, l.Counts().Answered("2"))
	}
}
