package notify

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/calendar"
	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/share"
	"github.com/serindev/serin/store"
	"github.com/serindev/serin/store/storetest"
)

var (
	_ Outbox = (*store.Store)(nil)

	update = flag.Bool("update", false, "write golden files again")
)

const release = "01K0000000000000000000000A"

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// world is one release in a real store, without an engine: tests append its events.
type world struct {
	store  *store.Store
	record record.Release
	state  rollout.State
	d      *rollout.Definition
	now    time.Time
	tell   chan record.Update
}

func newWorld(t *testing.T) *world { return newWorldAt(t, time.Now().UTC().Truncate(time.Second)) }

func newWorldAt(t *testing.T, start time.Time) *world {
	w := &world{now: start, tell: make(chan record.Update, 100), store: storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "serin.db"))}
	hour := rollout.Patience{For: time.Hour, Then: rollout.PolicyHold}
	w.d = &rollout.Definition{
		Name: "shop", Revision: "a1",
		Steps: rollout.Steps{
			rollout.Gray{Name: "gray", Weights: []share.Share{0.05, 0.5}, Hold: time.Minute, Scope: "gray", Decide: rollout.Decide{Max: 2 * time.Hour, Inconclusive: rollout.PolicyGate, On: rollout.OnNoFail}},
			rollout.Gate{Name: "full", Approvers: []string{"qa", "release-manager"}},
			rollout.Promote{Name: "promote"},
		},
		Scopes: []rollout.Scope{{Name: "gray", NoData: hour, Unreachable: hour}},
		Verify: rollout.Verify{For: time.Minute}, Rollback: rollout.Rollback{Drain: time.Second, Deadline: time.Hour},
	}
	plan, err := json.Marshal(map[string]any{"rollout": w.d})
	require.NoError(t, err)
	w.record = record.Release{ID: release, Rollout: "shop", Revision: "a1", Plan: plan, Version: 1, Phase: rollout.Active, StartedBy: "ann", StartedAt: start}
	started := rollout.Started{
		Meta: rollout.Meta{Seq: 1, At: start, By: "ann"}, Rollout: "shop", Revision: "a1",
		Parameters: map[string]string{"version": "1.2.3", "note": "<!channel> @everyone\n[here](https://evil.example)"},
	}
	require.NoError(t, w.store.Create(t.Context(), w.record, started))
	w.state, err = w.state.Apply(started)
	require.NoError(t, err)
	w.settle(t)
	return w
}

// happens appends an event and all that follows from it by itself.
func (w *world) happens(t *testing.T, by string, events ...rollout.Event) {
	t.Helper()
	for _, e := range events {
		w.append(t, e.With(rollout.Meta{Seq: w.state.Seq + 1, At: w.now, By: by}))
		w.settle(t)
	}
}

func (w *world) settle(t *testing.T) {
	t.Helper()
	for {
		e, ok := w.state.Next(w.d, w.now)
		if !ok {
			return
		}
		w.append(t, e)
	}
}

func (w *world) append(t *testing.T, e rollout.Event) {
	t.Helper()
	next, err := w.state.Apply(e)
	require.NoError(t, err)
	r := w.record
	r.Version, r.Phase, r.Outcome, r.EndedAt = next.Seq, next.Phase, next.Outcome, next.EndedAt
	require.NoError(t, w.store.Append(t.Context(), r, w.state.Seq, e))
	w.record, w.state = r, next
	w.tell <- record.Update{Rollout: "shop", Release: release, Event: e}
}

func (w *world) after(t *testing.T, d time.Duration) {
	t.Helper()
	w.now = w.now.Add(d)
	w.settle(t)
}

