package tell

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/serindev/serin/figures"
	"github.com/serindev/serin/rollout"
)

// StepWords has all words about a step, so that each kind has them in one place.
type StepWords struct {
	// Kind names the kind, as a heading.
	Kind string
	// Detail says in a few words what the step does; empty if its kind and name say everything.
	Detail string
	// Does announces the step; Next does so in as few words as possible.
	Does, Next string
	// Now says that a release is at the step.
	Now string
	// Question is the question at a gate before the step; Approve is the effect of approval.
	Question, Approve string
}

// Step puts a step into words; subject is what people call the released version.
func Step(step rollout.Step, subject string) StepWords {
	name := step.StepName()
	w := StepWords{Next: "step " + name, Now: "At step " + name, Question: "May the release of " + subject + " go on?"}
	switch step := step.(type) {
	case rollout.AB:
		share := step.Cohort.Split.String() + " of the cohort"
		w.Question, w.Approve = "Shall "+share+" get "+subject+"?", share+" gets "+subject
		w.Kind, w.Next = "A/B test", "A/B test "+name
		w.Detail = share + ", for at least " + figures.Span(step.Decide.Min) + unjudged(step.Unjudged)
		w.Does = "A/B step " + name + ", " + share + " on the canary, for at least " + figures.Span(step.Decide.Min) + unjudged(step.Unjudged)
		w.Now = "A/B test: " + share + " is on " + subject
	case rollout.Gray:
		share := step.Weights[0].String() + " of the traffic"
		w.Question, w.Approve = "Shall "+share+" go to "+subject+"?", share+" gets "+subject
		w.Kind, w.Next = "Gray", share
		w.Detail = "at least " + figures.Span(step.Hold) + " at each weight" + unjudged(step.Unjudged)
		if step.Sticky {
			w.Detail += "; users keep their version"
		}
		w.Does = Weight(step, 0)
	case rollout.Mirror:
		share := "copies of " + step.Copies.Share.String() + " of the requests"
		w.Kind, w.Next, w.Now = "Mirror", share, Capital(subject)+" gets "+share+", and no user its answers"
		w.Detail = share + ", for at least " + figures.Span(step.For) + unjudged(step.Unjudged)
		w.Does = "mirror " + name + ": the canary gets " + share + ", and no user its answers, for at least " +
			figures.Span(step.For) + unjudged(step.Unjudged)
		w.Question, w.Approve = "Shall "+subject+" get "+share+"?", subject+" gets "+share+"; no user is exposed"
	case rollout.Preview:
		w.Kind, w.Detail = "Preview", previewed(step)
		w.Does = "preview " + name + ": the canary gets a route of its own, " + previewed(step) + ", until the promotion"
		w.Approve = subject + " can be looked at " + previewed(step)
	case rollout.Gate:
		w.Kind, w.Detail = "Gate", "any operator answers"
		if len(step.Approvers) > 0 {
			w.Detail = "answered by " + strings.Join(step.Approvers, ", ")
		}
		w.Does, w.Next = "gate "+name+", which a human answers", "a person is asked (gate "+name+")"
	case rollout.Wait:
		w.Kind, w.Detail = "Wait", figures.Span(step.For)
		w.Does, w.Now = "wait "+name+" for "+figures.Span(step.For), "It waits at step "+name
	case rollout.Webhook:
		w.Kind, w.Does = "Webhook", "webhook "+name
	case rollout.Job:
		w.Kind, w.Does = "Job", "job "+name
	case rollout.Deploy:
		w.Kind, w.Does = "Deploy", "deploy "+name+": Deployment "+step.Deployment.String()
	case rollout.Watch:
		w.Kind, w.Detail = "Watch", figures.Span(step.For)+", against the time before the release"
		w.Does = "watch " + name + " for " + figures.Span(step.For) +
			": everybody has the new version, which is compared with the time before the release; " + ifWorse(step)
		w.Next, w.Now = "it is watched for "+figures.Span(step.For), Capital(subject)+" serves everybody and is watched"
	case rollout.Promote:
		w.Kind, w.Detail, w.Does, w.Next = "Promote", "the canary becomes stable", promotion(step.Strategy), "all traffic"
		w.Now, w.Question, w.Approve = Capital(subject)+" becomes stable", "Shall everybody get "+subject+"?", "all users get "+subject
	}
	if w.Approve == "" {
		w.Approve = "on to " + strings.ToLower(w.Kind) + " " + name
	}
	return w
}

// ifWorse says what happens if a version turns out worse while it is watched.
func ifWorse(step rollout.Watch) string {
	if step.Ask {
		return "a person is asked about what is worse"
	}
	return "what is worse is taken back"
}

// Weight says what a weight of a gray step does.
func Weight(step rollout.Gray, stage int) string {
	return fmt.Sprintf("%s of traffic on the canary, for at least %s", step.Weights[stage], figures.Span(step.Hold)) + unjudged(step.Unjudged)
}

// previewed says where a preview can be found.
func previewed(step rollout.Preview) string {
	switch {
	case step.Route.Match == nil:
		return "at " + step.Route.Host
	case step.Route.Host == "":
		return "for requests that match"
	}
	return "at " + step.Route.Host + ", for requests that match"
}

// unjudged says what follows if a step compares nothing.
func unjudged(is bool) string {
	if is {
		return "; nothing is compared, and nothing rolls it back by itself"
	}
	return ""
}

func promotion(s rollout.Strategy) string {
	switch s {
	case rollout.Patch:
		return "promotion: stable's Deployment becomes the canary's version, then gets all traffic"
	case rollout.AwaitStable:
		return "promotion: another system brings stable's Deployment to the canary's images, then it gets all traffic"
	case rollout.Exchange:
	}
	return "promotion: all traffic on the canary, whose servers then become stable"
}

// atStep names the step, or its weight, as the subject of a sentence.
func atStep(step rollout.Step, stage int) string {
	switch step := step.(type) {
	case rollout.AB:
		return "A/B step " + step.Name
	case rollout.Gray:
		return step.Weights[stage].String() + " of traffic on the canary"
	case rollout.Mirror:
		return "mirror step " + step.Name
	case rollout.Promote:
		return "promotion"
	case rollout.Webhook, rollout.Job, rollout.Gate:
		return rollout.Kind(step) + " " + step.StepName()
	default:
		return "step " + step.StepName()
	}
}

// Capital begins a text as a sentence, in any alphabet.
func Capital(s string) string {
	first, size := utf8.DecodeRuneInString(s)
	if size == 0 {
		return s
	}
	return string(unicode.ToUpper(first)) + s[size:]
}
