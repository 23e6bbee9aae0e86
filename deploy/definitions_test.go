package deploy

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/invopop/jsonschema"
	"github.com/stretchr/testify/require"
	strictyaml "sigs.k8s.io/yaml"

	"github.com/serindev/serin/config"
	"github.com/serindev/serin/resource"
)

//go:generate go test -run ^TestTheDefinitionsAreThoseOfTheSchema$ -update .

// definitionFiles are the files with the definitions of the custom resources, for the chart and for clusters without Helm.
var definitionFiles = []string{"helm/serin/definitions/serin.dev.yaml", "kustomize/definitions/definitions.yaml"}

// The definitions are made from the schema that files are validated against, and from the type of the status.
func TestTheDefinitionsAreThoseOfTheSchema(t *testing.T) {
	got := "# The definitions of Serin's custom resources, made from its schema: go generate ./deploy\n"
	for _, kind := range []string{config.KindRollout, config.KindAnalysis} {
		b, err := strictyaml.Marshal(definition(t, kind))
		require.NoError(t, err)
		got += "---\n" + string(b)
	}
	for _, file := range definitionFiles {
		if *update {
			require.NoError(t, os.WriteFile(file, []byte(got), 0o600))
			continue
		}
		want, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, string(want), got, "%s: run go generate ./deploy", file)
	}
}

type anyMap = map[string]any

// definition returns the CustomResourceDefinition of a kind.
func definition(t *testing.T, kind string) anyMap {
	names := map[string]anyMap{
		config.KindRollout:  {"kind": "Rollout", "listKind": "RolloutList", "plural": "rollouts", "singular": "rollout", "categories": []any{"serin"}},
		config.KindAnalysis: {"kind": "Analysis", "listKind": "AnalysisList", "plural": "analyses", "singular": "analysis", "categories": []any{"serin"}},
	}[kind]
	status := map[string]any{config.KindRollout: resource.Status{}, config.KindAnalysis: resource.AnalysisStatus{}}[kind]
	var whole anyMap
	require.NoError(t, json.Unmarshal(config.Schema(), &whole))
	defs, _ := whole["$defs"].(anyMap)
	spec := structural{defs: defs, rules: true}.convert(anyMap{"$ref": "#/$defs/" + kind + "Spec"}, nil)
	return anyMap{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": anyMap{
			"name": names["plural"].(string) + ".serin.dev",
			// Deleting the definition deletes all objects: helm uninstall leaves it.
			"annotations": anyMap{"helm.sh/resource-policy": "keep"},
		},
		"spec": anyMap{
			"group": "serin.dev", "scope": "Namespaced", "names": names,
			"versions": []any{anyMap{
				"name": "v1alpha1", "served": true, "storage": true,
				"subresources":             anyMap{"status": anyMap{}},
				"additionalPrinterColumns": columns(kind),
				"schema": anyMap{"openAPIV3Schema": anyMap{
					"type": "object", "required": []any{"spec"},
					"properties": anyMap{
						"apiVersion": anyMap{"type": "string"}, "kind": anyMap{"type": "string"}, "metadata": anyMap{"type": "object"},
						"spec": spec, "status": statusSchema(t, status),
					},
				}},
			}},
		},
	}
}

