package config

import (
	"fmt"

	"github.com/serindev/serin/rollout"
)

// StepSpec is one step: a map with exactly one key that names what it does.
type StepSpec struct {
	// Job runs a Kubernetes Job.
	Job *JobSpec `json:"job,omitempty"`
	// Deploy brings a Deployment to an image or a template.
	Deploy *DeploySpec `json:"deploy,omitempty"`
	// Gate asks a human.
	Gate *GateSpec `json:"gate,omitempty"`
	// Preview gives the canary a route of its own, for those who look at it before users do.
	Preview *PreviewSpec `json:"preview,omitempty"`
	// Mirror sends the canary copies of users' requests, and throws its answers away.
	Mirror *MirrorSpec `json:"mirror,omitempty"`
	// AB compares both versions among a cohort of users.
	AB *ABSpec `json:"ab,omitempty"`
	// Gray raises the canary's share of all traffic step by step.
	Gray *GraySpec `json:"gray,omitempty"`
	// Promote makes the canary stable.
	Promote *PromoteSpec `json:"promote,omitempty"`
	// Watch goes on judging after promote.
	Watch *WatchSpec `json:"watch,omitempty"`
	// Webhook notifies another system.
	Webhook *WebhookSpec `json:"webhook,omitempty"`
	// Wait lets time pass.
	Wait *WaitSpec `json:"wait,omitempty"`
}

// stepSpec is implemented by the part of a document that is a step. Each kind has a file with its type and these methods,
// and a field in [StepSpec].
type stepSpec interface {
	// named is the name that the document gives it; empty for none.
	named() Name
	// check finds what is wrong with the step beyond its form.
	check(c *checker, at place, s *RolloutSpec, params []string)
	// step is the step of the plan, with its defaults.
	step(m *planner, at place, name string) rollout.Step
}

// kind returns the step's key and the value below it; nil if there is none, which the schema does not allow.
func (s *StepSpec) kind() (string, stepSpec) {
	switch {
	case s.Job != nil:
		return "job", s.Job
	case s.Deploy != nil:
		return "deploy", s.Deploy
	case s.Gate != nil:
		return "gate", s.Gate
	case s.Preview != nil:
		return "preview", s.Preview
	case s.Mirror != nil:
		return "mirror", s.Mirror
	case s.AB != nil:
		return "ab", s.AB
	case s.Gray != nil:
		return "gray", s.Gray
	case s.Promote != nil:
		return "promote", s.Promote
	case s.Watch != nil:
		return "watch", s.Watch
	case s.Webhook != nil:
		return "webhook", s.Webhook
	case s.Wait != nil:
		return "wait", s.Wait
	}
	return "", nil
}

// steps checks the plan as a whole, and each step.
func (c *checker) steps(s *RolloutSpec, params []string) {
	names, promoted, last := map[Name]int{}, -1, Share(0)
	for i := range s.Steps {
		step, at := &s.Steps[i], c.spec("steps", i)
		kind, spec := step.kind()
		if spec == nil {
			continue
		}
		name := spec.named()
		if first, twice := names[name]; twice && name != "" {
			c.fail(at.in(kind, "name"), "%q is the name of steps[%d] already", name, first)
		} else {
			names[name] = i
		}
		if promoted >= 0 {
			switch kind {
			case "promote":
				c.fail(at, "a second promote: steps[%d] makes the canary stable already", promoted)
			case "ab", "gray", "mirror":
				c.fail(at, "%s after promote: there is no canary any more", kind)
			}
		}
		if kind == "promote" {
			promoted = i
		}
		spec.check(c, at.in(kind), s, params)
		if step.Gray != nil {
			last = c.weights(at.in("gray", "weights"), step.Gray.Weights, last)
		}
	}
	if promoted < 0 {
		c.fail(c.spec("steps"), "there is no promote: a release has to make its canary stable in the end")
	}
}

func (c *checker) positive(at place, field string, d *Duration) {
	if d != nil && *d <= 0 {
		c.fail(at.in(field), "expected more than 0")
	}
}

// analysed requires the document to name analyses, or to say that nothing is compared; it reports whether something is.
func (c *checker) analysed(at place, names Texts, s *RolloutSpec) bool {
	where := at.in("analysis")
	c.analysisNames(where, names)
	if len(names) == 0 && len(s.Analysis) == 0 {
		c.fail(where, "is missing: name one here or at spec.analysis; traefik-web is built in, and none says that nothing is compared")
	}
	if s.judges(names) {
		return true
	}
	if len(names) == 0 {
		where = at
	}
	c.warn(where, "nothing is compared here, so nothing will roll this back by itself, however bad the canary is")
	return false
}

// noAnalysis, in place of an analysis's name, says that nothing is compared.
const noAnalysis = "none"

// judges tells whether a step with these analyses of its own compares something.
func (s *RolloutSpec) judges(own Texts) bool {
	if len(own) == 0 {
		own = s.Analysis
	}
	return len(own) != 1 || own[0] != noAnalysis
}

// steps fills in names and defaults.
func (m *planner) steps() {
	names := stepNames(m.spec.Steps)
	for i := range m.spec.Steps {
		if kind, spec := m.spec.Steps[i].kind(); spec != nil {
			m.plan.Rollout.Steps = append(m.plan.Rollout.Steps, spec.step(m, m.checker.spec("steps", i, kind), names[i]))
		}
	}
}

// stepNames gives every step a name of its own: the one that it has, or its kind, with a number where that is taken.
func stepNames(steps []StepSpec) []string {
	taken, out := map[string]bool{}, make([]string, len(steps))
	for i := range steps {
		if _, spec := steps[i].kind(); spec != nil {
			out[i] = string(spec.named())
		}
		taken[out[i]] = true
	}
	for i := range steps {
		if out[i] != "" {
			continue
		}
		kind, _ := steps[i].kind()
		name := kind
		for n := 2; taken[name]; n++ {
			name = fmt.Sprintf("%s-%d", kind, n)
		}
		out[i], taken[name] = name, true
	}
	return out
}

func policy(p string) rollout.Policy {
	if p == "" {
		return defaultInconclusive
	}
	return rollout.Policy(p)
}
