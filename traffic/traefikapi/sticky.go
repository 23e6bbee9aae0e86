package traefikapi

import (
	"slices"
	"strings"

	"github.com/traefik/traefik/v3/pkg/config/dynamic"
)

// Sticky keeps users on their arm of a weighted service as long as the word stays the same. The word is part of the
// cookie's name, so users of an earlier test are assigned again. Sticky is nil for an empty word.
func Sticky(service, word string, secure bool) *dynamic.Sticky {
	if word == "" {
		return nil
	}
	return &dynamic.Sticky{Cookie: &dynamic.Cookie{Name: cookiePrefix(service) + word, HTTPOnly: true, SameSite: "lax", Secure: secure}}
}

// StickyWord returns the word of an existing weighted service, empty if the service is not sticky. For a cookie that is
// not Serin's it returns a word that no target has.
func StickyWord(service string, s *dynamic.Sticky) string {
	if s == nil {
		return ""
	}
	if s.Cookie != nil {
		if word, ours := strings.CutPrefix(s.Cookie.Name, cookiePrefix(service)); ours && word != "" {
			return word
		}
	}
	return "…"
}

func cookiePrefix(service string) string { return "serin-" + service + "-" }

// Behind returns the middlewares of a router from the first of its own on, because Traefik puts those of the entry point
// in front.
func Behind(middlewares, own []string) []string {
	i := slices.IndexFunc(middlewares, func(m string) bool { return slices.Contains(own, m) })
	if i < 0 {
		return nil
	}
	return middlewares[i:]
}
