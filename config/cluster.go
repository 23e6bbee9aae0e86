package config

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/share"
	"github.com/serindev/serin/workload"
)

// Defaults for rollouts on Kubernetes.
const (
	defaultNamespace     = "default"
	defaultJobDeadline   = 15 * time.Minute
	defaultDeploy        = 10 * time.Minute
	defaultPromote       = 10 * time.Minute
	defaultPromoteAwait  = 24 * time.Hour
	defaultCapacityReady = 10 * time.Minute
)

// namespace returns own, or the arms' namespace if own is empty.
func (m *planner) namespace(own Namespace) string {
	return cmp.Or(string(own), string(m.spec.Stable.Namespace), m.route())
}

// route is the namespace of the route.
func (m *planner) route() string {
	route, _ := m.spec.Traffic.cluster()
	return route
}

// workloads fills in the Deployments of a rollout on Kubernetes, and its triggers.
func (m *planner) workloads() {
	if !m.cluster {
		return
	}
	d := &m.plan.Rollout
	arm := func(a *ArmSpec) workload.Arm {
		out := workload.Arm{Deployment: workloadName(m.namespace(a.Namespace), a.Deployment, a.StatefulSet)}
		if a.Service != nil {
			out.Service = string(a.Service.Name)
		}
		return out
	}
	d.Cluster = &rollout.Cluster{
		Arms:     workload.Arms{Stable: arm(&m.spec.Stable), Canary: arm(&m.spec.Canary)},
		Replicas: m.spec.Canary.Replicas.toReplicas(), Deadline: defaultCapacityReady,
		Copied: m.spec.Deployment != "", Kept: m.spec.Deployment != "" && !m.spec.ScaleDown, Leave: m.spec.Leave,
		Track: m.spec.Track != "", Old: m.old(),
	}
	for i := range m.spec.Triggers {
		trigger := &m.spec.Triggers[i]
		name := workloadName(m.namespace(trigger.Namespace), trigger.Deployment, trigger.StatefulSet)
		d.Cluster.Triggers = append(d.Cluster.Triggers, name)
	}
}

func (a Amount) toReplicas() workload.Replicas {
	if n, err := strconv.Atoi(string(a)); err == nil {
		return workload.Replicas{Count: n}
	}
	s, err := share.Parse(string(a))
	if err != nil { // it is empty, so that the replicas grow with the weight alone; anything else has been refused
		return workload.Replicas{}
	}
	return workload.Replicas{Share: s}
}

// manifest reads a Kubernetes object as JSON, from a file alongside the document or from the document itself. read
// checks its form; without it any YAML will do.
func (m *planner) manifest(at place, given Manifest, read func([]byte) (json.RawMessage, error)) json.RawMessage {
	if m.src.object != nil && given.Inline == nil {
		return nil // confine has refused it
	}
	b, err, who := []byte(given.Inline), error(nil), ""
	if given.Inline == nil {
		who = given.File + ": "
		b, err = readFile(m.absolutePath(given.File))
	}
	if err == nil && len(b) > maxFileSize {
		err = errors.New("too large for a manifest")
	}
	if err != nil {
		m.fail(at, "%s%s", who, err)
		return nil
	}
	if read == nil {
		read = anyYAML
	}
	out, err := read(b)
	if err != nil {
		m.fail(at, "%s%s", who, err)
		return nil
	}
	m.known(at, string(out), m.parameterNames())
	return out
}

func (m *planner) parameterNames() (out []string) {
	for i := range m.spec.Parameters {
		out = append(out, string(m.spec.Parameters[i].Name))
	}
	return out
}

func anyYAML(b []byte) (json.RawMessage, error) {
	long, err := yaml.YAMLToJSON(b)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := json.Compact(&out, long); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
