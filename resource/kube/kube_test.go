package kube_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/internal/testbed/testcluster"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/resource"
	"github.com/serindev/serin/resource/kube"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/workload"
)

func TestMain(m *testing.M) { testcluster.Main(m) }

// rights are those of the package comment.
const rights = `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: serin}
rules:
  - {apiGroups: [serin.dev], resources: [rollouts, analyses], verbs: [get, list, watch]}
  - {apiGroups: [serin.dev], resources: [rollouts, rollouts/status, analyses/status], verbs: [patch]}
  - {apiGroups: [""], resources: [events], verbs: [create]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: serin}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: serin}
subjects: [{kind: ServiceAccount, name: serin, namespace: NS}]
`

const shop = `
apiVersion: serin.dev/v1alpha1
kind: Rollout
metadata: {name: shop}
spec:
  traffic: {traefik: {route: {host: shop.example.com}}}
  stable: {deployment: shop, service: {name: shop, port: 80}}
  canary: {deployment: shop-canary, service: {name: shop-canary, port: http}}
  analysis: [traefik-web]
  steps:
    - gray: {weights: [10%, 50%], hold: 10m}
    - promote: {}
`

// engine holds one rollout's view, which a test changes.
type engine struct {
	mu      sync.Mutex
	view    *record.View
	acted   []rollout.Event
	updates chan record.Update
}

func (e *engine) Rollout(name string) (record.View, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.view == nil || name != e.view.Rollout {
		return record.View{}, record.ErrNotFound
	}
	return *e.view, nil
}

func (e *engine) Act(_ context.Context, _ string, event rollout.Event, _ string) (rollout.State, error) {
	e.set(func(v *record.View) {
		e.acted = append(e.acted, event)
		v.State.Phase, v.State.Why = rollout.RollingBack, "its Rollout is deleted"
	})
	return rollout.State{}, nil
}

func (e *engine) Subscribe(ctx context.Context) <-chan record.Update {
	out := make(chan record.Update)
	go func() {
		defer close(out)
		for {
			select {
			case <-ctx.Done():
				return
			case u := <-e.updates:
				out <- u
			}
		}
	}()
	return out
}

func (e *engine) set(change func(*record.View)) {
	e.mu.Lock()
	change(e.view)
	name := e.view.Rollout
	e.mu.Unlock()
	e.updates <- record.Update{Rollout: name}
}

// begin adds a rollout.
func (e *engine) begin(v *record.View) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.view = v
}

func (e *engine) did() []rollout.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]rollout.Event(nil), e.acted...)
}

func (e *engine) past(context.Context, string) ([]record.Past, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.view == nil || e.view.Release == nil {
		return nil, nil
	}
	r := *e.view.Release
	r.Phase = e.view.State.Phase
	return []record.Past{{Release: r}}, nil
}

// world is a namespace with a ServiceAccount that is Serin's.
type world struct {
	*testing.T
	c       *testcluster.Cluster
	ns      string
	objects *kube.Cluster
	engine  *engine
	admin   dynamic.NamespaceableResourceInterface
	lost    atomic.Bool  // this daemon does not lead now
	asked   atomic.Int32 // how often Leads was called since then
}

var rollouts = schema.GroupVersionResource{Group: "serin.dev", Version: "v1alpha1", Resource: "rollouts"}

