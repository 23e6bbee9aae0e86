package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
)

// silence is how long the demo may print nothing while evidence is gathered: a person is watching.
const silence = 15 * time.Second

// narrator says what happens, which it learns from Serin as any client would.
type narrator struct {
	out    io.Writer
	began  time.Time
	server string
	token  string
	told   string // the last text about the release, which is not repeated
	heard  time.Time
}

func newNarrator(out io.Writer) *narrator { return &narrator{out: out, began: time.Now()} }

func (n *narrator) title(text string) { fmt.Fprintf(n.out, "\n== %s\n", text) }

func (n *narrator) say(format string, args ...any) {
	fmt.Fprintf(n.out, "%6.1fs  %s\n", time.Since(n.began).Seconds(), fmt.Sprintf(format, args...))
}

// command runs bin/serin as a user would, and shows the command and its output.
func (s *stage) command(ctx context.Context, args ...string) error {
	s.say("$ serin %s", strings.Join(args, " "))
	cmd := exec.CommandContext(ctx, s.binary, args...) //nolint:gosec // our own binary and arguments
	cmd.Env = append(os.Environ(), "SERIN_SERVER="+s.server, "SERIN_TOKEN_FILE="+s.token, "NO_COLOR=1")
	text, err := cmd.CombinedOutput()
	for line := range strings.Lines(string(text)) {
		fmt.Fprintf(s.out, "         | %s\n", strings.TrimRight(line, "\n"))
	}
	if err != nil {
		return fmt.Errorf("serin %s: %w", args[0], err)
	}
	return nil
}

// view asks Serin where the shop's release stands.
func (n *narrator) view(ctx context.Context) (v record.View, err error) {
	token, err := os.ReadFile(n.token)
	if err != nil {
		return v, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.server+"/api/v1/rollouts/shop", nil)
	if err != nil {
		return v, err
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return v, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return v, fmt.Errorf("ask serin for the shop: %s", res.Status)
	}
	return v, json.NewDecoder(res.Body).Decode(&v)
}

