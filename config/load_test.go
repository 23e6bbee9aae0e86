package config

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/share"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/traefik"
	"github.com/serindev/serin/workload"
)

func loadExamples(t *testing.T) *Set {
	set, errs := Load(exampleFiles(t)...)
	require.Empty(t, errs.Error())
	return set
}

// exampleFiles are the files in the folder itself. Below it are the manifests that they name, and the GitOps example, which
// stands alone and consists mostly of other tools' files.
func exampleFiles(t *testing.T) []string {
	files, err := filepath.Glob("../examples/*.yaml")
	require.NoError(t, err)
	return files
}

// The rollout of the GitOps examples: Git commits the version that becomes stable.
func TestTheGitOpsExampleWaitsForTheCommit(t *testing.T) {
	set, errs := checking().Load("../examples/gitops/shop/rollout.yaml")
	require.Empty(t, errs.Error())
	require.Len(t, set.Rollouts, 1)
	d := set.Rollouts[0].Plan.Rollout
	require.NoError(t, d.Check())
	require.Equal(t, rollout.Promote{Name: "promote", Strategy: rollout.AwaitStable, Deadline: 24 * time.Hour, Expired: rollout.PolicyGate},
		d.Steps[len(d.Steps)-1])
}

func TestEveryExampleIsValid(t *testing.T) {
	set := loadExamples(t)
	require.Equal(t, []string{"checkout-conversion", "engagement", "grpc", "jobs", "orders", "sparse", "web"}, set.Analyses)
	require.Len(t, set.Rollouts, 9)
	require.Len(t, set.Daemons, 1)
}

func TestAnExampleThatNamesNoOtherFileIsValidAlone(t *testing.T) {
	for _, file := range []string{"minimal", "grpc", "own-metrics", "low-traffic", "one-deployment", "worker", "blue-green"} {
		set, errs := Load("../examples/" + file + ".yaml")
		require.Empty(t, errs.Error(), file)
		require.Len(t, set.Rollouts, 1, file)
	}
}

func TestTheMinimalExampleGetsEveryDefault(t *testing.T) {
	r, ok := loadExamples(t).Rollout("shop")
	require.True(t, ok)
	d := r.Plan.Rollout
	require.NoError(t, d.Check())
	d.Revision = ""
	require.Equal(t, rollout.Definition{
		Name:   "shop",
		Stable: traffic.Backend{Servers: []string{"http://127.0.0.1:8081"}},
		Canary: traffic.Backend{Servers: []string{"http://127.0.0.1:8082"}},
		Steps: rollout.Steps{
			rollout.Gray{Name: "gray", Weights: []share.Share{0.1, 0.25, 0.5}, Hold: 15 * time.Minute, Scope: "gray",
				Decide: rollout.Decide{Max: 24 * time.Hour, Inconclusive: rollout.PolicyGate}},
			rollout.Gate{Name: "full-release"},
			rollout.Promote{Name: "promote"},
		},
		Scopes: []rollout.Scope{{Name: "gray",
			NoData:      rollout.Patience{For: 10 * time.Minute, Then: rollout.PolicyHold},
			Unreachable: rollout.Patience{For: 10 * time.Minute, Then: rollout.PolicyHold, Blind: time.Hour}}},
		Verify:   rollout.Verify{For: time.Minute, Trust: true},
		Rollback: rollout.Rollback{Drain: 30 * time.Second, Deadline: 15 * time.Minute},
	}, d)
	require.Equal(t, record.Gateway{File: "/etc/traefik/dynamic/shop.yaml",
		Route: traffic.Route{Rule: "Host(`shop.example.com`)", EntryPoints: []string{"web"}}}, r.Plan.Gateway)
	web := analysis.Merge(traefik.Series{}.Web())
	web.Within = 45 * time.Minute // the least that the weights take
	for _, weight := range []share.Share{0.1, 0.25, 0.5} {
		web.Budget = append(web.Budget, analysis.Stretch{Weight: weight, For: 15 * time.Minute})
	}
	for i := range web.Metrics {
		web.Metrics[i].Budgeted = true
	}
	require.Equal(t, map[string]analysis.Definition{"gray": web}, r.Plan.Analyses)
}

