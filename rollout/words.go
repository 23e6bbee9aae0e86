package rollout

import (
	"time"

	"github.com/serindev/serin/judge"
)

// Odds writes exp(log), an e-value, as odds: "12,000 : 1"; below one they are the other way round: "1 : 3".
func Odds(log float64) string { return odds(log) }

// Number has two digits of meaning, more where they stand before the point.
func Number(v float64) string { return number(v) }

// Percent writes a share of one with at least two digits of meaning: 3.0%, 0.50%, 12%.
func Percent(rate float64) string { return percent(rate) }

// Grouped writes a whole number with its thousands apart.
func Grouped(v float64) string { return grouped(v) }

// Span writes a duration in its two largest units, rounded up.
func Span(d time.Duration) string { return span(d) }

// ReasonWords are a judge's reason in people's words.
func ReasonWords(r judge.Reason) string { return reasonWords(r) }
