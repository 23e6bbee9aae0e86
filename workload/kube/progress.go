package kube

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/serindev/serin/workload"
)

// maxRestarts is how often a container may restart before its crash loop counts as permanent: with the kubelet's back-off
// that takes more than a minute.
const maxRestarts = 4

// revisionAnnotation is the Deployment controller's: the newest ReplicaSet has the same value as the Deployment.
const revisionAnnotation = "deployment.kubernetes.io/revision"

// progress says how close a Deployment is to its own specification, going by its controller and its pods, as [own] finds them.
func progress(d *appsv1.Deployment, newest, all []*corev1.Pod, now time.Time, patience time.Duration) (workload.Phase, string) {
	if d.Status.ObservedGeneration < d.Generation {
		return workload.Progressing, "its controller has not seen the change yet"
	}
	want := int32(1)
	if d.Spec.Replicas != nil {
		want = *d.Spec.Replicas
	}
	s := d.Status
	switch {
	case want == 0 && s.Replicas == 0 && len(all) == 0:
		return workload.Ready, ""
	case want == 0:
		return workload.Progressing, fmt.Sprintf("%d of its pods have not ended yet", max(int(s.Replicas), len(all)))
	case s.UpdatedReplicas == want && s.Replicas == want && s.AvailableReplicas == want:
		return workload.Ready, ""
	}
	why := fmt.Sprintf("%d of %d pods are new, %d are available", s.UpdatedReplicas, want, s.AvailableReplicas)
	if old := s.Replicas - s.UpdatedReplicas; old > 0 {
		why += fmt.Sprintf(", %d old ones are left", old)
	}
	if d.Spec.Paused {
		return workload.Progressing, why + "; it is paused"
	}
	phase := workload.Progressing
	for _, pod := range newest {
		problem, fatal := trouble(pod, now, patience)
		if problem == "" {
			continue
		}
		why += "; " + problem
		if fatal {
			phase = workload.Failed
		}
		break // one is enough to begin with
	}
	for _, c := range s.Conditions {
		switch {
		case c.Type == appsv1.DeploymentProgressing && c.Reason == "ProgressDeadlineExceeded":
			phase, why = workload.Failed, why+"; "+c.Message
		case c.Type == appsv1.DeploymentReplicaFailure && c.Status == corev1.ConditionTrue:
			why += "; " + c.Message // a quota, or an admission policy
		}
	}
	return phase, why
}

// progressOf says how close a Deployment or StatefulSet is to its own specification.
func (c *Cluster) progressOf(ctx context.Context, o *unstructured.Unstructured) (workload.Phase, string, error) {
	phase, why, _, err := c.podsOf(ctx, o)
	return phase, why, err
}

// podsOf is [Cluster.progressOf] with the times at which the pods became ready; none while the pods are not watched, as a
// restart would be missed.
func (c *Cluster) podsOf(ctx context.Context, o *unstructured.Unstructured) (workload.Phase, string, []time.Time, error) {
	list, err := all[*corev1.Pod](ctx, c, pods, o.GetNamespace())
	if err != nil {
		return "", "", nil, err
	}
	read := func(typed any) error {
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, typed); err != nil {
			return fmt.Errorf("read %s %s/%s: %w", o.GetKind(), o.GetNamespace(), o.GetName(), err)
		}
		return nil
	}
	if o.GetKind() == workload.StatefulSet {
		var set appsv1.StatefulSet
		if err := read(&set); err != nil {
			return "", "", nil, err
		}
		newest, mine := ownSet(&set, list)
		phase, why := setProgress(&set, newest, mine, time.Now(), c.patience)
		return phase, why, c.readyTimes(o, newest), nil
	}
	var d appsv1.Deployment
	if err := read(&d); err != nil {
		return "", "", nil, err
	}
	sets, err := all[*appsv1.ReplicaSet](ctx, c, replicaSets, o.GetNamespace())
	if err != nil {
		return "", "", nil, err
	}
	newest, mine := own(&d, sets, list)
	phase, why := progress(&d, newest, mine, time.Now(), c.patience)
	return phase, why, c.readyTimes(o, newest), nil
}