// verdict makes the verdict of a look at the weight in force.
func (w *world) verdict(o judge.Outcome, alarm bool) rollout.Event {
	v := judge.Verdict{Outcome: o, Look: 7, At: w.now, Enough: true, Decisive: "errors", Metrics: []judge.MetricVerdict{{
		Metric: "errors", Kind: judge.Counts, Outcome: o,
		Canary: judge.Totals{Bad: 30, Total: 1000, Rate: .03}, Baseline: judge.Totals{Bad: 100, Total: 19000, Rate: .0053},
		Ratio: 5.7, Lower: 3.1, Upper: 9, Margin: 1.25, LogEvidence: judge.LogEvidence{Worse: 9, FailsFrom: 4.6, NoWorse: -3, PassFrom: 3},
	}}}
	if alarm {
		v.SampleRatio = &judge.SampleRatio{Weight: .05, Share: .2, Canary: 200, Baseline: 800, Alarm: true, More: 20, AlarmFrom: 6.9}
	}
	m := &v.Metrics[0]
	switch o {
	case judge.Inconclusive:
		v.Reason, m.Reason = judge.Undecided, judge.Undecided
	case judge.Pass:
		v.Decisive = ""
		m.Canary = judge.Totals{Bad: 5, Total: 1000, Rate: .005}
		m.Ratio, m.Lower, m.Upper, m.LogEvidence.Worse, m.LogEvidence.NoWorse = .94, .4, 1.2, -2, 3.1
	case judge.Fail:
	}
	return rollout.LookTaken{Scope: "gray", Turn: w.state.Turn, Verdict: v}
}

func (w *world) inForce() rollout.Event { return rollout.InForce{Turn: w.state.Turn, How: "api"} }

// toGate brings the release to its gate.
func (w *world) toGate(t *testing.T) {
	t.Helper()
	for range 2 {
		w.happens(t, "gateway", w.inForce())
		w.happens(t, "judge", w.verdict(judge.Pass, false))
		w.after(t, time.Minute)
	}
	require.Equal(t, "full", w.state.OpenGate())
}

// run runs a Notifier until the returned function is called, or the test ends.
func (w *world) run(t *testing.T, log *slog.Logger, receivers ...Receiver) (stop func()) {
	n := w.notifier(log, receivers...)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-done)
	})
	t.Cleanup(stop)
	return stop
}

func (w *world) notifier(log *slog.Logger, receivers ...Receiver) *Notifier {
	return New(Options{
		Outbox: w.store, Receivers: receivers, Log: log, Registerer: prometheus.NewRegistry(),
		Subscribe: func(context.Context) <-chan record.Update { return w.tell },
		Plan: func(plan json.RawMessage) (*record.Plan, error) {
			var p record.Plan
			err := json.Unmarshal(plan, &p)
			return &p, err
		},
		Link:  func(release string) string { return "https://serin.example/releases/" + release },
		Pause: func(int) time.Duration { return time.Millisecond },
	})
}

// inbox collects the messages of a receiver.
type inbox struct {
	mu    sync.Mutex // guards what follows
	notes []Note
	keys  []string
	fail  error
}

func (i *inbox) receiver(name string, on ...Kind) Receiver {
	return Receiver{Name: name, On: on, Send: func(_ context.Context, key string, n Note) error {
		i.mu.Lock()
		defer i.mu.Unlock()
		if i.fail != nil {
			return i.fail
		}
		i.notes, i.keys = append(i.notes, n), append(i.keys, key)
		return nil
	}}
}

func (i *inbox) kinds() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	var out []string
	for _, n := range i.notes {
		out = append(out, string(n.Kind))
	}
	return strings.Join(out, " ")
}

// all kinds of notes.
var all = []Kind{Started, Step, Gate, Hold, Alarm, Drift, DryRun, Rollback, Finished}

func quiet(t *testing.T) *slog.Logger { return slog.New(slog.NewTextHandler(t.Output(), nil)) }

