package traefikfile

import (
	"errors"
	"fmt"
	"strings"

	"github.com/traefik/traefik/v3/pkg/config/dynamic"
	"github.com/traefik/traefik/v3/pkg/observability/types"
	"gopkg.in/yaml.v3" // the one Traefik reads with

	"github.com/serindev/serin/traffic/traefikapi"
)

// ownerMark precedes the rollout's name in the comment that marks a file as Serin's.
const ownerMark = "# serin.dev/rollout: "

// action opens an action of text/template. Traefik runs every file through one before it reads the YAML.
const action = "{{"

// encode returns the content of the file. Traefik gets all values unchanged, because anything that could be an action of its
// template is written as a YAML escape. The result is read back and compared.
func encode(rollout string, want *dynamic.Configuration) ([]byte, error) {
	body, err := toYAML(want)
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	text := "# Serin writes this file. It reverts changes to it; keep entries of your own in another file.\n" +
		ownerMark + rollout + "\n" + body
	c, err := parse([]byte(text), rollout)
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	if c.broken != "" {
		return nil, errors.New("encode: Traefik could not read it: " + c.broken)
	}
	if d := traefikapi.CompareAll(want, c.config, true); len(d) > 0 {
		return nil, fmt.Errorf("encode: Traefik would read it differently: %s", strings.Join(traefikapi.Texts(d), "; "))
	}
	return []byte(text), nil
}

// toYAML returns YAML without template actions.
func toYAML(want *dynamic.Configuration) (string, error) {
	var node yaml.Node
	if err := node.Encode(want); err != nil {
		return "", err
	}
	quoteActions(&node)
	leaveOut(&node, "")
	var body strings.Builder
	encoder := yaml.NewEncoder(&body)
	encoder.SetIndent(2)
	if err := errors.Join(encoder.Encode(&node), encoder.Close()); err != nil {
		return "", err
	}
	return strings.ReplaceAll(body.String(), action, `{\x7b`), nil
}

// newer are fields, by the field that holds them, that the first versions of Traefik 3 do not know: they refuse a file with them
// as a whole. They are left out where they have the value that Traefik takes by itself.
var newer = map[string]struct{ field, value string }{
	"loadBalancer":  {"strategy", string(dynamic.BalancerStrategyWRR)},
	"cookie":        {"path", "/"},
	"mirroring":     {"mirrorBody", "true"},
	"observability": {"traceVerbosity", string(types.MinimalVerbosity)},
}

// leaveOut leaves out what [newer] says, in n, which is the value of a field.
func leaveOut(n *yaml.Node, field string) {
	if n.Kind != yaml.MappingNode {
		for _, c := range n.Content {
			leaveOut(c, "")
		}
		return
	}
	var kept []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if out, ok := newer[field]; ok && key.Value == out.field && value.Value == out.value {
			continue
		}
		leaveOut(value, key.Value)
		kept = append(kept, key, value)
	}
	n.Content = kept
}

// quoteActions puts scalars that contain an action into double quotes, within which YAML has escapes.
func quoteActions(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && strings.Contains(n.Value, action) {
		n.Style = yaml.DoubleQuotedStyle
	}
	for _, c := range n.Content {
		quoteActions(c)
	}
}
