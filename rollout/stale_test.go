package rollout_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/serindev/serin/figures"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/share"
	"github.com/serindev/serin/tell"
	"github.com/serindev/serin/traffic"
)

// stale returns outdated events: of other turns of the traffic, other steps, other work, other evidence. The one
// exception is a fail of evidence that is still being gathered, which always counts.
func stale(s rollout.State) []rollout.Event {
	passes := judge.Verdict{Outcome: judge.Pass, Enough: true}
	var out []rollout.Event
	for _, turn := range []int{s.Turn - 1, s.Turn + 1} {
		out = append(out,
			rollout.InForce{Turn: turn, How: "api"}, rollout.NotInForce{Turn: turn},
			rollout.LookTaken{Scope: s.Scope, Turn: turn, Verdict: passes},
		)
	}
	out = append(out,
		rollout.LookTaken{Scope: s.Scope, Turn: s.Turn + 1, Verdict: judge.Verdict{Outcome: judge.Fail}},
		rollout.LookTaken{Scope: "another", Turn: s.Turn, Verdict: judge.Verdict{Outcome: judge.Fail}},
		rollout.LookTaken{Turn: s.Turn, Verdict: passes},
	)
	for _, step := range []int{s.Step - 1, s.Step + 1} {
		out = append(out,
			rollout.JobSucceeded{Step: step}, rollout.JobFailed{Step: step, Why: "exit code 1"}, rollout.WebhookAnswered{Step: step, OK: true},
		)
	}
	for _, work := range []int{s.Work - 1, s.Work + 1} {
		out = append(out, rollout.DeploymentReady{Work: work}, rollout.DeploymentFailed{Work: work, Why: []string{"no such image"}})
	}
	if s.Pause != nil {
		out = append(out,
			rollout.StepEntered{Step: s.Step + 1, Name: "next", What: rollout.StageStill}, rollout.StepEntered{Step: s.Step, Stage: s.Stage + 1, What: rollout.StageGray},
			rollout.Ended{Outcome: rollout.Released}, rollout.DeadlinePassed{Which: rollout.DecideMax, Then: rollout.PolicyHold},
		)
	}
	if !s.InForce {
		out = append(out, rollout.Ended{Outcome: rollout.Released}, rollout.Drained{})
	}
	if s.WorkReady || s.Work == 0 {
		out = append(out, rollout.DeploymentReady{Work: s.Work})
	}
	if s.Back != rollout.BackDrain {
		out = append(out, rollout.Drained{})
	}
	if s.Back != rollout.BackCleanup {
		out = append(out, rollout.CleanedUp{})
	}
	if s.Phase != rollout.Active || s.Promoting() && !s.Watching() {
		out = append(out, rollout.WentOn{Reason: "hotfix", Full: true})
	}
	return out
}

func TestStaleEventsAreRefused(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		walk(t, func(_, after *world, _ rollout.Event) {
			for _, e := range stale(after.s) {
				e = e.With(rollout.Meta{Seq: after.s.Seq + 1, At: after.now, By: "eve"})
				same, err := after.s.Apply(e)
				require.ErrorIs(t, err, rollout.ErrNotAllowed, "%#v at %s", e, after)
				require.Equal(t, after.s, same)
			}
		})
	})
}

// short is a rollout of two weights of a minute, followed by further steps.
func short(then ...rollout.Step) *rollout.Definition {
	ask := rollout.Patience{For: 10 * time.Minute, Then: rollout.PolicyGate}
	return &rollout.Definition{
		Name: "shop", Stable: traffic.Backend{Servers: []string{"http://blue"}}, Canary: traffic.Backend{Servers: []string{"http://green"}},
		Steps: append(append(rollout.Steps{rollout.Gray{
			Name: "gray", Weights: []share.Share{0.1, 0.5}, Scope: "gray", Hold: time.Minute, Decide: rollout.Decide{Max: 2 * time.Hour, Inconclusive: rollout.PolicyGate},
		}}, then...), rollout.Promote{Name: "promote"}),
		Scopes:   []rollout.Scope{{Name: "gray", NoData: ask, Unreachable: rollout.Patience{For: 10 * time.Minute, Then: rollout.PolicyGate, Blind: time.Hour}}},
		Verify:   rollout.Verify{For: time.Minute},
		Rollback: rollout.Rollback{Drain: time.Second, Deadline: time.Hour},
	}
}

