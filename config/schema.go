package config

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/serindev/serin/internal/spelling"
	"github.com/serindev/serin/share"
	"github.com/serindev/serin/traffic/traefik"
)

const schemaPath = "schema/serin.dev_v1alpha1.json"

//go:embed schema/serin.dev_v1alpha1.json
var schemaJSON []byte

// Schema is the JSON Schema of all documents, for editors.
func Schema() []byte { return bytes.Clone(schemaJSON) }

// Formats that the schema names and this package checks. Editors ignore formats that they do not know.
const (
	formatDuration = "serin-duration"
	formatShare    = "serin-share"
	formatDiffer   = "serin-difference"
	formatAmount   = "serin-amount"
	formatPort     = "serin-port"
	formatRegexp   = "serin-regexp"
	formatURL      = "serin-url"
	formatServer   = "serin-server"
	formatAddress  = "serin-address"
	formatMatchers = "serin-matchers"
	formatCode     = "serin-code"
	formatDays     = "serin-days"
	formatClock    = "serin-time-of-day"
	formatZone     = "serin-zone"
	formatMoment   = "serin-moment"
)

// How messages name the expected value.
const (
	expectedDuration    = "a duration such as 30s, 10m, 24h or 7d"
	expectedShare       = "a share such as 25% or 0.25"
	expectedDifference  = "a share such as 1%, or for a gauge or a mean a number such as 5"
	expectedAmount      = "a number of replicas such as 2, or a share such as 10%"
	expectedPort        = "a port's number or name"
	expectedName        = "a name of small letters, digits and dashes, at most 50 characters"
	expectedDocument    = "a name of small letters, digits, dashes and dots, at most 253 characters"
	expectedNamespace   = "a name of small letters, digits and dashes, at most 63 characters"
	expectedServiceName = "a name of small letters, digits and dashes that begins with a letter, at most 63 characters"
	expectedObjectName  = "a name of small letters, digits, dashes and dots, at most 253 characters"
	expectedMetricName  = "a name of letters, digits, dashes, dots and underscores, at most 63 characters"
	expectedIdentifier  = "letters, digits and underscores, not beginning with a digit"
	expectedRegexp      = "a regular expression (RE2)"
	expectedURL         = "an address such as http://127.0.0.1:8081"
	expectedAddress     = "host and port such as 127.0.0.1:7474"
	expectedMatchers    = `a map of labels such as {cluster: eu-1}, or matchers such as 'cluster="eu-1"'`
	expectedManifest    = "the name of a file, or the object itself"
	expectedCode        = "a status code such as 499, or a class of them such as 5xx"
)

// errNot is the error of a format that has nothing to add to "expected …, got …".
var errNot = errors.New("not of this format")

// formats checks single values. The errors say why a value does not have the format, or are errNot.
var formats = map[string]func(v any) error{
	formatDuration: func(v any) error {
		if n, ok := v.(json.Number); ok && n != "0" {
			return fmt.Errorf("%s has no unit", n)
		}
		if _, err := parseDuration(fmt.Sprint(v)); err != nil {
			return errNot
		}
		return nil
	},
	formatShare: checkShare,
	formatDiffer: func(v any) error {
		if _, err := parseDifference(fmt.Sprint(v)); err != nil {
			return errNot
		}
		return nil
	},
	formatAmount: func(v any) error {
		if n, ok := v.(json.Number); ok {
			if i, err := n.Int64(); err != nil || i < 1 || i > 100_000 {
				return errNot
			}
			return nil
		}
		s, err := share.Parse(fmt.Sprint(v))
		switch {
		case err != nil:
			return errNot
		case s <= 0 || s > 1:
			return fmt.Errorf("%s is not between 0%% and 100%%", s)
		}
		return nil
	},
	formatPort: func(v any) error {
		n, err := strconv.Atoi(fmt.Sprint(v))
		if err != nil && regexp.MustCompile(namePattern).MatchString(fmt.Sprint(v)) {
			return nil
		}
		if err != nil || n < 1 || n > 65535 {
			return errNot
		}
		return nil
	},
	formatMatchers: checkMatchers,
	formatDays:     checkDays,
	formatClock:    checkTimeOfDay,
	formatZone:     checkZone,
	formatMoment:   checkMoment,
	formatCode: func(v any) error {
		if !traefik.IsCode(strings.ToLower(fmt.Sprint(v))) {
			return errNot
		}
		return nil
	},
	formatRegexp: func(v any) error {
		_, err := regexp.Compile(fmt.Sprint(v))
		return err
	},
	formatURL:    func(v any) error { return checkURL(fmt.Sprint(v)) },
	formatServer: func(v any) error { return checkServer(fmt.Sprint(v)) },
	formatAddress: func(v any) error {
		_, port, err := net.SplitHostPort(fmt.Sprint(v))
		if err != nil {
			return errors.New("the port is missing, or the address cannot be read")
		}
		if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
			return fmt.Errorf("%q is not a port", port)
		}
		return nil
	},
}