func TestThePipelineExampleIsAPlanForACluster(t *testing.T) {
	r, ok := loadExamples(t).Rollout("k8s-flask")
	require.True(t, ok)
	d := r.Plan.Rollout
	require.NoError(t, d.Check())
	pro := func(name string) workload.Name { return workload.Name{Namespace: "pro", Name: name} }
	require.Equal(t, &rollout.Cluster{
		Arms: workload.Arms{
			Stable: workload.Arm{Deployment: pro("k8s-flask"), Service: "k8s-flask"},
			Canary: workload.Arm{Deployment: pro("k8s-flask-canary"), Service: "k8s-flask-canary"},
		},
		Replicas: workload.Replicas{Share: 0.1}, Deadline: 10 * time.Minute, Triggers: []workload.Name{pro("k8s-flask-canary")},
	}, d.Cluster)
	images := map[string]string{"flask": "${image}"}
	require.Equal(t, rollout.Deploy{Name: "pre-release", Deployment: workload.Name{Namespace: "dev", Name: "k8s-flask-nodeport"},
		Images: images, Deadline: 5 * time.Minute}, d.Steps[1])
	require.Equal(t, rollout.Deploy{Name: "canary", Deployment: pro("k8s-flask-canary"), Images: images, Deadline: 10 * time.Minute}, d.Steps[3])
	require.Equal(t, rollout.Promote{Name: "promote", Strategy: rollout.Patch, Deadline: 10 * time.Minute}, d.Steps[7])
	job := d.Steps[0].(rollout.Job)
	require.Equal(t, "pro", job.Namespace)
	require.Equal(t, 15*time.Minute, job.Deadline)
	filled, err := workload.FillJSON(job.Manifest, map[string]string{"image": "registry.example.com/flask:2"})
	require.NoError(t, err)
	require.Contains(t, string(filled), `"image":"registry.example.com/flask:2"`)
	require.Equal(t, &record.ClusterGateway{
		Namespace: "pro", Route: &traffic.Route{Rule: "Host(`pro.coding`)", EntryPoints: []string{"web"}}, Stable: d.Stable, Canary: d.Canary,
	}, r.Plan.Gateway.Cluster)
	require.Equal(t, []record.Replica{{URL: "http://traefik.traefik.svc:8080"}}, r.Plan.Gateway.Replicas)
}

func TestAPlanIsStoredAsJSONWithoutLoss(t *testing.T) {
	for _, r := range loadExamples(t).Rollouts {
		b, err := json.Marshal(r.Plan)
		require.NoError(t, err)
		var back record.Plan
		require.NoError(t, json.Unmarshal(b, &back))
		require.Equal(t, r.Plan, back)
	}
}

