package rollout

import (
	"time"

	"github.com/serindev/serin/share"
	"github.com/serindev/serin/workload"
)

// Cluster is the part of a rollout on Kubernetes, apart from its traffic.
type Cluster struct {
	Arms workload.Arms `json:"arms"`
	// Replicas of the canary: a number (Count), or a share of stable's that grows with the weight.
	Replicas workload.Replicas `json:"replicas,omitzero"`
	// Deadline for bringing the canary to the capacity for a weight, before the weight changes.
	Deadline time.Duration `json:"deadline"`
	// Triggers are Deployments whose new pod template starts a release.
	Triggers []workload.Name `json:"triggers,omitempty"`
	// Copied: stable's Deployment is a copy that Serin makes of the canary's, the only one in Git.
	Copied bool `json:"copied,omitempty"`
	// Track: a change of a ConfigMap that the pod template names is a new template, and the copy has its own. Only for Copied.
	Track bool `json:"track,omitempty"`
	// Kept: the canary's replicas are not changed.
	Kept bool `json:"kept,omitempty"`
	// Split: no route divides the work, but the pods of the arms do.
	Split *workload.Split `json:"split,omitempty"`
	// Leave: between releases all traffic goes to the canary's Deployment, so that the copy can be removed.
	Leave bool `json:"leave,omitempty"`
	// Old is where the version that was in service before a release is kept after it; nil if it is not kept.
	Old *Old `json:"old,omitempty"`
	// Undo is set only in the undo of a release of a rollout that keeps the version before. The canary's arm is then Old's.
	Undo *Undo `json:"undo,omitempty"`
}

// AtRest is the target of the Deployments between releases; ok is false if Serin does not control them.
func (d *Definition) AtRest() (t workload.Target, ok bool) {
	if d.Cluster == nil || !d.Cluster.Copied {
		return t, false
	}
	t = workload.Target{Arms: d.Cluster.Arms, Copied: true, Track: d.Cluster.Track}
	stable, canary := d.Cluster.Arms.Stable.Deployment, d.Cluster.Arms.Canary.Deployment
	if d.Cluster.Leave {
		t.Deployments = []workload.Deployment{{
			Name: canary, From: &stable, Whole: true, Watch: true, Replicas: &workload.Replicas{Share: 1, Of: &stable},
		}}
		return t, true
	}
	t.Deployments = []workload.Deployment{{Name: stable, Copy: &canary}}
	return t, true
}

// deployed is the last entered deploy step of the canary's Deployment, or nil.
func (s State) deployed(d *Definition) *Deploy {
	for i := min(s.Step, len(d.Steps)-1); i >= 0; i-- {
		if step, ok := d.Steps[i].(Deploy); ok && step.canarys(d) {
			return &step
		}
	}
	return nil
}

// workloads is the target of the Deployments in this state.
func (s State) workloads(d *Definition, id string) workload.Target {
	if d.Cluster == nil {
		return workload.Target{}
	}
	t := workload.Target{Release: id, Arms: d.Cluster.Arms, Copied: d.Cluster.Copied, Track: d.Cluster.Track, Hold: s.keepsCapacity(d)}
	if d.Cluster.Undo != nil {
		t.Original = d.Cluster.Undo.Original
	}
	switch s.Phase {
	case Active:
		t.Deployments = s.deployments(d)
	case RollingBack:
		t.Deployments = s.deploymentsBack(d)
		t.Stop = s.stopped(d, id)
	case PhaseEnded:
		// After a failed release the earlier state is kept, for the person who has to restore it.
		t.Forget = s.Outcome != Failed
		t.Stop = s.stopped(d, id)
	case "":
	}
	return t
}

// keepsCapacity reports whether stable has to be able to take all users back at any moment: from the preparation of the
// canary until it is out of service. If the work is divided by pods, the number of pods is the division.
func (s State) keepsCapacity(d *Definition) bool {
	return d.Cluster.Split == nil && s.Worked && !s.Out && s.Phase != PhaseEnded
}

// ParametersOf are the parameters of a release that a new pod template starts: if a deploy step sets the image of one of
// that Deployment's containers to a parameter and nothing else, the container's image is the parameter's value.
func (d *Definition) ParametersOf(deployment workload.Name, images map[string]string) map[string]string {
	out := map[string]string{}
	for _, s := range d.Steps {
		step, ok := s.(Deploy)
		if !ok || step.Deployment != deployment {
			continue
		}
		for _, p := range d.Parameters {
			for container, image := range step.Images {
				if now, ok := images[container]; ok && image == "${"+p.Name+"}" {
					out[p.Name] = now
				}
			}
		}
	}
	return out
}

