package daemon

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	apps "k8s.io/api/apps/v1"
	authorization "k8s.io/api/authorization/v1"

	"github.com/serindev/serin/workload"
)

func TestWhatAStatefulSetsSettingsDoToARelease(t *testing.T) {
	deletes := &apps.StatefulSetPersistentVolumeClaimRetentionPolicy{WhenScaled: apps.DeletePersistentVolumeClaimRetentionPolicyType}
	for name, c := range map[string]struct {
		policy apps.PodManagementPolicyType
		claims *apps.StatefulSetPersistentVolumeClaimRetentionPolicy
		scaled bool
		want   []string
	}{
		"all at once, and volumes are kept":     {apps.ParallelPodManagement, nil, true, nil},
		"one after the other":                   {apps.OrderedReadyPodManagement, nil, false, []string{"OrderedReady"}},
		"one after the other, which is default": {"", nil, false, []string{"OrderedReady"}},
		"volumes go with its pods":              {apps.ParallelPodManagement, deletes, true, []string{"whenScaled is Delete"}},
		"the number of its pods stays":          {apps.ParallelPodManagement, deletes, false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := doubts(&apps.StatefulSetSpec{PodManagementPolicy: c.policy, PersistentVolumeClaimRetentionPolicy: c.claims}, c.scaled)
			require.Len(t, got, len(c.want), strings.Join(got, "\n"))
			for i := range c.want {
				require.Contains(t, got[i], c.want[i])
			}
		})
	}
}

func TestTheRightToChangeWhatAnArmHasNamesItsResource(t *testing.T) {
	for kind, want := range map[string]struct{ group, resource string }{
		"":                        {"apps", "deployments"},
		workload.StatefulSet:      {"apps", "statefulsets"},
		"HorizontalPodAutoscaler": {"autoscaling", "horizontalpodautoscalers"},
		"ScaledObject":            {"keda.sh", "scaledobjects"},
	} {
		t.Run(kind, func(t *testing.T) {
			require.Equal(t, authorization.ResourceAttributes{Group: want.group, Resource: want.resource, Verb: "patch", Namespace: "pro"},
				patching(workload.Name{Namespace: "pro", Name: "shop", Kind: kind}))
		})
	}
}