func TestStepsHaveTheirScopesOfEvidence(t *testing.T) {
	set := load(t, map[string]string{"r.yaml": rolloutYAML("shop", `
  analysis: traefik-web
  steps:
    - ab: {cohort: {header: {name: X-Group, value: beta}}, split: 50%, sticky: true, analysis: [slow, web]}
    - gray: {weights: [1%], analysis: web}
    - gate: {}
    - gray: {weights: [5%]}
    - ab: {name: ab-3, cohort: {header: {name: X-Group, value: beta}}, split: 100%}
    - gate: {name: gate-2}
    - gate: {}
    - promote: {}`), "a.yaml": `
apiVersion: serin.dev/v1alpha1
kind: Analysis
metadata: {name: web}
spec:
  metrics: [{name: errors, preset: traefik-errors}]
  noData: {for: 5m, then: hold}
  unreachable: {for: 10m, then: gate}
---
apiVersion: serin.dev/v1alpha1
kind: Analysis
metadata: {name: slow}
spec:
  metrics: [{name: slow, preset: traefik-latency, slowerThan: 1200ms}]
  noData: {for: 20m, then: rollback}
  minRequests: 500
`})
	r, _ := set.Rollout("shop")
	var names []string
	for _, s := range r.Plan.Rollout.Steps {
		names = append(names, s.StepName())
	}
	require.Equal(t, []string{"ab", "gray", "gate", "gray-2", "ab-3", "gate-2", "gate-3", "promote"}, names, "names are kind, kind-2, … where none is given")
	require.Equal(t, []rollout.Scope{
		{Name: "ab/ab", NoData: rollout.Patience{For: 20 * time.Minute, Then: rollout.PolicyRollback}, Unreachable: rollout.Patience{For: 10 * time.Minute, Then: rollout.PolicyGate}},
		{Name: "ab/ab-3", NoData: rollout.Patience{For: 10 * time.Minute, Then: rollout.PolicyHold}, Unreachable: rollout.Patience{For: 10 * time.Minute, Then: rollout.PolicyHold, Blind: time.Hour}},
		{Name: "gray", NoData: rollout.Patience{For: 5 * time.Minute, Then: rollout.PolicyHold}, Unreachable: rollout.Patience{For: 10 * time.Minute, Then: rollout.PolicyGate}},
	}, r.Plan.Rollout.Scopes)
	ab := r.Plan.Analyses["ab/ab"]
	require.Equal(t, "slow+web", ab.Name)
	require.InDelta(t, 500, ab.MinRequests, 0)
	require.InDelta(t, float64(stickyTolerance), float64(ab.Split.Tolerance), 0, "users who keep their arm make the split wander")
	require.False(t, ab.Split.Off, "the split is tested unless somebody switches it off")
	require.True(t, r.Plan.Analyses["ab/ab-3"].Split.Off, "at 100% there is no split")
	require.Equal(t, "web+traefik-web", r.Plan.Analyses["gray"].Name, "all gray steps are one body of evidence")
	require.NoError(t, r.Plan.Rollout.Check())
}

func TestATimeToDecideInIsTheBudgetOfMetricsWithoutAMargin(t *testing.T) {
	set := load(t, map[string]string{"r.yaml": rolloutYAML("shop", `
  analysis: [web, traefik-web]
  steps:
    - ab: {cohort: {header: {name: X-Group, value: beta}}, split: 50%, decide: {min: 5m, within: 15m}, analysis: web}
    - gray: {weights: [1%, 5%], hold: 2m}
    - gray: {weights: [10%, 50%], hold: 5m, decide: {within: 20m}}
    - gray: {weights: [60%], hold: 5m}
    - promote: {}`), "a.yaml": `
apiVersion: serin.dev/v1alpha1
kind: Analysis
metadata: {name: web}
spec:
  metrics:
    - {name: errors, preset: traefik-errors}
    - {name: strict, preset: traefik-errors, margin: {relative: 25%}}
    - {name: fixed, preset: traefik-errors, baseline: {fixed: 1%}}
`})
	r, _ := set.Rollout("shop")
	budget := func(scope string) (stretches []analysis.Stretch, budgeted []string) {
		d := r.Plan.Analyses[scope]
		for _, m := range d.Metrics {
			if m.Budgeted {
				budgeted = append(budgeted, m.Name)
			}
		}
		return d.Budget, budgeted
	}
	stretches, budgeted := budget("ab/ab")
	require.Equal(t, []analysis.Stretch{{Weight: 0.5, For: 15 * time.Minute}}, stretches)
	require.Equal(t, []string{"errors"}, budgeted, "who writes a margin means it")
	stretches, budgeted = budget("gray")
	require.Equal(t, []analysis.Stretch{{Weight: 0.01, For: 2 * time.Minute}, {Weight: 0.05, For: 2 * time.Minute},
		{Weight: 0.1, For: 5 * time.Minute}, {Weight: 0.5, For: 15 * time.Minute}}, stretches, "up to the step that is to be decided in a time")
	require.Equal(t, []string{"web/errors", "traefik-web/errors", "slow-requests"}, budgeted)
	require.NoError(t, r.Plan.Analyses["gray"].Validate())
	require.Len(t, r.Plan.Analyses["gray"].Judge(2).Budget, 4)
	require.Equal(t, 20*time.Minute, r.Plan.Analyses["gray"].Within, "what was written is kept, for people")
	require.Empty(t, set.Warnings)
}

