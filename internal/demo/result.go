package main

import (
	"time"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
)

// bad is the name of the version that has to be rolled back.
const bad = "v3"

// afterwards is how many requests the demo watches after the rollback.
const afterwards = 200

// result is what a demo has shown.
type result struct {
	// Source says where the evidence came from: "scrape" or "prometheus".
	Source string `json:"source"`
	Good   end    `json:"good"`
	Bad    end    `json:"bad"`
	// Requests is how many requests reached the bad version, by its own count; Failed is how many of its users' requests failed.
	Requests int `json:"requests"`
	Failed   int `json:"failed"`
	// Took is the time from its first failed request until all traffic was on stable.
	Took time.Duration `json:"tookNanoseconds"`
	// Afterwards is how many requests came after the rollback, StillBad how many of them reached the bad version.
	Afterwards int `json:"afterwards"`
	StillBad   int `json:"stillBad"`
}

// end is how a release ended, and on what evidence.
type end struct {
	Outcome rollout.Outcome `json:"outcome"`
	Why     string          `json:"why"`
	Verdict judge.Outcome   `json:"verdict"`
	// Canary and Baseline are what the last look had counted for the first metric.
	Canary   count `json:"canary"`
	Baseline count `json:"baseline"`
}

type count struct {
	Bad   float64 `json:"bad"`
	Total float64 `json:"total"`
}

func ending(v record.View) end {
	e := end{Outcome: v.State.Outcome, Why: v.State.Why}
	if verdict := v.LastVerdict(); verdict != nil && len(verdict.Metrics) > 0 {
		m := verdict.Metrics[0]
		e.Verdict = verdict.Outcome
		e.Canary, e.Baseline = count{m.Canary.Bad, m.Canary.Total}, count{m.Baseline.Bad, m.Baseline.Total}
	}
	return e
}
