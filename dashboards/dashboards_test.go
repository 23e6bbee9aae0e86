package dashboards

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	grafana "github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/serindev/serin/internal/testbed"
)

var update = flag.Bool("update", false, "write the dashboards again")

func TestTheDashboardsAreTheOnesOfTheTables(t *testing.T) {
	for file, d := range All() {
		want, err := d.JSON()
		require.NoError(t, err)
		if *update {
			require.NoError(t, os.WriteFile(file, want, 0o600))
		}
		got, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, string(want), string(got), "%s is stale: go generate ./dashboards", file)
	}
}

// The dashboards are decoded into Grafana's own types for dashboards, panels and queries: they have no unknown field, and no
// required one is missing.
func TestTheDashboardsFitGrafanasSchema(t *testing.T) {
	plugins.RegisterDefaultPlugins()
	for file, d := range All() {
		text, err := d.JSON()
		require.NoError(t, err)
		var read grafana.Dashboard                             //nolint:staticcheck // what Grafana 10 to 12 read; the second version is of 12 only
		if err := read.UnmarshalJSONStrict(text); err != nil { // its list of errors is never nil, and may be empty
			require.Empty(t, err.Error(), file)
		}
		require.NoError(t, read.Validate(), file)
		require.Equal(t, d.Title, *read.Title)
		wrong := strings.Replace(string(text), `"gridPos"`, `"gridPosition"`, 1)
		read = grafana.Dashboard{} //nolint:staticcheck // see above
		require.ErrorContains(t, read.UnmarshalJSONStrict([]byte(wrong)), "gridPosition", "it is strict")
	}
}

func TestPanelsFillTheGridWithoutOverlap(t *testing.T) {
	for file, d := range All() {
		taken := map[[2]int]string{}
		for _, p := range read(t, d).Panels {
			require.NotEmpty(t, p.Title, file)
			require.LessOrEqual(t, p.Grid.X+p.Grid.W, gridWidth, "%s %s", file, p.Title)
			for x := p.Grid.X; x < p.Grid.X+p.Grid.W; x++ {
				for y := p.Grid.Y; y < p.Grid.Y+p.Grid.H; y++ {
					require.Empty(t, taken[[2]int{x, y}], "%s: %s lies over it", file, p.Title)
					taken[[2]int{x, y}] = p.Title
				}
			}
		}
	}
}

// dashboard is the part of a dashboard's JSON that the tests check.
type dashboard struct {
	Panels []struct {
		ID    int    `json:"id"`
		Title string `json:"title"`
		Grid  struct {
			X int `json:"x"`
			Y int `json:"y"`
			W int `json:"w"`
			H int `json:"h"`
		} `json:"gridPos"`
		Targets []struct {
			Expr string `json:"expr"`
		} `json:"targets"`
	} `json:"panels"`
	Annotations struct {
		List []struct {
			Name   string `json:"name"`
			Expr   string `json:"expr"`
			Target struct {
				Expr string `json:"expr"`
			} `json:"target"`
		} `json:"list"`
	} `json:"annotations"`
	Templating struct {
		List []struct {
			Name  string `json:"name"`
			Type  string `json:"type"`
			Query any    `json:"query"`
		} `json:"list"`
	} `json:"templating"`
}

func read(t *testing.T, d Dashboard) dashboard {
	t.Helper()
	b, err := d.JSON()
	require.NoError(t, err)
	var out dashboard
	require.NoError(t, json.Unmarshal(b, &out))
	return out
}

// shown returns the expressions of all panels and variables, with their places.
func shown(t *testing.T) map[string]string {
	out := map[string]string{}
	for file, d := range All() {
		j := read(t, d)
		for _, p := range j.Panels {
			for _, target := range p.Targets {
				out[target.Expr] = file + ", panel " + p.Title
			}
		}
		for _, v := range j.Templating.List {
			if q, ok := v.Query.(map[string]any); ok {
				series := regexp.MustCompile(`^label_values\((.*), \w+\)$`).FindStringSubmatch(q["query"].(string))
				require.Len(t, series, 2)
				out[series[1]] = file + ", variable " + v.Name
			}
		}
	}
	return out
}

type rules struct {
	Groups []struct {
		Rules []struct {
			Record string            `yaml:"record"`
			Alert  string            `yaml:"alert"`
			Expr   string            `yaml:"expr"`
			Labels map[string]string `yaml:"labels"`
		} `yaml:"rules"`
	} `yaml:"groups"`
}

func readRules(t *testing.T) (r rules) {
	t.Helper()
	b, err := os.ReadFile("rules.yaml")
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(b, &r))
	return r
}

func TestTheRulesAreValidAndPassTheirTests(t *testing.T) {
	promtool, err := testbed.Tool("promtool")
	require.NoError(t, err)
	require.NoError(t, testbed.Reads("dashboards"))
	for _, args := range [][]string{{"check", "rules", "--lint=all", "--lint-fatal", "rules.yaml"}, {"test", "rules", "rules_test.yaml"}} {
		out, err := exec.CommandContext(t.Context(), promtool, args...).CombinedOutput()
		require.NoError(t, err, "promtool %s\n%s", strings.Join(args, " "), out)
	}
	tests, err := os.ReadFile("rules_test.yaml")
	require.NoError(t, err)
	for _, g := range readRules(t).Groups {
		for _, r := range g.Rules {
			require.Contains(t, string(tests), r.Alert+r.Record, "every rule has a test")
			if r.Alert != "" {
				require.Contains(t, []string{"warning", "critical"}, r.Labels["severity"], r.Alert)
			}
		}
	}
}

// families returns the metrics of Serin's that expressions use, without the suffixes of histograms.
func families(expressions ...string) []string {
	var out []string
	for _, e := range expressions {
		for _, name := range regexp.MustCompile(`(?:^|[^:\w])(serin_\w+)`).FindAllStringSubmatch(e, -1) {
			out = append(out, regexp.MustCompile(`_seconds_(bucket|sum|count)$`).ReplaceAllString(name[1], "_seconds"))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
