package kayenta

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"unicode/utf8"
)

// The reference reads JSON with case-sensitive keys, in which numbers may be the bare words NaN, Infinity and -Infinity.
// encoding/json does neither, hence this small reader. It checks a document once and then walks along its text without
// building a tree, so that a hostile document takes no more memory than its own size.

// maxDepth bounds the nesting of a document and with it the stack for reading it. The reference's reader has the same
// bound.
const maxDepth = 1000

// value is the text of one JSON value without surrounding space, already checked.
type value []byte

// kind is one of n f t " 0 [ { for null, false, true, strings, numbers (including bare words), lists and objects. The kind
// of nil, an absent value, is 0.
func (v value) kind() byte {
	if len(v) == 0 {
		return 0
	}
	switch v[0] {
	case 'n', 'f', 't', '"', '[', '{':
		return v[0]
	}
	return '0'
}

// missing reports whether the value is absent or null.
func (v value) missing() bool { return v.kind() == 0 || v.kind() == 'n' }

// text returns the content of a string value. Each lone surrogate becomes U+FFFD.
func (v value) text() string {
	inner := v[1 : len(v)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return string(inner)
	}
	var s string
	if err := json.Unmarshal(v, &s); err != nil {
		panic("kayenta: a checked string is malformed: " + err.Error())
	}
	return s
}

// elements iterates over a list. For anything else it yields nothing.
func (v value) elements() iter.Seq2[int, value] {
	return func(yield func(int, value) bool) {
		if v.kind() != '[' {
			return
		}
		s := reader{data: v, pos: 1}
		for i := 0; !s.closed(']'); i++ {
			start := s.pos
			s.checkedValue()
			if !yield(i, v[start:s.pos:s.pos]) {
				return
			}
		}
	}
}

// members iterates over an object, including repeated keys. For anything else it yields nothing.
func (v value) members() iter.Seq2[string, value] {
	return func(yield func(string, value) bool) {
		if v.kind() != '{' {
			return
		}
		s := reader{data: v, pos: 1}
		for !s.closed('}') {
			start := s.pos
			s.checkedValue()
			name := v[start:s.pos]
			s.space()
			s.pos++ // the colon
			s.space()
			start = s.pos
			s.checkedValue()
			if !yield(name.text(), v[start:s.pos:s.pos]) {
				return
			}
		}
	}
}

// object returns the members of v by name; the last one of a name counts. It is empty unless v is an object.
func (v value) object() map[string]value {
	return maps.Collect(v.members())
}

// byteOrderMark may precede a document, as in the reference's reader.
var byteOrderMark = []byte("\uFEFF")

// parse checks a whole document. It has to be UTF-8, because text in another encoding would be stored as U+FFFD.
func parse(data []byte) (value, error) {
	data = bytes.TrimPrefix(data, byteOrderMark)
	if !utf8.Valid(data) {
		return nil, errors.New("the text is not UTF-8")
	}
	s := reader{data: data}
	s.space()
	start := s.pos
	if err := s.value(0); err != nil {
		return nil, fmt.Errorf("byte %d: %w", s.pos, err)
	}
	end := s.pos
	if s.space(); s.pos < len(data) {
		return nil, fmt.Errorf("byte %d: %w", s.pos, errors.New("more after the end of the document"))
	}
	return value(data[start:end]), nil
}

// reader walks along JSON text.
type reader struct {
	data []byte
	pos  int
}

func (r *reader) peek() byte {
	if r.pos < len(r.data) {
		return r.data[r.pos]
	}
	return 0
}

func (r *reader) space() {
	for r.pos < len(r.data) {
		switch r.data[r.pos] {
		case ' ', '\t', '\n', '\r':
			r.pos++
		default:
			return
		}
	}
}

// closed skips a separator within a checked list or object and reports whether it ends here.
func (r *reader) closed(end byte) bool {
	r.space()
	if r.peek() == ',' {
		r.pos++
		r.space()
	}
	return r.peek() == end
}

// checkedValue skips a value that has been checked before.
func (r *reader) checkedValue() {
	depth := 0
	for {
		switch r.peek() {
		case '"':
			r.skipString()
		case '[', '{':
			depth++
			r.pos++
		case ']', '}':
			depth--
			r.pos++
		case ',', ':', ' ', '\t', '\n', '\r':
			r.pos++
		default:
			r.skipWord()
		}
		if depth == 0 {
			return
		}
	}
}

func (r *reader) skipString() {
	for r.pos++; r.data[r.pos] != '"'; r.pos++ {
		if r.data[r.pos] == '\\' {
			r.pos++
		}
	}
	r.pos++
}

// skipWord skips a number, a bare word, or null, true, false.
func (r *reader) skipWord() {
	for r.pos < len(r.data) && isWord(r.data[r.pos]) {
		r.pos++
	}
}

func isWord(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '-' || c == '+' || c == '.'
}

// value checks one value and skips it.
func (r *reader) value(depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("nested deeper than %d", maxDepth)
	}
	switch r.peek() {
	case '{':
		return r.list(depth, '}', r.member)
	case '[':
		return r.list(depth, ']', r.value)
	case '"':
		return r.string()
	}
	start := r.pos
	r.skipWord()
	switch string(r.data[start:r.pos]) {
	case "null", "true", "false", "NaN", "Infinity", "-Infinity":
		return nil
	case "":
		return errors.New("a value was expected")
	default:
		// Valid JSON that consists of word characters only is a number at this point.
		if word := r.data[start:r.pos]; !json.Valid(word) {
			r.pos = start
			return fmt.Errorf("%.20q is not a value", word)
		}
		return nil
	}
}

// list checks the content of brackets or braces.
func (r *reader) list(depth int, end byte, one func(depth int) error) error {
	r.pos++
	if r.space(); r.peek() == end {
		r.pos++
		return nil
	}
	for {
		r.space()
		if err := one(depth + 1); err != nil {
			return err
		}
		r.space()
		switch r.peek() {
		case ',':
			r.pos++
		case end:
			r.pos++
			return nil
		default:
			return fmt.Errorf("a comma or %q was expected", end)
		}
	}
}

func (r *reader) member(depth int) error {
	if r.peek() != '"' {
		return errors.New("a key was expected")
	}
	if err := r.string(); err != nil {
		return err
	}
	if r.space(); r.peek() != ':' {
		return errors.New("a colon was expected")
	}
	r.pos++
	r.space()
	return r.value(depth)
}

func (r *reader) string() error {
	start := r.pos
	for r.pos++; r.pos < len(r.data); r.pos++ {
		switch c := r.data[r.pos]; {
		case c == '\\':
			r.pos++
		case c == '"':
			r.pos++
			if !json.Valid(r.data[start:r.pos]) {
				r.pos = start
				return errors.New("a malformed escape in a string")
			}
			return nil
		case c < ' ':
			return errors.New("a control character in a string")
		}
	}
	return errors.New("a string that does not end")
}
