package cluster

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/internal/testbed/testcluster"
)

// warm is blue-green with the old version kept warm: the switch is a weight of 99%.
const warm = `apiVersion: serin.dev/v1alpha1
kind: Rollout
metadata: {name: cart}
spec:
  parameters: [{name: image, required: true}]
  traffic: {traefik: {namespace: PRO, route: {host: HOST, entryPoints: [web]}, verify: {api: "http://traefik.GATE.svc:8080"}}}
  stable: {deployment: cart, service: {name: cart, port: 80}}
  canary: {deployment: cart-canary, service: {name: cart-canary, port: 80}}
  analysis: [web]
  steps:
    - deploy: {deployment: cart-canary, image: {cart: '${image}'}}
    - preview: {host: preview.HOST}
    - mirror: {share: 50%, for: 2s}
    - gate: {name: switch}
    - gray: {name: everybody, weights: [99%], hold: 5s}
    - promote: {}
  rollback: {drain: 1s}
`

// previewed is the version that answers on the preview's host; empty for none.
func (w *world) previewed(t *testing.T) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.entry, http.NoBody)
	require.NoError(t, err)
	req.Host = "preview." + w.host
	res, err := (&http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return ""
	}
	defer res.Body.Close() //nolint:errcheck // only the header is read
	return res.Header.Get(testbed.VersionHeader)
}

func TestBlueGreenWithCopiesAndAWarmWayBack(t *testing.T) {
	t.Parallel()
	w := newPlace(t, example{name: "cart", container: "cart"})
	w.c.Apply(t, w.pro, app("cart", "cart"))
	w.configureWith(t, map[string]string{"rollout.yaml": fmt.Sprintf(analysis, "web", "web") + strings.NewReplacer("PRO", w.pro, "HOST", w.host, "GATE", w.gate).Replace(warm)})
	w.begin(t)
	loads := w.usersAt(t, countedRate)
	users := loads[0]

	w.c.SetImage(w.pro, image3, testcluster.Image{Handler: testbed.Unserved(testbed.Behaviour{Version: "3", ErrorRate: 0.5}, 1)})
	id := w.start(t, image3)
	v := w.ends(t, id, "the bad version has gone back", "rolledBack")
	require.Contains(t, []string{"mirror", "switch"}, v.State.StepName, "its copies revealed it; on a busy machine after their time, at the gate")
	require.Zero(t, users.Counts().Answered("3"), "no user was served by it")
	require.Positive(t, w.asked()[image3], "it received copies")
	require.Zero(t, *w.deployment(t, w.pro, "cart-canary").Spec.Replicas)

	id = w.start(t, image2)
	w.wait(t, "the gate is open", func(v view) bool { return v.Release.ID == id && atGate("switch")(v) })
	require.Equal(t, "2", w.previewed(t))
	require.Zero(t, users.Counts().Answered("2"))
	w.approve(t, id, "switch")
	w.wait(t, "everybody has it", at("everybody", 0))
	await.Until(t, "nearly all users get the new version", func() string {
		before := users.Counts()
		time.Sleep(time.Second)
		if now := users.Counts(); now.Answered("2")-before.Answered("2") > 9*(now.Answered("1")-before.Answered("1")) {
			return ""
		}
		return "not yet"
	})
	require.EqualValues(t, 4, *w.deployment(t, w.pro, "cart").Spec.Replicas, "the old version has all its pods")
	begin := time.Now()
	status, text := w.call(http.MethodPost, "/api/v1/releases/"+id+"/rollback", map[string]string{"reason": "orders are lost"}, nil)
	require.Equal(t, http.StatusOK, status, text)
	w.wait(t, "stable at 100% is in force", func(v view) bool { return v.State.Phase == "rollingBack" && v.State.InForce || ended(v) })
	t.Logf("the way back after the switch: %v", time.Since(begin).Round(time.Millisecond))
	w.ends(t, id, "the release has ended", "rolledBack")
	require.NotEqual(t, "2", w.previewed(t))

	id = w.start(t, image2)
	w.wait(t, "the gate is open again", func(v view) bool { return v.Release.ID == id && atGate("switch")(v) })
	w.approve(t, id, "switch")
	w.ends(t, id, "the release has ended well", "released")
	require.Equal(t, image2, imageOf(w.deployment(t, w.pro, "cart")))
	noRequestFailed(t, loads)
}