func newWorld(t *testing.T, allowed bool) *world {
	t.Helper()
	c := testcluster.Shared(t)
	require.NoError(t, testbed.Reads("deploy/kustomize/definitions"))
	c.Definitions(t, "../../deploy/kustomize/definitions/definitions.yaml")
	w := &world{T: t, c: c, ns: c.Namespace(t), engine: &engine{updates: make(chan record.Update, 100)}}
	if allowed {
		w.allow()
	}
	var err error
	w.objects, err = kube.New(kube.Config{REST: c.ServiceAccount(t, w.ns, "serin"), Namespaces: []string{w.ns, w.ns}, Leads: w.leads, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	admin, err := dynamic.NewForConfig(c.Config)
	require.NoError(t, err)
	w.admin = admin.Resource(rollouts)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() { _ = w.objects.Run(ctx) })
	running.Go(func() {
		_ = w.objects.Report(ctx, kube.Sources{
			Engine: w.engine, Past: w.engine.past,
			Images: func(_ context.Context, d workload.Name) resource.Images { return resource.Images{First: d.Name + ":1"} },
		})
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	return w
}

func (w *world) leads() error {
	if w.lost.Load() {
		w.asked.Add(1)
		return errors.New("the lease cannot be renewed")
	}
	return nil
}

func (w *world) allow() {
	w.Helper()
	w.c.Apply(w.T, w.ns, strings.ReplaceAll(rights, "NS", w.ns))
}

func (w *world) object(name string) *unstructured.Unstructured {
	w.Helper()
	u, err := w.admin.Namespace(w.ns).Get(w.Context(), name, metav1.GetOptions{})
	require.NoError(w, err)
	return u
}

func (w *world) status(name string) (s resource.Status) {
	w.Helper()
	b, err := json.Marshal(w.object(name).Object["status"])
	require.NoError(w, err)
	require.NoError(w, json.Unmarshal(b, &s))
	return s
}

func (w *world) until(what string, ok func() bool) {
	w.Helper()
	await.True(w, ok, what)
}

// loaded reports, once the watch has the object, that config has read it.
func (w *world) loaded(generation int64, problems ...resource.Problem) {
	w.Helper()
	w.until("the watch has reported it", func() bool {
		documents, _ := w.objects.Documents()
		return len(documents) > 0
	})
	w.objects.Loaded(map[kube.ID]kube.Loaded{{Kind: kube.Rollout, Namespace: w.ns, Name: "shop"}: {Generation: generation, Problems: problems}})
}

// idle is a rollout without a release.
func (w *world) idle() *record.View {
	arm := func(name string) workload.Arm {
		return workload.Arm{Deployment: workload.Name{Namespace: w.ns, Name: name}}
	}
	d := &rollout.Definition{Cluster: &rollout.Cluster{Arms: workload.Arms{Stable: arm("shop"), Canary: arm("shop-canary")}},
		Steps: rollout.Steps{rollout.Gate{Name: "begin"}, rollout.Promote{Name: "promote"}}}
	return &record.View{Rollout: w.ns + ".shop", Declared: true, Definition: d, Steps: d.Steps}
}

func underWay(v *record.View) {
	v.Release = &record.Release{ID: "01KZ0000000000000000000000", Rollout: v.Rollout}
	v.State = rollout.State{Phase: rollout.Active, Step: 0, StepName: "begin", Gate: "begin", GrayStep: -1, CohortStep: -1}
	v.Gate, v.Approvers = "begin", []string{"operator"}
}

func TestARolloutIsReadAndItsStatusIsServerSideApplied(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	w.c.Apply(t, w.ns, shop)
	var documents []kube.Document
	w.until("the object is read", func() bool {
		var known bool
		documents, known = w.objects.Documents()
		return known && len(documents) == 1
	})
	require.Equal(t, "Rollout", documents[0].Kind)
	require.Contains(t, string(documents[0].Spec), `"host":"shop.example.com"`)
	require.EqualValues(t, 1, documents[0].Generation)

	w.engine.begin(w.idle())
	w.loaded(1)
	w.until("it is ready", func() bool { return w.status("shop").Phase == resource.Idle })
	u := w.object("shop")
	require.Empty(t, u.GetFinalizers(), "an object without a release goes at once")
	for _, m := range u.GetManagedFields() {
		if m.Manager == "serin" {
			require.Equal(t, "status", m.Subresource)
			require.Equal(t, metav1.ManagedFieldsOperationApply, m.Operation)
		}
	}
	version := u.GetResourceVersion()
	w.loaded(1)
	w.engine.set(func(*record.View) {})
	w.loaded(2, resource.Problem{Path: "spec.analysis", Message: "there is no analysis"})
	w.until("the error is shown", func() bool { return len(w.status("shop").Problems) == 1 })
	require.EqualValues(t, 2, w.status("shop").ObservedGeneration)
	require.NotEqual(t, version, w.object("shop").GetResourceVersion())
	w.until("the error is an Event", func() bool {
		list, err := w.c.Client.CoreV1().Events(w.ns).List(t.Context(), metav1.ListOptions{FieldSelector: "involvedObject.kind=Rollout"})
		require.NoError(t, err)
		return len(list.Items) == 1 && list.Items[0].Message == "spec.analysis: there is no analysis"
	})
}

// The third status is written two seconds after the first one at the soonest, however often something is new.
func TestAStatusIsWrittenOnceASecondAtMost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	w.c.Apply(t, w.ns, shop)
	w.engine.begin(w.idle())
	w.loaded(1)
	w.until("it is ready", func() bool { return w.status("shop").Phase == resource.Idle })
	seen, err := w.admin.Namespace(w.ns).Watch(t.Context(), metav1.ListOptions{ResourceVersion: w.object("shop").GetResourceVersion()})
	require.NoError(t, err)
	defer seen.Stop()
	begun, news := time.Now(), 0
	for writes := 0; writes < 3; news++ {
		w.engine.set(func(v *record.View) { v.Trouble = []string{fmt.Sprint("news ", news)} })
		select {
		case <-seen.ResultChan():
			writes++
		case <-time.After(10 * time.Millisecond):
		}
	}
	require.GreaterOrEqual(t, time.Since(begun), 2*time.Second)
	require.Greater(t, news, 10)
}

// kubectl wait --for=condition=Released, right after a start, must not report the previous release.
func TestNoStatusSaysReleasedAboutThePreviousReleaseAfterAStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	w.c.Apply(t, w.ns, shop)
	w.engine.begin(w.idle())
	w.loaded(1)
	for i := range 5 {
		w.engine.set(func(v *record.View) {
			underWay(v)
			v.Release.ID, v.State.Phase, v.State.Outcome = fmt.Sprintf("before-%d", i), rollout.PhaseEnded, rollout.Released
		})
		w.until("it is released", func() bool { return w.status("shop").Phase == resource.Released })
		id := fmt.Sprintf("next-%d", i)
		w.engine.set(func(v *record.View) { underWay(v); v.Release.ID = id })
		w.objects.AwaitRelease(t.Context(), w.ns+".shop", id)
		s := w.status("shop")
		require.Equal(t, id, s.Release.ID)
		require.Equal(t, resource.Waiting, s.Phase)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	w.objects.AwaitRelease(ended, w.ns+".shop", "never")
	w.objects.AwaitRelease(t.Context(), w.ns+".of-a-file", "nobody waits for what has no object")
	w.objects.AwaitRelease(t.Context(), "of-a-file", "nor here")
}

func TestARolloutDeletedDuringAReleaseGoesOnceItsTrafficIsBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	w.c.Apply(t, w.ns, shop)
	w.engine.begin(w.idle())
	w.loaded(1)
	w.engine.set(underWay)
	w.until("a release holds its object", func() bool { return len(w.object("shop").GetFinalizers()) == 1 })
	require.NoError(t, w.admin.Namespace(w.ns).Delete(t.Context(), "shop", metav1.DeleteOptions{}))
	w.until("it goes back", func() bool { return w.status("shop").Phase == resource.RollingBack })
	require.Equal(t, []rollout.Event{rollout.RollbackRequested{Reason: "its Rollout is deleted"}}, w.engine.did())
	documents, _ := w.objects.Documents()
	require.Empty(t, documents, "nothing more is started of it")
	w.engine.set(func(v *record.View) { v.State.Phase, v.State.Outcome = rollout.PhaseEnded, rollout.RolledBack })
	w.until("it is gone", func() bool {
		list, err := w.admin.Namespace(w.ns).List(t.Context(), metav1.ListOptions{})
		require.NoError(t, err)
		return len(list.Items) == 0
	})
}

func TestAReleaseWhoseObjectWasForciblyRemovedGoesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	w.engine.begin(w.idle())
	w.until("it is known that there is none", func() bool { _, known := w.objects.Documents(); return known })
	w.engine.set(underWay)
	w.until("it goes back", func() bool { return len(w.engine.did()) > 0 })
}

