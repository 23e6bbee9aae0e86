package cluster

import (
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed/testcluster"
)

// explained waits until `explain` says want. It is what a person reads to find out what is wrong.
func (w *world) explained(t *testing.T, want string) {
	t.Helper()
	await.Until(t, "explain says "+want, func() string {
		status, text := w.get("/api/v1/rollouts/"+w.name+"/explain", nil)
		if status == http.StatusOK && strings.Contains(text, want) {
			return ""
		}
		return text
	})
}

// explainedNoMore waits until `explain` no longer says gone.
func (w *world) explainedNoMore(t *testing.T, gone string) {
	t.Helper()
	await.Until(t, "explain no longer says "+gone, func() string {
		status, text := w.get("/api/v1/rollouts/"+w.name+"/explain", nil)
		if status == http.StatusOK && !strings.Contains(text, gone) {
			return ""
		}
		return text
	})
}

// toGray starts a release and brings it to a weight of its gray step.
func (w *world) toGray(t *testing.T, stage int) string {
	t.Helper()
	id := w.start(t, image2)
	w.wait(t, "the first gate is open", atGate("start-ab-test"))
	w.approve(t, id, "start-ab-test")
	w.wait(t, "the weight is in force", at("gray", stage))
	return id
}

func TestACanaryDeploymentThatIsDeletedByHandComesBackWhileStableServes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pipeline.with("hold: 1s", "hold: 8s"))
	loads := w.users(t, beta)
	id := w.toGray(t, 1)
	w.hang(w.pro, image2) // to have time to read the messages while it comes back
	require.NoError(t, w.c.Client.AppsV1().Deployments(w.pro).Delete(t.Context(), "k8s-flask-canary", metav1.DeleteOptions{}))
	w.explained(t, "k8s-flask-canary: it was deleted by another writer, and was made again: ")
	w.explained(t, "no ready endpoints behind Service k8s-flask-canary: all requests go to stable")
	await.Until(t, "the canary is made again", func() string {
		w.revive(t, w.pro, image2) // in each attempt: a pod that was bound just before the last one would hang forever
		d, err := w.c.Client.AppsV1().Deployments(w.pro).Get(t.Context(), "k8s-flask-canary", metav1.GetOptions{})
		switch {
		case err != nil:
			return err.Error()
		case imageOf(d) != image2 || d.Status.AvailableReplicas == 0:
			return "it has changed"
		}
		return ""
	})
	w.wait(t, "the second gate is open", atGate("full-release"))
	require.Contains(t, w.told(t, id, "drifted"), "k8s-flask-canary: it was deleted by another writer, and is made again")
	require.NotContains(t, w.told(t, id, "drifted"), "endpoints", "nobody has edited the routes")
	require.Contains(t, w.told(t, id, "notInForce"), "no ready endpoints behind Service k8s-flask-canary")
	w.approve(t, id, "full-release")
	v := w.wait(t, "the release has ended", ended)
	require.Equal(t, "released", v.State.Outcome, v.State.Why)
	require.Positive(t, loads[0].Counts().Answered("2"))
}

func TestEndpointsThatVanishInGrayLeaveTheUsersToStable(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pipeline.with("hold: 1s", "hold: 8s"))
	loads := w.users(t, beta)
	id := w.toGray(t, 1)
	w.hang(w.pro, image2)
	err := w.c.Client.CoreV1().Pods(w.pro).DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "app=k8s-flask-canary"})
	require.NoError(t, err)
	w.explained(t, "all requests go to stable")
	before := loads[0].Counts().Answered("1")
	await.Until(t, "stable answers", func() string {
		if loads[0].Counts().Answered("1") > before+200 {
			return ""
		}
		return "not yet"
	})
	v, err := w.view()
	require.NoError(t, err)
	require.Equal(t, "active", v.State.Phase, "it is shown, but not counted as a failure of the canary")
	require.False(t, v.State.InForce)
	require.Contains(t, w.told(t, id, "notInForce"), "no ready endpoints behind Service k8s-flask-canary")
	require.Empty(t, w.told(t, id, "drifted"), "nobody has changed anything")
	status, text := w.call(http.MethodPost, "/api/v1/releases/"+id+"/rollback", map[string]string{"reason": "by hand"}, nil)
	require.Equal(t, http.StatusOK, status, text)
	v = w.wait(t, "the release has ended", ended)
	require.Equal(t, "rolledBack", v.State.Outcome)
}