func TestWhatHappensInOrder(t *testing.T) {
	for name, c := range map[string]struct {
		then  []rollout.Step
		lines string
		step  string // where it stands at the end, with the stage
		asks  string // the open question or gate
	}{
		"go on is for one weight":                       {nil, "in-force\nafter 2h\napprove gray.decide.1\nin-force\nafter 10m", "gray/1", ""},
		"a pass of the weight before is none":           {nil, "in-force\nlook pass\nafter 1m\nin-force\nlook few-pass\nafter 10m", "gray/1", ""},
		"a source that does not answer is not no-fail":  {nil, "in-force\nlook enough unreachable\nafter 5m", "gray/0", ""},
		"no data is not no-fail":                        {nil, "in-force\nlook enough no-data\nafter 5m", "gray/0", ""},
		"what leans is not left":                        {nil, "in-force\nlook enough leaning\nafter 5m", "gray/0", ""},
		"what leans no more is":                         {nil, "in-force\nlook enough leaning\nafter 5m\nlook enough", "gray/1", ""},
		"what leans is not promoted although it passes": {nil, "in-force\nlook enough\nafter 1m\nin-force\nlook pass leaning\nafter 1m", "gray/1", ""},
		"nor at a wait": {[]rollout.Step{rollout.Wait{Name: "lunch", For: time.Minute}},
			"in-force\nlook enough\nafter 1m\nin-force\nlook pass\nafter 1m\nlook pass leaning\nafter 1h", "lunch/0", ""},
		"which asks when its time is over": {[]rollout.Step{rollout.Wait{Name: "lunch", For: time.Minute}},
			"in-force\nlook enough\nafter 1m\nin-force\nlook pass\nafter 1m\nlook pass leaning\nafter 2h", "lunch/0", "lunch.decide.1"},
		"and goes on when somebody says so": {[]rollout.Step{rollout.Wait{Name: "lunch", For: time.Minute}},
			"in-force\nlook enough\nafter 1m\nin-force\nlook pass\nafter 1m\nlook pass leaning\nafter 2h\napprove lunch.decide.1", "promote/0", ""},
		"a lack begins again at a weight":                                   {nil, "in-force\nlook no-data\nafter 9m\nlook enough\nin-force\nlook no-data\nafter 9m", "gray/1", ""},
		"a lack that somebody went on with begins again at the next weight": {nil, "in-force\nlook no-data\nafter 10m\napprove gray.noData.1\nin-force\nlook no-data\nafter 10m", "gray/1", "gray.noData.2"},
		"a question about data is withdrawn when that is back":              {nil, "in-force\nlook no-data\nafter 10m\nlook too-few", "gray/0", ""},
		"one about a source too":                                            {nil, "in-force\nlook unreachable\nafter 10m\nlook too-few", "gray/0", ""},
		"what a metric counts holds as the split does":                      {nil, "in-force\nlook enough contradiction\nafter 5m", "gray/0", ""},
		"and can be dismissed like it":                                      {nil, "in-force\nlook enough contradiction\ndismiss\nafter 5m", "gray/1", ""},
		"a dismissal is of what was wrong then":                             {nil, "in-force\nlook enough alarm\ndismiss\nlook enough alarm contradiction\nafter 5m", "gray/0", ""},
		"a contradiction does not hold back a fail":                         {nil, "in-force\nlook fail contradiction", "gray/0", "back"},
		"a dismissal ends with its alarm":                                   {nil, "in-force\nlook enough alarm\ndismiss\nlook too-few\nlook enough alarm\nafter 5m", "gray/0", ""},
		"who said go on is not asked the same at the gate": {[]rollout.Step{rollout.Gate{Name: "full"}},
			"in-force\nlook enough\nafter 1m\nin-force\nlook no-data\nafter 10m\napprove gray.noData.1", "full/0", "full"},
		"a second question does not swallow the first":                {nil, "in-force\nafter 115m\nlook no-data\nafter 10m\nwait gray.decide.1", "gray/0", "gray.noData.2"},
		"nor the first the second":                                    {nil, "in-force\nafter 115m\nlook no-data\nafter 10m\napprove gray.noData.2", "gray/1", ""},
		"a question about time stays when data is back":               {nil, "in-force\nafter 2h\nlook no-data\nlook too-few", "gray/0", "gray.decide.1"},
		"a second question about data is withdrawn when that is back": {nil, "in-force\nafter 115m\nlook no-data\nafter 10m\nlook too-few\nwait gray.decide.1", "gray/0", ""},
		"a second question about time is not":                         {nil, "in-force\nlook no-data\nafter 2h\nlook no-data\nwait gray.noData.1", "gray/0", "gray.decide.2"},
		"a person who waits for data has the whole time again":        {nil, "in-force\nlook no-data\nafter 10m\nwait gray.noData.1\nlook no-data\nafter 9m", "gray/0", ""},
		"and is asked after it":                                       {nil, "in-force\nlook no-data\nafter 10m\nwait gray.noData.1\nlook no-data\nafter 10m", "gray/0", "gray.noData.2"},
		"an alarm that goes on is not dismissed by that":              {nil, "in-force\nlook enough alarm\nlook enough alarm\nafter 5m", "gray/0", ""},
		"a dismissal lasts as long as the alarm about the split":      {nil, "in-force\nlook enough alarm\ndismiss\nlook enough alarm\nafter 5m", "gray/1", ""},
		"and as long as that about a metric":                          {nil, "in-force\nlook enough contradiction\ndismiss\nlook enough contradiction\nafter 5m", "gray/1", ""},
		"a dismissal of both holds for the one that is left":          {nil, "in-force\nlook enough alarm contradiction\ndismiss\nlook enough contradiction\nafter 5m", "gray/1", ""},
		"blindness begins again at the next weight":                   {nil, "in-force\nlook unreachable\nafter 30m\napprove gray.unreachable.1\nin-force\nlook unreachable\nafter 45m", "gray/1", "gray.unreachable.2"},
		"blind for an hour is too long":                               {nil, "in-force\nlook unreachable\nafter 1h", "gray/0", "back"},
		"blind for less is not":                                       {nil, "in-force\nlook unreachable\nafter 59m", "gray/0", "gray.unreachable.1"},
		"nor is who sees a little":                                    {nil, "in-force\nlook half-blind\nafter 3h", "gray/0", "gray.unreachable.1"},
		"a replica that did not hear of it gets time":                 {nil, "in-force\nrollback\nin-force traefik-2\nafter 59s", "gray/1 draining", "back"},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{d: short(c.then...), now: epoch}
			w.run(t, c.lines)
			at := w.s.StepName + "/" + string(rune('0'+w.s.Stage))
			if c.asks == "back" {
				require.Equal(t, rollout.RollingBack, w.s.Phase, w)
				require.Equal(t, c.step == "gray/1 draining", w.s.InForce)
				return
			}
			require.Equal(t, c.step, at, "%s %v", w, w.s.Holds(w.d, w.now))
			require.Equal(t, c.asks, w.s.OpenGate())
		})
	}
}

