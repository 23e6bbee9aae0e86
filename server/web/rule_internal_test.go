package web

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
)

func TestTheRuleOfAMetricSaysWhenItPasses(t *testing.T) {
	for want, m := range map[string]judge.MetricVerdict{
		"the whole band lies below the margin.":                                          {Margin: 1.25},
		"the whole band lies above the margin.":                                          {Margin: 0.8},
		"the whole band lies below 1.":                                                   {Margin: 1.25, Goal: true},
		"the whole band lies below 2.55, which is what the available time can rule out.": {Margin: 1.25, Rules: 2.55},
		"the whole band lies above 0.4, which is what the available time can rule out.":  {Margin: 0.8, Rules: 0.4},
	} {
		require.Contains(t, rule(&m), want)
	}
}
