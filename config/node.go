package config

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// node is a place in a document: a scalar, a list or a map, with anchors, aliases and merge keys resolved. An
// alias shares the node of its anchor, so violations inside it are placed where the text is.
type node struct {
	line, column int
	// text is a scalar as written.
	text string
	// scalar is nil, bool, json.Number or string; it means nothing for lists and maps.
	scalar  any
	list    []*node
	entries []entry
	what    shape
	// size counts the nodes below, with aliases expanded; deep is the number of their levels.
	size, deep int
}

type shape int

const (
	isScalar shape = iota
	isList
	isMap
)

// entry is a key of a map with its value and its position.
type entry struct {
	key          string
	line, column int
	value        *node
}

// get finds a key of a map.
func (n *node) get(key string) (entry, bool) {
	if n != nil {
		for _, e := range n.entries {
			if e.key == key {
				return e, true
			}
		}
	}
	return entry{}, false
}

// value returns the plain value that JSON Schema and encoding/json understand.
func (n *node) value() any {
	switch n.what {
	case isList:
		out := make([]any, len(n.list))
		for i, c := range n.list {
			out[i] = c.value()
		}
		return out
	case isMap:
		out := make(map[string]any, len(n.entries))
		for _, e := range n.entries {
			out[e.key] = e.value.value()
		}
		return out
	case isScalar:
	}
	return n.scalar
}

// describe says in words what is at a place.
func (n *node) describe() string {
	switch n.what {
	case isList:
		return "a list"
	case isMap:
		return "a map"
	case isScalar:
	}
	switch n.scalar.(type) {
	case nil:
		return "nothing"
	case string:
		return "the text " + quote(n.text)
	case json.Number:
		return "the number " + n.text
	}
	return n.text
}

// builder makes nodes from goccy's syntax tree.
type builder struct {
	anchors map[string]*node
	lines   int // lines of the file before this document
	errs    []Error
}

func (b *builder) fail(t *token.Token, format string, args ...any) {
	line, column := b.place(t)
	b.errs = append(b.errs, Error{Line: line, Column: column, Message: fmt.Sprintf(format, args...)})
}

// enough reports whether there are so many errors that further ones would not be shown.
func (b *builder) enough() bool { return len(b.errs) > 2*maxErrors }

func (b *builder) place(t *token.Token) (line, column int) {
	if t == nil || t.Position == nil {
		return b.lines + 1, 1
	}
	return b.lines + t.Position.Line, max(t.Position.Column, 1)
}

// build returns the node for n; after an error it is a placeholder, and the error is in b.errs.
func (b *builder) build(n ast.Node, depth int) *node {
	out := &node{size: 1, deep: 1}
	if n == nil {
		return out
	}
	out.line, out.column = b.place(n.GetToken())
	if depth > maxDepth {
		b.fail(n.GetToken(), "nested more than %d levels deep", maxDepth)
		return out
	}
	switch n := n.(type) {
	case *ast.AnchorNode:
		return b.anchor(n, depth)
	case *ast.AliasNode:
		return b.alias(n, depth, out)
	case *ast.TagNode:
		return b.tagged(n, depth)
	case *ast.SequenceNode:
		out.what = isList
		for _, v := range n.Values {
			out.add(b.build(v, depth+1))
			if b.tooLarge(n.GetToken(), out) || b.enough() {
				break
			}
		}
	case *ast.MappingNode:
		b.mapping(out, n.Values, n.IsFlowStyle, depth)
	case *ast.MappingValueNode:
		b.mapping(out, []*ast.MappingValueNode{n}, n.IsFlowStyle, depth)
	default:
		b.scalar(out, n)
	}
	return out
}

func (n *node) add(child *node) {
	n.list = append(n.list, child)
	n.size, n.deep = n.size+child.size, max(n.deep, child.deep+1)
}

func (b *builder) tooLarge(t *token.Token, n *node) bool {
	if n.size <= maxNodes {
		return false
	}
	if len(b.errs) == 0 || !strings.HasPrefix(b.errs[len(b.errs)-1].Message, "more than") {
		b.fail(t, "more than %d values once every alias is written out", maxNodes)
	}
	n.list, n.entries, n.size = nil, nil, 1
	return true
}

func (b *builder) anchor(n *ast.AnchorNode, depth int) *node {
	v := b.build(n.Value, depth+1)
	if n.Name != nil {
		b.anchors[n.Name.GetToken().Value] = v // only now: an anchor cannot hold itself
	}
	return v
}

