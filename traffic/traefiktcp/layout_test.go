package traefiktcp

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/traefik/traefik/v3/pkg/config/dynamic"

	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/kubeobjects"
)

var adopting = Config{
	Rollout: "db", Namespace: "pro", Adopted: []string{"users"},
	Stable: traffic.Backend{Service: "db", Port: "5432"}, Canary: traffic.Backend{Service: "db-canary", Port: "5432"},
}

func TestASingleReferenceHasNoWeight(t *testing.T) {
	t.Parallel()
	like := map[string]any{"name": "db", "port": 5432.0, "weight": 3.0, "nativeLB": true}
	require.Equal(t, []any{map[string]any{"name": "db", "port": 5432.0, "nativeLB": true}}, adopting.references(like, kubeobjects.Weights{Stable: 100}))
	require.Equal(t, []any{
		map[string]any{"name": "db", "port": 5432.0, "nativeLB": true, "weight": 90.0},
		map[string]any{"name": "db-canary", "port": 5432.0, "nativeLB": true, "weight": 10.0},
	}, adopting.references(like, kubeobjects.Weights{Stable: 90, Canary: 10}))
	require.Equal(t, 3.0, like["weight"], "the user's reference is not changed")
}

func TestAReferenceLeadsToAnArmOnlyAtItsPortAndInItsNamespace(t *testing.T) {
	t.Parallel()
	apart := adopting
	apart.Arms = "data"
	for name, c := range map[string]struct {
		ref          map[string]any
		same, across bool
	}{
		"the arm":             {map[string]any{"name": "db", "port": 5432.0}, true, false},
		"with its namespace":  {map[string]any{"name": "db", "port": 5432.0, "namespace": "pro"}, true, false},
		"another namespace":   {map[string]any{"name": "db", "port": 5432.0, "namespace": "data"}, false, true},
		"another port":        {map[string]any{"name": "db", "port": 5433.0}, false, false},
		"the port's name":     {map[string]any{"name": "db", "port": "5432"}, false, false},
		"another one's name":  {map[string]any{"name": "other", "port": 5432.0}, false, false},
		"no port, other arms": {map[string]any{"name": "db"}, false, false},
	} {
		require.Equal(t, c.same, adopting.leadsTo(c.ref, adopting.Stable), name)
		require.Equal(t, c.across, apart.leadsTo(c.ref, adopting.Stable), name)
	}
}

func TestARouteMustLeadToTheArmsAloneAndItsRuleMustBeUnique(t *testing.T) {
	t.Parallel()
	fit := func(routes ...any) error {
		m := &mainRoute{key: adopting.keys()[0], places: adopting.placesOf(map[string]any{"routes": routes})}
		return m.fit(&adopting)
	}
	route := func(rule string, services ...any) map[string]any {
		return map[string]any{"match": rule, "services": services}
	}
	ref := func(name string) map[string]any { return map[string]any{"name": name, "port": 5432.0} }
	require.NoError(t, fit(route("a", ref("db")), route("b", ref("db"), ref("db-canary")), route("c", ref("other"))))
	require.ErrorContains(t, fit(route("a", ref("other"))), "no route leads to Service db")
	require.ErrorContains(t, fit(route("a", ref("db"), ref("other"))), "route 0 leads to other")
	require.ErrorContains(t, fit(route("a", ref("db")), route("a", ref("db"))), "routes 0 and 1 have the same rule a")
}

func TestAServiceWithoutChildrenIsTheArmOfItsServers(t *testing.T) {
	t.Parallel()
	servers := func(addresses ...string) *dynamic.TCPServersLoadBalancer {
		lb := &dynamic.TCPServersLoadBalancer{}
		for _, a := range addresses {
			lb.Servers = append(lb.Servers, dynamic.TCPServer{Address: a})
		}
		return lb
	}
	for name, c := range map[string]struct {
		service *dynamic.TCPServersLoadBalancer
		want    kubeobjects.Weights
		problem bool
	}{
		"stable":                       {servers("s1", "s2"), kubeobjects.Weights{Stable: 1}, false},
		"the canary":                   {servers("c1"), kubeobjects.Weights{Canary: 1}, false},
		"with an address that is gone": {servers("gone", "s1"), kubeobjects.Weights{Stable: 1}, false},
		"both":                         {servers("s1", "c1"), kubeobjects.Weights{}, true},
		"neither":                      {servers("x"), kubeobjects.Weights{}, true},
		"another kind":                 {nil, kubeobjects.Weights{}, true},
	} {
		w, problem, err := alone("id", c.service, []string{"s1", "s2"}, []string{"c1"})
		require.NoError(t, err)
		require.Equal(t, c.want, w, name)
		require.Equal(t, c.problem, problem != "", name)
	}
}
