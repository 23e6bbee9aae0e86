package tell

import (
	"slices"
	"strings"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
)

// Matches reports whether a rollout has every word of a query. A word is a part of its name, its version, its namespace or
// its owner, in any case, or a whole label such as team=payments.
func Matches(v record.View, query string) bool {
	texts := []string{v.Rollout, rollout.Version(v.State.Parameters), v.Namespace, v.About.Owner}
	for i := range texts {
		texts[i] = strings.ToLower(texts[i])
	}
	for word := range strings.FieldsSeq(query) {
		if strings.Contains(word, "=") {
			if !slices.Contains(v.About.Words(), word) {
				return false
			}
			continue
		}
		word = strings.ToLower(word)
		if !slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(text, word) }) {
			return false
		}
	}
	return true
}
