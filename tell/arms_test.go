package tell

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/workload"
)

func TestWhatBothArmsRunIsSaid(t *testing.T) {
	canary, stable := workload.Name{Namespace: "pro", Name: "shop-canary"}, workload.Name{Namespace: "pro", Name: "shop"}
	arms := &record.Arms{
		Canary: record.Running{Workload: canary, Image: "shop:2"},
		Stable: record.Running{Workload: stable, Image: "shop:1", Images: map[string]string{"web": "shop:1", "proxy": "envoy:3"}},
	}
	active := rollout.State{Phase: rollout.Active, Parameters: map[string]string{"tag": "2"}}
	for _, c := range []struct {
		name string
		view record.View
		want []ArmVersion
	}{
		{"nothing without a release", record.View{Arms: arms}, nil},
		{
			"without Kubernetes both versions", record.View{Release: &record.Release{}, State: active},
			[]ArmVersion{{Name: "new version", Version: "2"}, {Name: "version before", Version: "1"}},
		},
		{
			"on Kubernetes their images, with the pods' trouble", record.View{Release: &record.Release{}, State: active, Arms: arms, Workloads: []workload.Status{
				{Name: canary, Phase: workload.Failed, Why: "pod a: the image cannot be pulled"}, {Name: workload.Name{Namespace: "dev", Name: "pre"}, Phase: workload.Ready, Changed: []string{"replicas"}},
			}},
			[]ArmVersion{
				{Name: "new version", Version: "2", Workload: "pro/shop-canary", Images: []string{"shop:2"}, State: WorkloadBadge(workload.Failed), Why: "pod a: the image cannot be pulled"},
				{Name: "version before", Version: "1", Workload: "pro/shop", Images: []string{"proxy=envoy:3", "web=shop:1"}},
				{Workload: "dev/pre", State: WorkloadBadge(workload.Ready), Changed: []string{"replicas"}},
			},
		},
		{
			"afterwards what is in service", record.View{Release: &record.Release{}, State: rollout.State{Phase: rollout.PhaseEnded, Parameters: active.Parameters}, Arms: arms},
			[]ArmVersion{{Name: "in service", Workload: "pro/shop", Images: []string{"proxy=envoy:3", "web=shop:1"}}},
		},
	} {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, Arms(c.view, "1")) })
	}
	require.Empty(t, Arms(record.View{Release: &record.Release{}, State: active}, ""), "the release's own version alone stands elsewhere")
}
