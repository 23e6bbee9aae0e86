package kube_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed/testcluster"
	"github.com/serindev/serin/workload"
)

func (p *place) job(step, image string) workload.Job {
	return workload.Job{
		Key: release + "/" + step, Namespace: p.ns, Deadline: time.Minute,
		Manifest: json.RawMessage(fmt.Sprintf(`{"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "ignored", "labels": {"mine": "too"}},
			"spec": {"backoffLimit": 0, "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "migrate", "image": %q}]}}}}`, image)),
	}
}

// runs applies until a Job is in a phase.
func (p *place) runs(j workload.Job, phase workload.Phase) workload.Status {
	p.t.Helper()
	var s workload.Status
	p.eventually(func() bool {
		var err error
		s, err = p.kube.Run(p.t.Context(), j)
		require.NoError(p.t, err)
		return s.Phase == phase
	})
	require.Equal(p.t, phase, s.Phase, s.Why)
	return s
}

func TestAJobRunsOnceAndLeavesItsLastLines(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.c.SetImage(p.ns, "migrate:1", testcluster.Image{Log: "one\n\x1b[31mtwo\n"})
	j := p.job("Migrate_the-Database of all the customers that we have ever had", "migrate:1")
	s := p.runs(j, workload.Ready)
	require.Equal(t, []string{"one", "[31mtwo"}, s.Log)
	require.LessOrEqual(t, len(s.Name.Name), 63)

	p.kube = p.connect(p.c.Config) // another Serin adopts it
	require.Equal(t, s.Name, p.runs(j, workload.Ready).Name)
	list, err := p.c.Client.BatchV1().Jobs(p.ns).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Len(t, list.Items, 1)
	require.Equal(t, "too", list.Items[0].Labels["mine"])
	require.Equal(t, release, list.Items[0].Labels["serin.dev/release"])
	require.Equal(t, int64(120), *list.Items[0].Spec.ActiveDeadlineSeconds, "Kubernetes ends it if no Serin does")
}

func TestAFailedJobHasTheLogsOfItsPods(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.c.SetImage(p.ns, "migrate:bad", testcluster.Image{Fate: testcluster.Fail, Log: "no such table\n"})
	s := p.runs(p.job("migrate", "migrate:bad"), workload.Failed)
	require.Contains(t, s.Why, "BackoffLimitExceeded")
	require.Contains(t, s.Why, "ended with exit code 1")
	require.Equal(t, []string{"no such table"}, s.Log)
}

func TestAJobIsSuspendedAtItsDeadline(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.c.SetImage(p.ns, "migrate:slow", testcluster.Image{Fate: testcluster.Hang})
	j := p.job("migrate", "migrate:slow")
	j.Deadline = 15 * time.Second // long enough for its pod to start, on a busy machine too
	s := p.runs(j, workload.Failed)
	require.Contains(t, s.Why, "it has not ended within 15s, and was suspended")
	require.Equal(t, []string{"migrate:slow has started"}, s.Log)
	job, err := p.c.Client.BatchV1().Jobs(p.ns).Get(t.Context(), s.Name.Name, metav1.GetOptions{})
	require.NoError(t, err)
	require.True(t, *job.Spec.Suspend)
	p.eventually(func() bool {
		list, err := p.c.Client.CoreV1().Pods(p.ns).List(t.Context(), metav1.ListOptions{LabelSelector: "batch.kubernetes.io/job-name=" + s.Name.Name})
		return err == nil && len(list.Items) == 0
	})
	require.Contains(t, p.runs(j, workload.Failed).Why, "was suspended", "and stays suspended")
}

// stop is the target for a Job of a release that goes back.
func (p *place) stop(j workload.Job) workload.Target {
	t := p.target(release)
	t.Stop = []workload.JobName{{Key: j.Key, Namespace: j.Namespace}}
	return t
}