func TestWithoutAMarginAndATimeTheStepsTimeIsTheBudget(t *testing.T) {
	for name, c := range map[string]struct {
		steps  string
		scope  string
		want   []analysis.Stretch
		within time.Duration
	}{
		"steps that are through earlier have half an hour": {
			steps: "- gray: {weights: [10%, 50%], hold: 5m}", scope: "gray", within: 30 * time.Minute,
			want: []analysis.Stretch{{Weight: 0.1, For: 5 * time.Minute}, {Weight: 0.5, For: 25 * time.Minute}}},
		"steps that take longer have what they take": {
			steps: "- gray: {weights: [1%, 5%], hold: 10m}\n    - gray: {weights: [50%], hold: 20m}", scope: "gray", within: 40 * time.Minute,
			want: []analysis.Stretch{{Weight: 0.01, For: 10 * time.Minute}, {Weight: 0.05, For: 10 * time.Minute}, {Weight: 0.5, For: 20 * time.Minute}}},
		"no longer than the step may take": {
			steps: "- gray: {weights: [50%], hold: 5m, decide: {max: 10m}}", scope: "gray", within: 10 * time.Minute,
			want: []analysis.Stretch{{Weight: 0.5, For: 10 * time.Minute}}},
		"an A/B test has its least time, half an hour or more": {
			steps: "- ab: {cohort: {header: {name: X, value: y}}, split: 20%, decide: {min: 2h}}", scope: "ab/ab", within: 2 * time.Hour,
			want: []analysis.Stretch{{Weight: 0.2, For: 2 * time.Hour}}},
		"or its most": {
			steps: "- ab: {cohort: {header: {name: X, value: y}}, split: 20%, decide: {min: 1m, max: 20m}}", scope: "ab/ab", within: 20 * time.Minute,
			want: []analysis.Stretch{{Weight: 0.2, For: 20 * time.Minute}}},
		"an A/B test without anybody on stable has none": {
			steps: "- ab: {cohort: {header: {name: X, value: y}}, split: 100%}", scope: "ab/ab"},
	} {
		t.Run(name, func(t *testing.T) {
			set := load(t, map[string]string{"r.yaml": rolloutYAML("shop", "\n  analysis: traefik-web\n  steps:\n    "+c.steps+"\n    - promote: {}")})
			r, _ := set.Rollout("shop")
			d := r.Plan.Analyses[c.scope]
			require.Equal(t, c.want, d.Budget)
			require.Equal(t, c.within, d.Within)
			for _, m := range d.Metrics {
				require.Equal(t, c.within > 0, m.Budgeted, m.Name)
			}
		})
	}
}

// ownMargins is an analysis whose metrics need no time: each has a margin that is written, or none to find.
const ownMargins = `
apiVersion: serin.dev/v1alpha1
kind: Analysis
metadata: {name: web}
spec:
  metrics:
    - {name: strict, preset: traefik-errors, margin: {relative: 25%}}
    - {name: fixed, preset: traefik-errors, baseline: {fixed: 1%}}
`

func TestMarginsThatAreWrittenNeedNoBudget(t *testing.T) {
	set := load(t, map[string]string{"r.yaml": rolloutYAML("shop", `
  analysis: web
  steps:
    - gray: {weights: [50%], hold: 5m}
    - promote: {}`), "a.yaml": ownMargins})
	r, _ := set.Rollout("shop")
	d := r.Plan.Analyses["gray"]
	require.Empty(t, d.Budget)
	require.Zero(t, d.Within)
	require.Empty(t, set.Warnings, "nobody has written a time that could have no effect")
}