func checkShare(v any) error {
	n, bare := v.(json.Number)
	s, err := share.Parse(fmt.Sprint(v))
	switch {
	case err != nil:
		return errNot
	case bare && s >= 1:
		return fmt.Errorf("%s has no unit: is it %s%% or %s?", n, n, s)
	}
	return nil
}

func checkURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case !strings.Contains(text, "://") && hostAndPort(text):
		return fmt.Errorf("the scheme is missing: did you mean http://%s?", text)
	case err != nil:
		return errors.New("it cannot be read")
	case u.Scheme != "http" && u.Scheme != "https":
		return errors.New("it has to begin with http:// or https://")
	case u.Hostname() == "":
		return errors.New("it names no host")
	case u.User != nil:
		return errors.New("a password in it would be seen by everybody: use basicAuth or a header where there is one")
	}
	return nil
}

func checkServer(text string) error {
	scheme, rest, ok := strings.Cut(text, "://")
	switch {
	case !ok && hostAndPort(text):
		return fmt.Errorf("the scheme is missing: did you mean http://%s, or tcp://%s for a TCP route?", text, text)
	case ok && !slices.Contains([]string{"http", "https", "h2c", "tcp"}, strings.ToLower(scheme)):
		return errors.New("it has to begin with http://, https:// or h2c://, or with tcp:// for a TCP route")
	case ok:
		text = "http://" + rest
	}
	if err := checkURL(text); err != nil {
		return err
	}
	u, err := url.Parse(text)
	if err != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return errors.New("scheme, host and port only: Traefik would ignore the rest")
	}
	if n, err := strconv.Atoi(u.Port()); u.Port() != "" && (err != nil || n < 1 || n > 65535) {
		return fmt.Errorf("%q is not a port", u.Port())
	}
	return nil
}

// hostAndPort reports whether a text is an address without its scheme. One with a path does not count: it may contain a
// secret.
func hostAndPort(text string) bool {
	u, err := url.Parse("http://" + text)
	return err == nil && u.Host == strings.TrimSuffix(text, "/") && u.Port() != ""
}

// schema is the compiled schema together with its JSON, in which messages look up what is expected.
type schema struct {
	compiled *jsonschema.Schema
	raw      map[string]any
	// words are the names of fields, and the values of enumerations.
	words []string
}

var loadSchema = sync.OnceValue(func() schema {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schemaJSON))
	if err != nil {
		panic(fmt.Sprintf("embedded schema: %v", err)) // a test reads it
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	for _, name := range slices.Sorted(maps.Keys(formats)) {
		c.RegisterFormat(&jsonschema.Format{Name: name, Validate: onlyScalars(formats[name])})
	}
	if err := c.AddResource(schemaPath, doc); err != nil {
		panic(fmt.Sprintf("embedded schema: %v", err))
	}
	return schema{c.MustCompile(schemaPath), doc.(map[string]any), slices.Compact(slices.Sorted(slices.Values(allWords(doc))))}
})

// allWords returns the names of fields and the values of enumerations in a schema.
func allWords(v any) []string {
	var out []string
	switch v := v.(type) {
	case map[string]any:
		out = append(properties(v), words(list(v["enum"]))...)
		for _, c := range v {
			out = append(out, allWords(c)...)
		}
	case []any:
		for _, c := range v {
			out = append(out, allWords(c)...)
		}
	}
	return out
}

// onlyScalars applies a format to scalars only: wrong types are reported by the keyword type.
func onlyScalars(f func(any) error) func(any) error {
	return func(v any) error {
		switch v.(type) {
		case string, json.Number:
			return f(v)
		}
		return nil
	}
}

// at finds the part of the schema that a violation names.
func (s schema) at(location string) map[string]any {
	_, pointer, _ := strings.Cut(location, "#")
	var v any = s.raw
	for p := range strings.SplitSeq(strings.Trim(pointer, "/"), "/") {
		if p, err := url.PathUnescape(p); err == nil && p != "" {
			p = strings.NewReplacer("~1", "/", "~0", "~").Replace(p)
			switch c := v.(type) {
			case map[string]any:
				v = c[p]
			case []any:
				if i, err := strconv.Atoi(p); err == nil && i >= 0 && i < len(c) {
					v = c[i]
				}
			}
		}
	}
	m, _ := v.(map[string]any)
	return m
}

