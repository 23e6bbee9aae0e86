package cluster

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/serindev/serin/internal/testbed"
)

// mailWorker is what a team has before: the Deployment of a queue's worker, without a Service.
const mailWorker = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: mail-worker}
spec:
  replicas: 10
  selector: {matchLabels: {app: mail-worker}}
  template:
    metadata: {labels: {app: mail-worker}}
    spec: {containers: [{name: worker, image: "registry.example.com/flask:1"}]}
`

// queue counts jobs in place of the workers' pods, which run nothing in tests: each ready pod does the same number a
// second, and half of those with the broken image fail.
type queue struct {
	w      *world
	broken string // an image

	mu     sync.Mutex
	began  time.Time
	done   map[string]float64 // by pod
	failed map[string]float64
}

const jobsEachSecond = 40

func newQueue(t *testing.T, w *world, broken string) string {
	t.Helper()
	q := &queue{w: w, broken: broken, done: map[string]float64{}, failed: map[string]float64{}, began: time.Now()}
	s := httptest.NewServer(q)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// ServeHTTP answers a scrape.
func (q *queue) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), time.Second)
	defer cancel()
	list, err := q.w.c.Client.CoreV1().Pods(q.w.pro).List(ctx, metav1.ListOptions{})
	if err != nil {
		http.Error(out, err.Error(), http.StatusInternalServerError)
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	passed := time.Since(q.began).Seconds()
	q.began = time.Now()
	out.Header().Set("Content-Type", "text/plain; version=0.0.4")
	for i := range list.Items {
		pod := &list.Items[i]
		if !ready(pod) {
			continue
		}
		share := 0.01
		if pod.Spec.Containers[0].Image == q.broken {
			share = 0.5
		}
		q.done[pod.Name] += passed * jobsEachSecond * (1 - share)
		q.failed[pod.Name] += passed * jobsEachSecond * share
		_, _ = fmt.Fprintf(out, "worker_jobs_total{pod=%q,result=\"done\"} %d\nworker_jobs_total{pod=%q,result=\"failed\"} %d\n",
			pod.Name, int(q.done[pod.Name]), pod.Name, int(q.failed[pod.Name]))
	}
}

func ready(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady && pod.DeletionTimestamp == nil {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// divided is how many pods stable and the canary should have.
func (w *world) divided(t *testing.T, namespace string) [2]int32 {
	t.Helper()
	return [2]int32{*w.deployment(t, namespace, "mail-worker").Spec.Replicas, *w.deployment(t, namespace, "mail-worker-canary").Spec.Replicas}
}

func TestAWorkerIsReleasedByItsPodsAndABadOneGoesBack(t *testing.T) {
	t.Parallel()
	w := newPlace(t, example{file: "worker.yaml", name: "mail-worker", container: "worker", change: []string{
		"spec:\n  metrics:\n", inSeconds, "relative: 25%, absolute: 0.5%", "relative: 100%, absolute: 5%",
		"    - promote: {}\n", "    - promote: {}\n  rollback: {drain: 1s}\n",
	}})
	w.c.Apply(t, w.pro, mailWorker)
	w.scrapes(t, testbed.ScrapeJob{Name: "workers", Targets: []string{newQueue(t, w, image3)}})
	w.configureWith(t, map[string]string{"rollout.yaml": w.rollout(t)})
	require.Empty(t, w.live(t), "it needs no Service, and the chart's rights are sufficient")
	w.begin(t)

	id := w.start(t, image2)
	w.wait(t, "one of ten pods runs the canary", at("gray", 0))
	require.Equal(t, [2]int32{9, 1}, w.divided(t, w.pro))
	w.ends(t, id, "the good version has ended", "released")
	require.Equal(t, image2, imageOf(w.deployment(t, w.pro, "mail-worker")))
	require.Equal(t, [2]int32{10, 0}, w.divided(t, w.pro))

	id = w.start(t, image3)
	v := w.ends(t, id, "the bad version has gone back", "rolledBack")
	require.Contains(t, v.State.Why, "failed-jobs")
	require.Equal(t, image2, imageOf(w.deployment(t, w.pro, "mail-worker")))
	require.Equal(t, [2]int32{10, 0}, w.divided(t, w.pro))
	require.Empty(t, w.told(t, id, "drifted"), "Serin's two writers of replicas do not undo each other's changes")
}
