package rollout_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/workload"
)

func TestANewTemplateFillsInTheParametersThatItsImagesAre(t *testing.T) {
	d := clustered()
	canary := d.Cluster.Arms.Canary.Deployment
	require.Equal(t, map[string]string{"image": "shop:3"}, d.ParametersOf(canary, map[string]string{"web": "shop:3", "sidecar": "envoy:1"}))
	require.Empty(t, d.ParametersOf(canary, map[string]string{"sidecar": "envoy:1"}))
	require.Empty(t, d.ParametersOf(workload.Name{Namespace: "pro", Name: "other"}, map[string]string{"web": "shop:3"}))
}
