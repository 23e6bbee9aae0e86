package config

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"
)

// shop is the spec of a rollout that is an object; tests replace parts of it.
const shop = `
traffic: {traefik: {route: {host: shop.example.com}}}
stable: {deployment: shop, service: {name: shop, port: 80}}
canary: {deployment: shop-canary, service: {name: shop-canary, port: 80}}
analysis: traefik-web
steps: [{gray: {weights: [10%]}}, {promote: {}}]
`

func object(t *testing.T, kind, namespace, name, spec string) Object {
	t.Helper()
	b, err := yaml.YAMLToJSON([]byte(spec))
	require.NoError(t, err)
	return Object{Kind: kind, ObjectID: ObjectID{namespace, name}, Generation: 1, Spec: b}
}

func rolloutObject(t *testing.T, namespace, name string, change ...string) Object {
	t.Helper()
	return object(t, KindRollout, namespace, name, strings.NewReplacer(change...).Replace(shop))
}

func setOf(l Loader, before *state, objects ...Object) *state {
	var files []file
	for i := range objects {
		files = append(files, objects[i].file())
	}
	return l.next(files, before)
}

func TestAnObjectIsReadAsADocumentOfItsNamespace(t *testing.T) {
	t.Parallel()
	set := setOf(Loader{}, nil, rolloutObject(t, "pro", "shop"), rolloutObject(t, "dev", "shop", "shop.example.com", "dev.example.com"))
	require.Empty(t, set.Errors)
	require.Len(t, set.Rollouts, 2)
	r, ok := set.Rollout("pro.shop")
	require.True(t, ok, "its name says where it is")
	require.Equal(t, "Rollout pro/shop", r.File)
	require.Equal(t, "pro", r.Plan.Gateway.Cluster.Namespace, "its route is in its own namespace")
	require.Equal(t, "pro/shop", r.Plan.Rollout.Cluster.Arms.Stable.Deployment.String())
	require.Equal(t, map[ObjectSource]int64{{"Rollout", "pro", "shop"}: 1, {"Rollout", "dev", "shop"}: 1}, set.Objects)
	require.Zero(t, set.Files, "an object is no file")
}

