// Package workload says what the workloads of a release have to look like: Deployments, their replicas, and Jobs.
//
// It knows no cluster and no rollout. Package rollout makes a [Target] from a state, workload/kube brings it about
// and answers with an [Observed]. All of it is pure. Start at [Target].
package workload

import (
	"encoding/json"
	"time"

	"github.com/serindev/serin/share"
)

// Name of an object in the cluster.
type Name struct {
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

func (n Name) String() string {
	if n.Namespace == "" {
		return n.Name
	}
	return n.Namespace + "/" + n.Name
}

// Arms are the two Deployments of a rollout with the Services in front of them. They do not change during a release.
type Arms struct {
	Stable Arm `json:"stable"`
	Canary Arm `json:"canary"`
}

// Arm is a Deployment and the Service that selects its pods.
type Arm struct {
	Deployment Name   `json:"deployment"`
	Service    string `json:"service"`
}

// Target is what the Deployments of one rollout have to look like now. It is a level: bringing it about twice is the
// same as once. What a release changes first is remembered in the cluster, beside what it changes, so that it can be
// put back whatever happens in between.
type Target struct {
	// Release whose target this is; empty for none. What was there before is remembered under it.
	Release     string       `json:"release"`
	Arms        Arms         `json:"arms"`
	Deployments []Deployment `json:"deployments,omitempty"`
	// Forget: the release is over as it should be, and what was remembered of the time before it is dropped.
	Forget bool `json:"forget,omitempty"`
	// Stop are Jobs whose ends nobody waits for any more. One that still runs is suspended, one that is not there is
	// never made.
	Stop []JobName `json:"stop,omitempty"`
}

// JobName is what a Job is found by.
type JobName struct {
	Key       string `json:"key"`
	Namespace string `json:"namespace"`
}

// The annotation of a Job's manifest that says what becomes of the Job if it still runs when its release goes back:
// it is suspended, which ends its pods, or it runs on, to its end or its deadline.
const (
	WhenCancelled = "serin.dev/when-cancelled"
	Suspend       = "suspend" // the default
	RunOn         = "run-on"
)

// Deployment is how one Deployment has to be. Without any of Images, Template, From and Before its pod template stays
// as it is.
type Deployment struct {
	Name Name `json:"name"`
	// Images by container.
	Images map[string]string `json:"images,omitempty"`
	// Template is a whole pod template (core/v1 PodTemplateSpec) as JSON, but for the labels that the Deployment
	// selects by: those stay.
	Template json.RawMessage `json:"template,omitempty"`
	// From takes the pod template of another Deployment: its images (Whole false) or all of it but the labels.
	From  *Name `json:"from,omitempty"`
	Whole bool  `json:"whole,omitempty"`
	// Before puts template and replicas back to what they were before the release.
	Before bool `json:"before,omitempty"`
	// Create makes the Deployment from another one's pod template if it is not there.
	Create *Name `json:"create,omitempty"`
	// IfMissing: Images and Template are for a Deployment that has to be made; one that is there keeps its template.
	IfMissing bool `json:"ifMissing,omitempty"`
	// Unfilled says why Images or Template could not be filled in; nothing is done then, and the Deployment has failed.
	Unfilled string `json:"unfilled,omitempty"`
	// Replicas is nil where they stay as they are. Those of a Deployment with a HorizontalPodAutoscaler are never
	// changed, but for 0, which turns the autoscaler off, and for leaving 0.
	Replicas *Replicas `json:"replicas,omitempty"`
	// Watch: nothing is changed, somebody else brings it to From's images; it is ready when they are equal.
	Watch bool `json:"watch,omitempty"`
}

// Replicas is a number or a share of another Deployment's, rounded up, at least 1.
type Replicas struct {
	Count int         `json:"count,omitempty"`
	Share share.Share `json:"share,omitempty"`
	// Of is the Deployment that Share is a share of; nil for Count.
	Of *Name `json:"of,omitempty"`
}

// Job is run once. Its name in the cluster is made from Key, so that asking twice is harmless.
type Job struct {
	// Key is the release's and the step's, such as 01J…/migrate-database.
	Key       string `json:"key"`
	Namespace string `json:"namespace"`
	// Manifest is a batch/v1 Job as JSON, with the parameters filled in.
	Manifest json.RawMessage `json:"manifest"`
	// Deadline from its creation.
	Deadline time.Duration `json:"deadline"`
	// Unfilled says why the parameters could not be filled in; it is not run then, and has failed.
	Unfilled string `json:"unfilled,omitempty"`
}

// Phase is how far something has come.
type Phase string

// The phases.
const (
	Progressing Phase = "progressing"
	Ready       Phase = "ready"  // a Deployment as it has to be, with all its pods available; a Job complete
	Failed      Phase = "failed" // it will not become ready by itself
)

// Status is how far a Deployment or a Job has come.
type Status struct {
	Name  Name  `json:"name"`
	Phase Phase `json:"phase"`
	// Why says in a sentence what is missing or failed: which pod, and why.
	Why string `json:"why,omitempty"`
	// Log has the last lines of a Job's pods, oldest first.
	Log []string `json:"log,omitempty"`
	// Changed says what somebody else has changed since Serin wrote it, and who; it has been put right.
	Changed []string `json:"changed,omitempty"`
}

// Observed has a status for each Deployment of the target, in its order.
type Observed struct {
	Deployments []Status `json:"deployments,omitempty"`
}

// Phase of all Deployments together, with the sentences of those that are not ready. Without any it is Ready.
func (o Observed) Phase() (Phase, []string) {
	phase, why := Ready, []string(nil)
	for _, s := range o.Deployments {
		if s.Phase == Ready {
			continue
		}
		if s.Phase == Failed || phase == Ready {
			phase = s.Phase
		}
		why = append(why, s.Name.String()+": "+s.Why)
	}
	return phase, why
}

// Template is the pod template of a Deployment, as triggers see it.
type Template struct {
	// Hash is empty if there is no such Deployment.
	Hash string
	// Images by container, init containers too.
	Images map[string]string
	// New: it is neither the one that Serin saw last nor one that Serin wrote.
	New bool
}

// Notice is something about a release that somebody who describes its Deployments wants to see. Nothing depends on it.
type Notice struct {
	// Reason is one word in Kubernetes' own style, such as RollingBack.
	Reason string
	Text   string
	// Warning: somebody may have to do something.
	Warning bool
}