func TestWhichEventsBecomeMessages(t *testing.T) {
	for _, c := range []struct {
		name, want string
		happens    func(*testing.T, *world)
	}{
		{"a start, and each weight", "started step step gate", func(t *testing.T, w *world) { w.toGate(t) }},
		{"a gate that is approved, and the end", "started step step gate step step finished", func(t *testing.T, w *world) {
			w.toGate(t)
			w.happens(t, "bob", rollout.GateAnswered{Gate: "full", Answer: rollout.Approve})
			w.happens(t, "gateway", w.inForce())
			w.happens(t, "gateway", w.inForce())
			require.Equal(t, rollout.Released, w.state.Outcome)
		}},
		{"a rollback, and its end", "started step rollback finished", func(t *testing.T, w *world) {
			w.happens(t, "gateway", w.inForce())
			w.happens(t, "judge", w.verdict(judge.Fail, false))
			w.happens(t, "gateway", w.inForce())
			w.after(t, time.Second)
			require.Equal(t, rollout.RolledBack, w.state.Outcome)
		}},
		{"a policy's question is a gate", "started step gate", func(t *testing.T, w *world) {
			w.happens(t, "gateway", w.inForce())
			w.after(t, 3*time.Hour)
			require.NotNil(t, w.state.Question)
		}},
		{"a wait for a window", "started step hold", func(t *testing.T, w *world) {
			w.happens(t, rollout.Serin, rollout.WindowAwaited{Closed: calendar.Closed{Zone: "UTC", Freeze: "audit"}})
		}},
		{"a pause", "started step hold", func(t *testing.T, w *world) { w.happens(t, "ann", rollout.Paused{Reason: "lunch"}) }},
		{"a foreign edit", "started step drift", func(t *testing.T, w *world) { w.happens(t, "gateway", rollout.Drifted{What: []string{"weight"}}) }},
		{"a dry run that would have failed, once", "started step dryRun", func(t *testing.T, w *world) {
			w.happens(t, "gateway", w.inForce())
			fails, _ := w.verdict(judge.Inconclusive, false).(rollout.LookTaken)
			fails.Verdict.Metrics = []judge.MetricVerdict{{Metric: "slow", DryRun: true, Outcome: judge.Fail}}
			w.happens(t, "judge", fails)
			fails.Verdict.Enough = true // another look that is news
			w.happens(t, "judge", fails)
		}},
		{"an alarm", "started step alarm", func(t *testing.T, w *world) {
			w.happens(t, "gateway", w.inForce())
			w.happens(t, "judge", w.verdict(judge.Inconclusive, true))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, in := newWorld(t), &inbox{}
				w.run(t, quiet(t), in.receiver("chat", all...))
				c.happens(t, w)
				synctest.Wait() // no time passes: messages are made at once, however busy the machine is
				require.Equal(t, c.want, in.kinds())
			})
		})
	}
}

func TestAMessageSaysWhatAPassHasRuledOut(t *testing.T) {
	w := newWorldAt(t, noon)
	for range 2 {
		w.happens(t, "gateway", w.inForce())
		pass, _ := w.verdict(judge.Pass, false).(rollout.LookTaken)
		pass.Verdict.Metrics[0].Rules = 2.3
		w.happens(t, "judge", pass)
		w.after(t, time.Minute)
	}
	require.Equal(t, "full", w.state.OpenGate())
	w.happens(t, "bob", rollout.GateAnswered{Gate: "full", Answer: rollout.Approve})
	w.happens(t, "gateway", w.inForce())
	w.happens(t, "gateway", w.inForce())
	require.Equal(t, rollout.Released, w.state.Outcome)
	events, err := w.store.Events(t.Context(), release, 0)
	require.NoError(t, err)
	messages, err := w.notifier(quiet(t), (&inbox{}).receiver("chat", Gate, Finished)).messages(t.Context(), record.Untold{Release: w.record}, &folded{}, events)
	require.NoError(t, err)
	require.Len(t, messages, 2)
	for i, also := range []string{"gate full (errors: 2.3 times as bad is ruled out): an answer from ", "released"} {
		var n Note
		require.NoError(t, json.Unmarshal(messages[i].Body, &n))
		require.Contains(t, n.Text, "That is 0.94 times as much; 2.3 or more is ruled out.")
		require.Contains(t, n.Title+"\n"+n.Text, also)
	}
}

func TestAReceiverGetsOnlyTheKindsItIsConfiguredFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, chat, mail := newWorld(t), &inbox{}, &inbox{}
		w.run(t, quiet(t), chat.receiver("chat", Gate), mail.receiver("mail", Started, Gate))
		w.toGate(t)
		synctest.Wait()
		require.Equal(t, "gate", chat.kinds())
		require.Equal(t, "started gate", mail.kinds())
	})
}

