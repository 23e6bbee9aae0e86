package config

import (
	"time"

	"github.com/serindev/serin/share"
)

// kind is the key of a step, and its name if it has one.
func (s *StepSpec) kind() (kind string, name Name) {
	switch {
	case s.Job != nil:
		return "job", s.Job.Name
	case s.Deploy != nil:
		return "deploy", s.Deploy.Name
	case s.Gate != nil:
		return "gate", s.Gate.Name
	case s.AB != nil:
		return "ab", s.AB.Name
	case s.Gray != nil:
		return "gray", s.Gray.Name
	case s.Promote != nil:
		return "promote", s.Promote.Name
	case s.Webhook != nil:
		return "webhook", s.Webhook.Name
	case s.Wait != nil:
		return "wait", s.Wait.Name
	}
	return "", ""
}

// steps checks the plan as a whole, and each step.
func (c *checker) steps(s *RolloutSpec, params []string) {
	names, promoted, last := map[Name]int{}, -1, Share(0)
	for i := range s.Steps {
		step, at := &s.Steps[i], c.spec("steps", i)
		kind, name := step.kind()
		if first, twice := names[name]; twice && name != "" {
			c.fail(at.in(kind, "name"), "%q is the name of steps[%d] already", name, first)
		} else {
			names[name] = i
		}
		if promoted >= 0 {
			switch kind {
			case "promote":
				c.fail(at, "a second promote: steps[%d] makes the canary stable already", promoted)
			case "ab", "gray":
				c.fail(at, "%s after promote: there is no canary any more", kind)
			}
		}
		if kind == "promote" {
			promoted = i
		}
		c.step(at.in(kind), step, s, params)
		if step.Gray != nil {
			last = c.weights(at.in("gray", "weights"), step.Gray.Weights, last)
		}
	}
	if promoted < 0 {
		c.fail(c.spec("steps"), "there is no promote: a release that never makes its canary stable does not end well")
	}
}

func (c *checker) step(at place, step *StepSpec, s *RolloutSpec, params []string) {
	switch {
	case step.Job != nil:
		c.positive(at, "deadline", step.Job.Deadline)
	case step.Deploy != nil:
		c.deploy(at, step.Deploy, params)
	case step.Gate != nil:
		if e := step.Gate.Expires; e != nil {
			c.positive(at.in("expires"), "after", &e.After)
		}
	case step.AB != nil:
		c.ab(at, step.AB, s)
	case step.Gray != nil:
		c.gray(at, step.Gray, s)
	case step.Promote != nil:
		c.promote(at, step.Promote, s)
	case step.Webhook != nil:
		c.webhook(at, step.Webhook, params)
	case step.Wait != nil:
		c.positive(at, "for", &step.Wait.For)
	}
}

func (c *checker) positive(at place, field string, d *Duration) {
	if d != nil && *d <= 0 {
		c.fail(at.in(field), "expected more than 0")
	}
}

func (c *checker) deploy(at place, d *DeploySpec, params []string) {
	c.positive(at, "deadline", d.Deadline)
	if (len(d.Image) == 0) == (d.Template == "") {
		c.fail(at, "expected one of image (by container) or template")
	}
	for container, image := range d.Image {
		c.known(at.in("image", container), image, params)
	}
}

func (c *checker) ab(at place, ab *ABSpec, s *RolloutSpec) {
	c.cohort(at.in("cohort"), ab.Cohort)
	if split := at.in("split"); c.weight(split, ab.Split) {
		switch ab.Split {
		case 0:
			c.fail(split, "at 0%% nobody would be on the canary")
		case 1:
			c.warn(split, "the arms are not randomised: the whole cohort is on the canary, and is compared with everybody else")
		}
	}
	c.analysed(at, ab.Analysis, s)
	d := ab.Decide
	if d == nil {
		d = &DecideABSpec{}
	}
	c.positive(at.in("decide"), "max", d.Max)
	if least, most := long(d.Min, defaultDecideLeast), long(d.Max, defaultDecideMost); least > most {
		p := at.in("decide", "min")
		if d.Min == nil {
			p = at.in("decide", "max")
		}
		c.fail(p, "min is %s and max is %s: it could never be decided", show(least), show(most))
	}
}

func (c *checker) gray(at place, g *GraySpec, s *RolloutSpec) {
	c.analysed(at, g.Analysis, s)
	var d DecideGraySpec
	if g.Decide != nil {
		d = *g.Decide
	}
	c.positive(at.in("decide"), "max", d.Max)
	hold, most := long(g.Hold, defaultHold), long(d.Max, defaultDecideMost)
	if all := hold * time.Duration(len(g.Weights)); all > most || hold > most {
		p := at.in("hold")
		if g.Hold == nil {
			p = at.in("decide", "max")
		}
		c.fail(p, "%s of %s take longer than decide.max, %s: it could never be decided",
			count(len(g.Weights), "weight", "weights"), show(hold), show(most))
	}
}

// weights returns the last weight, for the next gray step.
func (c *checker) weights(at place, weights []Share, last Share) Share {
	for i, w := range weights {
		p := at.in(i)
		switch {
		case !c.weight(p, w):
		case w == 0:
			c.fail(p, "at 0%% nobody would be on the canary")
		case w == 1:
			c.fail(p, "weights stay below 100%%: promote does the rest")
		case w <= last:
			c.fail(p, "%s after %s: weights have to grow", share.Share(w), share.Share(last))
		}
		last = max(last, w)
	}
	return last
}

// analysed demands that something says what is compared.
func (c *checker) analysed(at place, names Texts, s *RolloutSpec) {
	c.analysisNames(at.in("analysis"), names)
	if len(names) == 0 && len(s.Analysis) == 0 {
		c.fail(at.in("analysis"), "is missing: name one here or at spec.analysis; traefik-web is built in")
	}
}

func (c *checker) promote(at place, p *PromoteSpec, s *RolloutSpec) {
	c.positive(at, "deadline", p.Deadline)
	if _, ok := s.Traffic.cluster(); ok {
		return
	}
	for _, e := range at.node.entries {
		if e.key != "name" {
			c.fail(at.in(e.key).atKey(), "belongs to Kubernetes: without it the two sets of servers exchange their roles")
		}
	}
}
