package tell

import (
	"strings"
	"time"

	"github.com/serindev/serin/figures"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
)

// Urgency is how urgently a rollout needs a person, the most urgent first.
type Urgency int

// The urgencies.
const (
	OnFire      Urgency = iota // something is wrong, or was in the last day
	NeedsPerson                // it waits for one
	UnderWay                   // it goes on by itself
	Lately                     // a version was released in the last day
	AtRest
)

// Recent is how long the end of a release counts as news.
const Recent = 24 * time.Hour

// Urgencies are the headings of lists, in order.
var Urgencies = [...]string{
	OnFire: "Needs attention", NeedsPerson: "Waiting for a person", UnderWay: "Under way", Lately: "Released in the last 24 hours", AtRest: "At rest",
}

// UrgencyOf is how urgently a rollout needs a person.
func UrgencyOf(v record.View, now time.Time) Urgency {
	news := v.State.Ended() && now.Sub(v.State.EndedAt) < Recent
	bad := v.State.Outcome == rollout.RolledBack || v.State.Outcome == rollout.Failed
	switch {
	case len(v.Trouble) > 0, news && bad, v.State.Phase == rollout.RollingBack:
		return OnFire
	case v.Release == nil:
		return AtRest
	case !v.State.Ended():
		if WhoActs(v) != "" {
			return NeedsPerson
		}
		return UnderWay
	case news && v.State.Outcome == rollout.Released:
		return Lately
	}
	return AtRest
}

// WhoActs says who has to do what; empty if Serin continues by itself.
func WhoActs(v record.View) string {
	switch {
	case len(v.Trouble) > 0:
		return "operator: " + strings.Join(v.Trouble, "; ")
	case v.Release == nil || v.State.Ended():
		return ""
	case v.Gate != "":
		return strings.Join(v.Approvers, ", ") + ": answer " + v.Gate
	case v.State.Alarm && !v.State.Dismissed:
		return "operator: an alarm about the data"
	case v.State.Pause != nil:
		return "operator: resume"
	}
	return ""
}

// ForUsers says what a release that went back meant for users, as far as its view tells; empty for one that went well.
func ForUsers(v record.View) string {
	if v.State.Outcome == rollout.Released {
		return ""
	}
	if !v.State.Moved {
		return "No traffic had moved."
	}
	out := "All traffic is on stable."
	if v.State.Outcome == rollout.Failed {
		out = "Stable at 100% was written." // its page says whether it is served
	}
	if verdict := v.LastVerdict(); verdict != nil {
		for _, m := range verdict.Metrics {
			if m.Metric == verdict.Decisive && m.Kind == judge.Counts && m.Canary.Total > 0 {
				out += " Of " + figures.Grouped(m.Canary.Total) + " requests that were judged, " +
					figures.Grouped(m.Canary.Bad) + " counted as " + m.Named() + "."
			}
		}
	}
	return out
}
