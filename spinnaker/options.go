package spinnaker

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/judge/kayenta"
)

// judgeOptions are what the sequential judge reads from judge.judgeConfigurations. All are optional.
type judgeOptions struct {
	// Judge chooses the judge when Kayenta asks Serin as its remote judge.
	Judge string `json:"judge"`
	// FalseRollback is the chance that a canary that is no worse ever fails; FalseAdvance is the chance that one that is
	// worse by its margin passes.
	FalseRollback number `json:"falseRollback"`
	FalseAdvance  number `json:"falseAdvance"`
	// Noise is how much the arms are expected to differ from minute to minute.
	Noise number `json:"noise"`
	// PassAfterMins is the earliest time for a pass. Nil means the judge's own default of 30 minutes.
	PassAfterMins *number `json:"passAfterMins"`
	// Inconclusive is "fail" or "continue": see inconclusiveScore.
	Inconclusive string `json:"inconclusive"`
}

// The values of judgeOptions.Inconclusive.
const (
	inconclusiveFails     = "fail"
	inconclusiveContinues = "continue"
)

// maxPassAfterHours is a year: a longer wait is a mistake.
const maxPassAfterHours = 24 * 365

func readJudgeOptions(c kayenta.Config) (judgeOptions, error) {
	o := judgeOptions{
		FalseRollback: number(analysis.DefaultFalseRollback), FalseAdvance: number(analysis.DefaultFalseAdvance),
		Noise: analysis.DefaultNoise, Inconclusive: inconclusiveFails,
	}
	if c.Judge == nil || len(c.Judge.Configurations) == 0 {
		return o, nil
	}
	if err := json.Unmarshal(quoteBare(c.Judge.Configurations), &o); err != nil {
		return o, fmt.Errorf("judge.judgeConfigurations: %w", err)
	}
	if o.Inconclusive != inconclusiveFails && o.Inconclusive != inconclusiveContinues {
		return o, fmt.Errorf("judge.judgeConfigurations.inconclusive: %.40q is neither %s nor %s", o.Inconclusive,
			inconclusiveFails, inconclusiveContinues)
	}
	if p := o.PassAfterMins; p != nil && !(*p >= 0 && *p <= maxPassAfterHours*60) {
		return o, fmt.Errorf("judge.judgeConfigurations.passAfterMins: expected 0 to %d", maxPassAfterHours*60)
	}
	return o, nil
}

// metricOptions are what the sequential judge reads from a metric's analysisConfigurations.serin.
type metricOptions struct {
	// Exposure names the metric of the same config that counts all events; this one counts the bad ones among them.
	Exposure string `json:"exposure"`
	// Margin is how much worse the canary may be.
	Margin struct {
		Relative *number `json:"relative"`
		Absolute *number `json:"absolute"`
	} `json:"margin"`
	MinRequests *number `json:"minRequests"`
	// Optional metrics can fail a canary, but a pass does not wait for them.
	Optional bool `json:"optional"`
}

func readMetricOptions(m kayenta.ConfigMetric) (metricOptions, error) {
	var all struct {
		Serin metricOptions `json:"serin"`
	}
	if len(m.AnalysisConfigurations) == 0 {
		return all.Serin, nil
	}
	if err := json.Unmarshal(quoteBare(m.AnalysisConfigurations), &all); err != nil {
		return all.Serin, fmt.Errorf("metric '%s': analysisConfigurations.serin: %w", m.Name, err)
	}
	return all.Serin, nil
}

// plan is what the sequential judge makes of a config.
type plan struct {
	settings judge.Settings
	options  judgeOptions
	metrics  map[string]planned // the judged metrics by name
	exposure map[string]bool    // names of metrics that only count exposure
}

// planned is one metric of a plan.
type planned struct {
	replaceNaN bool
	exposure   string // the name of the metric that counts all events; empty for a gauge
}