func TestAnObjectIsRefusedWithThePathOfTheField(t *testing.T) { //nolint:funlen // a table
	t.Parallel()
	for name, c := range map[string]struct {
		objects Objects
		change  []string
		want    string // empty: it is right
	}{
		"a violation of the schema": {
			change: []string{"[10%]", "[ten]"}, want: `Rollout pro/shop: steps[0].gray.weights[0]: expected a share such as 25% or 0.25, got the text "ten"`,
		},
		"a wrong meaning": {
			change: []string{"[10%]", "[50%, 10%]"}, want: "Rollout pro/shop: steps[0].gray.weights[1]: 10% after 50%: weights have to grow",
		},
		"an analysis that does not exist": {
			change: []string{"traefik-web", "mine"}, want: "Rollout pro/shop: analysis: there is no analysis",
		},
		"another namespace": {
			change: []string{"{route:", "{namespace: dev, route:"},
			want:   "Rollout pro/shop: traffic.traefik.namespace: a Rollout in namespace pro acts in that one alone",
		},
		"another namespace of a step": {
			change: []string{"{promote: {}}", "{deploy: {deployment: shop, namespace: dev, image: {shop: x}}}, {promote: {}}"},
			want:   "Rollout pro/shop: steps[1].deploy.namespace: a Rollout in namespace pro acts in that one alone",
		},
		"another namespace of a trigger": {
			change: []string{"analysis:", "triggers: [{deployment: shop, namespace: dev}]\nanalysis:"},
			want:   "Rollout pro/shop: triggers[0].namespace: a Rollout in namespace pro acts in that one alone",
		},
		"another namespace that the daemon's document lets it reach": {
			objects: Objects{Reach: map[string][]string{"pro": {"dev"}}},
			change:  []string{"{promote: {}}", "{deploy: {deployment: shop, namespace: dev, image: {shop: x}}}, {promote: {}}"},
		},
		"a reach that is another's": {
			objects: Objects{Reach: map[string][]string{"dev": {"dev"}}},
			change:  []string{"{promote: {}}", "{deploy: {deployment: shop, namespace: dev, image: {shop: x}}}, {promote: {}}"},
			want:    "Rollout pro/shop: steps[1].deploy.namespace: a Rollout in namespace pro acts in that one alone",
		},
		"a file of Traefik's": {
			change: []string{"{traefik: {route: {host: shop.example.com}}}", "{traefikFile: {path: /etc/passwd.yaml, rule: 'Host(`a`)'}}"},
			want:   "Rollout pro/shop: traffic.traefikFile: belongs to documents in files",
		},
		"a file with a Job": {
			change: []string{"{promote: {}}", "{job: {manifest: /var/lib/serin/serin.token}}, {promote: {}}"},
			want:   "Rollout pro/shop: steps[1].job.manifest: is the name of a file, and an object has no files",
		},
		"a file with a pod template": {
			change: []string{"{promote: {}}", "{deploy: {deployment: shop, template: t.yaml}}, {promote: {}}"},
			want:   "Rollout pro/shop: steps[1].deploy.template: is the name of a file, and an object has no files",
		},
		"a password in a file": {
			objects: Objects{Hosts: []string{"traefik.example.com"}},
			change:  []string{"{route:", "{verify: {api: 'http://traefik.example.com', basicAuth: {username: a, passwordFile: /etc/serin/token}}, route:"},
			want:    "Rollout pro/shop: traffic.traefik.verify.basicAuth: belongs to documents in files",
		},
		"a Job that stands in it": {
			change: []string{"{promote: {}}", "{job: {manifest: {apiVersion: batch/v1, kind: Job, spec: {template: {spec: {containers: [{name: a, image: b}]}}}}}}, {promote: {}}"},
		},
		"a host that is not allowed": {
			change: []string{"{promote: {}}", "{promote: {}}, {webhook: {url: 'http://169.254.169.254/latest'}}"},
			want:   "Rollout pro/shop: steps[2].webhook.url: for an object, Serin calls only hosts that the daemon's document names",
		},
		"a host with a placeholder": {
			objects: Objects{Hosts: []string{"*.example.com"}},
			change:  []string{"analysis:", "parameters: [{name: host}]\nanalysis:", "{promote: {}}", "{promote: {}}, {webhook: {url: 'http://${host}/'}}"},
			want:    "Rollout pro/shop: steps[2].webhook.url: for an object, Serin calls only hosts",
		},
		"a host that is allowed": {
			objects: Objects{Hosts: []string{"*.example.com"}},
			change:  []string{"{promote: {}}", "{promote: {}}, {webhook: {url: 'https://chat.example.com/hook'}}"},
		},
		"a host that only looks like an allowed one": {
			objects: Objects{Hosts: []string{"*.example.com"}},
			change:  []string{"{promote: {}}", "{promote: {}}, {webhook: {url: 'https://evilexample.com/hook'}}"},
			want:    "Rollout pro/shop: steps[2].webhook.url: for an object, Serin calls only hosts",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set := setOf(Loader{Objects: c.objects}, nil, rolloutObject(t, "pro", "shop", c.change...))
			if c.want == "" {
				require.Empty(t, set.Errors)
				return
			}
			require.NotEmpty(t, set.Errors)
			require.Contains(t, set.Errors.Error(), c.want)
			require.Zero(t, set.Errors[0].Line, "nobody has seen its lines")
		})
	}
}

func TestARolloutNamesAnalysesOfItsNamespaceAndThoseOfFiles(t *testing.T) {
	t.Parallel()
	const spec = "metrics: [{name: errors, preset: traefik-errors}]"
	file := file{name: "shared.yaml", body: []byte("apiVersion: serin.dev/v1alpha1\nkind: Analysis\nmetadata: {name: shared}\nspec: {" + spec + "}\n")}
	mine, theirs := object(t, KindAnalysis, "pro", "mine", spec), object(t, KindAnalysis, "dev", "theirs", spec)
	for name, there := range map[string]bool{"shared": true, "mine": true, "theirs": false, "pro.mine": false, "dev.theirs": false} {
		r := rolloutObject(t, "pro", "shop", "traefik-web", name)
		files := []loadedFile{file, mine.file(), theirs.file(), r.file()}
		set := Loader{}.next(files, nil)
		require.Equal(t, there, len(set.Errors) == 0, "%s: %v", name, set.Errors)
	}
}

type loadedFile = file

