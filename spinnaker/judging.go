package spinnaker

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/serindev/serin/judge/kayenta"
	"github.com/serindev/serin/spinnaker/kept"
	"github.com/serindev/serin/spinnaker/metricset"
)

// The judges that a config may name, besides Kayenta's own, which a config without a judge gets.
const (
	sequentialJudge = "SerinSequentialJudge-v1.0"
	remoteJudgeName = "RemoteJudge-v1.0"
)

var judgeNames = []string{kayenta.Name, sequentialJudge}

// judging is the input of a judge.
type judging struct {
	config    kayenta.Config
	execution *execution
	pairs     []metricset.Pair
	ids       []string // one for each pair
	same      []string // metrics whose query is the same for both arms
}

// judged is the output of a judge: a CanaryJudgeResult, warnings, and the evidence to store with them.
type judged struct {
	result   json.RawMessage
	warnings []string
	evidence *kept.Evidence
}

type judgeFunc func(context.Context, *Service, judging) (judged, error)

// chosen returns the name of the judge that a config asks for: Kayenta's if it names none. A config with RemoteJudge-v1.0
// was written for a Kayenta that asks Serin. It means the same when Serin runs it, so that teams who move from one to the
// other need not change their configs.
func chosen(c kayenta.Config) (string, error) {
	o, err := readJudgeOptions(c)
	name := o.Judge
	if c.Judge != nil && c.Judge.Name != remoteJudgeName {
		name = c.Judge.Name
	}
	switch name {
	case "", kayenta.Name:
		return kayenta.Name, nil // it reads no options, so errors in them do not matter
	case sequentialJudge:
		return name, err
	}
	return "", fmt.Errorf("Unable to resolve canary judge '%s'.", name) //nolint:staticcheck,revive // Kayenta's words
}

// judgeOf chooses the judge of a config.
func judgeOf(c kayenta.Config) (judgeFunc, error) {
	name, err := chosen(c)
	if err != nil {
		return nil, err
	}
	if name == sequentialJudge {
		return judgeSequentially, nil
	}
	return judgeAsKayenta, nil
}

// request combines the pairs with their settings and groups from the config, for both judges.
func (j judging) request() (kayenta.Request, error) {
	pairs := make([]kayenta.Pair, len(j.pairs))
	for i, p := range j.pairs {
		pairs[i] = kayenta.Pair{Name: p.Name, ID: &j.ids[i], Tags: p.Tags, Control: p.Control.Values, Experiment: p.Experiment.Values}
	}
	t := j.execution.Request.Thresholds
	return j.config.Request(pairs, kayenta.Thresholds{Pass: float64(t.Pass), Marginal: float64(t.Marginal)})
}

func judgeAsKayenta(_ context.Context, _ *Service, j judging) (judged, error) {
	request, err := j.request()
	if err != nil {
		return judged{}, err
	}
	out, err := kayentaResult(request)
	for _, name := range j.same {
		out.warnings = append(out.warnings,
			fmt.Sprintf("metric %q: the query and the time are the same for both arms, so it says nothing about the canary: "+
				"use ${scope} in the query", name))
	}
	return out, err
}

func kayentaResult(request kayenta.Request) (judged, error) {
	r, err := kayenta.Judge(request)
	if err != nil {
		return judged{}, err
	}
	b, err := json.Marshal(r)
	if err != nil {
		return judged{}, err
	}
	return judged{result: finite(b), warnings: kayenta.Warnings(request, r)}, nil
}

// finite replaces a score of NaN, which Orca cannot read, by 0. Its label is Fail already.
func finite(b json.RawMessage) json.RawMessage {
	var r map[string]json.RawMessage
	var sum score
	if json.Unmarshal(b, &r) != nil || json.Unmarshal(r["score"], &sum) != nil || sum.Score == sum.Score {
		return b
	}
	sum.Score = 0
	sum.ClassificationReason = "The score is not a number: see the groups' weights."
	r["score"] = mustJSON(sum)
	return mustJSON(r)
}
