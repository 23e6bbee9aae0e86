package server_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestNoRequestBreaksTheServer sends every operation of the OpenAPI document valid and invalid requests: wrong types,
// huge numbers, odd texts, broken JSON, unknown fields. No answer may be a 5xx, and every answer has to match the
// document, which [daemon.do] checks.
func TestNoRequestBreaksTheServer(t *testing.T) {
	d := newDaemon(t)
	d.start("shop")
	g := &guesser{rand.New(rand.NewPCG(1, 2)), d.start("cart")} //nolint:gosec // the same guesses each time
	var doc struct {
		Paths map[string]map[string]struct {
			Parameters  []struct{ Name, In string }
			RequestBody *json.RawMessage
			Responses   map[string]struct{ Content map[string]any }
		}
	}
	require.NoError(t, json.Unmarshal([]byte(d.do(d.request("", http.MethodGet, "/openapi.json", "")).body), &doc))
	asked := map[int]int{}
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		for method, op := range doc.Paths[path] {
			if _, stream := op.Responses["200"].Content["text/event-stream"]; stream {
				continue // it does not end
			}
			for range 60 {
				at, query := path, url.Values{}
				for _, p := range op.Parameters {
					switch {
					case p.In == "path":
						at = strings.ReplaceAll(at, "{"+p.Name+"}", url.PathEscape(g.name()))
					case p.In == "query" && g.r.IntN(2) == 0:
						query.Add(p.Name, g.text())
					}
				}
				body := ""
				if op.RequestBody != nil {
					body = g.body()
				}
				if len(query) > 0 {
					at += "?" + query.Encode()
				}
				r := d.request("ada", strings.ToUpper(method), at, body)
				a := d.do(r)
				require.Less(t, a.status, 500, "%s %s %s: %s", method, at, body, a.body)
				asked[a.status]++
			}
		}
	}
	t.Log("answers by status:", fmt.Sprint(asked))
	require.Greater(t, asked[http.StatusOK], 100, "some of it was right")
	require.Greater(t, asked[http.StatusUnprocessableEntity], 100, "and some wrong")
	require.NotContains(t, d.logged(), "level=ERROR msg=panic")
}

// guesser makes up requests.
type guesser struct {
	r       *rand.Rand
	release string
}

func pick[T any](g *guesser, of ...T) T { return of[g.r.IntN(len(of))] }

// name is what may stand in a path.
func (g *guesser) name() string {
	return pick(g, "shop", "cart", "big", "nope", g.release, g.release, "start", "full", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "%2e%2e", "a b", "é\x00\u202e", strings.Repeat("x", 300))
}

func (g *guesser) text() string {
	return pick(g, "shop", "1", "0", "-1", "100", "1e9", "99999999999999999999", "", "ended", "released", "gray", "'; DROP TABLE releases; --", "\x00", "é\u202e", "\xff", strings.Repeat("9", 5000), "true", g.release)
}

// body is JSON of the right fields with any values, or something else.
func (g *guesser) body() string {
	if g.r.IntN(6) == 0 {
		return pick(g, "", "{", "[]", "null", "1", `"x"`, `{"a":`+strings.Repeat("[", 2000), strings.Repeat(" ", 100), `{"reason":"\ud800"}`)
	}
	fields := map[string]any{}
	for range g.r.IntN(4) {
		fields[pick(g, "reason", "answer", "key", "supersede", "parameters", "unknown", "")] = g.value(2)
	}
	b, err := json.Marshal(fields)
	if err != nil {
		panic(err) // what value makes can be encoded
	}
	return string(b)
}

func (g *guesser) value(deep int) any {
	if deep > 0 && g.r.IntN(3) == 0 {
		return pick[any](g, []any{g.value(deep - 1)}, map[string]any{pick(g, "image", "note", ""): g.value(deep - 1)}, map[string]any{"image": "shop:1"})
	}
	return pick[any](g, g.text(), "approve", "wait", nil, true, -1, 1e300, 0.5, strings.Repeat("é", 1001))
}