// Each metric has its own start: an unreachable source of one and missing data of another begin and end separately.
func TestTheLackOfEachMetricIsTimedSeparately(t *testing.T) {
	w := &world{d: short(), now: epoch}
	w.run(t, "in-force")
	look := func(errors, slow, tips judge.Reason) {
		t.Helper()
		v := judge.Verdict{Outcome: judge.Inconclusive, Reason: errors, Metrics: []judge.MetricVerdict{
			{Metric: "errors", Reason: errors}, {Metric: "slow", Reason: slow}, {Metric: "tips", Reason: tips, Optional: true},
		}}
		require.NoError(t, w.apply(rollout.LookTaken{Scope: "gray", Turn: w.s.Turn, Verdict: v}, "judge"))
		w.now = w.now.Add(time.Minute)
	}
	at := func(minute int) time.Time { return epoch.Add(time.Duration(minute) * time.Minute) }
	look(judge.NoData, judge.Undecided, judge.Unreachable)
	look(judge.Unreachable, judge.NoData, judge.Unreachable)
	look(judge.Unreachable, judge.NoData, judge.Unreachable)
	require.Equal(t, []rollout.Lack{
		{Metric: "errors", Reason: judge.Unreachable, Since: at(1)}, {Metric: "slow", Reason: judge.NoData, Since: at(1)},
		{Metric: "tips", Reason: judge.Unreachable, Since: at(0), Optional: true},
	}, w.s.Lacks)
	require.Equal(t, at(1), w.s.UnreachableSince, "what is optional has no policy")
	require.Equal(t, at(1), w.s.NoDataSince)
	require.Zero(t, w.s.BlindSince)
	look(judge.Unreachable, judge.Unreachable, judge.Unreachable)
	require.Equal(t, at(3), w.s.BlindSince)
	look(judge.Undecided, judge.Undecided, judge.Undecided)
	require.Empty(t, w.s.Lacks)
	require.Zero(t, w.s.BlindSince)
	require.Zero(t, w.s.UnreachableSince)
}

