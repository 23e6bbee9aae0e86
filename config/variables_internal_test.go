package config

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestVariablesAreExplainedAsTheyWork(t *testing.T) {
	names := func(all []Variable) (out []string) {
		for _, v := range all {
			require.NotEmpty(t, v.Becomes)
			out = append(out, v.Name)
		}
		return out
	}
	require.ElementsMatch(t, armNames, names(ArmVariables()))
	require.ElementsMatch(t, releaseNames, names(ReleaseVariables()))
	for _, v := range ArmVariables() {
		for _, where := range []struct {
			known   bool
			planner planner
		}{
			{v.Servers, planner{spec: &RolloutSpec{}}},
			{v.Cluster, planner{spec: &RolloutSpec{}, cluster: true}},
			{v.Workers, planner{spec: &RolloutSpec{Traffic: TrafficSpec{Replicas: &ReplicasSpec{}}}, cluster: true}},
		} {
			require.Equal(t, where.known, where.planner.unknown(v.Name) == "", v.Name)
		}
	}
	require.True(t, slices.IsSorted(armNames))
}
