package cluster

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
)

// pass approves a gate as soon as it is open.
func (w *world) pass(t *testing.T, id, gate string) {
	t.Helper()
	w.wait(t, "gate "+gate+" is open", func(v view) bool { return v.Release.ID == id && v.Gate == gate })
	w.approve(t, id, gate)
}

func doing(what string) func(view) bool {
	return func(v view) bool { return v.State.StepName == "promote" && v.State.Doing == what && v.State.InForce }
}

// keep prevents the canary's pods from terminating, or lets them terminate.
func (w *world) keep(t *testing.T, kept bool) {
	t.Helper()
	finalizers := "null"
	if kept {
		finalizers = `["tests.serin.dev/keep"]`
	}
	pods := w.c.Client.CoreV1().Pods(w.pro)
	list, err := pods.List(t.Context(), metav1.ListOptions{LabelSelector: "serin.dev/arm=canary"})
	require.NoError(t, err)
	for i := range list.Items {
		_, err := pods.Patch(t.Context(), list.Items[i].Name, types.MergePatchType, []byte(`{"metadata": {"finalizers": `+finalizers+`}}`), metav1.PatchOptions{})
		require.NoError(t, err)
	}
}

// way is a point at which a release is rolled back.
type way struct {
	from, outcome string
	before        func(w *world, image string)                   // before the release starts
	reach         func(t *testing.T, w *world, id, image string) // takes it there
	sent          func(t *testing.T, w *world)                   // after the rollback was requested
	after         func(t *testing.T, w *world, v view)           // after it has ended
}

var beforeTrafficMoved = []way{
	{
		from: "a migration that runs", outcome: "cancelled",
		before: func(w *world, image string) { w.hang(w.pro, image) },
		reach:  func(t *testing.T, w *world, _, image string) { w.runs(t, w.pro, image) },
		after:  func(t *testing.T, w *world, v view) { w.jobSuspended(t, v) },
	},
	{
		from: "a pre-release that does not get ready", outcome: "cancelled",
		before: func(w *world, image string) { w.hang(w.dev, image) },
		reach:  func(t *testing.T, w *world, _, image string) { w.runs(t, w.dev, image) },
	},
	{
		from: "the first gate", outcome: "cancelled",
		reach: func(t *testing.T, w *world, _, _ string) {
			w.wait(t, "the first gate is open", atGate("start-ab-test"))
		},
	},
	{
		from: "a canary that does not get ready", outcome: "cancelled",
		reach: func(t *testing.T, w *world, id, image string) {
			w.wait(t, "the first gate is open", atGate("start-ab-test"))
			w.hang(w.pro, image)
			w.approve(t, id, "start-ab-test")
			w.runs(t, w.pro, image)
		},
	},
}

var whileTheCanaryIsTried = []way{
	{
		from: "the A/B test", outcome: "rolledBack",
		reach: func(t *testing.T, w *world, id, _ string) {
			w.pass(t, id, "start-ab-test")
			w.wait(t, "the A/B test is in force", at("ab", 0))
		},
	},
	{
		from: "a weight", outcome: "rolledBack",
		reach: func(t *testing.T, w *world, id, _ string) {
			w.pass(t, id, "start-ab-test")
			w.wait(t, "a weight is in force", at("gray", 0))
		},
	},
	{
		from: "the second gate", outcome: "rolledBack",
		reach: func(t *testing.T, w *world, id, _ string) {
			w.pass(t, id, "start-ab-test")
			w.wait(t, "the second gate is open", atGate("full-release"))
		},
	},
}

var duringPromotion = []way{
	{
		from: "a stable that does not become the new version", outcome: "rolledBack",
		reach: func(t *testing.T, w *world, id, image string) {
			w.pass(t, id, "start-ab-test")
			w.wait(t, "the second gate is open", atGate("full-release"))
			w.hang(w.pro, image)
			w.approve(t, id, "full-release")
			w.wait(t, "stable is on its way", doing("patch"))
			await.Until(t, "stable's image has changed", func() string {
				if now := imageOf(w.deployment(t, w.pro, "k8s-flask")); now != image {
					return now
				}
				return ""
			})
		},
	},
	{
		from: "the traffic's way to the new stable", outcome: "rolledBack",
		reach: func(t *testing.T, w *world, id, _ string) {
			w.pass(t, id, "start-ab-test")
			w.pass(t, id, "full-release")
			w.wait(t, "all traffic is on stable", doing("return"))
		},
	},
	{
		from: "a canary that has left and does not end", outcome: "rolledBack",
		reach: func(t *testing.T, w *world, id, _ string) {
			w.pass(t, id, "start-ab-test")
			w.wait(t, "the second gate is open", atGate("full-release"))
			w.keep(t, true)
			w.approve(t, id, "full-release")
			w.wait(t, "the canary has left", doing("leave"))
		},
		sent: func(t *testing.T, w *world) { w.keep(t, false) },
	},
}

