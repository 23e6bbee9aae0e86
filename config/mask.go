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

// What errors show of a file is decided by where it stands in its document, not by what it looks like: a value is shown
// where the schema has a plain, non-secret value, a key where the schema knows it. Everything else is covered by stars:
// secrets, what stands under unknown keys, comments, and all values of a document that cannot be read, as their place is
// not known; the schema's own words excepted, wherever they stand. So a mistake in the same line, whatever it is, brings no secret to light.

// spot is a place in a file: line and column, both from 1.
type spot struct{ line, column int }

// visibility says of the places of keys and values whether they may be shown; a place that is not in it may not. What is
// reached in two ways, by an alias, is shown only if it may be on both.
type visibility map[spot]bool

func (v visibility) put(line, column int, shown bool) {
	at := spot{line, column}
	before, known := v[at]
	v[at] = shown && (before || !known)
}

// document marks what may be shown of a document.
func (v visibility) document(root *node) {
	s := loadSchema()
	part := s.raw
	if kind, ok := root.get("kind"); ok && slices.Contains(kinds, kind.value.text) {
		part = s.at("#/$defs/" + kind.value.text + "Document")
	}
	v.mark(s, root, part)
}

// mark marks what is at n and below; part is the schema there, nil where it has nothing to say.
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
		if !ok { // a list of what should be there once
			items = part
		}
		for _, c := range n.list {
			v.mark(s, c, items)
		}
	case isScalar:
		v.put(n.line, n.column, s.shownScalar(n, part))
	}
}

// shownScalar: the schema knows what is here, and has no secret here or below, or the text is a field's name, as in
// "- promote".
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

// fieldName is what keys look like; addresses, and headers with their values, do not.
var fieldName = regexp.MustCompile(`^[A-Za-z][-_A-Za-z0-9]{0,39}$`)

// shownKey tells whether a key that the schema does not name may be shown. A key without a value is often a value whose
// key was forgotten.
func shownKey(e entry, part, values map[string]any) bool {
	alone := e.value.what == isScalar && e.value.scalar == nil
	if secret, _ := values["x-secret"].(bool); secret {
		return headerName.MatchString(e.key) && !alone
	}
	if len(values) > 0 {
		return true // a map of the author's own names
	}
	if len(properties(part)) == 0 {
		return false // no map belongs here
	}
	if _, near := spelling.Nearest(e.key, properties(part)); near {
		return true
	}
	return fieldName.MatchString(e.key) && !alone
}

// visible is what may be shown of this file; it is found out when an error needs it.
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

// shows tells whether a place's value may be quoted in a message.
func (p place) shows() bool { return p.src.visible()[spot{p.node.line, p.node.column}] }

// describe says what stands at a place, as far as it may be shown.
func (p place) describe() string {
	if p.node.what == isScalar && p.node.scalar != nil && !p.shows() {
		return "something that is not shown"
	}
	return p.node.describe()
}

// number is the text of a number.
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

// masks are the lines of one file as they may be shown, by line, from 1.
type masks struct {
	src   *source
	lines map[int]string
	done  map[int]bool // the parts that are in lines, by their number
}

// line is a line with stars over what may not be shown, as many as it has characters there.
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

// part masks the lines of one document. What the lexer does not survive is not shown at all.
func (m *masks) part(p part) {
	defer func() { _ = recover() }() //nolint:errcheck // goccy's, for input that it does not expect
	tokens := lexer.Tokenize(p.text)
	if len(tokens) > maxTokens {
		return
	}
	tokens = mend(tokens)
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
	var block bool // the token before was | or > of a text that may be shown
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

// covered is a line of stars, but for its blanks and the mark of a new document.
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

// uncover takes the stars off a token: each of its lines, where the file has it at the place that the lexer says.
// Whatever the lexer says, nothing else than this token's own text comes out.
func (m *masks) uncover(starred map[int][]rune, at spot, t *token.Token) {
	text := strings.Trim(t.Origin, "\n")
	for i, own := range strings.Split(text, "\n") {
		if own = strings.TrimSpace(own); own == "" {
			continue
		}
		for _, number := range []int{at.line + i, at.line + i - 1, at.line + i + 1} { // of block text the lexer's line may be one off
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

// sign tells whether a token is one of YAML's own signs.
func sign(t *token.Token) bool {
	switch t.Type {
	case token.SequenceEntryType, token.MappingKeyType, token.MappingValueType, token.MergeKeyType, token.CollectEntryType,
		token.SequenceStartType, token.SequenceEndType, token.MappingStartType, token.MappingEndType,
		token.AnchorType, token.AliasType, token.LiteralType, token.FoldedType:
		return len(t.Value) <= 2 && strings.Trim(t.Value, "-?:<,[]{}&*|>+") == ""
	}
	return false
}

// vocabulary is the words of the schema: they may be shown wherever they stand.
func vocabulary() []string { return loadSchema().words }

// address: what stands before @ in it may be a password, and of schemes other than the web's all may be a token.
var address = regexp.MustCompile(`[A-Za-z][-+.A-Za-z0-9]*://[^\s,"'}\]]+`)

// addresses puts stars over the users and passwords of addresses that stand where none belong.
func addresses(line string) string {
	return address.ReplaceAllStringFunc(line, func(a string) string {
		scheme, rest, _ := strings.Cut(a, "://")
		user := strings.LastIndexByte(rest, '@') + 1
		if scheme != "http" && scheme != "https" && scheme != "h2c" {
			user = len(rest)
		}
		return scheme + "://" + strings.Repeat("*", utf8.RuneCountInString(rest[:user])) + rest[user:]
	})
}
