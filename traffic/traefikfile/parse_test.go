package traefikfile

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/traefik/traefik/v3/pkg/config/dynamic"
	"github.com/traefik/traefik/v3/pkg/rules"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/traefik"
	"github.com/serindev/serin/traffic/traefikapi"
)

// ruleTCP is the rule of a TCP route, with or without TLS.
type ruleTCP struct {
	rule string
	tls  bool
}

// routersTCP makes rules with and without TLS, and a router for each.
func routersTCP() (judged []ruleTCP, c *dynamic.TCPConfiguration) {
	c = &dynamic.TCPConfiguration{Routers: map[string]*dynamic.TCPRouter{}, Services: map[string]*dynamic.TCPService{"shop": tcpBalancer([]string{"tcp://127.0.0.1:1"})}}
	for _, rule := range []string{
		"HostSNI(`*`)", "HostSNI(`a`)", "HostSNI(`A.example`)", "HostSNI(`*`) || HostSNI(`a`)", "HostSNI(`a`) || HostSNI(`*`)", "!HostSNI(`a`)", "HostSNI(`a b`)",
		"HostSNIRegexp(`^a$`)", "ClientIP(`10.0.0.0/8`) && HostSNI(`a`)", "ALPN(`h2`)", "Host(`a`)",
	} {
		c.Routers[name(len(judged))] = &dynamic.TCPRouter{Rule: rule, Service: "shop"}
		c.Routers[name(len(judged)+1)] = &dynamic.TCPRouter{Rule: rule, Service: "shop", TLS: &dynamic.RouterTCPTLSConfig{}}
		judged = append(judged, ruleTCP{rule, false}, ruleTCP{rule, true})
	}
	return judged, c
}

// Traefik gets the same rules, and enables just those that Serin accepts.
func TestRulesAreAcceptedAsByTraefik(t *testing.T) {
	t.Parallel()
	judged := []string{
		"Host(`a`)", "host(`a`)", "HOST(`a`) && !PathPrefix(`/x`)", "Host(`ä`)", "Host()", "Host(``)", "Host(`a`, `b`)", "Host(a)",
		"HostRegexp(`^a$`)", "HostRegexp(`(`)", "HostRegexp(`ä`)", "Path(`/a`)", "Path(`a`)", "PathPrefix(`/`)", "PathPrefix(`a`)",
		"PathRegexp(`^/a`)", "PathRegexp(`[`)", "Method(`GET`)", "Method(`GET`, `PUT`)", "Header(`A`, `1`)", "Header(`A`)",
		"HeaderRegexp(`A`, `1+`)", "HeaderRegexp(`A`, `(`)", "Query(`a`)", "Query(`a`, `1`)", "Query(`a`, `1`, `2`)",
		"QueryRegexp(`a`)", "QueryRegexp(`(`)", "QueryRegexp(`a`, `(`)", "ClientIP(`10.0.0.0/8`)", "ClientIP(`x`)", "ClientIP(`::1`)",
		"Unknown(`a`)", "`a`", "!`a`", "1", "Host(`a`) || ", "(Host(`a`)", "Host(`a`) & Host(`b`)", "Host(`a`) // note", "!(Host(`a`) || !Path(`/`))",
		"Host(1)", "Host(\"a\\x62\")", "Host(`a`) == Host(`b`)", "HostSNI(`a`)",
	}
	h := &dynamic.HTTPConfiguration{Routers: map[string]*dynamic.Router{}, Services: map[string]*dynamic.Service{}}
	for i, rule := range judged {
		h.Routers[name(i)] = &dynamic.Router{Rule: rule, Service: "shop"}
	}
	h.Services["shop"] = &dynamic.Service{LoadBalancer: &dynamic.ServersLoadBalancer{Servers: []dynamic.Server{{URL: "http://127.0.0.1:1"}}}}
	h.Services["shop"].LoadBalancer.SetDefaults()
	tcp, c := routersTCP()
	traefik := testbed.NewTraefik(t, testbed.TraefikConfig{})
	text, err := toYAML(&dynamic.Configuration{HTTP: h, TCP: c})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(traefik.Directory, "rules.yaml"), []byte(text), 0o600))
	r := &Router{config: Config{Rollout: name(len(judged) - 1), Timeout: time.Minute}}
	replica := Replica{URL: traefik.API}
	client, err := New(Config{Rollout: "x", File: "x.yaml", Route: traffic.Route{Rule: judged[0]}})
	require.NoError(t, err)
	r.api = client.api
	await.True(t, func() bool { return r.ask(t.Context(), replica).Main != nil })
	for i, rule := range judged {
		var router struct {
			dynamic.Router
			traefikapi.State
		}
		require.NoError(t, r.api.Get(t.Context(), replica, "routers", name(i)+provider, &router))
		require.Equal(t, rule, router.Rule)
		require.Equal(t, router.Status == traefikapi.Enabled, traefikapi.ParseRule(rule) == nil, "%s: Traefik says %s %v, we say %v", rule, router.Status, router.Errors, traefikapi.ParseRule(rule))
	}
	for i, rule := range tcp {
		var router struct {
			dynamic.TCPRouter
			traefikapi.State
		}
		require.NoError(t, r.api.GetTCP(t.Context(), replica, "routers", name(i)+provider, &router))
		says := traefikapi.CheckRuleTCP(rule.rule, rule.tls)
		// Traefik accepts the first, and since 3.7 the second too, although no connection names a host.
		if (rule.rule == "HostSNIRegexp(`^a$`)" || rule.rule == "!HostSNI(`a`)") && !rule.tls {
			require.ErrorContains(t, says, "only a connection with TLS names a host")
			continue
		}
		require.Equal(t, router.Status == traefikapi.Enabled, says == nil, "%v: Traefik says %s %v, we say %v", rule, router.Status, router.Errors, says)
	}
}

