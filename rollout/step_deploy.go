package rollout

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/serindev/serin/workload"
)

// Deploy brings a Deployment to an image or a whole pod template, and waits until it is ready.
type Deploy struct {
	still

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

// StepName implements [Step].
func (p Deploy) StepName() string { return p.Name }

func (p Deploy) check(c *checked) error {
	if c.d.Cluster == nil {
		return fmt.Errorf("%s: %s needs Kubernetes", c.at, Kind(p))
	}
	return nil
}

func (Deploy) enter(_ *Definition, e *StepEntered) { e.What = StageDeploy }

func (Deploy) next(s State, d *Definition, t *timer) Event {
	if !s.WorkReady {
		return nil
	}
	return s.goOn(d, t)
}

func (p Deploy) holds(s State, _ *Definition, t *timer) []Hold {
	if s.WorkReady {
		return nil
	}
	return []Hold{NeedsDeployment{p.Deployment, s.StageAt.Add(p.Deadline).Sub(t.now)}}
}

// deployments leaves out the canary's Deployment, which is part of every target from here on: see [State.deployments].
func (p Deploy) deployments(s State, d *Definition) []workload.Deployment {
	if p.canarys(d) {
		return nil
	}
	return []workload.Deployment{s.filled(p, workload.Deployment{Name: p.Deployment})}
}

func (p Deploy) ready(State) time.Duration { return p.Deadline }

func (Deploy) onCluster() bool { return true }

// undoes is false for Deployments that serve no users, such as a worker's.
func (p Deploy) undoes(d *Definition) bool { return p.canarys(d) }

func (p Deploy) goesBack(d *Definition) bool { return p.Restore || p.canarys(d) }

// canarys tells whether the step deploys the canary.
func (p Deploy) canarys(d *Definition) bool {
	return d.Cluster != nil && p.Deployment == d.Cluster.Arms.Canary.Deployment
}

// filled is a deployment with what a step wants, parameters filled in.
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
