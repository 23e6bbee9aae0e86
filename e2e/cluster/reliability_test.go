package cluster

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/internal/testbed/testcluster"
)

var reliability = flag.String("reliability", "", "try every fault in a cluster, and write the table to this page")

// stays is a rollout that stays at 50%.
const stays = `apiVersion: serin.dev/v1alpha1
kind: Rollout
metadata: {name: NAME}
spec:
  parameters: [{name: image, required: true}]
  traffic: {traefik: {namespace: PRO, route: {host: HOST, entryPoints: [web]}, verify: {api: "http://traefik.GATE.svc:8080"}}}
  stable: {deployment: NAME, service: {name: NAME, port: 80}}
  canary: {deployment: NAME-canary, service: {name: NAME-canary, port: 80}, replicas: 25%}
  analysis: web
  steps:
    - deploy: {deployment: NAME-canary, image: {CONTAINER: '${image}'}}
    - gray: {weights: [50%], hold: 1h, decide: {max: 2h, inconclusive: gate}}
    - promote: {}
  rollback: {drain: 1s}
`

// steadfast is a world with that rollout and without a daemon.
func steadfast(t *testing.T, e example) *world {
	t.Helper()
	e.name, e.container = "shop", "web"
	w := newApplication(t, e)
	rollout := strings.NewReplacer("NAME", w.name, "PRO", w.pro, "HOST", w.host, "GATE", w.gate, "CONTAINER", w.container).Replace(stays)
	policy := strings.Replace(fmt.Sprintf(analysis, "web", "web"), "  metrics:", "  unreachable: {for: 5s, then: rollback}\n  metrics:", 1)
	w.configureWith(t, map[string]string{"rollout.yaml": policy + rollout})
	return w
}

// clusterFault is something that breaks in a cluster.
type clusterFault struct {
	name, does string
	// begin breaks it; end repairs it, or waits until that is done.
	begin func(t *testing.T) (end func())
	// always: `make test` tries it too, not only `make reliability`.
	always bool
	// acts: its policy rolls back a good version too.
	acts bool
	// blind is how long the fault keeps Serin from seeing anything or from writing, counted from its beginning.
	blind time.Duration
}

// bound is what the fault may add to the time that a bad canary has users without it.
func (f clusterFault) bound() time.Duration { return f.blind + 10*time.Second }

// clusterWorlds are the worlds with their faults. The worlds run in parallel, the faults of a world one after the
// other.
var clusterWorlds = []struct {
	name   string
	always bool // it has a fault that every `make test` tries
	make   func(t *testing.T) (*world, []clusterFault)
}{
	{"an API server of its own", false, func(t *testing.T) (*world, []clusterFault) {
		w := steadfast(t, example{apart: true})
		w.begin(t)
		return w, []clusterFault{
			{name: "nothing", does: "goes back when the evidence is there", begin: func(*testing.T) func() { return func() {} }},
			{name: "the API server is killed, and started again after ten seconds", does: "goes back as soon as it can write", begin: w.outage, blind: 10 * time.Second},
			{name: "the API server answers nothing for ten seconds", does: "goes back as soon as it can write", begin: w.silence, blind: 10 * time.Second},
		}
	}},
	{"writers and rights", false, func(t *testing.T) (*world, []clusterFault) {
		w := steadfast(t, example{meddled: true})
		w.begin(t)
		return w, []clusterFault{
			{name: "every write of ten seconds loses against another writer's", does: "tries again until it does not", begin: w.rivals, blind: 10 * time.Second},
			{name: "its rights are taken away for ten seconds", does: "goes back as soon as it can write", begin: w.withoutRights, blind: 10 * time.Second},
			{name: "admission refuses its writes for ten seconds", does: "goes back as soon as it can write", begin: w.refused, blind: 10 * time.Second},
		}
	}},
	{"two daemons", true, func(t *testing.T) (*world, []clusterFault) {
		w := steadfast(t, example{})
		c := &cabled{ways: [2]map[string]*cable{{}, {}}}
		c.replicas = replicasOf(t, w, func(i int, needs string) string {
			way, through := newCable(t, needs)
			c.ways[i][strings.SplitN(needs, ":", 2)[0]] = way // https is the API server, postgres the store, http Prometheus
			return through
		})
		return w, []clusterFault{
			{name: "the daemon that leads is killed", does: "the other takes over when the lease is over, nine seconds here", begin: c.killLeader, blind: lease},
			{name: "the daemon that leads is stopped by SIGSTOP", does: "the other takes over when the lease is over, nine seconds here", begin: c.stopLeader, blind: lease},
			{name: "the daemon that leads is cut off from the API server", does: "the other takes over when the lease is over, nine seconds here", begin: c.cut("https"), blind: lease, always: true},
			{name: "the daemon that leads is cut off from the store", does: "brings the traffic back first, and writes that when it can", begin: c.cut("postgres")},
			{name: "the daemon that leads is cut off from Prometheus, and its policy is rollback after five seconds", does: "goes back by its policy", begin: c.cut("http"), blind: 5 * time.Second, acts: true},
		}
	}},
}

