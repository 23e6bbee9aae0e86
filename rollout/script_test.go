package rollout_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/calendar"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/share"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/workload"
)

// pipeline is the rollout that the scripts and the properties run: A/B, two gray steps with a gate between them, a
// gate, a webhook before and after promotion.
func pipeline() *rollout.Definition {
	beta := traffic.Cohort{Match: traffic.Matcher{Header: &traffic.Header{Name: "X-User-Group", Value: "beta"}}, Split: 0.5}
	decide := rollout.Decide{Max: 2 * time.Hour, Inconclusive: rollout.PolicyGate}
	hold := rollout.Patience{For: 5 * time.Minute, Then: rollout.PolicyHold}
	return &rollout.Definition{
		Name: "shop", Revision: "a1",
		Stable: traffic.Backend{Servers: []string{"http://blue"}}, Canary: traffic.Backend{Servers: []string{"http://green"}},
		Steps: rollout.Steps{
			rollout.Gate{Name: "start", Approvers: []string{"qa"}, Expires: &rollout.Expiry{After: 24 * time.Hour, Then: rollout.PolicyCancel}},
			rollout.AB{Name: "ab", Cohort: beta, Scope: "ab/ab", Decide: rollout.Decide{Min: 30 * time.Minute, Max: 6 * time.Hour, Inconclusive: rollout.PolicyGate}},
			rollout.Gray{Name: "gray", Weights: []share.Share{0.05, 0.2}, Hold: 10 * time.Minute, Scope: "gray", Decide: decide},
			rollout.Wait{Name: "lunch", For: time.Hour},
			rollout.Gray{Name: "more", Weights: []share.Share{0.5}, Hold: 10 * time.Minute, Scope: "gray", Decide: decide},
			rollout.Gate{Name: "full", Approvers: []string{"release-managers"}, Expires: &rollout.Expiry{After: 12 * time.Hour, Then: rollout.PolicyRollback}},
			rollout.Promote{Name: "promote"},
			rollout.Webhook{Name: "announce", URL: "http://chat", Ignore: true, Deadline: time.Minute},
		},
		Scopes: []rollout.Scope{
			{Name: "ab/ab", NoData: hold, Unreachable: rollout.Patience{For: 10 * time.Minute, Then: rollout.PolicyGate}},
			{Name: "gray", NoData: hold, Unreachable: rollout.Patience{For: 10 * time.Minute, Then: rollout.PolicyRollback}},
		},
		Verify:   rollout.Verify{For: time.Minute},
		Rollback: rollout.Rollback{Drain: 30 * time.Second, Deadline: 15 * time.Minute},
	}
}

// clustered is the rollout of the pipeline example: the same on Kubernetes, with a migration, a pre-release, the
// canary's Deployment, and promotion by patch.
func clustered() *rollout.Definition {
	d := pipeline()
	stable := workload.Name{Namespace: "pro", Name: "shop"}
	canary := workload.Name{Namespace: "pro", Name: "shop-canary"}
	d.Stable, d.Canary = traffic.Backend{Service: "shop", Port: "80"}, traffic.Backend{Service: "shop-canary", Port: "80"}
	d.Cluster = &rollout.Cluster{
		Arms: workload.Arms{
			Stable: workload.Arm{Deployment: stable, Service: "shop"}, Canary: workload.Arm{Deployment: canary, Service: "shop-canary"},
		},
		Replicas: workload.Replicas{Share: 0.1}, Deadline: 10 * time.Minute,
	}
	image := map[string]string{"web": "${image}"}
	d.Parameters = []rollout.Parameter{{Name: "image", Required: true}}
	d.Steps = slices.Concat(rollout.Steps{
		rollout.Job{Name: "migrate", Manifest: []byte(`{"image":"${image}"}`), Deadline: 15 * time.Minute},
		rollout.Deploy{Name: "pre-release", Deployment: workload.Name{Namespace: "dev", Name: "shop"}, Images: image, Deadline: 5 * time.Minute},
		d.Steps[0],
		rollout.Deploy{Name: "canary", Deployment: canary, Images: image, Deadline: 5 * time.Minute},
	}, d.Steps[1:])
	for i, step := range d.Steps {
		if p, ok := step.(rollout.Promote); ok {
			p.Strategy, p.Deadline, p.Expired = rollout.Patch, 10*time.Minute, rollout.PolicyGate
			d.Steps[i] = p
		}
	}
	return d
}

