package web_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/server"
	"github.com/serindev/serin/server/web"
	"github.com/serindev/serin/share"
	"github.com/serindev/serin/traffic"
)

func testLog(t testing.TB) *slog.Logger { return slog.New(slog.NewTextHandler(t.Output(), nil)) }

func newPage(t *testing.T, body string) page { return page{t: t, body: body} }

// noStore and noEngine have nothing.
type noStore struct{ server.Store }

func (noStore) Audit(context.Context, record.AuditEntry) error { return nil }

type noEngine struct{ server.Engine }

func (noEngine) Rollouts() []record.View { return nil }

// manyEngine has as many rollouts as one daemon may have to show.
type manyEngine struct {
	server.Engine
	views []record.View
}

func (m manyEngine) Rollouts() []record.View { return m.views }

// many are rollouts of which every tenth waits for a person, and every second is under way.
func many(n int) []record.View {
	out := make([]record.View, n)
	for i := range out {
		v := record.View{
			Rollout: fmt.Sprintf("service-%04d", i), Declared: true,
			Steps: rollout.Steps{
				rollout.AB{Name: "beta", Scope: "ab/beta", Cohort: traffic.Cohort{Split: 0.5}},
				rollout.Gray{Name: "everybody", Weights: []share.Share{0.01, 0.05, 0.2, 0.5}, Scope: "gray"}, rollout.Gate{Name: "full"}, rollout.Promote{Name: "promote"},
			},
		}
		v.Release = &record.Release{ID: fmt.Sprintf("01M85T%020d", i), Rollout: v.Rollout}
		v.State = rollout.State{Phase: rollout.PhaseEnded, Outcome: rollout.Released, Why: "every step is done"}
		if i%2 == 0 {
			v.State = rollout.State{Phase: rollout.Active, Step: 1, Stage: 2, StepName: "everybody"}
			v.Target.Weight, v.Waiting = 0.2, "20% of traffic on the canary: it needs enough data without a fail (now undecided: errors)"
			v.Verdict = &judge.Verdict{Outcome: judge.Inconclusive, Reason: judge.Undecided, Decisive: "errors", Look: 12}
		}
		if i%10 == 0 {
			v.State.Step, v.Gate, v.Approvers = 2, "full", []string{"qa", "operator"}
		}
		out[i] = v
	}
	return out
}

func TestAThousandRolloutsStayQuickAndThoseThatNeedAPersonComeFirst(t *testing.T) {
	h := alone(t, func(o *web.Options) { o.Engine = manyEngine{views: many(1000)} })
	secrets, _ := roster()
	cookies := ask(t, h, http.MethodPost, "/sign-in", url.Values{"token": {secrets["vera"]}}, nil).Cookies()
	read := func(path string) string {
		r := ask(t, h, http.MethodGet, path, nil, cookies)
		require.Equal(t, http.StatusOK, r.StatusCode)
		b, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		harmless(t, string(b))
		return string(b)
	}
	first := read("/")
	t.Logf("the overview of 1,000 rollouts has %d KB", len(first)/1000)
	require.Less(t, len(first), 250_000, "bytes")
	require.Contains(t, first, "<strong>100</strong> waiting for a person</a>")
	require.Contains(t, first, "<strong>400</strong> under way</a>")
	require.Contains(t, first, "<strong>500</strong> at rest</a>")
	rows := regexp.MustCompile(`service-\d{4}</a>`)
	require.Equal(t, "service-0000</a>", rows.FindString(first))
	require.Equal(t, "service-0010</a>", rows.FindAllString(first, 2)[1])
	require.Contains(t, first, "qa, operator: answer full")
	seen := map[string]bool{}
	for n := 1; n <= 10; n++ {
		for _, name := range rows.FindAllString(read(fmt.Sprint("/?page=", n)), -1) {
			seen[name] = true
		}
	}
	require.Len(t, seen, 1000, "every rollout is on one of the pages")
	require.Len(t, rows.FindAllString(read("/?q=0123"), -1), 1)
	require.Equal(t, 1, strings.Count(read("/?page=99999"), "page 10 of 10"))
}

func TestRolloutsAreFoundByOwnerNamespaceAndLabel(t *testing.T) {
	views := many(30)
	for i := range views {
		views[i].Namespace = []string{"pro", "dev"}[i%2]
		views[i].About = record.About{
			Owner: []string{"Payments", "<b>Cart & Co</b>"}[i%2], Labels: map[string]string{"team": []string{"payments", "cart", "shop"}[i%3]},
			Links: []record.Link{{Name: "runbook", URL: "https://wiki.example.com/a?b=c&d"}},
		}
	}
	h := alone(t, func(o *web.Options) { o.Engine = manyEngine{views: views} })
	secrets, _ := roster()
	cookies := ask(t, h, http.MethodPost, "/sign-in", url.Values{"token": {secrets["vera"]}}, nil).Cookies()
	read := func(path string) string {
		b, err := io.ReadAll(ask(t, h, http.MethodGet, path, nil, cookies).Body)
		require.NoError(t, err)
		harmless(t, string(b))
		return string(b)
	}
	rows := regexp.MustCompile(`service-\d{4}</a>`)
	all := read("/")
	require.Len(t, rows.FindAllString(all, -1), 30)
	for _, want := range []string{
		`<a class="chip" href="/?q=team%3Dcart">team=cart</a>`, `<a class="chip" href="/?q=Payments">Payments</a>`, `<a class="chip" href="/?q=dev">dev</a>`,
		`&lt;b&gt;Cart &amp; Co&lt;/b&gt;`, `<a href="https://wiki.example.com/a?b=c&amp;d" rel="noopener noreferrer">runbook</a>`,
	} {
		require.Contains(t, all, want)
	}
	for query, n := range map[string]int{"team%3Dcart": 10, "payments": 15, "cart+%26": 15, "dev": 15, "dev+team%3Dcart": 5, "team%3Dnobody": 0} {
		require.Len(t, rows.FindAllString(read("/?q="+query), -1), n, query)
	}
	require.Contains(t, read("/?q=team%3Dcart"), `<a class="chip on" href="/" aria-current="true">team=cart`)
}

func BenchmarkOverviewOfAThousand(b *testing.B) {
	d := web.Options{Engine: manyEngine{views: many(1000)}}
	b.ReportAllocs()
	for b.Loop() {
		require.NotZero(b, web.OverviewSize(d))
	}
}
