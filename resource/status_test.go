package resource_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/yaml"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/resource"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/share"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/workload"
)

var update = flag.Bool("update", false, "write the golden files again")

var start = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

func definition() *rollout.Definition {
	arm := func(name string) workload.Arm {
		return workload.Arm{Deployment: workload.Name{Namespace: "pro", Name: name}, Service: name}
	}
	return &rollout.Definition{
		Name: "pro.shop", Revision: "0123456789abcdef",
		Stable: traffic.Backend{Service: "shop", Port: "80"}, Canary: traffic.Backend{Service: "shop-canary", Port: "80"},
		Cluster: &rollout.Cluster{Arms: workload.Arms{Stable: arm("shop"), Canary: arm("shop-canary")}, Deadline: 10 * time.Minute},
		Steps: rollout.Steps{
			rollout.Gate{Name: "begin", Approvers: []string{"qa"}, Expires: &rollout.Expiry{After: time.Hour, Then: rollout.PolicyCancel}},
			rollout.Gray{Name: "gray", Weights: []share.Share{0.1, 0.25}, Hold: 10 * time.Minute, Scope: "gray", Decide: rollout.Decide{Max: 24 * time.Hour, Inconclusive: rollout.PolicyGate}},
			rollout.Promote{Name: "promote", Strategy: rollout.Patch, Deadline: 10 * time.Minute},
		},
		Scopes: []rollout.Scope{{Name: "gray"}}, Verify: rollout.Verify{For: time.Minute},
		Rollback: rollout.Rollback{Drain: 30 * time.Second, Deadline: 15 * time.Minute},
	}
}

// view is the view of a release to which events have happened, as the engine makes it.
func view(t *testing.T, events ...rollout.Event) *record.View {
	t.Helper()
	d := definition()
	v := &record.View{Rollout: "pro.shop", Declared: true, Definition: d, Steps: d.Steps, Confirmation: traffic.NotServed}
	var s rollout.State
	for i, e := range events {
		by := e.Head().By
		if by == "" {
			by = "serin"
		}
		switch what := e.(type) {
		case rollout.InForce:
			what.Turn = s.Turn
			e = what
		case rollout.LookTaken:
			what.Turn = s.Turn
			e = what
		}
		var err error
		s, err = s.Apply(e.With(rollout.Meta{Seq: i + 1, At: start.Add(time.Duration(i) * time.Minute), By: by}))
		require.NoError(t, err, "event %d", i)
	}
	if len(events) == 0 {
		return v
	}
	v.Release = &record.Release{ID: "01KZ0000000000000000000000", Rollout: "pro.shop", Revision: s.Revision, StartedBy: s.StartedBy, StartedAt: s.StartedAt}
	v.State, v.Target = s, s.Target(d, v.Release.ID).Traffic
	if gate := s.OpenGate(); gate != "" {
		v.Gate, v.GateSince, v.Approvers = gate, s.StepAt, []string{"operator"}
		if g, ok := d.Gate(gate); ok && len(g.Approvers) > 0 {
			v.Approvers = g.Approvers
		}
	}
	return v
}

// The events of a release, one after the other.
var (
	started = rollout.Started{Meta: rollout.Meta{By: "alice"}, Rollout: "pro.shop", Revision: "0123456789abcdef", Parameters: map[string]string{"image": "shop:2"}}
	atGate  = []rollout.Event{started, rollout.StepEntered{Step: 0, Name: "begin", What: rollout.StageGate}}
	atGray  = slices.Concat(atGate, []rollout.Event{
		rollout.GateAnswered{Meta: rollout.Meta{By: "bob"}, Gate: "begin", Answer: rollout.Approve},
		rollout.StepEntered{Step: 1, Name: "gray", What: rollout.StageGray, Scope: "gray"},
	})
	inForce = slices.Concat(atGray, []rollout.Event{rollout.InForce{How: "api"}})
	judged  = func(o judge.Outcome, decisive string) []rollout.Event {
		return slices.Concat(inForce, []rollout.Event{rollout.LookTaken{Scope: "gray", Verdict: judge.Verdict{
			Outcome: o, Look: 4, At: start.Add(4 * time.Minute), Enough: true, Decisive: decisive,
			Metrics: []judge.MetricVerdict{{
				Metric: "errors", Kind: judge.Counts, Outcome: o, Canary: judge.Totals{Bad: 51, Total: 1968, Rate: 0.0259}, Baseline: judge.Totals{Bad: 37, Total: 7551, Rate: 0.0049},
				Ratio: 5.3, Lower: 2.1, Upper: 9.9, Margin: 1.25, LogEvidence: judge.LogEvidence{Worse: 6, FailsFrom: 5.3, PassFrom: 3},
			}},
		}}})
	}
	goesBack = judged(judge.Fail, "errors")
)

