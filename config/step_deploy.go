package config

import (
	"github.com/serindev/serin/rollout"
)

// DeploySpec brings a Deployment or StatefulSet to an image or a template and waits until it is ready.
type DeploySpec struct {
	// Name of the step.
	Name Name `json:"name,omitempty"`
	// Deployment to change.
	Deployment ObjectName `json:"deployment,omitempty"`
	// StatefulSet to change, in place of a Deployment.
	StatefulSet ObjectName `json:"statefulSet,omitempty"`
	// Namespace of it; the arms' by default.
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
	c.either(at, d.Deployment, d.StatefulSet)
	if (len(d.Image) == 0) == d.Template.IsZero() {
		c.fail(at, "expected one of image (by container) or template")
	}
	for container, image := range d.Image {
		c.known(at.in("image", container), image, params)
	}
}

func (d *DeploySpec) step(m *planner, at place, name string) rollout.Step {
	out := rollout.Deploy{
		Name: name, Deployment: workloadName(m.namespace(d.Namespace), d.Deployment, d.StatefulSet), Images: d.Image,
		Deadline: long(d.Deadline, defaultDeploy), Restore: d.OnRollback == "restore",
	}
	if !d.Template.IsZero() {
		out.Template = m.manifest(at.in("template"), d.Template, m.loader.Template)
	}
	return out
}
