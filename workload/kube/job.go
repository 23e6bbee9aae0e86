package kube

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/json"

	"github.com/serindev/serin/workload"
)

const (
	// A finished Job is the only proof that it has run, so Kubernetes must keep it while a release may still ask: for at least
	// a day, or a week if the manifest does not say.
	minKept, kept = 24 * time.Hour, 7 * 24 * time.Hour
	// makeTimeout bounds one try to make a Job.
	makeTimeout = 15 * time.Second
	// grace is how much longer than its deadline a Job may run if no Serin is there to suspend it.
	grace = time.Minute
)

var jobResource = schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: jobs}

// jobName is the name of the Job for a key: the step's with a hash of the key.
func jobName(key string) string {
	step := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, key[strings.LastIndexByte(key, '/')+1:])
	sum := sha256.Sum256([]byte(key))
	// 63 is what the labels of its pods may have; its pods' names add to it.
	return strings.Trim("serin-"+strings.Trim(step, "-")[:min(len(strings.Trim(step, "-")), 40)], "-") + "-" + hex.EncodeToString(sum[:5])
}

// Run creates j unless it exists, without waiting for it, and says how far it has come. It is idempotent: the Job's name is
// derived from the key, and an existing Job is adopted, whichever Serin made it. An error means that the cluster could not
// be asked, or refused.
//
// Once a Job is to stop, this process never makes it, even if a call of Run is under way.
//
// A Job that was there and is gone has failed: it may have done its work or half of it, and is not run again. Only this
// process remembers that it existed; a Job that was deleted by hand while Serin was down is made again. At its deadline a
// Job is suspended, which ends its pods and keeps the record of what happened; if no Serin is there, Kubernetes ends it a
// minute later.
func (c *Cluster) Run(ctx context.Context, j workload.Job) (workload.Status, error) {
	name := workload.Name{Namespace: j.Namespace, Name: jobName(j.Key)}
	s := workload.Status{Name: name, Phase: workload.Failed, Why: j.Unfilled}
	if j.Unfilled != "" {
		return s, nil
	}
	if err := c.fill(ctx, j.Namespace, jobs, pods); err != nil {
		return s, err
	}
	job, err := c.job(ctx, name)
	switch {
	case err != nil:
		return s, err
	case job == nil && c.jobState(j.Key).there.Load():
		s.Why = "Job " + name.String() + " was deleted before it had ended; what it has done is not known"
		return s, nil
	case job == nil:
		return c.createJob(ctx, j, s)
	case job.Annotations[keyAnnotation] != j.Key:
		s.Why = "there is a Job " + name.String() + " that is not this release's"
		return s, nil
	}
	c.jobState(j.Key).there.Store(true)
	return c.jobStatus(ctx, job, j, s)
}

// jobState is what this process knows about a Job.
type jobState struct {
	there   atomic.Bool // it was seen
	making  sync.Mutex  // held while it is made, or stopped
	stopped bool        // it is not to be made; guarded by making
}

func (c *Cluster) jobState(key string) *jobState {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.jobs[key] == nil {
		c.jobs[key] = &jobState{}
	}
	return c.jobs[key]
}

// job is a Job, nil if it is not there, which only the API server itself can say.
func (c *Cluster) job(ctx context.Context, n workload.Name) (*batchv1.Job, error) {
	if j, ok, err := known[*batchv1.Job](ctx, c, jobs, n); ok || err != nil {
		return j, err
	}
	return c.liveJob(ctx, n)
}

func (c *Cluster) liveJob(ctx context.Context, n workload.Name) (*batchv1.Job, error) {
	j, err := c.client.BatchV1().Jobs(n.Namespace).Get(ctx, n.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("get Job %s: %w", n, err)
	}
	return j, nil
}