func TestWhenAReleaseIsBlind(t *testing.T) {
	metric := func(reason judge.Reason, total float64) judge.MetricVerdict {
		return judge.MetricVerdict{Metric: "errors", Reason: reason, Canary: judge.Totals{Total: total}}
	}
	split := func(canary float64) *judge.SampleRatio { return &judge.SampleRatio{Canary: canary} }
	for _, c := range []struct {
		name string
		v    judge.Verdict
		want bool
	}{
		{"its series are gone", judge.Verdict{Reason: judge.NoData, Blind: true, Metrics: []judge.MetricVerdict{metric(judge.NoData, 7)}}, true},
		{"its series were never there, and the gateway counts its requests",
			judge.Verdict{Reason: judge.NoData, Blind: true, Metrics: []judge.MetricVerdict{metric(judge.NoData, 0)}, SampleRatio: split(7)}, true},
		{"its series were never there, and nobody is seen to use it",
			judge.Verdict{Reason: judge.NoData, Blind: true, Metrics: []judge.MetricVerdict{metric(judge.NoData, 0)}, SampleRatio: split(0)}, false},
		{"it is a quiet night", judge.Verdict{Reason: judge.NoData, Metrics: []judge.MetricVerdict{metric(judge.NoData, 7)}, SampleRatio: split(7)}, false},
		{"not one metric can be asked", judge.Verdict{Reason: judge.Unreachable, Metrics: []judge.MetricVerdict{metric(judge.Unreachable, 0)}}, true},
		{"only a dry run can be asked", judge.Verdict{Reason: judge.Unreachable, Metrics: []judge.MetricVerdict{metric(judge.Unreachable, 7),
			{Metric: "tried", DryRun: true, Reason: judge.Undecided}}}, true},
		{"one of two can be asked", judge.Verdict{Reason: judge.Unreachable, Metrics: []judge.MetricVerdict{metric(judge.Unreachable, 7), metric(judge.Undecided, 7)}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.v.Outcome, c.v.Decisive = judge.Inconclusive, "errors"
			d := pipeline()
			d.Scopes[1].Unreachable = rollout.Patience{For: 2 * time.Hour, Then: rollout.PolicyHold, Blind: time.Hour}
			w := &world{d: d, now: epoch}
			w.run(t, toGray)
			require.NoError(t, w.apply(rollout.LookTaken{Scope: w.s.Scope, Turn: w.s.Turn, Verdict: c.v}, "judge"))
			require.Equal(t, c.want, !w.s.BlindSince.IsZero())
			require.Equal(t, c.want, strings.Contains(tell.Waiting(w.s, w.d, w.now), "nothing can be seen of the canary: it goes back in 1h"), "it is said at once")
			w.pass(time.Hour)
			require.Equal(t, c.want, w.s.Phase == rollout.RollingBack)
		})
	}
}

