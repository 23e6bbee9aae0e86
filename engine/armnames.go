package engine

import (
	"net/url"
	"regexp"
	"slices"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/traffic"
)

// nameServers adds the arms' addresses, for metrics that the servers export themselves: host and port as in the label
// instance, and the host alone, for a scrape of another port. The sets exchange their roles with each promotion while the
// labels of a scrape stay, so nothing else distinguishes the arms.
func nameServers(arms *analysis.Arms, t traffic.Target) {
	for _, arm := range []struct {
		names   *analysis.Names
		servers []string
	}{{&arms.Canary, t.Canary.Servers}, {&arms.Baseline, t.Stable.Servers}} {
		var instances, hosts []string
		for _, server := range arm.servers {
			u, err := url.Parse(server)
			if err != nil {
				continue // the router refuses it
			}
			hosts = append(hosts, u.Hostname())
			instances = append(instances, u.Host)
			if port := map[string]string{"http": "80", "h2c": "80", "https": "443"}[u.Scheme]; u.Port() == "" {
				instances = append(instances, u.Host+":"+port)
			}
		}
		if len(hosts) > 0 {
			slices.Sort(hosts)
			slices.Sort(instances)
			arm.names.Vars["instances"], arm.names.Vars["hosts"] = slices.Compact(instances), slices.Compact(hosts)
		}
	}
}

// mostGenerated is how much of a name Kubernetes keeps before the five characters that it adds to a pod's.
const mostGenerated = 58

// podsOf is a pattern for the names of a Deployment's pods, to which Kubernetes adds a hash and five characters. It cuts
// the end of a long name, and with it the dash between the two.
func podsOf(deployment string) string {
	if len(deployment) >= mostGenerated {
		return regexp.QuoteMeta(deployment[:mostGenerated]) + "[a-z0-9]{5}"
	}
	name := regexp.QuoteMeta(deployment) + "-[a-z0-9]+"
	if len(deployment)+len("-")+10+len("-") <= mostGenerated {
		return name + "-[a-z0-9]{5}"
	}
	return name + "(?:-[a-z0-9]{5})?"
}

// StableNames are what stable is called in its metrics before a rollout's first release, given its service there, except
// for its version, which only the cluster knows.
func StableNames(d *rollout.Definition, service string) analysis.Names {
	arms := analysis.Arms{Baseline: analysis.Names{Service: service, Vars: map[string][]string{"arm": {"stable"}}}}
	arms.Canary.Vars = map[string][]string{}
	nameServers(&arms, traffic.Target{Stable: d.Stable})
	for _, p := range d.Parameters {
		if p.Default != "" {
			arms.Baseline.Vars[p.Name] = []string{p.Default}
		}
	}
	if c := d.Cluster; c != nil {
		arms.Baseline.Patterns = map[string]string{"pods": podsOf(c.Arms.Stable.Deployment.Name)}
	}
	return arms.Baseline
}