// readyTimes is [readySince] for the pods of a Deployment or StatefulSet.
func (c *Cluster) readyTimes(o *unstructured.Unstructured, newest []*corev1.Pod) []time.Time {
	if !c.watched(pods, o.GetNamespace()) {
		return nil
	}
	return readySince(newest)
}

// readySince is when each pod that is ready became so: after its start, or after its container was restarted.
func readySince(pods []*corev1.Pod) (out []time.Time) {
	for _, p := range pods {
		if c := condition(p, corev1.PodReady); c != nil && c.Status == corev1.ConditionTrue && !c.LastTransitionTime.IsZero() {
			out = append(out, c.LastTransitionTime.Time)
		}
	}
	return out
}

// setProgress says how close a StatefulSet is, as [progress] does for a Deployment.
func setProgress(s *appsv1.StatefulSet, newest, all []*corev1.Pod, now time.Time, patience time.Duration) (workload.Phase, string) {
	if s.Spec.UpdateStrategy.Type == appsv1.OnDeleteStatefulSetStrategyType {
		return workload.Failed, "its updateStrategy is OnDelete, so nothing replaces its pods: expected RollingUpdate"
	}
	if r := s.Spec.UpdateStrategy.RollingUpdate; r != nil && r.Partition != nil && *r.Partition > 0 {
		return workload.Failed, fmt.Sprintf("its updateStrategy leaves %d pods at the old template (partition): expected none", *r.Partition)
	}
	if s.Status.ObservedGeneration < s.Generation {
		return workload.Progressing, "its controller has not seen the change yet"
	}
	want := int32(1)
	if s.Spec.Replicas != nil {
		want = *s.Spec.Replicas
	}
	at := s.Status
	updated := at.UpdatedReplicas
	if at.CurrentRevision == at.UpdateRevision {
		updated = at.Replicas
	}
	switch {
	case want == 0 && at.Replicas == 0 && len(all) == 0:
		return workload.Ready, ""
	case want == 0:
		return workload.Progressing, fmt.Sprintf("%d of its pods have not ended yet", max(int(at.Replicas), len(all)))
	case updated == want && at.Replicas == want && at.AvailableReplicas == want:
		return workload.Ready, ""
	}
	why := fmt.Sprintf("%d of %d pods are new, %d are available", updated, want, at.AvailableReplicas)
	for _, pod := range newest {
		if problem, fatal := trouble(pod, now, patience); fatal {
			return workload.Failed, why + "; " + problem
		} else if problem != "" {
			return workload.Progressing, why + "; " + problem
		}
	}
	return workload.Progressing, why
}

// ownSet is [own] for a StatefulSet, whose pods are its own.
func ownSet(s *appsv1.StatefulSet, pods []*corev1.Pod) (newest, all []*corev1.Pod) {
	for _, p := range pods {
		if !metav1.IsControlledBy(p, s) {
			continue
		}
		if p.Status.Phase != corev1.PodFailed && p.Status.Phase != corev1.PodSucceeded {
			all = append(all, p)
		}
		if p.Labels[appsv1.StatefulSetRevisionLabel] == s.Status.UpdateRevision && p.DeletionTimestamp == nil {
			newest = append(newest, p)
		}
	}
	worstFirst(newest)
	return newest, all
}

// worstFirst sorts pods by their trouble.
func worstFirst(pods []*corev1.Pod) {
	slices.SortFunc(pods, func(a, b *corev1.Pod) int {
		return cmp.Or(cmp.Compare(severity(b), severity(a)), cmp.Compare(a.Name, b.Name))
	})
}

