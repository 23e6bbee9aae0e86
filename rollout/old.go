package rollout

import (
	"time"

	"github.com/serindev/serin/share"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/workload"
)

// Old is a Deployment of Serin's own, with its Service. After a release it has as many pods as stable, with the version
// that was in service before, and no traffic. An undo gives it all the traffic before stable's pods are replaced.
type Old struct {
	Arm workload.Arm `json:"arm"`
	// For is how long after the end of the release it keeps its pods.
	For time.Duration `json:"for"`
}

// Undo is what the undo of a release needs to know about the version that comes back.
type Undo struct {
	// Release is the one that is undone. Stable's Deployment remembers what it had before.
	Release string `json:"release"`
	// Original is the Deployment that stable is a copy of; nil if it is none.
	Original *workload.Name `json:"original,omitempty"`
}

// backToOld is the name of the step of an undo that gives the pods of the version before all the traffic.
const backToOld = "old-version"

// old is w as a Deployment that has what stable's Deployment had before a release.
func (c *Cluster) old(release string, w workload.Deployment) workload.Deployment {
	w.Create, w.Previous, w.Whole = &c.Arms.Stable.Deployment, release, true
	return w
}

// OldAfter is how the Deployment of the version before has to look at a time after a release of d that has ended as
// released. declared is the rollout's present definition, nil if it is gone: it may say that nothing is to be kept any
// more. until is when the pods are no longer kept, which the present definition can make earlier, and a later release
// does, too. ok is false if there is no such Deployment.
func (d *Definition) OldAfter(release string, ended, now time.Time, declared *Definition) (t workload.Target, until time.Time, ok bool) {
	var had, has *Old
	c := d.Cluster
	if c != nil {
		had = c.Old
	}
	if declared != nil && declared.Cluster != nil {
		if has = declared.Cluster.Old; c == nil {
			c = declared.Cluster
		}
	}
	at := had
	if at == nil {
		at = has
	}
	if at == nil {
		return t, until, false
	}
	if had != nil && has != nil && had.Arm == has.Arm && c.Arms.Stable == declared.Cluster.Arms.Stable {
		until = ended.Add(min(had.For, has.For))
	}
	t.Arms = workload.Arms{Stable: c.Arms.Stable, Canary: at.Arm}
	one := workload.Deployment{Name: at.Arm.Deployment, Replicas: &workload.Replicas{}}
	if now.Before(until) {
		one.Replicas = &workload.Replicas{Share: 1, Of: &c.Arms.Stable.Deployment}
		one = c.old(release, one)
	}
	t.Deployments = []workload.Deployment{one}
	return t, until, true
}

// undoingToOld is the undo of a release of d by the Deployment that keeps the version before. All traffic goes there at
// once, and stable's Deployment is brought back behind it. If its pods are no longer kept, it gets them first.
func (d *Definition) undoingToOld(last string, promote Promote) Definition {
	out, c := *d, *d.Cluster
	c.Undo = &Undo{Release: last}
	if c.Copied {
		original := c.Arms.Canary.Deployment
		c.Undo.Original = &original
	}
	c.Arms.Canary, c.Replicas = c.Old.Arm, workload.Replicas{}
	c.Kept, c.Old = false, nil
	out.Cluster = &c
	out.Canary = traffic.Backend{Service: c.Arms.Canary.Service, Port: d.Stable.Port}
	promote.Previous = last
	name := backToOld
	if promote.Name == name {
		name += "-first"
	}
	out.Steps = Steps{Gray{Name: name, Weights: []share.Share{1}, Hold: d.Rollback.Drain, Unjudged: true}, promote}
	return out
}

// undoes is nil except in an undo to the version that was kept.
func (c *Cluster) undoes() *Undo {
	if c == nil {
		return nil
	}
	return c.Undo
}

// onOld tells whether an undo has given the pods of the version before all the traffic, and brings stable's Deployment
// there. It does not go back by itself then: stable's pods still have the version that a person has taken out of service.
func (s State) onOld(d *Definition) bool {
	return d.Cluster.undoes() != nil && s.Doing == StagePatch
}
