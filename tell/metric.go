package tell

import (
	"fmt"
	"math"
	"strings"

	"github.com/serindev/serin/figures"
	"github.com/serindev/serin/judge"
)

// plainly is explainMetric for readers who have never heard of canaries and evidence: what was counted, how the two
// compare, and how certain that is.
func plainly(m judge.MetricVerdict) string {
	if !Compared(m) {
		return plainArms(m) + " There is nothing to compare yet: " + Reason(m.Reason) + "."
	}
	moved := ""
	if q := Quantiles(m); q != "" {
		moved = " " + Capital(q) + "."
	}
	return plainArms(m) + moved + " " + plainRatio(m) + " " + plainOutcome(m)
}

// Compared reports whether both sides have data.
func Compared(m judge.MetricVerdict) bool {
	switch m.Kind {
	case judge.Gauge:
		return m.Ratio > 0
	case judge.Objective:
		return m.Ratio > 0 && m.Canary.Total > 0
	case judge.Counts, judge.Histogram, judge.Mean:
	}
	return m.Ratio > 0 && m.Canary.Total > 0 && m.Baseline.Total > 0
}

func plainArms(m judge.MetricVerdict) string {
	const canary, baseline = "On the canary, the new version, ", "on the baseline, which it is compared with, "
	what := "counted as " + m.Metric
	switch m.Kind {
	case judge.Mean:
		return fmt.Sprintf("%sthe mean of %s values of %s is %s; %sthat of %s is %s.", canary, figures.Grouped(m.Canary.Total), m.Metric,
			figures.Number(m.Canary.Rate), baseline, figures.Grouped(m.Baseline.Total), figures.Number(m.Baseline.Rate))
	case judge.Gauge:
		return fmt.Sprintf("%sthe mean of %s is %s; %s%s.", canary, m.Metric, figures.Number(m.Canary.Rate), baseline,
			figures.Number(m.Baseline.Rate))
	case judge.Objective:
		return fmt.Sprintf("%s%s %s; the objective is %s.", canary, counted(m.Canary), what, figures.Percent(m.Baseline.Rate))
	case judge.Histogram:
		what = "were above " + figures.Number(m.Bound)
	case judge.Counts:
		what = "counted as " + m.Named()
	}
	return fmt.Sprintf("%s%s %s; %s%s.", canary, counted(m.Canary), what, baseline, counted(m.Baseline))
}

// plainRatio compares the arms, and the ratio with what is accepted.
func plainRatio(m judge.MetricVerdict) string {
	accepted := "up to %s times is accepted"
	if m.Margin < 1 {
		accepted = "no less than %s times is accepted"
	}
	return fmt.Sprintf("That is %s times as much; "+accepted+".", figures.Number(m.Ratio), figures.Number(m.Margin)) + leading(m)
}

// leading says, as a sentence after another, what a fail rests on where the whole does not show it: a fault that began late
// can be far beyond the margin while the whole is not. Empty where the whole is beyond the margin as well.
func leading(m judge.MetricVerdict) string {
	beyond := m.Ratio > m.Margin
	if m.Margin < 1 {
		beyond = m.Ratio < m.Margin
	}
	if m.Outcome != judge.Fail || !(m.Leading > 0) || beyond || figures.Number(m.Leading) == figures.Number(m.Ratio) {
		return ""
	}
	return fmt.Sprintf(" Since it got worse, it is %s times.", figures.Number(m.Leading))
}

// plainOutcome says how certain the outcome is. Against a true hypothesis, an e-value of 200 occurs in at most one of
// 200 releases, however often one looks (Ville's inequality).
func plainOutcome(m judge.MetricVerdict) string {
	l := m.LogEvidence
	switch m.Outcome {
	case judge.Fail:
		who := "that is no worse"
		if m.Kind == judge.Mean { // its bets are against the margin itself
			who = "within what is accepted"
		}
		then := "it goes back"
		if m.DryRun {
			then = "it would go back, but this is a dry run"
		}
		return fmt.Sprintf("A canary %s would look as bad as this in at most one of %s releases; from one of %s on, %s.",
			who, oneOf(l.Worse), oneOf(l.FailsFrom), then)
	case judge.Pass:
		who := "that is worse than accepted"
		switch {
		case m.Goal:
			who = "that is no better"
		case m.Rules > 0:
			who = map[bool]string{false: "that is ", true: "with "}[m.Rules < 1] + howBad(m.Rules) +
				", which is what the available time can rule out,"
		}
		return fmt.Sprintf("A canary %s would look as good as this in at most one of %s releases; from one of %s on, it passes.",
			who, oneOf(l.NoWorse), oneOf(l.PassFrom))
	case judge.Inconclusive:
	}
	if m.Reason != judge.Undecided {
		return "It is not decided: " + Reason(m.Reason) + "."
	}
	return "It is not decided yet: by what is known so far, " + plainBounds(m) + "." + few(m)
}

// howBad words the ratio that a pass rules out; it is below 1 if fewer is worse.
func howBad(ratio float64) string {
	if ratio < 1 {
		return "a fall to " + figures.Times(ratio) + " times"
	}
	return figures.Times(ratio) + " times as bad"
}

