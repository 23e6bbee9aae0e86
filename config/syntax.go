package config

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// source is a file: its name as errors show it, and its lines.
type source struct {
	name  string
	lines []string
	parts []part // the documents, in order
	// object is set for an object in a cluster, which has no lines, and for a manifest of one, which has.
	object *Object

	once  sync.Once // guards marks
	marks visibility
}

// document is one YAML document of a file before its meaning is known.
type document struct {
	src  *source
	root *node
}

// parse reads the documents of a file. Anything that is not YAML, or larger than any configuration, is reported in the
// errors; documents next to a broken one are still returned.
func parse(name string, b []byte) ([]document, Errors) {
	src := &source{name: name}
	if len(b) > maxFileSize {
		return nil, Errors{{File: name, Message: fmt.Sprintf("larger than %d KiB: this is not a configuration", maxFileSize>>10)}}
	}
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	text := strings.ReplaceAll(string(b), "\r\n", "\n")
	src.lines = strings.Split(text, "\n")
	for i, l := range src.lines {
		if !utf8.ValidString(l) || strings.ContainsRune(l, 0) {
			return nil, src.finish(Errors{{Line: i + 1, Column: 1, Message: "expected text in UTF-8"}})
		}
	}
	parts := split(src.lines)
	if len(parts) > maxDocuments {
		return nil, Errors{{File: name, Message: fmt.Sprintf("more than %d documents", maxDocuments)}}
	}
	var docs []document
	var errs Errors
	for _, p := range parts {
		root, e := p.parse()
		errs = append(errs, e...)
		p.root = root
		src.parts = append(src.parts, p)
		if root != nil && len(e) == 0 {
			docs = append(docs, document{src, root})
		}
	}
	return docs, src.finish(errs)
}

// finish fills in file and line of errors that have only a position so far.
func (s *source) finish(errs Errors) Errors {
	for i := range errs {
		errs[i].File, errs[i].src = s.name, s
	}
	return errs.sorted()
}

// part is the text of one document and the number of lines before it.
type part struct {
	text   string
	before int
	// root is what could be parsed; nil if nothing could.
	root *node
}

// split cuts a file into its documents. goccy's parser can do that too, but v1.19.2 silently loses every document after
// an empty one. In YAML a line that begins with --- or ... ends a document wherever it stands, in quoted and block text
// too.
func split(lines []string) []part {
	var out []part
	var at int
	var cur []string
	flush := func(next int) {
		if text := strings.Join(cur, "\n"); strings.TrimSpace(text) != "" {
			out = append(out, part{text: text + "\n", before: at})
		}
		cur, at = nil, next
	}
	for i, l := range lines {
		switch {
		case marker(l, "---"):
			flush(i)
			cur = append(cur, "   "+l[3:]) // what follows on the line keeps its column
		case marker(l, "..."):
			flush(i + 1)
		default:
			cur = append(cur, l)
		}
	}
	flush(len(lines))
	return out
}

func marker(line, mark string) bool {
	rest, ok := strings.CutPrefix(line, mark)
	return ok && (rest == "" || rest[0] == ' ' || rest[0] == '\t')
}

// parse returns the root of the document, nil if there is nothing in it.
func (p part) parse() (root *node, errs Errors) {
	defer func() {
		if r := recover(); r != nil { // a panic of goccy's on unexpected input; the fuzz test finds ours
			root, errs = nil, Errors{{Line: p.before + 1, Column: 1, Message: "not readable as YAML"}}
		}
	}()
	tokens := lexer.Tokenize(p.text)
	if len(tokens) > maxTokens {
		return nil, Errors{{Line: p.before + 1, Column: 1, Message: fmt.Sprintf("more than %d tokens in one document", maxTokens)}}
	}
	file, err := parser.Parse(rejoin(tokens), 0, parser.AllowDuplicateMapKey())
	b := &builder{anchors: map[string]*node{}, lines: p.before}
	if err != nil {
		return nil, Errors{b.syntaxError(err)}
	}
	for _, d := range file.Docs {
		if d.Body == nil {
			continue
		}
		if root != nil {
			b.fail(d.GetToken(), "a second document without --- before it")
			break
		}
		root = b.build(d.Body, 0)
	}
	if root != nil && root.what == isScalar && root.scalar == nil && len(b.errs) == 0 {
		return nil, nil // comments only
	}
	return root, b.errs
}

// rejoin joins plain text that goccy's scanner v1.19.2 takes for a key and its value: in a list inside a flow map it
// cuts http://127.0.0.1:8081 before the port. In YAML 1.2 (section 7.3.3) a colon ends plain text only where a space or
// a flow sign follows.
func rejoin(in token.Tokens) token.Tokens {
	var out token.Tokens
	for i := 0; i < len(in); i++ {
		t := in[i]
		for i+2 < len(in) && plainText(t) && in[i+1].Type == token.MappingValueType && plainText(in[i+2]) && touching(t, in[i+1], in[i+2]) {
			t = token.New(t.Value+":"+in[i+2].Value, t.Origin+in[i+1].Origin+in[i+2].Origin, t.Position)
			i += 2
		}
		out.Add(t)
	}
	return out
}

var plainTypes = []token.Type{token.StringType, token.IntegerType, token.FloatType, token.BoolType, token.NullType,
	token.BinaryIntegerType, token.OctetIntegerType, token.HexIntegerType}

func plainText(t *token.Token) bool { return slices.Contains(plainTypes, t.Type) }

// touching: nothing is between the three, not even a space.
func touching(key, colon, value *token.Token) bool {
	return key.Position.Line == colon.Position.Line && colon.Position.Line == value.Position.Line &&
		key.Position.Column+utf8.RuneCountInString(key.Value) == colon.Position.Column &&
		colon.Position.Column+1 == value.Position.Column
}

// quoted matches text from the file in the parser's messages: it may be a secret.
var quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

func (b *builder) syntaxError(err error) Error {
	var y yaml.Error
	if !errors.As(err, &y) {
		return Error{Line: b.lines + 1, Column: 1, Message: "not readable as YAML"}
	}
	line, column := b.place(y.GetToken())
	return Error{Line: line, Column: column, Message: "not readable as YAML: " + quoted.ReplaceAllString(y.GetMessage(), "…")}
}
