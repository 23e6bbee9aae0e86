package analysis

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// tokenKind is the kind of a piece of PromQL, only as precise as needed to find label values.
type tokenKind int

const (
	tokenSpace tokenKind = iota // white space and comments
	tokenWord                   // names, numbers, durations, keywords
	tokenString
	tokenOperator // = != =~ !~ and any other single character
)

// token is a piece of a text; all tokens of a text together are the text.
type token struct {
	kind tokenKind
	text string
	at   int // byte offset
}

// tokens splits a PromQL text. It follows Prometheus's lexer for strings, comments and matchers: "…" and '…' with Go's
// escapes and without line breaks, `…` without escapes, # to the end of the line.
func tokens(text string) ([]token, error) {
	if !utf8.ValidString(text) {
		return nil, fmt.Errorf("is not valid UTF-8")
	}
	var out []token
	for at := 0; at < len(text); {
		t, err := next(text, at)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
		at += len(t.text)
	}
	return out, nil
}

func next(text string, at int) (token, error) {
	rest := text[at:]
	cut := func(kind tokenKind, n int) (token, error) { return token{kind, rest[:n], at}, nil }
	switch c := rest[0]; {
	case strings.IndexByte(" \t\r\n", c) >= 0:
		return cut(tokenSpace, len(rest)-len(strings.TrimLeft(rest, " \t\r\n")))
	case c == '#':
		if n := strings.IndexByte(rest, '\n'); n >= 0 {
			return cut(tokenSpace, n)
		}
		return cut(tokenSpace, len(rest))
	case c == '"' || c == '\'' || c == '`':
		n, err := stringEnd(rest)
		if err != nil {
			return token{}, fmt.Errorf("at character %d: %w", at+1, err)
		}
		return cut(tokenString, n)
	case isWord(c):
		n := 1
		for n < len(rest) && isWord(rest[n]) {
			n++
		}
		return cut(tokenWord, n)
	}
	for _, op := range []string{"=~", "!~", "!=", "=="} {
		if strings.HasPrefix(rest, op) {
			return cut(tokenOperator, len(op))
		}
	}
	_, n := utf8.DecodeRuneInString(rest)
	return cut(tokenOperator, n)
}

func isWord(c byte) bool {
	return c == '_' || c == ':' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// stringEnd returns the length of the string literal that s begins with.
func stringEnd(s string) (int, error) {
	quote := s[0]
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == quote:
			return i + 1, nil
		case quote == '`':
		case s[i] == '\n':
			return 0, fmt.Errorf("a string does not end on its line")
		case s[i] == '\\':
			i++
		}
	}
	return 0, fmt.Errorf("a string does not end")
}

// unquote returns the value of a string literal. It rejects invalid UTF-8, which no label value can contain.
func unquote(literal string) (string, error) {
	quote, body := literal[0], literal[1:len(literal)-1]
	if quote == '`' {
		return body, nil
	}
	var b strings.Builder
	for body != "" {
		r, wide, rest, err := strconv.UnquoteChar(body, quote)
		if err != nil {
			return "", fmt.Errorf("%s has an escape that PromQL does not know", literal)
		}
		if wide || r < utf8.RuneSelf {
			b.WriteRune(r)
		} else {
			b.WriteByte(byte(r)) //nolint:gosec // not wide: it is one byte
		}
		body = rest
	}
	if !utf8.ValidString(b.String()) {
		return "", fmt.Errorf("%s is not valid UTF-8", literal)
	}
	return b.String(), nil
}

// quote writes a label value as PromQL literal. Values get into queries only through it. Prometheus's lexer takes the
// replacement character for broken UTF-8, so it is escaped.
func quote(value string) string {
	return strings.ReplaceAll(strconv.Quote(value), "\ufffd", `\ufffd`)
}
