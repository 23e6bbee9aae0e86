package config

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/traffic/traefikapi"
)

// checking loads documents with the checks of the gateway's own parsers, as the daemon does.
func checking() Loader {
	return Loader{Rule: traefikapi.CheckRule, RuleTCP: traefikapi.CheckRuleTCP, Guards: traefikapi.ValidateGuards}
}

// shownRevision matches revisions, which change with the contents of plans.
var shownRevision = regexp.MustCompile(`revision [0-9a-f]+`)

// Documents that people who release with Traefik and Prometheus tried to write, and mistakes of newcomers, each with its
// complete output: it is valid, or refused with a reason that says what to do.
func TestDocumentsThatPeopleTriedAreValidOrRefusedWithAReason(t *testing.T) {
	for _, folder := range []string{"field", "mistakes"} {
		files, err := filepath.Glob("testdata/" + folder + "/*.yaml")
		require.NoError(t, err)
		require.NotEmpty(t, files)
		for _, file := range files {
			name := strings.TrimSuffix(file, ".yaml")
			t.Run(strings.TrimPrefix(name, "testdata/"), func(t *testing.T) {
				report, _ := checking().Validate(file)
				report = shownRevision.ReplaceAllString(report, "revision …")
				if *update {
					require.NoError(t, os.WriteFile(name+".txt", []byte(report), 0o600))
					return
				}
				want, err := os.ReadFile(name + ".txt") //nolint:gosec // a golden file
				require.NoError(t, err)
				require.Equal(t, string(want), report)
			})
		}
	}
}

// A page lists what cannot be expressed, or is expressed differently, for people who look before they try.
func TestThePageListsEveryRefusedTrial(t *testing.T) {
	pages := map[string][2]string{
		"07-rule-v2":         {"comparison", "rules of Traefik 2"},
		"07b-rule-garbage":   {"comparison", "rules of Traefik 2"},
		"07c-file-rule-v2":   {"comparison", "rules of Traefik 2"},
		"09-dots":            {"comparison", "a name with dots for a rollout in a file"},
		"10-worker":          {"kinds-of-release", "traffic: {replicas: {namespace: pro}}"},
		"12-manual-gates":    {"kinds-of-release", "analysis: none"},
		"19-tcp":             {"comparison", "TCP routes"},
		"20-gatewayapi":      {"kubernetes", "gatewayAPI: {namespace: pro, httpRoute:"},
		"22-business-hours":  {"kinds-of-release", "windows:"},
		"23-int-weights":     {"reference/configuration", "a share such as 25% or 0.25"},
		"24-recording-rules": {"analysis", "write the counter alone"},
		"26-two-sources":     {"analysis", "chooses a source by `prometheus: shop`"},
	}
	files, err := filepath.Glob("testdata/field/*.yaml")
	require.NoError(t, err)
	require.Greater(t, len(files), len(pages))
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		page, known := pages[name]
		_, ok := checking().Validate(file)
		require.Equal(t, !ok, known, "%s: it is valid, or its reason is on a page", name)
		if known {
			text, err := os.ReadFile("../docs/" + page[0] + ".md")
			require.NoError(t, err)
			require.Contains(t, string(text), page[1], name)
		}
	}
}

// The table of all trials agrees with validate.
func TestTheTableOfTrialsIsWhatValidateSays(t *testing.T) {
	text, err := os.ReadFile("testdata/field/README.md")
	require.NoError(t, err)
	said := map[string]bool{}
	for _, row := range regexp.MustCompile(`(?m)^\| ([^|]+) \| [^|]+ \| [^|]+ \| (valid|refused)\b`).FindAllStringSubmatch(string(text), -1) {
		said[row[1]] = row[2] == "valid"
	}
	files, err := filepath.Glob("testdata/field/*.yaml")
	require.NoError(t, err)
	is := map[string]bool{}
	for _, file := range files {
		_, ok := checking().Validate(file)
		is[strings.TrimSuffix(filepath.Base(file), ".yaml")] = ok
	}
	require.Equal(t, is, said)
}

// No message gives advice that leads to another error: what it says to write is valid.
func TestTheAdviceOfAMessageIsRight(t *testing.T) {
	for file, advice := range map[string][]string{
		"field/07-rule-v2":                {"\"Host(`a.example.com`, `b.example.com`) && PathPrefix(`/api`, `/v2`)\"", "\"(Host(`a.example.com`) || Host(`b.example.com`)) && (PathPrefix(`/api`) || PathPrefix(`/v2`))\""},
		"mistakes/03-typo-field":          {"entrypoints", "entryPoints"},
		"mistakes/05-step-as-argo":        {"setWeight: 20", "gray: {weights: [20%]}", "pause: {duration: 10m}", "wait: {for: 10m}"},
		"mistakes/07-missing-scheme":      {"[127.0.0.1:9082]", "[http://127.0.0.1:9082]"},
		"mistakes/08-analysis-name":       {"onw", "own"},
		"mistakes/10-rule-quote":          {"PathPrefix('/')", "PathPrefix(`/`)"},
		"mistakes/11-rule-old":            {"HostRegexp(`{sub:[a-z]+}.example.com`)", "HostRegexp(`^[a-z]+\\.example\\.com$`)"},
		"mistakes/14-header-short":        {`"X-Group: beta"`, "{name: X-Group, value: beta}"},
		"mistakes/22-rate-in-ratio":       {"sum(rate(app_orders_failed_total[1m]))", `app_orders_failed_total{instance=~"${instances}"}`, "sum(rate(app_orders_total[1m]))", `app_orders_total{instance=~"${instances}"}`},
		"mistakes/23-version-placeholder": {`version="${version}"`, `instance=~"${instances}"`},
		"mistakes/24-no-arm":              {"app_orders_total", `app_orders_total{instance=~"${instances}"}`, "app_sessions_total", `app_sessions_total{instance=~"${instances}"}`},
		"mistakes/26-arm":                 {`arm="${arm}"`, `instance=~"${instances}"`},
		"mistakes/28-gate-as-string":      {"gate: full", "gate: {name: full}"},
	} {
		t.Run(file, func(t *testing.T) {
			text, err := os.ReadFile("testdata/" + file + ".yaml") //nolint:gosec // of this test
			require.NoError(t, err)
			fixed := strings.NewReplacer(advice...).Replace(string(text))
			require.NotEqual(t, string(text), fixed)
			set, errs := checking().Load(write(t, map[string]string{"a.yaml": fixed}))
			require.Empty(t, errs.Error())
			require.Len(t, set.Rollouts, 1)
		})
	}
}