// errZeroPasses refuses thresholds that even a fail, which scores 0, would pass.
var errZeroPasses = errors.New("thresholds: a score of 0 would pass, and so would everything: set pass above 0, or marginal to 0 or more")

// planOf makes the plan for a config and the settings of its pairs. Every metric has a pair: where Prometheus has no
// data, the pair is one of NaN.
func planOf(c kayenta.Config, request kayenta.Request) (plan, error) {
	o, err := readJudgeOptions(c)
	if err != nil {
		return plan{}, err
	}
	if request.Marginal < 0 && request.Pass <= 0 {
		return plan{}, errZeroPasses
	}
	p := plan{options: o, metrics: map[string]planned{}, exposure: map[string]bool{}}
	p.settings = judge.Settings{
		FalseRollback: float64(o.FalseRollback), FalseAdvance: float64(o.FalseAdvance),
	}
	if o.PassAfterMins != nil {
		p.settings.PassAfter = new(time.Duration(float64(*o.PassAfterMins) * float64(time.Minute)))
	}
	found := map[string]kayenta.Settings{}
	for _, pair := range request.Pairs {
		found[pair.Name] = pair.Settings
	}
	options := map[string]metricOptions{}
	for _, m := range c.Metrics {
		if options[m.Name], err = readMetricOptions(m); err != nil {
			return plan{}, err
		}
		if name := options[m.Name].Exposure; name != "" {
			p.exposure[name] = true
		}
	}
	for _, m := range c.Metrics {
		s, ok := found[m.Name]
		if _, again := p.metrics[m.Name]; again || !ok || s.Muted || p.exposure[m.Name] {
			continue
		}
		if name := options[m.Name].Exposure; name != "" {
			if _, ok := found[name]; !ok {
				return plan{}, fmt.Errorf("metric '%s': analysisConfigurations.serin.exposure: no metric is named '%s'", m.Name, name)
			}
		}
		p.metrics[m.Name] = planned{replaceNaN: s.ReplaceNaN, exposure: options[m.Name].Exposure}
		p.settings.Metrics = append(p.settings.Metrics, metricOf(m.Name, s, options[m.Name], float64(o.Noise)))
	}
	if len(p.settings.Metrics) == 0 {
		return plan{}, errors.New("there is no metric to judge: all are muted, or only count exposure")
	}
	return p, nil
}

func metricOf(name string, s kayenta.Settings, o metricOptions, noise float64) judge.Metric {
	m := judge.Metric{
		Name: name, Kind: judge.Gauge, Direction: judge.Direction(s.Direction), Optional: o.Optional, Weight: 1, Noise: noise,
		Margin: judge.Margin{Relative: allowed(s)},
	}
	if o.Exposure != "" {
		m.Kind, m.MinRequests, m.Margin = judge.Counts, analysis.DefaultMinRequests, judge.Margin{
			Relative: float64(analysis.DefaultRelative), Absolute: float64(analysis.DefaultAbsolute),
		}
	}
	if r := o.Margin.Relative; r != nil {
		m.Margin.Relative = float64(*r)
	}
	if a := o.Margin.Absolute; a != nil {
		m.Margin.Absolute = float64(*a)
	}
	if r := o.MinRequests; r != nil {
		m.MinRequests = float64(*r)
	}
	return m
}

// allowed returns the margin that a config's effect sizes ask for if they are ratios of means: an allowedIncrease of
// 1.1 is a margin of 10%. If both directions count, the tighter one wins.
func allowed(s kayenta.Settings) float64 {
	margin := math.Inf(1)
	if !s.CLES && s.Direction != kayenta.Decrease && s.AllowedIncrease > 1 {
		margin = s.AllowedIncrease - 1
	}
	if !s.CLES && s.Direction != kayenta.Increase && s.AllowedDecrease > 0 && s.AllowedDecrease < 1 {
		margin = min(margin, 1/s.AllowedDecrease-1)
	}
	if math.IsInf(margin, 1) {
		return float64(analysis.DefaultGaugeRelative)
	}
	return margin
}
