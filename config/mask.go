package config

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/token"

	"github.com/serindev/serin/internal/spelling"
)

// What errors show of a file depends on where it is in the document, not on what it looks like: a value is shown where
// the schema has a plain, non-secret value, a key where the schema knows it. Everything else is masked with stars:
// secrets, whatever is below unknown keys, comments, and all values of a document that cannot be parsed, since their
// place is not known. Only the schema's own words are shown wherever they are. So no mistake on the same line can
// reveal a secret.

// spot is a place in a file: line and column, both from 1.
type spot struct{ line, column int }

// visibility says which keys and values may be shown; those not in it may not. A value that an alias reaches a second time
// is shown only if both ways allow it.
type visibility map[spot]bool

func (v visibility) put(line, column int, shown bool) {
	at := spot{line, column}
	before, known := v[at]
	v[at] = shown && (before || !known)
}

// document marks the parts of a document that may be shown.
func (v visibility) document(root *node) {
	s := loadSchema()
	part := s.raw
	if kind, ok := root.get("kind"); ok && slices.Contains(kinds, kind.value.text) {
		part = s.at("#/$defs/" + kind.value.text + "Document")
	}
	v.mark(s, root, part)
}

// mark marks n and everything below it; part is the schema for it, nil where the schema has nothing to say.
func (v visibility) mark(s schema, n *node, part map[string]any) {
	part = s.follow(part)
	switch n.what {
	case isMap:
		own, _ := part["properties"].(map[string]any)
		others, _ := part["additionalProperties"].(map[string]any)
		for _, e := range n.entries {
			child, known := own[e.key].(map[string]any)
			v.put(e.line, e.column, known || shownKey(e, part, s.follow(others)))
			if !known {
				child = others
			}
			v.mark(s, e.value, child)
		}
	case isList:
		items, ok := part["items"].(map[string]any)
		if !ok { // a list in the place of a single value
			items = part
		}
		for _, c := range n.list {
			v.mark(s, c, items)
		}
	case isScalar:
		v.put(n.line, n.column, s.shownScalar(n, part))
	}
}

// shownScalar reports whether a scalar may be shown: the schema knows its place, and has no secret there or below, or the
// text is a field's name, as in "- promote".
func (s schema) shownScalar(n *node, part map[string]any) bool {
	return slices.Contains(properties(part), n.text) || len(part) > 0 && !s.secret(part, map[string]bool{})
}

// secret tells whether a part of the schema is a secret, or has one below.
func (s schema) secret(part map[string]any, seen map[string]bool) bool {
	if ref, ok := part["$ref"].(string); ok {
		if seen[ref] {
			return false
		}
		seen[ref] = true
		part = s.at(ref)
	}
	if is, _ := part["x-secret"].(bool); is {
		return true
	}
	for _, below := range []string{"items", "additionalProperties"} {
		if c, ok := part[below].(map[string]any); ok && s.secret(c, seen) {
			return true
		}
	}
	own, _ := part["properties"].(map[string]any)
	for _, c := range own {
		if c, ok := c.(map[string]any); ok && s.secret(c, seen) {
			return true
		}
	}
	return false
}

// fieldName matches what keys look like, but not addresses, nor headers with their values.
var fieldName = regexp.MustCompile(`^[A-Za-z][-_A-Za-z0-9]{0,39}$`)

// shownKey reports whether a key that the schema does not name may be shown. A key without a value is often a value
// whose key was forgotten.
func shownKey(e entry, part, values map[string]any) bool {
	alone := e.value.what == isScalar && e.value.scalar == nil
	if secret, _ := values["x-secret"].(bool); secret {
		return headerName.MatchString(e.key) && !alone
	}
	if len(values) > 0 {
		return true // a map with names of the author's choice
	}
	if len(properties(part)) == 0 {
		return false // no map belongs here
	}
	if _, near := spelling.Nearest(e.key, properties(part)); near {
		return true
	}
	return fieldName.MatchString(e.key) && !alone
}

// visible is what may be shown of this file, computed when an error needs it.
func (s *source) visible() visibility {
	s.once.Do(func() {
		s.marks = visibility{}
		for _, p := range s.parts {
			if p.root != nil {
				s.marks.document(p.root)
			}
		}
	})
	return s.marks
}

// shows reports whether a message may quote the value at a place.
func (p place) shows() bool { return p.src.visible()[spot{p.node.line, p.node.column}] }

// describe says what is at a place, as far as that may be shown.
func (p place) describe() string {
	if p.node.what == isScalar && p.node.scalar != nil && !p.shows() {
		return "something that is not shown"
	}
	return p.node.describe()
}

// number returns the text of a number.
func (p place) number() string {
	if !p.shows() {
		return "another one"
	}
	return p.node.text
}

// hiddenKey stands for a key in a path or a message.
const hiddenKey = "***"

// keyText is a key as messages show it.
func (s *source) keyText(e entry) string {
	if s.visible()[spot{e.line, e.column}] {
		return e.key
	}
	return hiddenKey
}

