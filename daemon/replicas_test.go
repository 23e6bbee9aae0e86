package daemon

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	core "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"

	"github.com/serindev/serin/analysis/scrape"
	"github.com/serindev/serin/config"
	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/kubernetes"
	"github.com/serindev/serin/internal/testbed/testcluster"
)

func TestMain(m *testing.M) { testcluster.Main(m) }

func TestEachPodBehindAServiceIsReadOnce(t *testing.T) {
	of, err := config.ServiceMetrics("http://traefik.edge.svc:9100/metrics")
	require.NoError(t, err)
	slice := func(family discovery.AddressType, addresses ...string) any {
		port := int32(9100)
		out := &discovery.EndpointSlice{AddressType: family, Ports: []discovery.EndpointPort{{Port: &port}}}
		for i, a := range addresses {
			out.Endpoints = append(out.Endpoints, discovery.Endpoint{
				Addresses: []string{a}, TargetRef: &core.ObjectReference{Kind: "Pod", Name: string(rune('a' + i))},
			})
		}
		return out
	}
	four, six := slice(discovery.AddressTypeIPv4, "10.0.0.1", "10.0.0.2"), slice(discovery.AddressTypeIPv6, "fd00::1", "fd00::2")
	byFour := []string{"http://10.0.0.1:9100/metrics", "http://10.0.0.2:9100/metrics"}
	bySix := []string{"http://[fd00::1]:9100/metrics", "http://[fd00::2]:9100/metrics"}
	for name, c := range map[string]struct {
		families []core.IPFamily
		slices   []any
		want     []string
	}{
		"of one family":                              {[]core.IPFamily{core.IPv4Protocol}, []any{four}, byFour},
		"of two families":                            {[]core.IPFamily{core.IPv4Protocol, core.IPv6Protocol}, []any{six, four}, byFour},
		"of two families, the other one first":       {[]core.IPFamily{core.IPv6Protocol, core.IPv4Protocol}, []any{four, six}, bySix},
		"whose first family has no slice yet":        {[]core.IPFamily{core.IPv6Protocol, core.IPv4Protocol}, []any{four}, byFour},
		"of an API server that says nothing of them": {nil, []any{four}, byFour},
	} {
		t.Run(name, func(t *testing.T) {
			service := &core.Service{Spec: core.ServiceSpec{IPFamilies: c.families, Ports: []core.ServicePort{{Port: 9100}}}}
			targets, err := (&replicas{of: of}).targets([]any{service}, c.slices)
			require.NoError(t, err)
			var got []string
			for _, x := range targets {
				got = append(got, x.Address)
				require.Equal(t, "edge", x.Labels["namespace"])
			}
			require.Equal(t, c.want, got)
		})
	}
}

// found is what was last reported about the replicas behind a Service.
type found struct {
	mu      sync.Mutex // guards what follows
	targets []string
	err     error
}

func (f *found) told(targets []scrape.Target, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err = err; err != nil {
		return // the earlier ones continue to be read
	}
	f.targets = nil
	for _, t := range targets {
		f.targets = append(f.targets, t.Address)
	}
}

// says waits until these addresses are known, or until an error has some words.
func (f *found) says(t *testing.T, wrong string, want ...string) {
	t.Helper()
	await.Until(t, "what is reported about the replicas", func() string {
		f.mu.Lock()
		defer f.mu.Unlock()
		if wrong != "" && f.err != nil && strings.Contains(f.err.Error(), wrong) || wrong == "" && f.err == nil && slices.Equal(f.targets, want) {
			return ""
		}
		return fmt.Sprint(f.targets, f.err)
	})
}

const (
	metricsService = `
{apiVersion: v1, kind: Service, metadata: {name: metrics}, spec: {ports: [{name: metrics, port: 9100}]}}
`
	behindIt = `
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: metrics-NAME, labels: {kubernetes.io/service-name: metrics}}, addressType: IPv4,
 ports: [{name: metrics, port: 9100}], endpoints: [{addresses: [10.77.9.NAME]}]}
`
	mayFollow = `
{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: serin}, rules: [
 {apiGroups: [""], resources: [services], verbs: [list, watch]}, {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: serin}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: serin},
 subjects: [{kind: ServiceAccount, name: serin}]}
`
)

// The API server goes and comes back, and rights are taken away and given back, in the middle.
func TestTheReplicasOfAServiceAreFollowedThroughTrouble(t *testing.T) {
	t.Parallel()
	c := testcluster.Shared(t)
	ns := c.Namespace(t)
	add := func(n string) { c.Apply(t, ns, strings.ReplaceAll(behindIt, "NAME", n)) }
	server, address := c.AnotherAPIServer(t)
	account := c.ServiceAccount(t, ns, "serin")
	account.Host = address
	c.Apply(t, ns, metricsService+"---"+mayFollow)
	add("1")
	client, err := kubernetes.NewForConfig(account)
	require.NoError(t, err)
	of, err := config.ServiceMetrics("http://metrics." + ns + ".svc:9100/metrics")
	require.NoError(t, err)
	f, ended := &found{}, make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { ended <- (&replicas{of: of, client: client}).follow(ctx, f.told) }()
	one, two, three := "http://10.77.9.1:9100/metrics", "http://10.77.9.2:9100/metrics", "http://10.77.9.3:9100/metrics"
	f.says(t, "", one)

	require.NoError(t, server.Kill())
	add("2")
	require.NoError(t, server.Restart(t.Context()))
	f.says(t, "", one, two)

	c.Apply(t, ns, strings.Replace(mayFollow, "endpointslices", "nothing", 1))
	require.NoError(t, server.Kill()) // an open watch would stay open
	require.NoError(t, server.Restart(t.Context()))
	f.says(t, "endpointslices.discovery.k8s.io is forbidden")
	c.Apply(t, ns, strings.Replace(metricsService, "port: 9100", "port: 9100, targetPort: 9100", 1))
	f.says(t, "endpointslices.discovery.k8s.io is forbidden") // also after news of the Service
	add("3")
	c.Apply(t, ns, mayFollow)
	f.says(t, "", one, two, three)
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
}
