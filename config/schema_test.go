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

var update = flag.Bool("update", false, "write golden files and the schema anew")

// The schema is what editors and the decoder go by; go generate writes it.
func TestTheSchemaIsTheOneOfTheTypes(t *testing.T) {
	got := generate(t)
	if *update {
		require.NoError(t, os.WriteFile(schemaPath, got, 0o644))
		return
	}
	want, err := os.ReadFile(schemaPath)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got), "run go generate ./config")
	require.Equal(t, string(want), string(Schema()), "what is embedded is what is checked in")
}

// generate makes one schema of the three kinds of documents; which one holds is told by the field kind.
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
	both := func(expected string, types ...string) *jsonschema.Schema {
		return &jsonschema.Schema{Extras: map[string]any{"type": types, "x-expected": expected}}
	}
	text := func(expected string) *jsonschema.Schema {
		return &jsonschema.Schema{Type: "string", Extras: map[string]any{"x-expected": expected}}
	}
	one := uint64(1)
	switch t {
	case reflect.TypeFor[Duration]():
		s := both(expectedDuration, "string", "integer")
		s.Format, s.Examples = formatDuration, []any{"30s", "10m", "24h", "7d"}
		return s
	case reflect.TypeFor[Share]():
		s := both(expectedShare, "string", "number")
		s.Format, s.Examples = formatShare, []any{"25%", 0.25}
		return s
	case reflect.TypeFor[Amount]():
		s := both(expectedAmount, "string", "integer")
		s.Format, s.Examples = formatAmount, []any{2, "10%"}
		return s
	case reflect.TypeFor[Texts]():
		s := both("a name or a list of names", "string", "array")
		s.Items, s.MinItems, s.MinLength = &jsonschema.Schema{Type: "string", MinLength: &one}, &one, &one
		return s
	case reflect.TypeFor[Port]():
		s := both(expectedPort, "string", "integer")
		s.Format, s.Examples = formatPort, []any{80, "http"}
		return s
	case reflect.TypeFor[Name]():
		s := text(expectedName)
		s.Pattern = namePattern
		return s
	case reflect.TypeFor[MetricName]():
		s := text(expectedMetricName)
		s.Pattern = metricNamePattern
		return s
	case reflect.TypeFor[Identifier]():
		s := text(expectedIdentifier)
		s.Pattern = identifierPattern
		return s
	case reflect.TypeFor[Regexp]():
		s := text(expectedRegexp)
		s.Format = formatRegexp
		return s
	case reflect.TypeFor[URL]():
		s := text(expectedURL)
		s.Format = formatURL
		return s
	case reflect.TypeFor[Server]():
		s := text(expectedURL)
		s.Format = formatServer
		return s
	case reflect.TypeFor[Address]():
		s := text(expectedAddress)
		s.Format = formatAddress
		return s
	case reflect.TypeFor[Secret]():
		s := text("text")
		s.MinLength, s.Extras["x-secret"] = &one, true
		return s
	}
	return nil
}

// one demands exactly one key, where that is the rule.
func one(name string, s *jsonschema.Schema) {
	switch name {
	case "StepSpec", "RollbackStepSpec", "MatcherSpec", "TrafficSpec", "BaselineSpec":
		n := uint64(1)
		s.MinProperties, s.MaxProperties = &n, &n
	}
}
