package config

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/workload"
)

// twoArms is oneDeployment with two Deployments.
var twoArms = []string{
	"  deployment: shop\n", "  keepOld: 1h\n  stable: {deployment: a, service: {name: a, port: 80}}\n  canary: {deployment: b, service: {name: b, port: 80}}\n",
	"  service: {name: shop, port: http}\n", "",
}

func TestTheVersionBeforeIsKeptUnderANameOfItsOwn(t *testing.T) {
	old := func(name string) *rollout.Old {
		return &rollout.Old{Arm: workload.Arm{Deployment: workload.Name{Namespace: "pro", Name: name}, Service: name}, For: time.Hour}
	}
	set, errs := loadOne(t, "  deployment: shop\n", "  deployment: shop\n  keepOld: 1h\n")
	require.Empty(t, errs.Error())
	require.Equal(t, old("shop-previous"), set.Rollouts[0].Plan.Rollout.Cluster.Old, "the name that Git knows")
	set, errs = loadOne(t, twoArms...)
	require.Empty(t, errs.Error())
	require.Equal(t, old("a-previous"), set.Rollouts[0].Plan.Rollout.Cluster.Old)
}

func TestKeepOldIsRefusedWhereItCannotWork(t *testing.T) {
	keep := []string{"  deployment: shop\n", "  deployment: shop\n  keepOld: 1h\n"}
	for name, c := range map[string]struct {
		change []string
		want   string
	}{
		"no time at all": {[]string{"  deployment: shop\n", "  deployment: shop\n  keepOld: 0s\n"}, "keepOld: expected more than 0"},
		"a month":        {[]string{"  deployment: shop\n", "  deployment: shop\n  keepOld: 30d\n"}, "keepOld: the version before would run alongside for 30d"},
		"servers": {[]string{"  deployment: shop\n", "  keepOld: 1h\n  stable: {servers: ['http://a:80']}\n  canary: {servers: ['http://b:80']}\n", "  service: {name: shop, port: http}\n", "",
			"{traefik: {namespace: pro, ingressRoute: shop}}", "{traefikFile: {path: /a.yaml, rule: Host(`a`)}}"}, "keepOld: belongs to Kubernetes"},
		"another system that promotes": {append([]string{"promote: {}", "promote: {strategy: wait}"}, twoArms...), "keepOld: with promote: {strategy: wait}"},
		"a StatefulSet": {append([]string{"  deployment: shop\n", "  keepOld: 1h\n  stable: {statefulSet: a, service: {name: a, port: 80}}\n  canary: {statefulSet: b, service: {name: b, port: 80}}\n"}, twoArms[2:]...),
			"keepOld: stable is a StatefulSet"},
		"a TraefikService of the user's": {append([]string{"ingressRoute: shop}}", "ingressRoute: shop, adopt: true}}"}, keep...), "keepOld: the TraefikService is yours"},
		"a canary of that name":          {[]string{twoArms[0], strings.Replace(twoArms[1], "deployment: b", "deployment: a-previous", 1), twoArms[2], ""}, "keepOld: the version before is kept by Deployment a-previous"},
	} {
		t.Run(name, func(t *testing.T) {
			_, errs := loadOne(t, c.change...)
			require.Contains(t, errs.Error(), c.want)
		})
	}
}
