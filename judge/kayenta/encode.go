package kayenta

import (
	"encoding/json"
	"fmt"
	"math"
)

// number encodes as the reference's doubles do: non-finite ones as strings.
type number float64

func (n number) MarshalJSON() ([]byte, error) {
	switch v := float64(n); {
	case math.IsNaN(v):
		return []byte(`"NaN"`), nil
	case math.IsInf(v, 1):
		return []byte(`"Infinity"`), nil
	case math.IsInf(v, -1):
		return []byte(`"-Infinity"`), nil
	default:
		return json.Marshal(v)
	}
}

type jsonStats struct {
	Count int    `json:"count"`
	Mean  number `json:"mean"`
	Min   number `json:"min"`
	Std   number `json:"std"`
	Max   number `json:"max"`
}

type jsonArm struct {
	Stats jsonStats `json:"stats"`
}

func (s Stats) arm() jsonArm {
	return jsonArm{jsonStats{Count: s.Count, Mean: number(s.Mean), Min: number(s.Min), Std: number(s.Std), Max: number(s.Max)}}
}

type jsonRatio struct {
	Ratio number `json:"ratio"`
}

// The reference leaves out null fields but writes empty lists and maps, hence omitzero.
type jsonMetric struct {
	Name       string            `json:"name"`
	Tags       map[string]string `json:"tags,omitzero"`
	ID         *string           `json:"id,omitzero"`
	Label      Label             `json:"classification"`
	Reason     string            `json:"classificationReason,omitempty"`
	Groups     []string          `json:"groups,omitzero"`
	Experiment jsonArm           `json:"experimentMetadata"`
	Control    jsonArm           `json:"controlMetadata"`
	Ratio      *jsonRatio        `json:"resultMetadata,omitzero"`
	Critical   bool              `json:"critical"`
	Muted      bool              `json:"muted"`
}

type jsonGroup struct {
	Name string `json:"name"`
	jsonScore
}

type jsonScore struct {
	Score  number `json:"score"`
	Label  Label  `json:"classification"`
	Reason string `json:"classificationReason"`
}

type jsonResult struct {
	Judge   string       `json:"judgeName"`
	Results []jsonMetric `json:"results"`
	Groups  []jsonGroup  `json:"groupScores"`
	Score   jsonScore    `json:"score"`
}

// MarshalJSON writes the reference's CanaryJudgeResult: keys without a value are absent, and non-finite numbers are the
// strings "NaN", "Infinity" and "-Infinity". Like the reference it gives no label and no reason for a group.
func (r Result) MarshalJSON() ([]byte, error) {
	out := jsonResult{
		Judge: Name, Results: make([]jsonMetric, len(r.Metrics)), Groups: make([]jsonGroup, len(r.Groups)),
		Score: jsonScore{Score: number(r.Score), Label: r.Label, Reason: r.Reason},
	}
	for i, m := range r.Metrics {
		out.Results[i] = jsonMetric{
			Name: m.Name, Tags: m.Tags, ID: m.ID, Label: m.Label, Reason: m.Reason, Groups: m.Groups,
			Experiment: m.Experiment.arm(), Control: m.Control.arm(), Critical: m.Critical, Muted: m.Muted,
		}
		if m.Label != Error {
			out.Results[i].Ratio = &jsonRatio{number(m.Ratio)}
		}
	}
	for i, g := range r.Groups {
		out.Groups[i] = jsonGroup{g.Name, jsonScore{Score: number(g.Score)}}
	}
	data, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("encode the result of %d metrics: %w", len(r.Metrics), err)
	}
	return data, nil
}
