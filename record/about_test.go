package record_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
)

func TestALinkOfAReleaseStaysWhereItLeads(t *testing.T) {
	a := record.About{Links: []record.Link{
		{Name: "runbook", URL: "https://wiki.example.com/shop"}, {Name: "source", URL: "https://git.example.com/${tag}/tree?at=${tag}"},
	}}
	for _, c := range []struct {
		name       string
		parameters map[string]string
		source     string
	}{
		{"a parameter is filled in", map[string]string{"tag": "v1.2"}, "https://git.example.com/v1.2/tree?at=v1.2"},
		{"it changes no other part", map[string]string{"tag": "a/../b?c#d &e"}, "https://git.example.com/a%2F..%2Fb%3Fc%23d%20%26e/tree?at=a%2F..%2Fb%3Fc%23d%20%26e"},
		{"a step upwards is left out", map[string]string{"tag": ".."}, ""},
		{"a link that lacks its parameter is left out", nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			links := a.Of(c.parameters).Links
			require.Equal(t, a.Links[0], links[0])
			if c.source == "" {
				require.Len(t, links, 1)
				return
			}
			require.Equal(t, c.source, links[1].URL)
		})
	}
	require.Len(t, a.Links, 2, "the plan's own are as they were")
}

func TestTheNamespaceOfARollout(t *testing.T) {
	p := record.Plan{Rollout: rollout.Definition{Name: "pro.shop"}}
	require.Equal(t, "pro", p.Namespace(), "an object's own")
	p.Rollout.Name = "shop"
	require.Empty(t, p.Namespace())
	p.Gateway.Cluster = &record.ClusterGateway{Namespace: "dev"}
	require.Equal(t, "dev", p.Namespace())
}
