package engine_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/workload"
)

// observant is a cluster that counts the queries for each Deployment, and reports changes when the test tells it to.
type observant struct {
	jobs

	own    sync.Mutex // guards asked
	asked  map[workload.Name]int
	events chan []workload.Name
}

// Template implements engine.Workloads.
func (c *observant) Template(_ context.Context, n workload.Name) (workload.Template, error) {
	c.own.Lock()
	defer c.own.Unlock()
	c.asked[n]++
	return workload.Template{Hash: "h"}, nil
}

// Watch implements engine.Workloads.
func (c *observant) Watch(ctx context.Context, changed func([]workload.Name)) {
	for {
		select {
		case <-ctx.Done():
			return
		case names := <-c.events:
			changed(names)
		}
	}
}

func (c *observant) count(n workload.Name) int {
	c.own.Lock()
	defer c.own.Unlock()
	return c.asked[n]
}

func TestAChangeInTheClusterWakesTheLoopsThatDependOnIt(t *testing.T) {
	shop, feed, other := workload.Name{Namespace: "pro", Name: "shop"}, workload.Name{Namespace: "pro", Name: "feed"}, workload.Name{Namespace: "dev", Name: "shop"}
	plan := func(name string, n workload.Name) record.Plan {
		p := gray(name)
		stable, canary := traffic.Backend{Servers: []string{"http://" + name}}, traffic.Backend{Servers: []string{"http://" + name + "-canary"}}
		p.Rollout.Stable, p.Rollout.Canary = stable, canary
		p.Rollout.Cluster = &rollout.Cluster{Triggers: []workload.Name{n}}
		return p
	}
	cluster := &observant{asked: map[workload.Name]int{}, events: make(chan []workload.Name)}
	inWorld(t, func(t *testing.T, w *world) {
		w.stop()
		w.workloads = cluster
		cluster.events = make(chan []workload.Name)
		w.begin(plan("shop", shop), plan("feed", feed), plan("other", other))
		w.after(10 * time.Second)
		for _, c := range []struct {
			changed []workload.Name
			woken   map[workload.Name]bool
		}{
			{[]workload.Name{shop}, map[workload.Name]bool{shop: true}},
			{[]workload.Name{{Namespace: "pro"}}, map[workload.Name]bool{shop: true, feed: true}},
			{[]workload.Name{other, feed}, map[workload.Name]bool{other: true, feed: true}},
			{[]workload.Name{{Namespace: "pro", Name: "nobodys"}}, nil},
		} {
			before := map[workload.Name]int{}
			for _, n := range []workload.Name{shop, feed, other} {
				before[n] = cluster.count(n)
			}
			cluster.events <- c.changed
			w.after(time.Millisecond)
			for n, b := range before {
				require.Equal(t, c.woken[n], cluster.count(n) > b, "%v: %v", c.changed, n)
			}
		}
	})
}
