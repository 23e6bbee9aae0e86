package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/serindev/serin/internal/await"
)

// syncer applies what is in Git by server-side apply with force, as a GitOps controller does, and deletes what Git no
// longer has. A self-healing one does so continuously, others after each commit.
type syncer struct {
	w    *world
	stop context.CancelFunc
	done sync.WaitGroup
	// ignores: it leaves the image alone while its field manager is serin (Argo CD: managedFieldsManagers and
	// RespectIgnoreDifferences).
	ignores bool

	mu     sync.Mutex // guards what follows
	image  string     // of stable, in Git
	images []string   // of stable in the cluster, in order
	errs   []error
}

// syncEvery is shorter than the intervals of real controllers, so that a short test sees everything that they would do.
const syncEvery = 250 * time.Millisecond

func (w *world) sync(t *testing.T) *syncer {
	t.Helper()
	s := &syncer{w: w, image: image1}
	s.heal(t)
	return s
}

// heal applies Git continuously from now on.
func (s *syncer) heal(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	s.stop = cancel
	s.done.Go(func() {
		tick := time.NewTicker(syncEvery)
		defer tick.Stop()
		for ctx.Err() == nil {
			s.apply(ctx)
			select {
			case <-ctx.Done():
			case <-tick.C:
			}
		}
	})
	t.Cleanup(s.end)
}

func (s *syncer) end() {
	s.stop()
	s.done.Wait()
}

// commit changes stable's image in Git.
func (s *syncer) commit(image string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.image = image
}

// apply applies Git once. Replicas are not in Git, as in every repository with an autoscaler.
func (s *syncer) apply(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	deployments := s.w.c.Client.AppsV1().Deployments(s.w.pro)
	before, err := deployments.Get(ctx, s.w.name, metav1.GetOptions{})
	image := s.image
	if err == nil && s.ignores && slices.ContainsFunc(before.ManagedFields, func(m metav1.ManagedFieldsEntry) bool {
		return m.Manager == "serin" && m.FieldsV1 != nil && strings.Contains(m.FieldsV1.String(), "f:image")
	}) {
		image = imageOf(before)
	}
	version := ""
	if err == nil && s.ignores { // otherwise Serin could write between the check of its fields and this write
		version = fmt.Sprintf(`"resourceVersion": %q, `, before.ResourceVersion)
	}
	git := fmt.Sprintf(`{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {%[3]s"name": %[1]q, "labels": {"app.kubernetes.io/instance": "flask"}},
		"spec": {"selector": {"matchLabels": {"app": %[1]q}}, "template": {"metadata": {"labels": {"app": %[1]q}},
		"spec": {"containers": [{"name": "flask", "image": %[2]q, "ports": [{"name": "http", "containerPort": 8080}]}]}}}}`, s.w.name, image, version)
	force := true
	if err == nil {
		if n := len(s.images); n == 0 || s.images[n-1] != imageOf(before) {
			s.images = append(s.images, imageOf(before))
		}
		_, err = deployments.Patch(ctx, s.w.name, types.ApplyPatchType, []byte(git), metav1.PatchOptions{FieldManager: "argocd-controller", Force: &force})
		if s.ignores && apierrors.IsConflict(err) {
			return // the next attempt sees what was written
		}
	}
	// Prune: everything with its label that is not in Git. Serin's objects must not carry it.
	if err == nil {
		err = s.prune(ctx)
	}
	if err != nil && ctx.Err() == nil {
		s.errs = append(s.errs, err)
	}
}

func (s *syncer) prune(ctx context.Context) error {
	selector := metav1.ListOptions{LabelSelector: "app.kubernetes.io/instance=flask"}
	list, err := s.w.c.Client.AppsV1().Deployments(s.w.pro).List(ctx, selector)
	if err != nil {
		return err
	}
	for i := range list.Items {
		if name := list.Items[i].Name; name != s.w.name {
			if err := s.w.c.Client.AppsV1().Deployments(s.w.pro).Delete(ctx, name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
				return err
			}
		}
	}
	return nil
}

// had returns the images that stable has had, in order.
func (s *syncer) had(t *testing.T) []string {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	require.Empty(t, s.errs)
	return slices.Clone(s.images)
}

// toPromotion starts a release and takes it through both gates.
func (w *world) toPromotion(t *testing.T, image string) string {
	t.Helper()
	id := w.start(t, image)
	w.pass(t, id, "start-ab-test")
	w.pass(t, id, "full-release")
	return id
}

