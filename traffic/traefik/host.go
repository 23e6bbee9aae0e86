package traefik

import (
	"regexp"
	"strings"

	"github.com/serindev/serin/traffic"
)

// HostPattern returns a regular expression for the hosts of a pattern: * stands for one label or a part of one, ** for any
// number of them, and * alone for any host. Every Traefik 3 takes it in HostRegexp. The matcher Host takes patterns only
// from version 3.7 on: earlier ones compare the * itself with the host of a request.
func HostPattern(pattern string) string {
	if pattern == "*" {
		pattern = "**" // any host
	}
	return "^" + glob(strings.ToLower(pattern), `[^.]`) + "$"
}

// PathPattern returns a rule for the paths of a pattern, in which * stands for one segment or a part of one. With prefix,
// the pattern is for the beginning of a path.
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

// glob returns a regular expression for a pattern in which * stands for characters of a class.
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
