package config

import "github.com/serindev/serin/rollout"

// JobSpec runs a batch/v1 Job to its end.
type JobSpec struct {
	// Name of the step.
	Name Name `json:"name,omitempty"`
	// Manifest is a file with the Job, alongside this one, or the Job itself; ${parameters} are substituted.
	Manifest Manifest `json:"manifest"`
	// Namespace to run it in; the arms' by default.
	Namespace Namespace `json:"namespace,omitempty"`
	// Deadline after which it has failed.
	Deadline *Duration `json:"deadline,omitempty"`
}

func (j *JobSpec) named() Name { return j.Name }

func (j *JobSpec) check(c *checker, at place, _ *RolloutSpec, _ []string) {
	c.positive(at, "deadline", j.Deadline)
}

func (j *JobSpec) step(m *planner, at place, name string) rollout.Step {
	return rollout.Job{
		Name: name, Namespace: m.namespace(j.Namespace), Deadline: long(j.Deadline, defaultJobDeadline),
		Manifest: m.manifest(at.in("manifest"), j.Manifest, m.loader.Job),
	}
}
