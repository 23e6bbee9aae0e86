package config

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/serindev/serin/share"
	"github.com/serindev/serin/traffic"
)

// rollout checks the meaning of a rollout on its own; [resolver] checks the analyses that it names.
func (c *checker) rollout(s *RolloutSpec, l Loader) {
	params := c.parameters(s)
	if g := s.Traffic.gateway(); g != nil {
		g.check(c, s, l)
		c.alike(s)
		c.sameKind(s)
	}
	if s.Stable.Replicas != "" {
		c.fail(c.spec("stable", "replicas").atKey(), "belongs to the canary: stable keeps its replicas")
	}
	for i := range s.Triggers {
		if t := &s.Triggers[i]; s.Deployment == "" || t.Deployment != s.Deployment {
			c.either(c.spec("triggers", i), t.Deployment, t.StatefulSet)
		}
	}
	c.guards(s.Guards, l)
	c.calendar(s.Windows, s.Freezes)
	c.steps(s, params)
	c.returning(s, params)
	c.rollback(s.Rollback, params)
	c.keepOld(s)
	c.analysisNames(c.spec("analysis"), s.Analysis)
	c.sourceName(c.spec("prometheus"), s.Prometheus)
	c.about(s, params)
}

// parameters returns the names that are declared.
func (c *checker) parameters(s *RolloutSpec) []string {
	var names []string
	for i := range s.Parameters {
		p, at := &s.Parameters[i], c.spec("parameters", i)
		switch name := string(p.Name); {
		case slices.Contains(names, name):
			c.fail(at.in("name"), "%q is declared twice", name)
		case slices.Contains(armNames, name):
			c.fail(at.in("name"), "%q is a variable of Serin's own, which each version has a value for: take another name, such as tag", name)
		default:
			names = append(names, name)
		}
		if p.Required && p.Default != "" {
			c.fail(at.in("default"), "a required parameter has no use for a default")
		}
		if re, err := regexp.Compile(`^(?:` + string(p.Pattern) + `)$`); err == nil && p.Pattern != "" && !p.Required && !re.MatchString(p.Default) {
			what := quote(p.Default) + " does not match the pattern"
			if p.Default == "" {
				what = "without a default it would be empty, which the pattern does not match: set a default, or required: true"
			}
			c.fail(at.in("default"), "%s", what)
		}
	}
	return names
}

func (c *checker) analysisNames(at place, names Texts) {
	for i, n := range names {
		switch {
		case slices.Index(names, n) < i:
			c.fail(at.in(i), "%s is named twice", n)
		case n == noAnalysis && len(names) > 1:
			c.fail(at.in(i), "%s says that nothing is compared, and others say what is: leave one of them out", n)
		}
	}
}

func (c *checker) rollback(r *RollbackSpec, params []string) {
	if r == nil {
		return
	}
	at := c.spec("rollback")
	if drain, deadline := long(r.Drain, defaultDrain), long(r.Deadline, defaultRollbackDeadline); drain >= deadline {
		p := at.in("drain")
		if r.Drain == nil {
			p = at.in("deadline")
		}
		c.fail(p, "draining takes %s, and the deadline of the whole rollback is %s", show(drain), show(deadline))
	}
	for i := range r.Steps {
		if w := r.Steps[i].Webhook; w != nil {
			w.check(c, at.in("steps", i, "webhook"), nil, params)
			if w.OnFailure == "fail" {
				c.fail(at.in("steps", i, "webhook", "onFailure"), "nothing stops a rollback: it goes on, whatever the answer")
			}
		}
	}
}

// known rejects placeholders that are not declared.
func (c *checker) known(at place, text string, params []string) {
	names, err := placeholders(text)
	if err != nil {
		c.fail(at, "%s", err)
		return
	}
	for _, n := range names {
		if slices.Contains(params, n) {
			continue
		}
		if !identifier.MatchString(n) { // the text may be part of a secret, so it is not shown
			c.fail(at, "the text between ${ and } is not a parameter's name: expected %s", expectedIdentifier)
			continue
		}
		if len(params) == 0 {
			c.fail(at, "${%s}: the rollout declares no parameters. parameters: [{name: %s}] declares this one", n, n)
			continue
		}
		c.fail(at, "${%s} is not a declared parameter: %s", n, meant(n, params))
	}
}

// identifier is the name of a parameter.
var identifier = regexp.MustCompile(identifierPattern)

// weight checks a share that the gateway has to serve.
func (c *checker) weight(at place, w Share) bool {
	if _, _, err := traffic.Weights(share.Share(w)); err != nil {
		c.fail(at, "%s", strings.TrimPrefix(err.Error(), "weight "))
		return false
	}
	return true
}

// show prints a duration as users write it.
func show(d time.Duration) string {
	b, err := Duration(d).MarshalJSON()
	if err != nil {
		return d.String()
	}
	return strings.Trim(string(b), `"`)
}