// end is a view of a release that has ended.
func end(t *testing.T, o rollout.Outcome, why string) *record.View {
	v := view(t, goesBack...)
	v.State.Phase, v.State.Outcome, v.State.Why, v.State.EndedAt = rollout.PhaseEnded, o, why, start.Add(10*time.Minute)
	v.Gate = ""
	return v
}

func past(id string, o rollout.Outcome) record.Past {
	return record.Past{Release: record.Release{ID: id, Phase: rollout.PhaseEnded, Outcome: o, StartedBy: "alice", StartedAt: start.Add(-2 * time.Hour), EndedAt: start.Add(-time.Hour)}, Why: "every step is done"}
}

// scenario is one status, and how tools have to interpret it.
type scenario struct {
	in resource.In
	// argo is Argo CD's word, kstatus that of Flux and of kubectl wait --for=…
	argo    string
	kstatus status.Status
}

// scenarios are statuses of every phase.
func scenarios(t *testing.T) map[string]scenario {
	wrong := []resource.Problem{{Path: "spec.steps[1].gray.weights[1]", Message: "10% after 25%: weights have to grow"}, {Path: "spec.analysis", Message: "there is no analysis web"}}
	served := view(t, atGray...)
	served.Replicas = []traffic.Replica{
		{Name: "10.0.0.1", Served: traffic.Served{Main: &traffic.RouteServed{Enabled: true}}},
		{Name: "10.0.0.2", Served: traffic.Served{Main: &traffic.RouteServed{Enabled: true, Weight: 0.1}}},
		{Name: "10.0.0.3", Err: "does not answer"},
	}
	promoting := view(t, slices.Concat(judged(judge.Pass, ""), []rollout.Event{rollout.StepEntered{Step: 2, Name: "promote", What: rollout.StagePatch}})...)
	trouble := view(t, inForce...)
	trouble.Trouble = []string{"the store does not answer", strings.Repeat("a long word ", 100)}
	return map[string]scenario{
		"invalid from the start":        {resource.In{Problems: wrong}, "Degraded", status.FailedStatus},
		"idle":                          {resource.In{View: view(t)}, "Healthy", status.CurrentStatus},
		"idle and wrong by now":         {resource.In{View: view(t), Problems: wrong[:1]}, "Degraded", status.FailedStatus},
		"progressing before its weight": {resource.In{View: served}, "Progressing", status.InProgressStatus},
		"progressing at its weight":     {resource.In{View: view(t, inForce...)}, "Progressing", status.InProgressStatus},
		"progressing with a verdict":    {resource.In{View: view(t, judged(judge.Pass, "")...)}, "Progressing", status.InProgressStatus},
		"progressing and wrong by now":  {resource.In{View: view(t, inForce...), Problems: wrong}, "Degraded", status.InProgressStatus},
		"progressing with trouble":      {resource.In{View: trouble}, "Progressing", status.InProgressStatus},
		"waiting":                       {resource.In{View: view(t, atGate...)}, "Suspended", status.InProgressStatus},
		"paused":                        {resource.In{View: view(t, append(slices.Clone(inForce), rollout.Paused{Meta: rollout.Meta{By: "carol"}, Reason: "lunch"})...)}, "Suspended", status.InProgressStatus},
		"promoting":                     {resource.In{View: promoting}, "Progressing", status.InProgressStatus},
		"rolling back":                  {resource.In{View: view(t, goesBack...)}, "Progressing", status.InProgressStatus},
		"released":                      {resource.In{View: end(t, rollout.Released, "every step is done")}, "Healthy", status.CurrentStatus},
		"rolled back":                   {resource.In{View: end(t, rollout.RolledBack, "the canary is worse: errors")}, "Degraded", status.FailedStatus},
		"cancelled":                     {resource.In{View: end(t, rollout.Cancelled, "nobody has answered gate begin")}, "Healthy", status.CurrentStatus},
		"superseded":                    {resource.In{View: end(t, rollout.OutcomeSuperseded, "another release")}, "Healthy", status.CurrentStatus},
		"failed":                        {resource.In{View: end(t, rollout.Failed, "it took too long to go back")}, "Degraded", status.FailedStatus},
	}
}

func of(_ string, in resource.In) resource.Status {
	in.Generation, in.Now = 3, start.Add(5*time.Minute)
	in.Stable = resource.Images{First: "shop:1", All: map[string]string{"shop": "shop:1"}}
	in.Canary = resource.Images{First: "shop:2", All: map[string]string{"shop": "shop:2", "proxy": "proxy:7"}}
	for i := range 7 {
		in.Past = append(in.Past, past(string(rune('A'+i)), rollout.Released))
	}
	return resource.Of(in)
}