// owned tells whether this release controls the canary's Deployment: a step deploys it, or its capacity was prepared.
func (s State) owned(d *Definition) bool { return s.Worked || s.deployed(d) != nil }

func (s State) deployments(d *Definition) []workload.Deployment {
	arms := d.Cluster.Arms
	canary, stable := arms.Canary.Deployment, arms.Stable.Deployment
	if s.Out {
		if !s.InForce {
			return nil // an external change brought the canary back into service: it keeps its pods until it is out again
		}
		if d.Cluster.Kept {
			return nil
		}
		return []workload.Deployment{{Name: canary, Replicas: &workload.Replicas{}}}
	}
	var out []workload.Deployment
	if step := s.at(d); step != nil {
		out = step.deployments(s, d)
	}
	if !s.owned(d) {
		return out
	}
	keep := workload.Deployment{Name: canary, Replicas: s.replicas(d)}
	if undo := d.Cluster.Undo; undo != nil {
		keep = d.Cluster.old(undo.Release, keep)
	}
	if deploy := s.deployed(d); deploy != nil {
		keep.Create = &stable
		// Only the step itself changes an existing template: a later external change may be the start of the next release.
		keep.IfMissing = s.Step >= len(d.Steps) || d.Steps[s.Step].StepName() != deploy.Name
		keep = s.filled(*deploy, keep)
	}
	return append([]workload.Deployment{keep}, out...)
}

// replicas are the canary's, for the larger of the served weight and the one being prepared.
func (s State) replicas(d *Definition) *workload.Replicas {
	if d.Cluster.Kept {
		return nil
	}
	r := d.Cluster.Replicas
	if r.Count > 0 {
		return &workload.Replicas{Count: r.Count}
	}
	weight := s.Weight(d)
	if p := s.Pending; p != nil && p.What == StageGray {
		weight = max(weight, d.Steps[p.Step].(Gray).Weights[p.Stage])
	}
	if m, ok := s.mirror(d); ok {
		weight = max(weight, m.Copies.Share)
	}
	if p := s.Pending; p != nil && p.What == StageMirror {
		weight = max(weight, d.Steps[p.Step].(Mirror).Copies.Share)
	}
	split := d.Cluster.Split != nil
	if s.Promoting() && s.GrayStep >= 0 && (!split || s.Doing != StageLeave) {
		weight = d.Steps[s.GrayStep].(Gray).Weights[s.GrayStage] // capacity stays until the canary is out of service
	}
	if split {
		return d.Cluster.splitReplicas(weight) // without pods it is out of service
	}
	stable := d.Cluster.Arms.Stable.Deployment
	return &workload.Replicas{Share: max(r.Share, weight, share.Share(0)), Of: &stable}
}

// splitReplicas are the canary's where its pods are its part of the work: none at weight 0.
func (c *Cluster) splitReplicas(weight share.Share) *workload.Replicas {
	if weight == 0 {
		return &workload.Replicas{}
	}
	return &workload.Replicas{Share: weight, Of: &c.Arms.Stable.Deployment, Split: c.Split}
}

// putBack reports whether everything is as it was before the release: the canary is out of service, and all Deployments
// are restored.
func (s State) putBack(d *Definition) bool {
	return d.Cluster == nil || s.Out && s.InForce && (s.WorkReady || len(s.deploymentsBack(d)) == 0)
}

// deploymentsBack restores stable's template along with the traffic, and everything else once the canary is out of service.
func (s State) deploymentsBack(d *Definition) []workload.Deployment {
	var out []workload.Deployment
	if s.Patched {
		out = append(out, workload.Deployment{Name: d.Cluster.Arms.Stable.Deployment, Before: true})
	}
	if !s.Out || !s.InForce {
		return out
	}
	if s.owned(d) {
		out = append(out, workload.Deployment{Name: d.Cluster.Arms.Canary.Deployment, Before: true})
	}
	for i := 0; i <= s.Step && i < len(d.Steps); i++ {
		if step, ok := d.Steps[i].(Deploy); ok && step.Restore && !step.canarys(d) {
			out = append(out, workload.Deployment{Name: step.Deployment, Before: true})
		}
	}
	return out
}
