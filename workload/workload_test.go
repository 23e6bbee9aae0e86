package workload_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/workload"
)

func TestPhaseIsTheWorstOfAll(t *testing.T) {
	ready := workload.Status{Name: workload.Name{Name: "a"}, Phase: workload.Ready}
	slow := workload.Status{Name: workload.Name{Namespace: "pro", Name: "b"}, Phase: workload.Progressing, Why: "1 of 2 pods"}
	broken := workload.Status{Name: workload.Name{Name: "c"}, Phase: workload.Failed, Why: "no such image"}
	for name, c := range map[string]struct {
		of    []workload.Status
		phase workload.Phase
		why   []string
	}{
		"nothing is ready":             {nil, workload.Ready, nil},
		"all ready":                    {[]workload.Status{ready, ready}, workload.Ready, nil},
		"one on its way":               {[]workload.Status{ready, slow}, workload.Progressing, []string{"pro/b: 1 of 2 pods"}},
		"failed comes before progress": {[]workload.Status{slow, broken, slow}, workload.Failed, []string{"pro/b: 1 of 2 pods", "c: no such image", "pro/b: 1 of 2 pods"}},
	} {
		t.Run(name, func(t *testing.T) {
			phase, why := workload.Observed{Deployments: c.of}.Phase()
			require.Equal(t, c.phase, phase)
			require.Equal(t, c.why, why)
		})
	}
}

func TestFillInsertsValuesAndRefusesUnknownNames(t *testing.T) {
	got, err := workload.Fill("registry/${name}:${tag}", map[string]string{"name": "flask", "tag": "${name}"})
	require.NoError(t, err)
	require.Equal(t, "registry/flask:${name}", got, "a value is not filled in itself")
	for _, bad := range []string{"${tag}", "a ${tag", "${}"} {
		_, err := workload.Fill(bad, map[string]string{"name": "x"})
		require.Error(t, err, bad)
	}
}

func FuzzFillJSONKeepsTheShape(f *testing.F) {
	f.Add(`x", "privileged": true, "y": "`)
	f.Add("\x00\xff\n\\")
	f.Fuzz(func(t *testing.T, value string) {
		doc := json.RawMessage(`{"a": "v=${v}", "n": 12345678901234567890, "l": ["${v}${v}", {"b": "c"}]}`)
		got, err := workload.FillJSON(doc, map[string]string{"v": value})
		require.NoError(t, err)
		var back struct {
			A string
			N json.Number
			L []any
		}
		require.NoError(t, json.Unmarshal(got, &back))
		clean := strings.ToValidUTF8(value, "\uFFFD")
		if clean == value {
			require.Equal(t, "v="+value, back.A)
		}
		require.Equal(t, "12345678901234567890", back.N.String())
		require.Len(t, back.L, 2)
	})
}

func TestThePatternMatchesPodsOfOneDeploymentOnly(t *testing.T) {
	long := "acme-storefront-checkout-payment-gateway-adapter-app"
	for deployment, pods := range map[string]struct{ own, others []string }{
		"shop":     {[]string{"shop-7d4b9c5f6d-x2x9k"}, []string{"shop-canary-7d4b9c5f6d-x2x9k", "shop-x2x9k", "shopx-7d4b9c5f6d-x2x9k"}},
		"shop.api": {[]string{"shop.api-7d4b9c5f6d-x2x9k"}, []string{"shop-api-7d4b9c5f6d-x2x9k"}},
		long:       {[]string{long + "-7d4b9x2x9k", long + "-5f6d-x2x9k"}, []string{long + "-c-7d4b9x2x9k"}},
	} {
		pattern := regexp.MustCompile("^(?:" + workload.Name{Name: deployment}.Pods() + ")$")
		for _, name := range pods.own {
			require.True(t, pattern.MatchString(name), name)
		}
		for _, name := range pods.others {
			require.False(t, pattern.MatchString(name), name)
		}
	}
	require.Equal(t, strings.Repeat("a", 58)+"[a-z0-9]{5}", workload.Name{Name: strings.Repeat("a", 100)}.Pods())

	numbered := regexp.MustCompile("^(?:" + workload.Name{Name: "search", Kind: workload.StatefulSet}.Pods() + ")$")
	require.True(t, numbered.MatchString("search-12"))
	require.False(t, numbered.MatchString("search-canary-0"))
}