func TestAReleaseGoesBackBeforeTrafficMoved(t *testing.T) {
	t.Parallel()
	goBack(t, beforeTrafficMoved)
}

func TestAReleaseGoesBackWhileTheCanaryIsTried(t *testing.T) {
	t.Parallel()
	goBack(t, whileTheCanaryIsTried)
}

func TestAReleaseGoesBackDuringPromotion(t *testing.T) {
	t.Parallel()
	goBack(t, duringPromotion)
}

// goBack rolls several releases back in turn, in one world. Each leaves everything in place for the next one. Tests call it,
// not parallel subtests of one: those begin after all tests of the package have begun, and would be the last to run.
func goBack(t *testing.T, ways []way) {
	t.Helper()
	w := newWorld(t, pipeline.with("drain: 1s", "drain: 3s"))
	loads := w.users(t, beta)
	for i, one := range ways {
		t.Run(one.from, func(t *testing.T) { w.goesBack(t, loads, one, fmt.Sprintf("registry.example.com/flask:back-%d", i)) })
	}
}

func (w *world) goesBack(t *testing.T, loads []*testbed.Load, from way, image string) {
	t.Helper()
	if from.before != nil {
		from.before(w, image)
	}
	id := w.start(t, image)
	from.reach(t, w, id, image)
	status, text := w.call(http.MethodPost, "/api/v1/releases/"+id+"/rollback", map[string]string{"reason": "by hand"}, nil)
	require.Equal(t, http.StatusOK, status, text)
	if from.sent != nil {
		from.sent(t, w)
	}
	v := w.wait(t, "the release has ended", ended)
	require.Equal(t, id, v.Release.ID)
	require.Equal(t, from.outcome, v.State.Outcome, v.State.Why)
	w.logRollback(t, id)
	if from.after != nil {
		from.after(t, w, v)
	}
	w.asBefore(t, loads)
}

// jobSuspended checks that the migration is stopped and that the release says so.
func (w *world) jobSuspended(t *testing.T, v view) {
	t.Helper()
	says := "job migrate-database had not ended, and is suspended in namespace " + w.pro
	require.Contains(t, v.State.Why, says)
	w.explained(t, says)
	await.Until(t, "the migration has stopped", func() string {
		list, err := w.c.Client.BatchV1().Jobs(w.pro).List(t.Context(), metav1.ListOptions{LabelSelector: "serin.dev/release=" + v.Release.ID})
		require.NoError(t, err)
		require.Len(t, list.Items, 1)
		if job := list.Items[0]; job.Spec.Suspend == nil || !*job.Spec.Suspend || job.Status.Active > 0 {
			return fmt.Sprintf("%+v", job.Status)
		}
		return ""
	})
}

// asBefore checks that stable has its image and replicas again, and that the canary has no pods and no longer answers.
func (w *world) asBefore(t *testing.T, loads []*testbed.Load) {
	t.Helper()
	stable := w.deployment(t, w.pro, w.name)
	require.Equal(t, image1, imageOf(stable))
	require.EqualValues(t, 4, *stable.Spec.Replicas)
	await.Until(t, "stable has the same pods as before", func() string {
		if s := w.deployment(t, w.pro, w.name).Status; s.UpdatedReplicas != 4 || s.AvailableReplicas != 4 || s.Replicas != 4 {
			return fmt.Sprintf("%+v", s)
		}
		return ""
	})
	canary, err := w.c.Client.AppsV1().Deployments(w.pro).Get(t.Context(), w.name+"-canary", metav1.GetOptions{})
	if err == nil {
		require.Zero(t, *canary.Spec.Replicas)
	}
	noRequestFailed(t, loads)
	for _, l := range loads {
		before := l.Counts()
		var now testbed.LoadCounts
		await.Until(t, "more requests", func() string {
			if now = l.Counts(); now.Sent > before.Sent+50 {
				return ""
			}
			return "not yet"
		})
		require.InDelta(t, now.Sent-before.Sent, now.Answered("1")-before.Answered("1"), 0.5, "%v", now.Status)
	}
}