// own returns a Deployment's pods, and those of its newest ReplicaSet that are not being deleted, the ones in trouble
// first.
func own(d *appsv1.Deployment, sets []*appsv1.ReplicaSet, pods []*corev1.Pod) (newest, all []*corev1.Pod) {
	mine := map[string]bool{} // by UID; true for the newest
	for _, s := range sets {
		if metav1.IsControlledBy(s, d) {
			mine[string(s.UID)] = s.Annotations[revisionAnnotation] == d.Annotations[revisionAnnotation]
		}
	}
	for _, p := range pods {
		owner := metav1.GetControllerOf(p)
		if owner == nil {
			continue
		}
		isNewest, ok := mine[string(owner.UID)]
		if !ok {
			continue
		}
		if p.Status.Phase != corev1.PodFailed && p.Status.Phase != corev1.PodSucceeded {
			all = append(all, p) // an evicted pod's object stays, and runs nothing
		}
		if isNewest && p.DeletionTimestamp == nil {
			newest = append(newest, p)
		}
	}
	worstFirst(newest)
	return newest, all
}

// severity orders pods by how telling their trouble is.
func severity(p *corev1.Pod) int {
	for _, c := range statuses(p) {
		if c.State.Waiting != nil && (hopeless[c.State.Waiting.Reason] || c.State.Waiting.Reason == "CrashLoopBackOff") {
			return 3
		}
		if c.State.Terminated != nil && c.State.Terminated.ExitCode != 0 {
			return 2
		}
	}
	if c := condition(p, corev1.PodScheduled); c != nil && c.Status == corev1.ConditionFalse {
		return 1
	}
	return 0
}

// hopeless are reasons for a container to wait that do not go away by themselves: they concern its image or its
// configuration.
var hopeless = map[string]bool{
	"ErrImagePull": true, "ImagePullBackOff": true, "InvalidImageName": true, "ErrImageNeverPull": true, "ImageInspectError": true,
	"CreateContainerConfigError": true, "CreateContainerError": true, "RunContainerError": true,
}

// trouble says in a sentence what keeps a pod from being ready, and whether that is permanent; empty if nothing does.
func trouble(p *corev1.Pod, now time.Time, patience time.Duration) (why string, fatal bool) {
	if c := condition(p, corev1.PodScheduled); c != nil && c.Status == corev1.ConditionFalse {
		return fmt.Sprintf("pod %s cannot be scheduled: %s", p.Name, c.Message), false
	}
	since := p.CreationTimestamp.Time
	if c := condition(p, corev1.ContainersReady); c != nil && c.Status == corev1.ConditionFalse {
		since = c.LastTransitionTime.Time
	}
	long := now.Sub(since) >= patience
	for _, c := range statuses(p) {
		w, t := c.State.Waiting, c.State.Terminated
		switch {
		case w != nil && w.Reason == "CrashLoopBackOff":
			why := fmt.Sprintf("container %s of pod %s: CrashLoopBackOff after %d restarts", c.Name, p.Name, c.RestartCount)
			if last := c.LastTerminationState.Terminated; last != nil {
				why += fmt.Sprintf(", it ends with exit code %d (%s)", last.ExitCode, last.Reason)
			}
			return why, c.RestartCount >= maxRestarts
		case w != nil && hopeless[w.Reason]:
			return fmt.Sprintf("container %s of pod %s: %s: %s", c.Name, p.Name, w.Reason, w.Message), long || w.Reason == "InvalidImageName"
		case t != nil && t.ExitCode != 0:
			return fmt.Sprintf("container %s of pod %s ended with exit code %d (%s)", c.Name, p.Name, t.ExitCode, t.Reason), false
		}
	}
	for _, c := range p.Status.ContainerStatuses {
		if c.State.Running != nil && !c.Ready {
			return fmt.Sprintf("container %s of pod %s runs and is not ready", c.Name, p.Name), false
		}
	}
	return "", false
}

func statuses(p *corev1.Pod) []corev1.ContainerStatus {
	return slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses)
}

func condition(p *corev1.Pod, kind corev1.PodConditionType) *corev1.PodCondition {
	for i := range p.Status.Conditions {
		if p.Status.Conditions[i].Type == kind {
			return &p.Status.Conditions[i]
		}
	}
	return nil
}
