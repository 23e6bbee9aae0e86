package daemon

import (
	"testing"

	"github.com/stretchr/testify/require"
	core "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"

	"github.com/serindev/serin/config"
)

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