// A failing canary loses its users whatever is broken in the cluster, and a good one keeps them. The page shows how
// long that takes, which depends on the machine.
func TestABadVersionNeverStaysInACluster(t *testing.T) {
	t.Parallel()
	rows := make([][]row, len(clusterWorlds))
	for i, one := range clusterWorlds {
		if !one.always && *reliability == "" {
			continue
		}
		t.Run(one.name, func(t *testing.T) {
			t.Parallel()
			w, faults := one.make(t)
			load := w.usersAt(t, countedRate)[0]
			for k, f := range faults {
				if !f.always && *reliability == "" {
					continue
				}
				t.Run(f.name, func(t *testing.T) {
					rows[i] = append(rows[i], row{f, w.brave(t, f, fmt.Sprintf("registry.example.com/shop:%d-%d", i, k), load)})
				})
			}
		})
	}
	t.Cleanup(func() {
		if *reliability != "" && !t.Failed() {
			writeTable(t, rows)
			for _, r := range slices.Concat(rows...) {
				without := rows[0][0].took // the row without a fault
				if r.took > without+r.bound() {
					t.Errorf("%s: %v, longer than %v without the fault and %v", r.name, r.took, without, r.bound())
				}
			}
		}
	})
}

// row is how long a canary that fails had users while something was broken.
type row struct {
	clusterFault
	took time.Duration
}

func (r row) String() string {
	fate := "stays"
	if r.acts {
		fate = "–"
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s |\n", r.name, r.does, r.took.Round(100*time.Millisecond), fate, r.bound())
}

// risky is a version that begins to fail every request.
type risky struct {
	version string
	fails   atomic.Bool
}

// ServeHTTP implements [http.Handler].
func (r *risky) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("X-Version", r.version)
	if r.fails.Load() {
		w.WriteHeader(http.StatusInternalServerError)
	}
}

// brave releases a version that is good while something is broken, and then bad while the same is broken once more. It
// returns how long the bad one had users.
func (w *world) brave(t *testing.T, f clusterFault, image string, load *testbed.Load) time.Duration {
	version := image[strings.LastIndexByte(image, ':')+1:]
	canary := &risky{version: version}
	w.c.SetImage(w.pro, image, testcluster.Image{Handler: canary})
	id := w.start(t, image)
	w.wait(t, "the weight is in force", func(v view) bool { return v.Release.ID == id && at("gray", 0)(v) })
	w.used(t, load, version)
	if !f.acts {
		end := f.begin(t)
		time.Sleep(3 * time.Second) // while the fault lasts
		end()
		w.wait(t, "the good version stays", at("gray", 0))
		w.used(t, load, version)
	}
	end := f.begin(t)
	canary.fails.Store(true)
	begin := time.Now()
	await.Until(t, "nobody is served by the canary in Traefik", func() string {
		if share, err := w.canaryShare(); err != nil || share > 0 {
			return fmt.Sprint(share, err)
		}
		return ""
	})
	took := time.Since(begin)
	t.Logf("%v until nobody is served by the canary: %+v", took, load.Counts())
	end()
	w.ends(t, id, "the release has ended", "rolledBack")
	seen := map[string]int{}
	for _, e := range w.events(t, id) {
		seen[e.Kind]++
	}
	require.Equal(t, 1, seen["ended"], "%v", seen)
	require.Zero(t, seen["rollbackRequested"], "nobody has requested it")
	return took
}