func TestTheStatusOfEveryPhase(t *testing.T) {
	seen := map[resource.Phase]bool{}
	for name, c := range scenarios(t) {
		t.Run(name, func(t *testing.T) {
			s := of(name, c.in)
			seen[s.Phase] = true
			got, err := yaml.Marshal(s)
			require.NoError(t, err)
			file := filepath.Join("testdata", strings.NewReplacer(" ", "-", ",", "").Replace(name)+".yaml")
			if *update {
				require.NoError(t, os.WriteFile(file, got, 0o600))
			}
			want, err := os.ReadFile(file)
			require.NoError(t, err)
			require.Equal(t, string(want), string(got))
		})
	}
	for _, phase := range resource.Phases {
		require.True(t, seen[phase], "no scenario is %s", phase)
	}
}

// object is a Rollout with a status, as tools read it.
func object(t *testing.T, s resource.Status, generation int64) *unstructured.Unstructured {
	t.Helper()
	b, err := json.Marshal(map[string]any{
		"apiVersion": "serin.dev/v1alpha1", "kind": "Rollout",
		"metadata": map[string]any{"name": "shop", "namespace": "pro", "generation": generation}, "status": s,
	})
	require.NoError(t, err)
	u := &unstructured.Unstructured{}
	require.NoError(t, u.UnmarshalJSON(b))
	return u
}

// Flux, and anything else that relies on kstatus, needs to know nothing about Serin.
func TestKstatusTellsWhereARolloutStands(t *testing.T) {
	for name, c := range scenarios(t) {
		t.Run(name, func(t *testing.T) {
			got, err := status.Compute(object(t, of(name, c.in), 3))
			require.NoError(t, err)
			require.Equal(t, c.kstatus, got.Status, got.Message)
			got, err = status.Compute(object(t, of(name, c.in), 4))
			require.NoError(t, err)
			require.Equal(t, status.InProgressStatus, got.Status, "a generation that nobody has read yet")
		})
	}
}

func TestAConditionThatStaysKeepsItsTime(t *testing.T) {
	t.Parallel()
	before := of("", resource.In{View: view(t, inForce...)})
	in := resource.In{View: view(t, goesBack...), Before: before, Generation: 3, Now: start.Add(time.Hour)}
	times := map[string]time.Time{}
	for _, c := range resource.Of(in).Conditions {
		times[c.Type] = c.LastTransitionTime
	}
	require.Equal(t, start.Add(5*time.Minute), times[resource.Reconciling], "it was under way before")
	require.Equal(t, start.Add(time.Hour), times[resource.TypeRolledBack])
}

func TestTimeAloneIsNothingNew(t *testing.T) {
	t.Parallel()
	for name, c := range scenarios(t) {
		c.in.Generation, c.in.Now = 3, start.Add(6*time.Minute)
		before := resource.Of(c.in)
		c.in.Before, c.in.Now = before, start.Add(6*time.Minute+20*time.Second)
		require.True(t, resource.Same(before, resource.Of(c.in)), name)
	}
}

func TestAReleaseGoesBackWithItsObjectUnlessItIsBeingPromoted(t *testing.T) {
	t.Parallel()
	back := rollout.RollbackRequested{Reason: "its Rollout is deleted"}
	promoting, watched := view(t, inForce...), view(t, inForce...)
	promoting.State.Doing, watched.State.Doing = rollout.StagePromote, rollout.StagePromote
	watched.State.WatchedFrom = start
	ends := end(t, rollout.Released, "")
	for _, c := range []struct {
		name string
		view *record.View
		want rollout.Event
	}{
		{"without a release nothing has to end", view(t), nil},
		{"at a gate it goes back", view(t, atGate...), back},
		{"at a weight it goes back", view(t, inForce...), back},
		{"while it goes back it ends by itself", view(t, goesBack...), nil},
		{"once it is over there is nothing to end", ends, nil},
		{"while it is promoted it ends by itself", promoting, nil},
		{"a watch ends, and takes nothing back", watched, rollout.WentOn{Reason: "its Rollout is deleted", Full: true}},
	} {
		e, ok := resource.Deleted(c.view)
		require.Equal(t, c.want != nil, ok, c.name)
		if ok {
			require.Equal(t, c.want, e, c.name)
		}
	}
}

func TestTheStatusOfAnAnalysis(t *testing.T) {
	t.Parallel()
	right := resource.OfAnalysis(2, nil, resource.AnalysisStatus{}, start)
	require.Equal(t, "True", right.Conditions[0].Status)
	wrong := resource.OfAnalysis(3, []resource.Problem{{Path: "spec.metrics[0]", Message: "expected ratio"}}, right, start.Add(time.Hour))
	require.Equal(t, "False", wrong.Conditions[0].Status)
	require.Equal(t, "the last good version is in use, if there is one: spec.metrics[0]: expected ratio", wrong.Conditions[1].Message)
	require.False(t, resource.SameAnalysis(right, wrong))
}