func (b *builder) alias(n *ast.AliasNode, depth int, out *node) *node {
	name := ""
	if n.Value != nil {
		name = n.Value.GetToken().Value
	}
	v, ok := b.anchors[name]
	if !ok {
		b.fail(n.GetToken(), "no anchor of this name comes before this alias; text that begins with * needs quotes")
		return out
	}
	if depth+v.deep > maxDepth {
		b.fail(n.GetToken(), "nested more than %d levels deep", maxDepth)
		return out
	}
	return v
}

// tagged honours !!str, which quotes a value; a configuration needs no other tag.
func (b *builder) tagged(n *ast.TagNode, depth int) *node {
	v := b.build(n.Value, depth+1)
	if tag := n.GetToken().Value; tag != "!!str" || v.what != isScalar {
		b.fail(n.GetToken(), "tags other than !!str are not supported; text that begins with ! needs quotes")
		return v
	}
	c := *v
	c.scalar = c.text
	if v.scalar == nil {
		c.scalar = ""
	}
	return &c
}

func (b *builder) mapping(out *node, values []*ast.MappingValueNode, flow bool, depth int) {
	out.what = isMap
	own := map[string]entry{}
	var merged []entry
	for i, mv := range values {
		if b.enough() {
			return
		}
		key, line, column, ok := b.key(mv)
		if i == 0 && !flow {
			out.line, out.column = line, column
		}
		value := b.build(mv.Value, depth+1)
		switch {
		case !ok:
			continue
		case mv.Key.IsMergeKey():
			merged = append(merged, b.merge(mv, value)...)
			continue
		}
		if first, twice := own[key]; twice {
			b.errs = append(b.errs, Error{Line: line, Column: column,
				Message: fmt.Sprintf("this key appears twice; first in line %d", first.line)})
			continue
		}
		e := entry{key, line, column, value}
		own[key] = e
		out.put(e)
		if b.tooLarge(mv.GetToken(), out) {
			return
		}
	}
	for _, e := range merged { // the map's own keys take precedence over merged ones, and earlier merges over later ones
		if _, there := out.get(e.key); !there {
			out.put(e)
		}
	}
	b.tooLarge(nil, out)
}

func (n *node) put(e entry) {
	n.entries = append(n.entries, e)
	n.size, n.deep = n.size+e.value.size, max(n.deep, e.value.deep+1)
}

func (b *builder) key(mv *ast.MappingValueNode) (key string, line, column int, ok bool) {
	if mv.Key == nil {
		line, column = b.place(mv.GetToken())
		return "", line, column, false
	}
	t := mv.Key.GetToken()
	line, column = b.place(t)
	switch k := mv.Key.(type) {
	case *ast.StringNode:
		return k.Value, line, column, true
	case *ast.MergeKeyNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode:
		return t.Value, line, column, true
	}
	b.fail(t, "a key has to be plain text")
	return "", line, column, false
}

func (b *builder) merge(mv *ast.MappingValueNode, value *node) []entry {
	switch value.what {
	case isMap:
		return value.entries
	case isList:
		var out []entry
		for _, v := range value.list {
			if v.what == isMap {
				out = append(out, v.entries...)
			}
		}
		return out
	case isScalar:
	}
	b.fail(mv.Key.GetToken(), "<< merges a map, and none follows it")
	return nil
}

func (b *builder) scalar(out *node, n ast.Node) {
	t := n.GetToken()
	out.text = t.Value
	switch n := n.(type) {
	case *ast.StringNode:
		out.scalar, out.text = n.Value, n.Value
	case *ast.LiteralNode:
		out.scalar = ""
		if n.Value != nil {
			out.scalar, out.text = n.Value.Value, n.Value.Value
		}
	case *ast.NullNode:
	case *ast.BoolNode:
		out.scalar = n.Value
	case *ast.IntegerNode:
		out.scalar = integer(n.Value, t.Value)
	case *ast.FloatNode:
		if math.IsNaN(n.Value) || math.IsInf(n.Value, 0) {
			b.fail(t, "%s is not a number that means anything here", t.Value)
			return
		}
		out.scalar = json.Number(strconv.FormatFloat(n.Value, 'g', -1, 64))
	case *ast.InfinityNode, *ast.NanNode:
		b.fail(t, "%s is not a number that means anything here", t.Value)
	default:
		b.fail(t, "this is not supported here")
	}
}

// integer returns the number as JSON writes it. One that does not fit stays text, and the schema refuses that.
func integer(v any, text string) any {
	switch v := v.(type) {
	case int64:
		return json.Number(strconv.FormatInt(v, 10))
	case uint64:
		return json.Number(strconv.FormatUint(v, 10))
	}
	return text
}
