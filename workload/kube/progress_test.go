package kube

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/serindev/serin/workload"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func ownedBy(uid types.UID, kind string) []metav1.OwnerReference {
	return []metav1.OwnerReference{{UID: uid, Kind: kind, Controller: new(true)}}
}

// deploymentOf is a Deployment of two replicas with two ReplicaSets, of which "new" has the newest revision.
func deploymentOf(status appsv1.DeploymentStatus) (*appsv1.Deployment, []*appsv1.ReplicaSet) {
	revision := func(r string) map[string]string { return map[string]string{revisionAnnotation: r} }
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{UID: "d", Generation: 2, Annotations: revision("2")}, Spec: appsv1.DeploymentSpec{Replicas: new(int32(2))}, Status: status}
	return d, []*appsv1.ReplicaSet{
		{ObjectMeta: metav1.ObjectMeta{UID: "old", Annotations: revision("1"), OwnerReferences: ownedBy("d", "Deployment")}},
		{ObjectMeta: metav1.ObjectMeta{UID: "new", Annotations: revision("2"), OwnerReferences: ownedBy("d", "Deployment")}},
		{ObjectMeta: metav1.ObjectMeta{UID: "other", Annotations: revision("2"), OwnerReferences: ownedBy("x", "Deployment")}},
	}
}

// waits is a pod whose container has been waiting for half a minute, for a reason.
func waits(set types.UID, reason string, restarts int32) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "pod-" + string(set), OwnerReferences: ownedBy(set, "ReplicaSet")},
		Status: corev1.PodStatus{
			Conditions: []corev1.PodCondition{{Type: corev1.ContainersReady, Status: corev1.ConditionFalse, LastTransitionTime: metav1.NewTime(noon.Add(-30 * time.Second))}},
			ContainerStatuses: []corev1.ContainerStatus{{
				Name: "app", RestartCount: restarts, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: "so"}},
			}},
		},
	}
}

func TestProgressIsReadFromControllerAndPods(t *testing.T) {
	onTheWay := appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: 3, UpdatedReplicas: 1, AvailableReplicas: 2}
	for name, c := range map[string]struct {
		status   appsv1.DeploymentStatus
		pods     []*corev1.Pod
		patience time.Duration
		phase    workload.Phase
		why      string
	}{
		"a change that the controller has not seen is not ready, whatever the numbers": {
			appsv1.DeploymentStatus{ObservedGeneration: 1, Replicas: 2, UpdatedReplicas: 2, AvailableReplicas: 2}, nil, 0, workload.Progressing, "its controller has not seen the change yet"},
		"all new, all available": {
			appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: 2, UpdatedReplicas: 2, AvailableReplicas: 2}, nil, 0, workload.Ready, ""},
		"an old one is left": {
			appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: 3, UpdatedReplicas: 2, AvailableReplicas: 2}, nil, 0, workload.Progressing, "2 of 2 pods are new, 2 are available, 1 old ones are left"},
		"an image that could not be pulled for a short while is mentioned": {
			onTheWay, []*corev1.Pod{waits("new", "ErrImagePull", 0)}, time.Minute, workload.Progressing,
			"1 of 2 pods are new, 2 are available, 2 old ones are left; container app of pod pod-new: ErrImagePull: so"},
		"for a long while it is a failure": {
			onTheWay, []*corev1.Pod{waits("new", "ErrImagePull", 0)}, 30 * time.Second, workload.Failed,
			"1 of 2 pods are new, 2 are available, 2 old ones are left; container app of pod pod-new: ErrImagePull: so"},
		"an invalid name is a failure at once": {
			onTheWay, []*corev1.Pod{waits("new", "InvalidImageName", 0)}, time.Minute, workload.Failed,
			"1 of 2 pods are new, 2 are available, 2 old ones are left; container app of pod pod-new: InvalidImageName: so"},
		"a few restarts are mentioned": {
			onTheWay, []*corev1.Pod{waits("new", "CrashLoopBackOff", 3)}, 0, workload.Progressing,
			"1 of 2 pods are new, 2 are available, 2 old ones are left; container app of pod pod-new: CrashLoopBackOff after 3 restarts"},
		"four are a failure": {
			onTheWay, []*corev1.Pod{waits("new", "CrashLoopBackOff", 4)}, time.Minute, workload.Failed,
			"1 of 2 pods are new, 2 are available, 2 old ones are left; container app of pod pod-new: CrashLoopBackOff after 4 restarts"},
		"pods of the old version and of others do not count": {
			onTheWay, []*corev1.Pod{waits("old", "CrashLoopBackOff", 40), waits("other", "CrashLoopBackOff", 40)}, 0, workload.Progressing,
			"1 of 2 pods are new, 2 are available, 2 old ones are left"},
	} {
		t.Run(name, func(t *testing.T) {
			d, sets := deploymentOf(c.status)
			newest, all := own(d, sets, c.pods)
			phase, why := progress(d, newest, all, noon, c.patience)
			require.Equal(t, c.phase, phase)
			require.Equal(t, c.why, why)
		})
	}
}

func TestZeroReplicasAreReadyOnlyWithoutPods(t *testing.T) {
	d, sets := deploymentOf(appsv1.DeploymentStatus{ObservedGeneration: 2})
	d.Spec.Replicas = new(int32(0))
	ending := waits("old", "", 0)
	newest, all := own(d, sets, []*corev1.Pod{ending})
	phase, why := progress(d, newest, all, noon, 0)
	require.Equal(t, workload.Progressing, phase)
	require.Equal(t, "1 of its pods have not ended yet", why)
	phase, _ = progress(d, nil, nil, noon, 0)
	require.Equal(t, workload.Ready, phase)
}

func TestAShareIsRoundedUpAndAtLeastOne(t *testing.T) {
	for _, c := range []struct {
		share   float64
		of, got int64
	}{{0.1, 10, 1}, {0.1, 11, 2}, {0, 10, 1}, {0.5, 0, 1}, {1, 7, 7}, {0.07, 100, 7}, {0.001, 3, 1}, {0.75, 4, 3}} {
		require.Equal(t, c.got, shareOf(c.share, c.of), "%v of %d", c.share, c.of)
	}
}

func TestLogLinesHaveNoTerminalCommands(t *testing.T) {
	require.Empty(t, cleanLines(""))
	require.Equal(t, []string{"a\tb", "", "c[2Jd"}, cleanLines("a\tb\r\n\nc\x1b[2Jd\n"))
	require.Len(t, cleanLines(string(make([]byte, logBytes+10))), 1)
}

func TestTheAgeOfAPodIsHowLongItHasBeenReady(t *testing.T) {
	ready := func(at time.Time, is corev1.ConditionStatus) *corev1.Pod {
		return &corev1.Pod{Status: corev1.PodStatus{Conditions: []corev1.PodCondition{
			{Type: corev1.ContainersReady, Status: is, LastTransitionTime: metav1.NewTime(at.Add(-time.Minute))},
			{Type: corev1.PodReady, Status: is, LastTransitionTime: metav1.NewTime(at)},
		}}}
	}
	restarted := noon.Add(time.Hour)
	require.Equal(t, []time.Time{noon, restarted}, readySince([]*corev1.Pod{
		ready(noon, corev1.ConditionTrue), {}, ready(noon, corev1.ConditionFalse), ready(restarted, corev1.ConditionTrue), ready(time.Time{}, corev1.ConditionUnknown),
	}))
}
