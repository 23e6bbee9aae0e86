package analysis

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestSelectorsAreReadAsPromQLReadsThem(t *testing.T) {
	cases := map[string]struct{ text, want string }{
		"a bare name":                            {`up`, `up{}`},
		"matchers are put in order":              {`m{b="2", a="1"}`, `m{a="1",b="2"}`},
		"all four operators":                     {`m{a="1",b!="2",c=~"3.",d!~"4|5"}`, `m{a="1",b!="2",c=~"3.",d!~"4|5"}`},
		"a comma at the end":                     {`m{a="1",}`, `m{a="1"}`},
		"single quotes and backquotes":           {"m{a='x\"y', b=`\\d`}", `m{a="x\"y",b="\\d"}`},
		"escapes":                                {`m{a="\x41\u00e9\n"}`, `m{a="Aé\n"}`},
		"white space and comments":               {"m {\n a = \"1\" # } \"\n}", `m{a="1"}`},
		"the same matcher twice is one":          {`m{a="1",a="1"}`, `m{a="1"}`},
		"a recording rule's name":                {`job:errors:sum{a="1"}`, `job:errors:sum{a="1"}`},
		"a closing brace inside a value is text": {`m{a="}"}`, `m{a="}"}`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s, err := parseSelector(c.text)
			require.NoError(t, err)
			require.Equal(t, c.want, s.String())
		})
	}
}

func TestAnythingButASelectorIsRefused(t *testing.T) {
	for _, text := range []string{
		``, ` `, `{a="1"}`, `m[5m]`, `m{a="1"}[5m]`, `m{a="1"} offset 5m`, `m{a="1"} @ 3`, `rate(m[1m])`, `m + n`, `m{a="1"`,
		`m{a="1"}}`, `m{a=1}`, `m{a}`, `m{"a"="1"}`, `m{a="1" b="2"}`, `m{,}`, `m{a=="1"}`, `m{a="1}`, `m{a="\q"}`, `m{a="\xff"}`,
		`m{__name__="n"}`, `m{a:b="1"}`, `5m`, "m{a=\"\n\"}", "m{a=\"\xff\"}", `m{a="1"},n`, `${service}{a="1"}`, `m{${a}="1"}`,
	} {
		_, err := parseSelector(text)
		require.Error(t, err, text)
	}
}

func names(kv ...string) Names {
	n := Names{Service: "shop-canary@file", Vars: map[string][]string{}}
	for i := 0; i < len(kv); i += 2 {
		n.Vars[kv[i]] = append(n.Vars[kv[i]], kv[i+1])
	}
	return n
}

