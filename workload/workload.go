// Package workload says how the workloads of a release have to look: Deployments, their replicas, and Jobs.
//
// It knows no cluster and no rollout. Package rollout makes a [Target] from a state; workload/kube works towards it and
// answers with an [Observed]. Everything here is pure. Start reading at [Target].
package workload

import (
	"cmp"
	"encoding/json"
	"regexp"
	"time"

	"github.com/serindev/serin/share"
)

// Name of a workload, or of another object, in the cluster.
type Name struct {
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	// Kind is [StatefulSet], or empty for a Deployment.
	Kind string `json:"kind,omitempty"`
}

// StatefulSet is the kind of a workload that is not a Deployment. What comments say about Deployments holds for it too.
const StatefulSet = "StatefulSet"

// KindOrDeployment is the kind of a workload.
func (n Name) KindOrDeployment() string { return cmp.Or(n.Kind, "Deployment") }

func (n Name) String() string {
	if n.Namespace == "" {
		return n.Name
	}
	return n.Namespace + "/" + n.Name
}

// mostGenerated is how much of a name Kubernetes keeps before the five characters that it adds to a pod's.
const mostGenerated = 58

// Pods is a pattern for the names of a workload's pods. For a Deployment, Kubernetes adds a hash and five characters, and
// cuts off the end of a long name together with the dash between the two; the pods of a StatefulSet are numbered.
func (n Name) Pods() string {
	if n.Kind == StatefulSet {
		return regexp.QuoteMeta(n.Name) + "-[0-9]+"
	}
	if len(n.Name) >= mostGenerated {
		return regexp.QuoteMeta(n.Name[:mostGenerated]) + "[a-z0-9]{5}"
	}
	name := regexp.QuoteMeta(n.Name) + "-[a-z0-9]+"
	if len(n.Name)+len("-")+10+len("-") <= mostGenerated {
		return name + "-[a-z0-9]{5}"
	}
	return name + "(?:-[a-z0-9]{5})?"
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

// Target is how the Deployments of one rollout have to look now. Applying it twice is the same as once. Before a release
// changes a Deployment, its earlier state is recorded in the cluster, at the Deployment, so that it can be restored
// whatever happens in between.
type Target struct {
	// Release whose target this is; empty for none. Earlier states are recorded under it.
	Release     string       `json:"release"`
	Arms        Arms         `json:"arms"`
	Deployments []Deployment `json:"deployments,omitempty"`
	// Forget: the release ended without failing, and the recorded earlier states are dropped.
	Forget bool `json:"forget,omitempty"`
	// Copied: stable's Deployment is a copy of the canary's, which is the one that its users have in Git. It is made from
	// the canary's when there has never been one, and from what was in service last when it is gone.
	Copied bool `json:"copied,omitempty"`
	// Original is the Deployment that stable is a copy of, if that is not the canary's.
	Original *Name `json:"original,omitempty"`
	// Track: what the ConfigMaps contain that the pod template of the canary's Deployment names is a part of that template,
	// and the copy has ConfigMaps of its own, which never change. Only for Copied.
	Track bool `json:"track,omitempty"`
	// Hold: users may be on the canary, and stable has to be able to take all of them back at any moment, so the autoscalers
	// of both arms take no pods away meanwhile.
	Hold bool `json:"hold,omitempty"`
	// Stop are Jobs that the release no longer waits for. One that still runs is suspended; one that does not exist is never
	// created.
	Stop []JobName `json:"stop,omitempty"`
}

// CopyOf is the Deployment that stable is a copy of. Only for Copied.
func (t *Target) CopyOf() Name {
	if t.Original != nil {
		return *t.Original
	}
	return t.Arms.Canary.Deployment
}

// JobName identifies a Job.
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

// Deployment is how one Deployment has to look. Its pod template stays as it is unless Images, Template, From, Previous or
// Before is set.
type Deployment struct {
	Name Name `json:"name"`
	// Images by container.
	Images map[string]string `json:"images,omitempty"`
	// Template is a whole pod template (core/v1 PodTemplateSpec) as JSON, except for the labels that the Deployment selects
	// by, which stay.
	Template json.RawMessage `json:"template,omitempty"`
	// From copies the pod template of another Deployment: its images, or with Whole all of it but the labels. A copy of a
	// Deployment (Target.Copied) gets the labels too, but for those that keep its pods apart.
	From  *Name `json:"from,omitempty"`
	Whole bool  `json:"whole,omitempty"`
	// Previous is a release that has replaced stable's pod template and ended well. It gets the images of the one before, or
	// with Whole all of it. A Deployment other than stable's keeps its own labels.
	Previous string `json:"previous,omitempty"`
	// Before restores template and replicas to what they were before the release.
	Before bool `json:"before,omitempty"`
	// Create creates the Deployment from another one's pod template, or with Previous from what that one had, if it does not
	// exist.
	Create *Name `json:"create,omitempty"`
	// IfMissing: Images and Template apply only when the Deployment is created; an existing one keeps its template.
	IfMissing bool `json:"ifMissing,omitempty"`
	// Unfilled says why Images or Template could not be filled in. Then nothing is changed, and the Deployment has failed.
	Unfilled string `json:"unfilled,omitempty"`
	// Replicas is nil if they stay as they are. Those of a Deployment with a HorizontalPodAutoscaler are the autoscaler's, but
	// for two changes: to 0, which turns the autoscaler off, and back from it; and, while autoscalers are held (Target.Hold), to
	// as many as are asked for, where the autoscaler has given it fewer.
	Replicas *Replicas `json:"replicas,omitempty"`
	// Watch: the pod template is not changed; another system brings it to From's images, or with Whole to all of From's
	// template, and it is ready when they are equal.
	Watch bool `json:"watch,omitempty"`
	// Copy: it is made as a copy of that Deployment when there has never been one; see Target.Copied.
	Copy *Name `json:"copy,omitempty"`
}

// Replicas is a number or a share of another Deployment's, rounded up, at least 1.
type Replicas struct {
	Count int         `json:"count,omitempty"`
	Share share.Share `json:"share,omitempty"`
	// Of is the Deployment that Share is a share of; nil for Count.
	Of *Name `json:"of,omitempty"`
	// Split: Share is the canary's part of both arms' pods together, and Of is stable. The other part is taken from stable
	// once the canary has its own.
	Split *Split `json:"split,omitempty"`
}

// Job runs once. Its name in the cluster is made from Key, so that requesting it twice is harmless.
type Job struct {
	// Key is the release's and the step's, such as 01J…/migrate-database.
	Key       string `json:"key"`
	Namespace string `json:"namespace"`
	// Manifest is a batch/v1 Job as JSON, with the parameters filled in.
	Manifest json.RawMessage `json:"manifest"`
	// Deadline from its creation.
	Deadline time.Duration `json:"deadline"`
	// Unfilled says why the parameters could not be filled in. Then it does not run, and has failed.
	Unfilled string `json:"unfilled,omitempty"`
}

// Phase is how far something has come.
type Phase string

// The phases.
const (
	Progressing Phase = "progressing"
	Ready       Phase = "ready"  // a Deployment is as it has to be, with all pods available; a Job is complete
	Failed      Phase = "failed" // it will not become ready without a change
)

// Status is how far a Deployment or a Job has come.
type Status struct {
	Name  Name  `json:"name"`
	Phase Phase `json:"phase"`
	// Why says in a sentence what is missing or failed: which pod, and why.
	Why string `json:"why,omitempty"`
	// Log has the last lines of a Job's pods, oldest first.
	Log []string `json:"log,omitempty"`
	// Changed says what was changed externally since Serin wrote it, and by whom; it has been reverted.
	Changed []string `json:"changed,omitempty"`
	// Ready is when each of its pods became ready, in no order; nil where that is not known.
	Ready []time.Time `json:"-"`
}

// Observed has a status for each Deployment of the target, in its order.
type Observed struct {
	Deployments []Status `json:"deployments,omitempty"`
	// Notes say in sentences what people should know and what holds nothing up: an autoscaler that cannot be held, a disruption
	// budget that is in the way.
	Notes []string `json:"notes,omitempty"`
}

// Phase of all Deployments together, with the sentences of those that are not ready; Ready if there are none.
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
	// InService: it is what stable's copy runs, so there is nothing to release.
	InService bool
}

// Notice is something about a release that `kubectl describe` shows on its Deployments. Nothing depends on it.
type Notice struct {
	// Reason is one word in Kubernetes' own style, such as RollingBack.
	Reason string
	Text   string
	// Warning: a person may have to act.
	Warning bool
}
