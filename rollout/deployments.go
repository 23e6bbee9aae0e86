package rollout

import (
	"encoding/json"
	"time"

	"github.com/serindev/serin/share"
	"github.com/serindev/serin/workload"
)

// Cluster is what a rollout has on Kubernetes beside its traffic.
type Cluster struct {
	Arms workload.Arms `json:"arms"`
	// Replicas of the canary: a number (Count), or a share of stable's that grows with the weight.
	Replicas workload.Replicas `json:"replicas,omitzero"`
	// Deadline of bringing the canary to the capacity for a weight, before the weight moves.
	Deadline time.Duration `json:"deadline"`
	// Triggers are Deployments of which a new pod template starts a release.
	Triggers []workload.Name `json:"triggers,omitempty"`
}

// Job runs a Kubernetes Job to its end.
type Job struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace,omitempty"`
	// Manifest is a batch/v1 Job as JSON; ${parameters} stand in its strings.
	Manifest json.RawMessage `json:"manifest"`
	// Deadline counts from the Job's creation; without a cluster that answers, from the entry of the step.
	Deadline time.Duration `json:"deadline"`
}

// Deploy brings a Deployment to an image or a whole pod template, and waits until it is ready.
type Deploy struct {
	Name       string        `json:"name"`
	Deployment workload.Name `json:"deployment"`
	// Images by container; ${parameters} stand in them.
	Images map[string]string `json:"images,omitempty"`
	// Template is a core/v1 PodTemplateSpec as JSON; ${parameters} stand in its strings.
	Template json.RawMessage `json:"template,omitempty"`
	Deadline time.Duration   `json:"deadline"`
	// Restore puts the Deployment back when the release goes back. The canary's is always put back.
	Restore bool `json:"restore,omitempty"`
}

// Strategy is how a canary becomes stable.
type Strategy string

// The strategies.
const (
	// Exchange: the two sets of servers exchange their roles (without Kubernetes).
	Exchange Strategy = ""
	// Patch: stable's Deployment gets the canary's pod template, and the traffic back.
	Patch Strategy = "patch"
	// AwaitStable: somebody else (GitOps) brings stable's Deployment to the canary's images.
	AwaitStable Strategy = "wait"
)

func (Job) step()    {}
func (Deploy) step() {}

// StepName implements [Step].
func (s Job) StepName() string { return s.Name }

// StepName implements [Step].
func (s Deploy) StepName() string { return s.Name }

// deployed is the newest deploy step of the canary's Deployment that has been entered, or nil.
func (s State) deployed(d *Definition) *Deploy {
	for i := min(s.Step, len(d.Steps)-1); i >= 0; i-- {
		if step, ok := d.Steps[i].(Deploy); ok && step.Deployment == d.Cluster.Arms.Canary.Deployment {
			return &step
		}
	}
	return nil
}

// workloads is what the Deployments have to look like in this state.
func (s State) workloads(d *Definition, id string) workload.Target {
	if d.Cluster == nil {
		return workload.Target{}
	}
	t := workload.Target{Release: id, Arms: d.Cluster.Arms}
	switch s.Phase {
	case Active:
		t.Deployments = s.deployments(d)
	case RollingBack:
		t.Deployments = s.deploymentsBack(d)
		t.Stop = s.stopped(d, id)
	case PhaseEnded:
		// What was before a release that has failed is kept for the human who has to put it right.
		t.Forget = s.Outcome != Failed
		t.Stop = s.stopped(d, id)
	case "":
	}
	return t
}

// ParametersOf are the parameters of a release that a new pod template starts: where a deploy step gives a container
// of that Deployment an image that is nothing but a parameter, the parameter is the container's image.
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

// owned: the canary's Deployment is this release's, by a step or because it has been prepared.
func (s State) owned(d *Definition) bool { return s.Worked || s.deployed(d) != nil }

func (s State) deployments(d *Definition) []workload.Deployment {
	arms := d.Cluster.Arms
	canary, stable := arms.Canary.Deployment, arms.Stable.Deployment
	if s.Out {
		if !s.InForce {
			return nil // somebody brought the canary back into service: nothing is taken from it until it is out again
		}
		return []workload.Deployment{{Name: canary, Replicas: &workload.Replicas{}}}
	}
	var out []workload.Deployment
	if s.Step >= 0 && s.Step < len(d.Steps) {
		switch step := d.Steps[s.Step].(type) {
		case Deploy:
			if step.Deployment != canary {
				out = append(out, s.filled(step, workload.Deployment{Name: step.Deployment}))
			}
		case Promote:
			switch s.Doing {
			case StagePatch:
				out = append(out, workload.Deployment{Name: stable, From: &canary, Whole: step.Whole})
			case StageAwait:
				out = append(out, workload.Deployment{Name: stable, From: &canary, Whole: step.Whole, Watch: true})
			case "", StageAB, StageGray, StagePromote, StageDeploy, StageReturn, StageLeave, StageGate, StageStill:
			}
		case AB, Gray, Gate, Wait, Webhook, Job:
		}
	}
	if !s.owned(d) {
		return out
	}
	keep := workload.Deployment{Name: canary, Replicas: s.replicas(d)}
	if deploy := s.deployed(d); deploy != nil {
		keep.Create = &stable
		// Only the step itself changes a template that is there: later somebody else may begin the next release by it.
		keep.IfMissing = s.Step >= len(d.Steps) || d.Steps[s.Step].StepName() != deploy.Name
		keep = s.filled(*deploy, keep)
	}
	return append([]workload.Deployment{keep}, out...)
}

