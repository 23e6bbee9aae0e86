package config

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// parsed is one document of a file. Exactly one of the kinds is set, or none if the form is wrong.
type parsed struct {
	document
	kind string
	// name is unique among the documents of the kind: see [document.identity].
	name string

	daemon   *DaemonDocument
	analysis *AnalysisDocument
	rollout  *RolloutDocument
	warnings Errors
	// flawed: the form is right, the meaning is not.
	flawed bool
}

// formed reports whether the document could be decoded.
func (p *parsed) formed() bool { return p.daemon != nil || p.analysis != nil || p.rollout != nil }

// checker collects what is wrong with one document.
type checker struct {
	document
	errs, warnings Errors
	// shorter: steps are those of the shorter plan, for a version that returns.
	shorter bool
}

func (c *checker) spec(path ...any) place {
	at := c.at("spec")
	if c.shorter && len(path) > 0 && path[0] == "steps" {
		at = at.in(returning)
	}
	return at.in(path...)
}

func (c *checker) fail(p place, format string, args ...any) {
	c.errs = append(c.errs, p.errorf(format, args...))
}

func (c *checker) warn(p place, format string, args ...any) {
	c.warnings = append(c.warnings, p.errorf(format, args...))
}

// decode checks one document: its form, then its meaning. References to other documents come later, in [resolver].
func (d document) decode(l Loader) (parsed, Errors) {
	p := parsed{document: d}
	if errs := d.envelope(); errs != nil {
		return p, errs
	}
	d.emptySteps()
	if errs := d.violations(); errs != nil {
		return p, errs.sorted()
	}
	b, err := json.Marshal(d.root.value())
	if err != nil {
		return p, Errors{d.at().errorf("cannot be read: %s", err)}
	}
	c := &checker{document: d}
	kind, _ := d.root.get("kind")
	p.kind = kind.value.text
	switch p.kind {
	case KindDaemon:
		p.daemon = decodeInto[DaemonDocument](c, b)
		c.daemon(&p.daemon.Spec)
	case KindAnalysis:
		p.analysis = decodeInto[AnalysisDocument](c, b)
		p.name = d.identity(p.analysis.Metadata.Name)
		c.undotted(p.analysis.Metadata.Name)
		c.analysis(&p.analysis.Spec, string(p.analysis.Metadata.Name))
	case KindRollout:
		p.rollout = decodeInto[RolloutDocument](c, b)
		p.name = d.identity(p.rollout.Metadata.Name)
		c.undotted(p.rollout.Metadata.Name)
		if d.src.object != nil {
			c.confine(&p.rollout.Spec, l)
		}
		if spec := p.rollout.Spec.complete(); c.single(&spec) {
			c.rollout(&spec, l)
		}
	}
	p.warnings, p.flawed = c.warnings, len(c.errs) > 0
	return p, c.errs.sorted()
}

// emptySteps reads "promote:" and "gate:" with nothing after them as {}, since people write them that way.
func (d document) emptySteps() {
	for _, steps := range []place{d.at("spec", "steps"), d.at("spec", returning, "steps")} {
		if steps.gone {
			continue
		}
		for _, step := range steps.node.list {
			for i, e := range step.entries {
				if (e.key == "promote" || e.key == "gate") && e.value.what == isScalar && e.value.scalar == nil {
					step.entries[i].value = &node{line: e.line, column: e.column, what: isMap, size: 1, deep: 1}
				}
			}
		}
	}
}

func decodeInto[T any](c *checker, b []byte) *T {
	v := new(T)
	if err := json.Unmarshal(b, v); err != nil { // the schema let it pass: whole numbers beyond 64 bits, for example
		c.fail(c.at(), "cannot be read: %s", err)
	}
	return v
}

// envelope checks the fields that decide which part of the schema applies to the rest.
func (d document) envelope() Errors {
	if d.root.what != isMap {
		return Errors{d.at().errorf("expected a document with apiVersion, kind, metadata and spec, got %s", d.at().describe())}
	}
	version, kind := d.at("apiVersion"), d.at("kind")
	if version.gone && kind.gone && d.ofTraefik() {
		return Errors{d.at().errorf("this is a file of Traefik's: keep such files in a folder that Serin does not " +
			"read, and let traffic.traefikFile.path lead there")}
	}
	if field := d.adopted(); field != "" {
		return Errors{kind.errorf("this is a route of yours: keep it where the cluster gets it from, and name it in a rollout's %s", field)}
	}
	var out Errors
	if version.gone {
		out = append(out, version.errorf("is missing: expected %s", APIVersion))
	} else if version.node.text != APIVersion {
		out = append(out, version.errorf("expected %s, got %s", APIVersion, version.describe()))
	}
	if kind.gone {
		out = append(out, kind.errorf("is missing: expected %s", either(kinds)))
	} else if k := kind.node.text; k != KindDaemon && k != KindAnalysis && k != KindRollout {
		out = append(out, kind.errorf("%s", enum(kind, []any{KindDaemon, KindAnalysis, KindRollout})))
	}
	return out
}

// ofTraefik reports whether this is dynamic configuration of Traefik's, which a rollout may have written next to itself.
func (d document) ofTraefik() bool {
	return len(d.root.entries) > 0 && !slices.ContainsFunc(d.root.entries, func(e entry) bool {
		return !slices.Contains([]string{"http", "tcp", "udp", "tls"}, e.key)
	})
}

// adopted returns the field of a rollout that names objects such as this one; it is empty if none does.
func (d document) adopted() string {
	version, kind := d.at("apiVersion"), d.at("kind")
	if version.gone || kind.gone {
		return ""
	}
	group, _, _ := strings.Cut(version.node.text, "/")
	return map[[2]string]string{
		{"traefik.io", "IngressRoute"}: "traffic.traefik.ingressRoute", {"traefik.io", "IngressRouteTCP"}: "traffic.traefik.ingressRouteTCP",
		{"gateway.networking.k8s.io", "HTTPRoute"}: "traffic.gatewayAPI.httpRoute",
		{"gateway.networking.k8s.io", "GRPCRoute"}: "traffic.gatewayAPI.grpcRoute",
	}[[2]string{group, kind.node.text}]
}

// manifest reports whether this is a Kubernetes manifest that rollouts refer to, in a file next to theirs.
func (d document) manifest() bool {
	version, kind := d.at("apiVersion"), d.at("kind")
	if version.gone || kind.gone {
		return false
	}
	return kind.node.text == "Job" && strings.HasPrefix(version.node.text, "batch/") ||
		kind.node.text == "PodTemplate" && version.node.text == "v1"
}

// title names a document in messages about other documents.
func (p parsed) title() string {
	if p.name == "" {
		return p.kind
	}
	return fmt.Sprintf("%s %s", p.kind, p.name)
}
