package spinnaker

import (
	"cmp"
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/serindev/serin/judge/kayenta"
	"github.com/serindev/serin/spinnaker/kept"
	"github.com/serindev/serin/spinnaker/metricset"
)

// fetchTakes bounds how long a caller waits when it tries out a query.
const fetchTakes = time.Minute

// metricSet is one arm of one metric, in the form in which Kayenta stores what /fetch measured.
type metricSet struct {
	Name            string            `json:"name"`
	Tags            map[string]string `json:"tags"`
	StartTimeMillis int64             `json:"startTimeMillis"`
	StartTimeISO    instant           `json:"startTimeIso"`
	EndTimeMillis   int64             `json:"endTimeMillis"`
	EndTimeISO      instant           `json:"endTimeIso"`
	StepMillis      int64             `json:"stepMillis"`
	Values          []number          `json:"values"`
	Attributes      query             `json:"attributes"`
}

// fetch tries out the query of a config's metric, as Gate's query test does. With dryRun it returns the text of the
// query; without it runs the query and returns the id under which the answer is stored.
func (s *Service) fetch(r *http.Request) (*reply, error) {
	if err := s.checkAccount(r, "metricsAccountName", prometheusAccount); err != nil {
		return nil, err
	}
	if err := s.checkAccount(r, "storageAccountName", serinAccount); err != nil {
		return nil, err
	}
	q := r.URL.Query()
	metric := kayenta.ConfigQuery{
		Type: "prometheus", MetricName: q.Get("metricName"), LabelBindings: q["labelBindings"], GroupByFields: q["groupByFields"],
		ResourceType: q.Get("resourceType"), Template: q.Get("template"),
		CustomInlineTemplate: cmp.Or(q.Get("customInlineTemplate"), q.Get("customFilter")), // Gate sends the latter
	}
	in := metricset.Scope{Scope: q.Get("scope"), Location: q.Get("location"), Params: map[string]string{}}
	if project := q.Get("project"); project != "" {
		in.Params["project"] = project
	}
	text, err := metricset.Query(nil, metric, in, s.o.Rules)
	if err != nil {
		return nil, bad("%v", err)
	}
	if q.Get("dryRun") == "true" {
		return ok(query{text}), nil
	}
	if in, err = fetchRange(r, in); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), fetchTakes)
	defer cancel()
	asked := metricset.Question{Scope: in, PromQL: text}
	answer, err := s.askOnce(ctx, asked)
	if err != nil {
		return nil, busy("other queries are under way: try again")
	}
	if answer.Err != nil {
		return nil, bad("%v", answer.Err)
	}
	sets, err := wireSets(q.Get("metricSetName"), metricset.Side{Question: asked, Series: answer.Series})
	if err != nil {
		return nil, bad("%v", err)
	}
	p := kept.Pairs{ID: newUUID(), At: time.Now().UTC(), Body: mustJSON(sets)}
	if err := s.o.Store.KeepCanaryPairs(r.Context(), p); err != nil {
		return nil, err
	}
	return ok(map[string]string{"metricSetListId": p.ID}), nil
}

// fetchRange reads the time range of a query.
func fetchRange(r *http.Request, in metricset.Scope) (metricset.Scope, error) {
	q := r.URL.Query()
	for name, into := range map[string]*time.Time{"start": &in.Start, "end": &in.End} {
		at, err := time.Parse(time.RFC3339, q.Get(name))
		if err != nil {
			return in, bad("%s: '%.40s' is not an ISO timestamp such as 2018-03-08T01:02:53Z", name, q.Get(name))
		}
		*into = at
	}
	step, err := strconv.ParseFloat(cmp.Or(q.Get("step"), strconv.Itoa(defaultStep)), 64)
	if err == nil && step == 0 {
		step = defaultStep
	}
	if err != nil || !(step >= 1 && step <= maxStep) {
		return in, bad("step: '%.40s' is not between 1 and %d seconds", q.Get("step"), maxStep)
	}
	in.Step = time.Duration(step * float64(time.Second))
	if in.End.Before(in.Start) {
		return in, bad("end: %s is before the start", q.Get("end"))
	}
	return in, nil // Prometheus itself refuses too many points
}

// wireSets returns the series of an answer. Each is paired with itself, so that it becomes exactly what a run would get.
func wireSets(name string, answered metricset.Side) ([]metricSet, error) {
	pairs, err := metricset.Pairs(name, answered, answered)
	if err != nil {
		return nil, err
	}
	sets := make([]metricSet, len(pairs))
	for i, p := range pairs {
		step, values := answered.Question.Scope.Step, make([]number, len(p.Control.Values))
		for k, v := range p.Control.Values {
			values[k] = number(v)
		}
		start := p.Control.Start
		end := start.Add(time.Duration(max(len(values)-1, 0)) * step)
		sets[i] = metricSet{
			Name: name, Tags: p.Tags, StartTimeMillis: start.UnixMilli(), StartTimeISO: instant{start}, EndTimeMillis: end.UnixMilli(),
			EndTimeISO: instant{end}, StepMillis: step.Milliseconds(), Values: values, Attributes: query{answered.Question.PromQL},
		}
	}
	return sets, nil
}
