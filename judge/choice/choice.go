// Package choice says which judge judges releases. It is the only place that names one: the daemon, the simulation, the
// plan, the analysis of past releases and Spinnaker's API all ask here, so that they judge alike.
//
// Kayenta's judge is not among the choices: it judges whole windows, for Spinnaker, see judge/kayenta.
package choice

import (
	"time"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/judge/sequential"
)

// Judge is a judge of releases, which can also be asked in advance how long its decisions will take.
type Judge interface {
	judge.Judge
	// Fails is how fast a metric fails a canary whose rate is ratio times the baseline's, ratio above 1. The error is
	// for a metric of which it cannot say this.
	Fails(metric string, p Pace, ratio float64) (Prospect, error)
	// Passes is how fast a metric passes a canary whose rate is the baseline's. The errors are those of Fails.
	Passes(metric string, p Pace) (Prospect, error)
	// Rules is the ratio that a pass of a metric rules out if a time was given instead of a margin; 0 if it is the
	// margin. WithinMargin is how fast the metric would pass by its margin then.
	Rules(metric string, p Pace) float64
	WithinMargin(metric string, p Pace) (Prospect, error)
	// UsersToFind and UsersToRule are how many users with bad events it takes where the arms are divided by users, at a weight of
	// the canary: to find a canary whose rate is ratio times the baseline's, and to rule out what a pass rules out. 0 where the
	// arms are divided otherwise.
	UsersToFind(metric string, ratio, weight float64) float64
	UsersToRule(metric string, p Pace, weight float64) float64
	// Pods is how many pods the canary needs, for what a pass rules out and to find a canary whose rate is ratio times the
	// baseline's; nil where no past tells the pods of the version in service apart.
	Pods(metric string, p Pace, ratio float64) (rules, finds *judge.Pods)
	// PassWait is the earliest time after the first look at which a pass is possible.
	PassWait() time.Duration
}

// What a judge is asked in advance, and what it answers.
type (
	Pace     = sequential.Pace
	Prospect = sequential.Prospect
)

// New returns a judge with these settings that has seen nothing yet.
func New(s judge.Settings) (Judge, error) {
	j, err := sequential.New(s)
	if err != nil {
		return nil, err
	}
	return j, nil
}