func name(i int) string { return "rule" + strings.Repeat("i", i) }

// FuzzCohortRule tries to break out of a rule with values, and checks the result with Traefik's parser.
func FuzzCohortRule(f *testing.F) {
	for _, s := range []string{"beta", "`", "`) || Host(`x", "\\", "{{ env `HOME` }}", "\ufeff", "//", "a\"b`c"} {
		f.Add("X-A", s)
	}
	f.Fuzz(func(t *testing.T, header, value string) {
		leaf := traffic.Matcher{Header: &traffic.Header{Name: header, Value: value}}
		rule, err := traefik.CohortRule("Host(`a`) || Host(`b`)", traffic.Matcher{All: []traffic.Matcher{{Not: &leaf}, {ClientIP: "::1"}}})
		if err != nil {
			return
		}
		tree, err := traefikapi.RuleTree(rule)
		require.NoError(t, err)
		host := func(h string) *rules.Tree { return &rules.Tree{Matcher: "Host", Value: []string{h}} }
		require.Equal(t, &rules.Tree{
			Matcher: "and", RuleLeft: &rules.Tree{Matcher: "or", RuleLeft: host("a"), RuleRight: host("b")},
			RuleRight: &rules.Tree{
				Matcher: "and", RuleLeft: &rules.Tree{Matcher: "Header", Not: true, Value: []string{header, value}},
				RuleRight: &rules.Tree{Matcher: "ClientIP", Value: []string{"::1"}},
			},
		}, tree)
	})
}

// No rule makes the parser panic, and a valid rule can be combined with a cohort or is refused.
func FuzzParseRule(f *testing.F) {
	for _, s := range []string{"Host(`a`)", "!", "Host(`a`) && (", "((Host(`a`)))", "Host[0]", "a.b(`c`)", "-Host(`a`)", "func(){}()"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, rule string) {
		if traefikapi.ParseRule(rule) != nil {
			return
		}
		cohort, err := traefik.CohortRule(rule, traffic.Matcher{ClientIP: "::1"})
		if err != nil {
			return
		}
		require.NoError(t, traefikapi.ParseRule(cohort))
		tree, err := traefikapi.RuleTree(cohort)
		require.NoError(t, err)
		alone, err := traefikapi.RuleTree(strings.TrimSpace(rule))
		require.NoError(t, err)
		require.Equal(t, &rules.Tree{Matcher: "and", RuleLeft: alone, RuleRight: &rules.Tree{Matcher: "ClientIP", Value: []string{"::1"}}}, tree)
	})
}

