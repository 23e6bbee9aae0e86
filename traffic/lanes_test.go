package traffic_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/traffic"
)

func TestMirror(t *testing.T) {
	for name, c := range map[string]struct {
		mirror traffic.Mirror
		says   string
	}{
		"a tenth of the safe requests":          {traffic.Mirror{Share: 0.1}, ""},
		"all of them":                           {traffic.Mirror{Share: 1}, ""},
		"every method":                          {traffic.Mirror{Share: 0.29, AllMethods: true}, ""},
		"some methods":                          {traffic.Mirror{Share: 0.07, Methods: []string{"GET", "POST"}}, ""},
		"no share":                              {traffic.Mirror{}, "share 0%"},
		"more than all":                         {traffic.Mirror{Share: 1.01}, "share 101%"},
		"a half percent, which nobody can copy": {traffic.Mirror{Share: 0.005}, "whole percents"},
		"a method in small letters":             {traffic.Mirror{Share: 0.1, Methods: []string{"get"}}, `"get" is not a method`},
		"a method that is a rule":               {traffic.Mirror{Share: 0.1, Methods: []string{"GET`) || Path(`/"}}, "is not a method"},
		"all methods and some":                  {traffic.Mirror{Share: 0.1, AllMethods: true, Methods: []string{"GET"}}, "exclude each other"},
		"bodies of less than nothing":           {traffic.Mirror{Share: 0.1, MaxBodySize: -1}, "maxBodySize -1 is negative"},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.mirror.Validate()
			if c.says == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.says)
			_, err = traffic.Serves(traffic.Target{Mirror: &c.mirror})
			require.ErrorContains(t, err, c.says)
		})
	}
	require.Equal(t, "(Method(`GET`) || Method(`HEAD`) || Method(`OPTIONS`)) && !HeaderRegexp(`Upgrade`, `.`)", traffic.Mirror{}.Text())
	require.Equal(t, "(Method(`POST`)) && !HeaderRegexp(`Upgrade`, `.`)", traffic.Mirror{Methods: []string{"POST", "POST"}}.Text())
	require.InDelta(t, 1.0/11, float64(traffic.Mirror{Share: 0.1}.Exposure()), 1e-12, "a copy for each ten that stable answers")
	require.EqualValues(t, 1<<20, traffic.Mirror{}.MaxBody(), "the gateway holds bodies in memory")
}

func TestPreview(t *testing.T) {
	beta := header("X-Preview", "yes")
	label := strings.Repeat("a", 63) // the longest, of which three and 61 more characters make the longest name
	longest := strings.Join([]string{label, label, label, label[:61]}, ".")
	for name, c := range map[string]struct {
		preview traffic.Preview
		text    string
		says    string
	}{
		"a host":                        {traffic.Preview{Host: "preview.example.com"}, "Host(`preview.example.com`)", ""},
		"a header":                      {traffic.Preview{Match: &beta}, "Header(`X-Preview`, `yes`)", ""},
		"both":                          {traffic.Preview{Host: "a", Match: &beta}, "Host(`a`) && (Header(`X-Preview`, `yes`))", ""},
		"neither":                       {traffic.Preview{}, "", "expected a host, a matcher, or both"},
		"a host that is a rule":         {traffic.Preview{Host: "a`) || Path(`/"}, "", "is not a host name"},
		"a host in capitals":            {traffic.Preview{Host: "A.example.com"}, "", "is not a host name"},
		"a host with an empty label":    {traffic.Preview{Host: "a..b"}, "", "is not a host name"},
		"the longest host":              {traffic.Preview{Host: longest}, "Host(`" + longest + "`)", ""},
		"a host that is too long":       {traffic.Preview{Host: longest + "a"}, "", "is not a host name"},
		"a label that is too long":      {traffic.Preview{Host: label + "a"}, "", "is not a host name"},
		"a matcher without a condition": {traffic.Preview{Match: &traffic.Matcher{}}, "", "exactly one of"},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := c.preview.Text()
			require.Equal(t, c.text, text)
			if c.says == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.says)
		})
	}
}

func TestAMirrorExcludesUsersOnTheCanary(t *testing.T) {
	mirror := &traffic.Mirror{Share: 0.1}
	for name, x := range map[string]traffic.Target{
		"a weight": {Mirror: mirror, Weight: 0.1},
		"a cohort": {Mirror: mirror, Cohort: &traffic.Cohort{Match: header("A", "1")}},
	} {
		t.Run(name, func(t *testing.T) {
			require.ErrorContains(t, x.ValidateLanes(), "copies only while no user's request goes to it")
		})
	}
	require.NoError(t, traffic.Target{Mirror: mirror, Preview: &traffic.Preview{Host: "a"}}.ValidateLanes())
}

func TestATCPRouteOnlyDividesConnectionsByWeight(t *testing.T) {
	require.NoError(t, traffic.Target{Weight: 0.5}.ValidateConnections())
	for name, target := range map[string]traffic.Target{
		"sticky users": {Sticky: "serin"}, "a cohort": {Cohort: &traffic.Cohort{}}, "a mirror": {Mirror: &traffic.Mirror{}}, "a preview": {Preview: &traffic.Preview{}},
		"guards": {Guards: traffic.Guards{RateLimit: &traffic.RateLimit{}}},
	} {
		require.ErrorContains(t, target.ValidateConnections(), "a TCP route sees connections, not requests", name)
	}
}