// columns are those of kubectl get. Those with priority 1 need -o wide.
func columns(kind string) []any {
	column := func(name, path string, priority int) any {
		return anyMap{"name": name, "type": "string", "jsonPath": path, "priority": priority}
	}
	age := anyMap{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
	if kind == config.KindAnalysis {
		ready := `.status.conditions[?(@.type=="Ready")]`
		return []any{column("Ready", ready+".status", 0), column("Message", ready+".message", 1), age}
	}
	return []any{
		column("Phase", ".status.phase", 0), column("Step", ".status.step", 0), column("Weight", ".status.weight", 0),
		column("Verdict", ".status.verdict.outcome", 0), column("Waiting for", ".status.waitingFor", 0), age,
		column("Served", ".status.servedWeight", 1), column("Stable", ".status.stable.image", 1), column("Canary", ".status.canary.image", 1),
		column("Next", ".status.nextAt", 1), column("Message", ".status.message", 1),
	}
}

func statusSchema(t *testing.T, status any) anyMap {
	r := &jsonschema.Reflector{Anonymous: true, DoNotReference: false}
	require.NoError(t, r.AddGoComments("github.com/serindev/serin/resource", "../resource"))
	b, err := json.Marshal(r.Reflect(status))
	require.NoError(t, err)
	var s anyMap
	require.NoError(t, json.Unmarshal(b, &s))
	defs, _ := s["$defs"].(anyMap)
	out := structural{defs: defs}.convert(anyMap{"$ref": "#/$defs/" + reflect.TypeOf(status).Name()}, nil)
	delete(out, "required") // an object may have no status
	p := out["properties"].(anyMap)
	conditions := p["conditions"].(anyMap)
	conditions["x-kubernetes-list-type"], conditions["x-kubernetes-list-map-keys"] = "map", []any{"type"}
	return out
}

// structural converts a JSON Schema to a structural schema, which CustomResourceDefinitions need.
type structural struct {
	defs anyMap
	// rules: add the documents' rules, and leave out fields that only documents in files may have.
	rules bool
}

const (
	// maxLevel is how deep matchers nest in a structural schema, which has to end; the daemon checks deeper ones.
	maxLevel = 1
	// maxList bounds lists, so that the API server can estimate what a rule costs. A document is far below it.
	maxList = 64
)

func (s structural) convert(part anyMap, above []string) anyMap {
	name := ""
	if ref, ok := part["$ref"].(string); ok {
		name = ref[strings.LastIndexByte(ref, '/')+1:]
		of, _ := s.defs[name].(anyMap)
		of = maps.Clone(of)
		if d, ok := part["description"]; ok { // of the field
			of["description"] = d
		}
		part = of
		level := 0
		for _, n := range above {
			if n == name {
				level++
			}
		}
		if level > maxLevel {
			return anyMap{"type": "object", "x-kubernetes-preserve-unknown-fields": true}
		}
		above = append(slices.Clip(above), name)
	}
	out := s.value(part, above)
	if d, ok := part["description"].(string); ok {
		out["description"] = strings.ReplaceAll(d, "\n", " ")
	}
	if s.rules && name != "" {
		constrain(name, out)
	}
	return out
}

// forms are the value types that JSON has no type for. Where a file takes text or a number, an object takes only text, which
// cannot be misread. Where a file takes one value or a list, an object takes only a list.
var forms = map[string]anyMap{
	"serin-duration":   {"type": "string", "pattern": `^(0|([0-9]+y)?([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?)$`, "minLength": 1, "maxLength": 64},
	"serin-share":      {"type": "string", "pattern": `^[0-9]*\.?[0-9]+%?$`, "maxLength": 64},
	"serin-difference": {"type": "string", "pattern": `^[0-9]*\.?[0-9]+%?$`, "maxLength": 64},
	"serin-amount":     {"x-kubernetes-int-or-string": true, "pattern": `^[0-9]*\.?[0-9]+%?$`},
	"serin-port":       {"x-kubernetes-int-or-string": true},
	"serin-code":       {"x-kubernetes-int-or-string": true, "pattern": `^[1-5]([0-9][0-9]|[xX][xX])$`},
	"serin-matchers":   {"type": "object", "additionalProperties": anyMap{"type": "string"}},
}

func (s structural) value(part anyMap, above []string) anyMap {
	if format, ok := part["format"].(string); ok {
		if form, ok := forms[format]; ok {
			return maps.Clone(form)
		}
		if format == "date-time" {
			return anyMap{"type": "string", "format": "date-time"}
		}
	}
	kind, one := part["type"].(string)
	if list, both := part["type"].([]any); both {
		switch {
		case slices.Contains(list, any("array")):
			kind, one = "array", true
		case slices.Contains(list, any("object")): // a manifest
			return anyMap{"type": "object", "x-kubernetes-preserve-unknown-fields": true}
		}
	}
	if !one {
		panic(fmt.Sprintf("no form for %v", part))
	}
	out := anyMap{"type": kind}
	for _, k := range []string{"enum", "pattern", "minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems"} {
		if v, ok := part[k]; ok && (kind != "array" || k == "minItems" || k == "maxItems") {
			out[k] = v
		}
	}
	if v, ok := part["exclusiveMinimum"]; ok {
		out["minimum"], out["exclusiveMinimum"] = v, true
	}
	switch kind {
	case "integer":
		out["format"] = "int64"
	case "array":
		out["items"] = s.convert(part["items"].(anyMap), above)
		if out["maxItems"] == nil {
			out["maxItems"] = maxList
		}
	case "object":
		s.object(out, part, above)
	}
	return out
}

func (s structural) object(out, part anyMap, above []string) {
	own, _ := part["properties"].(anyMap)
	if others, ok := part["additionalProperties"].(anyMap); ok && len(own) == 0 {
		out["additionalProperties"] = s.convert(others, above)
		return
	}
	properties := anyMap{}
	for name, p := range own {
		properties[name] = s.convert(p.(anyMap), above)
	}
	out["properties"] = properties
	if must, ok := part["required"]; ok {
		out["required"] = must
	}
}

// ofFiles are the fields that only documents in files may have, because they refer to the daemon's disk.
var ofFiles = map[string][]string{
	"TrafficSpec": {"traefikFile"},
	"VerifySpec":  {"basicAuth"},
	"ArmSpec":     {"servers", "healthCheck", "serversTransport", "passHostHeader", "sticky", "responseForwarding"},
}

// exactlyOne lists fields of which exactly one has to be set.
var exactlyOne = map[string][]string{
	"StepSpec": nil, "RollbackStepSpec": nil, "MatcherSpec": nil, "BaselineSpec": nil, // of all
	"TraefikSpec": {"ingressRoute", "route"},
	"RouteSpec":   {"host", "rule"},
	"DeploySpec":  {"image", "template"},
	"RatioSpec":   {"bad", "good"},
	"HeaderSpec":  {"regexp", "value"},
	"MetricSpec":  {"distribution", "gauge", "preset", "ratio", "slow"},
}

// more has rules for what Serin checks in files after the schema.
var more = map[string][]anyMap{
	"RolloutSpec": {
		{"rule": "self.steps.filter(s, has(s.promote)).size() == 1", "message": "steps: exactly one has to be promote, which makes the canary stable"},
		{"rule": "has(self.deployment) ? !has(self.stable) && !has(self.canary) && has(self.service) : has(self.stable) && has(self.canary) && !has(self.service)",
			"message": "expected stable and canary, or deployment and service where Git has one Deployment"},
		{"rule": "!has(self.stable) || !has(self.stable.replicas)", "message": "stable.replicas belongs to the canary: stable keeps its replicas"},
		{"rule": "!has(self.stable) || !has(self.canary) || self.stable.deployment != self.canary.deployment", "message": "stable and canary are two Deployments"},
		{"rule": "has(self.deployment) || !has(self.scaleDown) && !has(self.leave)", "message": "scaleDown and leave belong to rollouts with one Deployment"},
		{"rule": "has(self.analysis) || self.steps.all(s, (!has(s.gray) || has(s.gray.analysis)) && (!has(s.ab) || has(s.ab.analysis)))",
			"message": "analysis is missing: name one here or in each gray and ab step; traefik-web is built in"},
	},
	"ParameterSpec": {{"rule": "!(has(self.required) && self.required && has(self.default))", "message": "a required parameter has no use for a default"}},
	"MarginSpec":    {{"rule": "has(self.relative) || has(self.absolute)", "message": "expected relative, absolute or both"}},
}

// constrain adds the rules for a type to its schema.
func constrain(name string, out anyMap) {
	properties, _ := out["properties"].(anyMap)
	for _, field := range ofFiles[name] {
		delete(properties, field)
	}
	switch name {
	case "TrafficSpec":
		out["required"] = []any{"traefik"}
	case "ArmSpec":
		out["required"] = []any{"deployment", "service"}
	case "RolloutSpec":
		listMap(properties, "parameters")
	case "AnalysisSpec":
		listMap(properties, "metrics")
	}
	var rules []any
	if fields, ok := exactlyOne[name]; ok {
		if fields == nil {
			fields = slices.Sorted(maps.Keys(properties))
		}
		var has []string
		for _, f := range fields {
			has = append(has, "has(self."+escaped(f)+")")
		}
		rules = append(rules, anyMap{
			"rule":    "[" + strings.Join(has, ", ") + "].filter(x, x).size() == 1",
			"message": "expected exactly one of " + strings.Join(fields[:len(fields)-1], ", ") + " or " + fields[len(fields)-1],
		})
	}
	for _, rule := range more[name] {
		rules = append(rules, rule)
	}
	if len(rules) > 0 {
		out["x-kubernetes-validations"] = rules
	}
}

// escaped returns a field's name in CEL.
func escaped(field string) string {
	if slices.Contains([]string{"namespace", "for", "if", "in", "import"}, field) {
		return "__" + field + "__"
	}
	return field
}

func listMap(properties anyMap, field string) {
	list := properties[field].(anyMap)
	list["x-kubernetes-list-type"], list["x-kubernetes-list-map-keys"] = "map", []any{"name"}
}