func TestExpressionsGetTheirValuesEscaped(t *testing.T) {
	n := names("version", `1.0"} or up{a="`, "pods", "a.b", "pods", "c|d", "arm", "canary")
	cases := map[string]struct{ text, want string }{
		"an equality takes the value as it is":           {`sum(m{v="${version}"}) / 2`, `sum(m{v="1.0\"} or up{a=\""}) / 2`},
		"a pattern takes it quoted":                      {`m{v=~"x-${version}.*"}`, `m{v=~"x-1\\.0\"\\} or up\\{a=\".*"}`},
		"several values are any of them in a pattern":    {`m{pod=~"${pods}"}`, `m{pod=~"(?:a\\.b|c\\|d)"}`},
		"backquotes are rewritten":                       {"m{v=`${arm}`}", `m{v="canary"}`},
		"an expression without variables stays as it is": {`label_replace(m{a=~'x$'}, "b", "$1", "c", "(.*)") # ok`, `label_replace(m{a=~'x$'}, "b", "$1", "c", "(.*)") # ok`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := n.substituteExpression(c.text)
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}

func TestVariablesAreAllowedInLabelValuesOnly(t *testing.T) {
	n := names("arm", "canary", "pods", "a", "pods", "b", "bad", "\xff", "none", "x")
	n.Vars["none"] = nil
	for _, text := range []string{
		`${arm}`, `m{${arm}="1"}`, `m{a=${arm}}`, `m > ${arm}`, `m # ${arm}`, `label_replace(m, "a", "${arm}", "b", "")`,
		`m{a="${arm"}`, `m{a="${nothing}"}`, `m{a="${}"}`, `m{a="${a b}"}`, `m{a="${pods}"}`, `m{a="${bad}"}`, `m{a="${none}"}`,
		`count_values("${arm}", m)`, `m[${arm}]`, `m{"a"="${arm}"}`, `(m`, `m)`, `m{a="1")`, `m{a=~"(${arm}"}`, ``, `# nothing`,
		`quantile("=" "${arm}")`,
	} {
		_, err := n.substituteExpression(text)
		require.Error(t, err, text)
	}
}

// FuzzNothingBreaksOutOfALabelValue: whatever the value, the query keeps its structure, and the matcher's value is the
// value itself. Package promsource tests the same with Prometheus's own parser.
func FuzzNothingBreaksOutOfALabelValue(f *testing.F) {
	for _, s := range []string{`a`, `"`, `\`, `"} or up{a="`, "\n", "`", `${arm}`, `\x22`, "\x00", "é\u2028", ".*", "a|b", `\E.*`, "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		n := Names{Service: value, Vars: map[string][]string{"arm": {value}}}
		s, err := parseSelector(`m{service="${service}",arm=~"x${arm}y",k!="${arm}"}`)
		require.NoError(t, err)
		got, err := s.substitute(n)
		if err != nil {
			require.True(t, value == "" || !utf8.ValidString(value), "%q: %v", value, err)
			return
		}
		again, err := parseSelector(got.String())
		require.NoError(t, err)
		require.Equal(t, got, again)
		require.Len(t, again.matchers, 3)
		require.Equal(t, matcher{"k", "!=", value}, again.matchers[1])
		require.Equal(t, matcher{"service", "=", value}, again.matchers[2])
		re, err := compile(again.matchers[0].value)
		require.NoError(t, err)
		require.True(t, re.MatchString("x"+value+"y"))
		require.False(t, re.MatchString("x"+value+"zy"))

		text, err := n.substituteExpression(`sum(m{a="${service}"}) > 1`)
		require.NoError(t, err)
		inner := strings.TrimSuffix(strings.TrimPrefix(text, "sum("), ") > 1")
		one, err := parseSelector(inner)
		require.NoError(t, err)
		require.Equal(t, []matcher{{"a", "=", value}}, one.matchers)

		many := Template{Name: "m", By: "service"}.Query([]string{value, "other"}, 0)
		all, err := parseSelector(strings.TrimSuffix(many, "[1ms]"))
		require.NoError(t, err)
		require.Len(t, all.matchers, 1)
		re, err = compile(all.matchers[0].value)
		require.NoError(t, err)
		require.True(t, re.MatchString(value))
		require.True(t, re.MatchString("other"))
		require.Equal(t, value == value+"x", re.MatchString(value+"x"))
	})
}

// FuzzParseSelector: writing a parsed selector and parsing it again gives the same.
func FuzzParseSelector(f *testing.F) {
	for _, s := range []string{`m{a="1"}`, `m`, "m{a=`\\`,}", `m{a='\''}`, `m{#`, `m{a="\U0001F600"}`, string(TraefikRequests)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseSelector(text)
		if err != nil {
			require.Zero(t, s)
			return
		}
		again, err := parseSelector(s.String())
		require.NoError(t, err)
		require.Equal(t, s.String(), again.String())
	})
}