func TestAWrongChangeKeepsTheLastGoodVersion(t *testing.T) {
	t.Parallel()
	good := rolloutObject(t, "pro", "shop")
	before := setOf(Loader{}, nil, good)
	bad := rolloutObject(t, "pro", "shop", "10%", "100%")
	bad.Generation = 2
	after := setOf(Loader{}, before, bad)
	require.NotEmpty(t, after.Errors)
	r, ok := after.Rollout("pro.shop")
	require.True(t, ok)
	require.True(t, r.Outdated)
	require.Equal(t, before.Rollouts[0].Plan, r.Plan)
	require.EqualValues(t, 2, after.Objects[ObjectSource{"Rollout", "pro", "shop"}], "it was read, and found wrong")
}

func TestTwoObjectsMustNotClaimTheSame(t *testing.T) {
	t.Parallel()
	first := rolloutObject(t, "pro", "shop")
	set := setOf(Loader{}, setOf(Loader{}, nil, first), first, rolloutObject(t, "dev", "shop"))
	require.Len(t, set.Errors, 1)
	require.Equal(t, "Rollout dev/shop: metadata.name: has the same route as the rollout in Rollout pro/shop, host shop.example.com: "+
		"Traefik would give each request to either of them", set.Errors[0].Error())
}

// cluster stands for a cluster that a watcher reads.
type cluster struct {
	mu      sync.Mutex
	objects []Object
	known   bool
	changed chan struct{}
}

func (c *cluster) Documents() ([]Object, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Object(nil), c.objects...), c.known
}
func (c *cluster) Changed() <-chan struct{} { return c.changed }

func (c *cluster) set(objects ...Object) {
	c.mu.Lock()
	c.objects, c.known = objects, true
	c.mu.Unlock()
	c.changed <- struct{}{}
}

func TestAWatcherTakesOverObjectsAlongsideFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a.yaml"), []byte(
		"apiVersion: serin.dev/v1alpha1\nkind: Analysis\nmetadata: {name: shared}\nspec: {metrics: [{name: errors, preset: traefik-errors}]}\n"), 0o600))
	c := &cluster{changed: make(chan struct{}, 1)}
	sets := make(chan *Set, 10)
	w := NewWatcher(Loader{}, slog.New(slog.DiscardHandler), func(s *Set) { sets <- s }, dir).With(c)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()
	c.set(rolloutObject(t, "pro", "shop", "traefik-web", "shared"))
	set := <-sets
	require.Len(t, set.Rollouts, 1, "the first set waits for what the cluster says")
	require.Equal(t, 1, set.Files)
	c.set(rolloutObject(t, "pro", "shop", "traefik-web", "shared"), rolloutObject(t, "pro", "web", "shop", "web"))
	require.Len(t, (<-sets).Rollouts, 2)
	c.set()
	require.Empty(t, (<-sets).Rollouts)
	cancel()
	require.NoError(t, <-done)
}

func TestFilesAreReadWhileTheClusterDoesNotAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &cluster{changed: make(chan struct{}, 1)}
		r := reader{Watcher: NewWatcher(Loader{}, slog.New(slog.DiscardHandler), nil).With(c)}
		begin := time.Now()
		require.NotNil(t, r.objects(t.Context()))
		require.Equal(t, objectsWithin, time.Since(begin))
	})
}

func TestAnObjectOfAnyFormIsReadOrRefused(t *testing.T) {
	t.Parallel()
	for _, spec := range []string{"", "null", "[]", `"text"`, `{"steps":null}`, `{"steps":[null]}`, "{", strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100)} {
		set := setOf(Loader{}, nil, Object{Kind: KindRollout, ObjectID: ObjectID{"pro", "shop"}, Spec: json.RawMessage(spec)})
		require.NotEmpty(t, set.Errors, spec)
	}
}