// properties returns the keys that a map may have, sorted.
func properties(s map[string]any) []string {
	p, _ := s["properties"].(map[string]any)
	return slices.Sorted(maps.Keys(p))
}

// violations validates a document against the schema.
func (d document) violations() Errors {
	s := loadSchema()
	var invalid *jsonschema.ValidationError
	if err := s.compiled.Validate(d.root.value()); !errors.As(err, &invalid) {
		return nil
	}
	var out Errors
	var leaves func(v *jsonschema.ValidationError)
	leaves = func(v *jsonschema.ValidationError) {
		if len(v.Causes) == 0 && len(out) <= 2*maxErrors {
			out = append(out, d.violation(s, v)...)
		}
		for _, c := range v.Causes {
			leaves(c)
		}
	}
	leaves(invalid)
	return out
}

// violation puts one violation into words.
func (d document) violation(s schema, v *jsonschema.ValidationError) Errors {
	at := d.at(v.InstanceLocation...)
	part := s.at(v.SchemaURL)
	switch k := v.ErrorKind.(type) {
	case *kind.AdditionalProperties:
		return d.unknown(at, part, k.Properties)
	case *kind.Required:
		var out Errors
		for _, m := range k.Missing {
			out = append(out, at.child(m).errorf("is missing: expected %s%s", d.expectedAt(s, part, m), needed[m]))
		}
		return out
	case *kind.MinProperties, *kind.MaxProperties:
		return Errors{at.errorf("expected exactly one of %s; here %s", either(properties(part)), found(at))}
	case *kind.Enum:
		return Errors{at.errorf("%s", enum(at, k.Want))}
	case *kind.Format:
		if errors.Is(k.Err, errNot) {
			break
		}
		return Errors{at.errorf("expected %s: %s", expected(part), k.Err)}
	case *kind.MinItems:
		return Errors{at.errorf("expected at least %s", count(k.Want, "entry", "entries"))}
	case *kind.MaxItems:
		return Errors{at.errorf("expected at most %s, here are %d", count(k.Want, "entry", "entries"), k.Got)}
	case *kind.MinLength:
		return Errors{at.errorf("expected %s, found nothing", expected(part))}
	case *kind.Minimum, *kind.Maximum, *kind.ExclusiveMinimum, *kind.ExclusiveMaximum:
		return Errors{at.errorf("expected %s, got %s", limits(part), at.number())}
	}
	if at.node.what == isScalar && at.node.scalar != nil && !at.shows() {
		return Errors{at.errorf("expected %s; the value is not shown", expected(part))}
	}
	return Errors{at.errorf("expected %s, got %s%s%s", expected(part), at.describe(), asMap(at, part), asOne(at))}
}

// needed adds advice to the message that a field is missing.
var needed = map[string]string{
	"traffic": ". For what no gateway sends requests to, such as a worker of a queue, traffic: {replicas: {}} divides the work by pods",
}

// asOne says how to write several routes where one is expected.
func asOne(at place) string {
	if at.node.what != isList || at.path[len(at.path)-1] != "ingressRoute" {
		return ""
	}
	return ": several routes of one release are Gateway API's, traffic: {gatewayAPI: {httpRoute: [shop, shop-admin]}}"
}

// elsewhere maps words of other tools to their counterparts here.
//
//nolint:gosec // a weight is no credential
var elsewhere = map[string]string{
	"daemonSet":      "DaemonSets are not supported: a node runs one pod of it, so there is no room for a canary's",
	"httpRoute":      "Gateway API is a gateway of its own: traffic: {gatewayAPI: {httpRoute: shop}}",
	"grpcRoute":      "Gateway API is a gateway of its own: traffic: {gatewayAPI: {grpcRoute: shop}}",
	"setWeight":      "Argo Rollouts' weights are gray: {weights: [20%]} here",
	"pause":          "gate: {} asks a person, wait: {for: 10m} lets time pass",
	"setHeaderRoute": "users are picked by ab: {cohort: {header: {name: X-Group, value: beta}}, split: 50%}",
	"stepWeight":     "Flagger's weights are written out: gray: {weights: [10%, 20%, 30%]}",
	"stepWeights":    "Flagger's weights are gray: {weights: [10%, 20%, 30%]} here",
	"maxWeight":      "Flagger's weights are written out: gray: {weights: [10%, 20%, 30%]}",
	"kayenta": "no release is judged by a Kayenta configuration: serin analyze FILE judges a past window by " +
		"it, and Spinnaker's stages call Serin in Kayenta's place; for a release write its metrics here",
	"window": "windows belong to the spec of the rollout, for all of its steps: windows: [{days: [mon-thu], from: " +
		"\"09:00\", to: \"16:00\", zone: Europe/Berlin}]",
	"critical": "every metric is critical: a release fails as soon as one of them fails. Leave it out; optional: " +
		"true keeps a metric from holding a pass back",
}