// A restored backup, or anyone else, may write it too: then it has a second field manager.
func TestAnExternalFinalizerGoesAsWell(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	w.c.Apply(t, w.ns, strings.Replace(shop, "name: shop}", "name: shop, finalizers: [serin.dev/release, example.com/other]}", 1))
	w.engine.begin(w.idle())
	w.loaded(1)
	w.until("a release that is not there holds nothing", func() bool {
		return slices.Equal(w.object("shop").GetFinalizers(), []string{"example.com/other"})
	})
	w.engine.set(underWay)
	w.until("one that is there does", func() bool { return len(w.object("shop").GetFinalizers()) == 2 })
}

func TestChangesWithoutALeaderAreCaughtUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	w.lost.Store(true)
	w.c.Apply(t, w.ns, shop)
	w.engine.begin(w.idle())
	w.loaded(1)
	w.until("it is looked at", func() bool { return w.asked.Load() > 0 })
	time.Sleep(time.Second) // nothing else happens
	require.Empty(t, w.object("shop").Object["status"], "another one could lead")
	w.lost.Store(false)
	w.until("it is ready", func() bool { return w.status("shop").Phase == resource.Idle })
}

func TestWithoutRightsThereAreNoObjectsAndNoneCountsAsDeleted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.c.Apply(t, w.ns, shop)
	w.until("it is known", func() bool { _, known := w.objects.Documents(); return known })
	documents, _ := w.objects.Documents()
	require.Empty(t, documents)
	w.engine.begin(w.idle())
	w.engine.set(underWay)
	w.allow()
	w.until("rights that come later are noticed", func() bool {
		documents, _ = w.objects.Documents()
		return len(documents) == 1
	})
	require.Empty(t, w.engine.did(), "what could not be seen was not gone")
}

