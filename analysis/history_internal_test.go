package analysis

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
)

// pod is a series of one replica: a sample every ten seconds between two seconds; its value grows by a step.
func pod(name, more string, from, to int, step float64) made {
	m := made{selector: fmt.Sprintf(`requests_total{version="v1",pod=%q%s}`, name, more)}
	for s := from; s <= to; s += 10 {
		m.samples = append(m.samples, Sample{T: at(float64(s)).UnixMilli(), V: step * float64((s-from)/10+1)})
	}
	return m
}

const begin = -7205 // the first sample, two hours before second 0

func podErrors() Metric {
	return Metric{Name: "errors", Replicas: "pod",
		Source: Ratio{Bad: `requests_total{version="${version}",code="500"}`, Total: `requests_total{version="${version}"}`}}
}

// remembered is the history of some metrics in a world.
func remembered(t *testing.T, w world, metrics ...Metric) map[string]judge.History {
	t.Helper()
	def := Definition{Split: Tested(), Metrics: metrics}
	require.NoError(t, def.Validate())
	h, err := NewHistory(def, arms.Baseline)
	require.NoError(t, err)
	for _, to := range h.Parts(epoch) {
		require.NoError(t, h.Add(w.answer(t, h.Asks(to)), to))
	}
	return h.Sums()
}

func sumOf(s judge.Sums) (bad, total float64) {
	for i := range s.Bad {
		bad, total = bad+s.Bad[i], total+s.Total[i]
	}
	return bad, total
}

// requireDivided checks that parts have as many sums as the whole, and what it has together.
func requireDivided(t *testing.T, whole judge.Sums, parts []judge.Sums) {
	t.Helper()
	bad, total := sumOf(whole)
	var sumBad, sumTotal float64
	for _, p := range parts {
		require.Len(t, p.Total, len(whole.Total))
		b, n := sumOf(p)
		sumBad, sumTotal = sumBad+b, sumTotal+n
	}
	require.Equal(t, [2]float64{bad, total}, [2]float64{sumBad, sumTotal})
}

func TestAHistoryHasEachMinuteInTotalAndByReplica(t *testing.T) {
	h := remembered(t, world{series: []made{
		pod("a", `,code="200"`, begin, 0, 20),
		pod("b", `,code="200"`, begin, 0, 30),
		pod("b", `,code="500"`, begin, 0, 2),
		pod("old", `,code="200"`, begin, -3600, 50),
	}}, podErrors())["errors"]
	require.Equal(t, 60.0, h.Seconds)
	require.Len(t, h.Baseline.Total, 24*60, "a day, zeros where nothing was")
	last := len(h.Baseline.Total) - 1
	require.Equal(t, 6*52.0, h.Baseline.Total[last])
	require.Equal(t, 6*2.0, h.Baseline.Bad[last])
	require.Zero(t, h.Baseline.Total[0])
	require.Len(t, h.Replicas, 3)
	requireDivided(t, h.Baseline, h.Replicas)
}

func TestASingleReplicaIsNotDistinguished(t *testing.T) {
	h := remembered(t, world{series: []made{pod("a", `,code="200"`, begin, 0, 20)}}, podErrors())["errors"]
	require.Empty(t, h.Replicas)
	require.NotZero(t, h.Baseline.Total[24*60-1])
}

func TestAGatewaysMetricsDoNotDistinguishTheServicesReplicas(t *testing.T) {
	for _, c := range []struct {
		name string
		m    Metric
		want string
	}{
		{"a label that was named", podErrors(), "pod"},
		{"a metric of the service's own", Metric{Source: Ratio{Bad: "b_total", Total: "requests_total"}}, "instance"},
		{"the gateway's counter of requests", Metric{Source: Ratio{Bad: "b_total", Total: TraefikRequests}}, ""},
		{"the gateway's histogram of latencies", Metric{Source: TraefikLatency(time.Second)}, ""},
	} {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, c.m.replicas()) })
	}
}

func TestAHistoryThatIsUnavailableSaysWhy(t *testing.T) {
	w := world{err: func(Ask) (error, bool) { return errors.New("connection refused"), false }}
	h, err := NewHistory(Definition{Metrics: []Metric{podErrors()}}, arms.Baseline)
	require.NoError(t, err)
	require.ErrorContains(t, h.Add(w.answer(t, h.Asks(epoch)), epoch), "connection refused")
	require.Empty(t, h.Sums())
}

func TestAGaugeAndAMeanHaveNoHistory(t *testing.T) {
	h, err := NewHistory(Definition{Metrics: []Metric{
		{Name: "memory", Source: Gauge{Query: `memory{version="${version}"}`}},
		{Name: "orders", Source: Mean{Sum: `sum{version="${version}"}`, Count: `count{version="${version}"}`}},
	}}, arms.Baseline)
	require.NoError(t, err)
	require.Empty(t, h.Parts(epoch))
}

func TestPartsOfADayAreAskedForOneAfterTheOther(t *testing.T) {
	h, err := NewHistory(Definition{Metrics: []Metric{podErrors()}}, arms.Baseline)
	require.NoError(t, err)
	parts := h.Parts(epoch)
	require.Len(t, parts, 4)
	require.Equal(t, epoch, parts[3])
	for _, to := range parts {
		for _, a := range h.Asks(to) {
			require.LessOrEqual(t, a.To.Sub(a.From), MaxWindow+Stale+time.Second)
		}
	}
}