// A long time for missing data does not extend the time for an unreachable source.
func TestALongTimeForMissingDataDoesNotApplyToAnUnreachableSource(t *testing.T) {
	metric := func(reason judge.Reason) judge.MetricVerdict {
		return judge.MetricVerdict{Metric: "errors", Reason: reason, Canary: judge.Totals{Total: 7}}
	}
	gone := judge.Verdict{Reason: judge.NoData, Blind: true, Metrics: []judge.MetricVerdict{metric(judge.NoData)}}
	silent := judge.Verdict{Reason: judge.Unreachable, Blind: true, Metrics: []judge.MetricVerdict{metric(judge.Unreachable)}}
	for _, c := range []struct {
		name   string
		v      judge.Verdict
		stands time.Duration
	}{
		{"all data is gone", gone, 8 * time.Hour},
		{"nothing can be asked", silent, time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.v.Outcome, c.v.Decisive = judge.Inconclusive, "errors"
			d := pipeline()
			d.Scopes[1].Unreachable = rollout.Patience{For: 10 * time.Minute, Then: rollout.PolicyHold, Blind: time.Hour}
			d.Scopes[1].NoData = rollout.Patience{For: 8 * time.Hour, Then: rollout.PolicyHold, Blind: 8 * time.Hour}
			w := &world{d: d, now: epoch}
			w.run(t, toGray)
			require.NoError(t, w.apply(rollout.LookTaken{Scope: w.s.Scope, Turn: w.s.Turn, Verdict: c.v}, "judge"))
			require.Contains(t, tell.Waiting(w.s, w.d, w.now), "it goes back in "+figures.Span(c.stands))
			w.pass(c.stands - time.Minute)
			require.Equal(t, rollout.Active, w.s.Phase)
			w.pass(time.Minute)
			require.Equal(t, rollout.RollingBack, w.s.Phase)
		})
	}
}

func TestReturningDataEndsBlindness(t *testing.T) {
	gone := judge.Verdict{Outcome: judge.Inconclusive, Reason: judge.NoData, Blind: true, Decisive: "errors", Metrics: []judge.MetricVerdict{
		{Metric: "errors", Reason: judge.NoData, Canary: judge.Totals{Total: 7}}, {Metric: "slow", Reason: judge.NoData},
	}}
	back := gone
	back.Blind, back.Metrics = false, []judge.MetricVerdict{gone.Metrics[0], {Metric: "slow", Reason: judge.Undecided}}
	w := &world{d: pipeline(), now: epoch}
	w.run(t, toGray)
	for _, v := range []judge.Verdict{gone, back} {
		require.NoError(t, w.apply(rollout.LookTaken{Scope: w.s.Scope, Turn: w.s.Turn, Verdict: v}, "judge"))
		require.Equal(t, v.Blind, !w.s.BlindSince.IsZero())
	}
	require.NotZero(t, w.s.NoDataSince)
	quiet := gone
	quiet.Blind = false
	require.True(t, rollout.News(&quiet, gone, false), "that the series are gone is news after a quiet hour")
	require.True(t, rollout.News(&gone, quiet, false))
	require.False(t, rollout.News(&gone, gone, false))
}

