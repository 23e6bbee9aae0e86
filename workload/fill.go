package workload

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Fill replaces each ${name} by its value. It returns an error, and no text, for a name without a value and for an
// unclosed ${.
func Fill(text string, values map[string]string) (string, error) {
	return FillEscaped(text, values, func(v string) string { return v })
}

// FillEscaped is [Fill] with each value escaped for where it is inserted.
func FillEscaped(text string, values map[string]string, escape func(string) string) (string, error) {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(text, "${")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		name, rest, closed := strings.Cut(after, "}")
		if !closed {
			return "", fmt.Errorf("${%s is not closed by }", name)
		}
		v, ok := values[name]
		if !ok {
			return "", fmt.Errorf("${%s} has no value", name)
		}
		b.WriteString(escape(v))
		text = rest
	}
}

// FillAddress fills an address: everything in a value but letters, digits and -._~ becomes %XX, so that the value stays
// inside its part of the path or query. A value that makes a part of the path . or .. is an error: these lead elsewhere, and
// escaping does not help.
func FillAddress(text string, values map[string]string) (string, error) {
	out, err := FillEscaped(text, values, func(v string) string { return strings.ReplaceAll(url.QueryEscape(v), "+", "%20") })
	if err != nil {
		return "", err
	}
	template, _, _ := strings.Cut(text, "?")
	path, _, _ := strings.Cut(out, "?")
	parts := strings.Split(path, "/")
	if i := slices.IndexFunc(parts, func(p string) bool { return p == "." || p == ".." }); i >= 0 && strings.Contains(template, "${") {
		return "", fmt.Errorf("%q would lead elsewhere", parts[i])
	}
	return out, nil
}

// FillJSON replaces each ${name} in the strings of a JSON document; keys, numbers and the document's shape stay as they are,
// whatever the values contain.
func FillJSON(doc json.RawMessage, values map[string]string) (json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("read JSON: %w", err)
	}
	v, err := fillValue(v, values)
	if err != nil {
		return nil, err
	}
	return json.Marshal(v)
}

func fillValue(v any, values map[string]string) (any, error) {
	var err error
	switch v := v.(type) {
	case string:
		return Fill(v, values)
	case []any:
		for i := range v {
			if v[i], err = fillValue(v[i], values); err != nil {
				return nil, fmt.Errorf("[%d]: %w", i, err)
			}
		}
	case map[string]any:
		for k := range v {
			if v[k], err = fillValue(v[k], values); err != nil {
				return nil, fmt.Errorf("%s: %w", k, err)
			}
		}
	}
	return v, nil
}
