package spinnaker_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/spinnaker"
)

type goldenRequest struct {
	Method, Path string
	Query        map[string]string
	Body         any
	RawBody      string
}

type goldenStep struct {
	Request, Poll  *goldenRequest
	Until          string
	EverySatisfies map[string]any
	Save           map[string]string
	Differ         []string
	Expect         struct {
		Status int
		Body   any
		Subset bool
	}
}

// filled replaces each ${name} by its saved value.
func filled(v any, saved map[string]string) any {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	text := string(b)
	for name, value := range saved {
		text = strings.ReplaceAll(text, "${"+name+"}", value)
	}
	var out any
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		panic(err)
	}
	return out
}

// testdata/spinnaker/http.json holds requests of Orca and Deck, in order.
func TestConversationsAreKayentas(t *testing.T) {
	for _, c := range golden[struct {
		Name  string
		Steps []goldenStep
	}](t, "http.json") {
		t.Run(c.Name, func(t *testing.T) {
			s := newService(t, spinnaker.Options{Store: openStore(t), Metrics: madeUp(t, steady)})
			saved := map[string]string{}
			for _, step := range c.Steps {
				s.step(t, step, saved)
			}
		})
	}
}

func (c client) step(t *testing.T, step goldenStep, saved map[string]string) {
	t.Helper()
	r := step.Request
	if r == nil {
		r = step.Poll
	}
	path := filled(r.Path, saved).(string)
	var status int
	var body any
	await.True(t, func() bool {
		status, body = c.do(t, r.Method, path, r.Query, filled(r.Body, saved))
		if step.Poll == nil {
			return true
		}
		require.Empty(t, matches(filled(step.EverySatisfies, saved), body, false, path))
		return pointer(body, step.Until) == true
	}, "%s %s: %s", r.Method, path, func() string { return fmt.Sprint(body) })
	require.Equal(t, step.Expect.Status, status, "%s %s: %v", r.Method, path, body)
	if step.Expect.Body != nil {
		require.Empty(t, matches(filled(step.Expect.Body, saved), body, step.Expect.Subset, path))
	}
	for name, at := range step.Save {
		saved[name] = pointer(body, at).(string)
	}
	if len(step.Differ) == 2 {
		require.NotEqual(t, saved[step.Differ[0]], saved[step.Differ[1]])
	}
}

// testdata/spinnaker/errors.json holds refused requests, with the messages that people search for.
func TestErrorsAreKayentas(t *testing.T) {
	for _, c := range golden[struct {
		Name    string
		Request goldenRequest
		Expect  struct {
			Status        int
			Body          any
			ErrorIsString bool
		}
	}](t, "errors.json") {
		t.Run(c.Name, func(t *testing.T) {
			s := newService(t, spinnaker.Options{Store: openStore(t), Metrics: madeUp(t, steady)})
			sent := c.Request.Body
			if c.Request.RawBody != "" {
				sent = []byte(c.Request.RawBody)
			}
			status, body := s.do(t, c.Request.Method, c.Request.Path, c.Request.Query, sent)
			require.Equal(t, c.Expect.Status, status, "%v", body)
			if c.Expect.Body != nil {
				require.Empty(t, matches(c.Expect.Body, body, false, ""))
			}
			require.IsType(t, "", body.(map[string]any)["message"])
			if e, ok := body.(map[string]any)["error"]; ok {
				require.IsType(t, "", e)
			}
		})
	}
}

// testdata/spinnaker/configs.json holds config files as people have them.
func TestExistingConfigsAreAccepted(t *testing.T) {
	for _, c := range golden[struct {
		Name   string
		Config json.RawMessage
		Expect struct {
			Status   int
			Message  string
			Stored   any
			RunError *struct {
				Status  int
				Message string
			}
		}
	}](t, "configs.json") {
		t.Run(c.Name, func(t *testing.T) {
			s := newService(t, spinnaker.Options{Store: openStore(t), Metrics: madeUp(t, steady)})
			status, body := s.do(t, http.MethodPost, "/canaryConfig", nil, []byte(c.Config))
			require.Equal(t, c.Expect.Status, status, "%v", body)
			if status != http.StatusOK {
				require.Equal(t, c.Expect.Message, pointer(body, "/message"))
				return
			}
			id := pointer(body, "/canaryConfigId").(string)
			status, got := s.do(t, http.MethodGet, "/canaryConfig/"+id, nil, nil)
			require.Equal(t, http.StatusOK, status)
			if c.Expect.Stored != nil {
				require.Empty(t, matches(c.Expect.Stored, got, false, ""))
			}
			status, body = s.do(t, http.MethodPost, "/canary/"+id, map[string]string{"application": "shop"}, execution("shop-baseline", "shop-canary"))
			if e := c.Expect.RunError; e != nil {
				require.Equal(t, e.Status, status)
				require.Equal(t, e.Message, pointer(body, "/message"))
				return
			}
			require.Equal(t, http.StatusOK, status, "%v", body)
			// GET returns a valid config, which does not change when it is saved again.
			status, _ = s.do(t, http.MethodPut, "/canaryConfig/"+id, nil, got)
			require.Equal(t, http.StatusOK, status)
			_, again := s.do(t, http.MethodGet, "/canaryConfig/"+id, nil, nil)
			for _, v := range []any{got, again} {
				delete(v.(map[string]any), "updatedTimestamp")
				delete(v.(map[string]any), "updatedTimestampIso")
			}
			require.Equal(t, got, again)
		})
	}
}

// execution is a request as Orca sends it, for one hour.
func execution(control, experiment string) map[string]any {
	side := func(scope string) map[string]any {
		return map[string]any{
			"scope": scope, "location": "prod", "start": "2025-04-08T20:00:00Z", "end": "2025-04-08T21:00:00Z", "step": 60,
			"extendedScopeParams": map[string]any{},
		}
	}
	return map[string]any{
		"scopes": map[string]any{"default": map[string]any{
			"controlScope": side(control), "experimentScope": side(experiment),
		}},
		"thresholds": map[string]any{"pass": 95, "marginal": 75}, "siteLocal": map[string]any{},
	}
}