func TestWhatAMessageSays(t *testing.T) {
	w := newWorldAt(t, noon)
	w.toGate(t)
	w.happens(t, "bob", rollout.GateAnswered{Gate: "full", Answer: rollout.Reject, Reason: "the <b>totals</b>\nare wrong, @here"})
	w.happens(t, "gateway", w.inForce())
	w.after(t, time.Second)
	events, err := w.store.Events(t.Context(), release, 0)
	require.NoError(t, err)
	messages, err := w.notifier(quiet(t), (&inbox{}).receiver("chat", all...)).messages(t.Context(), record.Untold{Release: w.record}, &folded{}, events)
	require.NoError(t, err)
	var got strings.Builder
	var gate Note
	for _, m := range messages {
		var n Note
		require.NoError(t, json.Unmarshal(m.Body, &n))
		require.NotContains(t, n.Title, "\n")
		got.WriteString("== " + n.Title + "\n" + n.Text + "\n\n")
		if n.Kind == Gate {
			gate = n
		}
	}
	require.Equal(t, &GateNote{Name: "full", Approvers: []string{"qa", "release-manager"}}, gate.Gate)
	const golden = "testdata/messages.txt"
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(got.String()), 0o600))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), got.String())
}

func TestARestartLosesNothingAndRepeatsNothing(t *testing.T) {
	w, in := newWorld(t), &inbox{fail: errors.New("connection refused")}
	stop := w.run(t, quiet(t), in.receiver("chat", all...))
	w.toGate(t)
	await.True(t, func() bool {
		n, _, err := w.store.Backlog(t.Context(), "chat")
		return err == nil && n == 4
	}, "all wait")
	stop()
	w.happens(t, "bob", rollout.GateAnswered{Gate: "full", Answer: rollout.Reject}) // while no Notifier runs
	in.fail = nil
	for range 3 {
		stop = w.run(t, quiet(t), in.receiver("chat", all...))
		await.True(t, func() bool { return in.kinds() == "started step step gate rollback" }, "%s", in.kinds)
		stop()
	}
	seen := map[string]bool{}
	for _, key := range in.keys {
		require.False(t, seen[key], key)
		seen[key] = true
	}
}

func TestANewReceiverGetsNoOldNews(t *testing.T) {
	w, in := newWorld(t), &inbox{}
	stop := w.run(t, quiet(t))
	w.toGate(t)
	await.True(t, func() bool {
		u, err := w.store.Untold(t.Context(), 1)
		return err == nil && len(u) == 0
	})
	stop()
	w.run(t, quiet(t), in.receiver("chat", all...))
	w.happens(t, "bob", rollout.GateAnswered{Gate: "full", Answer: rollout.Reject})
	await.True(t, func() bool { return in.kinds() == "rollback" }, "%s", in.kinds)
}

func TestARefusedOrOldMessageIsGivenUpAndDoesNotBlockOthers(t *testing.T) {
	w, in := newWorld(t), &inbox{}
	first := in.receiver("chat", Started, Step)
	send := first.Send
	first.Send = func(ctx context.Context, key string, n Note) error {
		if n.Kind == Started {
			return errors.Join(ErrRefused, errors.New("413 too large"))
		}
		return send(ctx, key, n)
	}
	w.run(t, quiet(t), first)
	await.True(t, func() bool { return in.kinds() == "step" })
	await.True(t, func() bool {
		all, err := w.store.Outbox(t.Context(), 10)
		return err == nil && len(all) == 2 && all[1].State == record.OutgoingLost && all[0].State == record.OutgoingSent
	})
}

func TestPausesGrow(t *testing.T) {
	require.Equal(t, time.Second, Pause(0))
	require.Equal(t, time.Second, Pause(1))
	require.Equal(t, 2*time.Second, Pause(2))
	require.Equal(t, 128*time.Second, Pause(8))
	require.Equal(t, 15*time.Minute, Pause(11))
	require.Equal(t, 15*time.Minute, Pause(1<<30))
}

