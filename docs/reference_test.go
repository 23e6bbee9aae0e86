package docs

import (
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/config"
	"github.com/serindev/serin/server"
)

//go:generate go test -run ^TestThe(Reference|Pictures) -update .

var update = flag.Bool("update", false, "write the reference again")

func current(t *testing.T, file, want string) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(want), 0o600))
	}
	got, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, want, string(got), "%s is stale: go generate ./docs", file)
}

// schema is the part of JSON Schema that the configuration uses.
type schema struct {
	Ref                  string             `json:"$ref"`
	Type                 any                `json:"type"`
	Description          string             `json:"description"`
	Expected             string             `json:"x-expected"`
	Enum                 []string           `json:"enum"`
	Const                any                `json:"const"`
	Items                *schema            `json:"items"`
	AdditionalProperties any                `json:"additionalProperties"`
	Properties           properties         `json:"properties"`
	Required             []string           `json:"required"`
	Defs                 map[string]*schema `json:"$defs"`
	Minimum              *float64           `json:"minimum"`
	Maximum              *float64           `json:"maximum"`
	Examples             []any              `json:"examples"`
}

// properties keeps the order of the fields in the types.
type properties []property

type property struct {
	name   string
	schema *schema
}

// UnmarshalJSON reads an object and keeps the order of its members.
func (p *properties) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(strings.NewReader(string(b)))
	if _, err := d.Token(); err != nil {
		return err
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		var s schema
		if err := d.Decode(&s); err != nil {
			return err
		}
		*p = append(*p, property{name.(string), &s})
	}
	return nil
}

// kinds are the kinds of documents and their purposes.
var kinds = []struct{ kind, about string }{
	{"Daemon", "How the daemon runs. One document, in a file of its own: `serin daemon --config serin.yaml`."},
	{"Analysis", "What is measured, and what counts as worse. Rollouts name it."},
	{"Rollout", "Where traffic goes, and the steps of a release."},
}

func TestTheReferenceOfTheConfigurationFollowsTheSchema(t *testing.T) {
	var root schema
	require.NoError(t, json.Unmarshal(config.Schema(), &root))
	var b strings.Builder
	b.WriteString("<!-- Written by `go generate ./docs` from the JSON Schema; a test fails if it is stale. -->\n\n# The configuration\n\n" +
		"Every document has `apiVersion: serin.dev/v1alpha1`, a `kind`, `metadata.name` (not for a Daemon) and a `spec`. Editors that read JSON Schema complete it with " +
		"[config/schema](../../config/schema). `serin validate` says what is wrong, with file, line and column; unknown fields are errors.\n")
	seen := map[string]bool{"Metadata": true}
	for _, k := range kinds {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", k.kind, k.about)
		queue := []string{k.kind + "Spec"}
		for len(queue) > 0 {
			name := queue[0]
			queue = queue[1:]
			if seen[name] {
				continue
			}
			seen[name] = true
			queue = append(queue, define(&b, name, root.Defs[name])...)
		}
	}
	for name := range root.Defs {
		require.True(t, seen[name] || strings.HasSuffix(name, "Document"), "%s is not in the reference", name)
	}
	current(t, "reference/configuration.md", b.String())
}

// define writes one type and returns the types that it refers to.
func define(b *strings.Builder, name string, s *schema) (names []string) {
	fmt.Fprintf(b, "\n### %s\n\n%s\n\n| field | value | |\n|---|---|---|\n", title(name), cell(sentence(s.Description)))
	for _, p := range s.Properties {
		value, more := valueOf(p.schema)
		names = append(names, more...)
		required := ""
		if slices.Contains(s.Required, p.name) {
			required = " **(required)**"
		}
		fmt.Fprintf(b, "| `%s`%s | %s | %s |\n", p.name, required, value, cell(lowerFirst(p.schema.Description, p.name)))
	}
	return names
}

// title is the name of a type without the suffix that it has in the code.
func title(name string) string { return strings.TrimSuffix(name, "Spec") }

// valueOf describes the value of a field, and returns the types that it refers to.
func valueOf(s *schema) (string, []string) {
	switch {
	case s.Ref != "":
		name := strings.TrimPrefix(s.Ref, "#/$defs/")
		return fmt.Sprintf("[%s](#%s)", title(name), strings.ToLower(title(name))), []string{name}
	case s.Items != nil:
		value, names := valueOf(s.Items)
		return "list of " + value, names
	case len(s.Enum) > 0:
		return "`" + strings.Join(s.Enum, "`, `") + "`", nil
	case s.Expected != "":
		return cell(s.Expected), nil
	}
	if more, ok := s.AdditionalProperties.(map[string]any); ok {
		if ref, ok := more["$ref"].(string); ok {
			value, names := valueOf(&schema{Ref: ref})
			return "map of names to " + value, names
		}
		return "map of names to values", nil
	}
	switch s.Type {
	case "boolean":
		return "`true` or `false`", nil
	case "integer", "number":
		return "number" + bounds(s), nil
	}
	return "text", nil
}

