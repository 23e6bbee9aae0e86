package promsource

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/analysis"
)

func TestAFrameFollowsAClockThatIsFarOff(t *testing.T) {
	const s = time.Second
	for name, c := range map[string]struct {
		heard  []time.Duration
		behind time.Duration
	}{
		"a clock that is right":                        {[]time.Duration{0, s, -s, 2 * s}, 0},
		"a clock that is off by less than 10 s":        {[]time.Duration{9 * s, 9 * s, 9 * s, -9 * s, -9 * s, -9 * s}, 0},
		"two answers are not enough":                   {[]time.Duration{time.Hour, time.Hour}, 0},
		"an hour behind, up to the second of the date": {[]time.Duration{time.Hour, time.Hour + s, time.Hour}, time.Hour + s},
		"an hour ahead":                                {[]time.Duration{-time.Hour, -time.Hour, -time.Hour}, -time.Hour},
		"one of a pair is wrong":                       {[]time.Duration{time.Minute, time.Minute, 0, time.Minute, time.Minute, 0}, 0},
		"answers that contradict each other":           {[]time.Duration{time.Hour, 2 * time.Hour, time.Hour, 2 * time.Hour}, 0},
		"the clock it follows moves by less than 10 s": {[]time.Duration{-time.Hour, -time.Hour, -time.Hour, -time.Hour + 5*s, -time.Hour + 5*s, -time.Hour + 5*s}, -time.Hour},
		"it is right again":                            {[]time.Duration{-time.Hour, -time.Hour, -time.Hour, s, s, s}, 0},
		"it is set back further, and then by a day":    {[]time.Duration{time.Hour, time.Hour, time.Hour, 24 * time.Hour, 24 * time.Hour, 24 * time.Hour}, 24*time.Hour + s},
	} {
		t.Run(name, func(t *testing.T) {
			var f Frame
			for _, behind := range c.heard {
				f.hear(behind)
			}
			require.Equal(t, c.behind, f.Behind())
		})
	}
}

// Once windows follow the clock of the server, its answers count. Those of another server whose clock is right do not
// if it is behind, as the windows are not over there yet.
func TestAnAnswerIsTrustedByTheClockOfTheWindows(t *testing.T) {
	var behind atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", time.Now().Add(-time.Duration(behind.Load())).UTC().Format(http.TimeFormat))
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"status":"success","data":{"resultType":"matrix","result":[]}}`)
	}))
	t.Cleanup(server.Close)
	frame := &Frame{}
	leader, err := New(Config{URL: server.URL, Frame: frame, Leads: true}, prometheus.NewRegistry())
	require.NoError(t, err)
	other, err := New(Config{URL: server.URL, Frame: frame}, prometheus.NewRegistry())
	require.NoError(t, err)
	ask := func(s *Source) error {
		to := time.Now().Add(-frame.Behind())
		return s.Fetch(t.Context(), []analysis.Ask{{Template: analysis.Template{Name: "up"}, From: to.Add(-time.Minute), To: to}})[0].Err
	}
	behind.Store(int64(time.Hour))
	for range 2 * confirmations {
		require.Error(t, ask(other), "it moves nothing")
	}
	for range confirmations {
		require.Regexp(t, "(1h0m0s|59m59s) behind", ask(leader), "a date has no more than seconds")
	}
	require.NoError(t, ask(leader))
	require.NoError(t, ask(other))
	behind.Store(int64(2 * time.Hour))
	require.Error(t, ask(other))
}
