package screen

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/serindev/serin/figures"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/tell"
	"github.com/serindev/serin/workload"
)

// detail shows one rollout in full.
func (m *model) detail(v record.View) []string {
	out := m.headline(v)
	out = append(out, m.troubles(v)...)
	if v.Release == nil {
		return out
	}
	out = append(out, m.plan(v)...)
	out = append(out, m.weight(v)...)
	out = append(out, m.arms(v)...)
	out = append(out, m.metrics(v)...)
	return append(out, m.happened(v)...)
}

// headline says how the release is doing, what a person is asked, and what comes next.
func (m *model) headline(v record.View) []string {
	h := tell.HeadlineOf(v, m.now)
	class, ok := classes[h.Class]
	if !ok {
		class = classes[""]
	}
	var out []string
	text := class.mark + " " + line(h.Text)
	if since := m.since(h); since != "" {
		text += " (" + since + ")"
	}
	for _, l := range wrap(text, m.width) {
		out = append(out, m.paint(m.paint(l, class.style), bold))
	}
	add := func(text string, s style) {
		if text != "" {
			for _, l := range wrap(text, m.width-2) {
				out = append(out, "  "+m.paint(l, s))
			}
		}
	}
	add(line(h.Next), plain)
	for _, o := range tell.Answers(v) {
		add("["+keyOf[o.Deed]+"] "+line(o.Button), bold)
	}
	if v.Gate != "" {
		add("Who may answer: "+line(strings.Join(v.Approvers, ", ")), plain)
	}
	if v.Release != nil {
		what := "Release " + v.Release.ID
		if version := rollout.Version(v.State.Parameters); version != "" {
			what += " of " + line(version)
		}
		what += ", started by " + line(v.Release.StartedBy) + " " + figures.Roughly(m.now.Sub(v.Release.StartedAt)) + " ago"
		if v.State.Ended() {
			what += fmt.Sprintf(", took %s", figures.Span(v.State.EndedAt.Sub(v.Release.StartedAt)))
		}
		add(what, dim)
	}
	about := v.About.Words()
	if v.About.Owner != "" {
		about = append([]string{"Owner " + v.About.Owner}, about...)
	}
	add(line(strings.Join(about, "  ")), dim)
	for _, l := range v.About.Links {
		add(line(l.Name+": "+l.URL), plain)
	}
	return out
}

// troubles lists everything that hinders Serin or the release.
func (m *model) troubles(v record.View) []string {
	var out []string
	add := func(name string, texts []string, s style) {
		for _, text := range texts {
			for _, l := range wrap(name+": "+line(text), m.width-2) {
				out = append(out, "  "+m.paint(l, s))
			}
		}
	}
	add("Trouble", v.Trouble, red)
	add("Differs", v.Differences, amber)
	if !v.Declared {
		add("Declared", []string{"no longer: its document is gone"}, amber)
	}
	return out
}

// title begins a section.
func (m *model) title(text string) []string { return []string{"", m.paint(text, bold)} }

// plan shows a line for each step, with its weights.
func (m *model) plan(v record.View) []string {
	out := m.title("Plan")
	for _, s := range tell.PlanOf(v, m.events[v.Release.ID], m.now) {
		text := steps[s.Status] + " " + line(s.Name)
		if !strings.EqualFold(s.Kind, s.Name) {
			text += ", " + kindWords(s.Kind)
		}
		if s.Detail != "" && len(s.Weights) == 0 {
			text += ": " + line(s.Detail)
		}
		var weights []string
		for _, w := range s.Weights {
			one := steps[w.Status] + " " + w.Weight
			if w.Took != "" {
				one += " " + w.Took
			}
			weights = append(weights, one)
		}
		if len(weights) > 0 {
			text += ":  " + strings.Join(weights, "   ")
		}
		if s.Took != "" {
			text += "  (" + s.Took + ")"
		}
		p := map[string]style{tell.StepDone: green, tell.StepNow: bold, tell.StepStopped: red, tell.StepToDo: dim}[s.Status]
		for i, l := range wrap(text, m.width-4) {
			if i > 0 {
				l = "  " + l
			}
			out = append(out, "  "+m.paint(l, p))
		}
	}
	return out
}

// kindWords writes a kind of step for the middle of a line; abbreviations stay in capitals.
func kindWords(kind string) string {
	if len(kind) > 1 && kind[1] >= 'a' && kind[1] <= 'z' {
		return strings.ToLower(kind[:1]) + kind[1:]
	}
	return kind
}

// weight shows the canary's share, as requested and as observed.
func (m *model) weight(v record.View) []string {
	if v.State.Ended() {
		return nil
	}
	asked := tell.Confirmation(v, m.now)
	words := v.Target.Weight.String()
	if c := v.Target.Cohort; c != nil {
		words += " + A/B " + c.Split.String()
	}
	if asked.Text != "" {
		words += ", " + asked.Text
	}
	width := min(40, m.width-8-2-ansi.StringWidth(words)-4)
	out := m.title("Share of the traffic on the new version")
	row := func(name string, part float64, words string, s style) {
		if width >= 8 {
			out = append(out, "  "+pad(name, 8)+m.paint(bar(part, width), s)+"  "+words)
			return
		}
		out = append(out, "  "+pad(name, 8)+words)
	}
	row("asked", float64(v.Target.Weight), words, blue)
	if verdict := v.LastVerdict(); verdict != nil && verdict.SampleRatio != nil {
		r := verdict.SampleRatio
		p := green
		if r.Alarm {
			p = red
		}
		row("served", r.Share, fmt.Sprintf("%s of %s requests", figures.Percent(r.Share), figures.Grouped(r.Canary+r.Baseline)), p)
	}
	return out
}

