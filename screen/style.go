package screen

import (
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// style is how a text looks, as numbers of SGR.
type style string

const (
	plain style = ""
	bold  style = "1"
	dim   style = "2"
	red   style = "31"
	green style = "32"
	amber style = "33"
	blue  style = "36"
	turn  style = "7" // the cursor
)

// classes has a colour for each class of [tell.Badge], and a mark for people who do not see colours.
var classes = map[string]struct {
	style
	mark string
}{"ok": {green, "✓"}, "bad": {red, "✗"}, "wait": {amber, "!"}, "go": {blue, "▶"}, "rest": {dim, "·"}, "": {plain, " "}}

// steps has the marks of a plan's steps and weights.
var steps = map[string]string{"done": "✓", "now": "▶", "stopped": "✗", "todo": "○"}

// paint gives a text a style if colours are on. Emphasis without colour is always used.
func (m *model) paint(text string, s style) string {
	if text == "" || s == plain || !m.o.Colours && s != turn && s != bold {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

// fit cuts a line to a width in cells.
func fit(s string, width int) string { return ansi.Truncate(s, max(width, 0), "…") }

// pad fills or cuts a text to exactly width cells.
func pad(s string, width int) string {
	s = fit(s, width)
	return s + strings.Repeat(" ", max(0, width-ansi.StringWidth(s)))
}

// wrap breaks a text of one line into lines of a width.
func wrap(s string, width int) []string {
	return strings.Split(ansi.Wrap(s, max(width, 8), ""), "\n")
}

// bar draws a part of a whole, between 0 and 1.
func bar(part float64, width int) string {
	width = max(width, 1)
	full := min(width, int(part*float64(width)+0.5))
	if part > 0 && full == 0 {
		full = 1
	}
	return strings.Repeat("█", full) + strings.Repeat("░", width-full)
}
