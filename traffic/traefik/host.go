package traefik

import (
	"regexp"
	"strings"

	"github.com/serindev/serin/traffic"
)

// HostPattern returns a regular expression for the hosts that a pattern stands for: * is one label or a part of one, ** is any
// number of them, and * alone is any host. Every Traefik 3 takes it in HostRegexp. The matcher Host takes no * before version
// 3.7: it compares the * itself with the host of a request.
func HostPattern(pattern string) string {
	if pattern == "*" {
		pattern = "**" // any host
	}
	return "^" + glob(strings.ToLower(pattern), `[^.]`) + "$"
}

// PathPattern returns a rule for the paths that a pattern stands for: * is one segment or a part of one. With prefix, the pattern
// is for the beginning of a path.
func PathPattern(pattern string, prefix bool) string {
	if path, ok := strings.CutSuffix(pattern, "*"); ok && !strings.Contains(path, "*") {
		return "PathPrefix(" + traffic.Quote(path) + ")"
	}
	end := "$"
	if prefix {
		end = ""
	}
	return "PathRegexp(" + traffic.Quote("^"+glob(pattern, `[^/]`)+end) + ")"
}

// glob returns a regular expression for a pattern whose * stands for characters of a class.
func glob(pattern, class string) string {
	var b strings.Builder
	for i, part := range strings.Split(pattern, "**") {
		if i > 0 {
			b.WriteString(".+")
		}
		for j, literal := range strings.Split(part, "*") {
			if j > 0 {
				b.WriteString(class + "+")
			}
			b.WriteString(regexp.QuoteMeta(literal))
		}
	}
	return b.String()
}
