package rollout

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/serindev/serin/figures"
	"github.com/serindev/serin/workload"
)

// Job runs a Kubernetes Job to its end.
type Job struct {
	still

	Name      string `json:"name"`
	Namespace string `json:"namespace,omitempty"`
	// Manifest is a batch/v1 Job as JSON; ${parameters} stand in its strings.
	Manifest json.RawMessage `json:"manifest"`
	// Deadline counts from the Job's creation, or from the entry of the step while the cluster does not answer.
	Deadline time.Duration `json:"deadline"`
}

// jobGrace is how long after a Job's own deadline the step still waits for its outcome.
const jobGrace = time.Minute

// StepName implements [Step].
func (j Job) StepName() string { return j.Name }

func (j Job) check(c *checked) error {
	if c.d.Cluster == nil {
		return fmt.Errorf("%s: %s needs Kubernetes", c.at, Kind(j))
	}
	return nil
}

func (j Job) next(s State, d *Definition, t *timer) Event {
	switch {
	case j.doneBefore(s):
		return s.goOn(d, t)
	case s.Job == nil && t.passed(s.StepAt.Add(j.Deadline+jobGrace)):
		return JobFailed{Step: s.Step, Why: "its end was not seen within " + figures.Span(j.Deadline+jobGrace)}
	case s.Job == nil:
		return nil
	}
	return s.goOn(d, t)
}

func (j Job) holds(s State, _ *Definition, t *timer) []Hold {
	if s.Job == nil && !j.doneBefore(s) {
		return []Hold{NeedsEnd{s.StepAt.Add(j.Deadline).Sub(t.now)}}
	}
	return nil
}

func (j Job) broken(s State) Event {
	if s.Job == nil || s.Job.Why == "" {
		return nil
	}
	return RollbackRequested{Reason: "job " + j.Name + ": " + s.Job.Why}
}

// task is the Job with its parameters filled in. If they cannot be, the Job fails with that reason.
func (j Job) task(s State, key string) (Task, bool) {
	job := &workload.Job{Key: key, Namespace: j.Namespace, Deadline: j.Deadline}
	var err error
	if job.Manifest, err = workload.FillJSON(j.Manifest, s.Parameters); err != nil {
		job.Unfilled = err.Error()
	}
	return Task{Key: key, Job: job}, true
}

func (j Job) done(s State) bool { return s.Job != nil || j.doneBefore(s) }

// doneBefore tells whether the Job succeeded in the release that this one repeats.
func (j Job) doneBefore(s State) bool { return slices.Contains(s.Done, j.Name) }

func (Job) onCluster() bool { return true }

// runsOn tells whether the Job may go on although the release that began it goes back.
func (j Job) runsOn() bool {
	var manifest struct {
		Metadata struct{ Annotations map[string]string }
	}
	return json.Unmarshal(j.Manifest, &manifest) == nil && manifest.Metadata.Annotations[workload.WhenCancelled] == workload.RunOn
}

// cut is the job step that the release left, by going back, before the Job ended.
func (s State) cut(d *Definition) (Job, bool) {
	if s.Phase == Active || s.Outcome == Released || s.Job != nil || s.Step < 0 || s.Step >= len(d.Steps) {
		return Job{}, false
	}
	step, ok := d.Steps[s.Step].(Job)
	return step, ok && !step.doneBefore(s)
}

// stopped are the Jobs that the release no longer waits for.
func (s State) stopped(d *Definition, id string) []workload.JobName {
	step, ok := s.cut(d)
	if !ok || step.runsOn() {
		return nil
	}
	return []workload.JobName{{Key: id + "/" + step.Name, Namespace: step.Namespace}}
}

// LeftBehind says what becomes of a Job that had not ended; empty if there is none.
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
