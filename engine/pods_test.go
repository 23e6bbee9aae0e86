package engine_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/workload"
)

// The judge learns from the looks which share of the canary has just started: at the beginning, when the weight changes, and
// when a pod was restarted in the middle.
func TestLooksHaveTheAgesOfTheCanarysPods(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.stop()
		started := time.Now()
		w.jobs = &jobs{ready: []time.Time{started, started}}
		plan := gray("shop", rollout.Gate{Name: "full"})
		arm := func(name string) workload.Arm {
			return workload.Arm{Deployment: workload.Name{Namespace: "pro", Name: name}, Service: name}
		}
		plan.Rollout.Cluster = &rollout.Cluster{
			Arms: workload.Arms{Stable: arm("shop"), Canary: arm("shop-canary")}, Replicas: workload.Replicas{Count: 2}, Deadline: time.Minute,
		}
		w.begin(plan)
		w.after(time.Minute)
		id := w.start("shop", "").ID
		w.after(hold / 2)
		restarted := time.Now()
		w.jobs.change(func(j *jobs) { j.ready[1] = restarted })
		w.after(hold / 2)

		var first, young, rest []record.LookRecord
		for _, l := range w.looksOf(id) {
			switch {
			case len(l.Look.Replicas) == 0:
				rest = append(rest, l)
			case l.Look.At.Before(restarted):
				first = append(first, l)
			default:
				young = append(young, l)
			}
		}
		require.NotEmpty(t, first)
		for _, r := range first[0].Look.Replicas {
			require.InDelta(t, first[0].Look.At.Sub(started).Seconds(), r.Age, 1e-9)
		}
		require.NotEmpty(t, young)
		ages := young[0].Look.Replicas
		require.Len(t, ages, 2)
		require.LessOrEqual(t, ages[1].Age, interval.Seconds(), "it has just started again")
		require.Greater(t, ages[0].Age, hold.Seconds()/2)
		require.NotEmpty(t, rest, "looks without a fresh pod have no ages")
	})
}