// masks holds the lines of one file as they may be shown, by line number from 1.
type masks struct {
	src   *source
	lines map[int]string
	done  map[int]bool // the parts already in lines, by number
}

// line returns a line in which every character that may not be shown is a star.
func (m *masks) line(number int) string {
	at := -1
	for i, p := range m.src.parts {
		if p.before < number {
			at = i
		}
	}
	if at < 0 {
		return ""
	}
	if !m.done[at] {
		m.done[at] = true
		m.part(m.src.parts[at])
	}
	return m.lines[number]
}

// part masks the lines of one document. If the lexer fails, nothing is shown.
func (m *masks) part(p part) {
	defer func() { _ = recover() }() //nolint:errcheck // goccy's, for input that it does not expect
	tokens := lexer.Tokenize(p.text)
	if len(tokens) > maxTokens {
		return
	}
	tokens = rejoin(tokens)
	for i := range strings.Count(p.text, "\n") {
		if number := p.before + i + 1; number <= len(m.src.lines) && len(m.src.lines[number-1]) <= maxLine {
			m.lines[number] = m.src.lines[number-1]
		}
	}
	starred := map[int][]rune{}
	for number, line := range m.lines {
		if number > p.before {
			starred[number] = []rune(covered(line))
		}
	}
	sure := m.src.visible()
	var block bool // the token before was the | or > of a text that may be shown
	for _, t := range tokens {
		if t.Position == nil {
			continue
		}
		at := spot{p.before + t.Position.Line, max(t.Position.Column, 1)}
		shown := sign(t) || block || sure[at] || slices.Contains(vocabulary(), t.Value)
		block = isBlock(t) && sure[at]
		if shown {
			m.uncover(starred, at, t)
		}
	}
	for number, runes := range starred {
		m.lines[number] = addresses(string(runes))
	}
}

// covered returns a line of stars, except for blanks and a document separator.
func covered(line string) string {
	if marker(line, "---") {
		return "---" + covered(line[3:])
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return r
		}
		return '*'
	}, line)
}

// uncover removes the stars from a token: each of its lines, if the file has it at the place that the lexer reports.
// Whatever the lexer reports, only this token's own text is revealed.
func (m *masks) uncover(starred map[int][]rune, at spot, t *token.Token) {
	text := strings.Trim(t.Origin, "\n")
	for i, own := range strings.Split(text, "\n") {
		if own = strings.TrimSpace(own); own == "" {
			continue
		}
		for _, number := range []int{at.line + i, at.line + i - 1, at.line + i + 1} { // for block text the lexer's line may be off by one
			line, want := []rune(m.lines[number]), []rune(own)
			column := at.column
			if number != at.line && t.Prev != nil && !isBlock(t.Prev) {
				break
			}
			if i > 0 || column > len(line) || number != at.line {
				column = len(line) - len([]rune(strings.TrimLeftFunc(m.lines[number], unicode.IsSpace))) + 1
			}
			if column-1+len(want) <= len(line) && len(starred[number]) == len(line) && string(line[column-1:column-1+len(want)]) == own {
				copy(starred[number][column-1:], want)
				break
			}
		}
	}
}

func isBlock(t *token.Token) bool { return t.Type == token.LiteralType || t.Type == token.FoldedType }

// sign reports whether a token is YAML punctuation.
func sign(t *token.Token) bool {
	switch t.Type {
	case token.SequenceEntryType, token.MappingKeyType, token.MappingValueType, token.MergeKeyType, token.CollectEntryType,
		token.SequenceStartType, token.SequenceEndType, token.MappingStartType, token.MappingEndType,
		token.AnchorType, token.AliasType, token.LiteralType, token.FoldedType:
		return len(t.Value) <= 2 && strings.Trim(t.Value, "-?:<,[]{}&*|>+") == ""
	}
	return false
}

// vocabulary holds the words of the schema, which may be shown anywhere.
func vocabulary() []string { return loadSchema().words }

// address: the part before @ may be a password, the query a token, and with schemes other than the web's all of it.
var address = regexp.MustCompile(`[A-Za-z][-+.A-Za-z0-9]*://[^\s,"'}\]?]+(\?[^\s"']*)?`)

// addresses masks users, passwords and queries in addresses.
func addresses(line string) string {
	stars := func(s string) string { return strings.Repeat("*", utf8.RuneCountInString(s)) }
	return address.ReplaceAllStringFunc(line, func(a string) string {
		scheme, rest, _ := strings.Cut(a, "://")
		if scheme != "http" && scheme != "https" && scheme != "h2c" {
			return scheme + "://" + stars(rest)
		}
		rest, query, asks := strings.Cut(rest, "?")
		user := strings.LastIndexByte(rest, '@') + 1
		out := scheme + "://" + stars(rest[:user]) + rest[user:]
		if asks {
			out += "?" + stars(query)
		}
		return out
	})
}