// awaiting leaves stable's Deployment to another system, and restores the pre-release with the rest.
func awaiting() *rollout.Definition {
	d := clustered()
	for i, step := range d.Steps {
		switch step := step.(type) {
		case rollout.Promote:
			step.Strategy = rollout.AwaitStable
			d.Steps[i] = step
		case rollout.Deploy:
			step.Restore = step.Name == "pre-release"
			d.Steps[i] = step
		default:
		}
	}
	return d
}

// watched goes on judging for two hours after its promotion; asking asks a person about what is worse then.
func watched() *rollout.Definition { return withWatch(pipeline(), false) }

func asking() *rollout.Definition { return withWatch(pipeline(), true) }

func watchedInCluster() *rollout.Definition { return withWatch(clustered(), false) }

func withWatch(d *rollout.Definition, ask bool) *rollout.Definition {
	last := len(d.Steps) - 1 // the webhook
	d.Steps = slices.Insert(d.Steps, last, rollout.Step(rollout.Watch{Name: "after", For: 2 * time.Hour, Scope: "watch/after", Ask: ask}))
	hold := rollout.Patience{For: 5 * time.Minute, Then: rollout.PolicyHold}
	d.Scopes = append(d.Scopes, rollout.Scope{Name: "watch/after", NoData: hold, Unreachable: hold})
	return d
}

// unjudged compares nothing.
func unjudged() *rollout.Definition {
	d := pipeline()
	d.Scopes = nil
	for i, step := range d.Steps {
		switch step := step.(type) {
		case rollout.AB:
			step.Scope, step.Unjudged, step.Decide = "", true, rollout.Decide{Min: step.Decide.Min}
			d.Steps[i] = step
		case rollout.Gray:
			step.Scope, step.Unjudged, step.Decide = "", true, rollout.Decide{}
			d.Steps[i] = step
		default:
		}
	}
	return d
}

// windowed goes on only in a team's hours, and not on the day of an audit.
func windowed() *rollout.Definition {
	d := pipeline()
	inHours(d)
	return d
}

func inHours(d *rollout.Definition) {
	d.Calendar = calendar.Calendar{Windows: []calendar.Window{{Days: []calendar.Day{1, 2, 3, 4}, From: 9 * 60, To: 16 * 60, Zone: "Europe/Berlin"}}}
	d.House.Freezes = []calendar.Freeze{{
		From: calendar.Reading(time.Date(2026, 1, 13, 0, 0, 0, 0, time.UTC)), Until: calendar.Reading(time.Date(2026, 1, 14, 0, 0, 0, 0, time.UTC)),
		Zone: "Europe/Berlin", Reason: "audit",
	}}
}

// clusteredInHours is the same on Kubernetes.
func clusteredInHours() *rollout.Definition {
	d := clustered()
	inHours(d)
	return d
}

var epoch = time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)

// world runs a release by hand, and applies the events of Next after every line.
type world struct {
	d   *rollout.Definition
	s   rollout.State
	now time.Time
	log []rollout.Event
}

func (w *world) apply(e rollout.Event, by string) error {
	e = e.With(rollout.Meta{Seq: w.s.Seq + 1, At: w.now, By: by})
	next, err := w.s.Apply(e)
	if err != nil {
		return err
	}
	w.s, w.log = next, append(w.log, e)
	return nil
}

// settle applies the events of Next and returns them in words.
func (w *world) settle() (out []string) {
	for {
		e, ok := w.s.Next(w.d, w.now)
		if !ok {
			return out
		}
		if err := w.apply(e, e.Head().By); err != nil {
			panic(err)
		}
		words := rollout.Kind(e)
		switch e := e.(type) {
		case rollout.StepEntered:
			words += fmt.Sprintf(" %s/%d", e.Name, e.Stage)
		case rollout.DeadlinePassed:
			words += fmt.Sprintf(" %s then %s", e.Which, e.Then)
		case rollout.WindowAwaited:
			words += e.Until.Format(" 2006-01-02T15:04Z ") + e.Freeze
		case rollout.Ended:
			words += " " + string(e.Outcome)
		}
		out = append(out, words)
	}
}

// pass lets time go by, stopping at each deadline.
func (w *world) pass(d time.Duration) (out []string) {
	end := w.now.Add(d)
	for {
		at, ok := w.s.Deadline(w.d, w.now)
		if !ok || at.After(end) {
			w.now = end
			return append(out, w.settle()...)
		}
		w.now = at
		out = append(out, w.settle()...)
	}
}

