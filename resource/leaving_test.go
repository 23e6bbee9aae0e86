package resource_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/resource"
	"github.com/serindev/serin/traffic"
)

func TestARolloutThatIsBeingLeftSaysWhenItCanBeTakenAway(t *testing.T) {
	v := view(t)
	v.Definition.Cluster.Copied, v.Definition.Cluster.Leave = true, true
	require.Equal(t, "no release yet; its traffic is on the way back to Deployment shop-canary", resource.Of(resource.In{View: v, Now: start}).Message)
	v.Target = v.Definition.Left()
	require.Contains(t, resource.Of(resource.In{View: v, Now: start}).Message, "on the way back", "written is not yet served")
	v.Confirmation = traffic.InForce
	require.Contains(t, resource.Of(resource.In{View: v, Now: start}).Message, "all traffic goes to Deployment shop-canary: this rollout can be taken away")
}