// The file contains any values unchanged, after both the template and the YAML parser.
func FuzzEncode(f *testing.F) {
	for _, s := range []string{"a", "{{ env `HOME` }}", "{{{", "\n# serin.dev/rollout: other", "║", "yes", "1e3", "~", "'\"", "\x00", "\u2028", "a: b", "- x", " x ", "{"} {
		f.Add(s, "http://a")
	}
	f.Fuzz(func(t *testing.T, text, server string) {
		l := layout{main: arms{5, 95, []string{server}, []string{"http://b", server}}, lanes: map[traffic.Lane]*side{
			traffic.CohortLane: {rule: text, sticky: "one"}, traffic.MirrorLane: {rule: text, maxBody: 1}, traffic.PreviewLane: {rule: text},
		}}
		l.guards = traffic.Guards{CircuitBreaker: &traffic.CircuitBreaker{Expression: text}, RateLimit: &traffic.RateLimit{Average: 1, By: text}}
		h := l.render(&Config{Rollout: "shop", Route: traffic.Route{Rule: text}})
		data, err := encode("shop", h)
		if err != nil {
			require.Nil(t, data)
			return
		}
		parsed, err := template.New("").Parse(string(data))
		require.NoError(t, err)
		var out bytes.Buffer
		require.NoError(t, parsed.Execute(&out, nil))
		require.Equal(t, string(data), out.String(), "the template changes nothing")
		c, err := parse(data, "shop")
		require.NoError(t, err)
		require.Empty(t, c.broken)
		require.Equal(t, strings.TrimSpace(text), c.config.HTTP.Routers["shop"].Rule)
		require.Equal(t, slices.Sorted(maps.Keys(h.HTTP.Services)), slices.Sorted(maps.Keys(c.config.HTTP.Services)))
	})
}

// A file is refused, is broken, or means the same after it is written again.
func FuzzParse(f *testing.F) {
	const mark = ownerMark + "shop\n"
	for _, s := range []string{"", "http:\n", "http: 5\n", "http: {routers: {shop: 5}}", "http: {routers: {shop: {priority: x}}}", "http: {services: {shop: {weighted: {services: [{}, {name: a}]}}}}", "a: &a [*a]", "? {a: b}\n: c", "http: {routers: {mine: {rule: x}}}", "tls: {}\nhttp: {services: {shop: 5, b: }}", "http: 5\ntcp: {a: {b: [c]}}", "http: {routers: {1: {}}}"} {
		f.Add(mark + s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parse([]byte(text), "shop")
		if err != nil {
			require.ErrorIs(t, err, ErrForeign)
			require.Nil(t, c)
			return
		}
		require.Equal(t, c.broken == "", c.config != nil)
		if c.others != nil {
			stays(t, text)
		}
		if c.config == nil {
			return
		}
		for _, conf := range []Config{
			{Rollout: "shop", Route: traffic.Route{Rule: "Host(`a`)"}},
			{
				Rollout: "shop", Route: traffic.Route{Rule: "Host(`a`)"}, FurtherRoutes: []traffic.PortRoute{{Route: traffic.Route{Rule: "Host(`b`)"}, Port: 1}},
				Sets: []traffic.ServerSet{{Servers: []string{"http://a"}, Further: []traffic.ServersAt{{Servers: []string{"h2c://a"}}}}},
			},
			{Rollout: "shop", Route: traffic.Route{Rule: "HostSNI(`*`)"}, TCP: true},
		} {
			l := infer(&conf, c.config)
			l.served(&conf, c.config)
			traefikapi.CompareAll(l.render(&conf), c.config, true)
		}
	})
}

// stays checks that Serin's part can be written to a file with foreign entries and is read back unchanged, or is
// refused.
func stays(t *testing.T, text string) {
	l := layout{main: arms{0, 100, []string{"http://a"}, []string{"http://b"}}}
	want := l.render(&Config{Rollout: "shop", Route: traffic.Route{Rule: "Host(`a`)"}})
	ours, err := encode("shop", want)
	require.NoError(t, err)
	both, err := withOthers(ours, []byte(text), "shop")
	if err != nil {
		return
	}
	again, err := parse(both, "shop")
	require.NoError(t, err, "%s", both)
	require.ErrorIs(t, again.others, ErrForeign, "%s", both)
	require.Empty(t, again.broken, "%s", both)
	require.Empty(t, traefikapi.CompareAll(want, again.config, true), "%s", both)
	twice, err := withOthers(ours, both, "shop")
	require.NoError(t, err)
	require.Equal(t, string(both), string(twice))
}

