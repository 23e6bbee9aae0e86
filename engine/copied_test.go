package engine_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/workload"
)

// copying is a cluster with one Deployment in Git.
type copying struct {
	jobs

	own      sync.Mutex // guards what follows
	at       workload.Phase
	lost     string // the missing object without which a ready copy could not be started again
	template workload.Template
	seen     []string
	targets  []workload.Target
}

func (c *copying) Apply(_ context.Context, t workload.Target) (workload.Observed, error) {
	c.own.Lock()
	defer c.own.Unlock()
	c.targets = append(c.targets, t)
	var o workload.Observed
	for _, d := range t.Deployments {
		s := workload.Status{Name: d.Name, Phase: workload.Ready}
		if t.Release == "" {
			if s.Phase, s.Why = c.at, "2 of 4 pods are new"; c.at == workload.Ready {
				s.Why = c.lost
			}
		}
		o.Deployments = append(o.Deployments, s)
	}
	return o, nil
}

func (c *copying) Template(context.Context, workload.Name) (workload.Template, error) {
	c.own.Lock()
	defer c.own.Unlock()
	return c.template, nil
}

func (c *copying) Seen(_ context.Context, _ workload.Name, hash string) error {
	c.own.Lock()
	defer c.own.Unlock()
	c.seen = append(c.seen, hash)
	c.template.New = false
	return nil
}

func (c *copying) change(f func(*copying)) {
	c.own.Lock()
	defer c.own.Unlock()
	f(c)
}

// onePlan is a rollout with one Deployment in Git.
func onePlan() record.Plan {
	plan := gray("shop")
	arm := func(name string) workload.Arm {
		return workload.Arm{Deployment: workload.Name{Namespace: "pro", Name: name}, Service: name}
	}
	plan.Rollout.Stable, plan.Rollout.Canary = traffic.Backend{Servers: []string{"http://copy"}}, traffic.Backend{Servers: []string{"http://git"}}
	plan.Rollout.Cluster = &rollout.Cluster{
		Arms: workload.Arms{Stable: arm("shop-stable"), Canary: arm("shop")}, Deadline: time.Minute,
		Triggers: []workload.Name{{Namespace: "pro", Name: "shop"}}, Copied: true, Kept: true,
	}
	plan.Rollout.Steps = rollout.Steps{plan.Rollout.Steps[0], rollout.Promote{Name: "promote", Strategy: rollout.Patch, Whole: true, Deadline: time.Minute}}
	return plan
}

// inOne runs a test in a world with one Deployment in Git.
func inOne(t *testing.T, test func(t *testing.T, w *world, c *copying)) {
	inWorld(t, func(t *testing.T, w *world) {
		w.stop()
		c := &copying{at: workload.Progressing}
		w.workloads = c
		w.begin(onePlan())
		test(t, w, c)
	})
}

func (w *world) served() string {
	t := w.gateway("shop").served()
	if t == nil {
		return ""
	}
	return t.Stable.Servers[0] + " " + t.Weight.String()
}

func (g *gateway) served() *traffic.Target {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.serves
}

func TestTheRouteMovesAndReleasesBeginOnceTheCopyCanTakeAllTraffic(t *testing.T) {
	inOne(t, func(t *testing.T, w *world, c *copying) {
		c.change(func(c *copying) { c.template = workload.Template{Hash: "two", New: true} })
		w.after(time.Minute)
		require.Empty(t, w.served(), "users stay where they are")
		require.Contains(t, joined(w.view("shop").Trouble), "stable is a copy that is not ready yet: pro/shop-stable: 2 of 4 pods are new")
		_, err := w.Start(t.Context(), "shop", rollout.StartRequest{By: "ann"}, false)
		require.ErrorIs(t, err, rollout.ErrNotAllowed)
		require.Nil(t, w.view("shop").Release, "a template from before the copy is copied, not released")

		c.change(func(c *copying) { c.at = workload.Ready })
		w.after(2 * time.Second)
		require.Equal(t, "http://copy", w.gateway("shop").served().Stable.Servers[0])
		require.Empty(t, w.view("shop").Trouble)
		w.after(30 * time.Second)
		require.NotNil(t, w.view("shop").Release, "a template from after the copy is released")
		require.Equal(t, "trigger", w.view("shop").Release.StartedBy)
		c.change(func(c *copying) {
			require.True(t, c.targets[len(c.targets)-1].Copied, "a copy that is deleted during the release is made again")
		})
	})
}

// Only the next release makes a copy that has everything it needs.
func TestACopyThatCouldNotBeStartedAgainStopsNoRelease(t *testing.T) {
	inOne(t, func(t *testing.T, w *world, c *copying) {
		c.change(func(c *copying) {
			c.at, c.lost, c.template = workload.Ready, "ConfigMap settings-1 is not there", workload.Template{Hash: "two", New: true}
		})
		w.after(time.Second)
		require.Contains(t, joined(w.view("shop").Trouble), "pro/shop-stable: ConfigMap settings-1 is not there")
		w.after(time.Minute)
		require.Equal(t, "http://copy 10%", w.served())
	})
}