func TestAJobThatNobodyWaitsForIsSuspended(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.c.SetImage(p.ns, "migrate:slow", testcluster.Image{Fate: testcluster.Hang})
	j := p.job("migrate", "migrate:slow")
	s := p.runs(j, workload.Progressing)
	pods := func() int {
		list, err := p.c.Client.CoreV1().Pods(p.ns).List(t.Context(), metav1.ListOptions{LabelSelector: "batch.kubernetes.io/job-name=" + s.Name.Name})
		require.NoError(t, err)
		return len(list.Items)
	}
	p.eventually(func() bool { _, err := p.kube.Run(t.Context(), j); return err == nil && pods() == 1 })
	p.kube = p.connect(p.c.Config) // another Serin has taken the release up
	for range 2 {
		_, err := p.kube.Apply(t.Context(), p.stop(j))
		require.NoError(t, err)
	}
	job, err := p.c.Client.BatchV1().Jobs(p.ns).Get(t.Context(), s.Name.Name, metav1.GetOptions{})
	require.NoError(t, err)
	require.True(t, *job.Spec.Suspend)
	await.True(t, func() bool { return pods() == 0 })
	events, err := p.c.Client.CoreV1().Events(p.ns).List(t.Context(), metav1.ListOptions{FieldSelector: "involvedObject.kind=Job,reason=Suspended,source=serin"})
	require.NoError(t, err)
	require.Len(t, events.Items, 1, "it is reported once")
}

func TestAJobThatNobodyWaitsForIsLeftAloneOnceEndedAndNeverMade(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	ended := p.job("ended", "migrate:1")
	s := p.runs(ended, workload.Ready)
	_, err := p.kube.Apply(t.Context(), p.stop(ended))
	require.NoError(t, err)
	job, err := p.c.Client.BatchV1().Jobs(p.ns).Get(t.Context(), s.Name.Name, metav1.GetOptions{})
	require.NoError(t, err)
	require.False(t, job.Spec.Suspend != nil && *job.Spec.Suspend)

	late := p.job("late", "migrate:1")
	_, err = p.kube.Apply(t.Context(), p.stop(late))
	require.NoError(t, err)
	require.Contains(t, p.runs(late, workload.Failed).Why, "no release waits for it")
	list, err := p.c.Client.BatchV1().Jobs(p.ns).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Len(t, list.Items, 1)
}

func TestAJobThatIsDeletedByHandIsNotRunAgain(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.c.SetImage(p.ns, "migrate:slow", testcluster.Image{Fate: testcluster.Hang})
	j := p.job("migrate", "migrate:slow")
	s := p.runs(j, workload.Progressing)
	background := metav1.DeletePropagationBackground
	require.NoError(t, p.c.Client.BatchV1().Jobs(p.ns).Delete(t.Context(), s.Name.Name, metav1.DeleteOptions{PropagationPolicy: &background}))
	s = p.runs(j, workload.Failed)
	require.Contains(t, s.Why, "deleted before it had ended")
	list, err := p.c.Client.BatchV1().Jobs(p.ns).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Empty(t, list.Items)
}

func TestAJobThatCannotBeMadeHasFailed(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	for name, c := range map[string]struct{ manifest, why string }{
		"another kind":      {`{"apiVersion": "v1", "kind": "Pod"}`, "expected a batch/v1 Job"},
		"another namespace": {`{"apiVersion": "batch/v1", "kind": "Job", "metadata": {"namespace": "kube-system"}, "spec": {}}`, "namespace kube-system"},
		"an unknown field":  {`{"apiVersion": "batch/v1", "kind": "Job", "spec": {"tempo": 1}}`, "tempo"},
		"no containers":     {`{"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": {"spec": {"restartPolicy": "Never"}}}}`, "containers"},
	} {
		t.Run(name, func(t *testing.T) {
			s := p.runs(workload.Job{Key: release + "/" + name, Namespace: p.ns, Manifest: json.RawMessage(c.manifest)}, workload.Failed)
			require.Contains(t, s.Why, c.why)
		})
	}
	require.Equal(t, "${x} has no value", p.runs(workload.Job{Key: "a/b", Namespace: p.ns, Unfilled: "${x} has no value"}, workload.Failed).Why)
}
