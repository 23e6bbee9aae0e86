package resource

import (
	"encoding/json"
	"time"
)

// Condition is one of Kubernetes' conditions.
type Condition struct {
	Type               string    `json:"type"`
	Status             string    `json:"status"`
	ObservedGeneration int64     `json:"observedGeneration,omitempty"`
	LastTransitionTime time.Time `json:"lastTransitionTime"`
	Reason             string    `json:"reason"`
	Message            string    `json:"message"`
}

// The types of conditions. The first three are those of kstatus (sigs.k8s.io/cli-utils), from which Flux, Argo CD and
// kubectl wait tell whether an object has reached its desired state; the others are for people and scripts (kubectl wait
// --for=condition=Released).
const (
	Ready          = "Ready"       // nothing is under way, and the last release is in service
	Reconciling    = "Reconciling" // a release is under way
	Stalled        = "Stalled"     // a person has to do something: the object is wrong, or the last release did not succeed
	TypeReleased   = "Released"    // the newest release is in service
	TypeRolledBack = "RolledBack"  // the newest release was rolled back, or is being rolled back
	TypeWaiting    = "Waiting"     // it waits for a person: a gate, a question, a pause
)

// conditions returns those of a status whose other fields are filled in.
func conditions(s *Status, in In) []Condition {
	under := in.View != nil && Under(in.View)
	bad := s.Phase == RolledBack || s.Phase == Failed
	wrong := len(s.Problems) > 0
	stalled := wrong || bad
	reason := string(s.Phase)
	if wrong {
		reason = string(Invalid)
	}
	out := []Condition{
		condition(Ready, !under && !stalled && s.Phase != Invalid, reason, s.Message),
		condition(Reconciling, under, string(s.Phase), s.Message),
		condition(Stalled, stalled && !under || wrong, reason, s.Message),
		condition(TypeReleased, s.Phase == Released, string(s.Phase), s.Message),
		condition(TypeRolledBack, s.Phase == RolledBack || s.Phase == RollingBack, string(s.Phase), s.Message),
		condition(TypeWaiting, s.Phase == Waiting || s.Phase == Paused, string(s.Phase), s.Message),
	}
	for i := range out {
		c := &out[i]
		c.ObservedGeneration, c.LastTransitionTime = in.Generation, whole(in.Now)
		for _, before := range in.Before.Conditions {
			if before.Type == c.Type && before.Status == c.Status {
				c.LastTransitionTime = before.LastTransitionTime
			}
		}
	}
	return out
}

func condition(kind string, is bool, reason, message string) Condition {
	status := "False"
	if is {
		status = "True"
	}
	return Condition{Type: kind, Status: status, Reason: reason, Message: message}
}

func encode(s any) string {
	b, err := json.Marshal(s)
	if err != nil { // cannot happen
		return err.Error()
	}
	return string(b)
}
