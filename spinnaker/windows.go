package spinnaker

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"time"
)

// analysisScope is a scope of a standalone analysis. As in Kayenta, only the first one's times and step count.
type analysisScope struct {
	ScopeName              label            `json:"scopeName"`
	ControlScope           label            `json:"controlScope,omitempty"`
	ControlLocation        label            `json:"controlLocation,omitempty"`
	ControlOffsetInMinutes number           `json:"controlOffsetInMinutes"`
	ExperimentScope        label            `json:"experimentScope,omitempty"`
	ExperimentLocation     label            `json:"experimentLocation,omitempty"`
	StartTimeISO           instant          `json:"startTimeIso,omitzero"`
	EndTimeISO             instant          `json:"endTimeIso,omitzero"`
	Step                   number           `json:"step"`
	ExtendedScopeParams    map[string]label `json:"extendedScopeParams"`
}

// UnmarshalJSON fills in the defaults.
func (s *analysisScope) UnmarshalJSON(b []byte) error {
	type plain analysisScope
	in := plain{ScopeName: "default", Step: defaultStep}
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	*s = analysisScope(in)
	if s.Step == 0 {
		s.Step = defaultStep
	}
	if s.ExtendedScopeParams == nil {
		s.ExtendedScopeParams = map[string]label{}
	}
	return nil
}

// analysisThresholds are both optional. A score is not compared with an absent one.
type analysisThresholds struct {
	Pass     *number `json:"pass,omitempty"`
	Marginal *number `json:"marginal,omitempty"`
}

// analysisRequest says what to judge, when and how often (section 3).
type analysisRequest struct {
	Scopes               []analysisScope    `json:"scopes"`
	Thresholds           analysisThresholds `json:"thresholds"`
	LifetimeDurationMins *number            `json:"lifetimeDurationMins,omitempty"`
	BeginAfterMins       number             `json:"beginAfterMins"`
	LookbackMins         number             `json:"lookbackMins"`
	AnalysisIntervalMins *number            `json:"analysisIntervalMins,omitempty"`
	SiteLocal            map[string]any     `json:"siteLocal,omitempty"`
}

// window is one judgement of an analysis: when it is due, and what it judges.
type window struct {
	// Due is when it may be judged. For a time range in the past that is the start of the analysis.
	Due time.Time
	// Start and End are those of the experiment's side. The control's are earlier by each scope's offset.
	Start, End time.Time
}

// Bounds on an analysis.
const (
	maxLifetime  = 60 * 24 * time.Hour
	maxIntervals = 2000
)

// plan returns the windows of an analysis that was requested at now, and how long it waits before the first one begins.
// Where Kayenta has an error, it is Kayenta's.
func (r analysisRequest) plan(now time.Time) (warmUp, interval time.Duration, windows []window, err error) {
	if len(r.Scopes) == 0 {
		return 0, 0, nil, errors.New("Canary analysis configuration must contain at least one scope.") //nolint:staticcheck,revive // Kayenta's words
	}
	first := r.Scopes[0]
	start := now
	if !first.StartTimeISO.IsZero() {
		start = first.StartTimeISO.Time
	}
	past := !first.EndTimeISO.IsZero()
	lifetime := time.Duration(0)
	switch {
	case past:
		lifetime = first.EndTimeISO.Sub(start)
	case r.LifetimeDurationMins != nil:
		lifetime = minutes(*r.LifetimeDurationMins)
	default:
		return 0, 0, nil, errors.New("Canary analysis configuration must include either `endTime` or `lifetimeDuration`.") //nolint:staticcheck,revive // Kayenta's words
	}
	if lifetime <= 0 || lifetime > maxLifetime {
		return 0, 0, nil, fmt.Errorf("the lifetime of an analysis has to be above 0 and at "+
			"most %d days; this one is %s", maxLifetime/(24*time.Hour), lifetime)
	}
	if interval = lifetime; r.AnalysisIntervalMins != nil {
		if i := minutes(*r.AnalysisIntervalMins); i > 0 && i < lifetime {
			interval = i
		}
	}
	if lifetime/interval > maxIntervals {
		return 0, 0, nil, fmt.Errorf("%d intervals are too many: at most %d are judged", lifetime/interval, maxIntervals)
	}
	warmUp = minutes(r.BeginAfterMins)
	if warmUp < 0 || warmUp > maxLifetime {
		return 0, 0, nil, errors.New("beginAfterMins: expected a number of minutes to wait")
	}
	if past {
		warmUp = 0
	} else {
		start = start.Add(warmUp)
	}
	for i := range int(lifetime / interval) {
		w := window{Start: start, End: start.Add(time.Duration(i+1) * interval), Due: now}
		if !past {
			w.Due = now.Add(warmUp + time.Duration(i+1)*interval)
		}
		if lookback := minutes(r.LookbackMins); lookback > 0 {
			w.Start = w.End.Add(-lookback)
		}
		windows = append(windows, w)
	}
	return warmUp, interval, windows, nil
}

// minutes converts n minutes to a duration, which is negative if n is not a number or far too large.
func minutes(n number) time.Duration {
	f := float64(n)
	if math.IsNaN(f) || math.Abs(f) > 1e7 {
		return -1
	}
	return time.Duration(f * float64(time.Minute))
}

// request is the request of the run that judges a window.
func (r analysisRequest) request(w window) executionRequest {
	out := executionRequest{Scopes: map[string]scopePair{}, Thresholds: &thresholds{}}
	if p := r.Thresholds.Pass; p != nil {
		out.Thresholds.Pass = *p
	}
	if m := r.Thresholds.Marginal; m != nil {
		out.Thresholds.Marginal = *m
	}
	step := r.Scopes[0].Step
	for _, s := range r.Scopes {
		params := map[string]label{}
		maps.Copy(params, s.ExtendedScopeParams)
		offset := minutes(s.ControlOffsetInMinutes)
		name := string(s.ScopeName)
		if name == "" {
			name = "default"
		}
		out.Scopes[name] = scopePair{
			Control: &scope{
				Scope: s.ControlScope, Location: s.ControlLocation, Start: instant{w.Start.Add(-offset)}, End: instant{w.End.Add(-offset)},
				Step: step, ExtendedScopeParams: params,
			},
			Experiment: &scope{
				Scope: s.ExperimentScope, Location: s.ExperimentLocation, Start: instant{w.Start}, End: instant{w.End},
				Step: step, ExtendedScopeParams: params,
			},
		}
	}
	return out
}