func (w *world) String() string {
	t := w.s.Target(w.d, "R1")
	line := fmt.Sprintf("%s %s/%d  weight=%s", w.s.Phase, w.s.StepName, w.s.Stage, t.Traffic.Weight)
	if w.s.Back != "" {
		line += " back=" + string(w.s.Back)
	}
	if t.Traffic.Cohort != nil {
		line += fmt.Sprintf(" cohort=%s", t.Traffic.Cohort.Split)
	}
	if d := w.d.Cluster; d != nil {
		line += clusterWords(t)
	} else {
		line += " stable=" + strings.TrimPrefix(t.Traffic.Stable.Servers[0], "http://")
	}
	if w.s.InForce {
		line += " in-force"
	}
	if t.Analyse != "" {
		line += " analyse=" + t.Analyse
	}
	if g := w.s.OpenGate(); g != "" {
		line += " asks=" + g
	}
	if w.s.Pause != nil {
		line += " paused"
	}
	if m := t.Traffic.Mirror; m != nil {
		line += " copies=" + m.Share.String()
	}
	if p := t.Traffic.Preview; p != nil {
		line += " preview=" + p.Host
	}
	if len(t.Tasks) > 0 {
		line += " task=" + t.Tasks[0].Key
	}
	if w.s.Ended() {
		line += fmt.Sprintf(" outcome=%s (%s)", w.s.Outcome, w.s.Why)
	}
	return line + "\n"
}

// clusterWords are what is asked of the Deployments.
func clusterWords(t rollout.Target) string {
	var out strings.Builder
	if t.Traffic.Out {
		out.WriteString(" out")
	}
	for _, d := range t.Workloads.Deployments {
		out.WriteString(" [" + d.Name.String())
		for _, container := range slices.Sorted(maps.Keys(d.Images)) {
			out.WriteString(" " + container + "=" + d.Images[container])
		}
		switch {
		case d.Before:
			out.WriteString(" as before")
		case d.Watch:
			out.WriteString(" watched for " + d.From.Name)
		case d.From != nil:
			out.WriteString(" as " + d.From.Name)
		}
		if d.IfMissing {
			out.WriteString(" if missing")
		}
		if r := d.Replicas; r != nil && r.Of != nil {
			out.WriteString(" replicas=" + r.Share.String() + " of " + r.Of.Name)
		} else if r != nil {
			fmt.Fprintf(&out, " replicas=%d", r.Count)
		}
		out.WriteString("]")
	}
	if t.Workloads.Hold {
		out.WriteString(" keeps capacity")
	}
	if t.Workloads.Forget {
		out.WriteString(" forget")
	}
	return out.String()
}

func verdict(args []string) judge.Verdict {
	v := judge.Verdict{Outcome: judge.Inconclusive, Reason: judge.Undecided}
	for _, a := range args {
		switch a {
		case "pass", "fail":
			v.Outcome, v.Reason, v.Enough, v.Decisive = judge.Outcome(a), "", true, "errors"
		case "enough":
			v.Enough = true
		case "alarm":
			v.SampleRatio = &judge.SampleRatio{Alarm: true}
		case "contradiction":
			v.Contradictions = []judge.Contradiction{{Metric: "orders"}}
		case "few-pass":
			v.Outcome, v.Reason = judge.Pass, ""
		case "half-blind":
			v.Reason, v.Metrics = judge.Unreachable, []judge.MetricVerdict{{Metric: "errors", Reason: judge.Unreachable}, {Metric: "slow"}}
		case "leaning":
			v.Leaning = true
		default:
			v.Reason = judge.Reason(a)
		}
	}
	return v
}

