package cluster

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/internal/testbed/testcluster"
)

func TestThePipelineRunsToTheEnd(t *testing.T) {
	w := newWorld(t)
	loads := w.users(t)
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
	w := newWorld(t)
	loads := w.users(t)
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
	return testbed.Unserved(testbed.Behaviour{Version: "2", ErrorRate: 0.5}, 1)
}

func TestABadVersionGoesBackByItself(t *testing.T) {
	for name, c := range map[string]struct{ gate, from string }{
		"in the A/B test": {"start-ab-test", "ab"},
		"in gray":         {"start-ab-test", "gray"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "min: 1s", "min: 4s", "hold: 1s", "hold: 4s")
			loads := w.users(t)
			if c.from == "ab" {
				w.c.SetImage(w.pro, image2, testcluster.Image{Handler: worse()})
			}
			id := w.start(t, image2)
			w.wait(t, "the first gate is open", atGate(c.gate))
			w.approve(t, id, c.gate)
			w.wait(t, "the canary is tried", at(c.from, 0))
			w.c.SetImage(w.pro, image2, testcluster.Image{Handler: worse()})
			v := w.wait(t, "the release has ended", ended)
			require.Equal(t, "rolledBack", v.State.Outcome, v.State.Why)
			w.stableAgain(t, loads)
		})
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
	w := newWorld(t)
	loads := w.users(t)
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
