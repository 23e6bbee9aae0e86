package daemon

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/rollout"
)

func TestAWebhookGetsTheParametersAndKeepsOutWhatItLeavesOut(t *testing.T) {
	values := map[string]string{"image": `flask:1&x="y"`}
	for name, c := range map[string]struct{ in, want rollout.Webhook }{
		"an address alone": {
			rollout.Webhook{URL: "http://chat.example.com/hook"},
			rollout.Webhook{URL: "http://chat.example.com/hook"},
		},
		"a parameter in every place": {
			rollout.Webhook{URL: "http://a.example/${image}", Status: "http://a.example/?of=${image}", Body: `{"image": "${image}"}`},
			rollout.Webhook{
				URL:    "http://a.example/flask%3A1%26x%3D%22y%22",
				Status: "http://a.example/?of=flask%3A1%26x%3D%22y%22",
				Body:   `{"image": "flask:1\u0026x=\"y\""}`,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := substituted(c.in, values)
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
	_, err := substituted(rollout.Webhook{Name: "announce", URL: "http://a.example/${tag}"}, values)
	require.ErrorContains(t, err, "webhook announce: url:")
	require.ErrorContains(t, err, "tag")
}
