package notify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
)

// caught takes the requests to services that have a fixed address on the internet.
type caught struct {
	mu       sync.Mutex // guards requests
	requests []string
}

// RoundTrip implements [http.RoundTripper].
func (c *caught) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	c.add(r.Method+" "+r.URL.Scheme+"://"+r.URL.Host+r.URL.Path, body)
	return &http.Response{StatusCode: http.StatusOK, Status: "200 OK", Header: http.Header{}, Body: io.NopCloser(strings.NewReader("ok")), Request: r}, nil
}

func (c *caught) add(head string, body []byte) {
	var pretty bytes.Buffer
	if json.Indent(&pretty, body, "", "  ") != nil {
		pretty = *bytes.NewBuffer(body)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests = append(c.requests, head+"\n"+pretty.String())
}

// gateNote and backNote are notes that a person on call gets.
func gateNote() Note {
	n := Note{
		Kind: Gate, Rollout: "shop", Release: release, Step: "full", StartedBy: "ann", Phase: rollout.Active, Weight: 0.5, Owner: "Payments",
		Gate: &GateNote{Name: "full", Approvers: []string{"qa"}}, Links: []record.Link{{Name: "runbook", URL: "https://wiki.example.com/roll_back"}},
		Link: "https://serin.example.com/releases/" + release, Title: "shop: gate full waits for an answer from qa",
	}
	n.Explanation.Headline = "active at step full; look 7 at 2026-03-04T12:00:00Z says pass"
	n.Says = []string{"Shall everybody get 1.4.2?"}
	n.Text = n.text()
	return n
}

func endNote() Note {
	n := gateNote()
	n.Kind, n.Gate, n.Phase, n.Outcome, n.Title = Finished, nil, rollout.PhaseEnded, rollout.RolledBack, "shop: rolled back"
	n.Explanation.Headline = "ended, rolled back: the canary is worse: errors"
	n.Says = []string{"Rolled back: the canary is worse: errors", "All traffic is on stable. Of 7,002 requests that were judged, 76 counted as errors."}
	n.Text = n.text()
	return n
}

// TestWhatEachServiceGets holds the requests to the byte: docs/messages.md is made from them.
func TestWhatEachServiceGets(t *testing.T) {
	c := &caught{}
	before := http.DefaultTransport
	http.DefaultTransport = c
	t.Cleanup(func() { http.DefaultTransport = before })
	local := newLocal(t, c)
	var got strings.Builder
	for _, service := range []struct{ name, address string }{
		{"Slack", "slack://hook:T00000000-B00000000-XXXXXXXXXXXXXXXXXXXXXXXX@webhook"},
		{"Microsoft Teams", strings.Replace(local, "http://", teamsScheme+"://", 1) + "/workflows/1/triggers/manual/paths/invoke"},
		{"Mattermost", "mattermost://" + strings.TrimPrefix(local, "http://") + "/xxxxxxxxxxxxxxxxxxxxxxxxxx/releases?disabletls=yes"},
		{"Discord", "discord://xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx@123456789012345678?splitlines=no"},
		{"PagerDuty", "pagerduty:///eeeeeeeeeeee4444444444444444eeee?severity=error"},
		{"Opsgenie", "opsgenie:///00000000-0000-0000-0000-000000000000?responders=team:payments&priority=P2"},
	} {
		send, err := Chat(service.address)
		require.NoError(t, err, service.name)
		for _, n := range []Note{gateNote(), endNote()} {
			c.requests = nil
			if strings.HasPrefix(service.address, teamsScheme) { // the test's own server has no certificate
				send = newTeams(local + "/workflows/1/triggers/manual/paths/invoke").Send
			}
			require.NoError(t, send(t.Context(), "k", n), service.name)
			require.Len(t, c.requests, 1, service.name)
			fmt.Fprintf(&got, "== %s, %s\n%s\n\n", service.name, n.Kind, strings.ReplaceAll(c.requests[0], local, "http://local"))
		}
	}
	const golden = "testdata/payloads.txt"
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(got.String()), 0o600))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), got.String())
}

// newLocal makes a real server for services that people host themselves.
func newLocal(t *testing.T, c *caught) string {
	p := newProgram(t)
	p.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			c.add(r.Method+" http://"+r.Host+r.URL.Path, body)
		}
		w.WriteHeader(http.StatusOK)
	})
	return p.URL
}

func TestTeamsSaysWhenToTryAgainAndNoPartOfItsAddressIsShown(t *testing.T) {
	p := newProgram(t, 503, 400, 302, 204)
	send := newTeams(p.URL + "/hunter2?sig=hunter2hunter2").Send
	for i := range 4 {
		err := send(t.Context(), "k", gateNote())
		if i == 3 {
			require.NoError(t, err)
			break
		}
		require.Error(t, err)
		require.NotContains(t, err.Error(), "hunter2")
		var retry *RetryError
		require.ErrorAs(t, err, &retry)
		require.Equal(t, 2*time.Minute, retry.After)
	}
	require.Len(t, p.got(), 4, "a redirect is not followed")
	p.Close()
	err := send(t.Context(), "k", gateNote())
	require.ErrorContains(t, err, "refused")
	require.NotContains(t, err.Error(), "hunter2")
}

func TestMarkdownInUsersTextsIsShownAsItIs(t *testing.T) {
	for in, want := range map[string]string{
		"plain text": "plain text", "_a_ **b** [c]": `\_a\_ \*\*b\*\* \[c\]`, "see https://a.example/b_c for x_y": `see https://a.example/b_c for x\_y`,
	} {
		require.Equal(t, want, unmarked(in))
	}
}
