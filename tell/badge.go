package tell

import (
	"slices"
	"time"

	"github.com/serindev/serin/figures"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/workload"
)

// Badge is one or two words with a colour: ok, bad, wait, go or rest.
type Badge struct{ Text, Class string }

// StateBadge says where a release stands.
func StateBadge(v record.View) Badge {
	switch {
	case v.Release == nil:
		return Badge{"no release", "rest"}
	case v.State.Ended():
		return OutcomeBadge(v.State.Outcome)
	case v.State.Phase == rollout.RollingBack:
		return Badge{"rolling back", "bad"}
	case v.State.Pause != nil:
		return Badge{"paused", "wait"}
	case v.Gate != "":
		return Badge{"waits for a person", "wait"}
	}
	return Badge{"under way", "go"}
}

// OutcomeBadge says how a release ended.
func OutcomeBadge(o rollout.Outcome) Badge {
	switch o {
	case rollout.Released:
		return Badge{"released", "ok"}
	case rollout.RolledBack:
		return Badge{"rolled back", "bad"}
	case rollout.Failed:
		return Badge{"failed", "bad"}
	case rollout.Cancelled:
		return Badge{"cancelled", "rest"}
	case rollout.OutcomeSuperseded:
		return Badge{"superseded", "rest"}
	}
	return Badge{string(o), "rest"}
}

// VerdictBadge shows a judge's outcome; reason is empty unless it is inconclusive.
func VerdictBadge(o judge.Outcome, reason judge.Reason) Badge {
	switch o {
	case judge.Pass:
		return Badge{"pass", "ok"}
	case judge.Fail:
		return Badge{"fail", "bad"}
	case judge.Inconclusive:
	}
	if reason == "" {
		return Badge{string(o), "rest"}
	}
	return Badge{Reason(reason), "rest"}
}

// MetricBadge is [VerdictBadge] of one metric. A dry run never fails a release: it would.
func MetricBadge(m judge.MetricVerdict) Badge {
	if m.WouldFail() {
		return Badge{"would fail", "wait"}
	}
	return VerdictBadge(m.Outcome, m.Reason)
}

// Confirmation says whether the requested traffic is served. A confirmation that the release still waits for does not
// count yet.
func Confirmation(v record.View, now time.Time) Badge {
	switch v.Confirmation {
	case traffic.InForce:
		if v.Definition != nil && slices.ContainsFunc(v.State.Holds(v.Definition, now), needsForce) {
			return Badge{"being confirmed", "wait"}
		}
		return Badge{"in force", "ok"}
	case traffic.Unconfirmed:
		return Badge{"unconfirmed", "wait"}
	case traffic.NotServed:
		return Badge{"not served yet", "wait"}
	}
	return Badge{}
}

func needsForce(h rollout.Hold) bool { _, ok := h.(rollout.NeedsForce); return ok }

// WorkloadBadge shows the progress of a Deployment.
func WorkloadBadge(p workload.Phase) Badge {
	switch p {
	case workload.Ready:
		return Badge{"ready", "ok"}
	case workload.Failed:
		return Badge{"failed", "bad"}
	default:
		return Badge{"on its way", "wait"}
	}
}

// Comparison is one metric in both arms, short enough for a row of a table.
type Comparison struct {
	Metric           string
	Verdict          Badge
	Canary, Baseline Arm
	// Ratio is empty while there is nothing to compare.
	Ratio string
	// Accepted is the ratio that is still accepted: "up to 1.2" or "at least 0.8".
	Accepted string
	// Worse and NoWorse show how far off the two decisions are.
	Worse, NoWorse   Meter
	Optional, DryRun bool
}

// Arm is the data of one arm of a metric.
type Arm struct{ Rate, Counts string }

// Meter shows evidence against how much is needed.
type Meter struct {
	Name, Text string
	// Filled is 0 to 100.
	Filled float64
	Class  string
}

// Compare makes such a row of one metric of a verdict.
func Compare(m judge.MetricVerdict) Comparison {
	c := Comparison{
		Metric: m.Metric, Verdict: MetricBadge(m), Canary: armOf(m, m.Canary), Baseline: armOf(m, m.Baseline),
		Accepted: "up to " + figures.Number(m.Margin), Optional: m.Optional, DryRun: m.DryRun,
		Worse:   NewMeter("evidence that it is worse", m.LogEvidence.Worse, m.LogEvidence.FailsFrom, "bad"),
		NoWorse: NewMeter("evidence that it is not worse by the margin", m.LogEvidence.NoWorse, m.LogEvidence.PassFrom, "ok"),
	}
	if m.Margin < 1 {
		c.Accepted = "at least " + figures.Number(m.Margin)
	}
	if m.Goal {
		c.NoWorse.Name = "evidence that it is better"
	}
	if m.Kind == judge.Objective {
		c.Baseline = Arm{Rate: figures.Percent(m.Baseline.Rate), Counts: "the objective"}
	}
	if Compared(m) {
		c.Ratio = figures.Number(m.Ratio)
	}
	return c
}

func armOf(m judge.MetricVerdict, t judge.Totals) Arm {
	if m.Kind == judge.Gauge {
		return Arm{Rate: figures.Number(t.Rate), Counts: "mean of its looks"}
	}
	if t.Total == 0 {
		return Arm{Rate: "–", Counts: "nothing yet"}
	}
	if m.Kind == judge.Mean {
		return Arm{Rate: figures.Number(t.Rate), Counts: "mean of " + figures.Grouped(t.Total)}
	}
	return Arm{Rate: figures.Percent(t.Rate), Counts: figures.Grouped(t.Bad) + " of " + figures.Grouped(t.Total)}
}

// NewMeter shows the logarithm of evidence relative to that of the evidence needed.
func NewMeter(name string, log, needed float64, class string) Meter {
	m := Meter{Name: name, Text: figures.Odds(log) + ", needed " + figures.Odds(needed), Class: class}
	if needed > 0 && log > 0 {
		m.Filled = 100 * min(1, log/needed)
	}
	return m
}