// used waits until a version has answered users.
func (w *world) used(t *testing.T, load *testbed.Load, version string) {
	t.Helper()
	before := load.Counts().Answered(version)
	await.Until(t, "users get the canary", func() string {
		if now := load.Counts().Answered(version); now < before+100 {
			return fmt.Sprint(now)
		}
		return ""
	})
}

// canaryShare is the percentage of users that Traefik sends to the canary.
func (w *world) canaryShare() (int, error) {
	var answer struct {
		Weighted struct {
			Services []struct {
				Name   string
				Weight int
			}
		}
	}
	address := fmt.Sprintf("%s/api/http/services/%s-%s@kubernetescrd", w.traefik.API, w.pro, w.name)
	if status, text := testbed.Call(&http.Client{Timeout: time.Minute}, http.MethodGet, address, "", nil, &answer); status != http.StatusOK {
		return 0, fmt.Errorf("%d %s", status, text)
	}
	canary, all := 0, 0
	for _, s := range answer.Weighted.Services {
		if all += s.Weight; strings.Contains(s.Name, w.name+"-canary") {
			canary += s.Weight
		}
	}
	if all == 0 {
		return 0, fmt.Errorf("no weights: %+v", answer)
	}
	return 100 * canary / all, nil
}

// afterTen calls right after ten seconds; the function it returns waits until that is done.
func afterTen(t *testing.T, right func() error) func() {
	done := make(chan error, 1)
	time.AfterFunc(10*time.Second, func() { done <- right() })
	return func() { require.NoError(t, <-done) }
}

func (w *world) outage(t *testing.T) func() {
	require.NoError(t, w.apiServer.Kill())
	return afterTen(t, func() error { return w.apiServer.Restart(t.Context()) })
}

func (w *world) silence(t *testing.T) func() {
	require.NoError(t, w.apiServer.Signal(syscall.SIGSTOP))
	return afterTen(t, func() error { return w.apiServer.Signal(syscall.SIGCONT) })
}

func (w *world) rivals(t *testing.T) func() {
	w.between.setLate(1_000_000)
	return afterTen(t, func() error {
		w.between.setLate(0)
		return nil
	})
}

func (w *world) withoutRights(t *testing.T) func() {
	bindings := w.c.Client.RbacV1().RoleBindings(w.pro)
	bound, err := bindings.Get(t.Context(), "serin", metav1.GetOptions{})
	require.NoError(t, err)
	w.revoke(t)
	bound.ObjectMeta = metav1.ObjectMeta{Name: bound.Name, Namespace: bound.Namespace, Labels: bound.Labels}
	return afterTen(t, func() error {
		_, err := bindings.Create(t.Context(), bound, metav1.CreateOptions{})
		return err
	})
}

// frozen refuses changes to the weights of a namespace.
const frozen = `{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicy, metadata: {name: NAME}, spec: {
  matchConstraints: {resourceRules: [{apiGroups: [traefik.io], apiVersions: [v1alpha1], operations: [UPDATE], resources: [traefikservices]}]},
  validations: [{expression: "false", message: "the week is frozen"}]}}
---
{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicyBinding, metadata: {name: NAME}, spec: {policyName: NAME, validationActions: [Deny],
  matchResources: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NAME}}}}}`

