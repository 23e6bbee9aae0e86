package config

import (
	"strings"

	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/traefik"
)

// PreviewSpec gives the canary a route of its own, by host or by a property of the requests, until the promotion.
type PreviewSpec struct {
	// Name of the step.
	Name Name `json:"name,omitempty"`
	// Host is a host name of the preview's own, whose requests all go to the canary.
	Host string `json:"host,omitempty" jsonschema:"minLength=1"`
	// Match picks some of the host's requests or, without a host, some of the rollout's own.
	Match *MatcherSpec `json:"match,omitempty"`
}

func (p *PreviewSpec) named() Name { return p.Name }

func (p *PreviewSpec) check(c *checker, at place, s *RolloutSpec, _ []string) {
	if p.Match != nil {
		c.cohort(at.in("match"), *p.Match)
	}
	if p.Host == "" && p.Match == nil {
		c.fail(at, "expected host (such as preview.example.com), match (such as {header: {name: X-Preview, value: \"yes\"}}), or both")
	}
	for _, rule := range s.Traffic.rules() {
		if _, err := traefik.PreviewRule(rule, traffic.Preview{Host: p.Host}); p.Host != "" && err != nil {
			c.fail(at.in("host"), "%s", strings.TrimPrefix(err.Error(), "preview: "))
			break
		}
	}
	c.ownRoute(at, s)
	for i := range s.Steps {
		if s.Steps[i].Preview == p {
			break
		}
		if s.Steps[i].Promote != nil {
			c.fail(at.atKey(), "preview after promote: everybody has the version")
		}
	}
}

func (p *PreviewSpec) step(_ *planner, _ place, name string) rollout.Step {
	return rollout.Preview{Name: name, Route: p.toTraffic()}
}

func (p *PreviewSpec) toTraffic() traffic.Preview {
	out := traffic.Preview{Host: p.Host}
	if p.Match != nil {
		match := p.Match.toTraffic()
		out.Match = &match
	}
	return out
}