func bounds(s *schema) string {
	switch {
	case s.Minimum != nil && s.Maximum != nil:
		return fmt.Sprintf(", %g to %g", *s.Minimum, *s.Maximum)
	case s.Minimum != nil:
		return fmt.Sprintf(", at least %g", *s.Minimum)
	}
	return ""
}

// sentence drops the type's name from the beginning of its comment.
func sentence(text string) string {
	_, rest, ok := strings.Cut(text, " ")
	if !ok {
		return text
	}
	rest = strings.TrimPrefix(rest, "is ")
	return strings.ToUpper(rest[:1]) + rest[1:]
}

// lowerFirst replaces the Go name at the beginning of a field's comment by the name in documents.
func lowerFirst(text, name string) string {
	if first, rest, _ := strings.Cut(text, " "); strings.EqualFold(first, name) {
		return "`" + name + "` " + rest
	}
	return text
}

// cell escapes a text for a table.
func cell(text string) string {
	return strings.NewReplacer("\n", " ", "|", "\\|", "<", "&lt;").Replace(text)
}

// operation is the part of an OpenAPI operation that the reference shows.
type operation struct {
	OperationID string                `json:"operationId"`
	Summary     string                `json:"summary"`
	Description string                `json:"description"`
	Security    []map[string][]string `json:"security"`
	Parameters  []struct {
		Name        string `json:"name"`
		In          string `json:"in"`
		Description string `json:"description"`
		Required    bool   `json:"required"`
	} `json:"parameters"`
	RequestBody *struct {
		Content map[string]struct {
			Schema struct {
				Ref string `json:"$ref"`
			} `json:"schema"`
		} `json:"content"`
	} `json:"requestBody"`
	Responses map[string]struct {
		Description string `json:"description"`
	} `json:"responses"`
}

func TestTheReferenceOfTheAPIFollowsItsDocument(t *testing.T) {
	s := server.New(server.Options{Registry: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler), Version: "reference"})
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/openapi.json", nil))
	require.Equal(t, http.StatusOK, w.Code, w.Body.String())
	var api struct {
		Info struct {
			Description string `json:"description"`
		} `json:"info"`
		Paths      map[string]map[string]operation `json:"paths"`
		Components struct {
			Schemas map[string]schema `json:"schemas"`
		} `json:"components"`
	}
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &api))
	var b strings.Builder
	b.WriteString("<!-- Written by `go generate ./docs` from the OpenAPI document; a test fails if it is stale. -->\n\n# The HTTP API\n\n" + api.Info.Description +
		"\n\nThe daemon serves the whole document under `/openapi.json` and `/openapi.yaml`, with every type. Requests carry a token: `Authorization: Bearer …`.\n")
	for _, path := range slices.Sorted(maps.Keys(api.Paths)) {
		for _, method := range slices.Sorted(maps.Keys(api.Paths[path])) {
			describe(&b, strings.ToUpper(method)+" "+path, api.Paths[path][method], api.Components.Schemas)
		}
	}
	current(t, "reference/api.md", b.String())
}

func describe(b *strings.Builder, title string, o operation, types map[string]schema) {
	fmt.Fprintf(b, "\n## %s\n\n%s.", title, strings.TrimSuffix(o.Summary, "."))
	if o.Description != "" {
		b.WriteString(" " + o.Description)
	}
	b.WriteString("\n")
	var rows []string
	for _, p := range o.Parameters {
		rows = append(rows, fmt.Sprintf("| `%s` (%s) | %s |", p.Name, p.In, cell(p.Description)))
	}
	if o.RequestBody != nil {
		body := types[strings.TrimPrefix(o.RequestBody.Content["application/json"].Schema.Ref, "#/components/schemas/")]
		for _, p := range body.Properties {
			if p.name != "$schema" {
				rows = append(rows, fmt.Sprintf("| `%s` (body) | %s |", p.name, cell(p.schema.Description)))
			}
		}
	}
	if len(rows) > 0 {
		b.WriteString("\n| parameter | |\n|---|---|\n" + strings.Join(rows, "\n") + "\n")
	}
	var answers []string
	for _, status := range slices.Sorted(maps.Keys(o.Responses)) {
		answers = append(answers, status+" "+o.Responses[status].Description)
	}
	b.WriteString("\nAnswers: " + strings.Join(answers, ", ") + ".\n")
}
