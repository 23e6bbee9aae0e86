package traefikapi

import (
	"slices"
	"strings"

	"github.com/traefik/traefik/v3/pkg/config/dynamic"
)

// Sticky keeps users on their arm of a weighted service for as long as the word is the same: the cookie's name ends in
// it, so users of an earlier test are drawn anew. It is nil for an empty word.
func Sticky(service, word string, secure bool) *dynamic.Sticky {
	if word == "" {
		return nil
	}
	return &dynamic.Sticky{Cookie: &dynamic.Cookie{Name: cookiePrefix(service) + word, HTTPOnly: true, SameSite: "lax", Secure: secure}}
}

// StickyWord is the word of a weighted service that was found, empty if it keeps nobody. Somebody else's cookie gives a
// word that no target has.
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

// Behind are the middlewares of a router from the first of its own on: Traefik puts those of the entry point before
// them.
func Behind(middlewares, own []string) []string {
	i := slices.IndexFunc(middlewares, func(m string) bool { return slices.Contains(own, m) })
	if i < 0 {
		return nil
	}
	return middlewares[i:]
}
