package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/workload"
)

const oneDeployment = `apiVersion: serin.dev/v1alpha1
kind: Rollout
metadata: {name: shop}
spec:
  traffic: {traefik: {namespace: pro, ingressRoute: shop}}
  deployment: shop
  service: {name: shop, port: http}
  analysis: [traefik-web]
  steps:
    - gray: {weights: [5%], hold: 10m}
    - promote: {}
`

func loadOne(t *testing.T, change ...string) (*Set, Errors) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "shop.yaml")
	require.NoError(t, os.WriteFile(file, []byte(strings.NewReplacer(change...).Replace(oneDeployment)), 0o600))
	return Load(file)
}

func TestOneDeploymentIsTheCanaryAndStableIsItsCopy(t *testing.T) {
	set, errs := loadOne(t)
	require.Empty(t, errs.Error())
	d := set.Rollouts[0].Plan.Rollout
	name := func(n string) workload.Name { return workload.Name{Namespace: "pro", Name: n} }
	require.Equal(t, &rollout.Cluster{
		Arms: workload.Arms{
			Stable: workload.Arm{Deployment: name("shop-stable"), Service: "shop-stable"}, Canary: workload.Arm{Deployment: name("shop"), Service: "shop"},
		},
		Deadline: defaultCapacityReady, Triggers: []workload.Name{name("shop")}, Copied: true, Kept: true,
	}, d.Cluster)
	require.True(t, d.Steps[1].(rollout.Promote).Whole)
	require.Equal(t, traffic.Backend{Service: "shop", Port: "http"}, set.Rollouts[0].Plan.Gateway.Cluster.Direct, "what the adopted route leads to in Git")

	set, errs = loadOne(t, "  deployment: shop\n", "  deployment: shop\n  scaleDown: true\n  leave: true\n  track: configMaps\n  triggers: [{deployment: shop}]\n")
	require.Empty(t, errs.Error())
	c := set.Rollouts[0].Plan.Rollout.Cluster
	require.False(t, c.Kept)
	require.True(t, c.Leave)
	require.True(t, c.Track)
	require.Len(t, c.Triggers, 1)
}

func TestTheCopyOfALongNameIsShortenedWithAHash(t *testing.T) {
	deployment, service := strings.Repeat("a.b", 80)[:239]+"z", strings.Repeat("s", 63)
	set, errs := loadOne(t, "deployment: shop", "deployment: "+deployment, "name: shop, port", "name: "+service+", port")
	require.Empty(t, errs.Error())
	stable := set.Rollouts[0].Plan.Rollout.Cluster.Arms.Stable
	require.Regexp(t, "^"+deployment[:225]+"[ab.]*-[0-9a-f]{8}-stable$", stable.Deployment.Name)
	require.LessOrEqual(t, len(stable.Deployment.Name), 242)
	require.Regexp(t, "^s{47}-[0-9a-f]{8}-stable$", stable.Service)
	require.Len(t, stable.Service, 63)
}

func TestFieldsThatDoNotFitOneDeploymentAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change []string
		want   string
	}{
		"no Service":                           {[]string{"  service: {name: shop, port: http}\n", ""}, "service: is missing"},
		"a second Deployment":                  {[]string{"  service: {", "  canary: {deployment: b, service: {name: b, port: 80}}\n  service: {"}, "canary: belongs to rollouts with two Deployments"},
		"no Kubernetes":                        {[]string{"{traefik: {namespace: pro, ingressRoute: shop}}", "{traefikFile: {path: /a.yaml, rule: Host(`a`)}}"}, "deployment: belongs to Kubernetes"},
		"a route of Gateway API that is there": {[]string{"{traefik: {namespace: pro, ingressRoute: shop}}", "{gatewayAPI: {namespace: pro, httpRoute: shop}}", "port: http", "port: 80"}, "traffic.gatewayAPI: with one Deployment"},
		"a promotion by somebody else":         {[]string{"promote: {}", "promote: {strategy: wait, template: images}"}, "steps[1].promote.strategy: only Serin manages"},
		"a promotion of images alone":          {[]string{"promote: {}", "promote: {template: images}"}, "steps[1].promote.template: the copy gets all"},
		"a step that writes what Git has":      {[]string{"    - gray", "    - deploy: {deployment: shop, image: {shop: 'shop:2'}}\n    - gray"}, "steps[0].deploy.deployment: Serin does not write"},
		"leaving with two Deployments": {[]string{"  deployment: shop\n", "  leave: true\n  stable: {deployment: a, service: {name: a, port: 80}}\n  canary: {deployment: b, service: {name: b, port: 80}}\n",
			"  service: {name: shop, port: http}\n", ""}, "leave: belongs to rollouts with one Deployment"},
		"tracking ConfigMaps that both arms read": {[]string{"  deployment: shop\n", "  track: configMaps\n  stable: {deployment: a, service: {name: a, port: 80}}\n  canary: {deployment: b, service: {name: b, port: 80}}\n",
			"  service: {name: shop, port: http}\n", ""}, "track: belongs to rollouts with one Deployment"},
		"tracking something else": {[]string{"  deployment: shop\n", "  deployment: shop\n  track: secrets\n"}, "track: expected configMaps"},
	} {
		t.Run(name, func(t *testing.T) {
			_, errs := loadOne(t, c.change...)
			require.Contains(t, errs.Error(), c.want)
		})
	}
}