func TestWithASelfHealingControllerACommitPromotes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pipeline.with("strategy: patch", "strategy: wait"))
	git := w.sync(t)
	loads := w.users(t, beta)
	id := w.toPromotion(t, image2)
	w.explained(t, "image of flask "+image2)
	git.commit(image2)
	v := w.wait(t, "the release has ended", ended)
	require.Equal(t, "released", v.State.Outcome, v.State.Why)
	git.apply(t.Context())
	require.Equal(t, []string{image1, image2}, git.had(t), "nothing flaps")
	require.Empty(t, w.told(t, id, "drifted"), "no weight was changed, and nothing of Serin's")
	noRequestFailed(t, loads)
	w.writtenBySerin(t)
}

// writtenBySerin checks that every field of the traffic's objects has the field manager serin, so that
// managedFieldsManagers of Argo CD, and Flux's ownership, leave them alone.
func (w *world) writtenBySerin(t *testing.T) {
	t.Helper()
	client, err := dynamic.NewForConfig(w.c.Config)
	require.NoError(t, err)
	for _, kind := range []string{"traefikservices", "ingressroutes", "middlewares"} {
		resource := schema.GroupVersionResource{Group: "traefik.io", Version: "v1alpha1", Resource: kind}
		list, err := client.Resource(resource).Namespace(w.pro).List(t.Context(), metav1.ListOptions{})
		require.NoError(t, err)
		require.NotEmpty(t, list.Items, kind)
		for _, o := range list.Items {
			for _, m := range o.GetManagedFields() {
				require.Equal(t, "serin", m.Manager, "%s %s: %s", kind, o.GetName(), m.FieldsV1)
			}
		}
	}
	canary, err := w.c.Client.AppsV1().Deployments(w.pro).Get(t.Context(), w.name+"-canary", metav1.GetOptions{})
	require.NoError(t, err)
	for _, m := range canary.ManagedFields {
		if m.Subresource != "status" {
			require.Contains(t, []string{"serin", "kube-controller-manager"}, m.Manager)
		}
	}
}

// Git still has the old image while Serin brings stable to the new one: they overwrite each other, and Serin says so.
// The release does not end before Git has the new one too.
func TestAControllerThatPutsTheOldImageBackIsNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pipeline)
	git := w.sync(t)
	loads := w.users(t, beta)
	id := w.toPromotion(t, image2)
	await.Until(t, "the release says who changes the image", func() string {
		told := w.told(t, id, "drifted")
		if strings.Contains(told, "argocd-controller") {
			return ""
		}
		v, err := w.view()
		return fmt.Sprint(told, v, err)
	})
	v, err := w.view()
	require.NoError(t, err)
	require.False(t, ended(v), "%s", v)
	git.commit(image2)
	v = w.wait(t, "the release has ended", ended)
	require.Equal(t, "released", v.State.Outcome, v.State.Why)
	require.Equal(t, image2, imageOf(w.deployment(t, w.pro, w.name)))
	noRequestFailed(t, loads)
}

// Both kinds of promotion, with a controller that applies Git after a commit, and with a self-healing one that leaves
// Serin's fields alone: no image comes back, and nothing of Serin's is changed.
func TestAControllerThatLeavesSerinsFieldsAlone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		strategy string
		heals    bool
	}{
		"no self-heal, promotion by a commit":                    {"wait", false},
		"no self-heal, promotion by Serin and a commit after it": {"patch", false},
		"self-heal that ignores differences, promotion by Serin": {"patch", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, pipeline.with("strategy: patch", "strategy: "+c.strategy))
			git := &syncer{w: w, image: image1, ignores: c.heals}
			if git.apply(t.Context()); c.heals {
				git.heal(t)
			}
			loads := w.users(t, beta)
			id := w.toPromotion(t, image2)
			if c.strategy == "wait" {
				w.explained(t, "image of flask "+image2)
				git.commit(image2)
				git.apply(t.Context())
			}
			v := w.wait(t, "the release has ended", ended)
			require.Equal(t, "released", v.State.Outcome, v.State.Why)
			git.commit(image2) // with patch this commit comes last: any other commit before it would bring the old image back
			git.apply(t.Context())
			git.apply(t.Context())
			require.Equal(t, image2, imageOf(w.deployment(t, w.pro, w.name)))
			require.Equal(t, []string{image1, image2}, git.had(t), "nothing flaps")
			require.Empty(t, w.told(t, id, "drifted"))
			noRequestFailed(t, loads)
		})
	}
}