func (w *world) refused(t *testing.T) func() {
	w.c.Apply(t, "", strings.ReplaceAll(frozen, "NAME", w.pro))
	path := "/apis/traefik.io/v1alpha1/namespaces/" + w.pro + "/traefikservices/" + w.name
	await.Until(t, "the policy applies", func() string {
		label, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": map[string]string{"tried": fmt.Sprint(time.Now().UnixNano())}}})
		require.NoError(t, err)
		err = w.c.Client.CoreV1().RESTClient().Patch(types.MergePatchType).AbsPath(path).Param("dryRun", "All").Body(label).Do(t.Context()).Error()
		if err == nil {
			return "it was allowed"
		}
		return ""
	})
	admission := w.c.Client.AdmissionregistrationV1()
	return afterTen(t, func() error {
		if err := admission.ValidatingAdmissionPolicyBindings().Delete(t.Context(), w.pro, metav1.DeleteOptions{}); err != nil {
			return err
		}
		return admission.ValidatingAdmissionPolicies().Delete(t.Context(), w.pro, metav1.DeleteOptions{})
	})
}

// cabled are two daemons, each with its own connections to what it needs.
type cabled struct {
	*replicas
	ways [2]map[string]*cable
}

// leader waits until a daemon leads, and returns its index.
func (c *cabled) leader(t *testing.T) int {
	t.Helper()
	leads := -1
	await.Until(t, "one leads, and answers", func() string {
		if leads = c.leads(); leads < 0 {
			return "nobody"
		}
		c.use(leads)
		if _, err := c.view(); err != nil {
			return err.Error()
		}
		return ""
	})
	return leads
}

// whole makes both daemons run again, and sends requests to the one that leads from now on.
func (c *cabled) whole(t *testing.T) {
	t.Helper()
	for i, d := range c.daemons {
		select {
		case <-d.Done(): // it was killed, or has lost its lease
			require.NoError(t, d.Restart(t.Context()))
		default:
		}
		for _, way := range c.ways[i] {
			way.set(false)
		}
	}
	c.leader(t)
}

func (c *cabled) killLeader(t *testing.T) func() {
	require.NoError(t, c.daemons[c.leader(t)].Kill())
	return func() { c.whole(t) }
}

func (c *cabled) stopLeader(t *testing.T) func() {
	d := c.daemons[c.leader(t)]
	require.NoError(t, d.Signal(syscall.SIGSTOP))
	return func() {
		await.Until(t, "the other leads", func() string {
			if i := c.leads(); i < 0 || c.daemons[i] == d {
				return "not yet"
			}
			return ""
		})
		require.NoError(t, d.Signal(syscall.SIGCONT))
		code, err := d.ExitCode(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, code, "it has lost its lease")
		c.whole(t)
	}
}

// cut cuts the leading daemon off from the API server, the store or Prometheus; the scheme of the address says from which.
func (c *cabled) cut(scheme string) func(t *testing.T) func() {
	return func(t *testing.T) func() {
		way := c.ways[c.leader(t)][scheme]
		way.set(true)
		return func() {
			way.set(false)
			c.whole(t)
		}
	}
}

// writeTable replaces the table in its page.
func writeTable(t *testing.T, rows [][]row) {
	const begin, end = "## In a cluster\n", "\n## "
	b, err := os.ReadFile(*reliability)
	require.NoError(t, err)
	head, rest, found := strings.Cut(string(b), begin)
	require.True(t, found)
	_, rest, found = strings.Cut(rest, end)
	require.True(t, found)
	var table strings.Builder
	table.WriteString("\nThe built binary as a ServiceAccount with the chart's rights, a real API server with its controllers, a real Traefik that reads " +
		"custom resources, and a real Prometheus; two daemons share a PostgreSQL. Half of a hundred requests a second go to the canary. " +
		"It is good while something is broken, and stays; then the same breaks once more, and all of its requests fail, until Traefik itself " +
		"says that nobody gets it. A dash was not tried. The bound is as above.\n\n" +
		"| what is broken | what Serin does | every request fails | it is good | bound |\n|---|---|---|---|---|\n")
	for _, r := range slices.Concat(rows...) {
		table.WriteString(r.String())
	}
	require.NoError(t, os.WriteFile(*reliability, []byte(head+begin+table.String()+end+rest), 0o600))
}
