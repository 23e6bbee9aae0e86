package engine

import (
	"net/url"
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
		arms.Baseline.Patterns = map[string]string{"pods": c.Arms.Stable.Deployment.Pods()}
	}
	return arms.Baseline
}
