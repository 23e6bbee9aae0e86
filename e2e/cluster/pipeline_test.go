package cluster

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/internal/testbed/testcluster"
)

// beta are the users of the pipeline's cohort.
var beta = http.Header{"X-User-Group": {"beta"}}

func TestThePipelineRunsToTheEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pipeline.with("min: 1s", "min: 5s", "hold: 1s", "hold: 5s"))
	loads := w.usersAt(t, countedRate, beta)
	split := w.record(t, loads)
	id := w.start(t, image2)
	w.wait(t, "the first gate is open", atGate("start-ab-test"))
	require.Equal(t, image2, imageOf(w.deployment(t, w.dev, "k8s-flask-nodeport")), "the pre-release runs the new version")
	w.approve(t, id, "start-ab-test")
	w.wait(t, "the second gate is open", atGate("full-release"))
	w.approve(t, id, "full-release")
	v := w.wait(t, "the release has ended", ended)
	require.Equal(t, "released", v.State.Outcome, v.State.Why)
	split.end()
	split.splitAsAsked(t)

	require.Equal(t, image2, imageOf(w.deployment(t, w.pro, "k8s-flask")), "stable is the new version")
	require.EqualValues(t, 4, *w.deployment(t, w.pro, "k8s-flask").Spec.Replicas)
	require.Zero(t, *w.deployment(t, w.pro, "k8s-flask-canary").Spec.Replicas)
	noRequestFailed(t, loads)
	for _, deployment := range []string{"k8s-flask", "k8s-flask-canary"} {
		w.described(t, deployment, "GateOpen: gate full-release waits for an answer from release-managers", "StepEntered: step gray: 75% of traffic on the canary",
			"Released: ended: released: every step is done", id)
	}
	w.described(t, "k8s-flask", "ReleaseStarted: started by ", "Changed: image of flask "+image2)
	for _, e := range w.events(t, id) {
		t.Logf("%s %s %s", e.At.Format("15:04:05.000"), e.Kind, e.By)
	}
}

// described waits until `kubectl describe deployment` shows all of it.
func (w *world) described(t *testing.T, deployment string, want ...string) {
	t.Helper()
	await.Until(t, "the Events of "+deployment, func() string {
		list, err := w.c.Client.CoreV1().Events(w.pro).List(t.Context(), metav1.ListOptions{FieldSelector: "involvedObject.kind=Deployment,involvedObject.name=" + deployment})
		require.NoError(t, err)
		var seen strings.Builder
		for i := range list.Items {
			fmt.Fprintf(&seen, "%s: %s\n", list.Items[i].Reason, list.Items[i].Message)
		}
		for _, one := range want {
			if !strings.Contains(seen.String(), one) {
				return "no " + one + " in\n" + seen.String()
			}
		}
		return ""
	})
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

// worse is a version that often fails.
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
		"in gray": {"gray", 1}, // at its first weight the cohort's route still exists for a moment
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, pipeline.with("min: 1s", "min: 10s", "hold: 1s", "hold: 10s",
				// The breaker's window is short: a handful of errors would open it and block the cohort's route for
				// both arms.
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
			w.asBefore(t, loads)
		})
	}
}

// logRollback logs how long it took from the decision to roll back, by a person or a verdict, until every replica of
// Traefik said that stable has all the traffic.
func (w *world) logRollback(t *testing.T, id string) {
	t.Helper()
	var decided, force event
	for _, e := range w.events(t, id) {
		switch e.Kind {
		case "lookTaken", "rollbackRequested":
			decided = e
		case "inForce":
			force = e
		case "drained":
			t.Logf("rollback: %v from the decision (%s by %s) until stable at 100%% is in force on Traefik", force.At.Sub(decided.At).Round(time.Millisecond), decided.Kind, decided.By)
			return
		}
	}
}

func TestAPersonGoesBackFromTheSecondGate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pipeline)
	loads := w.users(t, beta)
	id := w.start(t, image2)
	w.pass(t, id, "start-ab-test")
	w.wait(t, "the second gate is open", atGate("full-release"))
	begin := time.Now()
	status, text := w.call(http.MethodPost, "/api/v1/releases/"+id+"/rollback", map[string]string{"reason": "by hand"}, nil)
	require.Equal(t, http.StatusOK, status, text)
	w.wait(t, "stable at 100% is in force", func(v view) bool { return v.State.Phase == "rollingBack" && v.State.InForce || ended(v) })
	t.Logf("rollback: %v from a person's request until it is seen to be in force on Traefik, asked for every 50 ms", time.Since(begin).Round(time.Millisecond))
	v := w.wait(t, "the release has ended", ended)
	w.logRollback(t, id)
	require.Equal(t, "rolledBack", v.State.Outcome)
	w.asBefore(t, loads)
}

