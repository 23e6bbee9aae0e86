package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// place is a position in a document where something is, or would be if it were there.
type place struct {
	src  *source
	path []string
	// shown is the path as it may be shown.
	shown []string
	node  *node // what is there; if it is missing, the map that it is missing from
	line  int
	col   int
	key   *entry // the key whose value is here
	gone  bool   // nothing is there
}

// at finds a place by keys and indices, as far as the document goes.
func (d document) at(path ...string) place {
	p := place{src: d.src, node: d.root, line: d.root.line, col: d.root.column}
	for _, step := range path {
		p = p.child(step)
	}
	return p
}

// child is the place of a key or an index below.
func (p place) child(step string) place {
	out := p
	out.path, out.shown = append(slices.Clip(p.path), step), append(slices.Clip(p.shown), step)
	if p.gone {
		return out
	}
	switch p.node.what {
	case isMap:
		if e, ok := p.node.get(step); ok {
			out.node, out.key, out.line, out.col = e.value, &e, e.value.line, e.value.column
			out.shown[len(out.shown)-1] = p.src.keyText(e)
			if e.value.what == isScalar && e.value.scalar == nil { // an empty value has no text to point at
				out.line, out.col = e.line, e.column
			}
			return out
		}
	case isList:
		if i, err := strconv.Atoi(step); err == nil && i >= 0 && i < len(p.node.list) {
			n := p.node.list[i]
			out.node, out.key, out.line, out.col = n, nil, n.line, n.column
			return out
		}
	case isScalar:
	}
	out.gone = true
	if p.key != nil { // what is missing is reported at the key above
		out.line, out.col = p.key.line, p.key.column
	}
	return out
}

// item is the place of entry i of a list, or the place itself if a single value is written in place of a list.
func (p place) item(i int) place {
	if p.node != nil && p.node.what == isList {
		return p.in(i)
	}
	return p
}

// in is a place further below.
func (p place) in(path ...any) place {
	for _, step := range path {
		p = p.child(fmt.Sprint(step))
	}
	return p
}

// atKey points at the key instead of its value.
func (p place) atKey() place {
	if p.key != nil && !p.gone {
		p.line, p.col = p.key.line, p.key.column
	}
	return p
}

// errorf is an error at this place.
func (p place) errorf(format string, args ...any) Error {
	return Error{File: p.src.name, Line: p.line, Column: p.col, Path: p.String(), Message: fmt.Sprintf(format, args...), src: p.src}
}

// String returns the path as people write it: steps[0].gray.weights[2], without a leading spec.
func (p place) String() string {
	path := p.shown
	if len(path) > 1 && path[0] == "spec" {
		path = path[1:]
	}
	var b strings.Builder
	for i, s := range path {
		if _, err := strconv.Atoi(s); err == nil && i > 0 {
			b.WriteString("[" + s + "]")
			continue
		}
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(strings.Map(printable, s))
	}
	return b.String()
}

// where is the place in short, for messages about another one: FILE:LINE, or an object's name.
func (p place) where() string {
	if len(p.src.lines) == 0 {
		return p.src.name
	}
	return fmt.Sprintf("%s:%d", p.src.name, p.line)
}