// arms shows what both versions run, and what is wrong with their pods.
func (m *model) arms(v record.View) []string {
	arms := tell.Arms(v, m.before[v.Release.ID])
	if len(arms) == 0 {
		return nil
	}
	out := m.title("What runs")
	names, versions := 0, 0
	for _, a := range arms {
		names, versions = max(names, ansi.StringWidth(a.Name)), max(versions, ansi.StringWidth(line(a.Version)))
	}
	versions = min(versions, max(8, m.width/4))
	for _, a := range arms {
		text := pad(a.Name, names) + "  "
		if versions > 0 {
			text += pad(line(a.Version), versions) + "  "
		}
		indent := strings.Repeat(" ", ansi.StringWidth(text))
		if 2*len(indent) > m.width { // too little room: the images go below, so that they are not cut off
			for _, l := range wrap(strings.TrimSpace(a.Name+"  "+line(a.Version)), m.width-2) {
				out = append(out, "  "+l)
			}
			text, indent = "    ", "    "
		}
		add := func(first, text string, p style) {
			for i, l := range wrap(text, m.width-4-len(indent)) {
				if i > 0 {
					first = indent
				}
				out = append(out, "  "+m.paint(strings.TrimRight(first+l, " "), p))
			}
		}
		ready := a.State == tell.WorkloadBadge(workload.Ready)
		what := line(a.Workload + "  " + strings.Join(a.Images, "  "))
		if ready {
			what += "  " + classes[a.State.Class].mark + " " + a.State.Text
		}
		if text != indent || what != "" {
			add(text, what, plain)
		}
		if a.State.Text != "" && !ready {
			add(indent, classes[a.State.Class].mark+" "+line(a.State.Text+tell.Colon(a.Why)), classes[a.State.Class].style)
		}
	}
	return out
}

// wide is how many cells the table of metrics needs; on a narrower screen each metric gets its own lines.
const wide = 88

// metrics shows both arms of each metric, and how far off a decision is.
func (m *model) metrics(v record.View) []string {
	verdict := v.LastVerdict()
	if verdict == nil || len(verdict.Metrics) == 0 {
		return nil
	}
	out := m.title(fmt.Sprintf("Is it worse? Look %d says %s", verdict.Look, line(tell.VerdictBadge(verdict.Outcome, verdict.Reason).Text)))
	names := 6
	for _, metric := range verdict.Metrics {
		names = max(names, ansi.StringWidth(line(metric.Metric)))
	}
	names = min(names, max(8, m.width/4))
	if m.width >= wide {
		out = append(out, m.paint("  "+pad("", names)+"  "+pad("new version", 24)+pad("version before", 24)+pad("ratio", 8)+"accepted", dim))
	}
	for _, metric := range verdict.Metrics {
		c := tell.Compare(metric)
		class := classes[c.Verdict.Class]
		words := c.Verdict.Text
		if c.DryRun {
			words += ", dry run"
		} else if c.Optional {
			words += ", optional"
		}
		if m.width >= wide {
			out = append(out, "  "+m.paint(pad(line(c.Metric), names), bold)+"  "+pad(armWords(c.Canary), 24)+
				pad(armWords(c.Baseline), 24)+pad(c.Ratio, 8)+c.Accepted,
				"  "+pad("", names)+"  "+m.paint(pad(class.mark+" "+words, 24), class.style)+m.meters(c, min(16, (m.width-names-58)/2)))
			continue
		}
		out = append(out, "  "+m.paint(line(c.Metric), bold)+"  "+m.paint(class.mark+" "+words, class.style),
			"    new version     "+armWords(c.Canary), "    version before  "+armWords(c.Baseline))
		if c.Ratio != "" {
			out = append(out, "    ratio           "+c.Ratio+", accepted "+c.Accepted)
		}
		out = append(out, "    "+m.meters(c, min(12, (m.width-34)/2)))
	}
	return out
}

func armWords(a tell.Arm) string { return a.Rate + "  " + a.Counts }

// meters shows how far the evidence is from a fail, and from a pass.
func (m *model) meters(c tell.Comparison, width int) string {
	one := func(name string, t tell.Meter, s style) string {
		text := fmt.Sprintf("%.0f%%", t.Filled)
		if width >= 3 {
			text = m.paint(bar(t.Filled/100, width), s) + " " + text
		}
		return name + " " + text
	}
	return one("worse", c.Worse, red) + "   " + one("no worse", c.NoWorse, green)
}

// mostEvents is how many events are shown; serin history has all.
const mostEvents = 30

// happened lists the events, the newest first.
func (m *model) happened(v record.View) []string {
	events := m.events[v.Release.ID]
	if len(events) == 0 {
		return nil
	}
	out := m.title("What happened")
	left := len(events) - mostEvents
	if left > 0 {
		events = events[left:]
	}
	for _, e := range slices.Backward(events) {
		w := tell.Event(e, v.Steps)
		at := e.Head().At.Local()
		when := at.Format(time.TimeOnly)
		if now := m.now.Local(); at.YearDay() != now.YearDay() || at.Year() != now.Year() {
			when = at.Format("2 Jan 15:04")
		}
		p := map[tell.Tone]style{tell.Good: green, tell.Bad: red, tell.Warning: amber}[w.Tone]
		for k, l := range wrap(line(w.Line(e.Head().By)), m.width-16) {
			if k > 0 {
				when = ""
			}
			out = append(out, "  "+m.paint(pad(when, 13), dim)+m.paint(l, p))
		}
	}
	if left > 0 {
		out = append(out, m.paint(fmt.Sprintf("  and %d before: %s history %s", left, m.o.Command, v.Release.ID), dim))
	}
	return out
}