// follow reports every step until done returns true.
func (s *stage) follow(ctx context.Context, done func(record.View) bool) (v record.View, err error) {
	for limit := time.Now().Add(s.options.patience); time.Now().Before(limit); {
		if v, err = s.view(ctx); err != nil {
			return v, err
		}
		if text := words(v); text != "" && text != s.told {
			s.told, s.heard = text, time.Now()
			s.say("%s", text)
		}
		if m := v.Verdict; m != nil && len(m.Metrics) > 0 && m.Metrics[0].Canary.Total > 0 && v.State.Scope != "" && time.Since(s.heard) > silence {
			s.heard = time.Now()
			s.say("  … look %d: %s", m.Look, arms(m.Metrics[0]))
		}
		if done(v) {
			return v, nil
		}
		select {
		case <-ctx.Done():
			return v, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return v, fmt.Errorf("nothing happened any more: %s", v.Waiting)
}

// words describes what a release is doing; it is empty until Traefik serves the target, which takes a moment.
func words(v record.View) string {
	st := v.State
	switch {
	case st.Ended():
		return fmt.Sprintf("the release has ended: %s (%s)",
			map[rollout.Outcome]string{rollout.Released: "released", rollout.RolledBack: "rolled back"}[st.Outcome], st.Why)
	case st.Phase == rollout.RollingBack:
		return st.Why + "; all traffic goes back to stable at once"
	case st.Step < 0:
		return "the release begins"
	case v.Gate != "":
		return "gate " + v.Gate + ": Serin waits for a person; the canary keeps its " + v.Target.Weight.String() + " and is watched"
	case st.Promoting():
		return "promoting: the canary becomes stable"
	case !st.InForce:
		return ""
	case v.Target.Cohort != nil && v.Target.Weight == 0:
		return "A/B test: half of the beta users get the canary, everybody else stays on stable; Traefik confirms it"
	}
	return "gray: " + v.Target.Weight.String() + " of everybody get the canary; Traefik confirms it"
}

func (s *stage) goodVersion(ctx context.Context) error {
	s.title("A good version: v2 has no more errors than v1")
	if err := s.command(ctx, "start", "shop"); err != nil {
		return err
	}
	if _, err := s.follow(ctx, func(v record.View) bool { return v.Gate != "" || v.State.Ended() }); err != nil {
		return err
	}
	s.say("The gate is answered by a person: in your shell you would type the next line. The demo does it for you.")
	if err := s.command(ctx, "approve", "shop", "full-release", "--reason", "the demo looks at the evidence and likes it"); err != nil {
		return err
	}
	v, err := s.follow(ctx, func(v record.View) bool { return v.State.Ended() })
	if err != nil {
		return err
	}
	if v.State.Outcome != rollout.Released {
		return fmt.Errorf("the good version was not released: %s", v.State.Why)
	}
	s.result.Good = ending(v)
	return s.verdict(v)
}

// verdict prints the evidence of the last look.
func (s *stage) verdict(v record.View) error {
	verdict := v.LastVerdict()
	if verdict == nil || len(verdict.Metrics) == 0 {
		return fmt.Errorf("the release has no verdict")
	}
	s.say("evidence: %s after look %d: %s", verdict.Outcome, verdict.Look, arms(verdict.Metrics[0]))
	return nil
}

func arms(m judge.MetricVerdict) string {
	return fmt.Sprintf("canary %g errors in %g requests (%.2f%%), stable %g in %g (%.2f%%)",
		m.Canary.Bad, m.Canary.Total, 100*m.Canary.Rate, m.Baseline.Bad, m.Baseline.Total, 100*m.Baseline.Rate)
}

func (s *stage) badVersion(ctx context.Context) error {
	s.title("A bad version: v3 takes the old servers' place, and 8% of its answers are errors")
	s.blue.Set(func(b *testbed.Behaviour) { b.Version, b.ErrorRate = bad, badErrors })
	served, answers := s.blue.Requests()
	first := make(chan time.Time, 1)
	go s.firstBad(ctx, answers[http.StatusInternalServerError], first)
	if err := s.command(ctx, "start", "shop"); err != nil {
		return err
	}
	v, err := s.follow(ctx, func(v record.View) bool { return v.State.Phase == rollout.RollingBack || v.State.Ended() })
	if err != nil {
		return err
	}
	if v.State.Outcome == rollout.Released {
		return fmt.Errorf("the bad version was released")
	}
	caught := v.State
	if v, err = s.follow(ctx, func(v record.View) bool { return v.State.Ended() }); err != nil {
		return err
	}
	total, _ := s.blue.Requests()
	s.result.Bad = ending(v)
	s.result.Requests, s.result.Failed = total-served, s.everybody.Counts().Failed(bad)+s.beta.Counts().Failed(bad)
	s.title("What the bad version cost")
	s.say("%d requests reached it, %d of them failed; the other users noticed nothing", s.result.Requests, s.result.Failed)
	select {
	case at := <-first:
		if err := s.times(ctx, at, caught, v); err != nil {
			return err
		}
	default:
	}
	if err := s.verdict(v); err != nil {
		return err
	}
	if err := s.command(ctx, "explain", "shop"); err != nil {
		return err
	}
	return s.safe(ctx)
}

// safe waits for more requests after the rollback, and counts those that still reach the bad version.
func (s *stage) safe(ctx context.Context) error {
	before, _ := s.blue.Requests()
	asked := s.everybody.Counts().Sent + s.beta.Counts().Sent
	for limit := time.Now().Add(s.options.patience); s.result.Afterwards < afterwards; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
		if time.Now().After(limit) {
			return errors.New("users have stopped sending requests")
		}
		s.result.Afterwards = s.everybody.Counts().Sent + s.beta.Counts().Sent - asked
	}
	after, _ := s.blue.Requests()
	s.result.StillBad = after - before
	s.say("%d requests since then: %d of them reached it", s.result.Afterwards, s.result.StillBad)
	return nil
}

// times splits up the time from the first failed request until all traffic is on stable.
func (s *stage) times(ctx context.Context, first time.Time, caught rollout.State, v record.View) error {
	write, err := s.writing(ctx)
	if err != nil {
		return err
	}
	window, verdict, force := v.Verdict.At, caught.BackAt, v.State.InForceSince
	s.result.Took = force.Sub(first)
	slot, scraped := window, "scrape        none: a look waits for the scrape under way"
	if s.prometheus != nil {
		slot, scraped = window.Add(scrapeEvery), "scrape        until Prometheus had them (looks wait one settle delay)" // of one scrape interval
	}
	s.say("from its first failed request until all traffic was on stable, in force: %.2f s", force.Sub(first).Seconds())
	for _, part := range []struct {
		what string
		took time.Duration
	}{
		{"evidence      until enough of its requests had failed", window.Sub(first)},
		{scraped, slot.Sub(window)},
		{"look          query, judge, write the verdict", verdict.Sub(slot)},
		{"write         the file that Traefik reads", write},
		{"Traefik       reload, until its API confirms stable at 100%", force.Sub(verdict) - write},
	} {
		s.say("  %8.3f s  %s", part.took.Seconds(), part.what)
	}
	return nil
}

// writing is the mean time that a write of the gateway's configuration takes, by Serin's own metrics.
func (s *stage) writing(ctx context.Context) (time.Duration, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.server+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	var sum, count float64
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		// Other lines belong to other metrics: Sscanf leaves the numbers as they are.
		_, _ = fmt.Sscanf(lines.Text(), `serin_traffic_write_seconds_sum{rollout="shop"} %g`, &sum)
		_, _ = fmt.Sscanf(lines.Text(), `serin_traffic_write_seconds_count{rollout="shop"} %g`, &count)
	}
	if count == 0 {
		return 0, errors.New("serin's metrics do not say how long writes take")
	}
	return time.Duration(sum / count * float64(time.Second)), nil
}

// firstBad reports when the bad version fails its first request; before is how many its predecessor failed.
func (s *stage) firstBad(ctx context.Context, before int, at chan<- time.Time) {
	for ctx.Err() == nil {
		if _, now := s.blue.Requests(); now[http.StatusInternalServerError] > before {
			at <- time.Now()
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}
