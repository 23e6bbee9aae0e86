package spinnaker

import (
	"bytes"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/serindev/serin/judge/kayenta"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/spinnaker/kept"
	"github.com/serindev/serin/spinnaker/metricset"
)

// remoteJudge judges what a Kayenta has measured (section 4). A request that cannot be judged gets 400, so that its run
// ends as terminal and never as a pass.
func (s *Service) remoteJudge(r *http.Request) (*reply, error) {
	b, leave, err := s.samples(r)
	if err != nil {
		return nil, err
	}
	defer leave()
	out, err := judgeRemotely(b)
	if err != nil {
		return nil, bad("%v", err)
	}
	return ok(out.result), nil
}

// samples reads a request that carries samples, then waits for one of the judgeAtOnce slots. The body is read first, so
// that a slow sender occupies no slot.
func (s *Service) samples(r *http.Request) (body []byte, leave func(), err error) {
	if body, err = readBody(r, kayenta.MaxRequest, 1); err != nil {
		return nil, nil, err
	}
	if leave, err = s.enter(r); err != nil {
		return nil, nil, err
	}
	return body, leave, nil
}

// enter waits for one of the judgeAtOnce slots.
func (s *Service) enter(r *http.Request) (leave func(), err error) {
	select {
	case s.judging <- struct{}{}:
		return func() { <-s.judging }, nil
	case <-r.Context().Done():
		return nil, busy("the caller has gone")
	}
}

// judgeRemotely judges a whole request. The judge is Kayenta's unless the config asks for the sequential one, by name or
// in judgeConfigurations.judge: Kayenta asks at all only if judge.name is RemoteJudge-v1.0.
func judgeRemotely(body []byte) (judged, error) {
	request, err := kayenta.DecodeRequest(body)
	if err != nil {
		return judged{}, err
	}
	config, parts := kayenta.Parts(body)
	c, err := kayenta.DecodeConfig(quoteBare(config))
	if err != nil {
		return judged{}, err
	}
	name, err := chosen(c)
	if err != nil {
		return judged{}, err
	}
	if name == kayenta.Name {
		return kayentaResult(request)
	}
	pairs, err := decodePairs(parts)
	if err != nil {
		return judged{}, err
	}
	return judgeWindow(c, request, pairs)
}

// decodePairs reads pairs one by one: decoding all at once would hold their text two more times.
func decodePairs(parts [][]byte) ([]metricSetPair, error) {
	pairs := make([]metricSetPair, len(parts))
	for i, part := range parts {
		if err := decode(part, &pairs[i]); err != nil {
			return nil, err
		}
	}
	return pairs, nil
}

// judgeWindow judges one window by itself, because a remote judge is not told which pipeline it belongs to. The points
// are placed by start and step, as if there were no gaps: Kayenta leaves gaps out and sends no times.
func judgeWindow(c kayenta.Config, request kayenta.Request, wire []metricSetPair) (judged, error) {
	p, err := planOf(c, request)
	if err != nil {
		return judged{}, err
	}
	pairs := make([]metricset.Pair, len(wire))
	shifts := map[string]time.Duration{}
	step := time.Duration(0)
	for i, w := range wire {
		pairs[i] = metricset.Pair{Name: w.Name, Tags: w.Tags, Control: windowOf(w, control), Experiment: windowOf(w, experiment)}
		if _, ok := shifts[w.Name]; !ok {
			shifts[w.Name] = pairs[i].Experiment.Start.Sub(pairs[i].Control.Start)
		}
		if d := pairs[i].Experiment.Step; d > 0 && (step == 0 || d < step) {
			step = d
		}
	}
	if step == 0 {
		step = time.Minute
	}
	byMetric, at := align(pairs, func(metric string) time.Duration { return shifts[metric] })
	f, err := p.fold(folded{}, byMetric, at, step)
	if err != nil {
		return judged{}, err
	}
	return p.render(f, request)
}