func (c *Cluster) createJob(ctx context.Context, j workload.Job, s workload.Status) (workload.Status, error) {
	o, err := jobObject(j, s.Name)
	if err != nil {
		s.Why = err.Error()
		return s, nil
	}
	state := c.jobState(j.Key)
	state.making.Lock()
	defer state.making.Unlock()
	if state.stopped {
		s.Why = "no release waits for it"
		return s, nil
	}
	// A caller that no longer waits gets no answer, but whether the Job was made has to be known: it may have to be
	// stopped.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), makeTimeout)
	defer cancel()
	made, err := c.dynamic.Resource(jobResource).Namespace(j.Namespace).Create(ctx, o,
		metav1.CreateOptions{FieldManager: manager, FieldValidation: metav1.FieldValidationStrict})
	switch {
	case apierrors.IsAlreadyExists(err): // by another Serin; the next call adopts it
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		s.Why = fmt.Sprintf("create Job %s: %v", s.Name, err)
		return s, nil
	case err != nil:
		return s, fmt.Errorf("create Job %s: %w", s.Name, err)
	default:
		state.there.Store(true)
		c.tell(ctx, made, "Made", releaseOf(j.Key), "made for step "+j.Key[strings.LastIndexByte(j.Key, '/')+1:])
	}
	s.Phase, s.Why = workload.Progressing, "it was made"
	return s, nil
}

func releaseOf(key string) string {
	release, _, _ := strings.Cut(key, "/")
	return release
}

// jobObject is the Job to create.
func jobObject(j workload.Job, n workload.Name) (*unstructured.Unstructured, error) {
	o := &unstructured.Unstructured{}
	if err := json.Unmarshal(j.Manifest, &o.Object); err != nil {
		return nil, fmt.Errorf("read the manifest: %w", err)
	}
	if o.GetAPIVersion() != "batch/v1" || o.GetKind() != "Job" {
		return nil, fmt.Errorf("the manifest is of a %s %s, expected a batch/v1 Job", o.GetAPIVersion(), o.GetKind())
	}
	if ns := o.GetNamespace(); ns != "" && ns != n.Namespace {
		return nil, fmt.Errorf("the manifest is for namespace %s, and the step for %s", ns, n.Namespace)
	}
	l, a := o.GetLabels(), o.GetAnnotations()
	if l == nil {
		l = map[string]string{}
	}
	if a == nil {
		a = map[string]string{}
	}
	maps.Copy(l, map[string]string{managedLabel: manager, releaseLabel: short(strings.Trim(releaseOf(j.Key), "-_."), maxLabel)})
	a[keyAnnotation] = j.Key
	o.Object["metadata"] = map[string]any{}
	delete(o.Object, "status")
	o.SetName(n.Name)
	o.SetNamespace(n.Namespace)
	o.SetLabels(l)
	o.SetAnnotations(a)
	spec := at(o.Object, "spec")
	if spec == nil {
		return nil, fmt.Errorf("the manifest has no spec")
	}
	if ttl, ok := spec["ttlSecondsAfterFinished"].(int64); !ok {
		spec["ttlSecondsAfterFinished"] = int64(kept / time.Second)
	} else {
		spec["ttlSecondsAfterFinished"] = max(ttl, int64(minKept/time.Second))
	}
	if j.Deadline > 0 {
		most := int64(math.Ceil((j.Deadline + grace).Seconds()))
		if own, ok := spec["activeDeadlineSeconds"].(int64); ok {
			most = min(most, own)
		}
		spec["activeDeadlineSeconds"] = most
	}
	return o, nil
}

// jobStatus says how far a Job has come, and suspends it when its deadline has passed.
func (c *Cluster) jobStatus(ctx context.Context, job *batchv1.Job, j workload.Job, s workload.Status) (workload.Status, error) {
	list, err := all[*corev1.Pod](ctx, c, pods, j.Namespace)
	if err != nil {
		return s, err
	}
	mine := podsOf(job, list)
	phase, why := jobProgress(job, mine, time.Now(), c.patience)
	overdue := j.Deadline > 0 && time.Since(job.CreationTimestamp.Time) >= j.Deadline
	if phase == workload.Progressing && overdue {
		s.Log = c.lastLines(ctx, mine) // they go with the pods
		if err := c.suspend(ctx, job, s.Name); err != nil {
			return s, err
		}
		c.log.Info("a job was suspended at its deadline", "object", s.Name.String(), "release", releaseOf(j.Key))
		s.Why = fmt.Sprintf("it has not ended within %s, and was suspended: %s", j.Deadline, why)
		return s, nil
	}
	if s.Phase, s.Why = phase, why; phase != workload.Progressing {
		s.Log = c.lastLines(ctx, mine)
	}
	return s, nil
}

