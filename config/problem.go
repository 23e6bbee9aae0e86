package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/serindev/serin/internal/spelling"
)

// Error is one thing that is wrong with the configuration, or, as a warning, worth a second look.
type Error struct {
	File string `json:"file"`
	// Line and Column count from 1, the column in characters; 0 means the file as a whole.
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`
	// Path leads to the field: steps[0].gray.weights[2], without a leading spec.
	Path    string `json:"path,omitempty"`
	Message string `json:"message"`
	// Source is the line as written, shortened if it is long, with stars for whatever may be a secret: see mask.go.
	Source string `json:"source,omitempty"`
	// caret is the column in Source.
	caret int
	// later: another document may still fix it.
	later bool
	// src is where Source is taken from once it is clear which errors are shown.
	src *source
}

// Error shows place, path and message, and below them the line with a mark under the place.
func (e Error) Error() string {
	var b strings.Builder
	b.WriteString(e.headline())
	if e.Source == "" {
		return b.String()
	}
	fmt.Fprintf(&b, "\n%5d | %s\n      | ", e.Line, e.Source)
	for i, r := range []rune(e.Source) {
		if i >= e.caret-1 {
			break
		}
		if r == '\t' {
			b.WriteRune('\t') // as wide as above
			continue
		}
		b.WriteByte(' ')
	}
	b.WriteByte('^')
	return b.String()
}

// headline is the first line of Error: FILE:LINE:COLUMN: PATH: MESSAGE.
func (e Error) headline() string {
	at := e.File
	if e.Line > 0 {
		at = fmt.Sprintf("%s:%d:%d", e.File, e.Line, e.Column)
	}
	if e.Path != "" {
		at += ": " + e.Path
	}
	return at + ": " + e.Message
}

// Errors is everything that is wrong, in the order of files, lines and columns.
type Errors []Error

// Error shows all of them, one after the other.
func (e Errors) Error() string {
	out := make([]string, len(e))
	for i := range e {
		out[i] = e[i].Error()
	}
	return strings.Join(out, "\n")
}

// sorted returns the errors in order, each once.
func (e Errors) sorted() Errors {
	out := slices.Clone(e)
	slices.SortStableFunc(out, func(a, b Error) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Path, b.Path), cmp.Compare(a.Message, b.Message))
	})
	return slices.Compact(out)
}

// maxErrors is how many errors of one file are shown: nobody reads more before fixing the first.
const maxErrors = 100

// shown returns the errors in order, with their lines, at most [maxErrors] of a file.
func (e Errors) shown() Errors {
	var out Errors
	of, files := map[string]int{}, map[*source]*masks{}
	for _, one := range e.sorted() {
		if of[one.File]++; of[one.File] > maxErrors {
			continue
		}
		if one.src != nil && len(one.src.lines) == 0 { // an object, which has no lines
			one.Line, one.Column, one.src = 0, 0, nil
		}
		if one.src != nil {
			m, ok := files[one.src]
			if !ok {
				m = &masks{src: one.src, lines: map[int]string{}, done: map[int]bool{}}
				files[one.src] = m
			}
			one.show(m.line(one.Line))
			one.src = nil
		}
		out = append(out, one)
	}
	for file, n := range of {
		if n > maxErrors {
			out = append(out, Error{File: file, Message: fmt.Sprintf("and %d more", n-maxErrors)})
		}
	}
	slices.SortStableFunc(out, func(a, b Error) int { return cmp.Compare(a.File, b.File) })
	return out
}

// maxSource is how much of a line is shown: about the width of a terminal.
const maxSource = 110

// maxLine is the longest line of which a part is shown; people do not write longer ones.
const maxLine = 10_000

// show fills in the source line of e, which has been masked.
func (e *Error) show(line string) {
	r := []rune(strings.Map(printable, line))
	e.caret = min(max(e.Column, 1), len(r)+1)
	if len(r) > maxSource {
		from := min(max(0, e.caret-1-maxSource/2), len(r)-maxSource)
		r = r[from : from+maxSource]
		e.caret -= from
	}
	if e.Source = string(r); strings.TrimSpace(e.Source) == "" {
		e.Source = "" // nothing to point at
	}
}

// printable protects the terminal from the content of a file.
func printable(r rune) rune {
	if r == '\t' || unicode.IsGraphic(r) && r != utf8.RuneError {
		return r
	}
	return '·'
}

// quote shows a user's text in a message, shortened.
func quote(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return `"` + strings.Map(printable, s) + `"`
}

// meant ends a message about an unknown word: with what was probably meant, or with what exists.
func meant(word string, candidates []string) string {
	if c, ok := spelling.Nearest(word, candidates); ok {
		return fmt.Sprintf("did you mean %q?", c)
	}
	if len(candidates) == 0 {
		return "there is none"
	}
	return "expected " + either(candidates)
}

// either lists words as "a, b or c".
func either(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}