func windowOf(w metricSetPair, side string) metricset.Set {
	at := w.Scopes[side]
	s := metricset.Set{
		Start: time.UnixMilli(at.StartTimeMillis).UTC(), Step: time.Duration(at.StepMillis) * time.Millisecond,
		Values: make([]float64, len(w.Values[side])),
	}
	if at.StartTimeMillis == 0 {
		s.Start = at.StartTimeISO.Time
	}
	if s.Step <= 0 {
		s.Step = time.Minute
	}
	for i, v := range w.Values[side] {
		s.Values[i] = float64(v)
	}
	return s
}

// keepPairs stores samples that a caller sends.
func (s *Service) keepPairs(r *http.Request) (*reply, error) {
	if err := s.checkAccount(r, "accountName", serinAccount); err != nil {
		return nil, err
	}
	b, leave, err := s.samples(r)
	if err != nil {
		return nil, err
	}
	defer leave()
	body, err := plainPairs(b)
	if err != nil {
		return nil, err
	}
	p := kept.Pairs{ID: newUUID(), At: time.Now().UTC(), Body: body}
	if err := s.o.Store.KeepCanaryPairs(r.Context(), p); err != nil {
		return nil, err
	}
	return ok(map[string]string{"metricSetPairListId": p.ID}), nil
}

// maxPairs bounds a list of pairs in its stored form, in which short numbers can become long. With the largest config it
// still makes a request that can be judged.
const maxPairs = kayenta.MaxRequest - kayenta.MaxConfig - 1<<10

// plainPairs rewrites a list of pairs as JSON that every client can read, which is its stored form. It reads and writes
// one pair at a time, so that the list is in memory at most twice.
func plainPairs(list []byte) ([]byte, error) {
	parts, array, err := kayenta.Split(list)
	if err != nil {
		return nil, bad("the body is not JSON: %v", err)
	}
	if !array {
		return nil, bad("the body cannot be read: expected a list of pairs")
	}
	var out bytes.Buffer
	out.Grow(len(list))
	out.WriteByte('[')
	for i, part := range parts {
		var pair metricSetPair
		if err := decode(part.Text, &pair); err != nil {
			return nil, err
		}
		if i > 0 {
			out.WriteByte(',')
		}
		out.Write(mustJSON(pair))
		if out.Len() > maxPairs {
			return nil, &http.MaxBytesError{Limit: maxPairs}
		}
	}
	out.WriteByte(']')
	return out.Bytes(), nil
}

// judgeStored judges stored samples by a stored config, at once.
func (s *Service) judgeStored(r *http.Request) (*reply, error) {
	if _, err := readBody(r, maxBody, 1); err != nil { // Kayenta takes a body here and ignores it
		return nil, err
	}
	leave, err := s.enter(r)
	if err != nil {
		return nil, err
	}
	defer leave()
	q := r.URL.Query()
	config, err := s.storedConfig(r, q.Get("canaryConfigId"))
	if err != nil {
		return nil, err
	}
	id := q.Get("metricSetPairListId")
	pairs, err := s.o.Store.CanaryPairs(r.Context(), id)
	if errors.Is(err, record.ErrNotFound) {
		return nil, notFound("No such object named %s", id)
	}
	if err != nil {
		return nil, err
	}
	var t thresholds
	for name, into := range map[string]*number{"passThreshold": &t.Pass, "marginalThreshold": &t.Marginal} {
		f, err := strconv.ParseFloat(q.Get(name), 64)
		if err != nil {
			return nil, bad("%s: '%.40s' is not a number", name, q.Get(name))
		}
		*into = number(f)
	}
	out, err := judgeRemotely(slices.Concat(
		[]byte(`{"canaryConfig":`), config, []byte(`,"scoreThresholds":`), mustJSON(t), []byte(`,"metricSetPairList":`), pairs, []byte("}")))
	if err != nil {
		return nil, bad("%v", err)
	}
	return ok(out.result), nil
}