func TestWhereUsersKeepTheirVersionTheJudgeKnows(t *testing.T) {
	set := load(t, map[string]string{"r.yaml": rolloutYAML("shop", `
  analysis: traefik-web
  steps:
    - mirror: {share: 10%, for: 15m}
    - ab: {name: keeps, cohort: {header: {name: X, value: y}}, split: 50%, sticky: true}
    - ab: {name: drawn, cohort: {header: {name: X, value: y}}, split: 50%}
    - ab: {name: all, cohort: {header: {name: X, value: y}}, split: 100%, sticky: true}
    - gray: {weights: [10%], sticky: true}
    - promote: {}`)})
	r, _ := set.Rollout("shop")
	for scope, want := range map[string]bool{"ab/keeps": true, "ab/drawn": false, "ab/all": false, "mirror/mirror": false, "gray": true} {
		d, ok := r.Plan.Analyses[scope]
		require.True(t, ok, scope)
		for _, m := range d.Judge(1).Metrics {
			require.Equal(t, want, m.Sticky, "%s %s", scope, m.Name)
		}
	}
}

func TestATimeToDecideInWithoutEffectGetsAWarning(t *testing.T) {
	set := load(t, map[string]string{"r.yaml": rolloutYAML("shop", `
  analysis: web
  steps:
    - gray: {weights: [50%], hold: 5m, decide: {within: 20m}}
    - promote: {}`), "a.yaml": ownMargins})
	require.Len(t, set.Warnings, 1)
	require.ErrorContains(t, set.Warnings[0], "within has no effect: every metric has a margin of its own")
}

func TestALongWaitForDataGetsAWarningAboutASilentPrometheus(t *testing.T) {
	document := func(more string) map[string]string {
		return map[string]string{"r.yaml": rolloutYAML("shop", `
  analysis: web
  steps:
    - ab: {cohort: {header: {name: X, value: y}}, split: 50%}
    - gray: {weights: [10%]}
    - promote: {}`), "a.yaml": `
apiVersion: serin.dev/v1alpha1
kind: Analysis
metadata: {name: web}
spec:
  metrics: [{name: errors, preset: traefik-errors}]
  noData: {for: 8h, then: hold}
` + more}
	}
	set := load(t, document(""))
	r, _ := set.Rollout("shop")
	for _, s := range r.Plan.Rollout.Scopes {
		require.Equal(t, rollout.Patience{For: 8 * time.Hour, Then: rollout.PolicyHold, Blind: 8 * time.Hour}, s.NoData)
		require.Equal(t, time.Hour, s.Unreachable.Blind)
	}
	require.Len(t, set.Warnings, 1)
	require.ErrorContains(t, set.Warnings[0], "noData waits 8h for missing data, but a release goes back after 1h without any answer from Prometheus")

	set = load(t, document("  unreachable: {for: 8h, then: hold}\n"))
	r, _ = set.Rollout("shop")
	require.Empty(t, set.Warnings)
	for _, s := range r.Plan.Rollout.Scopes {
		require.Zero(t, s.Unreachable.Blind, "what is written takes the default's place")
	}
}

func TestTheRevisionIsTheSameForEveryDaemon(t *testing.T) {
	here, errs := Load(exampleFiles(t)...)
	require.Empty(t, errs)
	there, errs := Loader{Settle: 5 * time.Second}.Load(exampleFiles(t)...)
	require.Empty(t, errs)
	differ := false
	for i, r := range here.Rollouts {
		require.Equal(t, r.Plan.Rollout.Revision, there.Rollouts[i].Plan.Rollout.Revision, "validate does not know the daemon's scrape interval")
		for scope, def := range r.Plan.Analyses {
			differ = differ || def.Settle != there.Rollouts[i].Plan.Analyses[scope].Settle
		}
	}
	require.True(t, differ, "that settles what late samples are waited for")
}