func TestNobodyTakesOverARolloutByMakingTheSameClaims(t *testing.T) {
	t.Parallel()
	pro, dev := rolloutObject(t, "pro", "shop"), rolloutObject(t, "dev", "shop", "shop.example.com", "dev.example.com")
	pro.Created, dev.Created = time.Unix(1, 0), time.Unix(2, 0)
	hostile := rolloutObject(t, "dev", "shop")
	hostile.Generation, hostile.Created = 2, dev.Created
	check := func(set *state) {
		t.Helper()
		r, ok := set.Rollout("pro.shop")
		require.True(t, ok)
		require.False(t, r.Outdated)
		require.Len(t, set.Errors, 1)
		require.Equal(t, "Rollout dev/shop", set.Errors[0].File)
	}
	running := setOf(Loader{}, setOf(Loader{}, nil, dev, pro), hostile, pro)
	check(running)
	check(setOf(Loader{}, running, hostile, pro))
	check(setOf(Loader{}, nil, hostile, pro)) // after a restart
	inFile := file{name: "shop.yaml", body: []byte("apiVersion: serin.dev/v1alpha1\nkind: Rollout\nmetadata: {name: shop}\nspec:" +
		strings.ReplaceAll(strings.ReplaceAll(shop, "\n", "\n  "), "{traefik: {", "{traefik: {namespace: pro, "))}
	set := Loader{}.next([]file{hostile.file(), inFile}, nil)
	_, ok := set.Rollout("shop")
	require.True(t, ok, "a file goes before an object: %v", set.Errors)
	require.Len(t, set.Errors, 1)
}

func TestAnInvalidAnalysisIsNotReplacedByOneInAFile(t *testing.T) {
	t.Parallel()
	inFile := file{name: "shared.yaml", body: []byte("apiVersion: serin.dev/v1alpha1\nkind: Analysis\nmetadata: {name: slow}\nspec: {metrics: [{name: errors, preset: traefik-errors}]}\n")}
	own := object(t, KindAnalysis, "pro", "slow", "metrics: [{name: errors, preset: nonsense}]")
	r := rolloutObject(t, "pro", "shop", "traefik-web", "slow")
	set := Loader{}.next([]file{inFile, own.file(), r.file()}, nil)
	require.Empty(t, set.Rollouts)
	require.Contains(t, set.Errors.Error(), "analysis slow is in Analysis pro/slow, which has errors")
	elsewhere := rolloutObject(t, "dev", "shop", "traefik-web", "slow")
	set = Loader{}.next([]file{inFile, own.file(), elsewhere.file()}, nil)
	require.Len(t, set.Rollouts, 1, "the others' is the file's")
}

// serin validate checks the manifests that kubectl apply takes, and reports the lines of the file.
func TestAManifestWithANamespaceIsCheckedAsTheObjectThatItMakes(t *testing.T) {
	t.Parallel()
	const rollout = `apiVersion: serin.dev/v1alpha1
kind: Rollout
metadata:
  namespace: pro
  name: shop
spec:
  traffic: {traefik: {route: {host: shop.example.com, entryPoints: [web]}, verify: {api: ["http://traefik.traefik.svc:8080"]}}}
  stable: {deployment: shop, service: {name: shop, port: 80}}
  canary: {deployment: shop-canary, service: {name: shop-canary, port: 80}}
  analysis: [errors]
  steps:
    - gray: {weights: [5%], hold: 10m}
    - promote: {}
---
apiVersion: serin.dev/v1alpha1
kind: Analysis
metadata: {namespace: NAMESPACE, name: errors}
spec: {metrics: [{name: errors, preset: traefik-errors}]}
`
	file := func(text string) string { return write(t, map[string]string{"shop.yaml": text}) + "/shop.yaml" }
	own := file(strings.Replace(rollout, "NAMESPACE", "pro", 1))
	l := Loader{Manifests: true, Objects: Objects{Unknown: true}}
	set, errs := l.Load(own)
	require.Empty(t, errs)
	require.Equal(t, "pro.shop", names(set), "in its own namespace, with that one's analysis")

	_, errs = l.Load(file(strings.Replace(rollout, "NAMESPACE", "dev", 1)))
	require.Contains(t, errs.Error(), "shop.yaml:10:", "another namespace's analysis is not seen")
	_, errs = l.Load(file(strings.NewReplacer("NAMESPACE", "pro", "[5%]", "[50%, 5%]").Replace(rollout)))
	require.Contains(t, errs.Error(), "shop.yaml:12:29: steps[0].gray.weights[1]: 5% after 50%")
	l.Objects.Unknown = false
	_, errs = l.Load(own)
	require.Contains(t, errs.Error(), "kubernetes.resources.hosts", "as the daemon whose document is given lets it")
	_, errs = Loader{}.Load(own)
	require.NotEmpty(t, errs, "the daemon's own files belong to no namespace")
}
