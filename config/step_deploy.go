package config

import (
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/workload"
)

// DeploySpec brings a Deployment to an image or a template and waits until it is ready.
type DeploySpec struct {
	// Name of the step.
	Name Name `json:"name,omitempty"`
	// Deployment to change.
	Deployment ObjectName `json:"deployment"`
	// Namespace of the Deployment; the route's by default.
	Namespace Namespace `json:"namespace,omitempty"`
	// Image by container; ${parameters} are substituted.
	Image map[string]string `json:"image,omitempty"`
	// Template is a file with a whole v1 PodTemplate, alongside this one, or the PodTemplate itself.
	Template Manifest `json:"template,omitzero"`
	// Deadline after which it has failed.
	Deadline *Duration `json:"deadline,omitempty"`
	// OnRollback: keep leaves the Deployment as it is when the release goes back, restore puts it back.
	OnRollback string `json:"onRollback,omitempty" jsonschema:"enum=keep,enum=restore"`
}

func (d *DeploySpec) named() Name { return d.Name }

func (d *DeploySpec) check(c *checker, at place, _ *RolloutSpec, params []string) {
	c.positive(at, "deadline", d.Deadline)
	if (len(d.Image) == 0) == d.Template.IsZero() {
		c.fail(at, "expected one of image (by container) or template")
	}
	for container, image := range d.Image {
		c.known(at.in("image", container), image, params)
	}
}

func (d *DeploySpec) step(m *planner, at place, name string) rollout.Step {
	out := rollout.Deploy{
		Name: name, Deployment: workload.Name{Namespace: m.namespace(d.Namespace), Name: string(d.Deployment)}, Images: d.Image,
		Deadline: long(d.Deadline, defaultDeploy), Restore: d.OnRollback == "restore",
	}
	if !d.Template.IsZero() {
		out.Template = m.manifest(at.in("template"), d.Template, m.loader.Template)
	}
	return out
}