// countingOutbox counts the events that are read from it.
type countingOutbox struct {
	Outbox
	read int
}

func (o *countingOutbox) Events(ctx context.Context, id string, after int) ([]rollout.Event, error) {
	events, err := o.Outbox.Events(ctx, id, after)
	o.read += len(events)
	return events, err
}

func TestOnlyNewEventsAreRead(t *testing.T) {
	w := newWorld(t)
	o := &countingOutbox{Outbox: w.store}
	n, other := w.notifier(slog.New(slog.DiscardHandler)), w.notifier(slog.New(slog.DiscardHandler))
	n.o.Outbox = o
	require.NoError(t, n.tell(t.Context()))
	for range 20 {
		w.happens(t, "ann", rollout.Paused{}, rollout.Resumed{})
		require.NoError(t, n.tell(t.Context()))
	}
	require.Equal(t, w.state.Seq, o.read, "each once")
	w.happens(t, "ann", rollout.Paused{})
	require.NoError(t, other.tell(t.Context()))
	w.happens(t, "ann", rollout.Resumed{})
	o.read = 0
	require.NoError(t, n.tell(t.Context()))
	require.Equal(t, w.state.Seq, o.read, "where another daemon has looked meanwhile, all of them once more")
}

func TestAReceiverGetsMessagesAboutItsRollouts(t *testing.T) {
	for what, c := range map[string]struct {
		rollouts []string
		want     bool
	}{
		"all by default":             {nil, true},
		"its own":                    {[]string{"cart", "shop"}, true},
		"by the beginning of a name": {[]string{"sh*"}, true},
		"no other":                   {[]string{"cart"}, false},
		"no part of a name":          {[]string{"ho", "shop-*"}, false},
		"no name of a namespace":     {[]string{"*/shop"}, false},
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			n := w.notifier(slog.New(slog.DiscardHandler), Receiver{Name: "team", On: []Kind{Started}, Rollouts: c.rollouts})
			require.NoError(t, n.tell(t.Context()))
			waiting, _, err := w.store.Backlog(t.Context(), "team")
			require.NoError(t, err)
			require.Equal(t, c.want, waiting == 1)
		})
	}
}

// TestAReceiverOnRequestGetsTheRequestedMessages also holds the filters by namespace and label.
func TestAReceiverOnRequestGetsTheRequestedMessages(t *testing.T) {
	asks := []record.Asked{{To: "team", On: []string{"rollback"}}, {To: "quiet"}}
	labels := map[string]string{"team": "payments"}
	for _, c := range []struct {
		name     string
		receiver Receiver
		kind     Kind
		want     bool
	}{
		{"the kinds that the rollout asks for", Receiver{Name: "team", OnRequest: true, On: []Kind{Gate}}, Rollback, true},
		{"and nothing else", Receiver{Name: "team", OnRequest: true, On: []Kind{Gate}}, Gate, false},
		{"its own kinds if the rollout names none", Receiver{Name: "quiet", OnRequest: true, On: []Kind{Gate}}, Gate, true},
		{"nothing of a rollout that does not ask", Receiver{Name: "other", OnRequest: true, On: []Kind{Gate}}, Gate, false},
		{"asking changes nothing for one that is not on request", Receiver{Name: "team", On: []Kind{Gate}}, Rollback, false},
		{"nor for one that is limited to others", Receiver{Name: "team", OnRequest: true, Rollouts: []string{"cart"}}, Rollback, false},
		{"a namespace", Receiver{Name: "x", On: []Kind{Gate}, Namespaces: []string{"pro*"}}, Gate, true},
		{"another namespace", Receiver{Name: "x", On: []Kind{Gate}, Namespaces: []string{"dev"}}, Gate, false},
		{"a label", Receiver{Name: "x", On: []Kind{Gate}, Labels: map[string]string{"team": "payments"}}, Gate, true},
		{"another value", Receiver{Name: "x", On: []Kind{Gate}, Labels: map[string]string{"team": "cart"}}, Gate, false},
		{"a label that the rollout does not have", Receiver{Name: "x", On: []Kind{Gate}, Labels: map[string]string{"tier": ""}}, Gate, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.Equal(t, c.want, c.receiver.wants(Note{Kind: c.kind, Rollout: "pro.shop", Namespace: "pro", Labels: labels}, asks))
		})
	}
}

