package notify

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// longestLine is the longest line of a message, in characters: the page that it links to has the rest.
const longestLine = 600

// marks are what chats interpret: <!channel> and @everyone ping everybody, [text](address) hides where a link leads.
var marks = strings.NewReplacer("<", "‹", ">", "›", "@", "@\u200b", "](", "] (")

// plain turns an external text into a single line that pings nobody in any chat and hides no link.
func plain(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r), unicode.IsControl(r):
			return ' '
		case r == unicode.ReplacementChar, !unicode.IsPrint(r):
			return -1 // direction marks and zero-width characters change how the rest is read
		}
		return r
	}, text)
	runes := []rune(strings.TrimRight(text, " "))
	if len(runes) > longestLine {
		runes = append(runes[:longestLine-1], '…')
	}
	return marks.Replace(string(runes))
}

// redactor removes an address and its parts from texts: chat systems put their secrets into paths, users, passwords and
// parameters.
type redactor struct{ parts []string }

// leastPart is how long a part of an address has to be to count as a secret; shorter ones occur in common words.
const leastPart = 5

// between separates the parts of an address.
var between = regexp.MustCompile(`[^A-Za-z0-9_.~-]+`)

// newRedactor takes an address, or any other secret.
func newRedactor(secret string) redactor {
	parts := []string{secret}
	u, err := url.Parse(secret)
	if err != nil || u.Scheme == "" {
		return redactor{parts}
	}
	password, _ := u.User.Password()
	components := []string{u.Opaque, u.User.Username(), password, u.EscapedPath(), u.Path, u.RawQuery, u.Fragment}
	for _, values := range u.Query() {
		components = append(components, values...)
	}
	for _, c := range components {
		for _, part := range append(between.Split(c, -1), append(strings.Split(c, "-"), c)...) {
			if len(part) >= leastPart {
				parts = append(parts, part, oneLine(part))
			}
		}
	}
	slices.SortFunc(parts, func(a, b string) int { return len(b) - len(a) }) // a part may contain another
	return redactor{slices.Compact(parts)}
}

// addresses matches whole addresses, in every form in which a library may print them.
var addresses = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^\s"']+`)

// longestError is how much of an error is stored and logged, in characters.
const longestError = 300

// oneLine returns a text as valid UTF-8, with every run of white space reduced to one space.
func oneLine(text string) string {
	return strings.Join(strings.Fields(strings.ToValidUTF8(text, "")), " ")
}

// text returns the message of err on one line, without secrets.
func (r redactor) text(err error) string {
	out := oneLine(err.Error()) // first, because a secret may be broken over two lines
	out = addresses.ReplaceAllString(out, "***")
	for _, p := range r.parts {
		if p != "" {
			out = strings.ReplaceAll(out, p, "***")
		}
	}
	if runes := []rune(out); len(runes) > longestError {
		out = string(runes[:longestError-1]) + "…"
	}
	return out
}