// asMap says how to write a text where a map with a name is expected.
func asMap(at place, part map[string]any) string {
	own, _ := part["properties"].(map[string]any)
	text, is := at.node.scalar.(string)
	if !is || own["name"] == nil {
		return ""
	}
	name, value, both := strings.Cut(text, ":")
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	switch {
	case both && own["value"] != nil && headerName.MatchString(name) && value != "":
		return fmt.Sprintf(": write {name: %s, value: %s}", name, value)
	case !both && sourceForm.MatchString(name):
		return fmt.Sprintf(": write {name: %s}", name)
	}
	return ""
}

func (d document) unknown(at place, part map[string]any, keys []string) Errors {
	var out Errors
	slices.Sort(keys)
	for _, key := range keys {
		what := meant(key, properties(part))
		if own, ok := elsewhere[key]; ok {
			what = own
		}
		out = append(out, at.child(key).atKey().errorf("unknown field: %s", what))
	}
	return out
}

// expectedAt says what a missing field of a map would hold.
func (d document) expectedAt(s schema, part map[string]any, key string) string {
	p, _ := part["properties"].(map[string]any)
	f, _ := p[key].(map[string]any)
	return expected(s.follow(f))
}

func (s schema) follow(part map[string]any) map[string]any {
	if ref, ok := part["$ref"].(string); ok {
		return s.at(ref)
	}
	return part
}

// expected says what a part of the schema takes.
func expected(part map[string]any) string {
	if e, ok := part["x-expected"].(string); ok {
		return e
	}
	if want := list(part["enum"]); want != nil {
		return either(words(want))
	}
	switch t, _ := part["type"].(string); t {
	case "object":
		if must := words(list(part["required"])); len(must) > 0 {
			return "a map with " + strings.Join(must, " and ")
		}
		if p := properties(part); len(p) > 0 {
			return "a map with " + either(p)
		}
		return "a map"
	case "array":
		return "a list"
	case "integer":
		return "a whole number"
	case "number":
		return "a number"
	case "boolean":
		return "true or false"
	}
	return "text"
}

// limits says which numbers are accepted.
func limits(part map[string]any) string {
	var out []string
	for _, l := range []struct{ key, word string }{
		{"minimum", "at least"}, {"exclusiveMinimum", "above"}, {"maximum", "at most"}, {"exclusiveMaximum", "below"},
	} {
		if v, ok := part[l.key]; ok {
			out = append(out, fmt.Sprintf("%s %v", l.word, v))
		}
	}
	return expected(part) + ", " + strings.Join(out, " and ")
}

func enum(at place, want []any) string {
	n := at.node
	w := words(want)
	if n.what == isScalar && n.scalar != nil && at.shows() {
		if best, ok := spelling.Nearest(n.text, w); ok {
			return fmt.Sprintf("expected %s, got %s: did you mean %q?", either(w), quote(n.text), best)
		}
		return fmt.Sprintf("expected %s, got %s", either(w), quote(n.text))
	}
	return fmt.Sprintf("expected %s, got %s", either(w), at.describe())
}

func list(v any) []any {
	l, _ := v.([]any)
	return l
}

func words(values []any) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = fmt.Sprint(v)
	}
	return out
}

func found(at place) string {
	n := at.node
	switch len(n.entries) {
	case 0:
		return "is none"
	case 1:
		return "is " + at.src.keyText(n.entries[0])
	}
	keys := make([]string, len(n.entries))
	for i, e := range n.entries {
		keys[i] = at.src.keyText(e)
	}
	return "are " + strings.Join(keys[:len(keys)-1], ", ") + " and " + keys[len(keys)-1]
}

func count(n int, singular, plural string) string {
	if n == 1 {
		return "one " + singular
	}
	return fmt.Sprintf("%d %s", n, plural)
}