func TestATraefikServiceEditedByHandIsRestored(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pipeline.with("hold: 1s", "hold: 8s"))
	loads := w.users(t, beta)
	id := w.toGray(t, 1)
	status, text := w.call(http.MethodPost, "/api/v1/releases/"+id+"/pause", map[string]string{"reason": "look"}, nil)
	require.Equal(t, http.StatusOK, status, text)
	w.c.Apply(t, w.pro, `{apiVersion: traefik.io/v1alpha1, kind: TraefikService, metadata: {name: k8s-flask}, spec: {weighted: {services: [{name: k8s-flask, port: 80, weight: 1}, {name: k8s-flask-canary, port: 80, weight: 1}]}}}`)
	await.Until(t, "the release reports it", func() string {
		for _, e := range w.events(t, id) {
			if e.Kind == "drifted" {
				return ""
			}
		}
		return "no event yet"
	})
	w.wait(t, "it is in force again", func(v view) bool { return v.State.InForce && v.Confirmation == "in force" })
	status, text = w.call(http.MethodPost, "/api/v1/releases/"+id+"/rollback", map[string]string{"reason": "by hand"}, nil)
	require.Equal(t, http.StatusOK, status, text)
	w.wait(t, "the release has ended", ended)
	w.asBefore(t, loads)
}

func TestAnImageThatCannotBePulledEndsTheReleaseBeforeTrafficMoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pipeline.with("deadline: 5m", "deadline: 1m"))
	loads := w.users(t, beta)
	w.c.SetImage(w.dev, image2, testcluster.Image{Fate: testcluster.PullError})
	w.start(t, image2)
	w.explained(t, "ImagePullBackOff")
	v := w.wait(t, "the release has ended", ended)
	require.Equal(t, "cancelled", v.State.Outcome, v.State.Why)
	require.Contains(t, v.State.Why, "ImagePullBackOff")
	noRequestFailed(t, loads)
	require.Zero(t, loads[0].Counts().Answered("2"))
}

func TestAMigrationThatIsDeletedByHandEndsTheRelease(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pipeline)
	loads := w.users(t, beta)
	w.c.SetImage(w.pro, image2, testcluster.Image{Fate: testcluster.Hang})
	w.start(t, image2)
	var name string
	await.Until(t, "the Job is there", func() string {
		jobs, err := w.c.Client.BatchV1().Jobs(w.pro).List(t.Context(), metav1.ListOptions{})
		require.NoError(t, err)
		if len(jobs.Items) == 0 || jobs.Items[0].Status.Active == 0 {
			return "not yet"
		}
		name = jobs.Items[0].Name
		return ""
	})
	background := metav1.DeletePropagationBackground
	require.NoError(t, w.c.Client.BatchV1().Jobs(w.pro).Delete(t.Context(), name, metav1.DeleteOptions{PropagationPolicy: &background}))
	v := w.wait(t, "the release has ended", ended)
	require.Equal(t, "cancelled", v.State.Outcome)
	require.Contains(t, v.State.Why, "deleted")
	noRequestFailed(t, loads)
}

