package engine

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/traffic"
)

// newcomer.md, 1: after a promotion the sets exchange their roles, and the variables that distinguish the arms have to
// follow.
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
