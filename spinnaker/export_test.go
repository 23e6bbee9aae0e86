package spinnaker

import "fmt"

// Decide returns what an analysis decides by the scores of its intervals.
func Decide(scores []float64, pass, marginal *float64) (passed bool, message string, counted []float64, status string) {
	a := analysisExecution{Request: analysisRequest{Thresholds: analysisThresholds{(*number)(pass), (*number)(marginal)}}}
	var done []execution
	status = statusSucceeded
	for _, s := range scores {
		body := fmt.Sprintf(`{"score": {"score": %v}, "results": []}`, s)
		e := execution{Status: statusSucceeded, Result: &result{JudgeResult: []byte(body)}}
		done, counted = append(done, e), append(counted, s)
		if a.stops(e) {
			status = statusTerminal
			break
		}
	}
	r := a.conclude(done, a.BuildTimeISO.Time)
	return r.DidPassThresholds, r.CanaryScoreMessage, counted, status
}

// Doubt is the score of an inconclusive verdict of the sequential judge.
func Doubt(inconclusive string, pass, marginal float64) (float64, string) {
	score, label := plan{options: judgeOptions{Inconclusive: inconclusive}}.inconclusiveScore(pass, marginal)
	return score, string(label)
}

// Bare quotes Jackson's bare words.
func Bare(b []byte) []byte { return quoteBare(b) }

// Instant reads a time and writes it again.
func Instant(b []byte) (string, error) {
	var i instant
	err := i.UnmarshalJSON(b)
	return i.String(), err
}