func TestANewTemplateStartsAReleaseAndSupersedesTheOneUnderWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pipeline)
	loads := w.users(t, beta)
	first := w.start(t, image2)
	w.pass(t, first, "start-ab-test")
	w.wait(t, "the second gate is open", atGate("full-release"))
	const image3 = "registry.example.com/flask:3"
	patch := []byte(`{"spec":{"template":{"spec":{"containers":[{"name":"flask","image":"` + image3 + `"}]}}}}`)
	_, err := w.c.Client.AppsV1().Deployments(w.pro).Patch(t.Context(), "k8s-flask-canary", types.StrategicMergePatchType, patch, metav1.PatchOptions{FieldManager: "ci"})
	require.NoError(t, err)
	v := w.wait(t, "another release is at its first gate", func(v view) bool { return v.Release.ID != first && v.Gate == "start-ab-test" })
	events := w.events(t, first)
	require.Equal(t, "ended", events[len(events)-1].Kind)
	second := v.Release.ID
	w.approve(t, second, "start-ab-test")
	w.wait(t, "the second gate is open", atGate("full-release"))
	w.approve(t, second, "full-release")
	v = w.wait(t, "the release has ended", ended)
	require.Equal(t, "released", v.State.Outcome, v.State.Why)
	require.Equal(t, image3, imageOf(w.deployment(t, w.pro, "k8s-flask")))
	require.Zero(t, loads[0].Counts().Broken)
	require.Positive(t, loads[0].Counts().Answered("3"))
}

func TestADaemonWithoutRightsSaysSoAndContinuesOnceItGetsThem(t *testing.T) {
	t.Parallel()
	powerless := pipeline
	powerless.powerless = true
	w := newWorld(t, powerless)
	me := "system:serviceaccount:" + w.home + ":serin"
	w.explained(t, "forbidden")
	w.explained(t, me)
	w.start(t, image2)
	w.wait(t, "the release says what is not allowed", func(v view) bool {
		text := strings.Join(v.Trouble, "; ")
		return v.State.StepName == "migrate-database" && strings.Contains(text, "jobs") && strings.Contains(text, "forbidden") && strings.Contains(text, me)
	})
	w.grant(t)
	w.wait(t, "the first gate is open", atGate("start-ab-test"))
	w.explainedNoMore(t, "forbidden")
}

func TestRightsThatAreTakenAwayInGrayStopTheReleaseAndHurtNoUser(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pipeline.with("hold: 1s", "hold: 8s"))
	loads := w.users(t, beta)
	id := w.toGray(t, 1)
	w.revoke(t)
	w.explained(t, "forbidden") // at the next write: the API server does not end watches because of that
	v := w.wait(t, "the release holds", func(v view) bool { return !v.State.InForce })
	require.Equal(t, 2, v.State.Stage)
	status, text := w.call(http.MethodPost, "/api/v1/releases/"+id+"/rollback", map[string]string{"reason": "by hand"}, nil)
	require.Equal(t, http.StatusOK, status, text)
	w.wait(t, "it says why it does not go back", func(v view) bool {
		return v.State.Phase == "rollingBack" && strings.Contains(strings.Join(v.Trouble, "; "), "forbidden")
	})
	noRequestFailed(t, loads)
	w.grant(t)
	v = w.wait(t, "the release has ended", ended)
	require.Equal(t, "rolledBack", v.State.Outcome)
	w.asBefore(t, loads)
}

func TestAReleaseSucceedsIfEveryWriteComesTooLateTwice(t *testing.T) {
	t.Parallel()
	meddled := pipeline.with("hold: 1s", "hold: 2s")
	meddled.meddled = true
	w := newWorld(t, meddled)
	w.between.setLate(2)
	loads := w.users(t, beta)
	id := w.toGray(t, 0)
	w.wait(t, "the second gate is open", atGate("full-release"))
	w.between.setLate(1_000_000)
	w.approve(t, id, "full-release")
	w.explained(t, "another writer changed it at every attempt between reading and writing it")
	noRequestFailed(t, loads)
	w.between.setLate(2)
	v := w.wait(t, "the release has ended", ended)
	require.Equal(t, "released", v.State.Outcome, v.State.Why)
	for _, e := range w.events(t, id) {
		require.NotEqual(t, "drifted", e.Kind, "nothing of Serin's was changed: %v", e)
	}
	noRequestFailed(t, loads)
	w.between.mu.Lock()
	defer w.between.mu.Unlock()
	require.Greater(t, w.between.conflicts, 20)
}

