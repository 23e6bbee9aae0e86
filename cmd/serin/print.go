package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/screen"
)

// json reports whether JSON was requested.
func (a *app) json() bool { return a.output == "json" }

// print writes v as JSON, or calls table.
func (a *app) print(v any, table func(w io.Writer) error) error {
	if !a.json() {
		return table(a.stdout)
	}
	enc := json.NewEncoder(a.stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// list returns v, or an empty list in place of null.
func list[T any](v []T) []T {
	if v == nil {
		return []T{}
	}
	return v
}

// terminal reports whether stdout is a terminal, and its size.
func (a *app) terminal() (width, height int, ok bool) {
	f, isFile := a.stdout.(*os.File)
	if !isFile || !term.IsTerminal(int(f.Fd())) || a.getenv("TERM") == "dumb" { //nolint:gosec // a descriptor fits
		return 0, 0, false
	}
	width, height, err := term.GetSize(int(f.Fd())) //nolint:gosec // a descriptor fits
	if err != nil || width < 20 || height < 5 {
		return 80, 24, true // it does not report its size, or has no room for anything
	}
	return width, height, true
}

// paint is how text is coloured.
type paint string

const (
	plain  paint = ""
	green  paint = "32"
	red    paint = "31"
	yellow paint = "33"
	bold   paint = "1"
	dim    paint = "2"
)

// colours reports whether stdout gets colours: only a terminal does, and only if NO_COLOR is not set (no-color.org).
func (a *app) colours() bool {
	_, _, terminal := a.terminal()
	return terminal && a.getenv("NO_COLOR") == ""
}

func painted(text string, p paint, on bool) string {
	if !on || p == plain || text == "" {
		return text
	}
	return "\x1b[" + string(p) + "m" + text + "\x1b[0m"
}

// cell is one cell of a table.
type cell struct {
	text string
	paint
}

// table writes rows under a heading, each column as wide as its widest cell. It cleans the cells.
func (a *app) table(w io.Writer, head []string, rows [][]cell) error {
	on := a.colours()
	widths := make([]int, len(head))
	top := make([]cell, len(head))
	for i, h := range head {
		top[i] = cell{h, dim}
	}
	rows = append([][]cell{top}, rows...)
	for _, row := range rows {
		for i := range row {
			row[i].text = clean(row[i].text)
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i].text))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		var line strings.Builder
		for i, c := range row {
			line.WriteString(painted(c.text, c.paint, on))
			if i < len(row)-1 {
				line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c.text)+2))
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Widths of text for people: of a sentence in the last column of a table, and of a line. They do not depend on the
// terminal, so that piped output reads the same.
const (
	shortLine = 80
	longLine  = 100
)

// cut shortens a text at a word boundary, with … for the rest: longer texts are shown in full elsewhere.
func cut(text string, most int) string {
	lines := wrap(text, most-1)
	if len(lines) < 2 {
		return text
	}
	return strings.TrimRight(lines[0], ";:,") + "…"
}

// wrap breaks a text into lines between words; a word that is longer than a line gets a line of its own.
func wrap(text string, most int) []string {
	var lines []string
	line, n := "", 0
	for word := range strings.FieldsSeq(text) {
		long := utf8.RuneCountInString(word)
		if n > 0 && n+1+long > most {
			lines, line, n = append(lines, line), "", 0
		}
		if n > 0 {
			line, n = line+" ", n+1
		}
		line, n = line+word, n+long
	}
	return append(lines, line)
}

// hang breaks long lines of a text and indents the continuation by two more spaces.
func hang(text string) string {
	var out []string
	for line := range strings.SplitSeq(text, "\n") {
		rest := strings.TrimLeft(line, " ")
		in := line[:len(line)-len(rest)]
		out = append(out, in+strings.Join(wrap(rest, longLine-len(in)-2), "\n"+in+"  "))
	}
	return strings.Join(out, "\n")
}

// clean protects the terminal from text that others wrote.
func clean(s string) string { return screen.Clean(s) }

// at formats a time for people, in their own time zone.
func at(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

func outcomePaint(o rollout.Outcome) paint {
	switch o {
	case rollout.Released:
		return green
	case rollout.RolledBack, rollout.Failed:
		return red
	case rollout.Cancelled, rollout.OutcomeSuperseded:
		return yellow
	}
	return plain
}

func verdictPaint(o judge.Outcome) paint {
	switch o {
	case judge.Pass:
		return green
	case judge.Fail:
		return red
	case judge.Inconclusive:
	}
	return plain
}