// sure is [plainOutcome] if there is a comparison.
func sure(m judge.MetricVerdict) string {
	if !Compared(m) {
		return ""
	}
	return plainOutcome(m)
}

// briefly says what was counted and how the two compare, for people in a hurry.
func briefly(m judge.MetricVerdict) string {
	if !Compared(m) {
		return Sentence("nothing to compare yet: " + Reason(m.Reason))
	}
	if m.Outcome == judge.Inconclusive && m.Reason != judge.Undecided { // an estimate from so little data would only confuse
		return brieflyArms(m) + " " + Sentence(Reason(m.Reason))
	}
	bound := "up to " + figures.Number(m.Margin) + " is accepted"
	switch {
	case m.Outcome == judge.Pass && m.Rules > 0: // it may lie beyond the margin, which this pass does not rule out
		bound = figures.Times(m.Rules) + " or more is ruled out"
		if m.Rules < 1 {
			bound = figures.Times(m.Rules) + " or less is ruled out"
		}
	case m.Margin < 1:
		bound = "no less than " + figures.Number(m.Margin) + " is accepted"
	}
	return brieflyArms(m) + " That is " + figures.Number(m.Ratio) + " times as much; " + bound + "." + leading(m)
}

func brieflyArms(m judge.MetricVerdict) string {
	rate := func(t judge.Totals) string {
		return fmt.Sprintf("%s (%s of %s)", figures.Percent(t.Rate), figures.Grouped(t.Bad), figures.Grouped(t.Total))
	}
	both := fmt.Sprintf("new version %s, before %s.", rate(m.Canary), rate(m.Baseline))
	switch m.Kind {
	case judge.Gauge, judge.Mean:
		return fmt.Sprintf("New version %s on average, before %s.", figures.Number(m.Canary.Rate), figures.Number(m.Baseline.Rate))
	case judge.Objective:
		return fmt.Sprintf("New version %s; the objective is %s.", rate(m.Canary), figures.Percent(m.Baseline.Rate))
	case judge.Histogram:
		return "Above " + figures.Number(m.Bound) + ": " + both
	case judge.Counts:
		if m.By != "" {
			return Capital(m.Part()) + ": " + both
		}
	}
	return Capital(both)
}

func plainBounds(m judge.MetricVerdict) string {
	switch lower, upper := m.Bounded(); {
	case lower && upper:
		return fmt.Sprintf("it can be anything from %s to %s times", figures.Number(m.Lower), figures.Number(m.Upper))
	case lower:
		return fmt.Sprintf("it can be anything from %s times on", figures.Number(m.Lower))
	case upper:
		return fmt.Sprintf("it can be anything up to %s times", figures.Number(m.Upper))
	}
	return "it can be anything"
}

// Quantiles says how a histogram's quantiles have moved: p99 went from 0.24 to 0.41, at least 0.31. Empty without any.
func Quantiles(m judge.MetricVerdict) string {
	var parts []string
	for _, q := range m.Quantiles {
		text := fmt.Sprintf("%s went from %s to %s", q.Name(), quantile(q.Baseline), quantile(q.Canary))
		switch c := q.Canary; {
		case c.Lower > 0 && c.Upper > 0:
			text += fmt.Sprintf(", at least %s and at most %s", figures.Number(c.Lower), figures.Number(c.Upper))
		case c.Lower > 0:
			text += ", at least " + figures.Number(c.Lower)
		case c.Upper > 0:
			text += ", at most " + figures.Number(c.Upper)
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "; ")
}

func quantile(b judge.QuantileBand) string {
	if b.Beyond {
		return "more than " + figures.Number(b.Value)
	}
	return figures.Number(b.Value)
}

// few says what a decision takes that time does not bring, in further sentences; empty if nothing but time holds it back.
func few(m judge.MetricVerdict) string {
	out := FewUsers(m)
	if m.Pods != nil {
		out += " " + FewPods(*m.Pods)
	}
	return out
}

// FewPods says how many pods the canary needs next to those of stable, in sentences.
func FewPods(p judge.Pods) string {
	out := fmt.Sprintf("Stable's %s pods differ by %s, so a version with few of them differs from stable "+
		"without being at fault. ", figures.Grouped(p.Stable), figures.Percent(p.Spread))
	if p.Canary == 0 {
		return out + "Time does not tell the two apart, and no number of the canary's pods does: stable has too few, or the margin is too narrow."
	}
	return out + fmt.Sprintf("Time does not tell the two apart: that takes about %s pods of the canary.", figures.Rounded(p.Canary))
}

// FewUsers is a further sentence on how many users a decision takes, if chance among a few of them may explain the
// difference; empty if that holds nothing back.
func FewUsers(m judge.MetricVerdict) string {
	if m.Users <= 0 {
		return ""
	}
	return fmt.Sprintf(" Users keep their version here, and a few of them may make this difference by themselves: it "+
		"takes about %s users with bad requests to tell.",
		figures.Rounded(m.Users))
}

// oneOf is exp(log), at least 1, as a number of releases.
func oneOf(log float64) string {
	if e := math.Exp(max(log, 0)); e <= figures.MostOdds {
		return figures.Rounded(e)
	}
	return "more than 1,000,000"
}
