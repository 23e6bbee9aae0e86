package traefikapi

import (
	"go/parser"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"

	"github.com/serindev/serin/traffic/traefik"
)

// matched returns a rule in which each matcher that no request meets is replaced by what its author must have meant. why says
// what no request meets; it is empty, and the rule as it was, if there is no such matcher.
func matched(rule string) (text, why string) {
	e, err := parser.ParseExpr(rule)
	if err != nil {
		return rule, ""
	}
	text, err = rewrite(e, func(name string, values []string) string {
		now, reason := met(name, values)
		if why == "" {
			why = reason
		}
		return now
	})
	if err != nil || why == "" {
		return rule, ""
	}
	return text, why
}

// met returns a matcher as its author must have meant it; why is empty for one that requests meet.
func met(name string, values []string) (text, why string) {
	is, one := strings.ToLower(name), ""
	if len(values) == 1 {
		one = values[0]
	}
	switch {
	case is == "host" && strings.Contains(one, "*"):
		return called("HostRegexp", []string{traefik.HostPattern(one)}), "Host takes no * before Traefik 3.7, and would match no request"
	case is == "hostregexp" && strings.HasPrefix(one, "*"):
		pattern := traefik.HostPattern(one)
		if strings.ContainsAny(one, `\()[]+?|^$`) { // a regular expression but for its beginning
			pattern = "." + one
		}
		return called("HostRegexp", []string{pattern}), "a regular expression does not begin with *"
	case is == "host" && !aHost(one):
		if text = hostAlone(one); text != "" {
			return text, "a host has no scheme, port, path or space: Host would match no request"
		}
	case (is == "path" || is == "pathprefix") && strings.HasPrefix(one, "/") && strings.Contains(one, "*"):
		return traefik.PathPattern(one, is == "pathprefix"),
			name + ` takes no *, and would match only requests with a * in their path (which is \* in PathRegexp)`
	case len(values) == 2 && (is == "header" || is == "headerregexp") && http.CanonicalHeaderKey(values[0]) == "Host":
		return called(map[string]string{"header": "Host", "headerregexp": "HostRegexp"}[is], values[1:]),
			"to Traefik the host is no header: " + name + " would match no request"
	}
	return called(name, values), ""
}

// operators matches what people write in place of && and ||, and values, whose words are none.
var operators = regexp.MustCompile("`[^`]*`|\"(?:[^\"\\\\]|\\\\.)*\"|\\s+(?i:and|or)\\s+")

// guess returns what the author of a text that is no rule must have meant, and what is wrong with it; both are empty where that is not
// known.
func guess(rule string) (meant, why string) {
	if strings.Contains(rule, "\n") {
		if one := strings.Join(strings.Fields(rule), " "); ParseRule(one) == nil {
			return one, "a line that could be a whole rule ends it: put it all on one line, or write >- in place of | above it"
		}
	}
	words := operators.ReplaceAllStringFunc(rule, func(word string) string {
		switch strings.ToLower(strings.TrimSpace(word)) {
		case "and":
			return " && "
		case "or":
			return " || "
		}
		return word
	})
	if ParseRule(words) == nil {
		return words, "conditions are joined by && and ||"
	}
	if host := strings.ReplaceAll(rule, "HostSNI", "Host"); host != rule && ParseRule(host) == nil {
		return host, "HostSNI is for TCP routes"
	}
	return "", ""
}

// aHost reports whether a text can be the host of a request as Traefik sees it: without a scheme, a port and a path.
func aHost(text string) bool {
	_, err := netip.ParseAddr(text)
	return err == nil || !strings.ContainsAny(text, ":/ []")
}

// hostAlone is a rule for the host, and the path if there is any, of an address; empty if the text is none.
func hostAlone(address string) string {
	address = strings.TrimSpace(address)
	if !strings.Contains(address, "//") {
		address = "//" + address
	}
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" {
		return ""
	}
	host := called("Host", []string{u.Hostname()})
	if u.Path == "" || u.Path == "/" {
		return host
	}
	return "(" + host + " && " + called("PathPrefix", []string{u.Path}) + ")"
}