// filled is a deployment with what a step asks for, its parameters in their places.
func (s State) filled(step Deploy, w workload.Deployment) workload.Deployment {
	w.Template = step.Template
	if len(step.Images) > 0 {
		w.Images = map[string]string{}
	}
	var err error
	for container, image := range step.Images {
		if w.Images[container], err = workload.Fill(image, s.Parameters); err != nil {
			w.Unfilled = err.Error()
		}
	}
	if step.Template != nil {
		if w.Template, err = workload.FillJSON(step.Template, s.Parameters); err != nil {
			w.Unfilled = err.Error()
		}
	}
	return w
}

// replicas are the canary's for the larger of the weight that is served and the one that is prepared.
func (s State) replicas(d *Definition) *workload.Replicas {
	r := d.Cluster.Replicas
	if r.Count > 0 {
		return &workload.Replicas{Count: r.Count}
	}
	weight := s.Weight(d)
	if p := s.Pending; p != nil && p.What == StageGray {
		weight = max(weight, d.Steps[p.Step].(Gray).Weights[p.Stage])
	}
	if s.Promoting && s.GrayStep >= 0 {
		weight = d.Steps[s.GrayStep].(Gray).Weights[s.GrayStage] // it keeps its capacity until it is out of service
	}
	stable := d.Cluster.Arms.Stable.Deployment
	return &workload.Replicas{Share: max(r.Share, weight, share.Share(0)), Of: &stable}
}

// putBack tells whether everything is as it was before the release: the canary is out of service, and nothing is left
// that a Deployment would have to become.
func (s State) putBack(d *Definition) bool {
	return d.Cluster == nil || s.Out && s.InForce && (s.WorkReady || len(s.deploymentsBack(d)) == 0)
}

// deploymentsBack puts stable's template back together with the traffic, and everything else once the canary is out
// of service.
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
		if step, ok := d.Steps[i].(Deploy); ok && step.Restore && step.Deployment != d.Cluster.Arms.Canary.Deployment {
			out = append(out, workload.Deployment{Name: step.Deployment, Before: true})
		}
	}
	return out
}

// cut is the job step that the release has left before the Job's end, by going back.
func (s State) cut(d *Definition) (Job, bool) {
	if s.Phase == Active || s.Outcome == Released || s.Job != nil || s.Step < 0 || s.Step >= len(d.Steps) {
		return Job{}, false
	}
	step, ok := d.Steps[s.Step].(Job)
	return step, ok
}

// stopped are the Jobs that nobody waits for any more.
func (s State) stopped(d *Definition, id string) []workload.JobName {
	step, ok := s.cut(d)
	if !ok || step.runsOn() {
		return nil
	}
	return []workload.JobName{{Key: id + "/" + step.Name, Namespace: step.Namespace}}
}

func (s Job) runsOn() bool {
	var manifest struct {
		Metadata struct{ Annotations map[string]string }
	}
	return json.Unmarshal(s.Manifest, &manifest) == nil && manifest.Metadata.Annotations[workload.WhenCancelled] == workload.RunOn
}

// LeftBehind says what becomes of a Job that had not ended; empty where there is none.
func (s State) LeftBehind(d *Definition) string {
	step, ok := s.cut(d)
	switch {
	case !ok:
		return ""
	case step.runsOn():
		return "; job " + step.Name + " had not ended, and runs on in namespace " + step.Namespace
	}
	return "; job " + step.Name + " had not ended, and is suspended in namespace " + step.Namespace + ": what it has done is not known"
}

// job is the step's Job with the parameters in their places; the error is the Job's to fail with.
func (s State) job(step Job, key string) *workload.Job {
	j := &workload.Job{Key: key, Namespace: step.Namespace, Deadline: step.Deadline}
	var err error
	if j.Manifest, err = workload.FillJSON(step.Manifest, s.Parameters); err != nil {
		j.Unfilled = err.Error()
	}
	return j
}
