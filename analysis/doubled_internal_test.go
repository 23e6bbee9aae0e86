package analysis

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// field.md, 13: a ServiceMonitor and an annotation had both made Prometheus scrape Traefik, and 615 requests counted as
// 1,256.
func TestAProcessThatIsScrapedTwiceIsCountedOnce(t *testing.T) {
	const one = "-5:100 5:110 15:120 25:130 35:140 45:150 55:160 65:170 75:180"
	const other = "-1:104 9:114 19:124 29:134 39:144 49:154 59:164 69:174 79:184" // the same counter four seconds later
	for name, c := range map[string]struct {
		labels, samples string // of the second scraping
		counted         float64
		said            bool
	}{
		"by two jobs":                            {`job="with-annotations"`, other, 80, true},
		"by two Prometheus":                      {`prometheus_replica="b"`, other, 80, true},
		"by a job with further labels":           {`job="pods",namespace="shop",pod="shop-1"`, other, 80, true},
		"through a restart":                      {`job="with-annotations"`, "-1:4 9:14 19:24 29:34 39:2 49:12 59:22 69:32 79:42", 78, true},
		"two addresses are two processes":        {`instance="two:8080"`, other, 160, false},
		"a label of its own is no scraping":      {`cluster="us"`, other, 160, false},
		"contradicting counts are two processes": {`job="with-annotations"`, "-1:4 9:14 19:24 29:34 39:44 49:54 59:64 69:74 79:84", 160, false},
		"until the other one has ended":          {`job="with-annotations"`, other + " 200:190 400:200 410:210", 100, true},
	} {
		t.Run(name, func(t *testing.T) {
			second := `traefik_service_requests_total{service="canary@file",code="200",` + c.labels + `}`
			first := one
			if name == "through a restart" {
				first = "-5:0 5:10 15:20 25:30 35:40 45:8 55:18 65:28 75:38"
			}
			w := world{series: []made{series(ok200, first), series(second, c.samples), series(stable, one)}}
			p, cursor, sum, said := plan(t, errorsMetric()), NewCursor(epoch), 0.0, false
			for end := 10.0; end <= 730; end += 10 {
				next, l := p.Fold(cursor, w.answer(t, p.Asks(cursor, at(end))), FoldInput{At: at(end)})
				sum += l.Observations[0].Canary.Total
				said = said || strings.Contains(l.Observations[0].Detail, "counted once")
				b, err := json.Marshal(next)
				require.NoError(t, err)
				cursor = Cursor{}
				require.NoError(t, json.Unmarshal(b, &cursor))
				require.Equal(t, next, cursor, "it is stored as it is")
			}
			require.Equal(t, c.said, said)
			require.InDelta(t, c.counted, sum, 0)
		})
	}
}