func (c *Cluster) suspend(ctx context.Context, job *batchv1.Job, n workload.Name) error {
	if job.Spec.Suspend != nil && *job.Spec.Suspend {
		return nil
	}
	patch := fmt.Sprintf(`{"metadata":{"resourceVersion":%q},"spec":{"suspend":true}}`, job.ResourceVersion)
	_, err := c.client.BatchV1().Jobs(n.Namespace).Patch(ctx, n.Name, types.MergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: manager})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("patch Job %s: %w", n, err) // a conflict, too: the caller comes again
	}
	return nil
}

// stopJob suspends a Job that has not ended, and keeps one that is not there from being made.
func (c *Cluster) stopJob(ctx context.Context, j workload.JobName) error {
	state := c.jobState(j.Key)
	state.making.Lock()
	state.stopped = true
	state.making.Unlock()
	name := workload.Name{Namespace: j.Namespace, Name: jobName(j.Key)}
	for try := range tries {
		job, err := c.liveJob(ctx, name)
		if err != nil || job == nil || job.Annotations[keyAnnotation] != j.Key || job.DeletionTimestamp != nil {
			return err
		}
		if phase, _ := jobProgress(job, nil, time.Now(), c.patience); phase != workload.Progressing || job.Spec.Suspend != nil && *job.Spec.Suspend {
			return nil
		}
		switch err := c.suspend(ctx, job, name); {
		case err == nil:
			job.APIVersion, job.Kind = jobResource.GroupVersion().String(), "Job" // a typed answer has neither
			object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(job)
			if err != nil {
				return fmt.Errorf("read Job %s: %w", name, err)
			}
			c.tell(ctx, &unstructured.Unstructured{Object: object}, "Suspended", releaseOf(j.Key),
				"suspended: the release that waited for it goes back")
			return nil
		case !apierrors.IsConflict(err):
			return err
		}
		again(ctx, try)
	}
	return fmt.Errorf("patch Job %s: another writer changed it at every attempt between reading and writing it", name)
}

// podsOf are a Job's pods, oldest first.
func podsOf(job *batchv1.Job, list []*corev1.Pod) []*corev1.Pod {
	var out []*corev1.Pod
	for _, p := range list {
		if metav1.IsControlledBy(p, job) {
			out = append(out, p)
		}
	}
	return byAge(out)
}

// jobProgress says how far a Job has come, by what its controller and its pods say.
func jobProgress(job *batchv1.Job, list []*corev1.Pod, now time.Time, patience time.Duration) (workload.Phase, string) {
	problem := ""
	for _, p := range list {
		if why, _ := trouble(p, now, patience); why != "" {
			problem = why // the newest pod's
		}
	}
	for _, c := range job.Status.Conditions {
		if c.Status != corev1.ConditionTrue {
			continue
		}
		switch c.Type {
		case batchv1.JobComplete:
			return workload.Ready, ""
		case batchv1.JobFailed:
			return workload.Failed, strings.TrimSuffix(c.Reason+": "+c.Message+"; "+problem, "; ")
		default: // on its way to one of them, or suspended
		}
	}
	if job.DeletionTimestamp != nil {
		return workload.Failed, "Job " + job.Name + " is being deleted before it has ended; what it has done is not known"
	}
	why := fmt.Sprintf("%d pods run, %d have failed", job.Status.Active, job.Status.Failed)
	if job.Spec.Suspend != nil && *job.Spec.Suspend {
		why += "; it is suspended"
	}
	return workload.Progressing, strings.TrimSuffix(why+"; "+problem, "; ")
}
