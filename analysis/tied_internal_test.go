package analysis

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// An application may have a label that is otherwise one of the scrape. The series of two endpoints or two tenants are
// then not one process scraped twice, however similar their counts are.
func TestSeriesThatAnApplicationSeparatesAreCountedSeparately(t *testing.T) {
	for _, label := range []string{"endpoint", "tenant_id", "path"} {
		t.Run(label, func(t *testing.T) {
			of := func(value, samples string) made {
				return series(`traefik_service_requests_total{service="canary@file",code="200",`+label+`="`+value+`"}`, samples)
			}
			w := world{series: []made{
				of("/cart", "-5:0 5:0 15:1 25:1 35:2 45:2"), // each user requests both, one after the other
				of("/pay", "-5:0 5:1 15:1 25:2 35:2 45:3"),
				series(stable, "-5:0 5:10 15:20 25:30 35:40 45:50"),
			}}
			sum, c := 0.0, NewCursor(epoch)
			p := plan(t, errorsMetric())
			for end := 10.0; end <= 50; end += 10 {
				next, l := p.Fold(c, w.answer(t, p.Asks(c, at(end))), FoldInput{At: at(end)})
				sum, c = sum+l.Observations[0].Canary.Total, next
			}
			require.InDelta(t, 5, sum, 0)
		})
	}
}

func TestTwoJobsMayNameThePortOfOneProcessDifferently(t *testing.T) {
	of := func(job, endpoint string) Labels {
		return Labels{{"endpoint", endpoint}, {"instance", "one:8080"}, {"job", job}}
	}
	require.True(t, sameProcess(of("shop", "http"), of("pods", "web")))
	require.False(t, sameProcess(of("shop", "http"), of("shop", "web")))

	one := func(l Labels) Series { return Series{Labels: l} }
	require.False(t, several([]Series{one(of("shop", "/cart")), one(of("shop", "/pay"))}), "and thousands of paths or tenants are not compared with each other")
	require.True(t, several([]Series{one(of("shop", "http")), one(of("pods", "web"))}))
}