// The API server accepts requests without answering. Nothing waits for it, and once it answers again, traffic goes
// back.
func TestAPersonIsAnsweredWhileTheAPIServerIsSilent(t *testing.T) {
	t.Parallel()
	apart := pipeline.with("hold: 1s", "hold: 8s")
	apart.apart = true
	w := newWorld(t, apart)
	loads := w.users(t, beta)
	id := w.toGray(t, 1)
	require.NoError(t, w.apiServer.Signal(syscall.SIGSTOP))
	w.wait(t, "the next weight cannot be written", func(v view) bool { return v.State.Stage == 2 && !v.State.InForce })
	begin := time.Now()
	status, text := w.call(http.MethodPost, "/api/v1/releases/"+id+"/rollback", map[string]string{"reason": "by hand"}, nil)
	require.Equal(t, http.StatusOK, status, text)
	t.Logf("%v until a person's rollback is answered by a daemon whose API server is silent", time.Since(begin).Round(time.Millisecond))
	v := w.wait(t, "it says why it does not go back", func(v view) bool {
		return strings.Contains(strings.Join(v.Trouble, "; "), "the API server does not answer")
	})
	require.Equal(t, "rollingBack", v.State.Phase)
	w.explained(t, "the API server does not answer")
	noRequestFailed(t, loads)
	require.NoError(t, w.apiServer.Signal(syscall.SIGCONT))
	v = w.wait(t, "the release has ended", ended)
	require.Equal(t, "rolledBack", v.State.Outcome, v.State.Why)
	w.logRollback(t, id)
	w.asBefore(t, loads)
}

func TestConstantlyClosedWatchesDoNoHarm(t *testing.T) {
	t.Parallel()
	meddled := pipeline
	meddled.meddled = true
	w := newWorld(t, meddled)
	stop := make(chan struct{})
	var cutting sync.WaitGroup
	cutting.Go(func() {
		tick := time.NewTicker(300 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				w.between.cutWatches()
			}
		}
	})
	t.Cleanup(func() { close(stop); cutting.Wait() })
	loads := w.users(t, beta)
	id := w.toGray(t, 0)
	w.wait(t, "the second gate is open", atGate("full-release"))
	w.approve(t, id, "full-release")
	v := w.wait(t, "the release has ended", ended)
	require.Equal(t, "released", v.State.Outcome, v.State.Why)
	noRequestFailed(t, loads)
	w.between.mu.Lock()
	defer w.between.mu.Unlock()
	require.Greater(t, w.between.cut, 50)
}

func TestAReleaseSurvivesThatTheAPIServerIsKilledInTheMiddleOfEveryStep(t *testing.T) {
	t.Parallel()
	apart := pipeline.with("hold: 1s", "hold: 3s", "min: 1s", "min: 3s")
	apart.apart = true
	w := newWorld(t, apart)
	outage := func() {
		require.NoError(t, w.apiServer.Kill())
		w.explained(t, "connection refused")
		require.NoError(t, w.apiServer.Restart(t.Context()))
	}
	loads := w.users(t, beta)
	w.hang(w.pro, image2) // the migration
	w.hang(w.dev, image2)
	id := w.start(t, image2)
	w.runs(t, w.pro, image2)
	outage()
	w.revive(t, w.pro, image2)
	w.runs(t, w.dev, image2)
	outage()
	w.revive(t, w.dev, image2)
	w.wait(t, "the first gate is open", atGate("start-ab-test"))
	outage()
	w.approve(t, id, "start-ab-test")
	w.wait(t, "the A/B test is in force", at("ab", 0))
	outage()
	w.wait(t, "a weight is in force", at("gray", 1))
	outage()
	w.wait(t, "the second gate is open", atGate("full-release"))
	outage()
	noRequestFailed(t, loads)
	for _, e := range w.events(t, id) {
		require.NotEqual(t, "drifted", e.Kind, "nobody has changed anything: %v", e)
	}
	w.approve(t, id, "full-release")
	outage()
	v := w.wait(t, "the release has ended", ended)
	require.Equal(t, "released", v.State.Outcome, v.State.Why)
	require.Equal(t, image2, imageOf(w.deployment(t, w.pro, "k8s-flask")))
	noRequestFailed(t, loads)
}
