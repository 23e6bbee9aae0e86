package record

import (
	"fmt"
	"time"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/workload"
)

// View is what people and programs may see of a rollout and its newest release. It is a snapshot that does not change.
type View struct {
	Rollout string `json:"rollout"`
	// Declared: the configuration has a document for it now.
	Declared bool `json:"declared"`
	// About is what people want to know about the rollout; Namespace is the one that it belongs to (Kubernetes).
	About     About  `json:"about,omitzero"`
	Namespace string `json:"namespace,omitempty"`
	// Swapped: the set that is declared as the canary is in service.
	Swapped bool `json:"swapped"`
	// Release is nil for a rollout without any release yet.
	Release *Release      `json:"release,omitempty"`
	State   rollout.State `json:"state,omitzero"`
	Steps   rollout.Steps `json:"steps,omitempty"`
	// Definition that the release was started with, or the declared one if no release is running; nil if there is neither.
	// It is for [rollout.Definition.MayAnswer] and texts, and stays inside the daemon: webhooks contain secrets.
	Definition *rollout.Definition `json:"-"`
	// Target of the traffic now, whether it is served, and what differs.
	Target       traffic.Target       `json:"target,omitzero"`
	Confirmation traffic.Confirmation `json:"confirmation"`
	Differences  []string             `json:"differences,omitempty"`
	Replicas     []traffic.Replica    `json:"replicas,omitempty"`
	// Services are the arms' names in the gateway's metrics; nil before the gateway was first observed.
	Services *Services `json:"services,omitempty"`
	// Workloads says how far the Deployments of the release have come (Kubernetes).
	Workloads []workload.Status `json:"workloads,omitempty"`
	// Arms says what both arms run now; nil if the cluster does not answer, and without Kubernetes.
	Arms *Arms `json:"arms,omitempty"`
	// Verdict of the newest look, even if it says nothing new; [View.LastVerdict] is the one that counts.
	Verdict *judge.Verdict `json:"verdict,omitempty"`
	// Gate that waits for a human, and who may answer; empty for none.
	Gate      string    `json:"gate,omitempty"`
	GateSince time.Time `json:"gateSince,omitzero"`
	Approvers []string  `json:"approvers,omitempty"`
	// Waiting says in a sentence what the release waits for.
	Waiting string `json:"waiting,omitempty"`
	// Trouble says in sentences what keeps Serin from its work, such as the store or the gateway.
	Trouble []string `json:"trouble,omitempty"`
	// Notes says in sentences what people should know although it holds nothing up, such as a disruption budget in the way.
	Notes []string `json:"notes,omitempty"`
}

// LastVerdict is the verdict that counts for the release: the newest look's while it is active, and afterwards the one that
// decided. It is nil if there is none.
func (v View) LastVerdict() *judge.Verdict {
	if v.State.LastVerdict != nil && (v.Verdict == nil || v.State.Phase != rollout.Active) {
		return v.State.LastVerdict
	}
	return v.Verdict
}

// Services has the names of the arms in the gateway's metrics: on the main route, on the route of an A/B test's cohort, and
// on the route that copies requests. Commas separate the names of several ports.
type Services struct {
	Canary       string `json:"canary"`
	Stable       string `json:"stable"`
	CohortCanary string `json:"cohortCanary"`
	CohortStable string `json:"cohortStable"`
	MirrorCanary string `json:"mirrorCanary,omitempty"`
	MirrorStable string `json:"mirrorStable,omitempty"`
}

// Arms says what stable and canary run now (Kubernetes).
type Arms struct {
	Stable Running `json:"stable"`
	Canary Running `json:"canary"`
}

// Running is what a workload's pods run.
type Running struct {
	Workload workload.Name `json:"workload"`
	// Image of the first container; empty if the workload does not exist.
	Image string `json:"image,omitempty"`
	// Images by container, if there are several.
	Images map[string]string `json:"images,omitempty"`
}

// Update is one thing that happened.
type Update struct {
	Rollout string `json:"rollout"`
	Release string `json:"release,omitempty"`
	// Event is nil when only the view has changed (a look without news, traffic in force).
	Event rollout.Event `json:"-"`
}

// ParameterError says which parameter of a start is wrong.
type ParameterError struct{ Name, Want string }

func (e *ParameterError) Error() string { return fmt.Sprintf("parameter %s: %s", e.Name, e.Want) }

// NotWrittenError says that a rollback is being carried out although it could not be written yet.
type NotWrittenError struct{ Err error }

func (e *NotWrittenError) Error() string {
	return "traffic goes back to stable; it could not be written yet: " + e.Err.Error()
}

func (e *NotWrittenError) Unwrap() error { return e.Err }
