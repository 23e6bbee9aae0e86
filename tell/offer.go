package tell

import (
	"cmp"
	"strings"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
)

// Deed is an action that a person can take on a release.
type Deed string

// The deeds. Those that the API has are named as there.
const (
	Approve     Deed = "approve"
	Reject      Deed = "reject"
	KeepWaiting Deed = "wait"
	Dismiss     Deed = "dismiss-alarm"
	Resume      Deed = "resume"
	GoOn        Deed = "promote"
	PauseIt     Deed = "pause"
	Cancel      Deed = "cancel"
	RollBack    Deed = "rollback"
	Undo        Deed = "undo"
	Retry       Deed = "retry"
)

// Offer is a deed that makes sense now, with the words of its button and of its confirmation. It does not say whether
// the person may do it.
type Offer struct {
	Deed Deed
	// Button says in a few words what it does.
	Button string
	// Title is the question that confirms it, Text its consequences.
	Title, Text string
	// Reason: a reason is asked for. Needed: it is mandatory.
	Reason, Needed bool
	// Danger: it takes a version away from users.
	Danger bool
	// Gate that an answer is for; empty for everything else.
	Gate string
}

// Answers are the possible answers to the question that is open now; none if there is no question.
func Answers(v record.View) []Offer {
	if v.Gate == "" || v.State.Ended() {
		return nil
	}
	approve, reject := Consequences(v)
	out := []Offer{
		{Deed: Approve, Button: approve, Title: question(v), Text: afterColon(approve), Reason: true, Gate: v.Gate},
		{Deed: Reject, Button: reject, Title: question(v), Text: afterColon(reject), Reason: true, Danger: true, Gate: v.Gate},
	}
	if q := v.State.Question; q != nil && q.About != rollout.FoundWorse {
		out = append(out, Offer{
			Deed: KeepWaiting, Button: "Wait on", Title: "Go on waiting?", Text: "It asks again later.", Reason: true, Gate: v.Gate,
		})
	}
	return out
}

// afterColon is the effect of an answer, as a sentence.
func afterColon(button string) string {
	_, what, _ := strings.Cut(button, ": ")
	return Sentence(what)
}

// Offers returns the deeds that an operator can do to a running release.
func Offers(v record.View) []Offer {
	if v.State.Phase != rollout.Active {
		return nil
	}
	var out []Offer
	if v.State.Alarm && !v.State.Dismissed {
		out = append(out, Offer{Deed: Dismiss, Button: "Dismiss alarm", Title: "Dismiss the alarm?",
			Text: alarmWords(v) + " The release goes on at this weight in spite of it.", Reason: true, Needed: true})
	}
	if v.State.Pause != nil {
		out = append(out, Offer{Deed: Resume, Button: "Resume", Title: "Resume the release?", Text: "Timers continue from where they stopped."})
	} else {
		_, answered := v.State.Answered[v.State.Gate]
		passed := v.State.Gate == "" || answered // a gate is answered, not skipped
		if passed && (!v.State.Promoting() || v.State.Watching()) {
			out = append(out, Offer{Deed: GoOn, Button: "Go on", Title: "Go on without waiting, on your responsibility?",
				Text: cmp.Or(Sentence(v.Waiting), "It waits for nothing.") +
					" A worse version goes back all the same. Gates stay.", Reason: true, Needed: true})
		}
		out = append(out, Offer{Deed: PauseIt, Button: "Pause", Title: "Pause the release?",
			Text: "Timers stop and nothing advances. Looks continue, and a fail still rolls back.", Reason: true})
	}
	if !v.State.Moved {
		out = append(out, Offer{
			Deed: Cancel, Button: "Cancel", Title: "Cancel the release?",
			Text: "No traffic has moved yet: it ends as it began.", Reason: true, Danger: true,
		})
	}
	return append(out, Offer{
		Deed: RollBack, Button: "Roll back", Title: "Roll back now?", Text: "All traffic goes back to stable at once.", Reason: true, Danger: true,
	})
}

// UndoOffer is the offer to undo once a release is over.
func UndoOffer(v record.View) Offer {
	what := "this release"
	if v.State.Outcome != rollout.Released {
		what = "the last one that was released"
	}
	return Offer{Deed: Undo, Button: "Undo", Title: "Bring back the previous version?", Reason: true, Needed: true, Danger: true,
		Text: "All traffic goes to what was in service before " + what + ", at once and without being compared. It is a release of its own."}
}

// RetryOffer is the offer to retry a release that ended without bringing its version into service; ok is false for any
// other release.
func RetryOffer(v record.View) (o Offer, ok bool) {
	if !v.Declared || !v.State.Ended() || v.State.Outcome == rollout.Released || v.State.Undoes != "" {
		return Offer{}, false
	}
	text := "The same version takes the plan again, from its beginning, as a release of its own. Jobs that have " +
		"succeeded are not run again where what they did is certainly still there."
	if v.State.KnownWorse() {
		text = "It was found worse. " + text
	}
	return Offer{Deed: Retry, Button: "Retry", Title: "Try this version again?", Text: text, Reason: true, Needed: v.State.KnownWorse()}, true
}

// alarmWords says what is wrong with the data.
func alarmWords(v record.View) string {
	verdict := v.LastVerdict()
	if verdict == nil || verdict.SampleRatio != nil && verdict.SampleRatio.Alarm || len(verdict.Contradictions) == 0 {
		return "The gateway's split is not the one that was asked for."
	}
	return Capital(strings.TrimPrefix(Contradiction(verdict.Contradictions[0]), "alarm: ")) + "."
}
