package migrate_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/config"
	"github.com/serindev/serin/migrate"
)

var update = flag.Bool("update", false, "write the golden files")

func TestThePeersExamplesAreConvertedToValidDocuments(t *testing.T) {
	inputs, err := filepath.Glob("testdata/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, inputs)
	for _, path := range inputs {
		t.Run(filepath.Base(path), func(t *testing.T) {
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			services, err := migrate.Convert(migrate.Source{Name: filepath.Base(path), Text: text})
			require.NoError(t, err)
			require.Len(t, services, 1)
			golden := strings.TrimSuffix(path, ".yaml") + ".golden"
			if *update {
				require.NoError(t, os.WriteFile(golden, []byte(services[0].Text), 0o600))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			require.Equal(t, string(want), services[0].Text)
			valid(t, services[0].Text)
		})
	}
}

// valid requires that Serin accepts a text as documents.
func valid(t *testing.T, text string) *config.Set {
	t.Helper()
	set, errs := config.Loader{Stdin: strings.NewReader(text)}.Load("-")
	require.Empty(t, errs, text)
	require.Len(t, set.Rollouts, 1)
	return set
}

// canary is a Canary with these additions to its analysis and its spec.
func canary(analysis, spec string) string {
	return "apiVersion: flagger.app/v1beta1\nkind: Canary\nmetadata: {name: podinfo, namespace: test}\nspec:\n  targetRef: {apiVersion: apps/v1, kind: Deployment, name: podinfo}\n" +
		"  service: {port: 80}\n" + spec + "  analysis:\n    interval: 10s\n    stepWeight: 10\n    maxWeight: 50\n" + analysis
}

// argo is a Rollout with these steps.
func argo(steps string) string {
	return "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: {name: shop, namespace: pro}\nspec:\n  strategy:\n    canary:\n" +
		"      trafficRouting: {traefik: {weightedTraefikServiceName: shop}}\n      steps: " + steps + "\n"
}

// routeOf is an IngressRoute that leads to the Canary's TraefikService.
func routeOf(route, tls string) string {
	return "---\napiVersion: traefik.io/v1alpha1\nkind: IngressRoute\nmetadata: {name: podinfo, namespace: test}\nspec:\n  routes:\n" +
		"    - {match: \"Host(`app.example.com`)\", kind: Rule, services: [{name: podinfo, kind: TraefikService}], " + route + "}\n  tls: " + tls + "\n"
}

func convert(t *testing.T, text string) migrate.Service {
	t.Helper()
	services, err := migrate.Convert(migrate.Source{Name: "in.yaml", Text: []byte(text)})
	require.NoError(t, err)
	require.Len(t, services, 1)
	valid(t, services[0].Text)
	return services[0]
}

// becomes are fields, and what becomes of them.
var becomes = map[string]struct {
	in          string
	want        []string
	unwanted    string
	pace        migrate.Pace
	left        string
	leftNothing bool
}{
	"weights are written out, and each is held for an interval": {
		in: canary("", ""), want: []string{"weights: [10%, 20%, 30%, 40%, 50%]\n        hold: 10s\n        decide: {on: no-fail}"},
		pace: migrate.Pace{Weights: 5, Total: 50 * time.Second}, leftNothing: true,
	},
	"a threshold becomes an objective": {
		in:   canary("    metrics: [{name: request-success-rate, thresholdRange: {min: 99.5}}]\n", ""),
		want: []string{"preset: traefik-errors\n      baseline: {fixed: 0.5%}"}, pace: migrate.Pace{Weights: 5, Total: 50 * time.Second},
	},
	"a field that nobody knows is named": {
		in: canary("    stepWieght: 5\n", ""), left: "spec.analysis.stepWieght: not known to serin migrate", pace: migrate.Pace{Weights: 5, Total: 50 * time.Second},
	},
	"a field of another type is named": {
		in: canary("    metrics: often\n", ""), left: `spec.analysis.metrics: expected a list, got the text "often"`, pace: migrate.Pace{Weights: 5, Total: 50 * time.Second},
	},
	"a gate before the promotion stays one": {
		in:   canary("    webhooks: [{name: ask, type: confirm-promotion, url: \"http://gate.test/\"}]\n", ""),
		want: []string{"- gate: {name: ask}\n    - promote: {}"}, pace: migrate.Pace{Weights: 5, Total: 50 * time.Second, Gates: 1},
	},
	"a gate before each weight stays one before the first": {
		in:   canary("    webhooks: [{name: ask, type: confirm-traffic-increase, url: \"http://gate.test/\"}]\n", ""),
		want: []string{"before each weight; here once, before the first\n    - gate: {name: ask}\n    - deploy:"}, pace: migrate.Pace{Weights: 5, Total: 50 * time.Second, Gates: 1},
	},
	"what guards a route goes with it": {
		in:   canary("", "") + routeOf("middlewares: [{name: sign-in, namespace: auth}, {name: limit@file}]", "{secretName: a, options: {name: mtls, namespace: traefik}}"),
		want: []string{"tls: {secretName: a, options: mtls, optionsNamespace: traefik}", "middlewares:\n          - {name: sign-in, namespace: auth}\n          - {name: \"limit@file\"}"},
		pace: migrate.Pace{Weights: 5, Total: 50 * time.Second},
	},
	"a guard that cannot be taken over has to be filled in": {
		in:   canary("", "") + routeOf("middlewares: [{name: \"Sign in\"}]", "{options: {name: \"M TLS\"}}"),
		want: []string{"# Fill in or check:\n", "# - a middleware of your IngressRoute (\"Sign in\"), without which", "# - the TLS options of your IngressRoute (\"M TLS\")"},
		pace: migrate.Pace{Weights: 5, Total: 50 * time.Second},
	},
	"webhooks of one name get different ones": {
		in:   canary("    webhooks: [{name: a, url: \"http://gate.test/1\"}, {name: a, url: \"http://gate.test/2\"}]\n", ""),
		want: []string{"name: a\n", "name: a-2\n"}, pace: migrate.Pace{Weights: 5, Total: 50 * time.Second},
	},
	"a comment is one line, whatever is in it": {
		in:       canary("    webhooks: [{name: ask, type: confirm-promotion, url: \"x\\n    - promote: {}\\n\"}]\n", ""),
		unwanted: "\n    - promote: {}\n    - promote: {}", pace: migrate.Pace{Weights: 5, Total: 50 * time.Second, Gates: 1},
	},
	"pauses become holds and gates": {
		in:   argo("[{setWeight: 5}, {pause: {duration: 10m}}, {setWeight: 10}, {pause: {duration: 10m}}, {pause: {}}, {setWeight: 50}, {pause: {duration: 1h}}]"),
		want: []string{"weights: [5%, 10%]\n        hold: 10m", "- gate: {name: after-10-percent}", "weights: [50%]\n        hold: 1h"},
		pace: migrate.Pace{Weights: 3, Total: 80 * time.Minute, Gates: 1}, leftNothing: true,
	},
	"a weight that does not grow is named": {
		in: argo("[{setWeight: 50}, {pause: {duration: 10m}}, {setWeight: 20}]"), left: "spec.strategy.canary.steps[2].setWeight: 20% after 50%: weights have to grow",
		pace: migrate.Pace{Weights: 1, Total: 10 * time.Minute},
	},
}

func TestWhatBecomesOfFields(t *testing.T) {
	for name, c := range becomes {
		t.Run(name, func(t *testing.T) {
			s := convert(t, c.in)
			for _, want := range c.want {
				require.Contains(t, s.Text, want)
			}
			if c.unwanted != "" {
				require.NotContains(t, s.Text, c.unwanted)
			}
			require.Equal(t, c.pace, s.Today)
			if c.left != "" {
				require.Contains(t, s.Left, c.left)
				require.Contains(t, s.Text, "# - "+c.left)
			}
			if c.leftNothing {
				require.Empty(t, s.Left)
			}
		})
	}
}

func TestWhatCannotBeConvertedIsRefused(t *testing.T) {
	for name, c := range map[string]struct{ in, err string }{
		"nothing":                  {"", "neither a Flagger Canary nor an Argo Rollout: there is no document"},
		"other kinds":              {"apiVersion: v1\nkind: Service\n", "there is v1 Service"},
		"no YAML":                  {"a: [", "in.yaml: document 1: "},
		"no object":                {"- a\n", "in.yaml: document 1: expected a Kubernetes object, got a list"},
		"a DaemonSet":              {strings.Replace(canary("", ""), "kind: Deployment", "kind: DaemonSet", 1), "Serin releases Deployments, not DaemonSet"},
		"blue/green":               {"apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: {name: shop}\nspec: {strategy: {blueGreen: {activeService: a}}}\n", "spec.strategy.canary is missing"},
		"a name that is none":      {strings.Replace(canary("", ""), "name: podinfo, namespace", "name: \"a b\", namespace", 1), `metadata.name: expected the name of an object, such as shop, got "a b"`},
		"a Service that is none":   {strings.Replace(canary("", ""), "kind: Deployment, name: podinfo", "kind: Deployment, name: \"0\"", 1), `expected the name of a Service, which begins with a letter, got "0"`},
		"two Canaries of a name":   {canary("", "") + "---\n" + canary("", ""), "there are two of this name"},
		"a bomb of YAML's aliases": {"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\nh: [*g,*g,*g,*g,*g,*g,*g,*g,*g]\n", "excessive aliasing"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := migrate.Convert(migrate.Source{Name: "in.yaml", Text: []byte(c.in)})
			require.ErrorContains(t, err, c.err)
		})
	}
}

// FuzzConvert: nothing panics on any input, and Serin accepts whatever is written.
func FuzzConvert(f *testing.F) {
	inputs, err := filepath.Glob("testdata/*.yaml")
	require.NoError(f, err)
	for _, path := range inputs {
		text, err := os.ReadFile(path)
		require.NoError(f, err)
		f.Add(text)
	}
	f.Add([]byte(canary("    stepWeights: [1, 1e300, -5]\n", "")))
	f.Add([]byte(argo("[{setWeight: 5}, {pause: {duration: 1}}]")))
	f.Fuzz(func(t *testing.T, text []byte) {
		services, err := migrate.Convert(migrate.Source{Name: "in.yaml", Text: text})
		if err != nil {
			require.Empty(t, services)
			return
		}
		for _, s := range services {
			valid(t, s.Text)
		}
	})
}