func TestTheRevisionChangesWithTheMeaningOnly(t *testing.T) {
	const base = `
  analysis: [web]
  steps:
    - gray: {weights: [5%, 50%], hold: 1h}
    - promote: {}`
	const web = "apiVersion: serin.dev/v1alpha1\nkind: Analysis\nmetadata: {name: web}\nspec:\n  metrics: [{name: errors, preset: traefik-errors}]\n"
	revision := func(rollout, analysis string) string {
		set := load(t, map[string]string{"r.yaml": rolloutYAML("shop", rollout), "a.yaml": analysis})
		r, _ := set.Rollout("shop")
		require.Len(t, r.Plan.Rollout.Revision, 16)
		return r.Plan.Rollout.Revision
	}
	was := revision(base, web)
	for name, same := range map[string]string{
		"another way to write it": "\n  steps:\n    - gray: {hold: 60m, weights: [0.05, \"50%\"]}\n    - promote:\n  analysis: web",
		"a comment":               "  # why\n" + base,
		"a default written out":   strings.Replace(base, "hold: 1h", "hold: 1h, decide: {max: 24h}", 1),
	} {
		require.Equal(t, was, revision(same, web), name)
	}
	require.Equal(t, was, revision(base, web+"---\napiVersion: serin.dev/v1alpha1\nkind: Analysis\nmetadata: {name: other}\nspec: {metrics: [{name: e, preset: traefik-errors}]}\n"), "another document")
	require.NotEqual(t, was, revision(strings.Replace(base, "50%", "51%", 1), web))
	require.NotEqual(t, was, revision(base, strings.Replace(web, "}]", ", weight: 2}]", 1)), "an analysis that it uses")
}

func TestADuplicateNameIsAnErrorAtBothPlaces(t *testing.T) {
	dir := write(t, map[string]string{"a.yaml": rolloutYAML("shop", short), "b.yaml": rolloutYAML("shop", short), "c.yaml": rolloutYAML("feed", short)})
	set, errs := Load(dir)
	require.Len(t, errs, 2)
	require.Equal(t, "metadata.name: Rollout shop is declared a second time, in "+filepath.Join(dir, "b.yaml")+":4", errs[0].Path+": "+errs[0].Message)
	require.Equal(t, filepath.Join(dir, "b.yaml"), errs[1].File)
	require.Len(t, set.Rollouts, 1, "what has nothing to do with it is there")
}

func TestNamesThatCollideInTraefikAreErrors(t *testing.T) {
	_, errs := Load(write(t, map[string]string{"a.yaml": rolloutYAML("shop", short), "b.yaml": rolloutYAML("shop-ab", short)}))
	require.Contains(t, errs.Error(), `would make an object "shop-ab" in Traefik`)
	same := strings.ReplaceAll(rolloutYAML("feed", short), "feed.yaml", "shop.yaml")
	_, errs = Load(write(t, map[string]string{"a.yaml": rolloutYAML("shop", short), "b.yaml": same}))
	require.Contains(t, errs.Error(), "writes the same Traefik file")
}

