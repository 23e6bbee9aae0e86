package config

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"testing"

	"github.com/invopop/jsonschema"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write golden files and the schema again")

// Editors and the decoder use the schema; go generate writes it.
func TestTheSchemaIsTheOneOfTheTypes(t *testing.T) {
	got := generate(t)
	if *update {
		require.NoError(t, os.WriteFile(schemaPath, got, 0o600))
		return
	}
	want, err := os.ReadFile(schemaPath)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got), "run go generate ./config")
	require.Equal(t, string(want), string(Schema()), "what is embedded is what is checked in")
}

// generate makes one schema for the three kinds of documents; the field kind says which one applies.
func generate(t *testing.T) []byte {
	r := &jsonschema.Reflector{Anonymous: true, Mapper: leaf}
	require.NoError(t, r.AddGoComments("github.com/serindev/serin/config", "."))
	root := map[string]any{
		"$schema":     jsonschema.Version,
		"title":       "Serin's configuration (" + APIVersion + ")",
		"type":        "object",
		"x-expected":  "a document with apiVersion, kind, metadata and spec",
		"required":    []string{"apiVersion", "kind"},
		"properties":  map[string]any{"apiVersion": map[string]any{"enum": []string{APIVersion}}, "kind": map[string]any{"enum": kinds}},
		"$defs":       map[string]any{},
		"allOf":       []any{},
		"description": "One document: Daemon (how the process runs), Analysis (what is measured), Rollout (where traffic goes).",
	}
	defs := root["$defs"].(map[string]any)
	for _, doc := range []any{DaemonDocument{}, AnalysisDocument{}, RolloutDocument{}} {
		for name, d := range r.Reflect(doc).Definitions {
			one(name, d)
			defs[name] = d
		}
	}
	for _, kind := range kinds {
		root["allOf"] = append(root["allOf"].([]any), map[string]any{
			"if":   map[string]any{"properties": map[string]any{"kind": map[string]any{"const": kind}}, "required": []string{"kind"}},
			"then": map[string]any{"$ref": "#/$defs/" + kind + "Document"},
		})
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	require.NoError(t, e.Encode(root))
	return b.Bytes()
}

// leaf gives the value types their schemas. x-expected is what messages say is expected at such a place.
func leaf(t reflect.Type) *jsonschema.Schema {
	one := uint64(1)
	both := func(expected, format string, types ...string) *jsonschema.Schema {
		return &jsonschema.Schema{Format: format, Extras: map[string]any{"type": types, "x-expected": expected}}
	}
	text := func(expected, format, pattern string) *jsonschema.Schema {
		return &jsonschema.Schema{Type: "string", Format: format, Pattern: pattern, Extras: map[string]any{"x-expected": expected}}
	}
	var s *jsonschema.Schema
	switch t {
	case reflect.TypeFor[Texts]():
		s = both("one text or a list of them", "", "string", "array")
		s.Items, s.MinItems, s.MinLength = &jsonschema.Schema{Type: "string", MinLength: &one}, &one, &one
	case reflect.TypeFor[Matchers]():
		s = both(expectedMatchers, formatMatchers, "string", "object")
		s.AdditionalProperties = &jsonschema.Schema{Type: "string"}
		s.Examples = []any{map[string]string{"cluster": "eu-1"}}
	case reflect.TypeFor[Manifest]():
		s = both(expectedManifest, "", "string", "object")
		s.MinLength = &one
	case reflect.TypeFor[Name]():
		s = text(expectedName, "", namePattern)
	case reflect.TypeFor[DocumentName]():
		s = text(expectedDocument, "", documentNamePattern)
	case reflect.TypeFor[Namespace]():
		s = text(expectedNamespace, "", namespacePattern)
	case reflect.TypeFor[ServiceName]():
		s = text(expectedServiceName, "", serviceNamePattern)
	case reflect.TypeFor[ObjectName]():
		s = text(expectedObjectName, "", objectNamePattern)
	case reflect.TypeFor[MetricName]():
		s = text(expectedMetricName, "", metricNamePattern)
	case reflect.TypeFor[Identifier]():
		s = text(expectedIdentifier, "", identifierPattern)
	case reflect.TypeFor[Regexp]():
		s = text(expectedRegexp, formatRegexp, "")
	case reflect.TypeFor[URL]():
		s = text(expectedURL, formatURL, "")
	case reflect.TypeFor[Server]():
		s = text(expectedURL, formatServer, "")
	case reflect.TypeFor[Address]():
		s = text(expectedAddress, formatAddress, "")
	case reflect.TypeFor[Secret]():
		s = text("text", "", "")
		s.MinLength, s.Extras["x-secret"] = &one, true
	default:
		if s = leafOfNumbers(t); s == nil {
			s = leafOfCalendar(t)
		}
	}
	return s
}

// leafOfNumbers is leaf for the types that take a number, or text with a unit.
func leafOfNumbers(t reflect.Type) *jsonschema.Schema {
	of := func(number, expected, format string, examples ...any) *jsonschema.Schema {
		return &jsonschema.Schema{Format: format, Examples: examples, Extras: map[string]any{"type": []string{"string", number}, "x-expected": expected}}
	}
	switch t {
	case reflect.TypeFor[Duration]():
		return of("integer", expectedDuration, formatDuration, "30s", "10m", "24h", "7d")
	case reflect.TypeFor[Share]():
		return of("number", expectedShare, formatShare, "25%", 0.25)
	case reflect.TypeFor[Difference]():
		return of("number", expectedDifference, formatDiffer, "1%", 5)
	case reflect.TypeFor[Amount]():
		return of("integer", expectedAmount, formatAmount, 2, "10%")
	case reflect.TypeFor[Code]():
		return of("integer", expectedCode, formatCode, 499, "5xx")
	case reflect.TypeFor[Port]():
		return of("integer", expectedPort, formatPort, 80, "http")
	}
	return nil
}

func leafOfCalendar(t reflect.Type) *jsonschema.Schema {
	of := func(expected, format string, examples ...any) *jsonschema.Schema {
		return &jsonschema.Schema{Type: "string", Format: format, Examples: examples, Extras: map[string]any{"x-expected": expected}}
	}
	switch t {
	case reflect.TypeFor[Days]():
		return of(expectedDays, formatDays, "mon", "mon-thu")
	case reflect.TypeFor[TimeOfDay]():
		return of(expectedTimeOfDay, formatClock, "09:00", "24:00")
	case reflect.TypeFor[Zone]():
		return of(expectedZone, formatZone, "Europe/Berlin", "UTC")
	case reflect.TypeFor[Moment]():
		return of(expectedMoment, formatMoment, "2026-12-24", "2026-12-24T18:00")
	}
	return nil
}

// one requires exactly one key in the types with that rule.
func one(name string, s *jsonschema.Schema) {
	switch name {
	case "WebhookSpec": // its addresses and headers may hold tokens of chats
		for _, field := range []string{"url", "status", "body", "headers"} {
			p, _ := s.Properties.Get(field)
			if p.AdditionalProperties != nil {
				p = p.AdditionalProperties
			}
			p.Extras = map[string]any{"x-expected": "text", "x-secret": true}
		}
	case "StepSpec", "RollbackStepSpec", "MatcherSpec", "TrafficSpec", "BaselineSpec":
		n := uint64(1)
		s.MinProperties, s.MaxProperties = &n, &n
	case "RolloutSpec": // two Deployments, or the only one that Git has
		part := func(fields ...string) *jsonschema.Schema {
			out := &jsonschema.Schema{Required: fields, Properties: jsonschema.NewProperties()}
			for _, field := range fields {
				p, _ := s.Properties.Get(field)
				out.Properties.Set(field, &jsonschema.Schema{Ref: p.Ref})
			}
			return out
		}
		s.If = &jsonschema.Schema{Required: []string{"deployment"}}
		s.Then, s.Else = part("service"), part("stable", "canary")
	case "PrometheusSpec":
		s.Extras = map[string]any{"x-expected": "a map with url or scrape"}
	}
}