func TestValidateReportsEverything(t *testing.T) {
	good := func() Config {
		return Config{Rollout: "shop", File: "shop.yaml", Route: traffic.Route{Rule: "Host(`a`)"}, Replicas: []Replica{{URL: "http://a:8080"}}}
	}
	c := good()
	require.NoError(t, c.Validate())
	for says, change := range map[string]func(*Config){
		"letters, digits":                   func(c *Config) { c.Rollout = "a b" },
		"parts of other rollouts":           func(c *Config) { c.Rollout = "shop-ab" },
		"Traefik reads .yaml and .yml":      func(c *Config) { c.File = "shop.toml" },
		"rule is missing":                   func(c *Config) { c.Route.Rule = " " },
		"expected operand":                  func(c *Config) { c.Route.Rule = "Host(`a`) &&" },
		"entry point \"a b\" is not a name": func(c *Config) { c.Route.EntryPoints = []string{"a b"} },
		"priority -1":                       func(c *Config) { c.Route.Priority = -1 },
		"a further route leads to port 1 of 1": func(c *Config) {
			c.FurtherRoutes = []traffic.PortRoute{{Route: traffic.Route{Rule: "Host(`b`)"}, Port: 1}}
		},
		"different numbers of ports": func(c *Config) {
			c.Sets = []traffic.ServerSet{{Servers: []string{"http://a"}, Further: []traffic.ServersAt{{Servers: []string{"h2c://a"}}}}, {Servers: []string{"http://b"}}}
		},
		"a TCP route must be the only one": func(c *Config) {
			c.TCP, c.Route.Rule = true, "HostSNI(`*`)"
			c.FurtherRoutes = []traffic.PortRoute{{Route: traffic.Route{Rule: "Host(`b`)"}}}
		},
		"tls.secretName is for Kubernetes": func(c *Config) { c.Route.TLS = &traffic.TLS{SecretName: "x"} },
		"user and password have fields":    func(c *Config) { c.Replicas[0].URL = "http://u:secret@a" },
		"is not a URL such as":             func(c *Config) { c.Replicas[0].URL = "a:8080" },
		"cannot be parsed as a URL":        func(c *Config) { c.Replicas[0].URL = "http://u:secret@a:x" },
		"timeout -1s is negative":          func(c *Config) { c.Timeout = -time.Second },
	} {
		t.Run(says, func(t *testing.T) {
			c := good()
			change(&c)
			err := c.Validate()
			require.ErrorContains(t, err, says)
			require.NotContains(t, err.Error(), "secret@")
			_, err = New(c)
			require.Error(t, err)
		})
	}
	require.Len(t, strings.Split((&Config{}).Validate().Error(), "\n"), 3, "all problems at once")
}

func TestGuardsAreValidatedAsByTraefik(t *testing.T) {
	t.Parallel()
	require.NoError(t, traefikapi.ValidateGuards(traffic.Guards{}))
	for _, expression := range []string{"NetworkErrorRatio() > 0.5", "LatencyAtQuantileMS(50.0) > 100 || ResponseCodeRatio(500, 600, 0, 600) >= 0.2"} {
		require.NoError(t, traefikapi.ValidateGuards(traffic.Guards{CircuitBreaker: &traffic.CircuitBreaker{Expression: expression}}))
	}
	for says, g := range map[string]traffic.Guards{
		"unsupported function":  {CircuitBreaker: &traffic.CircuitBreaker{Expression: "Nonsense() > 1"}},
		`expression ""`:         {CircuitBreaker: &traffic.CircuitBreaker{}},
		"durations":             {CircuitBreaker: &traffic.CircuitBreaker{Expression: "NetworkErrorRatio() > 0.5", Recovery: -1}},
		"response code 99":      {CircuitBreaker: &traffic.CircuitBreaker{Expression: "NetworkErrorRatio() > 0.5", ResponseCode: 99}},
		"average is at least 1": {RateLimit: &traffic.RateLimit{}},
		"burst and period":      {RateLimit: &traffic.RateLimit{Average: 1, Burst: -1}},
	} {
		require.ErrorContains(t, traefikapi.ValidateGuards(g), says)
	}
}