func TestARevertToTheVersionInServiceSendsTheReleaseBackAndStartsNone(t *testing.T) {
	inOne(t, func(t *testing.T, w *world, c *copying) {
		c.change(func(c *copying) { c.at, c.template = workload.Ready, workload.Template{Hash: "two", New: true} })
		w.after(time.Minute)
		id := w.view("shop").Release.ID
		require.Equal(t, "http://copy 10%", w.served())
		c.change(func(c *copying) { c.template = workload.Template{Hash: "one", New: true, InService: true} })
		w.after(time.Minute)
		v := w.view("shop")
		require.Equal(t, id, v.Release.ID)
		require.Equal(t, rollout.RolledBack, v.State.Outcome, v.State.Why)
		require.Equal(t, "rolled back: Deployment shop is again what is in service", v.State.Why)
		require.Equal(t, "http://copy 0%", w.served())
		c.change(func(c *copying) {
			require.Contains(t, c.seen, "one")
			c.template = workload.Template{Hash: "one", New: true, InService: true}
		})
		w.after(time.Minute)
		require.Equal(t, id, w.view("shop").Release.ID, "nothing is started at rest either")
		c.change(func(c *copying) { c.template = workload.Template{Hash: "two", New: true} })
		w.after(time.Minute)
		require.NotEqual(t, id, w.view("shop").Release.ID, "the version that went back may be released again")
	})
}

func TestARevertThatIsTakenBackBeforeTheReleaseHasEndedIsReleased(t *testing.T) {
	inOne(t, func(t *testing.T, w *world, c *copying) {
		plan := onePlan()
		plan.Rollout.Rollback.Drain, plan.Rollout.Rollback.Deadline = 5*time.Minute, 10*time.Minute
		w.plan(plan)
		c.change(func(c *copying) { c.at, c.template = workload.Ready, workload.Template{Hash: "two", New: true} })
		w.after(2 * time.Minute)
		id := w.view("shop").Release.ID
		c.change(func(c *copying) { c.template = workload.Template{Hash: "one", New: true, InService: true} })
		w.after(2 * time.Minute)
		require.Equal(t, rollout.RollingBack, w.view("shop").State.Phase)
		c.change(func(c *copying) { c.template = workload.Template{Hash: "two", New: true} })
		w.after(2 * time.Minute)
		require.Equal(t, id, w.view("shop").Release.ID)
		require.Equal(t, rollout.RollingBack, w.view("shop").State.Phase)
		w.after(10 * time.Minute)
		v := w.view("shop")
		require.NotEqual(t, id, v.Release.ID, "the template in Git is released")
		require.Equal(t, "trigger", v.Release.StartedBy)
	})
}

func TestLeavingBringsTheTrafficToGitsDeploymentAndEndsThere(t *testing.T) {
	inOne(t, func(t *testing.T, w *world, c *copying) {
		c.change(func(c *copying) { c.at = workload.Ready })
		w.after(time.Minute)
		plan := onePlan()
		plan.Rollout.Cluster.Leave = true
		c.change(func(c *copying) { c.at = workload.Progressing })
		w.plan(plan)
		w.after(time.Minute)
		require.Equal(t, "http://copy 0%", w.served(), "the version in Git is not the one in service")
		require.Zero(t, w.view("shop").Target.Weight, "it does not yet say that it can be removed")
		var told atomic.Value // the last update of a subscriber
		updates := w.Subscribe(t.Context())
		go func() {
			for range updates {
				told.Store(w.view("shop").Confirmation)
			}
		}()
		c.change(func(c *copying) { c.at = workload.Ready })
		w.after(time.Minute)
		require.Equal(t, "http://copy 100%", w.served())
		require.Equal(t, traffic.InForce, w.view("shop").Confirmation)
		require.Equal(t, traffic.InForce, told.Load(), "there is no event for it, but the object's status has to change")
		require.EqualValues(t, 1, w.view("shop").Target.Weight)
		_, err := w.Start(t.Context(), "shop", rollout.StartRequest{By: "ann"}, false)
		require.ErrorContains(t, err, "the rollout says leave")

		asked := 0
		c.change(func(c *copying) { asked = len(c.targets) })
		w.gateway("shop").change(func(g *gateway) { g.serves = nil }) // its users delete everything
		w.after(time.Hour)
		require.Empty(t, w.served(), "it is not written again")
		c.change(func(c *copying) { require.Len(t, c.targets, asked) })

		w.stop() // a restart does no harm: all traffic goes to Git's Deployment
		w.begin(onePlan())
		w.after(time.Minute)
		require.Equal(t, "http://copy 0%", w.served(), "and if the rollout comes back, users get the copy")
	})
}
