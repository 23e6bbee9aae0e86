package traefikfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// ownForms match what follows a rollout's name in the names of its entries, by protocol and section. They include entries of
// routes and ports that the document no longer has.
var ownForms = map[string]map[string]*regexp.Regexp{
	"http": {
		"routers":     regexp.MustCompile(`^(-route-\d+|(-ab|-mirrored|-previewed)(-\d+)?)?$`),
		"services":    regexp.MustCompile(`^(-ab|-mirrored|-previewed)?(-port-\d+)?(-stable|-canary)?$`),
		"middlewares": regexp.MustCompile(`^(-rate-limit|-circuit-breaker)$`),
	},
	"tcp": {
		"routers":  regexp.MustCompile(`^$`),
		"services": regexp.MustCompile(`^(-stable|-canary)?$`),
	},
}

// isOwn reports whether an entry is the rollout's.
func isOwn(rollout string, form *regexp.Regexp, name string) bool {
	rest, ok := strings.CutPrefix(name, rollout)
	return ok && form.MatchString(rest)
}

// ours returns the rollout's part of a file, as YAML, and an [ErrForeign] that names the first foreign entry, or nil if there
// is none. If there is a second document or the file is not YAML, it returns only an error: [ErrForeign] in the former case.
func ours(data []byte, rollout string) (part []byte, others error) {
	doc, err := document(data)
	if err != nil {
		return nil, err
	}
	others = sift(doc, rollout, func(bool) bool { return true })
	if others == nil {
		return data, nil
	}
	_ = sift(doc, rollout, func(own bool) bool { return own })
	part, err = yaml.Marshal(doc)
	if err != nil {
		return nil, others // the rollout's part cannot be separated
	}
	return part, others
}

// document returns the only document of a file.
func document(data []byte) (*yaml.Node, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	if err := decoder.Decode(&doc); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: it has a second document", ErrForeign)
	}
	return &doc, nil
}

// sift removes the entries of a document that keep rejects; keep's argument is whether an entry is the rollout's. It returns an
// [ErrForeign] that names the first foreign entry, or nil.
func sift(doc *yaml.Node, rollout string, keep func(own bool) bool) (others error) {
	foreign := func(format string, args ...any) bool {
		if others == nil {
			others = fmt.Errorf("%w: it has %q", ErrForeign, fmt.Sprintf(format, args...))
		}
		return keep(false)
	}
	filter(top(doc), func(section string, value *yaml.Node) bool {
		kinds := ownForms[section]
		if kinds == nil {
			return foreign("%s", section)
		}
		filter(value, func(kind string, value *yaml.Node) bool {
			form := kinds[kind]
			if form == nil {
				return foreign("%s.%s", section, kind)
			}
			filter(value, func(name string, _ *yaml.Node) bool {
				if !isOwn(rollout, form, name) {
					return foreign("%s.%s.%s", section, kind, name)
				}
				return keep(true)
			})
			return !emptied(value)
		})
		return !emptied(value)
	})
	return others
}

// emptied reports whether a map has no entries. Traefik refuses a file with an empty section.
func emptied(n *yaml.Node) bool { return n.Kind == yaml.MappingNode && len(n.Content) == 0 }

// top returns a document's value.
func top(doc *yaml.Node) *yaml.Node {
	if doc.Kind == yaml.DocumentNode && len(doc.Content) == 1 {
		return doc.Content[0]
	}
	return doc
}

// filter removes the entries of a map that keep rejects. It ignores anything that is not a map.
func filter(n *yaml.Node, keep func(key string, value *yaml.Node) bool) {
	if n.Kind != yaml.MappingNode {
		return
	}
	var left []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		if keep(n.Content[i].Value, n.Content[i+1]) {
			left = append(left, n.Content[i], n.Content[i+1])
		}
	}
	n.Content = left
}

// withOthers returns Serin's new file with the foreign entries of the old one added.
func withOthers(ours, old []byte, rollout string) ([]byte, error) {
	into, err := document(ours)
	if err != nil {
		return nil, err
	}
	from, err := document(old)
	if err != nil {
		return nil, err
	}
	if aliased(from) {
		return nil, errors.New("it has aliases, which may connect entries of both")
	}
	_ = sift(from, rollout, func(own bool) bool { return !own })
	join(top(into), top(from))
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	err = errors.Join(encoder.Encode(into), encoder.Close())
	return out.Bytes(), err
}

func aliased(n *yaml.Node) bool {
	return n.Kind == yaml.AliasNode || slices.ContainsFunc(n.Content, aliased)
}

// join adds to a map the entries of another one that it lacks, and recurses into those that both have.
func join(into, from *yaml.Node) {
	if into.Kind != yaml.MappingNode || from.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(from.Content); i += 2 {
		k := -1
		for n := 0; n+1 < len(into.Content) && k < 0; n += 2 {
			if into.Content[n].Value == from.Content[i].Value {
				k = n
			}
		}
		if k < 0 {
			into.Content = append(into.Content, from.Content[i], from.Content[i+1])
			continue
		}
		join(into.Content[k+1], from.Content[i+1])
	}
}