func TestTwoRolloutsOnOneHostOrDeploymentAreErrors(t *testing.T) {
	on := func(name, namespace, route, stable string) string {
		return "apiVersion: serin.dev/v1alpha1\nkind: Rollout\nmetadata: {name: " + name + "}\nspec:\n" +
			"  traffic: {traefik: {namespace: " + namespace + ", route: {" + route + "}}}\n" +
			"  stable: {deployment: " + stable + ", service: {name: a, port: 80}}\n  canary: {deployment: " + name + "-canary, service: {name: b, port: 80}}\n" +
			"  analysis: traefik-web\n  steps: [{gray: {weights: [5%]}}, {promote: {}}]\n"
	}
	first := on("shop", "pro", "host: shop.example.com, entryPoints: [web]", "shop")
	for name, c := range map[string]struct{ second, want string }{
		"the same host, in another namespace": {on("other", "dev", "host: Shop.example.com, entryPoints: [websecure, web]", "shop"), "has the same route as the rollout in"},
		"the same Deployment":                 {on("other", "pro", "host: other.example.com", "shop"), "has Deployment pro/shop, which is an arm of the rollout in"},
		"another entry point":                 {on("other", "dev", "host: shop.example.com, entryPoints: [websecure]", "shop"), ""},
		"another host":                        {on("other", "pro", "host: other.example.com, entryPoints: [web]", "other"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, errs := Load(write(t, map[string]string{"a.yaml": first, "b.yaml": c.second}))
			if c.want == "" {
				require.Empty(t, errs)
				return
			}
			require.Len(t, errs, 2, "each names the other")
			require.Contains(t, errs.Error(), c.want)
		})
	}
}

func TestFilesThatCannotBeReadAreErrors(t *testing.T) {
	dir := write(t, map[string]string{"large.yaml": strings.Repeat("# comment\n", maxFileSize/9), "good.yaml": rolloutYAML("shop", short), ".hidden.yaml": "{", "notes.txt": "{"})
	require.NoError(t, os.Symlink("nowhere", filepath.Join(dir, "link.yaml")))
	set, errs := Load(dir, filepath.Join(dir, "missing.yaml"))
	require.Len(t, errs, 3)
	require.Contains(t, errs.Error(), "larger than 1024 KiB")
	require.Contains(t, errs.Error(), "link.yaml: no such file or directory")
	require.Contains(t, errs.Error(), "missing.yaml: no such file or directory")
	require.Len(t, set.Rollouts, 1)
}

func TestStdinIsTheFileCalledDash(t *testing.T) {
	report, ok := Loader{Stdin: strings.NewReader(rolloutYAML("shop", short))}.Validate("-")
	require.True(t, ok, report)
	report, ok = Loader{Stdin: strings.NewReader("kind: Rollot")}.Validate("-")
	require.False(t, ok)
	require.Contains(t, report, `-:1:7: kind: expected Daemon, Analysis or Rollout, got "Rollot": did you mean "Rollout"?`)
	report, ok = Loader{}.Validate(t.TempDir())
	require.False(t, ok, "a folder without documents is probably not the one that was meant: %s", report)
}

func TestErrorsOfTheGatewaysParsersAreAtTheirFields(t *testing.T) {
	l := Loader{Rule: func(string) error { return os.ErrInvalid }, Guards: func(g traffic.Guards) error {
		if g.CircuitBreaker != nil {
			return os.ErrInvalid
		}
		return nil
	}}
	_, errs := l.Load(write(t, map[string]string{"a.yaml": rolloutYAML("shop", short+"\n  guards: {circuitBreaker: {expression: no}, rateLimit: {average: 5}}")}))
	require.Len(t, errs, 2)
	require.Equal(t, "traffic.traefikFile.rule", errs[0].Path)
	require.Equal(t, "guards.circuitBreaker", errs[1].Path)
}

// short completes a valid rollout.
const short = `
  analysis: traefik-web
  steps: [{gray: {weights: [5%]}}, {promote: {}}]`

// rolloutYAML is a rollout with rest in its spec.
func rolloutYAML(name, rest string) string {
	return `apiVersion: serin.dev/v1alpha1
kind: Rollout
metadata:
  name: ` + name + `
spec:
  traffic: {traefikFile: {path: /traefik/` + name + `.yaml, rule: "Host(` + "`a`" + `)"}}
  stable: {servers: [http://127.0.0.1:1]}
  canary: {servers: [http://127.0.0.1:2]}
` + rest + "\n"
}

func write(t *testing.T, files map[string]string) string {
	dir := t.TempDir()
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	return dir
}

func load(t *testing.T, files map[string]string) *Set {
	set, errs := Load(write(t, files))
	require.Empty(t, errs.Error())
	return set
}