// A final failure does not wait for the release to be resumed.
func TestAFinalFailureSendsAPausedReleaseBack(t *testing.T) {
	t.Run("a Deployment", func(t *testing.T) {
		w := &world{d: clustered(), now: epoch}
		w.run(t, "pause\nresume\njob ok\nready\napprove start\nready\nready\nin-force")
		require.True(t, w.s.Moved)
		w.goOn(t, "pause\nbroken")
		require.Equal(t, rollout.RollingBack, w.s.Phase, w)
	})
	t.Run("a Job", func(t *testing.T) {
		w := &world{d: clustered(), now: epoch}
		w.run(t, "pause\njob no")
		require.True(t, w.s.Ended(), w)
	})
	t.Run("a webhook", func(t *testing.T) {
		d := short(rollout.Webhook{Name: "ask", URL: "http://chat"})
		d.Steps = append(rollout.Steps{d.Steps[1]}, d.Steps[0], d.Steps[2])
		w := &world{d: d, now: epoch}
		w.run(t, "pause\nwebhook no")
		require.True(t, w.s.Ended(), w)
	})
	t.Run("and nothing else happens", func(t *testing.T) {
		w := &world{d: short(), now: epoch}
		w.run(t, "in-force\nlook pass\npause\nafter 48h")
		require.Equal(t, rollout.Active, w.s.Phase)
		require.Zero(t, w.s.Stage)
	})
}

// Evidence about the served target continues while another target is decided.
func TestTheServedTargetIsAnalysedUntilAnotherIsWritten(t *testing.T) {
	w := &world{d: short(), now: epoch}
	w.run(t, "in-force\nlook enough\nafter 1m")
	exposure := func() share.Share { return w.s.Target(w.d, "R1").Exposure }
	require.Equal(t, share.Share(0.1), exposure(), "50%% is decided")
	w.goOn(t, "in-force\nlook pass\nafter 1m")
	require.True(t, w.s.Promoting())
	require.Equal(t, "gray", w.s.Target(w.d, "R1").Analyse)
	require.Equal(t, share.Share(0.5), exposure())
	t.Run("a fail outranks the advance, whatever turn it is of", func(t *testing.T) {
		w := *w
		require.NoError(t, w.apply(rollout.LookTaken{Scope: "gray", Turn: w.s.Turn - 1, Verdict: judge.Verdict{Outcome: judge.Fail}}, "judge"))
		require.Equal(t, rollout.RollingBack, w.s.Phase)
	})
	t.Run("what is written counts as served", func(t *testing.T) {
		for _, e := range []rollout.NotInForce{{Unconfirmed: true}, {Written: true, Why: []string{"traefik-2"}}} {
			w := *w
			e.Turn = w.s.Turn
			require.NoError(t, w.apply(e, "gateway"))
			require.Empty(t, w.s.Target(w.d, "R1").Analyse)
		}
	})
}