// Another program, such as Argo CD, brings stable to the new version, and an autoscaler has added pods meanwhile.
func TestAnotherSystemPromotesAndAnAutoscalerCountsThePods(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pipeline.with("strategy: patch", "strategy: wait"))
	w.c.Apply(t, w.pro, `{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: stable}, spec: {minReplicas: 2, maxReplicas: 9,
		scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: k8s-flask}, metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}]}}`)
	before := w.autoscaler(t)
	loads := w.users(t, beta)
	id := w.start(t, image2)
	w.wait(t, "the first gate is open", atGate("start-ab-test"))
	require.Equal(t, before, w.autoscaler(t), "the canary has no users yet")
	w.patchStable(t, "autoscaler", `{"spec": {"replicas": 6}}`)
	w.approve(t, id, "start-ab-test")
	w.wait(t, "the second gate is open", atGate("full-release"))
	require.EqualValues(t, 5, *w.deployment(t, w.pro, "k8s-flask-canary").Spec.Replicas, "75%% of 6, rounded up")
	require.Equal(t, autoscalingv2.DisabledPolicySelect, *w.autoscaler(t).Behavior.ScaleDown.SelectPolicy, "it removes no pods of stable, which may have to take its users back")
	w.approve(t, id, "full-release")
	w.explained(t, "waiting for an external change that brings it to image of flask "+image2)
	require.Equal(t, image1, imageOf(w.deployment(t, w.pro, "k8s-flask")), "Serin leaves it alone")
	w.patchStable(t, "argocd-controller", `{"spec": {"template": {"spec": {"containers": [{"name": "flask", "image": "`+image2+`"}]}}}}`)
	v := w.wait(t, "the release has ended", ended)
	require.Equal(t, "released", v.State.Outcome, v.State.Why)
	require.EqualValues(t, 6, *w.deployment(t, w.pro, "k8s-flask").Spec.Replicas, "the autoscaler's")
	require.Equal(t, before, w.autoscaler(t), "it is as it was")
	require.Zero(t, *w.deployment(t, w.pro, "k8s-flask-canary").Spec.Replicas)
	noRequestFailed(t, loads)
}

// autoscaler is the specification of stable's autoscaler.
func (w *world) autoscaler(t *testing.T) autoscalingv2.HorizontalPodAutoscalerSpec {
	t.Helper()
	h, err := w.c.Client.AutoscalingV2().HorizontalPodAutoscalers(w.pro).Get(t.Context(), "stable", metav1.GetOptions{})
	require.NoError(t, err)
	return h.Spec
}

func (w *world) patchStable(t *testing.T, who, patch string) {
	t.Helper()
	_, err := w.c.Client.AppsV1().Deployments(w.pro).Patch(t.Context(), w.name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: who})
	require.NoError(t, err)
}

func TestTheFiveStepsRunToTheEnd(t *testing.T) {
	t.Parallel()
	// Without Traefik's API, a write is assumed to be in force after a minute, or a second here.
	w := newWorld(t, fiveSteps.with("tls: {secretName: feed-tls}}", "tls: {secretName: feed-tls}}, verify: {for: 1s}"))
	employees := http.Header{"X-Employee": {"yes"}}
	payers := http.Header{"X-Country": {"NZ"}, "Cookie": {"tier=premium"}}
	loads := w.users(t, employees, payers)
	id := w.start(t, image2)
	w.wait(t, "employees have the canary", at("company", 0))
	w.wait(t, "the gate is open", atGate("company-happy"))
	w.approve(t, id, "company-happy")
	w.wait(t, "the targeted users have the canary", at("targeted", 0))
	v := w.wait(t, "the release has ended", ended)
	require.Equal(t, "released", v.State.Outcome, v.State.Why)
	require.Equal(t, image2, imageOf(w.deployment(t, w.pro, "feed")))
	require.Zero(t, *w.deployment(t, w.pro, "feed-canary").Spec.Replicas)
	noRequestFailed(t, loads)
	for _, l := range loads[1:] {
		require.Positive(t, l.Counts().Answered("2"))
	}
}