// TestANamespaceAsksForAllOfItsRollouts also holds that what a rollout itself says about a receiver takes precedence.
func TestANamespaceAsksForAllOfItsRollouts(t *testing.T) {
	plan := &record.Plan{Rollout: rollout.Definition{Name: "pro.shop"}, About: record.About{Notify: []record.Asked{{To: "team", On: []string{"rollback"}}}}}
	var about []string
	n := New(Options{Registerer: prometheus.NewRegistry(), Asked: func(_ context.Context, namespace string) []record.Asked {
		about = append(about, namespace)
		return []record.Asked{{To: "team", On: []string{"started"}}, {To: "platform"}}
	}})
	require.Equal(t, []record.Asked{{To: "team", On: []string{"rollback"}}, {To: "platform"}}, n.asked(t.Context(), plan))
	require.Equal(t, []string{"pro"}, about)
	require.Len(t, plan.About.Notify, 1, "the plan stays as it was stored")

	plan.Rollout.Name = "shop" // without Kubernetes there is no namespace to ask
	require.Len(t, n.asked(t.Context(), plan), 1)
	require.Equal(t, []string{"pro"}, about)
}

func TestANamespaceIsReadOnceForAllNewsOfARelease(t *testing.T) {
	w := newWorld(t)
	w.happens(t, "ann", rollout.Paused{}, rollout.Resumed{}, rollout.Paused{})
	d := *w.d
	d.Name = "pro.shop"
	plan, err := json.Marshal(record.Plan{Rollout: d})
	require.NoError(t, err)
	n := w.notifier(slog.New(slog.DiscardHandler), Receiver{Name: "team", OnRequest: true, On: []Kind{Started, Hold}})
	asked := 0
	n.o.Asked = func(context.Context, string) []record.Asked {
		asked++
		return []record.Asked{{To: "team"}}
	}
	u := record.Untold{Release: w.record}
	u.Release.Plan = plan
	events, err := w.store.Events(t.Context(), release, 0)
	require.NoError(t, err)
	messages, err := n.messages(t.Context(), u, &folded{}, events)
	require.NoError(t, err)
	require.Len(t, messages, 3)
	require.Equal(t, 1, asked)

	u.Told = len(events) // nothing is new
	_, err = n.messages(t.Context(), u, &folded{}, events)
	require.NoError(t, err)
	require.Equal(t, 1, asked)
}

func TestAMessageHasTheOwnerLabelsAndLinks(t *testing.T) {
	w := newWorld(t)
	plan, err := json.Marshal(record.Plan{Rollout: *w.d, About: record.About{
		Owner: "Payments @here", Labels: map[string]string{"team": "payments"}, Notify: []record.Asked{{To: "team", On: []string{"started"}}},
		Links: []record.Link{{Name: "source", URL: "https://git.example.com/${version}"}, {Name: "pull request", URL: "https://git.example.com/${pr}"}},
	}})
	require.NoError(t, err)
	n := w.notifier(slog.New(slog.DiscardHandler), Receiver{Name: "team", OnRequest: true, On: []Kind{Gate}})
	u := record.Untold{Release: w.record}
	u.Release.Plan = plan
	events, err := w.store.Events(t.Context(), release, 0)
	require.NoError(t, err)
	messages, err := n.messages(t.Context(), u, &folded{}, events[:1])
	require.NoError(t, err)
	require.Len(t, messages, 1)
	var note Note
	require.NoError(t, json.Unmarshal(messages[0].Body, &note))
	require.Equal(t, "Payments @here", note.Owner, "programs get it as it is")
	require.Equal(t, []record.Link{{Name: "source", URL: "https://git.example.com/1.2.3"}}, note.Links)
	require.Contains(t, note.Text, "\nOwner: Payments @\u200bhere\nsource: https://git.example.com/1.2.3\n")
}