func TestTheAPIServerRefusesWhatItCan(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	const promote = "    - promote: {}\n"
	for name, c := range map[string]struct {
		change []string
		want   string // empty: it is accepted
	}{
		"what is right":                       {nil, ""},
		"a long name with dots":               {[]string{"name: shop}\nspec", "name: " + strings.Repeat("a", 100) + ".b}\nspec"}, ""},
		"a step without a kind":               {[]string{promote, "    - {}\n" + promote}, "expected exactly one of ab, deploy, gate, gray, job, mirror, preview, promote, wait, watch or webhook"},
		"a step of two kinds":                 {[]string{promote, "    - {promote: {}, gate: {}}\n"}, "expected exactly one of ab, deploy"},
		"no promote":                          {[]string{promote, "    - gate: {}\n"}, "steps: exactly one has to be promote"},
		"a route and an adopted one":          {[]string{"{route:", "{ingressRoute: [shop], route:"}, "expected exactly one of ingressRoute or route"},
		"a host and a rule":                   {[]string{"{host:", "{rule: 'Host(`a`)', host:"}, "expected exactly one of host or rule"},
		"one Deployment twice":                {[]string{"deployment: shop-canary", "deployment: shop"}, "stable and canary are two Deployments"},
		"nothing to compare":                  {[]string{"  analysis: [traefik-web]\n", ""}, "analysis is missing"},
		"a share without a unit":              {[]string{"[10%, 50%]", "[10, 50%]"}, "must be of type string"},
		"a duration that is none":             {[]string{"hold: 10m", "hold: ten"}, "should match"},
		"a file of the daemon's":              {[]string{"{traefik: {route: {host: shop.example.com}}}", "{traefikFile: {path: /a.yaml, rule: a}}"}, "traefikFile"},
		"a word that is none":                 {[]string{"promote: {}", "promote: {strategy: path}"}, `supported values: "patch", "wait"`},
		"a Job that stands in it":             {[]string{promote, "    - job: {manifest: {apiVersion: batch/v1, kind: Job, spec: {template: {spec: {containers: [{name: a, image: b}]}}}}}\n" + promote}, ""},
		"a cohort of nested matchers":         {[]string{promote, "    - ab: {split: 50%, cohort: {all: [{header: {name: A, value: b}}, {not: {any: [{cookie: {name: c, value: d}}]}}]}}\n" + promote}, ""},
		"a cohort of two kinds":               {[]string{promote, "    - ab: {split: 50%, cohort: {clientIP: 10.0.0.1, header: {name: A, value: b}}}\n" + promote}, "expected exactly one of all, any"},
		"a parameter that is declared twice":  {[]string{"  analysis:", "  parameters: [{name: a}, {name: a}]\n  analysis:"}, "Duplicate value"},
		"a required parameter with a default": {[]string{"  analysis:", "  parameters: [{name: a, required: true, default: b}]\n  analysis:"}, "has no use for a default"},
	} {
		b, err := yaml.YAMLToJSON([]byte(strings.NewReplacer(append(c.change, "name: shop}\nspec", fmt.Sprintf("name: n%d}\nspec", len(name)))...).Replace(shop)))
		require.NoError(t, err, name)
		var object unstructured.Unstructured
		require.NoError(t, object.UnmarshalJSON(b), name)
		_, err = w.admin.Namespace(w.ns).Create(t.Context(), &object, metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict, DryRun: []string{metav1.DryRunAll}})
		if c.want == "" {
			require.NoError(t, err, name)
			continue
		}
		require.ErrorContains(t, err, c.want, name)
	}
}

func TestKubectlShowsWhatIsGoingOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	w.c.Apply(t, w.ns, shop)
	w.engine.begin(w.idle())
	w.loaded(1)
	w.engine.set(underWay)
	w.until("it waits at a gate", func() bool { return w.status("shop").Phase == resource.Waiting })
	kubectl, err := testbed.Tool("kubectl")
	require.NoError(t, err)
	run := func(args ...string) string {
		cmd := exec.CommandContext(t.Context(), kubectl, append([]string{"--kubeconfig", w.c.Kubeconfig, "-n", w.ns}, args...)...) //nolint:gosec // of this test
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		require.NoError(t, cmd.Run(), out.String())
		return out.String()
	}
	table := run("get", "rollouts.serin.dev")
	t.Log("\n" + table)
	require.Contains(t, table, "NAME   PHASE     STEP        WEIGHT   VERDICT   WAITING FOR")
	for line := range strings.Lines(table) {
		require.LessOrEqual(t, len(line), 101)
	}
	wide := run("get", "rollouts.serin.dev", "-o", "wide")
	t.Log("\n" + wide)
	require.Contains(t, wide, "shop-canary:1")
	run("wait", "rollouts.serin.dev/shop", "--for=condition=Waiting", "--timeout=60s")
}