// event reads one line of a script.
func (w *world) event(cmd string, args []string) (rollout.Event, string) {
	by := "ann"
	switch cmd {
	case "start":
		return rollout.Started{
			Rollout: "shop", Revision: "a1", Swapped: len(args) > 0 && args[0] == "swapped", Parameters: map[string]string{"image": "shop:2"},
		}, by
	case "job":
		if args[0] == "ok" {
			return rollout.JobSucceeded{Step: w.s.Step}, "cluster"
		}
		return rollout.JobFailed{Step: w.s.Step, Why: "exit code 1"}, "cluster"
	case "ready":
		return rollout.DeploymentReady{Work: w.s.Work}, "cluster"
	case "broken":
		return rollout.DeploymentFailed{Work: w.s.Work, Why: []string{"pod shop-1: ImagePullBackOff"}}, "cluster"
	case "in-force":
		return rollout.InForce{Turn: w.s.Turn, How: "api", Silent: args}, "gateway"
	case "not-in-force":
		return rollout.NotInForce{Turn: w.s.Turn, Unconfirmed: len(args) > 0}, "gateway"
	case "look":
		return rollout.LookTaken{Scope: w.s.Scope, Turn: w.s.Turn, Verdict: verdict(args)}, "judge"
	case "drift":
		return rollout.Drifted{What: []string{"weight"}}, "gateway"
	case "approve", "reject", "wait":
		return rollout.GateAnswered{Gate: args[0], Answer: rollout.Answer(cmd), Reason: "said so"}, by
	case "webhook":
		return rollout.WebhookAnswered{Step: w.s.Step, OK: args[0] == "ok", Detail: "502"}, "webhook"
	case "dismiss":
		return rollout.AlarmDismissed{Reason: "sticky"}, by
	case "pause":
		return rollout.Paused{Reason: "lunch"}, by
	case "go-on":
		return rollout.WentOn{Reason: "hotfix", Full: slices.Contains(args, "full"), EvenIfWorse: slices.Contains(args, "even-if-worse")}, by
	case "resume":
		return rollout.Resumed{}, by
	case "rollback":
		return rollout.RollbackRequested{Reason: "I do not like it"}, by
	case "cancel":
		return rollout.CancelRequested{Reason: "not today"}, by
	case "supersede":
		return rollout.Superseded{Next: rollout.StartRequest{ID: "R2"}}, by
	case "cancel-next":
		return rollout.SuccessorCancelled{ID: args[0], Reason: "not today"}, by
	case "cleaned-up":
		return rollout.CleanedUp{}, "serin"
	}
	panic("no such line: " + cmd)
}

// TestScenarios holds the sections Steps, Promotion and Rollback of the release's specification.
func TestScenarios(t *testing.T) {
	for folder, d := range map[string]func() *rollout.Definition{"scripts": pipeline, "cluster": clustered, "await": awaiting, "windows": windowed, "unjudged": unjudged, "watch": watched, "watch-cluster": watchedInCluster, "mirror": copied, "mirror-cluster": copiedInCluster} {
		t.Run(folder, func(t *testing.T) { scenarios(t, "testdata/"+folder, d) })
	}
}

func scenarios(t *testing.T, folder string, d func() *rollout.Definition) {
	datadriven.Walk(t, folder, func(t *testing.T, path string) {
		w := &world{d: d(), now: epoch}
		datadriven.RunTest(t, path, func(t *testing.T, td *datadriven.TestData) string {
			var out strings.Builder
			for line := range strings.Lines(td.Cmd + " " + strings.Join(argText(td), " ") + "\n" + td.Input) {
				f := strings.Fields(line)
				if len(f) == 0 {
					continue
				}
				out.WriteString(w.line(t, f[0], f[1:]))
			}
			return out.String() + w.String()
		})
	})
}

func argText(td *datadriven.TestData) (out []string) {
	for _, a := range td.CmdArgs {
		out = append(out, a.String())
	}
	return out
}

func (w *world) line(t *testing.T, cmd string, args []string) string {
	var happened []string
	if cmd == "after" {
		d, err := time.ParseDuration(args[0])
		require.NoError(t, err)
		happened = w.pass(d)
	} else {
		e, by := w.event(cmd, args)
		if err := w.apply(e, by); err != nil {
			return "refused: " + err.Error() + "\n"
		}
		happened = w.settle()
	}
	if len(happened) == 0 {
		return ""
	}
	return "-> " + strings.Join(happened, ", ") + "\n"
}

func TestRefusalLeavesTheStateAsItWas(t *testing.T) {
	w := &world{d: pipeline(), now: epoch}
	require.NoError(t, w.apply(rollout.Started{Rollout: "shop"}, "ann"))
	before := w.s
	err := w.apply(rollout.Resumed{}, "ann")
	require.ErrorIs(t, err, rollout.ErrNotAllowed)
	require.Equal(t, before, w.s)
}

func TestSecondAnswerSaysWhoWasFirst(t *testing.T) {
	w := &world{d: pipeline(), now: epoch}
	require.NoError(t, w.apply(rollout.Started{Rollout: "shop"}, "ann"))
	w.settle()
	require.NoError(t, w.apply(rollout.GateAnswered{Gate: "start", Answer: rollout.Approve}, "bob"))
	err := w.apply(rollout.GateAnswered{Gate: "start", Answer: rollout.Reject}, "eve")
	var answered *rollout.AnsweredError
	require.ErrorAs(t, err, &answered)
	require.Equal(t, "bob", answered.By)
	require.Equal(t, rollout.Approve, answered.Answer)
}
