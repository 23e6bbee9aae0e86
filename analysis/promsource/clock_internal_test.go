package promsource

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/analysis"
)

func TestTheSkewOfAServerIsMeasured(t *testing.T) {
	sent := time.Date(2026, 3, 1, 12, 0, 30, 500e6, time.UTC)
	for name, c := range map[string]struct {
		date   string
		behind time.Duration
	}{
		"the same second":                 {"12:00:30", 0},
		"the second in which it answered": {"12:00:32", 0},
		"a second that may not be over":   {"12:00:29", 500 * time.Millisecond},
		"a minute behind":                 {"11:59:30", 59*time.Second + 500*time.Millisecond},
		"a minute ahead":                  {"12:01:32", -59*time.Second - 500*time.Millisecond},
		"no date":                         {"", 7 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			var k clock
			k.behind.Store(int64(7 * time.Second))
			date := ""
			if c.date != "" {
				date = "Sun, 01 Mar 2026 " + c.date + " GMT"
			}
			k.hear(date, sent, sent.Add(2*time.Second))
			require.Equal(t, c.behind, k.skew())
		})
	}
}

// A server whose clock is behind would answer without the newest samples, so its answer is refused.
func TestAServerThatIsFarBehindIsNotTrusted(t *testing.T) {
	for behind, says := range map[time.Duration]string{0: "", 5 * time.Second: "", time.Minute: "behind this daemon's", -time.Hour: ""} {
		t.Run(behind.String(), func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Date", time.Now().Add(-behind).UTC().Format(http.TimeFormat))
				w.Header().Set("Content-Type", "application/json")
				fmt.Fprint(w, `{"status":"success","data":{"resultType":"matrix","result":[]}}`)
			}))
			t.Cleanup(server.Close)
			s, err := New(Config{URL: server.URL}, prometheus.NewRegistry())
			require.NoError(t, err)
			a := s.Fetch(t.Context(), []analysis.Ask{{Template: analysis.Template{Name: "up"}, From: time.Now().Add(-time.Minute), To: time.Now()}})[0]
			if says == "" {
				require.NoError(t, a.Err)
				return
			}
			require.ErrorContains(t, a.Err, says)
			require.False(t, a.Refused, "it may be right the next time")
		})
	}
}