// newcomer.md, M3: the most likely mistake of people who know PromQL gets an answer that says what to write.
func TestAnExpressionInPlaceOfACounterIsAnsweredWithTheCounter(t *testing.T) {
	const apart = `, with a matcher that distinguishes the arms: {pod=~"${pods}"} on Kubernetes, {instance=~"${instances}"} without it`
	for expression, write := range map[string]string{
		`sum(rate(orders_total[1m]))`:                                     "the counter alone, orders_total" + apart,
		`rate(orders_total{version="${version}"}[5m])`:                    `the counter alone, orders_total{version="${version}"}`,
		`orders_total{version="${version}", a="}"}[5m] offset 1h`:         `the counter alone, orders_total{version="${version}", a="}"}`,
		`sum by (pod, code) (increase(orders_total[1h]))`:                 "the counter alone, orders_total" + apart,
		`sum(rate(a_total[1m])) / on(job) group_left(x) sum(rate(b[1m]))`: "each counter alone, a_total and b, at a field of its own" + apart,
		`a_total + a_total`: "the counter alone, a_total" + apart,
	} {
		_, err := parseSelector(expression)
		require.ErrorContains(t, err, ". Write "+write+". Serin reads the raw samples", expression)
		alone, _, _ := strings.Cut(strings.TrimPrefix(write, "the counter alone, "), apart)
		if strings.HasPrefix(write, "the counter") {
			_, err = parseSelector(alone)
			require.NoError(t, err, "the advice is taken")
		}
	}
	for _, hopeless := range []string{`sum(`, `1 + 2`, `x{a="b`, `sum(x{a="b"`} {
		_, err := parseSelector(hopeless)
		require.Error(t, err)
	}
}

func TestFurtherMatchersAreCanonical(t *testing.T) {
	got, err := ParseMatchers(`job=~"traefik.*", cluster="eu-1"`)
	require.NoError(t, err)
	require.Equal(t, `cluster="eu-1",job=~"traefik.*"`, got)
	got, err = EqualMatchers(map[string]string{"job": "a\"b", "cluster": "eu-1"})
	require.NoError(t, err)
	require.Equal(t, `cluster="eu-1",job="a\"b"`, got)
	for text, says := range map[string]string{
		`cluster`: "expected label matchers", `a="b"} or x{`: "expected label matchers", `a=~"("`: "missing closing",
		`a="${arm}"`: "the same for both arms", `__name__="x"`: "before the braces",
	} {
		_, err := ParseMatchers(text)
		require.ErrorContains(t, err, says, text)
	}
	for _, label := range []string{"", "a b", "__name__", "1a", "a:b"} {
		_, err := EqualMatchers(map[string]string{label: "x"})
		require.Error(t, err, label)
	}
}

func TestSeveralServicesOfAnArmAreCountedTogether(t *testing.T) {
	both := Names{Service: "pro-shop-80@kubernetescrd,pro-shop-9090@kubernetescrd"}
	const either = `=~"(?:pro-shop-80@kubernetescrd|pro-shop-9090@kubernetescrd)"`
	for text, want := range map[string]string{
		`m{service="${service}"}`:          `m{service` + either + `}`,
		`m{service!="${service}"}`:         `m{service!` + strings.TrimPrefix(either, "=") + `}`,
		`m{service=~"${service}"}`:         `m{service` + either + `}`,
		`m{service="${service}",a="${x}"}`: `m{a="1",service` + either + `}`,
	} {
		s, err := parseSelector(text)
		require.NoError(t, err)
		names := both
		names.Vars = map[string][]string{"x": {"1"}}
		got, err := s.substitute(names)
		require.NoError(t, err)
		want, err := parseSelector(want)
		require.NoError(t, err)
		require.Equal(t, want.String(), got.String(), text)
		in := &input{}
		require.NoError(t, in.bind(s, names))
		require.NotEqual(t, "service", in.template.By, "one value is taken out of a template, not several")
	}
	one, err := parseSelector(`m{service="x-${service}"}`)
	require.NoError(t, err)
	_, err = one.substitute(both)
	require.ErrorContains(t, err, "use =~ instead")
}