func TestNews(t *testing.T) {
	would := func(metric, route string) judge.Verdict {
		return judge.Verdict{Outcome: judge.Inconclusive, Reason: judge.Undecided, Metrics: []judge.MetricVerdict{{Metric: "errors", Reason: judge.Undecided},
			{Metric: metric, By: "route", Value: route, DryRun: true, Outcome: judge.Fail}}}
	}
	failing := would("slow", "/cart")
	undecided := judge.Verdict{Outcome: judge.Inconclusive, Reason: judge.Undecided, Metrics: []judge.MetricVerdict{{Metric: "errors", Reason: judge.Undecided}}}
	with := func(change func(*judge.Verdict)) judge.Verdict {
		v := undecided
		v.Metrics = []judge.MetricVerdict{{Metric: "errors", Reason: judge.Undecided}}
		change(&v)
		return v
	}
	for name, c := range map[string]struct {
		last            *judge.Verdict
		v               judge.Verdict
		unsettled, news bool
	}{
		"the first one":                       {nil, undecided, false, true},
		"the same again":                      {&undecided, undecided, false, false},
		"too few, after undecided":            {&undecided, with(func(v *judge.Verdict) { v.Reason = judge.TooFew }), false, false},
		"a pass that comes too early":         {&undecided, with(func(v *judge.Verdict) { v.Reason = judge.Waiting }), false, true},
		"enough data":                         {&undecided, with(func(v *judge.Verdict) { v.Enough = true }), false, true},
		"it leans":                            {&undecided, with(func(v *judge.Verdict) { v.Leaning = true }), false, true},
		"a contradiction":                     {&undecided, with(func(v *judge.Verdict) { v.Contradictions = []judge.Contradiction{{}} }), false, true},
		"an alarm":                            {&undecided, with(func(v *judge.Verdict) { v.SampleRatio = &judge.SampleRatio{Alarm: true} }), false, true},
		"another metric cannot be asked":      {&undecided, with(func(v *judge.Verdict) { v.Metrics[0].Reason = judge.Unreachable }), false, true},
		"a warm-up":                           {nil, with(func(v *judge.Verdict) { v.Reason = judge.WarmingUp }), false, false},
		"unsettled":                           {nil, undecided, true, false},
		"unsettled, and it fails":             {&undecided, with(func(v *judge.Verdict) { v.Outcome, v.Reason = judge.Fail, "" }), true, true},
		"unsettled, and nothing can be asked": {&undecided, with(func(v *judge.Verdict) { v.Reason = judge.Unreachable }), true, true},
		"unsettled, and there is nothing new": {&undecided, with(func(v *judge.Verdict) { v.Reason = judge.NoData }), true, true},
		"a dry run would have failed":         {&undecided, failing, false, true},
		"it still would":                      {&failing, failing, false, false},
		"it would for another route":          {&failing, would("slow", "/pay"), false, false},
		"it would no longer":                  {&failing, undecided, false, false},
		"another dry run would have failed":   {&failing, would("heavy", ""), false, true},
		"it fails":                            {&undecided, with(func(v *judge.Verdict) { v.Outcome, v.Reason = judge.Fail, "" }), false, true},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.news, rollout.News(c.last, c.v, c.unsettled)) })
	}
}

func TestAReleaseEndsOnlyInForceAndUnpaused(t *testing.T) {
	w := &world{d: short(), now: epoch}
	w.run(t, "in-force\nlook enough\nafter 1m\nin-force\nlook pass\nafter 1m\nin-force")
	require.True(t, w.s.Exchanged)
	require.False(t, w.s.InForce)
	ended := rollout.Ended{Outcome: rollout.Released}
	require.ErrorIs(t, w.apply(ended, "eve"), rollout.ErrNotAllowed)
	require.NoError(t, w.apply(rollout.InForce{Turn: w.s.Turn, How: "api"}, "gateway"))
	require.NoError(t, w.apply(rollout.Paused{}, "ann"))
	require.ErrorIs(t, w.apply(ended, "eve"), rollout.ErrNotAllowed)
	require.NoError(t, w.apply(rollout.Resumed{}, "ann"))
	require.NoError(t, w.apply(ended, rollout.Serin))
}

func TestEnoughDataOfAnEarlierScopeDoesNotCarryOver(t *testing.T) {
	w := &world{d: pipeline(), now: epoch}
	w.d.KeepCohort = true
	w.run(t, "approve start\nin-force\nafter 30m\nlook pass")
	require.Equal(t, "gray", w.s.StepName)
	v := judge.Verdict{Outcome: judge.Inconclusive, Reason: judge.Undecided, Enough: true}
	require.NoError(t, w.apply(rollout.LookTaken{Scope: "ab/ab", Turn: w.s.Turn, Verdict: v}, "judge"))
	w.goOn(t, "in-force\nafter 10m")
	require.Equal(t, []rollout.Hold{rollout.NeedsData{}}, w.s.Holds(w.d, w.now))
}
