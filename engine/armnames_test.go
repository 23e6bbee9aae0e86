package engine

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/traffic"
)

// newcomer.md, 1: after a promotion the sets exchange their parts, and what tells them apart has to follow.
func TestTheNamesOfServersFollowTheSetsThroughAPromotion(t *testing.T) {
	d := rollout.Definition{
		Stable: traffic.Backend{Servers: []string{"http://10.0.0.12:8080", "http://10.0.0.11:8080"}},
		Canary: traffic.Backend{Servers: []string{"h2c://shop-b", "https://[::1]:8443"}},
	}
	named := func(swapped bool) map[string][]string {
		sides := analysis.Arms{Canary: analysis.Names{Vars: map[string][]string{}}, Baseline: analysis.Names{Vars: map[string][]string{}}}
		nameServers(&sides, d.Idle(swapped))
		return map[string][]string{
			"canary": sides.Canary.Vars["instances"], "stable": sides.Baseline.Vars["instances"],
			"canary's hosts": sides.Canary.Vars["hosts"], "stable's hosts": sides.Baseline.Vars["hosts"],
		}
	}
	a, b := []string{"10.0.0.11:8080", "10.0.0.12:8080"}, []string{"[::1]:8443", "shop-b", "shop-b:80"}
	hostsA, hostsB := []string{"10.0.0.11", "10.0.0.12"}, []string{"::1", "shop-b"}
	require.Equal(t, map[string][]string{"canary": b, "stable": a, "canary's hosts": hostsB, "stable's hosts": hostsA}, named(false))
	require.Equal(t, map[string][]string{"canary": a, "stable": b, "canary's hosts": hostsA, "stable's hosts": hostsB}, named(true))
	sides := analysis.Arms{}
	nameServers(&sides, traffic.Target{Canary: traffic.Backend{Service: "shop"}})
	require.Empty(t, sides.Canary.Vars, "on Kubernetes there are pods")
}

func TestThePatternOfPodsIsOfOneDeploymentsAlone(t *testing.T) {
	long := "acme-storefront-checkout-payment-gateway-adapter-app"
	for deployment, pods := range map[string]struct{ own, others []string }{
		"shop":     {[]string{"shop-7d4b9c5f6d-x2x9k"}, []string{"shop-canary-7d4b9c5f6d-x2x9k", "shop-x2x9k", "shopx-7d4b9c5f6d-x2x9k"}},
		"shop.api": {[]string{"shop.api-7d4b9c5f6d-x2x9k"}, []string{"shop-api-7d4b9c5f6d-x2x9k"}},
		long:       {[]string{long + "-7d4b9x2x9k", long + "-5f6d-x2x9k"}, []string{long + "-c-7d4b9x2x9k"}},
	} {
		pattern := regexp.MustCompile("^(?:" + podsOf(deployment) + ")$")
		for _, name := range pods.own {
			require.True(t, pattern.MatchString(name), name)
		}
		for _, name := range pods.others {
			require.False(t, pattern.MatchString(name), name)
		}
	}
	require.Equal(t, strings.Repeat("a", 58)+"[a-z0-9]{5}", podsOf(strings.Repeat("a", 100)))
}
