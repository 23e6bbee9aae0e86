package tell

import (
	"slices"
	"strings"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
)

// Matches reports whether a rollout has every word of a query. A word matches a part of its name, its version, its
// namespace or its owner, in any case, or a whole label such as team=payments.
func Matches(v record.View, query string) bool {
	texts := []string{v.Rollout, rollout.Version(v.State.Parameters), v.Namespace, v.About.Owner}
	for word := range strings.FieldsSeq(query) {
		if strings.Contains(word, "=") {
			if !slices.Contains(v.About.Words(), word) {
				return false
			}
			continue
		}
		if !isPartOf(word, texts) {
			return false
		}
	}
	return true
}

// MatchesPast reports whether a release has every word of a query. A word matches a part of its rollout's name, of a
// parameter's value, of its author, of how and why it ended, in any case, or a whole parameter such as image=shop:2.
func MatchesPast(p record.Past, query string) bool {
	texts := []string{p.Rollout, p.StartedBy, p.Why, OutcomeBadge(p.Outcome).Text}
	for name, value := range p.Parameters {
		texts = append(texts, value, name+"="+value)
	}
	for word := range strings.FieldsSeq(query) {
		if !isPartOf(word, texts) {
			return false
		}
	}
	return true
}

// isPartOf reports whether one of the texts contains a word, in any case.
func isPartOf(word string, texts []string) bool {
	word = strings.ToLower(word)
	return slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(strings.ToLower(text), word) })
}
